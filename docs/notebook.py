"""Writes docs/tutorial.ipynb, the tutorial as a notebook without outputs, from docs/tutorial.md.

python docs/notebook.py
"""

from pathlib import Path

import jupytext
import nbformat

PAGE = Path(__file__).with_name("tutorial.md")


def notebook() -> str:
    """The text of the notebook."""
    notebook = jupytext.reads(PAGE.read_text(), fmt="md")
    for number, cell in enumerate(notebook.cells):
        # Cells have an id each, at random unless it is given.
        cell["id"] = f"cell-{number}"
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.writes(notebook, version=4) + "\n"


if __name__ == "__main__":
    PAGE.with_suffix(".ipynb").write_text(notebook())

"""Pages that are made by programs are as these make them, and every page is in the contents."""

import contextlib
import importlib.util
import io
import re
from pathlib import Path

import nbformat
import pytest

DOCS = Path(__file__).parent.parent / "docs"


def program(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore")
def test_supported_operations_are_as_the_tables_say():
    assert (DOCS / "supported.md").read_text() == program("supported").page(), "run python docs/supported.py"


def test_what_it_takes_is_what_the_list_of_models_says():
    assert (DOCS / "takes.md").read_text() == program("takes").page(), "run python docs/takes.py"


def test_the_kinds_of_onnx_files_are_those_that_the_tests_go_through():
    assert (DOCS / "onnx_files.md").read_text() == program("onnx_files").page(), "run python docs/onnx_files.py"


def test_the_notebook_is_the_tutorial():
    assert (DOCS / "tutorial.ipynb").read_text() == program("notebook").notebook(), "run python docs/notebook.py"


def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.read(DOCS / "tutorial.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(cells) > 10
    assert not any(cell.outputs for cell in cells)
    printed, names = io.StringIO(), {"__name__": "__main__"}
    with contextlib.redirect_stdout(printed):
        for cell in cells:
            exec(compile(cell.source, cell.id, "exec"), names)
    assert "knowlimits.Guard is a remedy" in printed.getvalue()
    assert (tmp_path / "report.html").exists()


def test_every_page_is_in_the_contents_and_every_link_leads_somewhere():
    listed = re.findall(r"^([\w/-]+)$", (DOCS / "index.md").read_text(), re.M)
    pages = {path.stem for path in DOCS.glob("*.md")} - {"index"}
    assert pages <= set(listed)
    for page in DOCS.glob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", page.read_text()):
            assert (DOCS / link).exists(), f"{page.name} links to {link}"


def test_the_table_of_ends_in_the_readme_is_that_of_the_docs():
    tables = [
        re.search(r"(?:^\| classifier \| sure, .*\n)(?:^\|.*\n)+", page.read_text(), re.M)
        for page in (DOCS.parent / "README.md", DOCS / "detect" / "summary.md")
    ]
    readme, docs = (found.group() for found in tables)
    assert readme == docs
    assert len(readme.splitlines()) > 15

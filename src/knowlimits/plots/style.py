"""What all figures have in common: titles of scores, colours of classes, and how a figure becomes a file."""

import io
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from knowlimits.outputs import FIGURES, check_output, write_atomically

#: Names of scores as axes show them.
TITLES = {
    "entropy": "entropy (bits)",
    "max_prob": "1 - max probability",
    "variance": "class variance",
    "mutual_information": "mutual information (bits)",
    "expected_entropy": "expected entropy (bits)",
    "confidence": "confidence",
}
#: Okabe and Ito's colours, told apart by colour-blind eyes, with unlike markers for print without colour.
CLASSES = (
    ("#E69F00", "o"),
    ("#0072B2", "^"),
    ("#009E73", "s"),
    ("#CC79A7", "D"),
    ("#56B4E9", "v"),
    ("#D55E00", "P"),
    ("#F0E442", "X"),
)


def scatter(ax: Axes, X: np.ndarray, y: np.ndarray, size: float = 6) -> None:
    """Draw points ``(n, 2)`` by their classes on top of a map, in the colours and markers of all figures.

    From the eighth class on, in the order of their labels, they begin anew.
    """
    for label, (colour, marker) in zip(np.unique(y), cycle(CLASSES), strict=False):
        rows = y == label
        ax.scatter(*X[rows].T, s=size, c=colour, marker=marker, edgecolors="black", linewidths=0.25, alpha=0.7)


def save(figure: Figure, path: Path) -> None:
    """Write a figure to a file, .png, .pdf or .svg, and close it.

    Raises:
        ValueError: if the name of the file ends in something else.
        OSError: if it cannot be written, or is neither a file nor a character device.
    """
    path = Path(path)
    check_output(path, FIGURES)
    buffer = io.BytesIO()
    kind = path.suffix[1:].lower()
    # Without a date or a version in the file, the same figure is the same bytes.
    figure.savefig(buffer, format=kind, dpi=150, metadata={"Software": None} if kind == "png" else None)
    plt.close(figure)
    write_atomically(path, buffer.getvalue())

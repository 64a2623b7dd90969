"""Maps: values on a grid of the plane in colours, scores evenly and the lengths of their gradients in a logarithmic scale."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.image import AxesImage

#: What a map or a figure shows: x from, x to, y from, y to.
Extent = tuple[float, float, float, float]
# The colours of gradients span this many decades below the largest value of their scale.
_DECADES = 6


def grid(extent: Extent, size: int = 400) -> np.ndarray:
    """Points of a grid over a part of the plane, row by row from below.

    Args:
        extent: x from, x to, y from, y to, all included.
        size: points on either side.

    Returns:
        ``(size * size, 2)``; ``values.reshape(size, size)`` of values at them is what `score_map` takes.
    """
    x, y = np.meshgrid(np.linspace(extent[0], extent[1], size), np.linspace(extent[2], extent[3], size))
    return np.stack([x.ravel(), y.ravel()], axis=1)


def score_map(ax: Axes, values: np.ndarray, extent: Extent, norm: Normalize | None = None) -> AxesImage:
    """Draw a score on a grid, darker where the model is less sure.

    Args:
        ax: to draw on.
        values: the score, ``(rows, columns)``, row by row from below.
        extent: of the grid: x from, x to, y from, y to.
        norm: colour scale, `score_norm` of the values without it.

    Returns:
        What a colour bar can be made of.
    """
    return _image(ax, values, extent, norm or score_norm([values]), "Purples")


def gradient_map(ax: Axes, values: np.ndarray, extent: Extent, norm: Normalize | None = None) -> AxesImage:
    """Draw the length of a score's gradient on a grid, in a logarithmic scale; what is below it has the darkest colour.

    Args:
        ax: to draw on.
        values: the lengths, ``(rows, columns)``, row by row from below.
        extent: of the grid: x from, x to, y from, y to.
        norm: colour scale, `gradient_norm` of the values without it.

    Returns:
        What a colour bar can be made of.
    """
    return _image(ax, values, extent, norm or gradient_norm([values]), "viridis")


def score_norm(values: Sequence[np.ndarray]) -> Normalize:
    """One colour scale for several maps of a score, from 0 to the largest value among them."""
    return Normalize(0, max(float(one.max()) for one in values) or 1.0)


def gradient_norm(values: Sequence[np.ndarray]) -> Normalize:
    """One logarithmic colour scale for several maps of gradients, six decades up to the largest value among them."""
    top = max(float(one.max()) for one in values) or 1.0
    return LogNorm(top * 10.0**-_DECADES, top)


def _image(ax: Axes, values: np.ndarray, extent: Extent, norm: Normalize, cmap: str) -> AxesImage:
    shown = np.maximum(values, norm.vmin or 0.0)
    return ax.imshow(shown, origin="lower", extent=extent, norm=norm, cmap=cmap, aspect="auto", interpolation="nearest")

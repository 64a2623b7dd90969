"""Inputs of several axes, such as windows, landmarks and images, as tables: a column for each place of one input."""

import math
from typing import Any

import numpy as np
import torch

from knowlimits.model.shapes import checked_shape, stated_shape


def shape_of_inputs(model: Any, X: Any, given: Any) -> tuple[int, ...] | None:
    """The shape of one input, which somebody says, the data have, or the model states; None for a table that is one.

    Args:
        model: what a person brought.
        X: the data.
        given: what a person says, or None.

    Raises:
        ValueError: if what is given is no shape.
    """
    if given is not None:
        return checked_shape(given)
    axes = axes_of("X", X)
    return axes[1:] if len(axes) > 2 else stated_shape(model)


def as_table(name: str, X: Any, shape: tuple[int, ...] | None) -> Any:
    """Data as a table, which they may be already: a column for each place of one input, the last axis the fastest.

    Args:
        name: of the data, in messages.
        X: the data, ``(n, columns)`` or ``(n, *shape)``.
        shape: of one input, or None where X is a table that is no other thing.

    Raises:
        ValueError: if they are neither.
    """
    axes = axes_of(name, X)
    if shape is None:
        if len(axes) != 2:
            raise ValueError(f"{name} must be a table, (n, columns), or have more axes. Got shape {axes} instead.")
        return X
    if axes[1:] == (math.prod(shape),):
        return X
    if axes[1:] != shape:
        inside = ", ".join(map(str, shape))
        raise ValueError(
            f"{name} must have shape (n, {inside}), as one input of the model has shape {shape}, or be a table of "
            f"{math.prod(shape)} columns, one for each of its places. Got shape {axes} instead."
        )
    array = X.detach().cpu().double().numpy() if isinstance(X, torch.Tensor) else np.asarray(X)
    return array.reshape(len(array), -1)


def panels(shape: tuple[int, ...]) -> np.ndarray:
    """Which column each place of one input is, as people look at them: ``(panels, rows, columns)``.

    Axes of length 1 are left out. Of three axes the shorter of the first and the last tells panels apart, as channels do,
    wherever they are; of more, all but the last two.
    """
    columns = np.arange(math.prod(shape)).reshape([size for size in shape if size > 1] or [1])
    if columns.ndim == 3 and columns.shape[2] < columns.shape[0]:
        columns = np.moveaxis(columns, 2, 0)
    columns = columns.reshape([1] * (3 - columns.ndim) + list(columns.shape))
    return columns.reshape(-1, *columns.shape[-2:])


def panel_names(shape: tuple[int, ...]) -> list[str]:
    """What each panel holds, as one would index an input; nothing where there is one alone."""
    columns = panels(shape)
    if len(columns) == 1:
        return [""]
    first, last = (np.array(np.unravel_index(columns[:, a, a], shape)) for a in (0, -1))
    # Indices that a panel's first and last place share are those of the panel.
    fixed = [[str(a) if a == b else ":" for a, b in zip(*pair, strict=True)] for pair in zip(first.T, last.T, strict=True)]
    return [f"x[{', '.join(one)}]" for one in fixed]


def axes_of(name: str, X: Any) -> tuple[int, ...]:
    """Sizes of the axes of data.

    Raises:
        ValueError: if they are several arrays, or parts of other lengths.
    """
    try:
        return tuple(map(int, X.shape if hasattr(X, "shape") else np.shape(X)))
    except ValueError:
        raise ValueError(
            f"{name} must be one table, (n, columns). Got a {type(X).__name__} of parts of other lengths."
        ) from None

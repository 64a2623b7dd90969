"""What goes into a model, and what comes out: points ``(n, ...)``, rays of them, and logits ``(members, n, classes)``."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from knowlimits.options import chosen

Array = TypeVar("Array", Tensor, np.ndarray)


def as_points(name: str, value: Any, gaps: bool = False) -> Tensor:
    """Inputs ``(n, ...)`` in float64, which may have `gaps` (nan).

    Raises:
        ValueError: if they are not finite or have one axis; `name` is theirs in the message.
        TypeError: if they are no numbers.
    """
    points = _finite(name, value, gaps)
    if points.ndim < 2:
        raise ValueError(f"{name} must have shape (n, features) or more axes. Got {tuple(points.shape)} instead.")
    return points


class Towards(StrEnum):
    """Directions that are said in a word."""

    FEATURES = "features"
    RANDOM = "random"


def as_rays(origins: Any, directions: Any, random_state: Any = None, gaps: bool = False) -> tuple[Tensor, Tensor]:
    """Starts and directions of rays, as `knowlimits.far_field` takes them, in float64; starts may have `gaps`."""
    origins = origins if gaps and isinstance(origins, Tensor) else as_points("origins", origins)
    if isinstance(directions, str):
        if chosen(Towards, "directions", directions, ", or an array") is Towards.FEATURES:
            n, features = len(origins), origins[0].numel()
            steps = torch.eye(features, dtype=torch.float64)[:, None] * torch.tensor([-1.0, 1.0], dtype=torch.float64)[:, None]
            steps = steps.reshape(-1, *origins.shape[1:])
            return origins.repeat_interleave(2 * features, 0), steps.repeat(n, *[1] * (origins.ndim - 1))
        from sklearn.utils import check_random_state

        drawn = torch.tensor(check_random_state(random_state).normal(size=tuple(origins.shape)))
        lengths = drawn.flatten(1).norm(dim=1).reshape(-1, *[1] * (origins.ndim - 1))
        return origins, drawn / lengths
    directions = _finite("directions", directions)
    if directions.shape != origins.shape:
        raise ValueError(
            f"directions must have the shape of origins, {tuple(origins.shape)}. Got {tuple(directions.shape)} instead."
        )
    return origins, directions


def _finite(name: str, value: Any, gaps: bool = False) -> Tensor:
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = value.to_dense() if value.layout != torch.strided else value
        complex_ = value.is_complex()
        # A copy, so that results keep their rays whatever becomes of the tensor.
        tensor = None if complex_ else value.to(torch.float64, copy=True)
    else:
        complex_ = False
        try:
            array = np.asarray(value)
            complex_ = np.iscomplexobj(array)
            tensor = None if complex_ else torch.from_numpy(np.array(array, dtype=np.float64))
        except (TypeError, ValueError):
            tensor = None
    if tensor is None:
        kind = "complex numbers" if complex_ else f"{type(value).__name__}, which numpy cannot turn into floats"
        raise TypeError(f"{name} must be an array of real numbers. Got {kind}.")
    if not tensor.numel():
        raise ValueError(f"{name} must have at least one row and one feature. Got shape {tuple(tensor.shape)} instead.")
    wrong = tensor.isinf() if gaps else ~tensor.isfinite()
    if wrong.any():
        raise ValueError(f"{name} must be finite. Got {int(wrong.sum())} values that are not.")
    return tensor


def both(logits: Array) -> Array:
    """One logit f along the last axis as the two logits (0, f); of more classes as they are."""
    if logits.shape[-1] != 1:
        return logits
    if isinstance(logits, Tensor):
        return nn.functional.pad(logits, (1, 0))
    return np.concatenate([np.zeros_like(logits), logits], axis=-1)


def first_line(error: Exception) -> str:
    """What an error says in its first line."""
    return str(error).partition("\n")[0].rstrip(".")


def wrong_shape(shape: Sequence[int], n: int) -> ValueError:
    """The error for a module whose outputs for n rows have another shape than they should."""
    return ValueError(
        "model must return logits of shape (members, n, classes), (n, members, classes), (n, classes), (n, 1) or (n,). "
        f"Got {tuple(shape)} for n = {n} instead."
    )

"""Images in other sizes: the nearest numbers, or straight lines between them, axis by axis."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowlimits.files.onnx.building import Operation, Operator
from knowlimits.files.onnx.sizes import Sizes, allow, ints
from knowlimits.follow import UnsupportedOperation

_COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")
_NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def resized(
    x: Tensor, scales: Tensor | None, sizes: Sizes | None, axes: list[int] | None, mode: str, coordinates: str, nearest: str
) -> Tensor:
    """A tensor in other sizes along axes.

    Args:
        x: the tensor.
        scales, sizes: times as many numbers along each of the axes, or how many; one of both.
        axes: all in their order without any.
        mode: "nearest" or "linear".
        coordinates: how places after and before belong to each other, as ONNX names it.
        nearest: which of two places is the nearest.
    """
    places = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in axes]
    before = [x.shape[axis] for axis in places]
    if sizes is None:
        factors = scales.reshape(-1).tolist() if scales is not None else []
        if any(not 0 < f < 1e9 for f in factors):
            raise ValueError(f"scales must be above 0. Got {factors} instead")
        after = [_size(n, f, coordinates) for n, f in zip(before, factors, strict=True)]
    else:
        after = ints(sizes)
        factors = [m / max(n, 1) for n, m in zip(before, after, strict=True)]
    shape = list(x.shape)
    for axis, size in zip(places, after, strict=True):
        shape[axis] = size
    allow(shape)
    for axis, n, m, factor in zip(places, before, after, factors, strict=True):
        if factor != 1:
            x = (_nearest if mode == "nearest" else _linear)(x, axis, n, m, factor, coordinates, nearest)
    return x


def _size(n: int, factor: float, coordinates: str) -> int:
    """So many times as many numbers, which others count in single precision; with corners in line there may be no rest."""
    size = int(n * factor)
    if size != int(np.float32(n) * np.float32(factor)) or (coordinates == "align_corners" and size != n * factor):
        raise UnsupportedOperation(f"how many numbers {factor} times {n} are hangs on rounding: give sizes instead of scales")
    return size


def _before(n: int, m: int, factor: float, coordinates: str, kind: Any) -> np.ndarray:
    """The places before, with what is between them, of all places after; `kind` is the type of floats to compute in."""
    after, scale = np.arange(m, dtype=kind), kind(factor)
    if coordinates == "asymmetric":
        return after / scale
    if coordinates == "align_corners":
        return after * kind(n - 1) / kind(m - 1) if m > 1 else np.zeros(m, dtype=kind)
    if coordinates == "pytorch_half_pixel" and m <= 1:
        return np.zeros(m, dtype=kind)
    shift = kind(n) / 2 * (1 - kind(m) / (kind(n) * scale)) if coordinates == "half_pixel_symmetric" else kind(0)
    return shift + (after + kind(0.5)) / scale - kind(0.5)


def _nearest(x: Tensor, axis: int, n: int, m: int, factor: float, coordinates: str, nearest: str) -> Tensor:
    """Others compute places in single precision; where that would choose another number, the file does not say which."""
    first, second = (_rounded(_before(n, m, factor, coordinates, kind), nearest) for kind in (np.float64, np.float32))
    if (first.clip(0, n - 1) != second.clip(0, n - 1)).any():
        raise UnsupportedOperation(
            f"which of two numbers is the nearest hangs on rounding for {n} numbers that become {m}: take mode linear, or "
            "a scale that is a whole number"
        )
    return x.index_select(axis, torch.from_numpy(first.clip(0, n - 1).astype(np.int64)).to(x.device))


def _rounded(places: np.ndarray, nearest: str) -> np.ndarray:
    if nearest == "floor":
        return np.floor(places)
    if nearest == "ceil":
        return np.ceil(places)
    return np.ceil(places - 0.5) if nearest == "round_prefer_floor" else np.floor(places + 0.5)


def _linear(x: Tensor, axis: int, n: int, m: int, factor: float, coordinates: str, _: str) -> Tensor:
    places = _before(n, m, factor, coordinates, np.float64).clip(0, n - 1)
    low = np.floor(places)
    size = [1] * x.ndim
    size[axis] = m
    share = torch.from_numpy(places - low).to(x.device).reshape(size)
    sides = [torch.from_numpy(side.clip(0, n - 1).astype(np.int64)).to(x.device) for side in (low, low + 1)]
    left, right = (x.index_select(axis, side) for side in sides)
    return left * (1 - share) + right * share


def _resize(o: Operation) -> Any:
    node = o.node
    # Before opset 11 there are scales alone, and places begin at the same corner.
    older = node.version < 11 or node.key[1] == "Upsample"
    mode = node.get("mode", "nearest")
    coordinates = "asymmetric" if older else node.get("coordinate_transformation_mode", "half_pixel")
    nearest = "floor" if older else node.get("nearest_mode", "round_prefer_floor")
    for what, value, known in (
        ("mode", "linear" if mode == "bilinear" else mode, ("nearest", "linear")),
        ("coordinate_transformation_mode", coordinates, _COORDINATES),
        ("nearest_mode", nearest, _NEAREST),
        ("keep_aspect_ratio_policy", node.get("keep_aspect_ratio_policy", "stretch"), ("stretch",)),
        ("antialias", str(node.get("antialias", 0)), ("0",)),
        ("exclude_outside", str(node.get("exclude_outside", 0)), ("0",)),
    ):
        if value not in known:
            raise UnsupportedOperation(f"{what} must be {' or '.join(known)}. Got {value} instead")
    (x,) = o.take(1)
    listed = node.numbers("scales")
    scales = o.places(1 if older else 2) if listed is None else listed
    if isinstance(scales, Tensor) and not scales.numel():
        scales = None
    sizes = None if older else o.sizes(3)
    if (scales is None) == (sizes is None):
        raise ValueError("it needs either scales or sizes")
    mode = "nearest" if mode == "nearest" else "linear"
    return o.call(resized, x, scales, sizes, node.integers("axes"), mode, coordinates, nearest)


TABLE = {"Resize": Operator(_resize), "Upsample": Operator(_resize)}

"""Bounds beside the floats of many points: on the errors of numbers, and maybe on how steep they are.

What the two are of is said in `crossing.py`; here is what operations do to them. A sum of n products is off by at most n
units of rounding times the sum of the products' sizes, in whatever order it is added up (Higham, 2002, section 3.1), and
carries on the errors of what it adds up by the sizes of its coefficients.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowlimits.follow.bounds import EPS
from knowlimits.follow.parts import Parts
from knowlimits.plane.mesh import UnitRows
from knowlimits.plane.points import Points

# What is rounded beside the products and sums: constants times w, coefficients that torch computes, and the bounds themselves.
_MORE = 8
# An error that everything has that hangs on coordinates: what has none at all is zero all round a vertex, not just at it.
_LEAST = 1e-30

#: Does a function of the arguments of an operation at all points, given what to take of a tensor that is traced.
Apply = Callable[[Callable[..., Tensor], Callable[[Points], Tensor]], Tensor]


class Bounding(ABC):
    """Where bounds are kept.

    Attributes:
        rows: of numbers of a point, of which the first are the values.
    """

    rows: int

    @abstractmethod
    def start(self, values: Tensor, errors: Tensor) -> Points:
        """Coordinates of points and the errors of each, ``(points,)``."""

    @abstractmethod
    def constant(self, values: Tensor, weights: Tensor, stored: Tensor) -> tuple[Tensor, Any]:
        """Numbers at all points of a constant, and what is beside them.

        Args:
            values: the constant.
            weights: w of every point, that it is multiplied by.
            stored: a bound on the error of each w.
        """

    @abstractmethod
    def together(self, beside: Sequence[Any]) -> Any:
        """What is beside several tensors of which one is made."""

    @abstractmethod
    def affine(
        self,
        apply: Apply,
        parts: Parts,
        values: Tensor,
        traced: list[Points],
        constant: Tensor | None,
        w: Tensor,
        stored: Tensor,
    ) -> tuple[Tensor, Any]:
        """Numbers of the result of an affine operation, and what is beside them.

        Args:
            apply: does a function of the operation's arguments.
            parts: the operation.
            values: of the result.
            traced: its arguments.
            constant: its constant part.
            w, stored: as for a constant.
        """

    @abstractmethod
    def taken(self, x: Points) -> UnitRows:
        """Numbers and bounds as arrays."""

    @abstractmethod
    def put(self, rows: UnitRows, shape: torch.Size) -> tuple[Tensor, Any]:
        """Arrays as numbers of a shape, and what is beside them."""

    def values(self, x: Points) -> Tensor:
        """The values of a tensor that is up to date."""
        return x.numbers[:: self.rows]


class OfPoints(Bounding):
    """One bound for all numbers of a tensor at a point: beside them, ``(points, 2)``, errors and slopes."""

    rows = 1

    def start(self, values: Tensor, errors: Tensor) -> Points:
        """Coordinates of points."""
        return Points(values, torch.stack([errors, torch.ones_like(errors)], 1))

    def constant(self, values: Tensor, weights: Tensor, stored: Tensor) -> tuple[Tensor, Any]:
        """A constant times w."""
        size = float(values.abs().max()) if values.numel() else 0.0
        beside = torch.stack([size * (stored + EPS * weights.abs()), torch.full_like(weights, size)], 1)
        return _homogeneous(values, weights), beside

    def together(self, beside: Sequence[Any]) -> Any:
        """The largest of each."""
        return torch.stack(list(beside)).amax(0) if len(beside) > 1 else beside[0]

    def affine(
        self,
        apply: Apply,
        parts: Parts,
        values: Tensor,
        traced: list[Points],
        constant: Tensor | None,
        w: Tensor,
        stored: Tensor,
    ) -> tuple[Tensor, Any]:
        """Bounds by the largest sum of sizes of coefficients."""
        sizes = torch.stack([_size(x.numbers) for x in traced]).amax(0)
        steep, share = parts.steepness(), (parts.terms() / 2 + _MORE) * EPS
        shift = 0.0 if constant is None or not constant.numel() else float(constant.abs().max())
        bounds = steep * (1 + share) * self.together([x.beside for x in traced])
        bounds[:, 0] += share * (steep * sizes + shift * w.abs()) + (1 + share) * shift * stored
        bounds[:, 1] += (1 + share) * shift
        return values, bounds

    def taken(self, x: Points) -> UnitRows:
        """Numbers and bounds as arrays."""
        errors, slopes = x.beside.T.contiguous().numpy()
        return UnitRows(x.numbers.flatten(1).contiguous().numpy(), errors[:, None], slopes[:, None])

    def put(self, rows: UnitRows, shape: torch.Size) -> tuple[Tensor, Any]:
        """Arrays as numbers of a shape."""
        beside = torch.cat([torch.from_numpy(rows.errors), torch.from_numpy(rows.slopes)], 1)
        return torch.from_numpy(rows.values).unflatten(1, shape), beside


class OfUnits(Bounding):
    """Bounds of every number: of each point a row of values and one of errors, which move as these do.

    What has neither a value nor an error is zero on all cells at the point.
    """

    rows = 2

    def start(self, values: Tensor, errors: Tensor) -> Points:
        """Coordinates of points."""
        each = torch.ones_like(values)
        return Points(_stacked(values, each * (errors + _LEAST).reshape(-1, *[1] * (values.ndim - 1))), None)

    def constant(self, values: Tensor, weights: Tensor, stored: Tensor) -> tuple[Tensor, Any]:
        """A constant times w."""
        errors = _homogeneous(values.abs(), _LEAST + stored + EPS * weights.abs())
        return _stacked(_homogeneous(values, weights), errors), None

    def together(self, beside: Sequence[Any]) -> Any:
        """Nothing is beside."""
        return None

    def affine(
        self,
        apply: Apply,
        parts: Parts,
        values: Tensor,
        traced: list[Points],
        constant: Tensor | None,
        w: Tensor,
        stored: Tensor,
    ) -> tuple[Tensor, Any]:
        """Bounds by sizes of coefficients."""
        share = (parts.terms() / 2 + _MORE) * EPS

        def sized(*arguments: Any, **_: Any) -> Tensor:
            return parts.of_sizes(list(arguments))

        # In place, as layers at all vertices are what takes time and memory.
        errors = apply(sized, lambda x: x.numbers[::2].abs().mul_(share).add_(x.numbers[1::2], alpha=1 + share))
        if constant is not None:
            sizes, each = constant.abs(), _LEAST + share * w.abs() + (1 + share) * stored
            errors = errors.expand(values.shape).contiguous().addcmul_(each.reshape(-1, *[1] * sizes.ndim), sizes)
        return _stacked(values, errors.expand(values.shape)), None

    def taken(self, x: Points) -> UnitRows:
        """Numbers and bounds as arrays."""
        values, errors = (x.numbers[k::2].flatten(1).numpy() for k in range(2))
        return UnitRows(values, errors, np.empty((len(values), 0)))

    def put(self, rows: UnitRows, shape: torch.Size) -> tuple[Tensor, Any]:
        """Arrays as numbers of a shape."""
        return _stacked(torch.from_numpy(rows.values), torch.from_numpy(rows.errors)).unflatten(1, shape), None


def _stacked(values: Tensor, errors: Tensor) -> Tensor:
    return torch.stack([values, errors], 1).flatten(0, 1)


def _homogeneous(constant: Tensor, weights: Tensor) -> Tensor:
    """A constant at every point."""
    return weights.reshape(-1, *[1] * constant.ndim) * constant


def _size(values: Tensor) -> Tensor:
    """The size of the largest number of every point."""
    flat = values.flatten(1)
    return torch.linalg.vector_norm(flat, torch.inf, dim=1) if flat.shape[1] else flat.new_zeros(len(flat))

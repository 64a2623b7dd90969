"""The plane of two columns in a disc: the confidence inside, and round the rim the exact limit in every direction."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from knowlimits.auditing.find.subject import Subject
from knowlimits.follow import UnsupportedOperation
from knowlimits.limits import Horizon, far_field, horizon
from knowlimits.model.endings import Outputs
from knowlimits.plane import Plane

#: A distance of so many standard deviations lies half-way to the rim.
SCALE = 5.0
# Points along a side of the square round the disc; directions where arcs cannot be had.
_SIDE, _DIRECTIONS = 161, 720


@dataclass(frozen=True)
class Disc:
    """A disc, from the median row; a point at distance r from the middle stands for `SCALE` r / (1 - r) standard deviations.

    Attributes:
        axes: places of the two columns.
        confidence: ``(side, side)``, from the top left corner of the square round the disc; nan outside.
        winner: places of the likeliest class, of the same shape; outside those at the edge.
        arcs: angles from and to, counterclockwise from the first column's way up, ``(arcs, 2)``.
        limits: confidence on each arc, ``(arcs,)``.
        winners: likeliest class on each arc, ``(arcs,)``.
        exact: whether the arcs are exact; otherwise they are `_DIRECTIONS` directions.
    """

    axes: tuple[int, int]
    confidence: np.ndarray
    winner: np.ndarray
    arcs: np.ndarray
    limits: np.ndarray
    winners: np.ndarray
    exact: bool


def disc(subject: Subject, columns: Sequence[int]) -> Disc | None:
    """The disc of the first two columns, by their places, that move together; None where there are no two."""
    together = subject.columns.together
    axes = [place for place in columns if together[place]][:2]
    if len(axes) < 2:
        return None
    plane = Plane(subject.centre, *subject.columns.steps[axes])
    return _drawn(subject, plane, (axes[0], axes[1]))


def _drawn(subject: Subject, plane: Plane, axes: tuple[int, int]) -> Disc:
    axis = np.linspace(-1, 1, _SIDE)
    x, y = np.meshgrid(axis, -axis)
    radius = np.hypot(x, y)
    inside = radius < 1
    stretch = SCALE / (1 - radius[inside])
    probs = subject.probabilities(plane.lift(np.stack([x[inside] * stretch, y[inside] * stretch], axis=1))).mean(0)
    confidence, winner = np.full(x.shape, np.nan), np.zeros(x.shape, dtype=int)
    confidence[inside], winner[inside] = probs.max(1), probs.argmax(1)
    # Outside it is as at the edge, so that none is seen there.
    rim = [np.rint((1 + way[~inside] / radius[~inside] * (1 - 3 / _SIDE)) / 2 * (_SIDE - 1)).astype(int) for way in (-y, x)]
    winner[~inside] = winner[rim[0], rim[1]]
    found = _exact(subject, plane, axes)
    if found is not None:
        arcs, limits = found.angles, found.probs.mean(0)
    else:
        edges = np.linspace(0, 2 * np.pi, _DIRECTIONS + 1)
        arcs = np.stack([edges[:-1], edges[1:]], axis=1)
        middles = arcs.mean(1)
        directions = plane.lift(np.stack([np.cos(middles), np.sin(middles)], axis=1)) - plane.origin
        limits = far_field(subject.model, np.tile(plane.origin, (len(arcs), 1)), directions).probs.mean(0)
    return Disc(axes, confidence, winner, *_joined(arcs, limits.max(1), limits.argmax(1)), exact=found is not None)


def _exact(subject: Subject, plane: Plane, axes: tuple[int, int]) -> Horizon | None:
    """All arcs; None where they cannot be had."""
    model = subject.model
    if model.returns is Outputs.PROBABILITIES or not subject.columns.straight[list(axes)].all():
        return None
    if model.steps is not None:
        # Behind the steps, which are straight in these two columns if not in others, there are fewer operations.
        along = model.steps.along(np.stack([plane.origin, plane.origin]), np.stack([plane.u, plane.v]))
        try:
            plane = Plane(along.starts[0], *along.directions)
            model = dataclasses.replace(model, steps=None, n_features_in_=None, feature_names_in_=None)
        except ValueError:
            # The two move what the networks take alike.
            if not subject.straight:
                return None
    try:
        return horizon(model, plane)
    except (UnsupportedOperation, MemoryError):
        # Smooth functions have limits, but no arcs, and very large models too many.
        return None


def _joined(arcs: np.ndarray, limits: np.ndarray, winners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Neighbouring arcs that look the same, as one."""
    starts = np.flatnonzero(np.r_[True, (np.abs(np.diff(limits)) > 1e-3) | (np.diff(winners) != 0)])
    ends = np.r_[starts[1:], len(arcs)] - 1
    return np.stack([arcs[starts, 0], arcs[ends, 1]], axis=1), limits[starts], winners[starts]

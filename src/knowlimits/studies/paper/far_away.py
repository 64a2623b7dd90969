"""Where the models of the paper end: limits along rays from the training data, and the way there.

The paper's theorem says that scores become constant along a ray. `measure_limits` says at which values, exactly, beside the
values near the data; `follow_rays` shows how the models get there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from knowlimits import scores
from knowlimits.limits import far_field, horizon
from knowlimits.plane import partition
from knowlimits.train.classifiers import StackClassifier
from knowlimits.train.classifiers.holdout import Split

#: Scores that the table and the figure show.
SCORES = scores.names()
#: From this probability on the table calls a model confident.
CONFIDENT = 0.99
# In units of the last radius, which lies hundreds of times farther out than the data for an ensemble.
_STEPS = np.geomspace(0.001, 10, 240)


@dataclass(frozen=True)
class Limits:
    """One model near and far: entropies in bits, as in the paper.

    Attributes:
        model: the model's published name.
        near: median of every score on the test data.
        far: median of every score's limit along the rays.
        confident_near: share of the test data on which the likeliest class has probability `CONFIDENT` or more.
        confident_far: share of the rays along which it tends to that.
        radius: median over the rays of the distance beyond which no unit of any member changes.
    """

    model: str
    near: dict[str, float]
    far: dict[str, float]
    confident_near: float
    confident_far: float
    radius: float


@dataclass(frozen=True)
class Profile:
    """A model along rays from the middle of the training data.

    Attributes:
        model: the model's published name.
        angles: of the rays, radians, ``(rays,)``.
        distances: in units of each ray's last radius, ``(steps,)``.
        values: confidence and every score along the rays, ``(rays, steps)``.
        limits: their exact limits, ``(rays,)``.
    """

    model: str
    angles: np.ndarray
    distances: np.ndarray
    values: dict[str, np.ndarray]
    limits: dict[str, np.ndarray]


@dataclass(frozen=True)
class Polytopes:
    """The cells of a model's members on the plane.

    Attributes:
        model: the model's published name.
        cells, unbounded: mean number of cells, and of unbounded ones, over the members (the first ten at most).
        share: of all directions those in which the limiting confidence is `CONFIDENT` or more, exactly.
    """

    model: str
    cells: float
    unbounded: float
    share: float


def compass(rays: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Evenly spread angles and their directions of length 1, ``(rays,)`` and ``(rays, 2)``; none is parallel to an axis."""
    angles = 2 * np.pi * (np.arange(rays) + 0.5) / rays
    return angles, np.stack([np.cos(angles), np.sin(angles)], axis=1)


def measure_limits(name: str, model: StackClassifier, data: Split, rays: int = 12) -> Limits:
    """Limits along `rays` directions from every training point, beside the test data."""
    _, directions = compass(rays)
    far = far_field(model, np.repeat(data.X, rays, axis=0), np.tile(directions, (len(data.X), 1)))
    assert far.radius is not None
    near = model.predict_members(data.X_test)
    return Limits(
        name,
        {score: float(np.median(scores.score(near, score, base=2))) for score in SCORES},
        {score: float(np.median(far.score(score, base=2))) for score in SCORES},
        float((near.mean(0).max(-1) >= CONFIDENT).mean()),
        float((far.confidence() >= CONFIDENT).mean()),
        float(np.median(far.radius.max(0))),
    )


def follow_rays(name: str, model: StackClassifier, data: Split, rays: int = 12) -> Profile:
    """The model along rays from the mean of the training data, out to ten times the last radius of each, and its limits."""
    angles, directions = compass(rays)
    origin = data.X.mean(0)
    far = far_field(model, np.tile(origin, (rays, 1)), directions)
    assert far.radius is not None
    # Where no unit changes along a ray, the unit of length is the data's own.
    radius = np.where(far.radius.max(0) > 0, far.radius.max(0), 1.0)
    points = origin + (radius[:, None] * _STEPS)[..., None] * directions[:, None]
    probs = model.predict_members(points.reshape(-1, 2))
    shape = (rays, len(_STEPS))
    values = {"confidence": probs.mean(0).max(-1).reshape(shape)}
    values |= {score: scores.score(probs, score, base=2).reshape(shape) for score in SCORES[1:]}
    limits = {"confidence": far.confidence()} | {score: far.score(score, base=2) for score in SCORES[1:]}
    return Profile(name, angles, _STEPS, values, limits)


def count_polytopes(name: str, model: StackClassifier) -> Polytopes:
    """Cells of every member alone, and the horizon of all together."""
    cells = [partition(model, member=member) for member in range(min(model.stack_.members, 10))]
    return Polytopes(
        name,
        float(np.mean([len(p) for p in cells])),
        float(np.mean([(~p.bounded).sum() for p in cells])),
        horizon(model).share(CONFIDENT),
    )


def mean_limits(repetitions: Sequence[Limits]) -> Limits:
    """The mean of one model over draws of the data."""
    return Limits(
        repetitions[0].model,
        {score: _mean(one.near[score] for one in repetitions) for score in SCORES},
        {score: _mean(one.far[score] for one in repetitions) for score in SCORES},
        _mean(one.confident_near for one in repetitions),
        _mean(one.confident_far for one in repetitions),
        _mean(one.radius for one in repetitions),
    )


def mean_polytopes(repetitions: Sequence[Polytopes]) -> Polytopes:
    """The mean of one model over draws of the data."""
    return Polytopes(
        repetitions[0].model,
        _mean(one.cells for one in repetitions),
        _mean(one.unbounded for one in repetitions),
        _mean(one.share for one in repetitions),
    )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))

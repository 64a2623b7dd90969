"""What becomes of a classifier in any direction, all continuous columns that can moving together."""

import contextlib
from dataclasses import dataclass

import numpy as np
import torch

from knowlimits.auditing.find.features import is_sure
from knowlimits.auditing.find.rays import at_once, isotropic
from knowlimits.auditing.find.subject import Subject
from knowlimits.auditing.find.table import Table
from knowlimits.limits import far_field
from knowlimits.limits.far_field import logits_along
from knowlimits.limits.probabilities import limiting_probabilities
from knowlimits.metrics import share_interval
from knowlimits.ood.panel import Panel

# Directions that are drawn, and how often the steepest of them is improved.
_DIRECTIONS, _IMPROVEMENTS = 2000, 30
# Standard deviations in the steepest of them at which the model is looked at.
_PLACES = np.concatenate([[0.0], np.geomspace(0.1, 1e4, 60)])
# Columns of numbers of their table.
_NUMBERS = ("sure", "sure_low", "sure_high", "directions", "confidence")


@dataclass(frozen=True)
class Directions:
    """What becomes of a classifier in random directions, of the columns that move together; tables are empty where none do.

    Attributes:
        table: a row for the model and each remedy: the share of directions in which it ends sure, with a 95% interval.
        rarest: the label of the rarest class.
        share: its share of the rows.
        confidence: the limit of its probability in the direction in which the model is most confident of it.
        reach: standard deviations in that direction after which its probability is at least `SURE`, from the median of rows;
            nan if it never is.
        steepest: that direction, of columns that move the model's inputs in straight lines: a row for each column, the largest
            first; `change` is in standard deviations, for a direction of length 1.
        tried, alike: how many directions were drawn, and how many of these are as good as the best.
        improved: whether the model has gradients, by which it was.
    """

    table: Table
    rarest: object
    share: float
    confidence: float
    reach: float
    steepest: Table
    tried: int
    alike: int
    improved: bool


def in_directions(subject: Subject, panel: Panel, rng: np.random.Generator) -> Directions:
    """Draw rows and isotropic directions, in standard deviations of the continuous columns."""
    columns = subject.columns
    counts = np.bincount(subject.labels, minlength=len(subject.classes))
    rarest = int(counts.argmin())
    drawn = isotropic(_DIRECTIONS, columns.together, rng) if columns.together.any() else np.zeros((0, len(columns.names)))
    origins = subject.rows[rng.integers(len(subject.rows), size=len(drawn))]
    steps = drawn @ columns.steps
    table = (
        _shares(panel.limits(columns.started(origins, steps), steps))
        if len(drawn)
        else Table({"model": np.empty(0, dtype=str), **{name: np.empty(0) for name in _NUMBERS}})
    )
    confidence, reach, names, weights = float("nan"), float("nan"), [], []
    tried, alike = 0, 0
    if columns.straight.any():
        lines = _Lines.of(subject)
        some = drawn[:, columns.straight]
        axes = np.concatenate([np.eye(some.shape[1]), -np.eye(some.shape[1])])
        directions = np.concatenate([axes, some / np.linalg.norm(some, axis=1, keepdims=True)])
        (steepest, alike), tried = _steepest(lines, rarest, directions), len(directions)
        confidence, reach = _reach(lines, rarest, steepest)
        order = np.argsort(-np.abs(steepest), kind="stable")
        names, weights = np.array(columns.names)[columns.straight][order], steepest[order]
    return Directions(
        table,
        subject.classes.tolist()[rarest],
        float(counts[rarest] / counts.sum()),
        confidence,
        reach,
        Table({"feature": np.array(names, dtype=str), "change": np.array(weights, dtype=float)}),
        tried,
        alike,
        not subject.model.made_of,
    )


def _shares(limits: dict[str, np.ndarray]) -> Table:
    """How many directions end sure."""
    table = []
    for name, probs in limits.items():
        confidence = probs.max(1)
        sure = int(is_sure(confidence).sum())
        low, high = share_interval(sure, len(confidence))
        table.append(
            {
                "model": name,
                "sure": sure / len(confidence),
                "sure_low": float(low),
                "sure_high": float(high),
                "directions": len(confidence),
                "confidence": np.median(confidence),
            }
        )
    return Table.of(table)


@dataclass(frozen=True)
class _Lines:
    """The columns that move what the networks take in straight lines, together.

    Attributes:
        subject: the model and its data.
        steps: how the table moves, ``(features, columns)``.
        inner: how what the networks take moves with it, ``(features, inputs)``.
    """

    subject: Subject
    steps: np.ndarray
    inner: torch.Tensor

    @classmethod
    def of(cls, subject: Subject) -> "_Lines":
        """Those of a subject."""
        steps = subject.columns.steps[subject.columns.straight]
        starts = torch.from_numpy(np.repeat(subject.centre[None], len(steps), axis=0))
        return cls(subject, steps, subject.model.along(starts, torch.from_numpy(steps))[1])


def _steepest(lines: _Lines, label: int, directions: np.ndarray) -> tuple[np.ndarray, int]:
    """The direction in which the model is most confident of a class, among those with one limit the fastest, and how many are.

    The rate at which the logit of the class leaves the largest of the others is a piecewise-linear function of the direction,
    and homogeneous: on each piece its maximum on the sphere is its gradient. So the best of the directions is replaced by the
    gradient there for as long as that is better.
    """
    centre = lines.subject.centre[None]
    far = far_field(lines.subject.model, np.repeat(centre, len(directions), axis=0), directions @ lines.steps)
    assert far.rate is not None
    gap = far.rate[..., label] - np.delete(far.rate, label, axis=-1).max(-1)
    limits, gaps = far.probs.mean(0)[:, label], gap.mean(0)
    first = _best(limits, gaps)
    alike = int(((limits >= limits[first] * (1 - 1e-9)) & (gaps >= gaps[first])).sum())
    chosen = directions[first][None]
    probability, gap, gradient = _lead(lines, centre, chosen, label)
    value, slope = (probability[0], gap[0]), gradient[0]
    for _ in range(_IMPROVEMENTS):
        length = np.linalg.norm(slope)
        if not length > 0:
            break
        tried = np.stack([_unit((1 - t) * chosen[0] + t * slope / length) for t in np.geomspace(1, 1e-3, 8)])
        probability, gap, gradient = _lead(lines, centre, tried, label)
        best = _best(probability, gap)
        if (probability[best], gap[best]) <= (value[0], value[1] * (1 + 1e-9)):
            break
        chosen, value, slope = tried[best : best + 1], (probability[best], gap[best]), gradient[best]
    return chosen[0], alike


def _best(probability: np.ndarray, gap: np.ndarray) -> int:
    """The place of the largest limit, and among the same ones of the largest lead."""
    return int(np.lexsort((gap, probability))[-1])


def _lead(lines: _Lines, origins: np.ndarray, directions: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What becomes of a class along directions ``(n, features)`` from rows ``(n, columns)``, or from one ``(1, columns)``.

    Returns:
        The limit of its probability, ``(n,)``; how much faster its logit grows than the largest of the others, ``(n,)``, the
        mean over members; and the gradient of that in the direction, ``(n, features)``.
    """
    n = len(directions)
    starts = lines.subject.model.entering(torch.from_numpy(origins)).expand(n, -1)
    with torch.enable_grad():
        d = torch.from_numpy(directions).requires_grad_()
        ends = []
        for network in lines.subject.model.networks:
            ends.append(logits_along(network, starts, d @ lines.inner))
        rate, offset = (torch.cat(parts) for parts in zip(*ends, strict=True))
        others = torch.cat([rate[..., :label], rate[..., label + 1 :]], -1).amax(-1)
        gap = (rate[..., label] - others).mean(0)
        gradient = torch.zeros_like(d)
        # A model that works in place may have overwritten what a gradient needs: the best of the drawn directions stands then.
        with contextlib.suppress(RuntimeError):
            gradient = torch.autograd.grad(gap.sum(), d)[0] if gap.requires_grad else gradient
    probs = limiting_probabilities(rate.detach().numpy(), offset.detach().numpy()).mean(0)
    return probs[:, label], gap.detach().numpy(), gradient.numpy()


def _unit(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else vector


def _reach(lines: _Lines, label: int, direction: np.ndarray) -> tuple[float, float]:
    """The limiting probability of a class along a direction, and from where on the median row has `SURE` of it."""
    step = direction @ lines.steps
    rows = lines.subject.columns.started(lines.subject.rows[:200], step)
    limit, _, _ = _lead(lines, rows, np.tile(direction, (len(rows), 1)), label)
    confidence = float(np.median(limit))
    # As many places at once as blocks of points have room for.
    size = max(1, at_once(rows.shape[1]) // len(rows))
    for places in np.split(_PLACES, np.arange(size, len(_PLACES), size)):
        points = (rows + places[:, None, None] * step).reshape(-1, rows.shape[1])
        probs = lines.subject.probabilities(points).mean(0)[:, label].reshape(len(places), len(rows))
        if (there := is_sure(np.median(probs, axis=1))).any():
            return confidence, float(places[there.argmax()])
    return confidence, float("nan")

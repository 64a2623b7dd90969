"""What becomes of a classifier in any direction, all continuous columns moving together."""

from dataclasses import dataclass

import numpy as np
import torch

from knowlimits.auditing.find.features import SURE
from knowlimits.auditing.find.rays import at_once, isotropic
from knowlimits.auditing.find.subject import Subject
from knowlimits.auditing.find.table import Table
from knowlimits.follow import follow
from knowlimits.limits import far_field
from knowlimits.limits.probabilities import limiting_probabilities
from knowlimits.metrics import share_interval
from knowlimits.model.arrays import logits_of
from knowlimits.ood.panel import Panel

# Directions that are drawn, and how often the steepest of them is improved.
_DIRECTIONS, _IMPROVEMENTS = 2000, 30
# Standard deviations in the steepest of them at which the model is looked at.
_PLACES = np.concatenate([[0.0], np.geomspace(0.1, 1e4, 60)])


@dataclass(frozen=True)
class Directions:
    """What becomes of a classifier in random directions.

    Attributes:
        table: a row for the model and each remedy: the share of directions in which it ends sure, with a 95% interval.
        rarest: the label of the rarest class.
        share: its share of the rows.
        confidence: the limit of its probability in the direction in which the model is most confident of it.
        reach: standard deviations in that direction after which its probability is at least `SURE`, from the median of rows;
            nan if it never is.
        steepest: that direction: a row for each column, the largest first; `change` is in standard deviations, for a
            direction of length 1.
    """

    table: Table
    rarest: object
    share: float
    confidence: float
    reach: float
    steepest: Table


def in_directions(subject: Subject, panel: Panel, rng: np.random.Generator) -> Directions:
    """Draw rows and isotropic directions, in standard deviations of the continuous columns."""
    steps = subject.columns.steps
    drawn = isotropic(_DIRECTIONS, len(steps), rng)
    origins = subject.rows[rng.integers(len(subject.rows), size=_DIRECTIONS)]
    table = []
    for name, probs in panel.limits(origins, drawn @ steps).items():
        confidence = probs.max(1)
        sure = int((confidence >= SURE).sum())
        low, high = share_interval(sure, _DIRECTIONS)
        table.append(
            {
                "model": name,
                "sure": sure / _DIRECTIONS,
                "sure_low": float(low),
                "sure_high": float(high),
                "directions": _DIRECTIONS,
                "confidence": np.median(confidence),
            }
        )
    counts = np.bincount(subject.known_labels, minlength=len(subject.classes))
    rarest = int(counts.argmin())
    axes = np.concatenate([np.eye(len(steps)), -np.eye(len(steps))])
    steepest = _steepest(subject, rarest, np.concatenate([axes, drawn]))
    confidence, reach = _reach(subject, rarest, steepest)
    order = np.argsort(-np.abs(steepest), kind="stable")
    weights = Table({"feature": np.array(subject.columns.names)[order], "change": steepest[order]})
    share = counts[rarest] / counts.sum()
    return Directions(Table.of(table), subject.classes.tolist()[rarest], float(share), confidence, reach, weights)


def _steepest(subject: Subject, label: int, directions: np.ndarray) -> np.ndarray:
    """The direction in which the model is most confident of a class, and among those with one limit the fastest.

    The rate at which the logit of the class leaves the largest of the others is a piecewise-linear function of the direction,
    and homogeneous: on each piece its maximum on the sphere is its gradient. So the best of the directions is replaced by the
    gradient there for as long as that is better.
    """
    steps = subject.columns.steps
    centre = np.median(subject.rows, axis=0, keepdims=True)
    far = far_field(subject.model, np.repeat(centre, len(directions), axis=0), directions @ steps)
    assert far.rate is not None
    gap = far.rate[..., label] - np.delete(far.rate, label, axis=-1).max(-1)
    chosen = directions[_best(far.probs.mean(0)[:, label], gap.mean(0))][None]
    probability, gap, gradient = _lead(subject, centre, chosen, label)
    value, slope = (probability[0], gap[0]), gradient[0]
    for _ in range(_IMPROVEMENTS):
        length = np.linalg.norm(slope)
        if not length > 0:
            break
        tried = np.stack([_unit((1 - t) * chosen[0] + t * slope / length) for t in np.geomspace(1, 1e-3, 8)])
        probability, gap, gradient = _lead(subject, centre, tried, label)
        best = _best(probability, gap)
        if (probability[best], gap[best]) <= (value[0], value[1] * (1 + 1e-9)):
            break
        chosen, value, slope = tried[best : best + 1], (probability[best], gap[best]), gradient[best]
    return chosen[0]


def _best(probability: np.ndarray, gap: np.ndarray) -> int:
    """The place of the largest limit, and among the same ones of the largest lead."""
    return int(np.lexsort((gap, probability))[-1])


def _lead(
    subject: Subject, origins: np.ndarray, directions: np.ndarray, label: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What becomes of a class along directions ``(n, columns)`` from origins ``(n, inputs)``, or from one ``(1, inputs)``.

    Returns:
        The limit of its probability, ``(n,)``; how much faster its logit grows than the largest of the others, ``(n,)``, the
        mean over members; and the gradient of that in the direction, ``(n, columns)``.
    """
    n = len(directions)
    starts = torch.from_numpy(origins).expand(n, -1)
    with torch.enable_grad():
        d = torch.from_numpy(directions).requires_grad_()
        ends = [follow(module, starts, d @ torch.from_numpy(subject.columns.steps)) for module in subject.model.networks]
        rate, offset = (torch.cat([logits_of(getattr(end, part), n) for end in ends]) for part in ("rate", "offset"))
        others = torch.cat([rate[..., :label], rate[..., label + 1 :]], -1).amax(-1)
        gap = (rate[..., label] - others).mean(0)
        gradient = torch.autograd.grad(gap.sum(), d)[0] if gap.requires_grad else torch.zeros_like(d)
    probs = limiting_probabilities(rate.detach().numpy(), offset.detach().numpy()).mean(0)
    return probs[:, label], gap.detach().numpy(), gradient.numpy()


def _unit(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else vector


def _reach(subject: Subject, label: int, direction: np.ndarray) -> tuple[float, float]:
    """The limiting probability of a class along a direction, and from where on the median row has `SURE` of it."""
    rows = subject.rows[:200]
    step = direction @ subject.columns.steps
    limit, _, _ = _lead(subject, rows, np.tile(direction, (len(rows), 1)), label)
    confidence = float(np.median(limit))
    # As many places at once as blocks of points have room for.
    size = max(1, at_once(rows.shape[1]) // len(rows))
    for places in np.split(_PLACES, np.arange(size, len(_PLACES), size)):
        points = (rows + places[:, None, None] * step).reshape(-1, rows.shape[1])
        probs = subject.probabilities(points).mean(0)[:, label].reshape(len(places), len(rows))
        if (there := np.median(probs, axis=1) >= SURE).any():
            return confidence, float(places[there.argmax()])
    return confidence, float("nan")

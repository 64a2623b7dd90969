"""What becomes of a classifier in any direction, all continuous columns moving together."""

from dataclasses import dataclass

import numpy as np
import torch

from knowlimits.auditing.find.features import SURE, isotropic
from knowlimits.auditing.find.subject import Subject
from knowlimits.auditing.find.table import Table
from knowlimits.follow import follow
from knowlimits.limits.far_field import far_field
from knowlimits.metrics import share_interval
from knowlimits.model.arrays import logits_of
from knowlimits.ood.panel import Panel

# Directions that are drawn, and how often the steepest of them is improved.
_DIRECTIONS, _IMPROVEMENTS = 2000, 30


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
    steps = torch.from_numpy(subject.columns.steps)
    centre = np.median(subject.rows, axis=0, keepdims=True)

    def lead(d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        far = far_field(subject.model, np.repeat(centre, len(d), axis=0), d @ subject.columns.steps)
        assert far.rate is not None
        others = np.delete(far.rate, label, axis=-1).max(-1)
        return far.probs.mean(0)[:, label], (far.rate[..., label] - others).mean(0)

    probability, gap = lead(directions)
    best = np.lexsort((gap, probability))[-1]
    chosen, value = directions[best], (probability[best], gap[best])
    for _ in range(_IMPROVEMENTS):
        gradient = _gradient(subject, torch.from_numpy(centre), chosen, steps, label)
        length = np.linalg.norm(gradient)
        if not length > 0:
            break
        tried = np.stack([_unit((1 - t) * chosen + t * gradient / length) for t in np.geomspace(1, 1e-3, 8)])
        probability, gap = lead(tried)
        best = np.lexsort((gap, probability))[-1]
        if (probability[best], gap[best]) <= (value[0], value[1] * (1 + 1e-9)):
            break
        chosen, value = tried[best], (probability[best], gap[best])
    return chosen


def _gradient(subject: Subject, centre: torch.Tensor, direction: np.ndarray, steps: torch.Tensor, label: int) -> np.ndarray:
    """How the lead of a class's rate, the mean over members, changes with the direction."""
    with torch.enable_grad():
        d = torch.from_numpy(direction).requires_grad_()
        lead = torch.zeros((), dtype=torch.float64)
        for module in subject.model.networks:
            rate = logits_of(follow(module, centre, (d @ steps)[None]).rate, 1)[:, 0]
            others = torch.cat([rate[:, :label], rate[:, label + 1 :]], 1).amax(1)
            lead = lead + (rate[:, label] - others).sum()
        if not lead.requires_grad:
            return np.zeros(len(direction))
        return torch.autograd.grad(lead, d)[0].numpy()


def _unit(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else vector


def _reach(subject: Subject, label: int, direction: np.ndarray) -> tuple[float, float]:
    """The limiting probability of a class along a direction, and from where on the median row has `SURE` of it."""
    rows = subject.rows[:200]
    step = direction @ subject.columns.steps
    limit = far_field(subject.model, rows, np.tile(step, (len(rows), 1))).probs.mean(0)[:, label]
    confidence = float(np.median(limit))
    places = np.concatenate([[0.0], np.geomspace(0.1, 1e4, 60)])
    for a in places:
        if np.median(subject.probabilities(rows + a * step).mean(0)[:, label]) >= SURE:
            return confidence, float(a)
    return confidence, float("nan")

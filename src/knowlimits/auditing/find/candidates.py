"""Several models by the numbers of their audits: a row for each, and how far it is behind the best of them, row by row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from knowlimits.auditing.find.detection import NEARER
from knowlimits.auditing.find.disc import Disc
from knowlimits.auditing.find.features import is_sure
from knowlimits.auditing.find.findings import Findings
from knowlimits.auditing.find.table import Table
from knowlimits.metrics import share_interval
from knowlimits.ood.panel import AS_IT_IS, ENTROPIES, GUARDED, UNFAMILIARITY

#: Chance makes a difference as large this often where there is none: one that is rarer tells candidates apart.
CHANCE = 0.05
#: Standard errors that a mean difference of log losses is away from 0, at least, to tell candidates apart.
ERRORS = 2.0
# What is shown of faults, and what it is called in the tables of audits.
_OF_FAULTS = {
    "sure": "sure",
    "changed": "changed",
    "refused": f"refused, {ENTROPIES[AS_IT_IS]}",
    "refused_guard": f"refused, {UNFAMILIARITY}",
}
# A fault leaves a model sure if it does so on this share of the rows.
_MOST = 0.5


@dataclass(frozen=True, eq=False)
class Candidates:
    """Several audits on the same rows.

    Attributes:
        found: what each of them found, by the names of the candidates, in the order that they were given in.
        table: a row for each candidate.
        faults: a row for each fault and candidate, as `faults_of` has it.
        discs: the plane of the same two columns for each candidate; empty where no two span one.
        held: columns that one candidate's steps hold where they are, so that they stay for all, and whose and why.
        alone: columns that one candidate's steps slow down without end, so that they move alone for all, and whose.
    """

    found: dict[str, Findings]
    table: Table
    faults: Table
    discs: dict[str, Disc]
    held: dict[str, str]
    alone: dict[str, str]


def side_by_side(found: Mapping[str, Findings], seconds: Mapping[str, float]) -> Table:
    """A row for each candidate.

    Args:
        found: what their audits found.
        seconds: that these took.
    """
    rows = [_row(name, one) | {"seconds": seconds[name]} for name, one in found.items()]
    for row, more in zip(rows, _behind(found), strict=True):
        row |= more
    return Table.of([{name: row[name] for name in _COLUMNS} for row in rows])


# In the order of the table.
_COLUMNS = (
    *("model", "kind", "accuracy", "accuracy_low", "accuracy_high", "accuracy_chance"),
    *("log_loss", "log_loss_behind", "log_loss_behind_se", "sure_test", "sure_ranges"),
    *("sure_features", "sure_directions", "confidence", "settled_sd", "auroc_10_sd", "auroc_inf"),
    *("faults_sure", "faults_changed", "faults_refused", "faults_refused_guard"),
    *("kept_guard", "log_loss_guard", "seconds"),
)


def _row(name: str, found: Findings) -> dict[str, Any]:
    """What is said of one candidate whatever the others are."""
    tested, detection, faults = found.tested, found.detection, found.faults.table
    plain = found.remedies.where(model=AS_IT_IS).rows()[0]
    guarded = found.remedies.where(model=GUARDED).rows()[0]
    low, high = (np.nan, np.nan) if tested.right is None else share_interval(int(tested.right.sum()), len(tested.right))
    return {
        "model": name,
        "kind": found.made_of or (f"{found.members} members" if found.members > 1 else found.model),
        "accuracy": plain["accuracy"],
        "accuracy_low": float(low),
        "accuracy_high": float(high),
        "log_loss": plain["log_loss"],
        "sure_test": float(is_sure(tested.confidence).mean()),
        "sure_ranges": _mean(found.plausible.table["sure"]),
        "sure_features": plain["sure_features"],
        "sure_directions": plain["sure_directions"],
        "confidence": plain["confidence"],
        "settled_sd": plain["settled_sd"],
        "auroc_10_sd": detection.auroc[detection.scores.index(ENTROPIES[AS_IT_IS]), 0, NEARER],
        "auroc_inf": plain["auroc"],
        "faults_sure": _mean(faults["sure"] >= _MOST),
        "faults_changed": _mean(faults["changed"]),
        "faults_refused": _mean(faults[f"refused, {ENTROPIES[AS_IT_IS]}"]),
        "faults_refused_guard": _mean(faults[f"refused, {UNFAMILIARITY}"]),
        "kept_guard": detection.kept[detection.scores.index(UNFAMILIARITY)],
        "log_loss_guard": guarded["log_loss"],
    }


def _mean(values: np.ndarray) -> float:
    """The mean of what is known; nan where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _behind(found: Mapping[str, Findings]) -> list[dict[str, float]]:
    """How each candidate differs from the most accurate and from that with the smallest log loss, on the same rows."""
    nothing: dict[str, float] = dict.fromkeys(("accuracy_chance", "log_loss_behind", "log_loss_behind_se"), float("nan"))
    right = {name: one.tested.right for name, one in found.items() if one.tested.right is not None}
    losses = {name: one.tested.loss for name, one in found.items() if one.tested.loss is not None}
    if len(right) < len(found) or len(losses) < len(found):
        return [nothing for _ in found]
    # Of those that are level the first by name, so that their order says nothing.
    first = min(right, key=lambda name: (-right[name].sum(), name))
    best = min(losses, key=lambda name: (losses[name].mean(), name))
    rows = []
    for name in found:
        behind, error = _mean_difference(losses[name], losses[best])
        chance = _chance(right[name], right[first])
        rows.append({"accuracy_chance": chance, "log_loss_behind": behind, "log_loss_behind_se": error})
    return rows


def _chance(a: np.ndarray, b: np.ndarray) -> float:
    """How often chance makes a difference as large between two that are right as often: the exact test of McNemar (1947)."""
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def _mean_difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The mean of a - b over rows, and its standard error; where an infinite loss is in one of them, infinite, and nan."""
    with np.errstate(invalid="ignore"):
        # Two that are infinite are level.
        difference = np.where(a == b, 0.0, a - b)
        mean = float(difference.mean())
    if not np.isfinite(difference).all():
        return mean, float("nan")
    return mean, float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else float("nan")


def faults_of(found: Mapping[str, Findings]) -> Table:
    """A row for each fault and candidate, first the faults that are the worst, on the mean over what the audits have first.

    `feature`, `fault`, `model`, and shares of rows: `sure`, `changed`, and those that its entropy and the guard refuse,
    `refused` and `refused_guard`; nan for a fault that was not tried on a candidate.
    """
    cases: dict[tuple[str, str], int] = {}
    for one in found.values():
        for case in zip(*(one.faults.table[name].tolist() for name in ("feature", "fault")), strict=True):
            cases.setdefault(case, len(cases))
    values = {name: np.full((len(cases), len(found)), np.nan) for name in _OF_FAULTS}
    ranks = np.full((len(cases), len(found)), len(cases))
    for c, one in enumerate(found.values()):
        table = one.faults.table
        at = np.array([cases[case] for case in zip(table["feature"].tolist(), table["fault"].tolist(), strict=True)], dtype=int)
        ranks[at[one.faults.order], c] = np.arange(len(at))
        for what, column in _OF_FAULTS.items():
            values[what][at, c] = table[column]
    order = np.argsort(ranks.sum(1), kind="stable")
    features, faults = (np.array([case[k] for case in cases], dtype=str)[order] for k in (0, 1))
    return Table(
        {
            "feature": np.repeat(features, len(found)),
            "fault": np.repeat(faults, len(found)),
            "model": np.tile(np.array(list(found)), len(cases)),
            **{what: values[what][order].ravel() for what in _OF_FAULTS},
        }
    )


def common_axes(found: Mapping[str, Findings]) -> tuple[int, ...]:
    """The two columns that matter most to all, by their places among those that move together: none where there are no two.

    They are those along which candidates end sure on the most rows, on the mean, whichever way is the worse.
    """
    together = np.all([one.columns.together for one in found.values()], axis=0)
    sure = np.mean([one.features.table["sure"].reshape(-1, 2).max(1) for one in found.values()], axis=0)
    # What is level on paper is so here: the order of candidates is that of a sum.
    order = np.argsort(-sure.round(9), kind="stable")
    axes = tuple(int(place) for place in order if together[place])[:2]
    return axes if len(axes) == 2 else ()

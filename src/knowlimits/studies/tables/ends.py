"""Where each classifier ends: as one column of a row goes to infinity, whatever family it is of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits import scores
from knowlimits.auditing.find.features import SURE, is_sure
from knowlimits.limits import far_field
from knowlimits.metrics import auroc
from knowlimits.model.read import read
from knowlimits.studies.markdown import table as markdown
from knowlimits.studies.tables.sets import DataSet
from knowlimits.studies.tables.splits import fitted, scaled

# Test rows that are moved along every column, both ways.
_ROWS = 60
# Bits of entropies that count: a row that is moved along a column without a part in it is as familiar as it was.
_BITS = 30


@dataclass(frozen=True)
class Ended:
    """Where one classifier ends on one data set, one seed; a way is a column of a test row, up or down.

    Attributes:
        table, model, seed: which.
        sure: share of ways that end with a confidence of `SURE` or more.
        confidence: median of the limits.
        auroc: area under the ROC curve of the limiting entropy against that of test rows.
        accuracy: on test rows.
        constant: from which `a` on nothing changes any more, in standard deviations, the median; nan where most limits are only
            approached, as where logits grow for ever.
    """

    table: str
    model: str
    seed: int
    sure: float
    confidence: float
    auroc: float
    accuracy: float
    constant: float


def ends(table: DataSet, models: Sequence[str], seed: int) -> list[Ended]:
    """Where some classifiers end that are fitted to one split of a data set."""
    data, _, varies = scaled(table, seed)
    axes = np.eye(data.X.shape[1])[varies]
    ways = np.concatenate([-axes, axes])
    rows = data.X_test[:_ROWS]
    origins, directions = np.repeat(rows, len(ways), axis=0), np.tile(ways, (len(rows), 1))
    found = []
    for name in models:
        model = fitted(name, data, seed)
        found.append(Ended(table.name, name, seed, **_end(model, data.X_test, data.y_test, origins, directions)))
    return found


def _end(model: Any, X: np.ndarray, y: np.ndarray, origins: np.ndarray, directions: np.ndarray) -> dict[str, float]:
    known = read(model, X=X)
    far = far_field(known, origins, directions)
    confidence = far.confidence()
    near, out = map(_rounded, (scores.score(known.predict_members(X), "entropy"), far.score("entropy")))
    constant = np.full(len(origins), np.nan)
    if far.settled is not None and far.rate is not None:
        constant = np.where((far.rate == 0).all((0, 2)), far.settled.max(0), np.nan)
    approached = np.isnan(constant).mean() > 0.5
    return {
        "sure": float(is_sure(confidence).mean()),
        "confidence": float(np.median(confidence)),
        "auroc": float(auroc(near, out)),
        # A column of them from some libraries.
        "accuracy": float((np.asarray(model.predict(X)).ravel() == y).mean()),
        "constant": float("nan") if approached else float(np.nanmedian(constant)),
    }


def _rounded(values: Any) -> np.ndarray:
    """Numbers without their last bits, in proportion to their sizes."""
    mantissas, exponents = np.frexp(np.asarray(values))
    return np.ldexp(np.round(mantissas * 2.0**_BITS) / 2.0**_BITS, exponents)


def csv_of(ended: Sequence[Ended]) -> tuple[list[str], list[list[object]]]:
    """Headings and rows of `tables/ends.csv`."""
    columns = ["set", "model", "seed", "sure", "confidence", "auroc", "accuracy", "constant_sd"]
    rows: list[list[object]] = []
    for e in ended:
        numbers = (f"{value:.4f}" for value in (e.sure, e.confidence, e.auroc, e.accuracy))
        rows.append([e.table, e.model, e.seed, *numbers, _distance(e.constant, 5)])
    return columns, rows


def section(ended: Sequence[Ended]) -> list[str]:
    """The lines of the summary: a table of all data sets, and of each its own."""
    tables, models = (list(dict.fromkeys(getattr(e, name) for e in ended)) for name in ("table", "model"))

    def mean(table: str, model: str, value: str) -> float:
        return float(np.mean([getattr(e, value) for e in ended if (e.table, e.model) == (table, model)]))

    wide = [
        [model, *(f"{mean(table, model, value):.2f}" for value in ("sure", "auroc") for table in tables)] for model in models
    ]
    called = [table.replace("_", " ") for table in tables]
    lines = [
        "## Where each classifier ends",
        "",
        "One column of a test row goes to infinity, up or down. *Sure*: the share of these ways that end with a confidence of",
        f"{SURE} or more. *AUROC*: of the entropy there against test rows; 0.5 is a coin, and below it what is infinitely far",
        "away counts as more familiar than the data. *Constant from*: standard deviations, the median, after which nothing",
        "changes any more. Means over splits; `tables/ends.csv` has them all.",
        "",
        markdown(["classifier", *(f"sure, {name}" for name in called), *(f"AUROC, {name}" for name in called)], wide),
        "",
    ]
    for table, name in zip(tables, called, strict=True):
        rows = []
        for model in models:
            sure, confidence, area, accuracy, constant = (
                mean(table, model, value) for value in ("sure", "confidence", "auroc", "accuracy", "constant")
            )
            last = _distance(constant) or "approached"
            rows.append([model, f"{sure:.2f}", f"{confidence:.3f}", f"{area:.2f}", f"{accuracy:.3f}", last])
        headings = ["classifier", "sure", "median confidence", "AUROC", "accuracy", "constant from, sd"]
        lines += [f"### {name[0].upper()}{name[1:]}", "", markdown(headings, rows), ""]
    return lines


def _distance(value: float, digits: int = 2) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}g}"

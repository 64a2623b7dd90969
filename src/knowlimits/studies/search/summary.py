"""What a search has found, in tables."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from knowlimits.studies.markdown import table
from knowlimits.train.search import SearchResult, Trial

#: Trials that are shown.
BEST = 10
#: Winners are compared on so many fresh draws of the half-moons,
SEEDS = 20
#: by these metrics.
METRICS = ("auc", "log_loss", "accuracy", "published_auc")


@dataclass(frozen=True)
class Found:
    """The search of one model."""

    model: str
    result: SearchResult
    importances: dict[str, float]


@dataclass(frozen=True)
class Winner:
    """The best hyperparameters of a model, ours or the published: mean and standard deviation of each of `METRICS`."""

    model: str
    label: str
    metrics: dict[str, tuple[float, float]]


def trials_csv(trials: Sequence[Trial]) -> tuple[list[str], list[list[object]]]:
    """Columns and rows of a model's table."""
    names = list(trials[0].parameters)
    rows = []
    for t in trials:
        values = [json.dumps(v) if isinstance(v, tuple) else v for v in (t.parameters[name] for name in names)]
        rows.append([t.number, t.value, *values, " ".join(map(str, t.scores)), t.failure or ""])
    return ["trial", "value", *names, "scores", "failure"], rows


def summary(found: Sequence[Found], winners: Sequence[Winner], repeats: int) -> str:
    """All of it in Markdown.

    Args:
        found: what was found.
        winners: of the models, ours and the published; none where they were not compared.
        repeats: how many times each trial was trained.
    """
    lines = ["# Hyperparameter search", ""]
    lines += [
        f"Each trial was trained on {repeats} splits of the data, half of the rows to learn from, a quarter for early stopping",
        "and a quarter to score on; the value is the mean. Written by `knowlimits search`.",
        "",
    ]
    if winners:
        heads = ["model", "winner", "test AUC", "log loss", "accuracy", "AUC as published, on the training data"]
        rows = [
            [w.model, w.label, *(f"{mean:.3f} ± {deviation:.3f}" for mean, deviation in (w.metrics[m] for m in METRICS))]
            for w in winners
        ]
        lines += [
            "## Winners, ours and the published",
            "",
            f"On {SEEDS} fresh draws of the half-moons: mean and standard deviation.",
            "",
            table(heads, rows, text=(0, 1)),
            "",
        ]
    for one in found:
        trials, ranked = one.result.trials, one.result.ranked
        lines += [f"## {one.model}", "", f"{len(trials)} trials, {len(trials) - len(ranked)} of them failed.", ""]
        if not ranked:
            continue
        names = list(ranked[0].parameters)
        rows = [[str(t.number), f"{t.value:.4f}", *(_short(t.parameters[n]) for n in names)] for t in ranked[:BEST]]
        lines += [table(["trial", one.result.objective, *names], rows, text=()), ""]
        shares = ", ".join(f"{name} {share:.0%}" for name, share in one.importances.items())
        lines += [f"Share of each parameter in the variance of the values: {shares}." if shares else "", ""]
        lines += [f"![Values by parameters](figures/{one.model}.png)", ""]
    return "\n".join(lines).rstrip() + "\n"


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)

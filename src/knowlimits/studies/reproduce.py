"""The main job: train every model, draw every figure, write every table, and a summary that puts them in order."""

import csv
import io
import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import sklearn
import torch
from matplotlib.figure import Figure

import knowlimits
from knowlimits import plots
from knowlimits._machine import one_blas_thread, one_thread
from knowlimits.outputs import write_atomically
from knowlimits.progress import progress_bar
from knowlimits.studies.clusters import figure_one
from knowlimits.studies.departures import Departure, measure_departures
from knowlimits.studies.detection import Detection, detection_csv, detection_markdown, measure_detection, remedies
from knowlimits.studies.far_away import (
    CONFIDENT,
    SCORES,
    Limits,
    Polytopes,
    count_polytopes,
    follow_rays,
    measure_limits,
)
from knowlimits.studies.half_moons import METRICS, Map, draw_data, maps, measure, model_names, settings, train_models
from knowlimits.train.classifiers import StackClassifier
from knowlimits.train.classifiers.holdout import Split
from knowlimits.workers import workers

#: Columns of the table as people read them.
HEADINGS = {
    "auc": "test AUC",
    "accuracy": "accuracy",
    "log_loss": "log loss",
    "brier": "Brier score",
    "published_auc": "AUC as published",
}

# Departures from the published code, and polytopes, are measured on so many draws of the data, at most.
_FEW_DRAWS = 5


@dataclass(frozen=True)
class Row:
    """One model in the table: mean and standard deviation of every metric over the repetitions."""

    model: str
    mean: dict[str, float]
    deviation: dict[str, float]


# All networks of the paper are small, those that the published code trains for comparison, too.
@one_blas_thread()
@one_thread()
def reproduce(
    out: str | os.PathLike,
    models: Sequence[str] | None = None,
    seeds: int = 20,
    individual: bool = False,
    device: str = "cpu",
    verbose: bool = True,
    hyperparameters: dict[str, dict[str, Any]] | None = None,
    dask: str | None = None,
) -> list[Row]:
    """Rebuild the half-moons experiments in a folder.

    Everything is written as soon as it is finished, so that an interruption leaves what was done.

    Args:
        out: folder for `figures/`, `tables/`, `summary.md` and `config.json`; made if need be.
        models: names as in the published code, all by default.
        seeds: repetitions of data and training; figures show the first.
        individual: write every map alone as well.
        device: torch device to train on.
        verbose: show progress.
        hyperparameters: of some models, in place of the published ones.
        dask: ``"local"`` or the address of a Dask scheduler, to train the repetitions on its workers.

    Returns:
        The table.
    """
    names = list(models) if models else model_names()
    out = Path(out)
    for folder in (out, out / "figures", out / "tables"):
        folder.mkdir(parents=True, exist_ok=True)
    config = {
        "command": f"knowlimits reproduce --models {' '.join(names)} --seeds {seeds}",
        "models": names,
        "seeds": list(range(seeds)),
        "device": device,
        "versions": {
            "knowlimits": knowlimits.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
            "matplotlib": matplotlib.__version__,
        },
        "settings": settings(),
        "hyperparameters": hyperparameters,
    }
    write_atomically(out / "config.json", (json.dumps(config, indent=2) + "\n").encode())

    data = [draw_data(seed) for seed in range(seeds)]
    fitted = _trained(names, data, device, verbose, hyperparameters, dask)
    rows = []
    for name, repetitions in zip(names, fitted, strict=True):
        values = [measure(model, d) for model, d in zip(repetitions, data, strict=True)]
        table = {metric: np.array([v[metric] for v in values]) for metric in METRICS}
        deviation = {metric: float(v.std(ddof=1)) if seeds > 1 else 0.0 for metric, v in table.items()}
        rows.append(Row(name, {metric: float(v.mean()) for metric, v in table.items()}, deviation))
    write_atomically(out / "tables" / "models.csv", _table_csv(rows).encode())

    results: list[Map] = []
    with progress_bar("score and gradient maps", len(names), verbose) as advance:
        for name, repetitions in zip(names, fitted, strict=True):
            results += maps(name, repetitions[0], data[0])
            if advance:
                advance(1)
    _figures(out / "figures", results, data[0].X, data[0].y, individual, verbose)

    limits = []
    with progress_bar("limits along rays", len(names) * seeds, verbose) as advance:
        for name, repetitions in zip(names, fitted, strict=True):
            for model, d in zip(repetitions, data, strict=True):
                limits.append(measure_limits(name, model, d))
                if advance:
                    advance(1)
    limits = [_mean_limits([one for one in limits if one.model == name]) for name in names]
    write_atomically(out / "tables" / "far_away.csv", _limits_csv(limits).encode())
    profiles = [follow_rays(name, repetitions[0], data[0]) for name, repetitions in zip(names, fitted, strict=True)]
    plots.save(plots.profiles(profiles), out / "figures" / "rays.png")
    draws = min(seeds, _FEW_DRAWS)
    polytopes = _polytopes(names, fitted, draws, verbose)
    write_atomically(out / "tables" / "polytopes.csv", _polytopes_csv(polytopes).encode())
    with progress_bar("polytope figures", 2, verbose) as advance:
        plots.save(plots.clusters(figure_one()), out / "figures" / "clusters.png")
        if advance:
            advance(1)
        first = [repetitions[0] for repetitions in fitted]
        plots.save(plots.horizons(names, first, data[0].X, data[0].y), out / "figures" / "horizons.png")
        if advance:
            advance(1)
    detection = []
    with progress_bar("detection at every distance", len(names), verbose) as advance:
        for name, repetitions in zip(names, fitted, strict=True):
            detection += measure_detection(name, repetitions[0], data[0])
            if advance:
                advance(1)
    write_atomically(out / "tables" / "detection.csv", detection_csv(detection).encode())
    plots.save(plots.detection(detection), out / "figures" / "detection.png")
    shown = remedies({name: repetitions[0] for name, repetitions in zip(names, fitted, strict=True)}, data[0])
    plots.save(plots.remedies(shown, data[0].X, data[0].y), out / "figures" / "remedies.png")
    summary = partial(_summary, rows, results, limits, polytopes, detection, seeds, draws, individual)
    write_atomically(out / "summary.md", summary([]).encode())

    departures = measure_departures(data[:draws], names, verbose)
    write_atomically(out / "tables" / "departures.csv", _departures_csv(departures).encode())
    write_atomically(out / "summary.md", summary(departures).encode())
    return rows


def _trained(
    names: Sequence[str],
    data: Sequence[Split],
    device: str,
    verbose: bool,
    hyperparameters: dict[str, dict[str, Any]] | None,
    dask: str | None,
) -> list[list[StackClassifier]]:
    """Every model on every draw; with Dask, one part of the draws for each worker."""
    if dask is None:
        return train_models(names, data, device, verbose, hyperparameters)
    with workers(dask) as crew, progress_bar(f"training {len(data)} repetitions", len(data), verbose) as advance:
        size = -(-len(data) // crew.count)
        seeds = range(len(data))
        parts = [seeds[k : k + size] for k in range(0, len(data), size)]
        futures = [
            crew.submit(train_models, names, [data[s] for s in part], device, False, hyperparameters, list(part))
            for part in parts
        ]
        trained: list[list[StackClassifier]] = [[] for _ in names]
        for part, future in zip(parts, futures, strict=True):
            for row, new in zip(trained, future.result(), strict=True):
                row += new
            if advance:
                advance(len(part))
    return trained


def _polytopes(names: Sequence[str], fitted: Sequence[Sequence], draws: int, verbose: bool) -> list[Polytopes]:
    """Means over the first draws."""
    result = []
    with progress_bar("polytopes", len(names) * draws, verbose) as advance:
        for name, repetitions in zip(names, fitted, strict=True):
            counts = []
            for model in repetitions[:draws]:
                counts.append(count_polytopes(name, model))
                if advance:
                    advance(1)
            means = [float(np.mean([getattr(one, field) for one in counts])) for field in ("cells", "unbounded", "share")]
            result.append(Polytopes(name, *means))
    return result


def _mean_limits(limits: Sequence[Limits]) -> Limits:
    """The mean over repetitions."""

    def mean(values: Iterable[float]) -> float:
        return float(np.mean(list(values)))

    return Limits(
        limits[0].model,
        {score: mean(one.near[score] for one in limits) for score in SCORES},
        {score: mean(one.far[score] for one in limits) for score in SCORES},
        mean(one.confident_near for one in limits),
        mean(one.confident_far for one in limits),
        mean(one.radius for one in limits),
    )


def _figures(folder: Path, results: Sequence[Map], X: np.ndarray, y: np.ndarray, individual: bool, verbose: bool) -> None:
    composites = (("scores", False), ("gradients", True))
    total = 3 + 2 * len(results) * individual
    with progress_bar("figures", total, verbose) as advance:

        def finish(figure: Figure, name: str) -> None:
            plots.save(figure, folder / f"{name}.png")
            if advance:
                advance(1)

        finish(plots.beside(results[0], X, y), "first")
        for name, gradients in composites:
            finish(plots.composite(results, X, y, gradients), name)
        if not individual:
            return
        for name, gradients in composites:
            for result in results:
                alike = [r for r in results if r.score == result.score]
                norm = plots.gradient_norm(alike) if gradients else plots.score_norm(alike)
                finish(plots.single(result, X, y, norm, gradients), f"{result.model}-{result.score}-{name}")


def _table_csv(rows: Sequence[Row]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["model", *(f"{metric}_{kind}" for metric in METRICS for kind in ("mean", "std"))])
    for row in rows:
        writer.writerow([row.model, *(f"{v[m]:.6f}" for m in METRICS for v in (row.mean, row.deviation))])
    return buffer.getvalue()


def _limits_csv(limits: Sequence[Limits]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    columns = [f"{score}_{place}" for score in SCORES for place in ("near", "far")]
    writer.writerow(["model", "confident_near", "confident_far", "radius", *columns])
    for one in limits:
        values = [value for score in SCORES for value in (one.near[score], one.far[score])]
        cells = [one.confident_near, one.confident_far, one.radius, *values]
        writer.writerow([one.model, *(f"{value:.6g}" for value in cells)])
    return buffer.getvalue()


def _polytopes_csv(polytopes: Sequence[Polytopes]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["model", "cells", "unbounded", "share_confident"])
    for one in polytopes:
        writer.writerow([one.model, f"{one.cells:.6g}", f"{one.unbounded:.6g}", f"{one.share:.6g}"])
    return buffer.getvalue()


def _polytopes_markdown(polytopes: Sequence[Polytopes]) -> str:
    lines = [f"| model | cells | unbounded | directions with confidence ≥ {CONFIDENT} |", "|---|---:|---:|---:|"]
    lines += [f"| {p.model} | {p.cells:,.0f} | {p.unbounded:.0f} | {p.share:.1%} |" for p in polytopes]
    return "\n".join(lines)


def _limits_markdown(limits: Sequence[Limits]) -> str:
    titles = [f"confidence ≥ {CONFIDENT}", *(score.replace("_", " ") for score in SCORES)]
    lines = ["| model | last radius | " + " | ".join(titles) + " |", "|---|" + "---:|" * (len(titles) + 1)]
    for one in limits:
        pairs = [f"{one.confident_near:.0%} → {one.confident_far:.0%}"]
        pairs += [f"{one.near[score]:.3f} → {one.far[score]:.3f}" for score in SCORES]
        lines.append(f"| {one.model} | {one.radius:.0f} | " + " | ".join(pairs) + " |")
    return "\n".join(lines)


def _departures_csv(departures: Sequence[Departure]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["number", "departure", "measure", "published", "ours"])
    for d in departures:
        writer.writerow([d.number, d.title, d.measure, f"{d.published:.6g}", f"{d.ours:.6g}"])
    return buffer.getvalue()


def _departures_markdown(departures: Sequence[Departure]) -> str:
    lines = ["| | the published code | measured | published | ours |", "|---:|---|---|---:|---:|"]
    for before, d in zip([None, *departures], departures, strict=False):
        number, title = ("", "") if before and before.number == d.number else (str(d.number), d.title)
        lines.append(f"| {number} | {title} | {d.measure} | {d.published:.3g} | {d.ours:.3g} |")
    return "\n".join(lines)


def table_markdown(rows: Sequence[Row]) -> str:
    """The table of models in Markdown."""
    lines = ["| model | " + " | ".join(HEADINGS[m] for m in METRICS) + " |", "|---|" + "---:|" * len(METRICS)]
    for row in rows:
        cells = [f"{row.mean[m]:.3f} ± {row.deviation[m]:.3f}" for m in METRICS]
        lines.append(f"| {row.model} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _summary(
    rows: Sequence[Row],
    results: Sequence[Map],
    limits: Sequence[Limits],
    polytopes: Sequence[Polytopes],
    detection: Sequence[Detection],
    seeds: int,
    draws: int,
    individual: bool,
    departures: Sequence[Departure],
) -> str:
    text = f"""# The half-moons experiments of "Know Your Limits" (Ulmer and Cina, UAI 2021)

Written by `knowlimits reproduce`; `config.json` has versions, seeds and every setting.

## How well the models classify

{table_markdown(rows)}

Mean and standard deviation over {seeds} draws of the data with fresh networks, on 10,000 test points that no model has seen.
The last column is the AUC as the published code computes it, from hard labels on the training points.

## A score and how it changes

![A score map beside its gradient](figures/first.png)

On the left the {results[0].score} of {results[0].model} around the training data, on the right the length of its gradient with
respect to the input. Far from the data the score keeps its value along a ray, and the gradient dies out.

## Uncertainty scores (figures 3, 5 and 6 of the paper)

![Score maps](figures/scores.png)

Each map is a score of the model trained on the first draw of the data; darker is less sure, and all models share the scale of
a row. Far from the data the colours no longer change along rays: the models are as sure, or as unsure, as they will ever be.

## How the scores change

![Gradient maps](figures/gradients.png)

Each map is the length of the score's gradient with respect to the input, in a logarithmic scale of six decades that a row
shares. It falls towards zero away from the decision boundaries, and the edges of the network's linear regions show as kinks.

## Near the data, and infinitely far away

{_limits_markdown(limits)}

In each cell the test data on the left, and on the right the exact limit along rays from every training point in twelve evenly
spread directions: the share of points, and of rays, with a confidence of {CONFIDENT} or more; and the median of every score,
entropies in bits. The last radius is the median distance beyond which no unit of any member changes. Means over {seeds} draws.

![Confidence and scores along twelve rays](figures/rays.png)

The models of the first draw along twelve rays from the mean of the training data. From 1 on, the grey line, every unit is as it
will be for ever; the dots at the right edge are the exact limits, computed without going there.

## Polytopes

{_polytopes_markdown(polytopes)}

Cells of a member on the whole plane, how many of them are unbounded, and the exact share of all directions in which the model's
limiting confidence is {CONFIDENT} or more. Means over members (ten at most) and {draws} draws.

![Every model on the whole plane, in a disc](figures/horizons.png)

The whole plane of every model in a disc: its middle is the mean of the data, its rim infinity. Inside the entropy and the
polytopes of one member, round the rim the exact limit of the entropy in every direction.

![Figure 1 of the paper](figures/clusters.png)

Figure 1 of the paper: a network for nine clusters, its entropy and its polytopes on [-5, 5]^2.

{detection_markdown(detection)}"""
    if departures:
        text += f"""
## Where the published code does otherwise

{_departures_markdown(departures)}

Each row is the published behaviour beside ours on the same data, the mean over {draws} draws. What each number stands for,
and what the papers ask for, is in the list at the head of `knowlimits/studies/departures.py`.
"""
    if individual:
        text += "\n## Every map alone\n"
        for r in results:
            for kind in ("scores", "gradients"):
                text += f"\n- [{r.model}, {r.score}, {kind}](figures/{r.model}-{r.score}-{kind}.png)"
        text += "\n"
    return text

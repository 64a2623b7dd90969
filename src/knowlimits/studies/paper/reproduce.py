"""The main job: train every model, draw every figure, write every table, and a summary that puts them in order."""

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import matplotlib
import numpy as np
import sklearn
import torch
from matplotlib.figure import Figure

import knowlimits
from knowlimits import plots
from knowlimits._machine import one_blas_thread, one_thread
from knowlimits.outputs import write_atomically, write_csv
from knowlimits.progress import progress_bar
from knowlimits.studies.half_moons import METRICS, draw_data, measure, model_names, settings, train_models
from knowlimits.studies.paper import figures, summary
from knowlimits.studies.paper.clusters import figure_one
from knowlimits.studies.paper.departures import measure_departures
from knowlimits.studies.paper.distances import measure_detection, remedies
from knowlimits.studies.paper.far_away import count_polytopes, follow_rays, mean_limits, mean_polytopes, measure_limits
from knowlimits.studies.paper.maps import Map, maps
from knowlimits.train.classifiers import StackClassifier
from knowlimits.train.classifiers.holdout import Split
from knowlimits.workers import workers

# Departures from the published code, and polytopes, are measured on so many draws of the data, at most.
_FEW_DRAWS = 5
# A model's name, the model fitted to one draw of the data, and the draw.
_Case = tuple[str, StackClassifier, Split]
_T = TypeVar("_T")


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
) -> list[summary.Quality]:
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
    pictures, tables = out / "figures", out / "tables"
    for folder in (out, pictures, tables):
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
    cases = [[(name, *pair) for pair in zip(row, data, strict=True)] for name, row in zip(names, fitted, strict=True)]
    first = [row[0] for row in cases]
    X, y = data[0].X, data[0].y

    def draw(name: str, figure: Callable[[], Figure]) -> None:
        plots.save(figure(), pictures / f"{name}.png")

    qualities = [_quality(row) for row in cases]
    write_csv(tables / "models.csv", *summary.quality_csv(qualities))

    drawn = list(chain(*_each("score and gradient maps", maps, first, verbose)))
    _each("figures", draw, _map_figures(drawn, X, y, individual), verbose)

    limits = _means("limits along rays", measure_limits, mean_limits, cases, verbose)
    write_csv(tables / "far_away.csv", *summary.limits_csv(limits))
    draw("rays", lambda: figures.profiles([follow_rays(*case) for case in first]))

    draws = min(seeds, _FEW_DRAWS)
    few = [[(name, model) for name, model, _ in row[:draws]] for row in cases]
    polytopes = _means("polytopes", count_polytopes, mean_polytopes, few, verbose)
    write_csv(tables / "polytopes.csv", *summary.polytopes_csv(polytopes))
    discs = partial(plots.horizons, names, [model for _, model, _ in first], X, y)
    _each("polytope figures", draw, [("clusters", lambda: figures.clusters(figure_one())), ("horizons", discs)], verbose)

    detection = list(chain(*_each("detection at every distance", measure_detection, first, verbose)))
    write_csv(tables / "detection.csv", *summary.detection_csv(detection))
    draw("detection", lambda: figures.detection(detection))
    shown = remedies({name: model for name, model, _ in first}, data[0])
    draw("remedies", lambda: figures.remedies(shown, X, y))

    results = summary.Results(qualities, drawn, limits, polytopes, detection, seeds, draws, individual)
    write_atomically(out / "summary.md", summary.summary(results).encode())
    departures = measure_departures(data[:draws], names, verbose)
    write_csv(tables / "departures.csv", *summary.departures_csv(departures))
    write_atomically(out / "summary.md", summary.summary(replace(results, departures=departures)).encode())
    return qualities


def _each(title: str, function: Callable[..., _T], cases: Sequence[tuple], verbose: bool) -> list[_T]:
    """A function's values, with a bar that shows how far it is."""
    values = []
    with progress_bar(title, len(cases), verbose) as advance:
        for case in cases:
            values.append(function(*case))
            if advance:
                advance(1)
    return values


def _means(
    title: str, measured: Callable[..., _T], mean: Callable[[list[_T]], _T], cases: Sequence[Sequence[tuple]], verbose: bool
) -> list[_T]:
    """For each model the mean over its draws."""
    values = iter(_each(title, measured, [case for row in cases for case in row], verbose))
    return [mean([next(values) for _ in row]) for row in cases]


def _quality(cases: Sequence[_Case]) -> summary.Quality:
    values = [measure(model, data) for _, model, data in cases]
    columns = {metric: np.array([v[metric] for v in values]) for metric in METRICS}
    deviation = {metric: float(v.std(ddof=1)) if len(cases) > 1 else 0.0 for metric, v in columns.items()}
    return summary.Quality(cases[0][0], {metric: float(v.mean()) for metric, v in columns.items()}, deviation)


def _map_figures(
    results: Sequence[Map], X: np.ndarray, y: np.ndarray, individual: bool
) -> list[tuple[str, Callable[[], Figure]]]:
    """Names of figures of maps, and what draws them."""
    kinds = (("scores", False), ("gradients", True))
    chosen = [("first", partial(figures.beside, results[0], X, y))]
    chosen += [(kind, partial(figures.composite, results, X, y, gradients)) for kind, gradients in kinds]
    for kind, gradients in kinds if individual else ():
        for result in results:
            norm = figures.shared_norm([r for r in results if r.score == result.score], gradients)
            name = f"{result.model}-{result.score}-{kind}"
            chosen.append((name, partial(figures.single, result, X, y, norm, gradients)))
    return chosen


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

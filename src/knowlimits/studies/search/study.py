"""The hyperparameter search of the paper, over the tables of `search_space.toml`.

Differs from the published search: trials are scored on held-out data, as the mean over several splits, where the published
code scores each once on the very data that it was trained on; and it runs (the published script fails for the ensembles that
its defaults name, for which it has no search space).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import make_moons
from sklearn.preprocessing import StandardScaler

from knowlimits import plots
from knowlimits.files.tables import read_table
from knowlimits.ood.sizes import check_size
from knowlimits.outputs import write_atomically, write_csv
from knowlimits.studies import half_moons
from knowlimits.studies.search.hyperparameters import write_hyperparameters
from knowlimits.studies.search.summary import BEST, METRICS, SEEDS, Found, Winner, summary, trials_csv
from knowlimits.train.classifiers import StackClassifier
from knowlimits.train.search import search
from knowlimits.train.search.space import read_spaces


@dataclass(frozen=True)
class Plan:
    """What is searched for one model."""

    estimator: StackClassifier
    space: dict[str, Any]
    trials: int


def spaces(path: Path | None = None, device: str = "cpu") -> dict[str, Plan]:
    """The tables of a TOML file by models, the paper's without one.

    Raises:
        ValueError: if a model or an entry is unknown.
    """
    source = Path(str(files("knowlimits.studies.search").joinpath("search_space.toml"))) if path is None else path
    result = {}
    for name, table in read_spaces(source).items():
        if name not in half_moons.model_names():
            raise ValueError(
                f"{source} must have tables of known models. Got {name!r}, accepted are {half_moons.model_names()}."
            )
        trials = table.pop("trials", 100)
        result[name] = Plan(half_moons.build(name, 0, device, {}), table, trials)
    return result


def draw_data(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The half-moons that the paper searches on: 1,000 points."""
    X, y = make_moons(1000, noise=half_moons.settings()["data"]["noise"], random_state=seed)
    return np.asarray(X), np.asarray(y)


def run(
    out: Path,
    names: Sequence[str],
    *,
    trials: int | None = None,
    repeats: int = 5,
    storage: str | None = None,
    study: str = "knowlimits",
    dask: str | None = None,
    sampler: str = "random",
    objective: str = "auc",
    space: Path | None = None,
    data: tuple[Path, str] | None = None,
    seed: int = 0,
    device: str = "cpu",
    verbose: bool = True,
) -> list[Found]:
    """Search, and write what was found to a folder; the same again goes on where it stopped.

    Args:
        out: folder for a JSON file, a figure and a table for each model, `summary.md`, and the default storage.
        names: models to search, by their published names.
        trials: of each model; those that the tables say without it.
        repeats: how many times each trial is trained.
        storage: where the trials are kept, as `knowlimits.search` has it; a journal file in `out` without it.
        study: the beginning of the names of the studies there.
        dask: ``"local"`` or the address of a Dask scheduler.
        sampler, objective, seed: as `knowlimits.search` has them.
        space: a TOML file like `search_space.toml`.
        data: a CSV file and its column of labels, in place of the half-moons; features are standardised.
        device: torch device to train on.
        verbose: show progress.
    """
    plans = spaces(space, device)
    missing = [name for name in names if name not in plans]
    if missing:
        raise ValueError(f"models must have a table in the search space. Got {missing}, there are {list(plans)}.")
    if data is None:
        X, y = draw_data(seed)
    else:
        X, y, _ = read_table(*data)
        check_size(str(data[0]), X)
        X = StandardScaler().fit_transform(X)
    found = []
    for name in names:
        plan = plans[name]
        result = search(
            plan.estimator,
            X,
            y,
            plan.space,
            trials=trials or plan.trials,
            repeats=repeats,
            objective=objective,
            sampler=sampler,
            seed=seed,
            storage=str(out / "search.journal") if storage is None else storage,
            name=f"{study}/{name}",
            dask=dask,
            verbose=verbose,
        )
        one = Found(name, result, result.importances())
        _write(out, one)
        found.append(one)
        write_atomically(out / "summary.md", summary(found, (), repeats).encode())
    winners = [] if data else _compare(found, device, verbose)
    write_atomically(out / "summary.md", summary(found, winners, repeats).encode())
    return found


def _write(out: Path, found: Found) -> None:
    for folder in ("figures", "tables"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    write_hyperparameters(out / f"{found.model}.json", found.result.ranked[:BEST])
    write_csv(out / "tables" / f"{found.model}.csv", *trials_csv(found.result.trials))
    if found.result.ranked:
        plots.save(plots.search(found.model, found.result, found.importances), out / "figures" / f"{found.model}.png")


def _compare(found: Sequence[Found], device: str, verbose: bool) -> list[Winner]:
    """Our winner and the published one of every model, on fresh half-moons."""
    data = [half_moons.draw_data(seed) for seed in range(SEEDS)]
    winners = []
    for one in found:
        if not one.result.ranked:
            continue
        for label, parameters in (("ours", one.result.best.parameters), ("published", None)):
            models = half_moons.train_models([one.model], data, device, verbose, parameters and {one.model: parameters})[0]
            values = [half_moons.measure(model, d) for model, d in zip(models, data, strict=True)]
            columns = {metric: np.array([v[metric] for v in values]) for metric in METRICS}
            metrics = {metric: (float(column.mean()), float(column.std(ddof=1))) for metric, column in columns.items()}
            winners.append(Winner(one.model, label, metrics))
    return winners

"""The hyperparameter search of the paper, over the tables of `search_space.toml`.

Differs from the published search: trials are scored on held-out data, as the mean over several splits, where the published
code scores each once on the very data that it was trained on; and it runs (the published script fails for the ensembles that
its defaults name, for which it has no search space).
"""

import csv
import io
import json
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
from knowlimits.outputs import write_atomically
from knowlimits.studies import half_moons
from knowlimits.train.classifiers import StackClassifier
from knowlimits.train.search import SearchResult, Trial, search
from knowlimits.train.search.space import read_spaces

#: Models that are trained with the winner of another.
FOLLOWERS = {"PlattScalingNN": "NN", "NNEnsemble": "NN", "AnchoredNNEnsemble": "NN"}
#: The published code's names for parameters.
PUBLISHED = {
    "dropout": "dropout_rate",
    "learning_rate": "lr",
    "posterior_mu": "posterior_mu_init",
    "posterior_rho": "posterior_rho_init",
    "prior_sigma1": "prior_sigma_1",
    "prior_sigma2": "prior_sigma_2",
}
_BEST = 10
# Winners are compared on so many fresh draws of the half-moons.
_SEEDS = 20


@dataclass(frozen=True)
class Table:
    """What is searched for one model."""

    estimator: StackClassifier
    space: dict[str, Any]
    trials: int


@dataclass(frozen=True)
class Found:
    """The search of one model."""

    model: str
    result: SearchResult
    importances: dict[str, float]


def spaces(path: Path | None = None, device: str = "cpu") -> dict[str, Table]:
    """The tables of a TOML file by models, the paper's without one.

    Raises:
        ValueError: if a model or an entry is unknown.
    """
    source = Path(str(files("knowlimits.studies").joinpath("search_space.toml"))) if path is None else path
    result = {}
    for name, table in read_spaces(source).items():
        if name not in half_moons.model_names():
            raise ValueError(
                f"{source} must have tables of known models. Got {name!r}, accepted are {half_moons.model_names()}."
            )
        trials = table.pop("trials", 100)
        result[name] = Table(half_moons.build(name, 0, device, {}), table, trials)
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
    tables = spaces(space, device)
    missing = [name for name in names if name not in tables]
    if missing:
        raise ValueError(f"models must have a table in the search space. Got {missing}, there are {list(tables)}.")
    if data is None:
        X, y = draw_data(seed)
    else:
        X, y, _ = read_table(*data)
        check_size(str(data[0]), X)
        X = StandardScaler().fit_transform(X)
    found = []
    for name in names:
        table = tables[name]
        result = search(
            table.estimator,
            X,
            y,
            table.space,
            trials=trials or table.trials,
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
        write_atomically(out / "summary.md", _summary(found, None, repeats).encode())
    compared = None if data else _compare(found, device, verbose)
    write_atomically(out / "summary.md", _summary(found, compared, repeats).encode())
    return found


def read_hyperparameters(folder: Path) -> dict[str, dict[str, Any]]:
    """The best parameters of each model from a folder of JSON files, ours or the published ones.

    Raises:
        ValueError: if a file is not as it should be, its parameters are not those of the model, or there is none.
    """
    ours = {theirs: name for name, theirs in PUBLISHED.items()}
    result = {}
    for name in half_moons.model_names():
        path = folder / f"{FOLLOWERS.get(name, name)}.json"
        if not path.is_file():
            continue
        try:
            trials = [(float(t["score"]), dict(t["hyperparameters"])) for t in json.loads(path.read_text()).values()]
            drawn = {ours.get(k, k): v for k, v in max(trials, key=lambda t: t[0])[1].items() if k != "input_size"}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path} must hold trials with score and hyperparameters. Got {error!r}.") from None
        if "class_weight" in drawn and isinstance(drawn["class_weight"], bool):
            # The published code weighs the classes of each mini-batch, or not.
            drawn["class_weight"] = "batch" if drawn["class_weight"] else None
        result[name] = {key: tuple(value) if isinstance(value, list) else value for key, value in drawn.items()}
        try:
            half_moons.check(name, result[name])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None
    if not result:
        raise ValueError(f"{folder} must have files such as NN.json, which `knowlimits search` writes. Got none.")
    return result


def _write(out: Path, found: Found) -> None:
    for folder in ("figures", "tables"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    best = {
        str(trial.number): {
            "score": trial.value,
            "hyperparameters": {PUBLISHED.get(key, key): value for key, value in trial.parameters.items()},
        }
        for trial in found.result.ranked[:_BEST]
    }
    write_atomically(out / f"{found.model}.json", (json.dumps(best, indent=4) + "\n").encode())
    write_atomically(out / "tables" / f"{found.model}.csv", _csv(found.result.trials).encode())
    if found.result.ranked:
        plots.save(plots.search(found.model, found.result, found.importances), out / "figures" / f"{found.model}.png")


def _csv(trials: Sequence[Trial]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = list(trials[0].parameters)
    writer.writerow(["trial", "value", *names, "scores", "failure"])
    for t in trials:
        values = [json.dumps(v) if isinstance(v, tuple) else v for v in (t.parameters[name] for name in names)]
        writer.writerow([t.number, t.value, *values, " ".join(map(str, t.scores)), t.failure or ""])
    return buffer.getvalue()


def _compare(found: Sequence[Found], device: str, verbose: bool) -> list[dict[str, Any]]:
    """Our winner and the published one of every model, on fresh half-moons."""
    data = [half_moons.draw_data(seed) for seed in range(_SEEDS)]
    rows = []
    for one in found:
        if not one.result.ranked:
            continue
        for label, parameters in (("ours", one.result.best.parameters), ("published", None)):
            models = half_moons.train_models([one.model], data, device, verbose, parameters and {one.model: parameters})[0]
            values = [half_moons.measure(model, d) for model, d in zip(models, data, strict=True)]
            row: dict[str, Any] = {"model": one.model, "winner": label}
            for metric in ("auc", "log_loss", "accuracy", "published_auc"):
                numbers = np.array([v[metric] for v in values])
                row[metric] = (float(numbers.mean()), float(numbers.std(ddof=1)))
            rows.append(row)
    return rows


def _summary(found: Sequence[Found], compared: list[dict[str, Any]] | None, repeats: int) -> str:
    lines = ["# Hyperparameter search", ""]
    lines += [
        f"Each trial was trained on {repeats} splits of the data, half of the rows to learn from, a quarter for early stopping",
        "and a quarter to score on; the value is the mean. Written by `knowlimits search`.",
        "",
    ]
    if compared:
        lines += [
            "## Winners, ours and the published",
            "",
            f"On {_SEEDS} fresh draws of the half-moons: mean and standard deviation.",
            "",
            "| model | winner | test AUC | log loss | accuracy | AUC as published, on the training data |",
            "|---|---|---:|---:|---:|---:|",
        ]
        for row in compared:
            cells = [f"{m:.3f} ± {s:.3f}" for m, s in (row[k] for k in ("auc", "log_loss", "accuracy", "published_auc"))]
            lines.append(f"| {row['model']} | {row['winner']} | {' | '.join(cells)} |")
        lines.append("")
    for one in found:
        trials, ranked = one.result.trials, one.result.ranked
        lines += [f"## {one.model}", "", f"{len(trials)} trials, {len(trials) - len(ranked)} of them failed.", ""]
        if not ranked:
            continue
        names = list(ranked[0].parameters)
        lines += [f"| trial | {one.result.objective} | {' | '.join(names)} |", "|---:|---:" + "|---:" * len(names) + "|"]
        for t in ranked[:_BEST]:
            lines.append(f"| {t.number} | {t.value:.4f} | {' | '.join(_short(t.parameters[n]) for n in names)} |")
        shares = ", ".join(f"{name} {share:.0%}" for name, share in one.importances.items())
        lines += ["", f"Share of each parameter in the variance of the values: {shares}." if shares else "", ""]
        lines += [f"![Values by parameters](figures/{one.model}.png)", ""]
    return "\n".join(lines).rstrip() + "\n"


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)

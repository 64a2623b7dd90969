"""The command line: `knowlimits`.

Heavy imports stay inside the commands, so that `--help` and mistakes answer at once.
"""

import difflib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

import knowlimits

# Names of the published code, in its order. `half_moons.toml` has their settings; a test keeps the two together.
MODELS = ("NN", "PlattScalingNN", "MCDropout", "BBB", "NNEnsemble", "AnchoredNNEnsemble")

app = App(
    name="knowlimits",
    help="Where a neural classifier is sure of itself without reason.",
    version=knowlimits.__version__,
    # `main` says what an interruption leaves.
    suppress_keyboard_interrupt=False,
)


class UsageError(Exception):
    """Something that the person can put right; its text is all they see."""


@app.command
def reproduce(
    *,
    out: Path = Path("results"),
    models: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    seeds: int = 20,
    individual: bool = False,
    device: str = "cpu",
    hyperparameters: Path | None = None,
    dask: str | None = None,
) -> None:
    """Rebuild the paper's half-moons experiments: figures, tables and a summary.

    Parameters
    ----------
    out
        Folder for the results.
    models
        Models by their published names, in any case: NN, PlattScalingNN, MCDropout, BBB, NNEnsemble, AnchoredNNEnsemble.
    seeds
        Repetitions of data and training.
    individual
        Write every map alone as well.
    device
        Torch device to train on, such as cpu or cuda.
    hyperparameters
        Folder of `knowlimits search`, whose best parameters to use in place of the published ones.
    dask
        Train on the workers of a Dask cluster: the address of its scheduler, or local for a process on each core.
    """
    names = [_model_name(name) for name in models] or list(MODELS)
    if seeds < 1:
        raise UsageError(f"--seeds must be at least 1. Got {seeds} instead.")
    _check_writable(out)
    import matplotlib

    matplotlib.use("Agg")
    from knowlimits.experiments.reproduce import reproduce as run
    from knowlimits.experiments.reproduce import table_markdown

    _check_device(device)
    parameters = None
    if hyperparameters is not None:
        from knowlimits.experiments.search import read_hyperparameters

        try:
            parameters = read_hyperparameters(hyperparameters)
        except (ValueError, OSError) as error:
            raise UsageError(f"--hyperparameters: {error}") from None
    try:
        rows = run(out, names, seeds, individual, device, True, parameters, dask)
    except (ImportError, ConnectionError) as error:
        raise UsageError(f"--dask: {error}") from None
    print(table_markdown(rows))
    print(f"\nFigures, tables and their explanation: {out / 'summary.md'}")


@app.command
def search(
    *,
    out: Path = Path("search"),
    models: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    trials: int | None = None,
    repeats: int = 5,
    objective: str = "auc",
    sampler: str = "random",
    seed: int = 0,
    space: Path | None = None,
    data: Path | None = None,
    target: str | None = None,
    storage: str | None = None,
    study: str = "knowlimits",
    dask: str | None = None,
    device: str = "cpu",
) -> None:
    """Search for hyperparameters, hundreds of networks at once; the same command again goes on where it stopped.

    Parameters
    ----------
    out
        Folder for the results.
    models
        Models by their published names: NN, MCDropout, BBB. NN's winner serves the others.
    trials
        Trials of each model; without it the paper's 200, 100 and 250.
    repeats
        How many times each trial is trained, on splits of its own.
    objective
        auc, log_loss or accuracy on held-out data; or published, the AUC on the training data.
    sampler
        random as in the paper, tpe, or gp.
    seed
        Fixes the whole search.
    space
        TOML file with a table for each model, in place of the paper's search space.
    data
        CSV file in place of the half-moons; features are standardised.
    target
        Column of the labels in it.
    storage
        Where trials are kept: a journal file, sqlite:///FILE or postgresql://USER@HOST/DATABASE; a journal in the folder
        without it.
    study
        Beginning of the studies' names there.
    dask
        Train on the workers of a Dask cluster: the address of its scheduler, or local for a process on each core.
    device
        Torch device to train on, such as cpu or cuda.
    """
    if (data is None) != (target is None):
        raise UsageError("--data and --target must be given together. Got only one of them.")
    for option, value in (("--trials", trials), ("--repeats", repeats)):
        if value is not None and value < 1:
            raise UsageError(f"{option} must be at least 1. Got {value} instead.")
    _check_writable(out)
    import matplotlib

    matplotlib.use("Agg")
    from knowlimits.experiments.search import FOLLOWERS, run, spaces
    from knowlimits.tuning import StudyInUse

    _check_device(device)
    try:
        tables = spaces(space)
        names = [_model_name(name) for name in models] or list(tables)
        for name in names:
            if name in FOLLOWERS and name not in tables:
                raise UsageError(f"--models: {name} has no search of its own, as it takes the winner of {FOLLOWERS[name]}.")
        found = run(
            out,
            names,
            trials=trials,
            repeats=repeats,
            storage=storage,
            study=study,
            dask=dask,
            sampler=sampler,
            objective=objective,
            space=space,
            data=None if data is None or target is None else (data, target),
            seed=seed,
            device=device,
        )
    except (ValueError, TypeError, OSError, ImportError, StudyInUse) as error:
        raise UsageError(str(error)) from None
    for one in found:
        trials_ = one.result.trials
        failed = sum(trial.failure is not None for trial in trials_)
        best = f"best {objective} {one.result.best.value:.4f}" if one.result.ranked else "none succeeded"
        print(f"{one.model}: {len(trials_)} trials, {failed} failed, {best}")
    print(f"\nParameters, figures and their explanation: {out / 'summary.md'}")


@app.command
def detect(
    *,
    out: Path = Path("detection"),
    sets: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    data: Path | None = None,
    target: str | None = None,
    ood: Path | None = None,
    models: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = ("NN", "NNEnsemble"),
    seeds: int = 5,
    dask: str | None = None,
) -> None:
    """Compare all scores and detectors on real data: how well they tell familiar rows from others, near and far.

    Parameters
    ----------
    out
        Folder for the results.
    sets
        Data sets that scikit-learn ships: breast_cancer, wine, digits; all of them without it.
    data
        CSV file of your own, in place of these.
    target
        Column of the labels in it.
    ood
        CSV file of rows that are foreign to it, with the same columns.
    models
        Models by their published names.
    seeds
        Repetitions of the split and the training.
    dask
        Work on a Dask cluster: the address of its scheduler, or local for a process on each core.
    """
    own = (data, target, ood)
    if any(part is None for part in own) and any(part is not None for part in own):
        raise UsageError("--data, --target and --ood must be given together. Got only some of them.")
    if seeds < 1:
        raise UsageError(f"--seeds must be at least 1. Got {seeds} instead.")
    names = [_model_name(name) for name in models]
    _check_writable(out)
    import matplotlib

    matplotlib.use("Agg")
    from knowlimits.experiments.real_data import SETS, load_table, own_table, run

    unknown = [name for name in sets if name not in SETS]
    if unknown:
        raise UsageError(f"--sets must be of {', '.join(SETS)}. Got {', '.join(unknown)}.")
    try:
        if data is not None and target is not None and ood is not None:
            tables = [own_table(data, target, ood)]
        else:
            tables = [load_table(name) for name in sets or SETS]
        run(out, tables, names, seeds, dask)
    except (ValueError, OSError, ImportError) as error:
        raise UsageError(str(error)) from None
    print(f"Tables, figures and their explanation: {out / 'summary.md'}")


@app.command
def regions(
    model: Path,
    *,
    box: tuple[float, float, float, float] | None = None,
    member: int | None = None,
    jobs: int = 1,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    csv: Path | None = None,
) -> None:
    """Count and draw the polytopes of a model of two features.

    Parameters
    ----------
    model
        A file written by knowlimits.save, an ONNX file (.onnx) or a torch.export program (.pt2).
    box
        Only this part of the plane: x from, x to, y from, y to.
    member
        Index of the one member to take of an ensemble; all together without it.
    jobs
        Processes to work in, each on a part of the plane; -1 for one per core.
    output
        Figure to write: the entropy and the polytopes, as .png, .pdf or .svg.
    csv
        Table to write, a row for every cell: its area, whether it is bounded, and the polygon.
    """
    for path in (output, csv):
        if path is not None:
            _check_writable(path.parent)
    import matplotlib

    matplotlib.use("Agg")
    from knowlimits.experiments.regions import draw_regions, write_regions
    from knowlimits.piecewise import partition

    loaded = _load(model)
    try:
        cells = partition(loaded, box=box, member=member, jobs=jobs, verbose=sys.stderr.isatty())
    except (OSError, ValueError, MemoryError, NotImplementedError) as error:
        raise UsageError(f"MODEL: {error}") from None
    print(cells)
    print(f"{len(cells.merged())} linear regions")
    print(f"outermost vertex at distance {cells.outermost:.6g}; {cells.resolved} vertices needed rational arithmetic")
    if output is not None:
        draw_regions(output, loaded, cells, box)
    if csv is not None:
        write_regions(csv, cells)


@app.command
def audit(
    model: Path,
    data: Path,
    *,
    target: str | None = None,
    test: Path | None = None,
    continuous: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    layer: str | None = None,
    max_rows: int = 2000,
    seed: int = 0,
    html: Path | None = None,
    force: bool = False,
) -> None:
    """Where a model of your own is sure of itself without reason, how soon, and what helps.

    Parameters
    ----------
    model
        A file written by knowlimits.save, an ONNX file (.onnx) or a torch.export program (.pt2).
    data
        CSV file of data like those that the model was trained on, with a line of names on top.
    target
        Column of the labels in it; without it there are none.
    test
        CSV file of rows that the model has not seen, with the same columns.
    continuous
        Columns to move, or all; without it those that do not look like codes.
    layer
        Submodule whose input are the features that detectors look at; the last linear layer without it.
    max_rows
        Of larger tables so many rows are drawn.
    seed
        Fixes what is drawn.
    html
        Report to write, one file that needs nothing else.
    force
        Replace a report that is there.
    """
    if html is not None:
        _check_writable(html.parent, "--html")
        if html.exists() and not force:
            raise UsageError(f"--html: {html} is there already. Give --force to replace it.")
    import numpy as np

    from knowlimits.auditing import audit as run
    from knowlimits.io import read_numbers, read_table

    def read(path: Path) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
        if target is not None:
            return read_table(path, target)
        values, names = read_numbers(path)
        return values, None, names

    loaded = _load(model)
    try:
        X, y, names = read(data)
        X_test = y_test = None
        if test is not None:
            X_test, y_test, others = read(test)
            if others != names:
                raise UsageError(f"--test: {test} must have the columns of {data}, in their order. Got {', '.join(others)}.")
        columns = "all" if continuous == ("all",) else list(continuous) or None
        found = run(
            loaded,
            X,
            y,
            feature_names=names,
            continuous=columns,
            X_test=X_test,
            y_test=y_test,
            layer=layer,
            max_rows=max_rows,
            random_state=seed,
            verbose=sys.stderr.isatty(),
        )
        print(found)
        if html is not None:
            found.to_html(html, overwrite=force)
            print(f"\nThe report: {html}")
    except (OSError, ValueError, TypeError, NotImplementedError) as error:
        raise UsageError(str(error)) from None


def _load(path: Path) -> Any:
    """The model in a file."""
    from knowlimits.io import load

    try:
        return load(path)
    except (OSError, ValueError, ImportError, NotImplementedError) as error:
        raise UsageError(f"MODEL: {error}") from None


def _model_name(name: str) -> str:
    by_lower = {known.lower(): known for known in MODELS}
    if name.lower() in by_lower:
        return by_lower[name.lower()]
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    hint = f" Did you mean {by_lower[close[0]]}?" if close else ""
    raise UsageError(f"--models: unknown model {name!r}. Accepted: {', '.join(MODELS)}.{hint}")


def _check_writable(folder: Path, option: str = "--out") -> None:
    """Raise before anything is computed that could then not be kept."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"{option}: cannot write to {folder}: {error.strerror}.") from None


def _check_device(device: str) -> None:
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device: cannot use {device!r}: {reason}") from None


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; mistakes give one line and exit status 2, Ctrl-C exits with 130.

    Args:
        arguments: those after the command's name; the process's own without them.
    """
    try:
        app(sys.argv[1:] if arguments is None else arguments, result_action="return_value")
    except UsageError as error:
        print(f"knowlimits: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("knowlimits: interrupted; what was finished is kept.", file=sys.stderr)
        sys.exit(130)

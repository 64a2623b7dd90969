"""The command line: `knowlimits`.

Heavy imports stay inside the commands, so that `--help` and mistakes answer at once. Commands check what they can before they
work, and let errors go: `main` alone says which of them are a person's to put right and which are faults of the program.
"""

import difflib
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

import knowlimits
from knowlimits.cli.mistakes import UsageError, explained, option

# Names of the published code, in its order. `half_moons.toml` has their settings; a test keeps the two together.
MODELS = ("NN", "PlattScalingNN", "MCDropout", "BBB", "NNEnsemble", "AnchoredNNEnsemble")

app = App(
    name="knowlimits",
    help="Where a neural classifier is sure of itself without reason.",
    version=knowlimits.__version__,
    # `main` says what an interruption leaves.
    suppress_keyboard_interrupt=False,
)


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
    names = _model_names(models) or list(MODELS)
    _check_whole("--seeds", seeds, 1)
    _check_out(out, "config.json")
    import matplotlib

    matplotlib.use("Agg")
    from knowlimits.studies.reproduce import reproduce as run
    from knowlimits.studies.reproduce import table_markdown

    _check_device(device)
    parameters = None
    if hyperparameters is not None:
        from knowlimits.studies.search import read_hyperparameters

        with option("--hyperparameters"):
            parameters = read_hyperparameters(hyperparameters)
    rows = run(out, names, seeds, individual, device, True, parameters, dask)
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
    _check_whole("--trials", 1 if trials is None else trials, 1)
    _check_whole("--repeats", repeats, 1)
    _check_seed(seed)
    _check_out(out)
    import matplotlib

    matplotlib.use("Agg")
    from knowlimits.studies.search import FOLLOWERS, run, spaces

    _check_device(device)
    with option("--space"):
        tables = spaces(space)
    names = _model_names(models) or list(tables)
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
    _check_whole("--seeds", seeds, 1)
    names = _model_names(models)
    _check_out(out)
    import matplotlib

    matplotlib.use("Agg")
    from knowlimits.studies.real_data import SETS, load_table, own_table, run

    unknown = [name for name in sets if name not in SETS]
    if unknown:
        raise UsageError(f"--sets must be of {', '.join(SETS)}. Got {', '.join(unknown)}.")
    if data is not None and target is not None and ood is not None:
        tables = [own_table(data, target, ood)]
    else:
        tables = [load_table(name) for name in dict.fromkeys(sets or SETS)]
    run(out, tables, names, seeds, dask)
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
    _check_outputs({"--output": output, "--csv": csv}, model)
    import matplotlib

    matplotlib.use("Agg")
    from knowlimits.plane import partition
    from knowlimits.studies.regions import draw_regions, write_regions

    loaded = _load(model)
    cells = partition(loaded, box=box, member=member, jobs=jobs, verbose=sys.stderr.isatty())
    if output is not None:
        draw_regions(output, loaded, cells, box)
    if csv is not None:
        write_regions(csv, cells)
    print(cells)
    print(f"{len(cells.merged())} linear regions")
    print(f"outermost vertex at distance {cells.outermost:.6g}; {cells.resolved} vertices needed rational arithmetic")


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
    _check_seed(seed)
    _check_whole("--max-rows", max_rows, 16)
    _check_outputs({"--html": html}, model, data, test, overwrite=force)
    import numpy as np

    from knowlimits.auditing import audit as run
    from knowlimits.files.tables import read_numbers, read_table

    def read(path: Path) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
        if target is not None:
            return read_table(path, target)
        values, names = read_numbers(path)
        return values, None, names

    loaded = _load(model)
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
    if html is not None:
        found.to_html(html, overwrite=force)
    print(found)
    if html is not None:
        print(f"\nThe report: {html}")


def _load(path: Path) -> Any:
    """The model in a file."""
    from knowlimits.files.load import load

    with option("MODEL"):
        return load(path)


def _model_names(names: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(map(_model_name, names)))


def _model_name(name: str) -> str:
    by_lower = {known.lower(): known for known in MODELS}
    if name.lower() in by_lower:
        return by_lower[name.lower()]
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    hint = f" Did you mean {by_lower[close[0]]}?" if close else ""
    raise UsageError(f"--models: unknown model {name!r}. Accepted: {', '.join(MODELS)}.{hint}")


def _check_whole(name: str, value: int, least: int, most: float = float("inf")) -> None:
    if not least <= value <= most:
        limit = "" if most == float("inf") else f" and at most {most}"
        raise UsageError(f"{name} must be at least {least}{limit}. Got {value} instead.")


def _check_seed(seed: int) -> None:
    # As scikit-learn takes them.
    _check_whole("--seed", seed, 0, 2**32 - 1)


def _check_out(folder: Path, *files: str) -> None:
    """Make a folder of results, and raise where what belongs into it could not be written."""
    from knowlimits.outputs import check_folder

    with option("--out"):
        check_folder(folder, ("figures", "tables"), (*files, "summary.md"))


def _check_outputs(outputs: dict[str, Path | None], *inputs: Path | None, overwrite: bool = True) -> None:
    """Raise before anything is computed that could then not be kept, or would take the place of something else.

    Args:
        outputs: files to write, by their options.
        inputs: files that are read.
        overwrite: whether files that are there may be replaced.
    """
    from knowlimits.outputs import FIGURES, check_folder, check_output

    taken = {os.path.realpath(path): str(path) for path in inputs if path is not None}
    for name, path in outputs.items():
        if path is None:
            continue
        with option(name):
            check_folder(path.parent)
            try:
                check_output(path, FIGURES if name == "--output" else (), overwrite)
            except FileExistsError as error:
                raise UsageError(f"{name}: {error} Give --force to replace it.") from None
        if (place := os.path.realpath(path)) in taken and (path.is_file() or not path.exists()):
            raise UsageError(f"{name}: {path} is {taken[place]}, which has another part here. Choose another name.")
        taken[place] = name


def _check_device(device: str) -> None:
    from knowlimits.train.classifiers.checks import check_device

    with option("--device"):
        check_device(device)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; mistakes give one line and exit status 2, Ctrl-C exits with 130, a closed pipe with 141.

    Args:
        arguments: those after the command's name; the process's own without them.
    """
    try:
        app(
            sys.argv[1:] if arguments is None else arguments,
            result_action="return_value",
            exit_on_error=False,
            print_error=False,
        )
        _flush()
    except KeyboardInterrupt:
        _leave(130, "interrupted; what was finished is kept.")
    except SystemExit as end:
        # What shows help and progress says so when nobody reads on.
        if isinstance(end.__context__, BrokenPipeError):
            _leave(141)
        raise
    except BrokenPipeError:
        _leave(141)
    except Exception as error:
        text = explained(error)
        if text is None:
            raise
        _leave(2, text)


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _leave(status: int, text: str = "") -> None:
    """End with a line on standard error, if it has readers."""
    with suppress(OSError):
        if text:
            print(f"knowlimits: {text}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            # Python would complain about what is left in the buffer when it ends.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1 if stream is sys.stdout else 2)
            os.close(null)
    sys.exit(status)

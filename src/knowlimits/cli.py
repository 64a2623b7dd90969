"""The command line: `knowlimits`.

Heavy imports stay inside the commands, so that `--help` and mistakes answer at once.
"""

import difflib
import os
import sys
from pathlib import Path
from typing import Annotated

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
    rows = run(out, names, seeds, individual, device)
    print(table_markdown(rows))
    print(f"\nFigures, tables and their explanation: {out / 'summary.md'}")


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
        A file written by knowlimits.save.
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
    if model.suffix in (".pt", ".pth", ".pkl", ".pickle", ".joblib"):
        raise UsageError(f"MODEL: {model} is a pickle, which runs code when it is loaded. Save it by knowlimits.save.")
    for path in (output, csv):
        if path is not None:
            _check_writable(path.parent)
    import matplotlib

    matplotlib.use("Agg")
    from knowlimits.experiments.regions import draw_regions, write_regions
    from knowlimits.io import load
    from knowlimits.piecewise import partition

    try:
        loaded = load(model)
        cells = partition(loaded, box=box, member=member, jobs=jobs, verbose=sys.stderr.isatty())
    except (OSError, ValueError, MemoryError) as error:
        raise UsageError(f"MODEL: {error}") from None
    print(cells)
    print(f"{len(cells.merged())} linear regions")
    print(f"outermost vertex at distance {cells.outermost:.6g}; {cells.resolved} vertices needed rational arithmetic")
    if output is not None:
        draw_regions(output, loaded, cells, box)
    if csv is not None:
        write_regions(csv, cells)


def _model_name(name: str) -> str:
    by_lower = {known.lower(): known for known in MODELS}
    if name.lower() in by_lower:
        return by_lower[name.lower()]
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    hint = f" Did you mean {by_lower[close[0]]}?" if close else ""
    raise UsageError(f"--models: unknown model {name!r}. Accepted: {', '.join(MODELS)}.{hint}")


def _check_writable(folder: Path) -> None:
    """Raise before anything is computed that could then not be kept."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"--out: cannot write to {folder}: {error.strerror}.") from None


def _check_device(device: str) -> None:
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device: cannot use {device!r}: {reason}") from None


def main() -> None:
    """Run the command line; mistakes give one line and exit status 2, Ctrl-C exits with 130."""
    try:
        app(result_action="return_value")
    except UsageError as error:
        print(f"knowlimits: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("knowlimits: interrupted; what was finished is kept.", file=sys.stderr)
        sys.exit(130)

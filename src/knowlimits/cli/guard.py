"""`knowlimits guard`: a file that a server runs, of a model of your own with a guard in it."""

import dataclasses
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from knowlimits.cli.mistakes import UsageError
from knowlimits.cli.preamble import Outputs, check_between, check_outputs, check_seed, load_model
from knowlimits.cli.taken import read_taken

if TYPE_CHECKING:
    from knowlimits.ood.remedies.guard import Guard

_SUFFIXES = (".onnx", ".safetensors")
# Rows that an exported file is held to, at most.
_HELD_TO = 200
# Inputs and outputs that are named.
_NAMED = 6


def guard(
    model: Path,
    data: Path,
    *,
    out: Path,
    target: str | None = None,
    test: Path | None = None,
    ranges: Path | None = None,
    keep: float = 0.95,
    tolerance: float = 0.01,
    outputs: Outputs = None,
    output: str | None = None,
    input_shape: Annotated[tuple[int, ...], Parameter(consume_multiple=True)] = (),
    trusted: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    seed: int = 0,
    force: bool = False,
) -> None:
    """Put a guard before a model of your own, which says of each row whether it is like the data, and write both as one file.

    Parameters
    ----------
    model
        A file as `knowlimits audit` takes it.
    data
        CSV file of data like those that the model was trained on, with a line of names on top: numbers, text, gaps.
    out
        File to write: .onnx, which runs without this library, or .safetensors, which knowlimits.load reads.
    target
        Column of the labels in the data, for what the guard costs; without it there are none.
    test
        CSV file of rows that the model has not seen, with the same columns; a quarter of the data without it.
    ranges
        TOML file of what columns may be: below [ranges] lines such as age = [0, 120]. Rows outside are refused.
    keep
        Share of rows like the data that are to be accepted.
    tolerance
        How much the mean log loss of such rows may grow, in nats.
    outputs
        What the model returns; told from the file without it.
    output
        Name of the output of an ONNX file, or of a value in between, that is the classifier; told from the file without it.
    input_shape
        Sizes of the axes of one input, as `knowlimits audit` has them.
    trusted
        Types that a file of skops may make, beside those that skops trusts by itself.
    seed
        Fixes what is drawn.
    force
        Replace a file that is there.
    """
    check_seed(seed)
    check_between("--keep", keep, 0, 1)
    check_between("--tolerance", tolerance, 0, float("inf"))
    if out.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"--out must end in {' or '.join(_SUFFIXES)}, which says in what format it is written. Got {out}.")
    check_outputs({"--out": out}, model, data, test, ranges, overwrite=force)
    if out.suffix.lower() == ".onnx" and (missing := _missing()):
        raise UsageError(f"--out: writing {out} needs the package {missing}: pip install 'know-your-limits[export]'")
    from knowlimits.auditing.find.cost import cost
    from knowlimits.auditing.show.cost import page
    from knowlimits.files.ranges import read_ranges
    from knowlimits.ood.remedies.guard import Guard
    from knowlimits.progress import progress_bar

    taken = read_taken(load_model(model, trusted, output), outputs, input_shape, data, test, target, seed)
    stated = None if ranges is None else read_ranges(ranges, list(taken.names))
    if isinstance(stated, dict) and not hasattr(taken.X, "columns"):
        # An array has no names.
        stated = {taken.names.index(name): ends for name, ends in stated.items()}
    with progress_bar("the densities", 4, sys.stderr.isatty()) as advance:

        def step(text: str) -> None:
            if advance:
                advance(1, text)

        fitted = Guard(
            taken.model,
            tolerance=tolerance,
            keep=keep,
            ranges=stated,
            random_state=seed,
            outputs=None if input_shape else outputs,
        ).fit(taken.X)
        fitted.columns_ = dataclasses.replace(fitted.columns_, names=taken.names, named=True)
        found = cost(
            fitted,
            taken.X,
            taken.X_test,
            taken.places,
            name=model.name,
            held_out=test is not None,
            seed=seed,
            step=step,
        )
        file = _write(fitted, taken.X[:_HELD_TO], out)
        step("done")
    print(page(found, file, shlex.join(["knowlimits", "check", str(out), "NEW.csv"])))


def _missing() -> str | None:
    """A package without which no ONNX file can be written, if it is not there."""
    return next((package for package in ("onnx", "onnxruntime") if find_spec(package) is None), None)


def _write(fitted: "Guard", rows: Any, out: Path) -> list[str]:
    """Write the file, of which some rows may be a test, and say what is in it."""
    if out.suffix.lower() == ".safetensors":
        from knowlimits.files.saved.file import save

        save(fitted, out)
        return [f"{out}, {_size(out)}: the model and its guard for Python, by knowlimits.load."]
    from knowlimits.files.export.export import export

    export(fitted, out, rows)
    import onnx

    model = onnx.load(out, load_external_data=False)
    sets = ", ".join(f"{opset.domain or 'ai.onnx'} {opset.version}" for opset in model.opset_import)
    return [
        f"{out}, {_size(out)}: ONNX, operators of {sets}; onnxruntime runs it without this library.",
        f"Inputs: {_values(model.graph.input)}.",
        f"Outputs: {_values(model.graph.output)}.",
    ]


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1000:,.1f} kB"


def _values(values: Any) -> str:
    """Names, types and shapes of inputs or outputs of an ONNX file."""
    from onnx import TensorProto

    found = []
    for value in values:
        tensor = value.type.tensor_type
        sizes = [size.dim_param or str(size.dim_value) for size in tensor.shape.dim]
        found.append(f"{value.name} ({TensorProto.DataType.Name(tensor.elem_type).lower()}, {' x '.join(sizes)})")
    more = f", and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"{', '.join(found[:_NAMED])}{more}"

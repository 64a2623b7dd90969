"""`knowlimits regions`: the cells of a model."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from knowlimits.cli.mistakes import UsageError
from knowlimits.cli.preamble import Outputs, check_outputs, load_model, no_screen

if TYPE_CHECKING:
    from knowlimits.plane import Partition


def regions(
    model: Path,
    *,
    box: tuple[float, float, float, float] | None = None,
    member: int | None = None,
    outputs: Outputs = None,
    output: str | None = None,
    jobs: int = 1,
    figure: Annotated[Path | None, Parameter(name=["--figure", "-o"])] = None,
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
    outputs
        What the model returns; told from the file without it.
    output
        Name of the output of an ONNX file, or of a value in between, that is the classifier; told from the file without it.
    jobs
        Processes to work in, each on a part of the plane; -1 for one per core.
    figure
        Figure to write: the entropy and the polytopes, as .png, .pdf or .svg.
    csv
        Table to write, a row for every cell: its area, whether it is bounded, and the polygon.
    """
    from knowlimits.outputs import FIGURES

    if output is not None and output.lower().endswith(FIGURES):
        raise UsageError(f"--output names an output of the model. Got {output!r} instead: --figure or -o has the figure.")
    check_outputs({"--figure": figure, "--csv": csv}, model)
    from knowlimits.model.read import read
    from knowlimits.plane import partition

    loaded = read(load_model(model, output=output), outputs)
    cells = partition(loaded, box=box, member=member, jobs=jobs, verbose=sys.stderr.isatty())
    if figure is not None:
        no_screen()
        from knowlimits import plots

        plots.save(plots.polytopes(loaded, cells, box), figure)
    if csv is not None:
        _write_table(csv, cells)
    print(cells)
    print(f"{len(cells.merged())} linear regions")
    print(f"outermost vertex at distance {cells.outermost:.6g}")
    print(cells.status)


def _write_table(path: Path, cells: "Partition") -> None:
    """Write a row for every cell: whether it is bounded, its area, and its vertices as ``x y w`` separated by semicolons."""
    from knowlimits.outputs import write_csv

    rows = []
    for i in range(len(cells)):
        corners = "; ".join(f"{x:.17g} {y:.17g} {w:.0f}" for x, y, w in cells.vertices[cells.polygon(i)])
        rows.append([i, bool(cells.bounded[i]), f"{cells.area[i]:.17g}", corners])
    write_csv(path, ["cell", "bounded", "area", "vertices"], rows)

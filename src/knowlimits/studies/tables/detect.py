"""The job of `knowlimits detect`: measure, and write tables, figures and a summary."""

from collections.abc import Sequence
from concurrent.futures import as_completed
from pathlib import Path

import numpy as np

from knowlimits import plots
from knowlimits.auditing.show.labels import label
from knowlimits.outputs import write_atomically, write_csv
from knowlimits.progress import progress_bar
from knowlimits.studies.markdown import table as markdown
from knowlimits.studies.tables import families
from knowlimits.studies.tables.ends import Ended, csv_of, ends, section
from knowlimits.studies.tables.figures import discs, growth
from knowlimits.studies.tables.measure import Measured, Order, measure
from knowlimits.studies.tables.sets import DataSet
from knowlimits.workers import workers

#: Models whose scores are measured, and beside all families asked where they end, where nobody names others.
DEFAULT = ("NN", "NNEnsemble")


def run(
    out: Path,
    sets: Sequence[DataSet],
    models: Sequence[str] | None = None,
    seeds: int = 5,
    dask: str | None = None,
    verbose: bool = True,
) -> list[Measured]:
    """Measure, and write `tables/`, `figures/` and `summary.md` to a folder.

    `tables/detection.csv` and `figures/growth.png` are of scores and detectors, `tables/ends.csv` and `figures/ends.png` of
    where each classifier ends.

    Args:
        out: the folder.
        sets: data sets.
        models: of the paper's models, by their published names, and of `families.FAMILIES`. Without it scores of `DEFAULT`, and
            the ends of these and of all families that are installed.
        seeds: repetitions of the split and the training.
        dask: ``"local"`` or the address of a Dask scheduler, to do them on its workers.
        verbose: show progress.
    """
    for folder in ("tables", "figures"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    named = list(DEFAULT if models is None else models)
    ending = [*DEFAULT, *families.installed()] if models is None else named
    families.check_installed(named)
    measured: list[Measured] = []
    orders: list[Order] = []
    ended: list[Ended] = []
    with workers(dask) as crew, progress_bar("data sets and seeds", len(sets) * seeds, verbose) as advance:
        futures = [crew.submit(_measured, one, named, ending, seed) for one in sets for seed in range(seeds)]
        for future in as_completed(futures):
            found, grown, last = future.result()
            measured += found
            orders += grown
            ended += last
            if advance:
                advance(1)
    measured.sort(key=lambda m: (m.table, m.model, m.kind, m.score, m.seed))
    write_csv(out / "tables" / "detection.csv", *_csv(measured))
    plots.save(growth(orders), out / "figures" / "growth.png")
    # In the order in which they were named.
    places = [one.name for one in sets], ending
    ended.sort(key=lambda e: (places[0].index(e.table), places[1].index(e.model), e.seed))
    write_csv(out / "tables" / "ends.csv", *csv_of(ended))
    plots.save(discs(ending), out / "figures" / "ends.png")
    write_atomically(out / "summary.md", summary(measured, ended, seeds).encode())
    return measured


def _measured(
    table: DataSet, models: list[str], ending: list[str], seed: int
) -> tuple[list[Measured], list[Order], list[Ended]]:
    return *measure(table, models, seed), ends(table, ending, seed)


def _csv(measured: Sequence[Measured]) -> tuple[list[str], list[list[object]]]:
    columns = ["set", "model", "score", "out of distribution", "seed", "auroc", "refused", "accepted"]
    rows = []
    for m in measured:
        rates = (f"{v:.4f}" for v in (m.auroc, m.refused, m.accepted))
        rows.append([m.table, m.model, m.score, m.kind, m.seed, *rates])
    return columns, rows


def summary(measured: Sequence[Measured], ended: Sequence[Ended], seeds: int) -> str:
    """Where classifiers end, and tables of areas under the ROC curve, one for each data set and model."""
    lines = [
        "# Scores and detectors on real data",
        "",
        f"Written by `knowlimits detect`, over {seeds} splits of each data set.",
        "",
        *section(ended),
        "![The half-moons' plane in a disc for each family](figures/ends.png)",
        "",
        "The whole plane round the half-moons in a disc: entropy from sure (white) to unsure (dark). Half-way to the rim is",
        "one standard deviation, and the ring has the exact limits.",
        "",
        "## Scores by distance",
        "",
        "Area under the ROC curve of test rows against others, mean and 95% interval. `tables/detection.csv` has both false",
        "positive rates, too.",
        "",
    ]
    for table, model in dict.fromkeys((m.table, m.model) for m in measured):
        chosen = [m for m in measured if (m.table, m.model) == (table, model)]
        kinds = sorted({m.kind for m in chosen}, key=_place)
        rows = []
        for score in dict.fromkeys(m.score for m in chosen):
            cells = [_interval([m.auroc for m in chosen if (m.score, m.kind) == (score, kind)]) for kind in kinds]
            rows.append([label(score), *cells])
        lines += [f"### {table}, {model}", "", markdown(["score", *kinds], rows), ""]
    lines += [
        "## What the algebra predicts, and what was measured",
        "",
        "![Predicted and measured growth](figures/growth.png)",
        "",
        "Each point is a test row of which one feature was moved out: the power of the distance by which a score grows, from",
        "its far field, and the slope between factors of 1,000 and 10,000. Points beside the lines are on their way.",
    ]
    return "\n".join(lines) + "\n"


def _interval(values: Sequence[float]) -> str:
    half = 1.96 * np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{np.mean(values):.2f} ± {half:.2f}"


def _place(kind: str) -> tuple[int, str]:
    """Foreign data first, then features by their factors."""
    if not kind.startswith("one feature"):
        return 0, kind
    return (2, "") if kind.endswith("infinity") else (1, f"{int(kind.split()[-1].replace(',', '')):09d}")

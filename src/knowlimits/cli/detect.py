"""`knowlimits detect`: scores and detectors side by side, and where each classifier ends."""

from pathlib import Path
from typing import Annotated, Literal

from knowlimits.cli.mistakes import option
from knowlimits.cli.preamble import CHOICES, check_results, check_together, check_whole

# Those of `knowlimits.studies.tables`, which takes long to load; a test keeps them together.
Set = Literal["breast_cancer", "wine", "digits"]
# The paper's models, and one or more classifiers of each family.
Model = Literal[
    "NN",
    "PlattScalingNN",
    "MCDropout",
    "BBB",
    "NNEnsemble",
    "AnchoredNNEnsemble",
    "LogisticRegression",
    "LDA",
    "GaussianNB",
    "QDA",
    "KNN",
    "RandomForest",
    "ExtraTrees",
    "GradientBoosting",
    "HistGradientBoosting",
    "AdaBoost",
    "SVC",
    "GaussianProcess",
    "XGBoost",
    "LightGBM",
    "CatBoost",
]


def detect(
    *,
    out: Path = Path("detection"),
    sets: Annotated[tuple[Set, ...], CHOICES] = (),
    data: Path | None = None,
    target: str | None = None,
    ood: Path | None = None,
    models: Annotated[tuple[Model, ...], CHOICES] = (),
    seeds: int = 5,
    dask: str | None = None,
) -> None:
    """Compare classifiers, scores and detectors on real data: where each ends, and how well it tells familiar rows from others.

    Parameters
    ----------
    out
        Folder for the results.
    sets
        Data sets that scikit-learn ships; all of them without it.
    data
        CSV file of your own, in place of these.
    target
        Column of the labels in it.
    ood
        CSV file of rows that are foreign to it, with the same columns.
    models
        The paper's models by their published names, and families of classifiers, in any case. Without it NN and NNEnsemble,
        and in the table of where each ends all families that are installed.
    seeds
        Repetitions of the split and the training.
    dask
        Work on a Dask cluster: the address of its scheduler, or local for a process on each core.
    """
    check_together({"--data": data, "--target": target, "--ood": ood})
    check_whole("--seeds", seeds, 1)
    check_results(out)
    from knowlimits.studies.tables.detect import run
    from knowlimits.studies.tables.families import check_installed
    from knowlimits.studies.tables.sets import SETS, load_set, own_set

    with option("--models"):
        check_installed(models)
    if data is not None and target is not None and ood is not None:
        chosen = [own_set(data, target, ood)]
    else:
        chosen = [load_set(name) for name in sets or SETS]
    run(out, chosen, models or None, seeds, dask)
    print(f"Tables, figures and their explanation: {out / 'summary.md'}")

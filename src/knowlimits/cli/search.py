"""`knowlimits search`: hyperparameters."""

from pathlib import Path
from typing import Annotated, Literal

from knowlimits.cli.mistakes import UsageError, option
from knowlimits.cli.preamble import CHOICE, Models, check_device, check_results, check_seed, check_together, check_whole

# Those of `knowlimits.train.search`, which takes long to load; a test keeps them together.
Objective = Literal["auc", "log_loss", "accuracy", "published"]
Sampler = Literal["random", "tpe", "gp"]


def search(
    *,
    out: Path = Path("search"),
    models: Models = (),
    trials: int | None = None,
    repeats: int = 5,
    objective: Annotated[Objective, CHOICE] = "auc",
    sampler: Annotated[Sampler, CHOICE] = "random",
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
        Models by their published names, in any case. PlattScalingNN and the ensembles have no search of their own: NN's winner
        serves them.
    trials
        Trials of each model; without it the paper's 200, 100 and 250.
    repeats
        How many times each trial is trained, on splits of its own.
    objective
        What is best, on held-out data; published is the AUC on the training data.
    sampler
        How trials are drawn; the paper's is random.
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
    check_together({"--data": data, "--target": target})
    check_whole("--trials", 1 if trials is None else trials, 1)
    check_whole("--repeats", repeats, 1)
    check_seed(seed)
    check_results(out)
    from knowlimits.studies.search.hyperparameters import FOLLOWERS
    from knowlimits.studies.search.study import run, spaces

    check_device(device)
    with option("--space"):
        plans = spaces(space)
    names = list(models) or list(plans)
    for name in names:
        if name in FOLLOWERS and name not in plans:
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

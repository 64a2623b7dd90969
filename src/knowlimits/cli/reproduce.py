"""`knowlimits reproduce`: the paper, end to end."""

from pathlib import Path

from knowlimits.cli.mistakes import option
from knowlimits.cli.preamble import MODELS, Models, check_device, check_results, check_whole


def reproduce(
    *,
    out: Path = Path("results"),
    models: Models = (),
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
        Models by their published names, in any case; all of them without it.
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
    names = list(models) or list(MODELS)
    check_whole("--seeds", seeds, 1)
    check_results(out, "config.json")
    from knowlimits.studies.paper.reproduce import reproduce as run
    from knowlimits.studies.paper.summary import quality_markdown

    check_device(device)
    parameters = None
    if hyperparameters is not None:
        from knowlimits.studies.search.hyperparameters import read_hyperparameters

        with option("--hyperparameters"):
            parameters = read_hyperparameters(hyperparameters)
    qualities = run(out, names, seeds, individual, device, True, parameters, dask)
    print(quality_markdown(qualities))
    print(f"\nFigures, tables and their explanation: {out / 'summary.md'}")

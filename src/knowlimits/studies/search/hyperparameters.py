"""Files of the best hyperparameters of a search, ours and those of the published code, which have its names."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from knowlimits.outputs import write_atomically
from knowlimits.studies import half_moons
from knowlimits.train.search import Trial

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


def write_hyperparameters(path: Path, trials: Sequence[Trial]) -> None:
    """Write the parameters of trials, the best first, with their values."""
    best = {
        str(trial.number): {
            "score": trial.value,
            "hyperparameters": {PUBLISHED.get(key, key): value for key, value in trial.parameters.items()},
        }
        for trial in trials
    }
    write_atomically(path, (json.dumps(best, indent=4) + "\n").encode())


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

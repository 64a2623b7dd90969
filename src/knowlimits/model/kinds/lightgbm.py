"""LightGBM's classifiers and boosters."""

from collections.abc import Sequence
from typing import Any

from knowlimits.model.asked import Asked
from knowlimits.model.boosters.lightgbm import read_lightgbm
from knowlimits.model.kinds.boosters import Answering, held, model_of, pair, read_as
from knowlimits.model.kinds.fitted import about, not_fitted
from knowlimits.model.kinds.refused import refused
from knowlimits.model.model import Model


def read_classifier(model: Any, asked: Asked) -> Model:
    """LGBMClassifier: as many rounds as it predicts with, which are those that it writes.

    Raises:
        ValueError: if it is not fitted, or has no probability for each class.
    """
    if not model.__sklearn_is_fitted__():
        raise not_fitted(model)
    if callable(model.objective):
        raise ValueError(
            f"model must have an objective that gives a probability for each class. Got {type(model).__name__} with one of its "
            "own: fit it with 'binary' or 'multiclass'."
        )
    if model.get_params().get("pred_early_stop"):
        raise ValueError(
            f"model must add up all its trees. Got {type(model).__name__} with pred_early_stop, which leaves some out: set it "
            "to False."
        )
    with read_as(f"model cannot be read. Got {type(model).__name__}, which"):
        found = read_lightgbm(model.booster_.model_to_string(), labelled(asked.rows))
    return held(model_of(found, type(model).__name__, about(model), asked.rows), model, asked)


def read_booster(model: Any, asked: Asked) -> Model:
    """A Booster, up to its best round, as it predicts."""
    with read_as("model cannot be read. Got Booster, which"):
        found = read_lightgbm(model.model_to_string(), labelled(asked.rows))
    answering = Answering(lambda X: pair(model.predict(X, num_threads=1)))
    return held(model_of(found, "Booster", {}, asked.rows), answering, asked)


def labelled(rows: Any) -> Sequence[int] | None:
    """The columns of rows that have categories, as LightGBM looks for them; None where there are no rows."""
    if rows is None:
        return None
    if not hasattr(rows, "dtypes") or not hasattr(rows, "iloc"):
        return ()
    return tuple(place for place, dtype in enumerate(rows.dtypes) if hasattr(dtype, "categories"))


#: By the names of classes in the registry.
LIGHTGBM = {
    "lightgbm.LGBMClassifier": read_classifier,
    "lightgbm.Booster": read_booster,
    "lightgbm.LGBMRanker": refused("which ranks rows"),
}

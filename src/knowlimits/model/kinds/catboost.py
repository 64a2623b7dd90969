"""CatBoost's classifiers."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from knowlimits.model.asked import Asked
from knowlimits.model.boosters.catboost import read_catboost
from knowlimits.model.kinds.boosters import held, model_of, read_as
from knowlimits.model.kinds.fitted import about, not_fitted
from knowlimits.model.kinds.refused import refused
from knowlimits.model.model import Model


def read_classifier(model: Any, asked: Asked) -> Model:
    """CatBoostClassifier without categories.

    Raises:
        ValueError: if it is not fitted, or has no probability for each class.
    """
    if not model.is_fitted():
        raise not_fitted(model)
    with read_as(f"model cannot be read. Got {type(model).__name__}, which"):
        found = read_catboost(document_of(model))
    return held(model_of(found, type(model).__name__, about(model), asked.rows), model, asked)


def document_of(model: Any) -> Any:
    """The text of a model, which CatBoost writes to files alone."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        return json.loads(path.read_bytes())


#: By the names of classes in the registry.
CATBOOST = {
    "catboost.CatBoostClassifier": read_classifier,
    "catboost.CatBoostRegressor": refused("which is a regressor"),
    "catboost.CatBoostRanker": refused("which ranks rows"),
}

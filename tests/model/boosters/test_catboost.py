from typing import Any

import numpy as np
import pytest

from knowlimits.model.boosters.catboost import read_catboost
from knowlimits.model.families.family import Family

FEATURES = [
    {"flat_feature_index": 2, "feature_id": "c", "nan_value_treatment": "AsTrue"},
    {"flat_feature_index": 0, "feature_id": "a", "nan_value_treatment": "AsFalse"},
]
SPLITS = [
    {"split_type": "FloatFeature", "float_feature_index": 0, "border": 0.5},
    {"split_type": "FloatFeature", "float_feature_index": 1, "border": 2.0},
]
DOCUMENT = {
    "model_info": {"params": {"loss_function": {"type": "Logloss"}}},
    "features_info": {"float_features": FEATURES},
    "scale_and_bias": [2.0, [10.0]],
    "oblivious_trees": [{"splits": SPLITS, "leaf_values": [0, 1, 2, 3]}, {"splits": None, "leaf_values": [100]}],
}


def family(document: dict[str, Any]) -> Family:
    module = read_catboost(document).module
    assert isinstance(module, Family)
    return module


def test_a_split_is_a_bit_and_gaps_are_below_or_above_by_column():
    found = family(DOCUMENT)
    x = np.array([[2.0, 9.0, 0.5], [2.0, 9.0, 0.6], [2.1, 9.0, 0.5], [2.1, 9.0, 0.6], [np.nan, np.nan, np.nan]])
    assert found.at(x).ravel().tolist() == [210, 212, 214, 216, 212]
    # In single precision the next double is the border itself.
    x[1, 2] = np.nextafter(0.5, 1)
    assert found.at(x[1:2]).item() == 210
    assert read_catboost(DOCUMENT).columns == 3


def test_no_trees_are_a_constant():
    found = family(DOCUMENT | {"oblivious_trees": []})
    assert found.at(np.zeros((2, 3))).ravel().tolist() == [10, 10]
    assert found.along(np.zeros((1, 3)), np.ones((1, 3))).radius.tolist() == [0]


def tree(**changed: Any) -> dict[str, Any]:
    return {"oblivious_trees": [DOCUMENT["oblivious_trees"][0] | changed]}


DAMAGED = {
    "a bias": ({"scale_and_bias": [1.0, [np.nan]]}, "a bias that is no finite number"),
    "a leaf": (tree(leaf_values=[0, 1, 2, np.inf]), "a leaf whose value is no finite number"),
    "a leaf too few": (tree(leaf_values=[0, 1, 2]), "leaves are not those of its splits"),
    "a depth": (tree(splits=SPLITS * 20), "too deep"),
    "a column": (tree(splits=[SPLITS[0], SPLITS[1] | {"float_feature_index": 2}]), "float_feature_index"),
    "a border": (tree(splits=[SPLITS[0], SPLITS[1] | {"border": np.nan}]), "a border that is no number"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_refused(name: str):
    changed, said = DAMAGED[name]
    with pytest.raises(ValueError, match=said):
        read_catboost(DOCUMENT | changed)

"""Boosted classifiers in files, which may come from anybody.

They are read without their libraries, checked on the way, and held to what their library itself predicts where it is installed.
That happens in a process of its own, as what it is given may end it.
"""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from knowlimits.files.boosters.apart import catboost_json, installed, own_predictions
from knowlimits.model.boosters.boosted import Boosted, entry, numbers, require, whole_number
from knowlimits.model.boosters.catboost import read_catboost
from knowlimits.model.boosters.lightgbm import read_lightgbm
from knowlimits.model.boosters.ubjson import decoded
from knowlimits.model.boosters.xgboost import read_xgboost
from knowlimits.model.content import FileContent
from knowlimits.model.kinds.boosters import likely_rows, model_of, pair, read_as
from knowlimits.model.kinds.xgboost import of_margins
from knowlimits.model.model import Model
from knowlimits.model.proof import check_predictions

# XGBoost's versions that have been looked at.
_NEWEST = 3
_MOST_ROUNDS = 10**9
# Columns of rows that are made up to hold a reading to.
_WIDEST = 100_000


def read_json(content: bytes, name: str) -> Model:
    """The classifier in a JSON file of XGBoost or CatBoost.

    Raises:
        ValueError: if it is damaged, foreign, or none of a classifier that can be read.
    """
    with read_as(name):
        document = _parsed(content)
        if isinstance(document, dict) and "learner" in document:
            return _xgboost(document, content, ".json")
        require(
            not (isinstance(document, dict) and "tree_info" in document),
            "is what LightGBM's dump_model writes, which does not say all: write it with save_model",
        )
        good = isinstance(document, dict) and "features_info" in document
        require(good, "is no model of XGBoost (which has an entry learner) or CatBoost (features_info)")
        return _held(read_catboost(document), content, ".json")


def read_ubjson(content: bytes, name: str) -> Model:
    """The classifier in a UBJSON file of XGBoost."""
    with read_as(name):
        return _xgboost(decoded(content), content, ".ubj")


def read_text(content: bytes, name: str) -> Model:
    """The classifier in a text file of LightGBM."""
    with read_as(name):
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise ValueError("is no text in UTF-8") from None
        require(text.startswith("tree"), "is no model of LightGBM, whose first line is tree")
        return _held(read_lightgbm(text), content, ".txt")


def read_cbm(content: bytes, name: str) -> Model:
    """The classifier in a binary file of CatBoost, which CatBoost itself makes JSON of.

    Raises:
        ImportError: without CatBoost.
        ValueError: if it is damaged, or none of a classifier that can be read.
    """
    if not installed("catboost"):
        raise ImportError(
            f"reading {name} needs the package catboost: pip install catboost, or write it with save_model(format='json')"
        )
    with read_as(name):
        return _held(read_catboost(_parsed(catboost_json(content))), content, ".cbm")


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"is no complete JSON document: {error}") from None


def _xgboost(document: Any, content: bytes, suffix: str) -> Model:
    version = numbers(entry(document, "version"), "a version", whole=True)
    newest = int(version[0]) if len(version) else 0
    require(newest <= _NEWEST, f"is of XGBoost {newest}, and up to {_NEWEST} is known: install a newer knowlimits")
    said = entry(document, "learner", kind=dict).get("attributes", {})
    rounds = None
    # What XGBClassifier wrote it predicts with up to its best round, and a Booster with all.
    if isinstance(said, dict) and "scikit_learn" in said and "best_iteration" in said:
        rounds = 1 + whole_number(said["best_iteration"], "best_iteration", _MOST_ROUNDS)
    return _held(read_xgboost(document, rounds), content, suffix, rounds)


def _held(found: Boosted, content: bytes, suffix: str, rounds: int | None = None) -> Model:
    """A model of what was read, held to the library's own predictions where it is installed."""
    package = found.library.lower()
    if installed(package) and found.columns <= _WIDEST:
        alone = model_of(Boosted(found.library, found.module, found.columns), found.library, {})
        rows = likely_rows(alone)
        own = own_predictions(package, content, suffix, rows, rounds)
        own = of_margins(own) if package == "xgboost" else pair(own)
        check_predictions(alone.predict_proba(rows), own.astype(np.float32), f"prediction of {found.library}")
    return dataclasses.replace(model_of(found, found.library, {}), files=(FileContent(suffix, content),))


#: By the usual endings of files.
READERS: dict[str, Callable[[bytes, str], Model]] = {
    ".json": read_json,
    ".ubj": read_ubjson,
    ".txt": read_text,
    ".cbm": read_cbm,
}

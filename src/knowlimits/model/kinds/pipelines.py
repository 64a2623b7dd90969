"""Pipelines of scikit-learn and of imbalanced-learn."""

import dataclasses
from typing import Any

from knowlimits.model.asked import Asked
from knowlimits.model.chains import Chain
from knowlimits.model.kinds.fitted import about, columns_of, not_fitted, proven
from knowlimits.model.model import Model
from knowlimits.model.steps import Steps


def read_pipeline(model: Any, asked: Asked) -> Model:
    """Steps, and what the last one is, which may have steps of its own.

    Raises:
        ValueError: if it is not fitted, or ends in no classifier.
    """
    *before, last = [step for _, step in model.steps]
    if last is None or isinstance(last, str):
        raise ValueError(f"model must end in a classifier. Got a {type(model).__name__} that ends in {last!r}.")
    if not model.__sklearn_is_fitted__():
        raise not_fitted(model)
    # A pipeline itself knows none where its first step does nothing.
    acting = Chain.of(before).transformers
    first = acting[0] if acting else last
    found = {**about(model), **columns_of(first)}
    if found["n_features_in_"] is None and asked.rows is not None and len(shape := getattr(asked.rows, "shape", ())) == 2:
        found["n_features_in_"] = shape[1]
    part = asked.read(last, asked.rows if not acting or asked.rows is None else Chain(acting).quietly(asked.rows))
    inside = () if part.steps is None else part.steps.chain.transformers
    steps = None
    if acting or inside:
        if found["n_features_in_"] is None:
            raise ValueError(
                f"X must be given, a few rows of the table, as {type(first).__name__} does not say how many columns it takes."
            )
        steps = Steps.of([*acting, *inside], asked.rows, found["n_features_in_"], found["feature_names_in_"], gaps=part.gaps)
    own = None if part.own is None else model
    said = {name: value for name, value in found.items() if value is not None}
    return proven(dataclasses.replace(part, steps=steps, own=own, **said), model, asked)

"""Imputers and encoders of scikit-learn as ONNX, for skl2onnx, which has their numbers in float32 or as whole numbers.

A gap among texts is `NO_TEXT` in a file. A category that no row had is none of them, as with `handle_unknown="ignore"`.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from knowlimits.files.export.graph import ML, ML_OPSET, NO_TEXT, OPSET, Draft
from knowlimits.model.tables import is_gap


def encoders() -> tuple[dict[type, Callable], dict[type, Callable]]:
    """Converters, and functions that say of their outputs what they are, by the classes of transformers."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

    functions = {SimpleImputer: _convert_imputer, OneHotEncoder: _convert_one_hot, OrdinalEncoder: _convert_ordinal}
    return functions, {SimpleImputer: _shape_of_imputer, OneHotEncoder: _shape_of_names, OrdinalEncoder: _shape_of_names}


def add(container: Any, draft: Draft) -> None:
    """What was written here as a part of what skl2onnx writes."""
    container.nodes += draft.nodes
    container.initializers += draft.tensors
    for node in draft.nodes:
        container.node_domain_version_pair_sets.add((node.domain, ML_OPSET if node.domain else OPSET))


def _shape_of_names(operator: Any) -> None:
    """Numbers in float64, as many as there are names of them."""
    from skl2onnx.common.data_types import DoubleTensorType

    rows = operator.inputs[0].type.shape[0]
    operator.outputs[0].type = DoubleTensorType([rows, len(operator.raw_operator.get_feature_names_out())])


def _shape_of_imputer(operator: Any) -> None:
    """As many columns as it gives, of their own type."""
    first = operator.inputs[0].type
    operator.outputs[0].type = type(first)([first.shape[0], len(operator.raw_operator.get_feature_names_out())])


def _columns(draft: Draft, operator: Any) -> Iterator[tuple[str, bool]]:
    """Each column that goes into a transformer, ``(N, 1)``, and whether it has texts."""
    from skl2onnx.common.data_types import DoubleTensorType, StringTensorType

    for one in operator.inputs:
        if not isinstance(one.type, DoubleTensorType | StringTensorType):
            raise NotImplementedError(f"{type(operator.raw_operator).__name__} takes numbers in float64 and texts alone")
        width = _width(one)
        for place in range(width):
            name = one.full_name if width == 1 else draft.call("Gather", one.full_name, draft.constant([place]), axis=1)
            yield name, isinstance(one.type, StringTensorType)


def _width(variable: Any) -> int:
    """How many columns a variable of skl2onnx has."""
    return int(variable.type.shape[1])


def _convert_imputer(scope: Any, operator: Any, container: Any) -> None:
    imputer: Any = operator.raw_operator
    draft = Draft(prefix=scope.get_unique_variable_name("imputer") + "/")
    values, filled, marks = imputer.statistics_.tolist(), [], []
    marked = [] if imputer.indicator_ is None else imputer.indicator_.features_.tolist()
    for place, (x, text) in enumerate(_columns(draft, operator)):
        value, gaps = values[place], _gaps(draft, x, text, imputer.missing_values)
        if place in marked:
            if text:
                raise NotImplementedError("SimpleImputer with add_indicator=True has no counterpart for texts")
            marks.append(draft.cast(gaps, "DOUBLE"))
        # A column without any value is left out, unless it is to be kept.
        if not is_gap(value):
            fill = np.array([str(value)], dtype=object) if text else np.array([value], dtype=np.float64)
            filled.append(draft.call("Where", gaps, draft.constant(fill), x))
    draft.call("Concat", *filled, *marks, axis=1, result=operator.outputs[0].full_name)
    add(container, draft)


def _gaps(draft: Draft, x: str, text: bool, missing: Any) -> str:
    """Which of a column are missing, ``(N, 1)``."""
    if text:
        key = NO_TEXT if is_gap(missing) else missing
        return draft.cast(
            draft.call("LabelEncoder", x, domain=ML, keys_strings=[key], values_int64s=[1], default_int64=0), "BOOL"
        )
    return draft.call("IsNaN", x) if is_gap(missing) else draft.call("Equal", x, draft.constant(np.float64(missing)))


def _convert_one_hot(scope: Any, operator: Any, container: Any) -> None:
    encoder = operator.raw_operator
    draft = Draft(prefix=scope.get_unique_variable_name("one_hot") + "/")
    parts = []
    for place, (x, text) in enumerate(_columns(draft, operator)):
        categories = encoder.categories_[place].tolist()
        infrequent = getattr(encoder, "infrequent_categories_", [None] * (place + 1))[place]
        rare = [] if infrequent is None else list(infrequent)
        frequent = [category for category in categories if category not in rare]
        # From categories, and from none of them, to columns; those that are rare share the last one.
        table = np.zeros((len(categories) + 1, len(frequent) + bool(rare)))
        for row, category in enumerate(categories):
            table[row, -1 if category in rare else frequent.index(category)] = 1
        if rare and encoder.handle_unknown in ("infrequent_if_exist", "warn"):
            table[-1, -1] = 1
        dropped = None if encoder.drop_idx_ is None else encoder.drop_idx_[place]
        table = table if dropped is None else np.delete(table, int(dropped), axis=1)
        if table.shape[1]:
            hot = draft.call("Concat", *_hot(draft, x, text, categories), axis=1)
            parts.append(draft.call("MatMul", hot, draft.constant(table)))
    draft.call("Concat", *parts, axis=1, result=operator.outputs[0].full_name)
    add(container, draft)


def _convert_ordinal(scope: Any, operator: Any, container: Any) -> None:
    encoder = operator.raw_operator
    if any(one is not None for one in getattr(encoder, "infrequent_categories_", [])):
        raise NotImplementedError("OrdinalEncoder with infrequent categories has no counterpart")
    unknown = np.nan if encoder.unknown_value is None else encoder.unknown_value
    draft = Draft(prefix=scope.get_unique_variable_name("ordinal") + "/")
    parts = []
    for place, (x, text) in enumerate(_columns(draft, operator)):
        categories = encoder.categories_[place].tolist()
        hot, none = _hot(draft, x, text, categories)
        codes = draft.call("MatMul", hot, draft.constant(np.arange(len(categories), dtype=np.float64)[:, None]))
        codes = draft.call("Where", draft.cast(none, "BOOL"), draft.constant(np.float64(unknown)), codes)
        if any(map(is_gap, categories)):
            missing = draft.constant(np.float64(encoder.encoded_missing_value))
            codes = draft.call("Where", _gaps(draft, x, text, np.nan), missing, codes)
        parts.append(codes)
    draft.call("Concat", *parts, axis=1, result=operator.outputs[0].full_name)
    add(container, draft)


def _hot(draft: Draft, x: str, text: bool, categories: list[Any]) -> tuple[str, str]:
    """Whether a column has each category, ``(N, categories)``, and whether it has none, ``(N, 1)``, as 0.0 or 1.0."""
    if text:
        keys = [NO_TEXT if is_gap(category) else category for category in categories]
        if len(set(keys)) < len(keys) or not all(isinstance(key, str) for key in keys):
            raise NotImplementedError("categories of a column of texts must be texts, and not both empty and missing")
        places = list(range(len(keys)))
        codes = draft.call("LabelEncoder", x, domain=ML, keys_strings=keys, values_int64s=places, default_int64=-1)
        equal = draft.call("Equal", codes, draft.constant(np.array([places], dtype=np.int64)))
    else:
        numbers = np.array([np.nan if is_gap(category) else category for category in categories], dtype=np.float64)
        equal = draft.call("Equal", x, draft.constant(numbers[None]))
        if (gaps := np.isnan(numbers)).any():
            missing = draft.call("And", draft.call("IsNaN", x), draft.constant(gaps[None]))
            equal = draft.call("Or", equal, missing)
    hot = draft.cast(equal, "DOUBLE")
    return hot, draft.call("Sub", draft.constant(np.float64(1)), draft.call("ReduceMax", hot, draft.constant([1]), keepdims=1))

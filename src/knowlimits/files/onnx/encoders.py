"""Steps before classifiers, of the domain ai.onnx.ml: what fills gaps, encodes whole numbers, compares and normalizes."""

import math
from typing import Any

import torch
from torch import Tensor, fx

from knowlimits.files.onnx.arithmetic import cast
from knowlimits.files.onnx.building import Operation, Operator
from knowlimits.files.onnx.norms import of_length_one
from knowlimits.files.onnx.sizes import allow
from knowlimits.follow import UnsupportedOperation
from knowlimits.follow.domain import Traced


def imputed(x: Tensor, values: Tensor, replaced: float) -> Tensor:
    """Numbers in place of gaps, or of one number."""
    return torch.where(torch.isnan(x) if math.isnan(replaced) else x == replaced, values.expand(x.shape), x)


def one_hot(x: Tensor, categories: Tensor, zeros: bool) -> Tensor:
    """For each number along a new axis 1 at the place of its category, and 0 at all others."""
    allow([*x.shape, len(categories)])
    found = (torch.trunc(x)[..., None] == categories).to(torch.float64)
    if not zeros and not isinstance(found, Traced) and bool((found.sum(-1) == 0).any()):
        raise ValueError("OneHotEncoder must be given categories that it knows, as it says. Got others")
    return found


def encoded(x: Tensor, keys: Tensor, values: Tensor, default: float) -> Tensor:
    """For each number that of its key, or a default."""
    allow([*x.shape, len(keys)])
    found = (x[..., None] == keys).to(torch.float64)
    return found @ values + (1 - found.sum(-1)) * default


def binarized(x: Tensor, threshold: float) -> Tensor:
    """1 where numbers are larger than a threshold, else 0."""
    return (x > threshold).to(torch.float64)


def _imputer(o: Operation) -> Any:
    (x,), node = o.take(1), o.node
    whole = node.integers("imputed_value_int64s")
    values = node.numbers("imputed_value_floats") if whole is None else torch.tensor(whole, dtype=torch.float64)
    if values is None or not len(values) or not bool(values.isfinite().all()):
        raise ValueError("what it puts in place of gaps must be finite numbers")
    replaced = node.value("replaced_value_float" if whole is None else "replaced_value_int64")
    result = o.call(imputed, o.call(cast, x, "float"), values, 0.0 if replaced is None else float(replaced))
    return _as_integers(o, result, x)


def _as_integers(o: Operation, result: Any, x: Any) -> Any:
    """A result that is of integers if its input is."""
    if isinstance(result, fx.Node) and x in o.building.integers:
        o.building.integers.add(result)
    return result


def _one_hot(o: Operation) -> Any:
    categories = o.node.integers("cats_int64s")
    if not categories or len(set(categories)) < len(categories):
        raise UnsupportedOperation("its categories must be whole numbers, each there once: encode texts before the model")
    known = torch.tensor(categories, dtype=torch.float64)
    return o.call(one_hot, o.call(cast, *o.take(1), "float"), known, bool(o.node.get("zeros", 1)))


def _label_encoder(o: Operation) -> Any:
    sides = []
    for side in ("keys", "values"):
        floats, whole = o.node.numbers(f"{side}_floats"), o.node.integers(f"{side}_int64s")
        sides.append(floats if whole is None else torch.tensor(whole, dtype=torch.float64))
    keys, values = sides
    if keys is None or values is None:
        raise UnsupportedOperation("it must be from numbers to numbers, as lists: encode texts before the model")
    if not len(keys) or len(keys) != len(values) or len(set(keys.tolist())) < len(keys):
        raise ValueError(f"{len(keys)} keys do not go with {len(values)} values, or are there twice")
    if not bool(keys.isfinite().all() and values.isfinite().all()):
        raise UnsupportedOperation("its keys and values must be finite")
    whole = o.node.value("values_int64s") is not None
    default = float(o.node.get("default_int64", -1)) if whole else o.node.get("default_float", -0.0)
    result = o.call(encoded, o.call(cast, *o.take(1), "float"), keys, values, default)
    if whole and isinstance(result, fx.Node):
        o.building.integers.add(result)
    return result


def _binarizer(o: Operation) -> Any:
    return o.call(binarized, o.call(cast, *o.take(1), "float"), o.node.get("threshold", 0.0))


def _normalizer(o: Operation) -> Any:
    norm = o.node.get("norm", "MAX")
    if norm not in ("L1", "L2"):
        raise UnsupportedOperation(
            f"norm must be L1 or L2. Got {norm} instead: whether the largest number counts with its sign ONNX leaves open"
        )
    return o.call(of_length_one, o.call(cast, *o.take(1), "float"), -1, int(norm[1]))


TABLE = {
    "Imputer": Operator(_imputer, takes_integers=True),
    "OneHotEncoder": Operator(_one_hot, takes_integers=True),
    "LabelEncoder": Operator(_label_encoder, takes_integers=True),
    "Binarizer": Operator(_binarizer, takes_integers=True),
    "Normalizer": Operator(_normalizer, takes_integers=True),
}

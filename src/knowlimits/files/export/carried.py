"""What an ONNX file says of the guard in it, beside the operators: its numbers once more, by their names.

Operators say that a row is refused, and not why. So the numbers that they were made of stand among the file's properties, as
JSON, arrays as the bytes of float64 in base64, and come back as a guard that knows its rows and has no model.
"""

import base64
import binascii
import json
import math
from typing import Any

import numpy as np

from knowlimits.files.budget import MOST_STEPS
from knowlimits.ood.remedies.guard import Guard

#: Under which the property stands.
KEY = "knowlimits.guard"
_VERSION = 1
_ENTRIES = ("version", "arrays", "columns")
# Products for a number of a factor and each of its columns, as singular values take them; and products in a step.
_PRODUCTS, _PER_STEP = 20, 32


def said(guard: Guard) -> dict[str, str]:
    """What the properties of a file are to say of a fitted guard, by key."""
    arrays, columns = guard.state()
    packed = {name: _packed(array) for name, array in arrays.items()}
    return {KEY: json.dumps({"version": _VERSION, "arrays": packed, "columns": columns})}


def carried(content: bytes, name: str) -> Guard:
    """The guard in a file, without its model: it knows which rows it accepts, how unfamiliar they are, and why.

    Args:
        content: of the file.
        name: of the file, for messages.

    Raises:
        ValueError: if it is no ONNX file, has no guard, or what it says of it is damaged.
        ImportError: if the package onnx is not installed.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise ImportError(f"reading {name} needs the package onnx: pip install 'know-your-limits[onnx]'") from None
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, UnicodeDecodeError):
        raise ValueError(f"{name} is no ONNX file, or an incomplete one.") from None
    found = [entry.value for entry in model.metadata_props if entry.key == KEY]
    if not found:
        raise ValueError(
            f"{name} must have a guard. Got a file without one: knowlimits guard makes one, and so does "
            "knowlimits.export(knowlimits.Guard(model).fit(X), path)."
        )
    try:
        return _guard(json.loads(found[0]))
    except RecursionError:
        raise ValueError(f"{name} has a damaged guard: it is nested too deeply.") from None
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        # Whatever else a lie may bring about on its way to a guard.
        text = " ".join(str(error).split())[:200]
        raise ValueError(f"{name} has a damaged guard: {text}") from None


def _guard(about: Any) -> Guard:
    _require(isinstance(about, dict) and "version" in about, "no version")
    newer = isinstance(about["version"], int) and about["version"] > _VERSION
    _require(not newer, f"format {about['version']}: install a newer knowlimits")
    _require(about["version"] == _VERSION and set(about) == set(_ENTRIES), f"entries other than {', '.join(_ENTRIES)}")
    _require(isinstance(about["arrays"], dict), "arrays that are no object")
    arrays = {name: _array(packed) for name, packed in about["arrays"].items()}
    # Singular values of square factors, one for each component.
    shape = np.shape(arrays["factors"])
    steps = math.prod(shape) * (shape[-1] if shape else 1) * _PRODUCTS / _PER_STEP
    _require(steps <= MOST_STEPS, f"factors of shape {shape}, which are too many numbers to be checked")
    return Guard(_Elsewhere()).restored(arrays, about["columns"], classes=np.zeros(0))


class _Elsewhere:
    """Stands for the model, which is in the operators of the file."""

    def predict(self, X: Any) -> Any:
        """Nothing.

        Raises:
            ValueError: always.
        """
        raise ValueError("the model of this guard is in the operators of its ONNX file: run them by onnxruntime.")

    predict_proba = predict


def _packed(array: np.ndarray) -> list[Any]:
    return [list(array.shape), base64.b64encode(np.ascontiguousarray(array, dtype="<f8").tobytes()).decode()]


def _array(packed: Any) -> np.ndarray:
    _require(isinstance(packed, list) and len(packed) == 2, "an array that is not its shape and its bytes")
    shape, text = packed
    _require(isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape), "an array without a shape")
    try:
        array = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8")
    except binascii.Error:
        raise ValueError("Got an array that is no base64.") from None
    _require(array.size == math.prod(shape), "an array of another size than its shape says")
    return array.astype(np.float64).reshape(shape)


def _require(true: bool, otherwise: str) -> None:
    if not true:
        raise ValueError(f"it must be what was written. Got {otherwise}.")

"""Our own format: fitted classifiers, and guards of them, as safetensors with a JSON header, never pickle.

A file may come from anybody. What its header says is held against its tensors, and against the header that the model which
comes of it would be written with, so that nothing in it can mean something else than it says. Memory and time are bounded by
the size of the file.
"""

import itertools
import json
import math
import os
import re
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from knowlimits.model.stack import Stack
from knowlimits.ood.remedies.guard import Guard
from knowlimits.outputs import check_output, write_atomically
from knowlimits.train import classifiers
from knowlimits.train.classifiers.checks import check_device

_VERSION = 1
_KEY = "knowlimits"
_GUARD = ("components", "width", "tolerance", "random_state")
_FIELDS = ("version", "class", "parameters", "classes", "classes_dtype", "feature_names", "n_epochs", "validation_loss")
# Labels as numpy has them; text of at most 999 letters, as each prediction takes as much memory as the longest.
_DTYPES = re.compile(r"object|\|b1|\|[iu]1|[<>][iu][248]|[<>]f[248]|[<>]U[1-9]\d{0,2}")


def save(model: classifiers.StackClassifier | Guard, path: str | os.PathLike) -> None:
    """Write a fitted classifier, or a guard of one, to a safetensors file; `load` reads it back.

    Raises:
        TypeError: if `model` is not a fitted classifier of this library, or a parameter or label has no form in JSON.
        ValueError: if a weight is not finite.
        OSError: if the file cannot be written, or is neither a file nor a character device.
    """
    check_output(path)
    write_atomically(path, _pack(model))


def _pack(model: classifiers.StackClassifier | Guard) -> bytes:
    """The bytes of a file."""
    if isinstance(model, Guard):
        if not hasattr(model, "shift_"):
            raise TypeError("model must be fitted. Got a Guard that is not: call fit(X) first.")
        header, tensors = _parts(model.model)
        header["guard"] = _guard_parameters(model)
        tensors |= {f"guard.{key}": torch.from_numpy(value.copy()) for key, value in model.state().items()}
    else:
        header, tensors = _parts(model)
    for key, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(f"model must have finite numbers in {key}. Got some that are not.")
    return to_bytes(tensors, metadata={_KEY: json.dumps(header)})


def unpack(path: str | os.PathLike, device: str = "cpu") -> classifiers.StackClassifier | Guard:
    """The classifier or guard in a file.

    Raises:
        ValueError: if the file is foreign, damaged or of a newer format, or the device cannot be used.
        OSError: if it cannot be read.
    """
    check_device(device)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a complete safetensors file: {error}") from None
    if _KEY not in metadata:
        raise ValueError(f"{path} was not written by knowlimits.save: its header has no entry {_KEY!r}.")
    try:
        return _model(json.loads(metadata[_KEY]), tensors, device)
    except _NewerFormat as error:
        raise ValueError(f"{path} {error}") from None
    except RecursionError:
        raise ValueError(f"{path} has a damaged header: it is nested too deeply.") from None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        # Whatever else a lie may bring about on its way to a model.
        text = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} has a damaged header: {_short(text)}") from None


class _NewerFormat(Exception):
    pass


def _model(header: Any, tensors: dict[str, torch.Tensor], device: str) -> classifiers.StackClassifier | Guard:
    """What a header and tensors say, if they fit together.

    Raises:
        ValueError, TypeError, KeyError: if they do not.
    """
    _require(isinstance(header, dict), "it is no object")
    version = header["version"]
    _require(isinstance(version, int) and not isinstance(version, bool) and version > 0, "version is no whole number")
    if version > _VERSION:
        raise _NewerFormat(f"has format {version}. This version reads up to {_VERSION}: install a newer knowlimits.")
    unknown = set(header) - {*_FIELDS, "guard"}
    _require(not unknown, f"{sorted(unknown)} are unknown")
    name = header["class"]
    _require(isinstance(name, str) and name in classifiers.CLASSIFIERS, f"no class {name!r} is known")
    guarded = {key.removeprefix("guard."): tensors.pop(key) for key in list(tensors) if key.startswith("guard.")}
    _require(isinstance(header["parameters"], dict), "parameters is no object")
    parameters = dict(header["parameters"])
    if isinstance(parameters["class_weight"], dict):
        parameters["class_weight"] = dict(map(tuple, parameters["class_weight"]["pairs"]))
    if isinstance(parameters["hidden_sizes"], list):
        parameters["hidden_sizes"] = tuple(parameters["hidden_sizes"])
    model: Any = classifiers.CLASSIFIERS[name](**{**parameters, "device": device})
    model.stack_ = _stack(tensors).to(device)
    model.n_features_in_ = model.stack_.n_features
    model.classes_ = _labels(header["classes"], header["classes_dtype"], model.stack_.classes)
    if (names := header["feature_names"]) is not None:
        _require(
            isinstance(names, list) and len(names) == model.n_features_in_ and all(isinstance(n, str) for n in names),
            f"feature_names are not the names of {model.n_features_in_} features",
        )
        model.feature_names_in_ = np.array(names, dtype=object)
    epochs, losses = header["n_epochs"], header["validation_loss"]
    _require(_whole_numbers(epochs), "n_epochs are no whole numbers")
    _require(isinstance(losses, list) and all(map(_real_numbers, losses)), "validation_loss are no lists of numbers")
    model.n_epochs_ = np.array(epochs, dtype=np.int64)
    model.validation_loss_ = losses
    _check_same(header, _header(model), set(parameters) - {"device"})
    if "guard" not in header:
        _require(not guarded, "there are tensors of a guard, and none is named")
        return model
    return _guard(model, header["guard"], guarded)


def _stack(tensors: dict[str, torch.Tensor]) -> Stack:
    layers = range(len(tensors) // 2)
    names = [f"{kind}.{i}" for i in layers for kind in ("weights", "biases")]
    _require(bool(names) and set(tensors) == set(names), "the tensors are not the weights and biases of layers")
    for name, axes in zip(names, itertools.cycle((3, 2))):
        tensor = tensors[name]
        _require(tensor.dtype == torch.float64, f"{name} has numbers of type {tensor.dtype}, not float64")
        _require(tensor.ndim == axes and tensor.numel() > 0, f"{name} has the shape {tuple(tensor.shape)}")
        _require(bool(tensor.isfinite().all()), f"{name} has numbers that are not finite")
    return Stack([tensors[f"weights.{i}"] for i in layers], [tensors[f"biases.{i}"] for i in layers])


def _labels(labels: Any, dtype: Any, count: int) -> np.ndarray:
    _require(isinstance(labels, list) and len(labels) == count, f"classes are not {count} labels, one for each class")
    _require(isinstance(dtype, str) and _DTYPES.fullmatch(dtype) is not None, f"classes_dtype {dtype!r} is no type of labels")
    _require(all(isinstance(label, str | int | float | bool) for label in labels), "classes are no labels")
    if dtype[1:2] == "U":
        # The type is as long as the longest of them, whatever is said.
        _require(all(isinstance(label, str) for label in labels), "classes are no text")
        _require(max(map(len, labels)) <= int(dtype[2:]), f"classes do not fit in {dtype!r}")
        array = np.array(labels, dtype=dtype[:2])
    else:
        array = np.array(labels, dtype=dtype)
    _require(_text([_plain(label) for label in array]) == _text(labels), f"classes are not of the type {dtype!r}")
    _require(all(a < b for a, b in itertools.pairwise(labels)), "classes are not in order, each once")
    return array


def _guard(model: classifiers.StackClassifier, header: Any, tensors: dict[str, torch.Tensor]) -> Guard:
    _require(isinstance(header, dict) and set(header) == set(_GUARD), f"guard has not the entries {', '.join(_GUARD)}")
    _require(_whole_numbers(header["components"]) and min(header["components"], default=0) > 0, "components are no numbers")
    guard = Guard(model, **{**header, "components": tuple(header["components"])})
    for name in ("width", "tolerance"):
        value = header[name]
        _require(_real_numbers([value]) and math.isfinite(value), f"{name} of the guard is no number")
    _require(guard.width > 1 and guard.tolerance > 0, "width or tolerance of the guard is too small")
    seed = header["random_state"]
    _require(seed is None or _whole_numbers([seed]), "random_state of the guard is no whole number")
    for name, tensor in tensors.items():
        _require(tensor.dtype == torch.float64, f"guard.{name} has numbers of type {tensor.dtype}, not float64")
    return guard.restored({name: tensor.numpy() for name, tensor in tensors.items()})


def _header(model: classifiers.StackClassifier) -> dict[str, Any]:
    """What is said about a fitted classifier."""
    parameters = model.get_params(deep=False)
    if isinstance(parameters["random_state"], np.random.RandomState):
        # Its state is spent; what it led to is in the weights.
        parameters["random_state"] = None
    if isinstance(parameters["class_weight"], dict):
        parameters["class_weight"] = {"pairs": [[_plain(k), _plain(v)] for k, v in parameters["class_weight"].items()]}
    dtype = "object" if model.classes_.dtype == object else model.classes_.dtype.str
    if model.classes_.dtype.kind == "U":
        dtype = f"{dtype[:2]}{max(1, *map(len, model.classes_.tolist()))}"
    if not _DTYPES.fullmatch(dtype):
        raise TypeError(
            f"cannot be saved: labels of type {model.classes_.dtype}. Labels must be numbers or text of up to 999 letters."
        )
    return {
        "version": _VERSION,
        "class": type(model).__name__,
        "parameters": {key: _plain(value) for key, value in parameters.items()},
        "classes": [_plain(label) for label in model.classes_],
        "classes_dtype": dtype,
        "feature_names": list(getattr(model, "feature_names_in_", [])) or None,
        "n_epochs": model.n_epochs_.tolist(),
        "validation_loss": model.validation_loss_,
    }


def _parts(model: classifiers.StackClassifier) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Header and tensors of a fitted classifier."""
    kind = type(model)
    if not isinstance(model, classifiers.StackClassifier) or not hasattr(model, "stack_"):
        raise TypeError(f"model must be a fitted classifier of knowlimits. Got {type(model).__name__} instead.")
    if classifiers.CLASSIFIERS.get(kind.__name__) is not kind:
        raise TypeError(
            f"model must be of a registered class. Got {kind.__name__} instead: enter it in "
            "knowlimits.train.classifiers.CLASSIFIERS, under its name, here and wherever its files are loaded."
        )
    return _header(model), {key: tensor.detach().cpu().contiguous() for key, tensor in model.stack_.state_dict().items()}


def _guard_parameters(guard: Guard) -> dict[str, Any]:
    return {key: _plain(value) for key, value in guard.get_params(deep=False).items() if key in _GUARD}


def _check_same(header: dict[str, Any], own: dict[str, Any], parameters: set[str]) -> None:
    """Raise where a header says something else than that of the model which came of it."""
    for key in _FIELDS:
        if key not in ("parameters", "classes_dtype"):
            _require(_text(header[key]) == _text(own[key]), f"{key} cannot be what it says")
    for key in parameters:
        _require(_text(header["parameters"][key]) == _text(own["parameters"][key]), f"{key} cannot be what it says")


def _require(true: bool, otherwise: str) -> None:
    if not true:
        raise ValueError(f"{_short(otherwise)}.")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) < 200 else f"{text[:200]} ..."


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, int) and not isinstance(v, bool) and abs(v) < 2**63 for v in value)


def _real_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)


def _plain(value: Any) -> Any:
    """A value as JSON has it; numpy's numbers become Python's."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"cannot be saved: {value!r}. Parameters and labels must be numbers, strings, truth values or None.")

"""Files: fitted classifiers as safetensors with a JSON header, never pickle; those of others; and tables as CSV."""

import csv
import inspect
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from knowlimits import models
from knowlimits.formats.onnx import read_onnx
from knowlimits.formats.pt2 import pickled, read_pt2
from knowlimits.networks import Stack
from knowlimits.ood.guard import Guard

_VERSION = 1
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt")
_KEY = "knowlimits"
_GUARD = ("components", "width", "tolerance", "random_state")
_CLASSES = {name: getattr(models, name) for name in models.__all__ if inspect.isclass(getattr(models, name))}


def write_atomically(path: str | os.PathLike, content: bytes) -> None:
    """Write to a temporary file beside `path` and rename it, so that `path` is never half written."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        # mkstemp makes files that only their owner can read.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def save(model: models.StackClassifier | Guard, path: str | os.PathLike) -> None:
    """Write a fitted classifier, or a guard of one, to a safetensors file; `load` reads it back.

    Raises:
        TypeError: if `model` is not a fitted classifier of this library, or a parameter or label has no form in JSON.
        OSError: if the file cannot be written.
    """
    if isinstance(model, Guard):
        if not hasattr(model, "shift_"):
            raise TypeError("model must be fitted. Got a Guard that is not: call fit(X) first.")
        header, tensors = _parts(model.model)
        header["guard"] = {key: _plain(value) for key, value in model.get_params(deep=False).items() if key in _GUARD}
        tensors |= {f"guard.{key}": torch.from_numpy(value.copy()) for key, value in model.state().items()}
    else:
        header, tensors = _parts(model)
    write_atomically(path, to_bytes(tensors, metadata={_KEY: json.dumps(header)}))


def _parts(model: models.StackClassifier) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Header and tensors of a fitted classifier."""
    name = type(model).__name__
    if _CLASSES.get(name) is not type(model) or not hasattr(model, "stack_"):
        raise TypeError(f"model must be a fitted classifier of knowlimits. Got {model!r} instead.")
    parameters = model.get_params(deep=False)
    if isinstance(parameters["random_state"], np.random.RandomState):
        # Its state is spent; what it led to is in the weights.
        parameters["random_state"] = None
    if isinstance(parameters["class_weight"], dict):
        parameters["class_weight"] = {"pairs": [[_plain(k), _plain(v)] for k, v in parameters["class_weight"].items()]}
    header = {
        "version": _VERSION,
        "class": name,
        "parameters": {key: _plain(value) for key, value in parameters.items()},
        "classes": [_plain(label) for label in model.classes_],
        "classes_dtype": "object" if model.classes_.dtype == object else model.classes_.dtype.str,
        "feature_names": list(getattr(model, "feature_names_in_", [])) or None,
        "n_epochs": model.n_epochs_.tolist(),
        "validation_loss": model.validation_loss_,
    }
    return header, {key: tensor.detach().cpu().contiguous() for key, tensor in model.stack_.state_dict().items()}


def load(path: str | os.PathLike, device: str = "cpu") -> Any:
    """Read a classifier that `save` wrote, or one of others in an ONNX file (.onnx) or a `torch.export` program (.pt2).

    No code of a file runs: pickles are refused, and programs are screened first.

    Args:
        path: the file; its ending says what it is.
        device: torch device for a classifier of ours.

    Returns:
        A fitted classifier of ours, a `torch.nn.Module` that returns logits, or a `torch.export.ExportedProgram`.

    Raises:
        ValueError: if the file is foreign, damaged, of a newer format, or not what can be read safely.
        UnsupportedOperation: if an ONNX file has an operator that is not known.
        ImportError: if it is an ONNX file, and onnx is not installed.
        OSError: if it cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() in _PICKLES:
        raise ValueError(pickled(str(path)))
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    if path.suffix.lower() == ".onnx":
        return read_onnx(path.read_bytes(), str(path))
    if path.suffix.lower() == ".pt2":
        return read_pt2(path.read_bytes(), str(path))
    try:
        with safe_open(path, framework="pt", device=device) as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a complete safetensors file: {error}") from None
    if _KEY not in metadata:
        raise ValueError(f"{path} was not written by knowlimits.save: its header has no entry {_KEY!r}.")
    try:
        header = json.loads(metadata[_KEY])
        version = header["version"]
        if version > _VERSION:
            raise ValueError(f"{path} has format {version}. This version reads up to {_VERSION}: install a newer knowlimits.")
        parameters = header["parameters"]
        if isinstance(parameters["class_weight"], dict):
            parameters["class_weight"] = dict(map(tuple, parameters["class_weight"]["pairs"]))
        if isinstance(parameters["hidden_sizes"], list):
            parameters["hidden_sizes"] = tuple(parameters["hidden_sizes"])
        model = _CLASSES[header["class"]](**{**parameters, "device": device})
        guarded = {
            key.removeprefix("guard."): tensors.pop(key).cpu().numpy() for key in list(tensors) if key.startswith("guard.")
        }
        layers = range(len(tensors) // 2)
        model.stack_ = Stack([tensors[f"weights.{i}"] for i in layers], [tensors[f"biases.{i}"] for i in layers])
        model.classes_ = np.array(header["classes"], dtype=header["classes_dtype"])
        model.n_features_in_ = model.stack_.n_features
        if header["feature_names"]:
            model.feature_names_in_ = np.array(header["feature_names"], dtype=object)
        model.n_epochs_ = np.array(header["n_epochs"])
        model.validation_loss_ = header["validation_loss"]
        if "guard" in header:
            parameters: dict[str, Any] = {key: header["guard"][key] for key in _GUARD}
            parameters["components"] = tuple(parameters["components"])
            return Guard(model, **parameters).restored(guarded)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} has a damaged header: {error!r}") from None
    return model


def read_table(path: str | os.PathLike, target: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Read a CSV file of numbers and labels with a line of names on top.

    Args:
        path: the file.
        target: the column of labels, whole numbers or text.

    Returns:
        Features ``(n, d)``, labels ``(n,)`` and the names of the features.

    Raises:
        ValueError: if it is no such table; the text says where and why.
        OSError: if it cannot be read.
    """
    names, rows = _cells(path)
    if names.count(target) != 1:
        raise ValueError(f"{path} must have one column {target!r}. Got {', '.join(names)}.")
    at = names.index(target)
    labels = [row.pop(at).strip() for row in rows]
    if "" in labels:
        raise ValueError(f"{path}, row {labels.index('') + 2}, column {target!r}, must have a label. Got nothing.")
    del names[at]
    return _numbers(path, names, rows), _labels(labels), names


def _labels(texts: list[str]) -> np.ndarray:
    """Labels as whole numbers if all are, such as 1 or 1.0, else as text."""
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return np.array(texts)
    return np.array([int(number) for number in numbers] if all(n.is_integer() for n in numbers) else texts)


def read_numbers(path: str | os.PathLike) -> tuple[np.ndarray, list[str]]:
    """Read a CSV file of numbers with a line of names on top: values ``(n, d)`` and the names.

    Raises:
        ValueError: if it is no such table; the text says where and why.
        OSError: if it cannot be read.
    """
    names, rows = _cells(path)
    return _numbers(path, names, rows), names


def _cells(path: str | os.PathLike) -> tuple[list[str], list[list[str]]]:
    """The names of a table's columns, and its rows, which are as long."""
    try:
        rows = list(csv.reader(Path(path).read_text(encoding="utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a CSV file in UTF-8: {error}.") from None
    rows = [row for row in rows if row]
    if len(rows) < 2:
        raise ValueError(f"{path} must have a line of names and rows below it. Got {len(rows)} lines.")
    names = [name.strip() for name in rows[0]]
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise ValueError(f"{path}, row {number}, must have {len(names)} entries. Got {len(row)}.")
    return names, rows[1:]


def _numbers(path: str | os.PathLike, names: list[str], rows: list[list[str]]) -> np.ndarray:
    values = np.empty((len(rows), len(names)))
    for number, row in enumerate(rows):
        for k, entry in enumerate(row):
            try:
                values[number, k] = float(entry)
            except ValueError:
                what = "nothing" if not entry.strip() else repr(entry)
                raise ValueError(f"{path}, row {number + 2}, column {names[k]!r}, must be a number. Got {what}.") from None
    if not np.isfinite(values).all():
        row, k = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(f"{path}, row {row + 2}, column {names[k]!r}, must be finite. Got {values[row, k]}.")
    return values


def _plain(value: Any) -> Any:
    """A value as JSON has it; numpy's numbers become Python's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"cannot be saved: {value!r}. Parameters and labels must be numbers, strings, truth values or None.")

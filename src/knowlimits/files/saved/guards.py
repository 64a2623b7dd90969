"""Guards of models of any library: what the guard has learnt as tensors, and its model as files of the model's own library.

A guard is read back before it is written, and must answer as it does: what comes of a file is the guard that was saved.
"""

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowlimits.files.saved import parts
from knowlimits.files.saved.checked import (
    check_finite,
    has_entries,
    labels,
    plain,
    real_numbers,
    require,
    said_of_labels,
    whole_numbers,
)
from knowlimits.files.saved.envelope import damaged, opened, sealed
from knowlimits.files.saved.rows import drawn_rows
from knowlimits.files.skops import untrusted
from knowlimits.model.content import FileContent
from knowlimits.model.model import Model
from knowlimits.model.own import labelled
from knowlimits.model.read import read
from knowlimits.ood.columns import Columns
from knowlimits.ood.ranges import Ranges
from knowlimits.ood.remedies.guard import Guard

#: The version of the format in which guards are written.
VERSION = 2
_ENTRIES = ("version", "guard", "columns", "model", "classes", "classes_dtype")
_MODEL = ("parts", "listed")
_PART = ("form", "output", "outputs", "input_shape")
_PARAMETERS = ("components", "width", "tolerance", "keep", "ranges", "categories", "random_state", "outputs")
# Probabilities in single precision, as XGBoost has them, differ by so much from those in double.
_CLOSE = 1e-6


def guard_bytes(guard: Guard) -> bytes:
    """The file of a fitted guard, which has been read back and answers the same.

    Raises:
        TypeError: if it is not fitted, or its model has no file without code, or another one answers when it is read back.
        ValueError: if a number of it is not finite.
        ImportError: if a package that writes the model is not installed.
    """
    if not hasattr(guard, "threshold_"):
        raise TypeError("model must be fitted. Got a Guard that is not: call fit(X) first.")
    arrays, columns = guard.state()
    rows = _rows(guard.columns_, arrays)
    files = parts.parts_of(guard.model, guard._answering, rows)
    tensors = {f"guard.{key}": torch.from_numpy(np.array(value)) for key, value in arrays.items()}
    check_finite(tensors)
    tensors |= {f"model.{i}": torch.from_numpy(np.frombuffer(file.content, np.uint8).copy()) for i, file in enumerate(files)}
    header = {
        "version": VERSION,
        "guard": _said(guard),
        "columns": columns,
        "model": {
            "parts": [{key: plain(getattr(file, key)) for key in _PART} for file in files],
            "listed": isinstance(guard.model, list | tuple) or len(files) > 1,
        },
        **said_of_labels(np.asarray(guard.classes_)),
    }
    content = sealed(header, tensors)
    _check_read_back(guard, content, [one for file in files if file.form == ".skops" for one in untrusted(file.content)], rows)
    return content


def guard_of(
    header: dict[str, Any], tensors: dict[str, Tensor], name: str, trusted: Sequence[str] = (), device: str = "cpu"
) -> Guard:
    """The guard that a header and tensors say.

    Args:
        header, tensors: of the file.
        name: of the file, for errors.
        trusted: names of types that skops may make, beside those that it trusts.
        device: for a classifier of ours inside.

    Raises:
        ValueError: if they do not fit together, or the model is refused by the door for files of its kind.
    """
    with damaged(name):
        has_entries(header, _ENTRIES, "the file of a guard")
        classes = labels(header["classes"], header["classes_dtype"])
        guarded = {key.removeprefix("guard."): tensor for key, tensor in tensors.items() if key.startswith("guard.")}
        contents = {key: tensor for key, tensor in tensors.items() if key.startswith("model.")}
        require(len(guarded) + len(contents) == len(tensors), "there are tensors of neither the guard nor its model")
        files, listed = _files(header["model"], contents)
        parameters = _parameters(header["guard"])
        for key, tensor in guarded.items():
            require(tensor.dtype == torch.float64, f"guard.{key} has numbers of type {tensor.dtype}, not float64")
        arrays = {key: tensor.numpy() for key, tensor in guarded.items()}
        learnt = Columns.restored(header["columns"])
        require(learnt.state() == header["columns"], "columns are not said as those that come of them would be")
        _check_ranges(parameters["ranges"], learnt)
        rows = _rows(learnt, arrays)
    found = [parts.part_of(file, f"the model in {name}", trusted, device) for file in files]
    with damaged(name):
        model = _labelled(found if listed else found[0], classes, rows)
        guard = Guard(model, **parameters).restored(arrays, header["columns"], classes, rows)
        _check_fits(guard, rows)
    return guard


def _said(guard: Guard) -> dict[str, Any]:
    """Parameters of a guard as JSON has them; of a random state what it led to is in the guard."""
    said = {key: value for key, value in guard.get_params(deep=False).items() if key in _PARAMETERS}
    if isinstance(said["random_state"], np.random.RandomState | np.random.Generator):
        said["random_state"] = None
    if isinstance(said["ranges"], Mapping):
        # Columns are named, or counted, which names of entries in JSON do not tell apart.
        said["ranges"] = [[key, ends] for key, ends in said["ranges"].items()]
    said["categories"] = list(said["categories"])
    return {key: plain(value) for key, value in said.items()}


def _parameters(said: Any) -> dict[str, Any]:
    has_entries(said, _PARAMETERS, "guard")
    require(whole_numbers(said["components"]) and min(said["components"], default=0) > 0, "components are no numbers")
    for name in ("width", "tolerance", "keep"):
        require(real_numbers([said[name]]) and math.isfinite(said[name]), f"{name} of the guard is no number")
    seed, ranges = said["random_state"], said["ranges"]
    require(seed is None or whole_numbers([seed]), "random_state of the guard is no whole number")
    codes = said["categories"]
    require(isinstance(codes, list) and all(isinstance(one, str | int) for one in codes), "categories are not of columns")
    require(said["outputs"] is None or isinstance(said["outputs"], str), "outputs of the guard are no text")
    if isinstance(ranges, list):
        good = all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str | int) for pair in ranges)
        require(good, "ranges of the guard are not of columns")
        ranges = {key: tuple(ends) if isinstance(ends, list) else ends for key, ends in map(tuple, ranges)}
        require(len(ranges) == len(said["ranges"]), "ranges of the guard say two things of a column")
    return {**said, "components": tuple(said["components"]), "ranges": ranges, "categories": tuple(codes)}


def _check_ranges(said: Any, columns: Columns) -> None:
    """Raise unless the ranges that were stated are those that the columns have."""
    stated = Ranges.of(said, columns.names, columns.numeric.tolist())
    for own, kept in ((stated.low, columns.low), (stated.high, columns.high)):
        require(np.array_equal(own[~stated.observed], kept[~stated.observed]), "ranges are not those of the columns")


def _files(said: Any, contents: dict[str, Tensor]) -> tuple[list[FileContent], bool]:
    """Files of a model, and whether they are members of a list."""
    has_entries(said, _MODEL, "model")
    stated, listed = said["parts"], said["listed"]
    require(isinstance(listed, bool), "listed is neither true nor false")
    good = isinstance(stated, list) and 0 < len(stated) <= parts.MOST
    require(good, f"parts of the model are not a list of 1 to {parts.MOST}")
    require(set(contents) == {f"model.{i}" for i in range(len(stated))}, "parts of the model have no files, or files no parts")
    files = []
    for i, part in enumerate(stated):
        has_entries(part, _PART, "a part of the model")
        form, shape = part["form"], part["input_shape"]
        require(isinstance(form, str) and form in parts.FORMS, f"form {form!r} is none of {', '.join(parts.FORMS)}")
        require(all(part[key] is None or isinstance(part[key], str) for key in ("output", "outputs")), "outputs are no text")
        require(shape is None or whole_numbers(shape), "input_shape are no whole numbers")
        content = contents[f"model.{i}"]
        require(content.dtype == torch.uint8 and content.ndim == 1, f"model.{i} are no bytes")
        size = None if shape is None else tuple(shape)
        files.append(FileContent(form, content.numpy().tobytes(), part["output"], part["outputs"], size))
    return files, listed


def _labelled(model: Any, classes: np.ndarray, rows: Any) -> Any:
    """A model whose classes are called as they were; of members that have been read one of all of them."""
    if isinstance(model, list) and any(isinstance(one, Model) for one in model):
        model = read(model, X=rows)
    if not isinstance(model, Model):
        return model
    own = model.classes_
    require(own is None or own.tolist() == classes.tolist(), "classes are not those of the model")
    return dataclasses.replace(model, classes_=classes)


def _check_fits(guard: Guard, rows: Any) -> None:
    """Raise unless a guard and its model have the same columns and classes.

    Raises:
        ValueError: as said.
    """
    model = guard._answering
    columns, own = (getattr(model, name, None) for name in ("n_features_in_", "classes_"))
    require(columns in (None, guard.n_features_in_), f"the model has {columns} columns, and the guard {guard.n_features_in_}")
    require(own is None or list(own) == guard.classes_.tolist(), "classes are not those of the model")
    if isinstance(model, Model):
        # An estimator is not asked before a person does so, as nothing bounds what that takes.
        shape = model.predict_proba(rows).shape
        require(shape == (len(rows), len(guard.classes_)), f"the model has probabilities of shape {shape} for {len(rows)} rows")


def _rows(columns: Columns, arrays: dict[str, np.ndarray]) -> Any:
    """Rows like those of a guard, as it takes them."""
    centre, scale = arrays["centre"], arrays["scale"]
    good = centre.shape == scale.shape == columns.numeric.shape
    require(good, f"the guard has not the numbers of {len(columns.numeric)} columns")
    return drawn_rows(columns, centre, scale)


def _check_read_back(guard: Guard, content: bytes, trusted: Sequence[str], rows: Any) -> None:
    """Raise unless the guard in a file answers as the one that it was made of."""
    name = type(guard.model).__name__
    try:
        again = guard_of(*opened(content, "its file"), "its file", trusted)
    # Doors refuse by errors of many kinds.
    except Exception as error:
        raise parts.unsaved(name, f"whose file would be refused ({error})") from error
    same = np.array_equal(guard.unfamiliarity(rows), again.unfamiliarity(rows))
    for method in ("predict", "predict_proba"):
        before, after = (_answer(getattr(one._answering, method), rows) for one in (guard, again))
        if before is None or after is None:
            same = same and before is after
        elif method == "predict":
            same = same and np.array_equal(before, after)
        else:
            same = same and before.shape == after.shape and np.allclose(before, after, rtol=0, atol=_CLOSE, equal_nan=True)
    if not same:
        raise parts.unsaved(name, "which answers otherwise once it is read back from its file")


def _answer(method: Callable[[Any], Any], rows: Any) -> np.ndarray | None:
    """What a model says of rows; None where it takes none that are made up, as one of texts that it takes apart may do."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return labelled(method, rows)
    # A person's model raises anything.
    except Exception:
        return None

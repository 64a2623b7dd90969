"""`knowlimits.save`, and the way back: classifiers of this library, and guards of any, in safetensors, never pickle.

A file may come from anybody. What its header says is held against its tensors; memory and time are bounded by the size of the
file, and a model of another library goes through the door for files of its own.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from knowlimits.files.saved.envelope import Outdated, check_version, damaged, opened, sealed
from knowlimits.files.saved.guards import VERSION, guard_bytes, guard_of
from knowlimits.files.saved.ours import classifier_of, classifier_parts
from knowlimits.ood.remedies.guard import Guard
from knowlimits.outputs import check_output, write_atomically
from knowlimits.train import classifiers
from knowlimits.train.classifiers.checks import check_device


def save(model: classifiers.StackClassifier | Guard, path: str | os.PathLike) -> None:
    """Write a fitted classifier, or a guard of any classifier, to a safetensors file; `load` reads it back.

    The model of a guard is in the file in a format of its own library that holds no code: estimators of scikit-learn as skops
    writes them, XGBoost's, LightGBM's and CatBoost's as they do, torch modules as `torch.export` does, and what was loaded from
    an ONNX file as that file. A guard is read back and compared before anything is written.

    Raises:
        TypeError: if `model` is neither a fitted classifier of this library nor a fitted guard; if the model of a guard has no
            file without code, as functions without a name; or a parameter or label has no form in JSON.
        ValueError: if a weight is not finite.
        ImportError: if it is a guard of an estimator of scikit-learn, and skops is not installed.
        OSError: if the file cannot be written, or is neither a file nor a character device.
    """
    check_output(path)
    if isinstance(model, Guard):
        content = guard_bytes(model)
    elif isinstance(model, classifiers.StackClassifier):
        content = sealed(*classifier_parts(model))
    else:
        raise TypeError(
            f"model must be a fitted classifier of knowlimits, or a fitted knowlimits.Guard of any model. Got "
            f"{type(model).__name__} instead: save it as its own library does, which knowlimits.load reads where that is no "
            "pickle, or knowlimits.export(model, 'model.onnx')."
        )
    write_atomically(path, content)


def unpack(path: str | os.PathLike, device: str = "cpu", trusted: Sequence[str] = ()) -> Any:
    """The classifier or guard in a file.

    Args:
        path: of the file.
        device: torch device for a classifier of ours, guarded or not.
        trusted: names of types that skops may make for the model of a guard, beside those that it trusts.

    Raises:
        ValueError: if the file is foreign, damaged, of a newer format, or an outdated one of a guard; if the model of a guard
            is refused by the door for files of its own; or the device cannot be used.
        OSError: if it cannot be read.
    """
    check_device(device)
    name = str(path)
    header, tensors = opened(Path(path).read_bytes(), name)
    with damaged(name):
        version = check_version(header, VERSION)
        if version < VERSION and "guard" not in header:
            return classifier_of(header, tensors, device)
        if version < VERSION:
            raise Outdated(
                "has a guard of an older knowlimits, which had another density: fit the guard again, "
                "knowlimits.Guard(model).fit(X), and save it."
            )
    return guard_of(header, tensors, name, trusted, device)

"""Models in files of ours and of others, told apart by what is in them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from knowlimits.files.boosters.read import READERS
from knowlimits.files.onnx.read import read_onnx
from knowlimits.files.pt2.read import pickled, read_pt2
from knowlimits.files.saved.file import unpack
from knowlimits.files.skops import is_skops, read_skops

_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt")
# A header of safetensors may not be longer.
_LONGEST_HEADER = 10**8


def load(path: str | os.PathLike, device: str = "cpu", trusted: Sequence[str] = (), *, output: str | None = None) -> Any:
    """Read a classifier or a guard that `save` wrote, or a classifier of others.

    That is an ONNX file (.onnx), a `torch.export` program (.pt2), a file of skops (.skops), or what XGBoost (.json, .ubj),
    LightGBM (.txt) or CatBoost (.json, .cbm) saves. No code of a file runs: pickles are refused, and programs are screened
    first. Weights of an ONNX file may be in other files in its folder; nothing else is read.

    Args:
        path: the file; its first bytes say what it is, or its ending where they do not.
        device: torch device for a classifier of ours, guarded or not.
        trusted: names of types that a file of skops, or the model of a guard in the format of skops, may make, beside those
            that skops trusts by itself.
        output: in an ONNX file the value that is the classifier, by its name: an output, or a value in between. Without it that
            is the only output of floats, or of several the one that ends in a softmax over classes, where no other could be
            a classifier as well; labels are followed back to the scores that they are picked by.

    Returns:
        A fitted classifier of ours or a guard, a `torch.nn.Module` that returns logits or probabilities, a
        `torch.export.ExportedProgram`, what was saved by skops, such as an estimator of scikit-learn, or of a boosting library
        what `knowlimits.read` makes of its classifiers.

    Raises:
        ValueError: if the file is foreign, damaged, of a newer format, not what can be read safely, certainly no classifier, or
            if it cannot be told which of its outputs is one.
        UnsupportedOperation: if an ONNX file has an operator that is not known.
        ImportError: if it is an ONNX file, one of skops or a .cbm file, and onnx, skops or catboost is not installed.
        OSError: if it cannot be read.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        raise ValueError(pickled(str(path)))
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    with path.open("rb") as file:
        kind = _kind(file.read(9)) or suffix
    if kind == ".pkl":
        raise ValueError(pickled(str(path)))
    if kind == ".onnx":
        return read_onnx(path.read_bytes(), str(path), output, folder=path.parent)
    if output is not None:
        raise ValueError(
            f"output must be left out for {path}, as only an ONNX file has outputs by name. Got {output!r} instead: for a "
            "program that returns several, say knowlimits.read(model, output=...)."
        )
    if kind in (".pt2", ".skops"):
        content = path.read_bytes()
        if kind == ".skops" or suffix == ".skops" or is_skops(content):
            return read_skops(content, str(path), trusted)
        return read_pt2(content, str(path))
    if kind in READERS:
        return READERS[kind](path.read_bytes(), str(path))
    return unpack(path, device, trusted)


def _kind(start: bytes) -> str:
    """The usual ending of files that start so, or nothing."""
    if start[8:] == b"{" and int.from_bytes(start[:8], "little") <= _LONGEST_HEADER:
        return ".safetensors"
    if start.startswith(b"tree"):
        return ".txt"
    if start.startswith(b"CBM1"):
        return ".cbm"
    if start.lstrip().startswith(b"{"):
        # A name of JSON is in quotation marks, one of UBJSON has a length before it.
        return ".json" if start.lstrip()[1:].lstrip()[:1] in (b'"', b"}", b"") else ".ubj"
    if start.startswith(b"PK\x03\x04"):
        return ".pt2"
    if start[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return ".pkl"
    # The version of the format comes first.
    return ".onnx" if start.startswith(b"\x08") else ""

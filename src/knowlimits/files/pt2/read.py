"""Archives of `torch.export.save` (.pt2) from a source that nobody vouches for.

`torch.export.load` runs what a file says: it unpickles, evaluates shapes as Python, looks functions up by name, and compiles
source code in which the file's names stand. So `read_pt2` reads the archive itself, checks all that it knows and refuses the
rest, and writes an archive of its own with checked copies, which is the only one that torch gets to see.
"""

import io
import json
import math
import re
import struct
import zipfile
from collections import Counter
from typing import Any

import torch
from torch import Tensor

from knowlimits._torch import writes
from knowlimits.files.pt2 import model
from knowlimits.files.pt2.checks import refusal
from knowlimits.files.pt2.rehearsal import CheckedProgram, cannot_be_evaluated, logs_kept

_MODEL = "models/model.json"
_CONFIGS = {
    "weight_": "data/weights/model_weights_config.json",
    "tensor_": "data/constants/model_constants_config.json",
}
_HEADERS = {"archive_format": b"pt2", "archive_version": b"0", "byteorder": b"little"}
# What torch writes, beside headers, that it can do without. Sample inputs are a pickle: they are never opened.
_IGNORED = r"data/sample_inputs/model\.pt|\.data/(version|serialization_id)|\.format_version|\.storage_alignment|version"
_PAYLOADS = r"data/weights/weight_\d{1,9}|data/constants/tensor_\d{1,9}"
# By torch's numbers of types, of which `model` lets these through.
_ITEM_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 12: 1, 13: 2}
_MOST_BYTES = 4 * 2**30
# Of descriptions, which take ten times as much as Python's lists and dictionaries.
_MOST_TEXT = 64 * 2**20
# Numbers of inputs that hardly fit anything but a batch.
_ROWS = (5, 7)


def read_pt2(content: bytes, name: str = "model") -> torch.export.ExportedProgram:
    """Read a torch.export archive without running anything that it brings along.

    Nothing but the operations of its graph on its weights is left of it: sample inputs, source locations and the calls of
    submodules are dropped. It must have one tensor as input, whose first axis is the batch and dynamic, and one as output.

    Args:
        content: the file as it was read, once.
        name: what to call it in errors.

    Raises:
        ValueError: if the archive is incomplete; is a pickled checkpoint or a compiled package; says anything that is not
            known to be harmless, or in a form that torch does not write; has NaN or infinite weights; was exported for a
            fixed batch size; or cannot be evaluated.
    """
    files = _files(content, name)
    try:
        checked = _checked(files)
    except ValueError as error:
        raise ValueError(f"{name} was refused: {error}") from None
    program = _loaded(checked, name)
    _check_weights(program, name)
    _rehearse(program, name)
    return program


# --- the archive -------------------------------------------------------------------------------------------------------


def _files(content: bytes, name: str) -> dict[str, bytes]:
    """The entries of an archive, without the folder that they are in."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_entries(archive.infolist(), name)
            # This compares checksums.
            entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    except _Refused as error:
        raise ValueError(str(error)) from None
    # What zipfile raises for damaged archives.
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, OverflowError, struct.error) as error:
        if content[:1] == b"\x80":
            raise ValueError(pickled(name)) from None
        raise ValueError(f"{name} is not a complete torch.export archive: {error}.") from error
    return {filename.partition("/")[2]: content for filename, content in entries}


class _Refused(ValueError):
    """An archive that is whole, but not what it should be."""


def pickled(name: str) -> str:
    """What is said of a pickle."""
    return (
        f"{name} is a pickle, which runs code when it is loaded; save the model by torch.export.save, ONNX, skops (for "
        "scikit-learn) or knowlimits.save."
    )


def _check_entries(entries: list[zipfile.ZipInfo], name: str) -> None:
    # What lies before it could be an archive too, which ends within it.
    if not entries or min(entry.header_offset for entry in entries) > 0:
        raise zipfile.BadZipFile("it does not start with its first entry")
    names = [entry.filename.partition("/")[2] for entry in entries]
    if any(entry.endswith(("data.pkl", "constants.pkl")) for entry in names):
        raise _Refused(pickled(name))
    if any(entry.startswith("data/aotinductor/") for entry in names):
        raise _Refused(f"{name} is a package of compiled code (AOTInductor), which is never run; use torch.export.save.")
    if len({entry.filename.partition("/")[0] for entry in entries}) != 1:
        raise _Refused(f"{name} is not a torch.export archive: its entries must be in one folder.")
    if repeated := [entry for entry, count in Counter(names).items() if count > 1]:
        raise _Refused(f"{name} was refused: it has two entries {repeated[0]!r}.")
    for entry in names:
        known = entry in (_MODEL, *_CONFIGS.values(), *_HEADERS) or re.fullmatch(f"{_IGNORED}|{_PAYLOADS}", entry, re.ASCII)
        if not known:
            raise _Refused(f"{name} was refused: torch.export.save writes no entry {entry!r}.")
    if missing := {_MODEL, *_CONFIGS.values(), *_HEADERS} - set(names):
        raise _Refused(f"{name} is not a torch.export archive of a torch that is new enough: it has no {min(missing)}.")
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        raise _Refused(f"{name} was refused: torch.export.save compresses and encrypts nothing.")
    if sum(entry.file_size for entry in entries) > _MOST_BYTES:
        raise _Refused(f"{name} was refused: it holds more than {_MOST_BYTES // 2**30} GiB.")
    if max(e.file_size for e in entries if e.filename.partition("/")[2] in (_MODEL, *_CONFIGS.values())) > _MOST_TEXT:
        raise _Refused(f"{name} was refused: its description has more than {_MOST_TEXT // 2**20} MiB.")


def _checked(files: dict[str, bytes]) -> bytes:
    """An archive of checked copies."""
    for header, wanted in _HEADERS.items():
        if files[header] != wanted:
            raise refusal(header, wanted.decode(), files[header])
    copies: dict[str, bytes] = {**_HEADERS, ".data/version": b"6\n", "data/sample_inputs/model.pt": b""}
    copies[_MODEL] = json.dumps(model.model(files[_MODEL])).encode()
    if len(copies[_MODEL]) > _MOST_TEXT // 4:
        raise ValueError(f"its graph has more than {_MOST_TEXT // 4 // 2**20} MiB without comments.")
    for prefix, place in _CONFIGS.items():
        configuration = model.configuration(files[place], prefix)
        copies[place] = json.dumps(configuration).encode()
        copies |= _payloads(configuration["config"], files, place.rpartition("/")[0])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for entry, content in copies.items():
            archive.writestr(f"archive/{entry}", content)
    return buffer.getvalue()


def _payloads(config: dict[str, Any], files: dict[str, bytes], folder: str) -> dict[str, bytes]:
    """The numbers of the tensors in a configuration, each of which must lie within its numbers."""
    found: dict[str, bytes] = {}
    types: dict[str, int] = {}
    for tensor, payload in config.items():
        place, meta = f"{folder}/{payload['path_name']}", payload["tensor_meta"]
        if place not in files:
            raise ValueError(f"{tensor} must have its numbers in the archive. Got no {place}.")
        # torch reads all tensors of an entry as the type of the first.
        if types.setdefault(place, meta["dtype"]) != meta["dtype"]:
            raise ValueError(f"{tensor} must be of the same type as the others in {place}.")
        count, rest = divmod(len(files[place]), _ITEM_SIZES[meta["dtype"]])
        sizes, strides = ([one["as_int"] for one in meta[key]] for key in ("sizes", "strides"))
        offset = meta["storage_offset"]["as_int"]
        last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=False))
        fits = len(sizes) == len(strides) and min([*sizes, 1]) > 0 and min([*strides, offset]) >= 0 and last < count
        # Strides of zero could make a tensor of any size out of one number.
        if rest or not fits or math.prod(sizes) > count:
            raise ValueError(f"{tensor} must have the size of its numbers. Got {sizes} for {count} numbers in {place}.")
        found[place] = files[place]
    return found


def _loaded(content: bytes, name: str) -> CheckedProgram:
    """What torch makes of an archive of checked copies."""
    with logs_kept() as causes:
        # What torch raises for descriptions that contradict themselves is of many kinds.
        try:
            return CheckedProgram.of(torch.export.load(io.BytesIO(content)), name)
        except Exception as error:
            cause: BaseException = causes[0] if causes else error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__  # type: ignore[assignment]
    first = str(cause).strip().partition("\n")[0] or type(cause).__name__
    first = f"it has no {first}" if isinstance(cause, KeyError) else first
    raise ValueError(f"{name} is no torch.export archive that torch {torch.__version__} can load: {first}") from cause


# --- the program -------------------------------------------------------------------------------------------------------


def _check_weights(program: torch.export.ExportedProgram, name: str) -> None:
    for weight, value in {**program.constants, **program.state_dict}.items():
        if isinstance(value, Tensor) and not torch.isfinite(value).all():
            raise ValueError(f"{name} has NaN or infinite numbers in {weight}.")


def _rehearse(program: CheckedProgram, name: str) -> None:
    """Evaluate a program, as a graph that was put together by hand need not fit together."""
    (placeholder,) = [node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs]
    shape, dtype = [int(size) for size in placeholder.meta["val"].shape[1:]], placeholder.meta["val"].dtype
    held = [value for value in {**program.constants, **program.state_dict}.values() if isinstance(value, Tensor)]
    before = [writes(value) for value in held]
    outputs = [program.rehearsal((rows, *shape)) for rows in _ROWS]
    try:
        with torch.no_grad():
            outputs.append(program.rehearsal.program(torch.zeros([_ROWS[0], *shape], dtype=dtype)))
    # Kernels refuse more than rules for shapes do.
    except Exception as error:
        raise cannot_be_evaluated(name, (_ROWS[0], *shape), error) from error
    if [writes(value) for value in held] != before:
        raise ValueError(f"{name} changes its own weights whenever it is evaluated; export it in eval mode, model.eval().")
    for output in outputs:
        if not isinstance(output, Tensor) or not output.is_floating_point():
            raise ValueError(f"{name} must return floating-point numbers. Got {getattr(output, 'dtype', output)} instead.")

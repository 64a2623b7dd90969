"""Weights in other files beside an ONNX file.

A file may come from anybody, and says itself where its weights are. So the files that it names are looked for in its own folder
alone, their sizes are held to what the tensors need before a byte is read, and each is opened once and read from there on, so
that it cannot become another one in between.
"""

import hashlib
import math
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knowlimits.files.budget import MOST_BESIDE, MOST_PARTS
from knowlimits.files.onnx.graph import bits_of, type_name

# What separates folders, drives and streams on other systems than this one.
_FOREIGN = re.compile(r"[\\:\0]")
_LONGEST_PATH = 1000
_WHOLE = re.compile(r"[0-9]{1,19}")
_KNOWN = ("location", "offset", "length", "checksum")
# Bytes that are summed up at once.
_CHUNK = 2**20


@dataclass(frozen=True)
class Place:
    """Where the numbers of a tensor are.

    Attributes:
        tensor: of the file that was given.
        shape: of the tensor.
        location: path of the other file, from the folder of the first.
        offset: of its first byte there.
        length: how many bytes there are; None for all that follow.
        needed: how many there must be.
        checksum: SHA-1 of the other file, in hexadecimal; empty where it is not said.
    """

    tensor: Any
    shape: tuple[int, ...]
    location: str
    offset: int
    length: int | None
    needed: int
    checksum: str


def take_places(tensors: Iterable[Any]) -> list[Place]:
    """Where the numbers are of those tensors that have theirs in another file; the tensors are empty after that.

    Raises:
        ValueError: if it does not say so well, or they are too many.
    """
    from onnx import TensorProto

    found = [_place(t) for t in tensors if t.data_location == TensorProto.EXTERNAL or t.external_data]
    total = sum(place.needed for place in found)
    if total > MOST_BESIDE:
        raise ValueError(
            f"its weights in other files have {total / 2**30:.3g} GiB together: {MOST_BESIDE / 2**30:.3g} are allowed"
        )
    for place in found:
        place.tensor.data_location = TensorProto.DEFAULT
        del place.tensor.external_data[:]
        place.tensor.dims[:] = [0]
    return found


def fill(found: Iterable[Place], folder: Path) -> None:
    """Read the numbers into the tensors.

    Args:
        found: where they are.
        folder: of the file that was given.

    Raises:
        ValueError: if another file is not there, is none that may be read, or is not as long as it must be.
    """
    locations = {place.location for place in found}
    if len(locations) > MOST_PARTS:
        raise ValueError(f"its weights are in {len(locations):,} other files: {MOST_PARTS:,} are allowed")
    paths = {location: _inside(folder, location) for location in locations}
    by_path: dict[str, list[Place]] = {}
    for place in found:
        by_path.setdefault(paths[place.location], []).append(place)
    summed = 0
    for path, of_file in by_path.items():
        with _opened(folder, path, of_file[0].location) as file:
            summed += _read(file, of_file, MOST_BESIDE - summed)


def _place(tensor: Any) -> Place:
    """What a tensor says of where its numbers are."""
    from onnx import TensorProto

    if tensor.data_location != TensorProto.EXTERNAL:
        raise ValueError(f"tensor {tensor.name!r} has its numbers both in the file and in another one")
    said: dict[str, str] = {}
    for entry in tensor.external_data:
        if entry.key in said:
            raise ValueError(f"tensor {tensor.name!r} says twice what the {entry.key} of its numbers is")
        said[entry.key] = entry.value
    if unknown := sorted(set(said) - set(_KNOWN)):
        raise ValueError(f"tensor {tensor.name!r} says of its numbers what is not known: {unknown[0]!r}")
    if not said.get("location"):
        raise ValueError(f"tensor {tensor.name!r} has its numbers in another file and does not say in which one")
    _check_location(said["location"])
    offset, length = (_number(tensor.name, key, said[key]) if key in said else None for key in ("offset", "length"))
    needed = _needed(tensor)
    if length is not None and length != needed:
        raise ValueError(f"tensor {tensor.name!r} of shape {list(tensor.dims)} needs {needed:,} bytes. Got {length:,} instead")
    return Place(tensor, tuple(tensor.dims), said["location"], offset or 0, length, needed, said.get("checksum", "").lower())


def _check_location(location: str) -> None:
    """A path that stays where it is on every system: below the folder, and without drives, streams and links upwards."""
    parts = location.split("/")
    if _FOREIGN.search(location) or not parts[0] or ".." in parts or len(location) > _LONGEST_PATH:
        raise ValueError(f"its weights must be in a file in its own folder. Got {location[:_LONGEST_PATH]!r} instead")


def _number(name: str, key: str, text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"the {key} of tensor {name!r} in another file must be a whole number. Got {text[:30]!r} instead")
    return int(text)


def _needed(tensor: Any) -> int:
    """Bytes of all numbers."""
    if (bits := bits_of(tensor.data_type)) is None:
        kind = type_name(tensor.data_type) or tensor.data_type
        raise ValueError(f"tensor {tensor.name!r} in another file must hold numbers. Got {kind} instead")
    if min(tensor.dims, default=0) < 0:
        raise ValueError(f"tensor {tensor.name!r} has the shape {list(tensor.dims)}")
    return -(-math.prod(tensor.dims) * bits // 8)


def _inside(folder: Path, location: str) -> str:
    """The path of another file from the folder, links resolved, if these do not lead out of it."""
    top = os.path.realpath(folder)
    try:
        path = os.path.realpath(os.path.join(top, location), strict=True)
    except FileNotFoundError:
        raise ValueError(
            f"its weights are in another file, {location!r}, which is not beside it: put both into one folder, or save the "
            "model as one file"
        ) from None
    except OSError as error:
        raise _unreadable(location, error) from None
    if os.path.commonpath([top, path]) != top:
        raise ValueError(f"its weights are in {location!r}, a link that leads out of its folder: copy the file to its place")
    # Opening a device may do something already.
    _check_regular(os.stat(path), location)
    return os.path.relpath(path, top)


def _check_regular(found: os.stat_result, location: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"its weights are in {location!r}, which is no regular file")


@contextmanager
def _opened(folder: Path, path: str, location: str) -> Iterator[Any]:
    """A regular file below the folder, reached through no link at all, for reading."""
    # A pipe that has taken the place of the file answers at once, too.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)
    try:
        descriptor = _descend(os.path.realpath(folder), path, flags)
    except OSError as error:
        raise _unreadable(location, error) from None
    try:
        _check_regular(os.fstat(descriptor), location)
        with open(descriptor, "rb", closefd=False) as file:
            yield file
    except OSError as error:
        raise _unreadable(location, error) from None
    finally:
        os.close(descriptor)


def _descend(top: str, path: str, flags: int) -> int:
    """A file opened folder by folder, where the system can, so that none becomes a link after it was looked at."""
    if os.open not in os.supports_dir_fd:
        return os.open(os.path.join(top, path), flags)
    *folders, name = path.split(os.sep)
    at = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for part in folders:
        try:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
        finally:
            os.close(at)
        at = below
    try:
        return os.open(name, flags, dir_fd=at)
    finally:
        os.close(at)


def _unreadable(location: str, error: OSError) -> ValueError:
    return ValueError(f"its weights are in {location!r}, which cannot be read: {error.strerror or error}")


def _read(file: Any, of_file: list[Place], summable: int) -> int:
    """Read the numbers of all tensors that have theirs in one file; how many bytes were summed up for its checksum."""
    size, location = os.fstat(file.fileno()).st_size, of_file[0].location
    for place in of_file:
        length = max(size - place.offset, 0) if place.length is None else place.length
        if length != place.needed or place.offset + length > size:
            raise ValueError(
                f"tensor {place.tensor.name!r} needs {place.needed:,} bytes from byte {place.offset:,} on of {location!r}, "
                f"which has {size:,}"
            )
    checksums = {place.checksum for place in of_file} - {""}
    if checksums and size > summable:
        raise ValueError(f"its weights are in {location!r}, which is too large for a checksum: leave that out")
    if checksums and checksums != {_checksum(file)}:
        raise ValueError(f"its weights are in {location!r}, which has another checksum than it says: copy it again")
    for place in of_file:
        file.seek(place.offset)
        content = file.read(place.needed)
        if len(content) != place.needed:
            raise ValueError(f"its weights are in {location!r}, which became shorter while it was read")
        place.tensor.dims[:] = place.shape
        place.tensor.raw_data = content
    return size if checksums else 0


def _checksum(file: Any) -> str:
    """SHA-1 of a file, which keeps no secret here, but is what the format says."""
    found = hashlib.sha1(usedforsecurity=False)
    file.seek(0)
    while chunk := file.read(_CHUNK):
        found.update(chunk)
    return found.hexdigest()

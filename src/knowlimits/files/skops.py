"""Estimators of scikit-learn in files of skops (.skops), which hold what they are made of and no code.

skops makes objects of types that it knows to be harmless, and of others only where a person has named them. A file is looked
through before: what it would unpack to is bounded by its own size.
"""

import io
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

from knowlimits.files.budget import MOST_BYTES

_SCHEMA = "schema.json"
# So many times as large a file may become, and so many bytes any file may.
_UNPACKED, _SMALL = 100, 2**26
# What archives, numpy, JSON and those who put objects together raise for what does not fit.
_MISFITS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ImportError,
    RuntimeError,
    LookupError,
    TypeError,
    ValueError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    MemoryError,
    OSError,
)


def is_skops(content: bytes) -> bool:
    """Whether an archive is one of skops."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _SCHEMA in archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError):
        return False


def read_skops(content: bytes, name: str = "model", trusted: Sequence[str] = ()) -> Any:
    """The estimator in a file of skops.

    Args:
        content: the file as it was read, once.
        name: what to call it in errors.
        trusted: names of types that may be made, beside those that skops trusts.

    Raises:
        TypeError: if `trusted` are no names.
        ValueError: if the file is damaged, too large when it is unpacked, or holds other types.
        ImportError: if the package skops is not installed.
    """
    if isinstance(trusted, str | bool) or not all(isinstance(one, str) for one in trusted):
        raise TypeError(f"trusted must be names of types, as a list of text. Got {trusted!r} instead.")
    try:
        from skops import io as skops
    except ImportError:
        raise ImportError(f"reading {name} needs the package skops: pip install 'know-your-limits[skops]'") from None
    try:
        _check_sizes(content)
        others = sorted(set(untrusted(content)) - set(trusted))
    except _MISFITS as error:
        raise _damaged(name, error) from error
    if others:
        raise ValueError(
            f"{name} holds types that are not trusted by themselves: {', '.join(others)}. If you trust who made the file, and "
            f"these are what you expect in it, name them: knowlimits.load(path, trusted={others}), or --trusted in a command."
        )
    try:
        return skops.loads(content, trusted=list(trusted))
    except _MISFITS as error:
        raise _damaged(name, error) from error


def untrusted(content: bytes) -> list[str]:
    """Names of the types in a file of skops that load only where a person names them."""
    from skops import io as skops

    return skops.get_untrusted_types(data=content)


def _check_sizes(content: bytes) -> None:
    """Refuse an archive that would unpack to much more than it is, or in which archives lie that would."""
    most = min(MOST_BYTES, max(_SMALL, _UNPACKED * len(content)))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in _entries(archive, most):
            # Sparse arrays.
            if entry.filename.endswith(".npz"):
                with zipfile.ZipFile(io.BytesIO(archive.read(entry))) as inner:
                    _entries(inner, most)


def _entries(archive: zipfile.ZipFile, most: int) -> list[zipfile.ZipInfo]:
    entries = archive.infolist()
    if len({entry.filename for entry in entries}) < len(entries):
        raise ValueError("it has entries of the same name")
    if (total := sum(entry.file_size for entry in entries)) > most:
        raise ValueError(f"it would unpack to {total:,} bytes, which is too much for its size")
    return entries


def _damaged(name: str, error: Exception) -> ValueError:
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ValueError(f"{name} is not a complete file of skops that can be read: {text.rstrip('.')}.")

"""Files that are written: whole or not at all, and never in the place of what is no file.

A file is written under a temporary name beside it and renamed. A symbolic link stays, and what it points to is written.
What goes to a character device, such as /dev/null, or to an open descriptor of this process, such as /dev/stdout, is written
through. Folders, named pipes, sockets and disks are refused.
"""

import csv
import io
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

#: What the names of figures end in.
FIGURES = (".png", ".pdf", ".svg")
# Links are followed as often as Linux does.
_LINKS = 40
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a block device"),
)


def write_atomically(path: str | os.PathLike, content: bytes) -> None:
    """Write to a temporary file beside `path` and rename it, so that `path` is never half written.

    Raises:
        OSError: if it cannot be written, or is neither a file nor a character device.
    """
    descriptor, found = _there(path)
    if descriptor is not None or (found is not None and stat.S_ISCHR(found.st_mode)):
        try:
            _write_through(os.open(path, os.O_WRONLY) if descriptor is None else os.dup(descriptor), content)
        except OSError as error:
            raise _named(error, path) from None
    else:
        target = Path(os.path.realpath(path))
        handle, temporary = _beside(path, target)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            if found is not None:
                os.chmod(temporary, stat.S_IMODE(found.st_mode))
            os.replace(temporary, target)
        except BaseException as error:
            os.unlink(temporary)
            if isinstance(error, OSError):
                raise _named(error, path) from None
            raise


def write_csv(path: str | os.PathLike, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table with a line of names on top, as `write_atomically` does; a cell of None is empty."""
    buffer = io.StringIO()
    plain, quoted = (csv.writer(buffer, lineterminator="\n", quoting=how) for how in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    for row in (columns, *rows):
        # Of the two letters that end a line, csv sees to the one that ends lines here.
        returns = any(isinstance(cell, str) and "\r" in cell for cell in row)
        (quoted if returns else plain).writerow(row)
    write_atomically(path, buffer.getvalue().encode())


def check_output(path: str | os.PathLike, suffixes: Sequence[str] = (), overwrite: bool = True) -> None:
    """Raise what `write_atomically` would, before there is anything to write.

    Args:
        path: the file.
        suffixes: what its name must end in, in any case; anything without them.
        overwrite: whether a file that is there may be replaced.

    Raises:
        ValueError: if its name ends otherwise.
        FileExistsError: if something is there and must not be replaced.
        OSError: if it cannot be written, or is neither a file nor a character device.
    """
    if suffixes and Path(path).suffix.lower() not in suffixes:
        raise ValueError(f"{os.fspath(path)} must end in {' or '.join(suffixes)}, which says in what format it is written.")
    descriptor, found = _there(path)
    if descriptor is not None or (found is not None and stat.S_ISCHR(found.st_mode)):
        return
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(f"{os.fspath(path)} is there already.")
    handle, temporary = _beside(path, Path(os.path.realpath(path)))
    os.close(handle)
    os.unlink(temporary)


def check_replaced(path: str | os.PathLike, overwrite: bool) -> None:
    """Raise what `check_output` would, for those who may pass `overwrite`.

    Raises:
        FileExistsError: if something is there and must not be replaced.
        OSError: if it cannot be written, or is neither a file nor a character device.
    """
    try:
        check_output(path, overwrite=overwrite)
    except FileExistsError as error:
        raise FileExistsError(f"{error} Pass overwrite=True to replace it.") from None


def check_folder(folder: str | os.PathLike, folders: Sequence[str] = (), files: Sequence[str] = ()) -> None:
    """Make a folder, and folders in it, and raise where files in it could not be written.

    Raises:
        OSError: if one cannot be made, or a file cannot be written.
    """
    for one in (Path(folder), *(Path(folder) / name for name in folders)):
        try:
            one.mkdir(parents=True, exist_ok=True)
            check_output(one / f".{secrets.token_hex(8)}")
        except FileExistsError:
            raise OSError(f"cannot write to {one}: it is no folder.") from None
        except OSError as error:
            raise OSError(f"cannot write to {one}: {error.strerror or error}.") from None
    for name in files:
        check_output(Path(folder) / name)


def _there(path: str | os.PathLike) -> tuple[int | None, os.stat_result | None]:
    """The descriptor of this process that a path stands for, or else what is there; None where nothing is.

    Raises:
        OSError: if what is there cannot be written to as a file or a character device is.
    """
    if (descriptor := _descriptor(path)) is not None:
        os.fstat(descriptor)
        return descriptor, None
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None, None
    for is_kind, kind in _KINDS:
        if is_kind(found.st_mode):
            raise OSError(f"{os.fspath(path)} is {kind}: give the name of a file.")
    if not os.access(path, os.W_OK):
        raise PermissionError(f"{os.fspath(path)} is write-protected.")
    return None, found


def _descriptor(path: str | os.PathLike) -> int | None:
    """N for /dev/fd/N, /dev/stdout and what else leads to an open descriptor of this process."""
    place = os.fspath(path)
    own = re.compile(rf"/proc/{os.getpid()}(/task/\d+)?/fd|/dev/fd")
    for _ in range(_LINKS):
        folder, name = os.path.realpath(os.path.dirname(place) or "."), os.path.basename(place)
        if own.fullmatch(folder) and name.isdecimal():
            return int(name)
        place = os.path.join(folder, name)
        if not os.path.islink(place):
            return None
        place = os.path.join(folder, os.readlink(place))
    return None


def _beside(path: str | os.PathLike, target: Path) -> tuple[int, Path]:
    """A new file in the folder of `target`: its handle and name."""
    temporary = target.parent / f".knowlimits-{secrets.token_hex(8)}"
    try:
        return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), temporary
    except OSError as error:
        raise _named(error, path) from None


def _write_through(handle: int, content: bytes) -> None:
    # What was printed before comes first.
    if sys.stdout is not None:
        sys.stdout.flush()
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def _named(error: OSError, path: str | os.PathLike) -> OSError:
    """An error of the file that a person named, in place of the temporary one."""
    return type(error)(error.errno, error.strerror, os.fspath(path))

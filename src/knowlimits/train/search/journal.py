"""Optuna's journals, kept from harm: files that are none are never touched, and several processes may write to one.

A journal has a JSON record with an `op_code` on each line. Optuna's own lock of it, a symbolic link, outlives who is killed
while it writes. So our processes agree by a lock of the system first, which ends with its holder; a link of ours that is
there all the same is then one that a killed process has left. Ours are told from those of other programs by what they point
to: the journal, by a path with `/./` in it.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import AcquireReturnProxy, FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileSymlinkLock
from optuna.study import StudyDirection

from knowlimits.outputs import check_output, write_atomically

_RECORD = b'{"op_code":'
# Seconds to wait for our other processes to write, which takes them milliseconds.
_WAIT = 60
# Seconds without a change of the journal after which a lock of another program is one that it has left, as Optuna has it.
_LEFT = 10
# Optuna's lock has the journal's name and 48 bytes more, and a name has at most 255.
_LONGEST = 200
# Bytes of a first line beyond which it is no record.
_LINE = 2**20


def file_of(text: str) -> Path:
    """The file that keeps trials, whatever links lead to it; its folder is made if need be.

    Raises:
        ValueError: if there is something else than a file.
        OSError: if it cannot be written.
    """
    path = Path(os.path.realpath(text))
    if not text or text.endswith(os.sep) or path.is_dir() or (path.exists() and not path.is_file()):
        raise ValueError(f"storage must be a file, new or of an earlier search. Got {text!r} instead, which is none.")
    if len(os.fsencode(path.name)) > _LONGEST:
        raise ValueError(f"storage must have a name of at most {_LONGEST} letters. Got {len(path.name)} instead.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        check_output(path)
    except OSError as error:
        raise OSError(f"storage {text} cannot be written: {error.strerror or error}.") from None
    return path


def lock_beside(path: Path, what: str) -> FileLock:
    """A lock of the system, on an empty file of our own beside `path`.

    Raises:
        ValueError: if there is another file of this name.
    """
    name = f".{path.name}.{what}"
    if len(os.fsencode(name)) > 255:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.{what}"
    place = path.with_name(name)
    if os.path.lexists(place) and (not stat.S_ISREG((found := place.lstat()).st_mode) or found.st_size):
        raise ValueError(f"storage {path} needs {place} for a lock, and that is another file. Choose another name.")
    return FileLock(place)


def check_journal(path: Path) -> None:
    """Raise unless a file begins as a journal does, or there is none.

    Raises:
        ValueError: if it is something else.
        OSError: if it cannot be read.
    """
    lock = path.with_name(f"{path.name}.lock")
    if os.path.lexists(lock) and not (lock.is_symlink() and Path(os.readlink(lock)).name == path.name):
        raise ValueError(f"storage {path} needs {lock} for a lock, and that is another file. Choose another name.")
    if not path.exists():
        return
    with path.open("rb") as file:
        begin = file.readline(_LINE)
        if begin.startswith(b"SQLite format 3\0"):
            raise ValueError(f"storage {path} is a SQLite database and no journal: write sqlite:///{path} for it.")
        whole = begin.endswith(b"\n")
        if not (_is_record(begin) if whole else begin.startswith(_RECORD)):
            what = "an empty file" if not begin else "another file"
            raise ValueError(
                f"storage {path} is no journal of a search but {what}, which stays as it is. Choose a new name, or write "
                "sqlite:///FILE for a SQLite database."
            )


def _check_records(path: Path) -> None:
    """Raise unless each line is a record, or half of one at the end, while none of us writes.

    Raises:
        ValueError: if one is something else.
    """
    *lines, half = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if not _is_record(line):
            raise ValueError(f"storage {path} is no whole journal: line {number} is no record. Choose another file.")
    if not _is_half(half):
        raise ValueError(f"storage {path} ends with half a line that is no record. Choose another file.")


def open_journal(path: Path, name: str, direction: StudyDirection) -> JournalStorage:
    """A journal, new or as it is; half a line that a killed process has left at its end goes when the next one is written.

    Args:
        path: the file.
        name, direction: of the study that a new one begins with.

    Raises:
        ValueError: if there is a file that is no journal; it stays as it is.
        OSError: if it cannot be written.
    """
    lock = _Lock(path)
    with lock.held():
        if not path.exists():
            _begin(path, name, direction)
        check_journal(path)
        _check_records(path)
    try:
        return JournalStorage(_Journal(lock.target, lock))
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, AssertionError) as error:
        raise ValueError(f"storage {path} is a journal that Optuna cannot read: {error!r}. Choose another file.") from None


class _Journal(JournalFileBackend):
    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        try:
            super().append_logs(logs)
        except OSError as error:
            if error.filename is not None or error.strerror is None:
                raise
            # A full disk does not say which.
            raise OSError(error.errno, error.strerror, str(Path(self._file_path))) from None


class _Lock(JournalFileSymlinkLock):
    """A lock of the system, and then Optuna's; whoever holds both finds a journal that ends with a whole line."""

    def __init__(self, path: Path):
        self._path, self.target = path, f"{path.parent}/./{path.name}"
        super().__init__(self.target, grace_period=_LEFT)
        self.ours = lock_beside(path, "writer")

    def held(self) -> AcquireReturnProxy:
        """The lock of the system alone."""
        try:
            return self.ours.acquire(timeout=_WAIT, poll_interval=0.002)
        except Timeout:
            raise TimeoutError(f"storage {self._path} has been locked by another process for {_WAIT} seconds.") from None

    def acquire(self) -> bool:
        self.held()
        try:
            # Whoever of us made it would hold the other lock.
            link = self._path.with_name(f"{self._path.name}.lock")
            if link.is_symlink() and "/./" in os.readlink(link):
                link.unlink()
            super().acquire()
        except BaseException:
            self.ours.release()
            raise
        try:
            _mend(self._path)
        except BaseException:
            self.release()
            raise
        return True

    def release(self) -> None:
        try:
            super().release()
        finally:
            self.ours.release()


def _mend(path: Path) -> None:
    """Take half a record away from the end of a journal, which nobody else can be writing."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if not size or (file.seek(size - 1), file.read())[1] == b"\n":
            return
        file.seek(0)
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if not _is_half(content[whole:]):
            raise ValueError(f"storage {path} ends with half a line that is no record. Choose another file.")
        file.truncate(whole)


def _begin(path: Path, name: str, direction: StudyDirection) -> None:
    """Make a journal with the first record of a study: an empty file could be anybody's."""
    memory = _Memory()
    JournalStorage(memory).create_new_study([direction], name)
    content = b"".join(json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in memory.logs)
    # Whole from the first moment on, for those who look without a lock.
    write_atomically(path, content)


class _Memory(BaseJournalBackend):
    """Keeps records, so that they are Optuna's own."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        return iter(self.logs[log_number_from:])

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.logs += json.loads(json.dumps(logs))


def _is_record(line: bytes) -> bool:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and isinstance(record.get("op_code"), int)


def _is_half(line: bytes) -> bool:
    return line.startswith(_RECORD) or _RECORD.startswith(line)

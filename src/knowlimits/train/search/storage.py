"""Where a search is kept: Optuna's studies in a journal file, SQLite or PostgreSQL, each driven by one process at a time.

A study holds finished trials only, each written at once when it is known, so that whoever is killed, whenever, leaves nothing
half done: what is missing is drawn again. Optuna itself would write a trial before it is trained, and leave it running for
ever.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import optuna
from filelock import Timeout
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.study import StudyDirection
from sqlalchemy.exc import SQLAlchemyError

from knowlimits.train.search.journal import check_journal, file_of, lock_beside, open_journal

_ACCEPTED = "the path of a journal file, sqlite:///FILE or postgresql://USER@HOST/DATABASE"
_SETTINGS = "knowlimits"
# Letters of a study's name that the name of its lock shows; and bytes that databases keep of it.
_READABLE, _NAME = 40, 512


class StudyInUse(RuntimeError):
    """Another process is driving the study."""


@contextmanager
def open_study(storage: str | None, name: str, direction: StudyDirection, settings: dict[str, Any]) -> Iterator[optuna.Study]:
    """A study, for this process alone, new or as an earlier one left it.

    Args:
        storage: the path of a journal file, ``sqlite:///FILE``, ``postgresql://...``, or None for memory.
        name: of the study.
        direction: whether the best value is the largest.
        settings: what decides about results; a study that was begun with others is refused.

    Raises:
        StudyInUse: if another process is driving it.
        ValueError: if `storage` is none of these or holds something else, or the study has other settings.
        OSError: if the storage cannot be reached or written.
    """
    settings = json.loads(json.dumps(settings))
    _check_name(name)
    with ExitStack() as stack:
        stack.enter_context(_storage_errors(storage))
        opened = _locked(stack, storage, name, direction)
        study = optuna.create_study(storage=opened, study_name=name, direction=direction, load_if_exists=True)
        known = study.user_attrs.get(_SETTINGS)
        if known is None and study.get_trials(deepcopy=False):
            raise ValueError(f"study {name!r} was not made by knowlimits. Choose another name or another storage.")
        if known is None:
            study.set_user_attr(_SETTINGS, settings)
        elif known != settings:
            differ = sorted(key for key in {*known, *settings} if known.get(key) != settings.get(key))
            raise ValueError(
                f"study {name!r} was begun with other settings of {', '.join(differ)}, so that its trials cannot be compared. "
                "Go on with the same settings, or choose another folder or storage."
            )
        yield study


def _check_name(name: str) -> None:
    # A command line may bring bytes that are no text.
    size = len(name.encode(errors="surrogatepass"))
    if not 0 < size <= _NAME or not name.isprintable():
        raise ValueError(f"name of a study must be text of 1 to {_NAME} bytes. Got {name[:_NAME]!r} of {size} instead.")


@contextmanager
def _storage_errors(storage: str | None) -> Iterator[None]:
    """Errors of databases as those of files are."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        raise OSError(f"storage {_without_password(storage or '')} failed: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    """What a database says, in one line."""
    while (inner := getattr(error, "orig", None) or error.__cause__) is not None:
        error = inner
    return str(error).strip().splitlines()[0]


def _locked(stack: ExitStack, storage: str | None, name: str, direction: StudyDirection) -> BaseStorage:
    if storage is None:
        return InMemoryStorage()
    scheme, separator, rest = storage.partition("://")
    if not separator:
        path = file_of(storage)
        check_journal(path)
        _lock_study(stack, path, name)
        return open_journal(path, name, direction)
    if scheme == "sqlite" and rest.startswith("/") and rest != "/":
        path = _sqlite_file(rest[1:])
        _lock_study(stack, path, name)
        return _database(stack, f"sqlite:///{path}")
    if scheme in ("postgresql", "postgresql+psycopg"):
        opened = _database(stack, f"postgresql+psycopg://{rest}")
        _lock_database(stack, opened, name)
        return opened
    raise ValueError(f"storage must be {_ACCEPTED}. Got {_without_password(storage)!r} instead.")


def _sqlite_file(text: str) -> Path:
    """The file of sqlite:///FILE.

    Raises:
        ValueError: if there is a file that is no database, or a database of something else.
        OSError: if it cannot be written.
    """
    if text == ":memory:" or text.startswith("file:"):
        raise ValueError(f"storage must name a file that keeps the trials. Got 'sqlite:///{text}', which may keep nothing.")
    if "?" in text:
        raise ValueError(f"storage must be sqlite:///FILE without options or question marks. Got 'sqlite:///{text}'.")
    path = file_of(text)
    if not path.exists() or not path.stat().st_size:
        for beside in (path.with_name(path.name + end) for end in ("-journal", "-wal", "-shm")):
            if beside.exists() and not path.exists():
                raise ValueError(f"storage {text} needs {beside} for itself, and that is there already. Choose another name.")
        return path
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    except sqlite3.Error as error:
        raise ValueError(f"storage {text} cannot be used as a SQLite database: {error}. Choose another file.") from None
    if tables and "studies" not in tables:
        raise ValueError(f"storage {text} is a SQLite database of something else, as it has no studies. Choose another file.")
    return path


def _lock_study(stack: ExitStack, path: Path, name: str) -> None:
    """Hold a lock beside a file; the system lets go of it when the process ends, however it ends."""
    lock = lock_beside(path, f"{_short(name)}.driver")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StudyInUse(f"study {name!r} in {path} is being driven by another process: wait for it, or stop it.") from None
    stack.callback(lock.release)


def _lock_database(stack: ExitStack, storage: RDBStorage, name: str) -> None:
    """Hold an advisory lock of PostgreSQL, which ends with the connection."""
    from sqlalchemy import text

    connection = stack.enter_context(storage.engine.connect().execution_options(isolation_level="AUTOCOMMIT"))
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    if not connection.execute(text("select pg_try_advisory_lock(:key)"), {"key": key}).scalar():
        raise StudyInUse(f"study {name!r} is being driven by another process: wait for it, or stop it.")


def _database(stack: ExitStack, url: str) -> RDBStorage:
    try:
        opened = RDBStorage(url)
    except ImportError:
        raise ImportError("postgresql:// needs psycopg: pip install 'know-your-limits[postgresql]'.") from None
    except (SQLAlchemyError, RuntimeError) as error:
        # Optuna has a RuntimeError for databases of other versions of it.
        raise OSError(f"storage {_without_password(url)} cannot be opened: {_reason(error)}") from None
    stack.callback(opened.engine.dispose)
    return opened


def _without_password(url: str) -> str:
    if "://" not in url:
        return url
    scheme, _, rest = url.partition("://")
    login, at, host = rest.rpartition("@")
    return f"{scheme}://{login.partition(':')[0]}{at}{host}"


def _short(name: str) -> str:
    readable = "".join(c if c.isalnum() and c.isascii() else "-" for c in name)
    # Names of files have bounds.
    return f"{readable[:_READABLE]}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"

"""Where a search is kept: Optuna's studies in a journal file, SQLite or PostgreSQL, each driven by one process at a time.

A study holds finished trials only, each written at once when it is known, so that whoever is killed, whenever, leaves nothing
half done: what is missing is drawn again. Optuna itself would write a trial before it is trained, and leave it running for
ever.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import optuna
from filelock import FileLock, Timeout
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

_ACCEPTED = "the path of a journal file, sqlite:///FILE or postgresql://USER@HOST/DATABASE"
_SETTINGS = "knowlimits"


class StudyInUse(RuntimeError):
    """Another process is driving the study."""


@contextmanager
def open_study(
    storage: str | None, name: str, direction: Literal["maximize", "minimize"], settings: dict[str, Any]
) -> Iterator[optuna.Study]:
    """A study, for this process alone, new or as an earlier one left it.

    Args:
        storage: the path of a journal file, ``sqlite:///FILE``, ``postgresql://...``, or None for memory.
        name: of the study.
        direction: ``"maximize"`` or ``"minimize"``.
        settings: what decides about results; a study that was begun with others is refused.

    Raises:
        StudyInUse: if another process is driving it.
        ValueError: if `storage` is none of these, or the study has other settings.
        OSError: if the storage cannot be reached.
    """
    settings = json.loads(json.dumps(settings))
    with ExitStack() as stack:
        opened = _locked(stack, storage, name)
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


def _locked(stack: ExitStack, storage: str | None, name: str) -> BaseStorage:
    if storage is None:
        return InMemoryStorage()
    scheme, separator, rest = storage.partition("://")
    if not separator:
        _lock_file(stack, Path(storage), name)
        _mend_journal(Path(storage))
        return JournalStorage(JournalFileBackend(storage))
    if scheme == "sqlite" and rest.startswith("/") and rest != "/":
        _lock_file(stack, Path(rest[1:]), name)
        return _database(stack, storage)
    if scheme in ("postgresql", "postgresql+psycopg"):
        opened = _database(stack, f"postgresql+psycopg://{rest}")
        _lock_database(stack, opened, name)
        return opened
    raise ValueError(f"storage must be {_ACCEPTED}. Got {_without_password(storage)!r} instead.")


def _lock_file(stack: ExitStack, path: Path, name: str) -> None:
    """Hold a lock beside a file; the system lets go of it when the process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.{_short(name)}.driver"), timeout=0)
    try:
        lock.acquire()
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
    from sqlalchemy.exc import SQLAlchemyError

    try:
        opened = RDBStorage(url)
    except ImportError:
        raise ImportError("postgresql:// needs psycopg: pip install 'know-your-limits[postgresql]'.") from None
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise OSError(f"storage {_without_password(url)} cannot be opened: {reason}") from None
    stack.callback(opened.engine.dispose)
    return opened


def _mend_journal(path: Path) -> None:
    """Take away what a process that was killed while it wrote has left: Optuna's lock, and half a line."""
    for lock in path.parent.glob(f"{path.name}.lock*"):
        lock.unlink()
    if path.exists() and (content := path.read_bytes()) and not content.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    login, at, host = rest.rpartition("@")
    return f"{scheme}://{login.partition(':')[0]}{at}{host}"


def _short(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name) + "-" + hashlib.sha256(name.encode()).hexdigest()[:6]

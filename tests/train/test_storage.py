"""Where a search is kept: nothing that is not ours is written to or deleted, and processes work side by side."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import optuna
import pytest
from filelock import FileLock
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.study import StudyDirection
from optuna.trial import create_trial

from knowlimits.train.search import StudyInUse, journal
from knowlimits.train.search.storage import open_study


def snapshot(folder):
    """Everything in a folder, but for empty files whose names begin with a point, which are our locks."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name.startswith(".") and path.is_file() and not path.stat().st_size:
            continue
        found[path.name] = (
            os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else path.lstat().st_mode
        )
    return found


def add(storage, count, name="a", before=lambda: None):
    with open_study(str(storage), name, StudyDirection.MAXIMIZE, {}) as study:
        before()
        for _ in range(count):
            study.add_trial(create_trial(value=1.0))
        return len(study.trials)


def database(path):
    with sqlite3.connect(path) as connection:
        connection.execute("create table precious (x)")
    connection.close()
    return path.read_bytes()


FOREIGN = {
    "table": b"a,b,y\n1,2,0\n3,4,1",
    "zeros": bytes(5000),
    "binary": bytes(range(1, 256)) * 99,
    "empty": b"",
    "one line": b"precious",
    "brace": b"{",
    "json": b'{"a": 1}\n',
    "json list": b'[{"op_code": 0}]\n',
    "json lines": b'{"id": 1}\n{"id": 2}\n',
    "text behind a record": b'{"op_code": 0, "worker_id": "a", "study_name": "b", "directions": [1]}\nnotes of mine',
    "line behind a record": b'{"op_code": 0, "worker_id": "a", "study_name": "b", "directions": [1]}\nnotes\n{"op_code": 4}\n',
    "unknown operation": b'{"op_code": 99}\n',
    "operation without a name": b'{"op_code": 0, "worker_id": "a"}\n',
    "deep": b'{"op_code":' + b"[" * 100_000 + b"\n",
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_is_no_journal_stays_as_it_is(content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match=r"storage .*file .*Choose a"):
        add(tmp_path / "file", 1)
    assert snapshot(tmp_path) == before


def test_a_database_is_told_from_a_journal(tmp_path):
    path = tmp_path / "trials.db"
    add(f"sqlite:///{path}", 3)
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match=f"is a SQLite database and no journal: write sqlite:///{path} for it"):
        add(path, 1)
    assert snapshot(tmp_path) == before
    assert add(f"sqlite:///{path}", 1) == 4


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", bytes(5000), None], ids=["table", "zeros", "database of something else"])
def test_a_database_of_something_else_stays_as_it_is(content, tmp_path):
    path = tmp_path / "file.db"
    if content is None:
        database(path)
    else:
        path.write_bytes(content)
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match=r"storage .*Choose another file"):
        add(f"sqlite:///{path}", 1)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("prefix", ["", "sqlite:///"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "link to a folder", "folder to be"])
def test_what_is_no_file_is_refused(kind, prefix, tmp_path):
    path = tmp_path / "thing"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to a folder":
        path.symlink_to(tmp_path)
    text = "/dev/null" if kind == "device" else f"{path}/" if kind == "folder to be" else str(path)
    before = path.lstat().st_mode if os.path.lexists(path) else None
    with pytest.raises(ValueError, match="storage must be a file"):
        add(f"{prefix}{text}", 1)
    assert (path.lstat().st_mode if os.path.lexists(path) else None) == before
    with pytest.raises(OSError, match="storage /proc/x cannot be written: No such file"):
        add(f"{prefix}/proc/x", 1)


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("sqlite:///:memory:", "must name a file that keeps the trials"),
        ("sqlite:///file:x?mode=memory", "must name a file that keeps the trials"),
        ("sqlite:///x.db?mode=ro", "without options"),
        ("", "must be a file"),
        ("n" * 230, "name of at most 200"),
    ],
)
def test_storages_that_keep_nothing(storage, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        add(storage, 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["run.locksmith.txt", "run.lock.bak", "run.lockx.rename", "run*.lock", ".run.driver"])
def test_files_beside_a_journal_stay(name, tmp_path):
    (tmp_path / name).write_text("precious")
    add(tmp_path / "run", 2)
    assert (tmp_path / name).read_text() == "precious"
    # A name with a star or brackets means itself alone.
    (tmp_path / "xa.lock").write_text("precious")
    add(tmp_path / "x[ab]", 1)
    add(tmp_path / "x?", 1)
    assert (tmp_path / "xa.lock").read_text() == "precious"


@pytest.mark.parametrize("link", [False, True])
def test_a_file_in_the_place_of_a_lock_stays(link, tmp_path):
    lock = tmp_path / "run.lock"
    (tmp_path / "precious").write_text("precious")
    if link:
        lock.symlink_to("precious")
    else:
        lock.write_text("precious")
    with pytest.raises(ValueError, match=r"needs .*run\.lock for a lock, and that is another file"):
        add(tmp_path / "run", 1)
    assert lock.read_text() == "precious"
    assert lock.is_symlink() == link
    (tmp_path / ".other.writer").write_text("precious")
    with pytest.raises(ValueError, match="for a lock, and that is another file"):
        add(tmp_path / "other", 1)
    assert (tmp_path / ".other.writer").read_text() == "precious"


def test_what_sqlite_would_take_for_its_own_stays(tmp_path):
    (tmp_path / "run-journal").write_text("precious")
    with pytest.raises(ValueError, match=r"needs .*run-journal for itself"):
        add(f"sqlite:///{tmp_path / 'run'}", 1)
    assert snapshot(tmp_path) == {"run-journal": b"precious"}


def test_a_journal_has_its_first_record_at_once(tmp_path):
    with open_study(str(tmp_path / "run"), "a", StudyDirection.MINIMIZE, {}) as study:
        records = [json.loads(line) for line in (tmp_path / "run").read_text().splitlines()]
        assert records[0]["study_name"] == "a"
        assert study.direction == StudyDirection.MINIMIZE
    # Others read it as they read any.
    assert optuna.load_study(study_name="a", storage=JournalStorage(JournalFileBackend(str(tmp_path / "run")))).trials == []


def test_a_disk_that_is_full_leaves_no_empty_journal(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    path = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            add(path, 1)
    assert not path.exists()
    assert add(path, 1) == 1
    monkeypatch.setattr(journal.JournalFileBackend, "append_logs", full)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        add(path, 1)


@pytest.mark.parametrize("half", ['{"op_code":4,"half a li', '{"op', "{"])
def test_half_a_record_is_taken_away_and_nothing_else(half, tmp_path):
    path = tmp_path / "run"
    add(path, 3)
    before = path.read_bytes()
    path.write_bytes(before + half.encode())
    assert add(path, 1) == 4
    assert path.read_bytes().startswith(before)
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_lock_that_a_killed_process_of_ours_has_left_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "_LEFT", 10**6)
    path = tmp_path / "run"
    add(path, 1)
    (tmp_path / "run.lock").symlink_to(f"{tmp_path}/./run")
    assert add(path, 1) == 2
    assert not os.path.lexists(tmp_path / "run.lock")


def test_two_names_of_one_file_are_one_storage(tmp_path):
    path, link = tmp_path / "run", tmp_path / "link"
    link.symlink_to("run")
    (tmp_path / "folder").mkdir()
    others = [str(link), f"{tmp_path}/folder/../run"]
    with open_study(str(path), "a", StudyDirection.MAXIMIZE, {}):
        for other in others:
            with pytest.raises(StudyInUse), open_study(other, "a", StudyDirection.MAXIMIZE, {}):
                pass
    assert link.is_symlink()
    assert [add(other, 1) for other in others] == [1, 2]


def test_names_of_studies(tmp_path):
    for name in ("x" * 300, "a/../b", "\u00e4" * 200, "a*b[c]"):
        assert add(tmp_path / "run", 1, name) == 1
    for name in ("", "x" * 600, "a\nb", "\udcff"):
        with pytest.raises(ValueError, match="name of a study must be text of 1 to 512 bytes"):
            add(tmp_path / "run", 1, name)


def test_a_name_of_two_hundred_letters(tmp_path):
    assert add(tmp_path / ("n" * 200), 1, "x" * 300) == 1


# --- processes ---------------------------------------------------------------------------------------------------------------

WRITER = """
import sys
from knowlimits.train.search.storage import open_study
from optuna.study import StudyDirection
from optuna.trial import create_trial
storage, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("begin", flush=True)
for part in range(int(sys.argv[4])):
    with open_study(storage, name, StudyDirection.MAXIMIZE, {}) as study:
        print("open", flush=True)
        for i in range(count):
            study.add_trial(create_trial(value=1.0, user_attrs={"number": i}))
print("done", flush=True)
"""


def start(*arguments):
    command = [sys.executable, "-c", WRITER, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def counts(path):
    storage = JournalStorage(JournalFileBackend(str(path)))
    return {study.study_name: len(storage.get_all_trials(study._study_id)) for study in storage.get_all_studies()}


def test_two_studies_in_one_journal_are_written_side_by_side(tmp_path):
    path = tmp_path / "run"
    # One writes all the time, the other opens the journal again and again.
    both = [start(path, "a", 200, 1), start(path, "b", 2, 40)]
    for process in both:
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
    assert counts(path) == {"a": 200, "b": 80}
    assert all(json.loads(line) for line in path.read_text().splitlines())
    assert not os.path.lexists(tmp_path / "run.lock")


def test_many_begin_one_journal_at_once(tmp_path):
    path = tmp_path / "run"
    everybody = [start(path, name, 1, 1) for name in "abcd"]
    for process in everybody:
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
    assert counts(path) == dict.fromkeys("abcd", 1)


def test_whoever_opens_a_journal_waits_for_who_begins_it(tmp_path):
    path = tmp_path / "run"
    with FileLock(tmp_path / ".run.writer"):
        process = start(path, "b", 1, 1)
        assert process.stdout.readline() == "begin\n"
        time.sleep(1)
        assert not path.exists()
        add(tmp_path / "other", 1)
        os.replace(tmp_path / "other", path)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert counts(path) == {"a": 1, "b": 1}


def test_a_driver_that_is_killed_harms_no_other(tmp_path):
    path = tmp_path / "run"
    steady = start(path, "a", 400, 1)
    assert [steady.stdout.readline() for _ in range(2)] == ["begin\n", "open\n"]
    for delay in (0.05, 0.02, 0.1):
        victim = start(path, "b", 100_000, 1)
        assert [victim.stdout.readline() for _ in range(2)] == ["begin\n", "open\n"]
        time.sleep(delay)
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
    _, err = steady.communicate(timeout=200)
    assert steady.returncode == 0, err
    assert add(path, 1, "c") == 1
    assert counts(path)["a"] == 400
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_the_lock_of_another_program_is_waited_for(tmp_path):
    path = tmp_path / "run"
    add(path, 1)
    other = JournalFileSymlinkLock(str(path))
    other.acquire()
    process = start(path, "b", 1, 1)
    assert process.stdout.readline() == "begin\n"
    time.sleep(1)
    assert process.poll() is None
    assert os.path.lexists(tmp_path / "run.lock")
    # Would be a RuntimeError if the lock had been taken away.
    other.release()
    _, err = process.communicate(timeout=100)
    assert process.returncode == 0, err


def test_nobody_takes_half_a_record_from_under_who_writes_it(tmp_path):
    path = tmp_path / "run"
    add(path, 1)
    before = path.read_bytes()
    with FileLock(tmp_path / ".run.writer"):
        path.write_bytes(before + b'{"op_code":0,"worker_id":"x",')
        process = start(path, "b", 1, 1)
        assert process.stdout.readline() == "begin\n"
        time.sleep(1)
        assert path.read_bytes().endswith(b'"x",')
        with path.open("ab") as file:
            file.write(b'"study_name":"late","directions":[1]}\n')
    _, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert counts(path) == {"a": 1, "late": 0, "b": 1}


def test_a_database_that_fails_is_an_error_of_a_file(tmp_path, monkeypatch):
    path = tmp_path / "trials.db"
    add(f"sqlite:///{path}", 1)

    def lose():
        with sqlite3.connect(path) as connection:
            connection.execute("drop table trials")
        connection.close()

    with pytest.raises(OSError, match=r"storage sqlite:///.* failed: .*no such table"):
        add(f"sqlite:///{path}", 1, before=lose)
    monkeypatch.setattr(RDBStorage, "__init__", lambda *_: (_ for _ in ()).throw(RuntimeError("another version")))
    with pytest.raises(OSError, match="cannot be opened: another version"):
        add(f"sqlite:///{tmp_path / 'new.db'}", 1)

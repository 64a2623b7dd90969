"""Where files are written: whole, through links and devices, and never in the place of anything else."""

import os
import socket
import stat
import subprocess
import sys
import threading

import matplotlib.pyplot as plt
import pytest
import torch

import knowlimits as kl
from knowlimits import plots
from knowlimits.outputs import check_folder, check_output, write_atomically, write_csv


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_file_is_new_or_replaced_and_keeps_its_mode(tmp_path):
    path = tmp_path / "a.csv"
    write_atomically(path, b"one")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    path.chmod(0o600)
    write_atomically(path, b"two")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"two", 0o600)
    assert names(tmp_path) == ["a.csv"]


def test_tables_have_names_on_top_and_quotes_where_need_be(tmp_path):
    write_csv(tmp_path / "a.csv", ["n", "text"], [[1, "a, b"], [2, 'say "x"']])
    assert (tmp_path / "a.csv").read_bytes() == b'n,text\n1,"a, b"\n2,"say ""x"""\n'
    write_csv(tmp_path / "b.csv", ["n", "text"], [[None, "a\rb"], [None, "a\nb"]])
    assert (tmp_path / "b.csv").read_bytes() == b'n,text\n"","a\rb"\n,"a\nb"\n'


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_target_is_written(tmp_path, there):
    (tmp_path / "folder").mkdir()
    target = tmp_path / "folder" / "target"
    if there:
        target.write_bytes(b"old")
    (tmp_path / "second").symlink_to(target)
    link = tmp_path / "link"
    link.symlink_to("second")
    check_output(link)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert os.readlink(link) == "second"
    assert target.read_bytes() == b"new"
    assert names(tmp_path / "folder") == ["target"]


def test_a_link_to_nothing_is_there_already(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("nowhere")
    with pytest.raises(FileExistsError, match="is there already"):
        check_output(link, overwrite=False)


@pytest.fixture(params=["folder", "pipe", "socket", "folder behind a link", "pipe behind a link"])
def no_file(request, tmp_path):
    path = tmp_path / "thing"
    if request.param.startswith("folder"):
        path.mkdir()
    elif request.param.startswith("pipe"):
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(path))
    if request.param.endswith("link"):
        link = tmp_path / "link"
        link.symlink_to(path)
        return link
    return path


def test_what_is_no_file_stays_what_it_is(no_file, tmp_path):
    before = {p.name: p.lstat().st_mode for p in tmp_path.iterdir()}
    for call in (check_output, lambda path: write_atomically(path, b"x"), lambda path: kl.save(fitted(), path)):
        with pytest.raises(OSError, match=f"{no_file.name} is a "):
            call(no_file)
    assert {p.name: p.lstat().st_mode for p in tmp_path.iterdir()} == before


def fitted():
    model = kl.NeuralNetwork(hidden_sizes=(2,), epochs=1, random_state=0)
    return model.fit([[0.0, 1], [1, 0], [2, 1], [0, 3]], [0, 1, 0, 1])


def null(tmp_path):
    """A device like /dev/null, which a fault would not take from the machine."""
    path = tmp_path / "null"
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        path.read_bytes()
    except OSError:
        pytest.skip("only root can make devices, and not everywhere")
    return path


def test_a_device_is_written_through(tmp_path):
    path = null(tmp_path)
    (tmp_path / "link").symlink_to("null")
    for place in (path, tmp_path / "link"):
        check_output(place, overwrite=False)
        write_atomically(place, b"lost")
        kl.save(fitted(), place)
    assert stat.S_ISCHR(path.stat().st_mode)
    assert names(tmp_path) == ["link", "null"]


WRITE = (
    "import sys; from knowlimits.outputs import write_atomically; print('first'); write_atomically(sys.argv[1], b'second\\n')"
)


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_open_descriptors_are_written_through_in_order(path, tmp_path):
    # Into a pipe, and into a file that somebody else has open.
    assert subprocess.run([sys.executable, "-c", WRITE, path], capture_output=True, text=True).stdout == "first\nsecond\n"
    with (tmp_path / "out").open("w") as file:
        inode = os.fstat(file.fileno()).st_ino
        subprocess.run([sys.executable, "-c", WRITE, path], stdout=file, check=True)
    assert (tmp_path / "out").read_text() == "first\nsecond\n"
    assert (tmp_path / "out").stat().st_ino == inode


def test_places_that_cannot_be_written_are_refused_beforehand(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    for path, error in (
        (tmp_path / "nowhere" / "a", "No such file"),
        (tmp_path / "file" / "a", "Not a directory"),
        (tmp_path / ("a" * 300), "too long"),
        (tmp_path / "loop", "symbolic links"),
        ("/proc/a", "No such file"),
    ):
        with pytest.raises(OSError, match=error):
            check_output(path)
        with pytest.raises(OSError, match=error):
            write_atomically(path, b"x")
    assert names(tmp_path) == ["file", "loop"]
    for path in (tmp_path / "file", tmp_path / "file" / "below", "/proc/a"):
        with pytest.raises(OSError, match="cannot write to"):
            check_folder(path)
    check_folder(tmp_path / "new", ("figures",), ("summary.md",))
    (tmp_path / "new" / "summary.md").mkdir()
    with pytest.raises(OSError, match="is a folder"):
        check_folder(tmp_path / "new", ("figures",), ("summary.md",))


def test_names_of_figures(tmp_path):
    figure = plt.figure()
    for name in ("map.xyz", "map", "map.png.txt"):
        with pytest.raises(ValueError, match=r"must end in \.png or \.pdf or \.svg"):
            plots.save(figure, tmp_path / name)
    plots.save(figure, tmp_path / "MAP.PNG")
    assert names(tmp_path) == ["MAP.PNG"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_atomically(path, b"old")

    def full(*_):
        raise OSError(28, "No space left on device", "some temporary name")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/a'"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_threads_write_side_by_side(tmp_path):
    threads = [threading.Thread(target=write_atomically, args=(tmp_path / f"{k % 3}", bytes([k]) * 1000)) for k in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(tmp_path) == ["0", "1", "2"]
    assert all(len(set(p.read_bytes())) == 1 and p.stat().st_size == 1000 for p in tmp_path.iterdir())


def test_a_model_that_would_not_load_is_not_saved(tmp_path):
    model = fitted()
    with torch.no_grad():
        model.stack_.weights[0][0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"finite numbers in weights\.0"):
        kl.save(model, tmp_path / "a")
    assert names(tmp_path) == []

"""The command line: a person's mistakes are one line and status 2, before the work; faults of the program are tracebacks."""

import builtins
import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import make_moons

import knowlimits as kl
from knowlimits import auditing, plane
from knowlimits.cli.mistakes import explained
from knowlimits.files.saved import file as saved
from knowlimits.studies import half_moons
from knowlimits.studies.paper import reproduce
from knowlimits.studies.search.hyperparameters import read_hyperparameters
from knowlimits.studies.tables import detect
from tests.command import run

# The function of the same name hides the module.
driver = sys.modules[kl.search.__module__]
X, Y = make_moons(80, noise=0.1, random_state=0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    kl.save(kl.NeuralNetwork(hidden_sizes=(4,), epochs=2, random_state=0).fit(X, Y), path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.csv"
    return table(path, X, Y)


def table(path, X, Y):
    rows = [f"{a!r},{b!r},{y}" for (a, b), y in zip(X.tolist(), Y.tolist(), strict=True)]
    path.write_text("\n".join(["a,b,y", *rows]) + "\n")
    return path


def refused(*arguments):
    """The one line that a command ends with."""
    result = run(*arguments)
    assert result.returncode == 2, result
    assert result.stdout == ""
    assert result.stderr.startswith("knowlimits: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def no_work(monkeypatch):
    """Whatever is refused is refused before any of this."""

    def work(*_, **__):
        pytest.fail("the work has begun")

    monkeypatch.setattr(plane, "partition", work)
    monkeypatch.setattr(auditing, "audit", work)
    monkeypatch.setattr(half_moons, "fit_together", work)
    monkeypatch.setattr(driver, "evaluate", work)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "map.xyz"], "--figure: map.xyz must end in .png or .pdf or .svg"),
        (["-o", "folder.png"], "--figure: folder.png is a folder"),
        (["--csv", "folder.png"], "--csv: folder.png is a folder"),
        (["--csv", ""], "--csv: . is a folder"),
        (["--csv", "pipe"], "--csv: pipe is a named pipe"),
        (["-o", "file/x.png"], "--figure: cannot write to file: it is no folder"),
        (["--csv", "/proc/x"], "--csv: cannot write to /proc: No such file"),
        (["--csv", "n" * 300], "File name too long"),
        (["--csv", "model"], "--csv: model is model, which has another part here"),
        (["--csv", "./link"], "--csv: link is model, which has another part here"),
        (["--nosuch"], "Unknown option"),
        (["--box", "1", "2", "3"], "requires 4"),
        (["--jobs", "many"], "Invalid value for --jobs"),
    ],
)
def test_regions_refuses_beforehand(options, message, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("x")
    (tmp_path / "model").write_bytes(model.read_bytes())
    (tmp_path / "link").symlink_to("model")
    before = {p.name: p.lstat() for p in tmp_path.iterdir()}
    assert message in refused("regions", "model", *options)
    assert {p.name: p.lstat() for p in tmp_path.iterdir()}.keys() == before.keys()
    assert (tmp_path / "model").read_bytes() == model.read_bytes()


@pytest.mark.parametrize("options", [["--jobs", "0"], ["--member", "-1"], ["--member", "7"], ["--box", "1", "0", "0", "1"]])
def test_what_the_library_refuses_is_one_line_too(options, model):
    assert "must be" in refused("regions", model, *options)


@pytest.mark.usefixtures("no_work")
def test_audit_refuses_beforehand(model, data, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    arguments = ["audit", model, data, "--target", "y"]
    assert "--html: " in (line := refused(*arguments, "--html", tmp_path / "folder", "--force"))
    assert "is a folder" in line
    assert "Give --force" in refused(*arguments, "--html", tmp_path / "link")
    assert "has another part here" in refused(*arguments, "--html", data, "--force")
    assert "--seed must be at least 0" in refused(*arguments, "--seed", "-1")
    assert "--seed must be at least 0" in refused(*arguments, "--seed", 2**32)
    assert "--max-rows must be at least 16" in refused(*arguments, "--max-rows", "3")
    assert os.readlink(tmp_path / "link") == "nowhere"


def test_audit_of_what_cannot_be(model, data, tmp_path):
    assert "layer must be None for a classifier of knowlimits" in refused(
        "audit", model, data, "--target", "y", "--layer", "zz"
    )
    large = table(tmp_path / "large.csv", X * 1e300, Y)
    assert "column 'a', must have numbers of at most 1e+100" in refused("audit", model, large, "--target", "y")
    message = "large.csv must have numbers of at most 1e+100"
    assert message in refused("search", "--data", large, "--target", "y", "--models", "nn", "--out", tmp_path / "s")
    for own, other in ((large, data), (data, large)):
        assert message in refused("detect", "--data", own, "--target", "y", "--ood", other, "--out", tmp_path / "d")
    one = table(tmp_path / "one.csv", X, 0 * Y)
    assert "y must have two classes at least" in refused("audit", model, one, "--target", "y")


def test_labels_that_tables_of_floats_have_are_those_of_the_model(model, tmp_path):
    floats = table(tmp_path / "floats.csv", X, Y.astype(float))
    found, expected = (run("audit", model, path, "--target", "y") for path in (floats, table(tmp_path / "d.csv", X, Y)))
    assert found.returncode == 0, found.stderr
    assert found.stdout == expected.stdout.replace("d.csv", "floats.csv")


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seed", "-1"], "--seed must be at least 0 and at most 4294967295. Got -1"),
        (["--trials", "-5"], "--trials must be at least 1"),
        (["--study", "x" * 600], "name of a study must be text of 1 to 512 bytes"),
        (["--storage", "/proc/x"], "storage /proc/x cannot be written: No such file"),
        (["--storage", "."], "storage must be a file"),
        (["--storage", ""], "storage must be a file"),
        (["--storage", "sqlite:///:memory:"], "must name a file that keeps the trials"),
        (["--device", "meta"], "--device: device must be one that works here, and torch cannot use 'meta'"),
        (["--target", "b"], "y must have at least 4 rows of each class"),
        (["--space", "space.toml"], "Got 'abc' instead"),
        (["--space", "deep.toml"], "--space: deep.toml is not a TOML file"),
    ],
)
def test_search_refuses_beforehand(options, message, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.toml").write_text("[NN]\nlayers = [1]\nwidth = [4]\nepochs = 'abc'\n")
    (tmp_path / "deep.toml").write_text(f"[NN]\nlayers = {'[' * 5000}")
    arguments = ["search", "--models", "NN", "--repeats", "1", "--data", data, "--out", tmp_path / "out"]
    arguments += [] if "--target" in options else ["--target", "y"]
    line = refused(*arguments, *options)
    assert message in line
    assert "np." not in line


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"layers": [1], "width": [4, "x"]}, "width in space must be whole numbers of at least 1. Got 'x'"),
        ({"layers": {"low": 0, "high": 2}, "width": 4}, "layers in space must be whole numbers of at least 1. Got 0"),
        ({"layers": {"low": 1.5, "high": 2}, "width": 4}, "layers in space must be whole numbers"),
        ({"learning_rate": [0.1, "x"]}, "learning_rate must be a number"),
        ({"learning_rate": [0.1], "epochs": 1.5}, "epochs must be an integer"),
        ({"layers": [9], "width": [10**6]}, "at most 268,435,456 weights"),
    ],
)
def test_spaces_that_cannot_be_trained_are_refused_beforehand(space, message, no_work):
    with pytest.raises((ValueError, TypeError), match=message):
        kl.search(kl.NeuralNetwork(epochs=1), X, Y, space, trials=2, repeats=1)


def test_messages_have_pythons_numbers_and_text():
    for y in (np.zeros(80, dtype=int), np.array(["lab0"] * 80)):
        with pytest.raises(ValueError, match=r"Got one class, (0|'lab0'), instead"):
            kl.search(kl.NeuralNetwork(), X, y, {"learning_rate": [0.1]})
    y = np.where(np.arange(80) < 2, "rare", "often")
    with pytest.raises(ValueError, match=r"Got 2 of class 'rare'"):
        kl.search(kl.NeuralNetwork(), X, y, {"learning_rate": [0.1]})
    for seed in (-1, 2**32, 1.5, True):
        with pytest.raises(ValueError, match="seed must be a whole number from 0 to 4294967295"):
            kl.search(kl.NeuralNetwork(), X, Y, {"learning_rate": [0.1]}, seed=seed)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"nosuch": 1}, "Got nosuch."),
        ({"lr": "abc"}, "learning_rate must be a number in (0, inf). Got 'abc'"),
        ({"hidden_sizes": [10**9]}, "at most 268,435,456 weights. Got 4,000,000,001"),
        ({"hidden_sizes": 3}, "hidden_sizes must be a sequence"),
        ({"random_state": 3}, "Got random_state."),
    ],
)
def test_hyperparameters_that_cannot_be_trained_are_refused_beforehand(parameters, message, tmp_path):
    (tmp_path / "NN.json").write_text(json.dumps({"0": {"score": 1, "hyperparameters": parameters}}))
    line = refused("reproduce", "--models", "nn", "--seeds", "1", "--out", tmp_path / "r", "--hyperparameters", tmp_path)
    assert f"--hyperparameters: {tmp_path / 'NN.json'}: " in line
    assert message in line


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"0": 1}',
        '{"0": {"score": "a", "hyperparameters": {}}}',
        '{"0": {"score": 1, "hyperparameters": 3}}',
        "{}",
    ],
)
def test_files_of_hyperparameters_that_are_none(text, tmp_path):
    (tmp_path / "NN.json").write_text(text)
    with pytest.raises(ValueError, match=r"NN\.json must hold trials with score and hyperparameters"):
        read_hyperparameters(tmp_path)


@pytest.mark.usefixtures("no_work")
def test_reproduce_refuses_beforehand(tmp_path):
    for device in ("meta", "vulkan"):
        assert f"torch cannot use {device!r}" in refused("reproduce", "--device", device, "--out", tmp_path / "r")
    for address in ("tls://127.0.0.1:9", "tcp://", "foo://x", "", "inproc://1"):
        line = refused("reproduce", "--seeds", "1", "--dask", address, "--out", tmp_path)
        assert "no Dask scheduler answers" in line
    (tmp_path / "a" / "summary.md").mkdir(parents=True)
    assert "--out: " in (line := refused("reproduce", "--out", tmp_path / "a"))
    assert "summary.md is a folder" in line
    (tmp_path / "file").write_text("x")
    assert "cannot write to" in refused("reproduce", "--out", tmp_path / "file")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "figures").write_text("x")
    assert "b/figures: it is no folder" in refused("reproduce", "--out", tmp_path / "b")


def test_a_full_disk_is_one_line(model, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    # What is compiled on first use goes to a file of its own.
    assert run("regions", model).returncode == 0
    monkeypatch.setattr(os, "replace", full)
    assert refused("regions", model, "--csv", tmp_path / "a.csv") == f"knowlimits: {tmp_path}/a.csv: No space left on device.\n"
    assert not list(tmp_path.iterdir())


def test_too_little_memory_is_one_line(model, monkeypatch):
    for error in (MemoryError("Unable to allocate 9 GiB"), RuntimeError("[x] DefaultCPUAllocator: can't allocate memory: you")):
        monkeypatch.setattr(plane, "partition", lambda *_, error=error, **__: throw(error))
        assert "there is not enough memory" in refused("regions", model)


def throw(error):
    raise error


def broken(kind):
    """Something that fails in an operation, or in somebody else's code."""
    return {
        "ValueError of numpy": lambda *_, **__: np.zeros(2) + np.zeros(3),
        "ValueError": lambda *_, **__: throw(ValueError("x")),
        "TypeError of Python": lambda *_, **__: len(3),
        "KeyError": lambda *_, **__: {}["x"],
        "IndexError": lambda *_, **__: [][0],
        "AttributeError": lambda *_, **__: None.x,
        "ZeroDivisionError": lambda *_, **__: 1 / 0,
        "RuntimeError": lambda *_, **__: throw(RuntimeError("x")),
        "AssertionError": lambda *_, **__: throw(AssertionError("x")),
    }[kind]


FAULTS = ("ValueError of numpy", "ValueError", "TypeError of Python", "KeyError", "IndexError", "AttributeError")


@pytest.mark.parametrize("kind", [*FAULTS, "ZeroDivisionError", "RuntimeError", "AssertionError"])
def test_faults_of_the_program_are_not_hidden(kind, model, data, monkeypatch, tmp_path):
    error = getattr(builtins, kind.split()[0])
    for place, arguments in (
        ((plane, "partition"), ["regions", model]),
        ((auditing, "audit"), ["audit", model, data, "--target", "y"]),
        ((saved, "classifier_of"), ["regions", model]),
        ((driver, "open_study"), ["search", "--models", "nn", "--trials", "1", "--out", tmp_path]),
        ((detect, "measure"), ["detect", "--sets", "wine", "--seeds", "1", "--out", tmp_path]),
        ((reproduce, "draw_data"), ["reproduce", "--models", "nn", "--out", tmp_path]),
    ):
        if place[0] is saved and issubclass(error, ValueError | TypeError | LookupError | AttributeError):
            # What a stranger's file brings about is the file's fault.
            continue
        with monkeypatch.context() as patch:
            patch.setattr(*place, broken(kind))
            with pytest.raises(error):
                run(*arguments)


def test_an_error_that_crosses_a_thread_or_a_cause_is_told_by_where_it_was_raised():
    def refuse():
        try:
            raise KeyError("x")
        except KeyError:
            kl.NeuralNetwork(hidden_sizes=3)._check_parameters()

    with pytest.raises(TypeError, match="hidden_sizes") as found:
        refuse()
    assert "hidden_sizes must be" in explained(found.value)
    assert explained(ValueError("never raised")) is None


# --- pipes -----------------------------------------------------------------------------------------------------------------


def shell(command, model, folder, **options):
    program = f"{sys.executable} -c 'from knowlimits.cli.main import main; main()'"
    script = f"set -o pipefail; {command.replace('KNOW', program)}"
    environment = {**os.environ, "MODEL": str(model), **options}
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, cwd=folder)


@pytest.mark.parametrize(
    "command",
    [
        "KNOW regions $MODEL | true",
        "KNOW regions $MODEL --csv /dev/stdout | head -1",
        "KNOW audit --help | true",
        "KNOW --version | true",
        "KNOW regions $MODEL 2>&1 | true",
        "KNOW regions $MODEL --nosuch 2> >(true); sleep 0.1",
    ],
)
def test_nobody_who_reads_is_no_error(command, model):
    result = shell(command, model, os.getcwd())
    assert result.returncode in (0, 2, 141)
    assert result.stderr == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
@pytest.mark.parametrize("command", ["KNOW regions $MODEL > /dev/full", "KNOW audit --help > /dev/full"])
def test_a_full_standard_output_is_one_line(command, model):
    result = shell(command, model, os.getcwd())
    assert (result.returncode, result.stderr) == (2, "knowlimits: standard output: No space left on device.\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_device_is_named(model):
    assert refused("regions", model, "--csv", "/dev/full") == "knowlimits: /dev/full: No space left on device.\n"


def test_files_are_written_though_nobody_reads(model, tmp_path):
    shell(f"KNOW regions $MODEL --csv {tmp_path / 'a.csv'} | true", model, os.getcwd())
    assert (tmp_path / "a.csv").read_text().startswith("cell,bounded")


def test_devices_and_links_stay(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("target")
    outputs = ["link", "/dev/null"]
    if os.getuid() == 0:
        os.mknod("null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        outputs[1] = "null"
    for out in outputs:
        assert run("regions", model, "--csv", out).returncode == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text().startswith("cell,bounded")
    assert stat.S_ISCHR(os.stat(outputs[1]).st_mode)


def test_outputs_that_are_one_file(model, tmp_path):
    out = tmp_path / "a.svg"
    out.write_text("old")
    assert "has another part here" in refused("regions", model, "-o", out, "--csv", out)
    assert out.read_text() == "old"
    assert "has another part here" in refused("regions", model, "-o", tmp_path / "b.svg", "--csv", tmp_path / "b.svg")

"""The plugin of pytest, by suites that pytest runs: what fails, what passes, what is written, by how many workers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import knowlimits as kl
from knowlimits import pytest_plugin
from knowlimits.auditing.find.table import Table
from knowlimits.baseline.file import read_baseline

pytest_plugins = "pytester"

FILE = pytest_plugin.FILE
SUITE = """
def test_next_version(knowlimits_baseline, audits):
    knowlimits_baseline.check(audits.now)
"""


class Audits:
    """What a suite takes its audits from: a plugin with a fixture."""

    def __init__(self, now):
        self.now = now

    @pytest.fixture
    def audits(self):
        return self


@pytest.fixture(scope="module")
def audit():
    net = torch.nn.Linear(2, 2).double()
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
        net.bias.zero_()
    X = np.random.default_rng(0).normal(size=(40, 2))
    return kl.audit(
        net, X, feature_names=["age", "dose"], X_test=X, y=(X[:, 0] > 0).astype(int), y_test=(X[:, 0] > 0).astype(int)
    )


@pytest.fixture
def changed(audit):
    """The audit, with other shares along its ways, of 40 rows or of other 40."""

    def made(*rows, data="same"):
        sure = np.array(rows) / 40
        features = Table(audit.features.columns | {"sure": sure})
        return replace(audit, features=features, _found=replace(audit._found, data=data))

    return made


@pytest.fixture
def suite(pytester, monkeypatch):
    """Runs a suite with the plugin alone, and gives what came of it."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run(*options, now=None, text=SUITE):
        pytester.makepyfile(test_model=text)
        plugins = [] if now is None else [Audits(now)]
        return pytester.runpytest_inprocess("-p", "knowlimits.pytest_plugin", "--strict-markers", *options, plugins=plugins)

    return run


def test_from_the_first_baseline_to_a_model_that_got_worse(suite, changed, pytester):
    good = changed(0, 8, 20, 40)
    # Without a baseline nothing passes.
    missing = suite(now=good)
    missing.assert_outcomes(errors=1)
    missing.stdout.fnmatch_lines(
        [f"There is no baseline */{FILE}. Run pytest once with --knowlimits-update, and commit the file."]
    )
    assert not (pytester.path / FILE).exists()
    written = suite("--knowlimits-update", now=good)
    written.assert_outcomes(passed=1)
    written.stdout.fnmatch_lines([f"1 audit written to */{FILE}"])
    before = (pytester.path / FILE).read_bytes()
    for now in (good, changed(0, 0, 0, 0), changed(1, 14, 21, 40), changed(1, 14, 21, 40, data="other")):
        suite(now=now).assert_outcomes(passed=1)
    worse = suite(now=changed(0, 15, 33, 40))
    worse.assert_outcomes(failed=1)
    worse.stdout.fnmatch_lines(
        [
            "E *AssertionError: 'model' does worse than its baseline in 2 of * shares, over the same rows, by more than 0.05:",
            "E * share of rows that *baseline *now *growth",
            "E * ends sure along 'dose' to -inf *50.0% *82.5% *+32.5%",
            "E * ends sure along 'age' to +inf *20.0% *37.5% *+17.5%",
            f"E * Baseline: */{FILE}. If this is how it should be, run pytest once with --knowlimits-update, and commit *",
        ],
        consecutive=False,
    )
    # The suite's own line is shown, and none of the plugin's.
    worse.stdout.fnmatch_lines(["*knowlimits_baseline.check(audits.now)"])
    worse.stdout.no_fnmatch_line("*pytest_plugin.py:*: AssertionError")
    assert (pytester.path / FILE).read_bytes() == before
    suite("--knowlimits-update", now=changed(0, 15, 33, 40)).assert_outcomes(passed=1)
    assert (pytester.path / FILE).read_bytes() != before
    suite(now=changed(0, 15, 33, 40)).assert_outcomes(passed=1)


def test_rows_that_are_others_may_differ_by_chance(suite, changed):
    suite("--knowlimits-update", now=changed(0, 8, 20, 40)).assert_outcomes(passed=1)
    suite(now=changed(3, 17, 26, 40, data="other")).assert_outcomes(passed=1)
    suite(now=changed(3, 17, 26, 40)).assert_outcomes(failed=1)
    other = suite(now=changed(0, 30, 26, 40, data="other"))
    other.assert_outcomes(failed=1)
    other.stdout.fnmatch_lines(["*in 1 of * shares, over rows drawn anew, by more than 0.05:"])


def test_several_models_classes_and_parameters(suite, changed, pytester):
    text = """
    import pytest

    class TestModels:
        @pytest.mark.parametrize("site", ["north", "south"])
        def test_both(self, knowlimits_baseline, audits, site):
            knowlimits_baseline.check(audits.now, name="triage")
            knowlimits_baseline.check(audits.now, name="dose", tolerance=0.5)
    """
    written = suite("--knowlimits-update", now=changed(0, 0, 0, 0), text=text)
    written.assert_outcomes(passed=2)
    written.stdout.fnmatch_lines(["4 audits written*"])
    tests = json.loads((pytester.path / FILE).read_text())["tests"]
    assert {test: list(audits) for test, audits in tests.items()} == {
        f"test_model.py::TestModels::test_both[{site}]": ["dose", "triage"] for site in ("north", "south")
    }
    failed = suite(now=changed(9, 0, 0, 0), text=text.replace('name="triage"', 'name="triage", tolerance=0.3'))
    failed.assert_outcomes(passed=2)
    suite(now=changed(9, 0, 0, 0), text=text).assert_outcomes(failed=2)
    # What is renamed is not compared with nothing.
    renamed = suite(now=changed(0, 0, 0, 0), text=text.replace("triage", "dosage"))
    renamed.assert_outcomes(failed=2)
    renamed.stdout.fnmatch_lines(
        [f"*{FILE} has no 'dosage' of test_model.py::TestModels::test_both?north?. Run pytest once with*"]
    )
    suite(now=changed(0, 0, 0, 0), text=text.replace("south", "west")).assert_outcomes(passed=1, errors=1)


def test_an_update_keeps_what_other_tests_have(suite, changed, pytester):
    text = SUITE + SUITE.replace("next", "other")
    suite("--knowlimits-update", now=changed(0, 0, 0, 0), text=text).assert_outcomes(passed=2)
    suite("--knowlimits-update", "-k", "other", now=changed(9, 9, 9, 9), text=text).assert_outcomes(passed=1)
    tests = json.loads((pytester.path / FILE).read_text())["tests"]
    rows = {test: audits["model"]["columns"]["shares"]["'age' to +inf"]["rows"] for test, audits in tests.items()}
    assert rows == {"test_model.py::test_next_version": 0, "test_model.py::test_other_version": 9}


def test_the_file_is_named_from_rootdir_on(suite, changed, pytester, monkeypatch):
    pytester.makeini("[pytest]\naddopts = --knowlimits-baseline baselines/models.json")
    folder = pytester.mkdir("tests")
    monkeypatch.chdir(folder)
    suite("--knowlimits-update", "..", now=changed(0, 0, 0, 0)).assert_outcomes(passed=1)
    assert (pytester.path / "baselines" / "models.json").exists()
    suite(now=changed(0, 0, 0, 0)).assert_outcomes()
    suite("..", now=changed(9, 0, 0, 0)).assert_outcomes(failed=1)


@pytest.mark.parametrize("text", ["", "{", '{"knowlimits baseline": 2}', '{"machine_info": {}}'])
def test_a_file_that_is_no_baseline(suite, changed, pytester, text):
    (pytester.path / FILE).write_text(text)
    refused = suite(now=changed(0, 0, 0, 0))
    refused.assert_outcomes(errors=1)
    refused.stdout.fnmatch_lines([f"*/{FILE} *"])
    # Before any work is done.
    update = suite("--knowlimits-update", now=changed(0, 0, 0, 0))
    assert update.ret == pytest.ExitCode.USAGE_ERROR
    update.stderr.fnmatch_lines([f"ERROR: */{FILE} *"])
    assert (pytester.path / FILE).read_text() == text


def test_a_place_that_cannot_be_written(suite, changed, pytester):
    (pytester.path / FILE).mkdir()
    update = suite("--knowlimits-update", now=changed(0, 0, 0, 0))
    assert update.ret == pytest.ExitCode.USAGE_ERROR
    update.stderr.fnmatch_lines(["ERROR: *is a folder: give the name of a file."])


def test_a_file_that_breaks_meanwhile_is_said_in_the_end(suite, changed, pytester):
    text = f"""
    def test_next_version(knowlimits_baseline, audits):
        open({FILE!r}, "w").write("[]")
        knowlimits_baseline.check(audits.now)
    """
    found = suite("--knowlimits-update", now=changed(0, 0, 0, 0), text=text)
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    found.stdout.fnmatch_lines([f"No baseline was written. */{FILE} is no baseline*"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("knowlimits_baseline.check(3)", "*TypeError: audit must be what knowlimits.audit has found. Got int instead."),
        (
            "knowlimits_baseline.check(audits.now, tolerance=1.5)",
            "*ValueError: tolerance must be at least 0 and below 1. Got 1.5*",
        ),
        ("knowlimits_baseline.check(audits.now, name=3)", "*ValueError: name must be text, and another for each*Got 3*"),
        (
            "knowlimits_baseline.check(audits.now); knowlimits_baseline.check(audits.now)",
            "*ValueError: name must be text, and another for each audit of a test. Got 'model' instead.",
        ),
        ("pass", "test_model.py::test_next_version takes knowlimits_baseline and calls no check: nothing was compared."),
    ],
)
@pytest.mark.parametrize("update", [True, False])
def test_what_is_used_wrongly(suite, changed, line, message, update):
    suite("--knowlimits-update", now=changed(0, 0, 0, 0))
    text = SUITE.replace("knowlimits_baseline.check(audits.now)", line)
    found = suite(*["--knowlimits-update"] * update, now=changed(0, 0, 0, 0), text=text)
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines([message])


def test_a_test_that_ends_before_its_check_says_so_itself(suite, changed):
    suite("--knowlimits-update", now=changed(0, 0, 0, 0))
    for line, outcome in (
        ("__import__('pytest').skip()", "skipped"),
        ("1 / 0", "failed"),
        ("__import__('pytest').xfail()", "xfailed"),
    ):
        found = suite(now=changed(0, 0, 0, 0), text=SUITE.replace("knowlimits_baseline.check(audits.now)", line))
        found.assert_outcomes(**{outcome: 1})
        found.stdout.no_fnmatch_line("*calls no check*")


def test_the_marker(suite, changed):
    text = """
    import pytest

    def test_plain():
        pass

    @pytest.mark.knowlimits
    def test_of_ours():
        pass

    @pytest.mark.knowlimits("triage", tolerance=0.1)
    def test_wrong():
        pass
    """
    suite("--knowlimits-update", now=changed(0, 0, 0, 0), text=text + SUITE.replace("\n", "\n    "))
    chosen = suite("-m", "knowlimits", "-v", now=changed(0, 0, 0, 0), text=text + SUITE.replace("\n", "\n    "))
    chosen.assert_outcomes(passed=2, errors=1, deselected=1)
    chosen.stdout.fnmatch_lines(
        ["pytest.mark.knowlimits must have no arguments. Got 'triage', tolerance=0.1 instead: knowlimits_baseline.check takes*"]
    )
    suite("-m", "not knowlimits", now=changed(0, 0, 0, 0), text=text).assert_outcomes(passed=1, deselected=2)
    suite("--markers", text=text).stdout.fnmatch_lines(["@pytest.mark.knowlimits: *"])


def test_a_suite_that_asks_for_nothing_gets_nothing(suite, pytester):
    suite(text="def test_plain(): pass").assert_outcomes(passed=1)
    suite("--knowlimits-update", text="def test_plain(): pass").assert_outcomes(passed=1)
    assert not (pytester.path / FILE).exists()


def test_workers_measure_and_one_process_writes(pytester, monkeypatch):
    pytest.importorskip("xdist")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(kl.__file__).parents[1]))
    text = """
    import os

    import pytest

    from knowlimits.baseline import shares

    class Audit:
        "Stands for an audit of one number, so that the workers need not load what makes one."

    @pytest.fixture(autouse=True)
    def quick(monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "knowlimits.auditing", __import__("types").SimpleNamespace(Audit=Audit))
        part = shares.Counted("a", {"'age' to +inf": shares.Share(int(os.environ["ROWS"]), 40)})
        monkeypatch.setattr(shares, "shares_of", lambda audit: {"columns": part})

    @pytest.mark.xdist_group("sites")
    @pytest.mark.parametrize("site", range(8))
    def test_sites(knowlimits_baseline, site):
        knowlimits_baseline.check(Audit(), name=f"m{site}")

    def test_alone(knowlimits_baseline):
        knowlimits_baseline.check(Audit())

    def test_crash():
        if os.environ.get("CRASH"):
            os._exit(1)
    """
    pytester.makepyfile(test_model=text)

    def run(*options, rows, crash=""):
        monkeypatch.setenv("ROWS", str(rows))
        monkeypatch.setenv("CRASH", crash)
        return pytester.runpytest_subprocess(
            "-p", "knowlimits.pytest_plugin", "-p", "xdist", "-p", "xdist.looponfail", *options
        )

    grouped = run("--knowlimits-update", "-n", "2", "--dist", "loadgroup", rows=4)
    grouped.assert_outcomes(passed=10)
    grouped.stdout.fnmatch_lines(["9 audits written to *"])
    found = read_baseline(pytester.path / FILE)
    ids = [f"test_sites[{site}]" for site in range(8)]
    assert set(found) == {f"test_model.py::{one}" for one in ("test_alone", *ids)}
    assert [path.name for path in pytester.path.glob("*knowlimits*")] == [FILE]
    (pytester.path / FILE).unlink()
    # What a worker has measured before it breaks down is written, too.
    run("--knowlimits-update", "-n", "2", rows=4, crash="1").assert_outcomes(passed=9, failed=1)
    assert read_baseline(pytester.path / FILE) == found
    run("-n", "2", rows=20).assert_outcomes(passed=1, failed=9)

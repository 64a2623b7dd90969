"""A plugin of pytest: tests that fail when the next version of a model does worse than the last.

It is loaded wherever pytest starts in an environment that has this library, so it imports nothing of it before it is used.
"""

import os
import warnings
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from knowlimits.auditing import Audit
    from knowlimits.baseline.file import Tests
    from knowlimits.baseline.shares import Shares

#: Where baselines are kept, unless `--knowlimits-baseline` says otherwise, from pytest's rootdir on.
FILE = "knowlimits_baseline.json"
_MARKER, _FIXTURE, _UPDATE = "knowlimits", "knowlimits_baseline", "--knowlimits-update"
# Of a report: what a test has measured, on its way from a worker to the process that writes it.
_MEASURED = "knowlimits_measured"


class Baseline:
    """What `knowlimits_baseline` is in a test: what the models of this test did when the baseline was written."""

    def __init__(self, store: "_Store", test: str) -> None:
        """Look for a test in the baseline.

        Raises:
            ValueError: if there is no file, or it is no baseline.
        """
        self._store, self._test = store, test
        self._before = {} if store.update else store.of_test(test)
        self._names: set[str] = set()
        self.measured: dict[str, Any] = {}

    @property
    def used(self) -> bool:
        """Whether anything was compared or measured."""
        return bool(self._names)

    def check(self, audit: "Audit", name: str = "model", tolerance: float = 0.05) -> None:
        """Fail if a model does worse than it did when the baseline was written; with `--knowlimits-update`, write what it does.

        Compared are the shares of rows on which the model ends sure of itself along each column and in random directions,
        becomes sure at ends of ranges and under faults, and is wrong, where the audit has labels. Each may grow by
        `tolerance`, and by six rows; over rows that are not those of the baseline also by what chance explains (Fisher's exact
        test, at 1% for all of them together).

        Args:
            audit: what `knowlimits.audit` has found.
            name: of the model, where a test checks several.
            tolerance: how much a share may grow.

        Raises:
            AssertionError: if a share has grown more, or the baseline has no such test or name.
            ValueError: if a name comes twice in a test, or the tolerance is none.
            TypeError: if there is no audit.
        """
        __tracebackhide__ = True
        from knowlimits.auditing import Audit
        from knowlimits.baseline.file import as_json
        from knowlimits.baseline.shares import shares_of
        from knowlimits.baseline.worse import as_table, compare

        if not isinstance(audit, Audit):
            raise TypeError(f"audit must be what knowlimits.audit has found. Got {type(audit).__name__} instead.")
        if not isinstance(name, str) or name in self._names:
            raise ValueError(f"name must be text, and another for each audit of a test. Got {name!r} instead.")
        if not 0 <= tolerance < 1:
            raise ValueError(f"tolerance must be at least 0 and below 1. Got {tolerance} instead.")
        self._names.add(name)
        now = shares_of(audit)
        if self._store.update:
            self.measured[name] = as_json(now)
            return
        if name not in self._before:
            raise AssertionError(f"{self._store.path} has no {name!r} of {self._test}. {self._store.first}")
        found = compare(self._before[name], now, tolerance)
        for sentence in found.left_aside:
            warnings.warn(f"{name!r} is compared without this. {sentence}", stacklevel=2)
        parts = []
        if found.worse:
            rows = "the same rows" if all(pair.paired for pair in found.worse) else "rows drawn anew"
            parts += [
                f"{name!r} does worse than its baseline in {len(found.worse)} of {len(found.compared)} shares, over {rows}, by "
                f"more than {tolerance:.3g}:",
                "",
                *as_table(found),
                "",
            ]
        if found.unmatched:
            parts += [f"{name!r} is not what its baseline is of.", *found.unmatched, ""]
        if parts:
            raise AssertionError("\n".join([*parts, f"Baseline: {self._store.path}. {self._store.remedy}"]))


class _Store:
    """The file of baselines, as one run of pytest has it."""

    first = f"Run pytest once with {_UPDATE}, and commit the file."
    remedy = f"If this is how it should be, run pytest once with {_UPDATE}, and commit the file."

    def __init__(self, config: pytest.Config) -> None:
        # As pytest takes --log-file: the same file wherever it is started.
        self.path = os.path.join(config.rootpath, str(config.getoption("--knowlimits-baseline")))
        self.update = bool(config.getoption(_UPDATE))
        self._tests: Tests | None = None

    def read(self) -> "Tests":
        """What the file has, read once."""
        from knowlimits.baseline.file import read_baseline

        if self._tests is None:
            self._tests = read_baseline(self.path)
        return self._tests

    def of_test(self, test: str) -> "dict[str, Shares]":
        """What the file has of a test.

        Raises:
            ValueError: if there is no file, it is no baseline, or has nothing of the test.
        """
        if not os.path.lexists(self.path):
            raise ValueError(f"There is no baseline {self.path}. {self.first}")
        if test not in (tests := self.read()):
            raise ValueError(f"{self.path} has nothing of {test}. {self.first}")
        return tests[test]

    def check(self) -> None:
        """Raise what `_Writer` would, before the work.

        Raises:
            ValueError: if there is a file that is no baseline.
            OSError: if it cannot be written.
        """
        from knowlimits.outputs import check_folder

        folder, name = os.path.split(self.path)
        check_folder(folder, files=[name])
        if os.path.lexists(self.path):
            self.read()


class _Writer:
    """Gathers what tests have measured, from all workers, and writes it in the end."""

    def __init__(self, path: str) -> None:
        self._path, self._problem = path, ""
        self._measured: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what is on a report."""
        for test, audits in getattr(report, _MEASURED, {}).items():
            self._measured.setdefault(test, {}).update(audits)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Put what was measured into the file; what is in it of other tests stays."""
        from knowlimits.baseline.file import of_json, update_baseline

        if not self._measured:
            return
        try:
            update_baseline(
                self._path,
                {test: {name: of_json(one) for name, one in audits.items()} for test, audits in self._measured.items()},
            )
        except (OSError, ValueError) as error:
            self._problem = str(error)
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what was written, or why nothing was."""
        if self._problem:
            terminalreporter.write_line(f"No baseline was written. {self._problem}", red=True)
        else:
            count = sum(map(len, self._measured.values()))
            terminalreporter.write_line(f"{count} audit{'' if count == 1 else 's'} written to {self._path}")


_STORE = pytest.StashKey[_Store]()
_BASELINE = pytest.StashKey[Baseline]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say where baselines are, and whether to write them."""
    group = parser.getgroup("knowlimits", "know-your-limits: models that must not get worse")
    group.addoption(
        "--knowlimits-baseline",
        metavar="FILE",
        default=FILE,
        help=f"what models did when they were last found good enough, from rootdir on (default: {FILE})",
    )
    group.addoption(_UPDATE, action="store_true", help="write what models do now into that file, in place of comparing")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and refuse a file that cannot be written before the work."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}: holds a model to its baseline (know-your-limits); tests that take {_FIXTURE} have it of themselves",
    )
    config.stash[_STORE] = store = _Store(config)
    if store.update and not _is_worker(config):
        try:
            store.check()
        except (OSError, ValueError) as error:
            raise pytest.UsageError(str(error)) from None
        config.pluginmanager.register(_Writer(store.path))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark tests that take the fixture."""
    if _FIXTURE in getattr(item, "fixturenames", ()) and item.get_closest_marker(_MARKER) is None:
        item.add_marker(_MARKER)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a marker that says more than it can."""
    for marker in item.iter_markers(_MARKER):
        if marker.args or marker.kwargs:
            got = ", ".join([*map(repr, marker.args), *(f"{name}={value!r}" for name, value in marker.kwargs.items())])
            pytest.fail(
                f"pytest.mark.{_MARKER} must have no arguments. Got {got} instead: {_FIXTURE}.check takes a name and a "
                "tolerance.",
                pytrace=False,
            )


@pytest.fixture
def knowlimits_baseline(request: pytest.FixtureRequest) -> Baseline:
    """What the models of this test did when the baseline was written: `check(audit)` fails if one does worse now."""
    try:
        baseline = Baseline(request.config.stash[_STORE], _test_id(request.node))
    except (OSError, ValueError) as error:
        pytest.fail(str(error), pytrace=False)
    request.node.stash[_BASELINE] = baseline
    return baseline


@pytest.hookimpl(trylast=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Fail a test that took the fixture, ran to its end, and compared nothing."""
    baseline = item.stash.get(_BASELINE, None)
    if baseline is not None and not baseline.used:
        pytest.fail(f"{item.nodeid} takes {_FIXTURE} and calls no check: nothing was compared.", pytrace=False)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Put what was measured on a report, which goes to the process that writes, from whichever worker."""
    report = (yield).get_result()
    baseline = item.stash.get(_BASELINE, None)
    if baseline is not None and baseline.measured:
        setattr(report, _MEASURED, {_test_id(item): baseline.measured})
        baseline.measured = {}


def _test_id(item: pytest.Item) -> str:
    """The id of a test, which a run on workers that keeps groups together has put the name of the group behind."""
    markers = item.iter_markers("xdist_group")
    groups = {str((marker.args or (marker.kwargs.get("name", "default"),))[0]) for marker in markers}
    return item.nodeid.removesuffix(f"@{'_'.join(sorted(groups))}") if groups and _is_worker(item.config) else item.nodeid


def _is_worker(config: pytest.Config) -> bool:
    """Whether this is a process of pytest-xdist, which leaves the file to the one that has started it."""
    return hasattr(config, "workerinput")

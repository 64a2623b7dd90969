"""Run the Python blocks of README.md and of the pages in docs/ as tests."""

import os

# Tests run side by side, and so do the commands that they start: more threads would only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tempfile import TemporaryDirectory

import matplotlib
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

matplotlib.use("Agg")


def _setup(namespace):
    namespace["_folder"] = TemporaryDirectory()
    namespace["_before"] = os.getcwd()
    os.chdir(namespace["_folder"].name)


def _teardown(namespace):
    os.chdir(namespace["_before"])
    namespace["_folder"].cleanup()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/*.md"],
    setup=_setup,
    teardown=_teardown,
).pytest()

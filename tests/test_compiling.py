"""Compiled loops whose cache another version has left behind."""

import importlib.util
import pickle

import pytest

SOURCE = """
from knowlimits.compiling import compiled


@compiled()
def twice(x):
    return 2 * x
"""


def loaded(path):
    spec = importlib.util.spec_from_file_location("loops", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.twice


@pytest.mark.parametrize("left", [b"cknowlimits.plane.cut\nGone\n.", b"", b"\x80"], ids=["renamed", "empty", "truncated"])
def test_a_cache_that_cannot_be_read_is_made_anew(tmp_path, left):
    path = tmp_path / "loops.py"
    path.write_text(SOURCE)
    assert loaded(path)(2) == 4
    (index,) = (tmp_path / "__pycache__").glob("*.nbi")
    with index.open("rb") as file:
        version = pickle.load(file)
    with index.open("wb") as file:
        pickle.dump(version, file)
        file.write(left)
    again = loaded(path)
    assert again(2) == 4
    assert again.stats.cache_misses
    assert loaded(path)(2) == 4
    assert loaded(path).stats.cache_path == str(tmp_path / "__pycache__")

"""The package as a whole: public names, the direction of imports, the versions that documents state."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import knowlimits as kl

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "knowlimits"
# From the bottom to the top; a module imports from its own layer or from below.
LAYERS = (
    "_torch",
    "_machine",
    "progress",
    "workers",
    "outputs",
    "metrics",
    "model",
    "scores",
    "follow",
    "plane",
    "limits",
    "train",
    "ood",
    "detectors",
    "files",
    "auditing",
    "testing",
    "studies",
    "plots",
    "cli",
)


@pytest.mark.parametrize("name", kl.__all__)
def test_every_public_name_resolves_and_is_documented(name):
    value = getattr(kl, name)
    assert inspect.getdoc(value)
    assert f"kl.{name}" in (ROOT / "docs" / "api.md").read_text()


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "knowlimits":
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_one_way(path):
    layer = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if layer == "__init__":
        return
    for imported in imports(path):
        # Figures are drawn from an experiment's results, and its main job draws them.
        if (layer, imported) == ("studies", "plots"):
            continue
        assert LAYERS.index(imported) <= LAYERS.index(layer), f"{layer} imports {imported}"


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, knowlimits; print([m for m in ('torch', 'matplotlib', 'sklearn', 'numba') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_documents_state_the_version_of_the_package():
    assert f"version: {kl.__version__}" in (ROOT / "CITATION.cff").read_text()


def constants():
    """Rows of the table of constants in the docs: where each is, and its value."""
    for line in (ROOT / "docs" / "proven.md").read_text().splitlines():
        if found := re.match(r"\| `([\w.]+)\.(\w+)` \| ([^|]+) \| (\w*) ?\|", line):
            yield found.groups()


@pytest.mark.parametrize(("module", "name", "value", "kind"), list(constants()), ids=lambda v: str(v))
def test_constants_in_the_docs_are_those_of_the_code(module, name, value, kind):
    found = getattr(importlib.import_module(f"knowlimits.{module}"), name)
    assert found == float(value)
    assert kind in ("", "proven", "bounded", "measured", "sampled", "assumed")


def test_constants_of_bounds_are_in_the_docs():
    listed = {(module, name) for module, name, *_ in constants()}
    assert len(listed) > 30
    for module in ("follow.bounds", "auditing.find.settling", "plane.residues", "plane.dyadic"):
        named = vars(importlib.import_module(f"knowlimits.{module}"))
        numbers = {name for name, value in named.items() if isinstance(value, int | float) and name.isupper()}
        # What only divides work into blocks decides no result, and the distance from 1 to the next float is no choice.
        numbers -= {"EPS", "_BLOCK", "_DENSE", "_FIRST"}
        assert {(module, name) for name in numbers} <= listed

"""The package as a whole: public names, the direction of imports, the versions that documents state."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import knowlimits as kl

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "knowlimits"
# From the bottom to the top; a module imports from its own layer or from below. Files come late, as what they hold is made
# with what `train` and `ood` have.
LAYERS = (
    "_torch",
    "_machine",
    "options",
    "progress",
    "workers",
    "compiling",
    "outputs",
    "metrics",
    "model",
    "families",
    "scores",
    "follow",
    "plane",
    "limits",
    "train",
    "ood",
    "detectors",
    "files",
    "faults",
    "auditing",
    "baseline",
    "pytest_plugin",
    "testing",
    "plots",
    "studies",
    "cli",
)


@pytest.mark.parametrize("name", kl.__all__)
def test_every_public_name_resolves_and_is_documented(name):
    value = getattr(kl, name)
    assert inspect.getdoc(value)
    assert f"kl.{name}" in (ROOT / "docs" / "api.md").read_text()


def modules():
    """Every module of the package: its dotted name, and its file."""
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(modules())


def imported(text, known):
    """Those of some modules that a module's text imports, within functions and for type checkers, too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their modules in full"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield from [name] if name in known else [node.module] if node.module in known else []


IMPORTS = {module: set(imported(path.read_text(), MODULES)) for module, path in MODULES.items()}


def layer(module):
    """What of `LAYERS` a module belongs to; the package itself to none."""
    return module.partition(".")[2].split(".")[0]


def circle(graph):
    """Modules of which each imports the next and the last the first; none if there is no circle."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@pytest.mark.parametrize("module", [module for module in MODULES if module != "knowlimits"])
def test_imports_go_one_way(module):
    for other in IMPORTS[module] - {"knowlimits"}:
        assert LAYERS.index(layer(other)) <= LAYERS.index(layer(module)), f"{module} imports {other}"


def test_only_the_command_line_imports_studies():
    importers = {module for module, others in IMPORTS.items() if any(o.startswith("knowlimits.studies") for o in others)}
    assert set(map(layer, importers)) == {"studies", "cli"}


def test_no_circle_of_imports():
    assert circle(IMPORTS) == []


def test_circles_of_imports_are_seen():
    texts = {
        "p": "",
        "p.a": "from p import b",
        "p.b": "if TYPE_CHECKING:\n    from p.c import name",
        "p.c": "def function():\n    import p.a",
    }
    graph = {module: set(imported(text, texts)) for module, text in texts.items()}
    assert graph == {"p": set(), "p.a": {"p.b"}, "p.b": {"p.c"}, "p.c": {"p.a"}}
    assert set(circle(graph)) == {"p.a", "p.b", "p.c"}
    assert circle({**graph, "p.c": set()}) == []


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, knowlimits; print([m for m in ('torch', 'matplotlib', 'sklearn', 'numba') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_pytest_starts_without_anything_heavy():
    code = (
        "import sys, pytest; known = set(sys.modules); import knowlimits.pytest_plugin; print(sorted(set(sys.modules) - known))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
    assert found == "['knowlimits', 'knowlimits.pytest_plugin']"


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


def test_a_class_name_means_one_thing():
    homes = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(str(path.relative_to(SOURCE)))
    assert len(homes) > 100
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}

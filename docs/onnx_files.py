"""Writes docs/onnx_files.md: kinds of ONNX files and operators, from the list of the tests and the reader's tables.

python docs/onnx_files.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from knowlimits.files.onnx.refused import REFUSED
from knowlimits.files.onnx.table import TABLE
from tests.files.onnx_kinds import KINDS, Kind
from tests.files.onnx_models import CASES

HEAD = """# ONNX files

Kinds of ONNX files, and every operator of ONNX: what is read, what has limits, what has polytopes, and why the others have not.

This page is made by `python docs/onnx_files.py` from the list that the tests go through. They hold each kind that is read to
onnxruntime in its outputs, and to onnx's reference in double precision in its limits, in the radius beyond which nothing
changes, and in the affine maps of its polytopes. `kl.load` reads a file; what it cannot read for certain it refuses, in one
line that says what to do.

## Kinds of files

Words in place of a mark are why there is none.

| kind | read | limits | polytopes |
|---|---|---|---|"""

OPERATORS = """
## Operators

Of opset 7 up to the newest. Those in the first table are read; *limits* says whether they have some where numbers grow along a
ray. Where no ray moves what they are given, all of them have.

| operators | limits |
|---|---|"""

REASONS = """
Those of this table are refused by name, with the reason.

| operators | why not |
|---|---|"""


def row(kind: Kind) -> str:
    """The row of a kind."""
    if kind.refused:
        return f"| {kind.about} | {kind.refused} | | |"
    return f"| {kind.about} | ✓ | {kind.limits or '✓'} | {kind.polytopes or ('no limits' if kind.limits else '✓')} |"


def named(keys: list[tuple[str, str]]) -> str:
    """Names of operators, those of another domain with it."""
    return ", ".join(f"`{name}`" if not domain else f"`{domain}.{name}`" for domain, name in sorted(keys))


def page() -> str:
    """The text of the page."""
    lines = [HEAD]
    for group, kinds in KINDS.items():
        lines.append(f"| **{group}** | | | |")
        lines += map(row, kinds)
    with_limits = {(case.domain, case.kind) for case in CASES if case.far and case.of == "x"}
    of_shapes = {(case.domain, case.kind) for case in CASES} - {(c.domain, c.kind) for c in CASES if c.of == "x"}
    jumps = {("", name) for name in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "And", "Or", "Xor")}
    lines.append(OPERATORS)
    lines += [
        f"| {named([key for key in TABLE if key in with_limits | jumps])} | ✓ |",
        f"| {named([key for key in TABLE if key in of_shapes - jumps])} | they compute with shapes |",
        f"| {named([key for key in TABLE if key not in with_limits | of_shapes | jumps])} | of what has one, or no ray moves |",
        REASONS,
    ]
    for reason in dict.fromkeys(REFUSED.values()):
        lines.append(f"| {named([key for key, why in REFUSED.items() if why == reason])} | {reason} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("onnx_files.md").write_text(page())

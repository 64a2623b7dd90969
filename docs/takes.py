"""Writes docs/takes.md: which models each function takes, from the list of models that the tests go through.

python docs/takes.py
"""

import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.zoo.entry import Entry
from tests.zoo.functions import FUNCTIONS
from tests.zoo.models import GROUPS

HEAD = """# What it takes

{count} models as people write them, and what each function makes of them.

This page is made by `python docs/takes.py` from the list that the tests go through. In each cell marked ✓ they hold the
function to the model itself: limits to its own probabilities at a million to a billion standard deviations, in float64; the
guard's predictions to its own; affine maps, gradients and files likewise. Words in place of a mark are why it is refused, by
one line that says what to do. A model that is not here is read by the same rules, and held to its own predictions before
anything is said about it; `print(kl.read(model))` says what was understood.

*Detectors* are those of `kl.detectors.DETECTORS` that look at the model; those of the inputs take whatever is a table of
numbers. What is said with `outputs=`, `output=` or `inputs=` is said to `kl.read`, whose answer every function takes. `kl.save`
writes the classifiers of this library, and [guards of any of these](detection.md#saving-a-guard).
"""

# Columns of the page: functions that always go together have one.
COLUMNS: dict[str, tuple[str, ...]] = {
    "`far_field`": ("read", "far_field", "gradient_magnitude"),
    "`partition`, `horizon`": ("partition", "horizon"),
    "`audit`": ("audit", "assert_far_field"),
    "`Guard`": ("Guard",),
    "detectors of logits": ("energy", "max_logit"),
    "detectors of features": (
        "mahalanobis",
        "relative_mahalanobis",
        "mixture",
        "neighbours",
        "raw_neighbours",
        "vim",
    ),
    "`LastLayerLaplace`": ("LastLayerLaplace",),
    "`knowlimits audit`": ("command_line",),
}

assert {name for names in COLUMNS.values() for name in names} == {*FUNCTIONS} - {"save"}, "a function has no column"


def mark(entry: Entry, functions: tuple[str, ...]) -> str:
    """A cell: ✓, or why it is refused; where only some are, by their names."""
    if functions == ("command_line",) and entry.file is None:
        return ""
    refusals: Mapping[str, str] = entry.refused
    reasons = {name: refusals[name] for name in functions if name in refusals}
    if not reasons:
        return "✓"
    if "far_field" in reasons:
        # That it is read is not worth a mark of its own.
        return reasons["far_field"]
    if len(reasons) == len(functions) and len(set(reasons.values())) == 1:
        return next(iter(reasons.values()))
    return "✓ but " + ", ".join(f"`{name}`: {why}" for name, why in reasons.items())


def page() -> str:
    """The text of the page."""
    lines = [HEAD.format(count=sum(map(len, GROUPS.values())))]
    for group, entries in GROUPS.items():
        lines += [f"## {group}\n", f"| model | {' | '.join(COLUMNS)} |", f"|---|{'---|' * len(COLUMNS)}"]
        lines += [
            f"| {entry.about} | {' | '.join(mark(entry, functions) for functions in COLUMNS.values())} |"
            for entry in entries.values()
        ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    Path(__file__).with_name("takes.md").write_text(page())

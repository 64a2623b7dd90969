"""What a guard costs and refuses, as a page of text."""

import textwrap
from collections.abc import Sequence

import numpy as np

from knowlimits.auditing.find.cost import FAR, Cost
from knowlimits.auditing.show.labels import number, percent, value
from knowlimits.auditing.show.lines import WIDTH, aligned
from knowlimits.ood.remedies.calibration import Estimate

# Columns that the table has, and that a sentence names.
_SHOWN, _NAMED = 5, 5


def page(found: Cost, file: Sequence[str], command: str) -> str:
    """What the guard is, what it costs, what it refuses, what is in its file, by lines that say it, and how to check rows."""
    kind = f" ({found.kind})" if found.kind else ""
    headline = f"The guard of {found.model}{kind}: {found.classes} classes, {len(found.columns)} columns"
    lines = [headline, "=" * len(headline), "", *_list(_learnt(found))]
    lines += ["", "What it costs", "", *_list(_costs(found))]
    lines += ["", "What it refuses", "", *_list(_refuses(found))]
    if len(found.moved):
        order = np.argsort(found.refused, kind="stable")[:_SHOWN]
        lines += ["", f"Columns moved to {FAR:g} half-ranges, down and up, the least refused first", ""]
        lines += aligned(
            {
                "column": [found.moved[place] for place in order],
                "refused": [percent(float(found.refused[place]), 0) for place in order],
            }
        )
    return "\n".join(
        [*lines, "", "The file", "", *_list(file), "", "To see which rows of a table it refuses, and why", "", f"    {command}"]
    )


def _learnt(found: Cost) -> list[str]:
    test = "that were given for it" if found.held_out else "held back, which the model may have seen"
    sentences = [f"Learnt from {found.learnt:,} rows; the numbers below are of {found.tested:,} others, {test}."]
    if found.categories:
        named = [f"{name!r} ({count})" for name, count in found.categories.items()]
        sentences.append(f"Columns of categories, with as many as were seen, of which no other is accepted: {_named(named)}.")
    if found.gaps:
        sentences.append(f"Columns in which gaps are usual: {_named([repr(name) for name in found.gaps])}; in others none is.")
    else:
        sentences.append("No column has had gaps, so that a row with one is refused.")
    if found.ranges:
        ends = [f"{name!r} {_range(*pair)}" for name, pair in found.ranges.items()]
        sentences.append(f"Stated ranges, outside of which a row is refused: {_named(ends)}.")
    return sentences


def _costs(found: Cost) -> list[str]:
    sentences = []
    if not np.isnan(found.before):
        sentences.append(
            f"Log loss on test rows: {found.before:.4f} before, {found.after:.4f} after ({found.after - found.before:+.4f})."
        )
    sentences.append(
        f"On a new row like those held out it is expected to grow by at most {found.bound.value:.3g} "
        f"({_interval(found.bound)}), whatever the model says; {found.tolerance:g} was asked for."
    )
    kept = found.kept
    sentences.append(
        f"{kept.value:.1%} of test rows are accepted (95% interval {kept.low:.1%} to {kept.high:.1%}); {found.keep:.4g} was "
        "asked for."
    )
    return [*sentences, "Predictions stay what they are."]


def _refuses(found: Cost) -> list[str]:
    if not len(found.moved):
        return ["Rows with a cell that is strange, as said above: no column of numbers varies."]
    before = (
        f"Where the model ends without it could not be told: {found.unknown}."
        if np.isnan(found.sure)
        else f"The model ends sure of itself along {found.sure:.1%} of the ways to infinity, each column down and up."
    )
    return [
        f"Of rows of which one column is moved to {FAR:g} half-ranges it refuses {percent(float(found.refused.mean()))}.",
        before,
        "With the guard it ends in uniform probabilities along every way, by proof: within 0.01 of them after "
        f"{number(found.settled)} half-ranges in the median, {number(found.settled_95)} for 95% of rows and ways.",
    ]


def _interval(found: Estimate) -> str:
    return f"95% interval {found.low:.3g} to {found.high:.3g}"


def _range(low: float, high: float) -> str:
    if np.isinf(low) or np.isinf(high):
        return f"up to {value(high)}" if np.isinf(low) else f"from {value(low)}"
    return f"from {value(low)} to {value(high)}"


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _list(sentences: Sequence[str]) -> list[str]:
    lines = []
    for sentence in sentences:
        # Names of files and columns stay whole.
        lines += textwrap.wrap(
            sentence, WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
        )
    return lines

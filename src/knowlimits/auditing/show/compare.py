"""Several candidates side by side, in words and as a page of text."""

import textwrap
from collections.abc import Callable, Sequence

import numpy as np

from knowlimits.auditing.find.candidates import CHANCE, ERRORS, Candidates
from knowlimits.auditing.find.table import Table
from knowlimits.auditing.show.labels import number, numbers, percent
from knowlimits.auditing.show.text import WIDTH, aligned

# Candidates that a sentence names.
_NAMED = 6
# A log loss of less than this is next to none.
_LITTLE = 5e-4


def title(found: Candidates) -> str:
    """What is compared, in a line."""
    first = next(iter(found.found.values()))
    count = len(found.table)
    return (
        f"{count} candidate{'s' if count > 1 else ''}: {len(first.classes)} classes, {len(first.columns.names)} continuous "
        f"columns, {first.test_rows:,} test rows"
    )


def verdict(found: Candidates) -> list[str]:
    """What helps to choose, in sentences; none is called better than another where chance may be why."""
    return [*_near(found), _far(found.table), *_under_faults(found), _guard(found)]


def notes(found: Candidates) -> list[str]:
    """What is the same for all, and what could not be had."""
    first = next(iter(found.found.values()))
    test = "given" if first.held_out else "a quarter of the data, which candidates may have seen"
    sentences = [
        f"All candidates were asked about the same {first.rows:,} rows and {first.test_rows:,} test rows ({test}), moved in "
        "the same directions and broken by the same faults, so that what differs is the candidates.",
        "Accuracy is told apart by the exact test of McNemar (1947) on the test rows, each candidate against the most "
        "accurate; log losses by the mean of their differences row by row, if it is more than "
        f"{ERRORS:g} standard errors away from 0.",
        "Seconds are those of each candidate's audit; the first learns what hangs on the rows alone for all.",
    ]
    sentences += [f"Left as it is for all: {name!r}, {why}." for name, why in found.held.items()]
    return sentences + [f"Moved one by one for all: {name!r}, {why}." for name, why in found.alone.items()]


def page(found: Candidates) -> str:
    """The verdict, and the table in parts that fit a page."""
    headline = title(found)
    lines = [headline, "=" * len(headline), ""]
    for sentence in verdict(found):
        lines += textwrap.wrap(sentence, WIDTH, initial_indent="- ", subsequent_indent="  ")
    for heading, part in parts(found.table):
        lines += ["", heading, "", *aligned(part)]
    for note in notes(found):
        lines += ["", *textwrap.wrap(note, WIDTH)]
    return "\n".join(lines)


def parts(table: Table) -> list[tuple[str, dict[str, list[str]]]]:
    """The table as text: headings, and columns below them."""
    names = {"": table["model"].tolist()}
    near = {
        "what": table["kind"].tolist(),
        "accuracy": [percent(one) for one in table["accuracy"]],
        "95% interval": _intervals(table["accuracy_low"], table["accuracy_high"]),
        "chance": numbers(table["accuracy_chance"]),
        "log loss": numbers(table["log_loss"]),
        "behind": _plus_minus(table["log_loss_behind"], table["log_loss_behind_se"]),
        "sure": [percent(one, 0) for one in table["sure_test"]],
    }
    ends = {
        "ranges": [percent(one) for one in table["sure_ranges"]],
        "columns": [percent(one) for one in table["sure_features"]],
        "directions": [percent(one) for one in table["sure_directions"]],
        "confidence": [f"{one:.3f}" for one in table["confidence"]],
        "settled, sd": numbers(table["settled_sd"]),
        "AUROC at 10 sd": [f"{one:.2f}" for one in table["auroc_10_sd"]],
        "at inf": [f"{one:.2f}" for one in table["auroc_inf"]],
    }
    faults = {
        "stays sure": [percent(one) for one in table["faults_sure"]],
        "class changes": [percent(one) for one in table["faults_changed"]],
        "refused, entropy": [percent(one) for one in table["faults_refused"]],
        "refused, guard": [percent(one) for one in table["faults_refused_guard"]],
    }
    guard = {
        "kept": [percent(one) for one in table["kept_guard"]],
        "log loss": numbers(table["log_loss_guard"]),
        "seconds": [f"{one:.1f}" for one in table["seconds"]],
    }
    found = [
        ("On the test rows", near),
        ("Where it ends sure: at the ends of plausible ranges, along columns, in directions; how it ends, and how soon", ends),
        ("Under faults: share of them under which it stays sure on half of the rows; means of shares of rows", faults),
        ("With the guard", guard),
    ]
    # Without faults there is nothing to say of them.
    return [
        (heading, names | part) for heading, part in found if part is not faults or not np.isnan(table["faults_sure"]).all()
    ]


def _near(found: Candidates) -> list[str]:
    """What the test rows say of accuracy and log loss."""
    table, first = found.table, next(iter(found.found.values()))
    if np.isnan(table["accuracy"]).any():
        return ["No labels were given, so that nothing is said of accuracy."]
    rows = f"{first.test_rows:,} test rows"
    accuracy, loss = _ends(table["accuracy"], percent), _ends(table["log_loss"], number)
    if not first.held_out:
        seen = "that may have been trained on: give test rows that no candidate has seen, to choose by it"
        return [f"Accuracy is {accuracy}, and log loss {loss}, on {rows} {seen}."]
    if len(table) == 1:
        return [f"Accuracy is {accuracy}, and log loss {loss}, on {rows}."]
    # An error that is not known tells nothing apart, unless a loss is infinite.
    behind, error = table["log_loss_behind"], table["log_loss_behind_se"]
    worse = (behind > ERRORS * error) | (np.isinf(behind) & (behind > 0))
    right = table["accuracy_chance"] < CHANCE
    if not (right | worse).any():
        return [f"Neither accuracy ({accuracy}) nor log loss ({loss}) on {rows} tells them apart by more than chance."]
    return [
        _leaders("Accuracy", "the most accurate", table, right, "accuracy", percent, f"on {rows}"),
        _leaders("Log loss", "the best by log loss", table, worse, "log_loss", number, "in nats"),
    ]


def _ends(values: np.ndarray, text: Callable[[float], str]) -> str:
    """The smallest and the largest, or one where they print alike."""
    low, high = text(values.min()), text(values.max())
    return low if low == high else f"{low} to {high}"


def _leaders(
    what: str, best: str, table: Table, behind: np.ndarray, column: str, text: Callable[[float], str], where: str
) -> str:
    """Which candidates are ahead, as far as they are told apart."""
    values, names = table[column], table["model"]
    ends = f"{_ends(values, text)} {where}"
    if not behind.any():
        return f"{what} does not tell them apart: {ends}, differences that chance may make."
    ahead = _names(names[~behind])
    if (~behind).sum() == 1:
        (place,) = np.flatnonzero(~behind)
        return f"{ahead} is {best}, {text(values[place])}, ahead of the others by more than chance: {ends}."
    return f"{ahead} are {best}, and not told apart; behind them by more than chance {_are(names[behind])}: {ends}."


def _far(table: Table) -> str:
    """How they end: where it is plausible, and without bound."""
    names, ranges = table["model"], table["sure_ranges"]
    plausible = ""
    if not np.isnan(ranges).any():
        plausible = (
            f"At the ends of plausible ranges {_least_and_most(names, ranges, 'is sure', 'are sure', 'on', 'of the rows')}. "
        )
    far = _least_and_most(names, table["sure_features"], "ends sure", "end sure", "along", "of the ways")
    return f"{plausible}As a column grows without bound, {far}."


def _under_faults(found: Candidates) -> list[str]:
    """What becomes of them when data are faulty."""
    table = found.table
    if np.isnan(table["faults_sure"]).any():
        return []
    count = len({*zip(found.faults["feature"].tolist(), found.faults["fault"].tolist(), strict=True)})
    one, several = (f"{verb} sure on half of the rows or more" for verb in ("stays", "stay"))
    sure = _least_and_most(table["model"], table["faults_sure"], one, several, "under", "")
    refused = _ends(table["faults_refused"], lambda one: percent(one, 0))
    guard = _ends(table["faults_refused_guard"], lambda one: percent(one, 0))
    return [
        f"Of {count:,} faults in the data, {sure}; their entropy refuses {refused} of the faulty rows on the mean over faults, "
        f"the guard {guard}."
    ]


def _least_and_most(names: np.ndarray, shares: np.ndarray, one: str, several: str, on: str, of: str) -> str:
    """Who does something the least and the most often; those that print alike are named together."""
    texts = np.array([percent(share) for share in shares])
    least, most = texts[shares.argmin()], texts[shares.argmax()]
    few = names[texts == least]
    whom = "all" if len(few) == len(names) > 1 else _names(few)
    first = f"{whom} {one if len(few) == 1 else several} {on} {least}{of and ' '}{of}"
    return first if least == most else f"{first}, {_names(names[texts == most])} {on} {most}"


def _guard(found: Candidates) -> str:
    """What the guard makes of them."""
    table, first = found.table, next(iter(found.found.values()))
    with np.errstate(invalid="ignore"):
        # An infinite loss may stay one.
        most = float(np.max(table["log_loss_guard"] - table["log_loss"]))
    price = ""
    if np.isfinite(most):
        price = f", for {most:.1g} nats of log loss at most" if most >= _LITTLE else ", for next to no log loss"
    whom = "it ends" if len(table) == 1 else "all of them end"
    return (
        f"With the guard {whom} at {1 / len(first.classes):.2f} along every way, by proof, and it accepts "
        f"{_ends(table['kept_guard'], percent)} of the test rows{price}."
    )


def _names(names: Sequence[str] | np.ndarray) -> str:
    """Several names in a sentence."""
    shown = [repr(str(name)) for name in names]
    if len(shown) > _NAMED:
        shown = [*shown[:_NAMED], f"{len(shown) - _NAMED} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _are(names: np.ndarray) -> str:
    return f"{'is' if len(names) == 1 else 'are'} {_names(names)}"


def _intervals(low: np.ndarray, high: np.ndarray) -> list[str]:
    return ["-" if np.isnan(a) else f"{percent(a)} to {percent(b)}" for a, b in zip(low, high, strict=True)]


def _plus_minus(values: np.ndarray, errors: np.ndarray) -> list[str]:
    """Differences with their standard errors."""
    return [
        number(value) if np.isnan(error) else f"{number(value)} ± {number(error)}"
        for value, error in zip(values, errors, strict=True)
    ]

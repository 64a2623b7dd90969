"""The guard as operators of ONNX: the gate, behind the operators of a model.

All of it is in double precision, whatever the model is in, and in operators for which onnxruntime has kernels of doubles: Abs,
Add, Cast, Concat, Div, Equal, Gather, Greater, GreaterOrEqual, IsNaN, Less, LessOrEqual, MatMul, Mul, Neg, ReduceLogSumExp,
ReduceSum, ReduceSumSquare, Relu, Reshape, Sigmoid, Squeeze, Sub and Where; with And and Or, and LabelEncoder for texts.

A row that is refused whatever its density makes one value minus infinity: the logarithm of the ratio of densities. What
follows from it is right without further cases: the weight is 0, the unfamiliarity infinite, the row not accepted. Infinite
numbers, gaps where none occurred and numbers outside a stated range get there on their own, as no sum of squares with an
infinite number or a gap in it is finite: one comparison sees that, as it is false of what is no number. What a model makes of
such rows is chosen away and not multiplied by 0, as it may be no number either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.files.export.graph import ML, NO_TEXT, Draft
from knowlimits.ood.columns import Columns
from knowlimits.ood.density.ratio import LogRatio

# From here on the axes of all reductions are inputs of theirs.
_AXES_AS_INPUT = 18
# A ratio further down is an infinite unfamiliarity in single precision.
_LOWEST = -float(np.finfo(np.float32).max)
# More than a sum of probabilities; also false of what is no number.
_MOST = 2.0


@dataclass(frozen=True)
class Feed:
    """Where a graph has the cells of a column.

    Attributes:
        value: the name of a tensor, ``(n, columns)``.
        element: numpy's type of what is in it; object for texts.
        place: which of its columns.
        columns: how many it has.
    """

    value: str
    element: np.dtype
    place: int = 0
    columns: int = 1

    @property
    def text(self) -> bool:
        """Whether they are texts."""
        return self.element.kind == "O"


@dataclass(frozen=True)
class Gated:
    """What is given by a gate, by the names that it is to have.

    Attributes:
        probabilities: ``(n, classes)``, in single precision.
        unfamiliarity: ``(n,)``, in single precision.
        accepted: ``(n,)``, truth values.
    """

    probabilities: str
    unfamiliarity: str
    accepted: str


@dataclass(frozen=True)
class Blend:
    """What is made of a model's probabilities.

    Attributes:
        probabilities: what they are called, ``(n, classes)`` in double precision.
        classes: how many there are.
        shift: what is added to the log ratio, for the log-odds of the model in the blend.
        threshold: the largest unfamiliarity that is accepted.
    """

    probabilities: str
    classes: int
    shift: float
    threshold: float


def gate(draft: Draft, feeds: Sequence[Feed], columns: Columns, ratio: LogRatio, blend: Blend, gated: Gated) -> None:
    """Write a gate.

    Args:
        draft: of a graph that has a model already.
        feeds: of all columns, in order.
        columns: what they are.
        ratio: of the numbers among them.
        blend: what is made of the model's probabilities.
        gated: what the results are to be called.

    Raises:
        ValueError: if the graph has texts where the guard has numbers, or the other way round.
    """
    seen = [_known(draft, feeds[place], columns, int(place)) for place in columns.categorical]
    if not len(columns.numeric):
        value = draft.constant(np.logaddexp.reduce(ratio.constants)[None, None])
    else:
        value = _log_ratio(draft, _numbers(draft, [feeds[place] for place in columns.numeric], columns), ratio)
    _blended(draft, value, seen, blend, gated)


def _numbers(draft: Draft, feeds: Sequence[Feed], columns: Columns) -> str:
    """Cells of numbers as doubles, ``(n, columns)``: infinite where they are outside their range, and gaps filled."""
    for feed, place in zip(feeds, columns.numeric, strict=True):
        if feed.text:
            raise _otherwise(columns, place, "numbers, as the guard was fitted to", "texts")
    x = side_by_side(draft, feeds)
    single = np.array([feed.element == np.float32 for feed in feeds])
    # The end of a range is rounded as what lies on it is, so that it stays inside.
    with np.errstate(over="ignore"):
        low, high = (np.where(single, end.astype(np.float32).astype(np.float64), end) for end in (columns.low, columns.high))
    outside = [
        draft.call(kind, x, draft.constant(end)) for kind, end in (("Less", low), ("Greater", high)) if not np.isinf(end).all()
    ]
    if outside:
        condition = outside[0] if len(outside) == 1 else draft.call("Or", *outside)
        x = draft.call("Where", condition, draft.constant(np.float64(np.inf)), x)
    if (gaps := columns.gaps[columns.numeric]).any():
        x = draft.call("Where", draft.call("IsNaN", x), draft.constant(np.where(gaps, columns.fill, np.nan)), x)
    return x


def _known(draft: Draft, feed: Feed, columns: Columns, place: int) -> str:
    """Whether cells are among those seen, ``(n, 1)``."""
    seen, gaps = columns.seen[place] or (), bool(columns.gaps[place])
    value = column(draft, feed)
    if feed.text:
        known = {str(one): 1 for one in seen}
        if NO_TEXT in known:
            raise _otherwise(columns, place, "without empty texts, which stand for gaps in a file", "some")
        known[NO_TEXT] = int(gaps)
        encoder: Any = {"keys_strings": list(known), "values_int64s": list(known.values()), "default_int64": 0}
        return draft.cast(draft.call("LabelEncoder", value, domain=ML, **encoder), "BOOL")
    if any(isinstance(one, str) for one in seen):
        raise _otherwise(columns, place, "texts, as the guard was fitted to", "numbers")
    value = as_double(draft, value, feed.element)
    equal = draft.call("Equal", value, draft.constant(np.array([*map(float, seen), np.nan])))
    found = draft.cast(_reduced(draft, "ReduceSum", draft.cast(equal, "FLOAT"), 1, keep=True), "BOOL")
    return draft.call("Or", found, draft.call("IsNaN", value)) if gaps else found


def _log_ratio(draft: Draft, x: str, ratio: LogRatio) -> str:
    """The log ratio, ``(n, 1)``; no number, or minus infinity, where a number of x is not finite."""
    count, d = ratio.shifts.shape
    z = draft.call("Div", draft.call("Sub", x, draft.constant(ratio.centre)), draft.constant(ratio.scale))
    # All components in one product, their halved squares by factors times the root of a half.
    factors = np.concatenate(list(ratio.factors)).T * np.sqrt(0.5)
    shifts = np.concatenate(list(ratio.shifts)) * np.sqrt(0.5)
    away = draft.call("Sub", draft.call("MatMul", z, draft.constant(factors)), draft.constant(shifts))
    constants = draft.constant(ratio.constants)
    if count == 1:
        result = draft.call("Sub", constants, _reduced(draft, "ReduceSumSquare", away, 1, keep=True))
    else:
        # No size of a batch is written, so that one of no rows has one as well.
        away = draft.call("Reshape", away, draft.constant(np.array([0, count, d])))
        each = draft.call("Sub", constants, _reduced(draft, "ReduceSumSquare", away, 2, keep=False))
        result = _reduced(draft, "ReduceLogSumExp", each, 1, keep=True)
    if ratio.steepness == 0:
        return result
    beyond = draft.call("Relu", draft.call("Sub", draft.call("Abs", z), draft.constant(np.float64(ratio.reach))))
    squares = _reduced(draft, "ReduceSumSquare", beyond, 1, keep=True)
    return draft.call("Sub", result, draft.call("Mul", squares, draft.constant(np.float64(ratio.steepness))))


def _blended(draft: Draft, ratio: str, seen: Sequence[str], blend: Blend, gated: Gated) -> None:
    """What comes of a log ratio ``(n, 1)``, and of whether the cells of each column of categories were seen, ``(n, 1)``."""
    ordinary = draft.call("GreaterOrEqual", ratio, draft.constant(np.float64(_LOWEST)))
    for known in seen:
        ordinary = draft.call("And", ordinary, known)
    ratio = draft.call("Where", ordinary, ratio, draft.constant(np.float64(-np.inf)))
    weight = draft.call("Sigmoid", draft.call("Add", ratio, draft.constant(np.float64(blend.shift))))
    uniform = draft.constant(np.float64(1 / blend.classes))
    rest = draft.call("Mul", draft.call("Sub", draft.constant(np.float64(1)), weight), uniform)
    mixed = draft.call("Add", draft.call("Mul", weight, blend.probabilities), rest)
    sound = draft.call("LessOrEqual", _reduced(draft, "ReduceSum", mixed, 1, keep=True), draft.constant(np.float64(_MOST)))
    unfamiliarity = draft.call("Neg", ratio)
    accepted = draft.call("And", draft.call("LessOrEqual", unfamiliarity, draft.constant(np.float64(blend.threshold))), sound)
    column = draft.constant(np.array([1]))
    draft.cast(draft.call("Where", sound, mixed, uniform), "FLOAT", result=gated.probabilities)
    draft.call("Squeeze", draft.cast(unfamiliarity, "FLOAT"), column, result=gated.unfamiliarity)
    draft.call("Squeeze", accepted, column, result=gated.accepted)


def side_by_side(draft: Draft, feeds: Sequence[Feed]) -> str:
    """Cells of several columns as doubles, ``(n, columns)``."""
    if len({feed.value for feed in feeds}) == 1:
        first, places = feeds[0], [feed.place for feed in feeds]
        value = first.value
        if places != list(range(first.columns)):
            value = draft.call("Gather", value, draft.constant(np.array(places)), axis=1)
        return as_double(draft, value, first.element)
    # Those of one type together, so that one cast is enough for them.
    order, parts = [], []
    for element in dict.fromkeys(feed.element for feed in feeds):
        places = [place for place, feed in enumerate(feeds) if feed.element == element]
        each = [column(draft, feeds[place]) for place in places]
        parts.append(as_double(draft, each[0] if len(each) == 1 else draft.call("Concat", *each, axis=1), element))
        order += places
    if len(parts) == 1:
        return parts[0]
    return draft.call("Gather", draft.call("Concat", *parts, axis=1), draft.constant(np.argsort(order)), axis=1)


def column(draft: Draft, feed: Feed) -> str:
    """Cells of one column, ``(n, 1)``."""
    if feed.columns == 1:
        return feed.value
    return draft.call("Gather", feed.value, draft.constant(np.array([feed.place])), axis=1)


def as_double(draft: Draft, value: str, element: np.dtype) -> str:
    """A tensor of numbers as doubles."""
    return value if element == np.float64 else draft.cast(value, "DOUBLE")


def _reduced(draft: Draft, kind: str, value: str, axis: int, *, keep: bool) -> str:
    """A reduction over an axis, which only sums have as an input in older operator sets."""
    if kind != "ReduceSum" and draft.sets[""] < _AXES_AS_INPUT:
        return draft.call(kind, value, axes=[axis], keepdims=int(keep))
    return draft.call(kind, value, draft.constant(np.array([axis])), keepdims=int(keep))


def _otherwise(columns: Columns, place: int, wanted: str, found: str) -> ValueError:
    return ValueError(f"X, column {columns.names[place]!r}, must be {wanted}. Got {found} instead.")

"""The check of faults passes the library's own, and sees faults that are wrong in one way each."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from knowlimits import faults
from knowlimits.faults.given import _OF_ALL, _OF_TABLES
from knowlimits.testing import check_fault

NAN = float("nan")
TABLE = faults.Observed(
    ("b", "c", "a", "ward"),
    np.array([[1.5, -1, 0.2, 0], [2.25, 2, NAN, 1], [4, 0.5, 0.7, NAN], [2, 1, 0.4, 0]]),
    (None, None, None, ("A", "B")),
    np.array([True, True, True, False]),
    np.array([NAN, NAN, NAN, 2]),
)


@pytest.mark.parametrize("fault", [*_OF_ALL, *_OF_TABLES, faults.Other(np.abs, "absolute")], ids=repr)
def test_the_faults_of_the_library_are_faults(fault):
    if isinstance(fault, faults.Swap):
        fault = faults.Swap(columns=[0, 1])
    check_fault(fault, TABLE)


@dataclass(frozen=True)
class Planted(faults.Fault):
    """A fault that is right but for what `change` makes of its cases."""

    wrong: object = None

    def cases(self, observed):
        found = [
            faults.Case(n, "doubled", f"{n!r} is doubled", self, (p,), lambda block, rng: block * 2, lambda block: block)
            for p, n in enumerate(observed.names[:2])
        ]
        return found if self.wrong is None else self.wrong(found)


def each(**changes):
    return lambda cases: [replace(case, **changes) for case in cases]


def in_place(block, rng):
    block *= 2
    return block


DRAWN = np.random.default_rng(0)


def test_a_right_one_passes():
    check_fault(Planted(), TABLE)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda cases: [], "must have a case"),
        (lambda cases: [cases[0], cases[0]], "must be its own"),
        (each(words=""), "must have words"),
        (each(clause=""), "must have words"),
        (each(fault=faults.Sign()), "must be the one that the case is of"),
        (each(places=()), "places must be columns"),
        (each(places=(0, 0)), "each of them once"),
        (each(places=(9,)), "places must be those of columns"),
        (each(values=lambda block, rng: block), "must change something"),
        (each(values=lambda block, rng: block + DRAWN.random()), "must be the same for the same random numbers"),
        (each(values=in_place), "must not change what they take"),
        (each(grow=lambda block: block * NAN), "must be finite"),
        (each(grow=lambda block: block * 0), "some row must move"),
    ],
)
def test_wrong_ones_are_seen(wrong, message):
    with pytest.raises(AssertionError, match=message):
        check_fault(Planted(wrong), TABLE)


@pytest.mark.parametrize(
    ("wrong", "what", "shape"),
    [
        (each(values=lambda block, rng: block[:, 0]), "values", r"\(4,\)"),
        (each(values=lambda block, rng: 3.0), "values", r"\(\)"),
        (each(values=lambda block, rng: np.full((4, 1), 3.0)), "values", r"\(4, 1\)"),
        (each(grow=lambda block: np.ones(1)), "grow", r"\(1,\)"),
    ],
)
def test_what_is_of_another_shape_is_refused(wrong, what, shape):
    with pytest.raises(ValueError, match=rf"^{what} of Planted must give 1 columns of \d rows\. Got shape {shape} instead\.$"):
        check_fault(Planted(wrong), TABLE)

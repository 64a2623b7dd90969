"""What counts as worse: on the same rows exactly, on others beyond chance, which is counted out here."""

import math
from fractions import Fraction

import numpy as np
import pytest

from knowlimits.baseline import worse
from knowlimits.baseline.shares import PARTS, Counted, Share
from knowlimits.baseline.worse import as_table, compare


def one(rows, of=40, data="a", part="columns", name="'age' to +inf"):
    return {part: Counted(data, {name: Share(rows, of)})}


def is_worse(before, now, tolerance=0.05):
    return len(compare(before, now, tolerance).worse) == 1


def chance(before, now):
    """How often drawing alone makes so many of all the rows there are come to be the new ones, counted out."""
    rows, of = before.rows + now.rows, before.of + now.of
    ways = sum(math.comb(rows, k) * math.comb(of - rows, now.of - k) for k in range(now.rows, min(rows, now.of) + 1))
    return Fraction(ways, math.comb(of, now.of))


def test_equal_and_better_models_pass_worse_ones_fail():
    for data in ("a", "b", None):
        before = one(8, data="a" if data else None)
        assert not is_worse(before, one(8, data=data))
        assert not is_worse(before, one(0, data=data))
        assert is_worse(before, one(40, data=data))


def test_on_the_same_rows_the_tolerance_decides_to_the_row():
    assert not is_worse(one(20, 400), one(40, 400))  # 5 points of 100
    assert is_worse(one(20, 400), one(41, 400))
    assert not is_worse(one(0, 100), one(29, 100), tolerance=0.29)  # 0.29 * 100 is 28.999999999999996
    assert is_worse(one(0, 100), one(30, 100), tolerance=0.29)


def test_on_the_same_rows_a_few_are_left_alone():
    for of in (20, 40, 400):
        assert not is_worse(one(8, of), one(14, of), tolerance=0.0)
        assert is_worse(one(8, of), one(15, of), tolerance=0.0)
    # A coin falls seven times on one side less than one time in a hundred.
    assert 0.5**7 < worse.LEVEL < 0.5**6


def test_on_other_rows_chance_decides_too():
    for now in (one(9, data="b"), one(15, data="b"), one(15, 41), one(15, data=None)):
        assert not is_worse(one(8), now, tolerance=0.0)
    assert not is_worse(one(8, data=None), one(15, data=None), tolerance=0.0)
    # However little chance there is in it, what is accepted is.
    assert not is_worse(one(0, 10_000), one(400, 10_000, data="b"))
    assert is_worse(one(0, 10_000), one(400, 10_000, data="b"), tolerance=0.0)


@pytest.mark.parametrize("shares", [((8, 40), (20, 40)), ((0, 7), (3, 5)), ((5, 60), (60, 60)), ((0, 30), (0, 30))])
def test_chance_is_counted_out(shares):
    before, now = (Share(*share) for share in shares)
    assert worse.Pair("", before, now, False).by_chance() == pytest.approx(float(chance(before, now)), rel=1e-9)


def test_the_more_shares_are_tested_the_less_chance_may_explain():
    before, now = Share(4, 40), Share(15, 40)
    assert worse.LEVEL / 50 < chance(before, now) < worse.LEVEL
    names = [f"x{k}" for k in range(50)]
    many = {"columns": Counted("a", {name: before for name in names})}
    assert not compare(many, {"columns": Counted("b", dict.fromkeys(names, before) | {"x7": now})}, 0.05).worse
    assert is_worse(one(*before), one(*now, data="b"))


def test_noise_alone_fails_one_model_in_a_hundred_at_most():
    rng = np.random.default_rng(0)
    failed = 0
    for _ in range(400):
        before, now = (
            {"columns": Counted(None, {f"x{k}": Share(int(rows), 40) for k, rows in enumerate(rng.binomial(40, 0.3, 20))})}
            for _ in range(2)
        )
        failed += bool(compare(before, now, 0.0).worse)
    # Of a thousand such counts at most one is above 12 where the share is 0.01.
    assert failed <= 12


def test_the_worst_come_first_and_the_table_is_short():
    names = [f"x{k:02}" for k in range(15)]
    before = {"columns": Counted("a", {name: Share(1, 40) for name in names})}
    now = {"columns": Counted("a", {name: Share(11 + k, 40) for k, name in enumerate(names)})}
    found = compare(before, now, 0.05)
    assert [pair.now.rows for pair in found.worse] == list(range(25, 10, -1))
    lines = as_table(found)
    assert len(lines) == 12
    assert lines[1].split() == ["ends", "sure", "along", "x14", "2.5%", "62.5%", "+60.0%"]
    assert lines[-1] == "and 5 more"


def test_what_only_one_of_both_has_is_no_silence():
    both = one(0) | one(0, part="directions", name="random directions", data=None)
    for before, now, where in ((both, one(0), "the baseline has"), (one(0), both, "the audit has")):
        assert compare(before, now, 0.05).unmatched == (f"Only {where}: ends sure in random directions.",)
    found = compare(one(0), one(0, name="'dose' to +inf"), 0.05)
    assert found.unmatched == (
        "Only the baseline has: ends sure along 'age' to +inf.",
        "Only the audit has: ends sure along 'dose' to +inf.",
    )
    assert not found.compared


def test_faults_come_and_go_with_the_data():
    before, now = (one(0, part="faults", name=name, data=data) for name, data in (("a", "1"), ("b", "2")))
    found = compare(before, now, 0.05)
    assert found.left_aside == (
        "Only the baseline has: becomes sure under a.",
        "Only the audit has: becomes sure under b.",
    )
    assert not found.unmatched
    # Not on the same rows, and not all of them.
    for other in (one(0, part="faults", name="b", data="1"), {}):
        found = compare(before, other, 0.05)
        assert found.unmatched
        assert not found.left_aside
    assert PARTS["faults"].comes_and_goes

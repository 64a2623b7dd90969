"""Trees walked down in fractions: where they end along a ray, and where a leaf changes for the last time, by trying all places.

Nothing is shared with the library but how a tree is written down. A ray may change leaves only where a column that moves meets
a threshold; between two such places nothing changes. So all of them are found, and the leaves looked up between any two.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

LARGEST = Fraction(float(np.finfo(np.float32).max))


def single(value: Fraction) -> float:
    """The float32 next to a number, of two as near the one whose last bit is 0, as a float; infinite beyond them all."""
    with np.errstate(over="ignore"):
        near = np.float32(float(value))
    around = [near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf))]
    # Rounding goes on beyond the largest as if there were a next one.
    places = {one: Fraction(float(one)) if np.isfinite(one) else np.sign(one) * (LARGEST + 2**104) for one in around}
    return float(min(around, key=lambda one: (abs(places[one] - value), int(one.view(np.uint32)) & 1)))


def leaves(trees: Sequence[Any], row: Sequence[Fraction | None], in_single: bool) -> tuple[int, ...]:
    """The node that each tree ends at for a row; None is a gap.

    Args:
        trees: with `column`, `threshold`, `left`, `right`, `gap_left` and `categories` by node; thresholds as they were fitted.
        row: a number or a gap by column.
        in_single: whether numbers are rounded to float32 before they are compared.
    """
    found = []
    for tree in trees:
        node = 0
        while tree.left[node] >= 0:
            value = row[tree.column[node]]
            if value is None:
                left = bool(tree.gap_left[node])
            elif node in tree.categories:
                left = value in tree.categories[node]
            else:
                left = _at_most(value, float(tree.threshold[node]), in_single)
            node = int((tree.left if left else tree.right)[node])
        found.append(node)
    return tuple(found)


def ends(trees: Sequence[Any], x: np.ndarray, d: np.ndarray, in_single: bool) -> tuple[tuple[int, ...], Fraction]:
    """The nodes that trees end at along a ray x + a d, and the last `a` at which one changes, at least 0."""
    starts = [None if np.isnan(value) else Fraction(float(value)) for value in x]
    ways = [Fraction(float(value)) for value in d]
    places = {Fraction(0)}
    for tree in trees:
        for node in np.flatnonzero(np.asarray(tree.left) >= 0):
            start, way = starts[int(tree.column[node])], ways[int(tree.column[node])]
            if start is None or not way or node in tree.categories:
                continue
            for boundary in _boundaries(float(tree.threshold[node]), in_single):
                places.add((boundary - start) / way)
    ordered = sorted(place for place in places if place >= 0)

    def at(a: Fraction) -> tuple[int, ...]:
        row = [None if start is None else start + a * way for start, way in zip(starts, ways, strict=True)]
        return leaves(trees, row, in_single)

    # Behind each of the places.
    behind = [at((one + other) / 2) for one, other in zip(ordered, ordered[1:], strict=False)] + [at(ordered[-1] * 2 + 1)]
    last = max((k for k in range(1, len(behind)) if behind[k] != behind[k - 1]), default=0)
    return behind[-1], ordered[last]


def _at_most(value: Fraction, threshold: float, in_single: bool) -> bool:
    if in_single:
        return single(value) <= threshold
    return threshold > 0 if np.isinf(threshold) else value <= Fraction(threshold)


def _boundaries(threshold: float, in_single: bool) -> list[Fraction]:
    """Where numbers may begin to lie on the other side of a threshold."""
    if not in_single:
        return [Fraction(threshold)] if np.isfinite(threshold) else []
    beyond = LARGEST + 2**103
    near = np.float32(threshold)
    steps = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    exact = [Fraction(float(one)) for one in steps if np.isfinite(one)]
    return [-beyond, beyond] + [(one + other) / 2 for one, other in zip(exact, exact[1:], strict=False)]

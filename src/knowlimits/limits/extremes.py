"""Extremes of a confidence on segments on which every member's logits are piecewise affine: compiled, by branch and bound.

Intervals between nodes are halved until the bounds of `knowlimits.limits.softmaxes` are within the tolerance of the best value
that was found, or, for places from which on something holds, say that it does or does not.
"""

from typing import NamedTuple

import numpy as np

from knowlimits.compiling import compiled
from knowlimits.limits.softmaxes import (
    LOWER,
    OFF,
    ROUNDING,
    UPPER,
    VALUE_0,
    VALUE_1,
    Room,
    bounds,
    bounds_between,
    largest,
    lead,
    probabilities,
)
from knowlimits.limits.stretches import SAME

#: By how much extremes may be off at most, and where intervals can be halved no more.
TOLERANCE, MOST_OFF = 2.0**-32, 2.0**-30
# Up to which share of an interval places are narrowed down.
_NARROW = 2.0**-50
# How many intervals of a segment are looked at before it is given up.
_MOST = 20_000
# As many intervals wait at once, as each halving leaves one behind.
_DEPTH = 128
# Columns of what is found.
SMALLEST, LARGEST, AT_SMALLEST, AT_LARGEST, SURE_FROM, CHANGED_FROM, PROVEN = range(7)


class Chains(NamedTuple):
    """Pieces of members along segments: a chain of nodes for each segment and each group of members that share one.

    Attributes:
        at: nodes of all chains, one behind the other; each goes up from 0 to 1.
        begins: where in them the chains begin, ``(segments, groups)``.
        values: logits at the nodes, ``(members of the group, classes)`` of each, one behind the other; minus infinity all along
            for a class that a member does not have.
        places: of each group where in them the logits of a node 0 would be.
        sizes: how many members each group has.
    """

    at: np.ndarray
    begins: np.ndarray
    values: np.ndarray
    places: np.ndarray
    sizes: np.ndarray


@compiled(nogil=True, allocates=False)
def _go_to(chains: Chains, begin: float, end: float, room: Room) -> None:  # pragma: no cover - compiled
    """Logits of all members on an interval inside of one piece of each go to the room, as do the pieces."""
    at, values, classes, member = chains.at, chains.values, room.logits.shape[1], 0
    for group in range(len(chains.sizes)):
        node = room.pointers[group]
        while at[node + 1] <= begin:
            node += 1
        while at[node] > begin:
            node -= 1
        room.pointers[group] = node
        size, length = chains.sizes[group], at[node + 1] - at[node]
        s0, s1 = (begin - at[node]) / length, (end - at[node]) / length
        here = chains.places[group] + node * size * classes
        there = here + size * classes
        for _ in range(size):
            for c in range(classes):
                low, high = values[here], values[there]
                has = low > -np.inf
                room.logits[member, c] = low + s0 * (high - low) if has else -np.inf
                room.steps[member, c] = (s1 - s0) * (high - low) if has else 0.0
                here += 1
                there += 1
            member += 1


@compiled(nogil=True)
def _nodes(chains: Chains, segment: int, room: Room, nodes: np.ndarray) -> tuple[np.ndarray, int]:  # pragma: no cover
    """The nodes of all chains of a segment in one order, in the first row of an array, and how many there are."""
    groups, at = len(chains.sizes), chains.at
    for group in range(groups):
        room.pointers[group] = chains.begins[segment, group]
    count, here = 1, 0.0
    nodes[0, 0] = 0.0
    while here < 1:
        before, here = here, 1.0
        for group in range(groups):
            while at[room.pointers[group] + 1] <= before:
                room.pointers[group] += 1
            here = min(here, at[room.pointers[group] + 1])
        if count == nodes.shape[1]:
            longer = np.empty((len(nodes), 2 * count))
            longer[0, :count] = nodes[0]
            nodes = longer
        nodes[0, count] = here
        count += 1
    for group in range(groups):
        room.pointers[group] = chains.begins[segment, group]
    return nodes, count


@compiled(nogil=True, allocates=False)
def _halve(room: Room, waiting: int, s0: float, s1: float, first: bool) -> int:  # pragma: no cover - compiled
    """Have both halves of an interval wait, the one that is to come first on top."""
    s = (s0 + s1) / 2
    room.low[waiting], room.high[waiting] = (s, s1) if first else (s0, s)
    room.low[waiting + 1], room.high[waiting + 1] = (s0, s) if first else (s, s1)
    return waiting + 2


@compiled(nogil=True, allocates=False)
def _extremes(room: Room, begin: float, end: float, row: np.ndarray, left: int) -> int:  # pragma: no cover - compiled
    """Bring what was found up to date by what is inside of an interval; returns what is left."""
    room.low[0], room.high[0], waiting = 0.0, 1.0, 1
    while waiting and left > 0:
        left, waiting = left - 1, waiting - 1
        s0, s1 = room.low[waiting], room.high[waiting]
        bounds(room, s0, s1)
        # The mean's values at both places are known now.
        for k, s in ((VALUE_0, s0), (VALUE_1, s1)):
            _note(row, largest(room.bounds[k]), begin + s * (end - begin))
        most = TOLERANCE if s1 - s0 >= _NARROW else MOST_OFF
        if largest(room.bounds[LOWER]) >= row[SMALLEST] - most and largest(room.bounds[UPPER]) <= row[LARGEST] + most:
            continue
        if s1 - s0 < _NARROW:
            row[PROVEN] = 0.0
        else:
            waiting = _halve(room, waiting, s0, s1, True)
    return left


@compiled(nogil=True, allocates=False)
def _note(row: np.ndarray, confidence: float, t: float) -> None:  # pragma: no cover - compiled
    """Note what the confidence is somewhere, if it is an extreme so far."""
    if confidence < row[SMALLEST]:
        row[SMALLEST], row[AT_SMALLEST] = confidence, t
    if confidence > row[LARGEST]:
        row[LARGEST], row[AT_LARGEST] = confidence, t


@compiled(nogil=True, allocates=False)
def _sure_from(room: Room, enough: float, left: int) -> tuple[float, int]:  # pragma: no cover - compiled
    """The least s of an interval from which on the confidence is enough to its end, -1 if it is all along; and what is left."""
    room.low[0], room.high[0], waiting = 0.0, 1.0, 1
    while waiting and left > 0:
        left, waiting = left - 1, waiting - 1
        s0, s1 = room.low[waiting], room.high[waiting]
        bounds(room, s0, s1)
        if largest(room.bounds[LOWER]) >= enough:
            continue
        if s1 - s0 < _NARROW or largest(room.bounds[VALUE_1]) < enough:
            return s1, left
        waiting = _halve(room, waiting, s0, s1, False)
    return -1.0, left


@compiled(nogil=True, allocates=False)
def _changed_from(room: Room, first: int, left: int) -> tuple[float, int]:  # pragma: no cover - compiled
    """The least s of an interval at which another class is likelier than the first, -1 if none is; and what is left."""
    room.low[0], room.high[0], waiting = 0.0, 1.0, 1
    while waiting and left > 0:
        left, waiting = left - 1, waiting - 1
        s0, s1 = room.low[waiting], room.high[waiting]
        bounds(room, s0, s1)
        if lead(room, first) >= -SAME:
            continue
        if s1 - s0 >= _NARROW:
            waiting = _halve(room, waiting, s0, s1, True)
        elif largest(room.bounds[VALUE_1]) - room.bounds[VALUE_1, first] > SAME - 4 * ROUNDING:
            return s1, left
    return -1.0, left


@compiled(nogil=True)
def along(chains: Chains, classes: int, enough: float, found: np.ndarray) -> None:  # pragma: no cover - compiled
    """Extremes and changes of the confidence on each of some segments.

    Args:
        chains: of the segments.
        classes: how many there are.
        enough: the confidence at which a model is sure.
        found: where results go, ``(segments, 7)``.
    """
    members = chains.sizes.sum()
    room = Room(
        np.empty((members, classes)),
        np.empty((members, classes)),
        np.empty((OFF + 1, classes)),
        np.empty((members, classes)),
        np.empty((members, classes)),
        np.empty(members),
        np.empty(members),
        np.empty(len(chains.sizes), dtype=np.int64),
        np.empty(_DEPTH),
        np.empty(_DEPTH),
    )
    # Of each interval its begin, a lower and an upper bound of the confidence, and a lower one of the first class's lead.
    nodes = np.empty((4, 1024))
    for segment in range(len(chains.begins)):
        row = found[segment]
        row[SMALLEST], row[LARGEST], row[PROVEN] = np.inf, -np.inf, 1.0
        nodes, count = _nodes(chains, segment, room, nodes)
        first = 0
        for k in range(count - 1):
            _go_to(chains, nodes[0, k], nodes[0, k + 1], room)
            if k == 0:
                probabilities(room, 0.0, room.p, room.of_p)
            probabilities(room, 1.0, room.q, room.of_q)
            bounds_between(room, 0.0, 1.0)
            if k == 0:
                first = room.bounds[VALUE_0].argmax()
                _note(row, largest(room.bounds[VALUE_0]), 0.0)
            _note(row, largest(room.bounds[VALUE_1]), nodes[0, k + 1])
            nodes[1, k], nodes[2, k], nodes[3, k] = largest(room.bounds[LOWER]), largest(room.bounds[UPPER]), lead(room, first)
            # Where one interval ends the next begins.
            for member in range(members):
                room.of_p[member] = room.of_q[member]
                for c in range(classes):
                    room.p[member, c] = room.q[member, c]
        last, left = largest(room.bounds[VALUE_1]), _MOST
        for k in range(count - 1):
            # What was found since rules out more.
            if nodes[1, k] < row[SMALLEST] - TOLERANCE or nodes[2, k] > row[LARGEST] + TOLERANCE:
                _go_to(chains, nodes[0, k], nodes[0, k + 1], room)
                left = _extremes(room, nodes[0, k], nodes[0, k + 1], row, left)
        row[SURE_FROM] = 0.0 if last >= enough else np.nan
        for k in range(count - 2, -1, -1):
            if last >= enough and nodes[1, k] < enough:
                _go_to(chains, nodes[0, k], nodes[0, k + 1], room)
                s, left = _sure_from(room, enough, left)
                if s >= 0:
                    row[SURE_FROM] = nodes[0, k] + s * (nodes[0, k + 1] - nodes[0, k])
                    break
        row[CHANGED_FROM] = np.nan
        for k in range(count - 1):
            if nodes[3, k] < -SAME:
                _go_to(chains, nodes[0, k], nodes[0, k + 1], room)
                s, left = _changed_from(room, first, left)
                if s >= 0:
                    row[CHANGED_FROM] = nodes[0, k] + s * (nodes[0, k + 1] - nodes[0, k])
                    break
        if left <= 0:
            row[PROVEN] = 0.0

"""Piecewise-linear classifiers along segments, piece by piece, many segments at once.

From the start of each segment on, logits are affine up to the first `t` at which a unit changes
(`knowlimits.follow.follow_piece`); from there on they are again, and so on to the end. Members of a `Stack`, each with units of
its own, go on by themselves. What softmax makes of that inside of pieces is found by `knowlimits.limits.extremes`.

The model is asked a little behind where a unit changes, so that rounding does not show it as it was before; if it still does,
twice as far behind the next time. What is lost by that, and by rounding, is seen: each piece's logits are those of the model at
an input on it, and must be at both ends what the neighbours' are; and the confidence at all places that are returned is
compared with that of the model itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowlimits._machine import rows_at_a_time
from knowlimits.follow import UnsupportedOperation, follow_piece
from knowlimits.limits import extremes
from knowlimits.limits.stretches import SAME, Segments
from knowlimits.model.endings import Outputs
from knowlimits.model.model import Model
from knowlimits.model.moves import Moves, allowance
from knowlimits.model.network import Network
from knowlimits.model.outputs import asymptotes_of, logits_of
from knowlimits.model.stack import Stack

#: By how much confidences, and the logits of two pieces where they meet, may differ; of logits also by a share of their size.
AGREE, _AGREE_SHARE = 1e-9, 2.0**-40
# How far behind a change of a unit the model is asked, in parts of the segment.
_BEHIND = 2.0**-46
# Where segments of rows with gaps are looked at behind the steps.
_LOOKED_AT = (0.1, 0.25, 0.382, 0.5, 0.618, 0.75, 0.9)
# How much may be done before it would take too long, as in `knowlimits.follow.Piece`: some seconds.
_MOST_WORK = 2**35
# How many numbers the logits of segments that are worked on at once may have at one node of each.
_AT_ONCE = 2**18


def piecewise(model: Model, starts: np.ndarray, ends: np.ndarray, level: float = 0.99) -> Segments | None:
    """What a piecewise-linear classifier says along segments, piece by piece; None for one that is not, or has too many pieces.

    Where not all is proven, or the model itself says otherwise at one of the places that were found, `exact` is False and all
    but `probs` is nan; so it is where steps in front of the networks bend on the way.

    Args:
        model: the classifier.
        starts, ends: of the segments, ``(n, ...)``, as the model's points are.
        level: the confidence from which on it is sure.
    """
    if model.returns is Outputs.PROBABILITIES:
        return None
    a, b = (torch.from_numpy(np.asarray(rows, dtype=np.float64)).to(model.device) for rows in (starts, ends))
    straight = _straight(model, a, b)
    if not straight.any():
        return None
    some = torch.from_numpy(np.flatnonzero(straight))
    with torch.no_grad(), model.threads(a[:1].numel()):
        try:
            parts = _in_parts(model, model.entering(a[some]), model.entering(b[some]), level)
        except (UnsupportedOperation, OverflowError):
            return None
    if parts is None:
        return None
    found = np.full((len(a), extremes.PROVEN + 1), np.nan)
    found[some.numpy()] = parts
    return _checked(model, a, b, found)


def _straight(model: Model, starts: Tensor, ends: Tensor) -> np.ndarray:
    """Which segments are segments behind the steps, too.

    Those that move columns which always stay straight; where gaps are filled, by what may hang on other columns, places between
    the ends are looked at.
    """
    straight = np.ones(len(starts), dtype=bool)
    if model.as_layers or model.steps is None:
        return straight
    gaps = starts.isnan()
    ways = torch.where(gaps, 0.0, ends - starts)
    bent = torch.tensor([column.moves is not Moves.AFFINE for column in model.steps.columns], device=starts.device)
    straight = ~((ways != 0) & bent).any(1).cpu().numpy()
    some = torch.from_numpy(np.flatnonzero(gaps.any(1).cpu().numpy() & straight))
    if len(some):
        a, b = model.entering(starts[some]), model.entering(ends[some])
        for t in _LOOKED_AT:
            apart = (model.entering(starts[some] + t * ways[some]) - a - t * (b - a)).abs().cpu().numpy()
            way = (t * ways[some]).cpu().numpy()
            straight[some.numpy()] &= (apart <= allowance(model.steps.sides, starts[some].cpu().numpy(), way)).all(1)
    return straight


def _in_parts(model: Model, starts: Tensor, ends: Tensor, level: float) -> np.ndarray | None:
    """What `extremes.along` finds, part by part; None if it took too long."""
    found = []
    numbers = sum(logits_of(network, network(starts[:1])).numel() for network in model.networks)
    size = max(1, _AT_ONCE // numbers)
    rows = rows_at_a_time(model.widest(starts[0].numel()), model.device)
    for begin in range(0, len(starts), size):
        part = starts[begin : begin + size], ends[begin : begin + size]
        most = _MOST_WORK * len(part[0]) / len(starts) / len(model.networks)
        chains = []
        for network in model.networks:
            marched = _March(network, *part).run(rows, most)
            if marched is None:
                return None
            chains.append(marched)
        results = np.empty((len(part[0]), extremes.PROVEN + 1))
        classes = chains[0].logits.shape[-1]
        extremes.along(_joined(chains), classes, level - SAME, results)
        results[:, extremes.PROVEN] *= np.all([one.meets for one in chains], 0)
        found.append(results)
    return np.concatenate(found)


def _checked(model: Model, starts: Tensor, ends: Tensor, found: np.ndarray) -> Segments:
    """What was found, where the model itself says so at the places that were found and at both ends."""
    smallest, largest, at_smallest, at_largest, sure, changed, proven = found.T
    exact = proven == 1
    probs = model.at(ends).mean(0).cpu().numpy()

    def confidence(t: np.ndarray) -> np.ndarray:
        at = torch.from_numpy(t).to(starts.device).reshape(-1, *[1] * (starts.ndim - 1))
        points = torch.where(at == 1, ends, starts + at * (ends - starts))
        return model.at(points).mean(0).amax(-1).cpu().numpy()

    for place, value in ((at_smallest, smallest), (at_largest, largest)):
        exact &= np.abs(confidence(np.where(exact, place, 0.0)) - value) <= AGREE
    for value in (confidence(np.zeros(len(exact))), probs.max(1)):
        exact &= (smallest - AGREE <= value) & (value <= largest + AGREE)
    return Segments(
        smallest=np.where(exact, smallest, np.nan),
        largest=np.where(exact, largest, np.nan),
        at_smallest=np.where(exact, at_smallest, np.nan),
        at_largest=np.where(exact, at_largest, np.nan),
        probs=probs,
        sure_from=np.where(exact, sure, np.nan),
        changed_from=np.where(exact, changed, np.nan),
        exact=exact,
    )


@dataclass(frozen=True)
class _Chains:
    """The chains of one network.

    Attributes:
        at: nodes of all chains, segment by segment and lane by lane, ``(nodes,)``.
        begins: where in them each begins, ``(segments, lanes)``.
        logits: at the nodes, ``(nodes, members of a lane, classes)``.
        meets: whether pieces meet at their nodes, ``(segments,)``.
    """

    at: np.ndarray
    begins: np.ndarray
    logits: np.ndarray
    meets: np.ndarray


def _joined(networks: list[_Chains]) -> extremes.Chains:
    """The chains of several networks behind one another."""
    begins, places, sizes, nodes, numbers = [], [], [], 0, 0
    for one in networks:
        begins.append(one.begins + nodes)
        size = one.logits[0].size
        places += [numbers - nodes * size] * one.begins.shape[1]
        sizes += [one.logits.shape[1]] * one.begins.shape[1]
        nodes, numbers = nodes + len(one.at), numbers + one.logits.size
    return extremes.Chains(
        np.concatenate([one.at for one in networks]),
        np.concatenate(begins, 1),
        np.concatenate([one.logits.reshape(-1) for one in networks]),
        np.array(places),
        np.array(sizes),
    )


class _March:
    """A network along segments, from node to node.

    Members of a `Stack` have a lane each, in which segment follows segment; other networks have one for all members.

    Args:
        network: what is followed.
        starts, ends: of the segments, ``(n, ...)``.
    """

    def __init__(self, network: Network | Stack, starts: Tensor, ends: Tensor):
        self.network, self.starts, self.ends, self.ways = network, starts, ends, ends - starts
        apart = isinstance(network, Stack)
        self.lanes = network.members if apart else 1
        self._function: Callable[[Tensor], Any] = network.forward_members if apart else network
        self._axes = 2 if apart else 1
        # Of each piece: its segment and lane as one number, where it begins and was asked, logits there, and their slopes.
        self._pieces: list[tuple[np.ndarray, ...]] = []
        self._work = 0

    def run(self, rows: int, most: float) -> _Chains | None:
        """All pieces, or None.

        Args:
            rows: how many segments are worked on at once in a lane.
            most: how much may be done; None where that is not enough.
        """
        n, lanes = len(self.starts), np.arange(self.lanes)[:, None]
        rows = min(n, rows)
        segments = np.tile(np.arange(rows), (self.lanes, 1))
        open_ = np.ones(segments.shape, dtype=bool)
        node, t, behind = np.zeros(segments.shape), np.zeros(segments.shape), np.full(segments.shape, _BEHIND)
        begun = np.full(self.lanes, rows)
        while open_.any():
            values, slopes, until = self._at(segments, t)
            keys = segments * self.lanes + lanes
            self._pieces.append((keys[open_], node[open_], t[open_], values[open_], slopes[open_]))
            if self._work * n > most * begun.max():
                return None
            node = t + until
            t = node + behind
            done = t >= 1
            behind = np.where(done | (until > 2 * behind), _BEHIND, 2 * behind)
            node, t = np.where(done, 0.0, node), np.where(done, 0.0, t)
            # Who is done takes the next segment that waits in its lane.
            free = done & open_
            places = begun[:, None] + np.cumsum(free, 1) - 1
            open_ &= ~done | (places < n)
            segments = np.where(free, np.minimum(places, n - 1), segments)
            begun = np.minimum(begun + free.sum(1), n)
            if (needed := int(open_.sum(1).max())) <= segments.shape[1] // 2:
                order = np.argsort(~open_, axis=1, kind="stable")[:, :needed]
                parts = (np.take_along_axis(a, order, 1) for a in (segments, open_, node, t, behind))
                segments, open_, node, t, behind = parts
        return self._chains()

    def _at(self, segments: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logits and slopes ``(lanes, rows, members of a lane, classes)`` there, and how far these hold ``(lanes, rows)``."""
        device = self.starts.device
        places = torch.from_numpy(segments).to(device)
        ways = self.ways[places]
        points = torch.from_numpy(t).to(device).reshape(*t.shape, *[1] * (ways.ndim - 2)) * ways + self.starts[places]
        if self._axes == 1:
            points, ways = points[0], ways[0]
        piece = follow_piece(self._function, points, ways, self._axes)
        self._work += piece.work
        slopes, values = (self._by_lanes(part) for part in asymptotes_of(self.network, piece.slope, piece.value))
        return values, slopes, piece.until.cpu().numpy().reshape(t.shape)

    def _by_lanes(self, logits: Tensor) -> np.ndarray:
        """Logits ``(members, rows, classes)`` by lanes, ``(lanes, rows, members of a lane, classes)``."""
        return (logits[:, :, None] if self._axes == 2 else logits.transpose(0, 1)[None]).cpu().numpy()

    def _chains(self) -> _Chains:
        """What was found, in order, with the ends."""
        keys, nodes, t, values, slopes = (np.concatenate(parts) for parts in zip(*self._pieces, strict=True))
        n = len(self.starts)
        order = np.argsort(keys, kind="stable")
        keys, nodes, t, values, slopes = (part[order] for part in (keys, nodes, t, values, slopes))
        begins = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=n * self.lanes) + 1)])
        # Each chain before has an end.
        places = np.arange(len(keys)) + keys
        at, logits = np.ones(begins[-1]), np.empty((begins[-1], *values.shape[1:]))
        at[places] = nodes
        with np.errstate(invalid="ignore"):
            # Classes that a member does not have stay at minus infinity.
            logits[places] = values + slopes * (nodes - t)[:, None, None]
            there = values + slopes * (at[places + 1] - t)[:, None, None]
        last = self._by_lanes(logits_of(self.network, self.network(self.ends))).swapaxes(0, 1)
        logits[begins[1:] - 1] = last.reshape(-1, *values.shape[1:])
        following = logits[places + 1]
        with np.errstate(invalid="ignore"):
            apart = np.abs(there - following) > AGREE + _AGREE_SHARE * (np.abs(values) + np.abs(following))
        meets = np.ones(n, dtype=bool)
        meets[keys[apart.any((1, 2))] // self.lanes] = False
        return _Chains(at, begins[:-1].reshape(n, self.lanes), logits, meets)

"""What trees are asked: the numbers that they compare with thresholds, of a model that hangs on its inputs by these alone.

Whether a model does is found by following which tensors of a forward pass hang on the points. Families that have `thresholds`
give answers that hang on which of them are passed, and are no further followed; whatever else is done with the points before
an answer makes one that hangs on them, and if the outputs do, there is more to the model than trees.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowlimits._torch import OperationMode, among
from knowlimits.model.families.family import OPERATION, Family, family_of
from knowlimits.model.families.recoded import Recoded
from knowlimits.model.families.trees import Trees
from knowlimits.model.model import Model
from knowlimits.model.outputs import probabilities_by_logits


@dataclass(frozen=True, eq=False)
class Comparisons:
    """What the trees of a model ask.

    Attributes:
        model: whose probabilities hang on its inputs by the answers alone.
        calls: of each network those calls of families, counted from 0, whose inputs hang on the points, and the families.
        mixed: the same of those whose inputs hang on answers of others as well.
        answers: of each network an answer of each call of a family, ``(1, outputs)``, that stands for those of all rows where
            only questions are of interest.
        thresholds: of each number that is compared the places where answers change, ascending: up to them is one side.
        numbers: which of the numbers that a call is given are compared, call by call of all networks.
    """

    model: Model
    calls: tuple[dict[int, Family], ...]
    mixed: tuple[frozenset[int], ...]
    answers: tuple[tuple[Tensor, ...], ...]
    thresholds: tuple[np.ndarray, ...]
    numbers: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, model: Model, rows: np.ndarray) -> "Comparisons | None":
        """What the trees of a model ask; None for a model that is more than trees.

        Args:
            model: it.
            rows: a few, as `Model.points` makes them, ``(n, columns)``.
        """
        calls, mixed, answers = [], [], []
        points = model.entering(_tensor(model, rows))
        with torch.no_grad(), model.threads():
            for network in model.networks:
                watching = _Watching(points)
                with watching:
                    probs = probabilities_by_logits(network, points)
                if watching.lost or watching.hangs(probs):
                    return None
                calls.append(watching.calls)
                mixed.append(frozenset(watching.mixed))
                answers.append(tuple(watching.answers))
        families = [family for one in calls for family in one.values()]
        every = [_thresholds(family) for family in families]
        numbers = [np.array([k for k, some in enumerate(each) if len(some)], dtype=np.intp) for each in every]
        thresholds = tuple(each[k] for each, some in zip(every, numbers, strict=True) for k in some)
        return cls(model, tuple(calls), tuple(mixed), tuple(answers), thresholds, tuple(numbers))

    def given(self, rows: np.ndarray) -> list[np.ndarray]:
        """What each call is given for rows ``(n, columns)``, ``(n, features)``."""
        points, given = self.model.entering(_tensor(self.model, rows)), []
        with torch.no_grad(), self.model.threads():
            for network, calls, answers in zip(self.model.networks, self.calls, self.answers, strict=True):
                if len(calls) == 1 and next(iter(calls.values())) is getattr(network, "module", None):
                    given.append(points)
                    continue
                asking = _Asking(calls, answers)
                with asking:
                    probabilities_by_logits(network, points)
                given += asking.given
        return [one.cpu().double().numpy() for one in given]

    def at(self, rows: np.ndarray) -> np.ndarray:
        """The numbers that are compared, for rows ``(n, columns)``: ``(n, numbers)``."""
        return self.of_given(self.given(rows), len(rows))

    def of_given(self, given: list[np.ndarray], count: int) -> np.ndarray:
        """Those among what calls are given for so many rows."""
        parts = [one[:, some] for one, some in zip(given, self.numbers, strict=True)]
        return np.concatenate([np.zeros((count, 0)), *parts], axis=1)

    @property
    def begins(self) -> np.ndarray:
        """Where the thresholds of a number begin among all, and, behind, those of the next one, ``(numbers + 1,)``."""
        return np.cumsum([0, *map(len, self.thresholds)])

    def met(self, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows, by their places, and thresholds, by theirs among all, that are met on the way: each pair once, row by row.

        A tree asks for some of its thresholds only, given what stays and how far what moves goes; these count. Of trees that
        look at answers of others, which are not asked here, all thresholds on the way do.

        Args:
            starts, ends: ``(n, columns)``.
        """
        first, last = self.given(starts), self.given(ends)
        ranks = [self._ranks(self.of_given(given, len(starts))) for given in (first, last)]
        families = [
            None if call in mixed else family
            for calls, mixed in zip(self.calls, self.mixed, strict=True)
            for call, family in calls.items()
        ]
        begins, number, found = self.begins, 0, [(np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp))]
        for family, some, *ways in zip(families, self.numbers, first, last, strict=True):
            own = np.arange(number, number + len(some))
            number += len(some)
            if isinstance(family, Trees):
                row, column, threshold = family.packed.met(np.minimum(*ways), np.maximum(*ways))
                at = own[0] + np.searchsorted(some, column) if len(own) else column
                rank = np.empty(len(row), dtype=np.intp)
                for j in own:
                    rank[at == j] = np.searchsorted(self.thresholds[j], threshold[at == j])
                found.append((row, begins[at] + rank))
                continue
            for j in own:
                before, after = ranks[0][:, j], ranks[1][:, j]
                counts = np.abs(after - before)
                row = np.repeat(np.arange(len(starts)), counts)
                inside = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
                found.append((row, begins[j] + np.minimum(before, after)[row] + inside))
        pairs = np.unique(np.concatenate([row * begins[-1] + at for row, at in found]))
        return np.divmod(pairs, max(1, begins[-1]))

    def _ranks(self, numbers: np.ndarray) -> np.ndarray:
        """How many thresholds lie below numbers ``(n, numbers)``, of the same shape."""
        ranks = np.empty(numbers.shape, dtype=np.intp)
        for j, some in enumerate(self.thresholds):
            ranks[:, j] = np.searchsorted(some, numbers[:, j])
        return ranks


def _tensor(model: Model, rows: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float64)).to(model.device)


def _thresholds(family: Any) -> list[np.ndarray]:
    """For each number that a family is given those up to which its answers are others than beyond."""
    found = list(family.thresholds)
    if isinstance(family, Recoded):
        for codes in family.codes:
            for column in codes.columns:
                found += [np.zeros(0)] * (column + 1 - len(found))
                found[column] = np.union1d(found[column], [np.nextafter(codes.least, -np.inf), codes.most])
    return found


class _Watching(OperationMode):
    """Follows which tensors hang on points.

    Attributes:
        calls: those of families with thresholds that are given such, by their numbers among all calls of families.
        mixed: those of them that are given what hangs on answers of others, too.
        answers: of all calls of families that of the first point.
        lost: whether a number was taken out of a tensor that hangs on them, so that what it is used for is not seen.
    """

    def __init__(self, points: Tensor):
        super().__init__()
        self.calls: dict[int, Family] = {}
        self.mixed: set[int] = set()
        self.answers: list[Tensor] = []
        self.lost = False
        # Tensors stay, so that no place in memory is another's later.
        self._kept, self._places = [points], {_place(points)}
        self._answered: set[int] = set()

    def hangs(self, tensor: Tensor) -> bool:
        """Whether a tensor does; parts of one memory do together."""
        return _place(tensor) in self._places

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = among((*args, *(kwargs or {}).values()), Tensor)
        result = func(*args, **(kwargs or {}))
        hangs, answers = any(map(self.hangs, given)), any(_place(t) in self._answered for t in given)
        if func is OPERATION:
            family, call = family_of(args), len(self.answers)
            self.answers.append(result[:1].clone())
            if hangs and hasattr(family, "thresholds"):
                self.calls[call] = family
                self.mixed |= {call} if answers else set()
                hangs, answers = False, True
        made = among(result if isinstance(result, list | tuple) else (result,), Tensor)
        self._kept += [*given, *made]
        # What returns nothing has written into what it was given.
        places = {_place(tensor) for tensor in made or given}
        self._places |= places if hangs else set()
        self._answered |= places if answers else set()
        self.lost |= hangs and result is not None and not made
        return result


class _Asking(OperationMode):
    """Notes what families are given, and spares their work.

    Args:
        calls: of which to note it, by their numbers among all.
        answers: what each call of a family answers to any row, ``(1, outputs)``.
    """

    def __init__(self, calls: dict[int, Family], answers: tuple[Tensor, ...]):
        super().__init__()
        self.given: list[Tensor] = []
        self._calls, self._answers, self._count = calls, answers, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not OPERATION:
            return func(*args, **(kwargs or {}))
        if self._count in self._calls:
            self.given.append(args[0])
        self._count += 1
        return self._answers[self._count - 1].expand(len(args[0]), -1).clone()


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()

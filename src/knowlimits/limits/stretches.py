"""What is found on the way along segments, and how it is summed up: by stretches on which a classifier says one thing."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch

from knowlimits.model.model import Model

# Numbers of the points, and of the probabilities of all members, that are held at once.
_NUMBERS = 2**22
#: Probabilities that differ by so little are the same.
SAME = 1e-9


@dataclass(frozen=True)
class Segments:
    """What a classifier says along segments start + t (end - start), t from 0 to 1.

    The confidence is the probability of the likeliest class, of the mean over the members.

    Attributes:
        smallest, largest: extremes of the confidence along the whole segment, ``(n,)``.
        at_smallest, at_largest: a t where they are taken, ``(n,)``.
        probs: mean probabilities at the end, ``(n, classes)``.
        sure_from: the least t from which on the confidence is at least the level, up to the end, ``(n,)``; nan where it does
            not end so.
        changed_from: the least t at which another class is likelier than the likeliest at the start, ``(n,)``; nan where none
            is.
        exact: whether the whole segment was decided, ``(n,)``; if not, a grid of places.
    """

    smallest: np.ndarray
    largest: np.ndarray
    at_smallest: np.ndarray
    at_largest: np.ndarray
    probs: np.ndarray
    sure_from: np.ndarray
    changed_from: np.ndarray
    exact: np.ndarray

    def put(self, places: np.ndarray, other: "Segments") -> "Segments":
        """The same, with others at some places."""
        parts = {}
        for field in dataclasses.fields(self):
            parts[field.name] = getattr(self, field.name).copy()
            parts[field.name][places] = getattr(other, field.name)
        return Segments(**parts)

    @classmethod
    def joined(cls, parts: "list[Segments]") -> "Segments":
        """Several, one after another."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in dataclasses.fields(cls)))


@dataclass(frozen=True, eq=False)
class Stretches:
    """Stretches of segments, one after another from start to end, each with what is said on it; those of a segment together.

    Attributes:
        begins: where the stretches of a segment begin among all, ``(n,)``.
        since: the least t of a stretch.
        at: a t in it.
        probs: mean probabilities there, ``(stretches, classes)``.
    """

    begins: np.ndarray
    since: np.ndarray
    at: np.ndarray
    probs: np.ndarray

    def summed_up(self, level: float, exact: np.ndarray) -> Segments:
        """What they come to."""
        n, count = len(self.begins), len(self.since)
        segment = np.repeat(np.arange(n), np.diff([*self.begins, count]))
        last = np.append(self.begins[1:], count) - 1
        confidence = self.probs.max(1)
        first = self.probs[self.begins].argmax(1)[segment]
        changed = self.probs[np.arange(count), first] < confidence - SAME
        number = np.arange(count)
        # The first stretch behind the last one that is not sure.
        unsure = np.maximum.reduceat(np.where(confidence >= level - SAME, -1, number), self.begins)
        sure = unsure < last
        of_sure = np.where(unsure < 0, self.begins, np.minimum(unsure + 1, last))
        of_changed = np.minimum.reduceat(np.where(changed, number, count), self.begins)
        smallest, largest = (extreme.reduceat(confidence, self.begins) for extreme in (np.minimum, np.maximum))
        taken = [
            self.at[np.minimum.reduceat(np.where(confidence == value[segment], number, count), self.begins)]
            for value in (smallest, largest)
        ]
        return Segments(
            smallest=smallest,
            largest=largest,
            at_smallest=taken[0],
            at_largest=taken[1],
            probs=self.probs[last],
            sure_from=np.where(sure, self.since[of_sure], np.nan),
            changed_from=np.where(of_changed < count, self.since[np.minimum(of_changed, count - 1)], np.nan),
            exact=exact,
        )


def at_once(model: Model, columns: int) -> int:
    """How many points of a model are held at a time."""
    return max(1, _NUMBERS // max(columns, 16 * model.members))


def mean_probabilities(model: Model, points: np.ndarray) -> np.ndarray:
    """Probabilities at points, the mean over the members, ``(n, classes)``."""
    return model.at(torch.from_numpy(points).to(model.device)).mean(0).cpu().numpy()

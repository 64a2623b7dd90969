"""Whether a model does worse than a baseline says, beyond what is accepted, and beyond what chance explains.

Over the same rows nothing is drawn in between, and equal models have equal shares. Of two that differ the share of the new one
is larger by so many rows as have come beyond those that have gone; were it a coin's toss which, all of k would come one time in
2^k (the sign test, at its sharpest: files do not say which rows they were). Over rows that were drawn anew Fisher's exact
test (1935), one-sided, says how often so large a growth comes from drawing alone, and the level is divided by the number of
shares that are tested (Bonferroni): a model that is as good as the baseline's fails one time in a hundred at most, however many
columns and faults there are.
"""

from dataclasses import dataclass

from scipy.stats import hypergeom

from knowlimits.baseline.shares import PARTS, Counted, Share, Shares

#: How often chance alone may fail a model.
LEVEL = 0.01
# Shares that differ by so little are the same.
_SAME = 1e-9
# Lines of a table.
_SHOWN = 10


@dataclass(frozen=True)
class Pair:
    """A share of the baseline, and the one that is now.

    Attributes:
        words: what it is a share of.
        before, now: the shares.
        paired: whether they are of the same rows.
    """

    words: str
    before: Share
    now: Share
    paired: bool

    @property
    def growth(self) -> float:
        """How much larger it is now."""
        return self.now.value - self.before.value

    def by_chance(self) -> float:
        """The probability of so large a growth by chance alone, over the same rows at least."""
        if self.paired:
            return 0.5 ** max(0, self.now.rows - self.before.rows)
        rows = self.before.rows + self.now.rows
        return float(hypergeom.sf(self.now.rows - 1, self.before.of + self.now.of, rows, self.now.of))


@dataclass(frozen=True)
class AgainstBaseline:
    """What became of the shares of a baseline.

    Attributes:
        compared: the shares that both have.
        worse: those that have grown too much, the most first.
        unmatched: sentences on shares that one has and the other must have, too.
        left_aside: sentences on shares that one alone has because the data are others.
    """

    compared: tuple[Pair, ...]
    worse: tuple[Pair, ...]
    unmatched: tuple[str, ...]
    left_aside: tuple[str, ...]


def compare(before: Shares, now: Shares, tolerance: float) -> AgainstBaseline:
    """Compare the shares of an audit with those of a baseline.

    Args:
        before: of the baseline.
        now: of the audit.
        tolerance: how much a share may grow in any case.
    """
    pairs, unmatched, left_aside = [], [], []
    for part in (part for part in PARTS if part in before or part in now):
        old, new = (shares.get(part, Counted(None, {})) for shares in (before, now))
        paired = old.data is not None and old.data == new.data
        free = PARTS[part].comes_and_goes and not paired and part in before and part in now
        for shares, others, where in ((old, new, "the baseline has"), (new, old, "the audit has")):
            if alone := [name for name in shares.shares if name not in others.shares]:
                more = f", and {len(alone) - 3} more" if len(alone) > 3 else ""
                sentence = f"Only {where}: {PARTS[part].words} {', '.join(alone[:3])}{more}."
                (left_aside if free else unmatched).append(sentence)
        pairs += [
            Pair(f"{PARTS[part].words} {name}", share, new.shares[name], paired and share.of == new.shares[name].of)
            for name, share in old.shares.items()
            if name in new.shares
        ]
    tested = max(1, sum(not pair.paired for pair in pairs))
    worse = [
        pair
        for pair in pairs
        if pair.growth > tolerance + _SAME and pair.by_chance() < (LEVEL if pair.paired else LEVEL / tested)
    ]
    worse.sort(key=lambda pair: -pair.growth)
    return AgainstBaseline(tuple(pairs), tuple(worse), tuple(unmatched), tuple(left_aside))


def as_table(found: AgainstBaseline) -> list[str]:
    """The shares that got worse, as lines of a table: from, to, and by how much."""
    width = max(len(pair.words) for pair in found.worse[:_SHOWN])
    lines = [f"{'share of rows that':<{width}}  baseline      now   growth"]
    for pair in found.worse[:_SHOWN]:
        lines.append(f"{pair.words:<{width}}  {pair.before.value:8.1%} {pair.now.value:8.1%}  {pair.growth:+7.1%}")
    if len(found.worse) > _SHOWN:
        lines.append(f"and {len(found.worse) - _SHOWN} more")
    return lines

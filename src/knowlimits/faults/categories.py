"""A category that was never seen."""

from dataclasses import dataclass

import numpy as np

from knowlimits.faults.fault import Case, Fault, case
from knowlimits.faults.observed import Observed


@dataclass(frozen=True)
class UnseenCategory(Fault):
    """A category arrives that was never seen: a new ward, a new country, a spelling of its own."""

    def cases(self, observed: Observed) -> list[Case]:
        """One for each column that can have such a value.

        Raises:
            ValueError: if it was given a column that cannot.
        """
        can = ~np.isnan(observed.unseen)
        found = []
        for group in observed.groups(self.columns, self.axis, can):
            places = list(group.places)
            if not can[places].all() and self.columns is not None:
                raise ValueError(
                    f"UnseenCategory must have columns of categories. Got {group.quoted}, in which no value would be one that "
                    "was never seen."
                )

            def values(block: np.ndarray, rng: np.random.Generator, codes: np.ndarray = observed.unseen[places]) -> np.ndarray:
                return np.tile(codes, (len(block), 1))

            clause = f"{group.quoted} has a category that was never seen"
            found += case(self, observed, group, "a category never seen", clause, values)
        return found

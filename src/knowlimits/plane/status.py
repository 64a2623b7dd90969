"""By what the signs of the units of a partition were decided."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Status:
    """How many vertices took which arithmetic; all of them are proven, see docs/proven.md. `print` it for a sentence.

    A vertex counts once for each layer whose signs were in doubt there.

    Attributes:
        every_unit: whether bounds on rounding errors were those of each unit, or else one for all units of a vertex.
        doubled: vertices whose signs lay within the bounds, and were decided in floats of double length.
        integers: those that were decided in integers.
    """

    every_unit: bool = False
    doubled: int = 0
    integers: int = 0

    @property
    def resolved(self) -> int:
        """Vertices that had signs within the bounds on rounding errors."""
        return self.doubled + self.integers

    def with_more(self, vertices: int, integers: int) -> "Status":
        """With so many more vertices that were in doubt, and so many of them that took integers."""
        return replace(self, doubled=self.doubled + vertices - integers, integers=self.integers + integers)

    def and_of(self, other: "Status") -> "Status":
        """That of two parts together."""
        return Status(self.every_unit or other.every_unit, self.doubled + other.doubled, self.integers + other.integers)

    def __str__(self) -> str:
        bounds = "of each unit" if self.every_unit else "of each vertex"
        return (
            f"Every sign is proven: by a bound on the rounding errors {bounds}, but at {self.doubled:,} vertices by floats of "
            f"double length, and at {self.integers:,} by integers."
        )

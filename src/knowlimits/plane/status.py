"""How far what a partition says of its cells is proven."""

from enum import Enum


class Status(Enum):
    """How the signs of the units of a partition were decided; the value says it in a sentence."""

    PROVEN = (
        "Every sign lies beyond a bound on its rounding error or was decided in integers, and every vertex lies on an edge "
        "that is known exactly."
    )
    BOUNDED = (
        "Every sign lies beyond 8 times a bound on its rounding error or was decided in integers. The bound leaves out how far "
        "edges between computed vertices lie beside the true ones; the factor of 8 that stands for it is a heuristic, "
        "not proven."
    )

    def __str__(self) -> str:
        return f"{self.name.lower()}: {self.value}"

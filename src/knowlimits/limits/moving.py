"""Which columns of a table can grow without bound as a model takes them, and why others cannot."""

import numpy as np
import torch

from knowlimits.follow import UnsupportedOperation, follow
from knowlimits.model.model import Model
from knowlimits.model.stack import Stack
from knowlimits.model.steps import Moves

#: What is said of a column whose whole numbers choose something.
WHOLE_NUMBERS = "goes through whole numbers inside the model"


def moving_columns(model: Model, rows: np.ndarray) -> list[tuple[int, str]]:
    """For each column of a table its place, and why it cannot move; ``""`` for those that can.

    A column is held by steps that are no function of a number, such as encoders, and by modules in which its whole numbers
    choose something: a row of an embedding, say.

    Args:
        model: what takes the table.
        rows: of it, as `Model.points` makes them, ``(n, columns)``; one without gaps at least.
    """
    whys = [""] * rows.shape[1]
    if model.steps is not None:
        for place, column in enumerate(model.steps.columns):
            if column.levels is not None and column.why in ("", "no numbers"):
                whys[place] = "holds no numbers"
            elif column.moves is Moves.HELD:
                whys[place] = f"goes through {column.why}"
    free = np.array([place for place, why in enumerate(whys) if not why], dtype=int)
    for place in free[_held_inside(model, rows, free)]:
        whys[place] = WHOLE_NUMBERS
    return list(enumerate(whys))


def _held_inside(model: Model, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Which of some columns go through whole numbers inside the networks."""
    held = np.zeros(len(places), dtype=bool)
    networks = [network for network in model.networks if not isinstance(network, Stack)]
    if not len(places) or not networks:
        return held
    directions = np.eye(rows.shape[1])[places]
    row = rows[np.isfinite(rows).all(1)][:1]
    starts, steps, _ = model.along(torch.from_numpy(np.repeat(row, len(places), axis=0)), torch.from_numpy(directions))

    def refused(start: torch.Tensor, step: torch.Tensor) -> str:
        """The kind of the refusal of a ray, or ``""``."""
        with torch.no_grad(), model.threads(start.numel()):
            try:
                for network in networks:
                    follow(network, start[None], step[None])
            except UnsupportedOperation as error:
                return error.kind
        return ""

    # All at once, by steps that do not cancel; one by one only where that is refused.
    mixed = torch.rand(len(steps), dtype=torch.float64, generator=torch.Generator().manual_seed(0)) @ steps
    if refused(starts[0], mixed):
        held[:] = [refused(start, step) in ("codes", "steps") for start, step in zip(starts, steps, strict=True)]
    return held

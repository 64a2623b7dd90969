"""The shape of one input: what a model states of it, and what a person says."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from knowlimits.model.model import Model


def checked_shape(given: Any) -> tuple[int, ...]:
    """A shape of inputs of several axes that a person has given.

    Raises:
        ValueError: if it is none.
    """
    sizes = tuple(given) if isinstance(given, Sequence | np.ndarray) and not isinstance(given, str) else ()
    if len(sizes) < 2 or not all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n > 0 for n in sizes):
        raise ValueError(
            "input_shape must be the sizes of the axes of one input, two or more, as (21, 2); for rows of a table it is left "
            f"out. Got {given!r} instead."
        )
    return tuple(map(int, sizes))


def stated_shape(model: Any) -> tuple[int, ...] | None:
    """The shape of one input of several axes that a model states, as a file does; None where it does not, and for tables.

    A module of one's own may state it as `input_shape_`.
    """
    if isinstance(model, Model):
        return model.input_shape
    if isinstance(model, torch.export.ExportedProgram):
        sizes = program_shape(model)
    elif isinstance(model, list | tuple | nn.ModuleList | Mapping):
        members = model.values() if isinstance(model, Mapping) else model
        stated = {shape for shape in map(stated_shape, members) if shape is not None}
        # Members that differ are refused as they are read.
        return stated.pop() if len(stated) == 1 else None
    else:
        sizes = getattr(model, "input_shape_", None)
    return None if sizes is None or len(sizes) < 2 else checked_shape(sizes)


def program_shape(program: torch.export.ExportedProgram) -> tuple[int, ...] | None:
    """The shape of one input that a program was exported for; None where it has several, or leaves an axis open."""
    taken = [node.meta.get("val") for node in program.graph.nodes if node.name in program.graph_signature.user_inputs]
    if len(taken) != 1 or not isinstance(taken[0], Tensor) or not all(isinstance(size, int) for size in taken[0].shape[1:]):
        return None
    return tuple(taken[0].shape[1:])


def place_names(shape: tuple[int, ...]) -> list[str]:
    """What the places of one input are called as columns of a table: x[3, 1] is what ``X[:, 3, 1]`` has."""
    return [f"x[{', '.join(map(str, place))}]" for place in np.ndindex(*shape)]

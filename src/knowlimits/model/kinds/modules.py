"""Torch modules, and programs of `torch.export`."""

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn

from knowlimits._machine import are_small, one_thread
from knowlimits.model.arrays import as_points
from knowlimits.model.asked import Asked
from knowlimits.model.copies import copied, unwrapped
from knowlimits.model.endings import Outputs
from knowlimits.model.exported import with_linear_modules
from knowlimits.model.kinds.fitted import columns_of
from knowlimits.model.looking import drawn_rows, guessed_rows, look
from knowlimits.model.model import Model, check_numbers
from knowlimits.model.modes import check_mode
from knowlimits.model.network import takes_gaps
from knowlimits.model.proof import check_forward
from knowlimits.model.shapes import program_shape
from knowlimits.model.signature import Called
from knowlimits.model.stack import Stack
from knowlimits.options import chosen


def read_module(module: nn.Module, asked: Asked) -> Model:
    """A module: what it returns is found out by looking, unless it states that itself as `outputs_`."""
    name = type(module).__name__
    module = unwrapped(module)
    if not isinstance(module, Stack):
        check_mode(module)
    copy = asked.copies.get(id(module)) or copied([module])[0]
    check_numbers(copy)
    classes = getattr(module, "classes_", None)
    found = {"classes_": None if classes is None else np.asarray(classes), **columns_of(module)}
    if isinstance(copy, Stack):
        return Model(name, (copy,), **{**found, "n_features_in_": copy.n_features})
    if asked.inputs is not None or asked.output is not None:
        module, copy = (Called(one, asked.inputs, asked.output) for one in (module, copy))
    with one_thread(are_small([copy])):
        if asked.rows is None:
            rows = guessed_rows(copy, found["n_features_in_"])
        else:
            rows = as_points(asked.name, asked.rows, gaps=takes_gaps(module))
    stated = getattr(module, "outputs_", None)
    outputs = asked.outputs or (None if stated is None else chosen(Outputs, "outputs_ of the model", stated))
    with one_thread(are_small([copy], rows[0].numel())):
        network = look(copy, rows, outputs, asked.otherwise)
        check_forward(module, network, rows, said=outputs is not None or asked.otherwise is not None)
    if rows.ndim == 2:
        found["n_features_in_"] = rows.shape[1]
    # What is said about inputs and outputs by their names makes another function of it.
    if (file := getattr(module, "file_", None)) is not None:
        found["files"] = (dataclasses.replace(file, outputs=str(network.outputs)),)
    return Model(name, (network,), **found)


def read_program(program: torch.export.ExportedProgram, asked: Asked) -> Model:
    """A program, as a module that has layers."""
    if asked.rows is None:
        asked = dataclasses.replace(asked, rows=_own_rows(program))
    return dataclasses.replace(read_module(with_linear_modules(program), asked), name=type(program).__name__)


def _own_rows(program: torch.export.ExportedProgram) -> Tensor | None:
    """Drawn rows of the shape that a program was exported for."""
    shape = program_shape(program)
    return None if shape is None else drawn_rows(shape)

"""Torch modules as ONNX, by torch's own exporter (the package onnxscript)."""

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from knowlimits.files.export.graph import OPSET, Draft
from knowlimits.model.arrays import first_line
from knowlimits.model.network import Network, as_probabilities

# What `Probabilities` calls its input.
INPUT = "X"
# Rows that a module is exported with; 1 and 0 would count as fixed.
_ROWS = 3


class Probabilities(nn.Module):
    """The mean over a network's members, ``(n, ...) -> (n, classes)`` of rows in float64, in operations that export."""

    def __init__(self, network: Network, single: bool):
        super().__init__()
        self.network, self.single = network, single

    def forward(self, X: Tensor) -> Tensor:
        """Compute in the module's own precision."""
        network = self.network
        returned = network.axes.arranged(network.module(X.float() if self.single else X))
        p = network.spread(as_probabilities(returned, network.outputs).double())
        return p[0] if network.members == 1 else p.mean(0)


def as_exported(network: Network, single: bool) -> Probabilities:
    """A copy of a network, in float32 if `single`, that computes what its export does."""
    own = copy.deepcopy(network)
    return Probabilities(own.float() if single else own.double(), single).eval()


def module_probabilities(draft: Draft, x: str, network: Network, shape: Sequence[int], single: bool) -> str:
    """The mean over a network's members, ``(N, classes)`` in float64.

    Args:
        draft: of the graph.
        x: name of the rows, ``(N, ...)`` in float64.
        network: of a torch module.
        shape: of one row.
        single: whether the module computes in float32, as most do.

    Raises:
        ImportError: if the package onnxscript is not installed.
        ValueError: if it cannot be exported.
    """
    return draft.take_in(_exported(as_exported(network, single), shape, type(network.brought).__name__), {INPUT: x})[0]


def _exported(module: nn.Module, shape: Sequence[int], name: str) -> Any:
    """The ``ModelProto`` of a module, whose first axis is free."""
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise ImportError(f"exporting {name} needs the package onnxscript: pip install 'know-your-limits[export]'") from None
    from onnx import inliner

    rows = torch.randn(_ROWS, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    try:
        with _quiet(), torch.no_grad():
            free = {INPUT: {0: torch.export.Dim("N")}}
            program = torch.export.export(module, (rows,), dynamic_shapes=free, strict=False)
            found = torch.onnx.export(program, dynamo=True, opset_version=OPSET, input_names=[INPUT], verbose=False).model_proto  # type: ignore
    except Exception as error:
        # Whatever a person's module, and an exporter that goes through all of it, may raise.
        raise ValueError(
            f"model must be one that torch.onnx.export takes, with any number of rows. Got {name}, of which it says: "
            f"{_said(error)}. Leave out of its forward what hangs on values or on the number of rows, or write its logits with "
            "operations that torch.export follows."
        ) from error
    return inliner.inline_local_functions(found) if found.functions else found


def _said(error: BaseException) -> str:
    """What lies behind an error in one line: exporters wrap what they meet."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = first_line(error) if isinstance(error, Exception) else ""  # type: ignore[arg-type]
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch's exporter warns of itself, and logs what it lacks."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

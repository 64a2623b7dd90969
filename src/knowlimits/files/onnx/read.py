"""Classifiers in ONNX files, as torch modules that return logits.

Nothing of a file runs but the operators of `table.py`, which are functions of our own.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from knowlimits.files.budget import Meter, Taken
from knowlimits.files.onnx.building import Building, Value
from knowlimits.files.onnx.convert import convert, errors_name
from knowlimits.files.onnx.graph import Graph, is_double, kind_of
from knowlimits.files.onnx.logits import find_logits
from knowlimits.files.onnx.places import slice_axes
from knowlimits.files.onnx.screen import screened
from knowlimits.files.onnx.sizes import allow
from knowlimits.follow.evaluator import Traced

# Bytes for a byte of a weight in the file, which become those of a copy in 64 bits.
_WIDEST = 8
# Inputs of the first evaluation, which says what one takes.
_FEW = 2


class ImportedModel(nn.Module):
    """A classifier from an ONNX file, in float64.

    Attributes:
        graph: the file's operators as a `torch.fx.GraphModule`.
        classes_: labels, if the file states them, else None.
        feature_names_in_: names of the features, if each is an input of its own in the file, else None.
        n_features_in_: number of features, or None for inputs of other shapes than ``(n, features)``.
        outputs_: "logits" where what made probabilities of them was left off, "probabilities" where they are named so and
            nothing could be left off; None where it is to be found out what it returns.
        gaps_: whether inputs may have gaps (nan), as what fills them or trees look at them first.
    """

    def __init__(
        self,
        graph: fx.GraphModule,
        name: str,
        classes: np.ndarray | None = None,
        feature_names: np.ndarray | None = None,
        n_features: int | None = None,
        outputs: str | None = None,
    ):
        super().__init__()
        self.graph = graph
        self.name = name
        self.classes_ = classes
        self.feature_names_in_ = feature_names
        self.n_features_in_ = n_features
        self.outputs_ = outputs
        self.gaps_ = False
        self._first: Taken | None = None
        self._known: set[tuple[int, ...]] = set()

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(n, classes)`` or ``(n, 1)`` of inputs ``(n, ...)``.

        Raises:
            ValueError: if the input does not fit, or operators of the file do not fit together.
        """
        # Without GraphModule's own call, which prints errors.
        if isinstance(x, Traced):
            return self._metered(x)
        x = x.to(torch.float64)
        with errors_name(self.name, f"cannot be evaluated for inputs of shape {tuple(x.shape)}: "):
            return self._metered(x)

    def _metered(self, x: Tensor) -> Tensor:
        """The same, of a shape that was evaluated before or under the budget."""
        shape = tuple(x.shape)
        if shape in self._known:
            return self.graph.forward(x)
        if self._first is None and shape[0] > _FEW:
            with torch.no_grad():
                self._metered(torch.zeros(_FEW, *shape[1:], dtype=torch.float64))
        with Meter(shape[0], self._first) as meter:
            out = self.graph.forward(x)
        self._first = self._first or meter.taken()
        self._known.add(shape)
        return out


def read_onnx(content: bytes, name: str = "model") -> ImportedModel:
    """The classifier in an ONNX file as a torch module in float64 that returns logits.

    A final Softmax, or Sigmoid of one number, is left off, and so is what only makes labels. The file must hold its weights
    itself, and have a dynamic first axis for the batch.

    Args:
        content: of the file.
        name: of the file, for messages.

    Raises:
        UnsupportedOperation: if the logits hang on an operator that cannot be converted.
        ValueError: if it is no valid ONNX file, or no classifier with logits.
        ImportError: if the package onnx is not installed.
    """
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise ImportError(f"reading {name} needs the package onnx: pip install 'know-your-limits[onnx]'") from None
    with errors_name(name):
        return _read(content, name)


def _read(content: bytes, name: str) -> ImportedModel:
    model, versions = screened(content)
    graph = Graph.of(model.graph, versions)
    head = find_logits(graph)
    building = Building(Meter(held=_WIDEST * len(content)))
    names, shape, values = _inputs(model.graph, building)
    module = convert(graph, head, building, values, {(f.domain, f.name) for f in model.functions})
    n_features = shape[0] if len(shape) == 1 and shape[0] else None
    imported = ImportedModel(module, name, head.classes, names, n_features, head.outputs).eval()
    _try_out(imported, shape)
    return imported


def _inputs(graph: Any, building: Building) -> tuple[np.ndarray | None, list[int], dict[str, Value]]:
    """Names of features, the shape of one input (0 for what is not stated), and values by name."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [i for i in graph.input if i.name not in weights]
    sizes = [_shape(i) for i in inputs]
    if not inputs:
        raise ValueError("it has no input")
    kinds = [kind_of(i.type.tensor_type.elem_type) for i in inputs]
    if not set(kinds) <= {"float", "int"}:
        raise ValueError("its inputs must be numbers: encode texts and truth values before the model")
    x = building.graph.placeholder("x")
    building.data.add(x)
    if len(inputs) == 1:
        nodes = [x]
    else:
        if any(size != [1] for size in sizes):
            raise ValueError("its inputs must be one tensor, or a column of shape (n, 1) for each feature")
        nodes = [building.call(slice_axes, x, [i], [i + 1], [1], None) for i in range(len(inputs))]
    building.integers.update(node for node, kind in zip(nodes, kinds, strict=True) if kind == "int")
    building.doubles.update(node for node, i in zip(nodes, inputs, strict=True) if is_double(i.type.tensor_type.elem_type))
    values: dict[str, Value] = {i.name: node for i, node in zip(inputs, nodes, strict=True)}
    if len(inputs) == 1:
        return None, sizes[0], values
    return np.array([i.name for i in inputs], dtype=object), [len(inputs)], values


def _shape(entry: Any) -> list[int]:
    """Sizes of an input's axes after the first, 0 for those that are not stated."""
    if entry.type.WhichOneof("value") != "tensor_type":
        raise ValueError(f"input {entry.name!r} must be a tensor")
    dims = entry.type.tensor_type.shape.dim
    if dims and dims[0].dim_value:
        raise ValueError(f"it takes batches of {dims[0].dim_value} only: export it with a dynamic batch axis")
    return [max(dim.dim_value, 0) for dim in dims[1:]]


def _try_out(imported: ImportedModel, shape: list[int]) -> None:
    """See with two inputs whether the module works, where their shape is known."""
    if not shape or 0 in shape:
        return
    x = torch.zeros(allow([_FEW, *shape]), dtype=torch.float64)
    with torch.no_grad():
        out = imported._metered(x)
        if out.ndim != 2 or out.shape[0] != _FEW or not out.is_floating_point():
            raise ValueError(f"its output must have shape (n, classes). Got {tuple(out.shape)} for n = {_FEW} instead")
        imported.gaps_ = _takes_gaps(imported, x)
    classes = max(out.shape[1], 2)
    if imported.classes_ is not None and len(imported.classes_) != classes:
        raise ValueError(f"it names {len(imported.classes_)} classes and has logits for {classes}")


def _takes_gaps(imported: ImportedModel, like: Tensor) -> bool:
    """Whether rows of nothing but gaps have an output that is a number."""
    try:
        return bool(imported._metered(torch.full_like(like, torch.nan)).isfinite().all())
    except (ValueError, ArithmeticError):
        # Families may refuse what is no number.
        return False

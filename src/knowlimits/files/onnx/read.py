"""Classifiers in ONNX files, as torch modules that return logits.

Nothing of a file runs but the operators of `table.py`, which are functions of our own.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from knowlimits.files.budget import Meter, Taken
from knowlimits.files.onnx.batch import freed, takes_one_only
from knowlimits.files.onnx.building import Building, Value
from knowlimits.files.onnx.convert import MISFITS, convert, errors_name
from knowlimits.files.onnx.dynamic import check_units
from knowlimits.files.onnx.graph import Graph, is_double, kind_of
from knowlimits.files.onnx.heads import find_head, taken_inputs
from knowlimits.files.onnx.logits import End, Head
from knowlimits.files.onnx.no_classifier import check_no_copy
from knowlimits.files.onnx.places import slice_axes
from knowlimits.files.onnx.rounding import rounded, without_last_rounding
from knowlimits.files.onnx.screen import screened
from knowlimits.files.onnx.sizes import allow
from knowlimits.files.onnx.tracing import shape_in_words
from knowlimits.follow.evaluator import Traced
from knowlimits.model.content import FileContent

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
        notes_: sentences on what is read otherwise than the file says.
        input_shape_: the shape of one input, if the file states all of it, else None.
        gaps_: whether inputs may have gaps (nan), as what fills them or trees look at them first.
        undone_: the operator that makes probabilities of what it returns in the file, such as "Softmax"; ``""`` for none.
        file_: the file, with weights that are beside it within; None for a module that comes of none.
    """

    def __init__(
        self,
        graph: fx.GraphModule,
        name: str,
        head: Head,
        feature_names: np.ndarray | None = None,
        n_features: int | None = None,
    ):
        super().__init__()
        self.graph = graph
        self.name = name
        self.classes_ = head.classes
        self.feature_names_in_ = feature_names
        self.n_features_in_ = n_features
        self.outputs_ = head.outputs
        self.undone_ = head.undone
        self.input_shape_: tuple[int, ...] | None = None
        self._taken = (head.name, head.picked, head.end is End.CLASSES)
        self._columns: int | None = None
        self.gaps_ = False
        self.notes_: tuple[str, ...] = ()
        self.file_: FileContent | None = None
        self._first: Taken | None = None
        self._known: set[tuple[int, ...]] = set()

    @property
    def value_(self) -> str:
        """The name of the value in the file that is the classifier."""
        return self._taken[0]

    @property
    def taken_(self) -> str:
        """What of the file was taken for the classifier, in words: a value by its name, and its columns if they are known."""
        name, picked, of_classes = self._taken
        # Of two classes one logit is returned.
        count = 2 if of_classes and self._columns == 1 else self._columns
        shape = "" if count is None else f" ({count} column{'' if count == 1 else 's'})"
        return f"value {name!r}{shape}, {picked}" if picked else f"output {name!r}{shape}"

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
        self._columns = out.shape[1] if out.ndim == 2 else 1
        self._known.add(shape)
        return out


def read_onnx(content: bytes, name: str = "model", output: str | None = None, *, folder: Path | None = None) -> ImportedModel:
    """The classifier in an ONNX file as a torch module in float64 that returns logits.

    A final Softmax, or Sigmoid of one number, is left off, and so is what only makes labels. Where the file takes a batch of
    fixed length, or one input without such an axis, the module takes any number of inputs, and each has the result that the
    file has for it alone.

    Args:
        content: of the file.
        name: of the file, for messages.
        output: name of the value that is the classifier, an output or one in between; told from the file without it.
        folder: of the file, where its weights may be in other files; without one it must hold them itself.

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
        return _read(content, name, output, folder)


def _read(content: bytes, name: str, output: str | None, folder: Path | None) -> ImportedModel:
    file = screened(content, folder)
    model = file.model
    # With all weights in one file, as they come to be in the model.
    whole = model.SerializeToString() if file.beside else content
    graph = without_last_rounding(Graph.of(model.graph, file.versions))
    check_units(graph)
    head = find_head(graph, output, model.producer_name)
    # What is in other files is held already.
    building = Building(
        Meter(held=_WIDEST * len(content) - file.beside), {name: tensor.data_type for name, tensor in graph.tensors.items()}
    )
    names, sizes, values = _inputs(taken_inputs(graph, head, model.graph.input), building)
    if output is None:
        check_no_copy(graph, head, math.prod(sizes[1:] or sizes))
    module = convert(graph, head, building, values, {(f.domain, f.name) for f in model.functions})

    def made(module: fx.GraphModule, shape: list[int]) -> ImportedModel:
        n_features = shape[0] if len(shape) == 1 and shape[0] else None
        imported = ImportedModel(module, name, head, names, n_features).eval()
        imported.notes_ = rounded(graph, model.graph)
        imported.input_shape_ = tuple(shape) if shape and 0 not in shape else None
        imported.file_ = FileContent(".onnx", whole, output)
        _try_out(imported, shape)
        return imported

    if sizes and (sizes[0] or len(sizes) == 1):
        return made(*freed(module, building, sizes))
    try:
        return made(module, sizes[1:])
    except MISFITS as error:
        if 0 in sizes[1:] or not takes_one_only(module, sizes[1:]):
            raise
        try:
            # The axis is free by its name alone.
            return made(*freed(module, building, [1, *sizes[1:]]))
        except MISFITS:
            raise error from None


def _inputs(inputs: list[Any], building: Building) -> tuple[np.ndarray | None, list[int], dict[str, Value]]:
    """Names of features, sizes of the input's axes (0 for what is not stated), and values by name."""
    if not inputs:
        raise ValueError("it has no input")
    sizes = [_shape(i) for i in inputs]
    kinds = [kind_of(i.type.tensor_type.elem_type) for i in inputs]
    if not set(kinds) <= {"float", "int"}:
        raise ValueError("its inputs must be numbers: encode texts and truth values before the model")
    x = building.graph.placeholder("x")
    building.data.add(x)
    if len(inputs) == 1:
        nodes = [x]
    else:
        if any(size != sizes[0] or size not in ([1], [*size[:1], 1]) for size in sizes):
            listed = ", ".join(f"{one.name!r} {shape_in_words(size)}" for one, size in zip(inputs, sizes, strict=True))
            raise ValueError(
                "its inputs must be one tensor, or a column of shape (n, 1) for each feature. Its classifier takes several, "
                f"{listed}: export it with one input that it takes apart itself, or with a state as a constant"
            )
        nodes = [building.call(slice_axes, x, [i], [i + 1], [-1], None) for i in range(len(inputs))]
    building.integers.update(node for node, kind in zip(nodes, kinds, strict=True) if kind == "int")
    building.doubles.update(node for node, i in zip(nodes, inputs, strict=True) if is_double(i.type.tensor_type.elem_type))
    values: dict[str, Value] = {i.name: node for i, node in zip(inputs, nodes, strict=True)}
    if len(inputs) == 1:
        return None, sizes[0], values
    return np.array([i.name for i in inputs], dtype=object), [*sizes[0][:-1], len(inputs)], values


def _shape(entry: Any) -> list[int]:
    """Sizes of an input's axes, 0 for those that are not stated."""
    if entry.type.WhichOneof("value") != "tensor_type":
        raise ValueError(f"input {entry.name!r} must be a tensor")
    return [max(dim.dim_value, 0) for dim in entry.type.tensor_type.shape.dim]


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

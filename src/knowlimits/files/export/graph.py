"""An ONNX graph that is being written, and one that is whole."""

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.model.tables import column, is_gap

#: Versions of operators and of the format: what onnxruntime has run since 1.14, and what torch's exporter writes by itself.
OPSET, ML_OPSET, IR_VERSION = 18, 3, 8
# The package has been imported before its modules, which do not import it in turn.
_VERSION: str = sys.modules[__name__.partition(".")[0]].__version__
#: The domain of operators that are no arithmetic.
ML = "ai.onnx.ml"
#: What outputs are called.
LABEL, PROBABILITIES = "label", "probabilities"
#: What a matrix of all columns is called, as an input.
MATRIX = "X"
#: What stands for a gap among texts, of which ONNX has none.
NO_TEXT = ""


class Draft:
    """Nodes and constants of a graph, whose values go by names.

    Args:
        taken: names that are taken.
        prefix: of all names that are made here.

    Attributes:
        nodes, tensors: of the graph.
        sets: versions of operators by their domains; those of a file whose operators are in the graph.
        ir_version: of the format.
    """

    def __init__(self, taken: Iterable[str] = (), prefix: str = ""):
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self.sets, self.ir_version = {"": OPSET, ML: ML_OPSET}, IR_VERSION
        self._taken, self._prefix = set(taken), prefix

    def name(self, wanted: str) -> str:
        """A name that is new here."""
        wanted = found = self._prefix + wanted
        count = 1
        while found in self._taken:
            count += 1
            found = f"{wanted}_{count}"
        self._taken.add(found)
        return found

    def constant(self, values: Any, name: str = "constant") -> str:
        """An array of numbers, truth values or texts."""
        from onnx import TensorProto, helper, numpy_helper

        array, name = np.asarray(values), self.name(name)
        if array.dtype.kind in "OU":
            texts: Any = [str(value).encode() for value in array.ravel().tolist()]
            self.tensors.append(helper.make_tensor(name, TensorProto.STRING, array.shape, texts))
        else:
            self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def call(self, operator: str, *inputs: str, domain: str = "", result: str | None = None, **attributes: Any) -> str:
        """The result of an operator.

        Args:
            operator: its name.
            inputs: names of values.
            domain: of the operator.
            result: what the result is to be called; a name is made without it.
            attributes: of the operator.
        """
        from onnx import helper

        found = self.name(operator.lower()) if result is None else result
        self.nodes.append(helper.make_node(operator, list(inputs), [found], domain=domain, **attributes))
        return found

    def cast(self, value: str, kind: str, result: str | None = None) -> str:
        """A value as another type, such as ``"DOUBLE"``."""
        from onnx import TensorProto

        return self.call("Cast", value, result=result, to=TensorProto.DataType.Value(kind))

    def take_in(self, model: Any, values: Mapping[str, str]) -> list[str]:
        """A whole graph as a part of this one.

        Args:
            model: its ``ModelProto``, without functions of its own.
            values: what is here for its inputs, by their names. Where it has as many, their order counts, as converters rename
                inputs whose names have spaces; else it has left some out.

        Returns:
            What its outputs are called here, in order.

        Raises:
            ValueError: if it has an input of another name.
        """
        from onnx import compose

        graph = compose.add_prefix_graph(model.graph, self.name("part") + "/")
        names = [entry.name for entry in model.graph.input]
        if len(names) < len(values) and not set(names) <= set(values):
            raise ValueError(f"columns are called {names}, and which of {list(values)} these are cannot be told: rename them")
        given = values.values() if len(names) == len(values) else [values[name] for name in names]
        for entry, here in zip(graph.input, given, strict=True):
            self.call("Identity", here, result=entry.name)
        self.nodes += graph.node
        self.tensors += graph.initializer
        return [entry.name for entry in graph.output]


@dataclass(frozen=True)
class GraphInput:
    """An input of a graph.

    Attributes:
        name: of it.
        shape: of one row in it: ``(columns,)`` for a matrix, ``(1,)`` for a column of a table.
        text: whether it takes texts, and not numbers in float64.
    """

    name: str
    shape: tuple[int, ...]
    text: bool = False


@dataclass(frozen=True, eq=False)
class Exported:
    """A classifier as an ONNX graph.

    Attributes:
        name: of the class of what was exported.
        inputs: of the graph: one for each column of a table, in order, or one for all.
        table: whether each column is an input.
        nodes, tensors: of the graph.
        probabilities: what the model's probabilities are called in it, in float64, ``(N, classes)``; as an output it has them
            in float32 under `PROBABILITIES`.
        label: what the model's label is called, ``(N,)``, texts or whole numbers.
        classes: labels of the classes, as the model has them.
        label_kind: the type of the label in ONNX, ``"INT64"`` or ``"STRING"``.
        beside: what else the model gives for each row: its name as an output, its type in ONNX, and what it is called.
        sets, ir_version: as a `Draft` has them.
    """

    name: str
    inputs: tuple[GraphInput, ...]
    table: bool
    nodes: tuple[Any, ...]
    tensors: tuple[Any, ...]
    probabilities: str
    label: str
    classes: np.ndarray
    label_kind: str
    beside: tuple[tuple[str, str, str], ...] = ()
    sets: tuple[tuple[str, int], ...] = (("", OPSET), (ML, ML_OPSET))
    ir_version: int = IR_VERSION

    def draft(self) -> Draft:
        """The graph, to be written on: of all nodes and constants, with outputs still to be named."""
        taken = {entry.name for entry in self.inputs} | {tensor.name for tensor in self.tensors} | {LABEL, PROBABILITIES}
        draft = Draft(taken | {name for node in self.nodes for name in (*node.input, *node.output)})
        draft.nodes += self.nodes
        draft.tensors += self.tensors
        draft.sets, draft.ir_version = dict(self.sets), self.ir_version
        return draft

    def matrix(self, draft: Draft) -> str:
        """All columns of numbers in float64 as one value of a draft, ``(N, columns)``, those with text left out."""
        numbers = [entry.name for entry in self.inputs if not entry.text]
        return draft.call("Concat", *numbers, axis=1) if len(numbers) > 1 else numbers[0]

    def feeds(self, X: Any) -> dict[str, np.ndarray]:
        """Rows as the graph takes them, by the names of its inputs."""
        if not self.table:
            return {self.inputs[0].name: np.asarray(X, dtype=np.float64)}
        return {entry.name: fed(column(X, place), entry.text)[:, None] for place, entry in enumerate(self.inputs)}

    def model(self) -> Any:
        """The ``ModelProto`` of the model alone, with the outputs `LABEL` and `PROBABILITIES`."""
        draft = self.draft()
        draft.call("Identity", self.label, result=LABEL)
        draft.cast(self.probabilities, "FLOAT", result=PROBABILITIES)
        outputs: dict[str, tuple[str, tuple[int, ...]]] = {
            LABEL: (self.label_kind, ()),
            PROBABILITIES: ("FLOAT", (len(self.classes),)),
        }
        for name, kind, value in self.beside:
            draft.call("Identity", value, result=name)
            outputs[name] = (kind, ())
        return self.whole(draft, outputs)

    def whole(
        self,
        draft: Draft,
        outputs: dict[str, tuple[str, tuple[int, ...]]],
        about: dict[str, str] | None = None,
    ) -> Any:
        """A ``ModelProto``.

        Args:
            draft: all nodes and constants.
            outputs: by name the type in ONNX and the shape of one row.
            about: what else the file is to say of itself, by key.
        """
        from onnx import TensorProto, helper

        def entry(name: str, kind: str, shape: tuple[int, ...]) -> Any:
            return helper.make_tensor_value_info(name, TensorProto.DataType.Value(kind), ["N", *shape])

        graph = helper.make_graph(
            draft.nodes,
            "classifier",
            [entry(one.name, "STRING" if one.text else "DOUBLE", one.shape) for one in self.inputs],
            [entry(name, *kind) for name, kind in outputs.items()],
            draft.tensors,
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in draft.sets.items()]
        found = helper.make_model(
            graph,
            producer_name="knowlimits",
            producer_version=_VERSION,
            ir_version=draft.ir_version,
            opset_imports=opsets,
            doc_string=f"{self.name}, exported by knowlimits {_VERSION}. Gaps: nan among numbers, {NO_TEXT!r} among texts.",
        )
        said = {"knowlimits": _VERSION, "model": self.name, "classes": json.dumps([plain(one) for one in self.classes])}
        if self.table:
            said["columns"] = json.dumps([one.name for one in self.inputs])
        helper.set_model_props(found, said | (about or {}))
        return found

    def renamed(self, name: str) -> "Exported":
        """The same under another name of its class."""
        return dataclasses.replace(self, name=name)


def fed(values: np.ndarray, text: bool) -> np.ndarray:
    """A column as an input takes it, ``(n,)``."""
    if text:
        return np.array([NO_TEXT if is_gap(value) else str(value) for value in values.tolist()], dtype=object)
    if values.dtype.kind in "iufb":
        return values.astype(np.float64)
    return np.array([np.nan if is_gap(value) else value for value in values.tolist()], dtype=np.float64)


def plain(label: Any) -> Any:
    """A label as JSON has it."""
    return label.item() if isinstance(label, np.generic) else label


def label_constant(classes: np.ndarray) -> tuple[np.ndarray, str]:
    """Labels as ONNX has them, and their type in it: texts, or whole numbers, also of truth values and of 0.0 and 1.0.

    Raises:
        ValueError: for others.
    """
    values = [plain(one) for one in np.asarray(classes).tolist()]
    if all(isinstance(one, str) for one in values):
        return np.array(values, dtype=object), "STRING"
    whole = all(isinstance(one, bool | int | float) and float(one).is_integer() and abs(one) < 2**63 for one in values)
    if not whole:
        raise ValueError(
            f"model must have labels that are texts or whole numbers, which ONNX knows. Got {values[:4]}: fit it to such."
        )
    return np.array([int(one) for one in values], dtype=np.int64), "INT64"

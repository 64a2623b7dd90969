"""How skl2onnx writes guards and the classifiers of this library, alone and as steps of a Pipeline.

skl2onnx asks an estimator that it does not know for its parser, its shape calculator and its converter, by methods that ours
have (`knowlimits.model.convertible`). These are here, and they are entered in skl2onnx's own tables at the first question, as
only what is there may have options and be a part of a search or a vote.

Operators are of the set that `knowlimits.export` writes, at least. Probabilities are always a matrix: the option `zipmap` may
be given, and makes no dictionaries.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from knowlimits.files.export.drawn import probabilities
from knowlimits.files.export.encoders import add
from knowlimits.files.export.estimators import as_written, likeliest
from knowlimits.files.export.export import exported
from knowlimits.files.export.gate import Blend, Feed, Gated, as_double, column, gate, side_by_side
from knowlimits.files.export.graph import LABEL, PROBABILITIES, Draft, label_constant
from knowlimits.files.export.guarded import ACCEPTED, UNFAMILIARITY, guarded, rows_for
from knowlimits.ood.remedies.guard import Guard
from knowlimits.train.classifiers import (
    AnchoredEnsemble,
    BayesByBackprop,
    Ensemble,
    MCDropout,
    NeuralNetwork,
    PlattScaled,
)

_CLASSES = (Guard, AnchoredEnsemble, BayesByBackprop, Ensemble, MCDropout, NeuralNetwork, PlattScaled)
_OPTIONS = {"zipmap": [True, False]}


def parser_of(model: Any) -> Callable:
    """What says of an estimator how many outputs it has, as skl2onnx asks an estimator for it."""
    _register()
    return lambda scope, inputs: _outputs(scope, model)


@functools.cache
def _register() -> None:
    """Enter the classes in skl2onnx's tables."""
    from skl2onnx import update_registered_converter

    for kind in _CLASSES:
        alias = f"KnowLimits{kind.__name__}"
        update_registered_converter(kind, alias, shape, convert, parser=_parsed_as(alias), options=_OPTIONS)


def _parsed_as(alias: str) -> Callable:
    def parse(scope: Any, model: Any, inputs: Sequence[Any], custom_parsers: Any = None) -> list[Any]:
        operator = scope.declare_local_operator(alias, model)
        operator.inputs = inputs
        for output in _outputs(scope, model):
            operator.outputs.append(output)
        return operator.outputs

    return parse


def _outputs(scope: Any, model: Any) -> list[Any]:
    """Variables for what an estimator gives; `shape` says what they are."""
    from skl2onnx.common.data_types import BooleanTensorType, FloatTensorType, Int64TensorType

    names = [(LABEL, Int64TensorType()), (PROBABILITIES, FloatTensorType())]
    if isinstance(model, Guard):
        names += [(UNFAMILIARITY, FloatTensorType()), (ACCEPTED, BooleanTensorType())]
    return [scope.declare_local_variable(name, kind) for name, kind in names]


def shape(operator: Any) -> None:
    """Say of the outputs of an operator what they are."""
    from skl2onnx.common.data_types import (
        BooleanTensorType,
        DoubleTensorType,
        FloatTensorType,
        Int64TensorType,
        StringTensorType,
    )

    model, rows = operator.raw_operator, operator.inputs[0].type.shape[0]
    text = label_constant(model.classes_)[1] == "STRING"
    kinds = [
        (StringTensorType if text else Int64TensorType)([rows]),
        (DoubleTensorType if _in_double(operator) else FloatTensorType)([rows, len(model.classes_)]),
        FloatTensorType([rows]),
        BooleanTensorType([rows]),
    ]
    for output, kind in zip(operator.outputs, kinds, strict=False):
        output.type = kind


def convert(scope: Any, operator: Any, container: Any) -> None:
    """Write an estimator."""
    model = operator.raw_operator
    draft = Draft(prefix=scope.get_unique_variable_name(type(model).__name__) + "/")
    feeds = _feeds(draft, operator)
    # A search or a vote asks for a label and probabilities alone.
    names = [output.full_name for output in operator.outputs]
    names += [draft.name(name) for name in (UNFAMILIARITY, ACCEPTED)[len(names) - 2 :]]
    probs = draft.name(PROBABILITIES) if _in_double(operator) else names[1]
    if isinstance(model, Guard):
        _guard(draft, feeds, model, names[0], Gated(probs, *names[2:]))
    else:
        p = probabilities(draft, side_by_side(draft, feeds), as_written(model), (model.n_features_in_,))
        likeliest(draft, p, model.classes_, result=names[0])
        draft.cast(p, "FLOAT", result=probs)
    if probs != names[1]:
        draft.cast(probs, "DOUBLE", result=names[1])
    add(container, draft)


def _guard(draft: Draft, feeds: list[Feed], guard: Guard, label: str, gated: Gated) -> None:
    """Write a guard: its model, as `knowlimits.export` has it, and the gate."""
    rows = rows_for(guard, None)
    part = exported(guard.model, rows, outputs=guard.outputs)
    guarded(guard, part, rows)
    if part.table and len(part.inputs) == len(feeds):
        values = [_as_taken(draft, feed, one.name, one.text) for feed, one in zip(feeds, part.inputs, strict=True)]
    else:
        values = [side_by_side(draft, feeds)]
        if len(part.inputs[0].shape) > 1:
            values = [draft.call("Reshape", values[0], draft.constant(np.array([0, *part.inputs[0].shape])))]
    own, probs = draft.take_in(part.model(), {one.name: value for one, value in zip(part.inputs, values, strict=True)})
    draft.call("Identity", own, result=label)
    blend = Blend(draft.cast(probs, "DOUBLE"), len(guard.classes_), guard.shift_, guard.threshold_)
    gate(draft, feeds, guard.columns_, guard.ratio_, blend, gated)


def _as_taken(draft: Draft, feed: Feed, name: str, text: bool) -> str:
    """Cells of a column as the graph of a guard's model takes them."""
    if feed.text != text:
        raise ValueError(
            f"the input of column {name!r} must be of {'texts' if text else 'numbers'}, as the model takes it. Got "
            f"{'texts' if feed.text else 'numbers'} instead."
        )
    value = column(draft, feed)
    return value if text else as_double(draft, value, feed.element)


def _in_double(operator: Any) -> bool:
    from skl2onnx.common.data_types import DoubleTensorType

    return any(isinstance(one.type, DoubleTensorType) for one in operator.inputs)


def _feeds(draft: Draft, operator: Any) -> list[Feed]:
    """Where the columns of an operator are among its inputs."""
    from skl2onnx.common.data_types import (
        BooleanTensorType,
        DoubleTensorType,
        FloatTensorType,
        Int32TensorType,
        Int64TensorType,
        StringTensorType,
    )

    elements = {
        FloatTensorType: np.float32,
        DoubleTensorType: np.float64,
        Int64TensorType: np.int64,
        Int32TensorType: np.int32,
        BooleanTensorType: np.bool_,
        StringTensorType: np.object_,
    }
    feeds = []
    for one in operator.inputs:
        if type(one.type) not in elements:
            raise ValueError(f"inputs must be numbers, truth values or texts. Got {type(one.type).__name__} instead.")
        sizes = list(one.type.shape[1:])
        if len(operator.inputs) == 1:
            # Steps before need not say how many columns they give.
            width = operator.raw_operator.n_features_in_
        else:
            width = math.prod(sizes) if sizes and None not in sizes else 1
        value = one.full_name if len(sizes) <= 1 else draft.call("Flatten", one.full_name, axis=1)
        feeds += [Feed(value, np.dtype(elements[type(one.type)]), place, width) for place in range(width)]
    return feeds

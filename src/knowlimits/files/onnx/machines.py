"""Support vector machines of the domain ai.onnx.ml, as the family of them.

The operator is LIBSVM's (see the family); its decisions between pairs of classes are positive for the first, as there.
"""

from typing import Any

import numpy as np
import torch
from torch import fx

from knowlimits.files.onnx.arithmetic import cast
from knowlimits.files.onnx.building import Operation, Operator
from knowlimits.files.onnx.graph import Node
from knowlimits.files.onnx.sizes import allow
from knowlimits.follow import UnsupportedOperation
from knowlimits.model.families.machines import Kernel, Machine
from knowlimits.model.families.support_vectors import SupportVectors

_KERNELS = {"LINEAR": Kernel.LINEAR, "POLY": Kernel.POLYNOMIAL, "RBF": Kernel.RADIAL, "SIGMOID": Kernel.SIGMOID}
# Probabilities of all pairs are coupled in steps of as many products as there are classes, squared.
_MOST_CLASSES = 200
# Powers beyond are those of no kernel that anybody fits.
_MOST_DEGREE = 20


def _classified(o: Operation) -> list[Any]:
    family = _family(o.node)
    x = o.call(cast, *o.take(1), "float")
    # Labels jump, and have no counterpart.
    return [None, o.building.call_module(family, x) if isinstance(x, fx.Node) else o.call(family, x)]


def _family(node: Node) -> SupportVectors:
    classes = len(node.value("classlabels_ints") or node.value("classlabels_strings") or [])
    a, b = (_numbers(node, f"prob_{side}") for side in "ab")
    counts = np.array(node.integers("vectors_per_class") or [], dtype=np.int64)
    if not len(counts) or not len(a):
        raise UnsupportedOperation(
            "it has decisions and no probabilities: export a classifier that has these, such as a calibration of it"
        )
    if node.get("post_transform", "NONE") != "NONE":
        raise UnsupportedOperation(f"post_transform must be NONE. Got {node.get('post_transform', 'NONE')} instead")
    if not 2 <= classes <= _MOST_CLASSES:
        raise UnsupportedOperation(f"it must tell 2 to {_MOST_CLASSES} classes apart. Got {classes} instead")
    pairs, vectors = classes * (classes - 1) // 2, int(counts.sum())
    rho, coefficients, support = _numbers(node, "rho"), _numbers(node, "coefficients"), _numbers(node, "support_vectors")
    sizes = len(a), len(b), len(rho), len(coefficients), len(counts)
    if sizes != (pairs, pairs, pairs, (classes - 1) * vectors, classes) or counts.min() < 0 or vectors == 0:
        raise ValueError(f"the lists of its numbers do not fit {classes} classes with {counts.tolist()[:10]} support vectors")
    if not len(support) or len(support) % vectors:
        raise ValueError(f"{len(support)} numbers do not make {vectors} support vectors")
    kernel, gamma, coef0, degree = _kernel(node)
    # Of a support vector of class i there is a number for each other class, in their order.
    given = coefficients.reshape(classes - 1, vectors)
    ends = np.cumsum(counts)
    rows = [slice(end - count, end) for end, count in zip(ends.tolist(), counts.tolist(), strict=True)]
    weights = np.zeros(allow([vectors, pairs]))
    for pair, (i, j) in enumerate(zip(*(side.tolist() for side in np.triu_indices(classes, 1)), strict=True)):
        weights[rows[i], pair], weights[rows[j], pair] = given[j - 1, rows[i]], given[i, rows[j]]
    machine = Machine(kernel, support.reshape(vectors, -1), weights, rho, gamma, coef0, degree)
    return SupportVectors(machine, a, b, classes)


def _kernel(node: Node) -> tuple[Kernel, float, float, int]:
    """The kernel, its gamma, what is added to products, and the power that they are raised to."""
    name, numbers = node.get("kernel_type", "LINEAR"), _numbers(node, "kernel_params")
    if name not in _KERNELS:
        raise ValueError(f"kernel_type must be one of {', '.join(_KERNELS)}. Got {name} instead")
    kernel = _KERNELS[name]
    if kernel is Kernel.LINEAR:
        return kernel, 1.0, 0.0, 1
    if len(numbers) != 3 or numbers[0] < 0:
        raise ValueError(f"kernel_params must be gamma, at least 0, coef0 and a degree. Got {numbers.tolist()[:10]} instead")
    gamma, coef0, degree = numbers.tolist()
    if kernel is not Kernel.POLYNOMIAL:
        return kernel, gamma, coef0, 1
    if not degree.is_integer() or not 1 <= degree <= _MOST_DEGREE:
        raise UnsupportedOperation(f"its degree must be a whole number from 1 to {_MOST_DEGREE}. Got {degree} instead")
    return kernel, gamma, coef0, int(degree)


def _numbers(node: Node, name: str) -> np.ndarray:
    values = node.numbers(name)
    if values is None:
        return np.empty(0)
    if not bool(torch.isfinite(values).all()):
        raise ValueError(f"{name} must be finite numbers")
    return values.numpy()


TABLE = {"SVMClassifier": Operator(_classified, takes_integers=True)}

"""scikit-learn's support vector classifiers, SVC and NuSVC, which are LIBSVM's."""

from typing import Any

import numpy as np
from torch import nn

from knowlimits.model.asked import Asked
from knowlimits.model.families.machines import Kernel, Machine
from knowlimits.model.families.polynomials import Itself, Polynomials
from knowlimits.model.families.support_vectors import Decisions, SupportVectors, Votes
from knowlimits.model.kinds.families import read_family
from knowlimits.model.kinds.fitted import about, check_fitted, proven
from knowlimits.model.kinds.refused import refused
from knowlimits.model.model import Model, linear
from knowlimits.model.network import Network


def read_support_vectors(model: Any, asked: Asked) -> Model:
    """Probabilities by Platt's sigmoids where it was fitted with them, or its decision function where that will do.

    Raises:
        ValueError: if it is not fitted, has no probabilities where these are asked for, or lost a class to weights of 0.
        TypeError: if its kernel is a person's own.
    """
    check_fitted(model, "support_vectors_", "dual_coef_", "classes_")
    machine, classes = machine_of(model), len(model.classes_)
    decision = decision_of(model, machine)
    if not hasattr(model, "predict_proba"):
        if not asked.decision:
            raise ValueError(
                f"model must have probabilities. Got {type(model).__name__} without: fit a CalibratedClassifierCV of it, with "
                "ensemble=False, or set probability=True in versions of scikit-learn that have it."
            )
        network = Network(decision, decision=decision)
        return proven(Model(type(model).__name__, (network,), own=model, **about(model)), model, asked)
    a, b = sigmoids_of(model)
    if len(a) != classes * (classes - 1) // 2:
        raise ValueError(
            f"model must be fitted with probability=True to have probabilities. Got {type(model).__name__} in which that was "
            "set later: call fit again."
        )
    return read_family(model, SupportVectors(machine, a, b, classes), asked, decision, own=model)


def machine_of(model: Any) -> Machine:
    """Decisions of all pairs of classes, positive for the first."""
    if model.kernel not in list(Kernel):
        said = model.kernel if isinstance(model.kernel, str) else "a function"
        raise TypeError(
            f"kernel must be one of {', '.join(Kernel)}. Got {said} in {type(model).__name__}, of which it is not known where "
            "it ends."
        )
    classes, per_class = len(model.classes_), np.asarray(model.n_support_)
    if len(per_class) != classes:
        raise ValueError(
            f"model must have seen all of its {classes} classes. Got {type(model).__name__} that saw rows of {len(per_class)}, "
            "as the others had weights of 0: fit it without these."
        )
    vectors, duals = _dense(model.support_vectors_), _dense(model.dual_coef_)
    # With two classes scikit-learn turns the signs round.
    way = -1.0 if classes == 2 else 1.0
    ends = np.cumsum(per_class)
    rows = [slice(end - count, end) for end, count in zip(ends.tolist(), per_class.tolist(), strict=True)]
    first, second = np.triu_indices(classes, 1)
    weights = np.zeros((len(vectors), len(first)))
    for pair, (i, j) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        # Of a support vector of class i there is a number for each other class, in their order.
        weights[rows[i], pair], weights[rows[j], pair] = way * duals[j - 1, rows[i]], way * duals[i, rows[j]]
    shift = way * np.asarray(model.intercept_, dtype=np.float64)
    return Machine(Kernel(model.kernel), vectors, weights, shift, _gamma(model), model.coef0, model.degree)


def decision_of(model: Any, machine: Machine) -> nn.Module:
    """What scikit-learn calls the decision function: of two classes one column, positive for the second."""
    classes = len(model.classes_)
    if classes > 2 and model.decision_function_shape == "ovr":
        return Votes(machine, classes)
    decisions = machine.mixed((-1 if classes == 2 else 1) * np.eye(len(machine.shift), dtype=int))
    if decisions.affine is not None:
        return linear(*decisions.affine)
    return Decisions(decisions) if machine.fades else Polynomials(decisions, Itself())


def _dense(values: Any) -> np.ndarray:
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values, dtype=np.float64)


def _gamma(model: Any) -> float:
    """The number that `gamma` came to; scikit-learn has no public name for it."""
    return float(model._gamma)


def sigmoids_of(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """A and B of all pairs; `probA_` and `probB_` warn, and will be gone."""
    return np.asarray(model._probA, dtype=np.float64), np.asarray(model._probB, dtype=np.float64)


#: By the names of classes in the registry.
SUPPORT_VECTORS = {
    "sklearn.SVC": read_support_vectors,
    "sklearn.NuSVC": read_support_vectors,
    "sklearn.OneClassSVM": refused("which tells outliers from the rest, without classes"),
}

"""scikit-learn's StackingClassifier: a classifier of what others say."""

from typing import Any

from knowlimits.model.asked import Asked
from knowlimits.model.composed import Answer, SideBySide
from knowlimits.model.kinds.fitted import about, check_fitted, proven, some
from knowlimits.model.kinds.parts import answers, behind, fitted_parts, named_in, on_same_inputs, read_part
from knowlimits.model.model import Model


def read_stacking(model: Any, asked: Asked) -> Model:
    """The final estimator behind what the others say, and behind the columns themselves if these pass through.

    Raises:
        ValueError: if it is not fitted, or if labels are stacked.
    """
    check_fitted(model, "estimators_", "final_estimator_", "stack_method_")
    found = about(model)
    named = fitted_parts(model)
    parts = [
        read_part(asked, model, f"part {name!r}", estimator, asked.rows, decision=method == "decision_function")
        for (_, name, estimator), method in zip(named, model.stack_method_, strict=True)
    ]
    for (_, name, _), method in zip(named, model.stack_method_, strict=True):
        if method not in ("predict_proba", "decision_function"):
            raise ValueError(
                f"model must stack probabilities. Got {type(model).__name__} that stacks the labels of {name!r} "
                f"(stack_method {method!r}), which jump: fit it with stack_method='predict_proba'."
            )
    steps, networks, itself = on_same_inputs(parts, asked, found, itself=model.passthrough)
    probabilities = Answer.LAST if len(found["classes_"]) == 2 else Answer.PROBABILITIES
    each = [
        answers(part, own, Answer.SCORES if method == "decision_function" else probabilities)
        for part, own, method in zip(parts, networks, model.stack_method_, strict=True)
    ]
    table = SideBySide([*each, itself] if model.passthrough else each)
    rows = None if asked.rows is None else model.transform(some(asked.rows))
    final = read_part(asked, model, "final_estimator_", model.final_estimator_, rows)
    with named_in(model, "final_estimator_"):
        final = final.straight()
    inner = tuple(behind(table, network) for network in final.networks)
    own = None if final.own is None else model
    return proven(Model(type(model).__name__, inner, steps, own=own, **found), model, asked)

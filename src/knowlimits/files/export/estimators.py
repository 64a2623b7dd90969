"""scikit-learn's classifiers and pipelines as ONNX, by skl2onnx.

Where skl2onnx would be less exact, or wrong without a word, steps are written here: trees of any library and the classifiers of
this one as `drawn.py` has them, imputers in float64 and of texts, and labels behind a threshold.
"""

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from knowlimits.files.export.drawn import is_drawn, probabilities
from knowlimits.files.export.encoders import add, encoders
from knowlimits.files.export.graph import ML_OPSET, OPSET, Draft, GraphInput, label_constant
from knowlimits.model.chains import is_identity
from knowlimits.model.model import Model
from knowlimits.model.read import read

# Classifiers that are read as trees, a stack or plain layers, by the module that has them, so that none is imported for it.
CLOSED = {
    "sklearn.tree": ("DecisionTreeClassifier", "ExtraTreeClassifier"),
    "sklearn.ensemble": (
        "RandomForestClassifier",
        "ExtraTreesClassifier",
        "GradientBoostingClassifier",
        "HistGradientBoostingClassifier",
        "AdaBoostClassifier",
    ),
    "xgboost": ("XGBClassifier", "XGBRFClassifier"),
    "lightgbm": ("LGBMClassifier",),
    "catboost": ("CatBoostClassifier",),
    "sklearn.linear_model": ("LogisticRegression", "LogisticRegressionCV"),
    "sklearn.discriminant_analysis": ("LinearDiscriminantAnalysis",),
    "sklearn.neural_network": ("MLPClassifier",),
    "knowlimits.train.classifiers": (
        "NeuralNetwork",
        "PlattScaled",
        "MCDropout",
        "BayesByBackprop",
        "Ensemble",
        "AnchoredEnsemble",
    ),
}


def closed(model: Any) -> bool:
    """Whether an estimator is of a class that is read as trees, a stack or plain layers."""
    return not _closed_types().isdisjoint(type(model).__mro__)


def opened(model: Any) -> tuple[Any, Model | None]:
    """A Pipeline as its steps before the last one, and what was read of that, where it is written here.

    Returns:
        The steps as a Pipeline, None where there are none, and what was read; or the model and None, where skl2onnx writes all.
    """
    from sklearn.pipeline import Pipeline

    if not isinstance(model, Pipeline):
        return model, None
    # What does nothing at prediction, as samplers, has no converters.
    *before, (name, last) = [step for step in model.steps if not is_identity(step[1])]
    try:
        found = as_written(last) if closed(last) else None
    except (TypeError, ValueError):
        # There may be another way.
        found = None
    if found is None:
        return Pipeline([*before, (name, last)]), None
    return Pipeline(before) if before else None, found


def converted(model: Any, inputs: Sequence[GraphInput], double: bool, ours: bool = True) -> Any:
    """What skl2onnx makes of an estimator: a ``ModelProto`` with a label and probabilities ``(N, classes)`` as outputs; or of a
    transformer, with what it returns.

    Args:
        model: the estimator.
        inputs: of the graph.
        double: whether numbers are float64 in it, else float32.
        ours: whether steps that are written here are.

    Raises:
        ImportError: if the package skl2onnx is not installed.
        ValueError: if it has no way to write the estimator.
    """
    name = type(model).__name__
    try:
        import skl2onnx
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
    except ImportError:
        raise ImportError(f"exporting {name} needs the package skl2onnx: pip install 'know-your-limits[export]'") from None
    # Classifiers would give dictionaries of probabilities.
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else {}
    kinds = {True: StringTensorType, False: DoubleTensorType if double else FloatTensorType}
    functions, shapes = _own() if ours else ({}, {})
    try:
        with warnings.catch_warnings():
            # It uses what scikit-learn is about to take away.
            warnings.simplefilter("ignore")
            return skl2onnx.convert_sklearn(
                model,
                initial_types=[(one.name, kinds[one.text]([None, *one.shape])) for one in inputs],
                options=options,
                target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
                custom_conversion_functions=functions,
                custom_shape_calculators=shapes,
            )
    except Exception as error:
        # Whatever converters raise about what they do not know.
        raise ValueError(f"skl2onnx says {type(error).__name__}: {' '.join(str(error).split())[:300]}") from error


def _closed_types() -> set[type]:
    found = set()
    for module, names in CLOSED.items():
        if module in sys.modules:
            found |= {getattr(sys.modules[module], name) for name in names}
    return found


def _own() -> tuple[dict[type, Callable], dict[type, Callable]]:
    """Converters, and functions that say of their outputs what they are, by the classes of estimators."""
    # Of others than scikit-learn's skl2onnx has no name, and takes none.
    types = {kind for kind in _closed_types() if kind.__module__.startswith("sklearn.")}
    functions, shapes = encoders()
    return {**dict.fromkeys(types, convert_closed), **functions}, {**dict.fromkeys(types, shape_of_closed), **shapes}


def shape_of_closed(operator: Any) -> None:
    """A label, and probabilities in float64, of an estimator that is read as trees or as a stack."""
    from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType, StringTensorType

    model, rows = operator.raw_operator, operator.inputs[0].type.shape[0]
    text = label_constant(model.classes_)[1] == "STRING"
    operator.outputs[0].type = (StringTensorType if text else Int64TensorType)([rows])
    operator.outputs[1].type = DoubleTensorType([rows, len(model.classes_)])


def convert_closed(scope: Any, operator: Any, container: Any) -> None:
    """Write an estimator that is read as trees or as a stack, for skl2onnx."""
    model = operator.raw_operator
    draft = Draft(prefix=scope.get_unique_variable_name(type(model).__name__) + "/")
    x = draft.cast(operator.inputs[0].full_name, "DOUBLE")
    p = probabilities(draft, x, as_written(model), (model.n_features_in_,))
    label, probs = (output.full_name for output in operator.outputs)
    likeliest(draft, p, model.classes_, result=label)
    draft.call("Identity", p, result=probs)
    add(container, draft)


def as_written(model: Any, X: Any = None) -> Model:
    """An estimator as it is read, if its networks take the columns themselves.

    Raises:
        ValueError: if it has steps inside, which make numbers of categories.
    """
    found = read(model, X=X)
    if not found.as_layers or not is_drawn(found):
        raise ValueError(
            f"model must make numbers of categories before. Got {type(model).__name__} with steps inside: put an encoder, "
            "such as OneHotEncoder, in front of it in a Pipeline."
        )
    return found


def likeliest(draft: Draft, p: str, classes: np.ndarray, result: str | None = None) -> str:
    """The label of the likeliest class of probabilities ``(N, classes)``, ``(N,)``."""
    labels, _ = label_constant(classes)
    best = draft.call("ArgMax", p, axis=1, keepdims=0)
    return draft.call("Gather", draft.constant(labels, "classes"), best, axis=0, result=result)

"""The one door for models: `read` takes one in, once, and everything else looks at the `Model` that comes of it.

What a person brings is of one of the kinds in `knowlimits.model.kinds`, each of which says how it is read. Networks are copied,
so that a person's model stays as it was, and what was understood is held to what the model itself predicts before it is used.
"""

import dataclasses
from typing import Any

from knowlimits.model.arrays import as_points
from knowlimits.model.asked import Asked
from knowlimits.model.endings import Outputs
from knowlimits.model.kinds import kind_of
from knowlimits.model.looking import drawn_rows
from knowlimits.model.model import Model
from knowlimits.model.shapes import checked_shape, stated_shape
from knowlimits.model.signature import in_shape
from knowlimits.model.stack import Stack
from knowlimits.options import chosen

ACCEPTED = (
    "a fitted classifier of knowlimits, a torch.nn.Module, a torch.export program, a fitted classifier of scikit-learn that is "
    "a network (MLPClassifier) or of a known family (linear models, discriminants, naive Bayes, nearest neighbours, trees, "
    "forests, boosting, SVC, GaussianProcessClassifier), one of skorch, XGBoost, LightGBM or CatBoost, any of them in a "
    "Pipeline, a search, a calibration, an ensemble, or a list of these"
)
# What takes any classifier.
_OTHERWISE = (
    ": knowlimits.Guard and knowlimits.detectors.InputDetector take whatever has predict_proba, and "
    "knowlimits.families.register enters a family of your own"
)


def read(
    model: Any,
    outputs: str | None = None,
    X: Any = None,
    *,
    output: str | int | None = None,
    inputs: Any = None,
    input_shape: Any = None,
) -> Model:
    """What this library understands of a model: a `Model`, which everything that takes a model takes as well.

    A `Model` saves reading the same one again and again, and says what was understood when it is printed. One that is read
    again is given back as it is.

    Args:
        model: what `knowlimits.far_field` takes.
        outputs: what its torch modules return: ``"logits"``, ``"log-probabilities"`` or ``"probabilities"``. Without it that is
            told from their operations and from what they return, or asked for where it stays open.
        X: a few rows as the model takes them, on which it is looked at. Without them rows are drawn.
        output: name or place of the output that counts, for a module that returns several.
        inputs: for a module that takes several inputs: columns that go into each, in order or by name, as ``([0, 1], [2])``;
            None for an input that gets None, and ``([2], "codes")`` for one that takes whole numbers.
        input_shape: the shape of one input, as ``(21, 2)``, for a model of windows, landmarks or images that is to take rows of
            a table, too, here of 42 columns, the last axis the fastest. Files that state it do not need it.

    Raises:
        TypeError: if the model is of no kind that is known.
        ValueError: if it is in train mode where that matters, is not fitted, has weights that are not finite, returns what is
            neither logits nor probabilities, or predicts otherwise than was understood.

    Example:
        >>> import torch, knowlimits as kl
        >>> print(kl.read(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Softmax(1))))
        Sequential
          members   1
          features  2
          classes   not said
          outputs   probabilities, of a final softmax, which is taken off
          steps     none
          columns   as the network takes them
    """
    wanted = None if outputs is None else chosen(Outputs, "outputs", outputs)
    if inputs is not None and input_shape is not None:
        raise ValueError("input_shape must be None where inputs says what goes into each of several inputs. Got both.")
    return _of_shape(model, Asked(_read, X, outputs=wanted, output=output, inputs=inputs), input_shape)


def read_at(model: Any, name: str, rows: Any, outputs: str | None = None, otherwise: Outputs | None = None) -> Model:
    """A model, looked at on rows that a person gave under a name, which messages use.

    Args:
        model: what `read` takes.
        name: of the rows.
        rows: as the model takes them.
        outputs: as `read` has it.
        otherwise: what its modules return where it stays open and nothing hangs on it.
    """
    wanted = None if outputs is None else chosen(Outputs, "outputs", outputs)
    return _of_shape(model, Asked(_read, rows, name, wanted, otherwise))


def _of_shape(model: Any, asked: Asked, given: Any = None) -> Model:
    """A model that takes rows of a table in the place of inputs of more axes, where their shape is stated or given."""
    stated = stated_shape(model)
    shape = stated if given is None else checked_shape(given)
    if shape is None:
        return _read(model, asked)
    if stated not in (None, shape):
        raise ValueError(f"input_shape must be {stated}, which the model states. Got {shape} instead.")
    rows = drawn_rows(shape) if asked.rows is None else as_points(asked.name, asked.rows, gaps=True)
    asked = dataclasses.replace(asked, rows=in_shape(asked.name, rows, shape).numpy())
    return _read(model, asked).of_shape(shape)


def _read(model: Any, asked: Asked) -> Model:
    if isinstance(model, Model):
        returned = {network.outputs for network in model.inner if not isinstance(network, Stack)} or {Outputs.LOGITS}
        if asked.outputs is not None and returned != {asked.outputs}:
            raise ValueError(
                f"outputs must be '{next(iter(returned))}', as which the model was read. Got '{asked.outputs}' instead."
            )
        return model
    kind = kind_of(model)
    if kind is None:
        otherwise = _OTHERWISE if hasattr(model, "predict_proba") else ""
        raise TypeError(f"model must be {ACCEPTED}. Got {type(model).__name__} instead{otherwise}.")
    return kind(model, asked)


def check_logits(model: Model) -> None:
    """Refuse a model whose logits are looked at, and that has none.

    Raises:
        ValueError: if it returns probabilities that cannot be undone.
    """
    if model.returns is not Outputs.PROBABILITIES:
        return
    if model.no_network:
        raise ValueError(f"model must have logits here. {model.no_network}, without logits: knowlimits.far_field takes it.")
    raise ValueError(
        "model must return logits here, or probabilities that a final softmax or sigmoid makes. Got probabilities that are "
        "made in another way: return what they are made of."
    )

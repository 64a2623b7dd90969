"""skorch's classifiers: a torch module, and a function that makes probabilities of what it returns."""

import dataclasses
from typing import Any

import numpy as np
import torch

from knowlimits.model.asked import Asked
from knowlimits.model.copies import copied, unwrapped
from knowlimits.model.endings import Outputs
from knowlimits.model.kinds.fitted import about, check_adds_up, check_fitted, some
from knowlimits.model.looking import cannot_take, guessed_rows
from knowlimits.model.model import Model
from knowlimits.model.proof import check_predictions

# What modules return for a criterion, as skorch has it; another function may be given to it.
_RETURNED = {
    "CrossEntropyLoss": Outputs.LOGITS,
    "BCEWithLogitsLoss": Outputs.LOGITS,
    "BCELoss": Outputs.PROBABILITIES,
    "NLLLoss": Outputs.PROBABILITIES,
}


def read_skorch(model: Any, asked: Asked) -> Model:
    """Its module, in eval mode, in which it predicts; what the module returns is proven by the model's own predictions.

    Raises:
        ValueError: if it is not fitted, or predicts what is made neither of logits nor of probabilities.
    """
    check_fitted(model, "module_")
    module = copied([unwrapped(model.module_)])[0].eval()
    rows = guessed_rows(module).numpy() if asked.rows is None else np.asarray(some(asked.rows))
    dtype = next((t.dtype for t in model.module_.parameters() if t.is_floating_point()), torch.float32)
    rows = torch.from_numpy(np.array(rows, dtype=np.float64)).to(dtype).numpy()
    try:
        own, several = _own_predictions(model, rows)
    except RuntimeError as error:
        # Torch's own, for shapes that do not fit.
        raise cannot_take(torch.from_numpy(rows[:2]), error) from error
    if several and asked.output is None:
        # Of several outputs skorch takes the first.
        asked = dataclasses.replace(asked, output=0)
    check_adds_up(model, own)
    likely = _RETURNED.get(type(model.criterion_).__name__, Outputs.LOGITS)
    refusals = []
    for outputs in (likely, *(one for one in Outputs if one is not likely)):
        try:
            found = asked.said(outputs).read(module, rows)
            check_predictions(found.predict_proba(rows.astype(np.float64)), own)
        except ValueError as error:
            refusals.append(error)
            continue
        said = {name: value for name, value in about(model).items() if value is not None}
        # It predicts places, whatever its labels.
        return dataclasses.replace(found, name=type(model).__name__, own=model, **said)
    raise ValueError(
        f"model must make its probabilities of what its module returns by a softmax or a sigmoid, or return them. Got a "
        f"{type(model).__name__} for which that cannot be seen: {refusals[0]}"
    )


def _own_predictions(model: Any, rows: np.ndarray) -> tuple[np.ndarray, bool]:
    """What it predicts, with its module left in its mode, and whether that returns several outputs."""
    modes = [(one, one.training) for one in model.module_.modules()]
    try:
        return np.asarray(model.predict_proba(rows)), isinstance(model.forward(rows), tuple)
    finally:
        for one, training in modes:
            one.training = training

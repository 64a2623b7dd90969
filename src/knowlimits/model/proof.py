"""The proof of a reading: what was understood of a model predicts what the model itself predicts, on rows of data."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from knowlimits.model.arrays import first_line
from knowlimits.model.endings import Outputs
from knowlimits.model.network import Network, as_probabilities
from knowlimits.model.signature import picked

# Rows that are compared.
_ROWS = 8
# How far probabilities may be from adding up to 1, by rounding in low precision.
_SUM = 0.02


def check_forward(module: nn.Module, network: Network, rows: Tensor, said: bool = False) -> None:
    """Hold a network to the forward pass of the module that it was read from, in that one's own type and mode.

    Args:
        module: the person's own.
        network: what was made of it.
        rows: as they take them, ``(n, ...)``.
        said: whether a person said what it returns.

    Raises:
        ValueError: if they predict otherwise, with the two numbers.
    """
    floats = next((t for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()), None)
    dtype, device = (torch.float64, rows.device) if floats is None else (floats.dtype, floats.device)
    rows = rows[torch.arange(_rows(rows)) % len(rows)]
    with torch.no_grad():
        taken = rows.to(device=device, dtype=dtype)
        # Row by row, given twice, so that no row can be taken for a member.
        try:
            outputs = [picked(module(torch.stack([row, row]))) for row in taken]
        except Exception as error:
            # A person's module may raise anything.
            raise ValueError(
                f"model must run on rows in its own type, {dtype}, to be held to. Got one that stops there: "
                f"{first_line(error) or type(error).__name__}."
            ) from error
        dtypes = [dtype, outputs[0].dtype, *([torch.float16] if network.casts else [])]
        arranged = [network.axes.arranged(output.detach().cpu().double()) for output in outputs]
        own = torch.cat([as_probabilities(output, network.outputs)[:, :1] for output in arranged], 1)
        # Rounded as the module's own inputs are.
        read = network.probabilities(taken.cpu().double())
    if network.outputs is Outputs.LOGITS and not said:
        _check_not_probabilities(torch.cat([output[:, :1] for output in arranged], 1))
    own = network.spread(own)
    if own.shape != read.shape:
        raise ValueError(
            f"model cannot be read for certain: it returns {tuple(own.shape)} row by row, and {tuple(read.shape)} else."
        )
    compare(read.mean(0), own.mean(0), max(dtypes, key=lambda t: torch.finfo(t).eps), "forward pass")


def _check_not_probabilities(outputs: Tensor) -> None:
    """Refuse outputs ``(members, n, outputs)`` that were read as logits and look like probabilities."""
    values = outputs.flatten(0, 1)
    if values.shape[-1] == 1 or bool((values == values[0]).all()) or not bool((values >= 0).all()):
        return
    sums = values.sum(-1)
    if float((sums - 1).abs().max()) <= _SUM:
        raise ValueError(
            "model cannot be read for certain: its outputs were read as logits, and those of a row add up to 1, from "
            f"{float(sums.min()):.6g} to {float(sums.max()):.6g}. Say what its modules return, as outputs=."
        )


def _rows(rows: Tensor) -> int:
    """How many rows are compared: fewer of large inputs."""
    return max(1, min(_ROWS, 2**12 // max(1, rows[:1].numel())))


def check_predictions(read: np.ndarray, own: Any, what: str = "predict_proba") -> None:
    """Hold probabilities to those of the model's own method on the same rows.

    Raises:
        ValueError: if they differ, with the two numbers.
    """
    own = np.asarray(own)
    if own.shape != read.shape:
        raise ValueError(
            f"model cannot be read: its own {what} has shape {own.shape} where {read.shape} was expected. Pass the network "
            "inside it, or report the kind of model."
        )
    dtype = torch.float32 if own.dtype == np.float32 else torch.float64
    compare(torch.from_numpy(read), torch.from_numpy(own.astype(np.float64)), dtype, what)


def compare(read: Tensor, own: Tensor, dtype: torch.dtype, what: str) -> None:
    """Raise where probabilities ``(n, classes)`` differ beyond the precision of a type."""
    tolerance = torch.finfo(dtype).eps ** 0.5
    finite = own.isfinite().all(-1) & read.isfinite().all(-1)
    sums = own.sum(-1)[finite]
    if len(sums) and float((sums - 1).abs().max()) > _SUM:
        raise ValueError(
            f"model cannot be read for certain: its own {what} would have probabilities of a row that add up to "
            f"{float(sums[(sums - 1).abs().argmax()]):.6g}. Say what its modules return, as outputs=."
        )
    wrong = (read - own).abs().masked_fill(~finite[:, None], 0.0)
    if not wrong.numel() or float(wrong.max()) <= tolerance:
        return
    row, place = divmod(int(wrong.argmax()), wrong.shape[1])
    raise ValueError(
        f"model cannot be read for certain: at row {row} class {place} has a probability of {float(read[row, place]):.6g} as "
        f"it was read, and of {float(own[row, place]):.6g} by its own {what}. Say what its modules return, as outputs=, or "
        "pass the network inside it."
    )

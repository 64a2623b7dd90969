"""Cross-entropy of many networks at once, with class weights that may differ between them.

Tensors are ``(networks, outputs, batch)``. One output is the logit of the second of two classes.
"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class ClassWeight(StrEnum):
    """Weights of classes that make all equally heavy."""

    #: In each mini-batch, as the paper does.
    BATCH = "batch"
    #: Over all the rows that a network learns from.
    BALANCED = "balanced"


class ClassWeights:
    """The weight of every example, by its class and by the network that sees it.

    A network's weights are fixed, `(classes,)`, or formed anew from the classes of each mini-batch. For two classes these are
    1 for the first and ``(1 - mean y) / mean y`` for the second (Ulmer and Cina, 2021); for more, ``batch size / (classes
    present * count)`` each. A batch of one class is not weighted.
    """

    def __init__(self, weights: Sequence[np.ndarray | ClassWeight | None], classes: int, device: torch.device):
        fixed = [w if isinstance(w, np.ndarray) else np.ones(classes) for w in weights]
        self._fixed = torch.tensor(np.stack(fixed), dtype=torch.float32, device=device)
        self._batch = torch.tensor([w is ClassWeight.BATCH for w in weights], device=device)
        self._any = any(w is not None for w in weights)
        self._any_batch = bool(self._batch.any())

    def __call__(self, y: Int[Tensor, "networks batch"]) -> Float[Tensor, "networks batch"] | None:
        """Weights of a batch, or None where no network weights its classes."""
        if not self._any:
            return None
        table = self._fixed
        if self._any_batch:
            table = torch.where(self._batch[:, None], self._balanced(y), table)
        return table.gather(1, y)

    def _balanced(self, y: Tensor) -> Tensor:
        networks, classes = self._fixed.shape
        counts = torch.zeros(networks, classes, device=y.device)
        counts.scatter_add_(1, y, torch.ones_like(y, dtype=torch.float32))
        present = (counts > 0).sum(1, keepdim=True)
        reference = counts[:, :1] if classes == 2 else y.shape[1] / present
        # A class that is absent from the batch has no example to weigh: its infinite entry is never gathered.
        return torch.where(present == 1, 1.0, reference / counts)


def residual(
    logits: Float[Tensor, "networks outputs batch"],
    y: Int[Tensor, "networks batch"],
    weights: Float[Tensor, "networks batch"] | None,
) -> Float[Tensor, "networks outputs batch"]:
    """Gradient of the mean weighted cross-entropy of a batch with respect to the logits."""
    if logits.shape[1] == 1:
        delta = logits.sigmoid() - y.unsqueeze(1)
    else:
        delta = logits.softmax(1)
        delta.scatter_add_(1, y.unsqueeze(1), torch.full_like(delta[:, :1], -1.0))
    if weights is not None:
        delta *= weights.unsqueeze(1)
    return delta.div_(y.shape[1])


def total_loss(
    logits: Float[Tensor, "networks outputs batch"],
    y: Int[Tensor, "networks batch"],
    weights: Float[Tensor, "networks batch"] | None,
) -> Float[Tensor, " networks"]:
    """Sum of the weighted cross-entropy over a batch."""
    if logits.shape[1] == 1:
        losses = nn.functional.softplus(torch.where(y == 1, -logits[:, 0], logits[:, 0]))
    else:
        losses = -logits.log_softmax(1).gather(1, y.unsqueeze(1))[:, 0]
    if weights is not None:
        losses = losses * weights
    return losses.sum(1)

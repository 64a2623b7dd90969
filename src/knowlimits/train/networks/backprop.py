"""Forward and backward pass of many ReLU networks, written out.

Inside training a batch lies ``(networks, features + 1, batch)``, with a last feature that is always 1 and whose weight is
the bias. So each layer is one dense batched product forward and two backward, and nothing else touches the weights.
For networks as small as the paper's, autograd would cost as much again as the arithmetic (`benchmarks/training.py`).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from knowlimits.train.networks.loss import residual
from knowlimits.train.networks.masks import Masks


def forward(weights: Sequence[Tensor], x: Float[Tensor, "networks inputs batch"]) -> Float[Tensor, "networks outputs batch"]:
    """Logits without dropout."""
    for weight in weights[:-1]:
        hidden = torch.bmm(weight, x)
        x = torch.cat([hidden.relu_(), torch.ones_like(hidden[:, :1])], dim=1)
    return torch.bmm(weights[-1], x)


class Backprop:
    """Gradients of the mean weighted cross-entropy; keeps the buffers of one batch size after another."""

    def __init__(self, networks: int, hidden: Sequence[int], device: torch.device):
        self._networks = networks
        self._hidden = hidden
        self._device = device
        self._buffers: list[Tensor] = []

    def __call__(
        self,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor],
        x: Float[Tensor, "networks inputs batch"],
        y: Int[Tensor, "networks batch"],
        example_weights: Float[Tensor, "networks batch"] | None,
        masks: Masks | None,
    ) -> None:
        """Write the gradient with respect to every layer of `weights` into `gradients`."""
        inputs = [x]
        for layer, (weight, buffer) in enumerate(zip(weights, self._ones(x.shape[2]), strict=False)):
            hidden = torch.bmm(weight, inputs[-1]).relu_()
            if masks is None:
                buffer[:, :-1] = hidden
            else:
                torch.mul(hidden.mul_(masks.kept[layer]), masks.scale[layer], out=buffer[:, :-1])
            inputs.append(buffer)

        delta = residual(torch.bmm(weights[-1], inputs[-1]), y, example_weights)
        for layer in reversed(range(len(weights))):
            torch.bmm(delta, inputs[layer].transpose(1, 2), out=gradients[layer])
            if layer:
                weight = weights[layer][:, :, :-1]
                if masks is not None:
                    weight = weight * masks.scale[layer - 1]
                delta = torch.bmm(weight.transpose(1, 2), delta)
                # Zero both where ReLU cut and where a unit was dropped: no mask is needed on the way back.
                delta = torch.ops.aten.threshold_backward(delta, inputs[layer][:, :-1], 0)

    def _ones(self, batch: int) -> list[Tensor]:
        if not self._buffers or self._buffers[0].shape[2] != batch:
            self._buffers = [torch.ones(self._networks, width + 1, batch, device=self._device) for width in self._hidden]
        return self._buffers

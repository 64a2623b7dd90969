"""Many ReLU networks of one shape as one module.

A layer of ``M`` networks is one weight of shape ``(M, out, in)`` and one bias of shape ``(M, out)``, so a forward pass of
all of them is one batched matrix product per layer. An ensemble, the masks of MC dropout and the weight samples of a
Bayesian network are all a `Stack`; every score of the library is a function of what it returns.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from knowlimits._machine import rows_at_a_time
from knowlimits.model.arrays import both


class Stack(nn.Module):
    """`M` ReLU networks of one shape: ``(n, d) -> (members, n, classes)`` logits.

    A network with one output is a binary classifier with logit `f`: it is evaluated as the two-class network
    ``(0, f)``, so that the last axis always has one entry per class.

    Args:
        weights: one tensor per layer, ``(members, out, in)``, from the input to the output.
        biases: one tensor per layer, ``(members, out)``.

    Raises:
        ValueError: if the layers do not fit together.
    """

    def __init__(self, weights: Sequence[Tensor], biases: Sequence[Tensor]):
        super().__init__()
        if not weights or len(weights) != len(biases):
            raise ValueError(
                "weights and biases must hold one tensor per layer, at least one. "
                f"Got {len(weights)} weights and {len(biases)} biases instead."
            )
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            expected = (weights[0].shape[0], weight.shape[1], weights[layer - 1].shape[1])
            if layer == 0:
                expected = (*expected[:2], weight.shape[2])
            if tuple(weight.shape) != expected or tuple(bias.shape) != expected[:2]:
                raise ValueError(
                    f"layer {layer} must have weights {expected} and biases {expected[:2]}. "
                    f"Got {tuple(weight.shape)} and {tuple(bias.shape)} instead."
                )
        self.weights = nn.ParameterList(weights)
        self.biases = nn.ParameterList(biases)

    @property
    def members(self) -> int:
        """Number of networks."""
        return self.weights[0].shape[0]

    @property
    def n_features(self) -> int:
        """Number of input features."""
        return self.weights[0].shape[2]

    @property
    def classes(self) -> int:
        """Number of classes, two for networks with one output."""
        return max(2, self.weights[-1].shape[1])

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "members n classes"]:
        """Logits of every member at every row of `x`."""
        return self.forward_members(x.expand(self.members, -1, -1))

    def forward_members(self, hidden: Float[Tensor, "members n d"]) -> Float[Tensor, "members n classes"]:
        """Logits of every member at rows of its own."""
        return self.last_layer(self.features(hidden))

    def features(self, hidden: Float[Tensor, "members n d"]) -> Float[Tensor, "members n width"]:
        """What goes into the last layer of every member, at rows of its own."""
        for weight, bias in list(zip(self.weights, self.biases, strict=True))[:-1]:
            hidden = torch.baddbmm(bias.unsqueeze(1), hidden, weight.transpose(1, 2)).relu()
        return hidden

    def last_layer(self, features: Float[Tensor, "members n width"]) -> Float[Tensor, "members n classes"]:
        """Logits from what goes into the last layer."""
        return both(torch.baddbmm(self.biases[-1].unsqueeze(1), features, self.weights[-1].transpose(1, 2)))

    def chunks(self, x: Float[Tensor, "n d"]) -> Iterator[Float[Tensor, "rows d"]]:
        """Split the rows of `x` so that every intermediate tensor of `forward` stays in the processor's cache."""
        widest = max(weight.shape[1] for weight in self.weights)
        # `split` of no rows gives one empty chunk, so that an empty input has an output too.
        return iter(x.split(rows_at_a_time(self.members * max(widest, self.n_features), x.device)))

    def member(self, index: int) -> nn.Sequential:
        """One network alone, as `torch.nn.Sequential` of linear layers and ReLUs (one output stays one output)."""
        layers: list[nn.Module] = []
        for weight, bias in zip(self.weights, self.biases, strict=True):
            linear = nn.Linear(weight.shape[2], weight.shape[1], dtype=weight.dtype, device=weight.device)
            with torch.no_grad():
                linear.weight.copy_(weight[index])
                linear.bias.copy_(bias[index])
            layers += [linear, nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    def extra_repr(self) -> str:
        """Sizes for `repr`."""
        sizes = [self.n_features, *(weight.shape[1] for weight in self.weights)]
        parameters = sum(math.prod(p.shape) for p in self.parameters())
        return f"members={self.members}, sizes={'-'.join(map(str, sizes))}, parameters={parameters}"

"""Writes docs/supported.md: what models may do inside, from the tables that decide it and by trying each layer of torch.

python docs/supported.py
"""

from pathlib import Path

import torch
from torch import nn

import knowlimits as kl
from knowlimits.follow import operations

HEAD = """# Supported operations, layers and ONNX operators

This page is made by `python docs/supported.py` from the tables that the library goes by, and by trying each layer; a test holds it to them.

A model is seen as its operations, whatever its modules are called. *Limits* are those of `kl.far_field`; *polytopes*, `kl.partition`,
`kl.breakpoints` and `kl.horizon`, need operations that are piecewise linear. What is not here is refused by name, and
[can be entered](extending.md) if it has an asymptote.
"""

KINDS = {
    operations.Move: ("numbers change place", "limits and polytopes"),
    operations.Affine: ("linear in some arguments, the others constant", "limits and polytopes"),
    operations.Maximum: ("the largest of several", "limits and polytopes"),
    operations.Rewrite: ("put into words of others", "as those"),
    operations.Smooth: ("a function of one number with asymptotes", "limits"),
    operations.Joint: ("a function of several numbers with a limit", "limits"),
}

# Layers of torch, each with the shape of one input that it is tried with.
LAYERS: list[tuple[nn.Module, tuple[int, ...]]] = [
    *((nn.Identity(), (4,)), (nn.Linear(4, 3), (4,)), (nn.Flatten(), (2, 3)), (nn.Unflatten(1, (2, 2)), (4,))),
    *((nn.Conv1d(2, 3, 3), (2, 5)), (nn.Conv2d(1, 2, 3), (1, 4, 4)), (nn.Conv3d(1, 2, 2), (1, 3, 3, 3))),
    *((nn.ConvTranspose1d(2, 2, 2), (2, 3)), (nn.ConvTranspose2d(1, 2, 2), (1, 3, 3))),
    *((nn.ConvTranspose3d(1, 1, 2), (1, 2, 2, 2)), (nn.Unfold(2), (1, 3, 3)), (nn.Fold((3, 3), 2), (4, 4))),
    *((nn.MaxPool1d(2), (2, 4)), (nn.MaxPool2d(2), (1, 4, 4)), (nn.MaxPool3d(2), (1, 2, 2, 2))),
    *((nn.AvgPool1d(2), (2, 4)), (nn.AvgPool2d(2), (1, 4, 4)), (nn.AvgPool3d(2), (1, 2, 2, 2)), (nn.LPPool1d(2, 2), (2, 4))),
    *((nn.AdaptiveAvgPool1d(2), (2, 5)), (nn.AdaptiveAvgPool2d(2), (1, 4, 4)), (nn.AdaptiveMaxPool1d(2), (2, 4))),
    *((nn.AdaptiveMaxPool2d(2), (1, 4, 4)), (nn.FractionalMaxPool2d(2, output_size=2), (1, 4, 4))),
    *((nn.ReLU(), (4,)), (nn.ReLU6(), (4,)), (nn.LeakyReLU(), (4,)), (nn.PReLU(), (4,)), (nn.RReLU(), (4,))),
    *((nn.Hardtanh(), (4,)), (nn.Hardsigmoid(), (4,)), (nn.Hardswish(), (4,)), (nn.Threshold(0.1, 0.1), (4,))),
    *((nn.Softshrink(), (4,)), (nn.Hardshrink(), (4,)), (nn.Tanhshrink(), (4,)), (nn.ELU(), (4,)), (nn.SELU(), (4,))),
    *((nn.CELU(), (4,)), (nn.GELU(), (4,)), (nn.SiLU(), (4,)), (nn.Mish(), (4,)), (nn.Softplus(), (4,)), (nn.Softsign(), (4,))),
    *((nn.Sigmoid(), (4,)), (nn.LogSigmoid(), (4,)), (nn.Tanh(), (4,)), (nn.GLU(), (4,))),
    *((nn.Softmax(1), (4,)), (nn.LogSoftmax(1), (4,)), (nn.Softmin(1), (4,)), (nn.Softmax2d(), (2, 2, 2))),
    *((nn.BatchNorm1d(4), (4,)), (nn.BatchNorm2d(2), (2, 3, 3)), (nn.LayerNorm(4), (4,)), (nn.GroupNorm(2, 4), (4, 3))),
    *((nn.InstanceNorm1d(2), (2, 4)), (nn.RMSNorm(4), (4,)), (nn.LocalResponseNorm(2), (4, 3))),
    *((nn.Dropout(), (4,)), (nn.AlphaDropout(), (4,)), (nn.Dropout2d(), (2, 3, 3))),
    *((nn.ZeroPad2d(1), (1, 3, 3)), (nn.ConstantPad2d(1, 2.0), (1, 3, 3)), (nn.ReflectionPad2d(1), (1, 3, 3))),
    *((nn.ReplicationPad2d(1), (1, 3, 3)), (nn.CircularPad2d(1), (1, 3, 3))),
    *((nn.Upsample(scale_factor=2), (1, 3, 3)), (nn.UpsamplingBilinear2d(scale_factor=2), (1, 3, 3))),
    *((nn.PixelShuffle(2), (4, 2, 2)), (nn.PixelUnshuffle(2), (1, 4, 4)), (nn.ChannelShuffle(2), (4, 2, 2))),
    *(
        (nn.RNN(3, 2, batch_first=True), (4, 3)),
        (nn.LSTM(3, 2, batch_first=True), (4, 3)),
        (nn.GRU(3, 2, batch_first=True), (4, 3)),
    ),
    *((nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), (3, 4)),),
]


class Around(nn.Module):
    """A layer as a classifier: inputs in its shape, and two logits of what it returns."""

    def __init__(self, layer: nn.Module, shape: tuple[int, ...]):
        super().__init__()
        self.layer = layer.eval()
        with torch.no_grad():
            size = self._flat(torch.zeros(1, *shape)).shape[1]
        self.last = nn.Linear(size, 2)

    def _flat(self, x: torch.Tensor) -> torch.Tensor:
        out = self.layer(x)
        return (out[0] if isinstance(out, tuple) else out).flatten(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self._flat(x))


def tried(layer: nn.Module, shape: tuple[int, ...]) -> tuple[str, str, str]:
    """Whether a layer has limits and polytopes, and why not."""
    torch.manual_seed(0)
    model = Around(layer, shape)
    origin, u, v = torch.randn(3, *shape, dtype=torch.float64).numpy()
    found, why = [], ""
    for work in (
        lambda: kl.far_field(model, origin[None], u[None]),
        lambda: kl.partition(model, kl.Plane(origin, u, v), box=(-1, 1, -1, 1)),
    ):
        try:
            work()
            found.append("yes")
        except (kl.UnsupportedOperation, ValueError) as error:
            found.append("no")
            why = why or str(error)
    if found == ["yes", "no"]:
        why = "smooth"
    return found[0], found[1], _reason(why)


def _reason(message: str) -> str:
    """The reason in an error, without the name of the operation in front and what to do behind."""
    return message.partition("cannot be followed: ")[2].partition(": ")[0].rstrip(".") or message


def page() -> str:
    """The text of the page."""
    lines = [HEAD, "## Operations\n", "| kind | what it is | for | ATen operations |", "|---|---|---|---|"]
    for kind, (what, use) in KINDS.items():
        names = sorted(name for name, entry in operations.TABLE.items() if isinstance(entry, kind))
        lines.append(f"| {kind.__name__} | {what} | {use} | {', '.join(f'`{name}`' for name in names)} |")
    lines += [
        "",
        "## Layers of torch\n",
        "As they are in eval mode.\n",
        "| layer | limits | polytopes | |",
        "|---|---|---|---|",
    ]
    for layer, shape in LAYERS:
        limits, cells, why = tried(layer, shape)
        lines.append(f"| `{type(layer).__name__}` | {limits} | {cells} | {why} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("supported.md").write_text(page())

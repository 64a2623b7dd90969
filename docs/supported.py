"""Writes docs/supported.md: what there is of each kind, from the registries that decide it and by trying each layer of torch.

python docs/supported.py
"""

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import nn

import knowlimits as kl
from knowlimits.files.onnx.graph import MICROSOFT, ML
from knowlimits.files.onnx.table import TABLE as ONNX
from knowlimits.follow import operations
from knowlimits.ood.remedies import REMEDIES
from knowlimits.train.classifiers import CLASSIFIERS

HEAD = """# What there is

Operations, layers and ONNX operators; scores, detectors, remedies and classifiers.

This page is made by `python docs/supported.py` from the registries that the library goes by, and by trying each layer; a test
holds it to them.

A model is seen as its operations, whatever its modules are called. *Limits* are those of `kl.far_field`; *polytopes*, those of
`kl.partition`, `kl.breakpoints` and `kl.horizon`, need operations that are piecewise linear. What is not here is refused by
name, and [can be entered](extending.md) if it has an asymptote.

Beside the table, limits go through any operation on numbers that no ray moves (codes for an embedding, in columns that the
directions leave alone); through products and quotients, where one factor at most grows and the others come to their limits
exponentially fast, as behind a sigmoid; and through functions such as `exp` or `cos` of what has a limit. Of a product of two
factors that both grow (squared distances, normal densities, attention, bilinear forms) through sums, maxima, comparisons,
quotients and square roots, and through what has a limit there: `sigmoid`, `softmax`, `logsumexp`, `exp` of what falls.
"""

KINDS = {
    operations.Move: ("numbers change place", "limits and polytopes"),
    operations.Affine: ("linear in some arguments, the others constant", "limits and polytopes"),
    operations.Maximum: ("the largest of several", "limits and polytopes"),
    operations.Rewrite: ("put into words of others", "as those"),
    operations.Smooth: ("a function of one number with asymptotes", "limits"),
    operations.Joint: ("a function of several numbers with a limit", "limits"),
    operations.Jump: ("a function of a sign, or of which of two is larger", "limits"),
}

_NUMBERS, _ROWS, _CHANNELS, _IMAGE = (4,), (4, 3), (2, 4), (1, 4, 4)
# Layers of torch by the shape of one input that they are tried with, in the order of the page.
LAYERS: list[tuple[tuple[int, ...], list[nn.Module]]] = [
    (_NUMBERS, [nn.Identity(), nn.Linear(4, 3), nn.Flatten(), nn.Unflatten(1, (2, 2))]),
    (_CHANNELS, [nn.Conv1d(2, 3, 3), nn.ConvTranspose1d(2, 2, 2)]),
    (_IMAGE, [nn.Conv2d(1, 2, 3), nn.ConvTranspose2d(1, 2, 2), nn.Unfold(2)]),
    ((1, 3, 3, 3), [nn.Conv3d(1, 2, 2), nn.ConvTranspose3d(1, 1, 2), nn.MaxPool3d(2), nn.AvgPool3d(2)]),
    (_CHANNELS, [nn.MaxPool1d(2), nn.AvgPool1d(2), nn.LPPool1d(2, 2), nn.AdaptiveAvgPool1d(2), nn.AdaptiveMaxPool1d(2)]),
    (_IMAGE, [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(2), nn.AdaptiveMaxPool2d(2)]),
    (_IMAGE, [nn.FractionalMaxPool2d(2, output_size=2)]),
    (
        _NUMBERS,
        [nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(), nn.PReLU(), nn.RReLU(), nn.Hardtanh(), nn.Hardsigmoid(), nn.Hardswish()],
    ),
    (_NUMBERS, [nn.Threshold(0.1, 0.1), nn.Softshrink(), nn.Hardshrink(), nn.Tanhshrink(), nn.ELU(), nn.SELU(), nn.CELU()]),
    (_NUMBERS, [nn.GELU(), nn.SiLU(), nn.Mish(), nn.Softplus(), nn.Softsign(), nn.Sigmoid(), nn.LogSigmoid(), nn.Tanh()]),
    (_NUMBERS, [nn.GLU(), nn.Softmax(1), nn.LogSoftmax(1), nn.Softmin(1)]),
    (_NUMBERS, [nn.BatchNorm1d(4), nn.LayerNorm(4), nn.RMSNorm(4), nn.Dropout(), nn.AlphaDropout()]),
    (_ROWS, [nn.GroupNorm(2, 4), nn.InstanceNorm1d(4), nn.LocalResponseNorm(2)]),
    (_IMAGE, [nn.BatchNorm2d(1), nn.Dropout2d(), nn.ZeroPad2d(1), nn.ConstantPad2d(1, 2.0), nn.ReflectionPad2d(1)]),
    (
        _IMAGE,
        [nn.ReplicationPad2d(1), nn.CircularPad2d(1), nn.Upsample(scale_factor=2), nn.UpsamplingBilinear2d(scale_factor=2)],
    ),
    (_IMAGE, [nn.PixelUnshuffle(2)]),
    ((4, 2, 2), [nn.PixelShuffle(2), nn.ChannelShuffle(2)]),
    (_ROWS, [nn.RNN(3, 2, batch_first=True), nn.LSTM(3, 2, batch_first=True), nn.GRU(3, 2, batch_first=True)]),
    ((4, 4), [nn.Fold(3, 2)]),
    ((3, 4), [nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, norm_first=first) for first in (False, True)]),
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
        why = "it jumps" if "crosses a threshold" in why else "smooth"
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
    for shape, layers in LAYERS:
        for layer in layers:
            limits, cells, why = tried(layer, shape)
            name = type(layer).__name__ + "(norm_first=True)" * getattr(layer, "norm_first", False)
            lines.append(f"| `{name}` | {limits} | {cells} | {why} |")
    lines += [
        "",
        "## ONNX operators\n",
        "Of the default domain:",
        ", ".join(f"`{name}`" for domain, name in sorted(ONNX) if not domain),
    ]
    for own in (ML, MICROSOFT):
        lines += ["", f"Of `{own}`:", ", ".join(f"`{name}`" for domain, name in sorted(ONNX) if domain == own)]
    lines += ["", "## Scores\n", "| name | also | what it is |", "|---|---|---|"]
    for name, score in kl.scores.SCORES.items():
        also = ", ".join(f"`{other}`" for other in score.also)
        lines.append(f"| `{name}` | {also} | {_first(getattr(kl.scores, name))} |")
    lines += ["", "## Detectors\n", "| name | looks at | what it is |", "|---|---|---|"]
    for name, entry in kl.detectors.DETECTORS.items():
        lines.append(f"| `{name}` | {'inputs' if entry.on_inputs else 'the model'} | {_first(type(entry.build()))} |")
    lines += ["", "## Remedies\n", "| id | called | its entropy | a score of its own |", "|---|---|---|---|"]
    for name, remedy in REMEDIES.items():
        own = f"`{remedy.own}`" if remedy.own else ""
        lines.append(f"| `{name}` | {remedy.label} | `{remedy.score}` | {own} |")
    lines += ["", "## Classifiers\n", "| name | what it is |", "|---|---|"]
    lines += [f"| `{name}` | {_first(kind)} |" for name, kind in CLASSIFIERS.items()]
    return "\n".join(lines) + "\n"


def _first(described: Any) -> str:
    """The first paragraph of a docstring."""
    return " ".join((inspect.getdoc(described) or "").partition("\n\n")[0].split()).replace("|", r"\|")


if __name__ == "__main__":
    Path(__file__).with_name("supported.md").write_text(page())

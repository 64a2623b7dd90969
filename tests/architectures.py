"""Public architectures in plain torch, as people write them, for tests and benchmarks."""

import torch
from torch import nn
from torch.nn import functional as F


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut (He et al., 2016)."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return self.relu(out)


class ResNet18(nn.Module):
    """ResNet-18 for 32 x 32 images."""

    def __init__(self, width=64, classes=10):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        blocks, inputs = [], width
        for stage in range(4):
            outputs = width * 2**stage
            blocks += [BasicBlock(inputs, outputs, 2 if stage else 1), BasicBlock(outputs, outputs, 1)]
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(inputs, classes)

    def forward(self, x):
        out = self.blocks(self.stem(x))
        return self.head(F.adaptive_avg_pool2d(out, 1).flatten(1))


class SkipMLP(nn.Module):
    """A multilayer perceptron with residual and dense connections, and one block used twice."""

    def __init__(self, features=6, width=12, classes=3):
        super().__init__()
        self.enter = nn.Linear(features, width)
        self.block = nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(0.1), nn.Dropout(0.2), nn.Linear(width, width))
        self.leave = nn.Linear(width + features, classes)

    def forward(self, x):
        h = F.relu(self.enter(x))
        h = h + self.block(h)
        h = h + self.block(h)
        return self.leave(torch.cat([F.hardtanh(h, -2, 2), x], 1))


class TabularTokens(nn.Module):
    """A tabular MLP over one embedding per feature (as in FT-Transformer, without attention), and TabM's scaled members."""

    def __init__(self, features=5, width=8, members=4, classes=2):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features, width))
        self.bias = nn.Parameter(torch.randn(features, width))
        self.mix = nn.Linear(features, features)
        self.norm = nn.BatchNorm1d(features)
        self.scale = nn.Parameter(torch.randn(members, features * width))
        self.hidden = nn.Linear(features * width, 16)
        self.heads = nn.Parameter(torch.randn(members, 16, classes))

    def forward(self, x):
        tokens = F.relu(x[..., None] * self.weight + self.bias)
        tokens = self.norm(tokens + self.mix(tokens.transpose(1, 2)).transpose(1, 2))
        h = tokens.flatten(1)[:, None] * self.scale
        return torch.einsum("nmi,mic->mnc", F.relu(self.hidden(h)), self.heads)


def randomized(module):
    """Batch norm statistics and parameters as training leaves them, not as they start."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, 0, 0.3)
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.3)
    return module.eval()

"""Trained bodies of the zoo's networks, and what networks say, by hand in float64."""

import copy
from functools import cache

import numpy as np
import torch
from torch import nn

from tests.zoo import tables

_EPOCHS = 60
# So few hidden units that none is left along some columns: there a model is not sure.
WIDTH = 4


def trained(net, table, epochs=_EPOCHS):
    """A module that returns logits, fitted to a table; in eval mode."""
    X, y = torch.tensor(table.X, dtype=torch.float32), torch.tensor(table.y)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    net.train()
    for _ in range(epochs):
        optimizer.zero_grad()
        out = net(X)
        if out.shape[-1] == 1:
            loss = nn.functional.binary_cross_entropy_with_logits(out[:, 0], y.float())
        else:
            loss = nn.functional.cross_entropy(out, y)
        loss.backward()
        optimizer.step()
    return net.eval()


@cache
def _body(table, outputs, seed, activation):
    torch.manual_seed(seed)
    data = getattr(tables, table)
    width = int(np.prod(data.X.shape[1:]))
    return trained(nn.Sequential(nn.Linear(width, WIDTH), activation(), nn.Linear(WIDTH, outputs)), data)


def body(table="WINE", outputs=3, seed=0, activation=nn.ReLU):
    """A multilayer perceptron that returns logits, the same at each call."""
    return copy.deepcopy(_body(table, outputs, seed, activation))


def binary(seed=0):
    """One that returns one logit."""
    return body("CANCER", 1, seed)


def double(net, X):
    """What a module returns in float64."""
    with torch.no_grad():
        return copy.deepcopy(net).double()(torch.tensor(np.asarray(X, dtype=float)))


def of_logits(*nets):
    """A truth: the mean of the softmaxes of modules that return logits; of one logit f those of (0, f)."""

    def truth(_, X):
        return np.mean([softmax(double(net, X)) for net in nets], axis=0)

    return truth


def own_logits(model, X):
    """A truth: the softmax of what the model itself returns in float64."""
    return softmax(double(model, X))


def softmax(logits):
    if logits.shape[-1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], -1)
    return logits.softmax(-1).numpy()


def own(model, X):
    """A truth: the model's own probabilities."""
    return model.predict_proba(X)


class Then(nn.Module):
    """A network, and a function of what it returns."""

    def __init__(self, net, last):
        super().__init__()
        self.net, self.last = net, last

    def forward(self, x):
        return self.last(self.net(x))

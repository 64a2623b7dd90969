"""Extremes of the confidence on the way to the ends of columns' ranges, against forward passes on a grid of 1,000 points.

On the same segments, every column of 50 rows of breast cancer to both ends of its range (3,000 segments), three things are
measured: the time; by how much the grid misses the smallest and the largest confidence; and how many segments there are on
which it misses that the class changes, or that a row is sure no more on the way. Then larger networks, for the time.

    python -m benchmarks.segments
"""

import time

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from torch import nn

import knowlimits as kl
from knowlimits.limits.pieces import piecewise
from knowlimits.limits.stretches import SAME

PLACES = 1000
LEVEL = 0.99


def segments(X, rows):
    """Every column of some rows to both ends of its range, ``(2 * columns * rows, columns)`` each."""
    columns = X.shape[1]
    starts = np.repeat(X[np.random.default_rng(0).permutation(len(X))[:rows]], 2 * columns, 0)
    ends = starts.copy()
    place = np.arange(len(starts)) % (2 * columns)
    ends[np.arange(len(starts)), place // 2] = np.stack([X.min(0), X.max(0)], 1).reshape(-1)[place]
    return starts, ends


def grid(model, starts, ends):
    """What forward passes say: smallest and largest confidence, whether the class changes, and from where on it is sure."""
    t = np.linspace(0, 1, PLACES)
    found = []
    for a, b in zip(np.array_split(starts, 60), np.array_split(ends, 60), strict=True):
        points = torch.from_numpy((a[:, None] + t[:, None] * (b - a)[:, None]).reshape(-1, a.shape[1]))
        probs = model.at(points).mean(0).reshape(len(a), PLACES, -1).numpy()
        confidence, classes = probs.max(2), probs.argmax(2)
        sure = confidence >= LEVEL - SAME
        since = np.where(sure.all(1), 0.0, t[np.minimum(PLACES - sure[:, ::-1].argmin(1), PLACES - 1)])
        since[~sure[:, -1]] = np.nan
        found.append((confidence.min(1), confidence.max(1), (classes != classes[:, :1]).any(1), since))
    return [np.concatenate(part) for part in zip(*found, strict=True)]


def timed(function, *args):
    began = time.perf_counter()
    result = function(*args)
    return result, time.perf_counter() - began


def report(name, model, starts, ends):
    piecewise(model, starts[:2], ends[:2], LEVEL)
    (found, ours), (theirs, others) = (timed(f, model, starts, ends) for f in (lambda *a: piecewise(*a, LEVEL), grid))
    smallest, largest, changes, since = theirs
    exact = found.exact
    lower, higher = (smallest - found.smallest)[exact], (found.largest - largest)[exact]
    print(f"{name}, {len(starts):,} segments: pieces {ours:.2f} s, grid {others:.2f} s, {others / ours:.0f} times as long;")
    print(f"  exact on {exact.mean():.2%}; the grid misses the smallest confidence by up to", end=" ")
    print(f"{lower.max():.1e}, the largest by up to {higher.max():.1e};")
    print(f"  the other way round {max(0, -lower.min()):.1e} and {max(0, -higher.min()):.1e};", end=" ")
    print(f"changes of class that the grid misses: {np.sum(np.isfinite(found.changed_from) & ~changes & exact)};", end=" ")
    late = exact & np.isfinite(since) & (np.abs(since - found.sure_from) > 1 / (PLACES - 1))
    print(f"segments that it takes for sure from somewhere on and that are so later: {late.sum()}", flush=True)


def main():
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    starts, ends = segments(X, 50)
    ensemble = kl.Ensemble(members=10, hidden_sizes=(25, 25), epochs=40, random_state=0).fit(X, y)
    report("10-member ensemble 30-25-25-2", kl.read(ensemble), starts, ends)
    network = kl.NeuralNetwork(hidden_sizes=(64, 64), epochs=400, learning_rate=0.01, random_state=0).fit(X, y)
    report("one network 30-64-64-2, trained for long", kl.read(network), starts, ends)
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Linear(100, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    rows = np.random.default_rng(0).normal(size=(500, 100))
    report("one network 100-256-256-10", kl.read(wide.double()), *segments(rows, 2))


if __name__ == "__main__":
    main()

"""The audit against the honest alternative: forward passes on a grid of radii 10^0 to 10^12 in float64.

Three things are measured on the same rays, every column of 569 rows of breast cancer up and down (34,140 rays): the time to the
limits; how far the limiting confidence is from the truth, which is evaluated in hundreds of digits at a radius of 10^40; and
the distance from which on the confidence stays within 0.01 of its limit, of which a grid knows the decade. Then the times of
whole audits, and of wide tables the memory too: seconds and the peak of the whole process, of which the imports take 0.4 GB.

    python -m benchmarks.audit
"""

import resource
import subprocess
import sys
import time

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import knowlimits as kl
from knowlimits.auditing.find.rays import rays
from knowlimits.auditing.find.settling import LEVEL, settled
from tests.oracles.scores_mp import far_point, probabilities_at

RADII = 10.0 ** np.arange(13)


def ensemble(X, y):
    return kl.Ensemble(members=10, epochs=40, random_state=0).fit(X, y).stack_.double()


def small(X, y):
    """Hidden layers of 4 units, in which whole layers die along some ways."""
    return kl.NeuralNetwork(hidden_sizes=(4, 4), epochs=60, learning_rate=0.01, random_state=0).fit(X, y).stack_.double()


def twin(X, y):
    """An ensemble's member with two output rows that differ in their bias alone: two classes that are never told apart."""
    stack = ensemble(X, y)
    weights, biases = [w.clone()[:1] for w in stack.weights], [b.clone()[:1] for b in stack.biases]
    weights[-1] = torch.cat([weights[-1], weights[-1]], 1)
    biases[-1] = torch.cat([biases[-1], biases[-1] - 0.3], 1)
    return kl.Stack(weights, biases)


def grid(stack, origins, directions):
    """Confidence of every ray at every radius, ``(radii, n)``."""
    found = []
    with torch.no_grad():
        for radius in RADII:
            probs = [
                stack(x + radius * d).softmax(-1).mean(0)
                for x, d in zip(origins.split(4096), directions.split(4096), strict=True)
            ]
            found.append(torch.cat(probs).max(-1).values)
    return torch.stack(found).numpy()


def members(stack, points):
    with torch.no_grad():
        return stack(torch.tensor(points)).softmax(-1).numpy()


def truth(stack, origin, direction):
    point = far_point(origin, direction, 10**40)
    weights, biases = list(stack.weights), list(stack.biases)
    if weights[-1].shape[1] == 1:
        # One logit f is (0, f).
        weights[-1], biases[-1] = (torch.cat([torch.zeros_like(p), p], 1) for p in (weights[-1], biases[-1]))
    members = probabilities_at([w.tolist() for w in weights], [b.tolist() for b in biases], point)
    return max(sum(p[c] for p in members) / len(members) for c in range(len(members[0])))


def limits():
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    starts, steps = rays(X, np.eye(30))
    chosen = np.random.default_rng(0).permutation(len(starts))[:60]
    for name, make in (("10-member ensemble", ensemble), ("one network, 4-4", small), ("twin classes", twin)):
        stack = make(X, y)
        inputs = torch.tensor(starts), torch.tensor(steps)
        kl.far_field(stack, starts[:10], steps[:10])
        times = [[], []]
        for _ in range(3):
            began = time.perf_counter()
            far = kl.far_field(stack, starts, steps)
            for score in ("max_prob", "entropy"):
                far.score(score)
            times[0].append(time.perf_counter() - began)
            began = time.perf_counter()
            confidence = grid(stack, *inputs)
            times[1].append(time.perf_counter() - began)
        exact = np.array([truth(stack, starts[k], steps[k]) for k in chosen])
        errors = [np.abs(values[chosen] - exact) for values in (far.confidence(), confidence[-1])]
        ours, theirs = (min(one) for one in times)
        print(f"{name}: limits {ours:.2f} s, grid {theirs:.2f} s, {theirs / ours:.1f} times as long;")
        print(f"  largest error of the confidence: {errors[0].max():.1e}, grid {errors[1].max():.1e};", end=" ")
        print(f"wrong by more than 1e-6: {np.mean(errors[0] > 1e-6):.0%}, grid {np.mean(errors[1] > 1e-6):.0%}")
        part = kl.far_field(stack, starts[chosen], steps[chosen])
        distance = settled(lambda x, stack=stack: members(stack, x), part)
        off = np.abs(confidence[:, chosen] - confidence[-1, chosen]) > LEVEL
        decade = np.where(off.any(0), RADII[np.minimum(len(RADII) - off[::-1].argmax(0), len(RADII) - 1)], 1.0)
        late = decade[distance > 0] / distance[distance > 0]
        if len(late):
            low, high = np.quantile(late, (0.05, 0.95))
            print(
                f"  the radius at which the grid has settled is {low:.2g} to {high:.2g} times the distance (5% to 95% of rays)"
            )


def whole():
    """In a process of its own, after the imports."""
    X, y = load_breast_cancer(return_X_y=True)
    model = make_pipeline(StandardScaler(), kl.Ensemble(members=10, epochs=20, random_state=0)).fit(X, y)
    kl.audit  # noqa: B018  (imported when it is first named)
    times = []
    for _ in range(4):
        began = time.perf_counter()
        kl.audit(model, X, y)
        times.append(time.perf_counter() - began)
    print(f"audit of a 10-member ensemble, 569 rows, 30 columns: first {times[0]:.1f} s, then {min(times[1:]):.1f} s")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200_000, 100))
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(100, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    began = time.perf_counter()
    found = kl.audit(net, X, (X[:, 0] > 0).astype(int))
    print(f"audit of 200,000 rows, 100 columns: {time.perf_counter() - began:.1f} s. {found.notes[1]}")


WIDE = {
    "linear model": lambda columns: nn.Linear(columns, 1),
    "MLP 64-64": lambda columns: nn.Sequential(
        nn.Linear(columns, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
    ),
    "head of 10 classes": lambda columns: nn.Linear(columns, 10),
}


def wide(name, columns, rows):
    """In a process of its own, whose peak is that of this audit."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    net = WIDE[name](columns)
    X = rng.normal(size=(rows, columns))
    labels = np.arange(rows) % max(2, net(torch.zeros(1, columns)).shape[1])
    began = time.perf_counter()
    kl.audit(net, X, labels)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)
    print(f"audit of a {name}, {rows:,} rows, {columns:,} columns: {seconds:.1f} s, peak {peak:.2f} GB", flush=True)


if __name__ == "__main__":
    limits()
    calls = ["whole()"]
    calls += [f"wide({name!r}, {columns}, 5000)" for name in WIDE for columns in (100, 200, 400, 1000)]
    calls += [f"wide('head of 10 classes', {columns}, 400)" for columns in (384, 512, 1024)]
    for call in calls:
        subprocess.run([sys.executable, "-c", f"from benchmarks import audit; audit.{call}"], check=True)

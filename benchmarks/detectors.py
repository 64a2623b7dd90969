"""Cost of a scored point: every detector, the guard and last-layer Laplace beside the plain forward pass, in one run.

python -m benchmarks.detectors [--points 10000]
"""

import argparse
import time

import numpy as np
from sklearn.datasets import load_digits

import knowlimits as kl


def seconds(function, repeats=5):
    """The best of a few: what else the machine does only adds time."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=10_000)
    points = parser.parse_args().points
    X, y = load_digits(return_X_y=True)
    X = X / 16
    model = kl.NeuralNetwork(hidden_sizes=(64, 64), epochs=10, random_state=0).fit(X, y)
    rows = X[np.random.default_rng(0).integers(0, len(X), points)]
    plain = seconds(lambda: model.predict_proba(rows))
    print("| score | fit, ms | us a point | forward passes | far field, us a ray |\n|---|---:|---:|---:|---:|")
    print(f"| predict_proba | | {1e6 * plain / points:.2f} | 1.0 | |")
    named = []
    for name, entry in kl.detectors.DETECTORS.items():
        detector, seen = entry.build(random_state=0), kl.detectors.Inputs(X) if entry.on_inputs else model
        named.append((name, detector, lambda d=detector, seen=seen: d.fit(seen, X, y), detector.score))
    guard, laplace = kl.Guard(model, random_state=0), kl.LastLayerLaplace(model)
    named.append(("Guard", guard, lambda: guard.fit(X), guard.predict_proba))
    named.append(("LastLayerLaplace", laplace, lambda: laplace.fit(X, y), laplace.predict_proba))
    for name, scorer, fit, score in named:
        fitting, took = seconds(fit, 1), seconds(lambda score=score: score(rows))
        far = seconds(lambda scorer=scorer: scorer.far_field(rows, "random", random_state=0), 2)
        cost = f"{1e6 * took / points:.2f} | {took / plain:.1f} | {1e6 * far / points:.2f}"
        print(f"| {name} | {1e3 * fitting:.0f} | {cost} |", flush=True)


if __name__ == "__main__":
    main()

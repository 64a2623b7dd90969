"""Training time of the paper's networks: plain sequential PyTorch against `fit_together`, in one run.

Both train the networks of NN, PlattScalingNN, MCDropout, NNEnsemble and AnchoredNNEnsemble on the same data for 20 epochs of
Adam with mini-batches of 64 and validate after every epoch. BBB is left out on both sides, and so is the anchors' penalty on
the sequential one, which only makes that one faster.

    python benchmarks/training.py [--seeds 1 20]
"""

import argparse
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from knowlimits.experiments.half_moons import draw_data, model_names, settings, train_models


def sequential(parameters, data):
    """One network as people write it."""
    sizes = [2, *parameters["hidden_sizes"]]
    layers = []
    for i, o in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(i, o), nn.ReLU(), nn.Dropout(parameters["dropout"])]
    network = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=parameters["learning_rate"])
    X, y, X_val, y_val = (torch.tensor(a, dtype=torch.float32) for a in (data.X, data.y, data.X_val, data.y_val))
    training = settings()["training"]
    loader = DataLoader(TensorDataset(X, y), training["batch_size"], shuffle=True)

    def loss(X, y):
        mean = y.mean()
        weight = (1 - mean) / mean if parameters.get("class_weight") == "batch" else torch.tensor(1.0)
        return nn.functional.binary_cross_entropy_with_logits(network(X)[:, 0], y, pos_weight=weight)

    best, bad = float("inf"), 0
    for _ in range(training["epochs"]):
        network.train()
        for batch in loader:
            optimizer.zero_grad()
            loss(*batch).backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            value = float(loss(X_val, y_val))
        best, bad = (value, 0) if value < best else (best, bad + 1)
        if bad >= training["patience"]:
            break


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 20])
    names = [name for name in model_names() if name != "BBB"]
    train_models(names, [draw_data(99)])  # warm up
    print("| seeds | networks | sequential, s | together, s | ratio |\n|---:|---:|---:|---:|---:|")
    for seeds in parser.parse_args().seeds:
        data = [draw_data(seed) for seed in range(seeds)]
        jobs = []
        for name in names:
            parameters = settings()["models"][name]["parameters"]
            jobs += [(parameters, d) for d in data for _ in range(parameters.get("members", 1))]
        start = time.perf_counter()
        for parameters, d in jobs:
            sequential(parameters, d)
        middle = time.perf_counter()
        train_models(names, data)
        end = time.perf_counter()
        one, many = middle - start, end - middle
        print(f"| {seeds} | {len(jobs)} | {one:.2f} | {many:.2f} | {one / many:.1f} |", flush=True)


if __name__ == "__main__":
    main()

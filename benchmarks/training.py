"""Training time of the paper's networks: plain sequential PyTorch against `fit_together`, in one run.

Both train the networks of all six models on the same data for 20 epochs of Adam with mini-batches of 64 and validate after
every epoch. The sequential side leaves the anchors' penalty and Platt's scaling out, which only makes it faster.

    python -m benchmarks.training [--seeds 1 20]
"""

import argparse
import math
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from knowlimits.studies.half_moons import draw_data, model_names, settings, train_models


class BayesianLinear(nn.Module):
    """A linear layer with a Gaussian over every weight, as people write it; `kl` is that of the last forward pass."""

    def __init__(self, inputs, outputs, parameters):
        super().__init__()
        self.parameters_ = parameters
        shape = (outputs, inputs + 1)
        self.mu = nn.Parameter(parameters["posterior_mu"] + 0.1 * torch.randn(shape))
        self.rho = nn.Parameter(parameters["posterior_rho"] + 0.1 * torch.randn(shape))

    def forward(self, x):
        p = self.parameters_
        sigma = nn.functional.softplus(self.rho)
        weight = self.mu + sigma * torch.randn_like(sigma)
        posterior = torch.distributions.Normal(self.mu, sigma).log_prob(weight)
        parts = [
            math.log(share) + torch.distributions.Normal(0.0, scale).log_prob(weight)
            for share, scale in ((p["prior_pi"], p["prior_sigma1"]), (1 - p["prior_pi"], p["prior_sigma2"]))
        ]
        self.kl = (posterior - torch.logaddexp(*parts)).sum()
        return nn.functional.linear(x, weight[:, :-1], weight[:, -1])


def sequential(parameters, data):
    """One network as people write it."""
    sizes = [2, *parameters["hidden_sizes"]]
    bayesian = "posterior_mu" in parameters

    def linear(inputs, outputs):
        return BayesianLinear(inputs, outputs, parameters) if bayesian else nn.Linear(inputs, outputs)

    layers = []
    for i, o in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [linear(i, o), nn.ReLU(), nn.Dropout(parameters["dropout"])]
    network = nn.Sequential(*layers, linear(sizes[-1], 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=parameters["learning_rate"])
    X, y, X_val, y_val = (torch.tensor(a, dtype=torch.float32) for a in (data.X, data.y, data.X_val, data.y_val))
    training = settings()["training"]
    loader = DataLoader(TensorDataset(X, y), parameters.get("batch_size", training["batch_size"]), shuffle=True)

    def loss(X, y):
        # A batch of one class alone would weigh the other by infinity, as the published code does.
        mean = y.mean().clamp(1 / len(y), 1 - 1 / len(y))
        weight = (1 - mean) / mean if parameters.get("class_weight") == "batch" else torch.tensor(1.0)
        return nn.functional.binary_cross_entropy_with_logits(network(X)[:, 0], y, pos_weight=weight)

    def objective(X, y, step):
        if not bayesian:
            return loss(X, y)
        # Annealed over the first 40% of the steps; the KL term's share of a mini-batch as in Blundell et al., section 3.4.
        batches = len(loader)
        annealed = min(step / (0.4 * training["epochs"] * batches), 1) * parameters["beta"]
        share = 2.0 ** (batches - step % batches - 1) / (2.0**batches - 1)
        total = 0
        for _ in range(3):
            total = (
                total + loss(X, y) + annealed * share * batches / len(data.X) * sum(m.kl for m in network if hasattr(m, "kl"))
            )
        return total / 3

    best, bad, step = float("inf"), 0, 0
    for _ in range(training["epochs"]):
        network.train()
        for batch in loader:
            optimizer.zero_grad()
            objective(*batch, step).backward()
            optimizer.step()
            step += 1
        network.eval()
        with torch.no_grad():
            value = float(loss(X_val, y_val))
        best, bad = (value, 0) if value < best else (best, bad + 1)
        if bad >= training["patience"]:
            break
    return network


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 20])
    names = model_names()
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

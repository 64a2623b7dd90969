"""Cells per second of `partition` over the whole plane, beside one forward pass over its vertices, in one run.

Networks trained on half-moons by the library. The floor is one float64 forward pass of the network over all vertices. Where
relucent is installed (`pip install relucent`), which walks the whole plane from cell to cell, it runs on the smallest network.

    python -m benchmarks.partition [--largest]
"""

import argparse
import importlib.util
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import make_moons

import knowlimits as kl

SIZES = [(25, 25, 25), (64, 64, 64), (128, 128, 128), (256, 256, 256, 256)]


def trained(hidden):
    X, y = make_moons(500, noise=0.125, random_state=0)
    return kl.NeuralNetwork(hidden_sizes=hidden, epochs=20, random_state=0).fit(X, y)


def seconds(function, repeats=3):
    """The best of a few: what else the machine does only adds time."""
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - start)
    return best, result


def floor(model, p):
    """One forward pass over the vertices."""
    network = model.stack_.member(0).double()
    points = torch.from_numpy(np.ascontiguousarray(p.vertices[:, :2]))
    with torch.no_grad():
        network(points)
        return seconds(lambda: network(points))[0]


def peak(index):
    """Peak memory of a fresh process beyond what it had before, in MB; nan where the system does not say."""
    code = f"from benchmarks import partition as b; b.report({index})"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def report(index):
    kl.partition(trained((4,)))
    model = trained(SIZES[index])
    try:
        # Makes the kernel forget the peak so far.
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        print(np.nan)
        return
    before = high_water()
    kl.partition(model)
    print(high_water() - before)


def high_water():
    """Most memory that this process has held, in MB."""
    return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def first_call():
    """Time of the first partition of a fresh process, whose kernels are compiled already, without the imports."""
    code = """
import time, torch, knowlimits as kl
net = torch.nn.Sequential(torch.nn.Linear(2, 5), torch.nn.ReLU(), torch.nn.Linear(5, 1))
kl.far_field
start = time.perf_counter()
kl.partition(net)
print(time.perf_counter() - start)
"""
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def relucent_cells(model):
    """The number of cells that relucent finds, and its seconds."""
    import relucent

    start = time.perf_counter()
    found = relucent.Complex(model.stack_.member(0).double())
    found.bfs()
    return len(found), time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--largest", action="store_true", help="the network of four layers of 256 too")
    arguments = parser.parse_args()
    kl.partition(trained((4,)))
    print(f"first call of a fresh process: {first_call():.2f} s\n")
    print("| hidden | cells | unbounded | seconds | cells/s | floor, s | ratio | MB | resolved |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for index, hidden in enumerate(SIZES):
        if len(hidden) == 4 and not arguments.largest:
            continue
        model = trained(hidden)
        took, p = seconds(lambda model=model: kl.partition(model))
        least = floor(model, p)
        unbounded = int((~p.bounded).sum())
        print(
            f"| {'-'.join(map(str, hidden))} | {len(p):,} | {unbounded} | {took:.3f} | {len(p) / took:,.0f} | {least:.3f} "
            f"| {took / least:.1f} | {peak(index):.0f} | {p.resolved} |",
            flush=True,
        )
    if importlib.util.find_spec("relucent"):
        found, took = relucent_cells(trained(SIZES[0]))
        print(f"\nrelucent, {'-'.join(map(str, SIZES[0]))}: {found:,} cells in {took:.1f} s, {found / took:,.0f} cells/s")


if __name__ == "__main__":
    main()

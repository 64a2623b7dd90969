"""Cells per second of `partition` over the whole plane, beside one forward pass over its vertices, in one run.

Networks trained on half-moons by the library. The floor is one float64 forward pass of the network over all vertices. Where
relucent is installed (`pip install relucent`), which walks the whole plane from cell to cell, it runs on the smallest network.
Edge subdivision (A. Berzins, "Polyhedral complex extraction from ReLU networks using edge subdivision", ICML 2023), in the box
[-5, 5]^2, which is all that it can do, runs from a checkout of its repository.

    python -m benchmarks.partition [--largest] [--edge-subdivision CHECKOUT]
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
#: More than a million cells, found in this many cones one after another.
MILLION, CONES = (512, 512, 512, 512), 16
BOX = 5.0


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


def peak(hidden, starts=None):
    """Cells, seconds, and peak memory of a fresh process beyond what it had before, in MB; nan where that is not known."""
    code = f"from benchmarks import partition as b; b.report({hidden}, {starts})"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return [float(value) for value in printed.split()]


def report(hidden, starts):
    kl.partition(trained((4,)))
    model = trained(hidden)
    try:
        # Makes the kernel forget the peak so far.
        Path("/proc/self/clear_refs").write_text("5")
        before = high_water()
    except OSError:
        before = np.nan
    start = time.perf_counter()
    p = kl.partition(model, starts=starts)
    print(len(p), time.perf_counter() - start, np.nan if np.isnan(before) else high_water() - before)


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


def subdivided(model, checkout):
    """The number of cells that edge subdivision finds in the box, from Euler's formula, and its seconds."""
    sys.path.insert(0, str(checkout))
    from edge_subdivision import skeletal_subdivision
    from NN import Net

    network = model.stack_.member(0)
    linear = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
    theirs = Net([linear[0].in_features, *(layer.out_features for layer in linear)])
    theirs.fcs = torch.nn.ModuleList(linear)
    with torch.no_grad():
        took, (vertices, edges, _) = seconds(
            lambda: skeletal_subdivision(theirs.float(), bbox=(-BOX, BOX), device="cpu", verbose=False), 2
        )
    return len(edges) - len(vertices) + 1, took


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--largest", action="store_true", help="networks of four layers of 256 and of 512 too")
    parser.add_argument("--edge-subdivision", type=Path, metavar="CHECKOUT", help="folder with edge_subdivision.py")
    arguments = parser.parse_args()
    kl.partition(trained((4,)))
    print(f"first call of a fresh process: {first_call():.2f} s\n")
    print("| hidden | cells | unbounded | seconds | cells/s | floor, s | ratio | MB | resolved |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for hidden in SIZES:
        if len(hidden) == 4 and not arguments.largest:
            continue
        model = trained(hidden)
        took, p = seconds(lambda model=model: kl.partition(model))
        least = floor(model, p)
        unbounded = int((~p.bounded).sum())
        print(
            f"| {'-'.join(map(str, hidden))} | {len(p):,} | {unbounded} | {took:.3f} | {len(p) / took:,.0f} | {least:.3f} "
            f"| {took / least:.1f} | {peak(hidden)[2]:.0f} | {p.resolved} |",
            flush=True,
        )
        if arguments.edge_subdivision and len(hidden) == 3:
            found, theirs = subdivided(model, arguments.edge_subdivision)
            print(f"  edge subdivision, in the box: {found:,} cells in {theirs:.3f} s, {found / theirs:,.0f} cells/s")
            took, p = seconds(lambda model=model: kl.partition(model, box=(-BOX, BOX, -BOX, BOX)))
            print(f"  ours, in the box: {len(p):,} cells in {took:.3f} s, {len(p) / took:,.0f} cells/s")
    if arguments.largest:
        found, took, memory = peak(MILLION, CONES)
        name = "-".join(map(str, MILLION))
        print(f"\n{name}, in {CONES} cones: {found:,.0f} cells in {took:.1f} s, {found / took:,.0f} cells/s, {memory:,.0f} MB")
    if importlib.util.find_spec("relucent"):
        found, took = relucent_cells(trained(SIZES[0]))
        print(f"\nrelucent, {'-'.join(map(str, SIZES[0]))}: {found:,} cells in {took:.1f} s, {found / took:,.0f} cells/s")


if __name__ == "__main__":
    main()

"""Cells per second of `partition` over the whole plane, beside one forward pass over its vertices, in one run.

Networks trained on half-moons by the library. The floor is one float64 forward pass of the network over all vertices. Where
relucent is installed (`pip install relucent`), which walks the whole plane from cell to cell, it runs on the smallest network.
Edge subdivision (A. Berzins, "Polyhedral complex extraction from ReLU networks using edge subdivision", ICML 2023), in the box
[-5, 5]^2, which is all that it can do, runs from a checkout of its repository.

With --deep, the trained networks of `benchmarks.networks` instead, in seconds of the processor, each beside a half-moons
network of its first three layers' widths on the whole plane. Every network runs in a process of its own, which ends where a box
takes longer than the limit. The peers run on the same networks drawn back to the plane: edge subdivision, in float32, in the
same box, and relucent on whole planes.

    python -m benchmarks.partition [--largest] [--deep [NAME]] [--limit SECONDS] [--boxes N]
        [--edge-subdivision CHECKOUT]
"""

import argparse
import importlib.util
import re
import resource
import signal
import subprocess
import sys
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import make_moons

import knowlimits as kl
from benchmarks.networks import NETWORKS, Network

SIZES = [(25, 25, 25), (64, 64, 64), (128, 128, 128), (256, 256, 256, 256)]
#: More than a million cells, found in this many cones one after another.
MILLION, CONES = (512, 512, 512, 512), 16
BOX = 5.0
#: How many cells relucent finds of a deep network: it takes about a tenth of a second for each.
FEW = 200


def trained(hidden):
    X, y = make_moons(500, noise=0.125, random_state=0)
    return kl.NeuralNetwork(hidden_sizes=hidden, epochs=20, random_state=0).fit(X, y)


def seconds(function, repeats=3, clock=time.perf_counter):
    """The best of a few: what else the machine does only adds time."""
    best = np.inf
    for _ in range(repeats):
        start = clock()
        result = function()
        best = min(best, clock() - start)
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


def relucent_cells(network, most=np.inf):
    """The number of cells that relucent finds, up to so many, and its seconds."""
    import relucent

    start = time.perf_counter()
    found = relucent.Complex(network.double())
    found.bfs(max_polys=most, verbose=0)
    return len(found), time.perf_counter() - start


def subdivided(network, checkout, side=BOX, clock=time.perf_counter):
    """The number of cells that edge subdivision finds in the box [-side, side]^2, from Euler's formula, and its seconds."""
    sys.path.insert(0, str(checkout))
    from edge_subdivision import skeletal_subdivision
    from NN import Net

    linear = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
    theirs = Net([linear[0].in_features, *(layer.out_features for layer in linear)])
    theirs.fcs = torch.nn.ModuleList(linear)
    with torch.no_grad():
        took, (vertices, edges, _) = seconds(
            lambda: skeletal_subdivision(theirs.float(), bbox=(-side, side), device="cpu", verbose=False), 2, clock
        )
    return len(edges) - len(vertices) + 1, took


def on_plane(network, box):
    """A network of linear layers and ReLUs as one of two inputs, the box being [-1, 1]^2 of them; None for other networks."""
    if not isinstance(network.module, torch.nn.Sequential):
        return None
    layers = list(deepcopy(network.module))
    if not all(isinstance(layer, torch.nn.Linear | torch.nn.ReLU) for layer in layers):
        return None
    plane = network.plane or kl.Plane(np.zeros(2), *np.eye(2))
    left, right, low, high = box or (-1, 1, -1, 1)
    first, corner = layers[0], plane.lift([[(left + right) / 2, (low + high) / 2]])[0]
    axes = torch.tensor(np.stack([plane.u * (right - left) / 2, plane.v * (high - low) / 2], axis=1)).to(first.weight)
    drawn = torch.nn.Linear(2, first.out_features, dtype=first.weight.dtype)
    with torch.no_grad():
        drawn.weight.copy_(first.weight @ axes)
        drawn.bias.copy_(first(torch.tensor(corner).to(first.weight)))
    return torch.nn.Sequential(drawn, *layers[1:])


def report_deep(name, boxes, limit, checkout):
    """A row for each box of a trained network, half-moons first: printed as it is found, as the process may be ended."""
    torch.set_num_threads(1)
    network = NETWORKS[name]()
    hidden = network.hidden[:3]
    model = trained(hidden)
    kl.partition(trained((4,)))
    took, p = seconds(lambda: kl.partition(model), clock=time.process_time)
    usual = len(p) / took
    row(f"half-moons, {'-'.join(map(str, hidden))}", None, len(p), took, usual, means(p))
    for box in network.boxes[:boxes]:
        spent = int(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (spent + limit, resource.RLIM_INFINITY))
        took, p = seconds(lambda box=box: kl.partition(network.module, network.plane, box), 1, time.process_time)
        if took < limit / 10:
            took, p = seconds(lambda box=box: kl.partition(network.module, network.plane, box), clock=time.process_time)
        row(name, box, len(p), took, usual, means(p))
        resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        peers(network, box, usual, checkout)


def row(name, box, cells, took, usual, note):
    where = "whole plane" if box is None else f"{box[1] - box[0]:g} x {box[3] - box[2]:g}"
    print(
        f"| {name} | {where} | {cells:,} | {took:.3f} | {cells / took:,.0f} | {cells / took / usual:.3f} | {note} |", flush=True
    )


def peers(network: Network, box, usual, checkout):
    """What others take for the same cells, where they can."""
    drawn = on_plane(network, box)
    if drawn is None:
        return
    if checkout and box:
        row("  edge subdivision", box, *subdivided(drawn, checkout, 1.0, time.process_time), usual, "")
    if not box and importlib.util.find_spec("relucent"):
        row("  relucent", box, *relucent_cells(drawn, FEW), usual, "")


def means(p):
    """How many vertices were decided by which means."""
    bounds = "each unit" if p.status.every_unit else "each vertex"
    return f"bounds of {bounds}; {p.status.doubled:,} in double length, {p.status.integers:,} in integers"


def deep(wanted, limit, boxes, checkout):
    print("| network | where | cells | seconds | cells/s | of half-moons | vertices |")
    print("|---|---|---:|---:|---:|---:|---|", flush=True)
    for name in NETWORKS:
        if wanted not in name:
            continue
        given = f"{name!r}, {boxes!r}, {limit}, {checkout and str(checkout)!r}"
        code = f"from benchmarks import partition as b; b.report_deep({given})"
        ended = subprocess.run([sys.executable, "-c", code]).returncode
        if ended == -signal.SIGXCPU:
            print(f"| {name} | the next box | | > {limit} | | | |", flush=True)
        elif ended:
            sys.exit(f"{name}: the process has ended with {ended}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--deep", nargs="?", const="", metavar="NAME", help="trained networks, those with this in their name")
    parser.add_argument("--limit", type=int, default=60, help="seconds of the processor for a box of a trained network")
    parser.add_argument("--boxes", type=int, help="how many boxes of each trained network, the smallest first")
    parser.add_argument("--largest", action="store_true", help="networks of four layers of 256 and of 512 too")
    parser.add_argument("--edge-subdivision", type=Path, metavar="CHECKOUT", help="folder with edge_subdivision.py")
    arguments = parser.parse_args()
    if arguments.deep is not None:
        deep(arguments.deep, arguments.limit, arguments.boxes, arguments.edge_subdivision)
        return
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
            found, theirs = subdivided(model.stack_.member(0), arguments.edge_subdivision)
            print(f"  edge subdivision, in the box: {found:,} cells in {theirs:.3f} s, {found / theirs:,.0f} cells/s")
            took, p = seconds(lambda model=model: kl.partition(model, box=(-BOX, BOX, -BOX, BOX)))
            print(f"  ours, in the box: {len(p):,} cells in {took:.3f} s, {len(p) / took:,.0f} cells/s")
    if arguments.largest:
        found, took, memory = peak(MILLION, CONES)
        name = "-".join(map(str, MILLION))
        print(f"\n{name}, in {CONES} cones: {found:,.0f} cells in {took:.1f} s, {found / took:,.0f} cells/s, {memory:,.0f} MB")
    if importlib.util.find_spec("relucent"):
        found, took = relucent_cells(trained(SIZES[0]).stack_.member(0))
        print(f"\nrelucent, {'-'.join(map(str, SIZES[0]))}: {found:,} cells in {took:.1f} s, {found / took:,.0f} cells/s")


if __name__ == "__main__":
    main()

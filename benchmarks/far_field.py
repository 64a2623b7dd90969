"""Time and memory of `far_field` over one plain forward pass of the same batch in float64, in one run.

The floor is 2: the far field carries two numbers for each of the plain pass. Rows of features it takes in batches of 4,096, its
default, which also bounds its memory.

    python -m benchmarks.far_field
"""

import argparse
import resource
import subprocess
import sys
import time
from statistics import median

import torch

import knowlimits as kl
from tests.architectures import ResNet18, randomized


def stack():
    generator = torch.Generator().manual_seed(0)
    sizes = [2, 25, 25, 25, 1]
    pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
    weights = [torch.randn(10, o, i, generator=generator, dtype=torch.float64) / i**0.5 for i, o in pairs]
    biases = [torch.randn(10, o, generator=generator, dtype=torch.float64) for _, o in pairs]
    return kl.Stack(weights, biases), torch.randn(10_000, 2, generator=generator, dtype=torch.float64), 10_000


def resnet():
    torch.manual_seed(0)
    return randomized(ResNet18()).double(), torch.randn(64, 3, 32, 32, dtype=torch.float64), 64


CASES = {"Stack of 10, 25-25-25, 10,000 rays": stack, "ResNet-18, 64 images of 32 x 32": resnet}


def plain(model, x, batch_size):
    with torch.no_grad():
        for part in x.split(batch_size):
            model(part)


def far(model, x, batch_size):
    kl.far_field(model, x, torch.ones_like(x), batch_size=min(batch_size, 4096))


def seconds(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def peak(case, kind):
    """Peak memory of a fresh process, in MB: what the pass adds to the model, the data and the libraries."""
    code = f"from benchmarks import far_field as b; b.report({case!r}, {kind!r})"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def report(case, kind):
    model, x, batch_size = CASES[case]()
    if case.startswith("Stack"):
        # Enough of them that memory is what the rays take, not what loading the libraries took.
        x, batch_size = x.repeat(20, 1), 20 * batch_size
    else:
        x, batch_size = x.repeat(4, 1, 1, 1), 4 * batch_size
    made = model, x, batch_size
    far(model, x[:1], 1)  # what is loaded once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    {"plain": plain, "far": far}[kind](*made)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    print(
        "| case | plain, ms | far field, ms | ratio | plain, MB | far field, MB | ratio |\n|---|---:|---:|---:|---:|---:|---:|"
    )
    for case, make in CASES.items():
        made = make()
        plain(*made)
        far(*made)
        # Side by side, and medians: where fresh memory comes from moves single runs by half.
        times = [(seconds(plain, *made), seconds(far, *made)) for _ in range(repeats)]
        one, two = (1000 * median(t) for t in zip(*times, strict=True))
        ratio = median(b / a for a, b in times)
        small, large = peak(case, "plain"), peak(case, "far")
        print(
            f"| {case} | {one:.1f} | {two:.1f} | {ratio:.2f} | {small:.0f} | {large:.0f} | {large / small:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

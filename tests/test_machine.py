"""Threads, memory and compiled code: what the library leaves as it was, and what it does where it may write nowhere."""

import concurrent.futures
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info
from torch import nn

import knowlimits as kl
from knowlimits import _machine

SOURCE = Path(kl.__file__).parent


def run(code, **environment):
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, timeout=240
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


# Every public function that computes, on what it takes.
CALLS = """
import os, numpy as np, torch, knowlimits as kl
from torch import nn
from threadpoolctl import threadpool_info

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 2)); y = (X[:, 0] > 0).astype(int)
net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)).double()
model = kl.NeuralNetwork(epochs=2, random_state=0).fit(X, y)
torch.exp(torch.zeros(10)); np.linalg.inv(np.eye(3))
CALLS = {
    "fit": lambda: kl.Ensemble(epochs=2, members=2, random_state=0).fit(X, y),
    "fit_together": lambda: kl.fit_together([(kl.NeuralNetwork(epochs=1), X, y)]),
    "predict_proba": lambda: model.predict_proba(X),
    "uncertainty": lambda: model.uncertainty(X),
    "far_field": lambda: kl.far_field(net, X, "features", certify=True).score(),
    "gradient of a limit": lambda: kl.limits.gradient_magnitude(net, kl.far_field(net, X, "features")),
    "gradient_magnitude": lambda: kl.scores.gradient_magnitude(net, X, "entropy"),
    "partition": lambda: kl.partition(net).affine,
    "merged": lambda: len(kl.partition(net).merged()),
    "locate": lambda: kl.partition(net).locate(X),
    "breakpoints": lambda: kl.breakpoints(net, [0.0, 0.0], direction=[1.0, 0.5]),
    "horizon": lambda: kl.horizon(net).share(),
    "detectors": lambda: [
        getattr(kl.detectors, name)().fit(net, X, y).far_field(X, "features") for name in ("Energy", "Mahalanobis", "ViM")
    ],
    "inputs": lambda: kl.detectors.InputDetector("isolation_forest").fit(None, X).score(X),
    "Guard": lambda: kl.Guard(model).fit(X).predict_proba(X),
    "LastLayerLaplace": lambda: kl.LastLayerLaplace(net).fit(X, y).predict_proba(X),
    "audit": lambda: str(kl.audit(model, X, y)),
    "assert_far_field": lambda: kl.assert_far_field(kl.Guard(model).fit(X), X),
    "search": lambda: kl.search(kl.NeuralNetwork(epochs=1), X, y, {"learning_rate": [0.1, 0.01]}, trials=2),
}

def state():
    pools = sorted((p["filepath"], p["num_threads"]) for p in threadpool_info())
    return torch.get_num_threads(), pools, dict(os.environ)
"""


@pytest.mark.parametrize("threads", [1, 3])
def test_every_public_function_leaves_threads_and_environment_as_they_were(threads):
    code = f"""{CALLS}
torch.set_num_threads({threads})
for name, call in CALLS.items():
    before = state()
    call()
    after = state()
    # A library that was loaded meanwhile has threads of its own.
    assert after[0] == before[0] == {threads}, (name, before[0], after[0])
    assert set(before[1]) <= set(after[1]), (name, before[1], after[1])
    assert after[2] == before[2], name
"""
    run(code, OMP_NUM_THREADS="")


def test_small_models_run_in_one_thread_and_large_ones_in_as_many_as_there_are():
    seen = []

    class Spy(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.layer = nn.Linear(2, width)

        def forward(self, x):
            seen.append(torch.get_num_threads())
            return self.layer(x)[:, :2]

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        X = np.zeros((3, 2))
        for width in (4, 2**19):
            net = Spy(width)
            kl.far_field(net, X, "random")
            kl.scores.gradient_magnitude(net, X, "entropy")
            kl.read(net, X=X).predict_proba(X)
            expected = 1 if width == 4 else 3
            assert set(seen) == {expected}
            seen.clear()
        kl.partition(Spy(4))
        assert set(seen) == {1}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_threads_are_as_before_after_an_error_and_in_threads_of_python():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(RuntimeError), _machine.one_thread():
            raise RuntimeError
        assert torch.get_num_threads() == 3
        meet = threading.Barrier(2)

        def inside():
            with _machine.one_thread():
                meet.wait()
                meet.wait()

        def outside():
            # Asks torch for the first time in its thread while another works in one.
            meet.wait()
            count = torch.get_num_threads()
            meet.wait()
            return count

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            working, asking = pool.submit(inside), pool.submit(outside)
            working.result()
            assert asking.result() == 3
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def blas():
    return [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]


def test_blas_is_put_back_whoever_leaves_last():
    np.linalg.inv(np.eye(2))
    before = blas()
    meet = threading.Barrier(2, timeout=60)

    def first():
        with _machine.one_blas_thread():
            meet.wait()
            meet.wait()
        meet.wait()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        working = pool.submit(first)
        meet.wait()
        with _machine.one_blas_thread():
            assert set(blas()) == {1}
            meet.wait()
            meet.wait()
        working.result()
    assert blas() == before


def test_torch_works_in_a_forked_child_afterwards():
    code = f"""{CALLS}
import signal
torch.set_num_threads(2)
for call in (CALLS["far_field"], CALLS["partition"], CALLS["fit"], CALLS["audit"]):
    call()
if (child := os.fork()) == 0:
    signal.alarm(60)
    net(torch.zeros(200, 2).double())
    torch.zeros(1000).exp()
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert run("import warnings; warnings.simplefilter('ignore')\n" + code) == "0"


def test_kernels_compile_where_nothing_can_be_written(tmp_path):
    package = tmp_path / "knowlimits"
    for path in SOURCE.rglob("*"):
        if path.suffix not in (".py", ".toml", ".typed"):
            continue
        copy = package / path.relative_to(SOURCE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    for folder in {path.parent for path in package.rglob("*.py")}:
        # A file of that name: whoever it is, nobody makes a folder there.
        (folder / "__pycache__").write_text("")
    code = (
        "import knowlimits as kl, torch; from torch.nn import Linear, ReLU, Sequential; "
        "net = Sequential(Linear(2, 3), ReLU(), Linear(3, 2)); "
        "print(kl.__file__, kl.far_field(net, torch.zeros(2, 2), 'features').probs.shape, len(kl.partition(net)) > 0)"
    )
    nowhere = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null/cache", "NUMBA_CACHE_DIR": "/dev/null/numba"}
    out = run(code, PYTHONPATH=str(tmp_path), PYTHONDONTWRITEBYTECODE="1", **nowhere)
    assert out == f"{package / '__init__.py'} (1, 8, 2) True"


@pytest.mark.parametrize("numbers", [1, 7, 2**15, 2**30])
def test_blocks_hold_as_many_numbers_as_the_cache(numbers):
    rows = _machine.rows_at_a_time(numbers)
    assert rows == 1 or rows * numbers <= 2**16 < (rows + 1) * numbers
    assert _machine.rows_at_a_time(numbers, "cuda") >= rows


def test_blocks_learn_how_large_a_model_s_tensors_are():
    sizes = []

    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 3000)

        def forward(self, x):
            sizes.append(len(x))
            return self.layer(x).relu()[:, :2]

    X = np.random.default_rng(0).normal(size=(200, 2))
    model = kl.read(Wide(), X=X)
    sizes.clear()
    far = kl.far_field(model, X, np.ones((200, 2)))
    assert sum(sizes) == 200
    assert set(sizes[1:-1]) == {2**16 // 3000}
    assert far.rate.shape == (1, 200, 2)

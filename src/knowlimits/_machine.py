"""How much of the machine the library takes: threads, and memory.

Networks of tables are small: an operation on them takes less time than threads take to agree that it is done, and far less
where other programs want the same cores. So small models run in one thread, and everything public leaves the numbers of
threads, on which all of a person's own work hangs, as they were.

Large temporary tensors are mapped by the system when they are made and given back when they are gone, and touching their pages
for the first time costs more than the arithmetic on them. So rows are worked on in blocks that stay in the processor's cache.
"""

import functools
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from knowlimits._torch import mkl_threads

# Models of fewer weights, on inputs of fewer numbers, run in one thread.
_FEW_WEIGHTS, _FEW_NUMBERS = 2**20, 2**12
# Numbers in the largest tensor of a block: half a megabyte in float64, a part of a core's own cache. Smaller blocks cost more
# in calls than they save, larger ones more in memory. A GPU has no such cache, and its calls cost more.
_BLOCK, _BLOCK_ON_GPU = 2**16, 2**23


@contextmanager
def one_thread(small: bool = True) -> Iterator[None]:
    """Torch works in one thread inside; nothing happens unless `small`.

    OpenMP and MKL are told so for the calling thread of Python alone. `torch.set_num_threads` would tell it to all that ask for
    the first time meanwhile, for good.
    """
    if not small:
        yield
        return
    # Torch has a thread's numbers set when it is first asked for them, which must not come later.
    torch.get_num_threads()
    before = _set_mkl_threads(1)
    try:
        with _pools("openmp", len(sys.modules)).limit(limits=1):
            yield
    finally:
        _set_mkl_threads(before)


def is_small(weights: int, numbers: int = 1) -> bool:
    """Whether a model of so many weights, all members together, on inputs of so many numbers each, runs in one thread."""
    return weights < _FEW_WEIGHTS and numbers < _FEW_NUMBERS


def are_small(modules: Iterable[nn.Module], numbers: int = 1) -> bool:
    """`is_small` of modules together."""
    return is_small(sum(p.numel() for module in modules for p in module.parameters()), numbers)


def rows_at_a_time(numbers: int, device: Any = "cpu") -> int:
    """How many rows make a block, if the largest tensor that is made of one row has so many numbers."""
    block = _BLOCK if torch.device(device).type == "cpu" else _BLOCK_ON_GPU
    return max(1, block // max(1, numbers))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """BLAS, which numpy, SciPy and scikit-learn call, works in one thread inside.

    Its threads and torch's, each waiting in busy loops for the next product, slow each other down on matrices as small as a
    table's. Its setting is the whole process's: who comes while another is inside changes nothing, so that who came first puts
    back what was there.
    """
    if not _blas.acquire(blocking=False):
        yield
        return
    try:
        with _pools("blas", len(sys.modules)).limit(limits=1):
            yield
    finally:
        _blas.release()


_blas = threading.Lock()


@functools.lru_cache(maxsize=2)
def _pools(kind: str, modules: int) -> Any:
    """Libraries with pools of threads; looked for again, which takes milliseconds, once more modules are imported."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api=kind)


def _set_mkl_threads(count: int) -> int:
    """Set the number of threads of torch's MKL for the calling thread, and return what it was; 0 is as OpenMP has it."""
    function = mkl_threads()
    return 0 if function is None else function(count)

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
from contextlib import ContextDecorator, contextmanager
from typing import Any

import torch
from torch import nn

# Models of fewer weights, on inputs of fewer numbers, run in one thread.
_FEW_WEIGHTS, _FEW_NUMBERS = 2**20, 2**12
# Numbers in the largest tensor of a block: half a megabyte in float64, a part of a core's own cache. Smaller blocks cost more
# in calls than they save, larger ones more in memory. A GPU has no such cache, and its calls cost more.
_BLOCK, _BLOCK_ON_GPU = 2**16, 2**23


@contextmanager
def one_thread(small: bool = True) -> Iterator[None]:
    """Torch works in one thread inside; nothing happens unless `small`.

    OpenMP is told so for the calling thread alone, where `torch.set_num_threads` would tell it to threads that start meanwhile.
    """
    if not small:
        yield
        return
    with _pools(len(sys.modules)).limit(limits=1, user_api="openmp"):
        yield


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


class _OneBlasThread(ContextDecorator):
    """BLAS, which numpy, SciPy and scikit-learn call, works in one thread while anybody is inside.

    Its threads and torch's, each waiting in busy loops for the next product, slow each other down on matrices as small as a
    table's. Its setting is the whole process's, so the last who leaves puts it back.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._limit = threading.Lock(), 0, None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._limit = _pools(len(sys.modules)).limit(limits=1, user_api="blas")

    def __exit__(self, *_: Any) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._limit is not None:
                self._limit.restore_original_limits()


one_blas_thread = _OneBlasThread()


@functools.lru_cache(maxsize=1)
def _pools(modules: int) -> Any:
    """The libraries with pools of threads; looked for again, which takes milliseconds, once more modules are imported."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()

"""How loops are compiled."""

import contextlib
from collections.abc import Callable
from typing import Any

import numba


def compiled(*, allocates: bool = True, **options: Any) -> Callable[[Callable], Any]:
    """`numba.njit` that keeps what it makes beside the source, or in a cache of the person, or else for this process alone.

    Args:
        allocates: whether the function makes arrays. References to arrays are counted only if it does, as counting those of
            named tuples takes as much time in a tight loop as the work.
        options: of `numba.njit`.
    """
    if not allocates:
        options["_nrt"] = False

    def decorate(function: Callable) -> Any:
        made = numba.njit(error_model="numpy", **options)(function)
        # Who can write neither, in a container for instance, waits for the compiler each time.
        with contextlib.suppress(RuntimeError):
            made.enable_caching()
        return made

    return decorate

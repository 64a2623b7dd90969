"""How loops are compiled."""

import contextlib
from collections.abc import Callable
from typing import Any

import numba


def compiled(**options: Any) -> Callable[[Callable], Any]:
    """`numba.njit` that keeps what it makes beside the source, or in a cache of the person, or else for this process alone."""

    def decorate(function: Callable) -> Any:
        made = numba.njit(error_model="numpy", **options)(function)
        # Who can write neither, in a container for instance, waits for the compiler each time.
        with contextlib.suppress(RuntimeError):
            made.enable_caching()
        return made

    return decorate

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
        try:
            # Who can write neither, in a container for instance, waits for the compiler each time.
            with contextlib.suppress(RuntimeError):
                made.enable_caching()
                _forget_unreadable(made)
        except OSError:
            made = numba.njit(error_model="numpy", **options)(function)
        return made

    return decorate


def _forget_unreadable(made: Any) -> None:
    """Empty a list of what is kept that cannot be read, as when it names a class of named tuples that an upgrade has renamed.

    Numba reads such a list before it looks whether it is out of date, and fails at the first call.

    Raises:
        OSError: if it cannot be emptied either.
    """
    kept = getattr(getattr(made, "_cache", None), "_cache_file", None)
    if kept is None:
        # Numba keeps it otherwise, or nothing.
        return
    try:
        kept._load_index()
    except OSError:
        raise
    except Exception:  # What is unpickled raises whatever it likes.
        kept.flush()

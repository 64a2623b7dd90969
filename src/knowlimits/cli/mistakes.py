"""What went wrong at the command line: a person's mistakes, and faults of the program.

Mistakes are what a `raise` of ours has raised, and of those who look at the data that a person gave; errors of files; and too
little memory. What fails in an operation, such as a sum of arrays that do not fit, is a fault, and keeps its traceback.
"""

import dis
import os
from collections.abc import Iterator
from contextlib import contextmanager

from cyclopts import CycloptsError


class UsageError(Exception):
    """Something that the person can put right; its text is all they see."""


@contextmanager
def option(name: str) -> Iterator[None]:
    """Say which option an error belongs to."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        text = explained(error)
        if text is None:
            raise
        raise UsageError(f"{name}: {text}") from None


# Whose errors of these kinds are about what they were given: ours, and of those who look at the data that a person gave.
_RAISED = (ValueError, TypeError, ImportError, NotImplementedError, FloatingPointError, OverflowError)
_RAISERS = ("knowlimits", "sklearn", "optuna")
_PRINTERS = ("knowlimits.cli.", "rich.console")
_MOST_TEXT = 1000


def explained(error: Exception) -> str | None:
    """What went wrong in one line; None if it is a fault of the program."""
    if isinstance(error, OSError) and error.strerror:
        # What prints has no name for where it prints to.
        where = error.filename or ("standard output" if _raiser(error)[0].startswith(_PRINTERS) else None)
        text = f"{error.strerror}." if where is None else f"{os.fsdecode(where)}: {error.strerror}."
    elif isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "allocate memory" in str(error)):
        text = f"there is not enough memory: {error}"
    elif (
        isinstance(error, UsageError | CycloptsError | OSError)
        or type(error).__module__.startswith("knowlimits.")
        or (isinstance(error, _RAISED) and _refused(error))
    ):
        text = str(error)
    else:
        return None
    text = " ".join(text.split()) or type(error).__name__
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]} ..."


def _refused(error: Exception) -> bool:
    """Whether a `raise` of those who may has raised an error, and not an operation that failed."""
    module, by_raise = _raiser(error)
    return by_raise and module.partition(".")[0] in _RAISERS


def _raiser(error: Exception) -> tuple[str, bool]:
    """The module in which an error began, and whether with a `raise`."""
    trace = error.__traceback__
    if trace is None:
        return "", False
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code.co_code
    return trace.tb_frame.f_globals.get("__name__", ""), code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]

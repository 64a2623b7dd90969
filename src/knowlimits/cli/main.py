"""The command line: `knowlimits`.

Heavy imports stay inside the commands, so that `--help` and mistakes answer at once. Commands check what they can before they
work, and let errors go: `main` alone says which of them are a person's to put right and which are faults of the program.
"""

import os
import sys
from contextlib import suppress

from cyclopts import App

import knowlimits
from knowlimits.cli.audit import audit
from knowlimits.cli.check import check
from knowlimits.cli.compare import compare
from knowlimits.cli.detect import detect
from knowlimits.cli.guard import guard
from knowlimits.cli.mistakes import explained
from knowlimits.cli.regions import regions
from knowlimits.cli.reproduce import reproduce
from knowlimits.cli.search import search

app = App(
    name="knowlimits",
    help="Where a neural classifier is sure of itself without reason.",
    version=knowlimits.__version__,
    # `main` says what an interruption leaves.
    suppress_keyboard_interrupt=False,
)
for command in (reproduce, search, regions, detect, audit, compare, guard, check):
    app.command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; mistakes give one line and exit status 2, Ctrl-C exits with 130, a closed pipe with 141.

    A command may return another status, which says what it has found.

    Args:
        arguments: those after the command's name; the process's own without them.
    """
    try:
        status = app(
            sys.argv[1:] if arguments is None else arguments,
            result_action="return_value",
            exit_on_error=False,
            print_error=False,
        )
        _flush()
        if status:
            _leave(status)
    except KeyboardInterrupt:
        _leave(130, "interrupted; what was finished is kept.")
    except SystemExit as end:
        # What shows help and progress says so when nobody reads on.
        if isinstance(end.__context__, BrokenPipeError):
            _leave(141)
        raise
    except BrokenPipeError:
        _leave(141)
    except Exception as error:
        text = explained(error)
        if text is None:
            raise
        _leave(2, text)


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _leave(status: int, text: str = "") -> None:
    """End with a line on standard error, if it has readers."""
    with suppress(OSError):
        if text:
            print(f"knowlimits: {text}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            # Python would complain about what is left in the buffer when it ends.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1 if stream is sys.stdout else 2)
            os.close(null)
    sys.exit(status)

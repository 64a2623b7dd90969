"""The command line, in this process: starting one for each call would take longer than most of what is tested."""

import contextlib
import io
from dataclasses import dataclass

from knowlimits import cli


@dataclass(frozen=True)
class Result:
    returncode: int
    stdout: str
    stderr: str


def run(*arguments):
    """What `knowlimits` does with these arguments."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as error:
            status = error.code or 0
    return Result(status, out.getvalue(), err.getvalue())

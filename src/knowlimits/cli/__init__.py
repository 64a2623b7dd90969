"""The command line."""

from knowlimits.cli.main import main

__all__ = ["main"]

"""The command line."""

from knowlimits.cli.main import MODELS, main

__all__ = ["MODELS", "main"]

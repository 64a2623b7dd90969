"""A file of ours as bytes: tensors, and a JSON header among what safetensors keeps beside them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as of_bytes
from safetensors.torch import save as to_bytes

from knowlimits.files.saved.checked import require, short

_KEY = "knowlimits"


class Outdated(Exception):
    """A file of a format that is not read any more, or not yet."""


def sealed(header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> bytes:
    """The bytes of a file."""
    return to_bytes(tensors, metadata={_KEY: json.dumps(header)})


def opened(content: bytes, name: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Header and tensors of a file.

    Raises:
        ValueError: if it is foreign or damaged.
    """
    try:
        tensors = of_bytes(content)
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        # Beside its own, what torch raises for types of numbers that it does not have.
        raise ValueError(f"{name} is not a complete safetensors file: {short(str(error))}") from None
    # It has been found to be one.
    metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__") or {}
    if _KEY not in metadata:
        raise ValueError(f"{name} was not written by knowlimits.save: its header has no entry {_KEY!r}.")
    with damaged(name):
        header = json.loads(metadata[_KEY])
        require(isinstance(header, dict), "it is no object")
    return header, tensors


@contextmanager
def damaged(name: str) -> Iterator[None]:
    """What is raised inside about what a header says is raised with the file's name.

    Raises:
        ValueError: as said.
    """
    try:
        yield
    except Outdated as error:
        raise ValueError(f"{name} {error}") from None
    except RecursionError:
        raise ValueError(f"{name} has a damaged header: it is nested too deeply.") from None
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        # Whatever else a lie may bring about on its way to a model.
        text = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{name} has a damaged header: {short(text)}") from None


def check_version(header: dict[str, Any], newest: int) -> int:
    """The version of the format that a header says.

    Raises:
        ValueError: if it is none.
        Outdated: if it is a newer one.
    """
    version = header["version"]
    require(isinstance(version, int) and not isinstance(version, bool) and version > 0, "version is no whole number")
    if version > newest:
        raise Outdated(f"has format {version}. This version reads up to {newest}: install a newer knowlimits.")
    return version

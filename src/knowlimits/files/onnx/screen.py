"""Which ONNX files are looked at any further: whole, valid, not too large, and with all that they need."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knowlimits.files.budget import MOST_OPERATIONS
from knowlimits.files.onnx.external import fill, take_places
from knowlimits.files.onnx.mended import mended
from knowlimits.files.onnx.opsets import FIRST_AS_TODAY, modernise
from knowlimits.follow import UnsupportedOperation


@dataclass(frozen=True)
class Screened:
    """A parsed file.

    Attributes:
        model: it.
        versions: of operator sets by domain; the one of ONNX itself, which has two names, is empty.
        beside: bytes of weights that were read from other files.
    """

    model: Any
    versions: dict[str, int]
    beside: int


def screened(content: bytes, folder: Path | None = None) -> Screened:
    """The parsed file, if it is valid, with weights that are in other files in its folder.

    Newer operator sets are not converted to: what differs is little, and the converter that comes with onnx takes the memory of
    the file three times, and lets a file end the process.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx.checker import ValidationError

    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, UnicodeDecodeError) as error:
        raise ValueError("it is no ONNX file, or an incomplete one") from error
    if not model.HasField("graph") or not model.graph.node:
        raise ValueError("it is no ONNX file, or one without operators")
    if len(model.graph.node) > MOST_OPERATIONS["onnx"]:
        raise ValueError(f"it has {len(model.graph.node):,} operators: {MOST_OPERATIONS['onnx']:,} are allowed")
    places = take_places(_tensors(model))
    if places and folder is None:
        raise ValueError("its weights are in another file: load it by its path, or save the model as one file")
    if model.graph.sparse_initializer:
        raise UnsupportedOperation("it has sparse weights: save the model with dense ones")
    with mended(model):
        try:
            onnx.checker.check_model(model)
        except ValidationError as error:
            raise ValueError(f"it is no valid ONNX file: {str(error).strip().splitlines()[0]}") from error
    versions = _versions(model)
    if (version := versions.get("", FIRST_AS_TODAY)) < FIRST_AS_TODAY:
        modernise(model.graph, version)
        versions[""] = FIRST_AS_TODAY
    if places and folder is not None:
        fill(places, folder)
    return Screened(model, versions, sum(place.needed for place in places))


def _tensors(model: Any) -> Iterator[Any]:
    """Tensors of a model's graph and functions."""
    yield from _tensors_of(model.graph)
    for function in model.functions:
        yield from _tensors_of(function)


def _tensors_of(graph: Any) -> Iterator[Any]:
    """Tensors of a graph, or of a function, and of the graphs within."""
    # Functions have none of their own.
    yield from getattr(graph, "initializer", ())
    for node in graph.node:
        for attribute in node.attribute:
            yield from [attribute.t, *attribute.tensors]
            for sparse in [attribute.sparse_tensor, *attribute.sparse_tensors]:
                yield from [sparse.values, sparse.indices]
            for inner in [attribute.g, *attribute.graphs]:
                yield from _tensors_of(inner)


def _versions(model: Any) -> dict[str, int]:
    from onnx import defs

    versions: dict[str, int] = {}
    for entry in model.opset_import:
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        if versions.setdefault(domain, entry.version) != entry.version:
            raise ValueError(f"it imports opset {versions[domain]} and opset {entry.version} at once")
    version, newest = versions.get("", 1), defs.onnx_opset_version()
    if not 1 <= version <= newest:
        raise ValueError(f"its opset must be in 1 to {newest}. Got {version} instead: export it again, or update onnx")
    return versions

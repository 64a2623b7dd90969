"""Which ONNX files are looked at any further: whole, valid, not too large, and with all that they need in them."""

from collections.abc import Iterator
from typing import Any

from knowlimits.files.budget import MOST_OPERATIONS
from knowlimits.follow import UnsupportedOperation

# Of operator sets. Newer ones are not converted to: what differs is little, and the converter that comes with onnx takes the
# memory of the file three times, and lets a file end the process.
_OLDEST = 7


def screened(content: bytes) -> tuple[Any, dict[str, int]]:
    """The parsed file, if it is valid and holds its weights itself, and its versions of operator sets by domain."""
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
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ValueError("its weights are in another file: save the model as one file")
    if model.graph.sparse_initializer:
        raise UnsupportedOperation("it has sparse weights: save the model with dense ones")
    try:
        onnx.checker.check_model(model)
    except ValidationError as error:
        raise ValueError(f"it is no valid ONNX file: {str(error).strip().splitlines()[0]}") from error
    return model, _versions(model)


def _tensors(graph: Any) -> Iterator[Any]:
    """Tensors of a graph and of the graphs within."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from [attribute.t, *attribute.tensors]
            for inner in [attribute.g, *attribute.graphs]:
                yield from _tensors(inner)


def _versions(model: Any) -> dict[str, int]:
    from onnx import defs

    versions: dict[str, int] = {}
    for entry in model.opset_import:
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        if versions.setdefault(domain, entry.version) != entry.version:
            raise ValueError(f"it imports opset {versions[domain]} and opset {entry.version} at once")
    version, newest = versions.get("", _OLDEST), defs.onnx_opset_version()
    if not _OLDEST <= version <= newest:
        raise ValueError(f"its opset must be in {_OLDEST} to {newest}. Got {version} instead: export it again, or update onnx")
    return versions

"""What skl2onnx asks of an estimator that it does not know: how it is written as ONNX."""

import importlib
from collections.abc import Callable
from typing import Any

# Files come late among the layers, and this is asked for only while one is written.
_HOME = "knowlimits.files.export.converters"


class Convertible:
    """An estimator that `skl2onnx.to_onnx` takes, alone and as a step of a Pipeline; the names are those that it looks for."""

    def onnx_parser(self) -> Callable:
        """What says which outputs there are."""
        return _converters().parser_of(self)

    def onnx_shape_calculator(self) -> Callable:
        """What says of what type and shape they are."""
        return _converters().shape

    def onnx_converter(self) -> Callable:
        """What writes the operators."""
        return _converters().convert


def _converters() -> Any:
    return importlib.import_module(_HOME)

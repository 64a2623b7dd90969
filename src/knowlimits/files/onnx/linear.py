"""Products of matrices, which become layers where one factor is constant."""

from typing import Any

import torch
from torch import Tensor, fx, nn

from knowlimits.files.onnx.building import Operation, Operator, parameter
from knowlimits.files.onnx.sizes import allow


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Product of matrices."""
    if a.ndim > 1 and b.ndim > 1:
        allow((*torch.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]))
    return torch.matmul(a, b)


def gemm(a: Tensor, b: Tensor, c: Tensor | None, alpha: float, beta: float, turn_a: bool, turn_b: bool) -> Tensor:
    """``alpha * a @ b + beta * c`` for matrices, either transposed or not."""
    if a.ndim != 2 or b.ndim != 2:
        raise ValueError(f"Gemm multiplies matrices. Got tensors of {a.ndim} and {b.ndim} axes instead.")
    product = matmul(a.t() if turn_a else a, b.t() if turn_b else b)
    product = product if alpha == 1 else alpha * product
    if c is None:
        return product
    return product + (c if beta == 1 else beta * c).expand(product.shape)


def einsum(*tensors_and_equation: Tensor | str) -> Tensor:
    """Sums of products over axes that are named by letters; the last argument is the equation."""
    *tensors, equation = tensors_and_equation
    if len(tensors) > 2:
        # Two at a time, of which each result may have all axes.
        allow([max(t.numel(), 1) for t in tensors if isinstance(t, Tensor)])
    return torch.einsum(equation, *tensors)


def cumulative_sum(x: Tensor, axis: Tensor, exclusive: bool, backwards: bool) -> Tensor:
    """Sums of all numbers up to each along an axis, without itself or with it, or from the end on."""
    place = int(axis)
    size = x.shape[place]
    ones = torch.ones(allow([size, size]), dtype=torch.float64, device=x.device)
    counted = ones.triu(1 if exclusive else 0)
    return torch.matmul(x.movedim(place, -1), counted.t() if backwards else counted).movedim(-1, place)


def layer(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A product with a constant matrix, and a constant sum."""
    # On no device, where it draws no weights that would be thrown away.
    made = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    made.weight = parameter(weight)
    if bias is not None:
        made.bias = parameter(bias)
    return made


def _is_layer(x: Any, weight: Any) -> bool:
    return isinstance(x, fx.Node) and isinstance(weight, Tensor) and weight.ndim == 2 and weight.numel() > 0


def _matmul(o: Operation) -> Any:
    x, weight = o.take(2)
    return o.building.call_module(layer(weight.t(), None), x) if _is_layer(x, weight) else o.call(matmul, x, weight)


def _gemm(o: Operation) -> Any:
    (x, weight, bias), node = o.take(2, 1), o.node
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    turn_x, turn = bool(node.get("transA", 0)), bool(node.get("transB", 0))
    if _is_layer(x, weight) and not turn_x:
        matrix = weight if turn else weight.t()
        matrix = matrix if alpha == 1 else alpha * matrix
        if bias is None:
            return o.building.call_module(layer(matrix, None), x)
        if isinstance(bias, Tensor) and is_row(bias, len(matrix)):
            return o.building.call_module(layer(matrix, (beta * bias).reshape(-1).expand(len(matrix))), x)
    return o.call(gemm, x, weight, bias, alpha, beta, turn_x, turn)


def is_row(constant: Tensor, length: int) -> bool:
    """Whether a constant is added to each row of a matrix, or is one number."""
    return constant.ndim < 3 and constant.shape[-1:].numel() == constant.numel() and constant.numel() in (1, length)


def _einsum(o: Operation) -> Any:
    return o.call(einsum, *o.take(len(o.inputs)), o.node.get("equation", "").replace(" ", ""))


def _cumulative_sum(o: Operation) -> Any:
    axis = o.constant(1, "the axis")
    if axis is None or axis.numel() != 1:
        raise ValueError("CumSum needs one axis")
    (x,), flags = o.take(1), [bool(o.node.get(name, 0)) for name in ("exclusive", "reverse")]
    return o.call(cumulative_sum, x, axis, *flags)


TABLE = {
    "MatMul": Operator(_matmul),
    "Gemm": Operator(_gemm),
    "Einsum": Operator(_einsum),
    "CumSum": Operator(_cumulative_sum),
}

"""What cannot be followed: terse errors of those who find out, and hints for the person whose model it is.

Who works on numbers raises `Refused` or `TooLarge`; the evaluator, which knows the operation and the submodule, says the rest.
"""

from torch import Tensor, nn

from knowlimits.model.modes import uses_own_statistics


class Refused(Exception):
    """Numbers cannot be followed through an operation; `kind` is that of a hint."""

    def __init__(self, kind: str):
        super().__init__(kind)
        self.kind = kind


class TooLarge(Exception):
    """Numbers that enter an operation, or leave the model, have passed the largest float; `what` is said of the operation."""

    def __init__(self, what: str):
        super().__init__(what)
        self.what = what


def check_finite(what: str, *values: Tensor) -> None:
    """Raise `TooLarge` unless all numbers are finite."""
    if not all(bool(v.isfinite().all()) for v in values):
        raise TooLarge(what)


_CONTROL = {"_local_scalar_dense", "is_nonzero", "item", "nonzero"}
_COMPARISONS = {
    "gt",
    "ge",
    "lt",
    "le",
    "eq",
    "ne",
    "argmax",
    "argmin",
    "sign",
    "sgn",
    "signbit",
    "floor",
    "round",
    "ceil",
    "trunc",
}
_COMPARISONS |= {"frac", "fmod", "remainder", "heaviside", "hardshrink"}
_ORDERS = {"sort", "topk", "median", "nanmedian", "kthvalue", "cummax", "cummin", "_cummax_helper", "_cummin_helper"}
_PRODUCTS = {
    "mul",
    "mm",
    "bmm",
    "addmm",
    "baddbmm",
    "mv",
    "dot",
    "pow",
    "square",
    "div",
    "reciprocal",
    "glu",
    "prod",
    "_trilinear",
}
_BENDING = {"exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan", "sinh", "cosh"}
_HINTS = {
    "control": "Python cannot read it or branch on it, as a ray has no one value: use relu, clamp, maximum or minimum instead.",
    "comparison": "it jumps where its argument crosses a threshold: use relu, clamp, maximum or minimum instead.",
    "codes": "whole numbers (codes for an embedding, say) jump along a ray: hold their columns fixed, in a module that takes "
    "the others.",
    "order": "it puts values in order, which is not followed: amax, amin, maximum, minimum and max pooling are.",
    "product": "a product, quotient or power of values that all hang on the input is not piecewise linear (attention, gating).",
    "bending": "far out it tends to no straight line, so that there is no limit to be computed from it.",
    "random": "it draws random numbers: in eval mode, model.eval(), dropout is off; knowlimits.dropout_members fixes masks.",
    "always random": "it draws random numbers in eval mode too: leave them out; torch.nn.functional.dropout needs "
    "training=self.training, and a program must be exported in eval mode.",
    "training": "statistics of a batch tie its rows together: put the model into eval mode, model.eval(), or give its norm "
    "running statistics.",
    "always training": "it norms by what it is given in eval mode too: a batch norm needs running statistics, and in place of "
    "an instance norm a torch.nn.GroupNorm with a group for each channel can be followed.",
    "mixed": "it combines different rows of the batch, so a row has no ray of its own.",
    "constant": "a constant tensor is written over with values that hang on the input: make a new one, by an operation that is "
    "not in place, or by torch.cat or torch.stack.",
    "recurrent": "recurrent layers of torch are not followed: gates multiply values that all hang on the input (LSTM, GRU); "
    "without gates, write the recurrence with torch.nn.Linear.",
    "curved": "it is not piecewise linear, so it has no polytopes; knowlimits.far_field knows its limits.",
    "unknown": "the table of operations has no entry for it: see knowlimits.follow.register.",
}


def kind_of(name: str) -> str:
    """The kind of hint for an operation that has no entry in the table."""
    kinds = {"control": _CONTROL, "comparison": _COMPARISONS, "order": _ORDERS, "product": _PRODUCTS, "bending": _BENDING}
    return next((kind for kind, names in kinds.items() if name in names), "unknown")


def hint(kind: str, module: nn.Module | None) -> str:
    """What to say, by the module that runs, if it is known."""
    if kind in ("constant", "product", "random", "unknown") and isinstance(module, nn.RNNBase | nn.RNNCellBase):
        kind = "recurrent"
    if module is not None and kind in ("random", "training") and (not module.training or uses_own_statistics(module)):
        kind = f"always {kind}"
    return _HINTS[kind]

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
_COMPARISONS = {"argmax", "argmin", "signbit"}
_STEPS = {"floor", "round", "ceil", "trunc", "floor_divide", "frac", "fmod", "remainder"}
_CODES = {"embedding", "_embedding_bag", "bucketize", "searchsorted", "isin"}
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
    "prod",
}
_VARIANCES = {"var", "var_mean", "std_mean"}
_PACKING = {"_pack_padded_sequence", "_pad_packed_sequence"}
_BENDING = {"exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan", "sinh", "cosh"}
_HINTS = {
    "control": "Python cannot read it or branch on it, as a ray has no one value: use relu, clamp, maximum or minimum instead.",
    "comparison": "it jumps where its argument crosses a threshold: use relu, clamp, maximum or minimum instead, or rays that "
    "leave alone what it looks at.",
    "codes": "whole numbers (codes for an embedding, say) jump along a ray: these columns must be left alone by the rays, with "
    "directions of 0 there.",
    "steps": "it has steps without end along a ray, and so no limit: clip what it is given, by clamp, or else these columns "
    "must be left alone by the rays, with directions of 0 there.",
    "approached": "it is not known to be continuous there, and what it is given only tends to a limit, so that it may end on "
    "either side of a jump: give it what does not move, or what is piecewise linear, without tanh, softmax or a norm before "
    "it.",
    "mask": "how many numbers a mask chooses hangs on the numbers: use torch.where or masked_fill.",
    "order": "it puts values in order, which is not followed: amax, amin, maximum, minimum and max pooling are.",
    "product": "a product, quotient or power of values that all grow along the ray is not followed (attention, gating): bring "
    "all but one of them to a limit first, by sigmoid, tanh, softmax or torch.nn.LayerNorm.",
    "square": "it is given what grows as a square does along the ray, a product or power of values that both grow: sums, "
    "maxima, comparisons, quotients, square roots and what comes to a limit (sigmoid, softmax, logsumexp, exp of what falls) "
    "are followed: give it one of these, or the values themselves.",
    "cube": "a product of more than two values that all grow along the ray is not followed: bring all but two of them to a "
    "limit first, by sigmoid, tanh, softmax or torch.nn.LayerNorm.",
    "cancelled": "squares of what grows along the ray cancel up to rounding, or are too small for floats, so that what decides "
    "is not known: take out what they share before anything is squared.",
    "endless": "a condition makes it infinite, or no number, along the ray, so that it has no limit: look at what is made of "
    "it, or give the condition's other side a number.",
    "written": "what grows as a square does along the ray is written over a value that does not: make a new one, by an "
    "operation that is not in place.",
    "slow": "it multiplies a value that grows by one that comes to its limit too slowly for the product to have one that is "
    "known: gate by sigmoid, tanh or softmax, or bring the other to a limit too, by torch.nn.LayerNorm.",
    "pole": "what it is given tends to a place where it has no value, or jumps (0 for a quotient, a root or a logarithm): add "
    "a constant that keeps it away.",
    "variance": "squares grow faster than any straight line: take std in place of the root of var, or "
    "torch.nn.functional.layer_norm for all of it.",
    "bending": "far out it tends to no straight line, so that there is no limit to be computed from it: give it what has a "
    "limit, or rays that leave alone what it looks at.",
    "random": "it draws random numbers: in eval mode, model.eval(), dropout is off; knowlimits.dropout_members fixes masks.",
    "always random": "it draws random numbers in eval mode too: leave them out; torch.nn.functional.dropout needs "
    "training=self.training, and a program must be exported in eval mode.",
    "training": "statistics of a batch tie its rows together: put the model into eval mode, model.eval(), or give its norm "
    "running statistics.",
    "always training": "it norms by what it is given in eval mode too: a batch norm needs running statistics, and in place of "
    "an instance norm a torch.nn.GroupNorm with a group for each channel can be followed.",
    "mixed": "it combines different rows of the batch, so a row has no ray of its own.",
    "constant": "a constant tensor is written over with values that hang on the input: make a new one, by an operation that "
    "is not in place, by torch.cat or torch.stack, or by torch.nn.functional.one_hot for codes.",
    "recurrent": "recurrent layers of torch are followed as they are called on tensors with a row for each input: pad packed "
    "sequences.",
    # Where there are no rays that could leave anything alone, nor limits.
    "codes on a plane": "whole numbers (codes for an embedding, say) jump: hold their columns fixed, in a module that takes "
    "the others.",
    "comparison on a plane": "it jumps where its argument crosses a threshold, and polytopes are those of what is continuous: "
    "use relu, clamp, maximum or minimum instead; knowlimits.far_field knows its limits.",
    "steps on a plane": "it has steps without end, and polytopes are those of what is continuous: leave it out, or hold the "
    "columns that it looks at fixed, in a module that takes the others.",
    **dict.fromkeys(
        ("product on a plane", "variance on a plane", "bending on a plane"),
        "it is not piecewise linear, so it has no polytopes.",
    ),
    "family": "it is no network, so it has no polytopes; knowlimits.far_field knows its limits.",
    "curved": "it is not piecewise linear, so it has no polytopes; knowlimits.far_field knows its limits.",
    "unknown": "the table of operations has no entry for it: see knowlimits.follow.register.",
}


def on_a_plane(kind: str) -> str:
    """The kind of hint for what is not followed along rays."""
    return f"{kind} on a plane" if f"{kind} on a plane" in _HINTS else kind


def kind_of(name: str) -> str:
    """The kind of hint for an operation that has no entry in the table."""
    kinds = {"control": _CONTROL, "comparison": _COMPARISONS, "codes": _CODES, "order": _ORDERS, "product": _PRODUCTS}
    kinds |= {"steps": _STEPS, "variance": _VARIANCES, "bending": _BENDING, "recurrent": _PACKING}
    return next((kind for kind, names in kinds.items() if name in names), "unknown")


def hint(kind: str, module: nn.Module | None) -> str:
    """What to say, by the module that runs, if it is known."""
    if kind in ("constant", "unknown") and isinstance(module, nn.RNNBase | nn.RNNCellBase):
        kind = "recurrent"
    if module is not None and kind in ("random", "training") and (not module.training or uses_own_statistics(module)):
        kind = f"always {kind}"
    return _HINTS[kind]

"""What the description of a model in a torch.export archive may say.

torch turns that description into Python: it evaluates shapes as expressions, looks functions up by name, and writes the
names of tensors into source code that it compiles. So nothing of it is passed on as it came. A check takes a value and gives
back a copy of what it allows, and torch sees the copies only; everything that no check mentions is refused.
"""

import ast
import json
import keyword
import re
from typing import Any

import torch

from knowlimits._torch import IN_PROGRAMS
from knowlimits.files.budget import MOST_OPERATIONS
from knowlimits.files.pt2.allowed import ON_SIZES, is_allowed
from knowlimits.files.pt2.checks import (
    Check,
    each,
    instead,
    integer,
    mapping,
    matching,
    nullable,
    number,
    one_of,
    parsed,
    record,
    refusal,
    union,
)
from knowlimits.files.pt2.rehearsal import CHECK


def name(value: Any, where: str) -> str:
    """The name of a tensor, which becomes a variable of the code that torch compiles."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_]\w{0,250}", value, re.ASCII) or keyword.iskeyword(value):
        raise refusal(where, "a name of letters and digits", value)
    return value


# Attributes that a module has before any weight of its own; to set one would change what the module does.
_TAKEN = set(dir(torch.fx.GraphModule(torch.nn.Module(), torch.fx.Graph()))) | {*IN_PROGRAMS, CHECK}


def path(value: Any, where: str) -> str:
    """The dotted name of a weight, which becomes attributes of the module."""
    parts = value.split(".") if isinstance(value, str) else []
    if not parts or len(parts) > 30 or not all(re.fullmatch(r"\w{1,250}", p, re.ASCII) and p not in _TAKEN for p in parts):
        raise refusal(where, "names with dots between them, none of which torch modules have for something else", value)
    return value


# --- shapes ------------------------------------------------------------------------------------------------------------

_SYMBOL = r"s\d{1,9}"
_MOST_TERMS = 50_000
_FUNCTIONS = {"Add", "Mul", "FloorDiv", "CeilDiv", "Mod", "PythonMod", "Max", "Min"}


def _expression(value: Any, where: str) -> str:
    """Arithmetic on symbols and integers, the way torch writes it, as it is evaluated as Python."""
    wanted = "arithmetic on symbols such as s0 and integers"
    # Short, as simplifying takes longer than in proportion.
    if not isinstance(value, str) or len(value) > 400:
        raise refusal(where, wanted, value)
    try:
        tree = ast.parse(value, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise refusal(where, wanted, value) from None
    if not _is_arithmetic(tree):
        raise refusal(where, wanted, value)
    return ast.unparse(tree)


def _is_arithmetic(tree: ast.expr) -> bool:
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name) or not tree.args:
        return False
    if tree.func.id in _FUNCTIONS:
        return not tree.keywords and all(_is_arithmetic(argument) for argument in tree.args)
    first = tree.args[0]
    if tree.func.id == "Integer":
        first = first.operand if isinstance(first, ast.UnaryOp) and isinstance(first.op, ast.USub) else first
        small = isinstance(first, ast.Constant) and type(first.value) is int and first.value < 2**63
        return small and len(tree.args) == 1 and not tree.keywords
    named = isinstance(first, ast.Constant) and isinstance(first.value, str) and re.fullmatch(_SYMBOL, first.value, re.ASCII)
    return tree.func.id == "Symbol" and bool(named) and len(tree.args) == 1 and all(map(_is_assumption, tree.keywords))


def _is_assumption(argument: ast.keyword) -> bool:
    value = argument.value
    return argument.arg in ("integer", "positive", "nonnegative") and isinstance(value, ast.Constant) and value.value is True


_SIZE = union(
    as_int=integer,
    as_expr=record("hint", expr_str=_expression, hint=nullable(union(as_int=integer))),
)
_FIXED = union(as_int=integer)
# Integers, floating-point numbers and bool, as torch numbers them; no complex numbers.
_DTYPE = one_of(1, 2, 3, 4, 5, 6, 7, 8, 12, 13)
_STRIDED = one_of(7)


def _device(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or value.get("type") != "cpu":
        raise refusal(where, "the CPU (export the model there)", value)
    return {"type": "cpu", "index": None}


def _tensor_meta(size: Check) -> Check:
    return record(
        dtype=_DTYPE,
        sizes=each(size),
        requires_grad=one_of(True, False),
        device=_device,
        strides=each(size),
        storage_offset=size,
        layout=_STRIDED,
    )


def payloads(prefix: str) -> Check:
    """The configuration of weights or constants: where each lies and how it is read. Pickles are refused."""
    payload = record(
        path_name=matching(f"{prefix} and a number", rf"{prefix}\d{{1,9}}"),
        is_param=one_of(True, False),
        use_pickle=one_of(False),
        tensor_meta=_tensor_meta(_FIXED),
    )
    return record(config=mapping(path, payload))


# --- the graph ---------------------------------------------------------------------------------------------------------


def _target(value: Any, where: str) -> str:
    """The name of a function, which torch looks up among all that it has."""
    if not isinstance(value, str) or not is_allowed(value):
        raise refusal(where, "a tensor operation torch.ops.aten.<name>.<overload> that is known to do nothing else", value)
    return value


_TENSOR = record(name=name)
_SYM_INT = union(as_name=name, as_int=integer)
_NONE = one_of(True, False)
_TEXT = matching("a short text", r"[ -~]{0,100}")
_ARGUMENT = union(
    as_none=_NONE,
    as_tensor=_TENSOR,
    as_tensors=each(_TENSOR),
    as_optional_tensors=each(union(as_tensor=_TENSOR, as_none=_NONE)),
    as_int=integer,
    as_ints=each(integer),
    as_float=number,
    as_floats=each(number),
    as_bool=one_of(True, False),
    as_bools=each(one_of(True, False)),
    as_string=_TEXT,
    as_sym_int=_SYM_INT,
    as_sym_ints=each(_SYM_INT),
    as_scalar_type=_DTYPE,
    as_memory_format=one_of(1, 2, 3, 4),
    as_layout=_STRIDED,
    as_device=_device,
)
_ANY_NODE = record(
    "is_hop_single_tensor_return name",
    target=_target,
    inputs=each(record("kind", name=name, arg=_ARGUMENT, kind=one_of(None, 1, 2))),
    outputs=each(union(as_tensor=_TENSOR, as_tensors=each(_TENSOR), as_sym_int=union(as_name=name), as_none=_NONE)),
    # Where in the source code it came from, which torch looks up and prints.
    metadata=instead({}),
    is_hop_single_tensor_return=one_of(None),
    name=nullable(name),
)


def _node(value: Any, where: str) -> dict[str, Any]:
    """A call; Python's arithmetic takes text and lists too, and makes more of them."""
    node = _ANY_NODE(value, where)
    for i, one in enumerate(node["inputs"]):
        if node["target"] in ON_SIZES and not one["arg"].keys() <= {"as_int", "as_sym_int"}:
            raise refusal(f"{where}.inputs[{i}].arg", "a size or an integer", ", ".join(one["arg"]))
    return node


_GRAPH = record(
    "custom_obj_values sym_float_values",
    inputs=each(union(as_tensor=_TENSOR)),
    outputs=each(union(as_tensor=_TENSOR)),
    nodes=each(_node, MOST_OPERATIONS["pt2"]),
    tensor_values=mapping(name, _tensor_meta(_SIZE)),
    sym_int_values=mapping(name, _SIZE),
    sym_bool_values=one_of({}),
    sym_float_values=one_of({}),
    custom_obj_values=one_of({}),
    is_single_tensor_return=one_of(False),
)
_SIGNATURE = record(
    input_specs=each(
        union(
            parameter=record(arg=_TENSOR, parameter_name=path),
            buffer=record(arg=_TENSOR, buffer_name=path, persistent=one_of(True, False)),
            tensor_constant=record(arg=_TENSOR, tensor_constant_name=path),
            user_input=record(arg=union(as_tensor=_TENSOR)),
        )
    ),
    output_specs=each(union(user_output=record(arg=union(as_tensor=_TENSOR)))),
)

_LEAF = {"type": None, "context": None, "children_spec": []}
_ONE_ARGUMENT = {
    "type": "builtins.tuple",
    "context": "null",
    "children_spec": [
        {"type": "builtins.tuple", "context": "null", "children_spec": [_LEAF]},
        {"type": "builtins.dict", "context": "[]", "children_spec": []},
    ],
}


def _tree(wanted: str, tree: Any) -> Check:
    """How torch packs inputs or outputs, JSON within JSON whose types it imports by name."""

    def check(value: Any, where: str) -> str:
        if not isinstance(value, str) or parsed(value, where) != [1, tree]:
            raise refusal(where, wanted, value)
        return json.dumps([1, tree])

    return check


_CALL = record(
    "forward_arg_names",
    inputs=one_of([]),
    outputs=one_of([]),
    in_spec=_tree("one positional argument, a tensor", _ONE_ARGUMENT),
    out_spec=_tree("one tensor", _LEAF),
    forward_arg_names=nullable(each(name)),
)


def _calls(value: Any, where: str) -> list[Any]:
    """How the model is called; how its submodules were called in Python is of no use."""
    entries = each(record("signature", fqn=instead(""), signature=lambda value, where: value))(value, where)
    if not entries:
        raise refusal(where, "a list with the model at least", value)
    return [{"fqn": "", "signature": _CALL(entries[0].get("signature"), f"{where}[0].signature")}]


_MODEL = record(
    "verifiers torch_version guards_code",
    graph_module=record(
        "metadata treespec_namedtuple_fields",
        graph=_GRAPH,
        signature=_SIGNATURE,
        module_call_graph=_calls,
        metadata=instead({}),
        treespec_namedtuple_fields=one_of({}),
    ),
    opset_version=mapping(name, integer),
    range_constraints=mapping(
        matching("a symbol such as s0", _SYMBOL), record(min_val=nullable(integer), max_val=nullable(integer))
    ),
    schema_version=record(major=integer, minor=integer),
    verifiers=each(one_of("TRAINING", "ATEN", "")),
    torch_version=_TEXT,
    # Python, which torch executes. A model has it where its operations hang on the shape of its input.
    guards_code=one_of([]),
)


def model(content: bytes) -> dict[str, Any]:
    """The checked copy of a model's description.

    Raises:
        ValueError: if there is something in it that is not known to be harmless, or the batch size is fixed.
    """
    description = _MODEL(parsed(content, "the model"), "the model")
    graph = description["graph_module"]["graph"]
    signature = description["graph_module"]["signature"]
    inputs = [spec["user_input"]["arg"]["as_tensor"]["name"] for spec in signature["input_specs"] if "user_input" in spec]
    for kind, names in (("inputs", inputs), ("outputs", signature["output_specs"])):
        if len(names) != 1:
            raise ValueError(f"the model must have one tensor each as input and output. Got {len(names)} {kind} instead.")
    _check_terms(graph)
    if inputs[0] not in graph["tensor_values"]:
        raise ValueError(f"the model must say the shape of its input. Got none for {inputs[0]!r}.")
    _check_input(graph["tensor_values"][inputs[0]], inputs[0])
    return description


def _check_terms(graph: dict[str, Any]) -> None:
    """Sizes are simplified one by one, which takes a third of a millisecond for each function in them."""
    metas = graph["tensor_values"].values()
    sizes = [size for meta in metas for size in [*meta["sizes"], *meta["strides"], meta["storage_offset"]]]
    terms = sum(
        size["as_expr"]["expr_str"].count("(") for size in [*sizes, *graph["sym_int_values"].values()] if "as_expr" in size
    )
    if terms > _MOST_TERMS:
        raise refusal("the sizes of tensors", f"made of at most {_MOST_TERMS:,} symbols, integers and functions", f"{terms:,}")


def _check_input(meta: dict[str, Any], argument: str) -> None:
    if meta["dtype"] not in (6, 7, 8, 13):
        raise ValueError("the input must be floating-point numbers. Got a tensor of another type instead.")
    sizes: list[dict[str, Any]] = meta["sizes"]
    if not sizes or not sizes[0].get("as_expr", {"expr_str": ""})["expr_str"].startswith("Symbol"):
        raise ValueError(
            "the model must take any number of inputs at once, and was exported for a fixed number: use torch.export.export("
            f"model, (x,), dynamic_shapes={{{argument!r}: {{0: torch.export.Dim.AUTO}}}}) with two rows or more in x."
        )
    if len(sizes) < 2 or any(size.get("as_int", 0) < 1 for size in sizes[1:]):
        raise ValueError("the model must take inputs of one shape: only the first of two or more axes may be dynamic.")


def configuration(content: bytes, prefix: str) -> dict[str, Any]:
    """The checked copy of a configuration of weights or constants.

    Raises:
        ValueError: if there is something in it that is not known to be harmless.
    """
    where = f"the configuration of {prefix}..."
    return payloads(prefix)(parsed(content, where), where)

"""torch.export archives for tests: small ones, and those that are put together by hand."""

import io
import json
import zipfile

import torch
from torch import nn

MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
SAMPLES = "data/sample_inputs/model.pt"


def exported(module, shape, dtype=torch.float32):
    return torch.export.export(
        module.eval(), (torch.randn(4, *shape, dtype=dtype),), dynamic_shapes=({0: torch.export.Dim.AUTO},)
    )


def saved(program):
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def tiny():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)).eval()


TINY = saved(exported(tiny(), (2,)))


def unpacked(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def packed(files, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def edited(entry, change, content=TINY):
    """The archive with one of its JSON entries changed in place by a function."""
    files = unpacked(content)
    tree = json.loads(files[entry])
    change(tree)
    return packed(files | {entry: json.dumps(tree).encode()})


# --- graphs by hand ------------------------------------------------------------------------------------------------------

N = "Symbol('s31', positive=True, integer=True)"


def tensor(name):
    return {"as_tensor": {"name": name}}


def size(name):
    return {"as_sym_int": {"as_name": name}}


def integer(value):
    return {"as_int": value}


def expression():
    return {"as_expr": {"expr_str": N, "hint": {"as_int": 4}}}


def meta(shape, dtype):
    return {
        "dtype": dtype,
        "sizes": [{"as_int": s} if isinstance(s, int) else expression() for s in shape],
        "requires_grad": False,
        "device": {"type": "cpu", "index": None},
        "strides": [{"as_int": 1} for _ in shape],
        "storage_offset": {"as_int": 0},
        "layout": 7,
    }


class Graph:
    """The description of `TINY`, to which calls are added; its value before is `linear_1`, of shape (n, 2)."""

    def __init__(self, tree):
        self.tree, self.graph = tree, tree["graph_module"]["graph"]

    def call(self, target, name, *inputs, out=None, shape=(N, 2), dtype=7):
        """Inputs are (name, argument) or (name, argument, kind), where kind 2 is by keyword."""
        on_sizes = target.startswith("_operator") or "sym_size" in target
        self.graph["nodes"].append(
            {
                "target": target if target.startswith("_operator") else f"torch.ops.aten.{target}",
                "inputs": [{"name": i[0], "arg": i[1], "kind": i[2] if len(i) > 2 else 1} for i in inputs],
                "outputs": [size(name)] if on_sizes else [tensor(one) for one in (out or [name])],
                "metadata": {},
                "is_hop_single_tensor_return": None,
                "name": name,
            }
        )
        if on_sizes:
            self.graph["sym_int_values"][name] = expression()
        else:
            self.graph["tensor_values"].update((one, meta(shape, dtype)) for one in out or [name])

    def full(self, name, shape, value=1.0, dtype=7):
        fill = {"as_int": value} if isinstance(value, int) else {"as_float": value}
        sizes = {"as_ints": shape} if all(isinstance(s, int) for s in shape) else {"as_sym_ints": [as_size(s) for s in shape]}
        arguments = ("size", sizes), ("fill_value", fill), ("dtype", {"as_scalar_type": dtype}, 2)
        self.call("full.default", name, *arguments, shape=[s if isinstance(s, int) else N for s in shape], dtype=dtype)

    def rows(self, name="n"):
        """How many inputs there are."""
        self.call("sym_size.int", name, ("self", tensor("input")), ("dim", integer(0)))

    def returns(self, name):
        self.graph["outputs"] = [tensor(name)]
        self.tree["graph_module"]["signature"]["output_specs"] = [{"user_output": {"arg": tensor(name)}}]

    def returns_with(self, name):
        """The value before plus the mean of another."""
        self.call("mean.default", "the_mean", ("self", tensor(name)), shape=[])
        self.call("add.Tensor", "the_sum", ("self", tensor("linear_1")), ("other", tensor("the_mean")))
        self.returns("the_sum")


def as_size(value):
    return {"as_int": value} if isinstance(value, int) else {"as_name": value}


def crafted(build):
    """An archive whose graph a function of a `Graph` has added to."""
    files = unpacked(TINY)
    text = files[MODEL].decode()
    (symbol,) = set(json.loads(text)["range_constraints"])
    tree = json.loads(text.replace(symbol, "s31"))
    build(Graph(tree))
    return packed(files | {MODEL: json.dumps(tree).encode()})

"""Programs of `torch.export` as modules that have a layer to look for.

In an exported program a layer is a call of an ATen operation with weights; whoever looks for the last `torch.nn.Linear` that
runs, as last-layer Laplace and the detectors on features do, would find none.
"""

from typing import Any

import torch
from torch import fx, nn

from knowlimits._torch import GUARDS, TYPE_CHECKS, plain_inputs


def with_linear_modules(program: torch.export.ExportedProgram) -> fx.GraphModule:
    """The program as a module whose linear layers are `torch.nn.Linear` submodules, on the program's own parameters.

    They keep their names, so that a network's ``layers.0.weight`` stays that. Outputs are the program's; its checks of input
    shapes and types are left out, as they would refuse other batch sizes than it was exported for, and float64.
    """
    module = program.module()
    for node in list(module.graph.nodes):
        if (node.op == "call_module" and node.target == GUARDS) or node.target in TYPE_CHECKS:
            module.graph.erase_node(node)
        elif node.target == torch.ops.aten.linear.default:
            _as_submodule(module, node)
    for node in list(module.graph.nodes):
        if node.op == "get_attr" and not node.users:
            module.graph.erase_node(node)
    graph = module.graph
    inputs, outputs = program.call_spec
    if inputs is not None and inputs.num_leaves == 1 and outputs is not None and outputs.is_leaf():
        graph = plain_inputs(graph)
    # A new module, as the program's own checks its inputs in hooks and refuses train() and eval(). It has no mode but that in
    # which it was exported.
    return fx.GraphModule(module, graph).eval()


def _as_submodule(module: fx.GraphModule, node: fx.Node) -> None:
    arguments: dict[str, Any] = dict(zip(("input", "weight", "bias"), node.args, strict=False)) | node.kwargs
    if len(node.args) + len(node.kwargs) != len(arguments):
        # One of them is there twice, for which the operation has an error of its own.
        return
    weight, bias = _parameter(module, arguments["weight"]), _parameter(module, arguments.get("bias"))
    if weight is None or weight.ndim != 2 or (bias is None and arguments.get("bias") is not None):
        # It is something else, or does not fit, for which the operation has an error of its own, too.
        return
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    linear.weight, linear.bias = weight, bias  # type: ignore[assignment]
    owner = arguments["weight"].target.rpartition(".")[0]
    target = _place(module, owner, linear)
    node.op, node.target, node.args, node.kwargs = "call_module", target, (arguments["input"],), {}


def _parameter(module: fx.GraphModule, argument: Any) -> nn.Parameter | None:
    """The parameter that an argument stands for, or None if it stands for something else."""
    if not isinstance(argument, fx.Node) or argument.op != "get_attr":
        return None
    owner, _, name = str(argument.target).rpartition(".")
    return dict(module.get_submodule(owner).named_parameters(recurse=False, remove_duplicate=False)).get(name)


def _place(module: fx.GraphModule, owner: str, linear: nn.Linear) -> str:
    """Put a layer into the module, under its weight's owner's name if that holds nothing else, and return where it is."""
    for name, there in module.named_modules():
        if isinstance(there, nn.Linear) and there.weight is linear.weight and there.bias is linear.bias:
            return name
    there = module.get_submodule(owner)
    held = {key: id(value) for key, value in there.named_parameters(recurse=False, remove_duplicate=False)}
    own = {key: id(value) for key, value in linear.named_parameters()}
    if owner and held == own and not [*there.buffers(recurse=False), *there.children()]:
        module.set_submodule(owner, linear)
        return owner
    name = base = f"{owner.replace('.', '_')}_linear".lstrip("_")
    count = 0
    while hasattr(module, name):
        count += 1
        name = f"{base}_{count}"
    module.add_module(name, linear)
    return name

"""What is private of torch: that it is in one module, and that each thing there does what it is there for.

These run on the oldest and on the newest torch that we state, also where most other tests cannot for want of packages.
"""

import ast
import functools
import logging
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from knowlimits import _torch

SOURCE = Path(_torch.__file__).parent
#: Without an underscore, and yet in no documentation.
UNDOCUMENTED = ("torch.fx.graph", "torch.multiprocessing.reductions")


def private(name):
    return name.startswith("_") and not name.endswith("__")


def attributes():
    """Private attributes of what torch hands out."""
    add = torch.ops.aten.add
    things = [
        torch,
        torch._C,
        torch.zeros(1),
        torch.zeros(1).untyped_storage(),
        add,
        add.Tensor,
        add.Tensor._schema,
        nn.Module(),
    ]
    things += [nn.Linear(1, 1), torch.fx.Graph(), torch.fx.GraphModule(nn.Module(), torch.fx.Graph()), _torch.OperationMode()]
    things += [torch.export.ExportedProgram, nn.modules, nn.functional, torch.nn.modules.conv, torch.jit.ScriptModule]
    return {name for thing in things for name in dir(thing) if private(name)}


ATTRIBUTES = attributes()


def found(source):
    """What a source text has that is private of torch."""
    tree = ast.parse(source)
    # Names of our own are not torch's, even if torch has the same for something else.
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    own |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    own |= {node.target.id for node in ast.walk(tree) if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            module = getattr(node, "module", None) or ""
            for name in [f"{module}.{alias.name}".lstrip(".") for alias in node.names]:
                if name.split(".")[0] == "torch" and (any(map(private, name.split("."))) or name.startswith(UNDOCUMENTED)):
                    yield name
        elif isinstance(node, ast.Attribute) and node.attr in ATTRIBUTES - own:
            yield ast.unparse(node)
        elif isinstance(node, ast.FunctionDef) and node.name in vars(_torch.OperationMode):
            if private(node.name):
                yield node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value.strip(".")
            if name.startswith("torch._") and name.replace(".", "").replace("_", "").isalnum():
                yield name


def test_one_module_knows_what_is_private_of_torch():
    paths = set(SOURCE.rglob("*.py")) - {Path(_torch.__file__)}
    assert len(paths) > 100
    assert {str(path): names for path in paths if (names := list(found(path.read_text())))} == {}


@pytest.mark.parametrize(
    "planted",
    [
        "from torch.utils._pytree import tree_map",
        "import torch._dynamo",
        "from torch._subclasses import fake_tensor",
        "from torch.nn.modules.batchnorm import _BatchNorm",
        "from torch.fx.graph import CodeGen",
        "y = torch._C._disabled_torch_function_impl",
        "y = x.untyped_storage()._cdata",
        "y = len(func._schema.returns)",
        "y = module.get_submodule(name)._parameters",
        "y = nn.modules.conv._ConvNd",
        "y = {'torch._subclasses.fake_tensor'}",
        "class Mode:\n    def _should_skip_dynamo(cls):\n        return False",
    ],
)
def test_negative_control_what_is_private_is_seen(planted):
    assert list(found(f"import torch\n\n\ndef function(x):\n    return self._own + 'torch'\n\n\n{planted}\n"))


class Numbers(_torch.Wrapper):
    """Two times the numbers that it is made of, as what is done to it shows."""

    @staticmethod
    def __new__(cls, held, strides=None):
        self = cls.wrap(held.shape, strides, held.dtype)
        self.held = held
        return self

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError("nobody is there")


class Noting(_torch.OperationMode):
    """Does operations on what wrappers hold, and notes them."""

    def __init__(self):
        super().__init__()
        self.met = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.met.append(func)
        return func(*_torch.tree_map(lambda a: a.held if isinstance(a, Numbers) else a, args), **(kwargs or {}))


def test_wrappers_have_no_numbers_and_lie_in_memory_as_is_said():
    x = Numbers(torch.ones(2, 3), (1, 2))
    assert (x.shape, x.stride(), x.dtype) == ((2, 3), (1, 2), torch.float32)
    assert not x.is_contiguous()
    assert Numbers(torch.ones(2, 3)).is_contiguous()
    # Functions of torch come down to operations, instead of being asked about as functions.
    with pytest.raises(RuntimeError, match="nobody is there"):
        nn.functional.linear(x, torch.ones(1, 3))


def test_a_mode_sees_operations_instead_of_modules():
    torch.manual_seed(0)
    module, x = nn.Sequential(nn.Linear(3, 2), nn.ReLU()), torch.randn(4, 3)
    with torch.no_grad():
        with Noting() as mode:
            out = module(Numbers(x))
        assert [_torch.name_of(func) for func in mode.met] == ["t", "addmm", "relu"]
        torch.testing.assert_close(out, module(x))


def test_the_first_mode_imports_no_compiler():
    code = (
        "import sys; from knowlimits._torch import OperationMode; type('Mode', (OperationMode,), {'__torch_dispatch__': print})"
    )
    code += "; print('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


class Squaring(_torch.OperationMode):
    """Squares whatever is added, at each of its rows by itself if `rows`, and lets autograd see it."""

    def __init__(self, rows=False):
        super().__init__()
        self.rows = rows

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is not torch.ops.aten.add.Tensor:
            return func(*args, **(kwargs or {}))
        with _torch.above_dispatch():
            square = torch.vmap(lambda row: row * row) if self.rows else lambda x: x * x
            self.result = square(args[0].held)
        return self.result


@pytest.mark.parametrize("rows", [False, True])
def test_autograd_and_vmap_work_inside_a_mode(rows):
    held = torch.tensor([3.0, 5.0], requires_grad=True)
    with Squaring(rows) as mode:
        Numbers(held) + 0
    assert mode.result.tolist() == [9.0, 25.0]
    (gradient,) = torch.autograd.grad(mode.result.sum(), held)
    assert gradient.tolist() == [6.0, 10.0]


def test_tensors_without_numbers_have_shapes():
    with _torch.without_numbers():
        # 8 PB, if it had numbers; constants from outside come along.
        out = torch.empty(10**15, 2) @ torch.ones(2, 3)
    with _torch.without_numbers():
        assert (torch.empty(5, 2) @ nn.Linear(2, 3).weight.detach().T).shape == (5, 3)
    assert out.shape == (10**15, 3)


@pytest.mark.parametrize(
    ("func", "name", "names", "results", "views"),
    [
        (torch.ops.aten.add.Tensor, "add", ["self", "other", "alpha"], 1, False),
        (torch.ops.aten.view.default, "view", ["self", "size"], 1, True),
        (torch.ops.aten.split.Tensor, "split", ["self", "split_size", "dim"], 1, True),
        (torch.ops.aten.relu_.default, "relu_", ["self"], 1, True),
        (torch.ops.aten.max.dim, "max", ["self", "dim", "keepdim"], 2, False),
    ],
)
def test_schemas_of_operations(func, name, names, results, views):
    assert _torch.is_operation(func)
    assert _torch.name_of(func) == name
    assert [p.name for p in _torch.parameters(func)] == names
    assert _torch.results(func) == results
    assert _torch.returns_views(func) is views


def test_parameters_of_operations():
    x, other, alpha = _torch.parameters(torch.ops.aten.add.Tensor)
    assert (x.has_default_value(), alpha.has_default_value(), alpha.default_value) == (False, True, 1)
    assert (other.kwarg_only, alpha.kwarg_only) == (False, True)
    (_, _, dtype, layout, *_) = _torch.parameters(torch.ops.aten.new_zeros.default)
    assert [str(p.real_type).removeprefix("Optional[").removesuffix("]") for p in (dtype, layout)] == ["ScalarType", "Layout"]
    assert str(_torch.parameters(torch.ops.aten.split.Tensor)[1].type) == "int"


def test_what_is_no_operation():
    assert not any(map(_torch.is_operation, (torch.add, torch.ops.aten.add, "aten::add", abs)))


def test_operations_that_draw():
    assert _torch.draws(torch.ops.aten.bernoulli.default)
    assert not _torch.draws(torch.ops.aten.relu.default)


def test_operations_on_each_number():
    assert _torch.is_pointwise(torch.ops.aten.eq.Tensor)
    assert not _torch.is_pointwise(torch.ops.aten.sort.default)


def test_operations_whose_results_have_a_shape_that_hangs_on_numbers():
    aten = torch.ops.aten
    assert all(
        map(_torch.depends_on_data, (aten.nonzero.default, aten._local_scalar_dense.default, aten.masked_select.default))
    )
    assert not _torch.depends_on_data(aten.embedding.default)


def test_operations_in_other_words():
    linear, relu = torch.ops.aten.linear.default, torch.ops.aten.relu.default
    assert (_torch.can_be_decomposed(linear), _torch.can_be_decomposed(relu)) == (True, False)
    x, weight = torch.randn(2, 3), torch.randn(4, 3)
    with Noting() as mode:
        out = _torch.decomposed(linear, (x, weight), {})
    assert linear not in mode.met
    torch.testing.assert_close(out, x @ weight.T)


def test_operations_that_reach_no_mode():
    assert [name for name in ("linear", "relu", "matmul", "add", "rms_norm") if _torch.is_composite(name)] == [
        "linear",
        "matmul",
        "rms_norm",
    ]


def test_operations_of_our_own_are_seen_by_modes():
    doubled = _torch.new_operation("doubled_for_a_test", "(Tensor x, int times) -> Tensor", lambda x, times: x * 2**times)
    x = torch.arange(3.0)
    assert torch.equal(doubled(x, 2), x * 4)
    with Noting() as mode:
        doubled(x, 1)
    assert "doubled_for_a_test" in [_torch.name_of(func) for func in mode.met]
    with pytest.raises(RuntimeError, match="nobody is there"):
        doubled(Numbers(x), 1)


def test_operations_in_place():
    assert [name for name in ("add_", "add", "_softmax_", "relu_", "_to_copy") if _torch.is_in_place(name)] == ["add_", "relu_"]


def test_tensors_among_arguments():
    x, y, z = torch.zeros(3)
    assert [id(one) for one in _torch.among([x, 1, [y, None], (z,), "text"], torch.Tensor)] == [id(x), id(y), id(z)]
    assert _torch.among([x, [y]], nn.Parameter) == []


def test_trees():
    tree = ([1, (2, 3)], {"a": 4})
    assert _torch.tree_map(lambda n: 10 * n, tree) == ([10, (20, 30)], {"a": 40})
    assert _torch.tree_leaves(tree) == _torch.tree_flatten(tree)[0] == [1, 2, 3, 4]
    assert _torch.tree_flatten(tree)[1] == _torch.tree_flatten(([0, (0, 0)], {"a": 0}))[1] != _torch.tree_flatten([0])[1]


def test_memory_is_known_again_and_not_kept():
    x = torch.zeros(3)
    view, other, held = x[1:], torch.zeros(3), _torch.Held(x)
    assert _torch.memory_of(x) == _torch.memory_of(view) != _torch.memory_of(other)
    del x
    assert not held.expired()
    del view
    assert held.expired()


def test_writes_are_counted_through_views():
    x = torch.zeros(3)
    before = _torch.writes(x)
    x[1:].add_(1)
    assert _torch.writes(x) > before


def test_parents_of_layers():
    assert all(issubclass(kind, _torch.BATCH_NORMS) for kind in (nn.BatchNorm1d, nn.BatchNorm3d, nn.SyncBatchNorm))
    assert all(issubclass(kind, _torch.INSTANCE_NORMS) for kind in (nn.InstanceNorm1d, nn.InstanceNorm3d))
    assert all(issubclass(kind, _torch.CONVOLUTIONS) for kind in (nn.Conv1d, nn.Conv3d, nn.ConvTranspose2d))
    assert not issubclass(nn.GroupNorm, (_torch.BATCH_NORMS, _torch.INSTANCE_NORMS))


def test_homes_of_wrapping_modules():
    compiled = torch.compile(nn.Linear(1, 1), backend="eager")
    assert all(kind.__module__.startswith(_torch.WRAPPERS) for kind in (type(compiled), torch.jit.ScriptModule))


def test_what_was_compiled():
    module = nn.Linear(1, 1)
    assert _torch.uncompiled(torch.compile(module, backend="eager")) is module
    assert _torch.uncompiled(torch.compile(abs_of, backend="eager")) is abs_of
    wrapped = functools.wraps(torch.compile(abs_of, backend="eager"))(lambda x: -x)
    for value in (module, abs_of, wrapped, 3, torch.nn.functional.linear):
        assert _torch.uncompiled(value) is value
    module.compile(backend="eager")
    assert _torch.uncompiled(module._compiled_call_impl) == module._call_impl


def abs_of(x):
    return x.abs()


def test_hooks():
    module = nn.Linear(1, 1)
    assert _torch.hooks(module) == []
    first, second = (lambda *_: None), (lambda *_: None)
    module.register_forward_hook(second)
    module.register_forward_pre_hook(first)
    assert _torch.hooks(module) == [first, second]


@pytest.fixture(scope="module")
def program():
    batch = torch.export.Dim("batch", min=2)
    return torch.export.export(nn.Linear(2, 3), (torch.zeros(2, 2),), dynamic_shapes=({0: batch},))


def test_programs_that_cast_check_types():
    class Cast(nn.Module):
        def forward(self, x):
            return x.float() + x.double()

    found = {node.target for node in torch.export.export(Cast(), (torch.zeros(2),)).module().graph.nodes}
    checks = {target for target in found if "assert_tensor_metadata" in str(target)}
    assert checks <= _torch.TYPE_CHECKS


def test_modules_of_programs_take_only_names_that_are_known(program):
    plain = set(dir(torch.fx.GraphModule(nn.Module(), torch.fx.Graph()))) | {"weight", "bias"}
    taken = set(dir(program.module())) - plain
    assert set(_torch.IN_PROGRAMS) & taken
    guards = [n for n in program.module().graph.nodes if n.op == "call_module"]
    assert {n.target for n in guards} <= {_torch.GUARDS}


def test_plain_inputs_leave_a_function_of_tensors(program):
    module = program.module()
    graph = module.graph
    for node in list(graph.nodes):
        if node.target == _torch.GUARDS:
            graph.erase_node(node)
    plain = torch.fx.GraphModule(module, _torch.plain_inputs(graph))
    x = torch.randn(5, 2)
    for one in (plain, pickle.loads(pickle.dumps(plain))):
        torch.testing.assert_close(one(x), program.module()(x))


def test_loggers_are_those_of_modules_that_are_there():
    for name in _torch.LOGGERS:
        assert logging.getLogger(name).name == name
        __import__(name)


def test_threads_of_mkl():
    function = _torch.mkl_threads()
    assert (function is not None) or not torch.backends.mkl.is_available() or sys.platform != "linux"
    if function is not None:
        before = function(1)
        assert function(before) == 1


def test_a_name_that_is_gone_ends_the_import_with_a_sentence():
    code = "import torch; del torch._C._ForceDispatchKeyGuard; import knowlimits._torch"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode
    assert f"Got {torch.__version__}" in ended.stderr
    assert "_ForceDispatchKeyGuard" in ended.stderr

"""torch.export archives that would crash the process, read foreign memory, hang, or take all memory."""

import operator
import resource
import subprocess
import sys

import pytest
import torch
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from torch import nn

import knowlimits as kl
from knowlimits.files import budget
from knowlimits.files.pt2 import allowed
from knowlimits.files.pt2.read import read_pt2
from knowlimits.follow import operations
from tests.files.pt2_models import MODEL, TINY, N, as_size, crafted, edited, exported, integer, saved, size, tensor

MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


# --- attacks by name -----------------------------------------------------------------------------------------------------


def division(g):
    """The lowest integer by -1."""
    g.full("low", [1], -(2**63), 5)
    g.full("minus", [1], -1, 5)
    mode = ("rounding_mode", {"as_string": "trunc"}, 2)
    g.call("div.Tensor_mode", "q", ("self", tensor("low")), ("other", tensor("minus")), mode, shape=[1], dtype=5)


def statistics(g):
    """Batch norm whose statistics are two, as many as channels, for less than ten inputs, and none from 20 on."""
    g.rows()
    g.call("_operator.floordiv", "q", ("a", size("n")), ("b", integer(10)))
    g.call("_operator.add", "q1", ("a", size("q")), ("b", integer(1)))
    g.call("_operator.floordiv", "k", ("a", integer(2)), ("b", size("q1")))
    batch_norm(g, "k")


def batch_norm(g, count):
    g.call("new_zeros.default", "st", ("self", tensor("linear_1")), ("size", {"as_sym_ints": [as_size(count)]}), shape=[2])
    given = [("input", tensor("linear_1")), ("weight", {"as_none": True}), ("bias", {"as_none": True})]
    given += [("running_mean", tensor("st")), ("running_var", tensor("st"))]
    numbers = ("momentum", {"as_float": 0.1}), ("eps", {"as_float": 1e-5})
    g.call("_native_batch_norm_legit_no_training.default", "bn", *given, *numbers, out=["b0", "b1", "b2"])
    g.returns("b0")


def groups(g):
    """Group norm of as many numbers as its arguments say, not its input: its kernel reads them all."""
    sizes = [(name, integer(value)) for name, value in (("N", 1), ("C", 2), ("HxW", 10**6), ("group", 1))]
    none = {"as_none": True}
    given = [("input", tensor("linear_1")), ("weight", none), ("bias", none), *sizes, ("eps", {"as_float": 1e-5})]
    g.call("native_group_norm.default", "gn", *given, out=["g0", "g1", "g2"])
    g.returns("g0")


def turned_groups(g):
    """As many numbers as the input has, in another order of axes: the result has more of them."""
    groups(g)
    shape = {"N": 1, "C": 10, "HxW": 1}
    for one in g.graph["nodes"][-1]["inputs"]:
        one["arg"] = integer(shape[one["name"]]) if one["name"] in shape else one["arg"]


def stride(g):
    """Kernels of convolutions are compiled for their strides."""
    g.full("x", [2, 2, 6, 4])
    g.full("w", [2, 1, 1, 3])
    given = [("input", tensor("x")), ("weight", tensor("w")), ("bias", {"as_none": True}), ("stride", {"as_ints": [2**16, 2]})]
    g.call("conv_transpose2d.input", "o", *given, shape=[2, 1, 6, 4])
    g.returns_with("o")


def heads(g):
    """An attention whose keys have no heads, by which those of queries are divided."""
    g.full("q", [1, 2, 3, 3])
    g.full("k", [1, 0, 3, 3])
    given = [("query", tensor("q")), ("key", tensor("k")), ("value", tensor("q"))]
    more = ("enable_gqa", {"as_bool": True}, 2)
    g.call("scaled_dot_product_attention.default", "o", *given, more, shape=[1, 2, 3, 3])
    g.returns_with("o")


def squaring(g):
    """Python's integers, which double in length each time."""
    before = integer(3**39)
    for i in range(36):
        g.call("_operator.mul", f"m{i}", ("a", before), ("b", before))
        before = size(f"m{i}")


def text(g):
    g.call("_operator.mod", "big", ("a", {"as_string": "%02147483000d"}), ("b", integer(5)))


def text_times(g):
    g.call("_operator.mul", "big", ("a", {"as_string": "a"}), ("b", integer(2**33)))


def list_times(g):
    g.call("_operator.mul", "big", ("a", {"as_ints": [1, 2]}), ("b", integer(2**33)))


def window(g):
    g.call("unsqueeze.default", "u", ("self", tensor("linear_1")), ("dim", integer(1)), shape=[N, 1, 2])
    kernel = [("kernel_size", {"as_ints": [2**62]}), ("stride", {"as_ints": [1]}), ("padding", {"as_ints": [2**61]})]
    g.call("max_pool1d.default", "mp", ("self", tensor("u")), *kernel, shape=[N, 1, 3])
    g.call("squeeze.dim", "o", ("self", tensor("mp")), ("dim", integer(1)), shape=[N, 3])
    g.returns("o")


def smaller_window(g):
    """The same, within 32 bits."""
    window(g)
    for one in g.graph["nodes"][-2]["inputs"][1::2]:
        one["arg"]["as_ints"] = [one["arg"]["as_ints"][0] // 2**32]


def reach(g):
    """Windows whose places wrap round in 32 bits, to a few."""
    g.call("unsqueeze.default", "u", ("self", tensor("linear_1")), ("dim", integer(1)), shape=[N, 1, 2])
    sizes = {"kernel_size": 2**16, "stride": 1, "padding": 0, "dilation": 2**16}
    given = [(name, {"as_ints": [size]}) for name, size in sizes.items()]
    g.call("max_pool1d.default", "mp", ("self", tensor("u")), *given, shape=[N, 1, 3])
    g.call("squeeze.dim", "o", ("self", tensor("mp")), ("dim", integer(1)), shape=[N, 3])
    g.returns("o")


def live(g):
    """Many tensors at once, each of which is none too large."""
    for i in range(40):
        g.full(f"t{i}", [2**28])
    before = "t0"
    for i in range(1, 40):
        g.call("add.Tensor", f"a{i}", ("self", tensor(before)), ("other", tensor(f"t{i}")), shape=[2**28])
        before = f"a{i}"
    g.returns_with(before)


def products(g):
    g.full("m", [2**14, 2**14], 0.0)
    before = "m"
    for i in range(1000):
        g.call("mm.default", f"p{i}", ("self", tensor(before)), ("mat2", tensor("m")), shape=[2**14, 2**14])
        before = f"p{i}"
    g.returns_with(before)


def integer_products(g):
    """Of a type for which there is no fast kernel."""
    g.full("m", [4000, 4000], 1, 5)
    g.call("mm.default", "p", ("self", tensor("m")), ("mat2", tensor("m")), shape=[4000, 4000], dtype=5)
    g.call("sum.default", "s", ("self", tensor("p")), ("dtype", {"as_scalar_type": 7}, 2), shape=[])
    g.returns_with("s")


def expanded(g):
    """One number that is said to be 2**40, which kernels lay out."""
    g.full("one", [1, 1])
    g.call("expand.default", "e", ("self", tensor("one")), ("size", {"as_ints": [2**20, 2**20]}), shape=[2**20, 2**20])
    g.call("cumsum.default", "c", ("self", tensor("e")), ("dim", integer(0)), shape=[2**20, 2**20])
    g.returns_with("c")


def parts(g):
    """As many tensors as an axis is long."""
    g.full("one", [1])
    g.call("expand.default", "e", ("self", tensor("one")), ("size", {"as_ints": [2**28]}), shape=[2**28])
    g.call("unbind.int", "u", ("self", tensor("e")), ("dim", integer(0)), out=["u0", "u1"], shape=[])
    g.graph["nodes"][-1]["outputs"] = [{"as_tensors": [{"name": "u0"}, {"name": "u1"}]}]
    g.returns_with("u0")


def relus(g):
    before = "linear_1"
    for i in range(20_000):
        g.call("relu.default", f"r{i}", ("self", tensor(before)))
        before = f"r{i}"
    g.returns(before)


def expressions(g):
    """Sizes that take long to simplify."""
    for value in [*g.graph["tensor_values"].values()]:
        value["strides"] = [nested()] * 5000


def nested():
    text = "Symbol('s31')"
    for i in range(8):
        text = f"PythonMod(Add({text},Integer({i + 3})),Integer({i + 7}))"
    return {"as_expr": {"expr_str": text, "hint": {"as_int": 4}}}


ATTACKS = {
    division: "div must not divide whole numbers by others than a positive constant",
    groups: "group norm must have the sizes of its input",
    turned_groups: "group norm must have the sizes of its input",
    stride: "strides, dilations and pads of at most 4,096",
    heads: "scaled_dot_product_attention must not have empty tensors",
    squaring: "mul has a result of more than 64 bits",
    text: r"inputs\[0\].arg must be a size or an integer. Got as_string",
    text_times: "must be a size or an integer. Got as_string",
    list_times: "must be a size or an integer. Got as_ints",
    window: "max_pool1d.default must have kernel_size below 2,147,483,648. Got ",
    smaller_window: "windows have .* places, which is too many",
    reach: "max_pool1d must have windows that reach less than 2,147,483,648 places",
    live: "numbers, which is too many: the model has .* GiB in use at once then, and 4 are allowed",
    products: "mm would take too long",
    integer_products: "mm would take too long",
    expanded: "cumsum.* numbers, which is too many",
    parts: "unbind must return at most 10,000 tensors. Got 268,435,456",
    relus: r"nodes must be a list of at most 5,000. Got 20,00\d",
    expressions: "sizes of tensors must be made of at most 50,000 symbols",
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_attacks_are_refused(attack):
    with pytest.raises(ValueError, match=f"^m.pt2 .*{ATTACKS[attack]}") as raised:
        read_pt2(crafted(attack), "m.pt2")
    assert "\n" not in str(raised.value)


CHILD = """
import resource
import pytest
from tests.files.test_pt2_limits import *
files = {attack: crafted(attack) for attack in ATTACKS}
read_pt2(TINY)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for attack, content in files.items():
    with pytest.raises(ValueError):
        read_pt2(content)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_attacks_take_no_memory():
    """In a process of its own, whose memory ends somewhere."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (12 * 10**9,) * 2),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    # What Python takes for the descriptions; a tensor of an attack has 1 GiB.
    assert int(done.stdout) < 400


# --- what is harmless for a few inputs -----------------------------------------------------------------------------------


def test_statistics_that_hang_on_the_number_of_inputs():
    program = read_pt2(crafted(statistics), "m.pt2")
    for module in (program.module(), kl.read(program).networks[0].module):
        x = torch.zeros(9, 2, dtype=next(module.parameters()).dtype)
        assert module(x).shape == (9, 2)
        for rows in (10, 20, 2000):
            message = rf"m.pt2 cannot be evaluated on inputs of shape \(2,\): .*, for {rows} at once"
            with pytest.raises(ValueError, match=message):
                module(x[:1].expand(rows, 2))
    with pytest.raises(ValueError, match="for 30 at once"):
        kl.far_field(program, torch.zeros(30, 2).numpy(), torch.ones(30, 2).numpy())


def cube(g):
    g.rows()
    g.full("c", ["n", "n", "n"])
    g.returns_with("c")


def power(g):
    """Work, not memory, by the cube of the number of inputs."""
    g.rows()
    g.full("m", ["n", "n"])
    g.call("mm.default", "p", ("self", tensor("m")), ("mat2", tensor("m")), shape=[N, N])
    g.returns_with("p")


@pytest.mark.parametrize(("attack", "message"), [(cube, "8,000,000,000 numbers, which is too many"), (power, "too long")])
def test_growth_is_linear(attack, message, monkeypatch):
    program = read_pt2(crafted(attack), "m.pt2")
    x = torch.zeros(2000, 2)
    # Where there is room it may be otherwise.
    assert program.module()(x[:100]).shape == (100, 2)
    monkeypatch.setattr(budget, "MOST_STEPS", 10**8)
    with pytest.raises(ValueError, match=message):
        program.module()(x)


def test_many_inputs_of_an_ordinary_model_may_take_more_than_the_budget(monkeypatch):
    monkeypatch.setattr(budget, "MOST_BYTES", 10**4)
    monkeypatch.setattr(budget, "MOST_STEPS", 10**4)
    program = read_pt2(TINY)
    assert program.module()(torch.zeros(10**5, 2)).shape == (10**5, 2)
    with pytest.raises(ValueError, match="too long"):
        read_pt2(saved(exported(nn.Sequential(nn.Linear(2, 1000), nn.ReLU(), nn.Linear(1000, 2)), (2,))))


def test_no_input():
    with pytest.raises(ValueError, match="there must be an input at least"):
        read_pt2(TINY).module()(torch.zeros(0, 2))


def test_a_long_file_may_have_many_operations():
    """As many as are allowed are followed, and counted."""

    def some(g):
        before = "linear_1"
        for i in range(100):
            g.call("relu.default", f"r{i}", ("self", tensor(before)))
            before = f"r{i}"
        g.returns(before)

    program = read_pt2(crafted(some))
    assert program.module()(torch.ones(3, 2)).shape == (3, 2)


# --- the same kinds at random ----------------------------------------------------------------------------------------------

BORDERS = st.sampled_from([-(2**63), 2**63 - 1, -(2**31), 2**31 - 1, 2**32 - 1, -128, 127, 255, -1, 0, 1, 2, 3])
TYPES = {1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64}


@MANY
@given(st.data())
def test_quotients_of_whole_numbers(data):
    """They are refused, or what Python says."""
    kind, dtype = data.draw(st.sampled_from(sorted(TYPES.items())))
    first, second = data.draw(BORDERS), data.draw(BORDERS)
    name = data.draw(st.sampled_from(["div.Tensor_mode", "div.Scalar_mode", "divide.Tensor_mode", "remainder.Tensor"]))
    name = data.draw(st.sampled_from([name, "remainder.Scalar", "remainder.Scalar_Tensor", "div_.Tensor_mode"]))
    mode = data.draw(st.sampled_from(["trunc", "floor"]))
    scalars = {"div.Scalar_mode": (0, 1), "remainder.Scalar": (0, 1), "remainder.Scalar_Tensor": (1, 0)}.get(name, (0, 0))

    def build(g):
        arguments = []
        for key, value, scalar in zip(("self", "other"), (first, second), scalars, strict=True):
            if not scalar:
                g.full(f"{key}_", [1], value, kind)
            arguments.append((key, integer(value) if scalar else tensor(f"{key}_")))
        more = [("rounding_mode", {"as_string": mode}, 2)] if "mode" in name else []
        g.call(name, "q", *arguments, *more, shape=[1], dtype=kind)
        g.call("to.dtype", "f", ("self", tensor("q")), ("dtype", {"as_scalar_type": 8}), shape=[1], dtype=8)
        g.returns_with("f")

    try:
        program = read_pt2(crafted(build))
    except ValueError as error:
        event("refused" if "whole numbers" in str(error) else "torch refuses")
        return
    event("read")
    x = torch.zeros(3, 2)
    found = program.module()(x) - read_pt2(TINY).module()(x)
    # Only these are let through: of 64 bits, by a positive constant.
    assert dtype == torch.int64
    assert second > 0
    quotient = abs(first) // second * (1 if first > 0 else -1) if mode == "trunc" else first // second
    expected = first % second if "remainder" in name else quotient
    torch.testing.assert_close(found, torch.full((3, 2), float(expected)), rtol=1e-5, atol=1e-3)


WINDOWS = {
    "max_pool1d.default": (1, "kernel_size stride padding dilation"),
    "max_pool2d.default": (2, "kernel_size stride padding dilation"),
    "max_pool2d_with_indices.default": (2, "kernel_size stride padding dilation"),
    "avg_pool1d.default": (1, "kernel_size stride padding"),
    "avg_pool2d.default": (2, "kernel_size stride padding"),
    "adaptive_avg_pool2d.default": (2, "output_size"),
    "adaptive_max_pool2d.default": (2, "output_size"),
    "reflection_pad1d.default": (1, "padding padding"),
    "replication_pad2d.default": (2, "padding padding"),
    "constant_pad_nd.default": (2, "pad"),
    "unfold.default": (0, "dimension size step"),
    "roll.default": (1, "shifts dims"),
    "pixel_shuffle.default": (0, "upscale_factor"),
    "conv1d.default": (1, "stride padding dilation"),
    "conv2d.default": (2, "stride padding dilation"),
    "conv_transpose2d.input": (2, "stride padding output_padding"),
}
HUGE = st.sampled_from([100, 2**16, 2**31 - 1, 2**31, 2**40, 2**62, -(2**63)])
SMALL = st.one_of(st.integers(-1, 5), st.integers(0, 3), HUGE)


@MANY
@given(st.data())
def test_sizes_of_windows(data):
    """Windows, pads and strides of any size are refused, or do what torch does without the reader."""
    name = data.draw(st.sampled_from(sorted(WINDOWS)))
    axes, arguments = WINDOWS[name]
    sizes = [data.draw(st.integers(1, 4)) for _ in range(4 if axes != 1 else 3)]
    drawn = {}
    for argument in arguments.split():
        drawn.setdefault(argument, [])
        drawn[argument] += [data.draw(SMALL) for _ in range(max(axes, 1))]
    # One at a time is out of bounds mostly.
    given = [(key, {"as_ints": values} if axes else integer(values[0])) for key, values in drawn.items()]
    if name.startswith("conv"):
        kernel = [sizes[1], sizes[1], *(data.draw(st.integers(1, 3)) for _ in range(axes))]

    def build(g):
        g.rows()
        shape = ["n", *sizes[1:]]
        g.full("wide", shape)
        inputs = [("input" if name.startswith("conv") else "self", tensor("wide"))]
        if name.startswith("conv"):
            g.full("kernel", kernel)
            inputs += [("weight", tensor("kernel")), ("bias", {"as_none": True})]
        outputs = ["w", "i"] if "indices" in name or name.startswith("adaptive_max") else ["w"]
        g.call(name, "w", *inputs, *given, out=outputs, shape=[N, *sizes[1:]])
        g.returns_with("w")

    try:
        program = read_pt2(crafted(build))
    except ValueError:
        event("refused")
        return
    event(f"{name} read")
    operation = operator.attrgetter(name)(torch.ops.aten)
    inputs = [torch.ones(3, *sizes[1:])] + ([torch.ones(kernel), None] if name.startswith("conv") else [])
    expected = operation(*inputs, *(values if axes else values[0] for values in drawn.values()))
    expected = expected[0] if isinstance(expected, tuple) else expected
    x = torch.zeros(3, 2)
    torch.testing.assert_close(program.module()(x), read_pt2(TINY).module()(x) + expected.mean(), equal_nan=True)


OPERATORS = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "floordiv": operator.floordiv, "mod": operator.mod}
NUMBERS = st.one_of(st.integers(-3, 12), st.sampled_from([2**31, 2**62, -(2**63)]))
STEPS = st.lists(st.tuples(st.sampled_from(sorted(OPERATORS)), st.booleans(), NUMBERS), max_size=5)


def by_python(steps, rows):
    """The size that an expression says, or None if a step leaves 64 bits or divides by zero."""
    value = rows
    for name, turned, number in steps:
        try:
            value = OPERATORS[name](*((number, value) if turned else (value, number)))
        except ZeroDivisionError:
            return None
        if not -(2**63) <= value < 2**63:
            return None
    return value


@MANY
@given(STEPS)
@example([("floordiv", False, 10), ("add", False, 1), ("floordiv", True, 2)])
@example([("mod", False, 8), ("mul", False, 0), ("add", False, 2)])
def test_sizes_that_are_computed(steps):
    """Statistics of batch norm as many as an expression on the number of inputs says: two, or an error, whatever comes."""

    def build(g):
        g.rows()
        before = "n"
        for i, (name, turned, number) in enumerate(steps):
            a, b = (integer(number), size(before)) if turned else (size(before), integer(number))
            g.call(f"_operator.{name}", f"k{i}", ("a", a), ("b", b))
            before = f"k{i}"
        batch_norm(g, before)

    right = [by_python(steps, rows) == 2 for rows in range(100)]
    try:
        program = read_pt2(crafted(build))
    except ValueError:
        event("refused")
        assert not (right[5] and right[7])
        return
    event("read")
    assert right[5]
    assert right[7]
    for rows in range(1, 100, 7):
        try:
            out = program.module()(torch.zeros(rows, 2))
        except ValueError:
            assert not right[rows]
        else:
            assert right[rows]
            torch.testing.assert_close(out, read_pt2(TINY).module()(torch.zeros(rows, 2)) / 1e-5**0.5)


# --- the list of operations ------------------------------------------------------------------------------------------------


def overload(name):
    return operator.attrgetter(name if "." in name else f"{name}.default")(torch.ops.aten)


def plain(name):
    name = name.partition(".")[0]
    return name.removesuffix("_")


def test_each_operation_of_the_list_is_followed_or_says_why_not():
    lists = [allowed.FOLLOWED, allowed.COMPOSED, allowed.COPIES]
    lists = [names.split() for names in [*lists, allowed.NOT_FOLLOWED, allowed.MADE]]
    assert sum(map(len, lists)) == len({name for names in lists for name in names})
    followed, composed, *others = lists
    assert [name for name in followed if plain(name) not in operations.TABLE] == []
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    assert [name for name in composed if not has(overload(name).name(), "CompositeImplicitAutograd")] == []
    # What the table follows stands where it says so.
    assert [name for names in others for name in names if plain(name) in operations.TABLE] == []


def test_operations_of_the_list_make_tensors_and_write_to_the_first_alone():
    for target in allowed.ALLOWED - allowed.ON_SIZES:
        name = target.removeprefix("torch.ops.aten.")
        if name in ("sym_size.int", "_assert_tensor_metadata.default"):
            continue
        schema = overload(name)._schema
        assert schema.returns
        assert {str(returned.type) for returned in schema.returns} <= {"Tensor", "List[Tensor]"}
        written = [a.name for a in schema.arguments if a.alias_info and a.alias_info.is_write]
        assert written == (["self"] if name.partition(".")[0].endswith("_") else []), name
        # What changes a shape in place would change that of a weight between two calls.
        assert torch.Tag.inplace_view not in overload(name).tags or name == "detach_.default", name


def test_operations_that_a_person_registers_are_not_for_files():
    assert isinstance(allowed.ALLOWED, frozenset)
    content = edited(MODEL, lambda tree: first_call(tree).update(target="torch.ops.aten.as_strided.default"))
    kl.follow.register("as_strided", operations.Move())
    try:
        with pytest.raises(ValueError, match="target must be a tensor operation"):
            read_pt2(content)
    finally:
        del operations.TABLE["as_strided"]


def first_call(tree):
    return tree["graph_module"]["graph"]["nodes"][1]


# --- messages --------------------------------------------------------------------------------------------------------------


def test_torch_says_nothing_beside_the_error(capfd):
    """Its log has a page for each error."""

    def change(tree):
        tree["graph_module"]["graph"]["nodes"].pop()

    def misfit(g):
        g.call("mm.default", "p", ("self", tensor("linear_1")), ("mat2", tensor("linear_1")))
        g.returns("p")

    with pytest.raises(ValueError, match=r"^m.pt2 is no torch.export archive that torch \S+ can load: it has no 'linear_1'$"):
        read_pt2(edited(MODEL, change), "m.pt2")
    with pytest.raises(ValueError, match="cannot be evaluated"):
        read_pt2(crafted(misfit), "m.pt2")
    assert capfd.readouterr() == ("", "")

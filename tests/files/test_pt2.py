"""Reading torch.export archives that nobody vouches for."""

import copy
import io
import json
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import knowlimits as kl
from knowlimits.files.pt2.read import read_pt2
from knowlimits.model.exported import with_linear_modules
from tests.files.pt2_models import CONSTANTS, MODEL, SAMPLES, TINY, WEIGHTS, edited, exported, packed, saved, tiny, unpacked

# --- models that come back -----------------------------------------------------------------------------------------------


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout()
        self.linear = nn.Linear(16, 3)
        self.register_buffer("shift", torch.tensor([0.1, 0.2, 0.3]))

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.norm(self.conv(x))), 2)
        return self.linear(self.dropout(x.view(x.shape[0], -1))) + self.shift * torch.tensor([1.0, 2.0, 3.0])


def fitted_pipeline():
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(60, 4)), np.arange(60) % 3
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((5,), max_iter=3, random_state=0))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Stochastic Optimizer")
        return kl.read(pipeline.fit(X, y)).networks[0]


MODELS = {
    "MLP": (tiny, (2,)),
    "layer norm": (lambda: nn.Sequential(nn.Linear(2, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3)), (2,)),
    "conv net": (ConvNet, (1, 4, 4)),
    "pipeline": (fitted_pipeline, (4,)),
    "in place": (lambda: nn.Sequential(nn.Linear(2, 4), nn.LeakyReLU(inplace=True), nn.Linear(4, 1), nn.Flatten(0)), (2,)),
    "resized": (
        lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8, 2)),
        (2, 3, 3),
    ),
}


# torch's own deprecation, within its copy of a program.
@pytest.mark.filterwarnings("ignore:`isinstance:FutureWarning")
@pytest.mark.parametrize("decomposed", [False, True], ids=["as exported", "decomposed"])
@pytest.mark.parametrize("kind", MODELS)
def test_models_come_back(kind, decomposed):
    torch.manual_seed(1)
    make, shape = MODELS[kind]
    module = make().eval()
    dtype = next(module.parameters()).dtype
    program = exported(module, shape, dtype)
    program = program.run_decompositions() if decomposed else program
    loaded = read_pt2(saved(program))
    x = torch.randn(7, *shape, dtype=dtype)
    torch.testing.assert_close(loaded.module()(x.clone()), module(x.clone()), rtol=1e-6, atol=1e-6)
    origins, directions = np.random.default_rng(2).normal(size=(2, 5, *shape))
    far, same = (kl.far_field(model, origins, directions) for model in (loaded, module))
    np.testing.assert_allclose(far.probs, same.probs, atol=1e-9)
    # From one point, which torch would refuse as another batch size than those it promised.
    np.testing.assert_allclose(kl.far_field(loaded, origins[:1], directions[:1]).probs, same.probs[:, :1], atol=1e-9)


def test_detectors_and_remedies_take_exported_models():
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(60, 2)), np.arange(60) % 3
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    program = exported(module, (2,))
    scores = [kl.detectors.Mahalanobis().fit(model, X, y).score(X) for model in (program, module)]
    np.testing.assert_allclose(*scores, rtol=1e-9)
    probs = [kl.LastLayerLaplace(model).fit(X, y).predict_proba(X) for model in (program, module)]
    np.testing.assert_allclose(*probs, atol=1e-12)


class Shared(nn.Module):
    """Layers that share a weight, a weight without a layer, one that is used otherwise too, and an attention."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4, bias=False)
        self.b.weight = self.a.weight
        self.free = nn.Parameter(torch.randn(3, 4))
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        x = self.a(self.b(self.a(x))) + self.a.weight.sum()
        x = self.attention(x[:, None], x[:, None], x[:, None])[0][:, 0]
        return nn.functional.linear(x, self.free)


def test_linear_modules_share_the_parameters_of_the_program():
    torch.manual_seed(0)
    module = Shared().eval()
    program = exported(module, (4,))
    rewritten = with_linear_modules(program)
    layers = {name: layer for name, layer in rewritten.named_modules() if isinstance(layer, nn.Linear)}
    # The program knows one name of the weight that is shared.
    assert layers.keys() == {"b", "b_linear", "attention.out_proj", "linear"}
    assert layers["b"].weight is layers["b_linear"].weight is program.state_dict["b.weight"]
    x = torch.randn(1, 4)
    torch.testing.assert_close(rewritten(x), module(x))
    double = copy.deepcopy(rewritten).double()
    assert double.b.weight is double.b_linear.weight
    torch.testing.assert_close(double.train().eval()(x.double()), copy.deepcopy(module).double()(x.double()))


# --- files that would run something --------------------------------------------------------------------------------------


class Payload:
    """Pickled, it makes a file when it is loaded."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def pickled(marker):
    buffer = io.BytesIO()
    torch.save((Payload(marker),), buffer)
    return buffer.getvalue()


def code(marker):
    return f"__import__('pathlib').Path('{marker}').touch()"


def sample_inputs(marker):
    return packed(unpacked(TINY) | {SAMPLES: pickled(marker)})


def pickled_weight(marker):
    files = unpacked(edited(WEIGHTS, lambda tree: tree["config"]["0.weight"].update(use_pickle=True)))
    return packed(files | {"data/weights/weight_0": pickled(marker)})


def pickled_weights(marker):
    return packed(unpacked(TINY) | {"data/weights/model.pt": pickled(marker)})


def opaque_constant(marker):
    payload = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    files = unpacked(edited(CONSTANTS, lambda tree: tree["config"].update(c=payload)))
    return packed(files | {"data/constants/opaque_obj_0": pickle.dumps(Payload(marker))})


def opaque_name_only(marker):
    """The same under the name of a tensor, so that nothing but the configuration tells."""
    payload = {"path_name": "tensor_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    files = unpacked(edited(CONSTANTS, lambda tree: tree["config"].update(c=payload)))
    return packed(files | {"data/constants/tensor_0": pickled(marker)})


def shape(marker):
    def change(tree):
        size = tree["graph_module"]["graph"]["tensor_values"]["input"]["sizes"][0]["as_expr"]
        size["expr_str"] = f"{code(marker)} or {size['expr_str']}"

    return edited(MODEL, change)


def target(marker):
    """An operation that makes a file of a given size; torch itself refuses many functions that are none of its own."""

    def change(tree):
        arguments = {"filename": {"as_string": str(marker)}, "shared": {"as_bool": True}, "size": {"as_int": 9}}
        inputs = [{"name": key, "arg": value, "kind": 1} for key, value in arguments.items()]
        output = {"as_tensor": {"name": "n"}}
        node = {"target": "torch.ops.aten.from_file.default", "inputs": inputs, "outputs": [output], "metadata": {}}
        graph = tree["graph_module"]["graph"]
        graph["nodes"].insert(0, node)
        graph["tensor_values"]["n"] = graph["tensor_values"]["p_0_bias"]

    return edited(MODEL, change)


def name_of_input(marker):
    def change(tree):
        signature = tree["graph_module"]["module_call_graph"][0]["signature"]
        # It is written twice: what is between becomes a text, and what is before and after a call of its own.
        signature["forward_arg_names"] = [f"input):\n    {code(marker)}\n    tuple((['''"]

    return edited(MODEL, change)


def name_of_weight(marker):
    # Without dots, which would divide it.
    escaped = code(marker).replace(".", "\\x2e")
    name = f'x", exec("{escaped}")) or getattr(self, "0'
    files = unpacked(TINY)
    for entry in (MODEL, WEIGHTS):
        text = files[entry].decode().replace('"parameter_name": "0.weight"', f'"parameter_name": {json.dumps(name)}')
        files[entry] = text.replace('"0.weight": {', f"{json.dumps(name)}: {{").encode()
    return packed(files)


def guards(marker):
    return edited(MODEL, lambda tree: tree.update(guards_code=[f"{code(marker)} or True"]))


def output_spec(marker):
    (marker.parent / "planted.py").write_text(f"{code(marker)}\nimport enum\nE = enum.Enum('E', 'A')\n")

    def change(tree):
        signature = tree["graph_module"]["module_call_graph"][0]["signature"]
        leaf = {"type": None, "context": None, "children_spec": []}
        context = json.dumps({"__enum__": True, "fqn": "planted:E", "name": "A"})
        spec = {"type": "builtins.tuple", "context": context, "children_spec": [leaf]}
        signature["out_spec"] = json.dumps([1, spec])

    return edited(MODEL, change)


def load_as_torch_does(content):
    program = torch.export.load(io.BytesIO(content))
    program.module()(torch.zeros(3, 2))


ATTACKS = {
    pickled_weight: "use_pickle must be false",
    pickled_weights: "no entry 'data/weights/model.pt'",
    opaque_constant: "no entry 'data/constants/opaque_obj_0'",
    opaque_name_only: "use_pickle must be false",
    shape: "expr_str must be arithmetic on symbols",
    target: r"nodes\[0\].target must be a tensor operation.*Got torch.ops.aten.from_file.default",
    name_of_input: r"forward_arg_names\[0\] must be a name of letters and digits",
    name_of_weight: "parameter_name must be names with dots",
    guards: r"guards_code must be \[\]",
    output_spec: "out_spec must be one tensor",
}


# torch warns that the file is of an older form, and of its own deprecations.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("attack", [*ATTACKS, sample_inputs], ids=lambda attack: attack.__name__)
def test_a_file_that_runs_something_is_refused(attack, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    marker = tmp_path / "marker"
    content = attack(marker)
    if attack is sample_inputs:
        # Never opened, as a program does not need them.
        program = read_pt2(content)
        x = torch.randn(5, 2)
        torch.testing.assert_close(program.module()(x), tiny()(x))
    else:
        with pytest.raises(ValueError, match=f"^m.pt2 was refused: .*{ATTACKS[attack]}"):
            read_pt2(content, "m.pt2")
    assert not marker.exists()
    # The attack is one: torch itself runs it, whether or not it makes a program of the file.
    try:
        load_as_torch_does(content)
    except Exception as error:
        print(type(error), str(error)[-300:])
    assert marker.exists()


def graph_of(tree):
    return tree["graph_module"]["graph"]


@pytest.mark.parametrize(
    "name",
    [
        "torch.os.system",
        "torch.hub.load",
        "torch.load",
        "torch.ops.aten.relu",
        "torch.ops.aten.relu.default.__call__",
        "torch.ops.aten.relu.nothing",
        "torch.ops.aten.add.str",
        "torch.ops.aten.add.out",
        "torch.ops.aten.max.dim_max",
        "torch.ops.aten.to.prim_dtype",
        "torch.ops.aten.mul.left_t",
        "torch.ops.aten.as_strided.default",
        "torch.ops.aten.native_batch_norm.default",
        "torch.ops.aten.upsample_nearest2d.default",
        "torch.ops.aten.__class__.default",
        "torch.ops.higher_order.cond",
        "torch.ops.mkldnn._linear_pointwise.default",
        "_operator.attrgetter",
        "_operator.pow",
        "math.prod",
        "#extension:relu",
        "torch.ops.aten.relu.default\n",
        None,
    ],
)
def test_functions_other_than_tensor_operations_are_refused(name):
    content = edited(MODEL, lambda tree: graph_of(tree)["nodes"][1].update(target=name))
    with pytest.raises(ValueError, match=r"model was refused: the model.*target must be a tensor operation"):
        read_pt2(content)


@pytest.mark.parametrize(
    "expression",
    [
        "Symbol('s0').__class__",
        "Pow(Integer(10), Pow(Integer(10), Integer(10)))",
        "10**10**10",
        "Symbol('u99999999999')",
        "Symbol('s0', evaluate=print())",
        "Integer('1')",
        "Add(*[Symbol('s0')])",
        "(lambda: 0)()",
        "exec('1')",
        "Mul(" * 500 + "Integer(1)" + ")" * 500,
        "Add(",
        "",
        7,
    ],
)
def test_expressions_other_than_arithmetic_are_refused(expression):
    def change(tree):
        graph_of(tree)["tensor_values"]["relu"]["sizes"][0]["as_expr"]["expr_str"] = expression

    with pytest.raises(ValueError, match="expr_str must be arithmetic on symbols such as s0 and integers"):
        read_pt2(edited(MODEL, change))


def argument(kind, value):
    return lambda tree: graph_of(tree)["nodes"][1]["inputs"][0].update(arg={kind: value})


def weight(**change):
    return lambda tree: tree["config"]["0.weight"]["tensor_meta"].update(change)


def sizes(*values):
    return [{"as_int": value} for value in values]


@pytest.mark.parametrize(
    ("entry", "change", "message"),
    [
        (MODEL, argument("as_operator", "torch.os.system"), "arg must be one of as_none, as_tensor"),
        (MODEL, argument("as_graph", {}), "arg must be one of as_none, as_tensor"),
        (MODEL, argument("as_custom_obj", {}), "arg must be one of as_none, as_tensor"),
        (MODEL, argument("as_device", {"type": "cuda", "index": 0}), "must be the CPU"),
        (MODEL, argument("as_float", float("nan")), "input|must be|cannot be"),
        (MODEL, lambda tree: tree.update(unheard_of=1), "made of graph_module, .*Got unheard_of"),
        (MODEL, lambda tree: tree.pop("graph_module"), "complete with graph_module"),
        (MODEL, lambda tree: tree["range_constraints"].update(u999999999999={}), "must be a symbol such as s0"),
        (MODEL, lambda tree: tree["verifiers"].append("EVIL"), "verifiers"),
        (MODEL, lambda tree: tree["schema_version"].update(major=9), "can load"),
        (MODEL, lambda tree: graph_of(tree)["custom_obj_values"].update(a={}), "custom_obj_values must be {}"),
        (MODEL, lambda tree: graph_of(tree)["outputs"].append(graph_of(tree)["outputs"][0]), "can load"),
        (MODEL, lambda tree: graph_of(tree)["nodes"].pop(), "can load"),
        (WEIGHTS, lambda tree: tree["config"].pop("0.weight"), "can load"),
        (WEIGHTS, weight(sizes=sizes(4, 2)), r"0.weight must have the size of its numbers. Got \[4, 2\] for 6"),
        (WEIGHTS, weight(storage_offset={"as_int": -1}), "size of its numbers"),
        (WEIGHTS, weight(storage_offset={"as_int": 1}), "size of its numbers"),
        (WEIGHTS, weight(strides=sizes(2**62, 1)), "size of its numbers"),
        (WEIGHTS, weight(strides=sizes(-2, 1)), "size of its numbers"),
        (WEIGHTS, weight(sizes=sizes(2**40, 2), strides=sizes(0, 0)), "size of its numbers"),
        (WEIGHTS, weight(sizes=sizes(0, 2)), "size of its numbers"),
        (WEIGHTS, weight(dtype=8), "size of its numbers"),
        (WEIGHTS, weight(layout=1), "layout must be 7"),
        (WEIGHTS, lambda tree: tree["config"]["0.weight"].update(path_name="../models/model.json"), "weight_ and a number"),
        (WEIGHTS, lambda tree: tree["config"]["0.weight"].update(path_name="weight_9"), "Got no data/weights/weight_9"),
        (WEIGHTS, lambda tree: tree["config"].update({"__class__.forward": tree["config"]["0.weight"]}), "names with dots"),
        (WEIGHTS, lambda tree: tree["config"].update({"forward": tree["config"]["0.weight"]}), "names with dots"),
    ],
)
def test_descriptions_that_are_not_as_torch_writes_them_are_refused(entry, change, message):
    with pytest.raises(ValueError, match=message):
        read_pt2(edited(entry, change))


def test_two_tensors_of_one_entry_have_one_type():
    def change(tree):
        other = copy.deepcopy(tree["config"]["0.weight"])
        other["tensor_meta"].update(dtype=4)
        tree["config"]["other"] = other

    with pytest.raises(ValueError, match="other must be of the same type as the others in data/weights/weight_0"):
        read_pt2(edited(WEIGHTS, change))


def test_a_key_twice_is_refused():
    files = unpacked(TINY)
    files[MODEL] = files[MODEL][:-1] + b', "guards_code": []}'
    with pytest.raises(ValueError, match=r"must be JSON.*twice"):
        read_pt2(packed(files))


@pytest.mark.parametrize("kind", [1, 2])
def test_statistics_of_batch_norm_are_as_many_as_channels(kind):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    program = exported(module, (1, 4, 4))
    # torch's own deprecation, within its copy of a program.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        program = program.run_decompositions()

    def change(tree):
        meta = tree["config"]["1.running_var"]["tensor_meta"]
        meta.update(sizes=sizes(1))

    def change_kind(tree):
        (node,) = [n for n in graph_of(tree)["nodes"] if "batch_norm" in n["target"]]
        for one in node["inputs"][1:]:
            one["kind"] = kind

    content = edited(MODEL, change_kind, saved(program))
    x = torch.randn(3, 1, 4, 4)
    torch.testing.assert_close(with_linear_modules(read_pt2(content))(x), module(x))
    with pytest.raises(ValueError, match="statistics for each channel"):
        read_pt2(edited(WEIGHTS, change, content))


@pytest.mark.parametrize("kind", [1, 2])
def test_a_number_in_place_of_a_type(kind):
    """torch ends the process for numbers that are none of a type."""

    def change(tree):
        inputs = {"self": {"as_tensor": {"name": "linear"}}, "dim": {"as_int": 1}, "dtype": {"as_int": 1000}}
        node = graph_of(tree)["nodes"][1]
        node.update(target="torch.ops.aten.softmax.int")
        node["inputs"] = [{"name": key, "arg": value, "kind": kind if key == "dtype" else 1} for key, value in inputs.items()]

    with pytest.raises(ValueError, match=r"cannot be evaluated.*softmax.int must have a dtype as dtype. Got 1000 instead"):
        read_pt2(edited(MODEL, change))


# --- archives that are not whole, or something else -----------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"PK", TINY[: len(TINY) // 2], TINY[:-1], b"not a zip" * 100])
def test_an_incomplete_archive(content):
    with pytest.raises(ValueError, match=r"^m.pt2 is not a complete torch.export archive: "):
        read_pt2(content, "m.pt2")


def test_a_wrong_checksum():
    content = bytearray(TINY)
    content[TINY.index(b'"graph_module"') + 3] ^= 1
    with pytest.raises(ValueError, match=r"is not a complete torch.export archive: Bad CRC-32 for file .*model.json"):
        read_pt2(bytes(content))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_checkpoint(zipped):
    buffer = io.BytesIO()
    torch.save(tiny(), buffer, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"m.pt is a pickle, which runs code when it is loaded; save the model by"):
        read_pt2(buffer.getvalue(), "m.pt")


def test_entries_that_torch_does_not_write():
    files = unpacked(TINY)
    for name, message in {
        "extra/notes.txt": "no entry 'extra/notes.txt'",
        "data/executorch/a": "no entry",
        "models/other.json": "no entry",
        "data/aotinductor/model/a.so": "compiled code",
    }.items():
        with pytest.raises(ValueError, match=message):
            read_pt2(packed(files | {name: b""}))
    with pytest.raises(ValueError, match="compresses and encrypts nothing"):
        read_pt2(packed(files, zipfile.ZIP_DEFLATED))
    with pytest.raises(ValueError, match=f"has no {MODEL}"):
        read_pt2(packed({name: content for name, content in files.items() if name != MODEL}))
    with pytest.raises(ValueError, match="byteorder must be little"):
        read_pt2(packed(files | {"byteorder": b"big"}))


# zipfile warns of the name.
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_name_twice():
    buffer = io.BytesIO(TINY)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(f"archive/{MODEL}", unpacked(TINY)[MODEL])
    with pytest.raises(ValueError, match=f"two entries '{MODEL}'"):
        read_pt2(buffer.getvalue())
    buffer = io.BytesIO(TINY)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("elsewhere/models/model.json", b"{}")
    with pytest.raises(ValueError, match="entries must be in one folder"):
        read_pt2(buffer.getvalue())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(value):
    module = tiny()
    with torch.no_grad():
        module[2].bias[1] = value
    with pytest.raises(ValueError, match=r"m.pt2 has NaN or infinite numbers in 2.bias"):
        read_pt2(saved(exported(module, (2,))), "m.pt2")


class Wrapped(nn.Module):
    """A layer with something around it."""

    def __init__(self, way):
        super().__init__()
        self.linear, self.way = nn.Linear(2, 2), way

    def forward(self, x):
        return self.way(self.linear, x)


class Two(nn.Module):
    def forward(self, x, y):
        return x + y


def test_models_that_are_something_else():
    x = torch.randn(4, 2)
    fixed = torch.export.export(tiny(), (x,))
    with pytest.raises(ValueError, match=r"fixed number: .*dynamic_shapes={'input': {0: torch.export.Dim.AUTO}}\)"):
        read_pt2(saved(fixed))
    auto = {0: torch.export.Dim.AUTO}
    two = torch.export.export(Two(), (x, x), dynamic_shapes=(auto, auto))
    with pytest.raises(ValueError, match="in_spec must be one positional argument, a tensor"):
        read_pt2(saved(two))
    for answer in (lambda f, x: (f(x), x), lambda f, x: {"logits": f(x)}, lambda f, x: [f(x)]):
        with pytest.raises(ValueError, match=r"out_spec must be one tensor"):
            read_pt2(saved(exported(Wrapped(answer), (2,))))
    branching = exported(Wrapped(lambda f, x: f(x) * 2 if x.shape[0] > 3 else x), (2,))
    with pytest.raises(ValueError, match=r"guards_code must be \[\]. Got .*> 3"):
        read_pt2(saved(branching))


def test_a_model_that_changes_itself():
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    program = torch.export.export(module, (torch.randn(4, 2),), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    with pytest.raises(ValueError, match=r"changes its own weights whenever it is evaluated.*model.eval\(\)"):
        read_pt2(saved(program))


def test_a_model_that_needs_too_much_memory():
    program = exported(Wrapped(lambda f, x: f(x)[:, None].expand(-1, 2**40, -1).reshape(x.shape[0], -1)), (2,))
    with pytest.raises(ValueError, match=r"cannot be evaluated on inputs of shape \(2,\): .*numbers, which is too many"):
        read_pt2(saved(program))


# --- archives with a little changed --------------------------------------------------------------------------------------


def test_an_archive_that_is_cut_anywhere_is_not_complete():
    # The sample inputs are an archive of their own, which ends somewhere in this one.
    for end in [*range(0, len(TINY), 97), TINY.rindex(b"PK\x05\x06", 0, -30) + 22]:
        with pytest.raises(ValueError, match="not a complete"):
            read_pt2(TINY[:end])


def mangled(content, draw):
    """Some bytes turned, cut out or put in."""
    content = bytearray(content)
    for _ in range(draw.choice([1, 1, 1, 2, 5])):
        place = draw.randrange(len(content))
        # The directory at the end is small, but says the most.
        place = draw.choice([place, len(content) - 1 - draw.randrange(min(2000, len(content)))])
        kind = draw.randrange(4)
        if kind == 0:
            content[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            content[place:place] = draw.randbytes(draw.randrange(1, 9))
        elif kind == 2:
            del content[place : place + draw.randrange(1, 9)]
        else:
            content[place : place + 4] = draw.choice([bytes(4), b"\xff" * 4, draw.randbytes(4)])
        if not content:
            return b""
    return bytes(content)


STRANGE = [
    *(None, True, False, 0, 1, -1, 2, 3, 7, 2**31, 2**63 - 1, 2**70, 0.5, 1e308, "Infinity", "NaN", "", [], {}, [[]]),
    *("relu", "linear", "input", "p_0_weight", "0.weight", "s31", "self", "torch", "lambda", "__class__", "weight_1"),
    *(f"torch.ops.aten.{name}" for name in ("gelu.default", "tanh.default", "neg.default", "exp.default", "t.default")),
    *(f"torch.ops.aten.{name}" for name in ("add.Tensor", "sum.default", "relu_.default", "from_file.default")),
    *("torch.os.system", "_operator.mul", "Mul(Integer(2), Symbol('s31', positive=True, integer=True))", "s31 + 1"),
    *({"as_int": 3}, {"as_tensor": {"name": "linear"}}, {"as_float": 2.0}, {"as_none": True}, {"name": "relu"}),
]


def places(tree, found=None):
    """Every container of a tree with every key in it."""
    found = [] if found is None else found
    for key in tree if isinstance(tree, dict) else range(len(tree)):
        found.append((tree, key))
        if isinstance(tree[key], dict | list):
            places(tree[key], found)
    return found


def changed(tree, draw):
    """A tree with some values replaced, removed, renamed, repeated or swapped."""
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        options = places(tree)
        if not options:
            return
        container, key = draw.choice(options)
        kind = draw.randrange(6)
        if kind == 0:
            del container[key]
        elif kind == 1 and isinstance(container, dict):
            container[draw.choice(["as_int", "as_expr", "relu", "unknown", "as_operator"])] = container.pop(key)
        elif kind == 2 and isinstance(container, list):
            container.insert(draw.randrange(len(container) + 1), copy.deepcopy(container[key]))
        elif kind == 3:
            # Something of the same kind from elsewhere.
            alike = [c[k] for c, k in options if type(c[k]) is type(container[key])]
            container[key] = copy.deepcopy(draw.choice(alike))
        elif kind == 4 and isinstance(container[key], int):
            container[key] = draw.choice([container[key] + 1, container[key] - 1, container[key] * 2, 12, 8])
        else:
            container[key] = copy.deepcopy(draw.choice(STRANGE))


FUNCTIONS = {
    "torch.ops.aten.linear.default": lambda x, w, b=None: x @ w.T + (0 if b is None else b),
    "torch.ops.aten.relu.default": lambda x: np.maximum(x, 0),
    "torch.ops.aten.relu_.default": lambda x: np.maximum(x, 0),
    "torch.ops.aten.tanh.default": np.tanh,
    "torch.ops.aten.neg.default": np.negative,
    "torch.ops.aten.exp.default": np.exp,
    "torch.ops.aten.t.default": np.transpose,
}


def expected(files, x):
    """The output by NumPy from the description as it stands, or None if it says anything that this does not know."""
    tree, weights = json.loads(files[MODEL]), json.loads(files[WEIGHTS])["config"]
    values = {}
    for spec in tree["graph_module"]["signature"]["input_specs"]:
        ((kind, spec),) = spec.items()
        if kind == "user_input":
            values[spec["arg"]["as_tensor"]["name"]] = x
            continue
        payload = weights[spec[f"{kind}_name"]]
        meta = payload["tensor_meta"]
        numbers = np.frombuffer(files[f"data/weights/{payload['path_name']}"], {7: "f4", 4: "i4"}[meta["dtype"]])
        numbers = numbers[meta["storage_offset"]["as_int"] :]
        shape, strides = ([one["as_int"] for one in meta[key]] for key in ("sizes", "strides"))
        values[spec["arg"]["name"]] = np.lib.stride_tricks.as_strided(numbers, shape, [4 * stride for stride in strides])
    for node in graph_of(tree)["nodes"]:
        if node["target"] not in FUNCTIONS or any("as_tensor" not in i["arg"] for i in node["inputs"]):
            return None
        names = [i["arg"]["as_tensor"]["name"] for i in node["inputs"]]
        if node["target"].endswith("_.default") or [i["name"] for i in node["inputs"]] not in (
            ["input", "weight", "bias"],
            ["input", "weight"],
            ["self"],
        ):
            return None
        values[node["outputs"][0]["as_tensor"]["name"]] = FUNCTIONS[node["target"]](*(values[name] for name in names))
    return values[graph_of(tree)["outputs"][0]["as_tensor"]["name"]]


def check_outcome(content, reference):
    try:
        program = read_pt2(content)
    except ValueError:
        event("refused")
        return
    event("read")
    x = np.random.default_rng(0).normal(size=(11, program_features(program)))
    output = with_linear_modules(program)(torch.tensor(x, dtype=torch.float32)).detach().numpy()
    if (wanted := reference(x)) is not None:
        event("compared with NumPy")
        assert output.shape == wanted.shape
        np.testing.assert_allclose(output, wanted, rtol=1e-3, atol=1e-4)
    try:
        far = kl.far_field(program, x, x[::-1])
    except (ValueError, TypeError, kl.UnsupportedOperation):
        return
    assert far.probs.shape[1] == 11
    assert np.isfinite(far.probs).all()


def program_features(program):
    name = program.graph_signature.user_inputs[0]
    return next(node.meta["val"].shape[1] for node in program.graph.nodes if node.name == name)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_bytes_changed(draw):
    check_outcome(mangled(TINY, draw), lambda x: tiny()(torch.tensor(x, dtype=torch.float32)).detach().numpy())


# What a change makes of the description may overflow.
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_descriptions_changed(draw):
    files = unpacked(TINY)
    entry = draw.choice([MODEL, MODEL, MODEL, WEIGHTS])
    tree = json.loads(files[entry])
    changed(tree, draw)
    files[entry] = json.dumps(tree).encode()
    check_outcome(packed(files), lambda x: expected(files, x))

"""Weights in files beside an ONNX file: those that exporters write, and those that lead elsewhere."""

import hashlib
import os
import resource
import subprocess
import sys
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import knowlimits as kl
from knowlimits.files import budget
from knowlimits.files.onnx import external
from knowlimits.files.onnx.read import read_onnx
from tests.files.onnx_models import draw, model_of, node, perceptron
from tests.files.test_onnx import by_onnxruntime

BESIDE = "model.onnx.data"


def apart(folder, change=None, model=None, **said):
    """A classifier whose weights `w` are in a file beside it."""
    model = model or perceptron(None)
    tensor = next(t for t in model.graph.initializer if t.name == "w")
    content = numpy_helper.to_array(tensor).tobytes()
    (folder / BESIDE).write_bytes(b"head" + content + b"tail")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    said = {"location": BESIDE, "offset": "4", "length": str(len(content)), **said}
    for key, value in said.items():
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    if change is not None:
        change(tensor)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def refused(path, message):
    with pytest.raises((ValueError, kl.UnsupportedOperation), match=message) as raised:
        kl.load(path)
    text = str(raised.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text


@pytest.mark.parametrize("several", [False, True])
def test_weights_beside_a_file_are_those_in_it(several, tmp_path):
    model = perceptron()
    x = torch.from_numpy(draw(5, 4))
    expected = read_onnx(model.SerializeToString())(x)
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, all_tensors_to_one_file=not several, size_threshold=0)
    assert len(list(tmp_path.iterdir())) == (5 if several else 2)
    assert torch.equal(kl.load(tmp_path / "m.onnx")(x), expected)


def test_torch_writes_two_files(tmp_path):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
    path, shapes = tmp_path / "net.onnx", ({0: torch.export.Dim("n")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.zeros(2, 4),), path, dynamic_shapes=shapes, dynamo=True, verbose=False)
    assert (tmp_path / "net.onnx.data").exists()
    module, x, directions = kl.load(path), draw(5, 4), draw(5, 4)
    far, known = (kl.far_field(m, x, directions) for m in (module, net.double()))
    np.testing.assert_allclose(far.rate, known.rate, rtol=1e-12)
    np.testing.assert_allclose(far.offset, known.offset, rtol=1e-12)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"location": f"./{BESIDE}"},
        {"checksum": "right"},
        {"location": "inner/w", "offset": None},
        {"location": "inner/w", "offset": "0", "length": None},
        {"location": "link"},
    ],
    ids=str,
)
def test_where_the_weights_may_be(said, tmp_path):
    model = perceptron(None)
    expected = read_onnx(model.SerializeToString())
    weights = numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == "w")).tobytes()
    if "checksum" in said:
        said = {"checksum": hashlib.sha1(b"head" + weights + b"tail").hexdigest()}
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "w").write_bytes(weights)
    (tmp_path / "link").symlink_to(BESIDE)
    x = torch.from_numpy(draw(5, 4))
    assert torch.equal(kl.load(apart(tmp_path, model=model, **said))(x), expected(x))


def test_weights_of_constant_nodes_may_be_beside_the_file(tmp_path):
    weights = draw(4, 3).astype(np.float16)
    (tmp_path / BESIDE).write_bytes(weights.tobytes())
    tensor = TensorProto(name="inner", data_type=TensorProto.FLOAT16, dims=weights.shape, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=BESIDE)
    nodes = [node("Constant", "", "h", value=tensor), node("Cast", "h", "w", to=TensorProto.DOUBLE), node("MatMul", "x w", "y")]
    path = tmp_path / "model.onnx"
    path.write_bytes(model_of(nodes, (4,), check=False).SerializeToString())
    x = draw(5, 4)
    np.testing.assert_allclose(kl.load(path)(torch.from_numpy(x)), x @ weights.astype(float), atol=1e-12)


def test_one_range_may_be_that_of_several_tensors(tmp_path):
    weights = draw(4, 4)
    (tmp_path / BESIDE).write_bytes(weights.tobytes())
    model = model_of([node("MatMul", "x v", "h"), node("MatMul", "h w", "y")], (4,), {"v": weights, "w": weights})
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=BESIDE)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    x = draw(5, 4)
    np.testing.assert_allclose(kl.load(tmp_path / "model.onnx")(torch.from_numpy(x)), x @ weights @ weights, atol=1e-12)


def test_without_a_folder_weights_must_be_in_the_file(tmp_path):
    content = apart(tmp_path).read_bytes()
    with pytest.raises(ValueError, match="weights are in another file: load it by its path, or save the model as one file"):
        read_onnx(content)


# --- files that lead elsewhere ---------------------------------------------------------------------------------------------

OUTSIDE = [
    "/etc/passwd",
    "../model.onnx.data",
    "inner/../../model.onnx.data",
    "..",
    r"C:\weights",
    "C:weights",
    r"inner\weights",
    r"\\host\share",
    "weights:stream",
    "weights\0.data",
    "x" * 2000,
]


@pytest.mark.parametrize("location", OUTSIDE, ids=[repr(place)[:20] for place in OUTSIDE])
def test_paths_that_lead_out_of_the_folder(location, tmp_path):
    refused(apart(tmp_path, location=location), "its weights must be in a file in its own folder. Got ")


def test_links_that_lead_out_of_the_folder(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_bytes(bytes(1000))
    (inside / "link").symlink_to("../secret")
    (inside / "folder").symlink_to(tmp_path)
    (inside / "broken").symlink_to("nowhere")
    (inside / "loop").symlink_to("loop")
    for location in ("link", "folder/secret"):
        refused(apart(inside, location=location), f"in '{location}', a link that leads out of its folder: copy the file")
    refused(apart(inside, location="broken"), "'broken', which is not beside it")
    refused(apart(inside, location="loop"), "'loop', which (cannot be read|is not beside it)")


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for location in ("pipe", "folder", "."):
        refused(apart(tmp_path, location=location), "which is no regular file")
    refused(apart(tmp_path, location="nothing"), "another file, 'nothing', which is not beside it: put both into one folder")
    refused(apart(tmp_path, location=f"{BESIDE}/w"), "which cannot be read: Not a directory")


SIZES = [
    ({"offset": "5"}, "needs 160 bytes from byte 5 on of 'model.onnx.data', which has 168", False),
    ({"offset": "9"}, "needs 160 bytes from byte 9 on", True),
    ({"offset": "9" * 19}, "needs 160 bytes from byte 9,", True),
    ({"length": "8"}, r"tensor 'w' of shape \[4, 5\] needs 160 bytes. Got 8 instead", True),
    ({"length": "9" * 19}, "needs 160 bytes. Got 9,", True),
    ({"length": None}, "needs 160 bytes from byte 4 on", True),
    *(
        ({"offset": text}, "offset of tensor 'w' in another file must be a whole number. Got", True)
        for text in ("-4", "4.0", " 4")
    ),
    *(({"offset": text}, "must be a whole number. Got", True) for text in ("", "1_0", "٤", "1" * 20, "0x4")),
    ({"length": "-1"}, "length of tensor 'w' in another file must be a whole number", True),
    ({"location": None}, "does not say in which one", True),
    ({"location": ""}, "does not say in which one", True),
    ({"basepath": "/etc"}, "says of its numbers what is not known: 'basepath'", True),
    ({"checksum": "0" * 40}, "which has another checksum than it says", True),
]


@pytest.mark.parametrize(("said", "message", "wrong"), SIZES, ids=[str(size[0])[:40] for size in SIZES])
def test_sizes_are_held_to_what_a_tensor_needs(said, message, wrong, tmp_path):
    path = apart(tmp_path, **said)
    if wrong:
        refused(path, message)
    else:
        # There are bytes enough: those of other numbers.
        assert isinstance(kl.load(path), torch.nn.Module)


def twice(tensor):
    tensor.external_data.add(key="offset", value="8")


def also_here(tensor):
    tensor.data_location = TensorProto.DEFAULT


def of_texts(tensor):
    tensor.data_type = TensorProto.STRING


def negative(tensor):
    tensor.dims[0] = -4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (twice, "says twice what the offset of its numbers is"),
        (also_here, "both in the file and in another one"),
        (of_texts, "must hold numbers. Got STRING instead"),
        (negative, r"has the shape \[-4, 5\]"),
    ],
)
def test_tensors_that_contradict_themselves(change, message, tmp_path):
    refused(apart(tmp_path, change), message)


def many(folder, count, size):
    """As many tensors of one range of a file without numbers in it."""
    with (folder / BESIDE).open("wb") as file:
        file.truncate(min(8 * size, 2**40))
    names = [f"w{i}" for i in range(count)]
    nodes = [node("Sum", " ".join(names), "s"), node("ReduceMean", "s", "m", keepdims=0), node("Add", "x m", "y")]
    model = model_of(nodes, (4,), {}, check=False)
    for name in names:
        tensor = model.graph.initializer.add(
            name=name, data_type=TensorProto.DOUBLE, dims=[size], data_location=TensorProto.EXTERNAL
        )
        tensor.external_data.add(key="location", value=BESIDE)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def test_many_tensors_of_one_range(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(many(tmp_path, 1000, 10**7), "its weights in other files have 74.5 GiB together: 1 are allowed")
    refused(many(tmp_path, 1, 2**61), "its weights in other files have .* GiB together: 1 are allowed")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16


def test_files_that_are_long_only_by_name(tmp_path):
    """A sparse file takes no room on a disk, and all that it says in memory."""
    path = many(tmp_path, 1, 100)
    with (tmp_path / BESIDE).open("wb") as file:
        file.truncate(2**40)
    refused(path, "tensor 'w0' needs 800 bytes from byte 0 on of 'model.onnx.data', which has 1,099,511,627,776")
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data.add(key="length", value="800")
    model.graph.initializer[0].external_data.add(key="checksum", value="0" * 40)
    path.write_bytes(model.SerializeToString())
    refused(path, "'model.onnx.data', which is too large for a checksum: leave that out")


def test_files_under_many_names(tmp_path, monkeypatch):
    """One file, which is opened once; and no more of them than can be."""
    path, opened = many(tmp_path, 20, 10), []
    model = onnx.load(path, load_external_data=False)
    checksum = hashlib.sha1(bytes(80)).hexdigest()
    for i, tensor in enumerate(model.graph.initializer):
        tensor.external_data[0].value = f"{'./' * i}{BESIDE}"
        tensor.external_data.add(key="checksum", value=checksum)
    path.write_bytes(model.SerializeToString())
    descend = external._descend
    monkeypatch.setattr(external, "_descend", lambda *args: opened.append(args) or descend(*args))
    kl.load(path)
    assert len(opened) == 1
    monkeypatch.setattr(external, "MOST_PARTS", 19)
    refused(path, "its weights are in 20 other files: 19 are allowed")


CHILD = """
import resource, sys
import knowlimits as kl
from knowlimits.files import budget
from tests.files.onnx_models import perceptron
from knowlimits.files.onnx.read import read_onnx
read_onnx(perceptron().SerializeToString())
budget.MOST_BYTES = 2**27
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    kl.load(sys.argv[1])
except ValueError as error:
    assert "GiB in use at once" in str(error), error
else:
    raise AssertionError("it was read")
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2.5 * 2**17
"""


def test_weights_beside_a_file_count_among_the_bytes_in_use(tmp_path):
    """They are 96 MiB as they are and as many as constants, of which 128 are allowed."""
    path = many(tmp_path, 12, 2**20)
    done = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_file_that_is_swapped_for_a_link_while_it_is_looked_at(tmp_path, monkeypatch):
    path = apart(tmp_path)
    secret = tmp_path.parent / "secret"
    secret.write_bytes((tmp_path / BESIDE).read_bytes())
    inside = external._inside

    def slow(folder, location):
        found = inside(folder, location)
        (tmp_path / BESIDE).unlink()
        (tmp_path / BESIDE).symlink_to(secret)
        return found

    monkeypatch.setattr(external, "_inside", slow)
    refused(path, "which cannot be read: Too many levels of symbolic links")


def test_a_file_that_is_swapped_for_a_pipe_while_it_is_looked_at(tmp_path, monkeypatch):
    path = apart(tmp_path)
    inside = external._inside

    def slow(folder, location):
        found = inside(folder, location)
        (tmp_path / BESIDE).unlink()
        os.mkfifo(tmp_path / BESIDE)
        return found

    monkeypatch.setattr(external, "_inside", slow)
    refused(path, "which is no regular file")


def test_a_file_that_becomes_shorter_while_it_is_read(tmp_path, monkeypatch):
    path = apart(tmp_path, checksum=hashlib.sha1(b"").hexdigest())
    monkeypatch.setattr(external, "_checksum", lambda file: os.truncate(tmp_path / BESIDE, 20) or hashlib.sha1(b"").hexdigest())
    refused(path, "which became shorter while it was read")


def test_weights_of_functions_are_looked_at_as_well(tmp_path):
    """Whatever else is wrong with them."""
    model = perceptron(None)
    made = node("Constant", "", "c", value=TensorProto(name="c", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL))
    made.attribute[0].t.external_data.add(key="location", value="/etc/passwd")
    model.functions.append(helper.make_function("some", "Odd", [], ["c"], [made], [helper.make_opsetid("", 21)]))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    refused(tmp_path / "model.onnx", "its weights must be in a file in its own folder")


def test_what_weights_beside_a_file_may_have_fits_the_budget():
    assert 4 * budget.MOST_BESIDE <= budget.MOST_BYTES


def test_weights_beside_a_file_are_those_that_onnxruntime_sees(tmp_path):
    path, x = apart(tmp_path, model=perceptron(None, TensorProto.FLOAT)), draw(5, 4).astype("f4")
    whole = onnx.load(path)
    np.testing.assert_allclose(kl.load(path)(torch.from_numpy(x)).detach(), by_onnxruntime(whole, x)[0], rtol=1e-4, atol=1e-5)

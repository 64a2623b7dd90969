"""What a file is, by its content and not by its name."""

import pickle
import shutil

import numpy as np
import pytest
import torch
from torch import nn

import knowlimits as kl
from tests.files.onnx_models import perceptron

X = np.array([[0.0, 1.0], [1.0, 0.0]] * 4)


def ours(path):
    kl.save(kl.NeuralNetwork((2,), epochs=1, random_state=0).fit(X, [0, 1] * 4), path)


def onnx_file(path):
    path.write_bytes(perceptron().SerializeToString())


def program(path):
    shape = ({0: torch.export.Dim("n")},)
    torch.export.save(torch.export.export(nn.Linear(2, 2).eval(), (torch.zeros(2, 2),), dynamic_shapes=shape), path)


FORMATS = {"ours": (ours, ".safetensors"), "onnx": (onnx_file, ".onnx"), "program": (program, ".pt2")}


@pytest.mark.parametrize("name", ["m", "m.onnx", "m.pt2", "m.safetensors"])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_model_is_read_under_any_name(kind, name, tmp_path):
    write, suffix = FORMATS[kind]
    write(tmp_path / f"own{suffix}")
    shutil.copy(tmp_path / f"own{suffix}", tmp_path / name)
    assert type(kl.load(tmp_path / name)) is type(kl.load(tmp_path / f"own{suffix}"))


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("name", ["m", "m.onnx", "m.pt2", "m.safetensors"])
def test_a_pickle_is_refused_under_any_name(name, protocol, tmp_path):
    (tmp_path / name).write_bytes(pickle.dumps({"a": 1}, protocol=protocol))
    with pytest.raises(ValueError, match="is a pickle, which runs code when it is loaded"):
        kl.load(tmp_path / name)
    torch.save({"a": 1}, tmp_path / name)
    with pytest.raises(ValueError, match="is a pickle, which runs code when it is loaded"):
        kl.load(tmp_path / name)


def test_a_header_as_long_as_a_pickle_starts(tmp_path):
    """The first bytes of a safetensors file are a length, which may be any."""
    model = kl.NeuralNetwork((2,), epochs=1, random_state=0).fit(X, [0, 1] * 4)
    kl.save(model, tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    length = int.from_bytes(content[:8], "little")
    for start in (0x0480, 0x0508):
        assert length < start
        header = content[8 : 8 + length].ljust(start)
        (tmp_path / "m").write_bytes(start.to_bytes(8, "little") + header + content[8 + length :])
        np.testing.assert_array_equal(kl.load(tmp_path / "m").predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("m.onnx", "is no ONNX file"),
        ("m.pt2", "is not a complete torch.export archive"),
        ("m.safetensors", "is not a complete safetensors file"),
        ("m", "is not a complete safetensors file"),
    ],
)
@pytest.mark.parametrize("content", [b"", b"no such thing"])
def test_the_name_says_what_a_damaged_file_should_be(name, message, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        kl.load(tmp_path / name)

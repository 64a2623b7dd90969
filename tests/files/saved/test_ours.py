"""Files of our classifiers when they lie: each is refused in one line, or means what it says."""

import json
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import knowlimits as kl
from tests.files.saved.lies import changed, check_refused, copy, drop, fill, give, opened, put, within, write

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2))
Y = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Header and tensors of a classifier, and of one with names."""
    folder = tmp_path_factory.mktemp("good")
    model = kl.NeuralNetwork((4, 3), epochs=2, random_state=0, class_weight={"no": 1.0, "yes": 2.0})
    named = kl.Ensemble((3,), members=2, epochs=1, random_state=0).fit(X, np.array([0, 1, 2])[RNG.integers(0, 3, 60)])
    named.feature_names_in_ = np.array(["a", "b"], dtype=object)
    found = {}
    for name, one in (("model", model.fit(X, Y)), ("named", named)):
        kl.save(one, folder / name)
        found[name] = opened(folder / name)
    return found


LIES = {
    "brackets": ("model", lambda header, tensors: "[" * 200_000),
    "objects": ("model", lambda header, tensors: '{"a":' * 5_000),
    "a number of 9,999 digits": ("model", lambda header, tensors: '{"version": ' + "1" * 9999 + "}"),
    "no JSON": ("model", lambda header, tensors: "{"),
    "a list": ("model", lambda header, tensors: "[]"),
    "no version": ("model", drop("version")),
    "version true": ("model", put("version", True)),
    "version 0": ("model", put("version", 0)),
    "version text": ("model", put("version", "1")),
    "unknown entry": ("model", put("more", 1)),
    "the base class": ("model", put("class", "StackClassifier")),
    "a class as a list": ("model", put("class", ["NeuralNetwork"])),
    "another class": ("model", put("class", "BayesByBackprop2")),
    "parameters text": ("model", put("parameters", "all")),
    "unknown parameter": ("model", within("parameters", "depth", 3)),
    "class weights without pairs": ("model", within("parameters", "class_weight", {"no": 1})),
    "class weights that are triples": ("model", within("parameters", "class_weight", {"pairs": [[1, 2, 3]]})),
    "class weights twice": ("model", within("parameters", "class_weight", {"pairs": [["no", 1.0], ["no", 2.0]]})),
    "one label": ("model", put("classes", ["no"])),
    "no labels": ("model", put("classes", [])),
    "three labels": ("model", put("classes", ["a", "b", "c"])),
    "a label twice": ("model", put("classes", ["no", "no"])),
    "labels in another order": ("model", put("classes", ["yes", "no"])),
    "labels that are lists": ("model", put("classes", [["no"], ["yes"]])),
    "labels that are null": ("model", put("classes", [None, None])),
    "labels in one text": ("model", put("classes", "no")),
    "labels of another type": ("model", put("classes", [0, 1])),
    "labels with a NUL": ("model", put("classes", ["no", "yes\0"])),
    "labels longer than said": ("model", put("classes_dtype", "<U2")),
    "a label of 1,000 letters": ("model", lambda h, t: h.update({"classes": ["a" * 1000, "b"], "classes_dtype": "<U1000"})),
    "500 million letters": ("model", put("classes_dtype", "<U500000000")),
    "bytes": ("model", put("classes_dtype", "|V99999999")),
    "a record": ("model", put("classes_dtype", "i8,i8")),
    "an array": ("model", put("classes_dtype", "(99999,9999)i8")),
    "a date": ("model", put("classes_dtype", "<M8[s]")),
    "no text": ("model", put("classes_dtype", 8)),
    "label 2**70": ("named", put("classes", [0, 1, 2**70])),
    "labels with a fraction": ("named", put("classes", [0, 1, 1.5])),
    "labels true": ("named", put("classes", [False, True, 2])),
    "fifty names": ("named", put("feature_names", ["a"] * 50)),
    "names that are numbers": ("named", put("feature_names", [1, 2])),
    "names in one text": ("named", put("feature_names", "ab")),
    "no names": ("named", put("feature_names", [])),
    "epochs text": ("model", put("n_epochs", "many")),
    "epochs 2**70": ("model", put("n_epochs", [2**70])),
    "epochs with a fraction": ("model", put("n_epochs", [1.5])),
    "losses text": ("model", put("validation_loss", [["low"]])),
    "losses without lists": ("model", put("validation_loss", [1.0])),
    "no axes": ("model", give("weights.0", torch.zeros((), dtype=torch.float64))),
    "no members": ("model", lambda h, t: t.update({k: v[:0] for k, v in t.items()})),
    "no features": ("model", lambda h, t: t.update({"weights.0": t["weights.0"][:, :, :0]})),
    "layers that do not fit": ("model", lambda h, t: t.update({"weights.1": t["weights.1"][:, :, :2].clone()})),
    "whole numbers": ("model", lambda h, t: t.update({k: v.long() for k, v in t.items()})),
    "float32": ("model", lambda h, t: t.update({k: v.float() for k, v in t.items()})),
    "complex numbers": ("model", lambda h, t: t.update({k: v.to(torch.complex64) for k, v in t.items()})),
    "a tensor too many": ("model", give("weights.9", torch.zeros(1))),
    "a tensor too few": ("model", drop("biases.1")),
    "no tensors": ("model", lambda h, t: t.clear()),
    "a tensor of a guard": ("model", give("guard.shift_", torch.zeros(1, dtype=torch.float64))),
    "NaN": ("model", fill("weights.1", float("nan"))),
    "infinity": ("model", fill("biases.2", float("inf"))),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_in_one_line(files, lie, tmp_path):
    base, change = LIES[lie]
    header, tensors = copy(*files[base])
    changed = change(header, tensors)
    path = write(tmp_path / "model.safetensors", changed if isinstance(changed, str) else header, tensors)
    check_refused(path, r"model\.safetensors has a damaged header")


def test_long_types_take_no_memory(files, tmp_path):
    header, tensors = files["model"]
    path = write(tmp_path / "m", {**header, "classes_dtype": "<U999"}, tensors)
    tracemalloc.start()
    model = kl.load(path)
    model.predict(np.tile(X, (50, 1)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert model.classes_.tolist() == ["no", "yes"]
    assert peak < 20e6


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_a_changed_header_is_refused_or_means_what_it_says(files, data, tmp_path):
    base = data.draw(st.sampled_from(sorted(files)))
    header, tensors = copy(*files[base])
    changed(data, header)
    path = write(tmp_path / "m", header, tensors)
    try:
        model = kl.load(path)
    except ValueError:
        return
    # Weights are as they were, and a file that is written again says the same, but for what was left out.
    original = kl.load(write(tmp_path / "good", *files[base]))
    np.testing.assert_array_equal(model.predict_proba(X), original.predict_proba(X))
    assert set(model.predict(X)) <= set(model.classes_.tolist())
    kl.save(model, tmp_path / "again")
    again, same = opened(tmp_path / "again")
    for said, says in ((header, again), (header["parameters"], again["parameters"])):
        for key, value in said.items():
            if key not in ("parameters", "classes_dtype", "device"):
                assert json.dumps(says[key]) == json.dumps(value), key
    assert all(torch.equal(same[key], tensor) for key, tensor in tensors.items())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(data=st.data())
def test_changed_bytes_are_refused_or_load(files, data, tmp_path):
    content = bytearray(write(tmp_path / "m", *files["model"]).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content), 3000) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "m").write_bytes(content)
    try:
        model = kl.load(tmp_path / "m")
    except (ValueError, OSError):
        return
    assert np.isfinite(model.predict_proba(X)).all()


def test_labels_of_a_wide_type_are_saved_and_long_ones_refused(tmp_path):
    wide = kl.NeuralNetwork((2,), epochs=1).fit(X, Y.astype("<U5000"))
    kl.save(wide, tmp_path / "a")
    assert kl.load(tmp_path / "a").classes_.tolist() == ["no", "yes"]
    long = kl.NeuralNetwork((2,), epochs=1).fit(X, np.char.multiply(Y, 500))
    with pytest.raises(TypeError, match="text of up to 999 letters"):
        kl.save(long, tmp_path / "b")


def test_devices_that_are_not_there(files, tmp_path):
    path = write(tmp_path / "m", *files["model"])
    for device in ("meta", "quantum", "vulkan", "cuda:99", 7.5):
        with pytest.raises(ValueError, match="device must be one that works here, and torch cannot use"):
            kl.load(path, device=device)
        with pytest.raises(ValueError, match="device must be one that works here"):
            kl.NeuralNetwork(epochs=1, device=device).fit(X, Y)

"""What `knowlimits.save` takes, and what it says to everything else."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from torch import nn

import knowlimits as kl

RNG = np.random.RandomState(0)
X = RNG.randn(60, 2)
Y = (X[:, 0] > 0).astype(int)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: RandomForestClassifier(2).fit(X, Y), "Got RandomForestClassifier instead: save it as its own library does"),
        (lambda: nn.Linear(2, 2), r"Got Linear instead.*or knowlimits\.export\(model, 'model.onnx'\)"),
        (lambda: "model", "Got str instead"),
        (lambda: kl.NeuralNetwork(), "model must be a fitted classifier. Got NeuralNetwork that is not: call fit"),
        (lambda: kl.Guard(kl.NeuralNetwork(epochs=1).fit(X, Y)), "model must be fitted. Got a Guard that is not: call fit"),
    ],
)
def test_what_is_not_saved_says_what_to_do(make, match, tmp_path):
    with pytest.raises(TypeError, match=match):
        kl.save(make(), tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_a_device_is_that_of_the_model_within(tmp_path):
    kl.save(kl.Guard(kl.NeuralNetwork((2,), epochs=1).fit(X, Y)).fit(X), tmp_path / "g")
    assert kl.load(tmp_path / "g", device="cpu").model.device == "cpu"
    with pytest.raises(ValueError, match="device must be one that works here"):
        kl.load(tmp_path / "g", device="quantum")


def test_trusted_types_are_names(tmp_path):
    pytest.importorskip("skops")
    kl.save(kl.Guard(RandomForestClassifier(2).fit(X, Y)).fit(X), tmp_path / "g")
    with pytest.raises(TypeError, match="trusted must be names of types"):
        kl.load(tmp_path / "g", trusted=True)
    with pytest.raises(
        ValueError, match=r"the model in .*g holds types that are not trusted.*name them: .*sklearn.tree._tree.Tree"
    ):
        kl.load(tmp_path / "g")

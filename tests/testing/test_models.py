"""The contract of classifiers sees what is wrong: each fault is planted, and found."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

import knowlimits as kl
from knowlimits.testing import check_model
from knowlimits.train.classifiers import CLASSIFIERS, StackClassifier, stack

QUICK = {"epochs": 30, "learning_rate": 0.01}
data = dataclass(repr=False, eq=False, kw_only=True)


class NoDataclass(kl.NeuralNetwork):
    strength: float = 1.0


class OtherMean(kl.NeuralNetwork):
    def predict_proba(self, X):
        return self.predict_members(X)[0] * 0.5 + 0.25


class OtherClass(kl.NeuralNetwork):
    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmin(1)]


class Unseeded(kl.NeuralNetwork):
    def _networks(self, task):
        return [self._network(task, int(np.random.default_rng().integers(2**31)))]


class OneSeed(kl.NeuralNetwork):
    def _networks(self, task):
        return [self._network(task, 7)]


class Untrained(kl.NeuralNetwork):
    def _build_stack(self, task, settings, trained):
        return stack([[torch.from_numpy(layer) for layer in settings[0].initial_layers()]])


class Infinite(kl.NeuralNetwork):
    def _build_stack(self, task, settings, trained):
        return stack([[layer / 0 for layer in trained[0].learnt.mean]])


class Shared(kl.NeuralNetwork):
    """Takes what was seen last, by whichever network."""

    seen = []  # noqa: RUF012

    def _networks(self, task):
        Shared.seen.clear()
        return [replace(s, watcher=lambda: lambda epoch, layers: Shared.seen.append(layers)) for s in super()._networks(task)]

    def _build_stack(self, task, settings, trained):
        return stack([Shared.seen[-1]])


@data
class Unsaved(kl.NeuralNetwork):
    """Forgets a parameter in files."""

    hidden_sizes: tuple = (25, 25, 25)
    tags: tuple = ("a",)


class ChangesParameters(kl.NeuralNetwork):
    def _networks(self, task):
        self.epochs = 20
        return super()._networks(task)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (NoDataclass, "declares strength, and its constructor does not take it"),
        (OtherMean, "predict_proba must be the mean"),
        (OtherClass, "predict must be the class of the largest probability"),
        (Infinite, "finite weights"),
        (Untrained, "clusters far apart"),
        (Unseeded, "the same random_state must give the same members"),
        (OneSeed, "another random_state must give other members"),
        (Shared, "fit_together must give what fit gives"),
        (Unsaved, "does not keep tags"),
        (ChangesParameters, "should not change or mutate"),
    ],
)
def test_faults_are_found(kind, message):
    with pytest.raises(AssertionError, match=message):
        check_model(kind(**QUICK))


def test_only_classifiers():
    with pytest.raises(AssertionError, match="must be a StackClassifier, got int"):
        check_model(3)


def test_the_registry_is_as_it_was():
    before = dict(CLASSIFIERS)
    with pytest.raises(AssertionError, match="does not keep tags"):
        check_model(Unsaved(**QUICK))
    assert before == CLASSIFIERS


def test_files_of_classes_that_are_not_registered_are_refused(tmp_path):
    model = ChangesParameters(epochs=1).fit(np.eye(2), [0, 1])
    with pytest.raises(TypeError, match=r"must be of a registered class\. Got ChangesParameters instead: enter it in"):
        kl.save(model, tmp_path / "model.safetensors")


def test_the_base_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        StackClassifier()

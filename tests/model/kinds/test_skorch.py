from typing import Any

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

import knowlimits as kl
from knowlimits.model.endings import Outputs
from knowlimits.model.model import Model
from tests.model.kinds.checks import data, mlp, rays

SETTINGS: dict[str, Any] = {"max_epochs": 3, "lr": 0.1, "verbose": 0, "train_split": None}


class Net(nn.Module):
    """A network that ends in something, or in nothing."""

    def __init__(self, features: int = 13, outputs: int = 3, last: nn.Module | None = None, squeeze: bool = False):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, outputs))
        self.last, self.squeeze = last or nn.Identity(), squeeze

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.last(self.body(x))
        return out.squeeze(-1) if self.squeeze else out


def single(name: str) -> tuple[np.ndarray, np.ndarray]:
    X, y = data(name)
    return X.astype(np.float32), y.astype(np.int64)


def fitted(cls: Any, name: str, settings: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    X, y = single(name)
    return cls(**SETTINGS, **settings).fit(X, y.astype(np.float32) if cls is NeuralNetBinaryClassifier else y)


def agrees(model: Any, X: np.ndarray) -> Model:
    """As for the others, in single precision."""
    found = kl.read(model, X=X[:12])
    origins, directions = (part.astype(np.float32) for part in rays(X))
    for rows in (X, origins + np.float32(1e3) * directions):
        np.testing.assert_allclose(found.predict_proba(rows.astype(float)), model.predict_proba(rows), atol=1e-5)
    np.testing.assert_allclose(
        kl.far_field(found, origins, directions).probs.mean(0),
        found.predict_proba(origins.astype(float) + 1e8 * directions.astype(float)),
        atol=1e-6,
    )
    np.testing.assert_array_equal(found.predict(X), model.predict(X))
    return found


SOFTMAX = {"module__last": nn.Softmax(-1)}
SEVERAL: dict[str, tuple[dict[str, Any], Outputs]] = {
    "probabilities": ({"module": Net, **SOFTMAX}, Outputs.PROBABILITIES),
    "logits": ({"module": Net, "criterion": nn.CrossEntropyLoss}, Outputs.LOGITS),
    "logits that end in a softmax": ({"module": Net, "criterion": nn.CrossEntropyLoss, **SOFTMAX}, Outputs.LOGITS),
    "a nonlinearity of one's own": (
        {"module": Net, "criterion": nn.CrossEntropyLoss, "predict_nonlinearity": lambda x: x.softmax(-1)},
        Outputs.LOGITS,
    ),
    "one that does nothing": (
        {"module": Net, "criterion": nn.CrossEntropyLoss, "predict_nonlinearity": None, **SOFTMAX},
        Outputs.PROBABILITIES,
    ),
    "exponentials": (
        {
            "module": Net,
            "criterion": nn.CrossEntropyLoss,
            "predict_nonlinearity": torch.exp,
            "module__last": nn.LogSoftmax(-1),
        },
        Outputs.LOG_PROBABILITIES,
    ),
}


@pytest.mark.parametrize(("settings", "returned"), SEVERAL.values(), ids=SEVERAL)
def test_several_classes(settings: dict[str, Any], returned: Outputs):
    X, _ = single("wine")
    found = agrees(fitted(NeuralNetClassifier, "wine", settings), X)
    # Logarithms of probabilities are logits as well.
    equal = {returned} if returned is not Outputs.LOG_PROBABILITIES else {returned, Outputs.LOGITS}
    assert {network.outputs for network in found.inner} <= equal
    assert found.classes_.tolist() == [0, 1, 2]


BINARY: dict[str, dict[str, Any]] = {
    "(n, 1)": {},
    "(n,)": {"module__squeeze": True},
    "a threshold": {"threshold": 0.9},
    "one probability": {"criterion": nn.BCELoss, "module__last": nn.Sigmoid()},
}


@pytest.mark.parametrize("settings", BINARY.values(), ids=BINARY)
def test_two_classes_of_one_output(settings: dict[str, Any]):
    X, _ = single("cancer")
    model = fitted(
        NeuralNetBinaryClassifier, "cancer", {"module": Net, "module__features": 30, "module__outputs": 1, **settings}
    )
    agrees(model, X)


def test_two_classes_of_two_outputs():
    X, _ = single("cancer")
    model = fitted(
        NeuralNetClassifier,
        "cancer",
        {"module": Net, "module__features": 30, "module__outputs": 2, "criterion": nn.CrossEntropyLoss},
    )
    assert agrees(model, X).classes_.tolist() == [0, 1]


def test_the_persons_module_keeps_its_mode_and_type():
    model = fitted(NeuralNetClassifier, "wine", {"module": Net, "criterion": nn.CrossEntropyLoss})
    model.module_.train()
    model.module_.body[1].eval()
    before = [one.training for one in model.module_.modules()]
    kl.read(model)
    assert [one.training for one in model.module_.modules()] == before
    assert {parameter.dtype for parameter in model.module_.parameters()} == {torch.float32}


class Several(Net):
    """Returns what is in the middle as well."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return super().forward(x), self.body[0](x)


class First(nn.CrossEntropyLoss):
    """Looks at the first of several outputs."""

    def forward(self, outputs: tuple[torch.Tensor, torch.Tensor], y: torch.Tensor) -> torch.Tensor:
        return super().forward(outputs[0], y)


def test_of_several_outputs_the_first_counts():
    X, _ = single("wine")
    agrees(fitted(NeuralNetClassifier, "wine", {"module": Several, "criterion": First}), X)


def test_beside_a_part_with_steps_that_are_not_affine():
    X, y = single("wine")
    net = NeuralNetClassifier(Net, criterion=nn.CrossEntropyLoss, **SETTINGS)
    clipped = make_pipeline(MinMaxScaler(clip=True), mlp())
    agrees(VotingClassifier([("a", net), ("b", clipped)], voting="soft", weights=[1, 2]).fit(X, y), X)


def test_without_rows():
    found = kl.read(fitted(NeuralNetClassifier, "wine", {"module": Net, **SOFTMAX}))
    assert {network.outputs for network in found.inner} == {Outputs.PROBABILITIES}


def to_single(X: np.ndarray) -> np.ndarray:
    return X.astype(np.float32)


def test_as_a_part():
    X, y = single("wine")
    net = NeuralNetClassifier(Net, criterion=nn.CrossEntropyLoss, **SETTINGS)
    behind = make_pipeline(StandardScaler(), FunctionTransformer(to_single), net)
    agrees(behind.fit(X, y), X)
    agrees(VotingClassifier([("a", net), ("b", behind)], voting="soft", weights=[1, 2]).fit(X, y), X)
    agrees(GridSearchCV(net, {"lr": [0.1, 0.05]}, cv=2).fit(X, y), X)
    agrees(CalibratedClassifierCV(net, cv=2).fit(X, y), X)


def test_logarithms_that_are_taken_for_probabilities_are_refused():
    # As skorch does with a module that ends in a log-softmax and the loss for it.
    model = fitted(NeuralNetClassifier, "wine", {"module": Net, "module__last": nn.LogSoftmax(-1)})
    with pytest.raises(ValueError, match=r"probabilities that add up to 1. Got a NeuralNetClassifier .* add up to -"):
        kl.read(model)


def test_what_is_made_in_another_way_is_refused():
    settings = {"module": Net, "criterion": nn.CrossEntropyLoss, "predict_nonlinearity": lambda x: (2 * x).softmax(-1)}
    with pytest.raises(ValueError, match=r"softmax or a sigmoid.*cannot be read for certain"):
        kl.read(fitted(NeuralNetClassifier, "wine", settings))


def test_not_fitted_and_regressors():
    with pytest.raises(ValueError, match=r"must be fitted. Got a NeuralNetClassifier"):
        kl.read(NeuralNetClassifier(Net))
    with pytest.raises(TypeError, match="Got NeuralNetRegressor, which is a regressor"):
        kl.read(NeuralNetRegressor(Net))

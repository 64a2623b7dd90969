"""What looks at layers says of classifiers without any what they are made of; what looks at inputs takes them."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import knowlimits as kl
from knowlimits.ood.detectors.view import View
from knowlimits.ood.panel import Panel

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3))
Y = (X[:, 0] + 0.3 * RNG.normal(size=120) > 0).astype(int)
PLANE = kl.Plane(X[0], np.array([1.0, 0, 0]), np.array([0, 1.0, 0]))


def forest():
    return RandomForestClassifier(7, random_state=0)


MODELS = {
    "alone": (forest(), "RandomForestClassifier, made of 7 trees"),
    "behind a scaler": (make_pipeline(StandardScaler(), forest()), "RandomForestClassifier, made of 7 trees"),
    "calibrated": (CalibratedClassifierCV(forest(), cv=2), "CalibratedClassifierCV, made of 2 times 7 trees"),
    "in a vote": (
        VotingClassifier([("a", forest()), ("b", LogisticRegression())], voting="soft", weights=[1, 2]),
        "VotingClassifier, made of 7 trees and a network",
    ),
}
LOOKS = {
    "energy": (ValueError, lambda model: kl.detectors.Energy().fit(model, X)),
    "max_logit": (ValueError, lambda model: kl.detectors.MaxLogit().fit(model, X)),
    "mahalanobis": (ValueError, lambda model: kl.detectors.Mahalanobis().fit(model, X, Y)),
    "neighbours, with a layer": (ValueError, lambda model: kl.detectors.NearestNeighbours(layer="0").fit(model, X)),
    "vim": (ValueError, lambda model: kl.detectors.ViM().fit(model, X)),
    "laplace": (ValueError, lambda model: kl.LastLayerLaplace(model).fit(X, Y)),
    "horizon": (kl.UnsupportedOperation, lambda model: kl.horizon(model, PLANE)),
    "partition": (kl.UnsupportedOperation, lambda model: kl.partition(model, PLANE)),
    "breakpoints": (kl.UnsupportedOperation, lambda model: kl.breakpoints(model, X[0], X[1])),
    "gradient": (TypeError, lambda model: kl.scores.gradient_magnitude(model, X, "entropy")),
    "gradient's limit": (
        TypeError,
        lambda model: kl.limits.gradient_magnitude(model, kl.far_field(model, X[:2], "features")),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_what_only_networks_have_is_refused_with_what_it_is_made_of(name):
    model, made_of = MODELS[name]
    model.fit(X, Y)
    for label, (kind, look) in LOOKS.items():
        with pytest.raises(kind, match=rf"^model must be a network.* Got {made_of}, without .*: [a-z]+") as caught:
            look(model)
        assert "\n" not in str(caught.value), label


@pytest.mark.parametrize("name", MODELS)
def test_what_looks_at_inputs_takes_it(name):
    model = MODELS[name][0].fit(X, Y)
    panel = Panel().fit(model, X, Y)
    found = panel.at(X)
    assert {"max_prob", "entropy", "input_mahalanobis", "guarded_entropy", "unfamiliarity"} <= set(found)
    assert {"energy", "mahalanobis", "vim", "laplace_entropy"}.isdisjoint(found)
    assert set(panel.left_out) >= {"energy", "mahalanobis"}
    ends = panel.along(X, np.eye(3)[RNG.integers(3, size=len(X))])
    np.testing.assert_allclose(ends["guarded_entropy"].limit, np.log(2))
    assert (ends["unfamiliarity"].limit == np.inf).all()


def test_the_columns_of_a_scaler_are_no_features():
    """It becomes a linear layer before the trees, and not the last one of anything."""
    view = View(make_pipeline(StandardScaler(), forest()).fit(X, Y), features=False)
    assert view.at(X).features.shape == (120, 0)
    assert "without layers" in view.without_features


def test_a_linear_layer_behind_families_is_a_last_layer():
    model = StackingClassifier([("a", forest())], final_estimator=LogisticRegression(), cv=2).fit(X, Y)
    seen = View(model).at(X)
    np.testing.assert_allclose(seen.features, model.estimators_[0].predict_proba(X)[:, 1:], atol=1e-12)
    logits = seen.logits[0, :, 1] - seen.logits[0, :, 0]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), model.predict_proba(X)[:, 1], atol=1e-12)

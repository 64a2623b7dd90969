"""What every remedy in the registry makes of a model: probabilities, whose limits are what they are far out."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier

import knowlimits as kl
from knowlimits.limits.growth import Growth
from knowlimits.ood.panel import AS_IT_IS, Panel
from knowlimits.ood.remedies import REMEDIES
from knowlimits.ood.remedies.applied import Applied, AsItIs, Own
from knowlimits.testing import check_detector

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(0)) / X.std(0)
STARTS, DIRECTIONS = np.random.default_rng(0).normal(size=(2, 30, 4))
# The same from the public classes alone, by ids: of a model and points to probabilities.
ALONE = {
    "model": lambda model, points: model.predict_proba(points),
    "laplace": lambda model, points: np.mean(
        [kl.LastLayerLaplace(one).fit(X, Y).predict_proba(points) for one in kl.read(model).one_by_one()], axis=0
    ),
    "guard": lambda model, points: kl.Guard(model, random_state=0).fit(X).predict_proba(points),
}
# The same for scores of their own.
OWN = {"guard": lambda model, points: kl.Guard(model, random_state=0).fit(X).unfamiliarity(points)}


@pytest.fixture(scope="module")
def model():
    return kl.Ensemble(members=3, hidden_sizes=(8, 8), epochs=20, random_state=0).fit(X, Y)


@pytest.fixture(scope="module")
def panel(model):
    return Panel(inputs=False).fit(model, X, Y)


def test_every_remedy_has_a_case():
    assert list(ALONE) == list(REMEDIES)
    assert next(iter(REMEDIES)) == AS_IT_IS
    for what in ("label", "score"):
        assert len({getattr(remedy, what) for remedy in REMEDIES.values()}) == len(REMEDIES), what
    assert list(OWN) == [name for name, remedy in REMEDIES.items() if remedy.own]


@pytest.mark.parametrize("name", REMEDIES)
def test_a_score_of_its_own_is_that_of_the_public_class(name, panel, model):
    own, called = panel.remedies[name].own, REMEDIES[name].own
    assert (own is not None) == bool(called) == (name in OWN)
    if own is None:
        return
    np.testing.assert_allclose(panel.at(STARTS)[called], OWN[name](model, STARTS), rtol=1e-12)
    assert (own.along(X, np.eye(4)[np.arange(150) % 4]).limit > own.threshold).all()
    # What sets the threshold is accepted whatever the rounding, which raises it a little.
    assert own.at(X).max() >= own.threshold - 1e-6 * abs(own.threshold)
    assert own.threshold > np.median(own.at(X))


@pytest.mark.parametrize("name", REMEDIES)
def test_probabilities_are_those_of_the_public_class(name, panel, model):
    np.testing.assert_allclose(panel.probabilities(STARTS)[name], ALONE[name](model, STARTS), atol=1e-5)


@pytest.mark.parametrize("name", REMEDIES)
def test_limits_are_probabilities_far_out(name, panel):
    limits, far = panel.limits(STARTS, DIRECTIONS)[name], panel.probabilities(STARTS + 1e7 * DIRECTIONS)[name]
    np.testing.assert_allclose(limits.sum(1), 1)
    np.testing.assert_allclose(far, limits, atol=1e-5)
    score = REMEDIES[name].score
    np.testing.assert_allclose(panel.along(STARTS, DIRECTIONS)[score].limit, kl.scores.entropy(limits[None]), atol=1e-12)


class AsDetector:
    """The own score of a remedy, called as detectors are."""

    def __init__(self, name):
        self.name, self.own = name, None

    def fit(self, source, X, y):
        self.own = REMEDIES[self.name].fit(DummyClassifier().fit(X, y), X, y, ()).own
        return self

    def score(self, X):
        # What a detector refuses is an answer for a guard: a row with a gap is as unfamiliar as can be.
        if self.own is None or not np.isfinite(X).all():
            raise ValueError("X must be finite, and the remedy fitted.")
        return self.own.at(X)

    def far_field(self, origins, directions):
        return self.own.along(origins, directions)


@pytest.mark.parametrize("name", OWN)
def test_a_score_of_its_own_is_what_the_library_takes_a_detector_for(name):
    check_detector(AsDetector(name), on_inputs=True)


class Cooled(AsItIs):
    """Half of the way to uniform, and a score without any sense."""

    own = Own(lambda X: X[:, 0], lambda origins, directions: Growth.of(origins[:, 0], directions[:, 0]), 2.0)

    def at(self, X, probs, features):
        return (probs + 1 / probs.shape[1]) / 2

    def along(self, rays, probs):
        return self.at(rays.origins, probs, None)


def test_a_remedy_of_ones_own_is_one_entry(model, monkeypatch):
    def only_of_many(model, X, y, categories) -> Applied:
        if len(kl.read(model).one_by_one()) < 4:
            raise ValueError("there are too few members.")
        return Cooled()

    entry = type(REMEDIES["model"])
    monkeypatch.setitem(
        REMEDIES, "cooled", entry("cooled", "cooled_entropy", lambda model, X, y, categories: Cooled(), own="warmth")
    )
    monkeypatch.setitem(REMEDIES, "many", entry("of many", "many_entropy", only_of_many, to_all=False))
    panel = Panel(inputs=False).fit(model, X, Y)
    np.testing.assert_allclose(panel.probabilities(STARTS)["cooled"], (panel.probabilities(STARTS)["model"] + 1 / 3) / 2)
    assert panel.limits(STARTS, DIRECTIONS)["cooled"].max() <= 2 / 3
    assert "cooled_entropy" in panel.at(STARTS)
    np.testing.assert_array_equal(panel.at(STARTS)["warmth"], STARTS[:, 0])
    assert set(panel.along(STARTS, DIRECTIONS)["warmth"].limit) == {-np.inf, np.inf}
    assert panel.thresholds["warmth"] == 2
    assert panel.without == {"many": "there are too few members."}


def test_what_ought_to_be_for_all_is_not_left_out_in_silence(model):
    with pytest.raises(ValueError, match="X must have at least 8 rows"):
        Panel(inputs=False).fit(model, X[::30], Y[::30])

"""Detectors against closed cases and scikit-learn, and their far fields against themselves far out."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, mahalanobis
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_iris, make_moons
from torch import nn

import knowlimits as kl
from knowlimits import detectors as d
from knowlimits.limits.growth import norm
from knowlimits.ood.detectors import DETECTORS
from knowlimits.testing import check_detector
from tests.oracles import detectors as oracle

X, Y = load_iris(return_X_y=True)
ON_MODELS = [name for name, entry in DETECTORS.items() if not entry.on_inputs]
# Orders of growth along drawn directions.
POWERS = {
    "energy": {1},
    "max_logit": {1},
    "mahalanobis": {2},
    "relative_mahalanobis": {2},
    "mixture": {2},
    "neighbours": {0},
    "raw_neighbours": {1},
    "vim": {1},
    "input_mahalanobis": {2},
    "input_neighbours": {1},
    "input_mixture": {2},
    "isolation_forest": {0},
    "local_outlier_factor": {1},
}


def fitted(name, model, data=X, labels=Y):
    """A detector of the registry, looking at what it looks at there."""
    entry = DETECTORS[name]
    return entry.build(random_state=0).fit(d.Inputs(data) if entry.on_inputs else model, data, labels)


def test_every_detector_has_its_definition_and_its_growth():
    assert list(oracle.DEFINITIONS) == list(POWERS) == list(DETECTORS)


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_is_what_the_library_takes_it_for(name):
    check_detector(DETECTORS[name].build(random_state=0), on_inputs=DETECTORS[name].on_inputs)


@pytest.mark.parametrize("name", DETECTORS)
def test_scores_are_those_of_the_definition(name):
    model, new = network(), X[:30] + 0.3

    def rows(points):
        if DETECTORS[name].on_inputs:
            return oracle.Rows((points - X.mean(0)) / X.std(0))
        with torch.no_grad():
            features = model[:-1](torch.from_numpy(points))
            return oracle.Rows(features.numpy(), model[-1](features).numpy())

    expected = oracle.DEFINITIONS[name](rows(X), Y, rows(new))
    np.testing.assert_allclose(fitted(name, model).score(new), expected, rtol=1e-6)


def network(seed=0, dead=False):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    if dead:
        # Far beyond the data a large first feature kills the last hidden layer: features stop there, or go on, by direction.
        with torch.no_grad():
            net[0].weight[0], net[0].bias[0] = torch.tensor([1.0, 0, 0, 0]), -20.0
            net[2].weight[:, 0] = -1000.0
    return net


def _means(detector):
    return np.stack([one.mean for one in detector._classes])


class Identity(nn.Module):
    """Features are the inputs, and logits some of them."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 3).double()
        with torch.no_grad():
            self.last.weight.copy_(torch.eye(3, 4))
            self.last.bias.zero_()

    def forward(self, x):
        return self.last(x)


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("dead", [False, True], ids=["alive", "dead"])
def test_far_fields_are_what_scores_do_far_out(name, dead):
    detector = fitted(name, network(dead=dead))
    rng = np.random.default_rng(0)
    origins = X[rng.permutation(150)[:40]]
    directions = rng.normal(size=origins.shape)
    directions[:8] = np.eye(4).repeat(2, 0) * np.array([1, -1] * 4)[:, None]
    directions[8:10], directions[10:12, 0] = 0, np.abs(directions[10:12, 0])
    growth = detector.far_field(origins, directions)
    errors = []
    for a in (1e4, 1e6):
        grown = detector.score(origins + a * directions) / a ** growth.power.astype(float)
        errors.append(np.abs(grown - growth.coefficient) / (1 + np.abs(growth.coefficient)))
    # What is left out is of one power less.
    assert errors[1].max() < 2e-3, name
    assert (errors[1] <= errors[0] / 5 + 1e-6).all()
    assert (growth.power[8:10] == 0).all()
    if dead and name in ON_MODELS:
        # Some directions kill the last layer, and others do not.
        assert len(set(growth.power[10:].tolist())) == (1 if name == "neighbours" else 2)


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("dead", [False, True], ids=["alive", "dead"])
@pytest.mark.parametrize("distance", [1e101, 1e160, 1e290])
def test_where_squares_overflow_scores_are_what_they_tend_to(name, dead, distance):
    detector = fitted(name, network(dead=dead))
    directions = np.random.default_rng(0).normal(size=(20, 4))
    growth = detector.far_field(np.zeros((20, 4)), directions)
    with np.errstate(over="ignore"):
        expected = growth.coefficient * distance ** growth.power.astype(float)
    scores = detector.score(distance * directions)
    assert not np.isnan(scores).any()
    np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-9)
    # Beside others that are near, each has the score that it has alone.
    both = np.concatenate([X[:3], distance * directions, X[3:6]])
    np.testing.assert_allclose(detector.score(both), np.concatenate([detector.score(X[:3]), scores, detector.score(X[3:6])]))


# Energy and the largest logit learn nothing, and look at no features.
@pytest.mark.parametrize("name", [name for name in DETECTORS if name not in ("energy", "max_logit")])
def test_nothing_is_learnt_from_what_overflows(name):
    with pytest.raises(ValueError, match=r"must have (numbers of at most 1e\+100 in size|rows at which)"):
        fitted(name, network(), X * 1e300)
    steep = network()
    with torch.no_grad():
        steep[0].weight.mul_(1e10)
    detector = fitted(name, steep, X * 1e-8)
    with pytest.raises(ValueError, match=r"must (have rows at which the features|be finite in standard deviations)"):
        detector.score(X * 2e307)


def test_a_model_that_is_not_finite_says_where():
    model = network()
    with torch.no_grad():
        model[0].weight.mul_(1e200)
    with pytest.raises(ValueError, match=r"features and logits of the model are finite\. Got others at row 0"):
        d.Energy().fit(model, X * 1e200, Y)
    with pytest.raises(ValueError, match=r"layer must be None for a classifier of knowlimits"):
        d.Energy(layer="zz").fit(kl.NeuralNetwork(epochs=1).fit(X, Y), X, Y)


@pytest.mark.parametrize(("name", "power"), POWERS.items())
def test_orders_of_growth(name, power):
    detector = fitted(name, network())
    growth = detector.far_field(X, "random", random_state=0)
    assert set(growth.power.tolist()) == power
    assert (np.isinf(growth.limit) == (growth.power > 0)).all()
    if name in ("energy", "max_logit"):
        # The farther out, the more familiar.
        assert (growth.limit == -np.inf).mean() > 0.9
    if name in ("mahalanobis", "raw_neighbours", "mixture", "local_outlier_factor"):
        assert (growth.coefficient > 0).all()


def test_an_ensembles_scores_are_means_over_members():
    moons, labels = make_moons(200, noise=0.1, random_state=0)
    model = kl.Ensemble(members=3, hidden_sizes=(8, 8), epochs=3, random_state=0).fit(moons, labels)
    energy = d.Energy().fit(model, moons)
    logits = model.stack_(torch.tensor(moons)).detach().numpy()
    np.testing.assert_allclose(energy.score(moons), -np.log(np.exp(logits).sum(-1)).mean(0))
    growth = energy.far_field(moons, "random", random_state=0)
    far = kl.far_field(model, moons, "random", random_state=0)
    np.testing.assert_allclose(growth.coefficient, np.where(growth.power == 1, -far.rate.max(-1).mean(0), growth.coefficient))
    # Features of all members side by side.
    assert _means(d.Mahalanobis().fit(model, moons, labels)).shape == (2, 24)


def test_mahalanobis_is_that_of_scipy():
    detector = d.Mahalanobis().fit(Identity(), X, Y)
    means = np.stack([X[c == Y].mean(0) for c in range(3)])
    precision = np.linalg.inv(LedoitWolf(assume_centered=True).fit(X - means[Y]).covariance_)
    expected = [min(mahalanobis(x, m, precision) ** 2 for m in means) for x in X]
    np.testing.assert_allclose(detector.score(X), expected, rtol=1e-8)
    # A known Gaussian: squared distances have the number of features for a mean.
    rng = np.random.default_rng(0)
    cloud = rng.multivariate_normal([1, 2, 3, 4], np.diag([1.0, 4, 9, 0.25]), 20_000)
    one = d.InputDetector("mahalanobis").fit(None, cloud)
    assert one.score(cloud).mean() == pytest.approx(4, rel=0.02)
    growth = one.far_field(np.zeros((4, 4)), np.eye(4))
    np.testing.assert_allclose(growth.coefficient, 1 / np.array([1.0, 4, 9, 0.25]), rtol=0.05)


def test_relative_mahalanobis_is_blind_where_the_paper_says():
    """Two classes, one direction between their means: along the others the two distances grow alike."""
    rng = np.random.default_rng(0)
    labels = np.arange(4000) % 2
    cloud = rng.normal(size=(4000, 4)) + labels[:, None] * np.array([8.0, 0, 0, 0])
    relative = d.RelativeMahalanobis().fit(Identity(), cloud, labels)
    growth = relative.far_field(np.zeros((4, 4)), np.eye(4))
    full = d.Mahalanobis().fit(Identity(), cloud, labels).far_field(np.zeros((4, 4)), np.eye(4))
    shares = growth.coefficient / full.coefficient
    assert shares[0] > 0.9
    assert np.abs(shares[1:]).max() < 0.02


def test_mixture_is_the_density_of_scipy():
    detector = d.GaussianMixture().fit(Identity(), X, Y)
    logs = []
    for c in range(3):
        h = X[c == Y]
        covariance = LedoitWolf(assume_centered=True).fit(h - h.mean(0)).covariance_
        logs.append(np.log(1 / 3) + multivariate_normal(h.mean(0), covariance).logpdf(X))
    np.testing.assert_allclose(detector.score(X), -logsumexp(logs, axis=0), rtol=1e-6)


@pytest.mark.parametrize("normalized", [True, False])
def test_neighbours_are_those_of_all_distances(normalized):
    detector = d.NearestNeighbours(k=7, normalized=normalized).fit(Identity(), X, Y)
    new = X[:20] + 0.3

    def scaled(h):
        return h / np.linalg.norm(h, axis=1, keepdims=True) if normalized else h

    expected = np.sort(cdist(scaled(new), scaled(X)), axis=1)[:, 6]
    np.testing.assert_allclose(detector.score(new), expected)


def test_vim_is_the_residual_and_the_energy():
    detector = d.ViM(dimension=2).fit(Identity(), X)
    centred = X - X.mean(0)
    _, vectors = np.linalg.eigh(np.cov(centred.T))
    residual = np.linalg.norm(centred @ vectors[:, :2], axis=1)
    alpha = X[:, :3].max(1).mean() / residual.mean()
    np.testing.assert_allclose(detector.score(X), alpha * residual - logsumexp(X[:, :3], axis=1))
    with pytest.raises(ValueError, match="dimension must be in 0 to 3"):
        d.ViM(dimension=4).fit(Identity(), X)


def test_features_may_be_named_and_are_shared():
    model = network()
    first, last = d.Mahalanobis("2").fit(model, X, Y), d.Mahalanobis().fit(model, X, Y)
    assert (_means(first).shape, _means(last).shape) == ((3, 12), (3, 8))
    together = [d.Mahalanobis(), d.Energy(), d.ViM()]
    d.fit_all(together, model, X, Y)
    np.testing.assert_array_equal(together[0].score(X), last.score(X))
    with pytest.raises(ValueError, match="detectors must have one layer"):
        d.fit_all([d.Mahalanobis("2"), d.Energy()], model, X, Y)


def test_far_away_energy_is_worse_than_chance_and_mahalanobis_perfect():
    model = kl.NeuralNetwork(epochs=60, learning_rate=0.01, random_state=0).fit(X, Y)
    found = {}
    for name in ("energy", "mahalanobis", "neighbours"):
        detector = fitted(name, model)
        found[name] = kl.metrics.auroc(detector.score(X), detector.far_field(X, "random", random_state=0).limit)
    assert found["energy"] < 0.1
    assert found["mahalanobis"] > 0.99
    assert found["neighbours"] < 0.9


def test_features_that_never_move_on_the_training_data():
    """A dead layer: whatever moves is infinitely unfamiliar, and what does not is familiar."""
    dead = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    with torch.no_grad():
        dead[0].weight[:], dead[0].bias[:] = -1.0, 0.0
    for name in ("mahalanobis", "relative_mahalanobis", "mixture", "neighbours", "raw_neighbours", "vim"):
        detector = fitted(name, dead)
        scores = np.r_[detector.score(X), detector.score(-X)]
        assert np.isfinite(scores).all(), name
        if name != "relative_mahalanobis":
            assert kl.metrics.auroc(scores[:150], scores[150:]) == (0.0 if name == "vim" else 1.0), name


def test_convolutional_networks_and_images():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5)).double()
    images = np.random.default_rng(0).normal(size=(60, 1, 6, 6))
    detector = d.GaussianMixture().fit(model, images, np.arange(60) % 5)
    assert (detector.far_field(images, "random", random_state=0).power == 2).all()


class Product(nn.Module):
    """Logits without a `torch.nn.Linear`."""

    def __init__(self, own=False):
        super().__init__()
        self.weight, self.last = nn.Parameter(torch.eye(4)[:, :3].double()), nn.Identity() if own else None

    def forward(self, x):
        return (x.relu() if self.last is None else self.last(x.relu())) @ self.weight


@pytest.mark.parametrize("kind", [d.Energy, d.MaxLogit])
def test_detectors_of_logits_need_no_linear_layer(kind):
    model, same = Product(), nn.Sequential(nn.ReLU(), Identity().last)
    with torch.no_grad():
        same[1].weight.copy_(model.weight.T)
    ours, theirs = kind().fit(model, X), kind().fit(same, X)
    d.fit_all([alone := kind()], model, X)
    for detector in (ours, alone):
        np.testing.assert_allclose(detector.score(X), theirs.score(X), rtol=1e-12)
        ends = [one.far_field(X, "random", random_state=0) for one in (detector, theirs)]
        np.testing.assert_array_equal(ends[0].power, ends[1].power)
        np.testing.assert_allclose(ends[0].coefficient, ends[1].coefficient, rtol=1e-12)


def test_the_layer_that_the_message_asks_for_helps():
    with pytest.raises(ValueError, match="name one of last"):
        d.Mahalanobis().fit(Product(own=True), X, Y)
    assert np.isfinite(d.Mahalanobis("last").fit(Product(own=True), X, Y).score(X)).all()
    assert len(kl.audit(Product(own=True), X, Y, layer="last").features) == 8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: d.Mahalanobis().score(X), "Mahalanobis must be fitted"),
        (lambda: d.Mahalanobis().fit(network(), X), "y must be given for Mahalanobis"),
        (lambda: d.Mahalanobis().fit(network(), X, Y[:5]), "y must have a label for each row of X, 150"),
        (lambda: d.Mahalanobis("9").fit(network(), X, Y), "layer must be the name of a submodule. Got '9'"),
        (
            lambda: d.Mahalanobis().fit(nn.Sequential(nn.ReLU()), X, Y),
            "layer must be given for a model without.*: name one of 0.",
        ),
        (lambda: d.Mahalanobis().fit(nn.ReLU(), X, Y), "put what makes the logits of the features into a submodule"),
        (lambda: d.NearestNeighbours(k=0), "k must be at least 1"),
        (lambda: d.LocalOutlierFactor(k=0), "k must be at least 1"),
        (lambda: d.InputDetector("pca"), "kind must be one of mahalanobis, neighbours, mixture, isolation_forest, local"),
        (lambda: d.InputDetector().score(X), "Mahalanobis must be fitted"),
        (lambda: d.Energy().fit(d.Inputs(X), X), "model must be given for Energy, which looks at its logits"),
        (lambda: d.Mahalanobis("2").fit(d.Inputs(X), X, Y), "layer must be None where there is no model but Inputs. Got '2'"),
        (lambda: d.Energy().fit(network(), X * np.nan), "X must be finite"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_vim_stays_within_what_the_features_span():
    """With fewer rows than half the features, half the space is beyond the data: nothing there but rounding errors."""
    torch.manual_seed(0)
    wide = nn.Sequential(nn.Linear(4, 200), nn.ReLU(), nn.Linear(200, 3)).double()
    few, labels = X[:40], Y[:40]
    scores = []
    for turn in (np.eye(200), np.linalg.qr(np.random.default_rng(0).normal(size=(200, 200)))[0]):
        # The same model, its features turned: rounding errors are others, and nothing else.
        turned = nn.Sequential(*wide[:2], nn.Linear(200, 200, bias=False), nn.Linear(200, 3)).double()
        with torch.no_grad():
            turned[2].weight.copy_(torch.tensor(turn))
            turned[3].weight.copy_(wide[2].weight @ torch.tensor(turn.T))
            turned[3].bias.copy_(wide[2].bias)
        detector = d.ViM().fit(turned, few, labels)
        scores.append(detector.score(X[40:80]))
        assert detector._residual.shape[1] > 160
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-6)
    with pytest.raises(ValueError, match=r"dimension must be in 0 to 16 for these features\. Got 100"):
        d.ViM(dimension=100).fit(wide, few, labels)


@pytest.mark.parametrize("kind", ["mahalanobis", "neighbours", "mixture", "isolation_forest", "local_outlier_factor"])
def test_detectors_of_inputs_are_detectors_on_another_source(kind):
    name = kind if "_" in kind else f"input_{kind}"
    ours, door = fitted(name, None), d.InputDetector(kind, random_state=0).fit(None, X, Y)
    np.testing.assert_array_equal(ours.score(X), door.score(X))
    ends = [one.far_field(X, "random", random_state=0) for one in (ours, door)]
    np.testing.assert_array_equal(ends[0].coefficient, ends[1].coefficient)
    check_detector(d.InputDetector(kind, random_state=0), on_inputs=True)


def test_what_looked_at_inputs_alone_looks_at_features_too():
    for detector in (d.IsolationForest(random_state=0), d.LocalOutlierFactor()):
        check_detector(detector)
    np.testing.assert_allclose(
        d.LocalOutlierFactor().fit(Identity(), X).score(X + 0.1),
        oracle.DEFINITIONS["local_outlier_factor"](oracle.Rows(X), Y, oracle.Rows(X + 0.1)),
    )


class Norm(d.Detector):
    """How long the features are, and what may be wrong with that."""

    def __init__(self, **wrong):
        super().__init__()
        self.wrong = wrong

    def measure(self, seen):
        scores = self.wrong.get("sign", -1.0) * np.linalg.norm(seen.features, axis=1)
        if "rows" in self.wrong:
            scores = scores + seen.features.mean()
        if "noise" in self.wrong:
            scores = scores + np.random.default_rng().normal()
        return scores[:, None] if "shape" in self.wrong else scores

    def growth(self, ahead):
        first, second = norm(ahead.rate.features, ahead.offset.features)
        sign = self.wrong.get("sign", -1.0)
        if "constant" in self.wrong:
            return d.Growth.of(sign * first)
        if "powers" in self.wrong:
            return d.Growth.of(sign * first, 0 * second, sign * second)
        if "infinite" in self.wrong:
            return d.Growth.of(sign * first, sign * second / 0.0)
        return d.Growth.of(sign * first, self.wrong.get("factor", 1.0) * sign * second)


class Careless(Norm):
    """Nothing is looked at before it is used."""

    def score(self, X):
        return super().score(X) if np.isfinite(X).all() else np.full(len(X), np.nan)


class Overflowing(Norm):
    """Squares overflow."""

    largest = np.inf


def test_a_right_detector_of_ones_own_passes():
    check_detector(Norm())


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value", "ignore:overflow")
@pytest.mark.parametrize(
    ("detector", "message"),
    [
        pytest.param(Norm(factor=1.01), r"the score must grow like .* as the far field says", id="coefficient"),
        pytest.param(Norm(factor=-1.0), "the score must grow like", id="sign of growth"),
        pytest.param(Norm(constant=True), r"the score must grow like .* a\^0", id="power too small"),
        pytest.param(Norm(powers=True), r"the score must grow like .* a\^2", id="power too large"),
        pytest.param(Norm(infinite=True), "coefficients of a growth must be finite", id="infinite"),
        pytest.param(Norm(sign=1.0), r"larger must mean less familiar.*got 0%", id="direction"),
        pytest.param(Norm(rows=True), "must not hang on other rows", id="rows"),
        pytest.param(Norm(noise=True), "must say the same: give it a seed", id="noise"),
        pytest.param(d.IsolationForest(), "must say the same: give it a seed", id="no seed"),
        pytest.param(Norm(shape=True), r"must return shape \(n,\)", id="shape"),
        pytest.param(Overflowing(), "where squares overflow", id="overflow"),
        pytest.param(Careless(), "must raise a ValueError for numbers that are not finite", id="nan"),
    ],
)
def test_negative_controls_of_the_check(detector, message):
    with pytest.raises(AssertionError, match=message):
        check_detector(detector)

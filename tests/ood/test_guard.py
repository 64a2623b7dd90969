"""The guard: uniform far away, bounds that hold, predictions that stay."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris, load_wine, make_moons
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import FixedThresholdClassifier, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

import knowlimits as kl

MOONS, LABELS = make_moons(600, noise=0.125, random_state=0)


@pytest.fixture(scope="module")
def model():
    return kl.NeuralNetwork(epochs=40, learning_rate=0.01, random_state=0).fit(MOONS, LABELS)


@pytest.fixture(scope="module")
def guard(model):
    return kl.Guard(model, random_state=0).fit(MOONS)


def test_uniform_far_away(guard, model):
    centre, radius = MOONS.mean(0), np.linalg.norm(MOONS - MOONS.mean(0), axis=1).max()
    angles = np.linspace(0, 2 * np.pi, 500)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for factor in (100, 1e4, 1e8, 1e150, 1e300):
        probs = guard.predict_proba(centre + factor * radius * directions) if factor < 1e100 else None
        if probs is not None:
            np.testing.assert_allclose(probs, 0.5, atol=1e-12)
        assert (guard.weight(centre + factor * radius * directions) < 1e-12).all()
    # The model itself is sure there.
    assert np.median(model.predict_proba(centre + 100 * radius * directions).max(1)) > 0.999


def test_the_guard_keeps_predictions_and_the_log_loss(guard, model):
    fresh, labels = make_moons(4000, noise=0.125, random_state=1)
    np.testing.assert_array_equal(guard.predict(fresh), model.predict(fresh))
    probs, own = guard.predict_proba(fresh), model.predict_proba(fresh)
    np.testing.assert_array_equal(probs.argmax(1), own.argmax(1))
    np.testing.assert_allclose(probs.sum(1), 1)
    assert log_loss(labels, probs) < log_loss(labels, own) + 2 * guard.tolerance
    assert -np.log(guard.weight(MOONS)).mean() == pytest.approx(guard.tolerance, abs=guard.tolerance)


def test_looser_tolerance_is_less_sure_outside(model):
    strict, loose = (kl.Guard(model, tolerance=t, random_state=0).fit(MOONS) for t in (1e-4, 0.1))
    ring = MOONS.mean(0) + 3 * np.stack([np.cos(np.arange(50)), np.sin(np.arange(50))], axis=1)
    assert (loose.weight(ring) <= strict.weight(ring)).all()


def test_the_ratio_is_that_of_the_densities(guard):
    z = (MOONS[:50] - guard._mean) / guard._scale
    inside = sum(
        w * multivariate_normal(m, s).pdf(z)
        for w, m, s in zip(guard.mixture_.weights_, guard.mixture_.means_, guard.mixture_.covariances_, strict=True)
    )
    outside = multivariate_normal(guard._centre, np.linalg.inv(guard._precision)).pdf(z)
    np.testing.assert_allclose(guard._log_ratio(z), np.log(inside) - np.log(outside), rtol=1e-8)


def test_the_bound_holds_in_balls(guard):
    """A hundred thousand random points, and the worst points that an optimiser finds."""
    rng = np.random.default_rng(0)
    centres = MOONS.mean(0) + rng.normal(size=(100, 2)) * 3
    for radius in (0.0, 0.1, 1.0, 5.0):
        bound = guard.bound(centres, radius)
        angle, length = rng.uniform(0, 2 * np.pi, (100, 250)), radius * np.sqrt(rng.uniform(0, 1, (100, 250)))
        points = centres[:, None] + (length[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1))
        possible = 0.5 + guard.weight(points.reshape(-1, 2)).reshape(100, 250) / 2
        assert (possible <= bound[:, None] + 1e-12).all()
        if radius == 0:
            np.testing.assert_allclose(bound, 0.5 + guard.weight(centres) / 2, atol=1e-12)
    # Not only true but near: with one component it is reached.
    one = kl.Guard(guard.model, components=(1,), random_state=0).fit(MOONS)
    t, r = np.meshgrid(np.linspace(0, 2 * np.pi, 2000), np.linspace(0, 1, 50))
    disc = np.stack([r * np.cos(t), r * np.sin(t)], axis=-1).reshape(-1, 2)
    for centre in centres[:10]:
        worst = 0.5 + one.weight(centre + disc).max() / 2
        assert one.bound(centre[None], 1.0)[0] == pytest.approx(worst, abs=1e-4)


def test_the_largest_value_in_a_ball_is_that_of_an_optimiser():
    X, y = load_breast_cancer(return_X_y=True)
    X = X[:, :5]
    guard = kl.Guard(RandomForestClassifier(20, random_state=0).fit(X, y), components=(2,), random_state=0).fit(X)
    centre = X[3:4] * 1.5
    z = guard._standardized(centre)
    form, linear, constant = guard._quadratics[0]

    def minus(step):
        at = z[0] + step / guard._scale
        return -(constant + at @ linear - at @ form @ at / 2)

    for radius in (0.01, 3.0, 1e4):
        ball = {"type": "ineq", "fun": lambda s, radius=radius: 1 - (s @ s) / radius**2}
        best = max(
            -minimize(minus, start * radius, constraints=[ball], method="SLSQP", options={"maxiter": 500}).fun
            for start in np.eye(5) * 0.5
        )
        assert guard._largest_in_ball(z, radius, form, linear, constant)[0] >= best - 1e-6 * abs(best)


def test_it_is_settled_where_it_becomes_uniform(guard):
    far = guard.far_field(MOONS, "random", random_state=0)
    assert far.probs.shape == (1, len(MOONS), 2)
    np.testing.assert_array_equal(far.probs, 0.5)
    np.testing.assert_array_equal(far.directions, kl.far_field(guard.model, MOONS, "random", random_state=0).directions)
    assert far.radius is far.rate is far.offset is far.certified is None
    distances = guard.settled(MOONS, "random", level=1e-3, random_state=0)
    for factor in (1.0, 1.5, 10.0, 1e5):
        points = MOONS + factor * distances[:, None] * far.directions
        assert (guard.predict_proba(points).max(1) <= 0.5 + 1e-3 + 1e-12).all()
    # Not much too far: a third of the way there it is sure at least somewhere.
    assert (guard.weight(MOONS + 0.3 * distances[:, None] * far.directions) > 0.01).any()


def test_a_ray_that_does_not_move_ends_where_it_is(guard):
    assert guard.settled(MOONS[:1], np.zeros((1, 2)))[0] == np.inf
    directions = np.array([[0.0, 0.0], [0.0, -1e-300], [1.0, 0.0]])
    probs = guard.far_field(MOONS[:3], directions).probs[0]
    np.testing.assert_array_equal(probs[0], guard.predict_proba(MOONS[:1])[0])
    assert probs[0].max() > 0.9
    np.testing.assert_array_equal(probs[1:], 0.5)


def test_any_classifier_and_any_width():
    X, y = load_iris(return_X_y=True, as_frame=False)
    names = np.array(["a", "b", "c"])[y]
    forest = kl.Guard(RandomForestClassifier(20, random_state=0).fit(X, names), random_state=0).fit(X)
    assert set(forest.predict(X)) == {"a", "b", "c"}
    np.testing.assert_allclose(forest.predict_proba(X * 1e4), 1 / 3)
    torch.manual_seed(0)
    module = kl.Guard(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), random_state=0).fit(X)
    np.testing.assert_allclose(module.predict_proba(-X * 1e6), 1 / 3)
    assert module.predict(X).shape == (150,)
    assert clone(forest).width == 4.0
    # A constant column says nothing, and does no harm.
    still = np.c_[X, np.ones(150)]
    assert np.isfinite(kl.Guard(RandomForestClassifier(5).fit(still, y), random_state=0).fit(still).predict_proba(still)).all()


X_WINE, Y_WINE = load_wine(return_X_y=True)
X_WINE = (X_WINE - X_WINE.mean(0)) / X_WINE.std(0)
NAMES = np.array(["c", "a", "b"])[Y_WINE]


def perceptron(y, seed=0):
    return MLPClassifier((8,), max_iter=100, random_state=seed).fit(X_WINE, y)


class Squeezed(nn.Module):
    """One logit, without an axis for it, and without an axis for a single row."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(13, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, x):
        return self.net(x).squeeze()


def torch_predictions(net):
    with torch.no_grad():
        output = net(torch.tensor(X_WINE, dtype=torch.float32))
    return (output > 0).long().numpy() if output.ndim == 1 else output.argmax(-1).numpy()


def softmaxed():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(13, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softmax(1))


# A model, and what it predicts for all rows by its own methods.
KINDS = {
    "a tuned threshold": lambda: FixedThresholdClassifier(
        MLPClassifier((8,), max_iter=100, random_state=0), threshold=0.99, response_method="predict_proba"
    ).fit(X_WINE, Y_WINE > 0),
    "Platt's scaling": lambda: SVC(probability=True, class_weight="balanced", random_state=0).fit(X_WINE[:120], NAMES[:120]),
    "text labels": lambda: RandomForestClassifier(20, random_state=0).fit(X_WINE, NAMES),
    "a list": lambda: [perceptron(NAMES, seed) for seed in range(2)],
    "a softmax at the end": softmaxed,
    "a squeezed logit": Squeezed,
    "what has been read": lambda: kl.read(perceptron(NAMES)),
    "a pipeline": lambda: make_pipeline(StandardScaler(), LogisticRegression()).fit(X_WINE, NAMES),
}


def own_predictions(model):
    if isinstance(model, list):
        return model[0].classes_[np.mean([one.predict_proba(X_WINE) for one in model], axis=0).argmax(1)]
    return torch_predictions(model) if isinstance(model, nn.Module) else model.predict(X_WINE)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_it_never_changes_the_predicted_class(kind):
    model = KINDS[kind]()
    guard = kl.Guard(model, random_state=0).fit(X_WINE)
    np.testing.assert_array_equal(guard.predict(X_WINE), own_predictions(model))
    far = 1e5 * X_WINE
    np.testing.assert_array_equal(guard.predict(far)[:3], [guard.predict(row[None])[0] for row in far[:3]])
    assert set(guard.predict(X_WINE)) <= set(guard.classes_)
    np.testing.assert_allclose(guard.predict_proba(far), 1 / len(guard.classes_), atol=1e-6)
    np.testing.assert_allclose(guard.predict_proba(X_WINE[:1]), guard.predict_proba(X_WINE)[:1], atol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_threshold_does_predict_otherwise_than_the_likeliest_class():
    model = KINDS["a tuned threshold"]()
    assert (model.predict(X_WINE) != model.classes_[model.predict_proba(X_WINE).argmax(1)]).any()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_skorch_is_asked_in_the_type_that_it_takes():
    skorch = pytest.importorskip("skorch")
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(13, 8), nn.ReLU(), nn.Linear(8, 3))
    net = skorch.NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, max_epochs=3, verbose=0)
    single = X_WINE.astype(np.float32)
    for model in (net.fit(single, Y_WINE), make_pipeline(StandardScaler(), net).fit(single, Y_WINE)):
        guard = kl.Guard(model, random_state=0).fit(X_WINE)
        np.testing.assert_array_equal(guard.predict(X_WINE), model.predict(single))
        np.testing.assert_allclose(guard.blend(X_WINE, model.predict_proba(single)), guard.predict_proba(X_WINE), atol=1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_a_module_returns_can_be_said():
    net = nn.Sequential(nn.Linear(13, 3), nn.Hardsigmoid())
    with pytest.raises(ValueError, match="outputs must be given"):
        kl.Guard(net).fit(X_WINE)
    guard = kl.Guard(net, random_state=0, outputs="logits").fit(X_WINE)
    np.testing.assert_array_equal(guard.predict(X_WINE), torch_predictions(net))


LABELS_OF_ROWS = np.c_[Y_WINE > 0, Y_WINE > 1].astype(int)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (lambda: MLPClassifier((4,), max_iter=20).fit(X_WINE, LABELS_OF_ROWS), ValueError, "classes that exclude each other"),
        (lambda: RandomForestClassifier(5).fit(X_WINE, LABELS_OF_ROWS), ValueError, "classes that exclude each other"),
        (lambda: RandomForestRegressor(5).fit(X_WINE, Y_WINE), TypeError, "Got RandomForestRegressor"),
        (lambda: RidgeClassifier().fit(X_WINE, Y_WINE), ValueError, "must have predict_proba. Got a RidgeClassifier that"),
        (lambda: object(), TypeError, "Got object"),
    ],
    ids=["labels side by side", "a list of labels", "a regressor", "no probabilities", "no model"],
)
def test_what_is_no_classifier_of_one_label_a_row(model, error, message):
    with pytest.raises(error, match=message):
        kl.Guard(model()).fit(X_WINE)


def test_gaps_and_text_are_refused_with_what_to_do():
    pandas = pytest.importorskip("pandas")
    gaps = X_WINE.copy()
    gaps[3, 4] = np.nan
    trees = HistGradientBoostingClassifier(max_iter=3).fit(gaps, Y_WINE)
    with pytest.raises(ValueError, match=r"X must be finite for a guard.*Got 1 gaps.*Guard the last step of a Pipeline"):
        kl.Guard(trees).fit(gaps)
    with pytest.raises(ValueError, match="X must be finite for a guard"):
        kl.Guard(trees).fit(X_WINE).weight(gaps)
    table = pandas.DataFrame(X_WINE).assign(city="u")
    with pytest.raises(TypeError, match=r"X must be numbers for a guard.*Got DataFrame with others.*encoded and filled"):
        kl.Guard(trees).fit(table)


def test_guards_are_saved_without_pickle(guard, tmp_path):
    kl.save(guard, tmp_path / "guard.safetensors")
    loaded = kl.load(tmp_path / "guard.safetensors")
    np.testing.assert_array_equal(loaded.predict_proba(MOONS), guard.predict_proba(MOONS))
    np.testing.assert_array_equal(loaded.bound(MOONS, 1.0), guard.bound(MOONS, 1.0))
    assert loaded.get_params(deep=False).keys() == guard.get_params(deep=False).keys()
    assert loaded.mixture_.predict(guard._standardized(MOONS)).shape == (600,)
    with pytest.raises(TypeError, match="model must be fitted"):
        kl.save(kl.Guard(guard.model), tmp_path / "no")
    forest = RandomForestClassifier(5).fit(MOONS, LABELS)
    with pytest.raises(TypeError, match="must be a fitted classifier of knowlimits"):
        kl.save(kl.Guard(forest).fit(MOONS), tmp_path / "no")


def test_many_features():
    X, y = load_breast_cancer(return_X_y=True)
    X, held, y, held_y = train_test_split(X, y, random_state=0)
    forest = RandomForestClassifier(50, random_state=0).fit(X, y)
    guard = kl.Guard(forest, random_state=0).fit(X)
    assert log_loss(held_y, guard.predict_proba(held)) < log_loss(held_y, forest.predict_proba(held)) + 0.05
    np.testing.assert_allclose(guard.predict_proba(held * 1e3), 0.5, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: kl.Guard(m).predict_proba(MOONS), "Guard must be fitted"),
        (lambda m: kl.Guard(m, width=1.0).fit(MOONS), "width must be above 1"),
        (lambda m: kl.Guard(m, tolerance=0).fit(MOONS), "tolerance must be positive"),
        (lambda m: kl.Guard(m).fit(MOONS[:5]), "at least 8 rows"),
        (lambda m: kl.Guard(m).fit(MOONS * np.nan), "X must be finite"),
        (lambda m: kl.Guard(m).fit(MOONS * 1e300), r"X must have numbers of at most 1e\+100 in size to learn from"),
        (lambda m: kl.Guard(m).fit(MOONS).bound(MOONS, -1), "radius must be finite and not negative"),
        (lambda m: kl.Guard(m).fit(MOONS).settled(MOONS, "random", level=0.6), "level must be in 0 to 0.5"),
        (lambda m: kl.Guard(m).fit(MOONS).weight(np.zeros((2, 3))), "X must have 2 features. Got 3"),
    ],
)
def test_bad_arguments(call, message, model):
    with pytest.raises(ValueError, match=message):
        call(model)


def test_radii_of_every_row_along_every_direction(guard):
    rows, directions = MOONS[:7], np.random.default_rng(0).normal(size=(5, 2))
    found = guard.radii(rows, directions, level=0.01)
    paired = guard.settled(np.repeat(rows, 5, axis=0), np.tile(directions, (7, 1)), level=0.01)
    np.testing.assert_allclose(found.ravel(), paired, rtol=1e-9)
    with pytest.raises(ValueError, match=r"level must be in 0 to 0\.5"):
        guard.radii(rows, directions, level=0.7)

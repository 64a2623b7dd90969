"""The guard: uniform far away, bounds that hold, predictions that stay."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine, make_moons
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import FixedThresholdClassifier, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from torch import nn

import knowlimits as kl
from knowlimits.metrics import auroc
from knowlimits.ood.remedies.calibration import loss_bound
from knowlimits.scores import entropy

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
    assert loss_bound(guard.weight(MOONS), 2).mean() == pytest.approx(guard.tolerance, abs=guard.tolerance)
    # Whatever the labels are.
    for label in (0, 1):
        growth = np.log(own[:, label]) - np.log(probs[:, label])
        assert (growth <= loss_bound(guard.weight(fresh), 2) + 1e-12).all()


def test_looser_tolerance_is_less_sure_outside(model):
    strict, loose = (kl.Guard(model, tolerance=t, random_state=0).fit(MOONS) for t in (1e-4, 0.1))
    ring = MOONS.mean(0) + 3 * np.stack([np.cos(np.arange(50)), np.sin(np.arange(50))], axis=1)
    assert (loose.weight(ring) <= strict.weight(ring)).all()


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
    # Not only true but near: with one component it is reached, within the reach of the columns.
    one = kl.Guard(guard.model, components=(1,), random_state=0).fit(MOONS)
    centres = centres[np.abs(one.ratio_.standardized(centres)).max(1) < one.ratio_.reach - 3]
    t, r = np.meshgrid(np.linspace(0, 2 * np.pi, 2000), np.linspace(0, 1, 50))
    disc = np.stack([r * np.cos(t), r * np.sin(t)], axis=-1).reshape(-1, 2)
    for centre in centres[:10]:
        worst = 0.5 + one.weight(centre + disc).max() / 2
        assert one.bound(centre[None], 1.0)[0] == pytest.approx(worst, abs=1e-4)


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


def mixed(n=400, seed=0):
    """Rows of numbers, text and gaps, and labels."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(seed)
    age, ward = rng.normal(60, 10, n).round(), rng.choice(["a", "b", "c"], n)
    lactate = np.where(rng.uniform(size=n) < 0.2, np.nan, rng.gamma(2, 1, n))
    labels = (age + 5 * (ward == "a") + rng.normal(0, 5, n) > 61).astype(int)
    return pandas.DataFrame({"age": age, "ward": ward, "lactate": lactate}), labels


def mixed_model():
    steps = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["ward"]), remainder=SimpleImputer())
    return make_pipeline(steps, StandardScaler(), MLPClassifier((16,), max_iter=100, random_state=0))


@pytest.fixture(scope="module")
def ward():
    X, y = mixed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = mixed_model().fit(X, y)
    return kl.Guard(model, ranges={"age": (0, 120)}, random_state=0).fit(X), X


def test_text_gaps_and_ranges(ward):
    guard, X = ward
    assert 0.9 < guard.accepts(X).mean() <= 1
    row = X.dropna().iloc[[0]]
    cases = {
        "ward is 'z', never seen": row.assign(ward="z"),
        "ward is missing, which it never was": row.assign(ward=None),
        "age is 121, above 120": row.assign(age=121.0),
        "age is infinite": row.assign(age=np.inf),
        "age is missing, which it never was": row.assign(age=np.nan),
    }
    for words, strange in cases.items():
        assert guard.reasons(strange) == [words]
        assert guard.unfamiliarity(strange)[0] == np.inf
        assert not guard.accepts(strange)[0]
        np.testing.assert_array_equal(guard.predict_proba(strange), 0.5)
    # A gap where there were some is asked of the model, which fills it.
    gap = row.assign(lactate=np.nan)
    assert guard.accepts(gap)[0]
    np.testing.assert_allclose(guard.predict_proba(gap), guard.model.predict_proba(gap), atol=0.02)
    np.testing.assert_array_equal(guard.predict(X), guard.model.predict(X))


def test_reasons_name_the_columns_that_are_far(ward):
    guard, X = ward
    assert guard.reasons(X[guard.accepts(X)][:3]) == [""] * 3
    (words,) = guard.reasons(X.dropna().iloc[[0]].assign(lactate=1000.0))
    assert words.startswith("lactate is 1000, seen from ")
    assert guard.parts(X).shape == X.shape
    np.testing.assert_array_equal(guard.parts(X)[:, 1], 0)


def test_rays_of_a_table_move_its_numbers(ward):
    guard, table = ward
    X, gaps = table.dropna(), table[table.lactate.isna()]
    far = guard.far_field(X[:5], "features")
    assert far.probs.shape == (1, 5 * 4, 2)
    np.testing.assert_array_equal(far.probs, 0.5)
    directions = np.zeros((5, 3))
    directions[1:, 2] = 1
    growth = guard.growth(X[:5], directions)
    np.testing.assert_array_equal(growth.power, [0, 2, 2, 2, 2])
    assert growth.coefficient[0] == guard.unfamiliarity(X[:1])[0]
    np.testing.assert_array_equal(guard.far_field(X[:5], directions).probs[0, 0], guard.predict_proba(X[:1])[0])
    assert np.isfinite(guard.settled(X[:5], directions)[1:]).all()
    # A gap does not move: what is said is what the guard says of the row as it is.
    far = guard.far_field(gaps[:4], directions[1:])
    np.testing.assert_array_equal(far.probs[0], guard.predict_proba(gaps[:4]))
    np.testing.assert_array_equal(guard.growth(gaps[:4], directions[1:]).coefficient, guard.unfamiliarity(gaps[:4]))
    assert (guard.radii(gaps[:4], directions[1:2][:, [0, 2]]) == np.inf).all()
    with pytest.raises(ValueError, match="directions must leave columns of categories at 0"):
        guard.growth(X[:5], np.ones((5, 3)))
    with pytest.raises(ValueError, match="directions must have the shape of origins"):
        guard.growth(X[:5], np.ones((5, 2)))


def test_a_table_of_categories_alone():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame({"a": ["x", "y"] * 20, "b": ["u"] * 40})
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(X, np.arange(40) % 2)
    guard = kl.Guard(model, random_state=0).fit(X)
    assert guard.accepts(X).all()
    assert guard.reasons(X[:1].assign(a="z")) == ["a is 'z', never seen"]
    assert guard.predict_proba(X[:1]).max() > 0.8


def test_a_value_that_only_held_out_rows_have_counts_as_refused():
    """Else the share that is kept would be too good: other rows have values, too, that nobody has seen."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = pandas.DataFrame({"x": rng.normal(size=400), "code": [f"c{k}" for k in rng.integers(300, size=400) // 2]})
    model = make_pipeline(make_column_transformer(("passthrough", ["x"])), LogisticRegression()).fit(X, X.x > 0)
    guard = kl.Guard(model, random_state=0).fit(X)
    assert guard.kept_.value < 0.95


def test_guards_are_saved_without_pickle(guard, tmp_path):
    kl.save(guard, tmp_path / "guard.safetensors")
    loaded = kl.load(tmp_path / "guard.safetensors")
    np.testing.assert_array_equal(loaded.predict_proba(MOONS), guard.predict_proba(MOONS))
    np.testing.assert_array_equal(loaded.bound(MOONS, 1.0), guard.bound(MOONS, 1.0))
    assert loaded.get_params(deep=False).keys() == guard.get_params(deep=False).keys()
    with pytest.raises(TypeError, match="model must be fitted"):
        kl.save(kl.Guard(guard.model), tmp_path / "no")


def test_many_features():
    X, y = load_breast_cancer(return_X_y=True)
    X, held, y, held_y = train_test_split(X, y, random_state=0)
    forest = RandomForestClassifier(50, random_state=0).fit(X, y)
    guard = kl.Guard(forest, random_state=0).fit(X)
    assert log_loss(held_y, guard.predict_proba(held)) < log_loss(held_y, forest.predict_proba(held)) + 0.05
    np.testing.assert_allclose(guard.predict_proba(held * 1e3), 0.5, atol=1e-12)


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_digits])
def test_a_column_at_ten_half_ranges_is_refused(load):
    X, y = load(return_X_y=True)
    X, held, y, held_y = train_test_split(X, y, random_state=0)
    model = make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=0)).fit(X, y)
    guard = kl.Guard(model, random_state=0).fit(X)
    rng = np.random.default_rng(0)
    low, high = X.min(0), X.max(0)
    columns = rng.choice(np.flatnonzero(high > low), size=300)
    moved = held[rng.integers(len(held), size=300)]
    moved[np.arange(300), columns] = ((low + high) / 2 + 5 * rng.choice([-1, 1], size=len(low)) * (high - low))[columns]
    assert auroc(guard.unfamiliarity(held), guard.unfamiliarity(moved)) > 0.99
    assert (~guard.accepts(moved)).mean() > 0.95
    assert auroc(*(entropy(guard.predict_proba(rows)[None]) for rows in (held, moved))) > 0.9
    assert log_loss(held_y, guard.predict_proba(held)) < log_loss(held_y, model.predict_proba(held)) + 0.03


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: kl.Guard(m).predict_proba(MOONS), "Guard must be fitted"),
        (lambda m: kl.Guard(m, width=1.0).fit(MOONS), "width must be above 1"),
        (lambda m: kl.Guard(m, tolerance=0).fit(MOONS), "tolerance must be positive"),
        (lambda m: kl.Guard(m).fit(MOONS[:5]), "at least 8 rows"),
        (lambda m: kl.Guard(m, tolerance=0.7).fit(MOONS), "tolerance must be below log K, 0.6931 for 2 classes"),
        (lambda m: kl.Guard(m, keep=1).fit(MOONS), "keep must be between 0 and 1"),
        (lambda m: kl.Guard(m).fit(np.where(MOONS > 1, np.inf, MOONS)), "must be finite. Got inf"),
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


def test_numbers_that_are_codes_can_be_said(tmp_path):
    rng = np.random.default_rng(0)
    X = np.c_[rng.normal(size=400), rng.choice([1.0, 2.0, 5.0], 400), rng.normal(size=400)]
    model = LogisticRegression().fit(X, X[:, 0] > 0)
    coded = kl.Guard(model, categories=[1], random_state=0).fit(X)
    text = X.astype(object)
    text[:, 1] = [f"ward {code:g}" for code in X[:, 1]]
    # The same as if they had been text, of a model that takes it.
    other = kl.Guard(_Numbers(model), random_state=0).fit(text)
    np.testing.assert_array_equal(coded.unfamiliarity(X), other.unfamiliarity(text))
    rows = X[:3].copy()
    rows[:, 1] = [3.0, np.nan, 5.0]
    assert coded.unfamiliarity(rows)[:2].tolist() == [np.inf, np.inf]
    assert np.isfinite(coded.unfamiliarity(rows)[2])
    assert coded.reasons(rows)[0] == "x1 is 3, never seen"
    kl.save(coded, tmp_path / "guard.safetensors")
    again = kl.load(tmp_path / "guard.safetensors")
    assert again.categories == (1,)
    np.testing.assert_array_equal(again.unfamiliarity(rows), coded.unfamiliarity(rows))
    for wrong, message in (("x1", "must be a list"), ([3], "must name columns of X, or count them from 0. Got 3")):
        with pytest.raises(ValueError, match=f"categories {message}"):
            kl.Guard(model, categories=wrong).fit(X)


class _Numbers(ClassifierMixin, BaseEstimator):
    """A model of tables in which a column says ``"ward 5"`` for 5."""

    def __init__(self, model):
        self.model, self.classes_ = model, model.classes_

    def _read(self, X):
        return np.array([[a, float(str(b).removeprefix("ward ")), c] for a, b, c in X])

    def predict(self, X):
        return self.model.predict(self._read(X))

    def predict_proba(self, X):
        return self.model.predict_proba(self._read(X))

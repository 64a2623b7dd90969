import importlib
import inspect
import re
from pathlib import Path

import joblib
import mpmath
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris, load_wine, make_moons
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import knowlimits as kl
from knowlimits.studies.half_moons import settings
from knowlimits.testing import check_model
from knowlimits.train import classifiers
from knowlimits.train.classifiers import CLASSIFIERS, StackClassifier
from knowlimits.train.classifiers.docstrings import inherit_args
from knowlimits.train.classifiers.platt_scaled import platt_scale, temperature
from knowlimits.train.networks import ClassWeight

QUICK = {"epochs": 30, "learning_rate": 0.01}
# Where a few members are enough, and for those that do not learn with these.
FEW = {"members": 3}
SETTINGS = {"BayesByBackprop": {"members": 5}}


def quick(name, kind):
    """A registered class with settings to test it with."""
    return kind(**SETTINGS.get(name, QUICK | FEW if "members" in inspect.signature(kind).parameters else QUICK))


DEFAULTS = list(CLASSIFIERS.values())
MODELS = [quick(name, kind) for name, kind in CLASSIFIERS.items()]
each = pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)


@each
def test_contract(model):
    check_model(model)


def test_every_classifier_is_registered_and_public():
    package = Path(classifiers.__file__).parent
    for path in package.glob("*.py"):
        for name, kind in vars(importlib.import_module(f"{classifiers.__name__}.{path.stem}")).items():
            if inspect.isclass(kind) and issubclass(kind, StackClassifier) and not inspect.isabstract(kind):
                assert CLASSIFIERS.get(name) is kind, f"{path.name}: {name} must be in CLASSIFIERS"
    for name, kind in CLASSIFIERS.items():
        assert getattr(kl, name) is kind
    assert {table["class"] for table in settings()["models"].values()} <= set(CLASSIFIERS)


@pytest.mark.parametrize("kind", DEFAULTS)
def test_every_parameter_is_in_the_signature_and_documented(kind):
    shown = dict(re.findall(r"^    (\w+): (.+)$", inspect.getdoc(kind).partition("Args:")[2], re.MULTILINE))
    parameters = inspect.signature(kind).parameters
    assert list(shown) == list(parameters)
    assert all(len(text) > 10 for text in shown.values())
    assert [p.name for p in parameters.values() if p.kind is not p.KEYWORD_ONLY] == ["hidden_sizes"]
    assert kind((3, 4)).hidden_sizes == (3, 4)
    # What a class does not say anew has the default and the text of the base.
    base = inspect.signature(StackClassifier).parameters
    for name in set(base) - set(inspect.get_annotations(kind)):
        assert parameters[name] == base[name]
        assert shown[name] in StackClassifier.__doc__


@pytest.mark.parametrize(
    ("doc", "merged"),
    [
        (None, None),
        ("One line.", "One line.\n\nArgs:\n    a: first\n        of two lines.\n    b: second.\n"),
        (
            """One line.

            Args:
                b: another.
                c: third.

            Raises:
                ValueError: if so.
            """,
            "One line.\n\nArgs:\n    a: first\n        of two lines.\n    b: another.\n    c: third.\n\n"
            "Raises:\n    ValueError: if so.\n",
        ),
    ],
)
def test_docstrings_are_merged(doc, merged):
    base = """Base.

    Args:
        a: first
            of two lines.
        b: second.

    Attributes:
        d: not this.
    """
    assert inherit_args(doc, base) == merged


@each
def test_options_may_be_enumerations(model):
    chosen = _fitted(model, class_weight=ClassWeight.BATCH)
    assert chosen.get_params()["class_weight"] is clone(chosen).class_weight is ClassWeight.BATCH
    np.testing.assert_array_equal(
        chosen.predict_members(moons()[2]), _fitted(model, class_weight="batch").predict_members(moons()[2])
    )


def _fitted(model, **parameters):
    return clone(model).set_params(random_state=0, **parameters).fit(*moons())


SEEDS = range(3)


def benchmark_rows(name, seed):
    """Rows to learn from and rows held out, in the scale that networks are made for."""
    if name == "few half-moons":
        data, learn = make_moons(1200, noise=0.125, random_state=seed), 200
    elif name == "half-moons":
        data, learn = make_moons(1500, noise=0.125, random_state=seed), 500
    else:
        data, learn = {"breast cancer": load_breast_cancer, "wine": load_wine}[name](return_X_y=True), 0.7
    X, X_test, y, y_test = train_test_split(*data, train_size=learn, random_state=seed, stratify=data[1])
    scaler = StandardScaler().fit(X)
    return scaler.transform(X), y, scaler.transform(X_test), y_test


@pytest.fixture(scope="module", params=["half-moons", "few half-moons", "breast cancer", "wine"])
def fitted_with_defaults(request):
    """Every class as it is without settings, and Bayes by backprop as it once was, for every seed: model, test rows, labels."""
    before = {"beta": 1.0, "prior_sigma2": 0.1, "anneal": False, "learning_rate": 0.001}
    fitted = {
        name: [make().set_params(random_state=seed) for seed in SEEDS]
        for name, make in {
            **{kind.__name__: kind for kind in DEFAULTS},
            "before": lambda: kl.BayesByBackprop(**before),
        }.items()
    }
    rows = [benchmark_rows(request.param, seed) for seed in SEEDS]
    kl.fit_together([(model, *rows[seed][:2]) for models in fitted.values() for seed, model in enumerate(models)])
    return {name: [(m, *r[2:]) for m, r in zip(models, rows, strict=True)] for name, models in fitted.items()}


def mean_accuracy(fitted):
    return np.mean([model.score(X, y) for model, X, y in fitted])


def test_defaults_learn(fitted_with_defaults):
    reference = mean_accuracy(fitted_with_defaults["NeuralNetwork"])
    assert reference > 0.95
    for kind in DEFAULTS:
        assert mean_accuracy(fitted_with_defaults[kind.__name__]) > reference - 0.03, kind.__name__
    # The majority class is what defaults once predicted, and what this test is to see.
    assert mean_accuracy(fitted_with_defaults["before"]) < reference - 0.2


@pytest.mark.parametrize("name", ["BayesByBackprop", "MCDropout", "Ensemble", "AnchoredEnsemble"])
def test_members_of_defaults_disagree_where_they_should(fitted_with_defaults, name):
    """Near the boundary and far away, and hardly in the middle of a class."""
    for score, near, far in (("mutual_information", 3e-3, 0.02), ("variance", 3e-4, 0.005)):
        middle, boundary, away = [], [], []
        for model, X, _ in fitted_with_defaults[name]:
            order = np.argsort(model.predict_proba(X).max(1))
            tenth = max(5, len(X) // 10)
            middle.append(model.uncertainty(X[order[-tenth:]], score).mean())
            boundary.append(model.uncertainty(X[order[:tenth]], score).mean())
            directions = np.random.default_rng(0).normal(size=(200, X.shape[1]))
            away.append(kl.far_field(model, np.zeros_like(directions), directions).score(score).mean())
        assert np.mean(boundary) > max(near, 10 * np.mean(middle)), score
        assert np.mean(away) > max(far, 10 * np.mean(middle)), score


@pytest.mark.parametrize("kind", DEFAULTS)
@pytest.mark.parametrize("y", [[0, 1], [0, 0, 1], [0, 1, 2], [0, 0, 0, 0, 0, 0, 1], [0, 0, 1, 1, 2, 2]], ids=str)
def test_defaults_fit_a_handful_of_rows(kind, y):
    X = 2 * np.eye(3)[y] - 1 + np.linspace(0, 0.1, len(y))[:, None]
    model = kind(random_state=0).fit(X, y)
    # A hundred steps are too few for a class of one row among others.
    if len(set(np.bincount(y).tolist())) == 1:
        assert model.predict(X).tolist() == y
    assert model.predict_proba(X).max() > 1 / len(set(y)) + 0.05


def moons(seed=0):
    X, y = make_moons(150, noise=0.125, random_state=seed)
    return X[:100], y[:100], X[100:], y[100:]


@each
def test_fitting_together_changes_nothing(model):
    others = [clone(m).set_params(random_state=9) for m in MODELS]
    tasks = [clone(model).set_params(random_state=s) for s in (1, 2)]
    kl.fit_together([(m, *moons(i)) for i, m in enumerate([*others, *tasks])])
    for i, m in enumerate(tasks, len(others)):
        alone = clone(m).fit(*moons(i))
        np.testing.assert_allclose(m.predict_members(moons()[2]), alone.predict_members(moons()[2]), rtol=1e-3, atol=1e-4)
        assert m.n_epochs_.tolist() == alone.n_epochs_.tolist()


@each
def test_multi_class_members_and_scores(model):
    X, y = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), clone(model).set_params(random_state=0)).fit(X, y)
    fitted = model[-1]
    members = fitted.predict_members(model[0].transform(X))
    assert members.shape == (fitted.stack_.members, 150, 3)
    np.testing.assert_allclose(members.mean(0), model.predict_proba(X))
    assert model.score(X, y) > 0.85
    information = fitted.uncertainty(model[0].transform(X), "mutual_information")
    assert information.shape == (150,)
    assert (information.max() > 0) == (fitted.stack_.members > 1)


@each
@pytest.mark.parametrize("labels", ["strings", "objects", "numbers"])
def test_save_and_load(model, labels, tmp_path):
    X, y, X_val, _ = moons()
    y = {"strings": np.array(["no", "yes"])[y], "objects": np.array(["no", "yes"], dtype=object)[y], "numbers": y + 3}[labels]
    model = clone(model).set_params(random_state=0, class_weight="balanced").fit(X, y)
    kl.save(model, tmp_path / "model.safetensors")
    loaded = kl.load(tmp_path / "model.safetensors")
    assert loaded.get_params() == model.get_params()
    assert all(torch.equal(a, b) for a, b in zip(loaded.stack_.parameters(), model.stack_.parameters(), strict=True))
    np.testing.assert_allclose(loaded.predict_members(X_val), model.predict_members(X_val), rtol=1e-12)
    np.testing.assert_array_equal(loaded.predict(X_val), model.predict(X_val))
    assert list(tmp_path.iterdir()) == [tmp_path / "model.safetensors"]


def test_files_that_are_not_ours(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    kl.save(clone(MODELS[0]).fit(*moons()), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        kl.load(path)
    joblib.dump({"a": 1}, path)
    with pytest.raises(ValueError, match="is a pickle, which runs code"):
        kl.load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="not written by knowlimits"):
        kl.load(path)
    save_file({"a": torch.zeros(1)}, path, metadata={"knowlimits": '{"version": 99}'})
    with pytest.raises(ValueError, match="install a newer"):
        kl.load(path)
    save_file({"a": torch.zeros(1)}, path, metadata={"knowlimits": '{"version": 1}'})
    with pytest.raises(ValueError, match="damaged header"):
        kl.load(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        kl.load(tmp_path / "missing")
    with pytest.raises(TypeError, match="must be a fitted classifier"):
        kl.save(kl.NeuralNetwork(), path)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_sizes": 25}, "hidden_sizes must be a sequence"),
        ({"hidden_sizes": (25, 0)}, "every width in hidden_sizes must be an integer of at least 1. Got 0 instead."),
        ({"learning_rate": 0}, r"learning_rate must be a number in \(0, inf\). Got 0 instead."),
        ({"learning_rate": float("nan")}, "learning_rate must be"),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\)"),
        ({"batch_size": 2.5}, "batch_size must be an integer"),
        ({"class_weight": "heavy"}, "class_weight must be one of 'batch', 'balanced', None or a dictionary"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises((ValueError, TypeError), match=message):
        kl.NeuralNetwork().set_params(**parameters).fit(*moons())


def test_bad_data():
    X, y, X_val, y_val = moons()
    model = clone(MODELS[0])
    with pytest.raises(ValueError, match="at least 2 classes"):
        model.fit(X, 0 * y)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.where(X > 1, np.nan, X), y)
    with pytest.raises(ValueError, match="given together"):
        model.fit(X, y, X_val)
    with pytest.raises(ValueError, match="must hold classes of y"):
        model.fit(X, y, X_val, y_val + 5)
    with pytest.raises(ValueError, match="one row each"):
        model.fit(X, y, X_val, y_val[1:])
    with pytest.raises(FloatingPointError, match="Lower learning_rate"):
        clone(model).set_params(learning_rate=1e30, epochs=3).fit(X * 1e20, y)


def test_platt_scaling_is_the_minimum():
    """The gradient of Platt's loss, in extended precision, is zero at what we return."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 80)
    logit = 3 * (y - 0.5) + rng.normal(size=80) * 2
    slope, intercept = platt_scale(logit, y, np.ones(80))
    n1 = int(y.sum())
    targets = [mpmath.mpf(n1 + 1) / (n1 + 2) if t else mpmath.mpf(1) / (80 - n1 + 2) for t in y]
    residuals = [1 / (1 + mpmath.exp(-(slope * f + intercept))) - t for f, t in zip(logit, targets, strict=True)]
    assert abs(sum(residuals)) / 80 < 1e-5
    assert abs(sum(r * f for r, f in zip(residuals, logit, strict=True))) / 80 < 1e-5


def test_temperature_undoes_a_known_scale():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20000, 3)) * 2
    gumbel = rng.gumbel(size=logits.shape)
    y = (logits + gumbel).argmax(1)  # drawn from softmax(logits)
    assert temperature(3 * logits, y, np.ones(len(y))) == pytest.approx(3, rel=0.05)


def test_temperature_stays_finite_where_the_rows_are_separable():
    """Platt's targets for K classes: for logits c on the own class of n rows each, exp(c / T) = n + 1."""
    y = np.repeat(np.arange(3), 10)
    assert temperature(5.0 * np.eye(3)[y], y, np.ones(30)) == pytest.approx(5 / np.log(11), rel=1e-6)


def test_scaling_is_folded_into_the_last_layer():
    X, y, X_val, y_val = moons()
    plain = kl.NeuralNetwork(**QUICK, random_state=0).fit(X, y, X_val, y_val)
    scaled = kl.PlattScaled(**QUICK, random_state=0).fit(X, y, X_val, y_val)
    with torch.no_grad():
        f, g = (m.stack_(torch.tensor(X_val))[0, :, 1].numpy() for m in (plain, scaled))
    slope, intercept = platt_scale(f, y_val, np.ones(len(y_val)))
    np.testing.assert_allclose(g, slope * f + intercept, rtol=1e-9, atol=1e-9)


def test_dropout_members_are_the_network_with_fixed_masks():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = kl.MCDropout((8,), dropout=0.5, members=4000, epochs=2, random_state=0).fit(X, y)
    with torch.no_grad():
        logits = model.stack_(torch.tensor(X[:3]))[:, :, 1]
    # One hidden layer: the mean over masks is the network without dropout, here from the columns that masks keep.
    weight = model.stack_.weights[1][:, 0].detach()
    kept = weight.abs().max(0).values / 2 * weight.sum(0).sign()
    hidden = (torch.tensor(X[:3]) @ model.stack_.weights[0][0].T + model.stack_.biases[0][0]).relu().detach()
    expected = hidden @ kept + model.stack_.biases[1][0].detach()
    error = logits.std(0) / np.sqrt(4000)
    assert bool(((logits.mean(0) - expected).abs() < 5 * error).all())


def test_bootstrap_trains_on_the_sample_alone():
    X, y, *_ = moons()
    plain, boot = (kl.Ensemble(members=2, bootstrap=b, epochs=3, random_state=0).fit(X, y) for b in (False, True))
    assert not np.allclose(plain.predict_members(X), boot.predict_members(X))


def test_random_state_as_scikit_learn_means_it():
    X, y, X_val, _ = moons()
    fit = lambda state: kl.Ensemble(members=2, epochs=3, random_state=state).fit(X, y).predict_proba(X_val)  # noqa: E731
    np.testing.assert_array_equal(fit(3), fit(3))
    state = np.random.RandomState(3)
    assert np.abs(fit(state) - fit(state)).max() > 0


def test_progress_bar_only_when_verbose(capsys):
    X, y, *_ = moons()
    kl.NeuralNetwork(epochs=2).fit(X, y)
    assert capsys.readouterr().err == ""
    kl.NeuralNetwork(epochs=2, verbose=True).fit(X, y)
    assert "training 1 networks" in capsys.readouterr().err


def test_public_names_resolve_and_are_documented():
    for name in kl.__all__:
        assert getattr(kl, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        kl.nothing  # noqa: B018
    assert importlib.import_module("knowlimits").__version__

"""Guards as files, read back: the far field that the file has is the one that was proven."""

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import knowlimits as kl

NAMES = np.array(["calm", "odd", "wild"])
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(90, 3)) * [1, 10, 0.1] + [0, 50, 3]
Y = NAMES[(X[:, 0] > 0).astype(int) + (X[:, 1] > 55)]

MODELS = {
    "network": lambda: make_pipeline(StandardScaler(), MLPClassifier((5,), solver="lbfgs", max_iter=2000, random_state=0)),
    "linear": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "forest": lambda: RandomForestClassifier(3, max_depth=3, random_state=0),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=3, max_depth=2, random_state=0),
}


def written(path, model, **settings):
    """A guard, and the model in its file."""
    guard = kl.Guard(model.fit(X, Y), random_state=0, **settings).fit(X)
    kl.export(guard, path)
    return guard, kl.load(path)


def rays_that_move(rows):
    """Each column up and down, and some directions between."""
    d = np.concatenate([np.eye(3), -np.eye(3), np.random.default_rng(1).normal(size=(4, 3)), [[1, 0, -1], [0, 1e-3, 0]]])
    return np.repeat(rows, len(d), axis=0), np.tile(d, (len(rows), 1))


@pytest.fixture(scope="module", params=MODELS)
def guarded(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("guard") / "guarded.onnx"
    return path, *written(path, MODELS[request.param]())


def test_the_file_is_read_as_the_guard(guarded):
    _, guard, model = guarded
    assert model.taken_ == "output 'probabilities' (3 columns)"
    assert list(model.classes_) == list(guard.classes_)
    assert model.outputs_ == "probabilities"
    np.testing.assert_allclose(model(torch.from_numpy(X)), guard.predict_proba(X), atol=1e-6)


def test_along_every_ray_that_moves_a_column_it_ends_at_uniform_probabilities(guarded):
    path, guard, model = guarded
    origins, directions = rays_that_move(X[:3])
    far = kl.far_field(model, origins, directions)
    assert (far.probs == 1 / 3).all()
    assert (far.probs.mean(0) == guard.far_field(origins, directions).probs).all()
    np.testing.assert_array_equal(far.rate, 0)
    # It comes to it by densities, which never end to fall, but in single precision.
    assert not (far.radius < 1e15).any()
    np.testing.assert_array_equal(far.settled, far.radius)
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    (found,) = session.run(["probabilities"], {"X": origins + 1e9 * directions})
    np.testing.assert_array_equal(found, np.float32(1 / 3))


def test_along_rays_that_stay_it_is_what_it_is(guarded):
    _, guard, model = guarded
    far = kl.far_field(model, X[:5], 0 * X[:5])
    np.testing.assert_allclose(far.probs[0], guard.predict_proba(X[:5]), atol=1e-6)
    assert not far.radius.any()


def test_the_audit_finds_what_was_proven(guarded):
    _, _, model = guarded
    kl.assert_far_field(model, X, max_confident_share=0.0)


@pytest.mark.parametrize("name", ["network", "forest"])
def test_ranges(name, tmp_path):
    guard, model = written(tmp_path / "guarded.onnx", MODELS[name](), ranges={0: (-3, 3), 1: (None, 90)})
    origins, directions = rays_that_move(X[:3])
    assert (kl.far_field(model, origins, directions).probs == 1 / 3).all()
    # Outside of a range nothing else is looked at, from there on.
    outside = np.array([[4.0, 50, 3]])
    assert (kl.far_field(model, outside, 0 * outside).probs == 1 / 3).all()
    np.testing.assert_allclose(kl.far_field(model, X[:5], 0 * X[:5]).probs[0], guard.predict_proba(X[:5]), atol=1e-6)
    if name == "network":
        # The audit's detectors look at the last layer of the model, and not at the product of the gate.
        audited = kl.audit(model, X[:40], Y[:40], random_state=0)
        assert not audited.features["sure"].any()


def test_gaps(tmp_path):
    rows = np.where(np.random.default_rng(2).random(X.shape) < 0.1, np.nan, X)
    guard = kl.Guard(make_pipeline(SimpleImputer(), MODELS["linear"]()).fit(rows, Y), random_state=0).fit(rows)
    kl.export(guard, tmp_path / "guarded.onnx")
    model = kl.load(tmp_path / "guarded.onnx")
    assert model.gaps_
    origins, directions = rays_that_move(rows[~np.isnan(rows).any(1)][:2])
    assert (kl.far_field(model, origins, directions).probs == 1 / 3).all()
    gap = rows[np.isnan(rows[:, 0])][:1]
    np.testing.assert_allclose(kl.far_field(model, gap, 0 * X[:1]).probs[0], guard.predict_proba(gap), atol=1e-6)
    assert (kl.far_field(model, gap, np.array([[0.0, 1, 0]])).probs == 1 / 3).all()


def test_many_components(tmp_path):
    rows = np.concatenate([X, X + np.array([20, 300, 2])])
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, np.concatenate([Y, Y]))
    guard = kl.Guard(model, components=(3,), random_state=0).fit(rows)
    kl.export(guard, tmp_path / "guarded.onnx")
    origins, directions = rays_that_move(rows[[0, -1]])
    assert (kl.far_field(kl.load(tmp_path / "guarded.onnx"), origins, directions).probs == 1 / 3).all()


def test_a_table_with_texts_is_refused_in_words(tmp_path):
    pd = pytest.importorskip("pandas")
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OneHotEncoder

    frame = pd.DataFrame({"age": X[:, 0], "town": np.where(X[:, 1] > 50, "Ulm", "Bonn")})
    steps = ColumnTransformer([("age", StandardScaler(), ["age"]), ("town", OneHotEncoder(handle_unknown="ignore"), ["town"])])
    guard = kl.Guard(make_pipeline(steps, LogisticRegression()).fit(frame, Y), random_state=0).fit(frame)
    kl.export(guard, tmp_path / "guarded.onnx", frame)
    with pytest.raises(ValueError, match="its inputs must be numbers: encode texts"):
        kl.load(tmp_path / "guarded.onnx")

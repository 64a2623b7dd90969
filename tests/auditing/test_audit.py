"""The audit: its numbers against closed forms and brute force, what it reads, what it refuses."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from torch import nn

import knowlimits as kl
from knowlimits.auditing.find import features, rays
from knowlimits.auditing.find.columns import Continuous, TableReader
from knowlimits.auditing.find.settling import LEVEL, settled
from knowlimits.auditing.show.labels import label
from knowlimits.auditing.show.sentences import verdict
from knowlimits.model.steps import Moves

pytestmark = pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")


def linear(weight, bias):
    net = nn.Linear(len(weight[0]), len(weight)).double()
    with torch.no_grad():
        net.weight.copy_(torch.tensor(weight, dtype=torch.float64))
        net.bias.copy_(torch.tensor(bias, dtype=torch.float64))
    return net


@pytest.fixture(scope="module")
def wine():
    return load_wine(return_X_y=True, as_frame=True)


@pytest.fixture(scope="module")
def pipeline(wine):
    return make_pipeline(StandardScaler(), MLPClassifier((20, 20), max_iter=80, random_state=0)).fit(*wine)


@pytest.fixture(scope="module")
def audited(pipeline, wine):
    return kl.audit(pipeline, *wine)


# --- the numbers ---------------------------------------------------------------------------------------------------------


def test_a_linear_classifier_in_closed_form():
    rng = np.random.default_rng(0)
    X = rng.normal([5, -300], [2, 70], size=(80, 2))
    weight, bias = [[0.0, 0.0], [1.5, -0.02]], [0.0, -13.0]
    table = kl.audit(linear(weight, bias), X, X_test=X, feature_names=["dose", "level"]).features
    logit = X @ weight[1] + bias[1]
    for name, slope, k in (("dose", 1.5, 0), ("level", -0.02, 1)):
        for towards in (-np.inf, np.inf):
            row = table.where(feature=name, towards=towards)
            winner = int(slope * towards > 0)
            assert row["sure"][0] == 1
            assert row["classes"][0] == f"{winner} (100%)"
            assert row["confidence"][0] == 1
            assert row["entropy"][0] == 0
            assert row["last_unit"][0] == 0
            # Confidence is 0.99 for good where the logit is log 99 on the winner's side.
            gap = np.log(99) - (logit if winner else -logit)
            distance = np.maximum(gap / abs(slope), 0)
            np.testing.assert_allclose(row["settled"][0], np.median(distance), rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose(
                row["settled_sd_95"][0], np.quantile(distance, 0.95) / X[:, k].std(), rtol=1e-3, atol=1e-3
            )


def last_exit(net, start, direction, limit, beyond):
    """the last place on a ray where the confidence is off its limit, each exact piece looked at closely."""
    pieces = kl.breakpoints(net, start, direction=direction)
    edges = np.r_[0.0, pieces.positions]
    ends = np.r_[pieces.positions, 2 * edges[-1] + beyond]
    for low, high in zip(edges[::-1], ends[::-1], strict=True):
        a = np.r_[low, low + np.geomspace(1e-6, high - low, 4000)]
        probs = net(torch.tensor(start + a[:, None] * direction)).softmax(-1).numpy()
        off = np.abs(probs.max(1) - limit) > LEVEL
        if off.any():
            return a[np.flatnonzero(off)[-1]], a[min(np.flatnonzero(off)[-1] + 1, len(a) - 1)]
    return 0.0, 0.0


@pytest.mark.parametrize("seed", range(6))
def test_where_the_confidence_settles_against_all_pieces_of_the_ray(seed):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).double().requires_grad_(False)
    with torch.no_grad():
        net[-1].weight.mul_(4)
    rng = np.random.default_rng(seed)
    starts, directions = rng.normal(size=(2, 40, 3))
    far = kl.far_field(net, starts, directions)
    found = settled(lambda x: net(torch.tensor(x)).softmax(-1).numpy()[None], far)
    right = 0
    for x, d, a, limit in zip(starts, directions, found, far.confidence(), strict=True):
        low, high = last_exit(net, x, d, limit, beyond=2 * a + 100)
        # It may miss an excursion, and then is too small, never too large.
        assert a <= high * (1 + 1e-3) + 1e-3
        right += low * (1 - 1e-3) - 1e-3 <= a
    assert right >= 39


def test_columns_against_limits_of_the_whole_pipeline(audited, pipeline, wine):
    X, _ = wine
    # Through another way: the pipeline's steps folded into the network, in the columns' own units.
    rows = X.to_numpy()[np.sort(np.random.default_rng(0).permutation(len(X))[len(X) // 4 :])]
    confidence = kl.far_field(pipeline, rows, "features").confidence().reshape(len(rows), -1, 2)
    sure = audited.features["sure"].reshape(-1, 2)
    np.testing.assert_allclose(sure, (confidence >= 0.99).mean(0))
    np.testing.assert_allclose(
        audited.features["confidence_5"].reshape(-1, 2), np.quantile(confidence, 0.05, axis=0), atol=1e-12
    )
    assert list(dict.fromkeys(audited.features["feature"])) == list(X.columns)


def test_the_last_unit_in_the_columns_own_units(audited, pipeline, wine):
    X, _ = wine
    rows = X.to_numpy()[np.sort(np.random.default_rng(0).permutation(len(X))[len(X) // 4 :])]
    radius = kl.far_field(pipeline, rows, "features").radius.max(0).reshape(len(rows), -1, 2)
    np.testing.assert_allclose(audited.features["last_unit"].reshape(-1, 2), np.median(radius, axis=0), rtol=1e-9)


def test_directions_of_the_plane_against_the_exact_share():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(400, 2))
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 3))
    X = (X - X.mean(0)) / X.std(0)
    row = kl.audit(net, X).directions.where(model="model")
    exact = kl.horizon(net).share(0.99)
    assert row["sure_low"][0] - 0.02 <= exact <= row["sure_high"][0] + 0.02
    assert row["sure_low"][0] < row["sure"][0] < row["sure_high"][0] or row["sure"][0] in (0, 1)


def test_the_steepest_direction_against_all_of_the_plane():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(200, 2))
    X = (X - X.mean(0)) / X.std(0)
    for seed in range(5):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))
        audited = kl.audit(net, X)
        label = audited._found.directions.rarest
        angles = np.linspace(0, 2 * np.pi, 5000)
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        far = kl.far_field(net, np.zeros((5000, 2)), directions)
        gap = far.rate[0, :, label] - np.delete(far.rate[0], label, axis=1).max(1)
        best = max(zip(far.probs[0, :, label], gap, strict=True))
        weights = dict(zip(audited.steepest["feature"], audited.steepest["change"], strict=True))
        found = np.array([[weights["x0"], weights["x1"]]])
        np.testing.assert_allclose(np.linalg.norm(found), 1)
        own = kl.far_field(net, np.zeros((1, 2)), found)
        reached = own.rate[0, 0, label] - np.delete(own.rate[0, 0], label).max()
        assert own.probs[0, 0, label] >= best[0] - 1e-9
        assert reached >= best[1] - 2e-3 * abs(best[1])


def test_scores_by_distance_are_those_of_the_detectors(wine):
    X = (wine[0].to_numpy() - wine[0].to_numpy().mean(0)) / wine[0].to_numpy().std(0)
    model = kl.NeuralNetwork(epochs=20, learning_rate=0.01, random_state=0).fit(X, wine[1])
    found = kl.audit(model, X, wine[1], X_test=X, y_test=wine[1])
    table = found.detection
    for name, detector in (("mahalanobis", kl.detectors.Mahalanobis()), ("energy", kl.detectors.Energy())):
        scores = detector.fit(model, X, wine[1].to_numpy()).score(X)
        assert table.where(score=name)["threshold"][0] == pytest.approx(kl.metrics.threshold(scores, 0.95))
        assert (scores <= table.where(score=name)["threshold"][0] + 1e-6).mean() >= 0.95
    infinite = table.where(radius_sd=np.inf)
    for name in ("input_mahalanobis", "guarded_entropy", "unfamiliarity", "local_outlier_factor", "raw_neighbours"):
        assert (infinite.where(score=name)["auroc"] > 0.99).all()
    assert (infinite.where(score="entropy")["auroc"] < 0.5).all()
    assert (table["auroc_low"] <= table["auroc"]).all()
    assert (table["auroc"] <= table["auroc_high"]).all()
    assert (table["refused_low"] <= table["refused"]).all()
    assert (table["kept_low"] <= table["kept"]).all()
    assert (table["kept"] <= table["kept_high"]).all()
    # The nearer infinity, the nearer its numbers.
    near, far = (table.where(score="entropy", way="one_column", radius_sd=r)["auroc"][0] for r in (1000, np.inf))
    assert near == pytest.approx(far, abs=0.02)


def test_what_is_said_of_unfamiliarity_is_what_the_guard_accepts(wine):
    X, y = wine[0].to_numpy(), wine[1].to_numpy()
    model = LogisticRegression(max_iter=5000).fit(X[::2], y[::2])
    found = kl.audit(model, X[::2], y[::2], X_test=X[1::2], y_test=y[1::2])
    guard = kl.Guard(model, random_state=0).fit(X[::2])
    rows = found.detection.where(score="unfamiliarity")
    assert set(rows["threshold"]) == {guard.threshold_}
    np.testing.assert_allclose(rows["kept"], guard.accepts(X[1::2]).mean())
    own, familiar = guard.unfamiliarity(X[1::2]), found.detection.where(score="entropy")
    np.testing.assert_allclose(rows["kept"], (own <= rows["threshold"][0]).mean())
    assert set(familiar["kept"]) == {np.ceil(0.95 * len(own)) / len(own)}
    end = found.detection.where(score="unfamiliarity", radius_sd=np.inf)
    assert (end["auroc"] == 1).all()
    assert (end["refused"] == 1).all()
    # All that is shown has it.
    low, high = rows["kept_low"][0], rows["kept_high"][0]
    said = f"The guard accepts {rows['kept'][0]:.1%} of the test rows (95% interval {low:.1%} to {high:.1%})"
    ten = found.detection.where(score="unfamiliarity", way="one_column", radius_sd=10.0)["refused"][0]
    said += f". Of rows of which one column moved by 10 standard deviations it refuses {ten:.0%}, and at infinity 100%."
    assert said in found.verdict
    assert "guard's unfamiliarity" in str(found)
    assert "unfamiliarity" in set(found.to_frame()["detection"]["score"])


def test_remedies_beside_the_model(audited, pipeline, wine):
    X, y = wine
    test = np.random.default_rng(0).permutation(len(X))[: len(X) // 4]
    plain, laplace, guard = (audited.remedies.where(model=name) for name in ("model", "laplace", "guard"))
    probs = pipeline.predict_proba(X.iloc[test])
    assert plain["log_loss"][0] == pytest.approx(log_loss(y.iloc[test], probs))
    assert plain["accuracy"][0] == guard["accuracy"][0] == (probs.argmax(1) == y.iloc[test]).mean()
    assert plain["sure_features"][0] == pytest.approx(audited.features["sure"].mean())
    assert guard["sure_features"][0] == guard["sure_directions"][0] == 0
    assert guard["confidence"][0] == pytest.approx(1 / 3)
    assert 1 / 3 < laplace["confidence"][0] < 1
    assert np.isfinite(guard["settled_sd"][0])
    assert np.isnan(laplace["settled_sd"][0])


def test_an_ensemble_has_all_scores_and_laplace_for_each_member(wine):
    X = (wine[0] - wine[0].mean()) / wine[0].std()
    model = kl.Ensemble(members=3, epochs=10, random_state=0).fit(X.to_numpy(), wine[1])
    found = kl.audit(model, X.to_numpy(), wine[1])
    assert {"mutual_information", "variance", "expected_entropy_95"} <= set(found.features.columns)
    assert len(found.remedies) == 3
    assert "3 members" in str(found)


def test_the_verdict_speaks_of_what_the_tables_say(audited):
    text = " ".join(audited.verdict)
    assert f"{audited.features['sure'].mean():.1%}" in text
    assert f"{audited.directions['sure'][0]:.1%}" in text
    soonest = audited.features["feature"][np.lexsort((audited.features["settled_sd_95"], -audited.features["sure"]))[0]]
    assert repr(str(soonest)) in text
    page = str(audited)
    assert page.startswith("MLPClassifier: 3 classes, 13 continuous columns")
    for name in ("guarded entropy", "last-layer Laplace", str(soonest)):
        assert name in page
    assert max(map(len, page.splitlines())) <= 140


@pytest.mark.parametrize(
    ("low", "auroc", "high", "said"),
    [
        (0.1, 0.2, 0.3, "calls such rows more familiar than the data"),
        (0.7, 0.8, 0.9, "finds such rows less familiar than the data"),
        (0.44, 0.49, 0.55, "does not tell such rows from the data"),
    ],
)
def test_the_verdict_on_a_score_goes_by_its_interval(audited, low, auroc, high, said):
    detection = audited._found.detection
    ends = {"auroc_low": low, "auroc": auroc, "auroc_high": high}
    changed = replace(detection, **{name: np.full_like(detection.auroc, value) for name, value in ends.items()})
    assert said in " ".join(verdict(replace(audited._found, detection=changed)))


def test_of_scores_that_are_alike_at_infinity_the_best_nearer_by_is_named(audited):
    detection = audited._found.detection
    auroc, refused = np.zeros_like(detection.auroc), np.zeros_like(detection.refused)
    auroc[2, 0, -1], refused[2, 0, -1] = 0.9, 1.0
    ends = {"auroc_low": auroc, "auroc": auroc, "auroc_high": auroc, "refused": refused}
    alone = replace(detection, **ends)
    assert alone.best == 2
    found = replace(audited._found, detection=alone)
    assert f"The best of the scores there: {label(detection.scores[2])}, 0.90, refusing 100%." in " ".join(verdict(found))
    # Another refuses as much there, and is better nearer by; a third refuses less.
    for place, near, share in ((1, 0.5, 1.0), (3, 1.0, 0.9)):
        auroc[place, 0], refused[place, 0, -1] = near, share
        auroc[place, 0, -1] = 0.9
    alike = replace(detection, **ends)
    assert alike.best == 1
    text = " ".join(verdict(replace(audited._found, detection=alike)))
    assert "The best there are 2 scores alike: 0.90, refusing 100%." in text
    assert f"on the mean over distances: {label(detection.scores[1])}, 0.50 at 10 standard deviations, refusing 0%." in text


def test_frames(audited):
    frames = audited.to_frame()
    assert list(frames) == ["ranges", "faults", "codes", "features", "directions", "steepest", "detection", "remedies"]
    assert len(frames["features"]) == len(audited.features) == 26
    assert list(frames["features"].columns) == list(audited.features.columns)


def test_a_seed_fixes_the_audit(pipeline, wine, audited):
    again = kl.audit(pipeline, *wine)
    other = kl.audit(pipeline, *wine, random_state=1)
    for name, column in audited.features.columns.items():
        np.testing.assert_array_equal(again.features[name], column)
    np.testing.assert_array_equal(again.detection["auroc"], audited.detection["auroc"])
    assert (other.detection["auroc"] != audited.detection["auroc"]).any()


# --- models and data -------------------------------------------------------------------------------------------------------


def test_digits_with_constant_columns():
    X, y = load_digits(return_X_y=True)
    model = make_pipeline(StandardScaler(), MLPClassifier((20,), max_iter=20, random_state=0)).fit(X, y)
    found = kl.audit(model, X, y, continuous="all", max_rows=300)
    assert found.left_out == {f"x{i}": "constant, 0" for i in (0, 32, 39)}
    assert len(found.features) == 2 * 61
    assert "300 of them" in found.notes[0]
    with pytest.raises(ValueError, match=r"continuous column.*x1: 9 whole numbers, taken for codes.*continuous="):
        kl.audit(model, X, y)


def test_breast_cancer_with_a_torch_module():
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    inputs, labels = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(net(inputs)[:, 0], labels).backward()
        optimizer.step()
    found = kl.audit(net, X, y)
    assert found.remedies["accuracy"][0] > 0.95
    assert found.features["sure"].mean() > 0.9
    assert next(net.parameters()).dtype == torch.float32


def test_a_large_table_is_sampled():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200_000, 100))
    y = (X[:, :3].sum(1) > 0).astype(int)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(100, 16), nn.ReLU(), nn.Linear(16, 2))
    found = kl.audit(net, X, y, max_rows=500)
    assert "200,000 rows were given; 500 of them" in found.notes[0]
    assert len(found.features) == 200


class Mixed:
    """A table with categories, and a pipeline that encodes them."""

    def __init__(self):
        pandas = pytest.importorskip("pandas")
        rng = np.random.default_rng(0)
        n = 400
        self.X = pandas.DataFrame(
            {
                "age": rng.normal(50, 12, n),
                "sex": rng.choice(["f", "m"], n),
                "income": rng.lognormal(10, 1, n),
                "grade": rng.choice(["a", "b", "c"], n),
                "visits": rng.integers(0, 5, n),
            }
        )
        signal = (self.X.age - 50) / 12 + (self.X.sex == "f") + rng.normal(0, 0.5, n)
        self.y = np.where(signal > 0.5, "ill", "well")
        steps = make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
            (OneHotEncoder(), ["sex"]),
            (OrdinalEncoder(), ["grade"]),
            ("passthrough", ["visits"]),
        )
        self.model = make_pipeline(steps, MLPClassifier((16,), max_iter=100, random_state=0)).fit(self.X, self.y)


@pytest.fixture(scope="module")
def mixed():
    return Mixed()


def test_categories_stay_as_they_are(mixed):
    found = kl.audit(mixed.model, mixed.X, mixed.y)
    assert found.left_out == {
        "sex": "goes through OneHotEncoder",
        "grade": "goes through OrdinalEncoder",
        "visits": "5 whole numbers, taken for codes",
    }
    assert set(found.features["feature"]) == {"age", "income"}
    coded = "Codes stand for the categories of 2 columns, also for detectors on inputs; the guard goes by which categories"
    assert coded in " ".join(found.notes)
    # The pipeline itself, far out.
    far = mixed.X.copy()
    far["age"] += 1e4 * mixed.X.age.std()
    probs = mixed.model.predict_proba(far)
    row = found.features.where(feature="age", towards=np.inf)
    assert row["confidence"][0] == pytest.approx(np.median(probs.max(1)), abs=1e-6)
    assert row["classes"][0].startswith(str(mixed.model.classes_[np.bincount(probs.argmax(1)).argmax()]))
    # A column that looks like codes can be asked for.
    assert set(kl.audit(mixed.model, mixed.X, mixed.y, continuous=["visits"]).features["feature"]) == {"visits"}


def test_what_steps_do_to_columns(mixed):
    model = kl.read(mixed.model, X=mixed.X)
    held = [column.moves is Moves.HELD for column in model.steps.columns]
    assert held == [False, True, False, True, False]
    moved = mixed.X.copy()
    moved["age"] += 3.0
    moved["income"] -= 100.0
    before, after = (mixed.model[:-1].transform(table) for table in (mixed.X, moved))
    change = np.zeros((len(mixed.X), 5))
    change[:, 0], change[:, 2] = 3, -100
    rows = model.points("X", mixed.X)
    starts, directions, _ = model.along(rows, torch.tensor(change))
    np.testing.assert_allclose(starts, before, atol=1e-10)
    np.testing.assert_allclose(directions, after - before, atol=1e-10)


@pytest.mark.parametrize(
    "steps",
    [
        [SelectKBest(k=3)],
        [MinMaxScaler(), PCA(3)],
        [
            make_column_transformer(
                (KBinsDiscretizer(2, encode="ordinal", quantile_method="averaged_inverted_cdf"), [1]),
                remainder=StandardScaler(),
            )
        ],
        [StandardScaler(), KBinsDiscretizer(2, encode="ordinal", quantile_method="averaged_inverted_cdf")],
        [make_column_transformer((MinMaxScaler(clip=True), [0]), ("drop", [2]), remainder="passthrough"), PCA(2)],
    ],
    ids=lambda steps: "-".join(type(s).__name__ for s in steps),
)
def test_columns_of_an_audit_move_as_the_steps_have_it(steps):
    X, y = np.random.default_rng(0).normal(size=(60, 5)), np.arange(60) % 2
    model = make_pipeline(*steps, MLPClassifier((4,), max_iter=5)).fit(X, y)
    read = kl.read(model, X=X)
    columns = TableReader(read, X).continuous(X, read)
    assert len(columns.names) + len(columns.left_out) == 5
    lines = [place for place, column in enumerate(read.steps.columns) if column.moves is Moves.AFFINE]
    assert [columns.names[k] for k in np.flatnonzero(columns.straight)] == [f"x{place}" for place in lines]
    change = np.random.default_rng(1).normal(size=len(lines)) @ columns.steps[columns.straight]
    before, after = model[:-1].transform(X), model[:-1].transform(X + change)
    _, directions, between = read.along(torch.tensor(X), torch.tensor(np.tile(change, (60, 1))))
    if between is not None:
        np.testing.assert_allclose(after - before, directions, atol=1e-9)
    # Far out along each column the model is where the audit says it ends.
    found = kl.audit(model, X, y, X_test=X)
    for row in found.features.rows():
        far = X.copy()
        far[:, int(row["feature"][1:])] += np.sign(row["towards"]) * 1e9
        assert row["confidence"] == pytest.approx(np.median(model.predict_proba(far).max(1)), abs=1e-6)


def test_labels_may_be_text_in_any_order(wine):
    X = wine[0].to_numpy()
    names = np.array(["zinfandel", "merlot", "syrah"])[wine[1]]
    model = make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=300, random_state=0)).fit(X, names)
    found = kl.audit(model, X, names)
    assert found.remedies["accuracy"][0] > 0.8
    assert "merlot" in "".join(found.features["classes"])
    # A module knows no names: they are the sorted labels of the data.
    assert list(kl.audit(kl.NeuralNetwork(epochs=2).fit(X, names).stack_, X, names)._found.classes) == sorted(set(names))


def test_without_labels(wine, pipeline):
    found = kl.audit(pipeline, wine[0])
    assert np.isnan(found.remedies["log_loss"]).all()
    assert any("No labels were given" in note for note in found.notes)


def test_smooth_models_have_limits_too(wine):
    X = (wine[0].to_numpy() - wine[0].to_numpy().mean(0)) / wine[0].to_numpy().std(0)
    torch.manual_seed(0)
    found = kl.audit(nn.Sequential(nn.Linear(13, 12), nn.Tanh(), nn.Linear(12, 3)), X, wine[1])
    assert np.isnan(found.features["last_unit_sd"]).all()
    assert (found.features["confidence"] < 0.99).all()
    assert np.isfinite(found.features["settled_sd"]).all()


# --- the assertion for other people's tests --------------------------------------------------------------------------------


def test_assert_far_field(pipeline, wine):
    X, y = wine
    with pytest.raises(AssertionError, match=r"more than 20% of the rows along \d+ of 26 ways: '\w+.*' to [+-]inf \(\d+%\)"):
        kl.assert_far_field(pipeline, X)
    kl.assert_far_field(pipeline, X, max_confident_share=1)
    plain = make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=20, random_state=0)).fit(X.to_numpy(), y)
    guard = kl.Guard(plain, random_state=0).fit(X.to_numpy())
    kl.assert_far_field(guard, X.to_numpy(), max_confident_share=0)
    laplace = kl.LastLayerLaplace(kl.NeuralNetwork(epochs=5, random_state=0).fit(X.to_numpy(), y)).fit(X.to_numpy(), y)
    kl.assert_far_field(laplace, X.to_numpy(), confidence=1.0)
    with pytest.raises(ValueError, match="max_confident_share must be in 0 to 1"):
        kl.assert_far_field(pipeline, X, max_confident_share=2)
    with pytest.raises(ValueError, match="confidence must be above 0"):
        kl.assert_far_field(pipeline, X, confidence=0)


def test_assert_far_field_names_the_one_column_that_breaks_it():
    X = np.random.default_rng(0).normal(size=(50, 3))
    with pytest.raises(AssertionError, match=r"along 2 of 6 ways: 'salt' to -inf \(100%\), 'salt' to \+inf \(100%\)\. "):
        kl.assert_far_field(linear([[0, 0, 0], [0, 2, 0]], [0, 0]), X, feature_names=["fat", "salt", "sugar"])


# --- what is refused -----------------------------------------------------------------------------------------------------


NET = linear([[0, 0, 0], [1, 2, 3]], [0, 0])
GOOD = np.random.default_rng(0).normal(size=(40, 3))


def changed(place, value):
    X = GOOD.copy()
    X[place] = value
    return X


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": GOOD[0]}, r"X must be a table.*Got shape \(3,\)"),
        ({"X": changed((4, 1), np.nan)}, r"X, column 'x1', must be finite. Got nothing in row 4, 1 such in all"),
        ({"X": changed((4, 1), -np.inf)}, r"X, column 'x1', must be finite. Got -inf in row 4"),
        ({"X": np.array([["a", 1, 2]] * 20, dtype=object)}, r"column 'x0', must be numbers. Got 'a'"),
        ({"X": GOOD[:, :2]}, r"model must take rows of shape \(2,\)"),
        ({"X": GOOD[:5]}, r"X must have 16 rows at least"),
        ({"X": np.ones((30, 3))}, r"continuous column. Got none \(x0: constant, 1"),
        ({"X": GOOD > 0}, r"two values, 0 and 1"),
        ({"y": np.zeros(40, dtype=int)}, r"y must have two classes at least. Got 0 only"),
        ({"y": np.arange(40) % 3}, r"y must have labels of \[0, 1\]. Got 2 instead"),
        ({"y": np.zeros(39)}, r"y must have a label for each of 40 rows. Got shape \(39,\)"),
        ({"y_test": np.arange(40) % 2, "X_test": GOOD}, "y must be given where y_test is"),
        ({"X_test": GOOD[:, :2]}, r"X_test must have the 3 columns of X. Got 2"),
        ({"X_test": changed((0, 0), np.nan)}, r"X_test, column 'x0', must be finite"),
        ({"X_test": GOOD[:0]}, r"X_test must have a row at least"),
        ({"feature_names": ["a", "b"]}, r"feature_names must name the 3 columns of X. Got 2"),
        ({"feature_names": ["a", "b", "a"]}, r"feature_names must differ. Got 'a' more than once"),
        ({"continuous": "some"}, r"continuous must be 'all', or a list"),
        ({"continuous": ["weight"]}, r"continuous must name columns of X.*Got 'weight'"),
        ({"continuous": [3]}, r"continuous must name columns of X.*Got 3"),
        ({"continuous": [True]}, r"continuous must name columns of X.*Got True"),
        ({"max_rows": 3}, r"max_rows must be at least 16"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        kl.audit(NET, **{"X": GOOD, **arguments})


def test_a_hint_names_what_helps_and_nothing_else():
    """`continuous=` does not move columns that steps hold; it does move what was taken for codes."""
    X, y = GOOD, np.arange(40) % 2
    model = make_pipeline(FunctionTransformer(np.sin), MLPClassifier((4,), max_iter=5, random_state=0)).fit(X, y)
    for continuous in (None, "all"):
        with pytest.raises(ValueError, match=r"goes through FunctionTransformer.*pass the last step of the Pipeline") as caught:
            kl.audit(model, X, y, continuous=continuous)
        assert "continuous=" not in str(caught.value)
    assert len(kl.audit(model[-1], model[:-1].transform(X), y).features) == 6
    with pytest.raises(ValueError, match="constant") as caught:
        kl.audit(NET, np.ones((30, 3)))
    assert "continuous=" not in str(caught.value)
    codes = np.random.default_rng(0).integers(0, 5, size=(40, 3))
    with pytest.raises(ValueError, match="pass continuous="):
        kl.audit(NET, codes)
    assert len(kl.audit(NET, codes, continuous="all").features) == 6


def test_columns_are_held_to_the_models(wine, pipeline):
    X, y = wine
    with pytest.raises(ValueError, match=r"in the model's order. Got 'malic_acid' where the model has 'alcohol'"):
        kl.audit(pipeline, X[["malic_acid", "alcohol", *X.columns[2:]]], y)
    with pytest.raises(ValueError, match=r"X must have the model's columns. Missing are alcohol"):
        kl.audit(pipeline, X.rename(columns={"alcohol": "spirit"}), y)
    with pytest.raises(ValueError, match=r"X must have 13 columns, which the model was made for. Got 12"):
        kl.audit(pipeline, X.iloc[:, 1:], y)
    with pytest.raises(
        ValueError, match=r"X_test must have the columns of X, in their order. Got 'proline' where X has 'alcohol'"
    ):
        kl.audit(pipeline, X, y, X_test=X[X.columns[::-1]])
    assert TableReader(kl.read(pipeline), X.to_numpy()).names == list(X.columns)


def test_models_that_cannot_be_followed():
    with pytest.raises(TypeError, match="model must be"):
        kl.audit(object(), GOOD)

    class Sine(nn.Module):
        def forward(self, x):
            return torch.sin(x)

    with pytest.raises(kl.UnsupportedOperation, match="sin"):
        kl.audit(nn.Sequential(nn.Linear(3, 3), Sine(), nn.Linear(3, 2)), GOOD)


def test_a_last_layer_that_laplace_cannot_take():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            return 2 * self.layer(x)

    torch.manual_seed(0)
    found = kl.audit(Scaled(), GOOD)
    assert list(found.remedies["model"]) == ["model", "guard"]
    assert "No last-layer Laplace: model must end in a linear layer" in found.notes[-1]


# --- wide tables ---------------------------------------------------------------------------------------------------------


def assert_same(found, expected):
    for name, column in expected.columns.items():
        if column.dtype.kind == "f":
            np.testing.assert_allclose(found[name], column, rtol=1e-9, atol=1e-12, err_msg=name)
        else:
            assert found[name].tolist() == column.tolist()


def test_rays_in_blocks_change_no_number(monkeypatch, wine, pipeline):
    """Blocks of 35 rays, of 117, and all of them at once."""
    found = []
    for numbers in (2**30, 13 * 35, 13 * 117):
        monkeypatch.setattr(rays, "_NUMBERS", numbers)
        found.append(kl.audit(pipeline, *wine, max_rows=20))
    whole, *parts = found
    for part in parts:
        for name in ("features", "directions", "steepest", "detection", "remedies"):
            assert_same(getattr(part, name), getattr(whole, name))
        for name, curve in whole._found.features.curves.confidence.items():
            np.testing.assert_allclose(part._found.features.curves.confidence[name], curve, rtol=1e-9)


def test_blocks_are_the_rays_in_their_order(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(7, 4))
    rows[2, 1] = rows[5, 0] = np.nan
    steps, medians = np.diag([1.0, 2.0, 0.5, 3.0])[[0, 1, 3]], np.array([0.1, 0.2, 0.4])
    columns = Continuous(("a", "b", "d"), (0, 1, 3), steps, steps.max(1), medians, -medians, medians, (Moves.AFFINE,) * 3, {})
    assert not np.isnan(rays.rays(rows, columns)[0]).any(1).reshape(7, 3, 2)[2, 1].any()
    assert np.isnan(rays.rays(rows, columns)[0]).any(1).sum() == 8
    for numbers in (1, 4, 20, 37, 10**6):
        monkeypatch.setattr(rays, "_NUMBERS", numbers)
        parts = list(rays.blocks(rows, columns))
        assert all(origins.size <= max(numbers, 4) for origins, _ in parts)
        for found, expected in zip(zip(*parts, strict=True), rays.rays(rows, columns), strict=True):
            np.testing.assert_array_equal(np.concatenate(found), expected)


def test_curves_of_the_columns_that_come_first(monkeypatch, audited, pipeline, wine):
    monkeypatch.setattr(features, "CURVES", 4)
    some = kl.audit(pipeline, *wine)
    whole, part = (one._found.features.curves for one in (audited, some))
    assert part.columns == whole.columns[:4]
    for name, curve in whole.confidence.items():
        np.testing.assert_array_equal(part.confidence[name], curve[:4])
        np.testing.assert_array_equal(part.ends[name], whole.ends[name][:4])
    assert "for the 4 columns of 13 that come first" in some.notes[1]
    assert "come first" not in audited.notes[1]
    assert_same(some.features, audited.features)


def test_wide_tables_have_fewer_rows_and_say_so():
    assert [features._curve_rows(count) for count in (1, 13, 100, 121, 250, 1000)] == [20, 20, 20, 20, 9, 9]
    X = np.random.default_rng(0).normal(size=(120, 300))
    torch.manual_seed(0)
    audited = kl.audit(nn.Linear(300, 2), X, max_rows=60)
    assert audited._found.features.rows == (60, 33, 33, 9)
    assert "over 60 rows for the model and 33 for its remedies" in audited.notes[1]
    assert "over 33 rows, found between" in audited.notes[1]
    assert "curves are over 9 rows, for the 250 columns of 300 that come first" in audited.notes[1]


WIDE = """
import resource, sys
import numpy as np
import torch
import knowlimits as kl
rng = np.random.default_rng(0)
X = rng.normal(size=(200, 240))
y = (X[:, 0] > 0).astype(int)
kl.audit(torch.nn.Linear(8, 2), X[:40, :8], y[:40])  # all that is imported when first needed
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
kl.audit(torch.nn.Sequential(torch.nn.Linear(240, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)), X, y)
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_of_a_wide_audit():
    """Rays take columns squared: 1.2 GB of numbers at 240 columns, if all were there at once."""
    found = subprocess.run([sys.executable, "-c", WIDE], capture_output=True, text=True, check=True)
    before, peak = (int(n) / 2**20 for n in found.stdout.split())
    # macOS counts bytes, not kilobytes.
    assert (peak - before) / (1024 if sys.platform == "darwin" else 1) < 0.6


@pytest.mark.parametrize("form", ["{}", "{}.0"])
def test_text_that_says_numbers_is_in_the_order_of_numbers(form):
    from knowlimits.auditing.find.subject import _classes, _read_labels

    y = np.array([form.format(k) for k in range(11)])
    assert _classes(None, _read_labels(None, y), 11).tolist() == list(range(11))
    # Where two labels say one number, or the model has text, they stay as they are.
    for model, labels in ((None, np.array(["1", "1.0"])), (None, np.array(["1", "b"])), (Labelled, y)):
        assert _read_labels(model, labels) is labels


class Labelled:
    classes_ = np.array(["0", "1"])


def test_numbers_that_cannot_be_taken():
    X = np.random.default_rng(0).normal(size=(40, 2))
    model = kl.NeuralNetwork((2,), epochs=1, random_state=0).fit(X, X[:, 0] > 0)
    for change, message in ((1e300, "column 'x0', must have numbers of at most"), (1j, "must be real numbers")):
        with pytest.raises(ValueError, match=message):
            kl.audit(model, X * change)
    with pytest.raises(ValueError, match="random_state must not be negative"):
        kl.audit(model, X, random_state=-1)


def test_units_that_training_has_left_far_out_are_not_the_last_change():
    """The report reads as that of the network without them, and says why."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    net = kl.NeuralNetwork(hidden_sizes=(12,), epochs=5, random_state=0).fit(X, (X[:, 0] > 0).astype(int))
    with torch.no_grad():
        weights, biases = [w.double() for w in net.stack_.weights], [b.double() for b in net.stack_.biases]
        weights[0][:, 2] *= 1e-15
        left = kl.Stack(weights, biases)
        rest = [unit for unit in range(12) if unit != 2]
        constant = weights[1][:, :, 2] * biases[0][:, 2].clamp_min(0)[:, None]
        without = kl.Stack([weights[0][:, rest], weights[1][:, :, rest]], [biases[0][:, rest], biases[1] + constant])
    radius = kl.far_field(left, X, "features").radius
    found, expected = kl.audit(left, X), kl.audit(without, X)
    assert np.median(radius) > 1e12
    for name in ("last_unit_sd", "last_unit_sd_95", "settled_sd"):
        np.testing.assert_allclose(found.features[name], expected.features[name], rtol=1e-3)
    assert any("up to rounding" in note for note in found.notes)
    assert not any("up to rounding" in note for note in expected.notes)

"""Audits of classifiers that are no networks: what only networks have is left out, columns say where they end."""

import re

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import knowlimits as kl
from knowlimits.model.families.family import Ends, Family, Tail
from knowlimits.model.network import Network

pytestmark = pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")

CANCER = load_breast_cancer()
X, Y, NAMES = CANCER.data, CANCER.target, list(CANCER.feature_names)


def forest(count=20, **more):
    return RandomForestClassifier(count, random_state=0, **more)


def page(found, tmp_path):
    """The report as text and as HTML, in one line each, without tags."""
    found.to_html(tmp_path / "report.html")
    text = re.sub(r"<[^>]+>", "", (tmp_path / "report.html").read_text().split("<script")[0])
    return " ".join(str(found).split()), " ".join(text.replace("&#39;", "'").split())


def last_thresholds(trees, columns, scale=1.0, shift=0.0):
    """The smallest and the largest threshold of each column, ``(columns, 2)``, of the fitted trees; infinite without any."""
    ends = np.tile([np.inf, -np.inf], (columns, 1))
    for tree in trees:
        inner = tree.tree_.children_left >= 0
        for column, threshold in zip(tree.tree_.feature[inner], tree.tree_.threshold[inner], strict=True):
            ends[column] = min(ends[column, 0], threshold), max(ends[column, 1], threshold)
    return ends * np.reshape(scale, (-1, 1)) + np.reshape(shift, (-1, 1))


@pytest.mark.parametrize(
    "model", [forest(60), ExtraTreesClassifier(30, random_state=1), DecisionTreeClassifier(random_state=0)], ids=type
)
@pytest.mark.parametrize("scaled", [False, True])
def test_a_column_of_trees_stops_to_matter_at_its_last_threshold(model, scaled):
    scaler = StandardScaler()
    model = (make_pipeline(scaler, model) if scaled else model).fit(X, Y)
    trees = getattr(model[-1] if scaled else model, "estimators_", [model[-1] if scaled else model])
    expected = last_thresholds(trees, 30, scaler.scale_ if scaled else 1, scaler.mean_ if scaled else 0)
    found = kl.audit(model, X, Y, feature_names=NAMES)
    # Thresholds are compared in single precision.
    np.testing.assert_allclose(found.features["last_value"].reshape(30, 2), expected, rtol=1e-6)
    np.testing.assert_array_equal(found.to_frame()["features"]["last_value"], found.features["last_value"])


def test_beyond_it_nothing_changes_and_before_it_something_does():
    model = forest(30).fit(X, Y)
    values = kl.audit(model, X, Y).features["last_value"].reshape(30, 2)
    for column in range(30):
        for value, way in zip(values[column], (-1, 1), strict=True):
            rows = X.copy()

            def at(value, rows=rows, column=column):
                rows[:, column] = value
                return model.predict_proba(rows)

            beyond = at(value + way * 1e-5 * abs(value))
            np.testing.assert_array_equal(beyond, at(way * 1e30))
            assert (beyond != at(value - way * 1e-5 * abs(value))).any()


def test_a_tree_that_is_a_leaf_never_changes(tmp_path):
    model = DecisionTreeClassifier(min_samples_split=1000).fit(X, Y)
    found = kl.audit(model, X, Y)
    np.testing.assert_array_equal(found.features["last_value"].reshape(30, 2), np.tile([np.inf, -np.inf], (30, 1)))
    assert (found.features["last_unit"] == 0).all()
    text, report = page(found, tmp_path)
    for shown in (text, report):
        assert " any " in shown
        assert not re.search(r"\bnan\b|= -?inf", shown)


def test_where_a_clip_ends_a_column_it_stops_to_matter():
    """Also of networks, whose columns go on for ever otherwise."""
    model = make_pipeline(MinMaxScaler(clip=True), MLPClassifier((8,), max_iter=100, random_state=0)).fit(X, Y)
    found = kl.audit(model, X, Y)
    ends = np.stack([X.min(0), X.max(0)], axis=1)
    np.testing.assert_allclose(found.features["last_value"].reshape(30, 2), ends, rtol=1e-9)
    plain = make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=100, random_state=0)).fit(X, Y)
    assert np.isnan(kl.audit(plain, X, Y).features["last_value"]).all()


NETWORKS_ONLY = ("submodule", "torch.nn", "softmax", "sigmoid", "must return", "must be given", "Got ")


@pytest.mark.parametrize(
    ("model", "made_of"),
    [
        (forest(), "20 trees"),
        (make_pipeline(StandardScaler(), forest()), "20 trees"),
        (CalibratedClassifierCV(forest(5), cv=2), "2 times 5 trees"),
        (VotingClassifier([("a", forest(7)), ("b", MLPClassifier((4,), max_iter=30))], voting="soft"), "7 trees and a network"),
    ],
    ids=["alone", "behind a step", "calibrated", "in a vote"],
)
def test_what_only_networks_have_is_left_out_with_one_note(model, made_of, tmp_path):
    found = kl.audit(model.fit(X, Y), X, Y, feature_names=NAMES)
    text, report = page(found, tmp_path)
    notes = [note for note in found.notes if made_of in note]
    assert len(notes) == 1
    assert "left out is last-layer Laplace, and scores of these (energy, max logit, mahalanobis," in notes[0]
    for shown in (text, report):
        assert notes[0] in shown
        assert not [word for word in NETWORKS_ONLY if word in shown]
    assert list(found.remedies["model"]) == ["model", "guard"]
    assert {"max_prob", "entropy", "input_mahalanobis", "guarded_entropy", "unfamiliarity"} <= set(found.detection["score"])
    assert {"energy", "mahalanobis", "vim"}.isdisjoint(found.detection["score"])
    assert found._found.disc is not None


def test_the_verdict_says_where_a_column_ends_and_how_many_directions_were_tried():
    model = forest(100).fit(X, Y)
    found = kl.audit(model, X, Y, feature_names=NAMES)
    first = found.features.take(found._found.features.order[:1]).rows()[0]
    sentence = f" Beyond {first['feature']} = {first['last_value']:.5g} nothing changes any more."
    assert sum(sentence in one for one in found.verdict) == 1
    tried = r"it is surest(, of| in \d+ of) 2,060 directions, towards"
    assert sum(bool(re.search(tried, one)) for one in found.verdict) == 1
    # The limit that is said of it, by the forest itself.
    steepest = dict(zip(found.steepest["feature"], found.steepest["change"], strict=True))
    far = np.median(X, axis=0) + 1e9 * np.array([steepest[name] for name in NAMES]) * X.std(0)
    rarest = found._found.directions.rarest
    assert model.predict_proba(far[None])[0, rarest] == pytest.approx(found._found.directions.confidence, abs=0.2)


class Fading(Family):
    """Tends to a constant like 1 / (1 + a), and is never there."""

    described = "a fading bump"

    def at(self, x):
        p = 0.6 + 0.3 / (1 + np.abs(x).sum(1))
        return np.stack([p, 1 - p], axis=1)

    def along(self, x, d):
        still = ~d.any(1)
        far = np.where(still[:, None], self.at(x), [0.6, 0.4])
        return Ends(far, radius=np.where(still, 0.0, np.nan), tail=Tail.SLOW)


def test_limits_that_are_only_approached_have_no_last_change(tmp_path):
    rows = np.random.default_rng(0).normal(size=(200, 3))
    network = Network(Fading(), returns=Fading.returns)
    model = kl.Model("Fading", (network,), classes_=np.array([0, 1]), n_features_in_=3)
    assert "  outputs   probabilities, of a fading bump\n" in str(model)
    found = kl.audit(model, rows, (rows[:, 0] > 0).astype(int))
    assert np.isnan(found.features["last_unit"]).all()
    assert np.isnan(found.features["last_value"]).all()
    np.testing.assert_allclose(found.features["confidence"], 0.6)
    text, report = page(found, tmp_path)
    for shown in (text, report):
        assert "A dash for the last change: that limit is only approached, ever more closely." in shown
        assert not re.search(r"\bnan\b", shown)
        assert "nothing changes any more" not in shown


def test_where_all_directions_are_alike_none_is_named(tmp_path):
    rows = np.random.default_rng(0).normal(size=(200, 3))
    network = Network(Fading(), returns=Fading.returns)
    model = kl.Model("Fading", (network,), classes_=np.array([0, 1]), n_features_in_=3)
    found = kl.audit(model, rows, (rows[:, 0] > 0).astype(int))
    shown = page(found, tmp_path)
    for text in shown:
        assert "it is as sure in all of 2,006 directions: the probability tends to 0." in text
        assert "irection in which it is surest" not in text


def test_directions_that_are_alike_are_counted():
    model = DecisionTreeClassifier(random_state=0).fit(X, Y)
    found = kl.audit(model, X, Y)
    counts = [re.search(r"it is surest in ([\d,]+) of 2,060 directions, towards .*, say: there", one) for one in found.verdict]
    (count,) = [int(one[1].replace(",", "")) for one in counts if one]
    # A tree ends in a leaf of one class: for the rarest one about as often as that is drawn, from the median row.
    rng = np.random.default_rng(0)
    drawn = np.concatenate([np.eye(30), -np.eye(30), rng.normal(size=(4000, 30))])
    far = np.median(X, axis=0) + 1e9 * drawn * X.std(0)
    share = (model.predict(far) == found._found.directions.rarest).mean()
    assert count / 2060 == pytest.approx(share, abs=0.05)

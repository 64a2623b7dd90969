"""Faults put before whole models: every number of the table against rows that are broken by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from torch import nn

import knowlimits as kl
from knowlimits.auditing.find import asked as asking
from knowlimits.auditing.find import trials
from knowlimits.auditing.show.faults import notes, text, verdict

pytestmark = pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")

RNG = np.random.default_rng(0)
COUNT, TESTED = 160, 24
CLASSES = np.array(["ill", "well"])
FAULTS = kl.faults


def table(gaps=False, wards=False):
    """two measurements, one of which goes below 0, another one, and maybe a ward; a quarter of one has gaps."""
    rng = np.random.default_rng(1)
    data = {"age": rng.normal(50, 12, COUNT).round(1), "dose": rng.exponential(2, COUNT), "delta": rng.normal(0, 1, COUNT)}
    score = data["age"] / 12 + data["dose"] + 2 * data["delta"] + rng.normal(0, 0.3, COUNT)
    if wards:
        data["ward"] = rng.choice(["icu", "er", "home"], COUNT)
        score = score + 2 * (data["ward"] == "icu")
    X, y = pd.DataFrame(data), CLASSES[(score > np.median(score)).astype(int)]
    if gaps:
        X.loc[rng.random(COUNT) < 0.25, "dose"] = np.nan
    return X, y


def network():
    return MLPClassifier((12,), max_iter=300, learning_rate_init=0.02, random_state=0)


# --- by hand -------------------------------------------------------------------------------------------------------------


def changed(X, **columns):
    """the same with other columns."""
    return X.assign(**{name: values(X[name]) if callable(values) else values for name, values in columns.items()})


def by_hand(X):
    """tables as faults leave them, by columns and words."""
    found = {}
    for name in ("age", "dose", "delta"):
        found |= {
            (name, "times 10"): changed(X, **{name: lambda v: v * 10}),
            (name, "times 1,000"): changed(X, **{name: lambda v: v * 1000}),
            (name, "-999"): changed(X, **{name: -999.0}),
            (name, "sign flipped"): changed(X, **{name: lambda v: -v}),
            (name, "missing"): changed(X, **{name: np.nan}),
            (name, "0"): changed(X, **{name: 0.0}),
        }
    found["age and dose", "swapped"] = changed(X, age=X["dose"], dose=X["age"])
    if "ward" in X:
        found["ward", "a category never seen"] = changed(X, ward="never heard of")
    return found


GIVEN = [
    FAULTS.Unit(10),
    FAULTS.Unit(1000),
    FAULTS.Sentinel(-999),
    FAULTS.Sign(),
    FAULTS.Gap(columns=["age", "dose", "delta"]),
    FAULTS.ZeroFill(),
    FAULTS.Swap(columns=["age", "dose"]),
]
# Directions of the faults that grow without bound, by words.
RAYS = {"times 10": np.sign, "times 1,000": np.sign, "-999": lambda v: -np.ones_like(v)}

DETECTORS = {
    "energy": lambda: kl.detectors.Energy(),
    "max_logit": lambda: kl.detectors.MaxLogit(),
    "mahalanobis": lambda: kl.detectors.Mahalanobis(),
    "relative_mahalanobis": lambda: kl.detectors.RelativeMahalanobis(),
    "mixture": lambda: kl.detectors.GaussianMixture(),
    "neighbours": lambda: kl.detectors.NearestNeighbours(),
    "raw_neighbours": lambda: kl.detectors.NearestNeighbours(normalized=False),
    "vim": lambda: kl.detectors.ViM(),
}
ON_INPUTS = {
    "input_mahalanobis": "mahalanobis",
    "input_neighbours": "neighbours",
    "input_mixture": "mixture",
    "isolation_forest": "isolation_forest",
    "local_outlier_factor": "local_outlier_factor",
}


class Numbers:
    """a table as numbers, for detectors on inputs: categories by their places in order, values in the middle for gaps."""

    def __init__(self, X):
        self.wards = sorted(X["ward"].unique()) if "ward" in X else []
        self.middles = self._codes(X).quantile(0.5, interpolation="nearest")

    def _codes(self, X):
        places = {ward: float(place) for place, ward in enumerate(self.wards)}
        wards = {"ward": [places.get(ward, float(len(places))) for ward in X["ward"]]} if self.wards else {}
        return X.assign(**wards)

    def __call__(self, X):
        return self._codes(X).fillna(self.middles).to_numpy(dtype=float)


def entropy(p):
    p = np.asarray(p)
    return -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(-1)


class Scores:
    """every score of a model, by public names, each a function of a table."""

    def __init__(self, model, X, y, found):
        numbers, self.of, ours = Numbers(X), {}, hasattr(model, "stack_")
        self.taken = (lambda T: T.to_numpy()) if ours else (lambda T: T)
        # Detectors take no categories that were never seen: these go by what the steps make of them.
        steps, last = (model[:-1].transform, model[-1]) if hasattr(model, "steps") else (self.taken, model)
        for name in {*found} & {*kl.scores.SCORES}:
            members = (lambda T: model.predict_members(self.taken(T))) if ours else (lambda T: model.predict_proba(T)[None])
            self.of[name] = lambda T, name=name, members=members: kl.scores.SCORES[name](members(T))
        for name in {*found} & {*DETECTORS}:
            detector = DETECTORS[name]().fit(last, steps(X), y)
            self.of[name] = lambda T, detector=detector: detector.score(steps(T))
        for name in {*found} & {*ON_INPUTS}:
            detector = kl.detectors.InputDetector(ON_INPUTS[name], random_state=0).fit(None, numbers(X), y)
            self.of[name] = lambda T, detector=detector: detector.score(numbers(T))
        guard = kl.Guard(model, random_state=0).fit(self.taken(X))
        self.of["unfamiliarity"] = lambda T: guard.unfamiliarity(self.taken(T))
        self.of["guarded_entropy"] = lambda T: entropy(guard.predict_proba(self.taken(T)))
        if "laplace_entropy" in found:
            parts = kl.read(last, X=steps(X)).one_by_one(pad=False)
            laplace = [kl.LastLayerLaplace(part).fit(steps(X), y) for part in parts]
            self.of["laplace_entropy"] = lambda T: entropy(np.mean([one.predict_proba(steps(T)) for one in laplace], 0))
        assert {*self.of} == {*found}


def answers(model, X, taken):
    """probabilities and predictions, nan and None where the model raises an error, row by row if it raises one at all."""
    try:
        return model.predict_proba(taken(X)), model.predict(taken(X))
    except ValueError:
        if len(X) == 1:
            return np.full((1, len(model.classes_)), np.nan), np.array([None])
        parts = [answers(model, X[k : k + 1], taken) for k in range(len(X))]
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def check(found, model, X, y, T, far=1e12):
    """hold a table of faults to rows that are broken by hand."""
    thresholds = dict(zip(found.detection["score"], found.detection["threshold"], strict=True))
    scores = Scores(model, X, y, thresholds)
    before = answers(model, T, scores.taken)[1]
    assert {(row["feature"], row["fault"]) for row in found.faults.rows()} == {*by_hand(T)}
    for row in found.faults.rows():
        key = row["feature"], row["fault"]
        broken = by_hand(T)[key]
        probs, classes = answers(model, broken, scores.taken)
        says = np.isfinite(probs).all(1)
        assert row["error"] == (~says).mean(), key

        def share(of, says=says):
            return of[says].mean() if says.any() else np.nan

        np.testing.assert_equal(row["sure"], share(probs.max(1) >= 0.99), err_msg=key)
        np.testing.assert_equal(row["changed"], share(classes != before), err_msg=key)
        for score, threshold in thresholds.items():
            if score == "unfamiliarity":
                refused = (scores.of[score](broken) > threshold).mean()
            else:
                refused = (scores.of[score](broken[says]) > threshold).mean() if says.any() else np.nan
            np.testing.assert_equal(row[f"refused, {score}"], refused, err_msg=f"{key} {score}")
        limit = np.nan
        if row["fault"] in RAYS:
            way = RAYS[row["fault"]](T[row["feature"]].to_numpy())
            gone = changed(T, **{row["feature"]: np.where(np.isnan(way), np.nan, far * way)})
            limit = (model.predict_proba(scores.taken(gone)).max(1) >= 0.99).mean()
        np.testing.assert_equal(row["limit"], limit, err_msg=key)


def sentences(found):
    """what the verdict says of faults."""
    said = verdict(found._found.faults)
    assert all(sentence in found.verdict for sentence in said)
    return said


def audited(model, X, y, T, faults=None):
    return kl.audit(model, X, y, X_test=T, faults=faults)


# --- every number --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain():
    X, y = table()
    model = make_pipeline(StandardScaler(), network()).fit(X, y)
    return model, X, y, X[:TESTED], audited(model, X, y, X[:TESTED], GIVEN)


def test_a_network_behind_a_scaler(plain):
    model, X, y, T, found = plain
    check(found, model, X, y, T)
    # It says something, and of gaps nothing.
    assert (found.faults["sure"] > 0).any()
    assert (found.faults["error"] == 1).sum() == 3


def test_columns_that_are_swapped_are_seen(plain):
    model, X, y, T, found = plain
    columns = dict(found.faults.columns)
    columns["sure"], columns["changed"] = columns["changed"], columns["sure"]
    swapped = type("Found", (), {"faults": type(found.faults)(columns), "detection": found.detection})
    with pytest.raises(AssertionError):
        check(swapped, model, X, y, T)


def test_a_pipeline_that_fills_gaps_and_encodes():
    X, y = table(gaps=True, wards=True)
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encoded = (OneHotEncoder(handle_unknown="ignore"), ["ward"])
    model = make_pipeline(make_column_transformer(encoded, (numbers, ["age", "dose", "delta"])), network()).fit(X, y)
    found = audited(model, X, y, X[:TESTED], [*GIVEN, FAULTS.UnseenCategory()])
    check(found, model, X, y, X[:TESTED])
    assert (found.faults["error"] == 0).all()


def test_a_forest_with_gaps():
    X, y = table(gaps=True)
    model = RandomForestClassifier(12, max_depth=4, random_state=0).fit(X, y)
    found = audited(model, X, y, X[:TESTED], GIVEN)
    check(found, model, X, y, X[:TESTED])
    assert (found.faults["error"] == 0).all()


def test_an_ensemble():
    X, y = table()
    X = X / X.std()
    model = kl.Ensemble(members=3, hidden_sizes=(10,), epochs=30, random_state=0).fit(X.to_numpy(), y)
    found = kl.audit(model, X.to_numpy(), y, X.columns, X_test=X[:TESTED].to_numpy(), y_test=y[:TESTED], faults=GIVEN)
    check(found, model, X, y, X[:TESTED])
    assert "refused, mutual_information" in found.faults.columns


def test_a_prediction_that_is_not_the_likeliest_class():
    X, y = table()
    inner = make_pipeline(StandardScaler(), network()).fit(X, y)
    model = FixedThresholdClassifier(inner, threshold=0.9, pos_label="well", response_method="predict_proba").fit(X, y)
    T = X[:TESTED]
    found = audited(model, X, y, T, FAULTS.Drift(1.0)).faults
    different = 0
    for row in found.rows():
        broken = changed(T, **{row["feature"]: lambda v, name=row["feature"]: v + X[name].std(ddof=0)})
        assert row["changed"] == (model.predict(broken) != model.predict(T)).mean()
        likeliest = (model.predict_proba(broken).argmax(1) != model.predict_proba(T).argmax(1)).mean()
        different += row["changed"] != likeliest
    assert different


def test_what_blocks_there_are_changes_nothing(plain, monkeypatch):
    model, X, y, T, found = plain
    monkeypatch.setattr(trials, "_PARTS", 2**22 // 100)
    again = audited(model, X, y, T, GIVEN).faults
    for name, values in found.faults.columns.items():
        np.testing.assert_array_equal(again[name], values)


# --- errors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unknown", ["error", "ignore"])
def test_a_category_that_an_encoder_refuses(unknown):
    X, y = table(wards=True)
    encoded = make_column_transformer((OneHotEncoder(handle_unknown=unknown), ["ward"]), remainder=StandardScaler())
    model = make_pipeline(encoded, network()).fit(X, y)
    found = audited(model, X, y, X[:TESTED], FAULTS.UnseenCategory())
    (row,) = found.faults.rows()
    assert row["error"] == (unknown == "error")
    assert row["refused, unfamiliarity"] == 1
    assert np.isnan(row["sure"]) == (unknown == "error")
    if unknown == "error":
        assert np.isnan([row[name] for name in row if name.startswith("refused") and "unfamiliarity" not in name]).all()
        assert "unknown categories" in " ".join(notes(found._found.faults))
        # What is refused before the model does no harm.
        assert found._found.faults.worst == ()


class NotBelow(TransformerMixin, BaseEstimator):
    """raises an error where a number is below -1."""

    def fit(self, X, y=None):
        self.n_features_in_ = np.shape(X)[1]
        return self

    def transform(self, X):
        if (np.asarray(X) < -1).any():
            raise RuntimeError("below the range of the sensor\nby a lot")
        return np.asarray(X)


@pytest.mark.parametrize("calls", [asking._CALLS, 1])
def test_errors_on_some_of_the_rows(calls, monkeypatch):
    monkeypatch.setattr(asking, "_CALLS", calls)
    X, y = table()
    X = X[["age", "dose"]].assign(dose=lambda v: v["dose"] / 2)
    model = make_pipeline(make_column_transformer((NotBelow(), ["dose"]), remainder=StandardScaler()), network()).fit(X, y)
    T = X[:TESTED]
    found = audited(model, X, y, T, FAULTS.Sign(columns="dose"))
    (row,) = found.faults.rows()
    asked = T if calls > 1 else T.iloc[[0, 12, 23]]
    assert found._found.faults.single == len(asked)
    fine = asked[asked["dose"] <= 1]
    assert 0 < len(fine) < len(asked)
    assert row["error"] == (asked["dose"] > 1).mean()
    broken = changed(fine, dose=lambda v: -v)
    assert row["sure"] == (model.predict_proba(broken).max(1) >= 0.99).mean()
    assert row["changed"] == (model.predict(broken) != model.predict(fine)).mean()
    guard = kl.Guard(model, random_state=0).fit(X)
    assert row["refused, unfamiliarity"] == (~guard.accepts(changed(T, dose=lambda v: -v))).mean()
    assert "'below the range of the sensor'" in " ".join(notes(found._found.faults))


def test_a_module_that_gives_no_numbers_has_said_nothing():
    X, y = table()
    net = nn.Sequential(nn.Linear(3, 2)).double()
    found = kl.audit(net, X.to_numpy(), (y == "well").astype(int), X_test=X[:TESTED].to_numpy(), faults=FAULTS.Gap())
    assert (found.faults["error"] == 1).all()
    assert np.isnan(found.faults["sure"]).all()
    assert "no numbers" in " ".join(notes(found._found.faults))


class SureFarAway(LogisticRegression):
    """says of large numbers something else than it has learnt."""

    def predict_proba(self, X):
        probs = super().predict_proba(X)
        probs[(np.abs(np.asarray(X)) > 5000).any(1)] = [1.0, 0.0]
        return probs

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(1)]


def test_a_model_that_says_something_else_than_was_read_of_it_is_told_by_itself():
    X, y = table()
    model = SureFarAway(max_iter=1000).fit(X, y)
    T = X[:TESTED]
    found = audited(model, X, y, T, FAULTS.Unit(1000, columns=["age", "delta"]))
    age, delta = found.faults.rows()
    broken = changed(T, age=lambda v: v * 1000)
    assert age["sure"] == 1
    assert age["changed"] == (model.predict(T) != "ill").mean()
    assert np.isnan(age["refused, entropy"])
    assert age["refused, unfamiliarity"] == (~kl.Guard(model, random_state=0).fit(X).accepts(broken)).mean()
    assert delta["refused, entropy"] >= 0
    assert found._found.faults.unread == (0,)
    assert "age, times 1,000" in " ".join(notes(found._found.faults))
    assert "its entropy" not in sentences(found)[1]


class ByIndex(LogisticRegression):
    """goes by what no number of a table says."""

    def predict(self, X):
        found = super().predict(X)
        return found[::-1] if getattr(X, "index", pd.RangeIndex(1)).max() >= 1000 else found


def test_a_model_that_goes_by_more_than_numbers_is_asked_as_it_was_read():
    X, y = table()
    model = ByIndex(max_iter=1000).fit(X, y)
    T = X[:TESTED].set_index(np.arange(1000, 1000 + TESTED))
    found = audited(model, X, y, T, FAULTS.Unit(10, columns="age"))
    assert not found._found.faults.itself
    assert "the model was asked as it was read" in " ".join(notes(found._found.faults))
    sure = model.predict_proba(changed(T, age=lambda v: v * 10)).max(1) >= 0.99
    assert found.faults["sure"][0] == sure.mean()


@pytest.mark.parametrize("kind", ["list", "read"])
def test_what_has_no_methods_of_its_own_is_asked_as_it_was_read(plain, kind):
    model, X, y, T, found = plain
    again = audited([model], X, y, T, GIVEN) if kind == "list" else kl.audit(kl.read(model, X=X), X, y, X_test=T, faults=GIVEN)
    for name, values in found.faults.columns.items():
        np.testing.assert_array_equal(again.faults[name], values, err_msg=name)


def test_numbers_that_overflow():
    X, y = table()
    model = make_pipeline(StandardScaler(), network()).fit(X, y)
    T = X[:TESTED]
    found = audited(model, X, y, T, FAULTS.Unit(1e308))
    for row in found.faults.rows():
        with np.errstate(all="ignore"):
            broken = changed(T, **{row["feature"]: T[row["feature"]] * 1e308})
            probs, _ = answers(model, broken, lambda table: table)
        assert row["error"] == np.isnan(probs).any(1).mean()
        assert row["refused, unfamiliarity"] == 1
    assert found.faults["error"][0] == 1
    assert (found.faults["error"][1:] < 1).all()
    assert found._found.faults.unread == (1, 2)


# --- what the verdict says -----------------------------------------------------------------------------------------------


class Beyond(nn.Module):
    """unsure at once, and sure of another class beyond 1,000."""

    def forward(self, x):
        dose = x[:, 0]
        return torch.stack([torch.zeros_like(dose), (dose - 1000).relu() - 0.2], 1)


def test_a_network_that_is_sure_beyond_a_thousand_is_named():
    X = np.random.default_rng(2).uniform([3, 3], [9, 9], size=(100, 2))
    found = kl.audit(Beyond(), X, feature_names=["dose", "age"])
    said = "If 'dose' arrives a thousand times too large, the model is sure on 100% of rows and changes its class on 100%"
    assert sentences(found)[1].startswith(said)
    assert sentences(found)[1].endswith("its entropy refuses 0%, the guard 100%.")
    (row,) = found.faults.where(feature="dose", fault="times 100").rows()
    assert (row["sure"], row["changed"]) == (0, 0)
    assert not any("'age'" in sentence for sentence in sentences(found) if sentence.startswith("If"))


def test_a_tree_that_flips_at_a_sentinel_is_named():
    rng = np.random.default_rng(3)
    age, dose = rng.normal(50, 9, 200), rng.exponential(2, 200)
    X, y = np.stack([age, dose], 1), (age > 50).astype(int)
    # What was missing was always ill.
    learnt, labels = np.concatenate([X, [[60, -999]] * 50]), np.concatenate([y, np.zeros(50, dtype=int)])
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(learnt, labels)
    found = kl.audit(model, X, y, ["age", "dose"], faults=[FAULTS.Sentinel(), FAULTS.Drift(0.1)])
    (row,) = found.faults.where(feature="dose", fault="-999").rows()
    assert row["changed"] > 0.3
    (named,) = [sentence for sentence in sentences(found) if sentence.startswith("If 'dose'")]
    said = f"If 'dose' is -999, the model is sure on 100% of rows and changes its class on {row['changed']:.0%}; its entropy"
    assert named.startswith(f"{said} refuses 0%")


def test_a_pipeline_whose_imputer_hides_a_gap_is_named():
    rng = np.random.default_rng(4)
    X = pd.DataFrame({"lactate": rng.normal(2, 0.3, 200), "age": rng.normal(50, 9, 200)})
    y = (X["lactate"] > 2).astype(int)
    model = make_pipeline(SimpleImputer(strategy="constant", fill_value=9.0), StandardScaler(), LogisticRegression(C=1e4)).fit(
        X, y
    )
    found = kl.audit(model, X, y, faults=FAULTS.Gap())
    assert sentences(found)[1].startswith(
        "If 'lactate' is missing, the model is sure on 100% of rows and changes its class on "
    )
    assert sentences(found)[1].endswith("its entropy refuses 0%, the guard 100%.")
    (row,) = found.faults.where(feature="lactate").rows()
    assert (row["error"], row["sure"], row["refused, entropy"], row["refused, unfamiliarity"]) == (0, 1, 0, 1)


def test_a_median_in_the_place_of_a_gap_is_not_seen_by_the_entropy():
    rng = np.random.default_rng(4)
    X = pd.DataFrame({"lactate": rng.normal(2, 0.3, 200), "age": rng.normal(50, 9, 200)})
    y = (X["age"] > 50).astype(int)
    model = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(C=1e4)).fit(X, y)
    found = audited(model, X, y, X[:TESTED], FAULTS.Gap(columns="lactate"))
    (row,) = found.faults.rows()
    plain = model.predict_proba(X[:TESTED].assign(lactate=X["lactate"].median())).max(1) >= 0.99
    assert row["sure"] == plain.mean() > 0.8
    assert row["error"] == 0
    assert row["refused, entropy"] <= 0.1
    assert row["refused, unfamiliarity"] == 1
    assert sentences(found)[1].startswith(f"If 'lactate' is missing, the model is sure on {plain.mean():.0%} of rows")


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_boosted_trees_are_asked_themselves(library):
    X, y = table(gaps=True)
    module = pytest.importorskip(library)
    made = module.XGBClassifier(n_estimators=10) if library == "xgboost" else module.LGBMClassifier(n_estimators=10, verbose=-1)
    model, T = made.fit(X, (y == "ill").astype(int)), X[:TESTED]
    found = audited(model, X, (y == "ill").astype(int), T, GIVEN)
    assert found._found.faults.itself
    assert found._found.faults.unread == ()
    for row in found.faults.rows():
        broken = by_hand(T)[row["feature"], row["fault"]]
        assert row["sure"] == (model.predict_proba(broken).max(1) >= 0.99 - 1e-9).mean()
        assert row["changed"] == (model.predict(broken) != model.predict(T)).mean()


def test_of_each_column_one_fault_is_named(plain):
    found = plain[-1]
    worst = found._found.faults.worst
    names = [name for k in worst for name in found.faults["feature"][k].split(" and ")]
    assert len(worst) > 1
    assert len(set(names)) == len(names)


def test_the_order_is_that_of_harm_that_nobody_sees(plain):
    model, _, _, T, found = plain
    thresholds = dict(zip(found.detection["score"], found.detection["threshold"], strict=True))
    keys = []
    for row in found.faults.take(found._found.faults.order).rows():
        if row["error"] == 1:
            keys.append((0, 0, 0))
            continue
        broken = by_hand(T)[row["feature"], row["fault"]]
        probs = model.predict_proba(broken)
        unseen, sure = entropy(probs) <= thresholds["entropy"], probs.max(1) >= 0.99
        other = model.predict(broken) != model.predict(T)
        keys.append(((unseen & sure & other).mean(), (unseen & other).mean(), (unseen & sure).mean()))
    assert keys == sorted(keys, reverse=True)
    assert keys[0][0] > 0


def test_the_first_sentence_counts(plain):
    found = plain[-1].faults
    sentence = sentences(plain[-1])[0]
    assert sentence.startswith(f"Of {len(found)} faults tried on 3 columns")
    assert f"half of the rows or more under {(found['sure'] >= 0.5).sum()} " in sentence
    assert (
        f"a tenth of the rows or more under {(found['changed'] >= 0.1).sum()}; it raises an error on all under 3." in sentence
    )
    refused = [(found[f"refused, {score}"] >= 0.5).sum() for score in ("entropy", "unfamiliarity")]
    assert sentence.endswith(f"half of the rows or more under {refused[0]}, the guard under {refused[1]}.")


def test_the_page_has_a_table(plain):
    lines = text(plain[-1]._found.faults)
    assert lines[1] == "Faults in the data, the most dangerous first (12 of 19)"
    assert len(lines) == 16
    assert all(line in str(plain[-1]) for line in lines)


# --- what is asked for ---------------------------------------------------------------------------------------------------


def test_none_are_tried_if_none_are_asked_for(plain):
    model, X, y, T, _ = plain
    found = audited(model, X, y, T, ())
    assert len(found.faults) == 0
    assert "refused, entropy" in found.faults.columns
    assert not any("fault" in sentence for sentence in (*found.verdict, *found.notes))
    assert "Faults in the data" not in str(found)


def test_a_fault_of_ones_own(plain):
    model, X, y, T, _ = plain
    (*rows,) = audited(model, X, y, T, {"in months": lambda age: age * 12}).faults.rows()
    assert [row["feature"] for row in rows] == ["age", "dose", "delta"]
    assert rows[0]["sure"] == (model.predict_proba(changed(T, age=lambda v: v * 12)).max(1) >= 0.99).mean()


def test_the_same_seed_gives_the_same_table():
    X, y = table()
    model = make_pipeline(StandardScaler(), network()).fit(X, y)
    first, again = (kl.audit(model, X, y, random_state=3).faults for _ in range(2))
    for name, values in first.columns.items():
        np.testing.assert_array_equal(again[name], values)

"""What a guard costs and refuses, in numbers, against the same counted by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

import knowlimits as kl
from knowlimits.auditing.find.cost import cost, places_of
from knowlimits.auditing.show.cost import page

RNG = np.random.default_rng(0)


class ByWard(ClassifierMixin, BaseEstimator):
    """A classifier that nobody can follow: whatever has `predict_proba`."""

    def __init__(self):
        self.classes_ = np.array(["no", "yes"])

    def predict_proba(self, X):
        p = np.where(X["ward"] == "a", 0.9, 0.2)
        return np.stack([1 - p, p], axis=1)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(1)]


def table(n):
    return pd.DataFrame({"ward": RNG.choice(["a", "b"], n), "age": RNG.normal(50, 10, n), "site": np.full(n, 7.0)})


def measured(guard, X, X_test, places=None, **options):
    return cost(guard, X, X_test, places, name="a.file", held_out=True, seed=0, step=lambda _: None, **options)


def test_a_classifier_that_nobody_can_follow():
    X, X_test = table(300), table(100)
    y = np.where(RNG.random(100) < 0.5, "yes", "no")
    X_test.loc[0, "ward"] = "c"
    model = ByWard()
    guard = kl.Guard(model, random_state=0).fit(X)
    found = measured(guard, X, X_test, places_of(model, None, X, y))
    # A row with a category that was never seen is refused, and its loss is not compared.
    known = X_test.iloc[1:]
    assert found.before == pytest.approx(log_loss(y[1:], model.predict_proba(known)))
    assert found.after == pytest.approx(log_loss(y[1:], guard.predict_proba(known)))
    assert found.kept.value == guard.accepts(X_test).mean()
    assert found.kept.low < found.kept.value < found.kept.high
    # A column that never changes has no half-range.
    assert (found.moved, found.categories, found.gaps, found.ranges) == (("age",), {"ward": 2}, (), {})
    assert np.isnan(found.sure)
    text = " ".join(page(found, ["a file"], "check it").split())
    assert f"Where the model ends without it could not be told: {' '.join(found.unknown.split())}." in text
    assert "The guard of a.file (ByWard): 2 classes, 3 columns" in text


def test_ways_that_end_sure_and_where_the_guard_settles():
    X = RNG.normal(size=(400, 3)) * [1, 10, 100]
    y = (X[:, 0] > 0).astype(int)
    model = LogisticRegression(max_iter=1000).fit(X, y)
    guard = kl.Guard(model, random_state=0).fit(X[:300])
    found = measured(guard, X[:300], X[300:], y[300:])
    sure = (kl.far_field(model, X[:300], "features").confidence() >= 0.99).mean()
    assert found.sure == pytest.approx(sure)
    half = np.diag(X[:300].max(0) - X[:300].min(0)) / 2
    starts, ways = np.repeat(X[300:350], 6, axis=0), np.tile(np.concatenate([-half, half]), (50, 1))
    radii = guard.settled(starts, ways, 0.01)
    assert (found.settled, found.settled_95) == pytest.approx((np.median(radii), np.quantile(radii, 0.95)))
    beyond = guard.predict_proba(starts + radii[:, None] * ways * 1.001)
    assert np.abs(beyond - 0.5).max() < 0.01


def test_a_table_of_categories_alone():
    X = pd.DataFrame({"ward": RNG.choice(["a", "b"], 200)})
    found = measured(kl.Guard(ByWard(), random_state=0).fit(X), X, X)
    assert (found.moved, found.refused.shape) == ((), (0,))
    assert np.isnan([found.settled, found.settled_95, found.before]).all()
    text = page(found, ["a file"], "check it")
    assert "half-ranges" not in text
    assert "nan" not in text


def test_labels_of_a_model_without_names_for_them():
    X = RNG.normal(size=(40, 2))
    model = kl.read([LogisticRegression().fit(X, np.arange(40) % 3)])
    assert places_of(model, None, X, np.array(["2", "0", "1"])).tolist() == [2, 0, 1]
    with pytest.raises(ValueError, match=r"y must have labels of .* Got 'x' instead"):
        places_of(LogisticRegression().fit(X, np.array(["a", "b"])[np.arange(40) % 2]), None, X, np.array(["a", "x"]))

"""What panels of several models share is what each would learn alone, of the same rows and of no others."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from knowlimits.ood import familiar
from knowlimits.ood.familiar import Familiar, Shared
from knowlimits.ood.panel import Panel

X, Y = load_iris(return_X_y=True)
GAPS = np.where(np.random.default_rng(0).random(X.shape) < 0.05, np.nan, X)
STARTS, DIRECTIONS = X[:40] + 0.1, np.random.default_rng(1).normal(size=(40, 4))


def fit(model, shared=None, X=X, Y=Y, categories=()):
    return Panel().fit(model, X, Y, categories=categories, shared=shared)


def test_numbers_are_those_that_a_panel_alone_has():
    models = [LogisticRegression(max_iter=500).fit(X, Y), GaussianNB().fit(X, Y)]
    shared = Shared()
    panels = [fit(model, shared) for model in models]
    for model, panel in zip(models, panels, strict=True):
        alone = fit(model)
        # Twice, the second time as it is remembered.
        for _ in range(2):
            for name, values in panel.at(STARTS).items():
                np.testing.assert_array_equal(values, alone.at(STARTS)[name], err_msg=name)
            for name, growth in panel.along(STARTS, DIRECTIONS).items():
                np.testing.assert_array_equal(growth.limit, alone.along(STARTS, DIRECTIONS)[name].limit, err_msg=name)
        for name, values in panel.probabilities(STARTS).items():
            np.testing.assert_array_equal(values, alone.probabilities(STARTS)[name], err_msg=name)
        assert panel.thresholds == alone.thresholds
    assert panels[0].guard.ratio_.centre is not None
    assert panels[0]._familiar is panels[1]._familiar


def test_of_other_rows_labels_or_categories_nothing_is_taken(monkeypatch):
    from knowlimits.ood.remedies import guard

    learnt, ratio = [], guard.fitted
    monkeypatch.setattr(guard, "fitted", lambda *given: learnt.append(1) or ratio(*given))
    shared, model = Shared(), GaussianNB().fit(X, Y)
    first = fit(model, shared)
    assert fit(model, shared, X=X.copy())._familiar is first._familiar
    assert len(learnt) == 1
    assert fit(model, shared, Y=1 - (Y == 1))._familiar is not first._familiar
    # The density does not hang on labels.
    assert len(learnt) == 1
    assert fit(model, shared, X=X + 1e-9)._familiar is not first._familiar
    assert len(learnt) == 2
    coded = X.copy()
    coded[:, 3] = Y
    fit(model, shared, X=coded, categories=())
    fit(model, shared, X=coded, categories=(3,))
    assert len(learnt) == 4
    # The weight of the density hangs on how many classes there are.
    two = GaussianNB().fit(X, Y == 1)
    own, other = fit(two, shared).guard, fit(two).guard
    assert len(learnt) == 6
    assert own.shift_ == other.shift_ != first.guard.shift_


def test_gaps_are_seen_as_medians_and_rows_with_gaps_are_the_same_rows():
    one = Familiar(GAPS, Y)
    assert one.is_of(GAPS.copy(), Y)
    assert not one.is_of(X, Y)
    middle = np.array([np.quantile(values[~np.isnan(values)], 0.5, method="nearest") for values in GAPS.T])
    filled = np.where(np.isnan(GAPS), middle, GAPS)
    for name, values in one.at(GAPS).items():
        np.testing.assert_array_equal(values, Familiar(filled, Y).at(filled)[name])


def test_what_is_remembered_is_asked_once_and_has_bounds(monkeypatch):
    asked = []

    def counting(one):
        inputs = one._inputs
        found = inputs.at
        monkeypatch.setattr(inputs, "at", lambda X: asked.append(len(X)) or found(X), raising=False)
        return one

    forgetful = counting(Familiar(X, Y))
    first, again = forgetful.at(STARTS), forgetful.at(STARTS)
    assert asked == [40, 40]
    asked.clear()
    one = counting(Familiar(X, Y, remember=True))
    kept = one.at(STARTS)
    kept["input_mahalanobis"] = None  # the caller's own
    assert asked == [40]
    for name, values in one.at(STARTS.copy()).items():
        np.testing.assert_array_equal(values, first[name])
        np.testing.assert_array_equal(values, again[name])
    assert asked == [40]
    # Points of another shape with the same bytes are others.
    with pytest.raises(ValueError, match="4"):
        one.at(STARTS.reshape(20, 8))
    asked.clear()
    monkeypatch.setattr(familiar, "_REMEMBERED", 10 * len(first))
    small = counting(Familiar(X, Y, remember=True))
    for points in (STARTS[:8], STARTS[8:16], STARTS[:8], STARTS[8:16]):
        small.at(points)
    assert asked == [8, 8, 8]

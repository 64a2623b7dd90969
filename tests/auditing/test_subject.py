"""What is audited, as a table of floats and back: the original model is asked the same rows that are followed."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import knowlimits as kl
from knowlimits.auditing.find.subject import read_subject

RNG = np.random.default_rng(0)
AGE, WARD = RNG.normal(50, 10, 200), RNG.choice(["a", "b", "c"], 200)
LACTATE = np.where(RNG.random(200) < 0.1, np.nan, RNG.exponential(2, 200))
Y = (AGE + 5 * np.nan_to_num(LACTATE) + 8 * (WARD == "c") > 60).astype(int)
MEASURED = ["age", "lactate"]


def frame(ward):
    return pd.DataFrame({"age": AGE, "ward": ward, "lactate": LACTATE})


def pipeline(encoder, X):
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return make_pipeline(make_column_transformer((encoder, ["ward"]), (numbers, MEASURED)), LogisticRegression()).fit(X, Y)


def subject_of(model, X):
    return read_subject(model, X, Y, X, Y, None, None, 2000, 0)


@pytest.mark.parametrize("ward", [WARD, pd.Categorical(WARD), pd.array(WARD, dtype="string")])
@pytest.mark.parametrize(
    "encoder",
    [
        OneHotEncoder(handle_unknown="ignore"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    ],
)
def test_the_original_model_is_asked_about_values_never_seen(ward, encoder):
    X = frame(ward)
    model = pipeline(encoder, X)
    subject = subject_of(model, X)
    np.testing.assert_array_equal(subject.unseen, [np.nan, 3, np.nan])
    rows = subject.test_rows.copy()
    assert np.isnan(rows[:, 2]).sum() == np.isnan(LACTATE).sum()
    rows[:, 1] = subject.unseen[1]
    rows[::2, 0] = np.nan
    changed = X.assign(ward="d", age=np.where(np.arange(200) % 2, AGE, np.nan))
    np.testing.assert_allclose(subject.probabilities(rows)[0], model.predict_proba(changed), rtol=1e-9)
    np.testing.assert_array_equal(subject.predicted(rows), model.predict(changed))


def test_an_encoder_that_refuses_does_so():
    X = frame(WARD)
    subject = subject_of(pipeline(OneHotEncoder(), X), X)
    rows = subject.test_rows.copy()
    rows[:, 1] = subject.unseen[1]
    for ask in (subject.predicted, subject.probabilities):
        with pytest.raises(ValueError, match="unknown categories"):
            ask(rows)


def test_predictions_are_the_models_own_and_not_the_likeliest():
    X = frame(WARD)[MEASURED]
    forest = RandomForestClassifier(20, max_depth=3, random_state=0).fit(X, Y)
    model = FixedThresholdClassifier(forest, threshold=0.9, response_method="predict_proba").fit(X, Y)
    subject = subject_of(model, X)
    predicted = subject.predicted(subject.test_rows)
    np.testing.assert_array_equal(predicted, model.predict(X))
    assert (predicted != subject.probabilities(subject.test_rows).mean(0).argmax(1)).any()


@pytest.mark.parametrize(
    ("imputer", "left"),
    [
        (SimpleImputer(), False),
        (SimpleImputer(strategy="median", add_indicator=True), False),
        (KNNImputer(n_neighbors=3), True),
    ],
)
def test_rows_whose_gaps_are_filled_by_other_columns_are_left_out(imputer, left):
    X = frame(WARD)[MEASURED].assign(pulse=RNG.normal(80, 9, 200)).to_numpy()
    model = make_pipeline(StandardScaler(), imputer, LogisticRegression()).fit(X, Y)
    subject = subject_of(model, X)
    gaps = int(np.isnan(X).any(1).sum())
    assert (subject.left, subject.with_gaps) == ((2 * gaps, 0) if left else (0, 2 * gaps))
    assert len(subject.rows) == len(subject.test_rows) == 200 - gaps * left
    assert ("rows with gaps were left out" in " ".join(kl.audit(model, X, Y, faults=()).notes)) == left


def test_probabilities_that_do_not_add_up_to_one_are_no_answer():
    X, y = load_wine(return_X_y=True)
    model = OneVsRestClassifier(GaussianNB()).fit(X, y)
    found = kl.audit(model, X, X_test=X[:20], faults=kl.faults.Unit(1000, columns=0))
    far = X[:20].copy()
    far[:, 0] *= 1000
    # Where every class underflows scikit-learn says 0 of each.
    nothing = model.predict_proba(far).sum(1) == 0
    assert nothing.any()
    assert found.faults["error"][0] == nothing.mean()
    assert "its probabilities do not add up to 1" in " ".join(found.notes)

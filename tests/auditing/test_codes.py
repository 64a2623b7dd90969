"""Columns that are codes: every number is what a person finds who writes the value into the raw table and asks the model."""

import re
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from torch import nn

import knowlimits as kl
from knowlimits.auditing.find import codes
from knowlimits.auditing.find.codes import ByCode, of_codes
from knowlimits.auditing.find.subject import read_subject
from knowlimits.auditing.show.codes import notes, text, verdict
from knowlimits.ood.panel import Panel

RNG = np.random.default_rng(0)
N = 160
AGE = RNG.normal(50, 10, N)
WARD = RNG.choice(["a", "b", "c"], N, p=[0.5, 0.3, 0.2])
SEX = RNG.random(N) < 0.4
VISITS = RNG.choice([1, 2, 5], N)
Y = np.where(AGE + 12 * (WARD == "c") + 6 * SEX + 2 * VISITS > 62, "ill", "well")
GAPS = np.where(RNG.random(N) < 0.2, np.nan, WARD.astype(object))


def frame(**columns):
    return pd.DataFrame({"age": AGE, **columns})


def logistic(encoder, X, y=Y):
    """A pipeline that encodes all columns but the first; sure enough to be sure of some rows."""
    encoded = make_column_transformer((encoder, list(X.columns[1:])), (StandardScaler(), ["age"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(encoded, LogisticRegression(C=1000)).fit(X, y)


def ignoring():
    return OneHotEncoder(handle_unknown="ignore")


@dataclass(frozen=True)
class Case:
    """A fitted model with its table, and for each column that is a code the raw value that was never seen."""

    model: Any
    X: Any
    unseen: dict[str, Any]


def categories():
    X = frame(ward=pd.Categorical(WARD))
    return Case(logistic(ignoring(), X), X, {"ward": "d"})


def fixed(model, X):
    return FixedThresholdClassifier(model, threshold=0.9, pos_label="ill", response_method="predict_proba").fit(X, Y)


def gaps():
    filled = make_pipeline(SimpleImputer(strategy="most_frequent"), ignoring())
    return Case(logistic(filled, frame(ward=GAPS)), frame(ward=GAPS), {"ward": "d"})


def ordinal():
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return Case(logistic(encoder, frame(ward=WARD)), frame(ward=WARD), {"ward": "d"})


def forest():
    X = np.c_[AGE, VISITS, SEX]
    return Case(RandomForestClassifier(20, max_depth=6, random_state=0).fit(X, Y), X, {"x1": 6, "x2": 2})


def boosted():
    X = np.c_[AGE, np.where(RNG.random(N) < 0.2, np.nan, VISITS)]
    return Case(HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(X, Y), X, {"x1": 6})


CASES = {
    "one-hot, ignored": lambda: Case(logistic(ignoring(), frame(ward=WARD)), frame(ward=WARD), {"ward": "d"}),
    "one-hot, an error": lambda: Case(logistic(OneHotEncoder(), frame(ward=WARD)), frame(ward=WARD), {"ward": "d"}),
    "ordinal": ordinal,
    "pandas categories": categories,
    "truth values": lambda: Case(logistic(ignoring(), frame(sex=SEX)), frame(sex=SEX), {}),
    "encoded numbers": lambda: Case(logistic(ignoring(), frame(visits=VISITS)), frame(visits=VISITS), {"visits": 6}),
    "two columns": lambda: Case(
        logistic(ignoring(), frame(ward=WARD, visits=VISITS)), frame(ward=WARD, visits=VISITS), {"ward": "d", "visits": 6}
    ),
    "gaps": gaps,
    "a forest on integers": forest,
    "gaps in integers": boosted,
    "a threshold of its own": lambda: replace(case := ordinal(), model=fixed(case.model, case.X)),
}


@pytest.fixture(scope="module", params=CASES, ids=str)
def found(request):
    """A case, its table of codes, and its guard with what it guards."""
    case = CASES[request.param]()
    subject = read_subject(case.model, case.X, Y, case.X, Y, None, None, 2000, 0)
    panel = Panel(inputs=False).fit(subject.model, subject.rows, subject.labels, categories=subject.coded)
    return case, of_codes(subject, panel, np.random.default_rng(0)), subject, panel


def columns_of(X):
    names = X.columns if hasattr(X, "columns") else [f"x{k}" for k in range(X.shape[1])]
    return {name: X[name] if hasattr(X, "columns") else X[:, k] for k, name in enumerate(names)}


def raw(X, name, value):
    """The table with a value in all of a column; a gap is nan."""
    if not hasattr(X, "columns"):
        table = X.copy()
        table[:, int(name[1:])] = value
        return table
    if isinstance(X[name].dtype, pd.CategoricalDtype):
        return X.assign(**{name: pd.Categorical([value] * N, categories=sorted({*WARD, value}))})
    return X.assign(**{name: pd.Series([value] * N, dtype=object if X[name].dtype == object else None)})


def expected(case, name, value):
    """Sure, confidence, classes and changed, by the original model; the error if it raises one."""
    table = raw(case.X, name, value)
    try:
        probs, classes = case.model.predict_proba(table), case.model.predict(table)
    except ValueError as error:
        return error
    counts = sorted(((classes == one).sum() / len(classes), one) for one in np.unique(classes))[::-1]
    return {
        "sure": (probs.max(1) >= 0.99).mean(),
        "confidence": np.median(probs.max(1)),
        "classes": ", ".join(f"{one} ({share:.0%})" for share, one in counts),
        "changed": (classes != case.model.predict(case.X)).mean(),
    }


def test_every_number_is_what_the_model_says_of_the_raw_table(found):
    case, result, _, _ = found
    columns = {name: values for name, values in columns_of(case.X).items() if name not in ("age", "x0")}
    assert result.table.distinct("feature") == list(columns)
    for name, values in columns.items():
        counts = {
            ("missing" if pd.isna(value) else value): n for value, n in pd.Series(values).value_counts(dropna=False).items()
        }
        rows = result.table.where(feature=name).rows()
        assert result.values[name] == len(set(counts) - {"missing"})
        # The most frequent first, and one never seen last.
        shares = sorted((n / N for n in counts.values()), reverse=True)
        assert [row["seen"] for row in rows] == pytest.approx([*shares, *[0] * (name in case.unseen)])
        by_words = {f"{value:g}" if isinstance(value, float) else str(value): value for value in counts}
        for row in rows:
            if row["seen"]:
                value = by_words[row["value"]]
                assert row["seen"] == pytest.approx(counts[value] / N)
            else:
                value = case.unseen[name]
                assert row["value"] == ("never seen" if isinstance(value, str) else f"{value}, never seen")
            told = expected(case, name, np.nan if value == "missing" else value)
            if isinstance(told, Exception):
                assert (row["error"], row["classes"]) == (1, "")
                assert np.isnan([row[one] for one in ("sure", "confidence", "changed")]).all()
                assert result.why == {name: str(told).splitlines()[0].replace(repr(value), "'never seen'")}
            else:
                assert row["error"] == 0
                assert row["classes"] == told.pop("classes")
                assert {one: row[one] for one in told} == pytest.approx(told, rel=1e-9)


def test_what_the_guard_refuses(found):
    case, result, subject, panel = found
    for row in result.table.rows():
        place = list(columns_of(case.X)).index(row["feature"])
        levels = subject.model.steps and subject.model.steps.columns[place].levels
        if row["seen"] == 0:
            code = case.unseen[row["feature"]] if levels is None else len(levels)
        elif row["value"] == "missing":
            code = np.nan
        else:
            code = (
                float({"True": 1, "False": 0}.get(row["value"], row["value"])) if levels is None else levels.index(row["value"])
            )
        rows = subject.test_rows.copy()
        rows[:, place] = code
        refused = ~panel.guard.accepts(rows)
        assert row["refused, unfamiliarity"] == pytest.approx(refused.mean())
        if levels is not None and row["seen"] == 0:
            assert refused.all()


def test_rows_are_those_that_the_model_is_sure_of_as_they_are(found):
    case, result, _, _ = found
    assert result.rows == N
    assert result.before == pytest.approx((case.model.predict_proba(case.X).max(1) >= 0.99).mean())


def whole(X, model=None, continuous=None, y=Y):
    model = RandomForestClassifier(5, max_depth=4, random_state=0).fit(X, y) if model is None else model
    return kl.audit(model, X, y, continuous=continuous, faults=())


def test_which_columns_are_codes():
    rng = np.random.default_rng(1)
    X = np.c_[
        AGE,
        np.full(N, 3.0),  # one whole number: another would be new
        np.full(N, 2.5),  # a constant that is no code
        rng.choice([0.25, 0.75], N),
        rng.integers(0, 20, N),
        rng.integers(0, 2000, N),
        np.full(N, np.nan),
    ]
    found = whole(X)
    assert found.codes.distinct("feature") == ["x1", "x3", "x4"]
    assert found.codes.where(feature="x1")["value"].tolist() == ["3", "4, never seen"]
    assert found.codes.where(feature="x3")["value"][-1] == "1, never seen"
    # What somebody moves is a measurement, and what nobody asks for is what it is.
    assert whole(X, continuous="all").codes.distinct("feature") == ["x1"]
    assert whole(X, continuous=["x0", "x4"]).codes.distinct("feature") == ["x1", "x3"]


def test_whole_numbers_behind_an_encoder_are_codes_unless_they_hardly_repeat():
    rng = np.random.default_rng(2)
    X = frame(zip=rng.integers(0, 40, N) * 7, platelets=rng.integers(10**5, 10**6, N))
    encoded = make_column_transformer((ignoring(), ["zip", "platelets"]), (StandardScaler(), ["age"]))
    found = whole(X, make_pipeline(encoded, LogisticRegression()).fit(X, Y))
    assert found.codes.distinct("feature") == ["zip"]
    assert len(found.codes) == codes._VALUES + 1
    # The most frequent of all that there are.
    counts = X["zip"].value_counts()
    np.testing.assert_allclose(found.codes["seen"][:-1], np.sort(counts)[::-1][: codes._VALUES] / N)
    assert found.codes["value"][-1] == f"{X['zip'].max() + 1}, never seen"
    assert any("Of many values of such a column the most frequent: 'zip'." in note for note in found.notes)


def test_a_number_that_was_never_seen_is_none_of_all_rows_that_were_given():
    X = np.c_[np.random.default_rng(3).normal(size=400), np.arange(400) % 4]
    y = X[:, 0] > 0
    X[77, 1] = 9
    forest = RandomForestClassifier(5, random_state=0).fit(X, y)
    found = kl.audit(forest, X, y, max_rows=16, faults=())
    assert found.codes["value"][-1] == "10, never seen"


def test_places_of_an_input_are_no_codes():
    X = np.concatenate([np.random.default_rng(0).normal(size=(40, 1, 3)), np.ones((40, 1, 3))], 1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 2))
    assert len(kl.audit(net, X, faults=()).codes) == 0


def test_an_embedding_has_no_row_for_a_number_never_seen():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.last = nn.Embedding(3, 2), nn.Linear(3, 2)

        def forward(self, x):
            return self.last(torch.cat([x[:, :1], self.embedding(x[:, 1].long()).to(x.dtype)], 1))

    torch.manual_seed(0)
    X = np.c_[AGE, RNG.integers(0, 3, N)]
    found = kl.audit(Net(), X, faults=())
    assert found.codes["value"].tolist()[-1] == "3, never seen"
    assert found.codes["error"].tolist() == [0, 0, 0, 1]
    assert "At values of 'x1' the model raises an error" in " ".join(found.notes)


def test_many_columns_and_models_that_are_slow(monkeypatch):
    rng = np.random.default_rng(4)
    X = np.c_[AGE, rng.integers(0, 3, (N, 6))]
    full = whole(X).codes
    monkeypatch.setattr(codes, "_COLUMNS", 4)
    few = whole(X)
    assert few.codes.distinct("feature") == ["x1", "x2", "x3", "x4"]
    np.testing.assert_array_equal(few.codes["changed"], full["changed"][: len(few.codes)])
    assert "2 more columns are codes, and stayed as they are." in " ".join(few.notes)
    # In blocks of a value, which change no number.
    monkeypatch.setattr(codes, "at_once", lambda _: 1)
    np.testing.assert_array_equal(whole(X).codes["sure"], few.codes["sure"])


def table(**columns):
    """Codes of one column 'ward' of three values, with a row for one never seen that has these numbers."""
    numbers = {"sure": 0.2, "confidence": 0.9, "changed": 0.0, "error": 0.0, "refused, unfamiliarity": 1.0}
    rows = [{"feature": "ward", "value": value, "seen": 1 / 3, "classes": "a (100%)"} | numbers for value in "abc"]
    rows.append({"feature": "ward", "value": "never seen", "seen": 0.0, "classes": "a (100%)"} | numbers | columns)
    return ByCode(codes.Table.of(rows), {"ward": 3}, 0, 100, 0, 0.2, {})


def test_the_verdict_speaks_where_it_matters():
    assert verdict(table()) == []
    assert verdict(table(sure=0.88, changed=0.12)) == [
        "'ward' has 3 values; on one that was never seen the model is sure on 88% of rows and changes its class on 12%; the "
        "guard refuses 100%."
    ]
    assert len(verdict(table(sure=0.31))) == 1
    assert verdict(table(sure=0.29)) == []
    assert verdict(table(sure=0.88), told=["ward"]) == []
    # An error is loud.
    assert verdict(table(sure=np.nan, changed=np.nan, error=1.0)) == []
    assert (
        "the model raises an error on 50% of rows; of the others it is sure on 88% and changes"
        in (verdict(table(sure=0.88, error=0.5))[0])
    )


def test_lines_of_a_page():
    lines = text(table(sure=0.88, changed=0.12))
    assert lines[1] == "Columns that are codes, all rows set to one value (1 of 1 columns)"
    assert re.split(r" {2,}", lines[3]) == [
        "column",
        "values",
        "sure on each",
        "one more",
        "sure",
        "class changes",
        "refused by the guard",
    ]
    assert lines[4].split() == ["ward", "3", "20%", "never", "seen", "88%", "12%", "100%"]
    assert "error" in text(table(error=1.0))[3]
    empty = ByCode(codes.Table({"feature": np.empty(0, dtype=str)}), {}, 0, 0, 0, float("nan"), {})
    assert text(empty) == notes(empty) == []


def test_the_page_and_the_verdict_of_an_audit():
    case = ordinal()
    found = kl.audit(case.model, case.X, Y, X_test=case.X, y_test=Y, faults=())
    row = found.codes.rows()[-1]
    sentence = f"'ward' has 3 values; on one that was never seen the model is sure on {row['sure']:.0%} of rows"
    assert row["changed"] >= 0.05
    assert any(sentence in one for one in found.verdict)
    assert "Columns that are codes" in str(found)

"""What an audit says of plausible ranges, against the original models' own predictions on raw rows, and planted models."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

import knowlimits as kl
from knowlimits.auditing.find.plausible import plausible_ends, within_ranges
from knowlimits.auditing.find.subject import read_subject
from knowlimits.auditing.show import ranges as shown
from knowlimits.limits.segments import PLACES

WINE = load_wine()
X, Y = WINE.data[:, [0, 6, 9, 12]], WINE.target
NAMES = ["alcohol", "flavanoids", "colour", "proline"]


def subject_of(model, X, y, names=None, **more):
    return read_subject(model, X, y, X, y, names, more.pop("continuous", None), 2000, 0, **more)


def found_in(model, X, y, given=None, names=None, **more):
    subject = subject_of(model, X, y, names, **more)
    return subject, within_ranges(subject, given, np.random.default_rng(0))


def check(subject, found, predict_proba, table_of=lambda rows: rows, tolerance=1e-9):
    """Every number of the table, for the rows that it was drawn from: all, as there are few."""
    assert found.rows == len(subject.rows)
    rows = subject.rows
    for row in found.table.rows():
        place = subject.columns.places[subject.columns.names.index(row["feature"])]
        starts = rows.copy()
        gaps = np.isnan(starts[:, place])
        starts[gaps, place] = np.nanmedian(rows[:, place])
        ends = starts.copy()
        ends[:, place] = row["value"]
        before, probs = (predict_proba(table_of(each)) for each in (starts, ends))
        confidence, sure, was = probs.max(1), probs.max(1) >= 0.99 - 1e-9, before.max(1) >= 0.99 - 1e-9
        same = probs.argmax(1) == before.argmax(1)
        assert row["sure"] == pytest.approx(sure.mean(), abs=1e-12)
        assert row["sure_before"] == pytest.approx(was.mean(), abs=1e-12)
        assert row["newly_sure"] == pytest.approx((sure & ~(was & same)).mean(), abs=1e-12)
        assert row["changed"] == pytest.approx((~same).mean(), abs=1e-12)
        quantiles = np.quantile(confidence, (0.05, 0.5, 0.95))
        assert [row[name] for name in ("confidence_5", "confidence", "confidence_95")] == pytest.approx(
            quantiles, abs=tolerance
        )
        # Of the way there a dense grid, that never sees more than there is.
        ways = np.concatenate([starts + t * (ends - starts) for t in np.linspace(0, 1, 101)])
        every = predict_proba(table_of(ways)).max(1)
        assert row["smallest"] <= every.min() + tolerance
        assert row["largest"] >= every.max() - tolerance
        if row["exact"]:
            assert row["smallest"] == pytest.approx(every.min(), abs=0.05)
            assert row["largest"] == pytest.approx(every.max(), abs=0.05)
        best = np.bincount(probs.argmax(1)).argmax()
        assert row["classes"].startswith(str(subject.classes[best])) or "=" in row["classes"] or "50%" in row["classes"]


def test_numbers_of_a_forest_are_those_of_its_own():
    model = RandomForestClassifier(7, max_depth=4, random_state=0).fit(X, Y)
    subject, found = found_in(model, X[::3], Y[::3], {"colour": (0, 30), "proline": (None, 5000)}, NAMES)
    check(subject, found, model.predict_proba)
    table = found.table
    assert table["exact"].all()
    assert found.grid == 0
    # An open end has no row; what nobody says is as the data have it.
    assert list(zip(table["feature"].tolist(), table["towards"].tolist(), strict=True)) == [
        *(("alcohol", -1), ("alcohol", 1), ("flavanoids", -1), ("flavanoids", 1), ("colour", -1), ("colour", 1), ("proline", 1))
    ]
    assert table["value"].tolist() == [*(X[::3, 0].min(), X[::3, 0].max(), X[::3, 1].min(), X[::3, 1].max()), 0, 30, 5000]
    assert table["stated"].tolist() == [False] * 4 + [True] * 3
    assert "threshold" in shown.notes(found)[0]


def test_numbers_of_a_pipeline_with_gaps_and_categories():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(X[::2], columns=NAMES)
    frame["kind"] = rng.choice(["a", "b", "c"], len(frame))
    frame.loc[::5, "colour"] = np.nan
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    model = make_pipeline(
        make_column_transformer((numbers, NAMES), (OneHotEncoder(sparse_output=False), ["kind"])),
        RandomForestClassifier(5, max_depth=4, random_state=0),
    ).fit(frame, Y[::2])
    subject, found = found_in(model, frame, Y[::2])
    check(subject, found, model.predict_proba, subject.table_of)
    assert found.table["exact"].all()
    assert set(found.table["feature"]) == set(NAMES)


def test_trees_that_take_gaps():
    gaps = X[::2].copy()
    gaps[::4, 2] = np.nan
    model = HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=5, min_samples_leaf=5).fit(gaps, Y[::2])
    subject, found = found_in(model, gaps, Y[::2], names=NAMES)
    assert np.isnan(subject.rows).any()
    check(subject, found, model.predict_proba)


def test_what_is_looked_at_on_a_grid_says_so():
    model = make_pipeline(StandardScaler(), GaussianNB()).fit(X, Y)
    subject, found = found_in(model, X[::3], Y[::3], names=NAMES)
    assert found.grid == PLACES
    assert not found.table["exact"].any()
    check(subject, found, model.predict_proba, tolerance=0.02)
    assert f"looked at in {PLACES} places" in shown.notes(found)[0]


# --- planted models -------------------------------------------------------------------------------------------------------


class SureBeyond(nn.Module):
    """As good as level, unless the second of three columns passes 1,000.

    Args:
        bend: an activation that is as good as none.
    """

    def __init__(self, bend):
        super().__init__()
        self.bend = bend

    def forward(self, x):
        return torch.stack([1e-3 * self.bend(x[:, 0] + 50.0) + 1e-3 * x[:, 0], torch.relu(x[:, 1] - 1000.0)], 1)


@pytest.mark.parametrize(("bend", "exact"), [(nn.ReLU(), True), (nn.Tanh(), False)], ids=["straight", "smooth"])
def test_a_network_that_is_sure_beyond_a_thousand(bend, exact):
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(size=80), rng.uniform(0, 400, 80), rng.normal(size=80)])
    y = (rows[:, 0] < 0).astype(int)
    net = SureBeyond(bend)
    audited = kl.audit(net, rows, y, ["a", "lactate", "c"], ranges={"lactate": (0, 2000)})
    first = audited.verdict[0]
    assert "Worst is 'lactate' at 2000, its upper end: 100% of rows become sure" in first
    assert "as the data have them; 1 column as stated" in first
    row = audited.ranges.where(feature="lactate", towards=1.0).rows()[0]
    assert row["sure"] == 1
    assert row["exact"] == exact
    # 0.99 is a logit of 4.6, behind that of the other class; a grid may be a place off.
    assert row["sure_from"] == pytest.approx(1004.65, abs=0.1 if exact else 2000 / (PLACES - 1))
    assert f"from {row['sure_from']:.5g} on" in first
    assert 0.49 < row["smallest"] < 0.52
    assert row["largest"] > 0.999
    assert "Plausible ranges, the worst ends first" in str(audited)
    assert "2000*" in str(audited)
    less = kl.audit(net, rows, y, ["a", "lactate", "c"], ranges={"lactate": (0, 500)})
    assert (less.ranges["sure"] == 0).all()
    assert "the model is sure (confidence 0.99 or more) on 0% of rows" in less.verdict[0]
    assert "Nowhere does it become sure" in less.verdict[0]
    # The infinite comes behind it, and is as it was.
    assert less.verdict[1:] == audited.verdict[1:]
    assert any("Let one of 3 continuous columns grow without bound" in one for one in less.verdict[1:])


def test_a_tree_that_flips_on_the_way_and_flips_back():
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.uniform(0, 3, 200), rng.normal(size=200)])
    y = (rows[:, 0] > 4).astype(int)
    # Between 5 and 6, where no row is, it says the other class.
    planted = np.concatenate([rows, np.column_stack([np.repeat([4.9, 5.1, 5.9, 6.1], 30), rng.normal(size=120)])])
    labels = np.concatenate([y, np.repeat([0, 1, 1, 0], 30)])
    model = RandomForestClassifier(5, bootstrap=False, max_features=None, random_state=0).fit(planted, labels)
    audited = kl.audit(model, rows, ranges={"x0": (0, 10)})
    row = audited.ranges.where(feature="x0", towards=1.0).rows()[0]
    assert (row["changed"], row["changed_within"], row["exact"]) == (0, 1, True)
    assert row["sure"] == 1
    assert any("On the way to 'x0' = 10 the class changes on 100% of rows" in one for one in audited.verdict)
    assert not any("On the way" in one for one in kl.audit(model, rows, ranges={"x0": (0, 4)}).verdict)


# --- what people say ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def subject():
    model = RandomForestClassifier(3, max_depth=2, random_state=0).fit(np.c_[X, Y > 0], Y)
    return subject_of(model, np.c_[X, Y > 0], Y, [*NAMES, "red"])


def test_ranges_are_said_in_many_ways(subject, tmp_path):
    file = tmp_path / "ranges.toml"
    file.write_text('[ranges]\nalcohol = [0, inf]\ncolour = "data"\n')
    for given in ({"alcohol": (0, None), "colour": "data"}, {0: (0, np.inf)}, file, str(file)):
        ends = plausible_ends(subject.columns, given)
        assert ends.value.tolist() == [0, *(end for column in X.T[1:] for end in (column.min(), column.max()))]
        assert ends.stated.tolist() == [True] + [False] * 6
    for given in (None, "data", {}):
        assert not plausible_ends(subject.columns, given).stated.any()
        assert len(plausible_ends(subject.columns, given).value) == 8


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"red": (0, 1)},
            r"columns that move. Got one for 'red', which stays where it is \(two values, 0 and 1\): leave it out",
        ),
        ({"alcohl": (0, 1)}, "did you mean 'alcohol'"),
        ({"alcohol": (3, 1)}, "lower end first"),
        ({"alcohol": (0, 1e200)}, "at most 1e\\+100"),
        ({0: (0, 1), "alcohol": (0, 1)}, "say once"),
        ("dat", "the path of a TOML file. Got 'dat' instead, which is none"),
        ([(0, 1)], "must be a dict"),
    ],
)
def test_mistakes_are_said_before_the_work(subject, given, words):
    with pytest.raises(ValueError, match=words):
        plausible_ends(subject.columns, given)


def test_a_file_with_a_mistake_is_named(subject, tmp_path):
    (tmp_path / "r.toml").write_text("[ranges]\nalcohl = [0, 1]\n")
    with pytest.raises(ValueError, match=r"r.toml, ranges must name columns of X.*did you mean 'alcohol'"):
        plausible_ends(subject.columns, tmp_path / "r.toml")


def test_an_audit_says_it_before_it_fits_anything(monkeypatch):
    monkeypatch.setattr("knowlimits.auditing.find.findings.Panel", None)
    model = RandomForestClassifier(3, max_depth=2, random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match="did you mean 'alcohol'"):
        kl.audit(model, X, Y, NAMES, ranges={"alcohl": (0, 1)})


def test_places_of_inputs_with_more_axes():
    windows = np.random.default_rng(0).normal(size=(40, 2, 5))
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(10, 2))
    columns = subject_of(net, windows, windows[:, 0, 0] > 0).columns
    ends = plausible_ends(columns, {(1, 3): (-50, 50), "x[0, 0]": (-9, None)})
    stated = [(columns.names[f], v) for f, v in zip(ends.feature[ends.stated], ends.value[ends.stated], strict=True)]
    assert stated == [("x[0, 0]", -9), ("x[1, 3]", -50), ("x[1, 3]", 50)]


def test_nothing_is_said_where_all_ends_are_open(subject):
    found = within_ranges(subject, dict.fromkeys(NAMES, (None, None)), np.random.default_rng(0))
    assert len(found.table) == 0
    assert (shown.verdict(found), shown.text(found), shown.notes(found)) == ([], [], [])


def test_ends_are_those_of_all_rows_that_were_given():
    rows = np.random.default_rng(0).normal(size=(500, 2))
    net = nn.Linear(2, 2)
    audited = kl.audit(net, rows, max_rows=40)
    np.testing.assert_array_equal(audited.ranges["value"], np.stack([rows.min(0), rows.max(0)], 1).ravel())


def test_it_is_the_same_in_blocks(subject, monkeypatch):
    whole = within_ranges(subject, None, np.random.default_rng(0))
    monkeypatch.setattr("knowlimits.auditing.find.rays._NUMBERS", 2**10)
    parts = within_ranges(subject, None, np.random.default_rng(0))
    for name, values in whole.table.columns.items():
        np.testing.assert_array_equal(parts.table[name], values, err_msg=name)

"""Audits of models of many kinds, against the models themselves far out."""

import re

import numpy as np
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    QuantileTransformer,
    StandardScaler,
)
from torch import nn

import knowlimits as kl
from knowlimits.auditing.find.subject import read_subject

pytestmark = pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning")

X, Y = load_wine(return_X_y=True)
SCALED = (X - X.mean(0)) / X.std(0)
FAR = 1e7


def mlp():
    return MLPClassifier((16,), max_iter=150, random_state=0)


def check_columns(found, rows, predict_proba, far=FAR):
    """the share of rows that end sure, and the median confidence, along each column and way."""
    for row in found.features.rows():
        column = int(row["feature"].removeprefix("x"))
        moved = rows.copy()
        moved[:, column] += np.sign(row["towards"]) * far * rows[:, column].std()
        confidence = predict_proba(moved).max(1)
        assert row["sure"] == pytest.approx((confidence >= 0.99).mean(), abs=1e-12), row["feature"]
        assert row["confidence"] == pytest.approx(np.median(confidence), abs=1e-5), row["feature"]


def shown(found, tmp_path):
    found.to_html(tmp_path / "report.html")
    return f"{found}\n{(tmp_path / 'report.html').read_text()}"


# --- what modules return --------------------------------------------------------------------------------------------------


def network(seed=0, *ending):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(13, 24), nn.ReLU(), nn.Linear(24, 3), *ending).double().requires_grad_(False)
    net[2].weight.mul_(5)
    return net


@pytest.mark.parametrize("ending", [(nn.Softmax(1),), (nn.LogSoftmax(1),)], ids=["softmax", "log-softmax"])
def test_what_ends_in_a_softmax_is_audited_as_its_logits(ending):
    found, logits = (kl.audit(net, SCALED, Y) for net in (network(0, *ending), network(0)))
    for name in ("features", "directions", "steepest", "detection", "remedies"):
        for column, values in getattr(logits, name).columns.items():
            if values.dtype.kind == "f":
                np.testing.assert_allclose(
                    getattr(found, name)[column], values, rtol=1e-6, atol=1e-9, err_msg=f"{name} {column}"
                )
    assert found.verdict == logits.verdict


class Mixture(nn.Module):
    """The mean of two softmaxes, which no one operation makes."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([network(0), network(1)])

    def forward(self, x):
        return sum(part(x).softmax(1) for part in self.parts) / 2


def test_probabilities_that_cannot_be_undone(tmp_path):
    found = kl.audit(Mixture(), SCALED, Y, X_test=SCALED, y_test=Y)
    check_columns(found, SCALED, lambda rows: Mixture()(torch.tensor(rows)).numpy())
    assert {"energy", "max_logit", "vim"}.isdisjoint(found.detection["score"])
    assert "mahalanobis" in set(found.detection["score"])
    assert list(found.remedies["model"]) == ["model", "guard"]
    notes = [
        note
        for note in found.notes
        if note.startswith("Scores that were left out: energy, max logit, vim. model must return logits")
    ]
    assert len(notes) == 1
    assert notes[0] in shown(found, tmp_path).replace("&#39;", "'")


class Members(nn.Module):
    """Members along the second axis, by layers that are no modules."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Parameter(torch.randn(4, 13, 8)), nn.Parameter(torch.randn(4, 8, 3))

    def forward(self, x):
        return torch.einsum("nkh,khc->nkc", torch.relu(torch.einsum("nd,kdh->nkh", x, self.first)), self.second)


def test_members_and_no_linear_layer(tmp_path):
    found = kl.audit(Members(), SCALED, Y, X_test=SCALED, y_test=Y)
    check_columns(found, SCALED, lambda rows: Members().double()(torch.tensor(rows)).softmax(-1).mean(1).detach().numpy())
    assert {"energy", "max_logit", "mutual_information"} <= set(found.detection["score"])
    assert {"mahalanobis", "vim"}.isdisjoint(found.detection["score"])
    assert sum("Scores that were left out: mahalanobis" in note for note in found.notes) == 1
    assert any(note.startswith("No last-layer Laplace: ") for note in found.notes)
    assert "4 members" in shown(found, tmp_path)


def test_one_logit_without_its_axis():
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(30, 8), nn.ReLU(), nn.Linear(8, 1))

    class Squeezed(nn.Module):
        def forward(self, x):
            return net.to(x.dtype)(x).squeeze()

    found, plain = kl.audit(Squeezed(), X, y), kl.audit(net, X, y)
    np.testing.assert_allclose(found.features["confidence"], plain.features["confidence"], rtol=1e-9)


def test_outputs_that_stay_open_are_asked_for():
    net = nn.Sequential(nn.Linear(13, 3), nn.Hardsigmoid())
    for function in (kl.audit, kl.assert_far_field):
        with pytest.raises(ValueError, match="outputs must be given for this model, 'logits' or 'probabilities'"):
            function(net, SCALED)
    assert (kl.audit(net, SCALED, outputs="logits").features["sure"] == 0).all()
    kl.assert_far_field(net, SCALED, max_confident_share=0, outputs="logits")


# --- steps that are not affine --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaler", [MinMaxScaler(clip=True), MaxAbsScaler(clip=True)], ids=lambda s: type(s).__name__)
def test_columns_that_end_at_a_constant(scaler, tmp_path):
    model = make_pipeline(scaler, mlp()).fit(X, Y)
    found = kl.audit(model, X, Y, X_test=X, y_test=Y)
    check_columns(found, X, model.predict_proba)
    assert len(found.features) == 26
    # From where it is clipped nothing changes any more, so that the confidence has settled there at the latest.
    assert (found.features["settled_sd_95"] <= found.features["last_unit_sd_95"] + 1e-9).all()
    assert found._found.disc is not None
    assert len(found.steepest) == 0
    assert found.directions["sure"][0] == 0
    page = shown(found, tmp_path)
    assert "Without a part in the direction of the rarest class" in page
    assert "Of its rarest class" not in page


def test_columns_that_go_through_quantiles():
    model = make_pipeline(QuantileTransformer(n_quantiles=50, output_distribution="normal"), mlp()).fit(X, Y)
    check_columns(kl.audit(model, X, Y, X_test=X, y_test=Y), X, model.predict_proba)


def test_columns_that_grow_ever_more_slowly_move_alone(tmp_path):
    model = make_pipeline(FunctionTransformer(np.arcsinh), StandardScaler(), mlp()).fit(X, Y)
    found = kl.audit(model, X, Y, X_test=X, y_test=Y)
    check_columns(found, X, model.predict_proba, far=1e290)
    # Nothing is said of what is not known.
    assert np.isnan(found.features["settled_sd"]).all()
    assert len(found.directions) == len(found.steepest) == 0
    assert set(found.detection["way"]) == {"one_column"}
    assert found._found.disc is None
    assert np.isnan(found.remedies["sure_directions"]).all()
    page = shown(found, tmp_path)
    assert "Moved one by one" in page
    for word in ("nan", "All columns together", "rarest class", "Soonest"):
        assert word not in str(found)
    assert not re.search(r">nan|nan%", page)


def test_columns_of_several_kinds_have_their_parts(tmp_path):
    parts = ((FunctionTransformer(np.cbrt), [0, 1]), (MinMaxScaler(clip=True), [2, 3]))
    model = make_pipeline(make_column_transformer(*parts, remainder=StandardScaler()), mlp()).fit(X, Y)
    found = kl.audit(model, X, Y, X_test=X, y_test=Y)
    columns = found._found.columns
    assert np.flatnonzero(~columns.together).tolist() == [0, 1]
    assert np.flatnonzero(~columns.straight).tolist() == [0, 1, 2, 3]
    check_columns(found, X, model.predict_proba, far=1e290)
    assert len(found.features) == 26
    assert set(found.steepest["feature"]) == {f"x{place}" for place in range(4, 13)}
    np.testing.assert_allclose(np.linalg.norm(found.steepest["change"]), 1)
    # Towards it, the model is as sure of the rarest class as is said, far out from the medians.
    far = np.median(X, axis=0)[None].copy()
    for name, change in zip(found.steepest["feature"], found.steepest["change"], strict=True):
        far[0, int(name[1:])] += FAR * change * X[:, int(name[1:])].std()
    rarest = model.classes_.tolist().index(found._found.directions.rarest)
    assert model.predict_proba(far)[0, rarest] == pytest.approx(found._found.directions.confidence, abs=1e-3)
    page = shown(found, tmp_path)
    assert "11 of the columns together" in page
    assert "11 columns together" in page


def test_an_exact_disc_behind_steps_that_hold_other_columns():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    table = pandas.DataFrame(SCALED[:, :3], columns=list("abc")).assign(city=rng.choice(["u", "v"], len(X)))
    steps = make_column_transformer((StandardScaler(), list("abc")), (OneHotEncoder(), ["city"]))
    model = make_pipeline(steps, mlp()).fit(table, Y)
    disc = kl.audit(model, table, Y)._found.disc
    assert disc.exact
    # The limits of the widest arcs against the model itself far out in their middles, from the medians.
    subject = read_subject(model, table, Y, None, None, None, None, 2000, 0)
    widest = np.argsort(disc.arcs[:, 0] - disc.arcs[:, 1])[:5]
    middles = disc.arcs[widest].mean(1)
    directions = np.stack([np.cos(middles), np.sin(middles)], axis=1) @ subject.columns.steps[list(disc.axes)]
    far = subject.model.steps.layout.decode(np.median(subject.rows, axis=0) + FAR * directions)
    np.testing.assert_allclose(model.predict_proba(far).max(1), disc.limits[widest], atol=1e-3)


def test_numbers_that_are_codes_stay_codes():
    """Half of them are 1 and half are 2, and 1.5 is none that the encoder knows."""
    rows = np.c_[SCALED, np.arange(len(X)) % 2 + 1.0]
    steps = make_column_transformer((OneHotEncoder(), [13]), remainder="passthrough")
    model = make_pipeline(steps, mlp()).fit(rows, Y)
    found = kl.audit(model, rows, Y, X_test=rows, y_test=Y)
    assert found.left_out == {"x13": "goes through OneHotEncoder"}
    check_columns(found, rows, model.predict_proba)


def test_columns_behind_a_projection_have_limits_of_their_own():
    model = make_pipeline(StandardScaler(), PCA(4), mlp()).fit(X, Y)
    check_columns(kl.audit(model, X, Y, X_test=X, y_test=Y), X, model.predict_proba)


# --- gaps -----------------------------------------------------------------------------------------------------------------


def test_rows_with_gaps_are_audited_as_they_are(tmp_path):
    gaps = X.copy()
    gaps[::7, 3] = np.nan
    model = make_pipeline(SimpleImputer(), StandardScaler(), mlp()).fit(gaps, Y)
    found = kl.audit(model, gaps, Y, X_test=gaps, y_test=Y)
    missing = np.isnan(gaps).any(1).sum()
    assert f"{2 * missing} of these rows have gaps, and are taken as they are" in " ".join(shown(found, tmp_path).split())
    # The pipeline itself, far out: other columns as they are, and the column that is missing from anywhere.
    for place in range(X.shape[1]):
        for sign in (-1, 1):
            far = gaps.copy()
            far[:, place] = sign * 1e7
            confidence = model.predict_proba(far).max(1)
            row = found.features.where(feature=f"x{place}", towards=sign * np.inf)
            assert row["confidence"][0] == pytest.approx(np.median(confidence), abs=1e-6)
            assert row["sure"][0] == np.mean(confidence >= 0.99)
    with pytest.raises(AssertionError, match="the model ends sure of itself"):
        kl.assert_far_field(model, gaps)
    with pytest.raises(ValueError, match=r"X must have 16 rows at least, to hold some of them out. Got 15 instead"):
        kl.audit(model, gaps[:15], Y[:15])
    plain = make_pipeline(StandardScaler(), mlp()).fit(X, Y)
    with pytest.raises(ValueError, match=r"X, column 'x3', must be finite. Got nothing in row 0, 26 such in all"):
        kl.audit(plain, gaps, Y)


def test_every_row_may_have_a_gap():
    gaps = X.copy()
    gaps[np.arange(len(X)), np.arange(len(X)) % X.shape[1]] = np.nan
    forest = RandomForestClassifier(10, random_state=0).fit(gaps, Y)
    for model in (make_pipeline(SimpleImputer(), StandardScaler(), mlp()).fit(gaps, Y), forest):
        found = kl.audit(model, gaps, Y)
        assert len(found.features) == 2 * X.shape[1]
        assert np.isfinite(found.detection["auroc"]).all()
        assert found._found.with_gaps == len(X)


def test_a_column_of_gaps_stays():
    gaps = X.copy()
    gaps[:, 3] = np.nan
    forest = RandomForestClassifier(10, random_state=0).fit(gaps, Y)
    assert kl.audit(forest, gaps, Y).left_out == {"x3": "nothing but gaps"}


# --- predictions, and what is no table --------------------------------------------------------------------------------------


def test_accuracy_is_that_of_the_models_own_predictions():
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    names = np.array(["good", "bad"])[y]
    model = FixedThresholdClassifier(mlp(), threshold=0.99, response_method="predict_proba").fit(X, names)
    own, likeliest = model.predict(X), model.classes_[model.predict_proba(X).argmax(1)]
    assert (own != likeliest).any()
    found = kl.audit(model, X, names, X_test=X, y_test=names)
    accuracy = dict(zip(found.remedies["model"], found.remedies["accuracy"], strict=True))
    assert accuracy["model"] == accuracy["guard"] == (own == names).mean()
    assert list(found._found.classes) == ["bad", "good"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"y": SCALED[:, 0]},
            r"y must have labels of classes. Got \d+ different numbers with fractions, as the target of a regr",
        ),
        (
            {"X": np.zeros((60, 5, 4))},
            r"model must take rows of shape \(5, 4\), two of them in float64, as were given. Got one that stops there",
        ),
        ({"X": [SCALED, Y]}, r"X must be one table, \(n, columns\). Got a list of parts"),
    ],
    ids=["regression", "windows", "two inputs"],
)
def test_what_is_no_table_of_a_classifier(arguments, message):
    with pytest.raises(ValueError, match=message):
        kl.audit(network(), **{"X": SCALED, **arguments})


def test_windows_as_a_table_that_the_model_puts_into_shape_itself():
    windows = np.random.default_rng(0).normal(size=(60, 5, 4))
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(20, 3))
    model = nn.Sequential(nn.Unflatten(1, (5, 4)), net)
    rows = windows.reshape(len(windows), -1)
    found = kl.audit(model, rows, X_test=rows)
    check_columns(found, rows, lambda x: net.double()(torch.tensor(x)).softmax(1).detach().numpy())

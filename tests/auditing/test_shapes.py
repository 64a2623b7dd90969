"""Inputs of more axes: landmarks, windows and images, against models of tables that put rows into shape themselves."""

import csv
import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import knowlimits as kl
from knowlimits import plots
from knowlimits.auditing.find.places import panel_names, panels
from knowlimits.model.shapes import place_names
from tests import command

TABLES = ("features", "directions", "steepest", "detection", "remedies")


def trained(net, X, y):
    inputs, labels = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs), labels).backward()
        optimizer.step()
    return net.eval()


def landmarks():
    """Hands in 21 points (n, 21, 2)."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 90)
    hands = rng.normal(size=(3, 21, 2))[y] + 0.3 * rng.normal(size=(90, 21, 2))
    return trained(nn.Sequential(nn.Conv1d(21, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4, 3)), hands, y), hands, y


def windows():
    """A sensor of three channels, channels first (n, 3, 8)."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 80)
    phase, times = rng.uniform(0, 6, (80, 3, 1)), np.arange(8)
    waves = np.sin(times * (1 + y[:, None, None]) / 3 + phase) + 0.2 * rng.normal(size=(80, 3, 8))
    return trained(nn.Sequential(nn.Conv1d(3, 3, 5), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)), waves, y), waves, y


class ChannelsLast(nn.Module):
    """A convolution over (n, times, channels)."""

    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv1d(2, 3, 3), nn.Linear(18, 2)

    def forward(self, x):
        return self.last(self.conv(x.movedim(-1, 1)).relu().flatten(1))


def channels_last():
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, 60)
    X = rng.normal(size=(60, 8, 2)) + y[:, None, None]
    torch.manual_seed(0)
    return trained(ChannelsLast(), X, y), X, y


def one_channel():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 60)
    X = rng.normal(size=(60, 1, 16)) * (1 + y[:, None, None])
    return trained(nn.Sequential(nn.Conv1d(1, 3, 5), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2)), X, y), X, y


def digits():
    X, y = load_digits(n_class=3, return_X_y=True)
    X, y = (X[:150] / 16).reshape(-1, 1, 8, 8), y[:150]
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 3))
    return trained(net, X, y), X, y


DATA = {one.__name__: one for one in (landmarks, windows, channels_last, one_channel, digits)}


@pytest.fixture(scope="module", params=DATA)
def case(request):
    torch.manual_seed(0)
    net, X, y = DATA[request.param]()
    return net, X, y, kl.audit(net, X, y, max_rows=16)


@pytest.fixture(scope="module")
def hands():
    torch.manual_seed(0)
    return landmarks()


@pytest.fixture(scope="module")
def audited(hands):
    net, X, y = hands
    return kl.audit(net, X, y, max_rows=16)


def check_same(found, other, names=None):
    """All numbers of two audits are equal, whatever the columns of the other are called."""
    for table in TABLES:
        for name, values in getattr(found, table).columns.items():
            others = getattr(other, table)[name]
            if name == "feature":
                others = np.array([(names or {}).get(one, one) for one in others])
            np.testing.assert_array_equal(values, others, err_msg=f"{table}, {name}")
    assert found.left_out == {(names or {}).get(name, name): why for name, why in other.left_out.items()}


def test_it_is_the_audit_of_the_model_that_puts_rows_into_shape_itself(case):
    net, X, y, found = case
    shape = X.shape[1:]
    flat = kl.audit(nn.Sequential(nn.Unflatten(1, shape), net), X.reshape(len(X), -1), y, max_rows=16)
    names = {f"x{k}": f"x[{', '.join(map(str, place))}]" for k, place in enumerate(np.ndindex(*shape))}
    check_same(found, flat, names)
    assert found.input_shape == shape
    assert flat.input_shape is None


def test_a_table_and_the_shape_of_an_input(audited, hands):
    net, X, y = hands
    again = kl.audit(net, X.reshape(len(X), -1), y, max_rows=16, input_shape=X.shape[1:])
    check_same(audited, again)
    assert again.input_shape == audited.input_shape == (21, 2)


def test_limits_are_those_of_inputs_as_they_are(hands):
    net, X, _ = hands
    X = X[:24]
    whole = kl.audit(net, X, X_test=X)
    sure = kl.far_field(net, X, "features").confidence().reshape(len(X), 21, 2, 2) >= 0.99
    np.testing.assert_allclose(whole.on_places("sure"), np.moveaxis(sure.mean(0), -1, 0))
    assert whole.on_places("sure").shape == (2, 21, 2)


def test_names(hands):
    net, X, y = hands
    names = np.array([[f"{joint} {axis}" for axis in "xy"] for joint in range(21)])
    for given in (names.tolist(), names.ravel()):
        found = kl.audit(net, X, y, max_rows=16, feature_names=given, continuous=[(3, 1), "0 x", 41])
        assert list(dict.fromkeys(found.features["feature"])) == ["0 x", "3 y", "20 y"]
    with pytest.raises(ValueError, match=r"feature_names must name the 42 columns of X. Got 21 instead"):
        kl.audit(net, X, y, feature_names=names.T[0])
    with pytest.raises(ValueError, match=r"continuous must name columns of X, or count them from 0. Got \(21, 0\)"):
        kl.audit(net, X, y, continuous=[(21, 0)])


def test_a_frame_keeps_its_names(hands):
    pandas = pytest.importorskip("pandas")
    net, X, y = hands
    frame = pandas.DataFrame(X.reshape(len(X), -1), columns=[f"c{k}" for k in range(42)])
    found = kl.audit(net, frame, y, max_rows=16, input_shape=(21, 2), X_test=X, y_test=y)
    assert list(found.features["feature"][:3]) == ["c0", "c0", "c1"]
    assert found.on_places("sure").shape == (2, 21, 2)


def test_lists_tensors_and_models_that_were_read(audited, hands):
    net, X, y = hands
    check_same(audited, kl.audit(kl.read(net, X=X), torch.tensor(X), y, max_rows=16))
    read = kl.read(net, X=X.reshape(len(X), -1), input_shape=(21, 2))
    check_same(audited, kl.audit(read, X.reshape(len(X), -1), y, max_rows=16))
    assert kl.audit([net, net], X, y, max_rows=16, continuous=[0, (20, 1)])._found.members == 2
    check_same(audited, kl.audit(net, X, y, max_rows=16, layer="3"))


# --- the model itself, and what else takes it ------------------------------------------------------------------------------


def test_a_model_of_a_shape_takes_tables_too(hands):
    net, X, y = hands
    table = X.reshape(len(X), -1)
    model = kl.read(net, X=table, input_shape=(21, 2))
    assert "features  42, as inputs of shape (21, 2)" in str(model)
    for rows in (X, table):
        np.testing.assert_array_equal(model.predict_proba(rows), kl.read(net, X=X).predict_proba(X))
        np.testing.assert_array_equal(
            kl.far_field(model, rows[:4], "features").probs, kl.far_field(net, X[:4], "features").probs
        )
    detector = kl.detectors.Mahalanobis
    np.testing.assert_array_equal(detector().fit(model, table, y).score(table), detector().fit(net, X, y).score(X))
    one, other = (kl.Guard(m, random_state=0).fit(rows) for m, rows in ((net, X), (model, table)))
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(table))
    flat, shaped = kl.Plane.pca(table), kl.Plane.pca(X)
    np.testing.assert_array_equal(shaped.u, flat.u.reshape(21, 2))
    np.testing.assert_array_equal(kl.horizon(net, shaped).probs, kl.horizon(model, flat).probs)
    assert len(kl.partition(net, shaped)) == len(kl.partition(model, flat))


def test_the_check_of_a_test_suite(hands):
    net, X, y = hands
    table = X.reshape(len(X), -1)
    model = kl.read(net, X=table, input_shape=(21, 2))
    for taken, rows, more in ((net, X, {}), (net, table, {"input_shape": (21, 2)}), (model, table, {})):
        with pytest.raises(AssertionError, match=r"'x\[\d+, [01]\]' to [+-]inf \(100%\)"):
            kl.assert_far_field(taken, rows, 0.2, **more)
    kl.assert_far_field(kl.Guard(net, random_state=0).fit(X), X)
    kl.assert_far_field(kl.Guard(model, random_state=0).fit(table), table)
    laplace = (kl.LastLayerLaplace(m).fit(rows, y) for m, rows in ((net, X), (model, table)))
    for remedy, rows in zip(laplace, (X, table), strict=True):
        kl.assert_far_field(remedy, rows, 1.0)


def test_skorch_says_its_own_predictions():
    skorch = pytest.importorskip("skorch")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 6, 4)).astype(np.float32), rng.integers(0, 2, 60)
    module = nn.Sequential(nn.Conv1d(6, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(9, 2))
    model = skorch.NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, max_epochs=2, verbose=0).fit(X, y)
    table = X.reshape(60, -1)
    found = [kl.audit(model, X, y, X_test=X, y_test=y), kl.audit(model, table, y, input_shape=(6, 4), X_test=table, y_test=y)]
    for one in found:
        assert one.remedies["accuracy"][0] == (model.predict(X) == y).mean()
    with pytest.raises(ValueError, match=r"must take rows of shape \(24,\).*or a table and input_shape="):
        kl.audit(model, table, y)


# --- files ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(hands, tmp_path_factory):
    """The same model in two formats that state the shape, in one that does not, and the data as CSV."""
    import onnx

    net, X, y = hands
    folder = tmp_path_factory.mktemp("shapes")
    names = {"input_names": ["hand"], "dynamic_axes": {"hand": {0: "n"}}, "dynamo": False}
    torch.onnx.export(net, (torch.zeros(2, 21, 2),), str(folder / "hands.onnx"), **names)
    open_ = onnx.load(folder / "hands.onnx")
    for place in (1, 2):
        open_.graph.input[0].type.tensor_type.shape.dim[place].dim_param = f"axis {place}"
    onnx.save(open_, folder / "open.onnx")
    shapes = ({0: torch.export.Dim("batch", min=1)},)
    torch.export.save(torch.export.export(net, (torch.zeros(3, 21, 2),), dynamic_shapes=shapes), folder / "hands.pt2")
    with (folder / "hands.csv").open("w", newline="") as file:
        rows = np.c_[X.reshape(len(X), -1).astype(object), y]
        csv.writer(file).writerows([[*(f"p{k}" for k in range(42)), "sign"], *rows])
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["hands.onnx", "hands.pt2"])
def test_a_file_says_its_shape(name, folder, audited, hands):
    _, X, y = hands
    model, table = kl.load(folder / name), X.reshape(len(X), -1)
    assert kl.read(model).input_shape == (21, 2)
    found = kl.audit(model, table, y, max_rows=16)
    np.testing.assert_allclose(found.features["confidence"], audited.features["confidence"], rtol=1e-5)
    assert list(found.features["feature"]) == list(audited.features["feature"])
    assert kl.far_field(model, table[:2], "features").probs.shape == (1, 168, 3)
    assert kl.Guard(model, random_state=0).fit(table).predict(table).shape == y.shape
    with pytest.raises(
        ValueError, match=r"X must have shape \(n, 21, 2\).*or be a table of 42 columns, one .* Got shape \(90, 41\)"
    ):
        kl.audit(model, table[:, :41])
    with pytest.raises(ValueError, match=r"input_shape must be \(21, 2\), which the model states. Got \(2, 21\)"):
        kl.audit(model, table, input_shape=(2, 21))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_command(folder, tmp_path):
    report = tmp_path / "report.html"
    given = ("audit", folder / "hands.onnx", folder / "hands.csv", "--target", "sign", "--max-rows", "20")
    result = command.run(*given, "--html", report)
    assert (result.returncode, result.stderr) == (0, "")
    assert "3 classes, 42 continuous columns" in result.stdout
    assert "'p" in result.stdout
    assert "Where in the input" in report.read_text()
    open_ = ("audit", folder / "open.onnx", *given[2:])
    result = command.run(*open_)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    result = command.run(*open_, "--input-shape", "21", "2")
    assert (result.returncode, result.stderr) == (0, "")
    result = command.run(*open_, "--input-shape", "42")
    assert "input_shape must be the sizes of the axes of one input, two or more" in result.stderr


# --- what is refused --------------------------------------------------------------------------------------------------------


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.last = nn.Embedding(9, 2), nn.Linear(12, 2)

    def forward(self, x):
        return self.last(self.words(x.long()).flatten(1))


def test_what_does_not_fit(hands):
    net, X, y = hands
    table = X.reshape(len(X), -1)
    with pytest.raises(ValueError, match=r"must take rows of shape \(42,\).*or a table and input_shape="):
        kl.audit(net, table)
    with pytest.raises(ValueError, match=r"must have shape \(n, 21, 2\).*table of 42 columns, one .* Got shape \(90, 41\)"):
        kl.audit(net, table[:, :41], input_shape=(21, 2))
    with pytest.raises(ValueError, match=r"X_test must have shape \(n, 21, 2\).* Got shape \(90, 2, 21\)"):
        kl.audit(net, X, X_test=X.swapaxes(1, 2))
    for wrong in ((42,), (21, 0), (21, 2.0), "ab", 42, (True, 42)):
        with pytest.raises(ValueError, match="input_shape must be the sizes of the axes of one input, two or more"):
            kl.audit(net, table, input_shape=wrong)
    own = kl.NeuralNetwork(epochs=1, random_state=0).fit(table, y)
    with pytest.raises(ValueError, match=r"X must be a table of 42 columns, which the model takes.*X.reshape\(len\(X\), -1\)"):
        kl.audit(own, X)
    with pytest.raises(ValueError, match="input_shape must be None for a model that takes tables"):
        kl.read(kl.read(nn.Linear(42, 2)), input_shape=(21, 2))
    with pytest.raises(ValueError, match="input_shape must be None where inputs"):
        kl.read(net, inputs=([0], [1]), input_shape=(21, 2))
    codes = np.random.default_rng(0).integers(0, 9, (60, 2, 3))
    with pytest.raises(ValueError, match=r"x\[0, 0\]: goes through whole numbers inside the model"):
        kl.audit(Tokens(), codes, continuous="all")


def test_a_class_for_each_step_is_no_ensemble():
    X = np.random.default_rng(0).normal(size=(40, 5, 4))
    with pytest.raises(
        ValueError, match=r"outputs of shape \(5, 3\) for inputs of shape \(5, 4\), which may be a class for each"
    ):
        kl.audit(nn.Linear(4, 3), X)


# --- maps -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "expected", "names"),
    [
        ((21, 2), (1, 21, 2), [""]),
        ((1, 16), (1, 1, 16), [""]),
        ((1, 8, 8), (1, 8, 8), [""]),
        ((3, 8, 9), (3, 8, 9), ["x[0, :, :]", "x[1, :, :]", "x[2, :, :]"]),
        ((8, 9, 2), (2, 8, 9), ["x[:, :, 0]", "x[:, :, 1]"]),
        ((2, 3, 4, 5), (6, 4, 5), None),
        ((1, 1), (1, 1, 1), [""]),
    ],
)
def test_panels(shape, expected, names):
    found = panels(shape)
    assert found.shape == expected
    assert sorted(found.ravel()) == list(range(found.size))
    if names is not None:
        assert panel_names(shape) == names
    # Each panel is what its name takes from an input.
    columns = np.arange(found.size).reshape(shape)
    for panel, name in zip(found, panel_names(shape), strict=True):
        if name:
            np.testing.assert_array_equal(panel.ravel(), eval(name, {"x": columns}).ravel())


def test_maps_show_what_the_table_says(audited):
    table = audited.features
    for towards, way in ((-np.inf, 0), (np.inf, 1)):
        row = table.where(feature="x[3, 1]", towards=towards)
        assert audited.on_places("settled_sd")[way, 3, 1] == row["settled_sd"][0]
    figure = plots.places(audited, "settled_sd")
    down, up = figure.axes[:2]
    np.testing.assert_array_equal(down.images[0].get_array().filled(np.nan), audited.on_places("settled_sd")[0])
    np.testing.assert_array_equal(up.images[0].get_array().filled(np.nan), audited.on_places("settled_sd")[1])
    plt.close(figure)
    with pytest.raises(ValueError, match=r"name must be one of sure, confidence.* Got 'classes'"):
        audited.on_places("classes")


def test_places_that_stay_have_no_number():
    torch.manual_seed(0)
    net, X, y = digits()
    found = kl.audit(net, X, y, max_rows=16)
    stays = {name: why for name, why in found.left_out.items() if why == "constant, 0"}
    assert len(stays) > 3
    for name in stays:
        assert np.isnan(eval(name, {"x": found.on_places("sure")[1]}))
    assert np.isfinite(found.on_places("sure")).sum() == len(found.features)


def test_the_map_of_a_report(audited, tmp_path):
    path = tmp_path / "report.html"
    audited.to_html(path)
    text = path.read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])["map"]
    assert "an input of shape 21 \N{MULTIPLICATION SIGN} 2" in text
    assert data["shape"] == [1, 21, 2]
    assert data["names"] == place_names((21, 2))
    shown = {one["id"]: one["values"] for one in data["shown"]}
    np.testing.assert_allclose(shown["sure"], audited.on_places("sure").reshape(2, -1), atol=1e-4)


def test_a_table_has_no_map(tmp_path):
    X = np.random.default_rng(0).normal(size=(40, 3))
    found = kl.audit(nn.Linear(3, 2), X)
    found.to_html(tmp_path / "report.html")
    assert "Where in the input" not in (tmp_path / "report.html").read_text()
    with pytest.raises(ValueError, match="X must have inputs of several axes"):
        found.on_places("sure")


def test_rows_are_fewer_where_layers_are_large(monkeypatch, hands):
    from knowlimits.auditing.find import features

    net, X, y = hands
    monkeypatch.setattr(features, "_HEAVY", 1)
    found = kl.audit(net, X, y)
    assert found._found.features.rows[:3] == (8, 8, 8)
    assert "over 8 rows for the model" in found.notes[1]

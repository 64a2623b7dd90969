"""A model is read once: what a `Model` says of it, that everything takes one, and that nothing changes or copies it again."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_wine
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

import knowlimits as kl
from knowlimits.model import kinds
from knowlimits.model import model as model_module
from knowlimits.model.copies import copied

X, Y = load_wine(return_X_y=True, as_frame=True)
NAMES, X = list(X.columns), StandardScaler().fit_transform(X)
FLAT = X[:, :2]


def network(features=2, classes=3, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(features, 6), nn.ReLU(), nn.Linear(6, classes)).double()


class Counted(nn.Module):
    """Has a name of its own."""

    def __init__(self, features=13, classes=3):
        super().__init__()
        self.network = network(features, classes)

    def forward(self, x):
        return self.network(x)


class Copies(list):
    """The modules that were copied since this was made."""

    def counted(self):
        return sum(isinstance(module, Counted) or isinstance(getattr(module, "module", None), Counted) for module in self)


@pytest.fixture
def copies(monkeypatch):
    noted = Copies()

    def noting(modules, device=None):
        noted.extend(modules)
        return copied(modules, device)

    for place in (kinds.modules, kinds.lists, model_module):
        monkeypatch.setattr(place, "copied", noting)
    return noted


def test_an_audit_reads_its_model_once(copies):
    found = kl.audit(Counted(), X, Y)
    assert copies.counted() == 1
    assert len(found.features) == 26
    str(found)
    assert copies.counted() == 1


def test_a_report_reads_no_model(tmp_path, copies):
    found = kl.audit(Counted(), X, Y)
    found.to_html(tmp_path / "report.html")
    assert copies.counted() == 1


CALLS = {
    "far_field": lambda m: kl.far_field(m, FLAT, "features").probs,
    "gradient of a limit": lambda m: kl.limits.gradient_magnitude(m, kl.far_field(network(), FLAT, "features")),
    "gradient_magnitude": lambda m: kl.scores.gradient_magnitude(m, FLAT, "entropy"),
    "partition": lambda m: kl.partition(m).vertices,
    "partition of a member": lambda m: kl.partition(m, member=0).vertices,
    "breakpoints": lambda m: kl.breakpoints(m, [0.0, 0.0], direction=[1.0, 0.5]).positions,
    "horizon": lambda m: kl.horizon(m).probs,
    "horizon of a member": lambda m: kl.horizon(m, member=0).probs,
    "detector": lambda m: kl.detectors.Mahalanobis().fit(m, FLAT, Y).far_field(FLAT, "features").coefficient,
    "detector of logits": lambda m: kl.detectors.Energy().fit(m, FLAT).score(FLAT),
    "guard": lambda m: kl.Guard(m, random_state=0).fit(FLAT).predict_proba(FLAT),
    "laplace": lambda m: kl.LastLayerLaplace(m).fit(FLAT, Y).far_field(FLAT, "features").probs,
    "audit": lambda m: kl.audit(m, FLAT, Y).features["sure"],
    "assert_far_field": lambda m: kl.assert_far_field(m, FLAT, 1.0) or np.zeros(1),
}


@pytest.mark.parametrize("name", CALLS)
def test_everything_takes_a_model_that_was_read_and_copies_it_no_more(name, copies):
    module = Counted(2)
    expected = CALLS[name](module)
    model = kl.read(module)
    copies.clear()
    before = copy.deepcopy(model.inner[0].brought.network).state_dict()
    np.testing.assert_array_equal(CALLS[name](model), expected)
    assert copies.counted() == 0
    (inner,) = model.inner
    for key, value in inner.brought.network.state_dict().items():
        assert torch.equal(value, before[key])
    assert not any(p.requires_grad for p in inner.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in inner.modules())


def test_the_model_itself_is_changed_by_nothing_and_changes_nothing():
    module = network().float()
    model = kl.read(module)
    expected = model.predict_proba(FLAT)
    with torch.no_grad():
        module[0].weight.zero_()
    np.testing.assert_array_equal(model.predict_proba(FLAT), expected)
    assert module[0].weight.dtype == torch.float32
    assert module[0].weight.requires_grad
    assert kl.read(model) is model


def test_a_device_has_a_copy_of_its_own():
    model = kl.read([network(), network(seed=1)])
    assert model.to("cpu") is model
    elsewhere = model.to("meta")
    assert elsewhere.device.type == "meta"
    assert model.device.type == "cpu"
    assert all(p.device.type == "cpu" for one in model.networks for p in one.parameters())
    pipeline = make_pipeline(StandardScaler(), kl.NeuralNetwork(epochs=1, random_state=0)).fit(X, Y)
    moved = kl.read(pipeline).to("meta")
    assert {p.device.type for one in moved.networks for p in one.parameters()} == {"meta"}
    assert kl.read(pipeline).predict_proba(X).shape == (178, 3)


def encoded():
    columns = ColumnTransformer([("a", StandardScaler(), list(range(12))), ("b", OneHotEncoder(), [12])])
    return make_pipeline(columns, MLPClassifier((5,), max_iter=3, random_state=0))


CODES = np.c_[X[:, :12], Y]
KINDS = {
    "ensemble": (lambda: kl.Ensemble(members=3, epochs=2, random_state=0).fit(X, Y), X),
    "one logit": (lambda: kl.Ensemble(members=3, epochs=2, random_state=0).fit(X, Y > 0), X),
    "MLPClassifier": (lambda: MLPClassifier((5,), max_iter=3, random_state=0).fit(X, Y), X),
    "affine steps": (lambda: make_pipeline(StandardScaler(), MLPClassifier((5,), max_iter=3, random_state=0)).fit(X, Y), X),
    "steps and members": (lambda: make_pipeline(StandardScaler(), kl.Ensemble(members=3, epochs=2)).fit(X, Y), X),
    "encoder": (lambda: encoded().fit(CODES, Y), CODES),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_read_predicts_as_the_original_and_can_be_pickled(kind):
    make, rows = KINDS[kind]
    original = make()
    model = kl.read(original)
    np.testing.assert_allclose(model.predict_proba(rows), original.predict_proba(rows), atol=1e-12)
    np.testing.assert_array_equal(model.classes_, original.classes_)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_members(rows), model.predict_members(rows))
    assert str(again) == str(model)


# torch's own deprecation, within its copy of a program.
@pytest.mark.filterwarnings("ignore:`isinstance:FutureWarning")
def test_programs_and_dropout_members_can_be_pickled():
    net = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3))
    program = torch.export.export(net.eval(), (torch.zeros(4, 2),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for model in map(kl.read, (program, kl.dropout_members(net, 3, random_state=0))):
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(kl.far_field(again, FLAT, "features").probs, kl.far_field(model, FLAT, "features").probs)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_was_understood_is_printed():
    import pandas

    frame = pandas.DataFrame(X, columns=NAMES)
    labels = np.array(["red", "white", "other"])[Y]
    model = kl.read(make_pipeline(StandardScaler(), kl.Ensemble(members=3, epochs=1)).fit(frame, labels))
    assert str(model).splitlines() == [
        "Ensemble",
        "  members   3",
        "  features  13: alcohol, malic_acid, ash, alcalinity_of_ash, magnesium, ...",
        "  classes   3: other, red, white",
        "  outputs   logits",
        "  steps     StandardScaler",
        "  columns   13 in a straight line",
    ]
    assert "outputs   probabilities" in str(kl.read(nn.Sequential(nn.Linear(2, 2), nn.Softmax(1)), outputs="probabilities"))
    held = str(kl.read(encoded().fit(CODES, Y)))
    assert "steps     ColumnTransformer\n  columns   12 in a straight line, 1 held (OneHotEncoder)" in held


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_columns_that_are_held_are_refused_where_rays_need_them_and_not_before():
    model = kl.read(encoded().fit(CODES, Y), X=CODES)
    with pytest.raises(TypeError, match=r"directions must be 0 in columns that cannot move.*OneHotEncoder"):
        kl.far_field(model, CODES, "features")
    directions = np.zeros_like(CODES)
    directions[:, 3] = 1.0
    far = kl.far_field(model, CODES, directions)
    np.testing.assert_allclose(far.probs[0], encoded().fit(CODES, Y).predict_proba(CODES + 1e9 * directions), atol=1e-6)
    assert len(kl.audit(model, CODES, Y).features) == 24


def test_members_one_by_one():
    model = kl.read(kl.Ensemble(members=3, epochs=2, random_state=0).fit(X, Y > 0))
    members = model.predict_members(X)
    for index, one in enumerate(model.one_by_one()):
        np.testing.assert_allclose(one.predict_members(X)[0], members[index], rtol=1e-12)
        np.testing.assert_array_equal(one.classes_, [False, True])
    assert [one.networks[0].module[-1].out_features for one in model.one_by_one(pad=False)] == [1, 1, 1]
    with pytest.raises(ValueError, match=r"member must be in 0 to 2\. Got 3"):
        model.member(3)
    together = kl.read([model, kl.NeuralNetwork(epochs=1, random_state=0).fit(X, Y > 0)])
    assert together.predict_members(X).shape == (4, 178, 2)


@pytest.mark.parametrize("outputs", [None, "probabilities"])
def test_a_final_softmax_changes_nothing(outputs):
    logits = network()
    model, plain = kl.read(nn.Sequential(logits, nn.Softmax(1)), outputs=outputs), kl.read(logits)
    np.testing.assert_allclose(model.predict_proba(FLAT), plain.predict_proba(FLAT), rtol=1e-12)
    for name in CALLS:
        np.testing.assert_allclose(CALLS[name](model), CALLS[name](plain), atol=1e-9, err_msg=name)
    with pytest.raises(ValueError, match=r"outputs must be 'probabilities', as which the model was read\. Got 'logits'"):
        kl.far_field(model, FLAT, FLAT, outputs="logits")
    with pytest.raises(ValueError, match=r"outputs must be one of 'logits'.* Got 'scores'"):
        kl.read(logits, outputs="scores")


def test_what_is_of_no_known_family_is_told_which_there_are():
    model = DummyClassifier().fit(np.zeros((4, 2)), [0, 1, 0, 1])
    with pytest.raises(
        TypeError, match=r"nearest neighbours, trees.*Got DummyClassifier instead: knowlimits.Guard and know.*Inp"
    ):
        kl.read(model)
    assert kl.Guard(model).fit(np.random.default_rng(0).normal(size=(40, 2))).predict_proba(np.zeros((1, 2))).shape == (1, 2)
    with pytest.raises(TypeError, match=r"Got dict_keys instead\.$"):
        kl.read({}.keys())


def test_a_family_says_what_it_is_made_of():
    X = np.random.default_rng(0).normal(size=(60, 2))
    y = (X[:, 0] > 0).astype(int)
    forest = RandomForestClassifier(3, random_state=0).fit(X, y)
    assert "  outputs   probabilities, of 3 trees\n" in str(kl.read(forest))
    assert str(kl.read(forest)).endswith("columns   as the model takes them")
    vote = VotingClassifier([("a", forest), ("b", MLPClassifier((2,), max_iter=5))], voting="soft", weights=[1, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = kl.read(vote.fit(X, y))
    assert found.made_of == "3 trees and a network"
    assert "  outputs   probabilities, of 3 trees and a network\n" in str(found)
    assert kl.read([forest, forest]).made_of == "2 times 3 trees"
    assert kl.read(nn.Linear(2, 2)).made_of == kl.read(nn.Linear(2, 2)).no_network == ""

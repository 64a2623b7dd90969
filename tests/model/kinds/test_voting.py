import numpy as np
import pytest
from sklearn.ensemble import VotingClassifier
from sklearn.semi_supervised import LabelSpreading

import knowlimits as kl
from knowlimits.model.endings import Outputs
from knowlimits.model.kinds import voting
from tests.model.kinds.checks import agrees, data, mlp, pipeline

PARTS = [("a", mlp(0)), ("b", pipeline(1)), ("c", mlp(2))]


@pytest.mark.parametrize("name", ["wine", "cancer"])
def test_equal_weights_are_members(name: str):
    X, y = data(name)
    for weights in (None, [2, 2, 2]):
        found = agrees(VotingClassifier(PARTS, voting="soft", weights=weights).fit(X, y), X)
        assert (found.members, found.returns) == (3, Outputs.LOGITS)


@pytest.mark.parametrize("name", ["wine", "cancer"])
@pytest.mark.parametrize("weights", [[1, 2, 5], [0, 3, 1]])
def test_weights(name: str, weights: list[int]):
    X, y = data(name)
    found = agrees(VotingClassifier(PARTS, voting="soft", weights=weights).fit(X, y), X)
    assert (found.members, found.returns) == (1, Outputs.LOG_PROBABILITIES)


def test_gradients_of_scores_against_differences():
    X, y = data("wine")
    model = VotingClassifier(PARTS, voting="soft", weights=[1, 2, 5]).fit(X, y)
    lengths = kl.scores.gradient_magnitude(model, X[:5], "entropy")
    step = 1e-6 * np.eye(X.shape[1])
    sides = [kl.scores.entropy(model.predict_proba(row + way * step)[None]) for row in X[:5] for way in (1, -1)]
    differences = [(up - down) / 2e-6 for up, down in zip(sides[::2], sides[1::2], strict=True)]
    np.testing.assert_allclose(lengths, np.linalg.norm(differences, axis=1), rtol=1e-5, atol=1e-8)


def test_a_weight_of_0_leaves_one_part():
    X, y = data("wine")
    found = agrees(VotingClassifier(PARTS, voting="soft", weights=[0, 0, 1]).fit(X, y), X)
    assert (found.members, found.returns) == (1, Outputs.LOGITS)


def test_dropped_parts_and_labels_of_text():
    X, y = data("wine")
    model = VotingClassifier(PARTS, voting="soft", weights=[5, 1, 3]).set_params(b="drop").fit(X, np.array(["u", "v", "w"])[y])
    assert agrees(model, X).classes_.tolist() == ["u", "v", "w"]


def test_parts_with_different_numbers_of_members_count_the_same():
    X, y = data("wine")
    ensemble = kl.Ensemble((5,), members=3, epochs=3, random_state=0)
    model = VotingClassifier([("a", mlp(0)), ("ours", ensemble)], voting="soft").fit(X, y)
    assert agrees(model, X, 1e-6).members == 1


def test_votes_that_are_counted():
    X, y = data("wine")
    with pytest.raises(ValueError, match="voting='soft'"):
        kl.read(VotingClassifier(PARTS).fit(X, y))


def test_a_part_that_is_no_network_is_named():
    X, y = data("wine")
    model = VotingClassifier([("a", mlp(0)), ("graph", LabelSpreading())], voting="soft").fit(X, y)
    with pytest.raises(TypeError, match=r"part 'graph' of VotingClassifier: model must be a.*Got LabelSpreading"):
        kl.read(model)


def test_negative_weights():
    X, y = data("wine")
    with pytest.raises(ValueError, match="weights must be 3 numbers of at least 0"):
        kl.read(VotingClassifier(PARTS, voting="soft", weights=[2, -1, 1]).fit(X, y))


def test_parts_that_were_dropped_after_fitting():
    X, y = data("wine")
    with pytest.raises(ValueError, match=r"with 2 of them named and 3 fitted: call fit again"):
        kl.read(VotingClassifier(PARTS, voting="soft").fit(X, y).set_params(b="drop"))


def test_lost_weights_are_noticed(monkeypatch: pytest.MonkeyPatch):
    X, y = data("wine")
    model = VotingClassifier(PARTS, voting="soft", weights=[1, 2, 5]).fit(X, y)
    mean = voting.mean
    monkeypatch.setattr(voting, "mean", lambda parts, weights, classes: mean(parts, None, classes))
    for rows in (X, None):
        with pytest.raises(ValueError, match="cannot be read for certain"):
            kl.read(model, X=rows)

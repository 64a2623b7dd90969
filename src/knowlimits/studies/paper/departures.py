"""Where this library departs from the published code of Ulmer and Cina (2021), each departure measured.

The published code does some things otherwise than its paper, or the papers that it cites, say. We rebuild what they mean:

1. MC dropout: the networks are in eval mode when they predict, so no mask is drawn and all passes agree. Gal and
   Ghahramani (2016) draw one for every pass.
2. Mutual information: averages over classes where Smith and Gal (2018) average over samples, and sums the entropy over the
   samples. For ten members it is 5 bits minus the expected entropy: certain points come out as the most uncertain.
3. Bayes by backprop: every mini-batch gets the whole KL term. In Blundell et al. (2015, section 3.4) the weights of an
   epoch's mini-batches add up to one.
4. Bootstrap: a network that has learnt from its bootstrap sample goes on to learn from all data, which takes away what
   set it apart. Breiman (1996) trains on the sample alone.
5. AUC: computed from hard labels on the training data, where it is the balanced accuracy. The area under the ROC curve
   asks for scores, and for data that the model has not seen.
6. Anchored ensembles: the penalty is the norm of ``theta - anchor`` where Pearce et al. (2020) have its square, so it pulls
   with the same force from any distance; it multiplies by the prior's scale where a Gaussian's precision divides; it is
   divided by the size of the mini-batch, not of the data; anchors and initial weights have standard deviation
   (2 / k)^(1/4) where the prior that the code names, He's, has (2 / k)^(1/2). That wider start is what shows: at these
   settings it classifies better after 20 epochs, and with or without the penalty alike.
7. Platt scaling: early stopping compares the losses of single mini-batches, so training ends on their noise. Platt
   (1999) minimises over the whole validation set.
8. Entropy: adds 1e-8 inside the logarithm, in float32, so that its gradient is cut off to 0 where a network is sure.
   Ours is in float64 and keeps its relative accuracy there.
9. Weight samples of Bayes by backprop: drawn anew at every call, so no two maps of a model are of the same networks, and
   the mean is of 50 passes, the variance of 10 others. Ours are drawn once, at fit time.

`measure_departures` computes the published behaviour next to ours on the same data.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.metrics import log_loss, roc_auc_score

from knowlimits import scores
from knowlimits.model.stack import Stack
from knowlimits.progress import progress_bar
from knowlimits.studies.half_moons import build, measure, settings, train_models
from knowlimits.studies.paper import published
from knowlimits.studies.paper.maps import grid
from knowlimits.train import classifiers
from knowlimits.train.classifiers import StackClassifier, fit_together
from knowlimits.train.classifiers.holdout import Split

# Probabilities by every member.
_Predictor = Callable[[np.ndarray], np.ndarray]

# Of the published code: members or passes behind the variance and the mutual information.
_PASSES = 10


@dataclass(frozen=True)
class Departure:
    """One measurement of a difference, the mean over the draws of the data.

    Attributes:
        number: of the difference in this module's list.
        title: what differs, in a few words.
        measure: what was measured.
        published: as the published code does it.
        ours: as this library does it.
    """

    number: int
    title: str
    measure: str
    published: float
    ours: float


def measure_departures(data: Sequence[Split], names: Sequence[str], verbose: bool = False) -> list[Departure]:
    """The differences between the published code and ours that concern some models, measured on the same draws of the data.

    Args:
        data: draws of the half-moons; the values are means over them.
        names: published names of the models.
        verbose: show a progress bar.
    """
    chosen = {number: entry for number, entry in enumerate(_DEPARTURES, 1) if set(entry[0]) <= set(names)}
    results = []
    with progress_bar("departures from the published code", len(chosen), verbose) as advance:
        for number, (_, title, function) in chosen.items():
            for name, (published, ours) in function(data).items():
                results.append(Departure(number, title, name, float(np.mean(published)), float(np.mean(ours))))
            if advance:
                advance(1)
    return results


# What a departure's function returns: from the measure's name to the values, published and ours, one for each draw.
_Pairs = dict[str, tuple[list[float], list[float]]]


def _eval_mode(data: Sequence[Split]) -> _Pairs:
    points = _score_grid()
    (ours,) = train_models(["MCDropout"], data)
    # The same seed trains the same network: without masks, it is what the published code asks ten times.
    parameters = {k: v for k, v in ours[0].get_params().items() if k not in ("members", "random_state")}
    same = [classifiers.NeuralNetwork(**parameters, random_state=seed) for seed in range(len(data))]
    fit_together(_tasks(same, data))
    theirs = [float(scores.variance(np.repeat(m.predict_members(points), _PASSES, 0)).max()) for m in same]
    return {"largest class variance on the grid": (theirs, [float(m.uncertainty(points, "variance").max()) for m in ours])}


def _mutual_information(data: Sequence[Split]) -> _Pairs:
    points = _score_grid()
    (ensembles,) = train_models(["NNEnsemble"], data)
    probs = [m.predict_members(points) for m in ensembles]
    theirs = [published.mutual_information(p) for p in probs]
    ours = [scores.mutual_information(p, base=2) for p in probs]
    return {
        "smallest on the grid, bits": ([t.min() for t in theirs], [o.min() for o in ours]),
        "largest on the grid, bits": ([t.max() for t in theirs], [o.max() for o in ours]),
        "rank correlation with the members' own entropy": _both(
            [
                [_rank_correlation(value, scores.expected_entropy(p)) for value, p in zip(side, probs, strict=True)]
                for side in (theirs, ours)
            ]
        ),
    }


def _whole_kl(data: Sequence[Split]) -> _Pairs:
    (ours,) = train_models(["BBB"], data)
    beta = settings()["models"]["BBB"]["parameters"]["beta"]
    # Uniform weights divide the KL term by the rows: times the rows, it is whole in every mini-batch.
    theirs = [build("BBB", s).set_params(kl_weights="uniform", beta=beta * len(d.X)) for s, d in enumerate(data)]
    fit_together(_tasks(theirs, data))
    return _quality([m.predict_members for m in theirs], [m.predict_members for m in ours], data)


def _bootstrap(data: Sequence[Split]) -> _Pairs:
    """Against the same ensemble without a bootstrap; all have had as many steps."""
    epochs = 2 * settings()["training"]["epochs"]
    ours = [
        [build("NNEnsemble", seed).set_params(bootstrap=bootstrap, epochs=epochs) for seed in range(len(data))]
        for bootstrap in (True, False)
    ]
    fit_together([task for side in ours for task in _tasks(side, data)])
    members = settings()["models"]["NNEnsemble"]["parameters"]["members"]
    theirs = []
    for bootstrap in (True, False):
        theirs.append([])
        for seed, d in enumerate(data):
            random = np.random.default_rng(seed)
            everything = np.tile(np.arange(len(d.X)), (members, 1))
            # Drawn either way, so that both ensembles start and shuffle alike.
            sample = random.integers(0, len(d.X), everything.shape)
            stages = [sample if bootstrap else everything, everything]
            theirs[-1].append(published.train(published.start(members, random), d, stages, random))

    def gain(predictors: list[list[_Predictor]]) -> list[float]:
        means = np.array(
            [[scores.mutual_information(f(d.X_test)).mean() for f, d in zip(p, data, strict=True)] for p in predictors]
        )
        return (means[0] / means[1] - 1).tolist()

    return {
        "mutual information on test data that the bootstrap adds, share": (
            gain([[_members(stack) for stack in side] for side in theirs]),
            gain([[m.predict_members for m in side] for side in ours]),
        )
    }


def _hard_labels(data: Sequence[Split]) -> _Pairs:
    (networks,) = train_models(["NN"], data)
    rows = [measure(m, d) for m, d in zip(networks, data, strict=True)]
    return {"AUC": ([row["published_auc"] for row in rows], [row["auc"] for row in rows])}


def _anchors(data: Sequence[Split]) -> _Pairs:
    points = _score_grid()
    (ours,) = train_models(["AnchoredNNEnsemble"], data)
    members = settings()["models"]["AnchoredNNEnsemble"]["parameters"]["members"]
    theirs = []
    for seed, d in enumerate(data):
        random = np.random.default_rng(seed)
        start, anchors = (published.prior(members, random) for _ in range(2))
        everything = np.tile(np.arange(len(d.X)), (members, 1))
        theirs.append(_members(published.train(start, d, [everything], random, published.penalty(anchors))))
    sides = theirs, [m.predict_members for m in ours]
    return {
        "mean class variance on the grid": _both([[scores.variance(f(points)).mean() for f in side] for side in sides]),
        **_quality(*sides, data),
    }


def _platt(data: Sequence[Split]) -> _Pairs:
    networks, ours = train_models(["NN", "PlattScalingNN"], data)
    theirs = []
    for seed, (network, d) in enumerate(zip(networks, data, strict=True)):
        slope, shift = published.platt_scaling(_logits(network, d.X_val), d.y_val, seed)
        theirs.append(float(log_loss(d.y_test, expit(slope * _logits(network, d.X_test) + shift))))
    return {"test log loss": (theirs, [_log_loss(m.predict_members, d) for m, d in zip(ours, data, strict=True)])}


def _epsilon(data: Sequence[Split]) -> _Pairs:
    *extent, step = settings()["grid"]["gradients"]
    points, _ = grid([3 * side for side in extent] + [3 * step])
    (networks,) = train_models(["NN"], data)
    lengths = [[published.entropy_gradient(m.stack_, points) for m in networks]]
    lengths.append([scores.gradient_magnitude(m, points, "entropy") for m in networks])
    return {
        "share of a grid three times as wide where entropy's gradient is exactly 0": _both(
            [[float((length == 0).mean()) for length in side] for side in lengths]
        )
    }


def _redraws(data: Sequence[Split]) -> _Pairs:
    points = _score_grid()
    (ours,) = train_models(["BBB"], data)

    def change(first: np.ndarray, second: np.ndarray) -> float:
        one, two = scores.variance(first), scores.variance(second)
        return float(np.abs(one - two).mean() / one.mean())

    # Weight samples are independent, so ten members and the next ten are two calls of the published code.
    calls = [m.predict_members(points)[: 2 * _PASSES] for m in ours]
    theirs = [change(c[:_PASSES], c[_PASSES:]) for c in calls]
    return {
        "change of the variance map from call to call, share of its mean": (
            theirs,
            [change(m.predict_members(points), m.predict_members(points)) for m in ours],
        )
    }


# In the order of the list above: the models concerned, the title, the function.
_DEPARTURES: tuple[tuple[tuple[str, ...], str, Callable[[Sequence[Split]], _Pairs]], ...] = (
    (("MCDropout",), "MC dropout predicts in eval mode", _eval_mode),
    (("NNEnsemble",), "mutual information averages over classes", _mutual_information),
    (("BBB",), "whole KL term in every mini-batch", _whole_kl),
    (("NNEnsemble",), "bootstrap, then all data", _bootstrap),
    (("NN",), "AUC of hard labels on training data", _hard_labels),
    (("AnchoredNNEnsemble",), "anchors: norm, scale and start", _anchors),
    (("NN", "PlattScalingNN"), "Platt scaling stops on mini-batches", _platt),
    (("NN",), "1e-8 inside the logarithm, float32", _epsilon),
    (("BBB",), "weights drawn anew at every call", _redraws),
)


def _score_grid() -> np.ndarray:
    return grid(settings()["grid"]["scores"])[0]


def _tasks(classifiers: Sequence[StackClassifier], data: Sequence[Split]) -> list[tuple[Any, ...]]:
    return [(c, d.X, d.y, d.X_val, d.y_val) for c, d in zip(classifiers, data, strict=True)]


def _members(stack: Stack) -> _Predictor:
    def predict(X: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return scores.probabilities(stack(torch.tensor(X))).numpy()

    return predict


def _logits(model: StackClassifier, X: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model.stack_(torch.tensor(X))[0, :, 1].numpy()


def _auc(predict: _Predictor, data: Split) -> float:
    return float(roc_auc_score(data.y_test, predict(data.X_test).mean(0)[:, 1]))


def _log_loss(predict: _Predictor, data: Split) -> float:
    return float(log_loss(data.y_test, predict(data.X_test).mean(0)))


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def _both(values: Sequence[list[float]]) -> tuple[list[float], list[float]]:
    theirs, ours = values
    return theirs, ours


def _quality(theirs: Sequence[_Predictor], ours: Sequence[_Predictor], data: Sequence[Split]) -> _Pairs:
    """Test AUC and log loss of predictors, one for each draw of the data."""
    return {
        name: _both([[metric(f, d) for f, d in zip(side, data, strict=True)] for side in (theirs, ours)])
        for name, metric in (("test AUC", _auc), ("test log loss", _log_loss))
    }

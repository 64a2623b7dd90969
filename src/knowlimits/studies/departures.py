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

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.metrics import log_loss, roc_auc_score
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from knowlimits import scores
from knowlimits.model.stack import Stack
from knowlimits.progress import progress_bar
from knowlimits.studies.half_moons import build, grid, measure, settings, train_models
from knowlimits.train import classifiers
from knowlimits.train.classifiers import StackClassifier, fit_together
from knowlimits.train.classifiers.holdout import Split

#: Weights of many networks, `(networks, out, in)`, and biases, `(networks, out)`, layer after layer.
Layers = list[Tensor]
#: A penalty for each network, of weights and of the number of rows in the mini-batch.
Penalty = Callable[[Layers, int], Tensor]
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
    published = [float(scores.variance(np.repeat(m.predict_members(points), _PASSES, 0)).max()) for m in same]
    return {"largest class variance on the grid": (published, [float(m.uncertainty(points, "variance").max()) for m in ours])}


def published_mutual_information(probs: np.ndarray) -> np.ndarray:
    """What the published code calls mutual information, in bits, of ``(members, n, classes)`` probabilities."""

    def entropy(p: np.ndarray, axis: int) -> np.ndarray:
        return -(p * np.log2(p + 1e-8)).sum(axis)

    return entropy(probs.mean(2), 0) - entropy(probs, 2).mean(0)


def _mutual_information(data: Sequence[Split]) -> _Pairs:
    points = _score_grid()
    (ensembles,) = train_models(["NNEnsemble"], data)
    probs = [m.predict_members(points) for m in ensembles]
    theirs = [published_mutual_information(p) for p in probs]
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
    published = [build("BBB", s).set_params(kl_weights="uniform", beta=beta * len(d.X)) for s, d in enumerate(data)]
    fit_together(_tasks(published, data))
    return _quality([m.predict_members for m in published], [m.predict_members for m in ours], data)


def _bootstrap(data: Sequence[Split]) -> _Pairs:
    """Against the same ensemble without a bootstrap; all have had as many steps."""
    epochs = 2 * settings()["training"]["epochs"]
    ours = [
        [build("NNEnsemble", seed).set_params(bootstrap=bootstrap, epochs=epochs) for seed in range(len(data))]
        for bootstrap in (True, False)
    ]
    fit_together([task for side in ours for task in _tasks(side, data)])
    members = settings()["models"]["NNEnsemble"]["parameters"]["members"]
    published = []
    for bootstrap in (True, False):
        published.append([])
        for seed, d in enumerate(data):
            random = np.random.default_rng(seed)
            everything = np.tile(np.arange(len(d.X)), (members, 1))
            # Drawn either way, so that both ensembles start and shuffle alike.
            sample = random.integers(0, len(d.X), everything.shape)
            stages = [sample if bootstrap else everything, everything]
            published[-1].append(train_as_published(_uniform(members, random), d, stages, random))

    def gain(predictors: list[list[_Predictor]]) -> list[float]:
        means = np.array(
            [[scores.mutual_information(f(d.X_test)).mean() for f, d in zip(p, data, strict=True)] for p in predictors]
        )
        return (means[0] / means[1] - 1).tolist()

    return {
        "mutual information on test data that the bootstrap adds, share": (
            gain([[_members(stack) for stack in side] for side in published]),
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
    published = []
    for seed, d in enumerate(data):
        random = np.random.default_rng(seed)
        start, anchors = (published_prior(members, random) for _ in range(2))
        everything = np.tile(np.arange(len(d.X)), (members, 1))
        published.append(_members(train_as_published(start, d, [everything], random, published_penalty(anchors))))
    sides = published, [m.predict_members for m in ours]
    return {
        "mean class variance on the grid": _both([[scores.variance(f(points)).mean() for f in side] for side in sides]),
        **_quality(*sides, data),
    }


def _platt(data: Sequence[Split]) -> _Pairs:
    networks, ours = train_models(["NN", "PlattScalingNN"], data)
    published = []
    for seed, (network, d) in enumerate(zip(networks, data, strict=True)):
        slope, shift = published_platt_scaling(_logits(network, d.X_val), d.y_val, seed)
        published.append(float(log_loss(d.y_test, expit(slope * _logits(network, d.X_test) + shift))))
    return {"test log loss": (published, [_log_loss(m.predict_members, d) for m, d in zip(ours, data, strict=True)])}


def _epsilon(data: Sequence[Split]) -> _Pairs:
    *extent, step = settings()["grid"]["gradients"]
    points, _ = grid([3 * side for side in extent] + [3 * step])
    (networks,) = train_models(["NN"], data)
    lengths = [[published_entropy_gradient(m.stack_, points) for m in networks]]
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
    published = [change(c[:_PASSES], c[_PASSES:]) for c in calls]
    return {
        "change of the variance map from call to call, share of its mean": (
            published,
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


def train_as_published(
    layers: Layers, data: Split, stages: Sequence[np.ndarray], random: np.random.Generator, penalty: Penalty | None = None
) -> Stack:
    """Train networks with the published loop, in plain torch: the loss, the class weights and the early stopping of its `MLP`.

    Args:
        layers: initial weights and biases.
        data: rows to train and validate on.
        stages: rows to learn from, ``(networks, rows)``, one after the other, with one optimiser.
        random: source of shuffles and dropout masks.
        penalty: added to each network's loss: ``(layers, batch size) -> (networks,)``.
    """
    parameters = {**settings()["training"], **settings()["models"]["NN"]["parameters"]}
    rate = parameters["dropout"]
    layers = [t.clone().requires_grad_() for t in layers]
    networks = len(layers[0])
    optimizer = torch.optim.Adam(layers, lr=parameters["learning_rate"])
    X, y, X_val, y_val = (torch.tensor(a, dtype=torch.float32) for a in (data.X, data.y, data.X_val, data.y_val))

    def losses(X: Tensor, y: Tensor, dropout: bool) -> Tensor:
        hidden = X
        for weight, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
            hidden = (hidden @ weight.mT + bias[:, None]).relu()
            if dropout:
                kept = torch.from_numpy(random.random(hidden.shape) >= rate)
                hidden = hidden * kept / (1 - rate)
        logits = (hidden @ layers[-2].mT + layers[-1][:, None])[..., 0]
        mean = y.mean(1, keepdim=True)
        weights = torch.where(mean == 1, 1.0, (1 - mean) / mean).nan_to_num(posinf=0.0)
        loss = binary_cross_entropy_with_logits(logits, y, pos_weight=weights, reduction="none").mean(1)
        return loss if penalty is None else loss + penalty(layers, y.shape[1])

    X_val, y_val = X_val.expand(networks, -1, -1), y_val.expand(networks, -1)
    for rows in stages:
        best, bad = torch.full((networks,), math.inf), torch.zeros(networks)
        stopped = torch.zeros(networks, dtype=torch.bool)
        for _ in range(parameters["epochs"]):
            kept = [t.detach().clone() for t in layers]
            order = torch.from_numpy(random.permuted(rows, axis=1))
            for batch in order.split(parameters["batch_size"], dim=1):
                optimizer.zero_grad()
                losses(X[batch], y[batch], dropout=True).sum().backward()
                optimizer.step()
            with torch.no_grad():
                for tensor, old in zip(layers, kept, strict=True):
                    tensor[stopped] = old[stopped]
                values = losses(X_val, y_val, dropout=False)
            bad = torch.where(values >= best, bad + 1, 0)
            best = torch.minimum(best, values)
            stopped |= bad >= parameters["patience"]
    fitted = [t.detach().double() for t in layers]
    return Stack(fitted[::2], fitted[1::2])


def published_entropy_gradient(stack: Stack, points: np.ndarray) -> np.ndarray:
    """Length of the gradient of a network's entropy in bits as published: 1e-8 inside the logarithm, float32."""
    inputs = torch.tensor(points, dtype=torch.float32, requires_grad=True)
    single = copy.deepcopy(stack).float()
    p = single(inputs)[0, :, 1].sigmoid()
    p = torch.stack([1 - p, p], 1)
    (gradient,) = torch.autograd.grad(-(p * torch.log2(p + 1e-8)).sum(), inputs)
    return gradient.norm(dim=1).numpy()


def published_platt_scaling(logits: np.ndarray, y: np.ndarray, seed: int) -> tuple[float, float]:
    """Slope and shift as the published code fits them: SGD that stops once mini-batches have had larger losses."""
    training = settings()["training"]
    random = np.random.default_rng(seed)
    layer = torch.tensor(random.uniform(-1, 1, 2), dtype=torch.float32, requires_grad=True)
    optimizer = torch.optim.SGD([layer], lr=0.1)
    inputs, targets = (torch.tensor(a, dtype=torch.float32) for a in (logits, y))
    best, bad = math.inf, 0
    for _ in range(training["epochs"]):
        for batch in torch.from_numpy(random.permutation(len(y))).split(training["batch_size"]):
            optimizer.zero_grad()
            loss = binary_cross_entropy_with_logits(layer[0] * inputs[batch] + layer[1], targets[batch])
            loss.backward()
            optimizer.step()
            value = loss.item()
            best, bad = (value, 0) if value < best else (best, bad + 1)
        if bad >= training["patience"]:
            break
    slope, shift = layer.detach().tolist()
    return slope, shift


def _shapes(networks: int) -> list[tuple[int, ...]]:
    """Shapes of weights and biases of the published ensembles, layer after layer."""
    sizes = [2, *settings()["models"]["NN"]["parameters"]["hidden_sizes"], 1]
    return [s for i, o in zip(sizes[:-1], sizes[1:], strict=True) for s in ((networks, o, i), (networks, o))]


def _uniform(networks: int, random: np.random.Generator) -> Layers:
    """Weights and biases as `torch.nn.Linear` starts."""
    shapes = _shapes(networks)
    fan_in = [shape[2] for shape in shapes[::2] for _ in range(2)]
    draws = [random.uniform(-1, 1, shape) / math.sqrt(k) for shape, k in zip(shapes, fan_in, strict=True)]
    return [torch.tensor(d, dtype=torch.float32) for d in draws]


def published_prior(networks: int, random: np.random.Generator) -> Layers:
    """A draw from what the published anchored ensemble takes for its prior; `k` of a bias is its layer's outputs."""
    draws = [random.normal(0, (2 / shape[-1]) ** 0.25, shape) for shape in _shapes(networks)]
    return [torch.tensor(d, dtype=torch.float32) for d in draws]


def published_penalty(anchors: Layers) -> Penalty:
    """The norm of the weighted distance to the anchors, tensor by tensor, over the size of the mini-batch."""

    def penalty(layers: Layers, batch: int) -> Tensor:
        terms = []
        for tensor, anchor in zip(layers, anchors, strict=True):
            scale = math.sqrt(0.5 * math.sqrt(2 / tensor.shape[-1]))
            terms.append((scale * (tensor - anchor)).flatten(1).norm(dim=1) / batch)
        return torch.stack(terms).sum(0)

    return penalty


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
    published, ours = values
    return published, ours


def _quality(published: Sequence[_Predictor], ours: Sequence[_Predictor], data: Sequence[Split]) -> _Pairs:
    """Test AUC and log loss of predictors, one for each draw of the data."""
    return {
        name: _both([[metric(f, d) for f, d in zip(side, data, strict=True)] for side in (published, ours)])
        for name, metric in (("test AUC", _auc), ("test log loss", _log_loss))
    }

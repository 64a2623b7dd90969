"""Last-layer Laplace approximation: a Gaussian over the weights of the last layer of a trained classifier.

Kristiadi, Hein and Hennig, "Being Bayesian, even just a bit, fixes overconfidence in ReLU networks", ICML 2020. The covariance
is the inverse of the full Gauss-Newton matrix plus the prior's precision, which maximises the marginal likelihood (MacKay,
1992).
"""

from enum import StrEnum
from typing import Any, Self

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin

from knowlimits.limits.far_field import FarField
from knowlimits.limits.probabilities import leading
from knowlimits.model.arrays import both
from knowlimits.model.read import read
from knowlimits.ood.detectors.view import Seen, View
from knowlimits.ood.sizes import sizes_of
from knowlimits.options import chosen


class Link(StrEnum):
    """How probabilities are made of a Gaussian over logits."""

    PROBIT = "probit"
    SAMPLING = "sampling"


class LastLayerLaplace(ClassifierMixin, BaseEstimator):
    """A classifier whose last layer has a Gaussian over its weights, round what was trained.

    Far away its confidence stays below 1, at a value that the covariance sets and `far_field` tells exactly.

    Args:
        model: what `knowlimits.far_field` takes, with one member, whose logits are a linear layer of its features.
        link: ``"probit"``: the probabilities that MacKay's approximation gives, for more than two classes each logit apart
            (Gibbs, 1998); or ``"sampling"``: their mean over drawn weights.
        samples: how many weights are drawn for the sampling link.
        prior_precision: of the weights; None to maximise the marginal likelihood.
        random_state: seed of the draws.
        outputs: as `knowlimits.read` has it.

    Attributes:
        classes_: class labels.
        prior_precision_: of the weights.
        covariance_: of the last layer's weights, ``(outputs * (features + 1),) * 2``, output by output, the bias last.
        marginal_likelihood_: its logarithm.
    """

    def __init__(
        self,
        model: Any,
        *,
        link: str = "probit",
        samples: int = 100,
        prior_precision: float | None = None,
        random_state: Any = None,
        outputs: str | None = None,
    ):
        self.model = model
        self.link = link
        self.samples = samples
        self.prior_precision = prior_precision
        self.random_state = random_state
        self.outputs = outputs

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the covariance to the data that the model was trained on.

        Args:
            X: features, ``(n, ...)``.
            y: labels, ``(n,)``.

        Raises:
            ValueError: if the model has several members or no linear last layer, or an argument is not as it should be.
        """
        chosen(Link, "link", self.link)
        model = read(self.model, self.outputs, X).to("cpu")
        self._view = View(model)
        if self._view.without_logits:
            raise ValueError(self._view.without_logits)
        seen = self._view.at(X)
        if self._view.without_features:
            raise ValueError(self._view.without_features)
        weight, bias = self._view.last_layer()
        self.weights_ = np.concatenate([weight, bias[:, None]], axis=1)
        # One logit f counts as (0, f).
        fits = weight.shape[1] == seen.features.shape[1] and max(2, len(weight)) == seen.logits.shape[2]
        if not fits or not np.allclose(self._logits(seen.features), seen.logits[0], rtol=1e-6, atol=1e-6):
            raise ValueError("model must end in a linear layer, whose outputs are its logits. Got one that does not.")
        self.classes_ = np.arange(seen.logits.shape[2]) if model.classes_ is None else model.classes_
        y = np.asarray(y)
        if y.shape != (len(seen),) or not np.isin(y, self.classes_).all():
            accepted = self.classes_.tolist()
            raise ValueError(f"y must have a label of {accepted} for each of {len(seen)} rows. Got shape {y.shape}.")
        order = np.argsort(self.classes_)
        labels = order[np.searchsorted(self.classes_, y, sorter=order)]

        values, vectors = np.linalg.eigh(self._gauss_newton(seen))
        values = np.maximum(values, 0.0)
        probs = softmax(seen.logits[0], axis=1)
        likelihood = float(np.log(np.maximum(probs[np.arange(len(labels)), labels], np.finfo(float).tiny)).sum())
        size = float((self.weights_**2).sum())

        def evidence(log_precision: float) -> float:
            tau = np.exp(log_precision)
            return likelihood - tau * size / 2 + (len(values) * log_precision - np.log(values + tau).sum()) / 2

        if self.prior_precision is None:
            best: Any = minimize_scalar(lambda t: -evidence(t), bounds=(-20, 20), method="bounded", options={"xatol": 1e-6})
            self.prior_precision_ = float(np.exp(best.x))
        else:
            self.prior_precision_ = float(self.prior_precision)
        self.marginal_likelihood_ = evidence(np.log(self.prior_precision_))
        scaled = vectors / np.sqrt(values + self.prior_precision_)
        self.covariance_ = scaled @ scaled.T
        rng = np.random.default_rng(self.random_state)
        draws = self.weights_.ravel() + rng.standard_normal((self.samples, len(values))) @ scaled.T
        self._draws = draws.reshape(self.samples, *self.weights_.shape)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities, ``(n, classes)``."""
        return self.probabilities(self._fitted().at(X).features)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Probabilities, ``(n, classes)``, by the last layer's inputs, for those who have them already."""
        h = _with_one(features, 1.0)
        if self.link == Link.SAMPLING:
            return self._sampled(h, None)
        # The same in units in which no square overflows.
        sizes = sizes_of(h)
        return self._probit(h / sizes[:, None], (1 / sizes) ** 2)

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class, ``(n,)``."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]

    def far_field(self, origins: Any, directions: Any, random_state: Any = None) -> FarField:
        """The exact limits of the probabilities along rays x0 + a d.

        Arguments are as `knowlimits.far_field` has them.

        Returns:
            The limits, of one member, without radius, rate and offset.
        """
        starts, steps = self._fitted().rays(origins, directions, random_state)
        ahead = self._fitted().followed(starts, steps)
        probs = self.limiting_probabilities(ahead.rate.features, ahead.offset.features)
        return FarField(starts.numpy(), steps.numpy(), probs[None])

    def limiting_probabilities(self, rate: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Limits of the probabilities, ``(n, classes)``, by rates and offsets of the last layer's inputs."""
        rate, offset = _with_one(rate, 0.0), _with_one(offset, 1.0)
        still = (rate == 0).all(1)
        # Means and variances grow like a and a ** 2, beside which the 1 of the probit vanishes, unless nothing moves.
        h = np.where(still[:, None], offset, rate)
        if self.link == Link.SAMPLING:
            return self._sampled(offset, rate)
        return self._probit(h, still.astype(float))

    def _probit(self, h: np.ndarray, one: np.ndarray) -> np.ndarray:
        """Probabilities from means and variances, `one` being the 1 of the approximation, ``(n,)``."""
        spread = np.sqrt(one[:, None] + np.pi / 8 * self._variances(h))
        scaled = h @ self.weights_.T / np.where(spread > 0, spread, 1.0)
        return _both(expit(scaled)) if scaled.shape[1] == 1 else softmax(scaled, axis=1)

    def _sampled(self, h: np.ndarray, rate: np.ndarray | None) -> np.ndarray:
        """The mean over drawn weights; of their limits, where features grow at a rate."""
        total = np.zeros((len(h), max(2, len(self.weights_))))
        for weights in self._draws:
            logits = both(h @ weights.T)
            if rate is not None:
                logits = leading(both(rate @ weights.T), logits)[1]
            total += softmax(logits, axis=1)
        return total / len(self._draws)

    def _variances(self, h: np.ndarray) -> np.ndarray:
        """Variances of the outputs, ``(n, outputs)``."""
        width = h.shape[1]
        blocks = [self.covariance_[k * width : (k + 1) * width, k * width : (k + 1) * width] for k in range(len(self.weights_))]
        return np.stack([((h @ block) * h).sum(1) for block in blocks], axis=1)

    def _gauss_newton(self, seen: Seen) -> np.ndarray:
        """The sum over rows of J' L J, with J the Jacobian of the outputs in the weights, L the Hessian of the loss in them."""
        h = _with_one(seen.features, 1.0)
        probs = softmax(seen.logits[0], axis=1)
        if len(self.weights_) == 1:
            return (h * (probs[:, 1] * probs[:, 0])[:, None]).T @ h
        K, width = len(self.weights_), h.shape[1]
        result = np.empty((K, width, K, width))
        for i in range(K):
            for j in range(K):
                curvature = probs[:, i] * ((i == j) - probs[:, j])
                result[i, :, j] = (h * curvature[:, None]).T @ h
        return result.reshape(K * width, K * width)

    def _logits(self, features: np.ndarray) -> np.ndarray:
        return both(_with_one(features, 1.0) @ self.weights_.T)

    def _fitted(self) -> View:
        if not hasattr(self, "covariance_"):
            raise ValueError("LastLayerLaplace must be fitted. Call fit(X, y) first.")
        return self._view


def _with_one(h: np.ndarray, one: float) -> np.ndarray:
    """Features with that of the bias behind them, which is 1 at points and 0 at directions."""
    return np.concatenate([h, np.full((len(h), 1), one)], axis=1)


def _both(p: np.ndarray) -> np.ndarray:
    return np.concatenate([1 - p, p], axis=1)

"""The guard: a classifier that is provably unsure far away from its data.

The construction of Meinke and Hein ("Towards neural networks that provably know when they don't know", ICLR 2020), after
training: with p_in a density of the data and p_out a wider one, p(y|x) = (p_model(y|x) p_in(x) + p_out(x) / K) / (p_in(x) +
    p_out(x)).

Here p_in is a mixture of Gaussians N(m_k, S_k), and p_out one Gaussian whose covariance is wider than every S_k in every
direction. So log p_in - log p_out of each component is a concave quadratic function of x: it falls to minus infinity along
every ray, and its largest value in a ball is the root of one equation.
"""

from typing import Any, Self

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logsumexp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split

from knowlimits._machine import one_blas_thread, one_thread
from knowlimits.limits.far_field import FarField
from knowlimits.model.arrays import as_points, as_rays
from knowlimits.model.own import answered, labelled
from knowlimits.ood.remedies.answers import answering, labels_of, numbers
from knowlimits.ood.sizes import check_size, too_large

# Bisections of the equation for a ball; each adds a bit.
_STEPS = 200
# Rows to learn from, at least.
_FEWEST = 8
# What a fitted mixture consists of.
_MIXTURE = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")


class Guard(ClassifierMixin, BaseEstimator):
    """A classifier whose probabilities fade to uniform away from the data, in every direction (Meinke and Hein, 2020).

    It never changes the predicted class: that is the model's own, which need not be its likeliest, as with a threshold.

    Args:
        model: a fitted classifier of rows of numbers, each of one class: anything with `predict` and `predict_proba`, or what
            `knowlimits.far_field` takes.
        components: numbers of Gaussians to choose from, by the likelihood of held-out rows.
        width: how many times as wide as the data p_out is, in variance, at least; more than 1.
        tolerance: how much the mean log loss on familiar data may grow, in nats.
        random_state: seed of the split and the mixture.
        outputs: as `knowlimits.read` has it, for a model without `predict_proba`.

    Attributes:
        classes_: class labels.
        mixture_: the Gaussians of the data, in standard deviations.
        shift_: logarithm of the weight of p_in against p_out.
    """

    def __init__(
        self,
        model: Any,
        *,
        components: tuple[int, ...] = (1, 2, 4, 8, 16),
        width: float = 4.0,
        tolerance: float = 0.01,
        random_state: Any = None,
        outputs: str | None = None,
    ):
        self.model = model
        self.components = components
        self.width = width
        self.tolerance = tolerance
        self.random_state = random_state
        self.outputs = outputs

    @one_blas_thread()
    @one_thread()
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn where the data lie; the model stays as it is.

        Three quarters of the rows make the mixtures, the rest choose among them and set the weight of p_in, so that the mean of
        -log w, by which the log loss grows at most, stays within `tolerance`.

        Args:
            X: data like those that the model was trained on, ``(n, features)``.
            y: not looked at.

        Raises:
            TypeError: if the model is no classifier, or the data are no numbers.
            ValueError: if the data or a parameter is not what is accepted, or the model has several labels for a row.
        """
        if not self.width > 1:
            raise ValueError(f"width must be above 1. Got {self.width} instead.")
        if not self.tolerance > 0:
            raise ValueError(f"tolerance must be positive. Got {self.tolerance} instead.")
        rows = numbers(X)
        check_size("X", rows)
        if len(rows) < _FEWEST:
            raise ValueError(f"X must have at least {_FEWEST} rows. Got {len(rows)} instead.")
        self.n_features_in_ = rows.shape[1]
        self._answering = answering(self.model, self.outputs, X)
        self.classes_ = labels_of(self._answering, X[:_FEWEST])
        self._mean, scale = rows.mean(0), rows.std(0)
        self._scale = np.where(scale > 0, scale, 1.0)
        scaled = (rows - self._mean) / self._scale
        learn, held = map(np.asarray, train_test_split(scaled, test_size=0.25, random_state=self.random_state))
        fitted = [
            GaussianMixture(k, reg_covar=1e-4, random_state=self.random_state).fit(learn)
            for k in self.components
            if k <= len(learn) // 2
        ]
        self.mixture_ = max(fitted, key=lambda mixture: mixture.score(held))
        # Wider than each component, in the metric of the data.
        spread = np.cov(learn, rowvar=False).reshape(len(self._mean), -1) + 1e-4 * np.eye(len(self._mean))
        root = np.linalg.inv(np.linalg.cholesky(spread))
        largest = max(np.linalg.eigvalsh(root @ s @ root.T)[-1] for s in np.asarray(self.mixture_.covariances_))
        self._centre, self._precision = learn.mean(0), np.linalg.inv(self.width * max(1.0, float(largest)) * spread)
        parts = (np.asarray(getattr(self.mixture_, name)) for name in ("weights_", "means_", "precisions_"))
        self._quadratics = [self._quadratic(*part) for part in zip(*parts, strict=True)]
        ratio = self._log_ratio(held)

        def loss(shift: float) -> float:
            return float(np.logaddexp(0, -(ratio + shift)).mean()) - self.tolerance

        high = 1.0 - ratio.min() - np.log(self.tolerance)
        self.shift_ = float(np.asarray(brentq(loss, -ratio.max() - 50, high)))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities, ``(n, classes)``."""
        return self.blend(X, np.asarray(answered(self._fitted().predict_proba, X)))

    def blend(self, X: Any, probs: np.ndarray) -> np.ndarray:
        """Probabilities ``(n, classes)`` out of the model's own at the same points, for those who have them already."""
        weight = self.weight(X)[:, None]
        return weight * probs + (1 - weight) / len(self.classes_)

    def predict(self, X: Any) -> np.ndarray:
        """The model's own prediction, ``(n,)``."""
        return labelled(self._fitted().predict, X)

    def weight(self, X: Any) -> np.ndarray:
        """The share of the model in the probabilities, the rest being uniform, ``(n,)``."""
        return expit(self._log_ratio(self._standardized(X)) + self.shift_)

    def bound(self, X: Any, radius: float) -> np.ndarray:
        """The largest confidence that is possible anywhere within a distance of each input, whatever the model says, ``(n,)``.

        Args:
            X: centres of balls, ``(n, features)``.
            radius: of the balls, Euclidean, in the units of the features.
        """
        if not (np.isfinite(radius) and radius >= 0):
            raise ValueError(f"radius must be finite and not negative. Got {radius} instead.")
        x = self._standardized(X)
        # In units of the features a ball is a ball: forms there are those here, divided by the scales.
        values = [self._largest_in_ball(x, radius, *quadratic) for quadratic in self._quadratics]
        weight = expit(np.asarray(logsumexp(values, axis=0)) + self.shift_)
        return weight + (1 - weight) / len(self.classes_)

    def far_field(self, origins: Any, directions: Any, random_state: Any = None) -> FarField:
        """Where the classifier ends along rays x0 + a d: in uniform probabilities; `settled` says from where on.

        Args:
            origins, directions, random_state: as `knowlimits.far_field` has them.

        Returns:
            The limits, of one member, without radius, rate and offset.
        """
        starts, steps = (rays.numpy() for rays in as_rays(origins, directions, random_state))
        self._standardized(starts)
        probs = np.full((len(starts), len(self.classes_)), 1 / len(self.classes_))
        still = ~steps.reshape(len(steps), -1).any(1)
        if still.any():
            probs[still] = self.predict_proba(starts[still])
        return FarField(starts, steps, probs[None])

    def settled(self, origins: Any, directions: Any, level: float = 1e-3, random_state: Any = None) -> np.ndarray:
        """A distance along each ray beyond which the confidence stays within `level` of 1 / K, ``(n,)``, for certain.

        Args:
            origins, directions, random_state: as `knowlimits.far_field` has them.
            level: how close to 1 / K the confidence has to stay.

        Returns:
            The distances, in units of the directions; infinite for a direction of length 0 from where it is not settled.
        """
        starts, steps = as_rays(origins, directions, random_state)
        x = self._standardized(starts)
        d = steps.flatten(1).numpy() / self._scale
        crossing = [(d * (linear - x @ form)).sum(1) for form, linear, _ in self._quadratics]
        return self._radii(x, d, crossing, level)

    def radii(self, X: Any, directions: Any, level: float = 1e-3) -> np.ndarray:
        """What `settled` says for every row along every direction, ``(n, directions)``.

        Args:
            X: starts of the rays, ``(n, features)``.
            directions: ``(directions, features)``.
            level: how close to 1 / K the confidence has to stay.
        """
        x = self._standardized(X)
        d = as_points("directions", directions).flatten(1).numpy() / self._scale
        crossing = [(linear - x @ form) @ d.T for form, linear, _ in self._quadratics]
        return self._radii(x[:, None], d, crossing, level)

    def _radii(self, x: np.ndarray, d: np.ndarray, crossing: list[np.ndarray], level: float) -> np.ndarray:
        """Radii of rays, by their starts and directions in standard deviations, and what components make of the two."""
        K = len(self.classes_)
        if not 0 < level < 1 - 1 / K:
            raise ValueError(f"level must be in 0 to {1 - 1 / K:.4g}. Got {level} instead.")
        share = level / (1 - 1 / K)
        # The components' ratios add up, so that each must stay below its part.
        most = np.log(share / (1 - share)) - self.shift_ - np.log(len(self._quadratics))
        radius = np.zeros(crossing[0].shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            for (form, linear, constant), b in zip(self._quadratics, crossing, strict=True):
                a = -0.5 * ((d @ form) * d).sum(-1)
                c = constant + x @ linear - 0.5 * ((x @ form) * x).sum(-1) - most
                inside = b * b - 4 * a * c
                root = np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / (2 * a), 0.0)
                radius = np.maximum(radius, np.where(a < 0, root, np.where(c > 0, np.inf, 0.0)))
        return radius

    def _quadratic(self, weight: float, mean: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """A, b and c of log(w N(z) / p_out(z)) = c + b z - z A z / 2; A is positive definite."""
        form = precision - self._precision
        linear = precision @ mean - self._precision @ self._centre
        sizes = np.linalg.slogdet(precision)[1] - np.linalg.slogdet(self._precision)[1]
        constant = np.log(weight) + 0.5 * sizes
        constant += 0.5 * (self._centre @ self._precision @ self._centre - mean @ precision @ mean)
        return form, linear, float(constant)

    def _log_ratio(self, z: np.ndarray) -> np.ndarray:
        """log p_in - log p_out at standardised points; minus infinity where squares could overflow."""
        near = ~too_large(z)
        result = np.full(len(z), -np.inf)
        z = z[near]
        values = []
        for form, linear, constant in self._quadratics:
            values.append(constant + z @ linear - 0.5 * ((z @ form) * z).sum(1))
        result[near] = logsumexp(values, axis=0)
        return result

    def _largest_in_ball(
        self, z: np.ndarray, radius: float, form: np.ndarray, linear: np.ndarray, constant: float
    ) -> np.ndarray:
        """The largest value of a component's log ratio within a distance, in the units of the features.

        The maximum of a concave quadratic in a ball lies where its gradient is a multiple of the way from the centre.
        """
        at = constant + z @ linear - 0.5 * ((z @ form) * z).sum(1)
        if radius == 0:
            return at
        # From here in units of the features, round the centre of each ball.
        stretched = form / np.outer(self._scale, self._scale)
        gradient = (linear - z @ form) / self._scale
        values, vectors = np.linalg.eigh(stretched)
        values = np.maximum(values, np.finfo(float).tiny)
        pull = gradient @ vectors
        low, high = np.zeros(len(z)), np.linalg.norm(gradient, axis=1) / radius
        free = np.linalg.norm(pull / values, axis=1) <= radius
        for _ in range(_STEPS):
            middle = (low + high) / 2
            outside = np.linalg.norm(pull / (values + middle[:, None]), axis=1) > radius
            low, high = np.where(outside, middle, low), np.where(outside, high, middle)
        # The lower end lies outside of the ball by rounding, if at all, so that the bound errs on the safe side.
        step = pull / (values + np.where(free, 0.0, low)[:, None])
        return at + (step * pull).sum(1) - 0.5 * (values * step**2).sum(1)

    def _standardized(self, X: Any) -> np.ndarray:
        self._fitted()
        rows = numbers(X)
        if rows.shape[1] != self.n_features_in_:
            raise ValueError(f"X must have {self.n_features_in_} features. Got {rows.shape[1]} instead.")
        return (rows - self._mean) / self._scale

    def state(self) -> dict[str, np.ndarray]:
        """What `fit` has learnt, as arrays; `restored` is the way back."""
        forms, linears, constants = zip(*self._quadratics, strict=True)
        return {
            **{name: np.asarray(getattr(self.mixture_, name)) for name in _MIXTURE},
            **{name: getattr(self, name) for name in ("_mean", "_scale", "_centre", "_precision")},
            "forms": np.stack(forms),
            "linears": np.stack(linears),
            "constants": np.array(constants),
            "shift_": np.array([self.shift_]),
        }

    def restored(self, state: dict[str, np.ndarray]) -> Self:
        """Fitted as `state` says.

        Raises:
            ValueError: if `state` is not what `state` gives, or would not fade to uniform.
        """
        _check_state(state, self.model.n_features_in_)
        for name in ("_mean", "_scale", "_centre", "_precision"):
            setattr(self, name, state[name])
        self.mixture_ = GaussianMixture(len(state["weights_"]))
        for name in _MIXTURE:
            setattr(self.mixture_, name, state[name])
        self._quadratics = list(zip(state["forms"], state["linears"], state["constants"].tolist(), strict=True))
        self.shift_, self.n_features_in_ = float(state["shift_"][0]), len(self._mean)
        self.classes_, self._answering = np.asarray(self.model.classes_), self.model
        return self

    def _fitted(self) -> Any:
        """What answers for the model."""
        if not hasattr(self, "shift_"):
            raise ValueError("Guard must be fitted. Call fit(X) first.")
        return self._answering


def _check_state(state: dict[str, np.ndarray], features: int) -> None:
    """Raise unless arrays are those of a guard of so many features."""
    d, k = features, state["weights_"].size if "weights_" in state else 0
    shapes = {
        **{"weights_": (k,), "means_": (k, d), "covariances_": (k, d, d), "precisions_": (k, d, d)},
        **{"precisions_cholesky_": (k, d, d), "_mean": (d,), "_scale": (d,), "_centre": (d,), "_precision": (d, d)},
        **{"forms": (k, d, d), "linears": (k, d), "constants": (k,), "shift_": (1,)},
    }
    if k == 0 or set(state) != set(shapes):
        raise ValueError(f"a guard must have {', '.join(shapes)}. Got {', '.join(sorted(state)) or 'nothing'} instead.")
    for name, shape in shapes.items():
        if state[name].shape != shape:
            raise ValueError(f"{name} of a guard must have shape {shape}. Got {state[name].shape} instead.")
        if not np.isfinite(state[name]).all():
            raise ValueError(f"{name} of a guard must be finite. Got numbers that are not.")
    if not (state["_scale"] > 0).all():
        raise ValueError("_scale of a guard must be positive. Got a number that is not.")
    transposed = state["forms"].transpose(0, 2, 1)
    if not np.allclose(state["forms"], transposed, rtol=1e-6, atol=1e-6 * np.abs(state["forms"]).max()):
        raise ValueError("forms of a guard must be symmetric. Got some that are not.")
    if not (np.linalg.eigvalsh((state["forms"] + transposed) / 2) > 0).all():
        raise ValueError("forms of a guard must be positive definite, so that it fades. Got some that are not.")

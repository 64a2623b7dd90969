"""The guard: a classifier that is provably unsure far away from its data, and a gate that says of which rows.

The construction of Meinke and Hein ("Towards neural networks that provably know when they don't know", ICLR 2020), after
training: with p_in a density of the data and p_out a wider one, p(y|x) = (p_model(y|x) p_in(x) + p_out(x) / K) / (p_in(x) +
    p_out(x)).

The logarithm of p_in / p_out is a `LogRatio`, which falls to minus infinity along every ray. What a density cannot say, such as
that a category has never been seen, `Columns` does; then nothing is kept of the model.
"""

from dataclasses import astuple
from typing import Any, Self

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from knowlimits._machine import one_blas_thread, one_thread
from knowlimits.limits.far_field import FarField
from knowlimits.limits.growth import Growth
from knowlimits.model.arrays import as_points, as_rays
from knowlimits.model.convertible import Convertible
from knowlimits.model.own import answered, labelled
from knowlimits.model.tables import rows_at
from knowlimits.ood.columns import Columns
from knowlimits.ood.density.fitting import fitted
from knowlimits.ood.density.ratio import LogRatio
from knowlimits.ood.remedies.answers import answering, labels_of
from knowlimits.ood.remedies.calibration import Estimate, shift_for, threshold_for
from knowlimits.ood.remedies.module import GuardModule, module_of
from knowlimits.ood.remedies.words import reasons
from knowlimits.ood.sizes import check_size

# Rows to learn from, at least.
_FEWEST = 8


class Guard(Convertible, ClassifierMixin, BaseEstimator):
    """A classifier whose probabilities fade to uniform away from the data, in every direction (Meinke and Hein, 2020).

    It never changes the predicted class: that is the model's own, which need not be its likeliest, as with a threshold. As a
    gate it says which rows are like those that it has seen (`accepts`), how unlike (`unfamiliarity`), and why (`reasons`).

    Columns of numbers are guarded by a density. Where a column of categories has one that was never seen, a column that never
    had gaps has one, or a number is infinite or outside of its stated range, the row is refused whatever the density says.

    Args:
        model: a fitted classifier of rows, each of one class: anything with `predict` and `predict_proba`, or what
            `knowlimits.far_field` takes.
        components: numbers of Gaussians to choose from, by the likelihood of held-out rows.
        width: how many times as wide as the data p_out is, in variance, at least; more than 1.
        tolerance: how much the mean log loss on familiar data may grow, in nats.
        keep: the share of familiar rows that is accepted.
        ranges: of columns, by name or place: ``(low, high)``, of which either may be None, or ``"data"`` for what was seen;
            ``"data"`` alone for all.
        categories: columns of numbers that are codes of categories, by name or place, beside those that say so themselves.
        random_state: seed of the split and the mixture.
        outputs: as `knowlimits.read` has it, for a model without `predict_proba`.

    Attributes:
        classes_: class labels.
        columns_: what columns there are, and what was seen in them.
        ratio_: the log ratio of the densities of the numbers.
        shift_: logarithm of the weight of p_in against p_out.
        loss_: a bound on the growth of the mean log loss of rows like those held out, with its 95% interval.
        threshold_: the unfamiliarity up to which rows are accepted.
        kept_: the share of rows like those held out that is accepted, with its 95% interval.
    """

    def __init__(
        self,
        model: Any,
        *,
        components: tuple[int, ...] = (1, 2, 4, 8),
        width: float = 4.0,
        tolerance: float = 0.01,
        keep: float = 0.95,
        ranges: Any = None,
        categories: Any = (),
        random_state: Any = None,
        outputs: str | None = None,
    ):
        self.model = model
        self.components = components
        self.width = width
        self.tolerance = tolerance
        self.keep = keep
        self.ranges = ranges
        self.categories = categories
        self.random_state = random_state
        self.outputs = outputs

    @one_blas_thread()
    @one_thread()
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn where the data lie; the model stays as it is.

        Three quarters of the rows make the densities. The rest set the weight of p_in, so that the mean of the largest loss
        that each of them can suffer is `tolerance`, and the threshold.

        Args:
            X: data like those that the model was trained on, ``(n, columns)``: an array, or a table with text and gaps.
            y: not looked at.

        Raises:
            TypeError: if the model is no classifier.
            ValueError: if the data or a parameter is not what is accepted, or the model has several labels for a row.
        """
        self._check_parameters()
        columns = Columns.of(X, self.ranges, categories=self.categories)
        cells = columns.read(X)
        usable = np.flatnonzero(~cells.refused)
        if len(usable) < _FEWEST:
            raise ValueError(f"X must have at least {_FEWEST} rows within ranges. Got {len(usable)} instead.")
        self._answering = answering(self.model, self.outputs, X)
        self.classes_ = labels_of(self._answering, X[:_FEWEST])
        if not self.tolerance < np.log(len(self.classes_)):
            raise ValueError(
                f"tolerance must be below log K, {np.log(len(self.classes_)):.4g} for {len(self.classes_)} classes, which no "
                f"loss by a guard passes. Got {self.tolerance} instead."
            )
        rows = cells.numbers
        check_size("X", rows)
        rng = check_random_state(self.random_state)
        learn, held = map(np.asarray, train_test_split(usable, test_size=0.25, random_state=rng))
        self.n_features_in_ = len(columns.names)
        self.columns_ = columns
        ranges = np.stack([rows[usable].min(0), rows[usable].max(0)])
        self.ratio_ = fitted(rows[learn], ranges, self.components, self.width, rng)
        ratio = self.ratio_(rows[held])
        self.shift_, self.loss_ = shift_for(ratio, len(self.classes_), self.tolerance)
        # What only rows have that were held out is new to the others: a category, or a change of a constant.
        known = Columns.of(rows_at(X, learn), self.ranges, again=False, categories=self.categories)
        new = known.read(rows_at(X, held)).refused
        constant = np.ptp(rows[learn], axis=0) == 0
        new |= (rows[held] != rows[learn][:1])[:, constant].any(1)
        self.threshold_, self.kept_ = threshold_for(np.where(new, np.inf, -ratio), self.keep)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities, ``(n, classes)``; the model is asked about those rows alone of which something is kept."""
        weight = self.weight(X)
        some = weight > 0
        if some.all():
            return self._blended(weight, np.asarray(answered(self._answering.predict_proba, X)))
        probs = np.full((len(weight), len(self.classes_)), 1 / len(self.classes_))
        if some.any():
            probs[some] = self._blended(weight[some], answered(self._answering.predict_proba, rows_at(X, np.flatnonzero(some))))
        return probs

    def blend(self, X: Any, probs: np.ndarray) -> np.ndarray:
        """Probabilities ``(n, classes)`` out of the model's own at the same points, for those who have them already."""
        return self._blended(self.weight(X), probs)

    def predict(self, X: Any) -> np.ndarray:
        """The model's own prediction, ``(n,)``."""
        self._check_fitted()
        return labelled(self._answering.predict, X)

    def weight(self, X: Any) -> np.ndarray:
        """The share of the model in the probabilities, the rest being uniform, ``(n,)``."""
        return expit(-self.unfamiliarity(X) + self.shift_)

    def unfamiliarity(self, X: Any) -> np.ndarray:
        """How unlike the data rows are, ``(n,)``, larger meaning less familiar: the negative log ratio of the densities.

        Infinite where a row is refused whatever the density says.
        """
        self._check_fitted()
        cells = self.columns_.read(X)
        result = -self.ratio_(cells.numbers)
        result[cells.refused] = np.inf
        return result

    def accepts(self, X: Any) -> np.ndarray:
        """Which rows are like the data: of those that are, a share of `keep` is among them, ``(n,)``."""
        return self.unfamiliarity(X) <= self.threshold_

    def parts(self, X: Any) -> np.ndarray:
        """What each column adds to the unfamiliarity, ``(n, columns)``, as `LogRatio.parts` has it: 0 for categories.

        Infinite for a column for which a row is refused whatever the density says.
        """
        self._check_fitted()
        cells = self.columns_.read(X)
        result = np.zeros(cells.strange.shape)
        result[:, self.columns_.numeric] = self.ratio_.parts(cells.numbers)
        result[cells.strange > 0] = np.inf
        return result

    def reasons(self, X: Any) -> list[str]:
        """Why rows are refused, in words: the columns that make them unfamiliar; ``""`` for those that are accepted."""
        return reasons(self.columns_, self.ratio_, X, self.accepts(X), self.parts(X))

    def bound(self, X: Any, radius: float) -> np.ndarray:
        """The largest confidence that is possible anywhere within a distance of each input, whatever the model says, ``(n,)``.

        Args:
            X: centres of balls, ``(n, columns)``.
            radius: of the balls, Euclidean, in the units of the columns of numbers.
        """
        if not (np.isfinite(radius) and radius >= 0):
            raise ValueError(f"radius must be finite and not negative. Got {radius} instead.")
        self._check_fitted()
        weight = expit(self.ratio_.largest_in_ball(self.columns_.numbers(X), radius) + self.shift_)
        return weight + (1 - weight) / len(self.classes_)

    def far_field(self, origins: Any, directions: Any, random_state: Any = None) -> FarField:
        """Where the classifier ends along rays x0 + a d: in uniform probabilities; `settled` says from where on.

        Args:
            origins, directions, random_state: as `knowlimits.far_field` has them.

        Returns:
            The limits, of one member, without radius, rate and offset.
        """
        starts, steps, rows = self._rays(origins, directions, random_state)
        probs = np.full((len(starts), len(self.classes_)), 1 / len(self.classes_))
        still = ~steps.any(1)
        if still.any():
            probs[still] = self.predict_proba(rows_at(origins, rows[still]))
        return FarField(starts, steps, probs[None])

    def growth(self, origins: Any, directions: Any, random_state: Any = None) -> Growth:
        """How the unfamiliarity grows along rays x0 + a d, exactly: with the square of a; arguments as `far_field` has them."""
        starts, steps, rows = self._rays(origins, directions, random_state)
        found = self.ratio_.growth(starts, steps)
        still = ~steps.any(1)
        if still.any():
            found.coefficient[still] = self.unfamiliarity(rows_at(origins, rows[still]))
        return found

    def settled(self, origins: Any, directions: Any, level: float = 1e-3, random_state: Any = None) -> np.ndarray:
        """A distance along each ray beyond which the confidence stays within `level` of 1 / K, ``(n,)``, for certain.

        Args:
            origins, directions, random_state: as `knowlimits.far_field` has them.
            level: how close to 1 / K the confidence has to stay.

        Returns:
            The distances, in units of the directions; infinite for a direction of length 0 from where it is not settled.
        """
        starts, steps, _ = self._rays(origins, directions, random_state)
        return self.ratio_.radii(starts, steps, self._ratio_within(level))

    def radii(self, X: Any, directions: Any, level: float = 1e-3) -> np.ndarray:
        """What `settled` says for every row along every direction, ``(n, directions)``.

        Args:
            X: starts of the rays, ``(n, columns)``.
            directions: ``(directions, columns of numbers)``.
            level: how close to 1 / K the confidence has to stay.
        """
        self._check_fitted()
        d, level = as_points("directions", directions).flatten(1).numpy(), self._ratio_within(level)
        cells = self.columns_.read(X)
        found = self.ratio_.radii(cells.numbers[:, None], d, level)
        for row in np.flatnonzero(cells.filled.any(1)):
            found[row] = self.ratio_.radii(cells.numbers[row], np.where(cells.filled[row], 0.0, d), level)
        return found

    def to_module(self) -> GuardModule:
        """The same as a torch module, of rows ``(n, ...)``, with gradients, which `torch.export` takes.

        Raises:
            TypeError: if the model is no network, or one behind steps that are no layers, or columns are no numbers.
        """
        self._check_fitted()
        return module_of(self, self._answering)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What `fit` has learnt: numbers as arrays, and the columns in what JSON has; `restored` is the way back."""
        self._check_fitted()
        estimates = {name: np.array(astuple(getattr(self, name))) for name in ("loss_", "kept_")}
        numbers = {name: np.array(getattr(self, name)) for name in ("shift_", "threshold_")}
        return self.ratio_.arrays() | numbers | estimates, self.columns_.state()

    def restored(self, arrays: dict[str, np.ndarray], columns: Any, classes: np.ndarray, X: Any = None) -> Self:
        """Fitted as `state` says.

        Args:
            arrays, columns: what `state` gave.
            classes: labels of the classes, which not every model has.
            X: rows for a model that has to be looked at on some, as `knowlimits.read` has it.

        Raises:
            ValueError: if they are not what `state` gives, or it would not fade to uniform; or for a parameter that is not
                what is accepted.
        """
        self._check_parameters()
        shapes = {"shift_": (), "threshold_": (), "loss_": (3,), "kept_": (3,)}
        for name, shape in shapes.items():
            if name not in arrays or arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
                raise ValueError(f"{name} of a guard must be finite and have shape {shape}. Got something else.")
        if not arrays["loss_"][1] <= arrays["loss_"][2] or not arrays["kept_"][1] <= arrays["kept_"][2]:
            raise ValueError("loss_ and kept_ of a guard must have intervals. Got one that ends before it starts.")
        ratio = LogRatio.of_arrays({name: array for name, array in arrays.items() if name not in shapes})
        learnt = Columns.restored(columns)
        if len(learnt.numeric) != len(ratio.centre):
            raise ValueError(
                f"columns of a guard must have a log ratio of {len(learnt.numeric)} numbers. Got one of {len(ratio.centre)}."
            )
        self.ratio_, self.columns_, self.n_features_in_ = ratio, learnt, len(learnt.names)
        self.shift_, self.threshold_ = float(arrays["shift_"]), float(arrays["threshold_"])
        self.loss_, self.kept_ = (Estimate(*map(float, arrays[name])) for name in ("loss_", "kept_"))
        self._answering = answering(self.model, self.outputs, X)
        self.classes_ = classes
        return self

    def _blended(self, weight: np.ndarray, probs: Any) -> np.ndarray:
        uniform = 1 / len(self.classes_)
        away = np.asarray(probs, dtype=np.float64) - uniform
        away *= weight[:, None]
        if not weight.all():
            # What the model says of a row of which nothing is kept may be nan.
            away[weight == 0] = 0.0
        away += uniform
        return away

    def _ratio_within(self, level: float) -> float:
        """The log ratio below which the confidence is within a level of 1 / K."""
        K = len(self.classes_)
        if not 0 < level < 1 - 1 / K:
            raise ValueError(f"level must be in 0 to {1 - 1 / K:.4g}. Got {level} instead.")
        share = level / (1 - 1 / K)
        return float(np.log(share / (1 - share))) - self.shift_

    def _rays(self, origins: Any, directions: Any, random_state: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Starts and directions of rays in the columns of numbers, ``(n, numbers)``, and the rows of their origins.

        A gap does not move.
        """
        self._check_fitted()
        numbers, _, filled = self.columns_.read(origins)
        if not isinstance(directions, str):
            moved = as_points("directions", directions).flatten(1).numpy()
            if moved.shape != (len(numbers), self.n_features_in_):
                raise ValueError(
                    f"directions must have the shape of origins, ({len(numbers)}, {self.n_features_in_}). Got {moved.shape} "
                    "instead."
                )
            if moved[:, self.columns_.categorical].any():
                raise ValueError("directions must leave columns of categories at 0, which cannot move. Got one that is not.")
            return numbers, np.where(filled, 0.0, moved[:, self.columns_.numeric]), np.arange(len(numbers))
        starts, steps = (rays.numpy() for rays in as_rays(numbers, directions, random_state))
        rows = np.repeat(np.arange(len(numbers)), len(starts) // len(numbers))
        return starts, np.where(filled[rows], 0.0, steps), rows

    def _check_parameters(self) -> None:
        if not self.width > 1:
            raise ValueError(f"width must be above 1. Got {self.width} instead.")
        if not self.tolerance > 0:
            raise ValueError(f"tolerance must be positive. Got {self.tolerance} instead.")
        if not 0 < self.keep < 1:
            raise ValueError(f"keep must be between 0 and 1. Got {self.keep} instead.")

    def _check_fitted(self) -> None:
        if not hasattr(self, "threshold_"):
            raise ValueError("Guard must be fitted. Call fit(X) first.")

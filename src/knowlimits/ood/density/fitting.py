"""How the log ratio of two densities is learnt from rows of numbers.

Columns are measured in sixths of their ranges, a mixture of Gaussians is fitted, and each covariance S is drawn towards the
unit matrix, to (1 - r) S + r I: what a column has never done it may then do by a share of its range, whatever its variance.
Number of components and r are those under which rows that were held out are the likeliest.
"""

import math
from typing import Any

import numpy as np
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold

from knowlimits.ood.density.ratio import HALF_RANGE, LogRatio, units

# Shares of the unit matrix to choose from.
_SHARES = (1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 0.6, 1.0)
# What the mixture is fitted with before that.
_REGULAR = 1e-2
# Parts of the rows of which each is held out once.
_FOLDS = 4
# Columns of all components together, at most, so that the guard costs no more than the model.
_WIDEST = 150
# The share of rows that are most.
_MOST = 0.95
# Rows that choose, and that are learnt from, at most.
_CHOOSE, _LEARN = 5_000, 20_000

#: Weights ``(k,)``, means ``(k, d)`` and covariances ``(k, d, d)``.
Mixture = tuple[np.ndarray, np.ndarray, np.ndarray]


def fitted(
    rows: np.ndarray, ranges: np.ndarray, components: tuple[int, ...], width: float, rng: np.random.RandomState
) -> LogRatio:
    """The log ratio of the density of rows ``(n, columns)`` against a wider one.

    Args:
        rows: finite numbers, two at least.
        ranges: the smallest and the largest number of each column, ``(2, columns)``: of these rows, and of others like them
            where a column that is constant here is not there.
        components: numbers of Gaussians to choose from; of several only those that leave each more rows than columns, and
            have few columns in all.
        width: how many times as wide as the widest component the other density is, in variance, at least.
        rng: of the split and the mixtures.
    """
    rows = _some(rows, _LEARN, rng)
    if not rows.shape[1]:
        none = np.zeros(0)
        return LogRatio(none, none, np.zeros(1), np.zeros((1, 0, 0)), np.zeros((1, 0)), 0.0, 0.0)
    centre, scale = units(*ranges)
    z = (rows - centre) / scale
    k, share, reach = _chosen(_some(z, _CHOOSE, rng), components, rng)
    weights, means, covariances = _shrunk(_mixture(z, k, rng), share)
    middle, spread = z.mean(0), _shrunk(_mixture(z, 1, rng), share)[2][0]
    # Wider than each component, in the metric of the data.
    root = np.linalg.inv(np.linalg.cholesky(spread))
    largest = max(float(np.linalg.eigvalsh(root @ each @ root.T)[-1]) for each in covariances)
    outer = np.linalg.inv(width * max(1.0, largest) * spread)
    parts = [_component(*each, middle, outer) for each in zip(weights, means, covariances, strict=True)]
    constants, factors, shifts = (np.array(part) for part in zip(*parts, strict=True))
    return LogRatio(centre, scale, constants, factors, shifts, reach, rows.shape[1] / 2)


def _chosen(z: np.ndarray, components: tuple[int, ...], rng: np.random.RandomState) -> tuple[int, float, float]:
    """Number of components, share of the unit matrix, and reach: half as far again as most rows went that were held out."""
    folds = list(KFold(min(_FOLDS, len(z)), shuffle=True, random_state=rng).split(z))
    fewest = min(len(learn) for learn, _ in folds)
    likelihoods: dict[tuple[int, float], float] = {}
    for k in [k for k in components if k == 1 or k * z.shape[1] < min(fewest, _WIDEST)] or [1]:
        for learn, held in folds:
            for share, likelihood in _likelihoods(_mixture(z[learn], k, rng), z[held]).items():
                likelihoods[k, share] = likelihoods.get((k, share), 0.0) + likelihood
    k, share = max(likelihoods, key=lambda choice: likelihoods[choice])
    gone = np.concatenate([_gone(z[learn], z[held]) for learn, held in folds])
    return k, share, 1.5 * max(HALF_RANGE, float(np.quantile(gone, _MOST)))


def _gone(learn: np.ndarray, held: np.ndarray) -> np.ndarray:
    """How far rows go that were held out, in the units of the others, ``(n,)``; what never changed in these says nothing."""
    moving = np.ptp(learn, axis=0) > 0
    centre, scale = units(learn[:, moving].min(0), learn[:, moving].max(0))
    return np.abs((held[:, moving] - centre) / scale).max(1, initial=0.0)


def _likelihoods(mixture: Mixture, z: np.ndarray) -> dict[float, float]:
    """The log likelihood of rows by the share of the unit matrix: one decomposition serves for all shares."""
    terms: dict[float, list[np.ndarray]] = {share: [] for share in _SHARES}
    for weight, mean, covariance in zip(*mixture, strict=True):
        values, vectors = np.linalg.eigh(covariance)
        squares = ((z - mean) @ vectors) ** 2
        for share in _SHARES:
            variances = (1 - share) * np.maximum(values, 0) + share
            terms[share].append(np.log(weight) - 0.5 * (squares @ (1 / variances) + np.log(2 * math.pi * variances).sum()))
    return {share: float(np.asarray(logsumexp(each, axis=0)).sum()) for share, each in terms.items()}


def _mixture(z: np.ndarray, k: int, rng: np.random.RandomState) -> Mixture:
    d = z.shape[1]
    # A column that never changed in these rows may do so in the next, as one more at the end of its range would have.
    unseen = np.diag(np.where(np.ptp(z, axis=0) == 0, HALF_RANGE**2 / len(z), 0.0))
    if k == 1:
        return np.ones(1), z.mean(0)[None], np.cov(z, rowvar=False, bias=True).reshape(1, d, d) + unseen
    found = GaussianMixture(k, reg_covar=_REGULAR, tol=1e-2, random_state=rng).fit(z)
    parts: list[Any] = [found.weights_, found.means_, found.covariances_]
    weights, means, covariances = (np.asarray(part, dtype=np.float64) for part in parts)
    return weights, means, covariances - _REGULAR * np.eye(d) + unseen


def _shrunk(mixture: Mixture, share: float) -> Mixture:
    weights, means, covariances = mixture
    return weights, means, (1 - share) * covariances + share * np.eye(means.shape[1])


def _component(
    weight: float, mean: np.ndarray, covariance: np.ndarray, middle: np.ndarray, outer: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Constant c, factor R and shift s of log(w N(z; m, S) / p_out(z)) = c - |R z - s|^2 / 2."""
    precision = np.linalg.inv(covariance)
    factor = np.linalg.cholesky(precision - outer).T
    linear = precision @ mean - outer @ middle
    shift = np.linalg.solve(factor.T, linear)
    sizes = np.linalg.slogdet(precision)[1] - np.linalg.slogdet(outer)[1]
    constant = np.log(weight) + 0.5 * (sizes + middle @ outer @ middle - mean @ precision @ mean + shift @ shift)
    return float(constant), factor, shift


def _some(rows: np.ndarray, most: int, rng: np.random.RandomState) -> np.ndarray:
    return rows if len(rows) <= most else rows[rng.choice(len(rows), most, replace=False)]

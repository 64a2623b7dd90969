"""Covariance functions k(x, y) along rays x0 + a d.

The functions are those of Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, chapter 4.

As `a` grows, k(x, x) grows like ``own * a ** (2 p)`` for some power p, and because ``k(x, y) ** 2 <= k(x, x) k(y, y)`` no
k(x, y) with a fixed y grows faster than a ** p. So one power, one coefficient of k(x, x) and one of each k(x, y) say all that
decides where a Gaussian process ends:

- a function of the distance alone tends to 0 while k(x, x) stays, as soon as a column moves that it looks at;
- a dot product grows: k(x, y) like a (d . y), k(x, x) like a ** 2 (d . d);
- of a sum those count that grow fastest; a product adds powers and multiplies coefficients, a power multiplies powers.

A direction of 0 gives the values themselves, of power 0.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import gamma, kv

from knowlimits.model.families.family import Tail

Numbers = np.ndarray | float


@dataclass(frozen=True, eq=False)
class LeadingTerms:
    """How a covariance function grows along rays, seen from each of m points.

    Attributes:
        power: of `a`, half of that of k(x, x), ``(n,)``; minus infinity where the function is 0 everywhere.
        cross: coefficients of that power in k(x, y), ``(n, m)``.
        own: coefficients of twice that power in k(x, x), ``(n,)``.
        tail: how what is left beside them dies away, values of `Tail`, ``(n,)``.
        open: whether a coefficient of k(x, y) has no limit, ``(n,)``.
    """

    power: np.ndarray
    cross: np.ndarray
    own: np.ndarray
    tail: np.ndarray
    open: np.ndarray


class Covariance(ABC):
    """A covariance function."""

    @abstractmethod
    def along(self, x: np.ndarray, d: np.ndarray, y: np.ndarray) -> LeadingTerms:
        """How it grows along rays with starts and directions ``(n, features)``, seen from points ``(m, features)``."""


@dataclass(frozen=True)
class Constant(Covariance):
    """One value everywhere.

    Attributes:
        value: it.
        apart: what it is between two points that were not given as one; without it the same.
    """

    value: float
    apart: float | None = None

    def along(self, x: np.ndarray, d: np.ndarray, y: np.ndarray) -> LeadingTerms:
        """Nothing moves."""
        cross = np.broadcast_to(float(self.value if self.apart is None else self.apart), (len(x), len(y)))
        return _growth(np.zeros(len(x)), cross, np.full(len(x), self.value, dtype=np.float64), np.zeros(len(x), dtype=int))


@dataclass(frozen=True, eq=False)
class Stationary(Covariance):
    """A function of distances, 1 at the distance 0.

    Attributes:
        profile: the function.
        metric: of the distances, by scipy's name.
        scale: what columns are divided by, a number or one for each.
        tail: how it dies away.
        returns: whether it goes up and down without end instead.
    """

    profile: Callable[[np.ndarray], np.ndarray]
    metric: str = "sqeuclidean"
    scale: Numbers = 1.0
    tail: Tail = Tail.FAST
    returns: bool = False

    def along(self, x: np.ndarray, d: np.ndarray, y: np.ndarray) -> LeadingTerms:
        """The values where nothing moves that it looks at, and else 0."""
        moving = ((d != 0) & np.isfinite(np.broadcast_to(self.scale, x.shape[1]))).any(1)
        cross = np.zeros((len(x), len(y)))
        if not moving.all():
            cross[~moving] = self.profile(cdist(x[~moving] / self.scale, y / self.scale, metric=self.metric))  # type: ignore[call-overload]
        cross[moving] = np.nan if self.returns else 0.0
        tail = np.where(moving, Tail.SLOW if self.returns else self.tail, Tail.NONE)
        return _growth(np.zeros(len(x)), cross, np.ones(len(x)), tail, moving & self.returns)


@dataclass(frozen=True)
class DotProduct(Covariance):
    """``factor * (x . y) + shift``, neither less than 0.

    Attributes:
        factor, shift: they.
    """

    shift: float
    factor: float = 1.0

    def along(self, x: np.ndarray, d: np.ndarray, y: np.ndarray) -> LeadingTerms:
        """A straight line and a square where anything moves."""
        moving = d.any(1) & (self.factor > 0)
        cross = np.empty((len(x), len(y)))
        cross[moving] = self.factor * (d[moving] @ y.T)
        cross[~moving] = self.factor * (x[~moving] @ y.T) + self.shift
        own = self.factor * np.where(moving, (d * d).sum(1), (x * x).sum(1)) + np.where(moving, 0.0, self.shift)
        return _growth(np.where(moving, 1.0, 0.0), cross, own, np.where(moving, Tail.SLOW, Tail.NONE))


@dataclass(frozen=True, eq=False)
class SumOf(Covariance):
    """The sum of two.

    Attributes:
        first, second: they.
    """

    first: Covariance
    second: Covariance

    def along(self, x: np.ndarray, d: np.ndarray, y: np.ndarray) -> LeadingTerms:
        """Those that grow fastest."""
        one, other = self.first.along(x, d, y), self.second.along(x, d, y)
        power = np.maximum(one.power, other.power)
        if (one.power == other.power).all():
            tail = np.maximum(one.tail, other.tail)
            return LeadingTerms(power, one.cross + other.cross, one.own + other.own, tail, one.open | other.open)
        kept = [(part, part.power == power) for part in (one, other)]
        # What is left behind by one that grows is as a power of a.
        behind = np.where(kept[0][1] & kept[1][1], Tail.NONE, np.where(power > 0, Tail.SLOW, Tail.NONE))
        return LeadingTerms(
            power,
            sum(np.where(here[:, None], part.cross, 0.0) for part, here in kept),  # type: ignore[arg-type]
            sum(np.where(here, part.own, 0.0) for part, here in kept),  # type: ignore[arg-type]
            np.maximum(np.maximum(one.tail, other.tail), behind),
            np.any([part.open & here for part, here in kept], axis=0),
        )


@dataclass(frozen=True, eq=False)
class ProductOf(Covariance):
    """The product of two.

    Attributes:
        first, second: they.
    """

    first: Covariance
    second: Covariance

    def along(self, x: np.ndarray, d: np.ndarray, y: np.ndarray) -> LeadingTerms:
        """Powers add up; what tends to 0 takes with it what has no limit, as that has bounds."""
        one, other = self.first.along(x, d, y), self.second.along(x, d, y)
        cross, open_ = one.cross * other.cross, one.open | other.open
        if open_.any():
            vanishes = (~one.open & ~one.cross.any(1)) | (~other.open & ~other.cross.any(1))
            cross[vanishes] = 0.0
            open_ &= ~vanishes
        return _growth(one.power + other.power, cross, one.own * other.own, np.maximum(one.tail, other.tail), open_)


@dataclass(frozen=True, eq=False)
class PowerOf(Covariance):
    """A power of one.

    Attributes:
        base: it.
        exponent: to which it is raised.
    """

    base: Covariance
    exponent: float

    def along(self, x: np.ndarray, d: np.ndarray, y: np.ndarray) -> LeadingTerms:
        """Of what has bounds the power of its limit, which has none at a pole; of what grows whole positive powers."""
        base = self.base.along(x, d, y)
        whole = self.exponent >= 0 and float(self.exponent).is_integer()
        with np.errstate(divide="ignore", invalid="ignore"):
            power = np.where((base.own == 0) | (self.exponent == 0), 0.0, base.power * self.exponent)
            cross, own = base.cross**self.exponent, base.own**self.exponent
        open_ = base.open | (~np.isfinite(cross).all(1) & (base.tail > Tail.NONE)) | ((base.power > 0) & (not whole))
        return _growth(power, cross, own, base.tail, open_ & (self.exponent != 0))


def _growth(
    power: np.ndarray, cross: np.ndarray, own: np.ndarray, tail: np.ndarray, open_: np.ndarray | None = None
) -> LeadingTerms:
    """What grows; that of which k(x, x) is 0 is 0 everywhere, and of no power."""
    return LeadingTerms(
        np.where(own == 0, -np.inf, power), cross, own, tail, np.zeros(len(own), dtype=bool) if open_ is None else open_
    )


def gaussian(squares: np.ndarray, factor: float = 0.5) -> np.ndarray:
    """``exp(-factor r ** 2)``, of squared distances."""
    return np.exp(-factor * squares)


def exponential(distances: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """``exp(-factor r)``."""
    return np.exp(-factor * distances)


def matern(distances: np.ndarray, nu: float) -> np.ndarray:
    """Matern's function (Rasmussen and Williams, equations 4.14 and 4.17)."""
    if nu == 0.5:
        return np.exp(-distances)
    scaled = np.sqrt(2 * nu) * distances
    if nu == 1.5:
        return (1 + scaled) * np.exp(-scaled)
    if nu == 2.5:
        return (1 + scaled + scaled**2 / 3) * np.exp(-scaled)
    # At 0 the product has no value, and a limit.
    scaled = np.sqrt(2 * nu) * np.where(distances == 0, np.finfo(np.float64).eps, distances)
    with np.errstate(over="ignore", invalid="ignore"):
        values = 2 ** (1 - nu) / gamma(nu) * scaled**nu * kv(nu, scaled)
    return values


def rational_quadratic(squares: np.ndarray, length: float, alpha: float) -> np.ndarray:
    """``(1 + r ** 2 / (2 alpha length ** 2)) ** -alpha``, of squared distances (equation 4.19)."""
    return (1 + squares / (2 * alpha * length**2)) ** -alpha


def periodic(distances: np.ndarray, length: float, period: float) -> np.ndarray:
    """``exp(-2 (sin(pi r / period) / length) ** 2)`` (equation 4.31)."""
    return np.exp(-2 * (np.sin(np.pi / period * distances) / length) ** 2)

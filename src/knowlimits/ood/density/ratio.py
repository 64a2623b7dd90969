"""The logarithm of the ratio of two densities, that of the data against a wider one, as a function that falls along every ray.

With z = (x - centre) / scale it is

    log p_in(x) - log p_out(x) = logsumexp_k(constants[k] - |factors[k] z - shifts[k]|^2 / 2)
                                 - steepness sum_j max(|z_j| - reach, 0)^2,

up to a constant. The squares come of Gaussians N(m_k, S_k) against one whose covariance is wider than every S_k in every
direction, so that the factors are regular (Meinke and Hein, "Towards neural networks that provably know when they don't know",
ICLR 2020). The last term is a factor of p_in for each column, which is flat as far as rows were ever seen to go and a Gaussian
beyond: in hundreds of columns a single one that is far out is lost among the squares of the others, but not there.
"""

from dataclasses import dataclass, fields

import numpy as np

from knowlimits.limits.growth import Growth
from knowlimits.ood.sizes import LARGEST, too_large

# Radii below it are looked at as if they were it.
_TINY = 1e-150
# Rows at a time, so that their squares stay in the processor's cache.
_BLOCK = 1024
# Bisections of the equation for a ball; each adds a bit.
_STEPS = 200
# Half of a column's range in standardised units: `scale` is a sixth of the range.
HALF_RANGE = 3.0
# The unit of a column that never changed, as a share of its number.
_CONSTANT = 1e-6
# Of numbers in single precision, which many files hold.
_ROUNDING = 2.0**-23


@dataclass(frozen=True, eq=False)
class LogRatio:
    """log p_in - log p_out of rows ``(n, columns)`` of finite numbers.

    Attributes:
        centre: middles of the ranges of the columns, ``(columns,)``.
        scale: sixths of these ranges, ``(columns,)``.
        constants: ``(components,)``.
        factors: ``(components, columns, columns)``, each regular.
        shifts: ``(components, columns)``.
        reach: how far a column goes without more ado, in units of `scale`.
        steepness: of what comes beyond.
    """

    centre: np.ndarray
    scale: np.ndarray
    constants: np.ndarray
    factors: np.ndarray
    shifts: np.ndarray
    reach: float
    steepness: float

    def __post_init__(self) -> None:
        k, d = self.shifts.shape
        stacked = np.ascontiguousarray(self.factors.reshape(k * d, d).T)
        object.__setattr__(self, "_stacked", stacked)

    @property
    def seen(self) -> np.ndarray:
        """The smallest and the largest number of each column, ``(2, columns)``."""
        half = HALF_RANGE * self.scale
        half[self.scale == _unit_of_constants(self.centre)] = 0.0
        return np.stack([self.centre - half, self.centre + half])

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """The log ratio, ``(n,)``; its leading term, beside which others vanish, where squares could overflow."""
        starts = range(0, max(len(X), 1), _BLOCK)
        return np.concatenate([self._at(self.standardized(X[start : start + _BLOCK])) for start in starts])

    def standardized(self, X: np.ndarray) -> np.ndarray:
        """Rows in sixths of the ranges from the middles of the columns."""
        with np.errstate(over="ignore"):
            z = X - self.centre
            z /= self.scale
        return z

    def of_components(self, z: np.ndarray) -> np.ndarray:
        """The terms of the components at standardised rows, ``(components, n)``."""
        terms = self._squares(z)
        terms *= -0.5
        terms += self.constants[:, None]
        return terms

    def parts(self, X: np.ndarray) -> np.ndarray:
        """What columns add to the squares of the nearest component and to what is beyond the reach, ``(n, columns)``.

        They add up to its term in the negative log ratio, without its constant: of a quadratic form v' A v column j has
        v_j (A v)_j. A part is negative where a column is as others lead to expect. Numbers so large that their squares overflow
        count as the largest that do not.
        """
        z = np.clip(self.standardized(X), -LARGEST, LARGEST)
        nearest = self.of_components(z).argmax(0)
        parts = self.steepness * self._beyond(z) ** 2
        for k, (factor, shift) in enumerate(zip(self.factors, self.shifts, strict=True)):
            rows = nearest == k
            away = z[rows] - np.linalg.solve(factor, shift)
            parts[rows] += 0.5 * away * (away @ (factor.T @ factor))
        return parts

    def growth(self, starts: np.ndarray, directions: np.ndarray) -> Growth:
        """How the negative log ratio grows along rays ``(n, columns)``: with a square wherever a column moves, exactly."""
        rises, moves = self._rises(directions / self.scale), directions.any(1)
        return Growth(np.where(moves, 2, 0), np.where(moves, rises, -self(starts)))

    def largest_in_ball(self, X: np.ndarray, radius: float) -> np.ndarray:
        """A bound on the log ratio anywhere within a distance, in the units of the columns, ``(n,)``.

        Each component's own largest value is exact, and so is the least that each column has beyond its reach; at most all
        of them are at one place.
        """
        z = self.standardized(X)
        values = [
            self._largest(z, radius, float(constant), factor, shift)
            for constant, factor, shift in zip(self.constants, self.factors, self.shifts, strict=True)
        ]
        least = np.maximum(np.abs(z) - radius / self.scale - self.reach, 0)
        return np.logaddexp.reduce(values, axis=0) - self.steepness * (least**2).sum(1)

    def radii(self, X: np.ndarray, directions: np.ndarray, level: float) -> np.ndarray:
        """Distances along rays beyond which the log ratio stays below `level`, of arrays that broadcast to ``(..., columns)``.

        Infinite for a direction of length 0 from where it is above it.
        """
        z, d = self.standardized(X), directions / self.scale
        # The components' ratios add up, so that each must stay below its part.
        most = level - np.log(len(self.constants))
        radius = np.zeros(np.broadcast_shapes(z.shape, d.shape)[:-1])
        with np.errstate(divide="ignore", invalid="ignore"):
            for constant, factor, shift in zip(self.constants, self.factors, self.shifts, strict=True):
                start, way = z @ factor.T - shift, d @ factor.T
                a, b = -0.5 * (way**2).sum(-1), -_crossing(start, way)
                c = constant - 0.5 * (start**2).sum(-1) - most
                inside = b * b - 4 * a * c
                root = np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / (2 * a), 0.0)
                radius = np.maximum(radius, np.where(a < 0, root, np.where(c > 0, np.inf, 0.0)))
        return radius

    def arrays(self) -> dict[str, np.ndarray]:
        """All numbers, by their names."""
        return {field.name: np.asarray(getattr(self, field.name), dtype=np.float64) for field in fields(self)}

    @classmethod
    def of_arrays(cls, arrays: dict[str, np.ndarray]) -> "LogRatio":
        """The way back from `arrays`.

        Raises:
            ValueError: if they are not such, or the ratio would not fall along every ray.
        """
        d, k = np.size(arrays.get("centre", ())), np.size(arrays.get("constants", ()))
        shapes = {
            **{"centre": (d,), "scale": (d,), "constants": (k,), "factors": (k, d, d), "shifts": (k, d)},
            **{"reach": (), "steepness": ()},
        }
        if set(arrays) != set(shapes) or k == 0:
            given = ", ".join(sorted(arrays)) or "nothing"
            raise ValueError(f"a log ratio must have {', '.join(shapes)}. Got {given} instead.")
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise ValueError(f"{name} of a log ratio must have shape {shape}. Got {arrays[name].shape} instead.")
            if not np.isfinite(arrays[name]).all():
                raise ValueError(f"{name} of a log ratio must be finite. Got numbers that are not.")
        if not (arrays["scale"] > 0).all() or arrays["reach"] < 0 or arrays["steepness"] < 0:
            raise ValueError("scale, reach and steepness of a log ratio must be positive. Got a number that is not.")
        values = np.linalg.svd(arrays["factors"], compute_uv=False)
        if not (values[:, -1:] > 1e-12 * values[:, :1]).all():
            raise ValueError("factors of a log ratio must be regular, so that it falls along every ray. Got one that is not.")
        rest = {name: arrays[name] for name in shapes if name not in ("reach", "steepness")}
        return cls(**rest, reach=float(arrays["reach"]), steepness=float(arrays["steepness"]))

    def _at(self, z: np.ndarray) -> np.ndarray:
        # The largest of all first, which is found much faster than that of each row.
        if z.size and max(z.max(), -z.min()) > LARGEST:
            far = too_large(z)
            result = np.empty(len(z))
            result[~far] = self._at(z[~far])
            ways = np.nan_to_num(z[far])
            sizes = np.abs(ways).max(1)
            with np.errstate(over="ignore"):
                result[far] = -self._rises(ways / sizes[:, None]) * sizes**2
            return result
        terms = self.of_components(z)
        # As scipy's logsumexp, which takes three times as long.
        total = terms.max(0)
        if len(terms) > 1:
            total += np.log(np.exp(terms - total).sum(0))
        out = np.flatnonzero(np.abs(z) > self.reach)
        if len(out):
            rows = np.unique(out // z.shape[1])
            total[rows] -= self.steepness * (self._beyond(z[rows]) ** 2).sum(1)
        return total

    def _rises(self, d: np.ndarray) -> np.ndarray:
        """What the negative log ratio has for each square of a along standardised directions, ``(n,)``."""
        return 0.5 * self._lengths(d @ self._stacked).min(0) + self.steepness * (d**2).sum(1)  # type: ignore[attr-defined]

    def _squares(self, z: np.ndarray) -> np.ndarray:
        away = z @ self._stacked  # type: ignore[attr-defined]
        away -= self.shifts.ravel()
        return self._lengths(away)

    def _lengths(self, away: np.ndarray) -> np.ndarray:
        """Squared lengths of what components make of rows, side by side, ``(components, n)``."""
        each = away.reshape(len(away), *self.shifts.shape)
        return np.einsum("nkd,nkd->kn", each, each)

    def _beyond(self, z: np.ndarray) -> np.ndarray:
        return np.maximum(np.abs(z) - self.reach, 0.0)

    def _largest(self, z: np.ndarray, radius: float, constant: float, factor: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """The largest value of a component's term within a distance, in the units of the columns.

        The maximum of a concave quadratic in a ball lies where its gradient is a multiple of the way from the centre.
        """
        away = z @ factor.T - shift
        at = constant - 0.5 * (away**2).sum(1)
        if radius == 0:
            return at
        # From here in units of the columns, round the centre of each ball: there a ball is a ball.
        stretched = factor / self.scale
        gradient = -away @ stretched
        values, vectors = np.linalg.eigh(stretched.T @ stretched)
        values = np.maximum(values, np.finfo(float).tiny)
        pull = gradient @ vectors
        low, high = np.zeros(len(z)), np.minimum(np.linalg.norm(gradient, axis=1) / max(radius, _TINY), 1 / _TINY)
        free = np.linalg.norm(pull / values, axis=1) <= radius
        for _ in range(_STEPS):
            middle = (low + high) / 2
            outside = np.linalg.norm(pull / (values + middle[:, None]), axis=1) > radius
            low, high = np.where(outside, middle, low), np.where(outside, high, middle)
        # The lower end lies outside of the ball by rounding, if at all, so that the bound errs on the safe side.
        step = pull / (values + np.where(free, 0.0, low)[:, None])
        return at + (step * pull).sum(1) - 0.5 * (values * step**2).sum(1)


def units(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middles and sixths of the ranges of columns: `centre` and `scale` for them."""
    middle = low / 2 + high / 2
    sixth = (high - low) / (2 * HALF_RANGE)
    # A range that is lost in rounding is none, either.
    known = sixth > _ROUNDING * np.abs(middle)
    return middle, np.where(known, sixth, _unit_of_constants(middle))


def _unit_of_constants(middle: np.ndarray) -> np.ndarray:
    return _CONSTANT * np.where(middle == 0, 1.0, np.abs(middle))


def _crossing(start: np.ndarray, way: np.ndarray) -> np.ndarray:
    """The products of starts and ways along the last axis; as one matrix product where each start meets each way."""
    if start.ndim == 3 and way.ndim == 2:
        return start[:, 0] @ way.T
    return (start * way).sum(-1)

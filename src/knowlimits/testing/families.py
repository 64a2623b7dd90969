"""A check for a family of classifiers that a person adds: what it says of rays, against what it says at points far out."""

import copy

import numpy as np

from knowlimits.model.endings import Outputs
from knowlimits.model.families.family import Ends, Family, Tail

# Where a limit that is only approached is compared, and how much nearer it comes, at least, from one to the next, or how near
# it is when it is there.
_RADII = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8)
_NEARER, _THERE = 0.9, 1e-5
# How far rays are followed beyond their last change, in shares of it and then in lengths of the direction.
_BEYOND = ((1e-9, 0.0), (0.5, 1.0), (1e3, 1e3))
# Rounding, in shares of the numbers' sizes.
_ROUNDING = 1e-9


def check_family(family: Family, X: np.ndarray, *, rays: int = 100, seed: int = 0) -> None:
    """Check a family of your own: rows stand for themselves, and rays end in what points far out say, from the radius on.

    Along a ray with a finite radius values must be equal to the asymptote beyond it, up to rounding; where it is nan they must
    come nearer. A radius that is larger than it need be is not seen.

    Args:
        family: what `knowlimits.families.register` has made of an estimator.
        X: rows as it takes them, ``(n, features)``; rays start from them, in directions of their columns' deviations.
        rays: how many.
        seed: of the rays.

    Raises:
        AssertionError: where it breaks the contract.
    """
    assert isinstance(family, Family), f"must be a Family, got {type(family).__name__}"
    X = np.array(X, dtype=np.float64)
    _check_points(family, X)
    origins, directions = _drawn(family, X, rays, seed)
    still = family.along(origins, np.zeros_like(directions))
    _check_ends(still, len(origins))
    assert not still.rate.any(), "along a direction of 0 the rate must be 0"
    _check_near("along a direction of 0 the offset must be the value", still.offset, family.at(origins))
    ends = family.along(origins, directions)
    _check_ends(ends, len(origins))
    if family.returns is Outputs.PROBABILITIES:
        assert not ends.rate.any(), "probabilities must have a rate of 0"
    settled = np.isfinite(ends.radius)
    assert settled.all() or ends.tail is not Tail.NONE, "a tail of NONE must go with a radius on every ray"
    _check_settled(family, origins[settled], directions[settled], _some(ends, settled))
    _check_approached(family, origins[~settled], directions[~settled], _some(ends, ~settled))


def _check_points(family: Family, X: np.ndarray) -> None:
    given = X.copy()
    values = family.at(X)
    assert np.array_equal(X, given, equal_nan=True), "at must leave what it is given as it is"
    assert values.shape == (len(X), *values.shape[1:2]), f"at must give (n, outputs) for n = {len(X)}, got {values.shape}"
    assert values.dtype == np.float64, f"at must give float64, got {values.dtype}"
    assert np.isfinite(values).all(), "at must give finite numbers"
    alone = np.concatenate([family.at(X[row : row + 1]) for row in range(min(len(X), 20))])
    _check_near("a row must not hang on the rows beside it", alone, values[: len(alone)])
    if family.returns is Outputs.PROBABILITIES:
        assert ((values >= 0) & (values <= 1 + _ROUNDING)).all(), "probabilities must lie in 0 to 1"
        if values.shape[1] > 1:
            assert np.allclose(values.sum(1), 1, rtol=0, atol=1e-9), "the probabilities of a row must add up to 1"
    assert np.array_equal(copy.deepcopy(family).at(X), values), "a copy must say the same"


def _drawn(family: Family, X: np.ndarray, rays: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rays from rows: along a column, along some whole numbers of columns, and any way."""
    rng = np.random.default_rng(seed)
    origins = X[rng.integers(len(X), size=rays)]
    directions = rng.normal(size=origins.shape)
    directions[0::3] = np.eye(X.shape[1])[rng.integers(X.shape[1], size=len(directions[0::3]))]
    directions[0::6] *= -1
    directions[1::3] = np.round(directions[1::3])
    deviations = np.nanstd(X, axis=0)
    directions *= np.where(deviations > 0, deviations, 1)
    directions[:, list(family.held)] = 0
    return origins, np.where(np.isnan(origins), 0.0, directions)


def _check_ends(ends: Ends, rows: int) -> None:
    assert isinstance(ends, Ends), f"along must give Ends, got {type(ends).__name__}"
    for name in ("rate", "offset"):
        values = getattr(ends, name)
        shape = (rows, *ends.offset.shape[1:2])
        assert values.shape == shape, f"{name} must be (n, outputs) = {shape}, got {values.shape}"
        assert np.isfinite(values).all(), f"{name} must be finite"
    for name in ("radius", "clear"):
        values = getattr(ends, name)
        assert values.shape == (rows,), f"{name} must be (n,) = ({rows},), got {values.shape}"
    assert not ((ends.radius < 0) | np.isinf(ends.radius)).any(), "radius must be at least 0, finite or nan"


def _some(ends: Ends, chosen: np.ndarray) -> Ends:
    return Ends(ends.offset[chosen], ends.rate[chosen], ends.radius[chosen], ends.clear[chosen], ends.tail)


def _check_settled(family: Family, origins: np.ndarray, directions: np.ndarray, ends: Ends) -> None:
    for share, lengths in _BEYOND if len(origins) else ():
        a = (ends.radius * (1 + share) + lengths)[:, None]
        seen = family.at(origins + a * directions)
        # What lies at a tie is rounded to either side.
        told = ends.clear
        _check_near("beyond the radius values must be rate * a + offset", seen[told], (ends.rate * a + ends.offset)[told])


def _check_approached(family: Family, origins: np.ndarray, directions: np.ndarray, ends: Ends) -> None:
    if not len(origins):
        return
    off = []
    for a in _RADII:
        asymptote = ends.rate * a + ends.offset
        off.append((np.abs(family.at(origins + a * directions) - asymptote) / (1 + np.abs(ends.rate) * a)).max(1))
    off = np.array(off)
    there = (off <= _THERE).any(0)
    nearer = (off[1:] <= _NEARER * off[:-1]).all(0)
    wrong = ends.clear & ~there & ~nearer
    assert not wrong.any(), (
        f"values must come near to rate * a + offset, and are off by {off[-1, int(wrong.argmax())]:.3g} at a = {_RADII[-1]:.0e}"
    )


def _check_near(what: str, seen: np.ndarray, wanted: np.ndarray) -> None:
    off = np.abs(seen - wanted) - _ROUNDING * (1 + np.abs(wanted))
    assert not off.size or off.max() <= 0, f"{what}, up to rounding; off by {np.abs(seen - wanted).max():.3g}"

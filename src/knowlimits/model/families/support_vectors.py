"""Support vector machines with probabilities by Platt's sigmoids, and their decision functions.

The probability between two classes is 1 / (1 + exp(A f + B)) of the decision f (Platt, "Probabilistic outputs for support
vector machines", 1999), kept within 1e-7 and 1 - 1e-7. Those of all pairs are coupled by the second method of Wu, Lin and Weng,
"Probability estimates for multi-class classification by pairwise coupling", 2004, with the iteration of LIBSVM, which stops at
a tolerance of 0.005 divided by the number of classes. As it counts its steps, probabilities jump by less than that tolerance;
a limit so near to such a place that rounding decides is not clear.

Along a ray decisions go to infinity or to a limit (`machines`). Where they are polynomials, probabilities no longer change once
each sigmoid is beyond 1e-7 for good, which is the last root of a polynomial.
"""

import numpy as np
from scipy.special import expit

from knowlimits.compiling import compiled
from knowlimits.model.endings import Outputs
from knowlimits.model.families.family import Ends, Family, Tail
from knowlimits.model.families.machines import Machine
from knowlimits.model.families.polynomials import Coefficients

# No probability between two classes is nearer to 0 or 1, and what A f + B is there.
_LEAST = 1e-7
_SETTLED = float(np.log(1 / _LEAST - 1))
# A step more or less is not clear where what decides it is nearer to its tolerance.
_CLOSE = 1e-12


class SupportVectors(Family):
    """Probabilities of classes, ``(n, features) -> (n, classes)``.

    Args:
        machine: decisions of all pairs (0, 1), (0, 2), ..., (1, 2), ..., positive for the first.
        a, b: of the sigmoid of each pair, ``(pairs,)``.
        classes: how many there are.
    """

    def __init__(self, machine: Machine, a: np.ndarray, b: np.ndarray, classes: int):
        super().__init__()
        self.machine, self.classes = machine, classes
        self._a, self._b = np.array(a, dtype=np.float64), np.array(b, dtype=np.float64)

    @property
    def described(self) -> str:
        """How many support vectors."""
        return self.machine.described

    def at(self, x: np.ndarray) -> np.ndarray:
        """Probabilities at points."""
        return self._coupled(self.machine.at(x))[0]

    def along(self, x: np.ndarray, d: np.ndarray) -> Ends:
        """Probabilities that rays end at; the radius where sigmoids are cut off, and nan where a kernel only dies away."""
        decisions = self.machine.along(x, d)
        value, clear = self.machine.limits(decisions)
        # One whose sigmoid is level does not count.
        level = self._a == 0
        p, steps_are_clear = self._coupled(np.where(level, 0.0, value))
        moving = self.machine.moving(d)
        radius = np.where(moving, np.nan, _last_crossings(decisions, self._a, self._b).max(1, initial=0.0))
        tail = Tail.FAST if moving.any() else Tail.NONE
        return Ends(p, radius=radius, clear=np.all(clear | level, axis=1) & steps_are_clear, tail=tail)

    def _coupled(self, decisions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities ``(n, classes)``, and whether rounding could not change the number of steps, ``(n,)``."""
        with np.errstate(invalid="ignore"):
            pairs = np.clip(expit(-(decisions * self._a + self._b)), _LEAST, 1 - _LEAST)
        p, gaps = np.empty((len(pairs), self.classes)), np.empty(len(pairs))
        _couple(pairs, p, gaps)
        return p, gaps > _CLOSE


class Decisions(Family):
    """A decision function of which all but limits dies away, ``(n, features) -> (n, columns)``.

    Args:
        machine: it.
    """

    returns = Outputs.LOGITS

    def __init__(self, machine: Machine):
        super().__init__()
        self.machine = machine

    @property
    def described(self) -> str:
        """How many support vectors."""
        return self.machine.described

    def at(self, x: np.ndarray) -> np.ndarray:
        """Decisions at points."""
        return self.machine.at(x)

    def along(self, x: np.ndarray, d: np.ndarray) -> Ends:
        """Their limits."""
        moving = self.machine.moving(d)
        offset, clear = self.machine.limits(self.machine.along(x, d))
        tail = Tail.FAST if moving.any() else Tail.NONE
        return Ends(offset, radius=np.where(moving, np.nan, 0.0), clear=np.all(clear, axis=1), tail=tail)


class Votes(Family):
    """The decision function of each class against the rest: how many pairs decide for it, and something below 1/3 by how much.

    That is s / (3 (\\|s\\| + 1)) of the sum s of its decisions (scikit-learn's, which calls it so for several classes).

    Args:
        machine: decisions of all pairs.
        classes: how many there are.
    """

    returns, jumps = Outputs.LOGITS, True

    def __init__(self, machine: Machine, classes: int):
        super().__init__()
        self.machine, self.classes = machine, classes
        self._first, self._second = np.triu_indices(classes, 1)
        mix = np.zeros((len(self._first), classes), dtype=int)
        mix[np.arange(len(mix)), self._first], mix[np.arange(len(mix)), self._second] = 1, -1
        self._mix, self._sums = mix, machine.mixed(mix)

    @property
    def described(self) -> str:
        """How many support vectors."""
        return self.machine.described

    def at(self, x: np.ndarray) -> np.ndarray:
        """Votes at points."""
        decisions = self.machine.at(x)
        return self._voted(decisions, decisions @ self._mix)

    def along(self, x: np.ndarray, d: np.ndarray) -> Ends:
        """Votes that rays end at; clear unless a decision tends to 0."""
        pairs, sums = self.machine.along(x, d), self._sums.along(x, d)
        (value, clear), (total, sums_clear) = self.machine.limits(pairs), self._sums.limits(sums)
        still = pairs.still & sums.still & ~self.machine.moving(d)
        level = np.isfinite(value) & (np.abs(value) <= pairs.errors[..., 0])
        tail = Tail.NONE if still.all() else Tail.SLOW if np.isinf(total).any() else Tail.FAST
        clear = np.all(np.concatenate([clear & ~level, sums_clear], 1), axis=1)
        return Ends(self._voted(value, total), radius=np.where(still, 0.0, np.nan), clear=clear, tail=tail)

    def _voted(self, decisions: np.ndarray, sums: np.ndarray) -> np.ndarray:
        won = np.zeros((len(decisions), self.classes))
        for k, (first, second) in enumerate(zip(self._first, self._second, strict=True)):
            lost = decisions[:, k] < 0
            won[:, first] += ~lost
            won[:, second] += lost
        with np.errstate(invalid="ignore"):
            share = np.where(np.isinf(sums), np.sign(sums), sums / (np.abs(sums) + 1))
        return won + share / 3


def _last_crossings(decisions: Coefficients, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """From where on A f + B is beyond what a sigmoid is cut off at, for f that grow, ``(n, pairs)``; 0 for others."""
    polynomials = np.where(np.abs(decisions.values) > decisions.errors, decisions.values, 0.0) * a[:, None]
    polynomials[..., 0] = decisions.values[..., 0] * a + b
    last = np.zeros(polynomials.shape[:2])
    degrees = np.zeros(last.shape, dtype=int)
    for k in range(1, polynomials.shape[2]):
        degrees = np.where(polynomials[..., k] != 0, k, degrees)
    for k in np.unique(degrees[degrees > 0]):
        here = degrees == k
        some = polynomials[here][:, : k + 1]
        some[:, 0] -= np.copysign(_SETTLED, some[:, k])
        last[here] = _last_roots(some)
    return last


def _last_roots(polynomials: np.ndarray) -> np.ndarray:
    """The largest real roots of polynomials of one degree, or 0 where none is above it: ``(n, degree + 1) -> (n,)``."""
    degree = polynomials.shape[1] - 1
    with np.errstate(over="ignore", divide="ignore"):
        monic = polynomials[:, :-1] / polynomials[:, -1:]
        # So that no root is larger than 2.
        scale = (np.abs(monic) ** (1 / np.arange(degree, 0, -1))).max(1, keepdims=True)
    if degree == 1:
        return np.maximum(-monic[:, 0], 0.0)
    scale = np.where(scale > 0, scale, 1.0)
    companion = np.zeros((len(monic), degree, degree))
    companion[:, np.arange(1, degree), np.arange(degree - 1)] = 1.0
    companion[:, :, -1] = -monic / scale ** np.arange(degree, 0, -1)
    roots = np.linalg.eigvals(companion)
    # Roots that fall together come apart by rounding, and may leave the real line.
    real = np.abs(roots.imag) <= np.finfo(np.float64).eps ** (1 / degree)
    return scale[:, 0] * np.where(real & (roots.real > 0), roots.real, 0.0).max(1)


@compiled(nogil=True)
def _couple(pairs: np.ndarray, p: np.ndarray, gaps: np.ndarray) -> None:  # pragma: no cover - compiled
    """Probabilities of classes from those between pairs of them, step by step as LIBSVM goes.

    Args:
        pairs: probabilities of the first class of each pair, ``(n, pairs)``.
        p: where those of the classes go, ``(n, classes)``.
        gaps: where goes how near what decides to stop was to its tolerance, ``(n,)``.
    """
    classes = p.shape[1]
    tolerance = 0.005 / classes
    q, qp = np.empty((classes, classes)), np.empty(classes)
    for row in range(len(pairs)):
        gaps[row] = np.inf
        for i in range(classes):
            q[i, i] = 0.0
            p[row, i] = 1.0 / classes
        k = 0
        for i in range(classes):
            for j in range(i + 1, classes):
                first = pairs[row, k]
                second = 1 - first
                q[i, i] += second * second
                q[j, j] += first * first
                q[i, j] = -second * first
                q[j, i] = q[i, j]
                k += 1
        for _ in range(max(100, classes)):
            total = 0.0
            for i in range(classes):
                qp[i] = 0.0
                for j in range(classes):
                    qp[i] += q[i, j] * p[row, j]
                total += p[row, i] * qp[i]
            error = 0.0
            for i in range(classes):
                error = max(error, abs(qp[i] - total))
            gaps[row] = min(gaps[row], abs(error - tolerance))
            if error < tolerance:
                break
            for i in range(classes):
                step = (-qp[i] + total) / q[i, i]
                p[row, i] += step
                total = (total + step * (step * q[i, i] + 2 * qp[i])) / (1 + step) / (1 + step)
                for j in range(classes):
                    qp[j] = (qp[j] + step * q[i, j]) / (1 + step)
                    p[row, j] /= 1 + step

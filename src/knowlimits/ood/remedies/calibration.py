"""What rows that were held out say of a guard: how much of the model it keeps, and which rows it accepts."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import beta

# How sure intervals are.
_LEVEL = 0.95
# Beyond the range of the ratios the weights are 0 and 1 to the last bit.
_SATURATED = 50.0
# How much a number may change with the order of sums, of its size or of 1.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval.

    Attributes:
        value: what is expected; of a loss, at most.
        low, high: ends of the interval.
    """

    value: float
    low: float
    high: float


def loss_bound(weight: np.ndarray, classes: int) -> np.ndarray:
    """By how much the log loss of rows can grow at most if a share of the model is kept, whatever it says, ``(n,)``.

    The loss grows by -log(w + (1 - w) / (K p)), p being the model's probability of the row's class, which is 1 at most.
    """
    return -np.log(weight + (1 - weight) / classes)


def shift_for(ratio: np.ndarray, classes: int, tolerance: float) -> tuple[float, Estimate]:
    """The smallest logarithm of p_in's weight under which a new row is expected to lose no more than a tolerance.

    Of n + 1 rows that come alike any may be the one that is new. So with a mean R of `loss_bound` over n of them no more than
    n R / (n + 1) + log K / (n + 1) is expected of it, however the weight was chosen by them (Angelopoulos, Bates, Fisch, Lei
    and Schuster, "Conformal risk control", ICLR 2024). Where that would leave no room for a single row that is lost altogether,
    so that an outlier decided, the mean itself is the tolerance, and the estimate says what is expected then.

    The interval is of the mean over all rows like them, and holds for all weights at once: the bound falls in the log ratio,
    from log K to 0, so that no mean over n rows is farther from the truth than log K times the largest distance of the two
    distribution functions of the ratio, which is below sqrt(log(2 / 0.05) / (2 n)) with probability 0.95 (Massart, "The tight
    constant in the Dvoretzky-Kiefer-Wolfowitz inequality", 1990). For one weight that is Hoeffding's inequality.
    """
    n, most = len(ratio), float(np.log(classes))
    aim = tolerance - (most - tolerance) / n
    if aim < most / n:
        aim = tolerance

    def excess(shift: float) -> float:
        return float(loss_bound(expit(ratio + shift), classes).mean()) - aim

    shift = float(np.asarray(brentq(excess, -ratio.max() - _SATURATED, -ratio.min() + _SATURATED)))
    mean = excess(shift) + aim
    room = most * float(np.sqrt(np.log(2 / (1 - _LEVEL)) / (2 * n)))
    return shift, Estimate((n * mean + most) / (n + 1), max(0.0, mean - room), min(most, mean + room))


def threshold_for(unfamiliarity: np.ndarray, keep: float) -> tuple[float, Estimate]:
    """The smallest threshold under which a row like those held out stays with a probability of `keep`; and the share that does.

    With n rows it is the k-th smallest number, k being the next whole number above keep (n + 1). The share of all rows like
    them that lies below has a beta distribution with k and n + 1 - k (Vovk, "Conditional validity of inductive conformal
    predictors", 2012); of equal numbers more lie below. Too few rows, or infinite numbers, leave the largest finite one.

    Raises:
        ValueError: if all numbers are infinite.
    """
    ordered = np.sort(unfamiliarity)
    n = len(ordered)
    k = min(int(np.ceil(keep * (n + 1))), int(np.isfinite(ordered).sum()))
    if k == 0:
        raise ValueError(
            f"X must have rows that are like others. Got none among {n} that were held out: each has something that no row has "
            "that was learnt from, such as a value of a category."
        )
    low, high = beta.ppf([(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], k, n + 1 - k)
    # The row that sets it is accepted among other rows, too, with which sums are rounded otherwise.
    threshold = float(ordered[k - 1])
    threshold += _ROUNDING * max(1.0, abs(threshold))
    return threshold, Estimate(k / (n + 1), float(low), float(high))

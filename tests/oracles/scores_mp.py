"""The scores in extended precision, straight from their definitions, and central differences of them."""

import mpmath
from mpmath import mpf

DIGITS = 700  # softmax of logits hundreds apart, and differences of their entropies


def score(probs, name):
    """A score of (members, classes) probabilities, which are first made to add up to 1 exactly."""
    with mpmath.workdps(DIGITS):
        rows = [[mpf(float(p)) for p in row] for row in probs]
        return _score([[p / sum(row) for p in row] for row in rows], name)


def _score(rows, name):
    return DEFINITIONS[name](rows)


def _mean(rows):
    return [sum(row[c] for row in rows) / len(rows) for c in range(len(rows[0]))]


def _expected_entropy(rows):
    return sum(map(_entropy, rows)) / len(rows)


def _variance(rows):
    if len(rows) == 1:
        return mpf(0)
    mean, classes = _mean(rows), range(len(rows[0]))
    return sum((row[c] - mean[c]) ** 2 for row in rows for c in classes) / (len(rows) - 1) / len(classes)


def _entropy(p):
    return -sum((x * mpmath.log(x) for x in p if x > 0), mpf(0))


#: By the names of the functions in `knowlimits.scores`, from (members, classes) probabilities.
DEFINITIONS = {
    "max_prob": lambda rows: 1 - max(_mean(rows)),
    "entropy": lambda rows: _entropy(_mean(rows)),
    "expected_entropy": _expected_entropy,
    "mutual_information": lambda rows: _entropy(_mean(rows)) - _expected_entropy(rows),
    "variance": _variance,
}


def published_mutual_information(probs):
    """What the published code computes, in bits: the entropy over members of the mean over classes, minus mean entropy."""
    with mpmath.workdps(50):
        mean = [sum(mpf(float(p)) for p in row) / len(row) for row in probs]
        entropies = [_entropy([mpf(float(p)) for p in row]) for row in probs]
        return (_entropy(mean) - sum(entropies) / len(probs)) / mpmath.log(2)


def gradient_length(weights, biases, x, name):
    """Length of a score's gradient at `x` for ReLU networks given as tensors (members, out, in), by central differences."""
    with mpmath.workdps(DIGITS):
        step = mpf(10) ** -60
        total = mpf(0)
        for axis in range(len(x)):
            ends = []
            for sign in (1, -1):
                point = [mpf(v) + (sign * step if i == axis else 0) for i, v in enumerate(x)]
                ends.append(_score(_probabilities(weights, biases, point), name))
            total += ((ends[0] - ends[1]) / (2 * step)) ** 2
        return mpmath.sqrt(total)


def _probabilities(weights, biases, point):
    rows = []
    for m in range(len(weights[0])):
        hidden = point
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            hidden = [
                sum(mpf(float(w)) * h for w, h in zip(row, hidden, strict=True)) + mpf(float(b))
                for row, b in zip(weight[m], bias[m], strict=True)
            ]
            if layer < len(weights) - 1:
                hidden = [max(h, mpf(0)) for h in hidden]
        top = max(hidden)
        exponentials = [mpmath.exp(h - top) for h in hidden]
        rows.append([e / sum(exponentials) for e in exponentials])
    return rows


def far_point(origin, direction, radius):
    """``origin + radius * direction`` without rounding."""
    with mpmath.workdps(DIGITS):
        return [mpf(float(x)) + mpf(radius) * mpf(float(d)) for x, d in zip(origin, direction, strict=True)]


def score_at(weights, biases, point, name):
    """A score of ReLU networks at a point of extended precision."""
    with mpmath.workdps(DIGITS):
        return _score(_probabilities(weights, biases, point), name)


def probabilities_at(weights, biases, point):
    """Probabilities of ReLU networks, (members, classes), at a point of extended precision."""
    with mpmath.workdps(DIGITS):
        return [[float(p) for p in row] for row in _probabilities(weights, biases, point)]

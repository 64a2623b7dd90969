"""What scikit-learn's kernel classifiers say, from their fitted numbers, in extended precision, far along rays too."""

from functools import cache

import mpmath
import numpy as np
from mpmath import mpf

DIGITS = 60
LAMBDAS = ["0.41", "0.4", "0.37", "0.44", "0.39"]
COEFS = ["-1854.8214151", "3516.89893646", "221.29346712", "128.12323805", "-2010.49422654"]


def on_ray(x, d, a):
    """x + a d, floats taken as they are."""
    return [mpf(float(one)) + mpf(float(a)) * mpf(float(step)) for one, step in zip(x, d, strict=True)]


def dot(x, y):
    return mpmath.fsum(one * other for one, other in zip(x, y, strict=True))


def squared(x, y):
    return mpmath.fsum((one - other) ** 2 for one, other in zip(x, y, strict=True))


@cache
def exact(values):
    return [[mpf(float(one)) for one in row] for row in values]


def rows_of(values):
    values = values.toarray() if hasattr(values, "toarray") else values
    return exact(tuple(map(tuple, np.asarray(values, dtype=float).tolist())))


def support_kernel(model, x, s):
    gamma, coef0 = mpf(float(model._gamma)), mpf(float(model.coef0))
    if model.kernel == "linear":
        return dot(x, s)
    if model.kernel == "rbf":
        return mpmath.exp(-gamma * squared(x, s))
    inner = gamma * dot(x, s) + coef0
    return mpmath.tanh(inner) if model.kernel == "sigmoid" else inner**model.degree


def decisions(model, x):
    """Decisions of all pairs, positive for the first class, by the user's guide on `dual_coef_`."""
    vectors, duals = rows_of(model.support_vectors_), rows_of(model.dual_coef_)
    values = [support_kernel(model, x, s) for s in vectors]
    owner = np.repeat(np.arange(len(model.classes_)), model.n_support_).tolist()
    way = -1 if len(model.classes_) == 2 else 1
    found, pair = [], 0
    for i in range(len(model.classes_)):
        for j in range(i + 1, len(model.classes_)):
            total = mpf(float(model.intercept_[pair]))
            for place, k in enumerate(values):
                if owner[place] == i:
                    total += duals[j - 1][place] * k
                elif owner[place] == j:
                    total += duals[i][place] * k
            found.append(way * total)
            pair += 1
    return found


def coupled(pairs, classes):
    """The fixed iteration of Wu, Lin and Weng, algorithm 2, from equal probabilities, until it is within LIBSVM's tolerance."""
    r = [[mpf(0)] * classes for _ in range(classes)]
    pair = iter(pairs)
    for i in range(classes):
        for j in range(i + 1, classes):
            r[i][j] = next(pair)
            r[j][i] = 1 - r[i][j]
    q = [
        [sum(r[s][i] ** 2 for s in range(classes) if s != i) if i == j else -r[j][i] * r[i][j] for j in range(classes)]
        for i in range(classes)
    ]
    p = [mpf(1) / classes] * classes
    for _ in range(max(100, classes)):
        qp = [dot(row, p) for row in q]
        total = dot(p, qp)
        if max(abs(one - total) for one in qp) < mpf("0.005") / classes:
            break
        for t in range(classes):
            qp = [dot(row, p) for row in q]
            p[t] = (dot(p, qp) - (qp[t] - q[t][t] * p[t])) / q[t][t]
            whole = sum(p)
            p = [one / whole for one in p]
    return p


def settled(pairs, classes):
    """What the iteration comes to in the end: the least sum of (r_ji p_i - r_ij p_j)^2, of probabilities that add up to 1."""
    r = np.zeros((classes, classes))
    r[np.triu_indices(classes, 1)] = pairs
    r += np.tril(1 - r.T, -1)
    q = np.diag([sum(r[s, i] ** 2 for s in range(classes) if s != i) for i in range(classes)])
    for i in range(classes):
        for j in range(classes):
            if i != j:
                q[i, j] = -r[j, i] * r[i, j]
    equations = np.block([[q, np.ones((classes, 1))], [np.ones((1, classes)), np.zeros((1, 1))]])
    return np.linalg.solve(equations, [0.0] * classes + [1.0])[:classes]


def support_vectors(model, x):
    """Probabilities of classes at a point of mpmath's numbers."""
    pairs = []
    for f, a, b in zip(decisions(model, x), model._probA, model._probB, strict=True):
        p = 1 / (1 + mpmath.exp(f * mpf(float(a)) + mpf(float(b))))
        pairs.append(min(max(p, mpf(1e-7)), mpf(1 - 1e-7)))
    return [float(p) for p in coupled(pairs, len(model.classes_))]


def covariance(kernel, x, y, same):
    """A kernel of scikit-learn between two points; `same` where they were given as one."""
    name = type(kernel).__name__
    if name in ("Sum", "Product"):
        first, second = (covariance(part, x, y, same) for part in (kernel.k1, kernel.k2))
        return first + second if name == "Sum" else first * second
    if name == "Exponentiation":
        return covariance(kernel.kernel, x, y, same) ** mpf(kernel.exponent)
    if name == "ConstantKernel":
        return mpf(float(kernel.constant_value))
    if name == "WhiteKernel":
        return mpf(float(kernel.noise_level)) if same else mpf(0)
    if name == "DotProduct":
        return dot(x, y) + mpf(float(kernel.sigma_0)) ** 2
    scale = np.broadcast_to(np.asarray(kernel.length_scale, dtype=float), len(x)).tolist()
    r2 = mpmath.fsum(((one - other) / mpf(s)) ** 2 for one, other, s in zip(x, y, scale, strict=True) if np.isfinite(s))
    if name == "RationalQuadratic":
        return (1 + r2 / (2 * mpf(kernel.alpha))) ** -mpf(kernel.alpha)
    if name == "ExpSineSquared":
        r = mpmath.sqrt(r2) * mpf(float(kernel.length_scale))
        return mpmath.exp(-2 * (mpmath.sin(mpmath.pi / mpf(kernel.periodicity) * r) / mpf(float(kernel.length_scale))) ** 2)
    nu = kernel.nu if name == "Matern" else np.inf
    if nu == np.inf:
        return mpmath.exp(-r2 / 2)
    z = mpmath.sqrt(2 * mpf(nu) * r2)
    # Bessel functions are slow where nothing is left of them.
    if z == 0 or z > 1000:
        return mpf(z == 0)
    return mpf(2) ** (1 - mpf(nu)) / mpmath.gamma(mpf(nu)) * z ** mpf(nu) * mpmath.besselk(mpf(nu), z)


def latent(fitted, x):
    """The probability of the second class of one latent function."""
    rows, lower = rows_of(fitted.X_train_), rows_of(fitted.L_)
    k = [covariance(fitted.kernel_, x, row, False) for row in rows]
    residuals = [mpf(float(one)) for one in fitted.y_train_ - fitted.pi_]
    mean = dot(k, residuals)
    v = []
    for i, row in enumerate(lower):
        v.append((mpf(float(fitted.W_sr_[i])) * k[i] - dot(row[:i], v)) / row[i])
    variance = covariance(fitted.kernel_, x, x, True) - dot(v, v)
    total = mpf(0)
    for slope, weight in zip(map(mpf, LAMBDAS), map(mpf, COEFS), strict=True):
        total += weight * (1 + mpmath.erf(slope * mean / mpmath.sqrt(1 + 2 * slope**2 * variance))) / 2
    return total


def gaussian_process(model, x):
    """Probabilities of classes at a point of mpmath's numbers."""
    fitted = model.base_estimator_
    if len(model.classes_) == 2:
        p = latent(fitted, x)
        return [float(1 - p), float(p)]
    each = [latent(one, x) for one in fitted.estimators_]
    return [float(p / sum(each)) for p in each]

"""A check of detectors: that their far fields are what their scores do far out, above all."""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from knowlimits.limits.growth import Growth
from knowlimits.metrics import auroc
from knowlimits.ood.detectors.source import Inputs

_FEATURES, _CLASSES, _ROWS, _RAYS = 4, 3, 64, 40
# Far out what is left out of a score is of one power of the distance less.
_DISTANCES = (1e4, 1e6)
_CLOSE = 2e-3
# Beyond these distances squares overflow, which must be seen beforehand.
_HUGE = (1e101, 1e160, 1e290)
# Familiar rows and others, side by side, that a detector has to tell apart at least so well.
_TOLD_APART = 0.9


def check_detector(detector: Any, *, on_inputs: bool = False, seed: int = 0) -> None:
    """Check that a detector is what the library takes it for.

    Above all its far field must be what its score does far out, along rays that leave the last layer alive, that kill it, and
    that go nowhere; also where squares of the distance overflow. Beside that larger must mean less familiar, where a
    network hardly fires beside the data; scores must be finite, those of a row must hang on that row alone, a detector
    that is fitted again must say the same again, and what is no data must be refused.

    Args:
        detector: not yet fitted, with the three methods of `knowlimits.detectors.Detector`; copies of it are. If it draws
            random numbers, with a seed.
        on_inputs: whether it is to look at the inputs in place of a model.
        seed: of data and networks.

    Raises:
        AssertionError: where the detector is not as it should be; the text says what.

    Example:
        >>> import knowlimits as kl
        >>> from knowlimits.testing import check_detector
        >>> check_detector(kl.detectors.Energy())
        >>> check_detector(kl.detectors.IsolationForest(random_state=0), on_inputs=True)
    """
    rng = np.random.default_rng(seed)
    centres = 3 * rng.normal(size=(_CLASSES, _FEATURES))
    y = np.arange(_ROWS * _CLASSES) % _CLASSES
    X = centres[y] + 0.5 * rng.normal(size=(len(y), _FEATURES))
    sources = {"inputs": Inputs(X)} if on_inputs else _networks(centres, float(X[:, 0].max()), seed)
    for name, source in sources.items():
        fitted = copy.deepcopy(detector)
        assert fitted.fit(source, X, y) is fitted, "fit must return the detector"
        again = copy.deepcopy(detector).fit(source, X, y)
        starts = X[rng.permutation(len(X))[:_RAYS]]
        steps = _steps(rng)
        _check_scores(fitted, again, X)
        _check_far_field(fitted, again, starts, steps, name)
        _check_overflow(fitted, X, steps, name)
    # Inputs, or the network for which features beside the data are other than at them.
    last = list(sources.values())[-1]
    fitted = copy.deepcopy(detector).fit(last, X, y)
    _check_direction(fitted, centres, rng)
    _check_refusals(detector, fitted, last, X, y)


def _steps(rng: np.random.Generator) -> np.ndarray:
    """Directions: along each axis, nowhere, and drawn, none of them almost across an axis, as things then happen late."""
    steps = rng.normal(size=(_RAYS, _FEATURES))
    steps += np.copysign(0.2, steps)
    steps[: 2 * _FEATURES] = np.concatenate([np.eye(_FEATURES), -np.eye(_FEATURES)])
    steps[2 * _FEATURES : 2 * _FEATURES + 2] = 0
    return steps


def _check_scores(fitted: Any, again: Any, X: np.ndarray) -> None:
    given = X.copy()
    scores = _scores(fitted, X)
    assert (given == X).all(), "score must leave its argument as it was"
    assert np.isfinite(scores).all(), "scores of the data must be finite"
    assert np.array_equal(scores, _scores(again, X)), "a detector that is fitted again must say the same: give it a seed"
    apart = np.concatenate([_scores(fitted, row[None]) for row in X[:10]])
    assert np.allclose(apart, scores[:10], rtol=1e-9, atol=1e-9), "the score of a row must not hang on other rows"


def _check_far_field(fitted: Any, again: Any, starts: np.ndarray, steps: np.ndarray, name: str) -> None:
    growth = _growth(fitted, starts, steps)
    other = _growth(again, starts, steps)
    same = np.array_equal(growth.power, other.power) and np.array_equal(growth.coefficient, other.coefficient)
    assert same, "the far field of a detector that is fitted again must be the same: give it a seed"
    still = (steps == 0).all(1)
    assert (growth.power[still] == 0).all(), "along a direction of length 0 a score must not grow"
    errors = []
    for a in _DISTANCES:
        grown = _scores(fitted, starts + a * steps) / a ** growth.power.astype(float)
        errors.append(np.abs(grown - growth.coefficient) / (1 + np.abs(growth.coefficient)))
    k = int(errors[1].argmax())
    assert errors[1][k] < _CLOSE, (
        f"the score must grow like {growth.coefficient[k]:.6g} a^{growth.power[k]}, as the far field says, along "
        f"{steps[k].tolist()} from {starts[k].tolist()}, looking at {name}; at a = {_DISTANCES[1]:g} it is "
        f"{_scores(fitted, starts + _DISTANCES[1] * steps)[k]:.6g}"
    )
    assert (errors[1] <= errors[0] / 5 + 1e-6).all(), "the score must come nearer to what the far field says, the farther out"


def _check_overflow(fitted: Any, X: np.ndarray, steps: np.ndarray, name: str) -> None:
    growth = _growth(fitted, np.zeros_like(steps), steps)
    for distance in _HUGE:
        with np.errstate(over="ignore"):
            expected = growth.coefficient * distance ** growth.power.astype(float)
        huge = distance * steps
        scores = _scores(fitted, huge)
        assert not np.isnan(scores).any(), f"a score must be a number where squares overflow, got nan at {distance:g}"
        moves = (steps != 0).any(1)
        assert np.allclose(scores[moves], expected[moves], rtol=1e-6, atol=1e-9), (
            f"where squares overflow, the score must be what it tends to; at {distance:g} it is not, looking at {name}"
        )
        both = np.concatenate([X[:3], huge, X[3:6]])
        alone = np.concatenate([_scores(fitted, X[:3]), scores, _scores(fitted, X[3:6])])
        assert np.allclose(_scores(fitted, both), alone), "rows that are far must not change the scores of others"


def _check_direction(fitted: Any, centres: np.ndarray, rng: np.random.Generator) -> None:
    familiar = centres[rng.integers(_CLASSES, size=200)] + 0.5 * rng.normal(size=(200, _FEATURES))
    away = rng.normal(size=(200, _FEATURES))
    strange = centres.mean(0) + 30 * away / np.linalg.norm(away, axis=1, keepdims=True)
    found = auroc(_scores(fitted, familiar), _scores(fitted, strange))
    assert found >= _TOLD_APART, (
        "larger must mean less familiar: rows beside the data must have larger scores than rows like them, in "
        f"{_TOLD_APART:.0%} of the pairs at least, got {found:.0%}"
    )


def _check_refusals(detector: Any, fitted: Any, source: Any, X: np.ndarray, y: np.ndarray) -> None:
    for what, call in (
        ("a score before fit", lambda: copy.deepcopy(detector).score(X)),
        ("numbers that are not finite", lambda: fitted.score(X * np.nan)),
        ("labels of some rows only", lambda: copy.deepcopy(detector).fit(source, X, y[:5])),
        ("numbers to learn from whose squares overflow", lambda: copy.deepcopy(detector).fit(Inputs(X * 1e200), X, y)),
    ):
        try:
            call()
        except ValueError:
            continue
        raise AssertionError(f"a detector must raise a ValueError for {what}")


def _scores(fitted: Any, X: np.ndarray) -> np.ndarray:
    scores = fitted.score(X)
    assert isinstance(scores, np.ndarray), f"score must return a numpy array, got {type(scores).__name__}"
    assert scores.shape == (len(X),), f"score must return shape (n,), here {(len(X),)}, got {scores.shape}"
    return scores


def _growth(fitted: Any, starts: np.ndarray, steps: np.ndarray) -> Growth:
    growth = fitted.far_field(starts, steps)
    assert isinstance(growth, Growth), f"far_field must return a knowlimits.detectors.Growth, got {type(growth).__name__}"
    shapes = growth.power.shape, growth.coefficient.shape
    assert shapes == ((len(starts),),) * 2, f"a growth must have shape (n,), here {(len(starts),)}, got {shapes}"
    assert np.isin(growth.power, (0, 1, 2)).all(), f"powers must be 0, 1 or 2, got {sorted(set(growth.power.tolist()))}"
    assert np.isfinite(growth.coefficient).all(), "coefficients of a growth must be finite"
    return growth


def _networks(centres: np.ndarray, beyond: float, seed: int) -> dict[str, nn.Sequential]:
    """Networks whose features go on along rays, stop along some, and stop along all."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "a network": _network(*_layers(generator)),
        "a network that dies": _dying(generator, beyond),
        "a network that fires at the data only": _firing_at(centres),
    }


def _dying(generator: torch.Generator, beyond: float) -> nn.Sequential:
    """One whose last hidden layer dies where the first column is large: features stop there, or go on, by direction."""
    first, second, last = _layers(generator)
    first[0][0], first[1][0] = torch.eye(_FEATURES)[0], -2 * abs(beyond) - 1
    second[0][:, 0] = -1000.0
    return _network(first, second, last)


def _firing_at(centres: np.ndarray) -> nn.Sequential:
    """One that fires within some distance of the middle of a class, and nowhere else."""
    places = torch.from_numpy(centres)
    eye = torch.eye(_FEATURES, dtype=torch.float64)
    # |x - c| in units of each column, on either side, for every class.
    sides = torch.cat([eye, -eye]).repeat(_CLASSES, 1)
    apart = -(sides * places.repeat_interleave(2 * _FEATURES, 0)).sum(1)
    near = -torch.eye(_CLASSES, dtype=torch.float64).repeat_interleave(2 * _FEATURES, 1)
    # A feature for each class and one for all, so that zeros are far from those of every class, and from their mean.
    classes = torch.eye(_CLASSES, dtype=torch.float64)
    features = torch.cat([classes, 4 * places.new_ones(1, _CLASSES)])
    logits = torch.cat([3 * classes, places.new_zeros(_CLASSES, 1)], 1)
    return _network(
        (sides, apart),
        (near, 6 * places.new_ones(_CLASSES)),
        (features, places.new_zeros(_CLASSES + 1)),
        (logits, places.new_zeros(_CLASSES)),
    )


def _layers(generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """Random weights and biases."""
    layers = []
    for inputs, outputs in ((_FEATURES, 12), (12, 8), (8, _CLASSES)):
        shapes = ((outputs, inputs), (outputs,))
        weight, bias = (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1 for shape in shapes)
        layers.append((weight / inputs**0.5, bias / inputs**0.5))
    return layers


def _network(*layers: tuple[Tensor, Tensor]) -> nn.Sequential:
    modules: list[nn.Module] = []
    for weight, bias in layers:
        linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1]).eval()

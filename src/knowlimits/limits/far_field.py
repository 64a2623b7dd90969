"""The far field: where a classifier ends along rays x0 + a d, exactly.

Along a ray every logit of a piecewise-linear network is eventually ``rate * a + offset``. Let S be the classes with the largest
rate: the probability of a class tends to the softmax over S of the offsets on S, and to 0 elsewhere, and every continuous
score tends to its value there. Ulmer and Cina (2021) prove the case of one class in S, for one feature that grows; here S is
any set, the direction is any direction, and smooth activations have their limits too.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from knowlimits import scores
from knowlimits._machine import are_small, one_thread, rows_at_a_time
from knowlimits.follow import Rays, blocks, follow
from knowlimits.follow.joints import softmax
from knowlimits.model.members import as_modules, device_of, each_member, logits_of, wrong_shape
from knowlimits.model.stack import Stack
from knowlimits.plane import Plane
from knowlimits.plane.mesh import Mesh
from knowlimits.plane.restriction import PlaneModel
from knowlimits.plane.tournaments import patterns
from knowlimits.progress import progress_bar


@dataclass(frozen=True)
class FarField:
    """Limits of a classifier along rays; arrays in float64.

    Attributes:
        origins: starts of the rays, ``(n, ...)``.
        directions: their directions, of the same shape.
        rate: ``(members, n, classes)``: each logit is eventually ``rate * a + offset``.
        offset: ``(members, n, classes)``.
        radius: ``(members, n)``: the `a` beyond which no unit changes any more; 0 where none changes at all, nan where a smooth
            function (tanh, softmax inside the network) never quite reaches its limit. Lengths are in units of the direction.
        certified: ``(members, n)``: whether each decision (which unit is active, which class grows fastest) lay beyond the
            bound on its rounding error; None unless asked for.
    """

    origins: np.ndarray
    directions: np.ndarray
    rate: np.ndarray
    offset: np.ndarray
    radius: np.ndarray
    certified: np.ndarray | None
    _probabilities: bool = field(repr=False)
    _modules: list[nn.Module] = field(repr=False)

    @cached_property
    def probs(self) -> np.ndarray:
        """Limiting probabilities, ``(members, n, classes)``."""
        if self._probabilities:
            return self.offset
        return limiting_probabilities(self.rate, self.offset)

    def score(self, name: str = "entropy", base: float | None = None) -> np.ndarray:
        """The exact limit of an uncertainty score, ``(n,)``; larger means less sure.

        Args:
            name: a name in `knowlimits.scores.SCORES`.
            base: base of the logarithm of entropies; nats without it.
        """
        return scores.score(self.probs, name, base=base)

    def confidence(self) -> np.ndarray:
        """The limiting probability of the likeliest class, ``(n,)``."""
        return self.probs.mean(0).max(-1)

    def gradient_magnitude(self, name: str = "entropy", base: float | None = None) -> np.ndarray:
        """The limit of the Euclidean length of a score's gradient with respect to the input, ``(n,)``.

        It is 0 wherever the probabilities saturate. Where several classes share the largest rate they do not: the
        probabilities of such a ray tend to values that hang on its origin, and the gradient to that of those values, which is
        a case that the paper's theorem leaves out.

        Args:
            name: a name in `knowlimits.scores.SCORES`.
            base: base of the logarithm of entropies; nats without it.
        """
        origins, directions = torch.from_numpy(self.origins), torch.from_numpy(self.directions)
        lengths = []
        with one_thread(are_small(self._modules, origins[0].numel())):
            for x, d, noted in blocks(origins, directions, None, device_of(self._modules)):
                lengths.append(scores.gradient_lengths(lambda x, d=d, n=noted: self._limits(x, d, n), x, name, base).cpu())
        return torch.cat(lengths).numpy()

    def _limits(self, x: Tensor, d: Tensor, noted: Callable[[int], None]) -> Tensor:
        parts = [_follow(module, x, d, self._probabilities, False, noted) for module in self._modules]
        rate, offset = (torch.cat([getattr(part, name) for part in parts]) for name in ("rate", "offset"))
        return offset if self._probabilities else softmax(rate, offset, -1)[1]


def far_field(
    model: Any,
    origins: Any,
    directions: Any,
    *,
    outputs: str = "logits",
    certify: bool = False,
    batch_size: int | None = None,
    device: str = "cpu",
    random_state: Any = None,
    verbose: bool = False,
) -> FarField:
    """The exact limits of a model's logits, probabilities and scores along rays x0 + a d.

    Args:
        model: a fitted classifier of ours, a `torch.nn.Module`, a `torch.export` program, a fitted scikit-learn
            `MLPClassifier`, a `Pipeline` of affine steps that ends in one of these, or a list of any of them (an ensemble).
        origins: starts of the rays, ``(n, features)``, or ``(n, ...)`` as the model takes its inputs.
        directions: of the same shape; or ``"features"``: every feature of every origin towards minus and plus infinity,
            ``2 * features`` rays per origin in the order ``(n, features, 2)``; or ``"random"``: an isotropic direction of
            length 1 per origin.
        outputs: what a module returns: ``"logits"`` or ``"probabilities"``, whose rates and offsets are then its own.
        certify: bound rounding errors and report which rays were decided beyond them; about three times the work.
        batch_size: rays at a time; by default so many that the model's tensors fit into the processor's cache.
        device: torch device to compute on.
        random_state: seed of random directions, as scikit-learn means it.
        verbose: show a progress bar.

    Raises:
        UnsupportedOperation: if the model does something that the table of operations has no entry for.
        ValueError: if shapes do not fit or a number is not finite.
        TypeError: if the model is none of these, or a point is made of no real numbers.
        OverflowError: if numbers inside the model pass the largest float.

    Example:
        >>> import torch, knowlimits as kl
        >>> net = torch.nn.Linear(2, 2)
        >>> far = kl.far_field(net, torch.zeros(1, 2), torch.ones(1, 2))
        >>> far.probs.shape
        (1, 1, 2)
    """
    if outputs not in ("logits", "probabilities"):
        raise ValueError(f"outputs must be 'logits' or 'probabilities'. Got {outputs!r} instead.")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1. Got {batch_size} instead.")
    modules = [module.to(device) for module in as_modules(model)]
    origins, directions = as_rays(origins, directions, random_state)

    probabilities = outputs == "probabilities"
    results = []
    with (
        progress_bar("rays", len(origins), verbose) as advance,
        torch.no_grad(),
        one_thread(are_small(modules, origins[0].numel())),
    ):
        for x, d, noted in blocks(origins, directions, batch_size, device):
            members = [_follow(module, x, d, probabilities, certify, noted) for module in modules]
            results.append(_on_cpu(_joined(members, 0)))
            if advance:
                advance(len(x))
    whole = _joined(results, 1)
    certified = None if whole.certified is None else whole.certified.numpy()
    return FarField(
        origins.numpy(),
        directions.numpy(),
        whole.rate.numpy(),
        whole.offset.numpy(),
        whole.radius.numpy(),
        certified,
        probabilities,
        modules,
    )


@dataclass(frozen=True)
class _Part:
    """The far field of some members along some rays, `(members, n, ...)`."""

    rate: Tensor
    offset: Tensor
    radius: Tensor
    certified: Tensor | None


def _joined(parts: list[_Part], axis: int) -> _Part:
    tensors = {}
    for name in (f.name for f in dataclasses.fields(_Part)):
        values = [getattr(part, name) for part in parts]
        if values[0] is None or len(values) == 1:
            tensors[name] = values[0]
        else:
            tensors[name] = torch.cat(values, dim=axis)
    return _Part(**tensors)


def _on_cpu(part: _Part) -> _Part:
    return _Part(*(None if t is None else t.cpu() for t in (part.rate, part.offset, part.radius, part.certified)))  # type: ignore[arg-type]


def _follow(module: nn.Module, x: Tensor, d: Tensor, probabilities: bool, certify: bool, noted: Callable[[int], None]) -> _Part:
    """Limits of one module; `noted` is told how many numbers its largest tensor has."""
    n = len(x)
    if isinstance(module, Stack):
        # Members apart, so that each has a radius of its own.
        shape = (module.members, *x.shape)
        rays = follow(module.forward_members, x.expand(shape), d.expand(shape), batch_axes=2, certify=certify)
    else:
        rays = follow(module, x, d, certify=certify)
        if rays.axes and rays.axes != [1 if rays.rate.ndim == 3 else 0]:
            raise wrong_shape(rays.rate.shape, n)
    noted(rays.largest)
    rate, offset = rays.rate, rays.offset
    if probabilities:
        if bool((rate != 0).any()):
            raise ValueError("outputs must be 'logits' for this model. Got 'probabilities', but its outputs grow along a ray.")
        one = rate.ndim == 1 or rate.shape[-1] == 1
        rate, offset = (-logits_of(-rate, n) if one else logits_of(rate, n)), logits_of(offset, n, probabilities=True)
    else:
        rate, offset = logits_of(rate, n), logits_of(offset, n)
    members = len(rate)
    certified = None
    if rays.certain is not None:
        certified = rays.certain.reshape(-1, n).expand(members, n)
        if not probabilities:
            certified = certified & _leaders_are_clear(rays, rate, n)
    return _Part(rate, offset, rays.radius.reshape(-1, n).expand(members, n), certified)


def _leaders_are_clear(rays: Rays, rate: Tensor, n: int) -> Tensor:
    """Whether the set of classes with the largest rate is beyond doubt."""
    assert rays.errors is not None
    error = logits_of(rays.errors[0], n)
    leader = rate.argmax(-1, keepdim=True)
    gap = rate.gather(-1, leader) - rate
    doubt = error + error.gather(-1, leader) + gap.abs() * torch.finfo(rate.dtype).eps
    clear = (gap > doubt) | ((gap == 0) & (doubt == 0))
    return clear.scatter(-1, leader, True).all(-1)


def limiting_probabilities(rate: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Limits of the probabilities of logits that are eventually ``rate * a + offset``, of the same shape; classes are last."""
    rows = rows_at_a_time(rate[..., :1, :].size)
    with one_thread():
        parts = [torch.from_numpy(a).split(rows, -2) for a in (rate, offset)]
        return torch.cat([softmax(r, o, -1)[1] for r, o in zip(*parts, strict=True)], -2).numpy()


def as_points(name: str, value: Any) -> Tensor:
    """Inputs ``(n, ...)`` in float64.

    Raises:
        ValueError: if they are not finite or have one axis; `name` is theirs in the message.
        TypeError: if they are no numbers.
    """
    points = _finite(name, value)
    if points.ndim < 2:
        raise ValueError(f"{name} must have shape (n, features) or more axes. Got {tuple(points.shape)} instead.")
    return points


def as_rays(origins: Any, directions: Any, random_state: Any = None) -> tuple[Tensor, Tensor]:
    """Starts and directions of rays, as `far_field` takes them, in float64."""
    origins = as_points("origins", origins)
    if isinstance(directions, str):
        if directions == "features":
            n, features = len(origins), origins[0].numel()
            steps = torch.eye(features, dtype=torch.float64)[:, None] * torch.tensor([-1.0, 1.0], dtype=torch.float64)[:, None]
            steps = steps.reshape(-1, *origins.shape[1:])
            return origins.repeat_interleave(2 * features, 0), steps.repeat(n, *[1] * (origins.ndim - 1))
        if directions != "random":
            raise ValueError(f"directions must be an array, 'features' or 'random'. Got {directions!r} instead.")
        from sklearn.utils import check_random_state

        drawn = torch.tensor(check_random_state(random_state).normal(size=tuple(origins.shape)))
        lengths = drawn.flatten(1).norm(dim=1).reshape(-1, *[1] * (origins.ndim - 1))
        return origins, drawn / lengths
    directions = _finite("directions", directions)
    if directions.shape != origins.shape:
        raise ValueError(
            f"directions must have the shape of origins, {tuple(origins.shape)}. Got {tuple(directions.shape)} instead."
        )
    return origins, directions


def _finite(name: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = value.to_dense() if value.layout != torch.strided else value
        complex_ = value.is_complex()
        tensor = None if complex_ else value.double()
    else:
        complex_ = False
        try:
            array = np.asarray(value)
            complex_ = np.iscomplexobj(array)
            tensor = None if complex_ else torch.from_numpy(np.array(array, dtype=np.float64))
        except (TypeError, ValueError):
            tensor = None
    if tensor is None:
        kind = "complex numbers" if complex_ else f"{type(value).__name__}, which numpy cannot turn into floats"
        raise TypeError(f"{name} must be an array of real numbers. Got {kind}.")
    if not tensor.numel():
        raise ValueError(f"{name} must have at least one row and one feature. Got shape {tuple(tensor.shape)} instead.")
    if not tensor.isfinite().all():
        raise ValueError(f"{name} must be finite. Got {int((~tensor.isfinite()).sum())} values that are not.")
    return tensor


@dataclass(frozen=True)
class Horizon:
    """Limits in all directions of a plane: arcs, on each of which every unit and the order of the largest logits are fixed.

    Attributes:
        angles: of the arcs, from and to, radians counterclockwise in the coordinates of the plane, ``(A, 2)``; they follow one
            another round the circle.
        probs: limiting probabilities on each arc, ``(members, A, classes)``. On its ends, a set of measure zero, they differ.
    """

    angles: np.ndarray
    probs: np.ndarray

    def __len__(self) -> int:
        return len(self.angles)

    def score(self, name: str = "entropy", base: float | None = None) -> np.ndarray:
        """The limit of an uncertainty score on each arc, ``(A,)``."""
        return scores.score(self.probs, name, base=base)

    def confidence(self) -> np.ndarray:
        """The limiting probability of the likeliest class on each arc, ``(A,)``."""
        return self.probs.mean(0).max(-1)

    def share(self, confidence: float = 0.99) -> float:
        """The exact share of directions in which the limiting confidence is at least `confidence`."""
        lengths = self.angles[:, 1] - self.angles[:, 0]
        return float(lengths[self.confidence() >= confidence].sum() / lengths.sum())


def horizon(model: Any, plane: Plane | None = None, *, member: int | None = None) -> Horizon:
    """The limiting probabilities of a classifier in all directions of a plane, exactly.

    Args:
        model: what `knowlimits.far_field` takes, with piecewise-linear operations only, returning logits.
        plane: a plane of the input space; for models of two features the space itself.
        member: index of the one member to take of an ensemble.

    Raises:
        UnsupportedOperation: if the model does something that is not piecewise linear.

    Example:
        >>> import torch, knowlimits as kl
        >>> kl.horizon(torch.nn.Linear(2, 2)).share(confidence=0.99)
        1.0
    """
    modules = PlaneModel(model, plane, member).modules
    # Member by member, as all units of all members at all ends of arcs would be many numbers.
    ends = np.unique(np.concatenate([_ends_of_arcs(module, plane) for module in each_member(modules)]))
    edges = np.append(ends, ends[0] + 2 * np.pi) if len(ends) else np.array([0.0, 2 * np.pi])
    arcs = np.stack([edges[:-1], edges[1:]], axis=1)
    middles = arcs.mean(1)
    directions = np.stack([np.cos(middles), np.sin(middles)], axis=1)
    origin = np.zeros((1, 2))
    if plane is not None:
        directions = plane.lift(directions) - plane.origin
        origin = plane.lift(origin)
    far = far_field(modules, np.repeat(origin, len(arcs), axis=0), directions)
    return Horizon(arcs, far.probs)


def _ends_of_arcs(module: nn.Module, plane: Plane | None) -> np.ndarray:
    """Angles at which a unit changes its sign at infinity, or the order of the largest outputs."""
    mesh, maxima = PlaneModel(module, plane).refine(Mesh.circle(), outputs=True)
    order = mesh.chain(0)
    steps = [p[order] for p in mesh.patterns()]
    # Where no unit changes, and another class only comes second, nothing ends.
    differs = [(p != np.roll(p, 1, axis=0)).any(1) for p in patterns(steps, [units for _, _, units in mesh.history], maxima)[0]]
    kept = mesh.corners[::2][order][np.any(differs, axis=0)] if differs else []
    return np.arctan2(mesh.points[kept, 1], mesh.points[kept, 0])

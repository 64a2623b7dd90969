"""The far field: where a classifier ends along rays x0 + a d, exactly.

Along a ray every logit of a piecewise-linear network is eventually ``rate * a + offset``. Let S be the classes with the largest
rate: the probability of a class tends to the softmax over S of the offsets on S, and to 0 elsewhere, and every continuous
score tends to its value there. Ulmer and Cina (2021) prove the case of one class in S, for one feature that grows; here S is
any set, the direction is any direction, and smooth activations have their limits too. Families of classifiers that are no
networks say where they end in closed form (`knowlimits.model.families`).
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowlimits import scores
from knowlimits.follow import Rays, blocks, follow
from knowlimits.follow.joints import softmax
from knowlimits.limits.settled import by_members, leads, settled
from knowlimits.model.endings import Outputs
from knowlimits.model.model import Model
from knowlimits.model.network import Network, as_probabilities
from knowlimits.model.outputs import asymptotes_of
from knowlimits.model.read import read, read_at
from knowlimits.model.stack import Stack
from knowlimits.progress import progress_bar


@dataclass(frozen=True, eq=False)
class FarField:
    """Where a classifier ends along rays: plain arrays in float64, whatever kind of classifier it is.

    Attributes:
        origins: starts of the rays, ``(n, ...)``.
        directions: their directions, of the same shape.
        probs: limiting probabilities, ``(members, n, classes)``.
        radius: ``(members, n)``: the `a` beyond which no unit changes any more, no threshold of a tree is met, no neighbour
            comes in; 0 where nothing changes at all, nan where a limit is only approached, by a smooth function (tanh, softmax
            inside the network), a density or a kernel. Lengths are in units of the direction. None for remedies.
        settled: ``(members, n)``: the `a` beyond which each logit of a network goes on in a straight line up to rounding, at
            most the radius: units that change farther out bend it by less. At any larger `a` a logit, computed without
            rounding, is what it was at `settled`, and rate times the way from there, up to 4 times the bound on the rounding
            error of ``rate * a`` by which `certify` goes, its own or that of the class that grows fastest. Where several
            classes share the largest rate, so that offsets decide, theirs are ``rate * a + offset`` up to the bound for
            ``rate * a`` and twice that for the offset. It is looked for where the radius is above a million, and a million
            times as far out as the start; else, and where half of the radius is not as good, it is the radius. So it is of
            what is no network, and where what still changes goes through smooth functions and jumps. None for remedies.
        certified: ``(members, n)``: whether each decision (which unit is active, which class grows fastest) lay beyond the
            bound on its rounding error; None unless asked for.
        rate: ``(members, n, classes)``: each logit is eventually ``rate * a + offset``. None for a classifier without logits.
        offset: ``(members, n, classes)``, or None. Where a model returns probabilities that cannot be undone, and along rays
            on which a logit grows as a square does (of distances, say), they are the logarithms of the limits of
            probabilities, of rate 0; nan along columns that steps slow down without end.
    """

    origins: np.ndarray
    directions: np.ndarray
    probs: np.ndarray
    radius: np.ndarray | None = None
    settled: np.ndarray | None = None
    certified: np.ndarray | None = None
    rate: np.ndarray | None = None
    offset: np.ndarray | None = None

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


def far_field(
    model: Any,
    origins: Any,
    directions: Any,
    *,
    outputs: str | None = None,
    certify: bool = False,
    batch_size: int | None = None,
    device: str = "cpu",
    random_state: Any = None,
    verbose: bool = False,
) -> FarField:
    """The exact limits of a model's logits, probabilities and scores along rays x0 + a d.

    Args:
        model: a fitted classifier of ours, a `torch.nn.Module`, a `torch.export` program, a fitted classifier of scikit-learn,
            skorch, XGBoost, LightGBM or CatBoost that is a network or of a known family (linear models, discriminants, naive
            Bayes, nearest neighbours, trees, forests, boosting, kernel machines, Gaussian processes), alone or in a `Pipeline`,
            a search, a calibration, an ensemble, a list of any of them, or what `knowlimits.read` has made of one of these.
        origins: starts of the rays, ``(n, features)``, or ``(n, ...)`` as the model takes its inputs; a table, text and all.
        directions: of the same shape; or ``"features"``: every feature of every origin towards minus and plus infinity,
            ``2 * features`` rays per origin in the order ``(n, features, 2)``; or ``"random"``: an isotropic direction of
            length 1 per origin.
        outputs: what its torch modules return, as `knowlimits.read` has it; found out without it.
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
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1. Got {batch_size} instead.")
    model = read_at(model, "origins", origins, outputs).to(device)
    origins, directions = model.rays(origins, directions, random_state)
    starts, steps, along = model.along(origins, directions)
    results = []
    with progress_bar("rays", len(origins), verbose) as advance, torch.no_grad(), model.threads(origins[0].numel()):
        for x, d, noted in blocks(starts, steps, batch_size, device):
            results.append(_followed(model, x, d, noted, certify, settle=True))
            if advance:
                advance(len(x))
    found: dict[str, Any] = {name: None if t is None else t.cpu().numpy() for name, t in vars(_joined(results, 1)).items()}
    if along is not None:
        same = np.array_equal(found["settled"], found["radius"], equal_nan=True)
        found["radius"] = along.radius(found["radius"])
        found["settled"] = found["radius"] if same else along.radius(found["settled"])
        # Where a column grows ever more slowly, nothing grows in proportion to a.
        found |= {name: np.where(along.straight[:, None], found[name], np.nan) for name in ("rate", "offset")}
    return FarField(origins.numpy(), directions.numpy(), **found)


def gradient_magnitude(
    model: Any, far: FarField, name: str = "entropy", base: float | None = None, *, outputs: str | None = None
) -> np.ndarray:
    """The limit of the Euclidean length of a score's gradient with respect to the input, along rays, ``(n,)``.

    It is 0 wherever the probabilities saturate. Where several classes share the largest rate they do not: the
    probabilities of such a ray tend to values that hang on its origin, and the gradient to that of those values, which is
    a case that the paper's theorem leaves out.

    Args:
        model: what `knowlimits.far_field` takes.
        far: what it has found along the rays.
        name: a name in `knowlimits.scores.SCORES`.
        base: base of the logarithm of entropies; nats without it.
        outputs: as `knowlimits.far_field` has it.

    Raises:
        TypeError: if the model is, or has in it, no network: a forest, a support vector machine.

    Example:
        >>> import torch, knowlimits as kl
        >>> model = kl.read(torch.nn.Linear(2, 2))
        >>> far = kl.far_field(model, torch.zeros(1, 2), torch.ones(1, 2))
        >>> kl.limits.gradient_magnitude(model, far)
        array([0.])
    """
    model = read(model, outputs, far.origins)
    scores.check_gradients(model)
    model = model.straight()
    origins, directions = torch.from_numpy(far.origins), torch.from_numpy(far.directions)
    lengths = []
    with model.threads(origins[0].numel()):
        for x, d, noted in blocks(origins, directions, None, model.device):
            lengths.append(
                scores.gradient_lengths(lambda x, d=d, n=noted: _followed(model, x, d, n).probs, x, name, base).cpu()
            )
    return torch.cat(lengths).numpy()


@dataclass(frozen=True)
class _Part:
    """Arrays of a `FarField` for some members along some rays, as tensors."""

    probs: Tensor
    radius: Tensor
    settled: Tensor
    certified: Tensor | None
    rate: Tensor
    offset: Tensor


def _joined(parts: list[_Part], axis: int) -> _Part:
    if len(parts) == 1:
        return parts[0]
    fields = [[getattr(part, field.name) for part in parts] for field in dataclasses.fields(_Part)]
    return _Part(*(None if values[0] is None else torch.cat(values, axis) for values in fields))  # type: ignore[arg-type]


def _followed(
    model: Model, x: Tensor, d: Tensor, noted: Callable[[int], None], certify: bool = False, settle: bool = False
) -> _Part:
    """All members along a block of rays; `noted` is told how many numbers the largest tensor of a network has."""
    return _joined([_follow(network, x, d, certify, settle, noted) for network in model.networks], 0)


def _follow(network: Network | Stack, x: Tensor, d: Tensor, certify: bool, settle: bool, noted: Callable[[int], None]) -> _Part:
    n = len(x)
    function, starts, steps, axes = by_members(network, x, d)
    # Probabilities that a model returns itself stay as they are, whatever they add up to.
    given = isinstance(network, Network) and network.returns is Outputs.PROBABILITIES
    rays = follow(function, starts, steps, batch_axes=axes, certify=certify, squares=not given)
    noted(rays.largest)
    rate, offset = asymptotes_of(network, rays.rate, rays.offset)
    certified = None
    if rays.certain is not None:
        certified = rays.certain.reshape(-1, n).expand(len(rate), n)
        if not given:
            certified = certified & _leaders_are_clear(network, rays, rate, offset)
    probs = offset.exp() if given else softmax(rate, offset, -1)[1]
    radius = rays.radius.reshape(-1, n)
    # Not for gradients of a limit, to which it has nothing to say.
    nearer = settled(network, x, d, radius) if settle else radius
    part = _Part(probs, radius.expand(len(rate), n), nearer.expand(len(rate), n), certified, rate, offset)
    if rays.curved is None or not isinstance(network, Network):
        return part
    return _squared(network, rays.curved.any(-1).any(0).nonzero()[:, 0], x, d, certify, part)


def _squared(network: Network, some: Tensor, x: Tensor, d: Tensor, certify: bool, part: _Part) -> _Part:
    """The same, where logits grow as squares do along some rays: of these the limits of probabilities are followed."""

    def probabilities(at: Tensor) -> Tensor:
        return as_probabilities(network(at), Outputs.LOGITS)

    ends = follow(probabilities, x[some], d[some], certify=certify)
    probs = network.spread(ends.offset)

    def put(whole: Tensor, value: Tensor) -> Tensor:
        shape = (len(whole), len(some), *whole.shape[2:])
        return whole.index_copy(1, some, value.expand(shape))

    radius = ends.radius.reshape(-1, len(some))
    certain = None if ends.certain is None else ends.certain.reshape(-1, len(some))
    return _Part(
        put(part.probs, probs),
        put(part.radius, radius),
        put(part.settled, radius),
        None if part.certified is None or certain is None else put(part.certified, certain),
        put(part.rate, torch.zeros_like(probs)),
        put(part.offset, probs.log()),
    )


def logits_along(network: Network | Stack, x: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Rates and offsets of a network's logits as `FarField` has them, with gradients, ``(members, n, classes)`` each."""
    part = _follow(network, x, d, False, False, lambda _: None)
    return part.rate, part.offset


def _leaders_are_clear(network: Network | Stack, rays: Rays, rate: Tensor, offset: Tensor) -> Tensor:
    """Whether the set of classes with the largest rate is beyond doubt."""
    assert rays.errors is not None
    gap, doubt = leads(network, rays.errors[0], rate)
    clear = (gap > doubt) | ((gap == 0) & (doubt == 0)) | offset.isneginf()
    return clear.scatter(-1, rate.argmax(-1, keepdim=True), True).all(-1)

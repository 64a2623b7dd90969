"""Models that are parts of another one: how they are read, and brought to the same inputs."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import nn

from knowlimits.model.asked import Asked
from knowlimits.model.chains import Selection
from knowlimits.model.composed import Answer, Answers, Mixture, Part, Picked, Reordered
from knowlimits.model.endings import Last, Outputs
from knowlimits.model.kinds.polynomials import decision_of
from knowlimits.model.model import Model
from knowlimits.model.network import Axes, Network
from knowlimits.model.stack import Stack
from knowlimits.model.steps import Steps

Networks = Sequence[Network | Stack]


def read_part(asked: Asked, whole: Any, label: str, part: Any, rows: Any = None, decision: bool = False) -> Model:
    """A part of a model, with rows as it takes them; one without probabilities if its decision function will do.

    Raises:
        TypeError: if it is of no kind that is known, or anything else that reading it raises, with the part's name.
        ValueError: as said.
    """
    with named_in(whole, label):
        return dataclasses.replace(asked, decision=decision).read(part, rows)


@contextmanager
def named_in(whole: Any, label: str) -> Iterator[None]:
    """What is raised inside about a part of a model is raised with its name."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{label} of {type(whole).__name__}: {error}") from error


def fitted_parts(model: Any) -> list[tuple[int, str, Any]]:
    """Of an estimator of named ones those that are not dropped: their places among all, their names, and they as fitted.

    Raises:
        ValueError: if others were fitted than are named.
    """
    kept = [(place, name) for place, (name, one) in enumerate(model.estimators) if not isinstance(one, str)]
    if len(kept) != len(model.estimators_):
        raise ValueError(
            f"model must have the estimators that it was fitted with. Got {type(model).__name__} with {len(kept)} of them "
            f"named and {len(model.estimators_)} fitted: call fit again."
        )
    return [(place, name, one) for (place, name), one in zip(kept, model.estimators_, strict=True)]


def behind(first: nn.Module, network: Network | Stack) -> Network:
    """A network behind another module."""
    return _as_network(network).behind(first)


def _as_network(network: Network | Stack) -> Network:
    return Network(network, Axes.MEMBERS_FIRST, network.members) if isinstance(network, Stack) else network


def on_same_inputs(
    parts: Sequence[Model],
    asked: Asked,
    about: dict[str, Any],
    chosen: Sequence[np.ndarray] | None = None,
    itself: bool = False,
) -> tuple[Steps | None, list[Networks], nn.Module]:
    """The networks of parts as functions of the same numbers.

    Affine steps become layers of the networks. If a part has others, the steps of all run side by side on the whole's table,
    and each network takes what its own make of it.

    Args:
        parts: of one model.
        asked: of the whole, whose rows are looked at.
        about: fields of the whole.
        chosen: for each part the columns of the table that it takes; all without it.
        itself: whether the numbers of the table itself are asked for as well.

    Returns:
        Steps of the whole, the networks of each part behind these, and a module that gives the numbers of the table itself.
    """
    columns, names = about["n_features_in_"], about["feature_names_in_"]
    places = [tuple(map(int, one)) for one in chosen] if chosen is not None else [None] * len(parts)
    if all(part.as_layers for part in parts):
        return None, [_taking(own, part.networks) for own, part in zip(places, parts, strict=True)], nn.Identity()
    if columns is None and len(shape := getattr(asked.rows, "shape", ())) == 2:
        columns = int(shape[1])
    if columns is None:
        raise ValueError(
            "X must be given, a few rows of the table, as the model has parts with steps, and does not say how many columns it "
            "takes."
        )
    tables = []
    for own, part in zip(places, parts, strict=True):
        selection = [] if own is None else [Selection(own)]
        inside = () if part.steps is None else part.steps.chain.transformers
        tables.append(Steps.of([*selection, *inside], asked.rows, columns, names, gaps=part.gaps))
    tables += [Steps.of([], asked.rows, columns, names)] if itself else []
    steps = Steps.side_by_side(tables)
    widths = [table.transform(table.bases[:1]).shape[1] for table in tables]
    slices = [tuple(range(end - width, end)) for end, width in zip(np.cumsum(widths).tolist(), widths, strict=True)]
    networks = [_taking(own, part.inner) for own, part in zip(slices, parts, strict=False)]
    return steps, networks, Picked(slices[-1])


def _taking(places: tuple[int, ...] | None, networks: Networks) -> Networks:
    """Networks on some of the columns."""
    return networks if places is None else [behind(Picked(places), network) for network in networks]


def placed(network: Network | Stack, places: tuple[int, ...], count: int) -> Network:
    """A network whose outputs are some of the classes of a model, or all in another order.

    Args:
        network: with places among the classes of a part, or without.
        places: of the part's classes among the model's.
        count: how many the model has.
    """
    network = _as_network(network)
    if network.places is not None:
        places = tuple(places[k] for k in network.places[0])
    return network.around(network.module, (places, count))


def reordered(network: Network | Stack, order: Sequence[int]) -> Network:
    """A network whose classes are in another order.

    Args:
        network: of all classes.
        order: which of its classes comes first, which second and so on.
    """
    network = _as_network(network)
    commutes = network.ending is None or network.ending.last in (Last.SOFTMAX, Last.LOG_SOFTMAX)
    if network.returns is Outputs.LOGITS and commutes and network.places is None and network.axes is not Axes.ROW:
        return network.around(Reordered(network.module, order))
    # A sigmoid that is taken off is told by its place among the outputs.
    return placed(network, tuple(np.argsort(order).tolist()), len(order))


def distribution(part: Model, networks: Networks) -> Part:
    """What a part of a model predicts, by its networks as functions of the whole's inputs."""
    return Part(networks, classes_of(part), part.returns is Outputs.PROBABILITIES)


def answers(part: Model, networks: Networks, answer: Answer) -> Answers:
    """What a part says, for a whole that looks at it.

    Raises:
        ValueError: for a decision function that is none of networks.
    """
    decided = all(isinstance(network, Network) and network.decision is not None for network in networks)
    if answer is Answer.SCORES and part.returns is not Outputs.LOGITS and not decided:
        raise ValueError(
            f"parts with a decision function must be networks that give it. Got {part.name}, whose own is not known: use its "
            "probabilities (stack_method='predict_proba'), or an estimator without a decision_function, such as MLPClassifier."
        )
    if answer is Answer.SCORES and decision_of(networks) is not None:
        raise ValueError(
            f"parts with a decision function must have one that grows in proportion to a at most. Got {part.name}, whose own "
            "grows as a power of it: use its probabilities (stack_method='predict_proba')."
        )
    return Answers(distribution(part, networks), answer)


def classes_of(part: Model) -> int:
    """How many classes a part has.

    Raises:
        ValueError: if it does not say.
    """
    if part.classes_ is None:
        raise ValueError(f"parts of a model must say what their classes are, as classes_. Got {part.name}, which does not.")
    return len(part.classes_)


def composed(
    module: Any, returns: Outputs, places: Sequence[int] | None, classes: int, decision: nn.Module | None = None
) -> Network:
    """A module of `knowlimits.model.composed` as a network.

    Args:
        module: ``(n, ...) -> (1, n, outputs)``.
        returns: what it returns.
        places: those of the model's classes that its outputs are; all without it.
        classes: how many classes the model has.
        decision: as `Network` has it.
    """
    own = None if places is None or tuple(places) == tuple(range(classes)) else (tuple(places), classes)
    module = module.double().requires_grad_(False)
    return Network(module, Axes.MEMBERS_FIRST, 1, returns=returns, places=own, decision=decision)


def mean(parts: Sequence[Part], weights: Any, classes: int) -> tuple[Network | Stack, ...]:
    """Networks of which the mean over all members is a weighted mean of models.

    They are the models' own where that comes to the same, so that scores of several members see them, or else their mixture.

    Args:
        parts: the models.
        weights: of them, or None.
        classes: how many classes they have.

    Raises:
        ValueError: if weights are no weights of a mean.
    """
    mixture = Mixture(parts, weights)
    kept: Any = mixture.parts
    if len({*mixture.weights}) == 1 and len({part.members for part in kept}) == 1:
        return tuple(network for part in kept for network in part.networks)
    returns = Outputs.PROBABILITIES if mixture.settled else Outputs.LOG_PROBABILITIES
    return (composed(mixture, returns, mixture.places, classes),)

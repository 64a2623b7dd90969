"""Estimators whose scores are polynomials along rays, and what is made of them: calibrations and one-vs-rest.

Those look at scores that grow faster than `a`, so they become parts of the family itself.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from knowlimits.model.asked import Asked
from knowlimits.model.composed import SideBySide
from knowlimits.model.families.polynomials import Itself, Polynomials, Response, Scores, Sigmoid, Softmax
from knowlimits.model.families.sums import Odds, Term, WeightedSum
from knowlimits.model.kinds.fitted import about, proven
from knowlimits.model.model import Model
from knowlimits.model.network import Network
from knowlimits.model.stack import Stack


def read_posteriors(
    model: Any, scores: Scores, response: Softmax, places: Sequence[int], asked: Asked, decides: bool = False
) -> Model:
    """A model whose log-posteriors are polynomials along rays.

    Args:
        model: the estimator.
        scores: log-posteriors of those classes that can be.
        response: probabilities of these.
        places: which of the classes these are.
        asked: as kinds have it.
        decides: whether they are its decision function, of two classes their difference.
    """
    found = about(model)
    count = len(found["classes_"])
    complete = len(places) == count
    own = None if complete else (tuple(places), count)
    # A class that cannot be has minus infinity there.
    decision = Polynomials(Odds(scores) if count == 2 else scores, Itself()) if decides and complete else None
    network = Network(Polynomials(scores, response), returns=Softmax.returns, places=own, decision=decision)
    return proven(Model(type(model).__name__, (network,), **found), model, asked)


def decision_of(networks: Sequence[Network | Stack]) -> tuple[nn.Module, Scores] | None:
    """The mean of decision functions that are polynomials, behind a module; None if one is not."""
    fronts, each = [], []
    for network in networks:
        front, family = _polynomials(network.decision if isinstance(network, Network) else None, Itself)
        if family is None:
            return None
        fronts.append(front)
        each.append(family.scores)
    if len(each) == 1:
        return fronts[0], each[0]
    columns = each[0].columns
    return SideBySide(fronts), WeightedSum([Term(scores, range(columns), 1 / len(each)) for scores in each], columns)


def odds_of(parts: Sequence[Sequence[Network | Stack]]) -> tuple[nn.Module, Scores] | None:
    """For each of several models of two classes its log-odds, side by side behind a module; None if one is no polynomial."""
    fronts, terms = [], []
    for place, networks in enumerate(parts):
        network = networks[0]
        whole = len(networks) == 1 and isinstance(network, Network) and network.places is None
        front, family = _polynomials(network.module, Softmax | Sigmoid) if whole else (nn.Identity(), None)
        if family is None or family.scores.columns > 2:
            return None
        fronts.append(front)
        terms.append(Term(family.scores if family.scores.columns == 1 else Odds(family.scores), [place]))
    return SideBySide(fronts), WeightedSum(terms, len(terms))


def made_of(found: tuple[nn.Module, Scores], response: Response, places: tuple[tuple[int, ...], int] | None = None) -> Network:
    """Probabilities of scores that are behind a module; `places` as `Network` has them."""
    front, scores = found
    return Network(nn.Sequential(front, Polynomials(scores, response)), returns=response.returns, places=places)


def scaled(
    found: tuple[nn.Module, Scores], weight: np.ndarray | float, shift: np.ndarray | float = 0.0
) -> tuple[nn.Module, Scores]:
    """Scores times weights, and shifted; numbers or one for each column."""
    front, scores = found
    return front, WeightedSum([Term(scores, range(scores.columns), weight)], scores.columns, shift)


def _polynomials(module: Any, response: Any) -> tuple[nn.Module, Polynomials] | tuple[nn.Module, None]:
    """What is before a family of polynomials in a module that ends in one, and the family, if so."""
    *before, last = _in_sequence(module)
    if isinstance(last, Polynomials) and isinstance(last.response, response):
        return nn.Sequential(*before), last
    return nn.Identity(), None


def _in_sequence(module: Any) -> list[Any]:
    return [one for part in module for one in _in_sequence(part)] if isinstance(module, nn.Sequential) else [module]

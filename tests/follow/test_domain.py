"""Domains: abstract or final, and one evaluator for all of them."""

import inspect

import pytest
import torch

import knowlimits.plane.partition  # noqa: F401
from knowlimits.follow.domain import Domain
from knowlimits.follow.evaluator import Evaluator
from knowlimits.plane.matrices import Arithmetic
from knowlimits.plane.units import Units


def own(kinds):
    return [kind for kind in kinds if kind.__module__.startswith("knowlimits.")]


@pytest.mark.parametrize(
    ("kind", "cases"),
    [
        (Domain, {"Asymptotes", "Squares", "Departures", "Germs", "Floats", "Matrices"}),
        (Units, {"Refining", "Given", "Noted"}),
        (Arithmetic, {"Doubles", "Integers", "Residues", "Differing"}),
    ],
)
def test_classes_are_abstract_or_final(kind, cases):
    """All methods of the one are abstract, and nothing inherits from the others."""
    methods = {name for name, value in vars(kind).items() if inspect.isfunction(value)}
    assert methods == kind.__abstractmethods__
    final = own(kind.__subclasses__())
    assert {case.__name__ for case in final} == cases
    assert not any(own(case.__subclasses__()) for case in final)


def test_there_is_one_evaluator():
    assert not Evaluator.__subclasses__()


def test_what_a_domain_refuses_is_said_with_the_place():
    """A domain knows the kind only; the evaluator adds the operation, the submodule and the hint."""
    from knowlimits.follow import UnsupportedOperation, follow

    class Mixing(torch.nn.Module):
        def forward(self, x):
            return x - x.mean(0)

    rays = torch.ones(3, 2).double(), torch.ones(3, 2).double()
    with torch.no_grad(), pytest.raises(UnsupportedOperation, match=r"mean in the model \(Mixing\).*different rows"):
        follow(Mixing(), *rays)


def test_numbers_that_are_too_large_are_said_with_the_place():
    from knowlimits.follow import follow

    rays = torch.full((3, 2), 1e300, dtype=torch.float64), torch.ones(3, 2).double()
    for operation in (lambda x: (x * 1e300).relu(), lambda x: x * 1e300):
        with torch.no_grad(), pytest.raises(OverflowError, match=r"Got larger ones at (a ReLU|the output)"):
            follow(operation, *rays)

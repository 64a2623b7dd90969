"""How networks act far away: one table of operations, and its evaluators."""

from knowlimits.piecewise.operations import Affine, Joint, Maximum, Move, Rewrite, Smooth, UnsupportedOperation, register
from knowlimits.piecewise.ray import Rays, follow

__all__ = [
    "Affine",
    "Joint",
    "Maximum",
    "Move",
    "Rays",
    "Rewrite",
    "Smooth",
    "UnsupportedOperation",
    "follow",
    "register",
]

"""How networks act far away: one table of operations, and its evaluators."""

from knowlimits.piecewise.line import Breakpoints, breakpoints
from knowlimits.piecewise.operations import Affine, Joint, Maximum, Move, Rewrite, Smooth, UnsupportedOperation, register
from knowlimits.piecewise.partition import Partition, partition
from knowlimits.piecewise.plane import Plane
from knowlimits.piecewise.ray import Rays, blocks, follow
from knowlimits.piecewise.regions import Regions

__all__ = [
    "Affine",
    "Breakpoints",
    "Joint",
    "Maximum",
    "Move",
    "Partition",
    "Plane",
    "Rays",
    "Regions",
    "Rewrite",
    "Smooth",
    "UnsupportedOperation",
    "blocks",
    "breakpoints",
    "follow",
    "partition",
    "register",
]

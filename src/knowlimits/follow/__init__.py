"""Rays through any torch module: the table of operations, and what follows values along rays to infinity."""

from knowlimits.follow.operations import Affine, Joint, Maximum, Move, Rewrite, Smooth, Tail, UnsupportedOperation, register
from knowlimits.follow.ray import Rays, blocks, follow, follow_several

__all__ = [
    "Affine",
    "Joint",
    "Maximum",
    "Move",
    "Rays",
    "Rewrite",
    "Smooth",
    "Tail",
    "UnsupportedOperation",
    "blocks",
    "follow",
    "follow_several",
    "register",
]

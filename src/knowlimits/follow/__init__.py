"""Rays through any torch module: the table of operations, and what follows values along rays to infinity."""

from knowlimits.follow.germs import Piece, follow_piece
from knowlimits.follow.operations import (
    Affine,
    Joint,
    Jump,
    Maximum,
    Move,
    Of,
    Rewrite,
    Smooth,
    Tail,
    UnsupportedOperation,
    register,
)
from knowlimits.follow.ray import Beyond, Rays, blocks, follow, follow_beyond, follow_several

__all__ = [
    "Affine",
    "Beyond",
    "Joint",
    "Jump",
    "Maximum",
    "Move",
    "Of",
    "Piece",
    "Rays",
    "Rewrite",
    "Smooth",
    "Tail",
    "UnsupportedOperation",
    "blocks",
    "follow",
    "follow_beyond",
    "follow_piece",
    "follow_several",
    "register",
]

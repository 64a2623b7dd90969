"""Planes and lines cut into the cells on which a network is affine, exactly."""

from knowlimits.plane.line import Breakpoints, breakpoints
from knowlimits.plane.partition import Partition, partition
from knowlimits.plane.plane import Plane
from knowlimits.plane.regions import Regions
from knowlimits.plane.status import Status

__all__ = ["Breakpoints", "Partition", "Plane", "Regions", "Status", "breakpoints", "partition"]

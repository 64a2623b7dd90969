"""Checks for what a person adds: entries of the table of operations, uncertainty scores, detectors, classifiers,
families of others, data faults.

They are the library's own: its tests hold every entry of the registries to them.
"""

from knowlimits.testing.detectors import check_detector
from knowlimits.testing.families import check_family
from knowlimits.testing.faults import check_fault
from knowlimits.testing.models import check_model
from knowlimits.testing.rays import check_radius, check_ray, draw_rays
from knowlimits.testing.scores import check_score

__all__ = [
    "check_detector",
    "check_family",
    "check_fault",
    "check_model",
    "check_radius",
    "check_ray",
    "check_score",
    "draw_rays",
]

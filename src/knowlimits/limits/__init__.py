"""Where classifiers end along rays, and in every direction of a plane."""

from knowlimits.limits.far_field import FarField, Horizon, far_field, horizon
from knowlimits.limits.growth import Growth

__all__ = ["FarField", "Growth", "Horizon", "far_field", "horizon"]

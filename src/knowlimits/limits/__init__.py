"""Where classifiers end along rays, and in every direction of a plane."""

from knowlimits.limits.far_field import FarField, far_field, gradient_magnitude
from knowlimits.limits.growth import Growth
from knowlimits.limits.horizon import Horizon, horizon

__all__ = ["FarField", "Growth", "Horizon", "far_field", "gradient_magnitude", "horizon"]

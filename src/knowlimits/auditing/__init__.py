"""The report on a person's own model and its data."""

from knowlimits.auditing.check import assert_far_field
from knowlimits.auditing.compare import Comparison, compare
from knowlimits.auditing.report import Audit, audit

__all__ = ["Audit", "Comparison", "assert_far_field", "audit", "compare"]

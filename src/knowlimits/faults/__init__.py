"""What goes wrong with data in a model's life, as small values: a unit mixed up, a sentinel, a sensor that is stuck.

`knowlimits.audit` applies them to the raw columns, in front of the whole pipeline. `read_faults` makes cases of them for a
table, each of which changes some of its columns and says so in words.
"""

from knowlimits.faults.categories import UnseenCategory
from knowlimits.faults.fault import Case, Fault
from knowlimits.faults.filling import SENTINELS, Gap, Sentinel, ZeroFill
from knowlimits.faults.given import DEFAULT, KINDS, defaults, read_faults
from knowlimits.faults.observed import Group, Observed
from knowlimits.faults.order import Arrangement, ShuffledColumns, Swap
from knowlimits.faults.other import Other
from knowlimits.faults.scale import LostPoint, Sign, Unit
from knowlimits.faults.sensors import Drift, Saturation, Stuck

__all__ = [
    "DEFAULT",
    "KINDS",
    "SENTINELS",
    "Arrangement",
    "Case",
    "Drift",
    "Fault",
    "Gap",
    "Group",
    "LostPoint",
    "Observed",
    "Other",
    "Saturation",
    "Sentinel",
    "ShuffledColumns",
    "Sign",
    "Stuck",
    "Swap",
    "Unit",
    "UnseenCategory",
    "ZeroFill",
    "defaults",
    "read_faults",
]

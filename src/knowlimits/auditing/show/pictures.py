"""What disc.js draws."""

from typing import Any

import numpy as np

from knowlimits.auditing.find.columns import Continuous
from knowlimits.auditing.find.disc import SCALE, Disc
from knowlimits.auditing.show.template import packed


def of_disc(disc: Disc, columns: Continuous, every: int = 1) -> dict[str, Any]:
    """A disc, of which every so-many-th place is drawn along a side."""
    some = slice(None, None, every)
    return {
        "side": len(disc.confidence[some]),
        "scale": SCALE,
        "confidence": packed(np.nan_to_num(disc.confidence[some, some])),
        "winner": packed(disc.winner[some, some] / 65535),
        "arcs": np.c_[disc.arcs, disc.limits, disc.winners].round(5).tolist(),
        "axes": [of_column(columns, place) for place in disc.axes],
    }


def of_column(columns: Continuous, place: int) -> dict[str, Any]:
    """A column, with what its values are told by."""
    return {"name": columns.names[place], "deviation": columns.deviations[place], "median": columns.medians[place]}

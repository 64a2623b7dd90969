"""What people compose their own figures from: functions that draw on matplotlib axes, and a few whole figures.

`score_map` and `gradient_map` draw values on a `grid`, `cells` and `edges` a partition, `horizon_disc` the whole plane with
infinity at its rim, `scatter` the data. `polytopes`, `horizons`, `places` and `search` are whole figures; `save` writes one
to a file.
"""

from knowlimits.plots.disc import horizon_disc, horizons
from knowlimits.plots.maps import gradient_map, gradient_norm, grid, score_map, score_norm
from knowlimits.plots.places import places
from knowlimits.plots.plane import cells, edges, polytopes
from knowlimits.plots.style import TITLES, save, scatter
from knowlimits.plots.trials import search

__all__ = [
    "TITLES",
    "cells",
    "edges",
    "gradient_map",
    "gradient_norm",
    "grid",
    "horizon_disc",
    "horizons",
    "places",
    "polytopes",
    "save",
    "scatter",
    "score_map",
    "score_norm",
    "search",
]

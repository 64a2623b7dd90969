"""How scores grow as features are moved out."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from knowlimits.plots.style import CLASSES
from knowlimits.studies.tables.measure import Order


def growth(orders: Sequence[Order]) -> Figure:
    """The power with which scores grow, predicted and measured: a panel for each prediction, a row for each score."""
    names = list(dict.fromkeys(one.score for one in orders))
    figure, axes = plt.subplots(1, 3, figsize=(9, 0.3 * len(names) + 1.2), sharey=True, sharex=True, layout="constrained")
    rng = np.random.default_rng(0)
    for power, ax in enumerate(axes):
        ax.axvline(power, color=CLASSES[0][0], linewidth=2, zorder=0)
        for row, name in enumerate(names):
            slopes = [one.measured[one.predicted == power] for one in orders if one.score == name]
            slopes = np.concatenate(slopes) if slopes else np.zeros(0)
            if len(slopes) > 300:
                slopes = rng.choice(slopes, 300, replace=False)
            aside = rng.uniform(-0.3, 0.3, len(slopes))
            ax.plot(slopes, row + aside, "o", markersize=2, color=CLASSES[1][0], alpha=0.4, markeredgewidth=0)
        ax.set_title(f"predicted: {('a constant', 'like a', 'like a squared')[power]}", fontsize=9)
        ax.tick_params(labelsize=7)
        ax.set_xlim(-0.15, 2.4)
    axes[0].set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes[0].invert_yaxis()
    figure.supxlabel("measured slope of the score in a double logarithm", fontsize=9)
    return figure

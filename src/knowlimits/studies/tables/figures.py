"""How scores grow as features are moved out, and where classifiers end round the half-moons."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from knowlimits.auditing.show.labels import label
from knowlimits.plots.disc import horizons
from knowlimits.plots.style import CLASSES
from knowlimits.studies import half_moons
from knowlimits.studies.tables import families
from knowlimits.studies.tables.measure import Order

# Discs of a figure, and points that models of it are fitted to.
_DISCS, _MOONS = 12, 300


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
    axes[0].set_yticks(range(len(names)), list(map(label, names)))
    axes[0].invert_yaxis()
    figure.supxlabel("measured slope of the score in a double logarithm", fontsize=9)
    return figure


def discs(names: Sequence[str], seed: int = 0) -> Figure:
    """The whole plane round the half-moons for classifiers by their names, families first, twelve at most."""
    chosen = sorted(names, key=lambda name: name not in families.FAMILIES)[:_DISCS]
    data = half_moons.draw_data(seed)
    X, y = data.X[:_MOONS], data.y[:_MOONS]
    models = [
        families.fitted(name, X, y, seed)
        if name in families.FAMILIES
        else half_moons.build(name, seed).fit(X, y, data.X_val, data.y_val)
        for name in chosen
    ]
    return horizons(chosen, models, X, y, columns=4, size=2.7, boundaries=True)

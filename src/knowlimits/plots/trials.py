"""What a search of hyperparameters has found."""

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from knowlimits.plots.style import CLASSES

if TYPE_CHECKING:
    # Optuna takes longer to load than all else here.
    from knowlimits.train.search import SearchResult


def search(model: str, result: "SearchResult", importances: dict[str, float]) -> Figure:
    """A search: the value of each trial against every parameter, the most important first.

    Args:
        model: its name, for the title.
        result: the search.
        importances: shares of the parameters in the variance of the values, or empty.
    """
    from optuna.distributions import CategoricalDistribution, IntDistribution

    names = [*importances, *(name for name in result.space.drawn if name not in importances)]
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(2.8 * columns, 2.3 * rows), squeeze=False, layout="constrained")
    ranked = result.ranked
    values = np.array([trial.value for trial in ranked])
    # A few trials that went astray would press all others against the frame.
    least, few, most, greatest = np.quantile(values, [0, 0.1, 0.9, 1])
    low, high = max(least, few - 2 * (greatest - few)), min(greatest, most + 2 * (most - least))
    # Beside one another, evenly, so that trials of one choice do not hide each other.
    aside = (np.arange(len(ranked)) * 0.618 % 1 - 0.5) * 0.5
    for ax in axes.flat[len(names) :]:
        ax.set_visible(False)
    for name, ax in zip(names, axes.flat, strict=False):
        drawn = result.space.drawn[name]
        at = [trial.drawn[name] for trial in ranked]
        if isinstance(drawn, CategoricalDistribution):
            choices = list(drawn.choices)
            x = np.array([choices.index(value) for value in at]) + aside
            labels = [f"{c:.3g}" if isinstance(c, float) else str(c) for c in choices]
            ax.set_xticks(range(len(choices)), labels, rotation=90 if len(choices) > 4 else 0)
        else:
            x = np.array(at, dtype=float)
            if isinstance(drawn, IntDistribution) and drawn.high - drawn.low < 10:
                x = x + aside
                ax.set_xticks(range(drawn.low, drawn.high + 1))
            if getattr(drawn, "log", False):
                ax.set_xscale("log")
        ax.plot(x, np.clip(values, low, high), "o", markersize=3, color=CLASSES[1][0], alpha=0.45, markeredgewidth=0)
        ax.plot(x[:1], values[:1], "*", markersize=11, color=CLASSES[0][0], markeredgecolor="black", markeredgewidth=0.5)
        ax.set_title(f"{name}, {importances[name]:.0%}" if name in importances else name, fontsize=9)
        ax.tick_params(labelsize=7)
    for row in axes:
        row[0].set_ylabel(result.objective.replace("_", " "), fontsize=9)
    failed = len(result.trials) - len(ranked)
    title = f"{model}: {len(ranked)} trials" + (f", {failed} more failed" if failed else "") + "; the star is the best"
    figure.suptitle(title + ("; with the shares in the variance" if importances else ""), fontsize=10)
    return figure

"""Figures of the experiments, each a function from results to a figure."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from knowlimits.auditing.show.labels import label
from knowlimits.plots import TITLES, edges, gradient_map, gradient_norm, grid, scatter, score_map, score_norm
from knowlimits.studies.paper.clusters import BOX, Clusters
from knowlimits.studies.paper.distances import DISTANCES, DetectionByDistance
from knowlimits.studies.paper.far_away import Profile
from knowlimits.studies.paper.maps import Map


def composite(results: Sequence[Map], X: np.ndarray, y: np.ndarray, gradients: bool = False) -> Figure:
    """All maps of the paper in one figure: a row per score, a column per model, one colour scale per score."""
    names = list(dict.fromkeys(r.model for r in results))
    rows = list(dict.fromkeys(r.score for r in results))
    shape = (len(rows), len(names))
    figure, axes = plt.subplots(*shape, figsize=(2.3 * shape[1] + 1.2, 2.1 * shape[0]), squeeze=False, layout="constrained")
    for ax in axes.flat:
        ax.set_visible(False)
    for row, score in zip(axes, rows, strict=True):
        chosen = [r for r in results if r.score == score]
        norm = shared_norm(chosen, gradients)
        panels = [row[names.index(result.model)] for result in chosen]
        for ax, result in zip(panels, chosen, strict=True):
            ax.set_visible(True)
            _panel(ax, result, norm, gradients)
            scatter(ax, X, y, size=3)
            ax.set_title(result.model, fontsize=9)
        bar = figure.colorbar(panels[0].images[0], ax=row.tolist(), pad=0.01, fraction=0.03, extend=_extend(gradients))
        bar.set_label(f"gradient of\n{TITLES[score]}" if gradients else TITLES[score], fontsize=8)
        bar.ax.tick_params(labelsize=7)
    return figure


def beside(result: Map, X: np.ndarray, y: np.ndarray) -> Figure:
    """A score's map and the map of its gradient's length side by side."""
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
    for ax, gradients in zip(axes, (False, True), strict=True):
        image = _panel(ax, result, shared_norm([result], gradients), gradients)
        scatter(ax, X, y, size=8)
        ax.set_title("length of its gradient" if gradients else f"{result.model}: {TITLES[result.score]}", fontsize=10)
        figure.colorbar(image, ax=ax, extend=_extend(gradients))
    return figure


def single(result: Map, X: np.ndarray, y: np.ndarray, norm: Normalize, gradients: bool = False) -> Figure:
    """One map alone, with its colour bar."""
    figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
    image = _panel(ax, result, norm, gradients)
    scatter(ax, X, y, size=12)
    ax.set_title(f"{result.model}: {'gradient of ' if gradients else ''}{TITLES[result.score]}", fontsize=10)
    figure.colorbar(image, ax=ax, extend=_extend(gradients))
    return figure


def shared_norm(results: Sequence[Map], gradients: bool) -> Normalize:
    """The colour scale that maps of one score, or those of its gradient, share."""
    return gradient_norm([r.gradients for r in results]) if gradients else score_norm([r.values for r in results])


def _panel(ax: Axes, result: Map, norm: Normalize, gradients: bool) -> AxesImage:
    if gradients:
        image = gradient_map(ax, result.gradients, result.gradient_extent, norm)
    else:
        image = score_map(ax, result.values, result.extent, norm)
    ax.text(
        0.03,
        0.03,
        f"AUC {result.auc:.3f}",
        transform=ax.transAxes,
        fontsize=8,
        bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5},
    )
    ax.set(xticks=[], yticks=[])
    return image


def _extend(gradients: bool) -> str:
    """Gradients go on below their colours."""
    return "min" if gradients else "neither"


def profiles(results: Sequence[Profile]) -> Figure:
    """Confidence and scores along rays, out to ten times the last radius of each, and their exact limits at the right edge.

    A row per score, a column per model; a ray has the colour of its direction.
    """
    names = list(results[0].values)
    shape = (len(names), len(results))
    size = (2.1 * shape[1] + 0.9, 1.65 * shape[0] + 0.5)
    figure, axes = plt.subplots(*shape, figsize=size, sharex=True, sharey="row", squeeze=False, layout="constrained")
    hues = Normalize(0, 2 * np.pi)
    # Beyond the last distance, in the logarithmic scale.
    infinity = results[0].distances[-1] * 2.2
    for row, name in zip(axes, names, strict=True):
        for ax, result in zip(row, results, strict=True):
            for angle, values, limit in zip(result.angles, result.values[name], result.limits[name], strict=True):
                colour = plt.get_cmap("twilight_shifted")(hues(angle))
                ax.plot(result.distances, values, color=colour, linewidth=1)
                ax.plot([result.distances[-1], infinity], [limit] * 2, color=colour, linewidth=0.8, linestyle=":")
                ax.plot(infinity, limit, "o", color=colour, markersize=4, markeredgecolor="black", markeredgewidth=0.4)
            ax.axvline(1, color="0.6", linewidth=0.8, zorder=0)
            ax.set_xscale("log")
            ax.tick_params(labelsize=7)
            ax.minorticks_off()
            ax.set_xticks([0.001, 0.01, 0.1, 1, infinity], ["0.001", "0.01", "0.1", "1", "\u221e"])
        row[0].set_ylabel(TITLES[name], fontsize=7)
    for ax, result in zip(axes[0], results, strict=True):
        ax.set_title(result.model, fontsize=9)
    figure.supxlabel("distance from the data's mean / radius beyond which no unit changes", fontsize=9)
    compass = ScalarMappable(Normalize(0, 360), "twilight_shifted")
    bar = figure.colorbar(compass, ax=axes.ravel().tolist(), pad=0.01, fraction=0.015, ticks=[0, 90, 180, 270, 360])
    bar.set_label("direction of the ray (degrees)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


# Colours of Okabe and Ito, each with a marker of its own, for the scores that `detection` shows, a choice of them.
_LINES = {
    "max_prob": ("#000000", "o"),
    "mutual_information": ("#56B4E9", "v"),
    "energy": ("#E69F00", "s"),
    "mahalanobis": ("#009E73", "^"),
    "relative_mahalanobis": ("#F0E442", "D"),
    "neighbours": ("#D55E00", "P"),
    "vim": ("#CC79A7", "X"),
    "laplace_entropy": ("#0072B2", "<"),
    "guarded_entropy": ("#7F0000", "*"),
    "unfamiliarity": ("#7F7F7F", "H"),
}


def detection(results: Sequence[DetectionByDistance]) -> Figure:
    """How well scores tell points far away from test data, by distance: a panel for each model, infinity at the right edge."""
    models = list(dict.fromkeys(one.model for one in results))
    columns = min(3, len(models))
    rows = -(-len(models) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.6 * columns + 1.8, 2.9 * rows), squeeze=False, sharex=True, sharey=True, layout="constrained"
    )
    infinity = DISTANCES[-2] * 8
    handles: dict[str, Any] = {}
    for ax in axes.flat[len(models) :]:
        ax.set_visible(False)
    for ax, model in zip(axes.flat, models, strict=False):
        for one in results:
            if one.model != model or one.score not in _LINES:
                continue
            colour, marker = _LINES[one.score]
            (line,) = ax.plot(
                DISTANCES[:-1], one.aurocs[:-1], color=colour, marker=marker, markersize=4, linewidth=1, markevery=3
            )
            ax.plot([DISTANCES[-2], infinity], [one.aurocs[-2], one.aurocs[-1]], color=colour, linewidth=0.8, linestyle=":")
            ax.plot(infinity, one.aurocs[-1], marker, color=colour, markersize=6, markeredgecolor="black", markeredgewidth=0.4)
            handles.setdefault(label(one.score), line)
        ax.axhline(0.5, color="0.7", linewidth=0.8, zorder=0)
        ax.set_xscale("log")
        ax.set(ylim=(-0.04, 1.04), title=model)
        ax.title.set_fontsize(9)
        ax.minorticks_off()
        ax.set_xticks([1, 100, 10_000, infinity], ["1", "100", "10,000", "\u221e"])
        ax.tick_params(labelsize=7)
    figure.supxlabel("distance from all data", fontsize=9)
    figure.supylabel("area under the ROC curve", fontsize=9)
    figure.legend(list(handles.values()), list(handles), loc="outside right center", fontsize=8, frameon=False)
    return figure


def remedies(models: dict[str, Any], X: np.ndarray, y: np.ndarray) -> Figure:
    """The confidence of several classifiers, far round the half-moons.

    Args:
        models: titles, and fitted classifiers of two features.
        X, y: the data.
    """
    figure, axes = plt.subplots(1, len(models), figsize=(3 * len(models) + 0.6, 3), squeeze=False, layout="constrained")
    extent = (-12.0, 13.0, -12.0, 12.5)
    points = grid(extent, 200)
    norm = Normalize(0.5, 1)
    for ax, (title, model) in zip(axes[0], models.items(), strict=True):
        confidence = model.predict_proba(points).max(1).reshape(200, 200)
        ax.imshow(confidence, origin="lower", extent=extent, norm=norm, cmap="cividis", interpolation="nearest")
        scatter(ax, X, y, size=4)
        ax.set(xticks=[], yticks=[], aspect="equal")
        ax.set_title(title, fontsize=9)
    figure.colorbar(ScalarMappable(norm, "cividis"), ax=axes[0].tolist(), fraction=0.03).set_label("confidence", fontsize=8)
    return figure


def clusters(result: Clusters) -> Figure:
    """Figure 1 of the paper: entropy; polytopes; entropy, its gradient's length and the change of that, on the polytopes."""
    figure, axes = plt.subplots(1, 5, figsize=(16, 3.4), layout="constrained")
    maps = (
        ("entropy (bits)", result.entropy, "Purples", False),
        ("polytopes", None, "", True),
        ("entropy (bits)", result.entropy, "Purples", True),
        ("length of the gradient", result.gradient, "viridis", True),
        ("change of that length", result.change, "viridis", True),
    )
    for ax, (title, values, cmap, lines) in zip(axes, maps, strict=True):
        if values is not None:
            top = float(np.quantile(values, 0.995)) or 1.0
            image = ax.imshow(values, origin="lower", extent=BOX, cmap=cmap, vmin=0, vmax=top)
            figure.colorbar(image, ax=ax, fraction=0.045, extend="max" if values.max() > top else "neither")
        if lines:
            light = cmap == "viridis"
            edges(ax, result.cells, BOX, color="white" if light else "black", linewidth=0.6)
        if not lines or values is None:
            ax.scatter(*result.X.T, s=3, c=result.y, cmap="tab10", linewidths=0)
        ax.set(xticks=[], yticks=[], aspect="equal", xlim=BOX[:2], ylim=BOX[2:])
        ax.set_title(title if values is not None else f"{len(result.cells)} polytopes", fontsize=10)
    return figure

"""Every figure, each a function from results to matplotlib axes."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from knowlimits import scores
from knowlimits.limits.horizon import horizon
from knowlimits.outputs import FIGURES, check_output, write_atomically
from knowlimits.plane import Partition, Regions, partition
from knowlimits.studies.clusters import BOX, Clusters
from knowlimits.studies.detection import DISTANCES, Detection
from knowlimits.studies.far_away import Profile
from knowlimits.studies.half_moons import Map

if TYPE_CHECKING:
    # Optuna takes longer to load than all else here, and one figure needs it.
    from knowlimits.studies.real_data import Order
    from knowlimits.train.search import SearchResult

#: Names of scores as axes show them.
TITLES = {
    "entropy": "entropy (bits)",
    "max_prob": "1 - max probability",
    "variance": "class variance",
    "mutual_information": "mutual information (bits)",
    "expected_entropy": "expected entropy (bits)",
    "confidence": "confidence",
}
# Okabe and Ito's orange and blue, told apart by colour-blind eyes, with unlike markers for print without colour.
_CLASSES = (("#E69F00", "o"), ("#0072B2", "^"))
# The colours of gradients span this many decades below the largest value of their scale.
_DECADES = 6


def scatter(ax: Axes, X: np.ndarray, y: np.ndarray, size: float = 6) -> None:
    """Draw points of two classes on top of a map, in the two colours and markers of all figures."""
    for label, (colour, marker) in enumerate(_CLASSES):
        rows = y == label
        ax.scatter(*X[rows].T, s=size, c=colour, marker=marker, edgecolors="black", linewidths=0.25, alpha=0.7)


def score_map(ax: Axes, result: Map, norm: Normalize) -> ScalarMappable:
    """Draw a score on its grid."""
    return _image(ax, result.values, result.extent, norm, _COLOURS[score_map], result.auc)


def gradient_map(ax: Axes, result: Map, norm: Normalize) -> ScalarMappable:
    """Draw the length of a score's gradient on its grid, in a logarithmic scale; below the scale is the palest colour."""
    return _image(ax, result.gradients, result.gradient_extent, norm, _COLOURS[gradient_map], result.auc)


_COLOURS = {score_map: "Purples", gradient_map: "viridis"}


def _image(
    ax: Axes, values: np.ndarray, extent: tuple[float, float, float, float], norm: Normalize, cmap: str, auc: float
) -> ScalarMappable:
    shown = np.maximum(values, norm.vmin or 0.0)
    image = ax.imshow(shown, origin="lower", extent=extent, norm=norm, cmap=cmap, aspect="auto", interpolation="nearest")
    ax.text(
        0.03,
        0.03,
        f"AUC {auc:.3f}",
        transform=ax.transAxes,
        fontsize=8,
        bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5},
    )
    ax.set(xticks=[], yticks=[])
    return image


def score_norm(results: Sequence[Map]) -> Normalize:
    """One colour scale from 0 to the largest value among the maps of a score."""
    return Normalize(0, max(float(r.values.max()) for r in results) or 1.0)


def gradient_norm(results: Sequence[Map]) -> Normalize:
    """One logarithmic colour scale for the gradients of a score, six decades up to the largest."""
    top = max(float(r.gradients.max()) for r in results) or 1.0
    return LogNorm(top * 10.0**-_DECADES, top)


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
        norm = gradient_norm(chosen) if gradients else score_norm(chosen)
        draw = gradient_map if gradients else score_map
        for result in chosen:
            ax = row[names.index(result.model)]
            ax.set_visible(True)
            draw(ax, result, norm)
            scatter(ax, X, y, size=3)
            ax.set_title(result.model, fontsize=9)
        label = f"gradient of\n{TITLES[score]}" if gradients else TITLES[score]
        bar = figure.colorbar(
            ScalarMappable(norm, _COLOURS[draw]),
            ax=row.tolist(),
            pad=0.01,
            fraction=0.03,
            extend="min" if gradients else "neither",
        )
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=7)
    return figure


def beside(result: Map, X: np.ndarray, y: np.ndarray) -> Figure:
    """A score's map and the map of its gradient's length side by side."""
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
    panels = (
        (score_map, score_norm([result]), "{}", "neither"),
        (gradient_map, gradient_norm([result]), "length of its gradient", "min"),
    )
    for ax, (draw, norm, title, extend) in zip(axes, panels, strict=True):
        image = draw(ax, result, norm)
        scatter(ax, X, y, size=8)
        ax.set_title(title.format(f"{result.model}: {TITLES[result.score]}"), fontsize=10)
        figure.colorbar(image, ax=ax, extend=extend)
    return figure


def single(result: Map, X: np.ndarray, y: np.ndarray, norm: Normalize, gradients: bool = False) -> Figure:
    """One map alone, with its colour bar."""
    figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
    image = (gradient_map if gradients else score_map)(ax, result, norm)
    scatter(ax, X, y, size=12)
    title = TITLES[result.score]
    ax.set_title(f"{result.model}: {'gradient of ' if gradients else ''}{title}", fontsize=10)
    figure.colorbar(image, ax=ax, extend="min" if gradients else "neither")
    return figure


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


# Colours of Okabe and Ito, each with a marker of its own, for the scores of `detection`.
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
}


def detection(results: Sequence[Detection]) -> Figure:
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
            handles.setdefault(one.score.replace("_", " "), line)
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


def remedies(models: "dict[str, Any]", X: np.ndarray, y: np.ndarray) -> Figure:
    """The confidence of several classifiers, far round the half-moons.

    Args:
        models: titles, and fitted classifiers of two features.
        X, y: the data.
    """
    figure, axes = plt.subplots(1, len(models), figsize=(3 * len(models) + 0.6, 3), squeeze=False, layout="constrained")
    extent = (-12.0, 13.0, -12.0, 12.5)
    x, z = np.meshgrid(np.linspace(*extent[:2], 200), np.linspace(*extent[2:], 200))
    points = np.stack([x.ravel(), z.ravel()], axis=1)
    norm = Normalize(0.5, 1)
    for ax, (title, model) in zip(axes[0], models.items(), strict=True):
        confidence = model.predict_proba(points).max(1).reshape(x.shape)
        ax.imshow(confidence, origin="lower", extent=extent, norm=norm, cmap="cividis", interpolation="nearest")
        scatter(ax, X, y, size=4)
        ax.set(xticks=[], yticks=[], aspect="equal")
        ax.set_title(title, fontsize=9)
    figure.colorbar(ScalarMappable(norm, "cividis"), ax=axes[0].tolist(), fraction=0.03).set_label("confidence", fontsize=8)
    return figure


def growth(orders: "Sequence[Order]") -> Figure:
    """The power with which scores grow, predicted and measured: a panel for each prediction, a row for each score."""
    names = list(dict.fromkeys(one.score for one in orders))
    figure, axes = plt.subplots(1, 3, figsize=(9, 0.3 * len(names) + 1.2), sharey=True, sharex=True, layout="constrained")
    rng = np.random.default_rng(0)
    for power, ax in enumerate(axes):
        ax.axvline(power, color=_CLASSES[0][0], linewidth=2, zorder=0)
        for row, name in enumerate(names):
            slopes = [one.measured[one.predicted == power] for one in orders if one.score == name]
            slopes = np.concatenate(slopes) if slopes else np.zeros(0)
            if len(slopes) > 300:
                slopes = rng.choice(slopes, 300, replace=False)
            aside = rng.uniform(-0.3, 0.3, len(slopes))
            ax.plot(slopes, row + aside, "o", markersize=2, color=_CLASSES[1][0], alpha=0.4, markeredgewidth=0)
        ax.set_title(f"predicted: {('a constant', 'like a', 'like a squared')[power]}", fontsize=9)
        ax.tick_params(labelsize=7)
        ax.set_xlim(-0.15, 2.4)
    axes[0].set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes[0].invert_yaxis()
    figure.supxlabel("measured slope of the score in a double logarithm", fontsize=9)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure to a file, .png, .pdf or .svg, and close it.

    Raises:
        ValueError: if the name of the file ends in something else.
        OSError: if it cannot be written, or is neither a file nor a character device.
    """
    path = Path(path)
    check_output(path, FIGURES)
    buffer = io.BytesIO()
    kind = path.suffix[1:].lower()
    # Without a date or a version in the file, the same figure is the same bytes.
    figure.savefig(buffer, format=kind, dpi=150, metadata={"Software": None} if kind == "png" else None)
    plt.close(figure)
    write_atomically(path, buffer.getvalue())


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
        ax.plot(x, np.clip(values, low, high), "o", markersize=3, color=_CLASSES[1][0], alpha=0.45, markeredgewidth=0)
        ax.plot(x[:1], values[:1], "*", markersize=11, color=_CLASSES[0][0], markeredgecolor="black", markeredgewidth=0.5)
        ax.set_title(f"{name}, {importances[name]:.0%}" if name in importances else name, fontsize=9)
        ax.tick_params(labelsize=7)
    for row in axes:
        row[0].set_ylabel(result.objective.replace("_", " "), fontsize=9)
    failed = len(result.trials) - len(ranked)
    title = f"{model}: {len(ranked)} trials" + (f", {failed} more failed" if failed else "") + "; the star is the best"
    figure.suptitle(title + ("; with the shares in the variance" if importances else ""), fontsize=10)
    return figure


def edges(ax: Axes, cells: Partition | Regions, extent: tuple[float, float, float, float], **style: Any) -> LineCollection:
    """Draw the edges of cells or linear regions, rays to infinity too, as far as `extent`: x from, x to, y from, y to."""
    ends = cells.vertices[cells.edges]
    ends = ends[(ends[..., 2] > 0).any(1)]
    # The finite end first; a ray ends well outside of what is shown.
    ends = np.where((ends[:, 0, 2] > 0)[:, None, None], ends, ends[:, ::-1])
    start, stop = ends[:, 0, :2], ends[:, 1]
    far = np.abs(np.asarray(extent)).max() * 4 + np.abs(start).max(1, keepdims=True, initial=0)
    segments = np.stack([start, np.where(stop[:, 2:] > 0, stop[:, :2], start + far * stop[:, :2])], axis=1)
    lines = LineCollection(list(segments), **{"color": "black", "linewidth": 0.5, **style})
    ax.add_collection(lines, autolim=False)
    ax.set(xlim=extent[:2], ylim=extent[2:])
    return lines


def cells(ax: Axes, result: Partition, values: Any, extent: tuple[float, float, float, float], **style: Any) -> PolyCollection:
    """Fill the cells of a partition with colours by a value for each, ``(C,)``, as far as `extent`."""
    far = 1e3 * (np.abs(np.asarray(extent)).max() + 1)
    polygons = []
    for i in range(len(result)):
        ring = result.vertices[result.polygon(i)]
        corners = []
        for k, (x, y, w) in enumerate(ring):
            beside = [ring[k - 1], ring[(k + 1) % len(ring)]]
            starts = [point[:2] for point in beside if point[2] > 0] or [np.zeros(2)]
            corners += [(x, y)] if w > 0 else [start + far * np.array([x, y]) for start in starts]
        polygons.append(corners)
    filled = PolyCollection(
        polygons, array=np.asarray(values, dtype=float), **{"edgecolors": "face", "linewidths": 0.2, **style}
    )
    ax.add_collection(filled, autolim=False)
    ax.set(xlim=extent[:2], ylim=extent[2:])
    return filled


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


def _disc(points: np.ndarray, centre: np.ndarray, scale: float) -> np.ndarray:
    """Homogeneous points in the disc that the whole plane is drawn in: radius r goes to r / (1 + r), infinity to the rim."""
    shifted = (points[..., :2] - centre * points[..., 2:]) / scale
    return shifted / (np.linalg.norm(shifted, axis=-1, keepdims=True) + points[..., 2:])


def horizon_disc(
    ax: Axes, model: Any, X: np.ndarray, y: np.ndarray, score: str = "entropy", norm: Normalize | None = None
) -> ScalarMappable:
    """Draw the whole plane in a disc: a score, the polytopes of the first member, and round the rim the exact limits.

    Args:
        ax: to draw on.
        model: a fitted classifier of ours of two features.
        X, y: the data, whose mean is the middle of the disc and whose standard deviation its unit of length.
        score: a name in `knowlimits.scores.SCORES`; entropies in bits.
        norm: colour scale, from 0 to 1 without it.

    Returns:
        What a colour bar can be made of.
    """
    norm = norm or Normalize(0, 1)
    centre, scale = X.mean(0), float(X.std())
    radius, angle = np.linspace(0, 0.985, 160), np.linspace(0, 2 * np.pi, 721)
    rho, theta = np.meshgrid(radius, angle)
    far = scale * rho / (1 - rho)
    points = centre + np.stack([far * np.cos(theta), far * np.sin(theta)], axis=-1).reshape(-1, 2)
    values = scores.score(model.predict_members(points), score, base=2).reshape(rho.shape)
    style = {"norm": norm, "cmap": "Purples", "rasterized": True}
    ax.pcolormesh(rho * np.cos(theta), rho * np.sin(theta), values, shading="gouraud", **style)

    result = partition(model, member=0)
    ends = result.vertices[result.edges]
    ends = ends[(ends[..., 2] > 0).any(1)]
    # Straight lines are curved in the disc. Ends of one size in it give points that are spread evenly.
    ends = ends / (np.linalg.norm(ends[..., :2] - centre * ends[..., 2:], axis=-1, keepdims=True) / scale + ends[..., 2:])
    along = np.linspace(0, 1, 17)[:, None]
    curves = _disc((1 - along) * ends[:, None, 0] + along * ends[:, None, 1], centre, scale)
    ax.add_collection(LineCollection(list(curves), color="black", linewidth=0.15, alpha=0.7), autolim=False)
    scatter(ax, _disc(np.c_[X, np.ones(len(X))], centre, scale), y, size=2)

    limits = horizon(model)
    begin = limits.angles[0, 0]
    arc = np.searchsorted(limits.angles[:, 0], (angle - begin) % (2 * np.pi) + begin, side="right") - 1
    ring = np.stack([limits.score(score, base=2)[arc]] * 2, axis=1)
    rho, theta = np.meshgrid([1.03, 1.15], angle)
    ax.pcolormesh(rho * np.cos(theta), rho * np.sin(theta), ring, shading="gouraud", **style)
    for r in (1.03, 1.15):
        ax.plot(r * np.cos(angle), r * np.sin(angle), color="black", linewidth=0.5)
    ax.set(xlim=(-1.18, 1.18), ylim=(-1.18, 1.18), aspect="equal")
    ax.set_axis_off()
    return ScalarMappable(norm, "Purples")


def horizons(names: Sequence[str], models: Sequence[Any], X: np.ndarray, y: np.ndarray) -> Figure:
    """The whole plane of several models, each in a disc, with the exact limits in every direction round the rim."""
    columns = min(3, len(models))
    rows = -(-len(models) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns + 0.8, 4.2 * rows), squeeze=False, layout="constrained")
    for ax in axes.flat:
        ax.set_axis_off()
    norm = Normalize(0, 1)
    for ax, name, model in zip(axes.flat, names, models, strict=False):
        horizon_disc(ax, model, X, y, norm=norm)
        ax.set_title(name, fontsize=10)
    bar = figure.colorbar(ScalarMappable(norm, "Purples"), ax=axes.ravel().tolist(), fraction=0.03, pad=0.01)
    bar.set_label(TITLES["entropy"], fontsize=9)
    return figure

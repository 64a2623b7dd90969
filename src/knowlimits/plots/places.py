"""The places of an input in their own layout: windows, landmarks and images, with what an audit found of each."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from knowlimits.auditing import Audit
from knowlimits.auditing.find.places import panel_names, panels

# Panels under one another, at most.
_PANELS = 8


def places(audit: Audit, name: str = "sure") -> Figure:
    """What becomes of a classifier as each place of its inputs falls, and as it grows, without bound: two maps side by side.

    Of inputs of three axes there are two for each channel, first or last. Places that were not moved are grey.

    Args:
        audit: of a model whose inputs have several axes.
        name: of a column of numbers in its `features`; distances have a logarithmic scale.

    Raises:
        ValueError: if there is no such column, X was a table, or there are more than 8 channels.
    """
    values = audit.on_places(name)
    shape = audit.input_shape or ()
    where, titles = panels(shape), panel_names(shape)
    if len(where) > _PANELS:
        raise ValueError(
            f"audit must be of inputs of at most {_PANELS} channels, to be drawn. Got {len(where)}: use on_places."
        )
    values = values.reshape(2, -1)
    norm = _norm(name, values[np.isfinite(values)])
    ratio = float(np.clip(where.shape[1] / where.shape[2], 0.3, 3))
    figure, axes = plt.subplots(
        len(where), 2, figsize=(7, 0.6 + 2.9 * min(ratio, 1.5) * len(where)), squeeze=False, layout="constrained"
    )
    colours = mpl.colormaps["Purples_r" if isinstance(norm, LogNorm) else "Purples"].with_extremes(bad="0.9")
    for row, panel, title in zip(axes, where, titles, strict=True):
        for ax, way, arrow in zip(row, values, ("\u2193", "\u2191"), strict=True):
            ax.imshow(
                way[panel], norm=norm, cmap=colours, aspect="equal" if 0.3 < ratio < 3 else "auto", interpolation="nearest"
            )
            ax.set_title(f"{title} {arrow}".strip(), fontsize=10)
            ax.tick_params(labelsize=7)
            for axis in (ax.xaxis, ax.yaxis):
                axis.get_major_locator().set_params(integer=True)
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes.ravel().tolist(), fraction=0.04, pad=0.02)
    bar.set_label(name.replace("_", " "), fontsize=9)
    return figure


def _norm(name: str, values: np.ndarray) -> Normalize:
    if name.startswith(("settled", "last_unit")) and (values > 0).any():
        low, high = values[values > 0].min(), values.max()
        return LogNorm(low, high if high > low else 2 * low, clip=True)
    # Shares and probabilities go up to 1.
    highest = 1.0 if name.startswith(("sure", "confidence")) else float(values.max(initial=0)) or 1.0
    return Normalize(min(0.0, float(values.min(initial=0))), highest)

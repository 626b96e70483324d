"""Figures of curvature: |λmin / λmax| of the Hessian on a plane, after Li et al. 2018."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from minicnn.errors import InputError
from minicnn.landscape.convexity import negative_cells
from minicnn.landscape.hessian import Curvature

__all__ = ["curvature_figure"]


def curvature_figure(
    found: Mapping[str, Curvature], title: str, highest: float | None = None
) -> Figure:
    """Draw how large the most negative eigenvalue is beside the most positive one.

    Parameters
    ----------
    found : mapping of str to Curvature
        Planes by caption, drawn on one scale of colours.
    title : str
        Above all.
    highest : float, optional
        Ratio that has the last colour; by default the largest, at most 1.

    Returns
    -------
    matplotlib.figure.Figure
        Dark cells are nearly convex. The share of cells above a tenth stands above each plane.

    Raises
    ------
    InputError
        If a plane is a line.
    """
    if any(one.ys is None for one in found.values()):
        raise InputError("Curvature is drawn on planes; this one is a line.")
    ratios = {name: one.ratio for name, one in found.items()}
    finite = np.concatenate([r[np.isfinite(r)] for r in ratios.values()])
    top = highest or min(1.0, float(finite.max(initial=0.0)) or 1.0)
    figure = Figure(figsize=(4.6 * len(found) + 1.1, 4.9), layout="constrained")
    figure.suptitle(title, fontsize=12)
    axes = figure.subplots(1, len(found), squeeze=False)[0]
    for axis, (name, one) in zip(axes, found.items(), strict=True):
        assert one.ys is not None
        shown = axis.pcolormesh(one.xs, one.ys, ratios[name], cmap="viridis", vmin=0, vmax=top,
                                shading="nearest")  # fmt: skip
        axis.set_facecolor("#cccccc")  # cells without finite eigenvalues
        share = negative_cells(one.lowest, one.highest)
        told = f"{share:.0%} of the cells above a tenth"
        axis.set_title(f"{name}\n{told}" if name else told, fontsize=10)
        axis.set_xlabel("first direction")
        if one.xs[0] <= 0 <= one.xs[-1] and one.ys[0] <= 0 <= one.ys[-1]:
            axis.plot([0], [0], "o", color="#d62728", markersize=6, fillstyle="none", linestyle="",
                      label="the network")  # fmt: skip
            axis.legend(fontsize=8, framealpha=0.9, handletextpad=0.2)
    axes[0].set_ylabel("second direction")
    figure.colorbar(shown, ax=list(axes), label="|λmin / λmax|, negative curvature only",
                    extend="max" if finite.max(initial=0.0) > top else "neither")  # fmt: skip
    return figure

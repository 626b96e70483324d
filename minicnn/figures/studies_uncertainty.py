"""MC dropout: the most uncertain images with their distributions, and what uncertainty is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minicnn.figures.studies import OFF, ON, TRAIN, in_per_cent, plain
from minicnn.studies.base import Findings

__all__ = ["draw"]

NAMES = {
    "predictive_entropy": ("predictive entropy", "#2166ac"),
    "mutual_information": ("mutual information", "#b2182b"),
    "variation_ratio": ("variation ratio", "#1b7837"),
}


def draw(findings: Findings) -> Figure:
    """Above: images with mean probability and one standard deviation; below: two curves."""
    arrays = findings.arrays
    count = len(arrays["shown"])
    figure = Figure(figsize=(1.55 * count, 7.6), layout="constrained")
    figure.suptitle(findings.title, fontsize=13)
    parts: Any = figure.subfigures(2, 1, height_ratios=(1.05, 1))
    above, below = parts
    above.suptitle("most uncertain test images (mutual information), with the passes' mean and "
                   "standard deviation; the label is blue", fontsize=10)  # fmt: skip
    axes = above.subplots(2, count, height_ratios=(1, 0.9))
    for i in range(count):
        _image(axes[0, i], arrays, i)
        _bars(axes[1, i], arrays, i)
    axes[1, 0].set_ylabel("probability")
    left, right = below.subplots(1, 2)
    _histogram(left, arrays)
    _kept(right, arrays)
    return figure


def _image(axis: Axes, arrays: dict[str, np.ndarray], i: int) -> None:
    picture = np.moveaxis(arrays["shown"][i], 0, 2)
    picture = picture[..., 0] if picture.shape[2] == 1 else picture
    axis.imshow(picture, cmap="gray", interpolation="nearest")
    axis.set_axis_off()
    axis.set_title(str(arrays["classes"][arrays["shown_label"][i]]), fontsize=10)


def _bars(axis: Axes, arrays: dict[str, np.ndarray], i: int) -> None:
    mean, spread = arrays["shown_mean"][i], arrays["shown_deviation"][i]
    label = int(arrays["shown_label"][i])
    colours = [ON if k == label else TRAIN for k in range(len(mean))]
    low = np.minimum(spread, mean)
    axis.bar(range(len(mean)), mean, yerr=[low, spread], color=colours, ecolor="0.2",
             error_kw={"linewidth": 0.9})  # fmt: skip
    axis.set_ylim(0, 1)
    if len(mean) <= 10:
        axis.set_xticks(range(len(mean)), [str(c)[:4] for c in arrays["classes"]])
        names = max(len(str(c)) for c in arrays["classes"]) > 1
        axis.tick_params("x", rotation=90 if names else 0, labelsize=7)
    if i:
        axis.set_yticks([])
    plain(axis)


def _histogram(axis: Axes, arrays: dict[str, np.ndarray]) -> None:
    values, right = arrays["predictive_entropy"], arrays["right"]
    edges = np.linspace(0, np.log(arrays["mean"].shape[1]), 26)
    for chosen, colour, name in ((right, ON, "right"), (~right, OFF, "wrong")):
        if chosen.any():
            weights = np.full(chosen.sum(), 1 / chosen.sum())
            axis.hist(values[chosen], edges.tolist(), weights=weights, color=colour, alpha=0.6,
                      label=f"{name} ({chosen.sum():,})")  # fmt: skip
    axis.set_xlabel("predictive entropy in nats")
    axis.set_ylabel("share of images")
    in_per_cent(plain(axis)).legend(frameon=False)


def _kept(axis: Axes, arrays: dict[str, np.ndarray]) -> None:
    for name, (title, colour) in NAMES.items():
        axis.plot(arrays["kept"], arrays[f"kept_{name}"], color=colour, label=title)
    axis.axhline(arrays["right"].mean(), color="0.6", linestyle=":", linewidth=1)
    axis.set_xlabel("share of images answered, the surest first")
    axis.set_ylabel("accuracy on these")
    axis.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    in_per_cent(plain(axis), None).legend(frameon=False)

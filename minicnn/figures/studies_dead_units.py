"""Dead units: their share in each layer over the epochs, a column for each learning rate."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from minicnn.figures.studies import ON, TRAIN, by_epoch, in_per_cent
from minicnn.studies.base import Findings

__all__ = ["draw"]

COLOURS = ("#56b4e9", "#e69f00", "#b2182b", "#762a83", "0.3")


def draw(findings: Findings) -> Figure:
    """Shares above, accuracy on training and test images below."""
    arrays = findings.arrays
    rates, layers = arrays["rates"], [str(name) for name in arrays["layers"]]
    figure = Figure(figsize=(4.2 * len(rates) + 0.6, 6.2), layout="constrained")
    figure.suptitle(findings.title, fontsize=13)
    axes = figure.subplots(2, len(rates), sharex=True, sharey="row", squeeze=False,
                           height_ratios=(3, 2))  # fmt: skip
    epochs = np.arange(arrays["dead"].shape[1])
    for i, rate in enumerate(rates):
        above, below = axes[:, i]
        for j, layer in enumerate(layers):
            above.plot(epochs, arrays["dead"][i, :, j], color=COLOURS[j % len(COLOURS)],
                       linewidth=2, marker="o", markersize=3.5, label=layer,
                       clip_on=False)  # fmt: skip
        for name, colour in (("train", TRAIN), ("test", ON)):
            below.plot(epochs, arrays[f"{name}_accuracy"][i], color=colour, linewidth=2,
                       label="training" if name == "train" else name)  # fmt: skip
        above.set_title(f"learning rate {rate:g}", fontsize=11, pad=9)
        by_epoch(above).set(xlabel="", ylim=(0, 1))
        by_epoch(below).set_ylim(0, 1.02)
        in_per_cent(above)
        in_per_cent(below)
    axes[0, 0].set_ylabel("units that fire for no training image")
    axes[1, 0].set_ylabel("accuracy")
    axes[0, 0].legend(frameon=False, title="layer", loc="upper left")
    axes[1, 0].legend(frameon=False, loc="lower right")
    return figure

"""Dynamics: best and worst predictions, errors beside those of "nothing moves", activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from minicnn.data.rectangles import Scene
from minicnn.data.rectangles import draw as draw_scene
from minicnn.figures.axes import show_map
from minicnn.figures.studies import OFF, ON, TRAIN, by_epoch, plain
from minicnn.studies.base import Findings

__all__ = ["activations_figure", "draw", "scenes_figure"]

COLUMNS = ("start", "result", "prediction", "difference")


def draw(findings: Findings) -> Figure:
    """Left the four best predictions, right the four worst; below the errors and the learning.

    Below a difference stands the mean squared error; ink that is too much is blue, missing red.
    """
    arrays = findings.arrays
    each = len(arrays["shown_input"]) // 2
    figure = Figure(figsize=(13, 1.62 * each + 3.6), layout="constrained")
    figure.suptitle(findings.title, fontsize=13)
    parts: Any = figure.subfigures(2, 1, height_ratios=(1.62 * each, 3.1))
    above, below = parts
    for part, first, name in zip(
        above.subfigures(1, 2),
        (0, each),
        ("best predictions", "worst predictions (too much ink is blue, missing ink red)"),
        strict=True,
    ):
        part.suptitle(name, fontsize=11)
        axes = part.subplots(each, len(COLUMNS), squeeze=False)
        for row in range(each):
            _scene(axes[row], arrays, first + row, row == 0)
    left, right = below.subplots(1, 2)
    _errors(left, arrays)
    _learning(right, arrays)
    return figure


def _scene(axes: np.ndarray, arrays: dict[str, np.ndarray], i: int, titled: bool) -> None:
    truth, predicted = arrays["shown_truth"][i, 0], arrays["shown_prediction"][i, 0]
    error = float(((predicted - truth) ** 2).mean())
    for axis, picture in zip(axes, _pictures(arrays, "shown", i), strict=False):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes[3].imshow(predicted - truth, cmap="RdBu", vmin=-1, vmax=1, interpolation="nearest")
    axes[3].set_xlabel(f"{error:.4f}", fontsize=8)
    for axis, name in zip(axes, COLUMNS, strict=True):
        axis.set_xticks([])
        axis.set_yticks([])
        if titled:
            axis.set_title(name, fontsize=9)


def _pictures(arrays: dict[str, np.ndarray], name: str, i: int) -> list[np.ndarray]:
    """Start with its point in red, result and prediction, as ink on paper."""
    point, start = arrays[f"{name}_input"][i]
    pale = (1 - start) * (1 - point)
    pulled = np.stack([1 - start, pale, pale], axis=-1)
    truth, predicted = (arrays[f"{name}_{which}"][i, 0] for which in ("truth", "prediction"))
    return [picture.clip(0, 1) for picture in (pulled, 1 - truth, 1 - predicted)]


def _errors(axis: Axes, arrays: dict[str, np.ndarray]) -> None:
    """All scenes, each predictor's errors in their own order."""
    share = np.linspace(0, 1, len(arrays["error"]))
    for name, key, colour in (("network", "error", ON), ("nothing moves", "still", OFF)):
        axis.plot(share, np.sort(arrays[key]), color=colour, label=name)
    axis.set_xlabel("share of the scenes, each predictor's best first")
    axis.set_ylabel("mean squared error")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    plain(axis).legend(frameon=False)


def _learning(axis: Axes, arrays: dict[str, np.ndarray]) -> None:
    epochs = np.arange(1, len(arrays["test_loss"]) + 1)
    axis.plot(epochs, arrays["train_loss"], color=TRAIN, label="training")
    axis.plot(epochs, arrays["test_loss"], color=ON, label="other scenes")
    axis.axhline(arrays["still"].mean(), color=OFF, linestyle=":", label="nothing moves")
    axis.set_yscale("log")
    axis.set_ylabel("mean squared error")
    by_epoch(axis).legend(frameon=False)


def activations_figure(findings: Findings) -> Figure:
    """One scene within the network: a row a block, a column a channel; the scene is at the left."""
    maps = findings.arrays["activations"]  # (blocks + 1, C, H, W)
    rows, columns = maps.shape[:2]
    figure = Figure(figsize=(0.82 * columns + 3, 0.82 * rows + 0.7), layout="constrained")
    figure.suptitle("what each residual block gives for the scene at the left", fontsize=12)
    parts: Any = figure.subfigures(1, 2, width_ratios=(2, 0.82 * columns + 1))
    scene: Any = parts[0].subplots(3, 1)
    for axis, picture, name in zip(
        scene, _pictures(findings.arrays, "told", 0), COLUMNS, strict=False
    ):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_title(name, fontsize=9)
    axes: Any = parts[1].subplots(rows, columns)
    for row in range(rows):
        for column in range(columns):
            axis = axes[row, column]
            show_map(axis, maps[row, column], 0, float(maps[row].max()) or 1.0)
            axis.set_axis_off()
        axes[row, 0].set_axis_on()
        axes[row, 0].set_xticks([])
        axes[row, 0].set_yticks([])
        axes[row, 0].set_ylabel("first" if row == 0 else f"block {row}", fontsize=8)
    return figure


def scenes_figure(scenes: Sequence[Scene], size: int = 160) -> Figure:
    """Scenes over time, a row each; the pulled rectangle is blue, its point red."""
    rows, columns = len(scenes), len(scenes[0].poses)
    figure = Figure(figsize=(1.7 * columns, 1.7 * rows + 0.7), layout="constrained")
    figure.suptitle("one rectangle is pulled upwards at the red point", fontsize=12)
    axes = figure.subplots(rows, columns, squeeze=False)
    for row, scene in enumerate(scenes):
        for column, poses in enumerate(scene.poses):
            axis = axes[row, column]
            axis.imshow(_coloured(scene, poses, size), extent=(0, 1, 0, 1))
            axis.set_xticks([])
            axis.set_yticks([])
            if column == 0:
                axis.plot(*scene.point, "o", color=OFF, markersize=5, markeredgecolor="white")
            if row == 0:
                axis.set_title(f"t = {scene.times[column]:.3g}", fontsize=9)
    return figure


def _coloured(scene: Scene, poses: np.ndarray, size: int) -> np.ndarray:
    """Rectangles dark, the pulled one blue, on white."""
    pulled = np.arange(len(poses)) == scene.grabbed
    others, one = (1 - draw_scene(scene.sides[k], poses[k], size) for k in (~pulled, pulled))
    ink = np.array([0.75, 0.75, 0.75]), 1 - np.array(to_rgb(ON))
    return np.asarray((1 - others[..., None] * ink[0] - one[..., None] * ink[1]).clip(0, 1))

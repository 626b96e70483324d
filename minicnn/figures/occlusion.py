"""Figures of occlusion scans, after Zeiler and Fergus 2014, figure 6."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from minicnn.attribution.occlusion import Occluded
from minicnn.figures.axes import colour_bar, draw_box, folded, grid, show, show_map, show_signed

__all__ = ["occlusion_figure"]

LABEL_COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
"""Paul Tol's bright colours, which differ for colour-blind eyes; the last stands for the rest."""


def occlusion_figure(
    photo: np.ndarray,
    found: Occluded,
    target: int,
    names: Sequence[str],
    title: str,
    classes: bool = True,
) -> Figure:
    """The photo with its patch, the class's probability, the top label, and each watched map.

    Parameters
    ----------
    photo : numpy.ndarray, shape (H, W, 3)
        RGB in 0..1.
    found : Occluded
        The scan.
    target : int
        The class whose probability is drawn.
    names : sequence of str
        Of all classes; numbers stand where there are none.
    title : str
        Above all.
    classes : bool
        Whether the scores are those of classes.

    Returns
    -------
    matplotlib.figure.Figure
    """
    count = 1 + 2 * classes + len(found.watched)
    rows = -(-count // 4)
    figure, axes = grid(rows, -(-count // rows), title, cell=3.0)
    places = [axis for row in axes for axis in row]
    for axis in places[count:]:
        axis.axis("off")
    _show_patch(places[0], photo, found)
    rest = iter(places[1:count])
    if classes:
        axis = next(rest)
        values = found.probabilities(target)
        _draw(figure, axis, photo, found, values, "probability", "probability of the class")
        axis.set_xlabel(folded(f"{_name(names, target)}: clean {_clean(found, target):.3g}", 34),
                        fontsize=9)  # fmt: skip
        _draw_labels(next(rest), found, photo, names)
    for (one, (clean, values)), axis in zip(found.watched.items(), rest, strict=True):
        what = {"max": "strongest response", "sum": "sum of the map", "unit": "the unit"}[one.how]
        _draw(figure, axis, photo, found, values - clean, f"change of {what}", str(one), True)
        axis.set_xlabel(f"clean {clean:.3g}", fontsize=9)
    return figure


def _clean(found: Occluded, target: int) -> float:
    odds = np.exp(found.clean.astype(np.float64) - found.clean.max())
    return float(odds[target] / odds.sum())


def _name(names: Sequence[str], number: int) -> str:
    return names[number] if number < len(names) else f"class {number}"


def _show_patch(axis: Axes, photo: np.ndarray, found: Occluded) -> None:
    """The photo and, as a box, the patch at its middle position."""
    show(axis, photo)
    top, left = found.tops[len(found.tops) // 2], found.lefts[len(found.lefts) // 2]
    draw_box(axis, (int(top), int(left), int(top + found.patch[0]), int(left + found.patch[1])))
    axis.set_title("photo and patch", fontsize=11)
    axis.set_xlabel(
        f"{found.patch[0]}x{found.patch[1]} pixels, {found.scores.shape[0]}x"
        f"{found.scores.shape[1]} positions",
        fontsize=9,
    )


def _extent(found: Occluded) -> tuple[float, float, float, float]:
    """Where the map of positions lies over the photo: each position at its patch's centre."""
    ys, xs = found.tops + found.patch[0] / 2, found.lefts + found.patch[1] / 2
    down = (ys[-1] - ys[0]) / max(1, len(ys) - 1) / 2 or found.patch[0] / 2
    across = (xs[-1] - xs[0]) / max(1, len(xs) - 1) / 2 or found.patch[1] / 2
    return (xs[0] - across - 0.5, xs[-1] + across - 0.5, ys[-1] + down - 0.5, ys[0] - down - 0.5)


def _frame(axis: Axes, photo: np.ndarray) -> None:
    """Axes of the photo's size, the photo pale and grey behind."""
    grey = photo.mean(2, keepdims=True) * 0.35 + 0.6
    show(axis, np.repeat(grey, 3, axis=2))


def _draw(
    figure: Figure, axis: Axes, photo: np.ndarray, found: Occluded, values: np.ndarray,
    label: str, title: str,
    signed: bool = False,
) -> None:  # fmt: skip
    """A map of positions over the photo's frame."""
    _frame(axis, photo)
    shown = show_signed(axis, values) if signed else show_map(axis, values)
    shown.set_extent(_extent(found))
    axis.set(xlim=(-0.5, photo.shape[1] - 0.5), ylim=(photo.shape[0] - 0.5, -0.5))
    axis.set_title(folded(title, 34), fontsize=11)
    colour_bar(figure, shown, axis, label)


def _draw_labels(axis: Axes, found: Occluded, photo: np.ndarray, names: Sequence[str]) -> None:
    """Which class wins at each position; the commonest have colours of their own."""
    labels = found.labels()
    numbers, counts = np.unique(labels, return_counts=True)
    common = numbers[np.argsort(-counts, kind="stable")][: len(LABEL_COLOURS) - 1]
    index = np.full(labels.shape, len(common))
    for i, number in enumerate(common):
        index[labels == number] = i
    used = [*LABEL_COLOURS[: len(common)], LABEL_COLOURS[-1]]
    _frame(axis, photo)
    axis.imshow(
        index, cmap=ListedColormap(used), vmin=-0.5, vmax=len(used) - 0.5,
        interpolation="nearest", extent=_extent(found),
    )  # fmt: skip
    axis.set(xlim=(-0.5, photo.shape[1] - 0.5), ylim=(photo.shape[0] - 0.5, -0.5))
    axis.set_title("top label", fontsize=11)
    patches = [
        Patch(
            color=used[i], label=f"{folded(_name(names, int(n)), 24)} ({(labels == n).mean():.0%})"
        )
        for i, n in enumerate(common)
    ]
    if len(numbers) > len(common):
        patches.append(Patch(color=used[-1], label=f"{len(numbers) - len(common)} others"))
    axis.legend(
        handles=patches, loc="upper center", bbox_to_anchor=(0.5, -0.02), fontsize=8,
        frameon=False, ncols=1 if len(patches) < 4 else 2, handlelength=1,
    )  # fmt: skip

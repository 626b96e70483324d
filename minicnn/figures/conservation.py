"""Conservation drawn: how much of the relevance is left after each block, from scores to pixels."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from minicnn.attribution.conservation import Conservation
from minicnn.errors import InputError
from minicnn.figures.sanity import COLOURS, MARKERS, short_names

__all__ = ["conservation_figure"]

MOST_NAMES = 36
LONGEST = 20  # letters of a name


def conservation_figure(found: Sequence[Conservation], title: str) -> Figure:
    """One line a rule: what all signals on their way hold together, over what entered.

    Blocks that change it for no rule (activations, pooling, what only moves numbers) are left out.

    Parameters
    ----------
    found : sequence of Conservation
        For one network, photo and target: the same layers.
    title : str
        Above all.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is nothing to draw, the layers differ, or no relevance enters.
    """
    names = [[layer.name for layer in one.layers] for one in found]
    if not found or any(own != names[0] for own in names):
        raise InputError(
            "Conservation is drawn for one or more rules on the way down one network; got "
            + (f"{len(found)} that go through different layers." if found else "none.")
        )
    silent = [one.rule for one in found if one.start == 0]
    if silent:
        raise InputError(
            f"{', '.join(silent)}: the target's score is 0, so no relevance enters that could be "
            f"followed. Choose another target."
        )
    places = [
        i
        for i in range(len(names[0]))
        if any(abs(one.layers[i].lost) > 1e-5 * abs(one.start) for one in found)
    ]
    figure = Figure(figsize=(10.5, 6.6), layout="constrained")
    axis = figure.subplots()
    axis.set_title(title, fontsize=13)
    axis.axhline(1, color="0.5", linewidth=0.8, linestyle=":")
    axis.axhline(0, color="0.5", linewidth=0.8)
    for i, one in enumerate(found):
        left = [one.start, *(one.layers[place].total for place in places)]
        axis.plot(
            [value / one.start for value in left],
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            markersize=5,
            linestyle="-" if i < len(COLOURS) else "--",
            label=f"{one.rule}: {one.kept:.0%} arrives",
        )
    every = -(-(len(places) + 1) // MOST_NAMES)
    short = short_names([names[0][place] for place in places])
    labels = ["start", *(n if len(n) <= LONGEST else n[: LONGEST - 1] + "…" for n in short)]
    axis.set_xticks(range(0, len(labels), every), labels[::every])
    axis.tick_params("x", rotation=90 if len(labels) > 8 else 0, labelsize=9)
    axis.set_xlabel(f"below this block, from {found[0].at} down to the pixels")
    axis.set_ylabel("sum of relevance, over that at the top")
    axis.grid(color="0.9", linewidth=0.6)
    figure.legend(loc="outside lower center", ncols=min(3, len(found)), frameon=False)
    return figure

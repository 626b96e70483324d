"""The Swiss roll with a noise dimension: what PCA and t-SNE make of it.

    python examples/swiss_roll.py [--out examples/pictures/swiss_roll.png]

Points lie on a sheet rolled up in space; their colour says how far along the sheet they are. PCA,
being linear, looks at the roll from one side. t-SNE keeps neighbours together and so takes the
sheet for a band, torn here and there. Then a fourth coordinate is added that is nothing but noise.
As long as it is small beside the roll, little changes; as it grows to the size of the roll, PCA
takes it for the direction of largest variance, and in t-SNE neighbours along the sheet no longer
are neighbours. Features have no units of their own: their scales decide.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import make_swiss_roll

from minicnn import figures
from minicnn.look import embed

OUT = Path(__file__).parent / "pictures" / "swiss_roll.png"
POINTS = 800
SCALES = (0.0, 2.0, 20.0)  # standard deviation of the noise; the roll is about 25 wide


def noisy_roll(scale: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 4) and where along the sheet each lies (N,)."""
    roll, along = make_swiss_roll(POINTS, random_state=seed)
    noise = np.random.default_rng(seed).normal(0, scale, (POINTS, 1))
    return np.concatenate([roll, noise], axis=1), along


def draw() -> Figure:
    """The roll itself, and below each scale of the noise both embeddings."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    figure.suptitle(f"Swiss roll ({POINTS} points) and a coordinate of noise", fontsize=12)
    mosaic = [["roll", *(f"pca {s}" for s in SCALES)], ["roll", *(f"tsne {s}" for s in SCALES)]]
    axes = figure.subplot_mosaic(
        mosaic, width_ratios=(1.6, 1, 1, 1), per_subplot_kw={"roll": {"projection": "3d"}}
    )
    for scale in SCALES:
        points, along = noisy_roll(scale)
        for method, name in (("pca", "PCA"), ("tsne", "t-SNE, perplexity 30")):
            axis = axes[f"{method} {scale}"]
            found = embed(points, method, seed=0)
            axis.scatter(*found.points.T, c=along, s=4, cmap="viridis")
            axis.set(xticks=[], yticks=[], title=f"{name}\nnoise of deviation {scale:g}")
            axis.set_aspect("equal", adjustable="datalim")
            axis.title.set_fontsize(9)
    shown = axes["roll"].scatter(*points[:, :3].T, c=along, s=4, cmap="viridis")
    axes["roll"].view_init(elev=14, azim=-78)
    axes["roll"].set(xticks=[], yticks=[], zticks=[])
    axes["roll"].set_title("the three coordinates of the roll", fontsize=9)
    figure.colorbar(shown, ax=list(axes.values()), label="along the sheet", shrink=0.8, pad=0.01)
    return figure


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    figures.save(draw(), out, dpi=85)
    print(out)


if __name__ == "__main__":
    main()

"""Dropout on and off: how much of what is learned holds for other images?

With probability p each hidden unit is silenced, anew at every step, so no unit can rely on what one
other does. At evaluation all units speak. The setting in which it matters is `overfitting`'s.

Source: Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minicnn.studies.base import Findings, Setup, repeated
from minicnn.studies.curves import learn, measured, per_cent
from minicnn.studies.overfitting import A_CLASS, RECIPE, WRONG, mislabelled, wide_net

__all__ = ["dropout"]

PROBABILITIES = (0.0, 0.5)


def dropout(setup: Setup, repeats: int = 3) -> Findings:
    """Train the same net without dropout and with it, and follow both sets.

    Parameters
    ----------
    setup : Setup
        40 epochs by default.
    repeats : int
        Trainings of each, from different images, weights and order.

    Returns
    -------
    Findings
        Arrays: `p` (2), and `train_loss`, `train_accuracy`, `test_loss`, `test_accuracy`
        (2, repeats, epochs + 1).
    """
    test = measured(setup)
    recipe = replace(RECIPE, epochs=setup.epochs or RECIPE.epochs)

    def run(i: int, seed: int) -> dict[str, np.ndarray]:
        train = mislabelled(setup.few(A_CLASS, seed), WRONG, seed)
        net = wide_net(setup.shape, setup.classes, seed, PROBABILITIES[i])
        return learn(
            setup.placed(net), train, {"train": train, "test": test}, replace(recipe, seed=seed)
        )

    arrays = repeated(setup, "dropout", [f"p={p:g}" for p in PROBABILITIES], repeats, run)
    arrays["p"] = np.array(PROBABILITIES)
    rows = [
        [
            "off" if p == 0 else f"p = {p:g}",
            f"{arrays['train_loss'][i, :, -1].mean():.3f}",
            f"{arrays['test_loss'][i, :, -1].mean():.3f}",
            f"{arrays['test_loss'][i].min(axis=-1).mean():.3f}",
            per_cent(arrays["train_accuracy"][i, :, -1]),
            per_cent(arrays["test_accuracy"][i, :, -1]),
        ]
        for i, p in enumerate(PROBABILITIES)
    ]
    gaps = (arrays["test_loss"] - arrays["train_loss"])[:, :, -1].mean(axis=1)
    count = len(setup.few(A_CLASS))
    return Findings(
        "dropout",
        f"Dropout: {count} images of {setup.train.name}, {WRONG:.0%} of the labels at random",
        ("dropout", "train loss", "test loss", "lowest", "train accuracy", "test accuracy"),
        rows,
        arrays,
        (
            f"Over-fitting is the gap: test loss less train loss is {gaps[0]:.2f} without dropout, "
            f"{gaps[1]:.2f} with p = {PROBABILITIES[1]:g}.",
            "Train accuracy counts the random labels too: what is learned by heart.",
            "Test labels are right. Every curve is measured in evaluation, dropout off.",
        ),
    )

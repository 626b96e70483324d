"""MC dropout: how uncertain is a network, and about which images?

A network is trained with dropout and asked many times with dropout left on. If its uncertainty is
worth anything, it is wrong where it is uncertain: leaving out the most uncertain images must raise
the accuracy on the others.

Source: Gal and Ghahramani, ICML 2016; the measures stand in `uncertainty`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minicnn import nn
from minicnn.studies.base import Findings, Setup
from minicnn.studies.curves import measured
from minicnn.studies.uncertainty import mc_predict

__all__ = ["accuracy_kept", "mc_dropout", "small_net"]

RECIPE = nn.Recipe(epochs=40, batch=32, rate=0.05, decay=5e-4)
PASSES, SHOWN, A_CLASS, PROBABILITY = 50, 8, 20, 0.5
MEASURES = ("predictive_entropy", "mutual_information", "variation_ratio")
KEPT = np.linspace(0.5, 1.0, 26)


def small_net(shape: tuple[int, int, int], classes: int, seed: int, p: float) -> nn.Module:
    """LeNet with dropout before its last layer, drawn from the seed."""
    return nn.initialise(nn.LeNet(shape, classes, dropout=p), "he_normal", seed)


def mc_dropout(setup: Setup, passes: int = PASSES, p: float = PROBABILITY) -> Findings:
    """Train with dropout, ask many times, and see where the answers differ.

    Parameters
    ----------
    setup : Setup
        40 epochs by default, on up to 20 images a class.
    passes : int
        Runs with dropout on.
    p : float
        Probability of dropping a unit.

    Returns
    -------
    Findings
        Arrays: the three measures (N), `mean` and `variance` (N, classes), `right` (N), the most
        uncertain images `shown` with their `shown_mean`, `shown_deviation` and `shown_label`,
        `kept` (shares) and `kept_NAME` (accuracy on the least uncertain share by each measure).
    """
    train, test = setup.few(A_CLASS), measured(setup)
    model = setup.placed(small_net(setup.shape, setup.classes, setup.seed, p))
    recipe = replace(RECIPE, epochs=setup.epochs or RECIPE.epochs, seed=setup.seed)
    nn.fit(model, train, None, recipe)
    x = test.array()
    once = nn.predict(model, x).argmax(axis=1) == test.labels
    found = mc_predict(model, x, passes, setup.seed, track=setup.track)
    right = found.mean.argmax(axis=1) == test.labels
    measures = {name: getattr(found, name) for name in MEASURES}
    first = np.argsort(-found.mutual_information, kind="stable")[:SHOWN]
    arrays: dict[str, np.ndarray] = {
        **measures,
        "mean": found.mean,
        "variance": found.variance,
        "right": right,
        "shown": test.images[first],
        "shown_mean": found.mean[first],
        "shown_deviation": np.sqrt(found.variance[first]),
        "shown_label": test.labels[first],
        "classes": np.array(test.classes),
        "kept": KEPT,
        **{f"kept_{name}": accuracy_kept(values, right) for name, values in measures.items()},
    }
    rows = [_row(name, measures[name], right, arrays[f"kept_{name}"]) for name in MEASURES]
    return Findings(
        "mc-dropout",
        f"MC dropout: {passes} passes, p = {p:g}, {len(train)} training images of "
        f"{setup.train.name}",
        ("measure", "mean if right", "mean if wrong", "accuracy, all", "surest 90%", "surest 50%"),
        rows,
        arrays,
        (
            f"One pass without dropout is right for {once.mean():.1%}, the mean of {passes} "
            f"passes for {right.mean():.1%}.",
            "Predictive entropy is all uncertainty; mutual information the part that other "
            "weights would answer otherwise.",
        ),
    )


def _row(name: str, values: np.ndarray, right: np.ndarray, kept: np.ndarray) -> list[str]:
    wrong = f"{values[~right].mean():.3f}" if (~right).any() else "none wrong"
    at = {share: kept[np.argmin(abs(share - KEPT))] for share in (0.5, 0.9)}
    return [name.replace("_", " "), f"{values[right].mean():.3f}", wrong, f"{right.mean():.1%}",
            f"{at[0.9]:.1%}", f"{at[0.5]:.1%}"]  # fmt: skip


def accuracy_kept(values: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Accuracy on the least uncertain share of the images, for each share of `KEPT`."""
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(right[order])
    counts = np.maximum(np.round(KEPT * len(order)).astype(int), 1)
    return np.asarray(sums[counts - 1] / counts)

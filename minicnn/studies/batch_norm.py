"""Batch norm on and off: which learning rates still train?

Two nets that differ in nothing else learn from the same images at growing rates. Batch norm makes a
layer's output independent of the scale of its weights, and the gradient the smaller the larger
they are, so that a step too large makes the next one smaller instead of larger.

Sources: Ioffe and Szegedy 2015, sections 3.3 and 4.2; Santurkar et al. 2018, "How does batch
normalization help optimization?".
"""

from __future__ import annotations

from math import log

import numpy as np

from minicnn import nn
from minicnn.studies.base import Findings, Setup, repeated
from minicnn.studies.curves import learn, measured

__all__ = ["batch_norm"]

RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
A_CLASS = 60
PLAN = (16, 16, "M", 32, 32, "M", 64, 64)


def batch_norm(setup: Setup, rates: tuple[float, ...] = RATES) -> Findings:
    """Train with and without batch norm at every rate.

    Parameters
    ----------
    setup : Setup
        8 epochs by default.
    rates : tuple of float
        Learning rates, constant over a training, from small to large.

    Returns
    -------
    Findings
        Arrays: `rates` (R), `train_loss`, `train_accuracy`, `test_loss`, `test_accuracy`
        (2, R, epochs + 1), off before on, and `trains` (2, R), whether the loss fell below half of
        guessing's, log K for K `classes`.
    """
    train, test, epochs = setup.few(A_CLASS), measured(setup), setup.epochs or 8
    settings = [(on, rate) for on in (False, True) for rate in rates]

    def run(i: int, seed: int) -> dict[str, np.ndarray]:
        on, rate = settings[i]
        plain = nn.VGG(setup.shape, setup.classes, plan=PLAN, batch_norm=on)
        net = setup.placed(nn.initialise(plain, "he_normal", seed))
        recipe = nn.Recipe(
            epochs=epochs, batch=32, rate=rate, decay=0.0, schedule="constant", seed=seed
        )
        return learn(net, train, {"train": train, "test": test}, recipe)

    names = [f"{'on' if on else 'off'}, rate {rate:g}" for on, rate in settings]
    found = repeated(setup, "batch-norm", names, 1, run)
    arrays = {name: a.reshape(2, len(rates), -1) for name, a in found.items()}
    with np.errstate(invalid="ignore"):
        trains = arrays["train_loss"][..., -1] < log(setup.classes) / 2
    arrays |= {"rates": np.array(rates), "trains": trains, "classes": np.array(setup.classes)}
    rows = [
        [f"{rate:g}", *(_outcome(arrays, on, i) for on in (0, 1))] for i, rate in enumerate(rates)
    ]
    largest = [max((r for r, good in zip(rates, own) if good), default=None) for own in trains]
    words = ["none" if rate is None else f"{rate:g}" for rate in largest]
    return Findings(
        "batch-norm",
        f"Batch norm: {len(train)} images of {train.name}, six convolutions, {epochs} epochs",
        ("rate", "off: train loss, test accuracy", "on: train loss, test accuracy"),
        rows,
        arrays,
        (
            f"Largest rate that still trains: {words[0]} without batch norm, {words[1]} with it.",
            f"Trains: a loss below half of guessing's, log {setup.classes} = "
            f"{log(setup.classes):.2f}. SGD with momentum 0.9, He initialisation in both.",
        ),
    )


def _outcome(arrays: dict[str, np.ndarray], on: int, i: int) -> str:
    loss, accuracy = arrays["train_loss"][on, i, -1], arrays["test_accuracy"][on, i, -1]
    return f"{loss:.3f}, {accuracy:.1%}" if np.isfinite(loss) else "diverged"

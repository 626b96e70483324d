"""Dead units: how many ReLUs fire for no training image, epoch by epoch?

A step too large can push a unit's bias and weights to where no image brings it above zero. Its
gradient is then zero for all of them: it does not come back. A channel of a map counts as one unit,
which fires if it does anywhere.

Source: Maas et al. 2013, "Rectifier nonlinearities improve neural network acoustic models"; Lu et
al. 2020, "Dying ReLU and initialization".
"""

from __future__ import annotations

import numpy as np

from minicnn import nn
from minicnn.data import Dataset
from minicnn.nn.module import evaluating
from minicnn.studies.base import Findings, Setup, repeated
from minicnn.studies.curves import learn, measured, per_cent
from minicnn.tensor import Tensor, no_grad

__all__ = ["dead_shares", "dead_units"]

RATES = (0.003, 0.02, 0.1)
A_CLASS = 100
BATCH = 256


def dead_shares(model: nn.Module, samples: Dataset) -> dict[str, float]:
    """Share of each ReLU's units that fire for none of the samples, by path, as first met.

    The model runs in evaluation, so that nothing of it changes, and is left in the mode it was in.

    Examples
    --------
    >>> from minicnn import data
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU())
    >>> net[1].bias.data[:] = [-1e6, 0, 0, 0]
    >>> dead_shares(net, data.read("digits", "test"))
    {'2': 0.25}
    """
    fires: dict[str, np.ndarray] = {}
    paths = {id(module): path for path, module in model.named_modules()}

    def watch(module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        y = module.forward(*inputs)
        if isinstance(module, nn.ReLU):
            rest = (0, *range(2, y.data.ndim))
            path = paths[id(module)]
            fires[path] = fires.get(path, False) | (y.numpy() > 0).any(axis=rest)
        return y

    with evaluating(model), nn.around(watch), no_grad():
        for start in range(0, len(samples), BATCH):
            x = samples.array(slice(start, start + BATCH))
            model(Tensor(x, device=model.device))
    return {path: float(1 - alive.mean()) for path, alive in fires.items()}


def dead_units(setup: Setup, rates: tuple[float, ...] = RATES) -> Findings:
    """Train LeNet at a sound rate, a larger and a too large one, and count.

    Parameters
    ----------
    setup : Setup
        12 epochs by default.
    rates : tuple of float
        Learning rates, constant over a training.

    Returns
    -------
    Findings
        Arrays: `rates` (R), `layers` (L), `dead` (R, epochs + 1, L), and `train_loss`,
        `train_accuracy`, `test_loss`, `test_accuracy` (R, epochs + 1).
    """
    train, test, epochs = setup.few(A_CLASS), measured(setup), setup.epochs or 12
    layers = [path for path, m in nn.LeNet(setup.shape).named_modules() if isinstance(m, nn.ReLU)]

    def run(i: int, seed: int) -> dict[str, np.ndarray]:
        dead = np.full((epochs + 1, len(layers)), np.nan)

        def count(model: nn.Module, done: int) -> None:
            shares = dead_shares(model, train)
            dead[done] = [shares[layer] for layer in layers]

        net = nn.initialise(nn.LeNet(setup.shape, setup.classes), "he_normal", seed)
        recipe = nn.Recipe(
            epochs=epochs, batch=32, rate=rates[i], decay=0.0, schedule="constant", seed=seed
        )
        return {
            **learn(setup.placed(net), train, {"train": train, "test": test}, recipe, count),
            "dead": dead,
        }

    found = repeated(setup, "dead-units", [f"rate {rate:g}" for rate in rates], 1, run)
    arrays = {name: array[:, 0] for name, array in found.items()}
    arrays |= {"rates": np.array(rates), "layers": np.array(layers)}
    rows = []
    for i, rate in enumerate(rates):
        there = np.flatnonzero(np.isfinite(arrays["dead"][i, :, 0]))[-1]
        rows.append([
            f"{rate:g}", *(f"{share:.0%}" for share in arrays["dead"][i, there]),
            f"{arrays['train_loss'][i, there]:.3f}", per_cent(arrays["test_accuracy"][i, there]),
            "" if there == epochs else f"diverged in epoch {there + 1}",
        ])  # fmt: skip
    return Findings(
        "dead-units",
        f"Dead units: LeNet on {len(train)} images of {train.name}",
        ("rate", *(f"dead in {layer}" for layer in layers), "train loss", "test accuracy", ""),
        rows,
        arrays,
        (
            "Dead: fires for no training image, so its gradient is zero and it stays as it is, "
            "unless layers below change what it reads.",
            "SGD with momentum 0.9, no decay. A map's channel counts as one unit.",
        ),
    )

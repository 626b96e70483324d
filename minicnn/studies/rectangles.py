"""Dynamics: can a network predict where pushed rectangles come to rest?

Fleuret's network sees the grabbing point and the start as pictures and draws the result. Its error
is compared with that of a predictor that says "nothing moves", and every prediction is ranked.

Source: F. Fleuret, "Predicting the dynamics of 2d objects with a deep residual network",
arXiv:1610.04032, 2016.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minicnn import nn
from minicnn.data import Pairs
from minicnn.data.rectangles import generate
from minicnn.errors import InputError
from minicnn.nn import Module, around
from minicnn.studies.base import Findings, Setup
from minicnn.tensor import Tensor, no_grad

__all__ = ["block_activations", "drawn", "dynamics", "findings", "ink", "ranked"]

RECIPE = nn.Recipe(epochs=10, batch=16, optimiser="adam", rate=2e-3, decay=0.0, clip=1.0)
TRAIN, TEST, SIZE = 512, 128, 32
SIDES = (64, 32, 16)
SHOWN = 4


def dynamics(setup: Setup, train: int = TRAIN, test: int = TEST, size: int = SIZE) -> Findings:
    """Train a small case, at half the paper's resolution; see `examples/rectangles.py` for more.

    Parameters
    ----------
    setup : Setup
        10 epochs by default; its images are not looked at.
    train, test : int
        Scenes to learn from, and others.
    size : int
        Pixels of a side: 64, 32 or 16.

    Raises
    ------
    InputError
        If it is another size.
    """
    if size not in SIDES:
        raise InputError(f"size={size}: pictures have {', '.join(map(str, SIDES))} pixels a side.")
    x, y = ink(*generate(train + test, setup.seed, track=setup.track), size)
    recipe = replace(RECIPE, epochs=setup.epochs or RECIPE.epochs, seed=setup.seed)
    model = setup.placed(drawn(setup.seed))
    source, held = Pairs(x[:train], y[:train], recipe.batch, recipe.seed), (x[train:], y[train:])
    history = nn.fit(model, source, held, recipe, objective=nn.Regression(),
                     checkpoint=setup.checkpoint)  # fmt: skip
    return findings(model, history, *held, count=train)


def drawn(seed: int) -> Module:
    """Fleuret's network drawn from a seed; weights are half as large, as its blocks add up."""
    return nn.initialise(nn.DynamicsNet(), "he_normal", seed, gain=0.5)


def ink(x: np.ndarray, y: np.ndarray, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Pictures as ink on nothing (0 is paper), their pixels averaged to a smaller side."""
    step = x.shape[-1] // size

    def smaller(pictures: np.ndarray) -> np.ndarray:
        count, channels = pictures.shape[:2]
        cells = (1 - pictures).reshape(count, channels, size, step, size, step)
        return np.ascontiguousarray(cells.mean(axis=(3, 5), dtype=np.float32))

    return smaller(x), smaller(y)


def findings(
    model: Module, history: nn.History, x: np.ndarray, y: np.ndarray, count: int
) -> Findings:
    """What a trained network makes of scenes that it does not know."""
    predicted = nn.predict(model, x)
    order, errors = ranked(predicted, y)
    still = ((x[:, 1:] - y) ** 2).mean(axis=(1, 2, 3))  # "nothing moves"
    shown = np.concatenate([order[:SHOWN], order[-SHOWN:]])
    told = [int((still - errors).argmax())]  # the scene where the network knows most
    rows = [
        [name, f"{values.mean():.5f}", f"{np.median(values):.5f}", f"{values.max():.5f}"]
        for name, values in (("network", errors), ("nothing moves", still))
    ]
    return Findings(
        "dynamics",
        f"Rectangles: {count:,} scenes learned, {len(x):,} others predicted",
        ("predictor", "mean squared error", "median", "worst"),
        rows,
        {
            "error": errors,
            "still": still,
            "best_and_worst": shown,
            "shown_input": x[shown],
            "shown_truth": y[shown],
            "shown_prediction": predicted[shown],
            "told_input": x[told],
            "told_truth": y[told],
            "told_prediction": predicted[told],
            "activations": block_activations(model, x[told]),
            "train_loss": history.column("loss"),
            "test_loss": history.column("valid_loss"),
        },
        (
            f"The network's mean error is {errors.mean() / still.mean():.0%} of what saying "
            f"'nothing moves' costs; it is the better one in {(errors < still).mean():.0%} of the "
            f"scenes.",
        ),
    )


def ranked(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scenes from the best prediction to the worst, and the mean squared error of each."""
    errors = ((predicted - truth) ** 2).mean(axis=(1, 2, 3), dtype=np.float64)
    return np.argsort(errors, kind="stable"), errors


def block_activations(model: Module, x: np.ndarray) -> np.ndarray:
    """What the first layer and each residual block give for one scene, (blocks + 1, C, H, W)."""
    wanted = {id(module) for module in (model.relu_in, *model.blocks)}  # type: ignore[attr-defined]
    found: list[np.ndarray] = []

    def watch(module: Module, inputs: tuple[object, ...]) -> object:
        y = module.forward(*inputs)
        if id(module) in wanted:
            found.append(y.numpy()[0])
        return y

    with around(watch), no_grad():
        model.eval()(Tensor(x, device=model.device))
    return np.stack(found)

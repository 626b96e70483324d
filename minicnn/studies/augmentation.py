"""Augmentation on and off: what are images worth that were not taken but could have been?

The same small net learns from few images of each class, as they are and shifted, turned and scaled
anew every epoch. What a net has to be told by images, shifts say for nothing; the fewer images, the
more they help.

Source: LeCun et al. 1998, section II.C (distorted digits); Simard et al. 2003, "Best practices for
convolutional neural networks".
"""

from __future__ import annotations

import numpy as np

from minicnn import nn
from minicnn.data import Augment
from minicnn.studies.base import Findings, Setup, repeated
from minicnn.studies.curves import learn, measured, per_cent

__all__ = ["augmentation", "changes"]

SIZES = (5, 10, 20, 40)  # images of each class


def changes(shape: tuple[int, int, int]) -> Augment:
    """Changes that leave an image's class as it is: shifts of a fourteenth of the side, 10 degrees,
    a tenth in size; mirrored too where there are colours, since digits have none.

    Examples
    --------
    >>> changes((1, 28, 28))
    Augment(shift=2, rotate=10, scale=0.1, flip=False, cutout=0, fill='zero')
    """
    channels, height, _ = shape
    return Augment(shift=max(1, height // 14), rotate=10, scale=0.1, flip=channels == 3)


def augmentation(setup: Setup, repeats: int = 3) -> Findings:
    """Train with and without augmentation on growing training sets.

    Parameters
    ----------
    setup : Setup
        40 epochs by default.
    repeats : int
        Trainings of each, from different images, weights and order.

    Returns
    -------
    Findings
        Arrays: `sizes` (S), images of each class, and `train_loss`, `train_accuracy`, `test_loss`,
        `test_accuracy` (S, 2, repeats, epochs + 1), off before on.
    """
    test, epochs, augment = measured(setup), setup.epochs or 40, changes(setup.shape)
    most = len(setup.few(max(SIZES))) // setup.classes
    sizes = sorted({min(size, most) for size in SIZES})
    settings = [(size, on) for size in sizes for on in (False, True)]

    def run(i: int, seed: int) -> dict[str, np.ndarray]:
        size, on = settings[i]
        train = setup.few(size, seed)
        net = nn.initialise(
            nn.LeNet(setup.shape, setup.classes, maps=(8, 16), units=64), "he_normal", seed
        )
        recipe = nn.Recipe(
            epochs=epochs, batch=20, optimiser="adam", rate=2e-3, decay=0.0, schedule="cosine",
            augment=augment if on else None, seed=seed,
        )  # fmt: skip
        return learn(net, train, {"train": train, "test": test}, recipe)

    names = [f"{size} a class, {'on' if on else 'off'}" for size, on in settings]
    found = repeated(setup, "augmentation", names, repeats, run)
    arrays = {name: a.reshape(len(sizes), 2, *a.shape[1:]) for name, a in found.items()}
    last = arrays["test_accuracy"][..., -1]  # (S, 2, repeats)
    rows = [
        [str(size), per_cent(last[i, 0]), per_cent(last[i, 1]),
         f"{1 - (1 - last[i, 1].mean()) / max(1 - last[i, 0].mean(), 1e-9):.0%}"]
        for i, size in enumerate(sizes)
    ]  # fmt: skip
    arrays["sizes"] = np.array(sizes)
    return Findings(
        "augmentation",
        f"Augmentation: few images of {setup.train.name}",
        ("images a class", "off", "on", "errors avoided"),
        rows,
        arrays,
        (
            f"Accuracy on {len(test)} test images, mean and standard deviation of {repeats}.",
            f"Changes: shifts up to {augment.shift} pixel{'s' * (augment.shift > 1)}, turns up to "
            f"{augment.rotate:g} degrees, scaling up to {augment.scale:.0%}"
            f"{', mirroring' if augment.flip else ''}; as many steps with as without.",
        ),
    )

"""Augmentation on and off: what are images worth that were not taken but could have been?

The same small net learns from few images of each class, as they are and shifted, turned and scaled
anew every epoch. What a net has to be told by images, shifts say for nothing; the fewer images, the
more they help. That holds for changes which new images show too. Images so small that the subject
fills them, such as scikit-learn's digits, are therefore first put at random places of a frame.

Source: LeCun et al. 1998, section II.C (distorted digits); Simard et al. 2003, "Best practices for
convolutional neural networks".
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minicnn import nn
from minicnn.data import Augment, Dataset
from minicnn.studies.base import Findings, Setup, repeated
from minicnn.studies.curves import learn, measured, per_cent

__all__ = ["augmentation", "changes", "framed"]

SIZES = (5, 10, 20)  # images of each class
SMALL, MARGIN = 16, 1  # images of fewer pixels a side get a frame this wide


def changes(shape: tuple[int, int, int]) -> Augment:
    """Changes that leave an image's class as it is: shifts of 1 or 2 pixels, turns of 10
    degrees, a tenth in size; mirrored too where there are colours, since digits have none.

    Examples
    --------
    >>> changes((1, 28, 28))
    Augment(shift=2, rotate=10, scale=0.1, flip=False, cutout=0, fill='zero')
    """
    return Augment(
        shift=1 if max(shape[1:]) < SMALL else 2, rotate=10, scale=0.1, flip=shape[0] == 3
    )


def framed(dataset: Dataset, margin: int, seed: int) -> Dataset:
    """Every image at a random place of a frame larger by `margin` pixels on each side, else 0."""
    count, channels, height, width = dataset.images.shape
    size = (count, channels, height + 2 * margin, width + 2 * margin)
    images = np.zeros(size, dataset.images.dtype)
    places = np.random.default_rng(seed).integers(2 * margin + 1, size=(count, 2))
    for image, own, (top, left) in zip(images, dataset.images, places, strict=True):
        image[:, top : top + height, left : left + width] = own
    return replace(dataset, images=images)


def augmentation(setup: Setup, repeats: int = 3) -> Findings:
    """Train with and without augmentation on growing training sets.

    Parameters
    ----------
    setup : Setup
        30 epochs by default.
    repeats : int
        Trainings of each, from different images, weights and order.

    Returns
    -------
    Findings
        Arrays: `sizes` (S), images of each class, and `train_loss`, `train_accuracy`, `test_loss`,
        `test_accuracy` (S, 2, repeats, epochs + 1), off before on.
    """
    small = max(setup.shape[1:]) < SMALL
    if small:
        setup = replace(
            setup,
            train=framed(setup.train, MARGIN, setup.seed),
            test=framed(setup.test, MARGIN, setup.seed + 1),
        )
    test, epochs, augment = measured(setup), setup.epochs or 30, changes(setup.shape)
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
            epochs=epochs, batch=10, optimiser="adam", rate=2e-3, decay=0.0, schedule="cosine",
            augment=augment if on else None, seed=seed,
        )  # fmt: skip
        return learn(setup.placed(net), train, {"train": train, "test": test}, recipe)

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
    side = f"{test.images.shape[2]}x{test.images.shape[3]}"
    framing = (f"All images are put at random places of a frame of {side} first.",) * small
    return Findings(
        "augmentation",
        f"Augmentation: few images of {setup.train.name}",
        ("images a class", "off", "on", "fewer errors by"),
        rows,
        arrays,
        (
            f"Accuracy on {len(test)} test images, mean and standard deviation of {repeats}.",
            f"Changes: shifts up to {augment.shift} px, turns up to {augment.rotate:g} degrees, "
            f"scaling up to {augment.scale:.0%}{', mirroring' if augment.flip else ''}; as many "
            f"steps with as without.",
            *framing,
        ),
    )

"""Early stopping: where would a training have been best, and how does one know at the time?

After every epoch the loss on images held out is measured. Once it has found no new minimum for some
epochs, the patience, the training stops and the weights of the minimum come back. The test images
take no part in that; they say what was gained. The setting is `overfitting`'s.

Source: Prechelt 1998, "Early stopping - but when?".
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minicnn import nn
from minicnn.studies.base import Findings, Setup, repeated
from minicnn.studies.curves import learn, measured, per_cent
from minicnn.studies.overfitting import A_CLASS, RECIPE, WRONG, mislabelled, wide_net

__all__ = ["early_stopping"]

HELD = 0.25


def early_stopping(setup: Setup, repeats: int = 3, patience: int = 8) -> Findings:
    """Train to the end and, from the same start, with early stopping.

    Parameters
    ----------
    setup : Setup
        40 epochs by default.
    repeats : int
        Trainings, from different images, weights and order.
    patience : int
        Epochs without a smaller loss held out after which a training stops.

    Returns
    -------
    Findings
        Arrays: `train_loss`, `held_loss`, `test_loss` and accuracies (repeats, epochs + 1) of the
        training that runs on; `best` and `stop`, epochs, `restored_loss` and `restored_accuracy`
        on the test images of the one that stops (repeats).
    """
    test = measured(setup)
    recipe = replace(RECIPE, epochs=setup.epochs or RECIPE.epochs)

    def run(i: int, seed: int) -> dict[str, np.ndarray]:
        train = mislabelled(setup.few(A_CLASS, seed), WRONG, seed)
        learned, held = train.split(HELD, seed)
        own = replace(recipe, seed=seed)
        net = setup.placed(wide_net(setup.shape, setup.classes, seed))
        curves = learn(net, learned, {"train": learned, "held": held, "test": test}, own)
        net = setup.placed(wide_net(setup.shape, setup.classes, seed))
        history = nn.fit(net, learned, held, replace(own, patience=patience))
        restored = nn.evaluate(net, test)
        return {
            **curves,
            "best": np.array(history.best),
            "stop": np.array(history.last.number),
            "restored_loss": np.array(restored.loss),
            "restored_accuracy": np.array(restored.score),
        }

    found = repeated(setup, "early-stopping", [f"patience {patience}"], repeats, run)
    arrays = {name: array[0] for name, array in found.items()}
    rows = [
        [
            str(setup.seed + repeat), str(arrays["best"][repeat]),
            _stopped(arrays["stop"][repeat], arrays["best"][repeat], patience),
            f"{arrays['restored_loss'][repeat]:.3f}", f"{arrays['test_loss'][repeat, -1]:.3f}",
            f"{arrays['restored_accuracy'][repeat]:.1%}",
            f"{arrays['test_accuracy'][repeat, -1]:.1%}",
        ]
        for repeat in range(repeats)
    ]  # fmt: skip
    share = arrays["stop"].mean() / recipe.epochs
    return Findings(
        "early-stopping",
        f"Early stopping: {len(setup.few(A_CLASS))} images of {setup.train.name}, "
        f"{WRONG:.0%} of the labels at random",
        ("seed", "best epoch", "stopped", "test loss: restored", f"after {recipe.epochs}",
         "test accuracy: restored", f"after {recipe.epochs}"),
        rows,
        arrays,
        (
            f"Gained on the test images: {per_cent(arrays['restored_accuracy'])} "
            f"instead of {per_cent(arrays['test_accuracy'][:, -1])}, in {share:.0%} of the epochs.",
            f"{HELD:.0%} of the images are held out; patience {patience} epochs. Their labels are "
            f"as often wrong, so their loss is higher than the test's.",
        ),
    )  # fmt: skip


def _stopped(stop: int, best: int, patience: int) -> str:
    """The epoch after which a training stopped, if its patience ended."""
    return str(stop) if stop - best >= patience else "not at all"

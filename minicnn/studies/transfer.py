"""Transfer: what are features learned elsewhere worth, by the size of the training set?

A network learns one half of the classes. The other half is then learned from few images, five ways:

    pixels     logistic regression on the images themselves
    features   logistic regression on what the frozen convolutions give
    top        the linear layers are trained on, the convolutions stay frozen
    all        everything is trained on, from where it is
    scratch    the same network from random weights

`recycled` does the second with any network, `nn.Pretrained` trains any on. Images of 8x8 pixels
have little that a first half could teach: there the pixels do as well. On MNIST features lead.

Source: Donahue et al. 2014, "DeCAF"; Yosinski et al. 2014, "How transferable are features in deep
neural networks?".
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minicnn import nn
from minicnn.data import Dataset
from minicnn.errors import InputError
from minicnn.network import Network
from minicnn.studies.base import Findings, Setup, repeated
from minicnn.studies.curves import per_cent

__all__ = ["WAYS", "halves", "recycled", "transfer"]

WAYS = ("pixels", "features", "top", "all", "scratch")
SIZES = (1, 2, 5, 10, 20, 50)
SOURCE = nn.Recipe(epochs=15, batch=32, rate=0.05)
TARGET = nn.Recipe(batch=16, rate=0.02)
STEPS = 150  # of learning the new classes, whatever the number of images
MOST_SOURCE = 500  # images a class that the first half is learned from
MOST_TEST = 2000


def transfer(
    setup: Setup, repeats: int = 3, sizes: tuple[int, ...] = SIZES, steps: int = STEPS
) -> Findings:
    """Learn one half of the classes, then the other half from few images, five ways.

    Parameters
    ----------
    setup : Setup
        The first half is learned for 15 epochs by default.
    repeats : int
        Choices of the few images, and of random weights.
    sizes : sequence of int
        Images a class; sizes that the data do not have are left out.
    steps : int
        Of gradient descent on the new classes.

    Returns
    -------
    Findings
        Arrays: `sizes`, `ways`, `accuracy` (ways, sizes, repeats) on the new classes.
    """
    if setup.classes < 4:
        raise InputError(
            f"{setup.train.name} has {setup.classes} classes; transfer between halves needs 4."
        )
    source, target = halves(setup.train)
    test = halves(setup.test)[1].sample(MOST_TEST, setup.seed)
    fewest = int(np.bincount(target.labels, minlength=len(target.classes)).min())
    sizes = tuple(size for size in sizes if size <= fewest)
    learned = _pretrained(setup, source)
    pairs = [(way, size) for way in WAYS for size in sizes]

    def run(i: int, seed: int) -> dict[str, np.ndarray]:
        way, size = pairs[i]
        few = target.balanced(size, seed)
        return {"accuracy": np.array(_accuracy(way, learned, few, test, seed, steps))}

    names = [f"{way}, {size} a class, {steps} steps" for way, size in pairs]
    found = repeated(setup, "transfer", names, repeats, run)["accuracy"]
    accuracy = found.reshape(len(WAYS), len(sizes), repeats)
    rows = [
        [str(size), *(per_cent(accuracy[w, s]) for w in range(len(WAYS)))]
        for s, size in enumerate(sizes)
    ]
    means = dict(zip(WAYS, accuracy.mean(axis=2), strict=True))
    gained = means["all"] - means["scratch"]
    return Findings(
        "transfer",
        f"Transfer on {setup.train.name}: from {_listed(source)} to {_listed(target)}",
        ("images a class", "pixels", "frozen features", "top", "all", "from scratch"),
        rows,
        {"sizes": np.array(sizes), "ways": np.array(WAYS), "accuracy": accuracy},
        (
            f"What the first half is worth, training everything on against training from scratch: "
            f"{100 * gained[0]:+.1f} points with {_images(sizes[0])}, {100 * gained[-1]:+.1f} with "
            f"{_images(sizes[-1])}.",
            "Test images are of the new classes alone.",
        ),
    )


def halves(dataset: Dataset) -> tuple[Dataset, Dataset]:
    """Images of the first half of the classes, and of the second, numbered anew."""
    middle = len(dataset.classes) // 2
    first, second = dataset.labels < middle, dataset.labels >= middle
    lower, upper = dataset.subset(first), dataset.subset(second)
    return (
        replace(lower, classes=dataset.classes[:middle]),
        replace(upper, labels=upper.labels - middle, classes=dataset.classes[middle:]),
    )


def _pretrained(setup: Setup, source: Dataset) -> nn.Module:
    """A LeNet that knows the first half."""
    smallest = int(np.bincount(source.labels).min())
    source = source.balanced(min(smallest, MOST_SOURCE), setup.seed)
    model = nn.initialise(nn.LeNet(setup.shape, len(source.classes)), seed=setup.seed)
    setup.placed(model)
    recipe = replace(SOURCE, epochs=setup.epochs or SOURCE.epochs, seed=setup.seed)
    nn.fit(model, source, None, recipe)
    return model


def _accuracy(
    way: str, learned: nn.Module, few: Dataset, test: Dataset, seed: int, steps: int
) -> float:
    """Accuracy on the new classes, learned one way from few images."""
    shape = (few.images.shape[1], few.images.shape[2], few.images.shape[3])
    if way == "pixels":
        return recycled(None, few, test)
    if way == "features":
        return recycled(learned.network(shape).cut(outputs="pool2"), few, test)
    model = nn.initialise(nn.LeNet(shape, len(few.classes)), seed=seed).to(learned.device)
    if way != "scratch":
        own = model.state_dict()
        known = {n: a for n, a in learned.state_dict().items() if not n.startswith("fc2")}
        model.load_state_dict({**own, **known})
    if way == "top":
        for name in ("conv1", "conv2"):
            model.children()[name].requires_grad(False)
    batch = min(TARGET.batch, len(few))
    epochs = max(1, round(steps / max(1, len(few) // batch)))
    recipe = replace(TARGET, batch=batch, epochs=epochs, seed=seed)
    nn.fit(model, few, None, recipe)
    return nn.evaluate(model, test).score


def recycled(features: Network | None, few: Dataset, test: Dataset) -> float:
    """Accuracy of logistic regression on what a network gives, or on the pixels.

    Parameters
    ----------
    features : Network or None
        Loaded or traced, and cut where its features are taken: `network.cut(outputs="pool2")`. It
        takes images as `array` of the data gives them.
    few, test : Dataset
        What is learned from, and what the accuracy is of.

    Examples
    --------
    >>> from minicnn import data
    >>> train, test = data.read("digits"), data.read("digits", "test")
    >>> recycled(None, train.balanced(20, seed=0), test) > 0.85
    True
    """
    from sklearn.linear_model import LogisticRegression

    images = [one.array() for one in (few, test)]
    found = images if features is None else [nn.predict(features, x) for x in images]
    learned_on, tested_on = (np.asarray(one).reshape(len(one), -1) for one in found)
    # one scale for all features: those of each would be guessed from a handful of images
    scale = learned_on.std() or 1.0
    classifier = LogisticRegression(max_iter=2000).fit(learned_on / scale, few.labels)
    return float(classifier.score(tested_on / scale, test.labels))


def _images(size: int) -> str:
    return f"{size} image a class" if size == 1 else f"{size} images a class"


def _listed(dataset: Dataset) -> str:
    names = dataset.classes
    return f"{names[0]}-{names[-1]}" if len(names) > 3 else ", ".join(names)

"""Transfer: what are features learned elsewhere worth, by the size of the training set?

A network learns one half of the classes. The other half is then learned from few images, four ways:

    features   the frozen network up to its last hidden layer, then logistic regression on top
    top        the linear layers are trained on, the convolutions stay frozen
    all        everything is trained on, from where it is
    scratch    the same network from random weights

Source: Donahue et al. 2014, "DeCAF"; Yosinski et al. 2014, "How transferable are features in deep
neural networks?".
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minicnn import nn
from minicnn.data import Dataset
from minicnn.errors import InputError
from minicnn.studies.base import Findings, Setup, repeated
from minicnn.studies.curves import per_cent

__all__ = ["WAYS", "halves", "transfer"]

WAYS = ("features", "top", "all", "scratch")
SIZES = (1, 2, 5, 10, 20, 50)
SOURCE = nn.Recipe(epochs=15, batch=32, rate=0.05)
TARGET = nn.Recipe(batch=16, rate=0.02, schedule="cosine")
STEPS = 150  # of learning the new classes, whatever the number of images
MOST_SOURCE = 500  # images a class that the first half is learned from
MOST_TEST = 2000
RATES = {"top": 0.02, "all": 0.02, "scratch": 0.05}


def transfer(
    setup: Setup, repeats: int = 3, sizes: tuple[int, ...] = SIZES, steps: int = STEPS
) -> Findings:
    """Learn one half of the classes, then the other half from few images, four ways.

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
    test = halves(setup.test)[1]
    test = test.subset(slice(0, MOST_TEST))
    fewest = int(np.bincount(target.labels, minlength=len(target.classes)).min())
    sizes = tuple(size for size in sizes if size <= fewest)
    learned = _pretrained(setup, source)
    pairs = [(way, size) for way in WAYS for size in sizes]

    def run(i: int, seed: int) -> dict[str, np.ndarray]:
        way, size = pairs[i]
        few = target.balanced(size, seed)
        return {"accuracy": np.array(_accuracy(way, learned, few, test, seed, steps))}

    names = [f"{way}, {size} a class" for way, size in pairs]
    found = repeated(setup, "transfer", names, repeats, run)["accuracy"]
    accuracy = found.reshape(len(WAYS), len(sizes), repeats)
    rows = [
        [str(size), *(per_cent(accuracy[w, s]) for w in range(len(WAYS)))]
        for s, size in enumerate(sizes)
    ]
    gain = accuracy.mean(axis=2)
    return Findings(
        "transfer",
        f"Transfer on {setup.train.name}: from {_listed(source)} to {_listed(target)}",
        ("images a class", "features + classifier", "top", "all", "from scratch"),
        rows,
        {"sizes": np.array(sizes), "ways": np.array(WAYS), "accuracy": accuracy},
        (
            f"With {sizes[0]} image a class, recycled features give {gain[0, 0]:.1%}, training "
            f"from scratch {gain[3, 0]:.1%}; with {sizes[-1]}, {gain[0, -1]:.1%} and "
            f"{gain[3, -1]:.1%}.",
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
    recipe = replace(SOURCE, epochs=setup.epochs or SOURCE.epochs, seed=setup.seed)
    nn.fit(model, source, None, recipe)
    return model


def _accuracy(
    way: str, learned: nn.Module, few: Dataset, test: Dataset, seed: int, steps: int
) -> float:
    """Accuracy on the new classes, learned one way from few images."""
    shape = (few.images.shape[1], few.images.shape[2], few.images.shape[3])
    if way == "features":
        return _by_classifier(learned, few, test)
    model = nn.initialise(nn.LeNet(shape, len(few.classes)), seed=seed)
    if way != "scratch":
        own = model.state_dict()
        known = {n: a for n, a in learned.state_dict().items() if not n.startswith("fc2")}
        model.load_state_dict({**own, **known})
    if way == "top":
        for layer in (model.conv1, model.conv2):
            layer.requires_grad(False)
    batch = min(TARGET.batch, len(few))
    epochs = max(1, round(steps / max(1, len(few) // batch)))
    recipe = replace(TARGET, batch=batch, epochs=epochs, rate=RATES[way], seed=seed)
    nn.fit(model, few, None, recipe)
    return nn.evaluate(model, test).score


def _by_classifier(learned: nn.Module, few: Dataset, test: Dataset) -> float:
    """Logistic regression on what the last hidden layer gives."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = learned.network(few.images.shape[1:]).cut(outputs="relu3")
    found = [nn.predict(features, one.array()) for one in (few, test)]
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(found[0], few.labels)
    return float(classifier.score(found[1], test.labels))


def _listed(dataset: Dataset) -> str:
    names = dataset.classes
    return f"{names[0]}-{names[-1]}" if len(names) > 3 else ", ".join(names)

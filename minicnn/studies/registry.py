"""The studies by name; a study's code is loaded when it runs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from minicnn.errors import UnknownNameError, nearest
from minicnn.studies.base import Findings, Setup, Study

__all__ = ["STUDIES", "study"]


def _run(module: str, function: str) -> Callable[[Setup], Findings]:
    def run(setup: Setup) -> Findings:
        return getattr(import_module(f"minicnn.studies.{module}"), function)(setup)

    return run


_STUDIES = (
    Study(
        "signals",
        "Do signals keep their size through depth, by initialisation and nonlinearity?",
        _run("signals", "signals"),
        trains=False,
    ),
    Study(
        "batch-norm",
        "Which learning rates still train, with and without batch norm?",
        _run("batch_norm", "batch_norm"),
    ),
    Study(
        "dropout",
        "How does a net over-fit, with and without dropout?",
        _run("dropout", "dropout"),
    ),
    Study(
        "early-stopping",
        "Where does a training stop that watches images held out, and what is gained?",
        _run("early_stopping", "early_stopping"),
    ),
    Study(
        "augmentation",
        "What is augmentation worth where images are few?",
        _run("augmentation", "augmentation"),
    ),
    Study(
        "dead-units",
        "How many ReLUs die during training, at a sound rate and at one too large?",
        _run("dead_units", "dead_units"),
    ),
    Study(
        "mc-dropout",
        "How uncertain is a network, and about which images?",
        _run("mc_dropout", "mc_dropout"),
    ),
    Study(
        "transfer",
        "What are features learned elsewhere worth, by the size of the training set?",
        _run("transfer", "transfer"),
    ),
    Study(
        "dynamics",
        "Can a network predict where pushed rectangles come to rest?",
        _run("rectangles", "dynamics"),
        data=None,
    ),
)

STUDIES: dict[str, Study] = {one.name: one for one in _STUDIES}


def study(name: str) -> Study:
    """A study by name.

    Raises
    ------
    UnknownNameError
        If there is none of that name.

    Examples
    --------
    >>> study("dropout").question
    'How does a net over-fit, with and without dropout?'
    """
    if name not in STUDIES:
        raise UnknownNameError(f"There is no study {name!r}. {nearest(name, STUDIES)}")
    return STUDIES[name]

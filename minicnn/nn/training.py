"""Training: the loop over epochs and batches, with a state that survives being stopped.

A step:  scores = model(x);  loss = objective(scores, y);  gradients by `backward`;  the optimiser
moves the parameters at the rate that the schedule gives. After every epoch the held-out samples are
measured and the state is written, whole or not at all.

What is random (order, augmentation, dropout) is drawn from (seed, epoch), so a training that goes
on from its state is, bit for bit, the one that was never stopped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np

from minicnn.checkpoint import Checkpoint
from minicnn.data import Augment, Batches, Dataset, Pairs
from minicnn.errors import InputError, ShapeError, TrainingError, UnknownNameError, nearest
from minicnn.kernels.devices import to_host
from minicnn.nn.diagnosis import broken_weight, failure, first_not_finite
from minicnn.nn.evaluation import evaluate
from minicnn.nn.history import Epoch, History
from minicnn.nn.identity import identity
from minicnn.nn.module import Module
from minicnn.nn.objectives import Classification, Objective
from minicnn.nn.optimisers import SGD, Adam, AdamW, Optimiser, clip_gradients
from minicnn.nn.schedules import Schedule, schedule
from minicnn.tensor import Tensor

__all__ = ["Progress", "Recipe", "Source", "check_held", "fit"]


OPTIMISERS = ("sgd", "adam", "adamw")


class Source(Protocol):
    """Gives the batches of an epoch: pairs of a float32 array and its targets.

    Its `repr` should say what it holds: a checkpoint is known by it.
    """

    def __len__(self) -> int:
        """Batches an epoch."""

    def epoch(self, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The batches of epoch 0, 1, ...: the same whenever it is asked for."""


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Parameters
    ----------
    epochs, batch : int
    optimiser : {"sgd", "adam", "adamw"}
    rate : float
        The highest learning rate.
    momentum : float
        Of SGD, in Nesterov's form where `nesterov`.
    decay : float
        Weight decay, of weights only: biases, gains and shifts are left out.
    schedule : str or Schedule
        One of `SCHEDULES`, or a function of (step, total).
    smoothing : float
        Label smoothing.
    clip : float, optional
        Largest norm of all gradients together.
    augment : Augment, optional
    patience : int, optional
        Stop after this many epochs without a smaller loss held out, and restore the best weights.
    seed : int
        Of order, augmentation and dropout.

    Raises
    ------
    InputError, UnknownNameError
        If a number is out of its range, or there is no such optimiser.
    """

    epochs: int = 10
    batch: int = 128
    optimiser: str = "sgd"
    rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    decay: float = 5e-4
    schedule: str | Schedule = "one-cycle"
    smoothing: float = 0.0
    clip: float | None = None
    augment: Augment | None = None
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is 1 or more; got {getattr(self, name)}.")
        if self.patience is not None and self.patience < 1:
            raise InputError(f"patience is 1 epoch or more; got {self.patience}.")
        if self.clip is not None and not self.clip > 0:
            raise InputError(f"clip is a norm above 0; got {self.clip}.")
        if self.seed < 0:
            raise InputError(f"seed={self.seed}: a seed is 0 or more.")
        if self.optimiser not in OPTIMISERS:
            known = nearest(self.optimiser, OPTIMISERS)
            raise UnknownNameError(f"No optimiser {self.optimiser!r}. {known}")

    def make_optimiser(self, model: Any) -> Optimiser:
        """The optimiser on a model's parameters."""
        parameters = model.named_parameters()
        shared: dict[str, Any] = {"rate": self.rate, "decay": self.decay, "decay_vectors": False}
        match self.optimiser:
            case "sgd":
                nesterov = self.nesterov and self.momentum > 0
                return SGD(parameters, momentum=self.momentum, nesterov=nesterov, **shared)
            case "adam":
                return Adam(parameters, **shared)
            case _:
                return AdamW(parameters, **shared)

    @property
    def factor(self) -> Schedule:
        """The schedule itself."""
        return schedule(self.schedule) if isinstance(self.schedule, str) else self.schedule


@dataclass
class Progress:
    """Where a training is: handed to `report` after every step.

    Loss and score are means over the epoch so far; `images_per_second` is of this run alone.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    score: float
    rate: float
    images_per_second: float
    history: History

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch}/{self.epochs}, step {self.step}/{self.steps}: loss "
            f"{self.loss:.4f}, {self.history.score} {self.score:.4g}, rate {self.rate:.3g}, "
            f"{self.images_per_second:,.0f} images/s"
        )


@dataclass
class _Run:
    """A training under way."""

    model: Module
    recipe: Recipe
    objective: Objective
    optimiser: Optimiser
    history: History
    best_state: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0
    images: int = 0

    @property
    def done(self) -> int:
        """Epochs done."""
        return len(self.history.epochs)

    @property
    def stopped_early(self) -> bool:
        """Whether the loss held out has not fallen for `patience` epochs."""
        patience = self.recipe.patience
        return patience is not None and self.done - self.history.best >= patience

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole state."""
        return {
            **{f"model/{name}": to_host(a) for name, a in self.model.state_dict().items()},
            **{f"optimiser/{name}": to_host(a) for name, a in self.optimiser.state_dict().items()},
            **{f"best/{name}": to_host(array) for name, array in self.best_state.items()},
            **self.history.arrays(),
            "best": np.array(self.history.best),
        }

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """Go on from a state."""

        def part(name: str) -> dict[str, np.ndarray]:
            start = f"{name}/"
            return {k[len(start) :]: a for k, a in arrays.items() if k.startswith(start)}

        lacking = [name for name in self.arrays() if name not in arrays]
        if lacking:
            raise InputError(f"The checkpoint lacks {lacking[0]}. Remove it, or name another.")
        self.model.load_state_dict(part("model"))
        self.optimiser.load_state_dict(part("optimiser"))
        self.best_state = part("best")
        self.history = History.from_arrays(arrays, self.objective.score)
        self.history.best = int(arrays["best"])

    def step(self, x: np.ndarray, y: np.ndarray, factor: float) -> tuple[float, float]:
        """One step of learning; gives loss and score."""
        outputs = self.model(Tensor(x, device=self.model.device))
        loss = self.objective.loss(outputs, y)
        value = loss.item()
        if not np.isfinite(value):
            return value, float("nan")
        self.optimiser.zero_grad()
        loss.backward()
        if self.recipe.clip is not None:
            clip_gradients(self.optimiser.parameters.values(), self.recipe.clip)
        self.optimiser.step(factor)
        return value, float(self.objective.scores(outputs.numpy(), y).mean())


def fit(
    model: Module,
    train: Dataset | Source | tuple[np.ndarray, np.ndarray],
    valid: Dataset | tuple[np.ndarray, np.ndarray] | None = None,
    recipe: Recipe | None = None,
    *,
    objective: Objective | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    report: Callable[[Progress], None] | None = None,
    on_epoch: Callable[[Module, Epoch], None] | None = None,
) -> History:
    """Train a model in place.

    Parameters
    ----------
    model : Module
        Trained in place.
    train : Dataset, (x, targets) or Source
        What is learned from; a source gives batches of its own making.
    valid : Dataset or (x, targets), optional
        What is measured after every epoch.
    recipe : Recipe, optional
        By default one with its default settings.
    objective : Objective, optional
        By default `Classification` with the recipe's label smoothing.
    checkpoint : path-like, optional
        Where the state is written after every epoch; if the file is there, training goes on from
        it. It stays when the training is done.
    report : callable, optional
        Called after every step.
    on_epoch : callable, optional
        Called after every epoch with the model, which is then in evaluation.

    Returns
    -------
    History

    Raises
    ------
    TrainingError
        If the loss, or a weight at the end of an epoch, is no longer finite: step, place and
        remedies are named. The checkpoint stays the last good one.
    InputError
        If the checkpoint is damaged or of another model, recipe or data.
    ShapeError
        If the model does not take images of the size of those held out.

    Examples
    --------
    >>> from minicnn import data, nn
    >>> train, test = data.read("digits"), data.read("digits", "test")
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> history = nn.fit(model, train, test, nn.Recipe(epochs=3, batch=32, rate=0.1))
    >>> history.last.valid_score > 0.9
    True
    """
    recipe = recipe or Recipe()
    objective = objective or Classification(recipe.smoothing)
    source = _source(model, train, recipe)
    if isinstance(valid, tuple):
        valid = _in_numbers(model, valid)
    if len(source) == 0:
        raise InputError(f"There are fewer training samples than one batch of {recipe.batch}.")
    if isinstance(train, Dataset) and isinstance(valid, Dataset):
        check_held(model, train, valid)
    if recipe.patience is not None and valid is None:
        raise InputError("Early stopping needs samples held out: give `valid`.")
    run = _Run(model, recipe, objective, recipe.make_optimiser(model), History([], objective.score))
    key = identity(model, recipe, objective, source, valid) if checkpoint else {}
    state = Checkpoint(checkpoint, key)
    saved = state.read()
    if saved:
        run.load(saved)
    while run.done < recipe.epochs and not run.stopped_early:
        _epoch(run, source, valid, report)
        state.write(run.arrays())
        if on_epoch is not None:
            on_epoch(model, run.history.last)
    model.eval()
    if recipe.patience is not None and run.best_state:
        model.load_state_dict(run.best_state)
        run.history.restored = True
    return run.history


def _in_numbers(model: Module, pair: tuple[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Samples in the model's type of numbers, and their targets."""
    x, targets = (np.asarray(array) for array in pair)
    if not x.ndim or not targets.ndim:
        raise ShapeError(f"Samples and targets are arrays (N, ...); got {pair}.")
    parameters = model.parameters()
    dtype = parameters[0].dtype if parameters else np.dtype(np.float32)
    return x.astype(dtype, copy=False), targets


def _source(model: Module, train: Any, recipe: Recipe) -> Source:
    """The batches of whatever is learned from."""
    if isinstance(train, Dataset):
        return Batches(train, recipe.batch, recipe.augment, recipe.seed)
    if isinstance(train, tuple) and len(train) == 2:
        x, targets = _in_numbers(model, train)
        if recipe.augment is not None:
            raise InputError("Arrays are learned as they are: leave the recipe's augment out.")
        return Pairs(x, targets, min(recipe.batch, max(1, len(x))), recipe.seed)
    if not hasattr(train, "epoch"):
        raise InputError(
            f"nn.fit learns from a Dataset, a pair (x, targets) of arrays, or a source with "
            f"`epoch(number)`; got {type(train).__name__}."
        )
    return cast(Source, train)


def check_held(model: Module, train: Dataset, held: Dataset) -> None:
    """Refuse images that the model will be measured by but does not take, before it learns.

    Raises
    ------
    ShapeError
        If they have another size, and the model cannot do with it.
    InputError
        If their classes are not those that are learned, in the same order.
    """
    if tuple(train.classes) != tuple(held.classes):
        raise InputError(
            f"{train.name} is learned from and {held.name} held out, but their classes differ: "
            f"{', '.join(train.classes)}; {', '.join(held.classes)}."
        )
    size, other = train.images.shape[1:], held.images.shape[1:]
    if size == other:
        return
    try:
        model.network(other)
    except ShapeError as error:
        raise ShapeError(
            f"{train.name} is learned from, images {size}, and {held.name} held out, images "
            f"{other}, which the model does not take: {error}"
        ) from None


def _epoch(
    run: _Run, source: Source, valid: Any, report: Callable[[Progress], None] | None
) -> None:
    """One epoch: learn from every batch, then measure what was held out."""
    recipe, number, steps = run.recipe, run.done, len(source)
    run.model.train().reseed(recipe.seed, number)
    start, losses, scores, factor = time.perf_counter(), 0.0, 0.0, 1.0
    for step, (x, y) in enumerate(source.epoch(number)):
        factor = recipe.factor(number * steps + step, recipe.epochs * steps)
        with np.errstate(over="ignore", invalid="ignore"):
            loss, score = run.step(x, y, factor)
        if not np.isfinite(loss):
            rate, where = recipe.rate * factor, first_not_finite(run.model, x)
            where = where or "the loss alone: the scores are too large"
            raise failure(f"The loss became {loss}", where, number + 1, step + 1, rate)
        losses, scores, run.images = losses + loss, scores + score, run.images + len(x)
        if report is not None:
            seconds = run.seconds + time.perf_counter() - start
            report(
                Progress(
                    number + 1, recipe.epochs, step + 1, steps, losses / (step + 1),
                    scores / (step + 1), recipe.rate * factor, run.images / seconds, run.history,
                )
            )  # fmt: skip
    seconds = time.perf_counter() - start
    run.seconds += seconds
    run.model.eval()
    if broken := broken_weight(run.model):  # by the last step, whose own loss was finite still
        raise failure("The weights overflowed", broken, number + 1, steps, recipe.rate * factor)
    with np.errstate(over="ignore", invalid="ignore"):
        held = evaluate(run.model, valid, run.objective) if valid is not None else None
    if held is not None and not np.isfinite(held.loss):
        raise TrainingError(
            f"The loss held out became {held.loss} after epoch {number + 1}; the weights are "
            f"finite. Check the samples held out: their numbers, and their scale."
        )
    valid_loss, valid_score = (held.loss, held.score) if held else (float("nan"), float("nan"))
    run.history.epochs.append(
        Epoch(number + 1, losses / steps, scores / steps, valid_loss, valid_score,
              recipe.rate * factor, seconds)
    )  # fmt: skip
    smallest = min((e.valid_loss for e in run.history.epochs[:-1]), default=np.inf)
    if valid_loss < smallest:
        run.history.best = number + 1
        if recipe.patience is not None:
            run.best_state = {n: a.copy() for n, a in run.model.state_dict().items()}

"""Schedules: the learning rate over the steps of a training, as a factor of the rate given.

At step t = 0, 1, ..., T - 1:

    constant      1
    step          gamma^(number of milestones passed), milestones as shares of T
    cosine        floor + (1 - floor) (1 + cos(pi t / T)) / 2           Loshchilov and Hutter 2017
    one_cycle     up along a line from `start` to 1, then down to `end`  Smith and Topin 2018
    cycles        one-cycles one after the other, each with its own height
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import cos, pi
from typing import Protocol

from minicnn.errors import InputError, UnknownNameError, nearest

__all__ = ["SCHEDULES", "Constant", "Cosine", "Cycles", "OneCycle", "Schedule", "Steps", "schedule"]


class Schedule(Protocol):
    """Gives the factor of the learning rate at a step."""

    def __call__(self, step: int, total: int) -> float:
        """At step 0 to total - 1."""


@dataclass(frozen=True)
class Constant:
    """Always 1."""

    def __call__(self, step: int, total: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Steps:
    """Times gamma at each milestone, a share of the training.

    Examples
    --------
    >>> [round(Steps()(step, 100), 3) for step in (0, 49, 50, 75)]
    [1.0, 1.0, 0.1, 0.01]
    """

    milestones: tuple[float, ...] = (0.5, 0.75)
    gamma: float = 0.1

    def __call__(self, step: int, total: int) -> float:
        return self.gamma ** sum(step >= share * total for share in self.milestones)


@dataclass(frozen=True)
class Cosine:
    """From 1 down to `floor` along half a cosine."""

    floor: float = 0.0

    def __call__(self, step: int, total: int) -> float:
        return self.floor + (1 - self.floor) * (1 + cos(pi * step / total)) / 2


@dataclass(frozen=True)
class OneCycle:
    """Up from `start` to 1 in the first `warm` share of the steps, then down to `end`.

    Examples
    --------
    >>> [round(OneCycle(start=0.2, end=0.0)(step, 100), 3) for step in (0, 25, 60, 95)]
    [0.2, 1.0, 0.533, 0.067]
    """

    warm: float = 0.25
    start: float = 0.1
    end: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.warm < 1:
            raise InputError(f"one-cycle warms up over a share between 0 and 1; got {self.warm}.")

    def __call__(self, step: int, total: int) -> float:
        share = step / total
        if share < self.warm:
            return self.start + (1 - self.start) * share / self.warm
        return self.end + (1 - self.end) * (1 - share) / (1 - self.warm)


@dataclass(frozen=True)
class Cycles:
    """One-cycles one after the other: warm restarts.

    Parameters
    ----------
    parts : sequence of (float, float)
        Of each cycle its share of all steps, and its height.
    cycle : OneCycle
        Their form.

    Examples
    --------
    >>> [round(Cycles()(step, 100), 2) for step in (0, 15, 59, 60, 70, 99)]
    [0.1, 1.0, 0.02, 0.05, 0.5, 0.02]
    """

    parts: tuple[tuple[float, float], ...] = ((0.6, 1.0), (0.4, 0.5))
    cycle: OneCycle = field(default_factory=OneCycle)

    def __post_init__(self) -> None:
        if abs(sum(share for share, _ in self.parts) - 1) > 1e-9:
            raise InputError(f"The cycles' shares of the steps must add up to 1; got {self.parts}.")

    def __call__(self, step: int, total: int) -> float:
        first = 0
        for share, height in self.parts[:-1]:
            length = round(share * total)
            if step < first + length:
                return height * self.cycle(step - first, length)
            first += length
        return self.parts[-1][1] * self.cycle(step - first, total - first)


SCHEDULES: dict[str, Schedule] = {
    "constant": Constant(),
    "step": Steps(),
    "cosine": Cosine(),
    "one-cycle": OneCycle(),
    "cycles": Cycles(),
}


def schedule(name: str) -> Schedule:
    """A schedule by name, with its usual settings.

    Raises
    ------
    UnknownNameError
        If there is none of that name.
    """
    if name not in SCHEDULES:
        raise UnknownNameError(f"No schedule {name!r}. {nearest(name, SCHEDULES)}")
    return SCHEDULES[name]

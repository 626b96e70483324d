"""The registry: which kernels there are for a block, and which one serves.

Each kernel is an `Entry`. Among those that apply to a problem the one with the lowest estimated
cost serves, unless somebody overrules:

    with minicnn.using(conv2d="direct"):       # the kernel of that name, where it applies
        net(x)

    with minicnn.using(measured=True):         # the fastest by a measurement, kept per machine
        net(x)

Problems name the blocks: conv2d, conv_transpose2d (towards the image), conv_filter2d (towards the
filters). All kernels of a block give the same result up to rounding.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from minicnn.errors import DeviceError, InputError, UnknownNameError, nearest
from minicnn.kernels.problems import Convolution

__all__ = ["BLOCKS", "Entry", "choose", "entries", "overrule", "overruled", "register", "using"]

BLOCKS = ("conv2d", "conv_transpose2d", "conv_filter2d")


@dataclass(frozen=True, eq=False)
class Entry:
    """One kernel for one block.

    Parameters
    ----------
    block : str
        Which block it serves: "conv2d", "conv_transpose2d" or "conv_filter2d".
    name : str
        What it is called.
    run : callable
        On arrays: `run(x, w, b, window, groups)`, `run(p, w, b, window, groups, size)` or
        `run(p, x, window, groups)`.
    why_not : callable
        Why it does not apply to a `Convolution`; an empty string where it does.
    cost : callable
        Estimated seconds for one image of a `Convolution`; infinite for kernels that are only
        there to be studied.
    device : str
        Where it runs: "cpu" or "cuda". Kernels for different devices may share a name.
    method : object, optional
        For planned networks: how to add its steps to a program.
    about : str
        One line.
    even : bool
        Whether equal windows get equal results wherever they lie; see `flat`.
    library : bool
        Whether somebody else's library does it: measured beside the others, never estimated.
    """

    block: str
    name: str
    run: Callable[..., Any]
    why_not: Callable[[Convolution], str] = lambda problem: ""
    cost: Callable[[Convolution], float] = lambda problem: float("inf")
    device: str = "cpu"
    method: Any = None
    about: str = ""
    even: bool = True
    library: bool = False

    def __post_init__(self) -> None:
        if self.block not in BLOCKS:
            raise UnknownNameError(
                f"Kernel {self.name!r} is for {self.block!r}. {nearest(self.block, BLOCKS)}"
            )

    def __repr__(self) -> str:
        return f"<Kernel {self.name} for {self.block} on {self.device}>"


_added: dict[str, list[Entry]] = {}
_overruled: ContextVar[Mapping[str, Any]] = ContextVar("minicnn_kernels")


@cache
def _built_in() -> dict[str, list[Entry]]:
    from minicnn.kernels.entries import built_in  # imports Numba: only when needed
    from minicnn.kernels.gpu.entries import built_in as on_cards  # does not import CuPy

    found: dict[str, list[Entry]] = {block: [] for block in BLOCKS}
    for entry in [*built_in(), *on_cards()]:
        found[entry.block].append(entry)
    return found


def register(entry: Entry) -> Entry:
    """Add a kernel of your own; it replaces an added one of the same name."""
    own = (entry.name, entry.device)
    others = [e for e in _added.get(entry.block, []) if (e.name, e.device) != own]
    if any((e.name, e.device) == own for e in _built_in()[entry.block]):
        raise InputError(f"There is a built-in kernel {entry.name!r} for {entry.block} already.")
    _added[entry.block] = [*others, entry]
    return entry


def entries(block: str, device: str | None = None) -> list[Entry]:
    """All kernels for a block, or those for one kind of device, built-in ones first.

    Examples
    --------
    >>> [entry.name for entry in entries("conv_filter2d", "cpu")]
    ['products', 'im2col', 'naive']
    """
    if block not in BLOCKS:
        raise UnknownNameError(f"There are no kernels for {block!r}. {nearest(block, BLOCKS)}")
    found = [*_built_in()[block], *_added.get(block, [])]
    return [entry for entry in found if device in (None, entry.device)]


@contextmanager
def using(measured: bool | None = None, tf32: bool | None = None, **kernels: str) -> Iterator[None]:
    """Within this context the named kernels serve, where they apply.

    Parameters
    ----------
    measured : bool, optional
        Time the kernels that apply to each new problem and take the fastest; what was found is
        kept in the user's cache folder, for this machine.
    tf32 : bool, optional
        Let cuBLAS and cuDNN round what they multiply to TF32 on a card, which is faster and good to
        three digits. Kernels of our own never do.
    **kernels : str
        Names of kernels by block: `conv2d="direct", conv_transpose2d="direct"`.

    Raises
    ------
    UnknownNameError
        If there is no such block or kernel.
    """
    changes: dict[str, Any] = dict(kernels)
    for block, name in kernels.items():
        names = list(dict.fromkeys(entry.name for entry in entries(block)))
        if name not in names:
            raise UnknownNameError(
                f"There is no kernel {name!r} for {block}. {nearest(name, names)}"
            )
    wishes = {"measured": measured, "tf32": tf32}
    changes |= {name: wish for name, wish in wishes.items() if wish is not None}
    token = _overruled.set({**overruled(), **changes})
    try:
        yield
    finally:
        _overruled.reset(token)


@contextmanager
def evenly(wanted: bool = True) -> Iterator[None]:
    """Within this context kernels serve that treat equal windows equally, or those asked for."""
    token = _overruled.set({**overruled(), "even": True} if wanted else overruled())
    try:
        yield
    finally:
        _overruled.reset(token)


def overrule(text: str) -> dict[str, str]:
    """Kernels by block from text such as "conv2d=direct,conv_transpose2d=winograd2".

    Examples
    --------
    >>> overrule("conv2d=direct")
    {'conv2d': 'direct'}
    """
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        block, sign, name = (piece.strip() for piece in part.partition("="))
        if not sign or not name:
            raise InputError(
                f"Kernels are chosen as block=name, such as conv2d=direct; got {part!r}."
            )
        found[block] = name
    return found


def overruled() -> Mapping[str, Any]:
    """What `using` says in this context."""
    return _overruled.get({})


def choose(block: str, problem: Convolution, device: str = "cpu") -> tuple[Entry, str]:
    """The kernel that serves a problem on a kind of device, and why."""
    wishes = overruled()
    found = entries(block, device)
    note = ""
    if block in wishes:
        named = [entry for entry in found if entry.name == wishes[block]]
        reason = named[0].why_not(problem) if named else f"is not for {device}"
        if not reason:
            return named[0], "asked for"
        note = f"; {wishes[block]} {reason}"
    fitting = [entry for entry in found if not entry.why_not(problem)]
    if wishes.get("even"):
        fitting = [entry for entry in fitting if entry.even]
    if wishes.get("measured"):
        times = _measured(block, problem, fitting, device)
        best = min(times, key=lambda name: times[name])
        entry = next(entry for entry in fitting if entry.name == best)
        return entry, f"fastest measured, {1e3 * times[best]:.3g} ms{note}"
    costs = [entry.cost(problem) for entry in fitting]
    best_cost = min(costs)
    entry = fitting[costs.index(best_cost)]
    if len([cost for cost in costs if cost < float("inf")]) == 1 or best_cost == float("inf"):
        return entry, f"the one that applies{note}"
    return entry, f"estimated {1e3 * best_cost:.3g} ms{note}"


# The measured choice


def _measurements() -> Path | None:
    from minicnn.kernels.cpu.compiled import folder

    path = folder()
    name = f"measured-{platform.node() or 'here'}-{os.cpu_count()}.json"
    return path / name if path else None


def _measured(
    block: str, problem: Convolution, fitting: list[Entry], device: str
) -> dict[str, float]:
    """Seconds by kernel name, measured now or before."""
    from minicnn.kernels.cpu.team import threads

    path = _measurements()
    where = f"{threads()} threads" if device == "cpu" else f"{device} {_card()}"
    where += " tf32" if overruled().get("tf32") else ""
    key = f"{block} {problem} {problem.dtype} {where}"
    known: dict[str, dict[str, float]] = {}
    if path and path.exists():
        try:
            known = json.loads(path.read_text())
        except ValueError:
            known = {}  # written by a process that was cut off; measured again below
    infinite = float("inf")
    names = {e.name for e in fitting if e.library or e.cost(problem) < infinite}
    if key not in known or not names <= known[key].keys():
        from minicnn.kernels.measure import measure

        known[key] = {
            entry.name: _seconds(measure, entry, problem)
            for entry in fitting
            if entry.name in names
        }
        if path:
            from minicnn.files import atomic_path

            with atomic_path(path) as temporary:
                temporary.write_text(json.dumps(known, indent=1))
    return {name: known[key][name] for name in names}


def _card() -> str:
    """Which card measures."""
    from minicnn.kernels.machine import card

    return str(card(0)["card"])


def _seconds(measure: Callable[..., Any], entry: Entry, problem: Convolution) -> float:
    """What a run takes; infinity for a library's kernel that turns out not to have it."""
    try:
        return float(measure(entry, problem, batch=1, seconds=0.05).seconds)
    except (DeviceError, RuntimeError):  # CUDA's errors are runtime errors
        return float("inf")

"""Calls, and the walk that reverses them: backpropagation in a dozen lines.

A forward run leaves a list of calls: which block, on what, giving what, keeping what. Walking the
list backwards, each call turns the signal at its output into a signal at each of its operands,

    signal[operand] += transposed(call, operand)(signal[output]),

and the sum is the transpose of fan-out. The walk asks nothing of the signals but that blocks can be
applied to them: on arrays it computes gradients, on tensors it records them (so that they can be
differentiated again), on symbols it draws the reversed network.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from minicnn.blocks import Add, Block, Kept, Packed, Piece
from minicnn.errors import NotDifferentiableError

__all__ = ["Call", "Checked", "Reversal", "own_transpose", "pull_back", "reaches"]


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a block in a forward run.

    Parameters
    ----------
    name : str
        The call's name in the network.
    block : Block
        What was called.
    operands : tuple of hashable or None
        Keys of the values it read; None for constants.
    output : hashable
        Key of the value it gave.
    kept : Kept
        What it left for its transpose.
    label : str
        What else it may be called.
    """

    name: str
    block: Block
    operands: tuple[Hashable | None, ...]
    output: Hashable
    kept: Kept
    label: str = ""

    def __repr__(self) -> str:
        return f"<Call {self.name}: {self.block}>"

    def keeping(self, statistic: Packed) -> Call:
        """The same call with its mask or switches."""
        kept = self.kept.replaced(statistic)
        return Call(self.name, self.block, self.operands, self.output, kept, self.label)

    @property
    def transposed(self) -> Piece:
        """The block's own transpose with respect to its first operand."""
        return Piece(self.block.transposed(self.kept, 0))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first operand."""
        return self.kept.shapes[0]


Reversal = Callable[[Call, int], Callable[[Any], Any]]
"""Gives the map that stands in for the transpose of a call with respect to an operand."""


@runtime_checkable
class Checked(Protocol):
    """A reversal that wants to see all calls before it starts, as rules do."""

    def check(self, calls: Sequence[Call], wanted: Iterable[Hashable]) -> list[Call]:
        """Warn or refuse; gives the calls that were warned of."""


def own_transpose(call: Call, wrt: int) -> Callable[[Any], Any]:
    """Every block's own transpose: plain backpropagation."""
    return call.block.transposed(call.kept, wrt)


def reaches(calls: Iterable[Call], wanted: Iterable[Hashable]) -> set[Hashable]:
    """The values that depend on the wanted ones: only there do signals need to go."""
    active = set(wanted)
    for call in calls:
        blind = call.block.blind
        if any(o in active for i, o in enumerate(call.operands) if i not in blind):
            active.add(call.output)
    return active


def pull_back(
    calls: Sequence[Call],
    seeds: Mapping[Hashable, Any],
    wanted: Iterable[Hashable],
    reversal: Reversal = own_transpose,
    add: Callable[[Any, Any, Hashable], Any] | None = None,
) -> dict[Hashable, Any]:
    """Carry top signals back through calls.

    Parameters
    ----------
    calls : sequence of Call
        In the order in which they ran.
    seeds : mapping
        Top signals p at some values: arrays, tensors or symbols.
    wanted : iterable of hashable
        Where signals are asked for.
    reversal : callable
        Which map stands in for each transpose; by default the transpose itself.
    add : callable, optional
        Adds two signals that meet at a value, given as third argument.

    Returns
    -------
    dict
        The signal at each wanted value that one arrives at.

    Raises
    ------
    NotDifferentiableError
        If a block on the way has no transpose.
    """
    wanted = set(wanted)
    active = reaches(calls, wanted)
    add = add or (lambda a, b, value: Add()(a, b))
    signals = dict(seeds)
    for call in reversed(calls):
        if call.output not in signals:
            continue
        p = signals[call.output] if call.output in wanted else signals.pop(call.output)
        for wrt, operand in enumerate(call.operands):
            if operand is None or operand not in active or wrt in call.block.blind:
                continue
            try:
                q = reversal(call, wrt)(p)
            except NotDifferentiableError as error:
                raise NotDifferentiableError(f"At {call.name}: {error}") from None
            signals[operand] = add(signals[operand], q, operand) if operand in signals else q
    return {value: signals[value] for value in wanted if value in signals}

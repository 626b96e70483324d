"""Drawing the reversed network: the walk over a tape's calls, done on symbols.

`calls.pull_back` asks of a signal only that blocks can be called on it. Handed symbols, it computes
nothing and leaves the nodes of a network behind: call.T is the map that stands in for a call's
transpose (call.T.0, call.T.1 where several operands get a signal), value.sum is where the signals
of a value that several blocks read meet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn.blocks import Identity, Shape
from minicnn.calls import Call, pull_back, reaches
from minicnn.errors import NotDifferentiableError, RuleError
from minicnn.graph import Builder, Mirror, Symbol
from minicnn.joint import Joint
from minicnn.rules import Rule

__all__ = ["Drawing"]


@dataclass
class Drawing:
    """The reversed network of a path of calls, as it is drawn.

    Parameters
    ----------
    path : sequence of Call
        The calls to reverse, in the order in which they ran, their kept values at hand.
    rule : Rule or Joint
        What stands in for each transpose.
    known : mapping
        Arrays by name that keep their names: parameters, and values that transposes read.
    shapes : mapping
        Shapes of the values at which signals enter.
    targets : sequence of str
        Where signals are asked for.
    dtype : numpy.dtype
        Of the signals.

    Attributes
    ----------
    inputs : dict
        Names and shapes of the top signals; a single one is called p.
    outputs : list of str
        The signal at each target.
    builder : Builder
        Holds the nodes and the arrays that they read.
    mirror : Mirror
        Which signal belongs to which value and call.
    """

    path: Sequence[Call]
    rule: Rule | Joint
    known: Mapping[str, np.ndarray]
    shapes: Mapping[str, Shape]
    targets: Sequence[str]
    dtype: np.dtype
    inputs: dict[str, Shape] = field(init=False)
    outputs: list[str] = field(init=False, default_factory=list)
    builder: Builder = field(init=False)
    mirror: Mirror = field(init=False, default_factory=lambda: Mirror({}, {}, {}))

    def __post_init__(self) -> None:
        self.builder = Builder(self.dtype, self.known)
        self._active = reaches(self.path, self.targets)
        entries: dict[Any, Symbol] = {}
        for top, shape in self.shapes.items():
            name = "p" if len(self.shapes) == 1 else f"{top}.p"
            entries[top] = self.builder.symbol(name, shape)
            self.mirror.signals[top] = entries[top].name
        self.inputs = {entry.name: entry.shape for entry in entries.values()}
        found = pull_back(self.path, entries, self.targets, self._stand_in, self._meet)
        lost = [name for name in self.targets if name not in found]
        if lost:
            raise NotDifferentiableError(
                f"{', '.join(self.shapes)} does not depend on {', '.join(lost)}: no signal arrives "
                f"there."
            )
        for target in self.targets:
            self.outputs.append(self._own_output(target, found[target]))

    def _stand_in(self, call: Call, wrt: int) -> Callable[[Symbol], Symbol]:
        """What draws the stand-in for a call's transpose, and notes what it sent where."""
        seeing = [o for i, o in enumerate(call.operands) if i not in call.block.blind]
        several = len([o for o in seeing if o is not None and o in self._active]) > 1
        name = f"{call.name}.T" + (f".{wrt}" if several else "")

        def drawn(p: Symbol) -> Symbol:
            first = len(self.builder.nodes)
            q = self.builder.named(name, self.rule(call, wrt), p)
            wanted = call.kept.shapes[wrt]
            if not isinstance(q, Symbol) or q.shape != wanted:
                raise RuleError(
                    f"Rule {self.rule.name} at {call.name}: its map must give a signal of shape "
                    f"{wanted}, made of blocks; it gave {getattr(q, 'shape', type(q).__name__)}."
                )
            self.mirror.nodes.update((n.name, call.name) for n in self.builder.nodes[first:])
            self.mirror.signals[str(call.operands[wrt])] = q.name
            self.mirror.sent.setdefault(call.name, []).append(q.name)
            return q

        return drawn

    def _meet(self, a: Symbol, b: Symbol, value: Any) -> Symbol:
        q = self.builder.named(f"{value}.sum", lambda p: p + b, a)
        self.mirror.signals[value] = q.name
        return q

    def _own_output(self, target: str, symbol: Symbol) -> str:
        """The signal at a target, by a name that no input and no other output has."""
        if symbol.name in self.outputs or symbol.name in self.inputs:
            symbol = self.builder.named(f"{target}.T", Identity(), symbol)
            self.mirror.signals[target] = symbol.name
        return symbol.name

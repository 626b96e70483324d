"""Rules: which block stands in for the transpose of which, on the way back.

A rule is a table from kinds of blocks to stand-ins. SaliNet is the empty table: every block's own
transpose. For the signal p arriving at a ReLU with input x, and at LRN:

    SaliNet      p 1[x > 0]             LRN transposed      (the gradient; TTFF)
    DeConvNet    max(p, 0)              LRN as identity     (Zeiler and Fergus 2014; FTT)
    DeSaliNet    max(p 1[x > 0], 0)     LRN as identity     (guided backprop without LRN; TTT)

They are three of a family with one letter a choice, as in the authors' own code: is the ReLU's mask
used (T/F), are the pooling switches used (else unpool to the centre), is the backward signal
rectified; a fourth letter F back-propagates LRN (default: identity).

A rule of your own takes three lines:

    MINE = Rule("mine", {
        ReLU: lambda call: call.transposed >> Scale(0.5),
    })

Its map may read the values of the run, too: it says which, and `call.kept` has them when the
reversed network is drawn. So relevance (LRP) is a rule, here at a layer y = f(x),

    SHARE = StandIn(lambda call: lambda p: call.transposed(p / call.kept.output) * call.kept[0],
                    reads=(0, OUTPUT))

Source: Mahendran and Vedaldi, "Salient Deconvolutional Networks", ECCV 2016, sections 2 and 3.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import warnings
import zlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minicnn.blocks import (
    LRN,
    OUTPUT,
    Block,
    Clip,
    Identity,
    MaxPool,
    ReLU,
)
from minicnn.calls import Call, own_transpose
from minicnn.errors import InputError, RuleError, UnknownNameError, nearest

__all__ = [
    "DECONVNET",
    "DESALINET",
    "SALINET",
    "Rule",
    "StandIn",
    "UnmatchedWarning",
    "family",
    "family_codes",
    "find",
    "is_rectifier",
    "names",
]

Map = Callable[[Any], Any]
Key = type[Block] | str | Callable[[Call], bool]


class UnmatchedWarning(UserWarning):
    """A rule met nonlinear blocks that it does not name; their own transposes were used."""


@dataclass(frozen=True)
class StandIn:
    """One entry of a rule's table.

    Parameters
    ----------
    make : callable
        From the call to the map that stands in for its transpose (with respect to the first
        operand; or a tuple, one map an operand).
    needs_kept : bool
        Whether the map reads what the block kept for its own transpose (mask, switches, values); if
        not, a tape recorded for this rule does not keep it.
    reads : tuple of int
        Operands (or `OUTPUT`) whose values the map reads besides, as `call.kept[i]`; those that a
        call lacks do not count. Where several rules or seeds share a batch, they are the values of
        its one image: the map lets them broadcast.
    """

    make: Callable[[Call], Map | tuple[Map, ...]]
    needs_kept: bool = True
    reads: tuple[int, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A table of stand-ins.

    Parameters
    ----------
    name : str
        How it is called in figures and tables.
    table : mapping
        Keys are block types, name patterns such as "conv5*", or predicates on the call; predicates
        and patterns are asked before types, each in the order given. Values are callables from the
        call to a map (`call.transposed` is the block's own), or `StandIn`.
    formula : str
        What happens to p at a ReLU, for pictures.
    unmatched : {"warn", "raise", "transpose"}
        What to do at nonlinear blocks that the table does not name: take their own transposes with
        a warning, refuse, or take them silently. Pooling counts as matched.
    code : str
        Letter code within the family.
    structural : bool
        Whether its maps depend on the network alone and not on what a run kept, other than by
        binding it: such reversals are drawn once and used again with other masks and switches.

    Examples
    --------
    >>> from minicnn.blocks import ReLU, Scale
    >>> Rule("half", {ReLU: lambda call: call.transposed >> Scale(0.5)}).name
    'half'
    """

    name: str
    table: Mapping[Key, StandIn | Callable[[Call], Any]] = field(default_factory=dict)
    formula: str = ""
    unmatched: str = "warn"
    code: str = ""
    structural: bool = False
    _random: tuple[tuple[str, int, str], ...] = ()

    def __post_init__(self) -> None:
        if self.unmatched not in ("warn", "raise", "transpose"):
            raise InputError(
                f"unmatched={self.unmatched!r} for rule {self.name}: use 'warn', 'raise' or "
                f"'transpose'."
            )
        for key, value in self.table.items():
            if not callable(value) and not isinstance(value, StandIn):
                raise RuleError(
                    f"Rule {self.name}, entry {key}: give a function from the call to a map, such "
                    f"as `lambda call: call.transposed >> ReLU()`; got {value!r}."
                )

    def __repr__(self) -> str:
        code = f" ({self.code})" if self.code else ""
        return f"<Rule {self.name}{code}" + (
            f": {self.formula} at a ReLU>" if self.formula else ">"
        )

    def __call__(self, call: Call, wrt: int) -> Map:
        """The map that stands in for the transpose of a call with respect to an operand."""
        call = self._ablated(call)
        entry = self.entry(call)
        if entry is None:
            return own_transpose(call, wrt)
        made = entry.make(call)
        if isinstance(made, tuple):
            if len(made) != len(call.operands):
                raise RuleError(
                    f"Rule {self.name} at {call.name}: its entry gave {len(made)} maps for "
                    f"{len(call.operands)} operands."
                )
            made = made[wrt]
        elif wrt > 0:
            return own_transpose(call, wrt)
        if not callable(made) or isinstance(made, type):
            raise RuleError(
                f"Rule {self.name} at {call.name}: its entry must give a block or another map, "
                f"such as ReLU() or call.transposed; it gave {made!r}."
            )
        return made

    def ablates(self, call: Call) -> bool:
        """Whether it replaces what a call kept by random bits."""
        return any(
            self._randomises(call, statistic, layers) for statistic, _, layers in self._random
        )

    def entry(self, call: Call) -> StandIn | None:
        """The stand-in for a call, if the table names it."""
        for by_type in (False, True):
            for key, value in self.table.items():
                if isinstance(key, type) == by_type and _matches(key, call):
                    return value if isinstance(value, StandIn) else StandIn(value)
        return None

    def needs_kept(self, call: Call) -> bool:
        """Whether this rule reads what a call kept: its mask, switches or values."""
        entry = self.entry(call)
        return entry is None or entry.needs_kept

    def reads(self, call: Call) -> set[Hashable]:
        """The values that its stand-in for a call says it reads."""
        entry = self.entry(call)
        indices = [i for i in entry.reads if i < len(call.operands)] if entry else []
        return {call.output if i == OUTPUT else call.operands[i] for i in indices} - {None}

    def check(self, calls: Sequence[Call], wanted: Iterable[Hashable]) -> list[Call]:
        """Warn or refuse where nonlinear blocks are not named, as `unmatched` says.

        Blocks count as nonlinear, too, where they multiply (or divide by) values that depend on one
        and the same input, such as the gates of squeeze-and-excitation.

        Parameters
        ----------
        calls : sequence of Call
            Those that the rule is about to reverse.
        wanted : iterable of hashable
            The values whose signals are asked for.

        Returns
        -------
        list of Call
            The calls that were warned of.

        Raises
        ------
        RuleError
            If a block is not named and the rule is strict, or if a statistic is to be randomised
            that no call reads.
        """
        for statistic, _, layers in self._random:
            if not any(self._randomises(call, statistic, layers) for call in calls):
                raise RuleError(
                    f"Rule {self.name} reads no {statistic} of layers {layers!r} on this way: "
                    f"randomising them would change nothing."
                )
        if self.unmatched == "transpose":
            return []
        roots: dict[Hashable, set[Hashable]] = {value: {value} for value in wanted}
        missed = []
        for call in calls:
            nonlinear = call.block.nonlinear or _is_product(call, roots)
            if nonlinear and self.entry(call) is None:
                missed.append(call)
            below = set().union(*(roots.get(operand, set()) for operand in call.operands))
            roots.setdefault(call.output, set()).update(below)
        if not missed:
            return []
        listed = ", ".join(f"{call.name} ({call.block.kind})" for call in missed[:8])
        listed += f" and {len(missed) - 8} more" if len(missed) > 8 else ""
        if self.unmatched == "raise":
            raise RuleError(
                f"Rule {self.name} does not say how to reverse {listed}. Add an entry for that "
                f"kind of block, or set unmatched='transpose' to take its own transpose."
            )
        warnings.warn(
            f"Rule {self.name} does not say how to reverse {listed}; their own transposes are used",
            UnmatchedWarning,
            stacklevel=3,
        )
        return missed

    def with_random(self, statistic: str, seed: int, layers: str = "*") -> Rule:
        """The same rule with a statistic replaced by a random one, for ablations.

        Parameters
        ----------
        statistic : {"mask", "switches"}
            A random mask has as many ones, in random places; a random switch picks any tap.
        seed : int
            The same seed gives the same bits for a layer, whatever else is shuffled.
        layers : str
            Name pattern of the layers concerned.
        """
        if statistic not in ("mask", "switches"):
            raise InputError(f"Cannot randomise {statistic!r}: choose 'mask' or 'switches'.")
        if seed < 0:
            raise InputError(f"A seed is 0 or more; got {seed}.")
        return dataclasses.replace(
            self,
            name=f"{self.name} with random {statistic}"
            + ("" if layers == "*" else f" of {layers}")
            + f" (seed {seed})",
            code="",
            structural=False,
            _random=(*self._random, (statistic, seed, layers)),
        )

    def _ablated(self, call: Call) -> Call:
        for statistic, seed, layers in self._random:
            if self._randomises(call, statistic, layers):
                key = (seed, zlib.crc32(call.name.encode()))
                kept = call.block.shuffled(call.kept, key)
                call = dataclasses.replace(call, kept=kept)
        return call

    def _randomises(self, call: Call, statistic: str, layers: str) -> bool:
        named = call.block.statistic == statistic and _is_named(call, layers)
        return named and self.needs_kept(call)


def _is_product(call: Call, roots: Mapping[Hashable, set[Hashable]]) -> bool:
    """Whether a transpose reads values that depend on what its own operand depends on."""
    below = [roots.get(operand, set()) for operand in call.operands]
    everything = set().union(*below)
    return any(
        mine & (everything if index == OUTPUT else below[index])
        for wrt, mine in enumerate(below)
        if mine and wrt not in call.block.blind
        for index in call.block.uses(wrt)
    )


def _matches(key: Key, call: Call) -> bool:
    if isinstance(key, type):
        return isinstance(call.block, key)
    return _is_named(call, key) if isinstance(key, str) else key(call)


def _is_named(call: Call, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in (call.name, call.label) if name)


def is_rectifier(call: Call) -> bool:
    """Whether a call is a ReLU, or clips below at zero as ReLU6 does."""
    return isinstance(call.block, ReLU) or (isinstance(call.block, Clip) and call.block.low == 0)


_AT_RELU: dict[str, tuple[StandIn, str]] = {
    # mask used, backward signal rectified
    "TF": (StandIn(lambda call: call.transposed), "p·1[x>0]"),
    "FT": (StandIn(lambda call: ReLU(), False), "max(p, 0)"),
    "TT": (StandIn(lambda call: call.transposed >> ReLU()), "max(p·1[x>0], 0)"),
    "FF": (StandIn(lambda call: Identity(), False), "p"),
}
_AT_POOL: dict[str, StandIn] = {
    "T": StandIn(lambda call: call.transposed),
    "F": StandIn(lambda call: call.block.to_center(call.shape), False),  # type: ignore[attr-defined]
}
_AT_LRN: dict[str, StandIn] = {
    "T": StandIn(lambda call: Identity(), False),
    "F": StandIn(lambda call: call.transposed),
}


def family(code: str) -> Rule:
    """The rule of a letter code such as "TTF" or "TTFF".

    Parameters
    ----------
    code : str
        Letters T or F: ReLU mask used, pooling switches used, backward signal rectified, and
        optionally LRN as identity (T, the default) or back-propagated (F).

    Examples
    --------
    >>> family("FTT").formula
    'max(p, 0)'
    """
    code = code.upper()
    if len(code) not in (3, 4) or set(code) - set("TF"):
        raise UnknownNameError(f"A rule's code is three or four letters T or F; got {code!r}.")
    mask, switches, rectified, lrn = list(code.ljust(4, "T"))
    at_relu, formula = _AT_RELU[mask + rectified]
    table: dict[Key, StandIn] = {is_rectifier: at_relu, MaxPool: _AT_POOL[switches]}
    table[LRN] = _AT_LRN[lrn]
    if switches == "F":
        formula += ", centre"
    short = code[:3] if lrn == "T" else code
    return Rule(_KNOWN.get(short, short), table, formula, code=short, structural=True)


_KNOWN = {"TTT": "DeSaliNet", "FTT": "DeConvNet"}

SALINET = Rule("SaliNet", {}, "p·1[x>0]", "transpose", "TTFF", structural=True)
DECONVNET = family("FTT")
DESALINET = family("TTT")

_NAMED = {"salinet": SALINET, "deconvnet": DECONVNET, "desalinet": DESALINET}
_ALIASES = {
    "gradient": "salinet",
    "saliency": "salinet",
    "backprop": "salinet",
    "deconvolution": "deconvnet",
    "guided_backprop": "desalinet",
    "guided_backpropagation": "desalinet",
}


def names() -> list[str]:
    """Every name that `find` knows besides letter codes."""
    return [*_NAMED, *_ALIASES]


def family_codes(lrn: bool = False) -> list[str]:
    """The letter codes in the order of the paper's figure 3; with lrn also their fourth letters."""
    codes = ["TTT", "TFT", "FFT", "FTT", "TTF", "TFF", "FFF", "FTF"]
    return codes + [code + "F" for code in codes] if lrn else codes


def find(rule: Rule | str) -> Rule:
    """A rule by name, alias or letter code; rules themselves pass through.

    Examples
    --------
    >>> find("guided_backprop").name
    'DeSaliNet'
    >>> find("TTFF").name
    'SaliNet'
    """
    if isinstance(rule, Rule):
        return rule
    if not isinstance(rule, str):
        raise RuleError(
            f"A rule is a Rule, a name or a letter code; got {type(rule).__name__}. A table "
            f"becomes one with Rule('mine', table)."
        )
    key = rule.strip().lower().replace("-", "_").replace(" ", "_")
    key = _ALIASES.get(key, key)
    if key in _NAMED:
        return _NAMED[key]
    if len(key) in (3, 4) and not set(key) - set("tf"):
        return SALINET if key == "ttff" else family(key)
    raise UnknownNameError(
        f"There is no rule {rule!r}. {nearest(key, names())} Letter codes such as TTF name the "
        f"whole family."
    )

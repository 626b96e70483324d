"""Tape: what one forward run of a network recorded, and all that can be sent back through it.

The tape keeps for each call its mask or switches as bits, and the values that transposes read;
other values are computed again when asked for (or held from the start: `record(x, keep=...)`).
Nothing ever changes it: values are handed out read-only, the input is a copy of its own. So one
tape serves any number of rules and seeds. (The network's parameters are shared, not copied: who
changes them after recording should record again.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import kernels
from minicnn import rules as rulebook
from minicnn.blocks import OUTPUT, Kept, Packed, Shape
from minicnn.calls import Call, reaches
from minicnn.errors import InputError, NotDifferentiableError, RuleError
from minicnn.graph import listed
from minicnn.joint import Joint, batched
from minicnn.kernels.devices import full
from minicnn.reversal import Drawing
from minicnn.rules import Rule
from minicnn.seeds import Seed

if TYPE_CHECKING:
    from minicnn.network import Network

__all__ = ["Tape", "frozen"]


class Tape:
    """A recorded forward run, made by `Network.record`.

    `tape[name]` is a value of the run, `tape.backward(seed, rule)` what a top signal becomes at the
    input, `tape.reverse(at, rule)` the network that does it.

    Parameters
    ----------
    network : Network
        What ran.
    calls : sequence of Call
        What it did, in order.
    held : mapping
        Values held by name, inputs and outputs among them.
    shapes : mapping
        Shape of every value.
    dropped : mapping
        Calls whose statistic was not kept, and for which rules the run was recorded.
    seconds : mapping
        Time each call took.
    even : bool
        Whether kernels ran that treat equal windows equally: the input had flat areas.
    """

    def __init__(
        self,
        network: Network,
        calls: Sequence[Call],
        held: Mapping[str, np.ndarray],
        shapes: Mapping[str, Shape],
        dropped: Mapping[str, str],
        seconds: Mapping[str, float],
        even: bool = False,
    ) -> None:
        self.network, self.even = network, even
        self.calls = tuple(calls)
        self._by_name = {call.name: call for call in calls}
        self.shapes = MappingProxyType(dict(shapes))
        self.seconds = MappingProxyType(dict(seconds))
        self._held = MappingProxyType(dict(held))
        self._dropped = MappingProxyType(dict(dropped))

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64."""
        return self.network.dtype

    @property
    def output(self) -> np.ndarray:
        """The network's output (the first one, if there are several)."""
        return self[self.network.outputs[0]]

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """What the network was run on."""
        return {name: self.network.handed(x) for name, x in self._inputs.items()}

    @property
    def _inputs(self) -> dict[str, Any]:
        return {name: self._held[name] for name in self.network.inputs}

    def zeros(self, at: str) -> Any:
        """Zeros shaped like a value, where the caller's arrays live: a signal to be filled in."""
        at = self.network.value_name(at)
        if self.network.hosted:
            return np.zeros(self.shapes[at], self.dtype)
        like = next(iter(self._inputs.values()))
        return full(like, tuple(self.shapes[at]), 0, self.dtype)

    def __getitem__(self, name: str) -> np.ndarray:
        name = self.network.value_name(name)
        return self.fetch([name])[name]

    def __contains__(self, name: str) -> bool:
        return name in self._held or name in self._by_name

    def fetch(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Values by name, in one run for all that are not held; the same bits either way."""
        return {n: self.network.handed(value) for n, value in self._found(names).items()}

    def _found(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        names = [self.network.value_name(name) for name in names]
        missing = [name for name in names if name not in self._held]
        values = dict(self._held)
        if missing:
            with kernels.evenly(self.even):
                found = self.network._found(self._inputs, missing)
            values.update((name, frozen(value)) for name, value in found.items())
        return {name: values[name] for name in names}

    def call(self, name: str) -> Call:
        """The call of a node, with what it kept."""
        name = self.network.value_name(name)
        if name not in self._by_name:
            raise InputError(f"{name} is an input: no block was called for it.")
        return self._bound(self._by_name[name], self)

    def reverse(
        self,
        at: str | Sequence[str] | None = None,
        rule: Rule | str = "salinet",
        wrt: str | Sequence[str] | None = None,
    ) -> Network:
        """The reversed network under a rule: a network from top signals to signals below.

        Parameters
        ----------
        at : str or sequence of str, optional
            Where signals enter; by default at the output. One signal is the input "p".
        rule : Rule or str
            What stands in for the transposes.
        wrt : str or sequence of str, optional
            Where signals are asked for: inputs (the default), any value, parameters by name, or
            "parameters" for all of them.

        Returns
        -------
        Network
            Linear in p under SaliNet. Its `mirror` says which of its values is the signal at which
            value of this network.

        Raises
        ------
        RuleError
            If the rule cannot reverse a block, or this tape did not keep what it needs.
        NotDifferentiableError
            If what is asked for does not influence where the signal enters.
        """
        return self._drawn(at, rulebook.find(rule), wrt)[0]

    def _drawn(
        self, at: str | Sequence[str] | None, rule: Rule, wrt: str | Sequence[str] | None
    ) -> tuple[Network, bool]:
        """The reversed network, and whether it is the same for every run but for what is bound."""
        network = self.network
        tops = [network.value_name(n) for n in listed(at) or network.outputs[:1]]
        targets = self._targets(wrt, tops)
        if len({*tops}) < len(tops):
            raise InputError(f"A signal enters twice at one value: {', '.join(tops)}.")
        path = self._path(tops, targets)
        warned = self._check(path, targets, rule)
        calls, values = self._ready(path, targets, [rule])
        drawing = Drawing(
            path=calls,
            rule=rule,
            known={**network.arrays, **values},
            shapes={top: self.shapes[top] for top in tops},
            targets=targets,
            dtype=self.dtype,
        )
        return self._as_network(drawing), rule.structural and not warned and not values

    def _drawn_batch(self, at: str, joint: Joint, batch: int) -> tuple[Network, bool]:
        """The same for several rules on the way to the input, as one batch."""
        network = self.network
        targets = list(network.inputs)
        path = self._path([at], targets)
        warned = [call for rule in joint.rules for call in self._check(path, targets, rule)]
        calls, values = self._ready(path, targets, joint.rules)
        drawing = Drawing(
            path=[batched(call, batch, network.arrays.keys()) for call in calls],
            rule=joint,
            known={**network.arrays, **values},
            shapes={at: (batch, *self.shapes[at][1:])},
            targets=targets,
            dtype=self.dtype,
        )
        return self._as_network(drawing), not warned and not values

    def _check(self, path: Sequence[Call], targets: Sequence[str], rule: Rule) -> list[Call]:
        warned = rule.check(path, targets)
        self._check_kept(path, rule)
        return warned

    def _ready(
        self, path: Sequence[Call], targets: Sequence[str], rules: Sequence[Rule]
    ) -> tuple[list[Call], dict[str, np.ndarray]]:
        """Calls with the values that their transposes or stand-ins read at hand, and these."""
        active = reaches(path, targets)
        own = [call for call in path if any(rule.needs_kept(call) for rule in rules)]
        read = {name for call in own for name in self._values_read(call, active)}
        read |= {str(value) for call in path for rule in rules for value in rule.reads(call)}
        values = self._found(read - self.network.arrays.keys())
        return [self._bound(call, values) for call in path], values

    def _as_network(self, drawing: Drawing) -> Network:
        network, arrays = self.network, drawing.builder.arrays
        arrays = {name: kernels.to_device(a, network.device) for name, a in arrays.items()}
        return network.derived(
            name=f"{network.name} reversed by {drawing.rule.name}",
            inputs=drawing.inputs,
            nodes=drawing.builder.nodes,
            outputs=drawing.outputs,
            arrays=arrays,
            constants=frozenset(arrays.keys() - network.arrays.keys()) | network.constants,
            mirror=drawing.mirror,
            preprocess=None,
            labels=(),
            typical={},
        )

    def _reversed(
        self, at: str | Sequence[str] | None, rule: Rule, wrt: str | Sequence[str] | None
    ) -> tuple[Network, dict[str, Packed]]:
        """A reversed network and this run's masks and switches for it.

        What is the same for every run is drawn once and remembered by the network.
        """
        network = self.network
        tops = [network.value_name(n) for n in listed(at) or network.outputs[:1]]
        shapes = tuple(x.shape for x in self._inputs.values())
        key = (rule.name, rule.code, tuple(tops), tuple(self._targets(wrt, tops)), shapes)
        found = self._remembered(key) if rule.structural else None
        if found is not None:
            return found
        drawn, same = self._drawn(at, rule, wrt)
        slots = self._slots(drawn)
        if same and slots is not None:
            network.remember_reversal(key, drawn, slots)
        return drawn, {}

    def _remembered(self, key: Any) -> tuple[Network, dict[str, Packed]] | None:
        """A network drawn for another run, with the bits of this one; None if they are not kept."""
        found = self.network.known_reversal(key)
        if found is None:
            return None
        drawn, slots = found
        bits: dict[str, Packed] = {}
        for node, call in slots.items():
            statistic = self._by_name[call].kept.statistic
            if statistic is None:
                return None  # drawing anew says what is missing
            bits[node] = statistic
        return drawn, bits

    def _slots(self, drawn: Network) -> dict[str, str] | None:
        """For each node that holds bits of this run, whose they are; None if others turn up."""
        owners = {id(c.kept.statistic): c.name for c in self.calls if c.kept.statistic is not None}
        slots: dict[str, str] = {}
        for node in drawn.nodes:
            found = {owners.get(id(bits), "") for bits in node.block.bound()}
            if len(found) > 1 or "" in found:
                return None
            slots.update((node.name, owner) for owner in found)
        return slots

    def backward(
        self,
        seed: Seed | np.ndarray,
        rule: Rule | str = "salinet",
        at: str | None = None,
        wrt: str | Sequence[str] | None = None,
    ) -> Any:
        """Send a top signal back: build the reversed network and run it.

        Parameters
        ----------
        seed : Seed or array
            The top signal; an array enters at `at`, or at the output.
        rule : Rule or str
            What stands in for the transposes.
        at : str, optional
            Where an array enters.
        wrt : str or sequence of str, optional
            Where the signal is asked for; see `reverse`.

        Returns
        -------
        numpy.ndarray or dict
            The signal at the input; by name if several were asked for.
        """
        if isinstance(seed, Seed):
            if at is not None and self.network.value_name(at) != seed.at:
                raise InputError(f"The seed enters at {seed.at}, not at {at}; leave `at` out.")
            at, p = seed.at, seed.p
        else:
            p = seed
        p = kernels.to_device(p, self.network.device)
        reversed_network, bits = self._reversed(at, rulebook.find(rule), wrt)
        result = self.network._handed(reversed_network.with_bits(bits, p))
        targets = self._targets(wrt, listed(at) or self.network.outputs[:1])
        if len(targets) == 1 and (wrt is None or isinstance(wrt, str)) and wrt != "parameters":
            return result
        values = result if isinstance(result, tuple) else (result,)
        return dict(zip(targets, values, strict=True))

    def compare(
        self,
        seeds: Seed | Sequence[Seed],
        rules: Rule | str | Sequence[Rule | str] = ("salinet", "deconvnet", "desalinet"),
    ) -> dict[str, Any]:
        """The maps of several rules for the same seeds, all from this one forward run.

        Returns
        -------
        dict
            For each rule's name, the map at the input, or a list of maps for a list of seeds.
        """
        listed = [seeds] if isinstance(seeds, Seed) else list(seeds)
        named = [rules] if isinstance(rules, (Rule, str)) else rules
        found = [rulebook.find(rule) for rule in named]
        if len({rule.name for rule in found}) < len(found):
            raise InputError(f"Two rules of one name: {'; '.join(r.name for r in found)}.")
        maps: dict[str, list[Any]] = {rule.name: [None] * len(listed) for rule in found}
        for at in dict.fromkeys(seed.at for seed in listed):
            places = [i for i, seed in enumerate(listed) if seed.at == at]
            there = [listed[i] for i in places]
            for rule, values in zip(found, self._together(at, there, found), strict=True):
                for i, value in zip(places, values, strict=True):
                    maps[rule.name][i] = value
        if isinstance(seeds, Seed):
            return {name: values[0] for name, values in maps.items()}
        return maps

    def _together(
        self, at: str, seeds: Sequence[Seed], rules: Sequence[Rule]
    ) -> list[list[np.ndarray]]:
        """For each rule the maps of seeds at one value: as one batch where the run was one image.

        The result is the same bits as one by one, since no kernel's result depends on the batch.
        """
        if len(rules) * len(seeds) == 1 or not self._is_one_image(at):
            return [[self.backward(seed, rule) for seed in seeds] for rule in rules]
        device = self.network.device
        p = np.concatenate([kernels.to_device(seed.p, device) for seed in seeds])
        reversed_network, bits = self._joint(at, rules, len(seeds))
        result = reversed_network.with_bits(bits, np.concatenate([p] * len(rules)))
        result = self.network.handed(result)
        maps = iter(result[i : i + 1].copy() for i in range(len(result)))
        return [[next(maps) for _ in seeds] for _ in rules]

    def _is_one_image(self, at: str) -> bool:
        """Whether every value on the way down from `at` to a single input holds one image."""
        values = [str(call.output) for call in self._path([at], list(self.network.inputs))]
        shapes = [self.shapes[name] for name in [*values, *self.network.inputs]]
        return len(self.network.inputs) == 1 and all(s and s[0] == 1 for s in shapes)

    def _joint(
        self, at: str, rules: Sequence[Rule], each: int
    ) -> tuple[Network, dict[str, Packed]]:
        """One network for several rules, and this run's masks and switches for it."""
        network = self.network
        structural = all(rule.structural for rule in rules)
        shapes = tuple(x.shape for x in self._inputs.values())
        key = (tuple((rule.name, rule.code) for rule in rules), at, each, shapes)
        found = self._remembered(key) if structural else None
        if found is not None:
            return found
        joint = Joint(rules, each, self.dtype, network.arrays.keys())
        drawn, same = self._drawn_batch(at, joint, len(rules) * each)
        slots = self._slots(drawn)
        if structural and same and slots is not None:
            network.remember_reversal(key, drawn, slots)
        return drawn, {}

    def kept_bytes(self, name: str) -> int:
        """Bytes that a call keeps for its transpose with respect to its inputs.

        Bits count as stored; values that the transpose reads count in full, parameters not at all
        (they are there anyway).
        """
        call = self.call(name)
        total = call.kept.statistic.nbytes if call.kept.statistic else 0
        for value in self._values_read(call):
            if value not in self.network.arrays:
                total += int(np.prod(self.shapes[value])) * self.dtype.itemsize
        return total

    def bits(self, rule: Rule | str = "salinet", at: str | None = None) -> int:
        """Bits of masks and switches that a rule uses on its way down from `at` (the output).

        Whole layers are counted, also where the signal of a single unit passes few of their units.
        """
        rule = rulebook.find(rule)
        top = self.network.value_name(at or self.network.outputs[0])
        path = self._path([top], list(self.network.inputs))
        self._check_kept(path, rule)
        return sum(
            call.kept.statistic.bits
            for call in path
            if call.kept.statistic and rule.needs_kept(call)
        )

    def depends_on_values(self) -> bool:
        """Whether any transpose reads masks, switches or values of this run.

        If not, the network is linear in its inputs, and its reversal the same for every input.
        """
        return any(
            call.kept.statistic is not None
            or any(value not in self.network.arrays for value in self._values_read(call))
            for call in self.calls
        )

    def _values_read(self, call: Call, active: set[Any] | None = None) -> set[str]:
        """Names that a call's transposes read: those towards `active`, or towards all inputs."""
        indices = {
            index
            for wrt, operand in enumerate(call.operands)
            if wrt not in call.block.blind
            and (operand in active if active is not None else operand not in self.network.arrays)
            for index in call.block.uses(wrt)
        }
        return {str(call.output if i == OUTPUT else call.operands[i]) for i in indices}

    def _bound(self, call: Call, values: Any) -> Call:
        """The call with its kept values at hand: `values` gives those that are not parameters."""

        def read(index: int) -> np.ndarray:
            name = str(call.output if index == OUTPUT else call.operands[index])
            arrays = self.network.arrays
            if name in arrays:
                return arrays[name]
            return values[name] if name in values else self._found([name])[name]

        kept = call.kept
        return replace(call, kept=Kept(kept.statistic, kept.shapes, read))

    def _targets(self, wrt: str | Sequence[str] | None, tops: Sequence[str]) -> list[str]:
        """Where signals are asked for; of "parameters" those that influence the tops."""
        if wrt is None:
            return [name for name in self.network.inputs if name not in self.network.types]
        if wrt == "parameters":
            ends = [self.network.value_name(name) for name in tops]
            below = {operand for node in self.network.needed(ends) for operand in node.operands}
            return [name for name in self.network.parameter_names() if name in below]
        known = self.network.arrays
        return [n if n in known else self.network.value_name(n) for n in listed(wrt)]

    def _path(self, tops: Sequence[str], targets: Sequence[str]) -> list[Call]:
        """The calls through which signals go from tops to targets, in running order."""
        active = reaches(self.calls, targets)
        needed, path = set(tops), []
        for call in reversed(self.calls):
            if call.output in needed and call.output in active:
                path.append(call)
                needed.update(str(operand) for operand in call.operands)
        if not path and not needed & set(targets):
            self._say_what_is_blind(tops, targets)
        return path[::-1]

    def _say_what_is_blind(self, tops: Sequence[str], targets: Sequence[str]) -> None:
        """Name the blocks through which a signal would have to go, and cannot."""
        below, needed, blind = set(targets), set(tops), []
        for call in self.calls:
            if below & set(call.operands):
                below.add(str(call.output))
        for call in reversed(self.calls):
            if call.output in needed and call.output in below:
                seeing = [o for i, o in enumerate(call.operands) if i not in call.block.blind]
                needed.update(str(operand) for operand in seeing)
                if any(call.operands[i] in below for i in call.block.blind):
                    blind.append(f"{call.block.kind} at {call.name}")
        if blind:
            raise NotDifferentiableError(
                f"{', '.join(tops)} depends on {', '.join(targets)} only through "
                f"{', '.join(blind)}, which jumps and has no gradient. Ask at a value before it."
            )

    def _check_kept(self, path: Sequence[Call], rule: Rule) -> None:
        for call in path:
            if call.name in self._dropped and rule.needs_kept(call):
                raise RuleError(
                    f"This tape was recorded for {self._dropped[call.name]} and did not keep the "
                    f"{call.block.statistic} of {call.name}, which {rule.name} needs. Record "
                    f"again: net.record(x, rules=[..., {rule.name!r}])."
                )

    def __repr__(self) -> str:
        kept = sum(call.kept.statistic.nbytes for call in self.calls if call.kept.statistic)
        held = sum(self._held[n].nbytes for n in self._held)
        return (
            f"<Tape of {self.network.name}: {len(self.calls)} calls, {kept:,} bytes of masks and "
            f"switches, {held:,} bytes of values held>"
        )


def frozen(array: np.ndarray) -> np.ndarray:
    """A view that nobody can write through; arrays on a card know no such thing."""
    if kernels.on_gpu(array):
        return array
    view = array.view()
    view.flags.writeable = False
    return view

"""The planner of a network: makes plans when they are first needed, and keeps the latest.

A network is planned when it computes in float32 and its parameters are frozen (not writable), as
those of loaded networks are. All else runs block by block.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.blocks import Shape
from minicnn.kernels.registry import overruled
from minicnn.planning.packs import Packs, is_frozen
from minicnn.structure import Structure

if TYPE_CHECKING:
    from minicnn.planning.plan import Plan

__all__ = ["Planner"]

LATEST = 24  # plans kept; each holds the memory that its values need


class Planner:
    """Plans by what they are for.

    Parameters
    ----------
    packs : Packs, optional
        Packed filters, shared with related networks.
    """

    def __init__(self, packs: Packs | None = None) -> None:
        self.packs = packs or Packs()
        self._plans: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.RLock()

    def related(self) -> Planner:
        """A planner for a network made from this one's: its filters are packed once."""
        return Planner(self.packs)

    def is_frozen(self, network: Structure) -> bool:
        """Whether nobody may change the network's arrays."""
        return all(is_frozen(array) for array in network.arrays.values())

    def why_not(self, network: Structure, inputs: Mapping[str, np.ndarray]) -> str:
        """Why a network runs block by block; empty where it is planned."""
        if network.dtype != np.float32:
            return f"it computes in {network.dtype}; kernels compute in float32"
        for name, array in network.arrays.items():
            if not is_frozen(array):
                return (
                    f"its parameters can change ({name} is writable): call freeze() if they are "
                    f"not to be trained"
                )
        if any(0 in x.shape for x in inputs.values()):
            return "an input is empty"
        return ""

    def plan(
        self,
        network: Structure,
        inputs: Mapping[str, np.ndarray],
        wanted: Sequence[str],
        keeping: Sequence[str] = (),
    ) -> Any:
        """The plan for these inputs, values and statistics, or None: run block by block."""
        if self.why_not(network, inputs):
            return None
        if network.device.kind == "cuda":
            return self._card_plan(network, inputs, wanted, keeping)
        from minicnn.kernels.cpu.team import threads

        layout = tuple((name, x.shape, x.strides) for name, x in inputs.items())
        wishes = tuple(sorted(overruled().items()))
        version = self.packs.version
        key = (layout, tuple(wanted), frozenset(keeping), wishes, threads(), version)
        with self._lock:
            if key in self._plans:
                self._plans.move_to_end(key)
                return self._plans[key]
            plan = self._plans[key] = self._made(network, inputs, wanted, keeping)
            while len(self._plans) > LATEST:
                self._plans.popitem(last=False)
            return plan

    def _card_plan(
        self,
        network: Structure,
        inputs: Mapping[str, Any],
        wanted: Sequence[str],
        keeping: Sequence[str],
    ) -> Any:
        """The same on a card: shapes alone tell plans apart, inputs are copied in."""
        layout = tuple((name, x.shape) for name, x in inputs.items())
        wishes = tuple(sorted(overruled().items()))
        key = (layout, tuple(wanted), frozenset(keeping), wishes, self.packs.version)
        with self._lock:
            if key not in self._plans:
                from minicnn.planning.card import CardPlan

                shapes = network.infer_shapes(*(x.shape for x in inputs.values()))
                nodes = network.needed([*wanted, *keeping])
                self._plans[key] = CardPlan(
                    nodes, network.arrays, shapes, wanted, keeping, self.packs, network.foreign
                )
            self._plans.move_to_end(key)
            while len(self._plans) > LATEST:
                self._plans.popitem(last=False)
            return self._plans[key]

    def _made(
        self,
        network: Structure,
        inputs: Mapping[str, np.ndarray],
        wanted: Sequence[str],
        keeping: Sequence[str],
    ) -> Plan:
        from minicnn.planning.plan import Plan  # imports Numba: only when needed

        shapes: dict[str, Shape] = network.infer_shapes(*(x.shape for x in inputs.values()))
        nodes = network.needed([*wanted, *keeping])
        used = {operand for node in nodes for operand in node.operands} | set(wanted)
        strides = {name: x.strides for name, x in inputs.items() if name in used}
        foreign = set(network.foreign)
        return Plan(nodes, network.arrays, shapes, strides, wanted, keeping, self.packs, foreign)

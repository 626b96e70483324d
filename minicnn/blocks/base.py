"""The one idea of the house: every block f has a transposed block, and that is a block too.

A block is a pure function of arrays with fixed settings. `forward` gives its output and the
*statistic* that its transpose needs (a ReLU's mask, a pooling's switches; most need none).
`transposed(kept, wrt)` gives the map that carries a top signal p from the output back to operand
`wrt`,

    p  ->  J^T p,       J = d output / d operand,

built from blocks again. It is linear in p. Since it is written with the same operators and blocks
that users write with, it runs on arrays, records on tensors (which makes gradients of gradients
exact) and draws itself when handed symbols (which makes the reversed network).

Source: A. Vedaldi's lectures on backpropagation networks; A. Mahendran and A. Vedaldi, "Salient
Deconvolutional Networks", ECCV 2016.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from minicnn.blocks.sight import Box, same_places
from minicnn.errors import DeviceError, InputError, NotDifferentiableError, RuleError, ShapeError
from minicnn.kernels import Packed, as_array, given, on_gpu, place_of

__all__ = [
    "OUTPUT",
    "Block",
    "Identity",
    "Kept",
    "Operand",
    "Piece",
    "Shape",
    "axis_of",
    "broadcast",
    "numbers",
]

Shape = tuple[int, ...]

OUTPUT = -1  # index by which a block refers to its own output among its operands


class Operand:
    """What blocks can be called on besides arrays: tensors and symbols derive from it."""

    shape: Shape
    dtype: np.dtype
    __array_ufunc__ = None  # let array * operand reach operand.__rmul__

    def values(self) -> Any:
        """The numbers where they live, where there are any."""
        raise InputError(f"A {type(self).__name__} has no numbers yet.")

    def apply(self, block: Block, operands: Sequence[Any]) -> Any:
        """Run, record or draw the block on operands of this kind."""
        raise TypeError(f"{type(self).__name__} does not say how to apply a block")


class Kept:
    """What one call of a block left for its transpose.

    Parameters
    ----------
    statistic : Packed or None
        Mask or switches; None where the block needs none.
    shapes : sequence of tuple of int
        Shapes of the operands.
    read : callable
        Gives operand i's value, or the output's for `OUTPUT`: an array, or a tensor on a tape.
    """

    __slots__ = ("_read", "memo", "shapes", "statistic")

    def __init__(
        self, statistic: Packed | None, shapes: Sequence[Shape], read: Callable[[int], Any]
    ) -> None:
        self.statistic = statistic
        self.shapes = tuple(shapes)
        self._read = read
        self.memo: Any = None  # for blocks whose transposes share work

    def __getitem__(self, index: int) -> Any:
        return self._read(index)

    def __repr__(self) -> str:
        bits = f"{self.statistic.bits:,} bits" if self.statistic else "no bits"
        return f"<Kept: {bits}, operands of shapes {list(self.shapes)}>"

    def bits_of(self, block: Block) -> Packed:
        """The statistic, or an error for people where it was not kept."""
        if self.statistic is None:
            raise RuleError(
                f"The {block.statistic} of this {block.kind} was not kept: the tape was recorded "
                f"for rules that say that they do not need it (needs_kept=False)."
            )
        return self.statistic

    @property
    def output(self) -> Any:
        """The output's value."""
        return self._read(OUTPUT)

    def replaced(self, statistic: Packed | None) -> Kept:
        """The same with another statistic, for ablations."""
        return Kept(statistic, self.shapes, self._read)


class Piece:
    """A map from top signal to signal, made of blocks; `a >> b` runs a, then b."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, p: Any) -> Any:
        return self.function(p)

    def __rshift__(self, after: Callable[[Any], Any]) -> Piece:
        return Piece(lambda p: after(self(p)))


class Block:
    """A pure function of arrays with fixed settings, and its transpose.

    Subclasses are frozen dataclasses of their settings and define `forward` and `transposed`, and
    `shape` where the output is not shaped like the (broadcast) operands.

    Attributes
    ----------
    operand_names : tuple of str
        What the operands are called.
    buffers : tuple of int
        Operands that are running statistics rather than parameters to learn.
    nonlinear : bool
        Whether reversal rules have a choice here; a rule that does not name such a block is told.
    blind : tuple of int
        Operands that get no signal and may hold integers or truth values: conditions, indices,
        whatever the output only jumps with.
    kinds : str
        What the other operands may hold, as NumPy's letters: floats, and for some blocks also
        whole numbers ("i", "u") and truth values ("b").
    statistic : str
        What the kept bits are called: "mask", "switches", "coins", or nothing.
    pointwise : bool
        Whether an output depends only on what the operands hold at the same place of the image, in
        whichever channels.
    filling : float
        What counts as lying outside of the image.
    """

    operand_names: ClassVar[tuple[str, ...]] = ("input",)
    buffers: ClassVar[tuple[int, ...]] = ()
    nonlinear: ClassVar[bool] = False
    blind: ClassVar[tuple[int, ...]] = ()
    kinds: ClassVar[str] = "f"
    statistic: ClassVar[str] = ""
    pointwise: ClassVar[bool] = False
    filling: ClassVar[float] = 0.0

    def forward(self, *operands: Any) -> tuple[np.ndarray, Packed | None]:
        """Compute the output from arrays, and the statistic that the transpose needs."""
        raise TypeError(f"{self.kind} has no forward")

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        """The map p -> J^T p with respect to operand `wrt`, linear in the top signal p."""
        raise NotDifferentiableError(f"{self.kind} has no gradient: it only jumps.")

    def uses(self, wrt: int = 0) -> tuple[int, ...]:
        """Operands (or OUTPUT) whose values `transposed(kept, wrt)` reads; none by default."""
        return ()

    def shape(self, *shapes: Shape) -> Shape:
        """Output shape from operand shapes; broadcasting unless a block says otherwise."""
        return broadcast(self, *shapes)

    def dtype(self, *dtypes: np.dtype) -> np.dtype:
        """Type of the output from the types of the operands: what NumPy makes of them."""
        return np.result_type(*dtypes)

    def reads(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        """What a box of outputs reads of an operand: a hull, which may reach into the padding.

        Parameters
        ----------
        wrt : int
            The operand.
        shapes : sequence of tuple of int
            Shapes of all operands.
        box : Box
            Spans of the output's last axes; see `sight`.

        Returns
        -------
        Box or None
            None where no smaller box than the whole operand can be told.
        """
        return same_places(shapes[wrt], self.shape(*shapes), box) if self.pointwise else None

    def reached(self, wrt: int, shapes: Sequence[Shape], box: Box) -> Box | None:
        """Which outputs a box of an operand reaches; parameters and None as in `reads`."""
        out = self.shape(*shapes)
        if not self.pointwise or same_places(shapes[wrt], out, box) is None:
            return None
        sizes = zip(shapes[wrt][-len(box) :], out[-len(box) :], box, strict=True) if box else ()
        return tuple(span if n == m else (0, m) for n, m, span in sizes)

    def on_part(self) -> Block | None:
        """The block for operands cut to exactly what a box of outputs reads; None: there is none.

        Where the cut goes beyond the image, the operands hold `filling`.
        """
        return self if self.pointwise else None

    def levels(self, *shapes: Shape) -> int:
        """How many values the statistic can take: 2 for a mask, the taps for switches."""
        return 2

    def bound(self) -> list[Packed]:
        """The masks and switches bound into the block."""
        if not dataclasses.is_dataclass(self):
            return []
        values = (getattr(self, field.name) for field in dataclasses.fields(self))
        return [value for value in values if isinstance(value, Packed)]

    def rebound(self, statistic: Packed) -> Block:
        """The same block with another mask or other switches bound in."""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            if isinstance(getattr(self, field.name), Packed):
                return dataclasses.replace(self, **{field.name: statistic})  # type: ignore[type-var]
        raise RuleError(f"{self.kind} holds no statistic that could be replaced.")

    def on(self, device: Any) -> Block:
        """The same block with the bits bound into it on a device; tables follow when used."""
        moved: dict[str, Any] = {}
        if dataclasses.is_dataclass(self):
            for field in dataclasses.fields(self):
                value = getattr(self, field.name)
                if isinstance(value, Packed):
                    moved[field.name] = value.to(device)
        return dataclasses.replace(self, **moved) if moved else self  # type: ignore[type-var]

    def flops(self, *shapes: Shape) -> int:
        """Floating-point operations of one call; one an output element unless stated."""
        return int(np.prod(self.shape(*shapes)))

    @property
    def kind(self) -> str:
        """The block's name in tables."""
        return type(self).__name__

    def __call__(self, *operands: Any) -> Any:
        for operand in operands:
            if isinstance(operand, Operand):
                return operand.apply(self, operands)
        card = next((operand for operand in operands if on_gpu(operand)), None)
        arrays = [
            _any(operand, card) if i in self.blind else _floats(operand, card)
            for i, operand in enumerate(operands)
        ]
        self.shape(*(array.shape for array in arrays))
        self.check_places(arrays)
        return self.forward(*arrays)[0]

    def check_places(self, arrays: Sequence[Any]) -> None:
        """Refuse arrays of several devices: nothing is copied behind anybody's back.

        Raises
        ------
        DeviceError
        """
        if any(on_gpu(array) for array in arrays):
            places = list(dict.fromkeys(str(place_of(array)) for array in arrays))
            if len(places) > 1:
                raise DeviceError(
                    f"{self.kind} got operands on {' and '.join(places)}; move them to one device, "
                    f'such as x.to("{places[0]}").'
                )

    def record(self, *operands: np.ndarray) -> tuple[np.ndarray, Kept]:
        """Run on arrays and keep everything: (output, kept), for study and tests."""
        y, statistic = self.forward(*operands)
        values = [*operands, y]  # index -1 is the output
        return y, Kept(statistic, [np.shape(o) for o in operands], lambda i: values[i])

    def __rshift__(self, after: Callable[[Any], Any]) -> Piece:
        return Piece(self) >> after

    def shuffled(self, kept: Kept, seed: Sequence[int]) -> Kept:
        """What was kept, with its statistic at random: as many ones, in random places."""
        statistic = kept.bits_of(self)
        return kept.replaced(statistic.shuffled(np.random.default_rng(seed)))

    def settings(self) -> str:
        """The settings that differ from their defaults, as they would be typed."""
        if not dataclasses.is_dataclass(self):
            return ""
        shown = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (Packed, np.ndarray)) or value == field.default:
                continue
            shown.append(f"{field.name}={value}")
        return ", ".join(shown)

    def __str__(self) -> str:
        return f"{self.kind}({self.settings()})"


def _floats(operand: Any, card: Any = None) -> Any:
    """An operand as an array of floats; numbers and lists become float32, beside `card`."""
    if not hasattr(operand, "dtype"):
        return given(operand, np.float32, card)
    if operand.dtype.kind != "f":
        raise InputError(
            f"Blocks compute in float32 or float64; got an array of {operand.dtype}. Convert it "
            f"with x.astype(np.float32)."
        )
    return operand


def _any(operand: Any, card: Any = None) -> Any:
    """An operand of any type as an array; numbers and lists beside `card`."""
    return operand if hasattr(operand, "dtype") else given(operand, None, card)


def numbers(value: Any) -> np.ndarray:
    """The numbers of an array or tensor, without its history: what a transpose jumps with."""
    return as_array(value.values() if isinstance(value, Operand) else value)


def broadcast(block: Block, *shapes: Shape) -> Shape:
    """The shape that shapes broadcast to, or an error for people."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(str(shape) for shape in shapes)
        raise ShapeError(f"{block.kind} cannot broadcast {listed}.") from None


def axis_of(block: Block, axis: int, rank: int) -> int:
    """An axis counted from the front, or an error for people."""
    if not -rank <= axis < rank:
        raise ShapeError(f"{block.kind}: there is no axis {axis} among {rank} axes.")
    return axis % rank


@dataclasses.dataclass(frozen=True)
class Identity(Block):
    """y = x. Its own transpose; DeConvNet's stand-in for LRN."""

    kinds = "biuf"
    pointwise = True

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return x, None

    def transposed(self, kept: Kept, wrt: int = 0) -> Callable[[Any], Any]:
        return self

    def flops(self, *shapes: Shape) -> int:
        return 0

"""Structure: the graph of a network, without running it. Names, shapes, pieces.

`Network` adds running, recording and learning to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np

from minicnn import kernels
from minicnn.blocks import Cast, Flatten, Identity, LogSoftmax, Reshape, Shape, Softmax, Squeeze
from minicnn.errors import DeviceError, InputError, ShapeError, UnknownNameError, nearest
from minicnn.graph import Mirror, Node, listed
from minicnn.kernels.devices import CPU, Device, check_current
from minicnn.preprocess import Preprocess

__all__ = ["FreeShape", "Structure", "TensorFacts", "spoken"]

FreeShape = tuple[int | None, ...]
"""A shape in which None stands for any length."""


class TensorFacts(NamedTuple):
    """Shape and type of a value."""

    shape: Shape
    dtype: np.dtype


@dataclass(frozen=True, eq=False)
class Structure:
    """A graph of named blocks.

    Parameters
    ----------
    name : str
        For titles.
    inputs : mapping
        Shape of each input, None where any length will do.
    nodes : sequence of Node
        In an order in which they can run.
    outputs : sequence of str
        Names of the values returned.
    arrays : mapping
        Parameters and constants by name. They are shared, never copied.
    preprocess : Preprocess
        How a photo becomes an input.
    labels : sequence of str
        Names of the classes, if known.
    mirror : Mirror, optional
        Of a reversed network: which of its values belong to which of the network below.
    constants : frozenset of str
        Arrays that are no parameters: of a reversed network, what was kept of the forward run.
    metadata : mapping
        What its file said about it.
    typical : mapping
        A shape for each input that leaves lengths open, for tables and drawings.
    dtype : numpy.dtype, optional
        What it computes in; that of its first parameter by default, else float32.
    types : mapping
        Types of the inputs that hold something else: integers or truth values.
    device : Device
        Where its arrays live, and its inputs have to.
    hosted : bool
        Whether callers hold NumPy's arrays: inputs are copied to the device, and results back.
    """

    name: str
    inputs: Mapping[str, FreeShape]
    nodes: Sequence[Node]
    outputs: Sequence[str]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    preprocess: Preprocess | None = None
    labels: Sequence[str] = ()
    mirror: Mirror | None = None
    constants: frozenset[str] = frozenset()
    metadata: Mapping[str, str] = field(default_factory=dict)
    typical: Mapping[str, Shape] = field(default_factory=dict)
    dtype: np.dtype = None  # type: ignore[assignment]  # resolved below
    types: Mapping[str, np.dtype] = field(default_factory=dict)
    device: Device = CPU
    hosted: bool = False

    def __post_init__(self) -> None:
        floats = (array.dtype for array in self.arrays.values() if array.dtype.kind == "f")
        dtype = self.dtype or next(floats, np.float32)
        object.__setattr__(self, "dtype", np.dtype(dtype))
        if self.device.kind == "cuda":  # what somebody made for it on the host comes along
            moved = {name: kernels.to_device(a, self.device) for name, a in self.arrays.items()}
            object.__setattr__(self, "arrays", moved)
        seen: set[str] = set()
        for name in [*self.inputs, *self.arrays, *(node.name for node in self.nodes)]:
            if name in seen:
                raise InputError(f"{self.name}: two values are named {name!r}; names must differ.")
            seen.add(name)

    def brought(self, array: Any) -> Any:
        """An array that a caller gave, where the network computes: moved if it is hosted."""
        return kernels.to_device(array, self.device) if self.hosted else array

    def handed(self, array: Any) -> Any:
        """An array for a caller: NumPy's if the network is hosted."""
        return kernels.to_host(array) if self.hosted and kernels.on_gpu(array) else array

    def derived(self, **changes: Any) -> Self:
        """The same network with other fields: how cut and reversed networks are made."""
        return replace(self, **changes)

    @property
    def assumes_preprocess(self) -> bool:
        """Whether nobody said how photos are prepared: no file, no catalogue, no caller."""
        return self.metadata.get("minicnn.preprocess.source", "").startswith("assumed")

    # Names

    @property
    def layers(self) -> list[str]:
        """Names of all values, in running order."""
        return [node.name for node in self.nodes]

    def value_name(self, name: str) -> str:
        """The value that a name means: a value itself, or a node known by another label.

        Raises
        ------
        UnknownNameError
            With the nearest names.
        """
        if name in self._values_by_name:
            return self._values_by_name[name]
        raise UnknownNameError(
            f"{self.name} has no layer {name!r}. {nearest(name, self._values_by_name)}"
        )

    @cached_property
    def _values_by_name(self) -> dict[str, str]:
        """Values by their own names, else by labels, else as what a module gives last."""
        modules: dict[str, str] = {}
        for node in self.nodes:
            parts = node.module.split(".") if node.module else []
            modules.update((".".join(parts[: i + 1]), node.name) for i in range(len(parts)))
        labels = {node.label: node.name for node in self.nodes if node.label}
        return modules | labels | {name: name for name in [*self.inputs, *self.layers]}

    @property
    def logits(self) -> str:
        """The value that holds class scores: the output, or what a final softmax reads."""
        readers = {node.name: node for node in self.nodes}
        name = self.outputs[0]
        while name in readers:
            node = readers[name]
            if isinstance(node.block, (Softmax, LogSoftmax)):
                return node.operands[0]
            if not isinstance(node.block, (Flatten, Reshape, Squeeze, Identity)):
                break
            name = node.operands[0]
        return self.outputs[0]

    @property
    def classifies(self) -> bool:
        """Whether the output is one score a class: a vector for each image."""
        shape = self.infer_shapes()[self.outputs[0]]
        return len(shape) >= 2 and all(n == 1 for n in shape[2:]) and shape[1] > 1

    def channels_first(self, values: np.ndarray) -> np.ndarray:
        """Something shaped like the image input as (N, C, H, W), as pictures are drawn."""
        last = self.preprocess is not None and self.preprocess.layout == "NHWC"
        return values.transpose(0, 3, 1, 2) if last and values.ndim == 4 else values

    def class_name(self, number: int) -> str:
        """A class's name, or its number where names are not known."""
        return self.labels[number] if number < len(self.labels) else str(number)

    def parameter_names(self) -> list[str]:
        """Names of what can learn: operands that are parameters and not running statistics."""
        found: dict[str, None] = {}
        for node in self.nodes:
            for place, name in enumerate(node.operands):
                if name not in self.arrays or self.arrays[name].dtype.kind != "f":
                    continue
                learns = place not in (*node.block.buffers, *node.block.blind)
                if learns and name not in self.constants:
                    found[name] = None
        return list(found)

    @property
    def params(self) -> Mapping[str, np.ndarray]:
        """What can learn, by name: the arrays themselves, read-only while the network is frozen."""
        return MappingProxyType({name: self.arrays[name] for name in self.parameter_names()})

    @property
    def tensors(self) -> dict[str, TensorFacts]:
        """Shape and type of every value and every array, for one input of the usual size.

        Examples
        --------
        >>> import minicnn
        >>> net = minicnn.load(minicnn.data.bundled_model())
        >>> net.tensors["pool2"].shape
        (1, 64, 7, 7)
        """
        shapes, types = self.infer_shapes(), self.infer_types()
        shapes |= {name: array.shape for name, array in self.arrays.items()}
        return {name: TensorFacts(shape, types[name]) for name, shape in shapes.items()}

    @property
    def modules(self) -> dict[str, list[str]]:
        """Layers of the model's source code and the values made in each, where the file says."""
        found: dict[str, list[str]] = {}
        for node in self.nodes:
            if node.module:
                found.setdefault(node.module, []).append(node.name)
        return found

    def astype(self, dtype: Any) -> Self:
        """A copy that computes in another precision, e.g. float64 to check gradients."""
        casts = np.dtype(dtype).name, self.dtype.name
        return self.derived(
            dtype=dtype,
            nodes=[
                replace(node, block=Cast(casts[0])) if node.block == Cast(casts[1]) else node
                for node in self.nodes
            ],
            arrays={
                name: array.astype(dtype) if array.dtype.kind == "f" else array
                for name, array in self.arrays.items()
            },
        )

    def fingerprint(self) -> str:
        """A short text that differs for other networks: other blocks, wiring or numbers."""
        digest = blake2b(digest_size=12)
        for node in self.nodes:
            digest.update(f"{node.name} {node.block} {node.operands}\n".encode())
        for name, array in self.arrays.items():
            digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
            host = np.ascontiguousarray(kernels.to_host(array))
            digest.update(host.data.cast("B") if host.size else b"")
        digest.update(f"{self.preprocess}".encode())
        return digest.hexdigest()

    # Graph

    def cut(
        self, inputs: str | Sequence[str] | None = None, outputs: str | Sequence[str] | None = None
    ) -> Self:
        """The part of the network between given values.

        Parameters
        ----------
        inputs : str or sequence of str, optional
            Values that become inputs; by default the network's own.
        outputs : str or sequence of str, optional
            Values that become outputs; by default the network's own.

        Raises
        ------
        UnknownNameError
            If a name does not exist.
        InputError
            If the outputs also depend on an input that was cut off.
        """
        starts = listed(inputs) or list(self.inputs)
        starts = [self.value_name(name) for name in starts]
        ends = [self.value_name(name) for name in listed(outputs) or self.outputs]
        nodes = self.needed(ends, starts)
        made = {node.name for node in nodes}
        for node in nodes:
            for operand in node.operands:
                if operand not in made and operand not in starts and operand not in self.arrays:
                    raise InputError(
                        f"Cannot cut {self.name} at {', '.join(starts)}: {node.name} also depends "
                        f"on {operand}. Add it to the inputs."
                    )
        used = {operand for node in nodes for operand in node.operands}
        known, types = self.infer_shapes(), self.infer_types()
        open_sizes = any(None in shape[1:] for shape in self.inputs.values())
        free: dict[str, FreeShape] = {
            name: (None, shape[1], *[None] * (len(shape) - 2))
            if open_sizes and len(shape) > 2
            else (None, *shape[1:])
            if shape
            else ()
            for name, shape in known.items()
        }
        kept = [name for name in starts if name in used or name in ends]
        return self.derived(
            name=f"{self.name} cut",
            inputs={name: self.inputs.get(name, free[name]) for name in kept},
            typical={name: known[name] for name in kept},
            types={name: types[name] for name in kept if types[name] != self.dtype},
            mirror=self.mirror.cut({*made, *kept}) if self.mirror else None,
            nodes=nodes,
            outputs=ends,
            arrays={name: array for name, array in self.arrays.items() if name in used},
            preprocess=self.preprocess if starts == list(self.inputs) else None,
            labels=self.labels if ends == list(self.outputs) else (),
        )

    def needed(self, outputs: Sequence[str], inputs: Sequence[str] = ()) -> list[Node]:
        """The nodes that outputs depend on, not going beyond inputs."""
        needed, nodes = set(outputs), []
        for node in reversed(self.nodes):
            if node.name in needed and node.name not in inputs:
                nodes.append(node)
                needed.update(node.operands)
        return nodes[::-1]

    def read_by_transposes(self, nodes: Sequence[Node]) -> set[str]:
        """Values (not parameters) that the nodes' transposes towards the inputs read."""
        read = set()
        for node in nodes:
            for wrt, operand in enumerate(node.operands):
                if operand not in self.arrays and wrt not in node.block.blind:
                    for i in node.block.uses(wrt):
                        read.add(node.name if i < 0 else node.operands[i])
        return read - set(self.arrays)

    def default_shape(self, name: str) -> Shape:
        """A shape for an input where any length will do: one image of the usual size."""
        if name in self.typical:
            return self.typical[name]
        how = self.preprocess
        side = (how.size or 224) if how else 224
        sides = (how.crop_size if how else None) or (side, side)
        free = [1, 3, *sides, *[224] * 8]
        return tuple(free[i] if n is None else n for i, n in enumerate(self.inputs[name]))

    def infer_shapes(self, *inputs: Shape) -> dict[str, Shape]:
        """Shape of every value for given input shapes, without running anything."""
        given = inputs or [self.default_shape(name) for name in self.inputs]
        shapes: dict[str, Shape] = dict(zip(self.inputs, given, strict=True))
        arrays = {name: array.shape for name, array in self.arrays.items()}
        for node in self.nodes:
            operands = [arrays[o] if o in arrays else shapes[o] for o in node.operands]
            shapes[node.name] = self.shape_of(node, operands)
        return shapes

    def infer_types(self) -> dict[str, np.dtype]:
        """Type of every value: the network's own but for integers and truth values."""
        types = {name: self.types.get(name, self.dtype) for name in self.inputs}
        types.update((name, array.dtype) for name, array in self.arrays.items())
        for node in self.nodes:
            types[node.name] = node.block.dtype(*(types[operand] for operand in node.operands))
        return types

    @cached_property
    def foreign(self) -> list[str]:
        """Values of another type than the network's: integers and truth values."""
        types = self.infer_types()
        return [name for name in [*self.inputs, *self.layers] if types[name] != self.dtype]

    @property
    def flops(self) -> int:
        """Floating-point operations of one run on inputs of the usual size."""
        shapes = {**self.infer_shapes(), **{n: array.shape for n, array in self.arrays.items()}}
        return sum(node.block.flops(*(shapes[o] for o in node.operands)) for node in self.nodes)

    # Checks

    def shape_of(self, node: Node, shapes: Sequence[Shape]) -> Shape:
        """Output shape of a node; errors name it."""
        return self.named_error(node, partial(node.block.shape, *shapes))

    def named_error(self, node: Node, action: Callable[[], Any]) -> Any:
        """Do something, and let errors say at which node."""
        try:
            return action()
        except ShapeError as error:
            raise ShapeError(f"At {node.name} ({node.block.kind}): {error}") from None

    def check_input(self, name: str, shape: FreeShape, x: Any) -> None:
        """Refuse an input that the network cannot take."""
        if not isinstance(x, np.ndarray) and not kernels.on_gpu(x):
            raise InputError(f"Input {name} must be an array or a tensor; got {type(x).__name__}.")
        if kernels.place_of(x) != (self.device if kernels.on_gpu(x) or not self.hosted else CPU):
            raise DeviceError(
                f"Input {name} is on {kernels.place_of(x)}, {self.name} on {self.device}. Move one "
                f'of them, such as net.to("{kernels.place_of(x)}"); or let the network copy: '
                f'net.to("{self.device}", hosted=True) takes and gives NumPy arrays.'
            )
        check_current(self.device)
        wanted = self.types.get(name, self.dtype)
        if x.dtype != wanted:
            raise InputError(
                f"Input {name} has dtype {x.dtype}; {self.name} needs {wanted}. Convert "
                f"with x.astype(np.{wanted})"
                + (", or the network with net.astype(...)." if wanted.kind == "f" else ".")
            )
        fits = len(x.shape) == len(shape) and all(
            want in (None, got) for want, got in zip(shape, x.shape, strict=True)
        )
        if not fits:
            raise ShapeError(
                f"Input {name} has shape {x.shape}; {self.name} needs {spoken(shape)}"
                + (" (batch, channels, height, width)." if len(shape) == 4 else ".")
            )
        if x.dtype.kind == "f" and not kernels.all_finite(x):
            bad = "NaN" if bool(np.isnan(x).any()) else "infinity"
            raise InputError(f"Input {name} holds {bad}; a network needs finite numbers.")


def spoken(shape: FreeShape) -> str:
    """A shape in words."""
    return "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"

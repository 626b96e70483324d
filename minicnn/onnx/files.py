"""Opening ONNX files without trusting them, and without holding their weights twice.

    opened = open_model(path)          # reads no weights
    opened.model.graph                 # the graph, local functions inlined
    arrays = opened.arrays(np.float32)  # all weights by name

onnx.load itself accepts an empty file as an empty model, short weights and cycles; here each of
these is an error that names the file. Large weights stay in the file (`wire`) until they are read
into arrays of our own (`weights`).
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError, Message
from numpy.typing import DTypeLike
from onnx import TensorProto, numpy_helper

from minicnn.errors import ModelFileError
from minicnn.limits import budget, check_bytes
from minicnn.onnx import weights
from minicnn.onnx.external import OnDisk, external, identity
from minicnn.onnx.functions import inlined
from minicnn.onnx.ordering import sorted_nodes
from minicnn.onnx.wire import Cut, skeleton

__all__ = ["OpenedModel", "arrays_of", "open_model", "sorted_nodes", "tensor_to_array"]

TIMES_ITS_SIZE = 128  # what protobuf takes for a message, at most, measured with empty parts


@dataclass(frozen=True)
class OpenedModel:
    """A model whose large weights still lie in its files.

    Attributes
    ----------
    model : onnx.ModelProto
        All of the model but the numbers of large tensors. Local functions are inlined, and large
        Constant nodes have become initialisers.
    where : str
        The file's name, for errors.
    path : pathlib.Path
        The file.
    """

    model: onnx.ModelProto
    where: str
    path: Path
    _key: str = field(repr=False)
    _cuts: list[Cut] = field(repr=False)
    _known: tuple[int, ...] = field(repr=False)

    def nbytes(self, tensor: TensorProto) -> int:
        """How many bytes a tensor takes as the file stores it; nothing is read."""
        return weights.bytes_of(tensor)

    def array(self, tensor: TensorProto, floats: DTypeLike | None = None) -> np.ndarray:
        """Read a tensor of the model: see `weights.read`."""
        return weights.read(tensor, self.where, self._on_disk(tensor), floats)

    def locate(self) -> None:
        """Make sure that all weights are where the file says, without reading them.

        Raises
        ------
        ModelFileError
            If a file beside it is missing, or too short.
        """
        for tensor in self.model.graph.initializer:
            self._on_disk(tensor)

    def arrays(self, dtype: DTypeLike) -> dict[str, np.ndarray]:
        """Read all weights.

        Large tensors elsewhere, such as in branches, are few; they go back into the model.

        Parameters
        ----------
        dtype : dtype
            What floats become.

        Returns
        -------
        dict of numpy.ndarray
            Initialisers by name.

        Raises
        ------
        ModelFileError
            If they need more memory than the budget, or one of them cannot be read.
        """
        graph = self.model.graph
        own = {id(tensor): tensor for tensor in graph.initializer}
        others = [
            part
            for part in _parts(self.model, self.where)
            if isinstance(part, TensorProto) and id(part) not in own and self._is_elsewhere(part)
        ]
        total = sum(
            weights.checked(tensor, self.where, self._on_disk(tensor))
            for tensor in (*own.values(), *others)
        )
        check_bytes(total, f"{self.where}: its weights")
        arrays = arrays_of(graph, self.where, dtype, self.array)
        for tensor in others:
            tensor.CopyFrom(numpy_helper.from_array(self.array(tensor), tensor.name))
        return arrays

    def _on_disk(self, tensor: TensorProto) -> OnDisk | None:
        """Where a tensor's numbers lie, if not in the tensor itself."""
        marks = [entry.value for entry in tensor.external_data if entry.key == self._key]
        if len(marks) > 1 or (marks and tensor.data_location == TensorProto.EXTERNAL):
            raise ModelFileError(
                f"{self.where}: the numbers of {tensor.name or 'a constant'} come in more than one "
                f"piece. The file is damaged."
            )
        if marks:
            name, offset, length = self._cuts[int(marks[0])]
            return OnDisk(self.path, offset, length, self._known, name)
        if tensor.data_location == TensorProto.EXTERNAL:
            return external(tensor, weights.bytes_of(tensor), self.path, self.where)
        return None

    def _is_elsewhere(self, tensor: TensorProto) -> bool:
        """Whether a tensor's numbers do not lie in the tensor itself."""
        return tensor.data_location == TensorProto.EXTERNAL or any(
            entry.key == self._key for entry in tensor.external_data
        )

    def _hoist_constants(self, graph: onnx.GraphProto) -> None:
        """Make large Constant nodes initialisers, which is another way to write the same."""
        kept = []
        for node in graph.node:
            values = [a.t for a in node.attribute if a.name == "value" and a.HasField("t")]
            is_constant = node.op_type == "Constant" and node.domain in ("", "ai.onnx")
            if is_constant and len(node.output) == 1 and values and self._is_elsewhere(values[-1]):
                tensor = graph.initializer.add()
                tensor.CopyFrom(values[-1])
                tensor.name = node.output[0]
            else:
                kept.append(node)
        if len(kept) < len(graph.node):
            copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
            del graph.node[:]
            graph.node.extend(copies)


def open_model(path: str | os.PathLike[str]) -> OpenedModel:
    """Parse a file but for its large weights, and inline its local functions.

    Raises
    ------
    ModelFileError
        If the file is missing, empty, truncated, not ONNX, or holds no graph.
    """
    path = Path(path)
    where = path.name
    key = secrets.token_hex(16)
    try:
        known = _identity(path)
        size = known[2]
        most = budget() // TIMES_ITS_SIZE
        with OnDisk(path, 0, size, known).open() as file:
            content, cuts = skeleton(file, size, key, most, where)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError:
        raise ModelFileError(
            f"{path} is not an ONNX model, or is cut off ({size:,} bytes were read). Check that it "
            f"was exported or downloaded completely."
        ) from None
    if not model.graph.node or not model.graph.output:
        raise ModelFileError(
            f"{path} holds no network: its graph has {len(model.graph.node)} nodes and "
            f"{len(model.graph.output)} outputs. It may not be an ONNX model."
        )
    for _ in _parts(model, where):  # all texts are looked at
        pass
    if model.functions:
        model = inlined(model, most, where)
    opened = OpenedModel(model, where, path, key, cuts, known)
    opened._hoist_constants(model.graph)
    _check_names(model.graph, where)
    return opened


def _identity(path: Path) -> tuple[int, ...]:
    """What the file is; an error for people if it is none."""
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the path
        raise ModelFileError(
            f"There is no file {path}. Give the path of an ONNX model, 'mnist' (the bundled one), "
            f"or a name that `minicnn models` lists."
        ) from None
    if stat.S_ISDIR(facts.st_mode):
        raise ModelFileError(f"{path} is a folder. Give the path of an ONNX model in it.")
    if not stat.S_ISREG(facts.st_mode):
        raise ModelFileError(f"{path} is not a plain file. Give the path of an ONNX model.")
    if facts.st_size == 0:
        raise ModelFileError(
            f"{path} is empty: a download or a disk may have failed. Get it again."
        )
    return identity(facts)


def _parts(message: Message, where: str) -> Iterator[Message]:
    """All messages within a message.

    Raises
    ------
    ModelFileError
        If a text is not UTF-8: protobuf gives bytes for it.
    """
    for kind, value in message.ListFields():
        if kind.type == kind.TYPE_MESSAGE:
            for part in value if kind.is_repeated else (value,):
                yield part
                yield from _parts(part, where)
        elif kind.type == kind.TYPE_STRING:
            for text in value if kind.is_repeated else (value,):
                if not isinstance(text, str):
                    raise ModelFileError(
                        f"{where} is damaged: one of its names is not text ({text[:20]!r})."
                    )


def _check_names(graph: onnx.GraphProto, where: str) -> None:
    """Refuse names that mean two things."""
    for what, things in (("inputs", graph.input), ("weights", graph.initializer)):
        seen: set[str] = set()
        for thing in things:
            if thing.name in seen or not thing.name:
                named = f"two are called {thing.name!r}" if thing.name else "one has no name"
                raise ModelFileError(f"{where} is damaged: among its {what}, {named}.")
            seen.add(thing.name)


def tensor_to_array(tensor: TensorProto, where: str) -> np.ndarray:
    """The numbers of a tensor that holds them itself: see `weights.read`."""
    return weights.read(tensor, where)


def arrays_of(
    graph: onnx.GraphProto,
    where: str,
    dtype: DTypeLike,
    read: Callable[[TensorProto, DTypeLike], np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """All initialisers of a graph by name, floats in the precision that the network computes in."""
    if graph.sparse_initializer:
        raise ModelFileError(f"{where} holds sparse weights, which minicnn does not read.")
    _check_names(graph, where)
    read = read or (lambda tensor, floats: weights.read(tensor, where, floats=floats))
    return {tensor.name: read(tensor, dtype) for tensor in graph.initializer}

"""`load`: from a file to a network that runs forwards and backwards."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from minicnn.blocks import Shape
from minicnn.data.catalogue import find
from minicnn.errors import InputError
from minicnn.network import Network
from minicnn.onnx.files import open_model
from minicnn.onnx.hints import check_fits, chosen_labels, chosen_preprocess
from minicnn.onnx.inputs import float_type
from minicnn.onnx.reading import read
from minicnn.preprocess import Preprocess

__all__ = ["load"]


def load(
    path: str | os.PathLike[str],
    shape: Shape | Mapping[str, Shape] | None = None,
    preprocess: Preprocess | str | None = None,
    labels: Sequence[str] | None = None,
    batch: int | Literal["dynamic"] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Network:
    """Read a network from an ONNX file.

    Parameters
    ----------
    path : path-like
        An ONNX file, opset 6 to 28, with its external data beside it if it has any; or a name:
        "mnist", one of the catalogue ("squeezenet1.1"), or one's own in the model folder.
    shape : tuple of int, or mapping by input name, optional
        Input shape (N, C, H, W), for files that leave it open. Without it an open batch is 1 and
        open image sides are 224 where the graph computes with them (or what minicnn wrote down as
        usual); other open sides stay open.
    preprocess : Preprocess or str, optional
        How photos become inputs; a name such as "imagenet". By default what the file says if
        minicnn wrote it, what the catalogue knows of it, or ImageNet's usual numbers, since ONNX
        files do not state them: `net.metadata["minicnn.preprocess.source"]` tells which.
    labels : sequence of str, optional
        Class names. By default the file's own if minicnn wrote it, else ImageNet's for 1000
        classes.
    batch : int or "dynamic", optional
        How many images at once. "dynamic" takes the first axis of every input for one of images,
        also where the file fixes it and has it baked into reshapes. By default what the file says,
        and any number where the graph is the same for all.
    constants : mapping, optional
        Arrays for inputs whose values the graph must know to be read, such as a shape.

    Returns
    -------
    Network

    Raises
    ------
    ModelFileError
        If the file is missing, empty, truncated, not ONNX, or damaged.
    UnsupportedOperatorError
        If it uses operators that minicnn does not read; all are listed.
    ShapeError
        If shapes do not fit; the node is named.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(
            f"load takes a file's path or a network's name, not {type(path).__name__}."
        )
    found = find(os.fspath(path))
    opened, entry = open_model(found.path), found.entry
    dtype = float_type(opened.model.graph)
    network = read(opened, opened.arrays(dtype), dtype, shape, batch, constants)
    if entry is None or preprocess is not None:
        how, source = chosen_preprocess(preprocess, network, opened.where)
    else:
        how, _ = chosen_preprocess(entry.preprocess, network, opened.where)
        source = "assumed: probably that of its family" if entry.probably else "catalogue"
    if how is not None and network.inputs:
        check_fits(how, next(iter(network.inputs.values())), opened.where)
    metadata = {**network.metadata, "minicnn.preprocess.source": source}
    network = network.derived(preprocess=how, metadata=metadata)
    known = labels if labels is not None or entry is None else entry.labels
    return network.derived(labels=chosen_labels(known, network, opened.where)).freeze()

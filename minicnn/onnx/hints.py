"""How photos become inputs, and what classes are called: what a file says, and what it hints at.

ONNX has no standard place for either. A file that minicnn wrote states both; of others there are
signs: the metadata of Windows' tools, the first operators of the graph, who wrote it.
`preprocess_hints` lists the signs, each with what it points to; none of them is proof.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from minicnn.blocks import BatchNorm, Divide, Identity, Multiply, Scale, Subtract, Transpose
from minicnn.data.labels import imagenet_names
from minicnn.errors import InputError, ModelFileError
from minicnn.network import Network
from minicnn.preprocess import PRESETS, Preprocess, preset
from minicnn.structure import FreeShape

__all__ = [
    "Hint",
    "check_fits",
    "chosen_labels",
    "chosen_preprocess",
    "image_layout",
    "preprocess_hints",
]

FAMILIES = {  # how the names of producers begin, and what their model collections were trained with
    "pytorch": ("imagenet", "torch's own networks take RGB in 0..1, ImageNet's mean and deviation"),
    "mxnet": ("imagenet", "MXNet's model zoo takes RGB in 0..1, ImageNet's mean and deviation"),
    "caffe2": ("caffe", "Caffe's networks took BGR in 0..255 minus a mean"),
    "tf2onnx": ("raw", "TensorFlow's networks differ: many take RGB in 0..1 or in -1..1"),
    "onnx-caffe2": ("caffe", "Caffe's networks took BGR in 0..255 minus a mean"),
}


NAMES = {  # of values, and whose they are
    r"\w+\d*_\w+\d+_(fwd|relu|output|plus)\d*": "mxnet",
    r"gpu_0/\w+": "caffe2",
    r"/?(\w+/)*(Conv|Relu|Gemm)(_\d+)?_output_0|\w*conv2d(_\d+)?": "pytorch",
}


@dataclass(frozen=True)
class Hint:
    """A sign of how photos are to be preprocessed.

    Parameters
    ----------
    points_to : str
        A preset's name, or words.
    evidence : str
        What was seen in the file.
    """

    points_to: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.points_to}: {self.evidence}"


def image_layout(shape: FreeShape) -> str:
    """How an input holds images: "NCHW", "NHWC", or "" if it does not look like images."""
    if len(shape) != 4:
        return ""
    for layout in ("NCHW", "NHWC"):
        sides = _sides(shape, layout)
        if shape[layout.index("C")] in (1, 3) and all(n is None or n > 3 for n in sides):
            return layout
    return ""


def chosen_preprocess(
    chosen: Preprocess | str | None, network: Network, where: str
) -> tuple[Preprocess | None, str]:
    """How photos become inputs, and where that comes from: given, the file, or assumed."""
    if isinstance(chosen, Preprocess):
        return chosen, "given"
    metadata = network.metadata
    if chosen is None and "minicnn.preprocess" in metadata:
        try:
            return Preprocess.from_json(metadata["minicnn.preprocess"]), "file"
        except InputError as error:
            raise ModelFileError(f"{where}: {error}") from None
    name, shape = next(iter(network.inputs.items()), ("", ()))
    layout = image_layout(shape)
    if chosen is not None:
        named = preset(chosen)
        if layout:
            named = replace(named, layout=layout)
            named = _sized(named, shape) if _sides(shape, layout)[0] else named
        return named, "given"
    if not layout or name in network.types:
        return None, "none: the input is not an image"
    if shape[layout.index("C")] == 1:
        how = _sized(Preprocess(mean=(0.0,), std=(1.0,), layout=layout), shape)
        return replace(how, size=max(how.crop_size or ())), "assumed: grey in 0..1"
    how = replace(PRESETS["imagenet"], layout=layout)
    return _sized(how, shape), "assumed: ImageNet's mean and deviation"


def check_fits(how: Preprocess, shape: FreeShape, where: str) -> None:
    """Refuse a preprocessing whose images a network cannot take."""
    channels = shape[how.channel_axis :][:1]
    if channels not in ((None,), (), (how.channels,)):
        raise InputError(
            f"{where} takes {channels[0]} channel(s); this preprocessing gives {how.channels}. "
            f"Give a Preprocess with as many means and deviations."
        )
    sides = _sides(shape, how.layout)
    if len(shape) == 4 and None not in sides and how.crop_size not in (None, sides):
        raise InputError(
            f"{where} takes images of {sides[0]}x{sides[1]}; this preprocessing crops them to "
            f"{how.crop_size}. Give Preprocess(size=..., crop={sides})."
        )


def _sides(shape: FreeShape, layout: str) -> FreeShape:
    """Height and width."""
    return shape[2:] if layout == "NCHW" else shape[1:3]


def _sized(how: Preprocess, shape: FreeShape) -> Preprocess:
    """The same numbers for the size that a network takes; the short side a seventh longer."""
    height, width = (n or 224 for n in _sides(shape, how.layout))
    crop = height if height == width else (height, width)
    return replace(how, size=round(max(height, width) * 256 / 224), crop=crop)


def chosen_labels(chosen: Sequence[str] | None, network: Network, where: str) -> Sequence[str]:
    """Names of the classes: given, the file's, ImageNet's for 1000 classes, or none."""
    if chosen is not None:
        return tuple(chosen)
    if "minicnn.labels" in network.metadata:
        try:
            return tuple(str(label) for label in json.loads(network.metadata["minicnn.labels"]))
        except (ValueError, TypeError, RecursionError):
            raise ModelFileError(f"{where}: its minicnn.labels are not a JSON list.") from None
    shape = network.infer_shapes()[network.outputs[0]]
    if len(shape) > 1 and shape[1] == 1000 and prod(shape[2:]) == 1:
        return imagenet_names()
    return ()


def preprocess_hints(network: Network) -> list[Hint]:
    """The signs that a file gives of its preprocessing, the strongest first."""
    metadata = network.metadata
    if "minicnn.preprocess" in metadata:
        return [Hint("stated", f"minicnn.preprocess = {metadata['minicnn.preprocess']}")]
    if not image_layout(next(iter(network.inputs.values()), ())):
        return [Hint("none", "the input is not an image")]
    return [
        *_of_metadata(metadata), *_of_graph(network), *_of_producer(metadata), *_of_names(network)
    ]  # fmt: skip


def _of_names(network: Network) -> list[Hint]:
    """How values are named: each framework has its way."""
    for pattern, family in NAMES.items():
        found = next((n for n in network.layers if re.fullmatch(pattern, n)), None)
        if found is not None:
            points_to, why = FAMILIES[family]
            return [Hint(points_to, f"names like {found} are {family}'s; {why}")]
    return []


def _of_metadata(metadata: Mapping[str, str]) -> list[Hint]:
    """Windows' image metadata; known to be wrong in some files."""
    hints = []
    order = metadata.get("Image.BitmapPixelFormat", "")
    if order:
        hints.append(Hint("BGR" if "Bgr" in order else "RGB", f"Image.BitmapPixelFormat = {order}"))
    values = metadata.get("Image.NominalPixelRange", "")
    if values:
        whole = "0_255" in values or "16_235" in values
        hints.append(Hint("0..255" if whole else "0..1", f"Image.NominalPixelRange = {values}"))
    return hints


def _of_graph(network: Network) -> list[Hint]:
    """Arithmetic on the input before the first layer: the file normalises by itself."""
    hints, value = [], next(iter(network.inputs), "")
    readers = {operand: node for node in reversed(network.nodes) for operand in node.operands}
    for _ in range(8):
        node = readers.get(value)
        if node is None:
            break
        block = node.block
        arrays = [network.arrays[o] for o in node.operands if o in network.arrays]
        if isinstance(block, BatchNorm):
            hints.append(Hint("raw, perhaps 0..255", f"batch norm on the input, at {node.name}"))
            break
        if isinstance(block, (Subtract, Divide, Multiply)) and arrays and arrays[0].size <= 3:
            numbers = ", ".join(f"{n:g}" for n in np.ravel(arrays[0]))
            hints.append(Hint("raw", f"{block.kind} by {numbers}, at {node.name}"))
        elif isinstance(block, Scale):
            hints.append(Hint("raw", f"times {block.factor:g}, at {node.name}"))
        elif not isinstance(block, (Transpose, Identity)):
            break
        value = node.name
    return hints


def _of_producer(metadata: Mapping[str, str]) -> list[Hint]:
    """Who wrote the file."""
    producer = metadata.get("producer", "").lower()
    for name, (points_to, why) in FAMILIES.items():
        if producer.startswith(name):
            return [Hint(points_to, f"written by {metadata['producer']}; {why}")]
    return []

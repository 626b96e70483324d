"""The operators of tiers 2 and 3 against onnxruntime, at each opset that changed their meaning.

Attributes and geometry are swept: a case is one operator with operands and attributes at some opset
versions, a test is all cases of an operator at a version. First-tier operators appear with what
test_onnx_versions.py does not try: integers, double, half, and combinations of attributes.

Left out is what onnxruntime does otherwise than ONNX's text, reference or node tests; comments at
the tables say what and why.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import as_tuple, by_onnxruntime, ints, node, noise, written

import minicnn

F = np.float32
NEWEST = 28
OWN = ("float16", "bfloat16", "float32")  # what a network computes in float32
IMAGE = noise(1, 2, 5, 6)


@dataclass(frozen=True)
class Case:
    """Operands (the first `live` are inputs of the network, None is left out) and attributes."""

    op: str
    operands: tuple
    at: tuple[int, ...]
    live: int
    outputs: int
    attributes: dict

    def __str__(self) -> str:
        shown = [
            None if a is None else a.tolist() if a.size < 9 and i >= self.live else a.shape
            for i, a in enumerate(map(array_or_none, self.operands))
        ]
        return f"{self.op} of {shown} with {self.attributes}"

    def model(self, version: int) -> onnx.ModelProto:
        names = ["" if a is None else f"x{i}" for i, a in enumerate(self.operands)]
        given = [(n, np.asarray(a)) for n, a in zip(names, self.operands, strict=True) if n]
        outputs = [f"y{i}" for i in range(self.outputs)]
        call = node(self.op, names, outputs, name="it", **self.attributes)
        return typed([call], dict(given[: self.live]), dict(given[self.live :]), version, outputs)


def array_or_none(value) -> np.ndarray | None:
    return None if value is None else np.asarray(value)


def case(op: str, *operands, at: int | tuple, live: int = 1, outputs: int = 1, **attributes):
    """One operator at several opset versions; attributes that are None are left out."""
    kept = {name: value for name, value in attributes.items() if value is not None}
    return Case(op, operands, at if isinstance(at, tuple) else (at,), live, outputs, kept)


def sweep(**choices) -> Iterator[dict]:
    """Every combination of attributes."""
    for values in product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def typed(nodes, inputs, arrays, version, outputs=("y",)) -> onnx.ModelProto:
    """A model whose inputs have the types and shapes of arrays; those of outputs are inferred."""
    values = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in inputs.items()
    ]
    weights = [
        a if isinstance(a, TensorProto) else numpy_helper.from_array(np.asarray(a), n)
        for n, a in arrays.items()
    ]
    ends = [helper.make_empty_tensor_value_info(n) for n in outputs]
    made = helper.make_graph(list(nodes), "g", values, ends, weights)
    opset = helper.make_opsetid("", version)
    return helper.make_model(made, ir_version=10, opset_imports=[opset])


def disagreement(
    model: onnx.ModelProto, folder: Path, *inputs: np.ndarray, within: float = 1e-5
) -> str:
    """What minicnn does otherwise than onnxruntime; nothing where they agree."""
    path = written(model, folder)
    expected = by_onnxruntime(path, *inputs)
    try:
        network = minicnn.load(path)
        own = [x.astype(network.dtype) if x.dtype.name in OWN else x for x in inputs]
        found = as_tuple(network(*own))
    except minicnn.errors.MiniCNNError as error:
        return f"{type(error).__name__}: {error}"
    for y, want in zip(found, expected, strict=True):
        dtype = F if want.dtype.name in OWN else want.dtype
        if (y.dtype, y.shape) != (dtype, want.shape):
            return f"{y.dtype} {y.shape} instead of {dtype} {want.shape}"
        slack = 4e-3 if want.dtype == np.float16 else within
        if not np.allclose(y, want.astype(dtype), rtol=slack, atol=slack, equal_nan=True):
            return f"{y.ravel()[:4]} instead of {want.ravel()[:4]}"
    return ""


def whole(*shape: int, low: int = -9, high: int = 10, dtype=np.int64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def flags(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) > 0.5


def positive(*shape: int, seed: int = 0) -> np.ndarray:
    return np.abs(noise(*shape, seed=seed)) + F(0.1)


# Resizing. Left out: coordinates that fall on the edge between two pixels but for rounding (here no
# factor and region does); align_corners where factor times length is no whole number (onnxruntime
# rounds it first, ONNX's node tests do not); tf_crop_and_resize with factor 1 (onnxruntime then
# ignores the region); negative axes with a policy (onnxruntime then does nothing).

COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
NEAREST = [
    {"mode": "nearest", "nearest_mode": how}
    for how in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
]
CUBIC = [
    {"mode": "cubic", **more} for more in sweep(cubic_coeff_a=[None, -0.5], exclude_outside=[0, 1])
]
MODES = [*NEAREST, {"mode": "linear"}, *CUBIC]
FACTORS = [(1, 1, 2, 1.75), (1, 1, 0.7, 0.55), (1, 1, 1, 3), (1, 1, 2.5, 0.5)]
WHOLE_FACTORS = [(1, 1, 2, 3), (1, 1, 1, 4), (1, 1, 3, 1)]
SIZES = [(1, 2, 9, 4), (1, 2, 5, 11), (1, 2, 1, 1), (1, 2, 3, 13), (1, 2, 10, 12)]
REGIONS = [(0, 0, 0.21, 0.13, 1, 1, 0.83, 0.97), (0, 0, -0.23, 0.31, 1, 1, 1.37, 0.64)]
NONE = np.zeros(0, F)


def by_factor(x, factors, at, **attributes):
    return case("Resize", x, NONE, F(factors), at=at, **attributes)


def by_size(x, sizes, at, **attributes):
    return case("Resize", x, NONE, NONE, ints(*sizes), at=at, **attributes)


def resizing() -> Iterator[Case]:
    for at, coordinates, x in [
        ((11, 13), COORDINATES, IMAGE),
        ((19, NEWEST), [*COORDINATES, "half_pixel_symmetric"], IMAGE),
        (18, [*COORDINATES], noise(1, 2, 1, 4)),
        (11, ["tf_half_pixel_for_nn"], IMAGE),
    ]:
        for name, mode in product(coordinates, MODES):
            how = {**mode, "coordinate_transformation_mode": name}
            factors = WHOLE_FACTORS if name == "align_corners" else FACTORS
            yield from (by_factor(x, f, at, **how) for f in factors if f[2] * x.shape[2] >= 1)
            if mode.get("nearest_mode") == "floor" and name == "half_pixel_symmetric":
                continue
            yield from (by_size(x, s, at, **how) for s in SIZES)
    for roi, mode, beyond, sizes in product(
        REGIONS, ("nearest", "linear", "cubic"), (None, 7.0), ((1, 2, 9, 4), (1, 2, 3, 14))
    ):
        yield case(
            "Resize", IMAGE, F(roi), None, ints(*sizes), at=(13, 18, 19, NEWEST), mode=mode,
            coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=beyond,
        )  # fmt: skip
    for name, mode, outside in product(COORDINATES, ("linear", "cubic"), (0, 1)):
        how = {"antialias": 1, "mode": mode, "exclude_outside": outside}
        how["coordinate_transformation_mode"] = name
        factors = WHOLE_FACTORS if name == "align_corners" else FACTORS
        yield from (by_factor(IMAGE, f, (18, NEWEST), **how) for f in factors)
        yield from (by_size(IMAGE, s, (18, NEWEST), **how) for s in SIZES)
    for name, mode, policy, axes, sizes in product(
        ("half_pixel", "asymmetric"), ("nearest", "linear", "cubic"),
        ("stretch", "not_larger", "not_smaller"), ([2, 3], [3, 2]), ((9, 4), (11, 5), (3, 3)),
    ):  # fmt: skip
        how = {"coordinate_transformation_mode": name, "mode": mode, "axes": axes}
        yield by_size(IMAGE, sizes, (18, 19, NEWEST), keep_aspect_ratio_policy=policy, **how)
    for mode in ("nearest", "linear"):
        newer = (13, 19, NEWEST)
        yield by_factor(IMAGE, (2,), (18, 19, NEWEST), mode=mode, axes=[-1])
        yield by_factor(noise(2, 3, 7), (1, 1, 2), newer, mode=mode)
        yield by_factor(noise(2, 3, 7), (1, 1, 0.6), newer, mode=mode)
        yield by_factor(noise(1, 2, 3, 4, 5), (1, 1, 2, 1.5, 0.7), newer, mode=mode)
        yield by_factor(whole(1, 2, 5, 6, low=0, dtype=np.uint8), (1, 1, 2, 1.75), newer)
        for factors in [*FACTORS, *WHOLE_FACTORS]:
            yield case("Resize", IMAGE, F(factors), at=10, mode=mode)
            if min(factors) >= 1:
                yield case("Upsample", IMAGE, at=7, mode=mode, scales=list(map(float, factors)))
                yield case("Upsample", IMAGE, F(factors), at=9, mode=mode)


# Sampling. At the border cubic taps are held and places are not, as onnxruntime and torch have it;
# ONNX's reference moves the place.

GRID = (np.random.default_rng(1).random((2, 4, 5, 2)) * 2.6 - 1.3).astype(F)
VOLUME_GRID = (np.random.default_rng(1).random((1, 2, 3, 4, 3)) * 2.6 - 1.3).astype(F)


def sampling() -> Iterator[Case]:
    for at, modes in [(16, ("bilinear", "nearest", "bicubic")),
                      ((20, 22), ("linear", "nearest", "cubic"))]:  # fmt: skip
        for how in sweep(
            mode=[*modes, None], padding_mode=["zeros", "border", "reflection"],
            align_corners=[0, 1],
        ):  # fmt: skip
            cubic = how["mode"] in ("bicubic", "cubic")
            for x, grid in product((noise(2, 3, 5, 7), noise(2, 3, 1, 7)), (GRID, 3 * GRID)):
                yield case("GridSample", x, grid, at=at, live=2, **how)
            if at != 16 and not cubic:
                yield case("GridSample", noise(1, 2, 3, 4, 5), VOLUME_GRID, at=at, live=2, **how)


# Windows. Left out: SAME pads where the stride exceeds the window (onnxruntime gives transposed
# convolutions other sizes than ONNX's text, and lets pooling begin inside of the image) and of
# dilated pooling (it ignores the dilation).


def windows() -> Iterator[Case]:
    x, w = noise(2, 4, 5, 4), noise(4, 3, 3, 4)
    old = (7, 11, 22)
    for how in sweep(
        strides=[None, [2, 3], [3, 1]], group=[1, 2],
        auto_pad=["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"],
    ):  # fmt: skip
        yield case("ConvTranspose", x, w, noise(3 * how["group"]), at=old, **how)
    for how in sweep(
        strides=[[2, 3]], output_padding=[None, [1, 1], [0, 2]], dilations=[None, [2, 1]],
        auto_pad=["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"],
    ):  # fmt: skip
        yield case("ConvTranspose", x, w, at=old, **how)
    for how in sweep(
        output_shape=[[10, 12], [11, 13], [9, 11], [12, 14], [8, 10]], strides=[[2, 3]],
        auto_pad=[None, "SAME_UPPER", "SAME_LOWER"], output_padding=[None, [1, 1]],
    ):  # fmt: skip
        yield case("ConvTranspose", x, w, at=old, **how)
    for how in sweep(pads=[None, [2, 1]], output_padding=[None, [1]], strides=[[2], [3]]):
        yield case("ConvTranspose", noise(2, 4, 6), noise(4, 3, 3), noise(3), at=old, **how)
    for how in sweep(
        strides=[None, [2, 1, 2]], pads=[None, [1, 0, 1, 0, 1, 1]], group=[None, 2],
        dilations=[None, [1, 2, 1]],
    ):  # fmt: skip
        yield case("ConvTranspose", noise(1, 4, 3, 4, 3), noise(4, 2, 2, 3, 2), at=old, **how)

    x, pads = noise(2, 3, 7, 9), [[0, 0, 0, 0], [1, 0, 2, 1], [1, 1, 1, 1]]
    auto = ["SAME_UPPER", "SAME_LOWER", "VALID"]
    window = {"kernel_shape": [3, 2]}
    for how in [
        *sweep(p=[None, 1, 3], strides=[None, [2, 2]], auto_pad=auto),
        *sweep(p=[None, 1, 3], strides=[None, [2, 3]], pads=pads),
    ]:
        yield case("LpPool", x, at=(7, 11, 18, 22), **window, **how)
    for how in sweep(p=[1, 2], strides=[[2, 2]], dilations=[[2, 1], [2, 2]], ceil_mode=[0, 1]):
        yield case("LpPool", x, at=(18, 22), **window, **how)
    yield case("LpPool", noise(2, 3, 9), at=(7, 18, 22), kernel_shape=[3])
    yield case("LpPool", noise(2, 3, 4, 5, 6), at=(7, 18, 22), kernel_shape=[2, 2, 2])
    for p, shape in product((None, 1, 2, 3), ((2, 3, 5, 4), (2, 3, 5), (1, 2, 3, 4, 5))):
        yield case("GlobalLpPool", noise(*shape), at=7, p=p)

    for how in [
        *sweep(storage_order=[0, 1], strides=[None, [2, 2]], auto_pad=auto, ceil_mode=[0, 1]),
        *sweep(
            storage_order=[0, 1], strides=[None, [2, 3]], pads=pads[:1], dilations=[None, [2, 1]],
            ceil_mode=[0, 1],
        ),
    ]:  # fmt: skip
        yield case("MaxPool", x, at=(10, 11, 12, 22), outputs=2, **window, **how)
    for order, shape in product((0, 1), ((2, 3, 9), (2, 3, 7, 9), (1, 2, 4, 5, 6))):
        wide = [3] * (len(shape) - 2)
        how = {"kernel_shape": wide, "storage_order": order, "outputs": 2}
        yield case("MaxPool", noise(*shape), at=(8, 12, 22), **how)
        how |= {"pads": [1] * 2 * len(wide), "strides": [2] * len(wide)}
        yield case("MaxPool", noise(*shape), at=(8, 12, 22), **how)
    yield case("MaxPool", F(np.zeros((1, 1, 4, 4))), at=(8, 22), outputs=2, kernel_shape=[2, 2])
    for dtype in (np.int8, np.uint8):
        pixels = whole(1, 2, 5, 6, low=0, dtype=dtype)
        yield case("MaxPool", pixels, at=(12, 22), outputs=2, kernel_shape=[2, 2])

    # Left out: MaxUnpool with an output shape (onnxruntime counts indices in the larger image,
    # ONNX's node test in the one that the window gives).
    places, pair = np.array([[0, 3], [12, 15]]), {"kernel_shape": [2, 2], "strides": [2, 2]}
    places = np.stack([places, places[::-1] + 16])[None]
    for live in (1, 2):
        yield case("MaxUnpool", noise(1, 2, 2, 2), places, at=(9, 11, 22), live=live, **pair)
    wide = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 0, 1]}
    yield case("MaxUnpool", noise(1, 1, 2, 2), places[:, :1], at=(9, 11, 22), **wide)
    row = {"kernel_shape": [2], "strides": [2]}
    yield case("MaxUnpool", noise(1, 1, 3), ints(0, 3, 5)[None, None], at=(9, 11, 22), **row)


# Extremes and reductions


def extremes() -> Iterator[Case]:
    ties = whole(3, 4, 5, low=-2, high=2)
    for axis, x in product((0, 1, -1, None), (noise(3, 4, 5), ties.astype(F), ties)):
        if x.dtype == F:
            yield case("TopK", x, at=7, outputs=2, k=2, axis=axis)
            yield case("TopK", x, ints(2), at=10, outputs=2, axis=axis)
            for op, keepdims in product(("ArgMax", "ArgMin"), (None, 0, 1)):
                yield case(op, x, at=(7, 11, 12, 13), axis=axis, keepdims=keepdims)
                yield case(op, x, at=(12, 13), axis=axis, select_last_index=1, keepdims=keepdims)
        for k, largest in product((1, 2, 3), (None, 0, 1)):
            yield case(
                "TopK", x, ints(k), at=(11, 24), outputs=2, axis=axis, largest=largest, sorted=1
            )
    for op in ("ArgMax", "ArgMin"):
        yield case(op, ties.astype(np.int32), at=(7, 11, 13), axis=1)


REDUCTIONS = "Mean Sum Max Min Prod L1 L2 SumSquare LogSum LogSumExp".split()  # noqa: SIM905
WITH_INTEGERS = ("Sum", "Max", "Min", "Prod", "SumSquare")


def reductions() -> Iterator[Case]:
    for name in REDUCTIONS:
        op = f"Reduce{name}"
        old, new = ((7, 11), (13, NEWEST)) if name == "Sum" else ((7, 11, 13), (18, NEWEST))
        counts = [whole(2, 3, 4, low=1, high=5, dtype=np.int32)] if name in WITH_INTEGERS else []
        for x in [positive(2, 3, 4) if name == "LogSum" else noise(2, 3, 4), *counts]:
            for axes, keepdims in product(
                ([0], [1, 2], [-1], [-2, 0], [0, 1, 2], None), (None, 0, 1)
            ):
                yield case(op, x, at=old, axes=axes, keepdims=keepdims)
                given = [] if axes is None else [ints(*axes)]
                yield case(op, x, *given, at=new, keepdims=keepdims)
            for axes, empty in product(([], [ints()], [ints(1)]), (0, 1)):
                yield case(op, x, *axes, at=new, noop_with_empty_axes=empty)
        yield case(op, np.asarray(F(3)), at=18)
    for name, dtype in product(("ReduceMax", "ReduceMin"), (np.int8, np.uint8, np.int64)):
        yield case(name, whole(2, 3, 4, low=0, dtype=dtype), at=(12, 13), axes=[1])
        yield case(name, whole(2, 3, 4, low=0, dtype=dtype), ints(1), at=(18, 20))
        yield case(name, flags(2, 3, 4), ints(1), at=20)


# Normalisation


def normalisation() -> Iterator[Case]:
    for groups, shape, epsilon in product(
        (1, 2, 3, 6), ((2, 6, 4, 5), (2, 6, 4), (1, 6, 2, 3, 4), (2, 6)), (None, 0.1)
    ):
        for at, n in ((18, groups), (21, 6)):
            weights = noise(n), noise(n, seed=1)
            yield case("GroupNormalization", noise(*shape), *weights, at=at, num_groups=groups,
                       epsilon=epsilon)  # fmt: skip
    three = noise(3), noise(3, seed=1)
    four = noise(4), noise(4, seed=1), noise(4, seed=2), positive(4)
    for epsilon in (None, 0.1):
        for shape in [(2, 3, 4, 5), (2, 3, 4), (1, 3, 2, 3, 4)]:
            yield case("InstanceNormalization", noise(*shape), *three, at=(7, 22), epsilon=epsilon)
        for shape in [(2, 4, 5, 6), (2, 4, 5), (1, 4, 2, 3, 4), (3, 4)]:
            x = noise(*shape)
            yield case("BatchNormalization", x, *four, at=(7, 9, 14, 15), epsilon=epsilon)
            yield case(
                "BatchNormalization", x, *four, at=(14, 15), outputs=3, epsilon=epsilon,
                training_mode=1, momentum=0.7,
            )  # fmt: skip
        for axis in (None, -1, 1, 2, -2, 0):
            shape = (2, 3, 4)[-1 if axis is None else axis :]
            weights = [noise(*shape), noise(*shape, seed=1)]
            how = {"axis": axis, "epsilon": epsilon}
            for count, outputs in product((1, 2), (1, 2, 3)):
                yield case("LayerNormalization", noise(2, 3, 4), *weights[:count], at=17,
                           outputs=outputs, **how)  # fmt: skip
            yield case("RMSNormalization", noise(2, 3, 4), weights[0], at=23, **how)
    for axis, p in product((None, 0, 1, -1), (None, 1, 2)):
        yield case("LpNormalization", noise(2, 3, 4), at=(7, 22), axis=axis, p=p)
    yield case("LpNormalization", np.zeros((2, 3), F), at=(7, 22))
    for how in sweep(size=[1, 3, 5], alpha=[None, 0.1], beta=[None, 0.6], bias=[None, 2.0]):
        yield case("LRN", noise(1, 6, 3, 4), at=(7, 13), **how)


# Arithmetic, comparisons, choices

INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
WIDE = [name for name in INTEGERS if name[-2:] in ("32", "64")]
EQUATIONS = {
    "ij,jk->ik": [(2, 3), (3, 4)], "ij,jk": [(2, 3), (3, 4)], "ij->ji": [(2, 3)], "ji": [(2, 3)],
    "ii->i": [(3, 3)], "ii": [(3, 3)], "bij,bjk->bik": [(2, 3, 4), (2, 4, 5)],
    "...ij,...jk->...ik": [(2, 1, 3, 4), (1, 5, 4, 2)], "i,i->": [(4,), (4,)],
    "i,j->ij": [(3,), (4,)], "ijk->": [(2, 3, 4)], "ijk->j": [(2, 3, 4)],
    "ab,bc,cd->ad": [(2, 3), (3, 4), (4, 5)], " i j , j k -> k i ": [(2, 3), (3, 4)],
    "...i->...": [(2, 3, 4)], "i...->...i": [(2, 3, 4)],
    "bhwc,hkc->bhwk": [(2, 3, 4, 5), (3, 6, 5)],
    "ij,ij->ij": [(2, 3), (2, 3)], "iij->ij": [(3, 3, 2)], "aB,Bc->ac": [(2, 3), (3, 4)],
    "ij,kl->ijkl": [(1, 2), (3, 2)],
}  # fmt: skip


def arithmetic() -> Iterator[Case]:
    for name in INTEGERS:
        signed = name[0] == "i"
        a = whole(4, 5, low=-20 if signed else 0, high=20, dtype=name)
        b = whole(5, low=1, high=6, dtype=name, seed=1)
        b = b * np.array([1, -1, 1, -1, 1] if signed else [1] * 5, name)
        for op in ("Add", "Sub", "Mul", "Div"):  # towards zero
            yield case(op, a, b, at=(7, 13, 14) if name in WIDE else 14, live=2)
        for fmod in (None, 0, 1):
            yield case("Mod", a, b, at=(10, 13), live=2, fmod=fmod)
        yield from (case(op, a, at=(9, 13)) for op in ("Abs", "Sign"))
        if signed:
            yield case("Neg", a, at=(7, 13))
        two, five = np.array(2, name), np.array(5, name)
        if name in WIDE:
            yield from (case(op, a, b, at=(12, 13), live=2) for op in ("Max", "Min"))
        if name in ("int8", "uint8", *WIDE):
            for bounds in ((two, five), (None, five), (two,), (five, two)):
                yield case("Clip", a, *bounds, at=(12, 13))
    yield from (case("Relu", whole(3, 4, dtype=dtype), at=14) for dtype in (np.int8, np.int32))
    yield case("Mod", noise(3, 4) * 5, F([1.5, -2, 0.7, -3]), at=(10, 13), live=2, fmod=1)
    for op in ("Max", "Min", "Mean", "Sum"):
        for shapes in [((2, 3, 4), (3, 1), (4,)), ((2, 3),), ((2, 1), (1, 3))]:
            operands = [noise(*shape, seed=i) for i, shape in enumerate(shapes)]
            yield case(op, *operands, at=(8, 13), live=len(operands))
    for low, high in [(-0.5, 0.7), (0.7, -0.5), (0, 0)]:
        if low < high:  # as attributes onnxruntime refuses the others
            yield case("Clip", noise(3, 4), at=7, min=float(low), max=float(high))
        yield case("Clip", noise(3, 4), np.array(F(low)), np.array(F(high)), at=(11, 12, 13))
    for base, exponent in product((F, np.int32, np.int64), repeat=2):
        x = whole(3, 4, low=1, high=5, dtype=base)
        at = (7, 12, 13, 15) if base == exponent == F else (12, 13, 15)
        for y in (whole(4, low=0, high=4, dtype=exponent), np.array(3, exponent)):
            yield from (case("Pow", x, y, at=at, live=live) for live in (1, 2))
        if exponent == F:
            yield case("Pow", x, F([0.5, 1.5, 2.5, 0]), at=at, live=2)
    for y in (2, 3, 0.5, -2):
        yield case("Pow", F([-2, -1.5, 1, 3]), np.array(F(y)), at=(7, 13))
    yield case("Pow", F([[2.0]]), F([1, 2, 3]), at=(7, 13))
    yield case("Pow", F([2.0, 3]), F([[2]]), at=(7, 13))
    for axis, dtype, how in product(
        (0, 1, -1), (F, np.int32, np.int64), sweep(exclusive=[None, 1], reverse=[None, 1])
    ):
        yield case("CumSum", whole(3, 4, 2, dtype=dtype), np.array(axis), at=(11, 14), **how)
    for equation, shapes in EQUATIONS.items():
        operands = [noise(*shape, seed=i) for i, shape in enumerate(shapes)]
        yield case("Einsum", *operands, at=12, live=len(operands), equation=equation)
        yield case("Einsum", *operands, at=12, equation=equation)
    for a, b in [((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((2, 1, 3, 4), (5, 4, 2)),
                 ((2, 3, 4), (4,)), ((4,), (2, 4, 3))]:  # fmt: skip
        for live in (1, 2):
            yield case("MatMul", noise(*a), noise(*b, seed=1), at=(7, 13), live=live)
    for how in sweep(transA=[0, 1], transB=[0, 1], alpha=[None, 0.5], beta=[None, 0.0, 0.3]):
        a = noise(3, 2) if how["transA"] else noise(2, 3)
        b = noise(4, 3) if how["transB"] else noise(3, 4)
        yield case("Gemm", a, b, at=(11, 13), **how)
        for c in [(4,), (2, 4), (2, 1), (1,), (1, 4), ()]:
            yield case("Gemm", a, b, np.asarray(noise(*c)), at=(7, 13), **how)


def choices() -> Iterator[Case]:
    pairs = [((2, 3, 4), (3, 1)), ((3, 1), (2, 3, 4)), ((2, 1), (1, 3)), ((), (2, 3))]
    for dtype, (a, b) in product((F, np.int32, np.int64), pairs):
        x = np.asarray(whole(*a, low=-2, high=3, dtype=dtype))
        y = whole(*b, low=-2, high=3, dtype=dtype, seed=1)
        is_float = dtype == F
        yield case("Equal", x, y, at=(11, 13, 19) if is_float else (7, 11, 13, 19), live=2)
        for op in ("Greater", "Less"):
            yield case(op, x, y, at=(7, 9, 13) if is_float else (9, 13), live=2)
        for op in ("GreaterOrEqual", "LessOrEqual"):
            yield case(op, x, y, at=(12, 16), live=2)
    for a, b in pairs:
        x, y = np.asarray(flags(*a)), flags(*b, seed=1)
        yield from (case(op, x, y, at=7, live=2) for op in ("And", "Or", "Xor"))
        yield case("Equal", x, y, at=(7, 11, 13, 19), live=2)
    yield case("Not", flags(2, 3), at=7)
    for dtype, (c, a, b) in product(
        (F, np.int64, np.int32, np.uint8),
        [((2, 3), (2, 3), (2, 3)), ((3,), (2, 1), (2, 3)), ((2, 1, 1), (3,), ())],
    ):
        x, y = whole(*a, low=0, dtype=dtype), np.asarray(whole(*b, low=0, dtype=dtype, seed=3))
        yield case("Where", flags(*c), x, y, at=(9, 16), live=3)


# Indices


def indexing() -> Iterator[Case]:
    for axis in (None, -1, 0, 1, -2):
        for kind in (np.int64, F):  # onnxruntime takes few combinations of types
            index = np.array([[0, 2, -1], [-3, 5, 1]]).astype(kind)  # 5 is none of 4
            yield case("OneHot", index, np.array(4, kind), F([0.5, 2]), at=(9, 11), axis=axis)
        index = whole(2, 3, low=-5, high=5)
        yield case("OneHot", index, ints(4), ints(0, 1), at=(9, 11), axis=axis)
    x = noise(3, 4, 5)
    for axis, kind, shape in product((None, 0, 1, 2, -1), (np.int64, np.int32),
                                     ((3, 4, 5), (2, 3, 4))):  # fmt: skip
        n, how = x.shape[axis or 0], {"axis": axis}
        index = whole(*shape, low=-n, high=n, dtype=kind)
        once = np.argsort(noise(*shape), axis=axis or 0).astype(kind)
        new = noise(*shape, seed=2)
        yield from (case("GatherElements", x, index, at=(11, 13), live=k, **how) for k in (1, 2))
        yield case("Scatter", x, once, new, at=9, **how)
        yield case("ScatterElements", x, once, new, at=(11, 13, 16, 18), **how)
        yield case("ScatterElements", x, once - kind(n), new, at=(11, 18), **how)
        yield case("ScatterElements", x, index, new, at=(16, 18), reduction="add", **how)
        yield case("ScatterElements", whole(3, 4, 5), once, whole(*shape), at=(11, 18), **how)
        yield case("Gather", x, index[0, :2, :2], at=(11, 13), **how)
        yield case("Gather", whole(3, 4, 5), np.array(1, kind), at=(7, 13), **how)
    x = noise(2, 3, 4)
    for index, lead in [
        ([[0, 1], [1, -1]], 0), ([[[0, 1]], [[1, 2]]], 0), ([[1], [0]], 0), ([[0, 1, 2]], 0),
        ([[0], [2]], 1), ([[[0], [2]], [[1], [-1]]], 1), ([[0, 1], [2, 3]], 1),
        ([[[1], [2], [0]], [[-1], [3], [2]]], 2),
    ]:  # fmt: skip
        at = (12, 13) if lead else (11, 12, 13)
        yield case("GatherND", x, np.array(index), at=at, batch_dims=lead or None)
        yield case("GatherND", whole(2, 3, 4), np.array(index), at=at, batch_dims=lead or None)
    for index, shape in [
        ([[0, 1], [1, -1]], (2, 4)), ([[1]], (1, 3, 4)), ([[0, 1, 2], [1, 2, 3], [-1, 0, 0]], (3,)),
        ([[[0], [1]]], (1, 2, 3, 4)),
    ]:  # fmt: skip
        new = noise(*shape, seed=3)
        yield case("ScatterND", x, np.array(index), new, at=(11, 13, 16, 18))
        yield case("ScatterND", x, np.array(index), new, at=(16, 18), reduction="add")
        yield case("ScatterND", whole(2, 3, 4), np.array(index), whole(*shape), at=(11, 18))
    twice = np.array([[0], [0]])
    yield case("ScatterND", x, twice, noise(2, 3, 4, seed=3), at=(16, 18), reduction="add")
    for upper, k, shape in product((None, 0, 1), (None, 0, 1, -1, 5, -5), ((3, 4), (2, 4, 3))):
        given = [] if k is None else [np.array(k)]
        yield case("Trilu", noise(*shape), *given, at=14, upper=upper)


# Shapes. Left out: reflections of more than there is, which onnxruntime refuses.

LARGEST, SMALLEST = 2**63 - 1, -(2**63)
SLICES = [  # starts, ends, axes, steps
    ([0], [LARGEST], [1], [1]), ([0], [2**31 - 1], [1], [1]), ([1], [LARGEST], [-1], [2]),
    ([-1], [SMALLEST], [2], [-1]), ([LARGEST], [SMALLEST], [2], [-1]),
    ([-1], [-(2**31)], [2], [-1]), ([2**31 - 1], [-(2**31)], [2], [-2]), ([-1], [-6], [2], [-1]),
    ([-1], [-7], [2], [-1]), ([3], [1], [2], [-1]), ([3], [0], [2], [-1]), ([3], [-5], [2], [-1]),
    ([-3], [-1], [2], [1]), ([-9], [9], [2], [3]), ([SMALLEST], [LARGEST], [2], [1]),
    ([1, 0], [3, 2], [1, 2], [1, 1]), ([1, 0], [3, 2], [2, 0], [1, 1]),
    ([-2, -1], [0, 0], [1, 2], [-1, -2]), ([2], [LARGEST], [2], [LARGEST]),
    ([4], [SMALLEST], [2], [SMALLEST + 1]),
]  # fmt: skip
PADS = [(0, 0, 1, 2, 0, 0, 3, 1), (0, 1, 0, 2, 0, 0, 0, 3), (0, 0, -1, 2, 0, 0, 3, -2),
        (0, 0, -1, -2, 0, 0, -1, -1), (0, 0, 2, -1, 0, 0, -2, 1)]  # fmt: skip


def padding() -> Iterator[Case]:
    x = noise(1, 3, 5, 6)
    for pads, mode in product(PADS, (None, "constant", "reflect", "edge", "wrap")):
        newer = (19, 21, NEWEST) if mode == "wrap" else (11, 13, 18, 19, 21, NEWEST)
        for value in ([], [np.array(F(1.5))]):
            yield case("Pad", x, ints(*pads), *value, at=newer, mode=mode)
            if mode != "wrap":
                old = {"mode": mode, "value": 1.5 if value else None}
                yield case("Pad", x, at=7, pads=list(pads), **old)
    far = ints(0, 2, 4, 9, 0, 0, 4, 9)
    yield from (case("Pad", x, far, at=(13, 19, NEWEST), mode=m) for m in ("edge", "constant"))
    yield case("Pad", x, far, at=(19, NEWEST), mode="wrap")
    for mode, (axes, pads) in product(
        ("constant", "reflect", "edge", "wrap"),
        [((2, 3), (1, 2, 3, 1)), ((-1,), (2, 2)), ((3, 1), (1, 1, 0, 1)), ((2,), (-1, 2))],
    ):
        at = (19, NEWEST) if mode == "wrap" else (18, 19, NEWEST)
        yield case("Pad", x, ints(*pads), np.array(F(0.5)), ints(*axes), at=at, mode=mode)
    for dtype in (np.int64, np.int32, np.uint8, np.int8, bool):
        y, pads = whole(2, 3, low=0, dtype=dtype), ints(1, 0, 0, 2)
        yield case("Pad", y, pads, np.array(1, dtype), at=(13, 18, NEWEST))
        yield case("Pad", y, pads, at=(13, 18, NEWEST))


def shapes() -> Iterator[Case]:
    yield from padding()
    x = noise(2, 3, 5)
    for starts, ends, axes, steps in SLICES:
        given = [ints(*numbers) for numbers in (starts, ends, axes, steps)]
        yield case("Slice", x, *given, at=(10, 11, 13))
        yield case("Slice", whole(2, 3, 5), *given, at=(10, 13))
        if set(steps) == {1}:
            yield case("Slice", x, *given[:3], at=(10, 13))
            yield case("Slice", x, at=(7, 9), starts=starts, ends=ends, axes=axes)
    yield case("Slice", x, ints(0, 1), ints(1, 3), None, ints(1, 2), at=(10, 13))
    for count, axis in product((2, 3, 4), (2, -1)):
        how = {"outputs": count, "num_outputs": count, "axis": axis}
        yield from (case("Split", y, at=(18, NEWEST), **how) for y in (noise(2, 3, 7),
                                                                       whole(2, 3, 7)))  # fmt: skip
    yield case("Split", noise(6, 3), at=(7, 11), outputs=3, split=[1, 2, 3])
    yield case("Split", noise(6, 3), ints(1, 2, 3), at=(13, 18, NEWEST), outputs=3)
    for axes in ([0], [0, 2], [-1], [-2, -4], None):
        old = 11 if axes and min(axes) < 0 else (7, 11)
        yield case("Squeeze", noise(1, 3, 1, 1), at=old, axes=axes)
        given = [ints(*axes)] if axes else []
        yield case("Squeeze", noise(1, 3, 1, 1), *given, at=(13, 21, NEWEST))
    for axes in ([0], [0, 2], [3, 1], [2, 0], [-1], [-1, 0], [0, -2]):
        yield case("Unsqueeze", noise(2, 3), at=11 if min(axes) < 0 else (7, 11), axes=axes)
        yield case("Unsqueeze", noise(2, 3), ints(*axes), at=(13, 21, NEWEST))
    for shape, repeats in [
        ((2, 3), (2, 2)),
        ((2, 3), (1, 3)),
        ((2, 1, 4), (1, 5, 2)),
        ((4,), (3,)),
    ]:
        for y in (noise(*shape), whole(*shape)):
            yield case("Tile", y, ints(*repeats), at=(7, 13))
    for shape, target in [((3, 1), (2, 3, 4)), ((3, 1), (1,)), ((1,), (3,)), ((2, 3), (1, 1)),
                          ((1, 1, 4), (2, 1, 1)), ((), (2, 3))]:  # fmt: skip
        for y in (noise(*shape), whole(*shape)):
            yield case("Expand", np.asarray(y), ints(*target), at=(8, 13))
    for side in (2, 3):
        deep = noise(2, side * side * 2, 3, 2)
        yield case("DepthToSpace", deep, at=(7, 11, 13), blocksize=side)
        for mode in ("DCR", "CRD"):
            yield case("DepthToSpace", deep, at=(11, 13), blocksize=side, mode=mode)
        yield case("SpaceToDepth", noise(2, 2, side * 2, side * 3), at=(7, 13), blocksize=side)
    for dtype in (np.int64, np.uint8, np.float64, np.float16, bool):
        yield case("Identity", whole(2, 3, low=0, dtype=dtype), at=(7, 13, 14, 16, 19, 21, NEWEST))
    yield case("Dropout", noise(2, 3), at=(7, 10, 12, 13, 22))
    for ratio, training in [((0.3,), ()), ((0.3,), (False,)), ((0,), (True,))]:
        given = [np.array(F(r)) for r in ratio] + [np.array(t) for t in training]
        for outputs in (1, 2):  # before opset 12 onnxruntime leaves the mask unset
            yield case("Dropout", noise(2, 3), *given, at=(12, 13, 22), outputs=outputs)


# Types. All floats of a network are one type, so casts between float and double are not compared.

CASTS = {
    TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16", TensorProto.BOOL: "bool",
    **{getattr(TensorProto, name.upper()): name for name in INTEGERS},
}  # fmt: skip


def types() -> Iterator[Case]:
    new = (19, NEWEST)
    for (_, source), (to, target) in product(CASTS.items(), CASTS.items()):
        kind = np.dtype(source).kind
        x = np.array(
            [0, 0.4, 0.5, 0.6, 1.5, 2.7, 99.9, -0.0] if kind == "f" else [0, 1, 2, 100, 127]
        )
        yield case("Cast", x.astype(source), at=(9, 13, *new), to=to)
        yield case("CastLike", x.astype(source), np.ones(1, target), at=(15, *new))
        if kind in "if" and np.dtype(target).kind in "ifb":
            x = np.array([-1, -2.7, -0.5, -100, -1.5]).astype(source)
            yield case("Cast", x, at=(9, 13, *new), to=to)
        if kind in "iu" and np.dtype(target).kind in "iub":
            limits = np.iinfo(source)
            yield case("Cast", np.array([limits.min, limits.max], source), at=(13, *new), to=to)
    double = np.array([0, 0.4, -1.5, 99.9])
    for to in (TensorProto.INT8, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL):
        yield case("Cast", double, at=(9, 13, *new), to=to)
    for to in (TensorProto.DOUBLE, TensorProto.FLOAT):
        yield case("Cast", double.astype("i4" if to == TensorProto.FLOAT else "f8"), at=13, to=to)


def quantisation() -> Iterator[Case]:
    x, at = noise(2, 4, 6) * 20, (21, 23, 25)
    for dtype in (np.int8, np.uint8):
        limits = np.iinfo(dtype)
        q = whole(2, 4, 6, low=limits.min, high=limits.max + 1, dtype=dtype)
        one, three, tenth = np.array(1, dtype), np.array(3, dtype), np.array(F(0.1))
        yield case("DequantizeLinear", q, tenth, at=(10, 13, 19, *at))
        yield case("DequantizeLinear", q, tenth, three, at=(10, 13, 19, *at))
        ties = np.arange(-8, 8).astype(F) / 2
        for values in (x, F([0.05, 0.15, 0.25, -0.05, -0.15, 1e9, -1e9])):
            yield case("QuantizeLinear", values, tenth, three, at=(10, 13, 19, *at))
        yield case("QuantizeLinear", ties, np.array(F(1)), one, at=(10, 13, *at))
        for axis in (None, 0, 1, 2, -1):
            n = q.shape[1 if axis is None else axis]
            step, zero = positive(n, seed=5), whole(n, low=0, dtype=dtype)
            yield case("DequantizeLinear", q, step, zero, at=(13, 19, *at), axis=axis)
            yield case("DequantizeLinear", q, step, at=(13, 19, *at), axis=axis)
            yield case("QuantizeLinear", x, step, zero, at=(13, 19, *at), axis=axis)
        for block, axis in [(2, 1), (3, 2), (2, 2), (4, -1), (4, 2)]:
            shape = [2, 4, 6]
            shape[axis] = -(-shape[axis] // block)
            step, zero = positive(*shape, seed=5), whole(*shape, low=0, dtype=dtype)
            how = {"axis": axis, "block_size": block}
            yield case("DequantizeLinear", q, step, zero, at=at, **how)
            yield case("DequantizeLinear", q, step, at=at, **how)
            yield case("QuantizeLinear", x, step, zero, at=at, **how)
    for dtype in (np.int16, np.uint16):
        q, three = whole(2, 4, 6, low=0, high=2**15, dtype=dtype), np.array(3, dtype)
        yield case("DequantizeLinear", q, np.array(F(0.1)), three, at=at)
        yield case("QuantizeLinear", x * 100, np.array(F(0.1)), three, at=at)
        yield case("QuantizeLinear", x * 100, positive(4), whole(4, low=0, dtype=dtype), at=at)
    for name in ("INT8", "UINT8", "INT16", "UINT16"):
        to = getattr(TensorProto, name)
        yield case("QuantizeLinear", x, np.array(F(0.1)), at=at, output_dtype=to)
    counts = whole(2, 3, low=-1000, high=1000, dtype=np.int32)
    yield case("DequantizeLinear", counts, np.array(F(0.1)), at=(10, 13, *at))


# Activations

EDGES = F([0, -0.0, 1, -1, 3, -3, 20, -20, 88, -88, 100, -100, 1e4, -1e4])
POINTS = np.concatenate([noise(60) * 4, EDGES]).reshape(2, -1)
ACTIVATIONS = [  # operator, opset versions, attributes
    ("Gelu", 20, {"approximate": [None, "none", "tanh"]}),
    ("Elu", (7, 22), {"alpha": [None, 0.3, 2.5]}), ("Celu", 12, {"alpha": [None, 0.3, 2.5]}),
    ("Selu", (7, 22), {"alpha": [None, 2.0], "gamma": [None, 0.5]}), ("Softplus", (7, 22), {}),
    ("Softsign", (7, 22), {}), ("Mish", (18, 22), {}), ("HardSwish", (14, 22), {}),
    ("ThresholdedRelu", (10, 22), {"alpha": [None, 0.3, -1.0]}),
    ("LeakyRelu", (7, 16), {"alpha": [None, 0.3, -0.2]}),
    ("Swish", 24, {"alpha": [None, 0.5, 2.0]}),
    ("HardSigmoid", (7, 22), {"alpha": [None, 0.4], "beta": [None, 0.1]}), ("Sigmoid", (7, 13), {}),
    ("Tanh", (7, 13), {}), ("Relu", (7, 13, 14), {}), ("Erf", (9, 13), {}), ("Abs", (7, 13), {}),
    ("Neg", (7, 13), {}), ("Sin", (7, 22), {}), ("Cos", (7, 22), {}), ("Floor", (7, 13), {}),
    ("Ceil", (7, 13), {}), ("Sign", (9, 13), {}), ("Round", (11, 22), {}),
]  # fmt: skip


def activations() -> Iterator[Case]:
    for op, at, attributes in ACTIVATIONS:
        yield from (case(op, POINTS, at=at, **how) for how in sweep(**attributes))
    yield case("Round", F([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.4999]), at=(11, 22))
    yield case("Exp", noise(3, 4), at=(7, 13))
    for op in ("Log", "Sqrt", "Reciprocal"):
        yield case(op, np.abs(POINTS), at=(7, 13))
    for shape in [(3, 1, 1), (1, 3, 1, 1), (5,), (4, 5), (1,), (2, 3, 4, 5), ()]:
        slope = np.asarray(noise(*shape))
        yield from (case("PRelu", noise(2, 3, 4, 5), slope, at=(7, 9, 16), live=k) for k in (1, 2))
    for op, axis in product(("Softmax", "LogSoftmax"), (None, 0, 1, 2, 3, -1, -2)):
        at = (11, 13) if axis and axis < 0 else (7, 11, 13)
        yield case(op, noise(2, 3, 4, 5), at=at, axis=axis)
        yield case(op, F([[1e4, -1e4, 0]]), at=(7, 13))


FAMILIES = [
    resizing, sampling, windows, extremes, reductions, normalisation, arithmetic, choices, indexing,
    shapes, types, quantisation, activations,
]  # fmt: skip
BY_VERSION: dict[tuple[str, int], list[Case]] = defaultdict(list)
for one_case in (c for family in FAMILIES for c in family()):
    for version in one_case.at:
        BY_VERSION[one_case.op, version].append(one_case)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # overflow, on purpose
@pytest.mark.parametrize(("op", "version"), BY_VERSION, ids=lambda value: str(value))
def test_operator_gives_what_onnxruntime_gives(op, version, tmp_path):
    cases, wrong = BY_VERSION[op, version], []
    for c in cases:
        difference = disagreement(c.model(version), tmp_path, *c.operands[: c.live])
        wrong += [f"{c}: {difference}"] if difference else []
    assert not wrong, f"{len(wrong)} of {len(cases)} cases differ:\n" + "\n".join(wrong)


# Numbers that are none, made inside of the network: what is given must be finite.

NANS = [  # operator, its opset versions, attributes, whether it has a second operand
    ("IsNaN", (9, 20), {}, False), ("IsInf", (10, 20), {}, False), ("Max", (8, 13), {}, True),
    ("Min", (8, 13), {}, True), ("Relu", (7, 14), {}, False), ("LeakyRelu", (7,), {}, False),
    ("Sign", (9,), {}, False), ("Clip", (11, 13), {}, True), ("ArgMax", (7, 13), {}, False),
    ("ArgMin", (7, 13), {}, False), ("ReduceMax", (7, 18), {}, False), ("Pow", (7, 13), {}, True),
    ("ReduceMin", (7, 18), {}, False), ("Cast", (9, 13), {"to": TensorProto.BOOL}, False),
    ("Equal", (13,), {}, True), ("Greater", (9,), {}, True), ("Less", (9,), {}, True),
    ("HardSwish", (14,), {}, False), ("Elu", (7,), {}, False),
    ("ThresholdedRelu", (10,), {}, False),
    ("Mod", (10,), {"fmod": 1}, True), ("PRelu", (9,), {}, True), ("Softplus", (7,), {}, False),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("op", "versions", "attributes", "two"), NANS, ids=lambda x: str(x))
def test_nan_and_infinity_go_the_same_way(op, versions, attributes, two, tmp_path):
    x = F([-2, -1, 0, 1, 2, 3])  # log(x) is NaN, -inf and numbers
    nodes = [
        node("Log", ["x"], ["log"]),
        node(op, ["log", "one"] if two else ["log"], ["y"], **attributes),
    ]
    for version in versions:
        model = typed(nodes, {"x": x}, {"one": np.array(F(1))}, version)
        assert not disagreement(model, tmp_path, x)


# Half and double. Networks compute half in float32; onnxruntime has no double convolution, so that
# is compared with its float one.

WEIGHT, BIAS = noise(4, 3, 3, 3), noise(4)
LAYERS = [
    node("Conv", ["x", "w", "b"], ["conv"], pads=[1, 1, 1, 1]),
    node("Relu", ["conv"], ["relu"]),
    node("MaxPool", ["relu"], ["pool"], kernel_shape=[2, 2], strides=[2, 2]),
    node("GlobalAveragePool", ["pool"], ["mean"]),
    node("Flatten", ["mean"], ["scores"]),
    node("Softmax", ["scores"], ["y"], axis=1),
]


@pytest.mark.parametrize("version", [7, 11, 13, 18, 22, NEWEST])
def test_networks_of_half_precision_give_what_onnxruntime_gives(version, tmp_path):
    x = noise(2, 3, 6, 8).astype(np.float16)
    arrays = {"w": WEIGHT.astype(np.float16), "b": BIAS.astype(np.float16)}
    assert not disagreement(typed(LAYERS, {"x": x}, arrays, version), tmp_path, x)
    nodes = [node("Cast", ["photo"], ["x"], to=TensorProto.FLOAT16), *LAYERS]
    nodes += [node("Cast", ["y"], ["z"], to=TensorProto.FLOAT)]
    photo = x.astype(F)
    model = typed(nodes, {"photo": photo}, arrays, version, ("z",))
    assert not disagreement(model, tmp_path, photo, within=4e-3)


@pytest.mark.parametrize("version", [7, 11, 13, 18, 22, NEWEST])
def test_networks_of_doubles_give_what_onnxruntime_gives_in_floats(version, tmp_path):
    x, arrays = noise(2, 3, 6, 8), {"w": WEIGHT, "b": BIAS}
    path = written(typed(LAYERS, {"x": x}, arrays, version), tmp_path)
    (expected,) = by_onnxruntime(path, x)
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    double = written(typed(LAYERS, {"x": x.astype(np.float64)}, wide, version), tmp_path, "d.onnx")
    y = minicnn.load(double)(x.astype(np.float64))
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


DOUBLES = ["Exp", "Log", "Sqrt", "Sin", "Tanh", "Sigmoid", "ReduceSum", "ReduceMean", "Abs", "Neg",
           "Relu", "Floor"]  # fmt: skip


@pytest.mark.parametrize("op", DOUBLES)
def test_operators_on_doubles_give_what_onnxruntime_gives(op, tmp_path):
    x = positive(1, 2, 3, 4).astype(np.float64)
    for version in (7, 13, 18, NEWEST):
        model = typed([node(op, ["x"], ["y"])], {"x": x}, {}, version)
        assert not disagreement(model, tmp_path, x, within=1e-12)


# Constants beside the network


@pytest.mark.parametrize("version", [11, 13, 18, NEWEST])
@pytest.mark.parametrize(
    ("start", "limit", "delta"), [(0, 5, 1), (5, 0, -2), (1, 10, 3), (0.5, 4.2, 0.3), (3, 1, -0.5)]
)
def test_ranges_give_what_onnxruntime_gives(start, limit, delta, version, tmp_path):
    x = noise(2, 3)
    nodes = [
        node("Range", ["start", "limit", "delta"], ["range"]),
        node("ReduceMean", ["x"], ["mean"], keepdims=0),
        node("Add", ["mean", "range"], ["y"]),
    ]
    arrays = {n: np.array(F(v)) for n, v in
              (("start", start), ("limit", limit), ("delta", delta))}  # fmt: skip
    assert not disagreement(typed(nodes, {"x": x}, arrays, version), tmp_path, x)


@pytest.mark.parametrize("k", [None, 0, 1, -1, 9])
def test_identity_matrices_give_what_onnxruntime_gives(k, tmp_path):
    x, attributes = noise(3, 4), {} if k is None else {"k": k}
    for version in (9, 22):
        nodes = [node("EyeLike", ["x"], ["eye"], **attributes), node("Add", ["x", "eye"], ["y"])]
        assert not disagreement(typed(nodes, {"x": x}, {}, version), tmp_path, x)
        nodes = [
            node("EyeLike", ["like"], ["eye"], dtype=TensorProto.FLOAT, **attributes),
            node("MatMul", ["x", "eye"], ["y"]),
        ]
        model = typed(nodes, {"x": x}, {"like": whole(4, 5, dtype=np.int32)}, version)
        assert not disagreement(model, tmp_path, x)


@pytest.mark.parametrize("version", [7, 11, 13, 19, NEWEST])
@pytest.mark.parametrize("height", [6, 7])
def test_of_a_condition_on_shapes_one_branch_is_read(height, version, tmp_path):
    def branch(op, name):
        end = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([node(op, ["x"], [name])], op, [], [end])

    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "two"], ["height"]),
        node("Equal", ["height", "six"], ["sure"]),
        node(
            "If", ["sure"], ["y"], then_branch=branch("Relu", "a"), else_branch=branch("Tanh", "b")
        ),
    ]
    x = noise(1, 2, height, 3)
    model = typed(nodes, {"x": x}, {"two": np.array(2), "six": np.array(6)}, version)
    assert not disagreement(model, tmp_path, x)

"""The blocks as functions, with names and arguments in the order of `torch.nn.functional`.

Every function takes tensors or arrays: on arrays it only computes. Tensors are (N, C, H, W),
filters (O, C/groups, kH, kW). `padding` may be one number, one an axis, or all sides: (top, left,
bottom, right). Reductions, arithmetic and indexing are methods and operators of `Tensor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from minicnn import blocks as B
from minicnn import kernels
from minicnn.errors import InputError, ShapeError
from minicnn.kernels import Window

__all__ = [
    "amax",
    "avg_pool2d",
    "batch_norm",
    "cat",
    "clamp",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "elu",
    "exp",
    "flatten",
    "gelu",
    "global_avg_pool2d",
    "global_max_pool2d",
    "grid_sample",
    "group_norm",
    "hardsigmoid",
    "hardswish",
    "instance_norm",
    "interpolate",
    "layer_norm",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "log",
    "log_softmax",
    "matmul",
    "max_pool2d",
    "maximum",
    "minimum",
    "mish",
    "pad",
    "pixel_shuffle",
    "prelu",
    "relu",
    "reshape",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "split",
    "squeeze",
    "tanh",
    "transpose",
    "unsqueeze",
    "where",
]

Ints = int | Sequence[int]


def window(
    kernel: Ints,
    stride: Ints,
    padding: Ints,
    dilation: Ints,
    rank: int = 2,
    ceil_mode: bool = False,
) -> Window:
    """A sliding window from torch-like arguments; `padding` may also have two numbers an axis."""

    def each(name: str, value: Ints, most: int = 1) -> tuple[int, ...]:
        numbers = np.atleast_1d(value)
        if numbers.dtype.kind not in "iu" or numbers.shape not in {(1,), (rank,), (most * rank,)}:
            raise InputError(f"{name} needs 1 or {rank} numbers, whole ones; it got {value!r}.")
        return tuple(int(n) for n in np.broadcast_to(numbers, max(rank, len(numbers))))

    pads = each("padding", padding, most=2)
    pads = pads if len(pads) == 2 * rank else pads * 2
    made = Window(
        each("kernel_size", kernel), each("stride", stride), pads, each("dilation", dilation),
        ceil_mode,
    )  # fmt: skip
    if min(made.pads) < 0:
        raise InputError(f"A window needs padding 0 or more; got {padding}.")
    return made


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlate images with filters.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W)
        Images.
    weight : Tensor or array, shape (O, C/groups, kH, kW)
        Filters.
    bias : Tensor or array, shape (O,), optional
        Added to each output channel.
    stride, padding, dilation : int or sequence of int
        `padding` may have four sides: (top, left, bottom, right).
    groups : int
        Channels are split into so many groups; as many as channels make it depthwise.

    Returns
    -------
    Tensor or array, shape (N, O, H', W')
        H' = floor((H + top + bottom - dilation (kH - 1) - 1) / stride) + 1.

    Raises
    ------
    ShapeError
        If channels, filters and groups do not fit, or the window does not fit into the image.
    """
    block = B.Conv(window(_kernel(weight), stride, padding, dilation), groups)
    return block(input, weight) if bias is None else block(input, weight, bias)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Any:
    """Transpose of `conv2d` with respect to its input; weight (C_in, C_out/groups, kH, kW).

    `output_padding` picks among the input sizes that the convolution maps to the same output size;
    like torch, it must be smaller than stride or dilation.
    """
    made = window(_kernel(weight), stride, padding, dilation)
    extra = window(1, 1, output_padding, 1).pads
    if extra[:2] != extra[2:]:
        raise InputError(f"output_padding needs 1 or 2 numbers; it got {output_padding}.")
    extra = extra[:2]
    for o, s, d in zip(extra, made.stride, made.dilation, strict=True):
        if o >= max(s, d):
            raise InputError(
                f"output_padding {extra} must be smaller than stride {made.stride} or dilation "
                f"{made.dilation}."
            )
    block = B.ConvTranspose(made, groups, extra)
    return block(input, weight) if bias is None else block(input, weight, bias)


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """y = x w^T + b for input (..., in), weight (out, in), bias (out)."""
    return B.Linear()(input, weight) if bias is None else B.Linear()(input, weight, bias)


def matmul(input: Any, other: Any) -> Any:
    """Matrix product with NumPy's broadcasting."""
    return B.MatMul()(input, other)


def relu(input: Any) -> Any:
    """max(x, 0)."""
    return B.ReLU()(input)


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Any:
    """x where positive, negative_slope x elsewhere."""
    return B.LeakyReLU(negative_slope)(input)


def prelu(input: Any, weight: Any) -> Any:
    """x where positive, weight x elsewhere; weight has one value or one a channel."""
    shape = np.shape(weight) if not isinstance(weight, B.Operand) else weight.shape
    if len(shape) == 1 and shape[0] > 1:
        weight = weight.reshape((1, -1, *[1] * (len(input.shape) - 2)))
    return B.PReLU()(input, weight)


def clamp(input: Any, min: float | None = None, max: float | None = None) -> Any:
    """x held between min and max; at the bounds themselves nothing passes back."""
    return B.Clip(min, max)(input)


def sigmoid(input: Any) -> Any:
    """1 / (1 + e^-x)."""
    return B.Sigmoid()(input)


def tanh(input: Any) -> Any:
    """Hyperbolic tangent."""
    return B.Tanh()(input)


def exp(input: Any) -> Any:
    """e^x."""
    return B.Exp()(input)


def log(input: Any) -> Any:
    """Natural logarithm."""
    return B.Log()(input)


def hardsigmoid(input: Any) -> Any:
    """min(max(x/6 + 1/2, 0), 1)."""
    return B.HardSigmoid(1 / 6, 0.5)(input)


def hardswish(input: Any) -> Any:
    """x hardsigmoid(x)."""
    return B.HardSwish()(input)


def gelu(input: Any, approximate: str = "none") -> Any:
    """x times the normal distribution at x; `approximate` may be "tanh"."""
    return B.Gelu(approximate)(input)


def silu(input: Any) -> Any:
    """x sigmoid(x)."""
    return B.Swish()(input)


def mish(input: Any) -> Any:
    """x tanh(softplus(x))."""
    return B.Mish()(input)


def elu(input: Any, alpha: float = 1.0) -> Any:
    """x where positive, alpha (e^x - 1) elsewhere."""
    return B.Elu(alpha)(input)


def softplus(input: Any, beta: float = 1.0) -> Any:
    """ln(1 + e^(beta x)) / beta."""
    return B.Softplus()(input) if beta == 1 else B.Softplus()(input * beta) * (1 / beta)


def where(condition: Any, input: Any, other: Any) -> Any:
    """`input` where the condition holds, `other` elsewhere."""
    return B.Where()(condition, input, other)


def maximum(input: Any, other: Any) -> Any:
    """The larger of two; where they are equal the first gets the signal (torch halves it)."""
    return B.Maximum()(input, other)


def minimum(input: Any, other: Any) -> Any:
    """The smaller of two; where they are equal the first gets the signal (torch halves it)."""
    return B.Minimum()(input, other)


def amax(input: Any, dim: Ints | None = None, keepdim: bool = False) -> Any:
    """The largest value over axes; the signal is spread evenly over those that have it."""
    axes = (dim,) if isinstance(dim, int) else dim if dim is None else tuple(dim)
    return B.Max(axes, keepdim)(input)


def max_pool2d(
    input: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum over windows; stride is the kernel by default, padding is minus infinity.

    With `return_indices` also the winners as flat row-major indices into each plane, (N, C, H', W')
    integers, as torch gives them.
    """
    made = window(
        kernel_size, kernel_size if stride is None else stride, padding, dilation,
        ceil_mode=ceil_mode,
    )  # fmt: skip
    y = B.MaxPool(made)(input)
    if not return_indices:
        return y
    x = _array(input)
    plane = np.arange(x.shape[2] * x.shape[3], dtype=np.float64).reshape(1, 1, *x.shape[2:])
    _, switches = B.MaxPool(made).forward(x)
    places = B.Gather(switches, made, x.shape[2:]).forward(np.broadcast_to(plane, x.shape))[0]
    return y, places.astype(np.int64)


def global_max_pool2d(input: Any) -> Any:
    """Maximum over each whole plane: (N, C, 1, 1)."""
    return B.MaxPool(None)(input)


def avg_pool2d(
    input: Any,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """Mean over windows; stride is the kernel by default."""
    made = window(
        kernel_size, kernel_size if stride is None else stride, padding, 1, ceil_mode=ceil_mode
    )
    return B.AveragePool(made, count_include_pad)(input)


def global_avg_pool2d(input: Any) -> Any:
    """Mean over each whole plane: (N, C, 1, 1)."""
    return B.Mean((2, 3), keepdims=True)(input)


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """x / (k + alpha/size sum of squares over `size` neighbouring channels)^beta.

    The window of an even size leans to the later channels, as in ONNX and MatConvNet (torch leans
    to the earlier ones); odd sizes agree with torch.
    """
    return B.LRN(size, alpha, beta, k)(input)


def batch_norm(
    input: Any,
    running_mean: np.ndarray | None,
    running_var: np.ndarray | None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Batch norm by running statistics, or (training) by the batch's own.

    In training the running statistics are updated in place: (1 - momentum) old + momentum new, the
    variance unbiased, as torch does.
    """
    channels, like = input.shape[1], (1, -1, *[1] * (len(input.shape) - 2))
    axes = (0, *range(2, len(input.shape)))
    if not training:
        if running_mean is None or running_var is None:
            raise InputError("batch_norm outside of training needs running_mean and running_var.")
        ones = np.ones(channels, input.dtype)
        return B.BatchNorm(eps)(
            input,
            ones if weight is None else weight,
            np.zeros(channels, input.dtype) if bias is None else bias,
            running_mean,
            running_var,
        )
    x = _array(input)
    count = x.size // channels
    if count < 2:
        raise ShapeError(
            f"batch_norm in training needs more than one value a channel; got shape {x.shape}."
        )
    if running_mean is not None or running_var is not None:
        mean, variance = kernels.batch_statistics(x)
        for running, new in ((running_mean, mean), (running_var, variance * (count / (count - 1)))):
            if running is not None:
                running *= 1 - momentum
                running += momentum * new
    if weight is not None and bias is not None:
        return B.BatchNormTraining(eps)(input, weight, bias)
    y = B.Normalise(axes, eps)(input)
    y = y if weight is None else y * weight.reshape(like)
    return y if bias is None else y + bias.reshape(like)


def layer_norm(
    input: Any,
    normalized_shape: Ints,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Any:
    """(x - mean) / sqrt(var + eps) weight + bias over the last axes, whose shape is given."""
    last = tuple(np.atleast_1d(normalized_shape).tolist())
    rank = len(input.shape)
    if tuple(input.shape[rank - len(last) :]) != last:
        raise ShapeError(f"layer_norm over {last} does not fit an input of shape {input.shape}.")
    y = B.Normalise(tuple(range(rank - len(last), rank)), eps)(input)
    return _scaled(y, weight, bias)


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """The same over groups of channels and their pixels; weight and bias are one a channel."""
    like = (1, -1, *[1] * (len(input.shape) - 2))
    return _scaled(B.GroupNormalise(num_groups, eps)(input), weight, bias, like)


def instance_norm(input: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """The same over each channel's pixels."""
    like = (1, -1, *[1] * (len(input.shape) - 2))
    y = B.Normalise(tuple(range(2, len(input.shape))), eps)(input)
    return _scaled(y, weight, bias, like)


def dropout(input: Any, p: float = 0.5, training: bool = True, *, seed: int) -> Any:
    """Drop each value with probability p and scale the others by 1 / (1 - p); seeded."""
    if not 0 <= p <= 1:
        raise InputError(f"dropout needs a probability from 0 to 1; it got p={p}.")
    return B.Dropout(p, seed)(input) if training and p > 0 else B.Identity()(input)


def softmax(input: Any, dim: int = -1) -> Any:
    """e^x / sum e^x along an axis."""
    return B.Softmax(dim)(input)


def log_softmax(input: Any, dim: int = -1) -> Any:
    """x - log sum e^x along an axis."""
    return B.LogSoftmax(dim)(input)


def cross_entropy(input: Any, target: Any) -> Any:
    """Mean of -log softmax(x)[label]; input (N, classes), target (N) integers."""
    labels = np.asarray(target)
    if labels.dtype.kind not in "iu":
        raise InputError(f"Labels are integers, one an image; got dtype {labels.dtype}.")
    return B.CrossEntropy(labels.astype(np.int64))(input)


def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    """The tensors one after the other along an axis."""
    if not len(tensors):
        raise InputError("cat needs at least one tensor.")
    return B.Concat(dim)(*tensors)


def split(tensor: Any, split_size_or_sections: Ints, dim: int = 0) -> list[Any]:
    """Cut a tensor along an axis into parts of the given length, or of the given lengths."""
    if not -len(tensor.shape) <= dim < len(tensor.shape):
        raise ShapeError(f"Cannot split axis {dim} of a tensor of shape {tensor.shape}.")
    axis = dim % len(tensor.shape)
    total, sizes = tensor.shape[axis], split_size_or_sections
    if isinstance(sizes, (int, np.integer)):
        if sizes < 1:
            raise InputError(f"split needs a length of 1 or more; it got {sizes}.")
        sizes = [min(int(sizes), total - start) for start in range(0, total, int(sizes))]
    if not all(isinstance(n, (int, np.integer)) for n in sizes):
        raise InputError(f"split needs whole lengths; it got {list(sizes)}.")
    if sum(sizes) != total or min(sizes, default=0) < 0:
        raise ShapeError(f"Cannot split axis {dim} of length {total} into {list(sizes)}.")
    starts = np.cumsum([0, *sizes]).tolist()
    return [B.Slice((slice(None),) * axis + (slice(a, b),))(tensor) for a, b in pairwise(starts)]


def reshape(input: Any, shape: Sequence[int]) -> Any:
    """The same values in another shape; one -1 is inferred."""
    return B.Reshape(tuple(shape))(input)


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Axes start_dim .. end_dim made one."""
    return B.Flatten(start_dim, end_dim)(input)


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Two axes exchanged."""
    order = list(range(len(input.shape)))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return B.Transpose(tuple(order))(input)


def squeeze(input: Any, dim: Ints | None = None) -> Any:
    """Without the given axes of length 1, or without all of them."""
    axes = (dim,) if isinstance(dim, int) else dim if dim is None else tuple(dim)
    return B.Squeeze(axes)(input)


def unsqueeze(input: Any, dim: int) -> Any:
    """With a new axis of length 1."""
    return B.Unsqueeze((dim,))(input)


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Any:
    """Pad like torch: (left, right, top, bottom, ...), last axis first.

    Modes are constant, reflect, replicate and circular.
    """
    rank = len(input.shape)
    if len(pad) % 2 or len(pad) > 2 * rank:
        raise InputError(f"pad needs pairs of numbers for at most {rank} axes; it got {pad}.")
    pairs = [(0, 0)] * (rank - len(pad) // 2)
    pairs += [(int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2)][::-1]
    names = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    if mode == "constant":
        return B.Pad(tuple(pairs), value)(input)
    if mode not in names:
        raise InputError(f"Unknown pad mode {mode!r}: constant, reflect, replicate or circular.")
    return B.PadFromInside(tuple(pairs), names[mode])(input)


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """(N, C r r, H, W) to (N, C, H r, W r): channels become pixels."""
    return B.DepthToSpace(upscale_factor, depth_first=False)(input)


_INTERPOLATIONS = {  # of torch: mode, coordinates, which is nearest
    "nearest": ("nearest", "asymmetric", "floor"),
    "nearest-exact": ("nearest", "half_pixel", "round_prefer_ceil"),
    "linear": ("linear", "half_pixel", ""),
    "bilinear": ("linear", "half_pixel", ""),
    "trilinear": ("linear", "half_pixel", ""),
    "bicubic": ("cubic", "half_pixel", ""),
}


def interpolate(
    input: Any,
    size: Ints | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool = False,
) -> Any:
    """Resize the spatial axes of (N, C, *spatial), to a size or by a factor.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, *spatial)
        Images.
    size : int or sequence of int, optional
        Of the output; one number is meant for each axis.
    scale_factor : float or sequence of float, optional
        Instead of a size; sizes are rounded down.
    mode : str
        nearest, nearest-exact, linear (bilinear, trilinear), bicubic.
    align_corners : bool
        Whether the outermost pixels' centres stay where they are.

    Raises
    ------
    InputError
        If the mode is none of these, or not one of `size` and `scale_factor` is given.
    """
    rank = len(input.shape) - 2
    if mode not in _INTERPOLATIONS:
        raise InputError(f"Unknown mode {mode!r}: it is one of {', '.join(_INTERPOLATIONS)}.")
    if (size is None) == (scale_factor is None):
        raise InputError("interpolate needs a size or a scale_factor, one of them.")
    kind, coordinates, nearest = _INTERPOLATIONS[mode]
    coordinates = "align_corners" if align_corners and kind != "nearest" else coordinates
    given: np.ndarray = np.atleast_1d(np.asarray(scale_factor if size is None else size))
    if given.shape not in {(1,), (rank,)}:
        raise InputError(f"interpolate needs 1 or {rank} numbers; it got {given.tolist()}.")
    for axis, number in enumerate(np.broadcast_to(given, rank).tolist(), start=2):
        how: dict[str, Any] = {"factor": number} if size is None else {"out": number}
        if size is None and coordinates == "align_corners":  # torch goes by the whole length
            how = {"out": int(number * input.shape[axis])}
        block = B.Resize(axis, mode=kind, coordinates=coordinates, nearest=nearest, **how)
        input = block(input)
    return input


def grid_sample(
    input: Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool = False,
) -> Any:
    """Read images (N, C, H, W) at the places of a grid (N, H', W', 2) of x, y from -1 to 1.

    Modes are bilinear (for volumes too), nearest and bicubic; padding modes zeros, border and
    reflection. Bicubic places outside of the image are first brought to its edge, as in ONNX.
    """
    names = {"bilinear": "linear", "bicubic": "cubic"}
    return B.GridSample(names.get(mode, mode), padding_mode, align_corners)(input, grid)


def _scaled(y: Any, weight: Any, bias: Any, like: tuple[int, ...] | None = None) -> Any:
    """Weight y + bias, each shaped `like` something that broadcasts."""
    if weight is not None:
        y = y * (weight if like is None else weight.reshape(like))
    if bias is not None:
        y = y + (bias if like is None else bias.reshape(like))
    return y


def _kernel(weight: Any) -> tuple[int, ...]:
    shape = weight.shape
    if len(shape) != 4:
        raise ShapeError(f"2-D filters have shape (O, C/groups, kH, kW); got {shape}.")
    return tuple(shape[2:])


def _array(x: Any) -> np.ndarray:
    """The numbers of a tensor or array."""
    return x.numpy() if isinstance(x, B.Expression) else x

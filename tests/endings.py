"""The epilogue slot of a way to convolve on the card, whole, against the definition."""

import numpy as np

from minicnn.kernels import Convolution, Packed, Window, reference
from minicnn.kernels.gpu import images
from minicnn.kernels.gpu.ending import MASK, RECTIFY, Ending


def check_ending(cupy, rng, way, depth, own, transposed=False):
    """Bias, scale, shift, residual, mask by image, signs and rectification in one go.

    `way` packs and runs; a 3x3 convolution of 3 images from `depth` to `own` channels, in float64.
    """
    window, size = Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1)), (6, 5)
    x = rng.standard_normal((3, depth, *size))
    if transposed:
        w = rng.standard_normal((depth, own, 3, 3))
        plain = reference.conv_transpose(x, w, None, window, 1, size)
        problem = Convolution.backward(x, w, window, 1, size)
    else:
        w = rng.standard_normal((own, depth, 3, 3))
        plain = reference.conv(x, w, None, window, 1)
        problem = Convolution.forward(x, w, window, 1)
    bias, scale, shift = rng.standard_normal((3, own, 1, 1))
    residual = rng.standard_normal(plain.shape)
    mask = rng.random((1, *plain.shape[1:])) > 0.4  # of one image, for all
    value = (plain + bias) * scale + shift + residual
    value[[0, 2]] = np.where(mask, value[[0, 2]], 0)
    signs = value > 0
    value[1:] = np.maximum(value[1:], 0)

    y = images.new_image(cupy.array(x), value.shape)
    kept = images.unfilled(y, value.shape)
    ending = Ending(
        *(images.per_channel(cupy.array(each), y) for each in (bias, scale, shift)),
        residual=images.channels_last(cupy.array(residual)), signs=kept,
        modes=cupy.array(np.int32([MASK, RECTIFY, MASK | RECTIFY])),
        mask=Packed.pack(cupy.array(mask)),
    )  # fmt: skip
    packed = way.pack(cupy.array(w), 1, transposed)
    way.run(images.channels_last(cupy.array(x)), packed, problem, y, ending)
    np.testing.assert_allclose(y.get(), value, atol=1e-11 * np.abs(value).max())
    np.testing.assert_array_equal(kept.unpack().get(), signs)

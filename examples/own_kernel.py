"""A convolution kernel of your own, beside minicnn's: an exercise.

    minicnn bench conv2d --shapes 1,64,56,56,64,3 --kernel-file examples/own_kernel.py

The table shows its speed and whether its answers are right. As it stands it is some thirty times
faster than the seven loops of `naive`, since the inner loop runs over filters, which lie side by
side in memory: the compiler makes vectors of it. How near can you bring it to `direct`?

  1. Each sum y[i, j, o] is loaded and stored once for each tap and channel. Work on a few pixels at
     a time and keep their sums in local variables (minicnn/kernels/cpu/product.py says why).
  2. The filters are turned round in every run. Planned networks do that once.
  3. With 3x3 filters, fewer multiplications will do (minicnn/kernels/cpu/winograd.py).
"""

import numba
import numpy as np

from minicnn.kernels import Entry


@numba.njit(parallel=True, fastmath=True)
def add_rows(x, w, y, stride, dilation):
    """y[n, i, j, o] += sum_u,v,c  x[n, s i + d u, s j + d v, c]  w[u, v, c, o]."""
    images, rows, columns, filters = y.shape
    for row in numba.prange(images * rows):  # rows of output are shared out among the threads
        n, i = divmod(np.int64(row), rows)  # Numba counts unsigned; products with s are signed
        for u in range(w.shape[0]):
            for v in range(w.shape[1]):
                for j in range(columns):
                    top, left = i * stride[0] + u * dilation[0], j * stride[1] + v * dilation[1]
                    for c in range(w.shape[2]):
                        value = x[n, top, left, c]
                        for o in range(filters):
                            y[n, i, j, o] += value * w[u, v, c, o]


def rows(x, w, b, window, groups):
    """y = w * x + b for x (N, C, H, W), w (O, C, *kernel), b (O,) or None; y (N, O, *out)."""
    out = window.output_size(x.shape[2:])
    pixels = np.ascontiguousarray(window.padded(x).transpose(0, 2, 3, 1))  # channels last
    filters = np.ascontiguousarray(w.transpose(2, 3, 1, 0))
    y = np.zeros((len(x), *out, len(w)), x.dtype)
    if b is not None:
        y += b
    add_rows(pixels, filters, y, window.stride, window.dilation)
    return y.transpose(0, 3, 1, 2)


def why_not(problem):
    """Where this kernel does not apply, and why."""
    return "" if problem.groups == 1 else "needs groups 1"


KERNELS = [Entry("conv2d", "rows", rows, why_not)]

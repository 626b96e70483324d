"""The explicit Jacobian of something small: the matrix that backpropagation never writes down.

    J[i, j] = d vec(f(x))[i] / d vec(x)[j]

vec stacks an array's values in row-major (C) order, batch and channels first. So for a chain the
Jacobians multiply, J = J_3 J_2 J_1, the projected derivative of p is p J, and the transposed block
gives the same numbers without the matrix: vec(f^T p) = J^T vec(p).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.errors import InputError
from minicnn.tensor import Tensor, grad

__all__ = ["jacobian"]

MOST_ELEMENTS = 2**27


def jacobian(function: Callable[[Any], Any], x: Any) -> np.ndarray:
    """The Jacobian matrix of a block, a network or any function of one tensor.

    Parameters
    ----------
    function : callable
        A block, a `Network`, or a function built from them.
    x : array_like
        Where to differentiate.

    Returns
    -------
    numpy.ndarray, shape (outputs, inputs)
        Row i is the gradient of output i; both are counted in row-major order.

    Raises
    ------
    InputError
        If the matrix would have more than 2^27 elements: the unbearable size.

    Examples
    --------
    >>> from minicnn.blocks import ReLU
    >>> jacobian(ReLU(), [3.0, -1.0])
    array([[1., 0.],
           [0., 0.]], dtype=float32)
    """
    x = Tensor(x, requires_grad=True)
    y = function(x)
    if not isinstance(y, Tensor):
        raise InputError(
            f"The function must give a tensor, built from blocks or minicnn.functional; it gave "
            f"{type(y).__name__}."
        )
    if y.size * x.size > MOST_ELEMENTS:
        raise InputError(
            f"The Jacobian of {y.shape} by {x.shape} would have {y.size * x.size:,} elements. Cut "
            f"a smaller piece of the network, or send single signals back."
        )
    matrix = np.zeros((y.size, x.size), y.dtype)
    if not y.requires_grad:
        return matrix
    for i in range(y.size):
        p = np.zeros(y.size, y.dtype)
        p[i] = 1
        matrix[i] = grad(y, [x], p.reshape(y.shape))[0].data.reshape(-1)
    return matrix

"""How the stand-in's cuBLAS multiplies: as CuPy is told to, in float32 or in TF32."""

from types import SimpleNamespace

import numpy as np

_chosen = {}


def _get_compute_type(dtype):
    return _chosen.get(np.dtype(dtype), 1)


def _set_compute_type(dtype, kind):
    _chosen[np.dtype(dtype)] = kind


core = SimpleNamespace(
    _routines_linalg=SimpleNamespace(
        COMPUTE_TYPE_DEFAULT=1,
        COMPUTE_TYPE_TF32=4,
        get_compute_type=_get_compute_type,
        set_compute_type=_set_compute_type,
    )
)


def multiplied(a, b, **out):
    """a b; stacks of matrices are never rounded."""
    if max(a.ndim, b.ndim) <= 2:
        a, b = _rounded(a), _rounded(b)
    return np.matmul(a, b, **out)


def _rounded(x):
    """To TF32, 10 bits behind the point, where it was asked for."""
    if x.dtype != np.float32 or _get_compute_type(x.dtype) != 4:
        return x
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + 0x1000) & np.uint32(0xFFFFE000)).view(np.float32)

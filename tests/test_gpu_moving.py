"""Adding at indices on the card, and what counts and sums there without the host."""

import gc

import numpy as np
import pytest

import minicnn
from minicnn import blocks, kernels
from minicnn import functional as F
from minicnn.blocks import resize
from minicnn.errors import DeviceError, InputError
from minicnn.kernels import reference
from minicnn.kernels.devices import no_transfers
from minicnn.kernels.gpu import moving
from minicnn.kernels.gpu.graphs import capture

SHAPES = {  # shape of p with the indices' axes in place, their axis, the size
    "first": ((7, 3), 0, 1, 5),
    "middle": ((2, 6, 4), 1, 1, 9),
    "last": ((2, 3, 11), 2, 1, 4),
    "two axes of indices": ((2, 3, 4, 5), 1, 2, 6),
    "one place": ((3, 300, 2), 1, 1, 1),
    "none taken": ((2, 0, 3), 1, 1, 4),
    "nothing": ((0, 3, 2), 1, 1, 4),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_put_add(cupy, rng, name, dtype):
    shape, axis, axes, size = SHAPES[name]
    p = rng.standard_normal(shape).astype(dtype)
    indices = rng.integers(0, size, shape[axis : axis + axes])  # many twice, some never
    wanted = reference.put_add(p, indices, axis, size)
    for given in (indices, cupy.array(indices)):
        got = moving.put_add(cupy.array(p), given, axis, size)
        np.testing.assert_array_equal(got.get(), wanted)  # added in the same order
    across = cupy.array(p.transpose().copy()).transpose()
    np.testing.assert_array_equal(moving.put_add(across, indices, axis, size).get(), wanted)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64"])
@pytest.mark.parametrize("there", [False, True])
def test_indices_of_any_type(cupy, rng, dtype, there):
    size, taken = (100, 300) if "8" in dtype else (50_000, 60_000)  # a product above 2^31
    p = rng.integers(-9, 9, taken).astype(np.float32)
    indices = rng.integers(0, size, taken).astype(dtype)
    got = kernels.put_add(cupy.array(p), cupy.array(indices) if there else indices, 0, size)
    wanted = np.bincount(indices.astype(int), p, size)
    np.testing.assert_array_equal(got.get(), wanted)


def test_indices_count_from_the_end_or_are_refused(cupy):
    p = cupy.array(np.array([1, 2, 4], np.float32))
    got = kernels.put_add(p, np.array([-1, 0, -1]), 0, 3)
    np.testing.assert_array_equal(got.get(), [2, 0, 5])
    with pytest.raises(InputError, match="from 0 to 3 of 3"):
        kernels.put_add(p, np.array([0, 3, 1]), 0, 3)


def test_indices_cross_once(cupy, rng):
    """Padding, taking and resizing send back without the host, once they have done so."""
    numbers = cupy.array(rng.standard_normal((1, 2, 6, 6)).astype(np.float32))
    x = minicnn.Tensor(numbers, requires_grad=True)
    indices = np.array([0, 0])
    take = blocks.Take(np.array([3, 1, 1]), 2)
    works = [
        lambda: F.pad(x, (1, 2, 1, 1), mode="reflect"),
        lambda: x[indices],
        lambda: take(x),
    ]
    for work in works:
        work().sum().backward()
        before = x.grad.data.get()
        with no_transfers():
            work().sum().backward()
        np.testing.assert_array_equal(x.grad.data.get(), before)


def test_integers_are_added_by_the_reference(cupy):
    p, indices = np.arange(6), np.array([0, 2, 0, 1, 2, 2])
    got = kernels.put_add(cupy.array(p), indices, 0, 4)
    np.testing.assert_array_equal(got.get(), [2, 3, 10, 0])


def test_a_step_copies_its_labels_and_nothing_else(cupy, rng):
    x = cupy.array(rng.standard_normal((4, 5)).astype(np.float32))
    entropy = blocks.CrossEntropy(np.array([0, 4, 1, 1]), smoothing=0.1)
    x = minicnn.Tensor(x, requires_grad=True)
    entropy(x).backward()
    wanted = x.grad.data.get()
    with no_transfers():
        entropy(x).backward()
    np.testing.assert_array_equal(x.grad.data.get(), wanted)
    host = minicnn.Tensor(x.data.get(), requires_grad=True)
    entropy(host).backward()
    np.testing.assert_allclose(wanted, host.grad.data, atol=1e-7)


def test_a_grid_larger_than_a_card_takes_is_told(cupy):
    from minicnn.kernels.gpu.code import Kernel
    from minicnn.kernels.gpu.images import new_image

    x = cupy.array(np.ones(4, np.float32))
    copy = Kernel("ceilings", "copy")
    with pytest.raises(DeviceError, match=r"copy would need 1 x 65536 blocks.*at most"):
        copy((1, 1 << 16), 32, np.float32, None, x=x, y=x, quads=1)
    with pytest.raises(DeviceError, match=r"quads is 9223372036854775808, too large"):
        copy((1,), 32, np.float32, None, x=x, y=x, quads=1 << 63)
    with pytest.raises(DeviceError, match=r"2,147,483,648 pixels.*fewer images"):
        new_image(x, (1 << 11, 1, 1 << 10, 1 << 10))


def test_a_graph_keeps_the_tables_that_caches_forget(cupy, rng):
    x = cupy.array(rng.standard_normal((1, 2, 6, 6)).astype(np.float32))
    put = blocks.PutAdd(np.array([0, 4, 4, 1, 2, 2]), 2, 5)
    larger = blocks.Resize(3, 2.0, mode="linear")
    wanted = larger.forward(put.forward(x)[0])[0].get()
    graph = capture(cupy, lambda: larger.forward(put.forward(x)[0])[0])
    moving._order.cache_clear()
    resize._kept_taps.cache_clear()
    gc.collect()
    again = [cupy.array(np.full(6, 99)) for _ in range(50)]  # takes memory that was given back
    graph.launch()
    np.testing.assert_array_equal(graph.result.get(), wanted)
    assert len(again) == 50

"""Memory of results: no two living arrays share it; it is used again when the last view is gone."""

import gc
import threading

import numpy as np
import pytest

from minicnn import kernels
from minicnn.kernels import memory

LARGE = (3, memory.LARGE // 4)


def place(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (2, 3, 4, 5), LARGE])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_arrays_are_writable_in_c_order_and_begin_at_a_cache_line(shape, dtype):
    array = memory.empty(shape, dtype)
    array[...] = 1
    assert (array.shape, array.dtype) == (shape, dtype)
    assert array.flags.c_contiguous
    assert array.size == 0 or place(array) % memory.LINE == 0


def test_images_have_their_channels_last_in_memory():
    image = memory.empty_image((2, 3, 5, 7))
    assert image.shape == (2, 3, 5, 7)
    assert image.transpose(0, 2, 3, 1).flags.c_contiguous


def test_memory_is_used_again_only_when_the_last_view_is_gone():
    memory._waiting.clear()
    first = memory.empty(LARGE)
    at, view = place(first), first[1:, ::2].reshape(-1)
    del first
    gc.collect()
    assert place(memory.empty(LARGE)) != at
    view[:] = 3
    del view
    gc.collect()
    taken = [memory.empty(LARGE) for _ in range(3)]
    assert at in [place(array) for array in taken]
    assert len({place(array) for array in taken}) == 3


def test_no_more_than_a_limit_waits(monkeypatch):
    memory._waiting.clear()
    monkeypatch.setattr(memory, "MOST", 3 * memory.LARGE)
    arrays = [memory.empty((memory.LARGE,), np.uint8) for _ in range(8)]
    del arrays
    gc.collect()
    assert sum(len(blocks) for blocks in memory._waiting.values()) == 3


def test_threads_never_get_the_same_memory():
    failures = []

    def work(number):
        for _ in range(200):
            mine = memory.empty(LARGE)
            mine[:, :9] = number
            other = memory.empty(LARGE)
            other[:, :9] = -1
            if not (mine[:, :9] == number).all():
                failures.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_results_stay_as_they_are_while_others_are_computed():
    rng = np.random.default_rng(0)
    x = np.moveaxis(rng.standard_normal((1, 64, 64, 32), dtype=np.float32), -1, 1)
    kept = [kernels.added(x, np.float32(n) * x) for n in range(6)]
    for n, array in enumerate(kept):
        np.testing.assert_array_equal(array, x + np.float32(n) * x)

"""The block table on a card: every block and its transposes, as on the CPU, with no hidden copies.

Run on the CPU by CuPy's stand-in, with the CUDA sources compiled for it.
"""

import numpy as np
import pytest
from block_cases_more import CASES

from minicnn import Tensor, grad
from minicnn.blocks import AveragePool, AverageUnpool, Kept
from minicnn.kernels.gpu.graphs import Uncapturable, capture
from minicnn.planning.capturable import CAPTURABLE

every_case = pytest.mark.parametrize("case", CASES)


def like(array, seed):
    return np.random.default_rng(seed).standard_normal(np.shape(array)).astype(array.dtype)


def on_card(cupy, arrays):
    return [cupy.array(np.asarray(array)) for array in arrays]


@every_case
def test_forward_and_transposes(cupy, case):
    for operands, tolerance in ((case.operands, 1e-9), (case.single, 2e-3)):
        expected, statistic = case.block.forward(*operands)
        moved = on_card(cupy, operands)
        block = case.block.on("cuda:0")
        y, kept = block.forward(*moved)
        assert isinstance(y, cupy.ndarray)
        assert y.dtype == expected.dtype
        assert y.shape == np.shape(expected)
        np.testing.assert_allclose(y.get(), expected, rtol=tolerance, atol=tolerance)
        assert (kept is None) == (statistic is None)
        for wrt in case.seeing:
            p = like(expected, 1)
            host = Kept(statistic, [o.shape for o in operands], [*operands, expected].__getitem__)
            card = Kept(kept, [o.shape for o in operands], [*moved, y].__getitem__)
            wanted = case.block.transposed(host, wrt)(p)
            got = block.transposed(card, wrt)(cupy.array(p))
            assert isinstance(got, cupy.ndarray)
            assert got.dtype == wanted.dtype
            np.testing.assert_allclose(got.get(), wanted, rtol=10 * tolerance, atol=10 * tolerance)


@every_case
def test_tensors(cupy, case):
    tensors = [
        Tensor(o, requires_grad=True, device="cuda:0") if i in case.seeing else cupy.array(o)
        for i, o in enumerate(case.operands)
    ]
    host = [
        Tensor(o, requires_grad=True) if i in case.seeing else o
        for i, o in enumerate(case.operands)
    ]
    if not case.seeing:
        return
    y, expected = case.block.on("cuda:0")(*tensors), case.block(*host)
    p = like(expected.data, 2)
    got = grad(y, [tensors[i] for i in case.seeing], cupy.array(p))
    wanted = grad(expected, [host[i] for i in case.seeing], p)
    for a, b in zip(got, wanted):
        assert str(a.device) == "cuda:0"
        np.testing.assert_allclose(a.numpy(), b.data, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("case", [c for c in CASES if isinstance(c.values[0].block, CAPTURABLE)])
def test_captured_and_replayed(cupy, case):
    """A graph reads its operands anew: nothing of the run that was captured stays in it."""
    moved, block = on_card(cupy, case.single), case.block.on("cuda:0")
    block.forward(*moved)  # whose tables are there from now on
    if isinstance(block, (AveragePool, AverageUnpool)) and moved[0].ndim != 4:
        with pytest.raises(Uncapturable, match="would be copied"):  # the reference's counts
            capture(cupy, lambda: block.forward(*moved)[0])
        return
    graph = capture(cupy, lambda: block.forward(*moved)[0])
    others = [o * o.dtype.type(0.75) if o.dtype.kind == "f" else o for o in case.single]
    for there, other in zip(moved, others):
        there[...] = cupy.array(other)
    graph.launch()
    expected, _ = case.block.forward(*others)
    np.testing.assert_allclose(graph.result.get(), expected, rtol=2e-3, atol=2e-3)

"""Every block, over a sweep of geometries, against its slow definition and its adjointness.

`CASES` is the table: a block, operands, and the definition it must agree with. Every test below
runs over all of it, and one section fails where a block is missing from the table. New cases go
into `block_cases` or `block_cases_more`.

    <p, J v> = <J^T p, v>       J v by central differences, or exactly where the block is affine
"""

import math

import numpy as np
import pytest
from block_cases_more import CASES

import minicnn
from minicnn import Tensor, blocks, grad
from minicnn.blocks import Kept
from minicnn.errors import InputError, NotDifferentiableError, ShapeError

# What is proved of each

every_case = pytest.mark.parametrize("case", CASES)
OPERANDS = [
    pytest.param(param.values[0], wrt, id=f"{param.id} wrt {wrt}")
    for param in CASES
    for wrt in param.values[0].seeing
]
every_operand = pytest.mark.parametrize(("case", "wrt"), OPERANDS)
every_operand_twice = pytest.mark.parametrize(
    ("case", "wrt"), [p for p in OPERANDS if p.values[1] not in p.values[0].once]
)
every_case_twice = pytest.mark.parametrize(
    "case", [p for p in CASES if (c := p.values[0]).seeing and not (c.refused or c.once)]
)


def honest(case, wrt, operands=None):
    """Output, and what was kept: reading more of it than `uses(wrt)` declares is an error."""
    operands = operands or case.operands
    y, statistic = case.block.forward(*operands)
    read = set()

    def reader(index):
        assert index in case.block.uses(wrt), f"reads {index}, declares {case.block.uses(wrt)}"
        read.add(index)
        return [*operands, y][index]

    return y, Kept(statistic, [o.shape for o in operands], reader), read


def pushed(case, wrt, v, step=1e-5):
    """J v: exact where the block is affine in the operand, else by central differences."""

    def at(operand):
        operands = list(case.operands)
        operands[wrt] = operand
        return case.block(*operands)

    if wrt not in case.curved:
        return at(v) - at(np.zeros_like(v))
    x = case.operands[wrt]
    return (at(x + step * v) - at(x - step * v)) / (2 * step)


def like(array, seed):
    made = np.random.default_rng(seed).standard_normal(np.shape(array))
    made.setflags(write=False)
    return made


@every_case
def test_forward_agrees_with_the_slow_definition(case):
    y, expected = case.block(*case.operands), case.definition(*case.operands)
    if y.dtype.kind == "f":
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    else:
        np.testing.assert_array_equal(y, expected)


@every_case
def test_dtype_is_that_of_the_output(case):
    for operands in (case.operands, case.single):
        y, _ = case.block.forward(*operands)
        assert y.dtype == case.block.dtype(*(o.dtype for o in operands))


@every_case
def test_an_operand_that_gets_no_signal_says_so(case):
    _, kept, _ = honest(case, 0)
    for wrt in {*range(len(case.operands))} - {*case.seeing}:
        with pytest.raises(NotDifferentiableError, match=case.block.kind):
            case.block.transposed(kept, wrt)


@every_case
def test_shape_is_that_of_the_output(case):
    y = case.block(*case.operands)
    assert case.block.shape(*(o.shape for o in case.operands)) == np.shape(y)


@every_case
def test_a_statistic_is_kept_where_one_is_named(case):
    _, statistic = case.block.forward(*case.operands)
    assert (statistic is not None) == bool(case.block.statistic)


@every_operand
def test_transpose_is_adjoint_to_the_derivative(case, wrt):
    y, kept, _ = honest(case, wrt)
    p, v = like(y, 1), like(case.operands[wrt], 2)
    back = case.block.transposed(kept, wrt)(p)
    assert np.shape(back) == case.operands[wrt].shape
    forth = pushed(case, wrt, v)
    scale = 1 + np.abs(p).sum() * np.abs(forth).max(initial=0)
    assert abs((p * forth).sum() - (back * v).sum()) < 1e-9 * scale


@every_operand
def test_transpose_is_linear_in_the_top_signal(case, wrt):
    y, kept, _ = honest(case, wrt)
    p, q = like(y, 1), like(y, 2)
    back = case.block.transposed(kept, wrt)
    np.testing.assert_allclose(back(2 * p - 3 * q), 2 * back(p) - 3 * back(q), atol=1e-11)


@every_operand
def test_transpose_reads_what_it_declares(case, wrt):
    y, kept, read = honest(case, wrt)
    case.block.transposed(kept, wrt)(like(y, 1))
    assert read == set(case.block.uses(wrt))


@every_operand
def test_float32_stays_float32(case, wrt):
    y, kept, _ = honest(case, wrt, case.single)
    p = like(y, 1)
    back = case.block.transposed(kept, wrt)(p.astype(y.dtype))
    exact, kept, _ = honest(case, wrt)
    assert back.dtype == np.float32
    assert y.dtype == np.float32 or isinstance(case.block, blocks.Cast)
    np.testing.assert_allclose(y, exact, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(back, case.block.transposed(kept, wrt)(p), rtol=1e-3, atol=1e-3)


@every_operand_twice
def test_the_transpose_is_made_of_blocks_whose_transpose_is_the_derivative(case, wrt):
    """On a tensor p the transpose is recorded; transposing it again must give J back."""
    y, kept, _ = honest(case, wrt)
    v, p = like(case.operands[wrt], 2), Tensor(like(y, 1), requires_grad=True)
    (forth,) = grad(case.block.transposed(kept, wrt)(p), [p], gradient=v)
    expected = pushed(case, wrt, v)
    np.testing.assert_allclose(forth.data, expected, rtol=1e-8, atol=1e-8)


@every_operand
def test_tensors_get_the_gradients_that_arrays_get(case, wrt):
    y, kept, _ = honest(case, wrt)
    p = like(y, 1)
    tensors = [
        Tensor(o, requires_grad=i == wrt) if i in case.seeing else o
        for i, o in enumerate(case.operands)
    ]
    (got,) = grad(case.block(*tensors), [tensors[wrt]], gradient=p)
    np.testing.assert_array_equal(got.data, case.block.transposed(kept, wrt)(p))


@every_case_twice
def test_gradients_of_gradients_are_exact(case):
    """The Hessian of <p, f> along a random direction, by central differences of gradients."""
    p = like(case.block(*case.operands), 1)
    along = {i: like(case.operands[i], 5 + i) for i in case.seeing}

    def gradients(step, create_graph=False):
        operands = list(case.operands)
        for i, v in along.items():
            point = np.asarray(operands[i] + step * v)
            operands[i] = Tensor(point, requires_grad=True)
        moved = [operands[i] for i in along]
        return moved, grad(case.block(*operands), moved, p, create_graph=create_graph)

    step = 1e-5
    expected = [
        (a.data - b.data) / (2 * step) for a, b in zip(gradients(step)[1], gradients(-step)[1])
    ]
    x, first = gradients(0, create_graph=True)
    projected = sum((g * v).sum() for g, v in zip(first, along.values()))
    second = (
        grad(projected, x) if projected.requires_grad else [Tensor(np.zeros(o.shape)) for o in x]
    )
    for got, wanted in zip(second, expected):
        np.testing.assert_allclose(got.data, wanted, rtol=1e-6, atol=1e-6)


# What the table must hold


def test_every_block_is_in_the_table():
    exported = [getattr(blocks, name) for name in blocks.__all__]
    kinds = {kind for kind in exported if isinstance(kind, type) and issubclass(kind, blocks.Block)}
    missing = kinds - {blocks.Block} - {type(param.values[0].block) for param in CASES}
    assert not missing, "add a case for each: block, operands, slow definition"


def test_every_block_class_is_exported():
    def below(kind):
        return {kind} | {c for child in kind.__subclasses__() for c in below(child)}

    kinds = {k for k in below(minicnn.blocks.Block) if k.__module__.startswith("minicnn.")}
    hidden = {k.__name__ for k in kinds if not k.__name__.startswith("_")} - set(blocks.__all__)
    assert not hidden


# What the table does not show


def test_tails_are_finite_and_quiet():
    """No overflow (a warning fails the suite), and slopes that go to 0 or 1."""
    for dtype in (np.float32, np.float64):
        x = np.array([-1e30, -1e4, -90, 0, 90, 1e4, 1e30], dtype)
        for block in [
            blocks.Erf(), blocks.Gelu(), blocks.Gelu("tanh"), blocks.Softplus(), blocks.Softsign(),
            blocks.Mish(), blocks.Swish(), blocks.Elu(), blocks.Selu(), blocks.Celu(0.5),
            blocks.Abs(),
        ]:  # fmt: skip
            y, kept = block.record(x)
            slope = block.transposed(kept)(np.ones_like(x))
            assert y.dtype == slope.dtype == dtype
            assert np.isfinite([y, slope]).all(), block
            ends = [0, 1, -1, dtype(getattr(block, "gamma", 1))]
            assert np.isclose(slope[[0, -1], None], ends).any(1).all(), block


def test_erf_is_exact_in_both_precisions():
    x = np.linspace(-5, 5, 1001)
    expected = [math.erf(v) for v in x]
    np.testing.assert_allclose(blocks.Erf()(x), expected, rtol=1e-15)
    single = [math.erf(v) for v in x.astype(np.float32)]
    np.testing.assert_allclose(blocks.Erf()(x.astype(np.float32)), single, rtol=3e-7)


def test_casts_of_what_does_not_fit_are_quiet_and_signals_come_back_in_their_type():
    x = np.array([np.nan, np.inf, -1e300, 3.7, -3.7])
    assert blocks.Cast("int64").forward(x)[0][3:].tolist() == [3, -3]
    assert np.isinf(blocks.Cast("float32").forward(x)[0][2])
    y, kept = blocks.Cast("float32").record(x)
    back = blocks.Cast("float32").transposed(kept)(np.ones_like(y))
    assert (y.dtype, back.dtype) == (np.float32, np.float64)
    whole, _ = blocks.Cast("float32").forward(np.arange(3))
    assert whole.dtype == np.float32
    with pytest.raises(InputError, match="no type"):
        blocks.Cast("float31")


def test_maxima_of_integers_and_ties():
    a, b = np.array([1, 5, 3]), np.array([4, 5, 2])
    assert blocks.Maximum().forward(a, b)[0].tolist() == [4, 5, 3]
    assert blocks.Minimum().forward(a, b)[0].tolist() == [1, 5, 2]
    assert blocks.Max((0,)).forward(a)[0] == 5
    x = Tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]], requires_grad=True)
    (got,) = grad(blocks.Max((1,))(x), [x], gradient=np.ones(2, np.float32))
    np.testing.assert_allclose(got.data, [[0, 0.5, 0.5], [1 / 3] * 3])
    a, b = (Tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    first, second = grad(blocks.Maximum()(a, b), [a, b], gradient=np.ones(2, np.float32))
    assert (first.data.tolist(), second.data.tolist()) == ([1, 1], [0, 0])


def test_a_norm_of_nothing_has_gradient_nothing():
    x = Tensor(np.array([[0.0, 0.0], [3.0, 4.0]]), requires_grad=True)
    (got,) = grad(blocks.Norm(2, (1,))(x).sum(), [x])
    np.testing.assert_allclose(got.data, [[0, 0], [0.6, 0.8]])


def test_minus_infinity_is_the_logarithm_of_nothing():
    x = np.array([[-np.inf, -np.inf], [1000.0, 1000.0]])
    np.testing.assert_allclose(blocks.LogSumExp((1,))(x), [-np.inf, 1000 + math.log(2)])


def test_whole_numbers_are_not_divided_by_zero():
    for block in (blocks.IntegerDivide(), blocks.Modulo()):
        with pytest.raises(InputError, match="divided by 0"):
            block(np.array([1, 2]), np.array([1, 0]))


@pytest.mark.parametrize(
    ("equation", "shapes", "reason"),
    [
        ("i1->i", [(2, 2)], "letters"), ("ij->ii", [(2, 2)], "twice"), ("ij->k", [(2, 2)], "no op"),
        ("ij,jk->ik", [(2, 2)], "needs 2 operands"), ("ij->i", [(2,)], "does not name"),
        ("ij->...", [(2, 2)], "ellipsis"), ("ij,jk", [(2, 3), (4, 2)], "lengths 3 and 4"),
        ("i->i->i", [(2,)], "letters"),
    ],
)  # fmt: skip
def test_malformed_equations_are_explained(equation, shapes, reason):
    with pytest.raises(ShapeError, match=reason):
        blocks.Einsum(equation)(*(np.ones(shape) for shape in shapes))


def test_a_diagonal_can_be_read_but_has_no_transpose():
    x = Tensor(np.arange(9.0).reshape(3, 3), requires_grad=True)
    y = blocks.Einsum("ii->i")(x)
    assert y.data.tolist() == [0, 4, 8]
    with pytest.raises(NotDifferentiableError, match="twice"):
        y.sum().backward()


def test_indices_that_lie_outside_are_refused():
    with pytest.raises(InputError, match="axis 0 of length 3"):
        blocks.TakeElements(0)(np.zeros((3, 2)), np.array([[3, 0]]))
    with pytest.raises(ShapeError, match="fit"):
        blocks.TakeElements(0)(np.zeros((3, 2)), np.zeros((1, 3), int))
    with pytest.raises(ShapeError, match="no 4 values"):
        blocks.TopKIndices(4)(np.zeros(3))


def test_a_grid_may_hold_anything():
    x, grid = np.ones((1, 1, 2, 2)), np.array([np.nan, np.inf, -1e30, 1e30]).reshape(1, 1, 2, 2)
    for padding in ("zeros", "border", "reflection"):
        y = blocks.GridSample("linear", padding)(x, grid)
        assert np.isfinite(y).all()
    assert (blocks.GridSample()(x, grid) == 0).all()

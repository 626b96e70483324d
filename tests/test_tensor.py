"""Tensors, the tape behind them, gradients of gradients, and the functions named like torch's."""

import threading
import weakref

import numpy as np
import pytest

from minicnn import Tensor, blocks, grad, no_grad, rules
from minicnn import functional as F
from minicnn.errors import InputError, MiniCNNError, NotDifferentiableError, ShapeError


def leaf(*shape, seed=0, dtype=np.float64):
    data = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return Tensor(data, requires_grad=True)


def equal(tensor, expected):
    np.testing.assert_allclose(tensor.data, expected, rtol=1e-12, atol=1e-12)


# What a tensor holds


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_arrays_are_used_as_they_are(dtype):
    array = np.ones(3, dtype)
    assert Tensor(array).data is array
    assert Tensor(array[0]).dtype == Tensor(array.sum()).dtype == dtype


@pytest.mark.parametrize("data", [[1.0, 2.0], [1, 2], 3.0, True, np.arange(2), np.ones(2, np.half)])
def test_everything_else_becomes_float32(data):
    assert Tensor(data).dtype == np.float32


def test_numpy_sees_the_numbers_of_a_tensor():
    array = np.asarray(Tensor(np.arange(6.0).reshape(2, 3)))
    assert (array.dtype, array.shape) == (np.float64, (2, 3))


@pytest.mark.parametrize("data", [[1j], ["a"], [None], np.array(["2020-01-01"], "datetime64[D]")])
def test_what_is_not_a_real_number_is_refused(data):
    with pytest.raises(InputError, match="real numbers"):
        Tensor(data)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_and_lists_take_the_dtype_of_the_tensor(dtype):
    x = leaf(2, dtype=dtype)
    y = (2 * x + 1 - [1, 2] / (x * x + 3)) ** 2 + np.float64(3) * x + np.float64(1)
    y.sum().backward()
    assert (y.dtype, x.grad.dtype) == (dtype, dtype)


@pytest.mark.parametrize("gradient", [[1, 2], np.array([1.0, 2.0]), Tensor(np.array([1.0, 2.0]))])
def test_gradients_have_the_dtype_of_their_tensor(gradient):
    x = leaf(2, dtype=np.float32)
    (x * 2).backward(gradient)
    equal(x.grad, [2, 4])
    assert x.grad.dtype == np.float32


def test_arrays_on_the_left_do_not_swallow_tensors():
    x, a = leaf(2, 2), np.arange(4.0).reshape(2, 2)
    for y, expected in [
        (a + x, a + x.data), (a - x, a - x.data), (a * x, a * x.data), (a / x, a / x.data),
        (a @ x, a @ x.data), (x @ a, x.data @ a), (-x, -x.data),
    ]:  # fmt: skip
        assert isinstance(y, Tensor)
        equal(y, expected)


def test_inspection():
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    assert x.numpy() is x.data
    assert (x.shape, x.ndim, x.size, len(x), x.requires_grad) == ((2, 3), 2, 6, 2, True)
    assert x[1, 2].item() == 5.0
    assert repr(Tensor(np.array([1.0]))) == "Tensor([1.], dtype=float64)"
    assert repr(Tensor(np.float32([1]), True)) == "Tensor([1.], requires_grad=True)"
    equal(x.T, x.data.T)
    equal(x.swapaxes(0, 1).transpose(1, 0), x.data)
    equal(x.reshape(3, -1), x.data.reshape(3, 2))
    equal(x.mean(0, keepdims=True), x.data.mean(0, keepdims=True))


INDICES = [
    0, -1, (1, 2), np.s_[1:], np.s_[:, -1], np.s_[..., 0], np.s_[0, ..., 1:3], np.s_[::-1, ::2],
    [1, 0, 1], np.array([[0, 1], [1, 1]]), np.s_[...], np.s_[-2:, np.int64(1)],
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indexing_is_numpys_and_its_gradient_adds_up(index):
    x = leaf(2, 4, 3)
    y = x[index]
    equal(y, x.data[index])
    p, expected = np.random.default_rng(1).standard_normal(y.shape), np.zeros((2, 4, 3))
    np.add.at(expected, index, p)
    y.backward(p)
    equal(x.grad, expected)


@pytest.mark.parametrize("index", [2, -3, (0, 4)])
def test_an_index_outside_is_an_index_error(index):
    with pytest.raises(IndexError):
        leaf(2, 4)[index]


@pytest.mark.parametrize(
    "index",
    ["a", 1.0, None, True, [0.5], [True, False], np.array([True, False]), (np.array([0, 1]), 0)],
    ids=str,
)
def test_indices_that_mean_something_else_in_numpy_are_refused(index):
    with pytest.raises(MiniCNNError):
        leaf(2, 4)[index]


# The walk back


def test_broadcast_operands_get_gradients_of_their_own_shape():
    a, b, c = leaf(2, 1, 3), leaf(4, 1, seed=1), leaf(seed=2)
    p = np.random.default_rng(3).standard_normal((2, 4, 3))
    (a * b + c).backward(p)
    equal(a.grad, (p * b.data).sum(1, keepdims=True))
    equal(b.grad, (p * a.data).sum((0, 2))[:, None])
    equal(c.grad, p.sum())


def test_signals_of_a_value_read_twice_are_added():
    x = leaf(3)
    (x * x + x).sum().backward()
    equal(x.grad, 2 * x.data + 1)


def test_sums_of_sums_are_walked_in_topological_order():
    """Whoever walks depth first sends b's signal on before it is whole."""
    a = leaf(2)
    b = a + a
    c = b + b + a
    d = c * b
    d.sum().backward()
    equal(a.grad, 2 * 5 * 2 * a.data)


def test_many_paths_are_walked_once():
    x = leaf(2)
    y = x
    for _ in range(60):  # 2^60 paths lead back
        y = y + y
    y.sum().backward()
    equal(x.grad, [2.0**60] * 2)


def test_no_transpose_is_taken_towards_what_is_not_asked_for():
    class HalfWay(blocks.Multiply):
        def transposed(self, kept, wrt=0):
            assert wrt == 0
            return super().transposed(kept, wrt)

    x, w = leaf(2), leaf(2, seed=1)
    equal(grad(HalfWay()(x, w).sum(), [x])[0], w.data)


def test_one_block_may_be_used_again():
    relu, x = blocks.ReLU(), Tensor(np.array([-2.0, 1.0]), requires_grad=True)
    (relu(x) + relu(-x) * 3).sum().backward()
    equal(x.grad, [-3, 1])


def test_only_leaves_get_a_grad_and_constants_get_none():
    x, k = leaf(2), Tensor(np.ones(2))
    y = x * k
    y.sum().backward()
    assert (y.grad, k.grad) == (None, None)
    equal(x.grad, [1, 1])


def test_running_backward_twice_gives_the_same():
    x = leaf(3)
    y = (x * x).sum()
    y.backward()
    first = x.grad.data.copy()
    y.backward()
    equal(x.grad, first)


def test_running_backward_changes_no_value():
    x, w = leaf(1, 2, 4, 4), leaf(3, 2, 3, 3, seed=1)
    y = F.max_pool2d(F.relu(F.conv2d(x, w, padding=1)), 2)
    p = np.ones(y.shape)
    before = [a.copy() for a in (x.data, w.data, y.data, p)]
    y.backward(p)
    for now, then in zip((x.data, w.data, y.data, p), before):
        np.testing.assert_array_equal(now, then)


def test_changing_a_grad_in_place_changes_nothing_else():
    a, b = leaf(2), leaf(2, seed=1)
    p = np.array([1.0, 2.0])
    (a + b).backward(p)
    a.grad.data[:] = 7
    equal(b.grad, [1, 2])
    np.testing.assert_array_equal(p, [1, 2])


@pytest.mark.parametrize("length", [3000, 30000])
def test_long_chains_do_not_overflow_the_stack(length):
    x = leaf(2)
    y = x
    for _ in range(length):
        y = y + 1.0
    y.sum().backward()
    equal(x.grad, [1, 1])
    del y


@pytest.mark.parametrize(
    ("after", "kept"), [(F.relu, False), (lambda y: y + 1, False), (F.log, True), (F.exp, False)]
)
def test_a_value_is_held_only_if_a_transpose_reads_it(after, kept):
    middle = leaf(2) ** 2
    data = weakref.ref(middle.data)
    y = after(middle)
    del middle
    assert (data() is not None) == kept
    assert y.requires_grad


@pytest.mark.parametrize("block", [blocks.ReLU(), blocks.Log(), blocks.Exp(), blocks.Softmax()])
def test_a_value_is_freed_with_its_last_tensor(block):
    """At once: cycles wait for the garbage collector, while large arrays pile up."""
    y = block(leaf(2) ** 2)
    data = weakref.ref(y.data)
    del y
    assert data() is None


def test_without_a_gradient_there_must_be_one_number():
    x = leaf(2)
    with pytest.raises(ShapeError, match="single number"):
        (x * 2).backward()
    with pytest.raises(ShapeError, match="gradient has shape"):
        (x * 2).backward(np.ones(3))


def test_without_anything_to_differentiate_it_says_so():
    with pytest.raises(NotDifferentiableError, match="requires_grad=True"):
        Tensor([1.0]).backward()
    x = leaf(2)
    with pytest.raises(NotDifferentiableError, match="requires_grad=True"):
        grad((x * 2).sum(), [Tensor([1.0])])


def test_a_detached_tensor_shares_data_and_no_history():
    x = leaf(2)
    y = x * 2
    (y.detach() * x).sum().backward()
    equal(x.grad, y.data)
    assert y.detach().data is y.data


def test_no_grad_remembers_nothing_and_ends_with_an_error_too():
    x = leaf(2)
    with no_grad():
        with no_grad():
            pass
        assert not (x * 2).requires_grad
    with pytest.raises(RuntimeError), no_grad():
        raise RuntimeError
    assert (x * 2).requires_grad


def test_no_grad_belongs_to_its_thread():
    x, seen = leaf(2), []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2).requires_grad))
        thread.start()
        thread.join()
        assert seen == [True]
        assert not (x * 2).requires_grad


def test_grad_reaches_values_in_between_and_touches_nobody():
    x, other = leaf(3), leaf(2)
    y = x * x
    z = (y * 3).sum()
    gy, gx, go = grad(z, [y, x, other])
    equal(gy, [3, 3, 3])
    equal(gx, 6 * x.data)
    equal(go, [0, 0])
    assert (x.grad, y.grad, other.grad) == (None, None, None)


def test_a_lone_tensor_is_not_taken_for_its_rows():
    x = leaf(3)
    (gradient,) = grad((x * x).sum(), x)
    equal(gradient, 2 * x.data)


def test_a_rule_stands_in_for_the_transposes():
    x, w = leaf(1, 2, 5, 5), leaf(3, 2, 3, 3, seed=1)
    y = F.relu(F.conv2d(x, w, padding=1))
    p = np.random.default_rng(2).standard_normal(y.shape)
    for rule, signal in [
        (rules.SALINET, np.where(y.data > 0, p, 0)),
        (rules.DECONVNET, np.maximum(p, 0)),
        (rules.DESALINET, np.where(y.data > 0, np.maximum(p, 0), 0)),
    ]:
        expected = F.conv_transpose2d(signal, w.data, padding=1)
        y.backward(p, reversal=rule)
        equal(x.grad, expected)
        equal(grad(y, [x], p, reversal=rule)[0], expected)


def test_a_block_without_a_transpose_is_named():
    class Rounded(blocks.Block):
        def forward(self, x):
            return np.round(x), None

    with pytest.raises(NotDifferentiableError, match="Rounded"):
        Rounded()(leaf(2)).sum().backward()


# Gradients of gradients, through compositions (single blocks: test_blocks.py)

FUNCTIONS = {
    "sigmoid and tanh": lambda x, w: (F.sigmoid(x) * F.tanh(x * 2)).sum(),
    "products, division, powers": lambda x, w: ((x * x * x / (x * x + 2)) ** 2 / w.sum()).sum(),
    "softmax": lambda x, w: (F.softmax(x, 1) * F.softmax(x * 2, 0) * x).sum(),
    "log-softmax": lambda x, w: (F.log_softmax(x @ w, 1) ** 2).sum(),
    "cross-entropy": lambda x, w: F.cross_entropy(x @ w, [0, 2]) ** 2,
    "linear": lambda x, w: (F.linear(F.tanh(x), w.T, w[0]) ** 3).sum(),
    "matmul": lambda x, w: F.exp(x @ w / 4).sum() * F.log(w * w + 1).sum(),
    "batch norm, training": lambda x, w: (
        F.batch_norm(x.reshape(2, 3, 1, 1) * x[0, 0], None, None, w[0], w[1], training=True) ** 3
    ).sum(),
    "batch norm, evaluation": lambda x, w: (
        F.batch_norm(x, np.arange(3.0), np.arange(1.0, 4), w[0], w[1]) ** 3
    ).sum(),
    "batch norm, variance": lambda x, w: (
        blocks.BatchNorm()(x, w[0], w[1], w[2], w[1] * w[1] + 1) ** 2
    ).sum(),
    "LRN": lambda x, w: (F.local_response_norm(x.reshape(1, 6, 1, 1), 4, 0.5) ** 2).sum(),
    "hard-swish": lambda x, w: (F.hardswish(x * 2) ** 2 * w[0]).sum(),
    "filters and images": lambda x, w: (
        F.conv2d(F.tanh(x.reshape(1, 1, 2, 3)), w.reshape(1, 1, 3, 3), padding=1) ** 2
    ).sum(),
    "transposed convolution": lambda x, w: (
        F.conv_transpose2d(x.reshape(1, 1, 2, 3), w.reshape(1, 1, 3, 3), stride=2) ** 3
    ).sum(),
    "a small network": lambda x, w: F.cross_entropy(
        F.max_pool2d(F.leaky_relu(F.conv2d(x.reshape(2, 1, 1, 3), w.reshape(3, 1, 1, 3),
                                           padding=(0, 1)) ** 3), (1, 2)).reshape(2, 3),
        [2, 0],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_of_gradients_are_exact(name):
    function, rng = FUNCTIONS[name], np.random.default_rng(4)
    points = [rng.standard_normal((2, 3)), rng.standard_normal((3, 3))]
    along = [rng.standard_normal(p.shape) for p in points]

    def gradients(step):
        moved = [Tensor(p + step * v, requires_grad=True) for p, v in zip(points, along)]
        return moved, grad(function(*moved), moved, create_graph=True)

    (_, above), (_, below), (x, here) = gradients(1e-5), gradients(-1e-5), gradients(0)
    second = grad(sum((g * v).sum() for g, v in zip(here, along)), x)
    assert max(abs(s.data).max() for s in second) > 1e-3
    for got, a, b in zip(second, above, below):
        wanted = (a.data - b.data) / 2e-5
        np.testing.assert_allclose(got.data, wanted, rtol=1e-5, atol=1e-6 * abs(wanted).max())


def test_derivatives_of_any_order():
    x = Tensor(np.array([0.7]), requires_grad=True)
    y, derivatives = (x**4 + F.tanh(x)).sum(), []
    for _ in range(3):
        (y,) = grad(y.sum(), [x], create_graph=True)
        derivatives.append(y.item())
    t = np.tanh(0.7)
    s = 1 - t * t
    expected = [4 * 0.7**3 + s, 12 * 0.7**2 - 2 * t * s, 24 * 0.7 + s * (6 * t * t - 2)]
    np.testing.assert_allclose(derivatives, expected, rtol=1e-12)


def test_the_gradient_of_a_gradient_reaches_the_top_signal():
    x, p = leaf(3), leaf(3, seed=1)
    (g,) = grad(x * x, [x], p, create_graph=True)
    equal(grad(g.sum(), [p])[0], 2 * x.data)


# Functions


def test_batch_norm_updates_its_running_statistics_in_place():
    x = leaf(4, 3, 2, 2)
    mean, var = np.array([1.0, 2, 3]), np.array([4.0, 5, 6])
    y = F.batch_norm(x, mean, var, training=True, momentum=0.2)
    batch = x.data.transpose(1, 0, 2, 3).reshape(3, -1)
    np.testing.assert_allclose(mean, 0.8 * np.array([1, 2, 3]) + 0.2 * batch.mean(1))
    np.testing.assert_allclose(var, 0.8 * np.array([4, 5, 6]) + 0.2 * batch.var(1, ddof=1))
    flat = y.data.transpose(1, 0, 2, 3).reshape(3, -1)
    np.testing.assert_allclose(flat.mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(flat.var(1), batch.var(1) / (batch.var(1) + 1e-5))
    F.batch_norm(x, mean, var)
    np.testing.assert_allclose(mean, 0.8 * np.array([1, 2, 3]) + 0.2 * batch.mean(1))


def test_dropout_is_seeded_and_keeps_the_mean():
    x = Tensor(np.ones(10000), requires_grad=True)
    y = F.dropout(x, 0.25, seed=3)
    equal(F.dropout(x, 0.25, seed=3), y.data)
    assert (F.dropout(x, 0.25, seed=4).data != y.data).any()
    assert set(y.data.tolist()) == {0.0, 1 / 0.75}
    assert abs(y.data.mean() - 1) < 0.05
    y.sum().backward()
    equal(x.grad, y.data)
    equal(F.dropout(x, 0.25, training=False, seed=3), x.data)


def test_split_and_cat_undo_each_other():
    x = leaf(2, 5)
    assert [part.shape for part in F.split(x, 2, 1)] == [(2, 2), (2, 2), (2, 1)]
    first, second = F.split(x, [1, 4], -1)
    equal(F.cat([first, second], 1), x.data)
    (first * 2 + second.sum()).sum().backward()
    equal(x.grad, [[2, 2, 2, 2, 2]] * 2)


def test_padding_modes_add_up_what_they_repeat():
    x = Tensor(np.array([[1.0, 2.0, 3.0]]), requires_grad=True)
    for mode, expected, counts in [
        ("constant", [9, 1, 2, 3, 9, 9], [1, 1, 1]),
        ("reflect", [2, 1, 2, 3, 2, 1], [2, 3, 1]),
        ("replicate", [1, 1, 2, 3, 3, 3], [2, 1, 3]),
        ("circular", [3, 1, 2, 3, 1, 2], [2, 2, 2]),
    ]:
        y = F.pad(x, (1, 2), mode, 9)
        equal(y, [expected])
        y.sum().backward()
        equal(x.grad, [counts])
    with pytest.raises(InputError, match="mode"):
        F.pad(x, (1, 2), "mirror")


def its(**settings):
    return settings


TORCH = {
    "conv2d": [
        its(stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2, _more=[(6, 2, 3, 2), (6,)])
    ],
    "conv_transpose2d": [
        its(stride=(2, 3), padding=1, output_padding=(1, 2), groups=2, dilation=2,
             _more=[(4, 3, 3, 2), (6,)])
    ],
    "max_pool2d": [its(kernel_size=3, stride=2, padding=1, ceil_mode=True), its(kernel_size=2),
                   its(kernel_size=(2, 3), stride=1, dilation=2)],
    "avg_pool2d": [its(kernel_size=3, stride=2, padding=1, ceil_mode=c, count_include_pad=i)
                   for c in (False, True) for i in (False, True)],
    "local_response_norm": [its(size=3, alpha=0.4, beta=0.6, k=1.5)],
    "batch_norm": [its(_statistics=True), its(_statistics=True, training=True)],
    "prelu": [its(_more=[(4,)]), its(_more=[(1,)])],
    "linear": [its(_more=[(3, 6), (3,)])], "hardswish": [{}], "hardsigmoid": [{}],
    "pad": [its(pad=(1, 2, 3, 0), value=2.0), its(pad=(1, 2, 3, 0), mode="reflect"),
            its(pad=(1, -2)), its(pad=(2, 1, 0, 1), mode="circular")],
    "gelu": [{}, its(approximate="tanh")], "silu": [{}], "mish": [{}],
    "elu": [its(alpha=0.7)], "softplus": [{}, its(beta=2.0)],
    "pixel_shuffle": [its(upscale_factor=2)],
    "layer_norm": [its(normalized_shape=(6,)),
                   its(normalized_shape=(7, 6), _named={"weight": (7, 6), "bias": (7, 6)})],
    "group_norm": [its(num_groups=2, _named={"weight": (4,), "bias": (4,)})],
    "instance_norm": [{}, its(_named={"weight": (4,), "bias": (4,)}, eps=0.1)],
    "interpolate": [
        its(scale_factor=2.0), its(size=(4, 9)), its(size=5, mode="nearest-exact"),
        its(scale_factor=(1.5, 0.6), mode="bilinear"),
        its(size=(11, 3), mode="bilinear", align_corners=True), its(size=(9, 4), mode="bicubic"),
        its(scale_factor=2.5, mode="bicubic", align_corners=True),
    ],
    "grid_sample": [
        its(mode=m, padding_mode=p, align_corners=a, _grid=(2, 3, 5, 2))
        for m in ("bilinear", "nearest") for p in ("zeros", "border", "reflection")
        for a in (False, True)
    ] + [its(mode="bicubic", align_corners=False, _grid=(2, 3, 5, 2))],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "settings"), [(name, dict(s)) for name, many in TORCH.items() for s in many], ids=str
)
def test_functions_agree_with_torch(name, settings):
    torch = pytest.importorskip("torch")
    more = [leaf(*shape, seed=i + 1).data for i, shape in enumerate(settings.pop("_more", []))]
    if settings.pop("_statistics", False):
        more = [np.linspace(-1, 1, 4), np.linspace(1, 2, 4)]
    if "_grid" in settings:  # within -1.5 and 1.5
        more = [1.5 * np.tanh(leaf(*settings.pop("_grid"), seed=1).data)]
    named = {n: leaf(*s, seed=3).data for n, s in settings.pop("_named", {}).items()}
    operands = [leaf(2, 4, 7, 6).data, *more]
    fixed = name == "batch_norm" or settings.get("mode") in ("nearest", "bicubic")
    count = 1 if fixed else len(operands)
    theirs = [torch.tensor(o, requires_grad=i < count) for i, o in enumerate(operands)]
    ours = [Tensor(o, True) if i < count else o for i, o in enumerate(operands)]
    y = getattr(F, name)(*ours, **settings, **named)
    expected = getattr(torch.nn.functional, name)(
        *theirs, **settings, **{n: torch.tensor(value) for n, value in named.items()}
    )
    np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=1e-9, atol=1e-9)
    p = leaf(*y.shape, seed=9).data
    y.backward(p)
    expected.backward(torch.tensor(p))
    for ours_, theirs_ in zip(ours, theirs):
        got = ours_.grad.data if isinstance(ours_, Tensor) else ours_
        wanted = theirs_.grad if theirs_.requires_grad else theirs_
        np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-8, atol=1e-8)


def test_names_of_torch_are_answered():
    x = Tensor(np.ones((2, 3, 4), np.float32))
    assert x.flatten(1).shape == (2, 12)
    assert x.flatten().shape == (24,)
    with pytest.raises(AttributeError, match=r"Write x\.reshape"):
        x.view(2, 12)
    with pytest.raises(AttributeError, match=r"minicnn\.functional\.gelu"):
        x.gelu()
    with pytest.raises(AttributeError, match=r"A Tensor has no 'clone'\.$"):
        x.clone()
    assert not hasattr(x, "__cuda_array_interface__")

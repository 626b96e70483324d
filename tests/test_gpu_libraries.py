"""NVIDIA's libraries on the card: cuDNN's convolutions, cuBLAS's products, and TF32 in both."""

import sys

import numpy as np
import pytest
from test_gpu_convolution import CASES

import minicnn
from minicnn import nn
from minicnn.errors import DeviceError
from minicnn.kernels import Convolution, Window, devices, reference, registry
from minicnn.kernels.gpu import cublas, cudnn
from minicnn.kernels.gpu.graphs import Uncapturable, capture

EVEN = [name for name, case in CASES.items() if case[5][:2] == case[5][2:] and min(case[5]) >= 0]


@pytest.fixture
def library(cupy, monkeypatch):
    """cuDNN: its stand-in, or on a card itself where it is installed."""
    cudnn.missing.cache_clear()
    cudnn._own.__dict__.clear()
    if "standin" not in cupy.__name__:
        if cudnn.missing():
            pytest.skip(cudnn.missing())
        yield None
        return
    from standin import cudnn_module

    monkeypatch.setitem(sys.modules, "cudnn", cudnn_module)
    cudnn_module.built.clear()
    yield cudnn_module
    cudnn.missing.cache_clear()
    cudnn._own.__dict__.clear()


@pytest.mark.parametrize("name", EVEN)
def test_all_three_ways(cupy, library, rng, name):
    channels, filters, size, kernel, stride, pads, dilation, groups = CASES[name]
    window = Window(kernel, stride, pads, dilation)
    x = rng.standard_normal((2, channels, *size)).astype(np.float32)
    w = rng.standard_normal((filters, channels // groups, *kernel)).astype(np.float32)
    b = rng.standard_normal(filters).astype(np.float32)
    p = rng.standard_normal((2, filters, *window.output_size(size))).astype(np.float32)
    move = cupy.array
    pairs = [
        (cudnn.METHOD.conv(move(x), move(w), move(b), window, groups),
         reference.conv(x, w, b, window, groups)),
        (cudnn.METHOD.conv_transpose(move(p), move(w), None, window, groups, size),
         reference.conv_transpose(p, w, None, window, groups, size)),
        (cudnn.conv_filter(move(p), move(x), window, groups),
         reference.conv_filter(p, x, window, groups)),
    ]  # fmt: skip
    for got, wanted in pairs:
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got.get(), wanted, atol=2e-5 * np.abs(wanted).max())


def test_a_geometry_is_built_once_and_without_tf32_unless_it_is_allowed(cupy, library, rng):
    if library is None:
        pytest.skip("looks into the stand-in")
    window = Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
    x, w = cupy.array(np.ones((1, 4, 5, 5), "f")), cupy.array(np.ones((8, 4, 3, 3), "f"))
    note = library.numerical_note
    for _ in range(3):
        cudnn.METHOD.conv(x, w, None, window, 1)
    exact = {note.NONDETERMINISTIC, note.TENSOR_CORE, note.DOWN_CONVERT_INPUTS}
    assert library.built == [("fprop", exact)]
    with minicnn.using(tf32=True):
        cudnn.METHOD.conv(x, w, None, window, 1)
    assert library.built[1:] == [("fprop", {note.NONDETERMINISTIC})]


def test_it_serves_whom_it_is_asked_for_by(cupy, library, rng):
    model = nn.initialise(
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3))
    )
    host = model.network((3, 9, 9))
    x = rng.standard_normal((2, 3, 9, 9)).astype(np.float32)
    with minicnn.using(conv2d="cudnn", conv_transpose2d="cudnn", conv_filter2d="cudnn"):
        card = host.to("cuda:0", hosted=True)
        np.testing.assert_allclose(card(x), host(x), atol=1e-5)
        np.testing.assert_allclose(card(x), host(x), atol=1e-5)  # a captured run, if it were one
        tape, own = card.record(x), host.record(x)
        seed = np.ones_like(own.output)
        np.testing.assert_allclose(tape.backward(seed), own.backward(seed), atol=1e-4)
    if library is not None:
        assert {what for what, _ in library.built} == {"fprop", "dgrad"}


def test_what_it_does_not_do_is_left_to_others(library):
    window = Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
    problem = Convolution(8, 8, (9, 9), window)
    assert cudnn.why_not(problem) == ""
    assert "float32" in cudnn.why_not(Convolution(8, 8, (9, 9), window, dtype="float64"))
    for pads in ((0, 1, 1, 1), (-1, -1, -1, -1)):
        uneven = Window((3, 3), (1, 1), pads, (1, 1))
        assert "padding" in cudnn.why_not(Convolution(8, 8, (9, 9), uneven))
    assert registry.choose("conv2d", problem, "cuda")[0].name != "cudnn"


def test_without_cudnn_the_reason_is_said(cupy, monkeypatch):
    monkeypatch.setitem(sys.modules, "cudnn", None)
    cudnn.missing.cache_clear()
    problem = Convolution(8, 8, (9, 9), Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1)))
    assert "nvidia-cudnn-frontend" in cudnn.why_not(problem)
    with minicnn.using(conv2d="cudnn"):
        entry, why = registry.choose("conv2d", problem, "cuda")
    assert entry.name != "cudnn"
    assert "nvidia-cudnn-frontend" in why
    cudnn.missing.cache_clear()


def test_a_refusal_is_told_and_a_measurement_passes_over_it(cupy, library, tmp_path, monkeypatch):
    if library is None:
        pytest.skip("looks into the stand-in")
    monkeypatch.setattr(library.pygraph, "refuses", True)
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path))
    window = Window((1, 1), (1, 1), (0, 0, 0, 0), (1, 1))
    x, w = cupy.array(np.ones((1, 4, 5, 5), "f")), cupy.array(np.ones((8, 4, 1, 1), "f"))
    with pytest.raises(DeviceError, match="no float32 conv_fprop"):
        cudnn.METHOD.conv(x, w, None, window, 1)
    assert cudnn.METHOD.why_not(Convolution.forward(x, w, window, 1)) == ""
    problem = Convolution.forward(x, w, window, 1)
    with minicnn.using(measured=True):
        entry, why = registry.choose("conv2d", problem, "cuda")
    assert entry.name != "cudnn"
    assert why.startswith("fastest measured")


def test_it_is_not_captured(cupy, library):
    window = Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
    x, w = cupy.array(np.ones((1, 4, 5, 5), "f")), cupy.array(np.ones((8, 4, 3, 3), "f"))
    with pytest.raises(Uncapturable, match="cuDNN"):
        capture(cupy, lambda: cudnn.METHOD.conv(x, w, None, window, 1))


def test_the_frontend_has_the_face_that_is_used():
    real = pytest.importorskip("cudnn", reason="nvidia-cudnn-frontend is not installed")
    for name in ("data_type", "heur_mode", "numerical_note", "create_handle", "set_stream"):
        assert hasattr(real, name)
    for name in ("conv_fprop", "conv_dgrad", "conv_wgrad", "deselect_numeric_notes", "execute"):
        assert hasattr(real.pygraph, name)
    for name in ("TENSOR_CORE", "DOWN_CONVERT_INPUTS", "NONDETERMINISTIC"):
        assert hasattr(real.numerical_note, name)


def test_products_round_to_tf32_only_where_it_is_allowed(cupy, rng):
    if cupy.cuda.runtime.getDeviceProperties(0)["major"] < 8:
        pytest.skip("TF32 came with cards of sm_80")
    a, b = rng.standard_normal((2, 40, 40)).astype(np.float32)
    there = cupy.array(a), cupy.array(b)
    exact = a.astype(float) @ b.astype(float)

    def error():
        return np.abs(cublas.matmul(*there).get() - exact).max() / np.abs(exact).max()

    before = error()
    with minicnn.using(tf32=True):
        rounded = error()
        with minicnn.using(tf32=False):
            assert error() == before
    assert before < 1e-6 < rounded < 2e-3
    assert error() == before
    with minicnn.using(tf32=True):  # float64 has no TF32
        wide = cublas.matmul(*(array.astype(np.float64) for array in there)).get()
    np.testing.assert_allclose(wide, exact, rtol=1e-12)


def test_a_linear_layer_asks_cublas(cupy, rng):
    x, w = rng.standard_normal((2, 30, 30)).astype(np.float32)
    b = rng.standard_normal(30).astype(np.float32)
    move = cupy.array
    from minicnn.kernels import serving

    got = serving.linear(move(x), move(w), move(b))
    assert devices.on_gpu(got)
    np.testing.assert_allclose(got.get(), x @ w.T + b, atol=1e-5)

"""Finding devices, what is said where one is missing, and moving arrays."""

import builtins
import json
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import minicnn
from minicnn import Tensor
from minicnn.cli.app import app
from minicnn.errors import DeviceError, InputError
from minicnn.kernels import Convolution, Window, devices, registry
from minicnn.kernels.gpu import cudnn, measuring


def test_names_of_devices():
    assert str(devices.find("cpu")) == "cpu"
    assert str(devices.find("cuda")) == "cuda:0"
    assert str(devices.find("cuda:3")) == "cuda:3"
    for text in ("gpu", "cuda:", "cuda:x", "cpu:1", ""):
        with pytest.raises(InputError, match="is no device"):
            devices.find(text)


def without_cupy(monkeypatch):
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "cupy":
            raise ImportError("No module named 'cupy'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_without_cupy_it_says_which_extra(monkeypatch):
    without_cupy(monkeypatch)
    with pytest.raises(DeviceError, match=r"CuPy, which is not installed.*minicnn\[cuda13\]"):
        minicnn.load("mnist").to("cuda")
    assert [str(device) for device in minicnn.devices()] == ["cpu"]
    with pytest.raises(DeviceError, match="not installed"):
        Tensor([1.0], device="cuda:0")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("cudaErrorInsufficientDriver: CUDA driver version is insufficient", "no NVIDIA driver"),
        ("cudaErrorNoDevice: no CUDA-capable device is detected", "the driver shows no GPU"),
        ("cudaErrorUnknown: something else", "cannot start CUDA: cudaErrorUnknown"),
    ],
)
def test_without_a_driver_or_a_card_it_says_which(cupy, monkeypatch, error, said):
    if not hasattr(cupy.cuda.runtime, "error"):
        pytest.skip("only the stand-in can be without a card")
    monkeypatch.setattr(cupy.cuda.runtime, "error", error)
    with pytest.raises(DeviceError, match=said):
        minicnn.load("mnist").to("cuda")
    assert [str(device) for device in minicnn.devices()] == ["cpu"]
    y = minicnn.load("mnist")(np.zeros((1, 1, 28, 28), np.float32))  # the CPU is not affected
    assert y.shape == (1, 10)


def test_without_the_compiler_it_says_so(cupy, monkeypatch):
    if not hasattr(cupy.cuda.nvrtc, "error"):
        pytest.skip("only the stand-in can be without a compiler")
    lacking = 'Failure finding "libnvrtc.so.13": No such file'
    monkeypatch.setattr(cupy.cuda.nvrtc, "error", lacking)
    with pytest.raises(DeviceError, match=r"not NVRTC.*minicnn\[cuda13\].*libnvrtc.so.13"):
        minicnn.load("mnist").to("cuda")
    assert [str(device) for device in minicnn.devices()] == ["cpu"]


def test_a_card_that_is_not_there(cupy):
    count = cupy.cuda.runtime.getDeviceCount()
    assert [str(device) for device in minicnn.devices()][:2] == ["cpu", "cuda:0"]
    with pytest.raises(DeviceError, match=f"There is no card cuda:{count}; there is cuda:0"):
        Tensor([1.0], device=f"cuda:{count}")


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4, 5)])
def test_there_and_back_keeps_numbers_and_order(cupy, rng, shape):
    x = rng.standard_normal(shape)
    for array in (x, np.asarray(x.T), np.asfortranarray(x)):
        there = devices.to_device(array, "cuda")
        assert there.strides == array.strides
        back = devices.to_host(there)
        np.testing.assert_array_equal(back, array)
        assert back.strides == array.strides
    assert devices.to_device(there, "cuda:0") is there


def test_tensors_say_where_they_are(cupy):
    x = Tensor([1.0, -2.0], requires_grad=True, device="cuda")
    (x * x * 3).sum().backward()
    assert str(x.device) == str(x.grad.device) == "cuda:0"
    assert repr(x.grad) == 'Tensor([  6., -12.], device="cuda:0")'
    assert x.to("cpu").numpy().tolist() == [1, -2]
    assert x.to("cpu").requires_grad
    assert float(x.sum()) == -1


@pytest.mark.parametrize("block", ["conv2d", "conv_transpose2d", "conv_filter2d"])
def test_bench_on_a_card(cupy, monkeypatch, tmp_path, block):
    """Every kernel for cards is measured and right; the ceilings are the card's."""
    if hasattr(cupy, "copies"):
        monkeypatch.setattr(measuring, "TIMES", 4)
        monkeypatch.setattr(measuring.copy_bandwidth, "__defaults__", (0, 0.0, 1 << 16))
        monkeypatch.setattr(measuring.arithmetic_peak, "__defaults__", (0, 0.0))
    path = tmp_path / "found.json"
    words = ["bench", block, "--device", "cuda:0", "--seconds", "0", "--json", str(path),
             "--shapes", "2,8,9,8,16,3", "--shapes", "1,8,6,6,8,3,1,1,8",
             "--shapes", "1,12,5,5,16,1", "--shapes", "1,16,5,5,8,1"]  # fmt: skip
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "WRONG" not in result.output
    assert "failed" not in result.output
    found = json.loads(path.read_text())
    names = {line["kernel"] for line in found["measurements"]}
    wanted = {entry.name for entry in registry.entries(block, "cuda")}
    wanted -= {"cudnn"} if cudnn.missing() else set()
    assert names == wanted
    assert found["machine"]["card"] in result.output
    assert all(line["error"] < 1e-4 for line in found["measurements"])


def test_kernels_of_one_device_do_not_serve_another():
    problem = Convolution(8, 8, (9, 9), Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1)))
    for device in ("cpu", "cuda"):
        with minicnn.using(conv2d="depthwise" if device == "cpu" else "direct"):
            entry, why = registry.choose("conv2d", problem, device)
        assert entry.device == device
        assert "; " in why
    assert registry.choose("conv2d", problem, "cuda")[0].name != "depthwise"

"""Finding devices, what is said where one is missing, and moving arrays."""

import builtins
import sys

import numpy as np
import pytest

import minicnn
from minicnn import Tensor
from minicnn.errors import DeviceError, InputError
from minicnn.kernels import devices


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

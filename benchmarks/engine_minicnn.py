"""How minicnn does each work of the peer benchmark. Loaded by `peer_worker.py`.

Every method gets a task ready and gives back the call that is timed; what that call returns is
compared with the peers' answers before anything is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from peer_worker import clock
from peer_works import CODES_AT, IG_STEPS, Task
from specs import Layer, Spec

import minicnn
from minicnn import Tensor, kernels, rules, seeds
from minicnn import functional as F
from minicnn.attribution import IntegratedGradients
from minicnn.attribution.occlusion import Occlusion
from minicnn.kernels import devices

__all__ = ["MiniCNN"]

RATE, MOMENTUM = 1e-3, 0.9


class MiniCNN:
    """Ours. The environment says how many threads it computes with.

    Parameters
    ----------
    threads : int
        How many; set in the environment before this process started.
    device : str
        Where: "cpu" or "cuda:0".
    """

    def __init__(self, threads: int, device: str = "cpu") -> None:
        self.threads, self.device = threads, device
        self.versions = {
            "minicnn": minicnn.__version__,
            "numpy": np.__version__,
            "numba": version("numba"),
        }
        if device != "cpu":
            index = devices.find(device).index
            cupy = devices.cuda(index)
            cupy.cuda.Device(index).use()
            self.versions["cupy"] = cupy.__version__

    def _ready(self, task: Task) -> tuple[minicnn.Network, Any]:
        """The network and its images, where it computes."""
        x = kernels.to_device(task.spec.images(task.batch), self.device)
        return minicnn.load(task.path).to(self.device), x

    def timed(self, call: Callable[[], Any]) -> float:
        """Seconds of a call; on a card between two events."""
        if self.device == "cpu":
            return clock(call)
        cupy = devices.cuda(devices.find(self.device).index)
        first, last = cupy.cuda.Event(), cupy.cuda.Event()
        cupy.cuda.get_current_stream().synchronize()
        first.record()
        call()
        last.record()
        last.synchronize()
        return float(cupy.cuda.get_elapsed_time(first, last)) / 1e3

    def forward(self, task: Task) -> Callable[[], dict[str, Any]]:
        """One forward run."""
        net, x = self._ready(task)
        return lambda: {"output": net(x)}

    def conv(self, task: Task) -> Callable[[], dict[str, Any]]:
        """One convolution of an image in our own layout, channels last; torch's is in its best."""
        net, x = self._ready(task)
        x = x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
        return lambda: {"output": net(x)}

    def gradient(self, task: Task) -> Callable[[], dict[str, Any]]:
        """One recorded run, and the winning score's gradient with respect to the image."""
        net, x = self._ready(task)

        def call() -> dict[str, Any]:
            tape = net.record(x)
            return {"output": tape.output, "gradient": tape.backward(seeds.logit(tape))}

        return call

    def codes(self, task: Task) -> Callable[[], dict[str, Any]]:
        """One recorded run, and one unit sent back under all eight letter codes."""
        net, x = self._ready(task)
        index = seeds.max_unit(net.record(x), CODES_AT).index
        codes = rules.family_codes()
        compared = {code: rules.find(code).name for code in ("TTF", "TTT", "FTT")}

        def call() -> dict[str, Any]:
            tape = net.record(x)
            maps = tape.compare(seeds.unit(tape, CODES_AT, index), codes)
            return {code: maps[name] for code, name in compared.items()}

        return call

    def training(self, task: Task) -> Callable[[], dict[str, Any]]:
        """One step: loss, gradients of all parameters, and an update with momentum."""
        spec, labels = task.spec, task.spec.labels(task.batch)
        weights = {
            name: kernels.to_device(array, self.device) for name, array in spec.weights().items()
        }
        x = kernels.to_device(spec.images(task.batch), self.device)
        learned = {
            name: Tensor(array, requires_grad=True)
            for name, array in weights.items()
            if "running" not in name
        }
        velocity = {name: np.zeros_like(tensor.data) for name, tensor in learned.items()}

        def call() -> dict[str, Any]:
            loss = F.cross_entropy(_scores(spec, {**weights, **learned}, x), labels)
            loss.backward()
            for name, tensor in learned.items():
                kernels.sgd(
                    tensor.data, tensor.grad.data, velocity[name], rate=RATE, momentum=MOMENTUM
                )
            return {"loss": loss, **{name: tensor.grad for name, tensor in learned.items()}}

        return call

    def ig(self, task: Task) -> Callable[[], dict[str, Any]]:
        """Integrated Gradients of the winning score from zero, 50 steps of Gauss-Legendre."""
        net, x = self._ready(task)
        method, target = IntegratedGradients(net, steps=IG_STEPS), int(net(x).argmax())
        return lambda: {"gradient": method.attribute(x, target)}

    def occlusion(self, task: Task) -> Callable[[], dict[str, Any]]:
        """How far the winning score falls where a square of zeros covers the photo."""
        net, x = self._ready(task)
        method, target = Occlusion(net, patch=32, stride=8, fill=0.0), int(net(x).argmax())
        return lambda: {"gradient": method.attribute(x, target)}

    def kept(self, task: Task) -> int:
        """Bytes that a recorded run keeps.

        What calls keep for their transposes (bits of masks and switches, values that are read), and
        what the tape holds besides: its copy of the input, and the output.
        """
        tape = minicnn.load(task.path).record(task.spec.images())
        held = [*tape.inputs.values(), tape.output]
        return sum(tape.kept_bytes(c.name) for c in tape.calls) + sum(a.nbytes for a in held)

    def ceilings(self) -> dict[str, float] | None:
        """What the machine can do: arithmetic in FLOP/s, reading memory in bytes/s."""
        if self.device != "cpu":
            from minicnn.kernels.gpu import measuring

            index = devices.find(self.device).index
            peak, bandwidth = measuring.arithmetic_peak(index), measuring.copy_bandwidth(index)
            return {"arithmetic_flops_per_s": peak, "memory_bytes_per_s": bandwidth}
        try:
            from minicnn.kernels.cpu.ceilings import arithmetic_peak, memory_bandwidth
        except ImportError:
            return None
        return {
            "arithmetic_flops_per_s": float(arithmetic_peak(self.threads)),
            "memory_bytes_per_s": float(memory_bandwidth(self.threads)),
        }


def _scores(spec: Spec, values: Mapping[str, Any], x: np.ndarray) -> Any:
    """Run a description define-by-run, norms in training."""
    found = {"x": x}
    for layer, done in spec.plan():
        found[layer.name] = _step(layer, values, *[found[name] for name in layer.inputs])
        for name in done:
            del found[name]
    return found[spec.output]


def _step(layer: Layer, values: Mapping[str, Any], x: Any, *others: Any) -> Any:
    """One layer on tensors."""

    def own(part: str) -> Any:
        return values.get(f"{layer.name}.{part}")

    match layer.kind:
        case "conv":
            return F.conv2d(
                x, own("weight"), own("bias"), layer.stride, layer.pad, groups=layer.groups
            )
        case "norm":
            return F.batch_norm(
                x, own("running_mean"), own("running_var"), own("weight"), own("bias"), True
            )
        case "relu":
            return F.relu(x)
        case "max_pool":
            return F.max_pool2d(x, layer.kernel, layer.stride, layer.pad, 1, layer.ceil_mode)
        case "mean":
            return F.global_avg_pool2d(x)
        case "flatten":
            return F.flatten(x, 1)
        case "linear":
            return F.linear(x, own("weight"), own("bias"))
        case "add":
            return x + others[0]
        case "concat":
            return F.cat([x, *others], 1)
    raise ValueError(f"{layer.name} is of no known kind: {layer.kind}.")

"""How torch, and Captum on it, do each work of the peer benchmark. Loaded by `peer_worker.py`.

Every method gets a task ready and gives back the call that is timed, as in `engine_minicnn.py`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any

import torch
from peer_worker import clock
from peer_works import CODES_AT, IG_STEPS, Task
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import cross_entropy
from torch_builder import Described, torch_module

__all__ = ["Captum", "CaptumChannelsLast", "ChannelsLast", "Compiled", "Torch"]

RATE, MOMENTUM = 1e-3, 0.9


class Torch:
    """Torch with contiguous memory.

    Parameters
    ----------
    threads : int
        How many it computes with.
    device : str
        Where; on a card with cuDNN, float32 without TF32.
    """

    layout = torch.contiguous_format

    def __init__(self, threads: int, device: str = "cpu") -> None:
        torch.set_num_threads(threads)
        self.device = torch.device(device)
        self.versions = {"torch": torch.__version__}
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)  # where events are recorded
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
            torch.backends.cudnn.benchmark = True
            self.versions["cudnn"] = str(torch.backends.cudnn.version())
            self.versions["torch's card"] = torch.cuda.get_device_name(self.device)

    def timed(self, call: Callable[[], Any]) -> float:
        """Seconds of a call; on a card between two events."""
        if self.device.type != "cuda":
            return clock(call)
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(self.device)
        first.record()
        call()
        last.record()
        last.synchronize()
        return first.elapsed_time(last) / 1e3

    def _module(self, task: Task, inplace: bool = True) -> Described:
        module = torch_module(task.spec, task.spec.weights(), inplace)
        return module.to(self.device, memory_format=self.layout)

    def _images(self, task: Task) -> torch.Tensor:
        images = torch.from_numpy(task.spec.images(task.batch))
        return images.to(self.device).contiguous(memory_format=self.layout)

    def forward(self, task: Task) -> Callable[[], dict[str, Any]]:
        """One forward run in inference mode."""
        module, x = self._module(task), self._images(task)

        def call() -> dict[str, Any]:
            with torch.inference_mode():
                return {"output": module(x)}

        return call

    conv = forward

    def gradient(self, task: Task) -> Callable[[], dict[str, Any]]:
        """One run, and the winning score's gradient with respect to the image alone."""
        module, x = self._module(task).requires_grad_(False), self._images(task)
        x.requires_grad_()

        def call() -> dict[str, Any]:
            x.grad = None
            output = module(x)
            seed = torch.zeros_like(output)
            seed[0, output[0].argmax()] = 1
            output.backward(seed)
            return {"output": output, "gradient": x.grad}

        return call

    def training(self, task: Task) -> Callable[[], dict[str, Any]]:
        """One step: loss, gradients of all parameters, and an update with momentum."""
        module, x = self._module(task).train(), self._images(task)
        labels = torch.from_numpy(task.spec.labels(task.batch)).to(self.device)
        optimiser = torch.optim.SGD(module.parameters(), RATE, MOMENTUM)

        def call() -> dict[str, Any]:
            optimiser.zero_grad()
            loss = cross_entropy(module(x), labels)
            loss.backward()
            optimiser.step()
            return {"loss": loss, **{name: p.grad for name, p in module.named_parameters()}}

        return call

    def kept(self, task: Task) -> int:
        """Bytes that a run saves for its backward pass: each storage once, parameters not."""
        module, x = self._module(task).requires_grad_(False), self._images(task)
        storages: dict[int, int] = {}

        def pack(saved: torch.Tensor) -> torch.Tensor:
            storage = saved.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            return saved  # kept alive by the graph, so that no address is used twice

        with saved_tensors_hooks(pack, lambda saved: saved):
            output = module(x.requires_grad_())
        for parameter in module.parameters():
            storages.pop(parameter.untyped_storage().data_ptr(), None)
        del output  # the graph ends here and not before
        return sum(storages.values())


class ChannelsLast(Torch):
    """Torch with channels as the last axis in memory."""

    layout = torch.channels_last


class Compiled(ChannelsLast):
    """Torch with its compiler."""

    def _module(self, task: Task, inplace: bool = True) -> Any:
        return torch.compile(super()._module(task, inplace))


class Captum(Torch):
    """Captum's methods that are ours too; its three rules are cycled to make eight runs.

    Its hooks on ReLUs do not work on ReLUs in place, so these are not.
    """

    def __init__(self, threads: int, device: str = "cpu") -> None:
        import captum
        from captum import attr

        super().__init__(threads, device)
        self.attr = attr
        self.versions["captum"] = captum.__version__

    def codes(self, task: Task) -> Callable[[], dict[str, Any]]:
        """Eight attributions of one unit; each runs forward and back, as Captum's do."""
        features = self._module(task, inplace=False).requires_grad_(False)
        x = self._images(task)
        assert features.output == CODES_AT
        with torch.inference_mode():
            top = features(x)
            place = [int(i) for i in torch.unravel_index(top.argmax(), top.shape)]
        unit = _Unit(features, place[1:])
        x.requires_grad_()
        methods = {
            "TTF": self.attr.Saliency(unit),
            "TTT": self.attr.GuidedBackprop(unit),
            "FTT": self.attr.Deconvolution(unit),
        }
        eight = list(islice(cycle(methods), 8))

        def call() -> dict[str, Any]:
            found = {}
            for code in eight:
                options = {"abs": False} if code == "TTF" else {}
                with warnings.catch_warnings(action="ignore"):  # about hooks, at every run
                    found[code] = methods[code].attribute(x, **options)
            return found

        return call

    def ig(self, task: Task) -> Callable[[], dict[str, Any]]:
        """Integrated Gradients as ours: 50 nodes of Gauss-Legendre from zero."""
        module, x, target = self._attributed(task)
        method = self.attr.IntegratedGradients(module)

        def call(batch: int) -> dict[str, Any]:
            options = {"target": target, "n_steps": IG_STEPS, "internal_batch_size": batch}
            return {"gradient": method.attribute(x, **options)}

        return _fastest(call, (1, 5, 10, 25))

    def occlusion(self, task: Task) -> Callable[[], dict[str, Any]]:
        """Occlusion as ours: squares of 32 pixels, zero, every 8."""
        module, x, target = self._attributed(task)
        method = self.attr.Occlusion(module)

        def call(batch: int) -> dict[str, Any]:
            options = {"sliding_window_shapes": (3, 32, 32), "strides": (3, 8, 8)}
            with torch.inference_mode():
                found = method.attribute(x, target=target, perturbations_per_eval=batch, **options)
            return {"gradient": found}

        return _fastest(call, (1, 4, 16, 64))

    def _attributed(self, task: Task) -> tuple[Described, torch.Tensor, int]:
        """The network, its photo and the winning class."""
        module = self._module(task, inplace=False).requires_grad_(False)
        x = self._images(task)
        with torch.inference_mode():
            return module, x, int(module(x).argmax())


def _fastest(
    call: Callable[[int], dict[str, Any]], batches: Sequence[int]
) -> Callable[[], dict[str, Any]]:
    """The call with that one of the batch sizes at which a single try was fastest."""
    seconds = {}
    for batch in batches:
        start = time.perf_counter()
        call(batch)
        seconds[batch] = time.perf_counter() - start
    best = min(seconds, key=seconds.__getitem__)
    return lambda: call(best)


class CaptumChannelsLast(Captum):
    """The same with channels as the last axis in memory."""

    layout = torch.channels_last


class _Unit(torch.nn.Module):
    """One unit of a network's output, a number for each image."""

    def __init__(self, features: Described, place: list[int]) -> None:
        super().__init__()
        self.features, self.place = features, tuple(place)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x)[(slice(None), *self.place)]

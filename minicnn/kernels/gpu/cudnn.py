"""Convolutions by NVIDIA's cuDNN, where it is installed; nothing needs it.

    pip install nvidia-cudnn-frontend nvidia-cudnn-cu13     (cu12 for CUDA 12)

    conv2d, conv_transpose2d, conv_filter2d    =    conv_fprop, conv_dgrad, conv_wgrad

A graph of one operation is built for each geometry, batch included, and kept; channels are last in
memory. Of cuDNN's engines those are left out that add in no fixed order, and those that round to
TF32 unless `minicnn.using(tf32=True)` allows it. Its last bits may change with the batch, so it
serves where it is asked for by name or found to be the fastest by a measurement:
`minicnn.using(conv2d="cudnn")`, `minicnn.using(measured=True)`. It is not captured in CUDA graphs.

Source: NVIDIA cuDNN frontend, the Python interface of its graphs.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from minicnn.errors import DeviceError
from minicnn.kernels.devices import module_of
from minicnn.kernels.geometry import Window
from minicnn.kernels.gpu.ending import Ending
from minicnn.kernels.gpu.images import empty, new_image
from minicnn.kernels.gpu.methods import Method
from minicnn.kernels.problems import Convolution
from minicnn.kernels.registry import overruled

__all__ = ["METHOD", "conv_filter", "missing", "why_not"]

MOST = 256  # graphs that a thread keeps
_own = threading.local()  # handles and graphs: cuDNN's are for one thread at a time


@cache
def missing() -> str:
    """Why cuDNN cannot be used; empty where it can."""
    try:
        import cudnn

        cudnn.backend_version()
    except Exception as error:  # it brings half a dozen packages, and any of them may fail
        return f"needs the packages nvidia-cudnn-frontend and nvidia-cudnn-cu13 or -cu12 ({error})"
    return ""


def why_not(problem: Convolution) -> str:
    """Why it does not apply; empty where it does."""
    window = problem.window
    if problem.dtype != "float32":
        return "is for float32"
    if window.begins != window.ends or min(window.pads) < 0:
        return "is for as much padding after each axis as before, without crops"
    return missing()


def _steps(x: Any) -> list[int]:
    """Steps of channels last, by the shape: those of axes of length 1 would say something else."""
    _, channels, height, width = x.shape
    return [height * width * channels, 1, width * channels, channels]


def _dense(x: Any) -> Any:
    """The array itself where it is dense with channels last in memory, else a copy that is."""
    if x.transpose(0, 2, 3, 1).flags.c_contiguous:
        return x
    y = new_image(x, x.shape)
    y[...] = x
    return y


def _handle(like: Any) -> Any:
    """A handle for an array's card, of this thread, on the stream that CuPy works on."""
    import cudnn

    handles = _own.__dict__.setdefault("handles", {})
    card = like.device.id
    if card not in handles:
        with like.device:
            handles[card] = cudnn.create_handle()
    stream = module_of(like).cuda.get_current_stream()
    if stream.is_capturing():
        raise NotImplementedError("convolutions by cuDNN are not captured")
    cudnn.set_stream(handle=handles[card], stream=stream.ptr)
    return handles[card]


def _built(
    what: str, operands: tuple[Any, Any], result: Any, window: Window, handle: Any
) -> tuple[Any, list[Any]]:
    """A graph of one operation, ready to run, and its three tensors."""
    import cudnn

    exact, number = not overruled().get("tf32"), cudnn.data_type.FLOAT
    key = (what, window, exact, result.device.id, result.shape, *(a.shape for a in operands))
    graphs = _own.__dict__.setdefault("graphs", {})
    if key in graphs:
        known: tuple[Any, list[Any]] = graphs[key]
        return known
    graph = cudnn.pygraph(
        io_data_type=number, intermediate_data_type=number, compute_data_type=number, handle=handle
    )
    tensors = [
        graph.tensor(name=name, dim=list(a.shape), stride=_steps(a), data_type=number)
        for name, a in zip(("first", "second"), operands, strict=True)
    ]
    made = getattr(graph, what)(
        *tensors, pre_padding=list(window.begins), post_padding=list(window.ends),
        stride=list(window.stride), dilation=list(window.dilation),
    )  # fmt: skip
    made.set_output(True).set_data_type(number)
    made.set_dim(list(result.shape)).set_stride(_steps(result))
    try:
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
        note = cudnn.numerical_note
        barred = [note.NONDETERMINISTIC]
        graph.deselect_numeric_notes(
            [*barred, note.TENSOR_CORE, note.DOWN_CONVERT_INPUTS] if exact else barred
        )
        graph.check_support()
        graph.build_plans()
    except (RuntimeError, ValueError, cudnn.cudnnGraphNotSupportedError) as error:
        raise DeviceError(
            f"cuDNN has no {'float32' if exact else 'fixed'} {what} of {result.shape} from "
            f"{operands[0].shape} and {operands[1].shape}: {error}. Take another kernel"
            + (", or allow TF32: minicnn.using(tf32=True)." if exact else ".")
        ) from error
    if len(graphs) >= MOST:
        graphs.pop(next(iter(graphs)))
    graphs[key] = graph, [*tensors, made]
    return graph, [*tensors, made]


def _run(what: str, first: Any, second: Any, result: Any, window: Window) -> None:
    """Do it: all three are dense with channels last."""
    with result.device:
        handle = _handle(result)
        graph, tensors = _built(what, (first, second), result, window, handle)
        room = empty(result, (max(1, graph.get_workspace_size()),), "uint8")
        memory = dict(zip(tensors, (first, second, result), strict=True))
        graph.execute(memory, room, handle=handle)


def _pack(w: Any, groups: int, transposed: bool) -> Any:
    return _dense(w)


def _convolve(x: Any, packed: Any, problem: Convolution, y: Any, ending: Ending) -> None:
    """Compute a problem for a batch; parameters as those of `convolution.run`."""
    what = "conv_dgrad" if problem.transposed else "conv_fprop"
    sums = new_image(y, y.shape)
    _run(what, _dense(x), packed, sums, problem.window)
    ending.finish(sums, y)


METHOD = Method("cudnn", _pack, _convolve, why_not)


def conv_filter(p: Any, x: Any, window: Window, groups: int) -> Any:
    """The filters' gradient (O, C/groups, h, w); see `reference.conv_filter`."""
    w = new_image(p, (p.shape[1], x.shape[1] // groups, *window.kernel))
    _run("conv_wgrad", _dense(x), _dense(p), w, window)
    return module_of(w).ascontiguousarray(w)

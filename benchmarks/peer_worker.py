"""One peer in a process of its own: gets works ready, and times calls when it is asked to.

    python benchmarks/peer_worker.py PEER THREADS [DEVICE]

`peers.py` starts it, with the thread counts in the environment. Requests come in as lines of JSON
and every one is answered by a line. Between requests the worker is blocked reading.

A turn is warm-up calls, timed calls, and then waiting until the process's own threads sleep. Those
of OpenMP, onnxruntime and OpenBLAS spin for some 5, 50 and 100 ms after their last work, and would
slow the next peer down. (OMP_WAIT_POLICY=passive would spare the waiting, but it slows torch down.)
On a card events tell the time.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from peer_works import Task

__all__ = ["ENGINES", "serve", "settle", "turn"]

ENGINES = {
    "minicnn": ("engine_minicnn", "MiniCNN"),
    "torch": ("engine_torch", "Torch"),
    "torch-channels-last": ("engine_torch", "ChannelsLast"),
    "torch-compiled": ("engine_torch", "Compiled"),
    "onnxruntime": ("engine_onnxruntime", "OnnxRuntime"),
    "captum": ("engine_torch", "Captum"),
    "captum-channels-last": ("engine_torch", "CaptumChannelsLast"),
}

WARM_CALLS, CALLS, SECONDS = 2, 3, 0.3  # a turn has so many calls and lasts so long at least
LONG = 5.0  # seconds after which no further call is made


def clock(call: Callable[[], Any]) -> float:
    """Seconds that a call takes by the processor's clock."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def turn(
    call: Callable[[], Any],
    quick: bool = False,
    timed: Callable[[Callable[[], Any]], float] = clock,
) -> dict[str, Any]:
    """Warm up, time calls one by one, and wait until all threads sleep.

    Parameters
    ----------
    call : callable
        What is timed.
    quick : bool
        One call of each kind, to see that it runs.
    timed : callable
        Seconds of a call.

    Returns
    -------
    dict
        Median and least seconds of a call, number of calls, how many cores other processes took
        meanwhile (None: not known), and seconds waited in the end (None: in vain).
    """
    _timed(call, 1 if quick else WARM_CALLS, 0, timed)
    begun, before = time.perf_counter(), others_used()
    times = _timed(call, 1, 0, timed) if quick else _timed(call, CALLS, SECONDS, timed)
    after, ended = others_used(), time.perf_counter()
    return {
        "value": median(times),
        "least": min(times),
        "calls": len(times),
        "others": None if None in (before, after) else max(0.0, after - before) / (ended - begun),
        "settled": settle(),
    }


def _timed(
    call: Callable[[], Any],
    calls: int,
    seconds: float,
    timed: Callable[[Callable[[], Any]], float] = clock,
) -> list[float]:
    """Seconds of each call: of so many calls, in so long, at least."""
    times: list[float] = []
    while (len(times) < calls or sum(times) < seconds) and sum(times) < LONG:
        times.append(timed(call))
    return times


def others_used() -> float | None:
    """Processor seconds that other processes used so far, or a host machine took away."""
    statistics = Path("/proc/stat")
    if not statistics.exists():
        return None
    user, nice, system, _, _, hard, soft, stolen = map(int, statistics.read_text().split()[1:9])
    used = (user + nice + system + hard + soft + stolen) / os.sysconf("SC_CLK_TCK")
    return used - time.process_time()


def settle(patience: float = 2.0, pause: float = 0.02) -> float | None:
    """Wait until this process takes next to no processor time; seconds waited, None if in vain."""
    start = time.perf_counter()
    while time.perf_counter() - start < patience:
        begun, used = time.perf_counter(), time.process_time()
        time.sleep(pause)
        if time.process_time() - used < 0.1 * (time.perf_counter() - begun):
            return time.perf_counter() - start
    return None


def serve(engine: Any, request: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """Answer one request; `state` holds the call that is ready."""
    match request["do"]:
        case "prepare":
            state.clear()  # the last work's memory goes before the next one's is taken
            task = Task(**request["task"])
            state["call"] = getattr(engine, task.kind)(task)
            answer = state["call"]()
            np.savez(request["answer"], **{name: _array(x) for name, x in answer.items()})
            settle()
            return {}
        case "turn":
            return turn(state["call"], request["quick"], getattr(engine, "timed", clock))
        case "kept":
            return {"value": engine.kept(Task(**request["task"]))}
        case "ceilings":
            return {"ceilings": engine.ceilings()}
        case "drop":
            state.clear()
            return {}
    raise ValueError(f"unknown request {request['do']!r}")


def _array(x: Any) -> np.ndarray:
    """A tensor of anybody's as an array."""
    if hasattr(x, "detach"):
        x = x.detach().cpu() if hasattr(x.detach(), "cpu") else x.detach()
    x = x.numpy() if hasattr(x, "numpy") else x
    return np.asarray(x.get() if hasattr(x, "get") else x)


def main() -> None:
    """Answer requests until there are no more."""
    peer, threads, device = sys.argv[1], int(sys.argv[2]), (*sys.argv[3:], "cpu")[0]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for peers.py, which ends its workers
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes elsewhere

    def reply(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=replies, flush=True)

    try:
        module, name = ENGINES[peer]
        engine = getattr(import_module(module), name)(threads, device)
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError)
        reply({"error": "not installed" if missing else "does not start", "detail": _said(error)})
        return
    reply({"versions": engine.versions})
    state: dict[str, Any] = {}
    for line in iter(sys.stdin.readline, ""):
        try:
            message = serve(engine, json.loads(line), state)
        except Exception as error:  # a peer's failure is a result too
            state.clear()
            message = {"error": "failed", "detail": _said(error)}
        reply(message)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main()

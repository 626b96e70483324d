"""The machine that numbers were measured on, for reports."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from minicnn._version import __version__
from minicnn.kernels.devices import cuda

__all__ = ["card", "machine", "versions"]


def machine() -> dict[str, Any]:
    """Processor, cores, system, the vectors that the kernels use, and what else is running.

    Returns
    -------
    dict
        `load` is the number of processes that wanted a core over the last minute, None where the
        system does not say.
    """
    from minicnn.kernels.cpu import product, vector

    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "vectors": vector.FEATURES,
        "tile": f"{vector.ROWS}x{product.COLUMNS}",
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def card(index: int) -> dict[str, Any]:
    """A CUDA card, its driver and CuPy.

    Raises
    ------
    DeviceError
        If it cannot be used.
    """
    cupy = cuda(index)
    runtime = cupy.cuda.runtime
    facts = runtime.getDeviceProperties(index)
    return {
        "card": facts["name"].decode(),
        "compute capability": f"{facts['major']}.{facts['minor']}",
        "multiprocessors": facts["multiProcessorCount"],
        "memory": facts["totalGlobalMem"],
        "cuda driver": runtime.driverGetVersion(),
        "cuda runtime": runtime.runtimeGetVersion(),
        "cupy": cupy.__version__,
    }


def versions() -> dict[str, str]:
    """Of what takes part."""
    return {
        "minicnn": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": metadata.version("numba"),
    }


def _processor() -> str:
    """Its name, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

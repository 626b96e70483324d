"""Filters as the kernels read them.

    panels       [group][panel][tap][depth][COLUMNS], columns beyond the last filter being zero

where depth is input channels and columns are filters for a convolution, the other way round for its
transpose.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicnn.kernels.cpu.product import COLUMNS

__all__ = ["by_taps", "panels"]


def by_taps(w: np.ndarray, groups: int, transposed: bool) -> np.ndarray:
    """Filters (O, C/groups, *kernel) as (groups, taps, depth, columns)."""
    filters, channels = w.shape[:2]
    split = w.reshape(groups, filters // groups, channels, -1)  # (G, O/G, C/G, T)
    return split.transpose(0, 3, 1, 2) if transposed else split.transpose(0, 3, 2, 1)


def panels(matrices: np.ndarray, taps: Sequence[int] | None = None) -> np.ndarray:
    """Matrices (groups, taps, depth, columns) as panels (groups, panels, taps, depth, COLUMNS)."""
    if taps is not None:
        matrices = matrices[:, list(taps)]
    groups, terms, depth, columns = matrices.shape
    count = -(-columns // COLUMNS)
    packed = np.zeros((groups, count, terms, depth, COLUMNS), np.float32)
    for panel in range(count):
        piece = matrices[..., panel * COLUMNS : (panel + 1) * COLUMNS]
        packed[:, panel, ..., : piece.shape[-1]] = piece
    return packed

"""With which constants launches compile each CUDA source; the stand-in refuses any other."""

from itertools import product

import numpy as np


def _choices(**values):
    return [dict(zip(values, chosen)) for chosen in product(*values.values())]


PLAIN = _choices(ALIGNED=(1, 0))
TILES = [
    {**ways, "ROWS": rows, "COLUMNS": 64, "BLOCKS": blocks}
    for ways in _choices(TRANSPOSED=(0, 1), VECTOR=(1, 0), ALIGNED=(1, 0))
    for rows, blocks in ((128, 3), (64, 6))
]
FILES = {
    "batch": PLAIN,
    "ceilings": [{}],
    "convolution": TILES,
    "dense": _choices(ROWS=(1, 2, 4, 8)),
    "depthwise": _choices(TRANSPOSED=(0, 1), ALIGNED=(1, 0)),
    "end": PLAIN,
    "filters": _choices(ALIGNED=(1, 0), BLOCKS=(6,)),
    "gates": PLAIN,
    "learning": PLAIN,
    "moving": [{}],
    "narrow": _choices(TRANSPOSED=(0, 1), VECTOR=(1, 0), ALIGNED=(1, 0), BLOCKS=(2,)),
    "normalise": PLAIN,
    "parts": PLAIN,
    "pooling": PLAIN,
    "winograd": _choices(MADE=(2, 4)),
}


def variants(file):
    """Number type and constants of each; blocks of float64 need twice the registers."""
    single = [(np.float32, constants) for constants in FILES[file]]
    double = [(np.float64, {**c, **({"BLOCKS": 1} if "BLOCKS" in c else {})}) for c in FILES[file]]
    return [*single, *double]


def check(file, macros):
    """Refuse constants, a dict of texts, that no test compiles for a card."""
    known = [
        {"T": {"float32": "float", "float64": "double"}[np.dtype(dtype).name],
         **{name: str(value) for name, value in constants.items()}}
        for dtype, constants in variants(file)
    ]  # fmt: skip
    assert macros in known, f"{file}.cu is launched with {macros}: list it in standin/variants.py"

"""Planning: a frozen network as one list of steps, its blocks fused and its memory laid out.

grouping    which blocks run as one kernel: conv + bias + batch norm + sum + mask + ReLU
lowering    how each kind of block becomes steps: one entry a block
storage     which values share memory: parts of concatenations, views, buffers used again
plan        all of it together, run on arrays
planner     which plans a network has
packs       filters packed once
"""

from minicnn.planning.packs import Packs
from minicnn.planning.planner import Planner  # which imports the rest when the first plan is made

__all__ = ["Packs", "Planner"]

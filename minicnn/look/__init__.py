"""Looking inside: what a network does, block by block."""

from minicnn.look.activations import LayerMaps, activations, spread_layers
from minicnn.look.dead import DeadFilters, LayerLife, dead_filters
from minicnn.look.effective import EffectiveField, effective_field
from minicnn.look.embedding import Embedding, embed, neighbour_accuracy
from minicnn.look.features import Features, features, some
from minicnn.look.fields import Field, receptive_fields
from minicnn.look.filters import Filters, filters
from minicnn.look.layout import aligned, grid_cells
from minicnn.look.neighbours import Neighbours, nearest_images, neighbours
from minicnn.look.patches import NORMS, Patch, best_patch
from minicnn.look.strongest import Strongest, strongest
from minicnn.look.trace import Trace, TraceRow, trace
from minicnn.look.units import UnitMap, UnitPatch, best_patches, unit_map, unit_patches

__all__ = [
    "NORMS",
    "DeadFilters",
    "EffectiveField",
    "Embedding",
    "Features",
    "Field",
    "Filters",
    "LayerLife",
    "LayerMaps",
    "Neighbours",
    "Patch",
    "Strongest",
    "Trace",
    "TraceRow",
    "UnitMap",
    "UnitPatch",
    "activations",
    "aligned",
    "best_patch",
    "best_patches",
    "dead_filters",
    "effective_field",
    "embed",
    "features",
    "filters",
    "grid_cells",
    "nearest_images",
    "neighbour_accuracy",
    "neighbours",
    "receptive_fields",
    "some",
    "spread_layers",
    "strongest",
    "trace",
    "unit_map",
    "unit_patches",
]

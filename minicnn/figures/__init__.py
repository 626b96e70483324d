"""Figures: arrays in, pictures out. The only place that knows matplotlib."""

from matplotlib.figure import Figure

from minicnn.figures.activations import activations_figure
from minicnn.figures.conservation import conservation_figure
from minicnn.figures.dead import dead_figure
from minicnn.figures.display import DISPLAYS, Display, display_named, sigmoid, symmetric
from minicnn.figures.embedding import embedding_figure
from minicnn.figures.embedding_images import (
    embedding_grid_figure,
    embedding_images_figure,
    thumbnail,
)
from minicnn.figures.explain import explain_figure
from minicnn.figures.fields import effective_field_figure, fields_figure
from minicnn.figures.filters import filters_figure
from minicnn.figures.landscape import (
    LANDSCAPE_STYLES,
    landscapes_figure,
    trajectory_figure,
)
from minicnn.figures.landscape_curvature import curvature_figure
from minicnn.figures.landscape_curves import curves_figure, scale_figure
from minicnn.figures.learning import learning_figure
from minicnn.figures.neighbours import Near, neighbours_figure
from minicnn.figures.occlusion import occlusion_figure
from minicnn.figures.panels import comparison_figure, family_figure, selectivity_figure
from minicnn.figures.roofline import bars_figure, roofline_figure
from minicnn.figures.sanity import randomisation_curves, randomisation_pictures
from minicnn.figures.save import check_format, save
from minicnn.figures.studies import study_figure
from minicnn.figures.units import layer_figure, unit_map_figure, units_figure

__all__ = [
    "DISPLAYS",
    "LANDSCAPE_STYLES",
    "STYLES",
    "Display",
    "Figure",
    "Near",
    "activations_figure",
    "bars_figure",
    "check_format",
    "comparison_figure",
    "conservation_figure",
    "curvature_figure",
    "curves_figure",
    "dead_figure",
    "display_named",
    "effective_field_figure",
    "embedding_figure",
    "embedding_grid_figure",
    "embedding_images_figure",
    "explain_figure",
    "family_figure",
    "fields_figure",
    "filters_figure",
    "landscapes_figure",
    "layer_figure",
    "learning_figure",
    "neighbours_figure",
    "occlusion_figure",
    "randomisation_curves",
    "randomisation_pictures",
    "roofline_figure",
    "save",
    "scale_figure",
    "selectivity_figure",
    "sigmoid",
    "study_figure",
    "symmetric",
    "thumbnail",
    "trajectory_figure",
    "unit_map_figure",
    "units_figure",
]

"""Figures: arrays in, pictures out. The only place that knows matplotlib."""

from matplotlib.figure import Figure

from minicnn.figures.display import DISPLAYS, Display, display_named, sigmoid, symmetric
from minicnn.figures.panels import comparison_figure, family_figure, selectivity_figure
from minicnn.figures.roofline import bars_figure, roofline_figure
from minicnn.figures.save import check_format, save

__all__ = [
    "DISPLAYS",
    "Display",
    "Figure",
    "bars_figure",
    "check_format",
    "comparison_figure",
    "display_named",
    "family_figure",
    "roofline_figure",
    "save",
    "selectivity_figure",
    "sigmoid",
    "symmetric",
]

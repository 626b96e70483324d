"""Which pixels decided: pictures that backward rules send down to the image."""

from minicnn.attribution.comparison import Comparison, Picture, compare, reported_rules, top_classes
from minicnn.attribution.selectivity import Selectivity, selectivity

__all__ = [
    "Comparison",
    "Picture",
    "Selectivity",
    "compare",
    "reported_rules",
    "selectivity",
    "top_classes",
]

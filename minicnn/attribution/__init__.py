"""Which pixels decided: pictures that backward rules send down to the image."""

from minicnn.attribution.cam import GradCAM, GuidedGradCAM
from minicnn.attribution.comparison import Comparison, Picture, compare, reported_rules, top_classes
from minicnn.attribution.composites import Composite, find_composite
from minicnn.attribution.conservation import Conservation, conservation
from minicnn.attribution.excitation import ExcitationBackprop
from minicnn.attribution.explanation import Explained, Explanation, explain
from minicnn.attribution.forgetting import randomised, weight_layers
from minicnn.attribution.gradients import (
    DeConvNet,
    DeSaliNet,
    GradientTimesInput,
    GuidedBackprop,
    RuleAttribution,
    Saliency,
)
from minicnn.attribution.integrated import CompletenessWarning, IntegratedGradients
from minicnn.attribution.method import Attribution
from minicnn.attribution.methods import METHODS
from minicnn.attribution.occlusion import Occluded, Occlusion, occlude
from minicnn.attribution.rectified import RectGrad
from minicnn.attribution.reduction import reduce
from minicnn.attribution.relevance import LRP, Relevance
from minicnn.attribution.rise import RISE
from minicnn.attribution.sanity import Randomisation, randomisation
from minicnn.attribution.selectivity import Selectivity, selectivity
from minicnn.attribution.smooth import SmoothGrad
from minicnn.attribution.watching import Watch, watch

__all__ = [
    "LRP",
    "METHODS",
    "RISE",
    "Attribution",
    "Comparison",
    "CompletenessWarning",
    "Composite",
    "Conservation",
    "DeConvNet",
    "DeSaliNet",
    "ExcitationBackprop",
    "Explained",
    "Explanation",
    "GradCAM",
    "GradientTimesInput",
    "GuidedBackprop",
    "GuidedGradCAM",
    "IntegratedGradients",
    "Occluded",
    "Occlusion",
    "Picture",
    "Randomisation",
    "RectGrad",
    "Relevance",
    "RuleAttribution",
    "Saliency",
    "Selectivity",
    "SmoothGrad",
    "Watch",
    "compare",
    "conservation",
    "explain",
    "find_composite",
    "occlude",
    "randomisation",
    "randomised",
    "reduce",
    "reported_rules",
    "selectivity",
    "top_classes",
    "watch",
    "weight_layers",
]

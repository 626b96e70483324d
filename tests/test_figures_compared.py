"""A few figures against pictures of them that somebody has looked at.

    python tests/test_figures_compared.py          draws the pictures anew; look at them

Text is left out, since fonts differ between machines, and the structural similarity of scikit-image
is compared, not pixels: drawing libraries and processors round differently.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

import minicnn
from minicnn import figures, look
from minicnn.attribution import LRP, explain, occlude
from minicnn.attribution.conservation import conservation
from minicnn.attribution.methods import method
from minicnn.attribution.sanity import randomisation
from minicnn.data import Images, bundled_digits
from minicnn.figures.panels import support_box

PICTURES = Path(__file__).parent / "pictures"
SIMILAR = 0.97


def opened(name="digit_7"):
    net = minicnn.load("mnist")
    return net, minicnn.data.photo(name, net.preprocess), minicnn.data.picture(name, net.preprocess)


def draw_filters():
    return figures.filters_figure(look.filters(opened()[0]), "filters")


def draw_activations():
    net, x, photo = opened()
    return figures.activations_figure(photo, x, look.activations(net, x, 4, 6), "activations")


def draw_units():
    net, images = opened()[0], Images(bundled_digits())
    best = look.strongest(net, "relu3", images, k=4)
    return figures.units_figure({3: look.unit_patches(net, "relu3", 3, best, images)}, "units")


def draw_explain(names=("saliency", "ig", "gradcam", "lrp-epsilon-plus")):
    net, x, photo = opened()
    found = explain(net, x, {name: method(name, net) for name in names}, 7)
    return figures.explain_figure(photo, found, "explain")


def draw_occlusion():
    net, x, photo = opened()
    return figures.occlusion_figure(photo, occlude(net, x, 6, 2), 7, net.labels, "occlusion")


def draw_conservation():
    net, x, _ = opened()
    found = [conservation(LRP(net, name), x, 7) for name in ("epsilon", "flat")]
    return figures.conservation_figure(found, "conservation")


def draw_sanity():
    net, x, _ = opened()
    found = [randomisation(net, x, partial(method, name), 7) for name in ("saliency", "guided")]
    return figures.randomisation_curves(found, "sanity")


DRAWN = {
    name.removeprefix("draw_"): function
    for name, function in list(globals().items())
    if name.startswith("draw_")
}


def pixels(figure):
    """A figure without its text, small: (H, W), grey, 0..255."""
    for text in figure.findobj(Text):
        text.set_alpha(0)
    figure.set_dpi(40)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("L"))


def similarity(name, figure):
    from skimage.metrics import structural_similarity

    kept = np.asarray(Image.open(PICTURES / f"{name}.png").convert("L"))
    found = np.asarray(Image.fromarray(pixels(figure)).resize(kept.shape[::-1]))
    return structural_similarity(kept, found)


@pytest.mark.parametrize("name", DRAWN)
def test_figures_look_as_they_did(name):
    assert similarity(name, DRAWN[name]()) > SIMILAR


def test_another_figure_is_told_apart():
    other = draw_explain(("gradcam", "saliency", "lrp-flat", "ig"))
    assert similarity("explain", other) < SIMILAR


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for name, function in DRAWN.items():
        Image.fromarray(pixels(function())).save(PICTURES / f"{name}.png", optimize=True)
        print(PICTURES / f"{name}.png")


def test_the_box_leaves_rounding_out():
    values = np.full((1, 20, 20), 1e-8, np.float32)
    values[:, 6:9, 10:13] = 0.4
    assert support_box([values]) == (6, 10, 9, 13)

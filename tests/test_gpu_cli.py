"""Commands with --device: what a card computes is what the CPU computes."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from minicnn import data
from minicnn.cli.app import app


def run(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def arrays(path):
    with np.load(path) as saved:
        return {name: saved[name] for name in saved}


COMMANDS = {
    "compare": ["compare", "mnist", "digit_7", "--rules", "all"],
    "selectivity": ["compare", "mnist", "digit_7", "--layer", "pool1", "--selectivity"],
    "explain": ["explain", "mnist", "digit_7", "--methods", "saliency,ig,guided"],
    "explain lrp": ["explain", "mnist", "digit_4", "--methods", "lrp-flat"],
    "occlude": ["occlude", "mnist", "digit_7", "--patch", "7", "--stride", "7"],
    "sanity": ["sanity", "mnist", "digit_7", "--methods", "saliency,deconvnet"],
    "activations": ["look", "activations", "mnist", "digit_7"],
    "filters": ["look", "filters", "mnist"],
    "unit": ["look", "unit", "mnist", "conv2:3", "IMAGES", "--best", "3"],
    "dead": ["look", "dead", "mnist", "IMAGES"],
    "embed": ["look", "embed", "mnist", "IMAGES", "--method", "pca"],
    "neighbours": ["look", "neighbours", "mnist", "digit_7", "IMAGES"],
    "fields": ["look", "fields", "mnist", "--layer", "conv2", "--effective", "noise"],
    "landscape": ["landscape", "mnist", "--data", "IMAGES", "--x=-1:1:3", "--y=0:1:2",
                  "--samples", "8"],
}  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of folders, one a digit, with images of 28 x 28 pixels."""
    folder, digits = tmp_path_factory.mktemp("digits"), data.read("digits")
    for i, (image, label) in enumerate(zip(digits.images[:20], digits.labels[:20])):
        whole = Image.fromarray(image[0].astype(np.uint8)).resize((28, 28))
        (folder / str(label)).mkdir(exist_ok=True)
        whole.save(folder / str(label) / f"{i:02}.png")
    return folder


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_card_gives_what_the_cpu_gives(cupy, tmp_path, images, words):
    found, words = [], [images if word == "IMAGES" else word for word in words]
    for device in ("cpu", "cuda:0"):
        out, save = tmp_path / f"{device[:3]}.png", tmp_path / f"{device[:3]}.npz"
        run(*words, "--out", out, "--save", save, "--device", device)
        assert out.stat().st_size > 0
        found.append(arrays(save))
    host, card = found
    assert host.keys() == card.keys()
    for name, array in host.items():
        if array.dtype.kind == "f":
            scale = np.abs(array).max(initial=1e-9)
            if "rank" not in name:  # ranks of nearly equal numbers turn with their last bits
                np.testing.assert_allclose(card[name], array, atol=1e-2 * scale, err_msg=name)
        elif name != "checkpoint":  # whose key names the kind of device
            np.testing.assert_array_equal(card[name], array, err_msg=name)

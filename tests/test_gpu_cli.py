"""Commands with --device: what a card computes is what the CPU computes."""

import numpy as np
import pytest
from typer.testing import CliRunner

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
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_card_gives_what_the_cpu_gives(cupy, tmp_path, words):
    found = []
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
        else:
            np.testing.assert_array_equal(card[name], array)

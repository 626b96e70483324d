"""`minicnn occlude`: what it prints and writes, and what it refuses."""

import pytest
from test_cli import folder, look, maps, typed  # noqa: F401  (the fixture)
from typer.testing import CliRunner

import minicnn
from minicnn.cli.app import app


def refused(*words):
    """The error of a command line that must fail, with nothing written."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code != 0
    return str(result.exception or result.output)


@pytest.mark.usefixtures("folder")
def test_the_bundled_network_is_covered_patch_by_patch(tmp_path):
    text = typed("occlude", "mnist", "digit_7", "--watch", "pool1:7", "--watch", "pool2",
                 "--patch", 7, "--stride", 7, "--save", "arrays.npz")  # fmt: skip
    assert "top label 7" in text
    assert "probability of 7" in text
    assert "pool1:7 max" in text
    look(tmp_path / "mnist_digit_7_occlusion.png")
    arrays = maps(tmp_path / "arrays.npz")
    assert arrays["scores"].shape == (4, 4, 10)
    assert arrays["probability"].shape == arrays["watched pool1:7 max"].shape == (4, 4)
    assert not list(tmp_path.glob("*.part.npz"))


@pytest.mark.usefixtures("folder")
def test_a_network_without_classes_needs_something_to_watch(tmp_path):
    assert "Name what to watch" in refused("occlude", "map.onnx", "photo.png")
    layer = minicnn.load(tmp_path / "map.onnx").layers[-1]
    text = typed("occlude", "map.onnx", "photo.png", "--watch", layer, "--how", "sum",
                 "--patch", 8, "--out", "map.pdf")  # fmt: skip
    assert f"{layer} sum" in text
    assert (tmp_path / "map.pdf").stat().st_size > 1000


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--patch", 40), "larger than the photo"),
        (("--fill", "pink"), "no fill 'pink'"),
        (("--fill", "0.1,0.2"), "one for each of 1"),
        (("--target", "99"), "does not exist"),
        (("--target", "seven"), "no class 'seven'"),
        (("--watch", "nowhere:3"), "no layer"),
        (("--watch", "pool1:64"), "units of shape"),
        (("--watch", "pool1", "--how", "mean"), "'max' or the 'sum'"),
        (("--out", "x.txt"), "not a kind of picture"),
        (("--save", "x.csv"), "must end in .npz"),
        (("--device", "gpu"), "is no device"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(tmp_path, words, reason):
    before = sorted(tmp_path.iterdir())
    assert reason in refused("occlude", "mnist", "digit_7", *words)
    assert sorted(tmp_path.iterdir()) == before

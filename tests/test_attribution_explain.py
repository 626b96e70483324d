"""`minicnn explain` and its figure: what it prints, draws, writes and refuses."""

import numpy as np
import pytest
from conftest import shared
from onnx_graphs import noise, small_classifier, small_map_network, written
from PIL import Image
from typer.testing import CliRunner

import minicnn
from minicnn import attribution as A
from minicnn import figures
from minicnn.attribution.explanation import explain, target_label
from minicnn.attribution.methods import method
from minicnn.cli import main
from minicnn.cli.app import app
from minicnn.errors import InputError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder with a photo, and networks to use on it."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    Image.fromarray(pixels).save("photo.png")
    written(small_classifier(), tmp_path, "plain.onnx")
    written(small_map_network(), tmp_path, "map.onnx")
    return tmp_path


def typed(*words):
    result = CliRunner().invoke(app, ["explain", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(monkeypatch, capsys, *words):
    """The one paragraph of an error."""
    monkeypatch.setattr("sys.argv", ["minicnn", "explain", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def size_of(path):
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), np.float32)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
    return pixels.shape


# In Python


def test_explain_gives_what_the_methods_give():
    net = minicnn.load("mnist")
    x = minicnn.data.photo("digit_7", net.preprocess)
    made = {name: method(name, net) for name in ("saliency", "ig")}
    found = explain(net, x, made, "predicted")
    assert found.label == "class 7"
    assert found.index == (7,)
    assert found.score == pytest.approx(net.cut(outputs="scores")(x)[0, 7])
    for name, one in found.explanations.items():
        values = made[name].attribute(x, 7)
        np.testing.assert_array_equal(one.values, values)
        np.testing.assert_array_equal(one.map, A.reduce(values, made[name].reduction)[0])
        assert one.sum == pytest.approx(values.sum(dtype=float))
    assert found.explanations["saliency"].gap is None
    assert found.explanations["ig"].gap < 0.01
    summed = explain(net, x, made, 7, reduction="norm").explanations["saliency"]
    assert summed.reduction == "norm"


def test_explain_takes_one_photo_and_one_value():
    net = minicnn.load("mnist")
    x = minicnn.data.photo("digit_7", net.preprocess)
    with pytest.raises(InputError, match="one photo"):
        explain(net, np.concatenate([x, x]), {"a": A.Saliency(net)})
    with pytest.raises(InputError, match="one value"):
        explain(net, x, {"a": A.Saliency(net), "b": A.Saliency(net, at="relu3")})
    with pytest.raises(InputError, match="one value"):
        explain(net, x, {})


def test_targets_as_people_call_them():
    net = minicnn.load("mnist")
    assert target_label(net, "scores", (3,)) == "class 3"
    named = net.derived(labels=["zero", *"123456789"])
    assert target_label(named, "scores", (0,)) == "class 0: zero"
    assert target_label(net, "relu3", (1, 2, 3)) == "relu3 unit 1,2,3"


def test_the_figure_folds_many_methods_and_stacks_targets():
    net = minicnn.load("mnist")
    x = minicnn.data.photo("digit_7", net.preprocess)
    photo = minicnn.data.picture("digit_7", net.preprocess)
    made = {name: method(name, net) for name in ("saliency", "gradxinput", "guided", "gradcam")}
    rows = [explain(net, x, made, target) for target in (7, 2)]
    drawn = figures.explain_figure(photo, rows, "two targets")
    named = [axis.get_title() for axis in drawn.axes if axis.get_title()]
    titles = ["photo", "saliency", "gradient x input", "guided backprop", "Grad-CAM"]
    assert named == titles * 2
    many = {f"{name}{i}": one for i in range(2) for name, one in made.items()}
    folded = figures.explain_figure(photo, explain(net, x, many, 7), "many", overlay=True)
    width, height = folded.get_size_inches()
    assert width < 5 * 3.6
    assert height > 2 * 2.7
    with pytest.raises(InputError, match="2 photos for 1"):
        figures.explain_figure([photo, photo], rows[:1], "")


def test_scales_end_at_the_99th_percentile_and_show_both_signs():
    values = np.zeros((1, 1, 20, 20), np.float32)
    values[0, 0, 0] = np.linspace(-1, 1, 20)
    values[0, 0, 1, 0] = 100.0
    one = A.Explanation("mine", values, values[0, 0], "sum", 0.0)
    drawn = figures.explain_figure(
        np.zeros((20, 20, 3)), A.Explained("class 1", (1,), 2.0, {"mine": one}), "title"
    )
    image = drawn.axes[1].images[0]
    top = np.quantile(np.abs(values), 0.99)
    assert image.get_clim() == pytest.approx((-top, top))
    positive = A.Explanation("mine", values, np.abs(values[0, 0]), "max_abs", 0.0)
    drawn = figures.explain_figure(
        np.zeros((20, 20, 3)), A.Explained("class 1", (1,), 2.0, {"mine": positive}), "title"
    )
    assert drawn.axes[1].images[0].get_clim() == pytest.approx((0, top))


# The command


def test_the_command_draws_prints_and_saves(folder):
    methods = "saliency,gradxinput,ig,smoothgrad,guided,gradcam,guided-gradcam,TFF"
    output = typed("plain.onnx", "photo.png", "--methods", methods, "--samples", 3, "--steps", 8,
                   "--target", 2, "--save", "maps.npz")  # fmt: skip
    height, width, _ = size_of("plain_photo_explain.png")
    assert width > height
    assert "target: class 2, score" in output
    assert "completeness gap" in output
    net = minicnn.load("plain.onnx")
    x = minicnn.data.photo("photo.png", net.preprocess)
    with np.load("maps.npz") as saved:
        assert set(saved.files) == {*methods.split(","), "image", "target", "score"}
        np.testing.assert_array_equal(saved["image"], x)
        np.testing.assert_array_equal(saved["saliency"], A.Saliency(net).attribute(x, 2))
        np.testing.assert_array_equal(
            saved["smoothgrad"], A.SmoothGrad(net, samples=3).attribute(x, 2)
        )
        sums = {name: saved[name].sum(dtype=float) for name in methods.split(",")}
        sums["gradcam"] /= 3  # its channels are alike: one counts
    lines = {line.split()[0]: line.split() for line in output.splitlines() if line.split()}
    for name, total in sums.items():
        assert float(lines[name][1]) == pytest.approx(total, rel=2e-3)


def test_several_photos_and_targets_are_rows(folder):
    output = typed("mnist", "digit_7", "digit_4", "--target", "predicted", "--target", "3",
                   "--methods", "saliency,gradcam", "--out", "rows.pdf",
                   "--save", "rows.npz")  # fmt: skip
    assert [line.split(",")[0] for line in output.splitlines() if line.startswith("target")] == [
        "target: class 7", "target: class 3", "target: class 4", "target: class 3",
    ]  # fmt: skip
    assert (folder / "rows.pdf").stat().st_size > 1000
    with np.load("rows.npz") as saved:
        assert saved["3.target"].tolist() == [4]
        assert saved["4.gradcam"].shape == (1, 1, 28, 28)


def test_units_of_a_layer(folder):
    output = typed("map.onnx", "photo.png", "--at", "relu1", "--target", "2,5,6", "--methods",
                   "desalinet,deconvnet", "--overlay")  # fmt: skip
    assert "target: relu1 unit 2,5,6" in output
    assert ("silent" in output) == ("score 0" in output)
    size_of("map_photo_explain.png")


def test_the_same_seed_gives_the_same_arrays(folder):
    for out in "ab":
        typed("mnist", "digit_2", "--methods", "smoothgrad", "--samples", 2, "--seed", 3,
              "--save", f"{out}.npz")  # fmt: skip
    with np.load("a.npz") as a, np.load("b.npz") as b:
        np.testing.assert_array_equal(a["smoothgrad"], b["smoothgrad"])


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["--methods", "salience"], "Did you mean saliency"),
        (["--methods", ","], "No method is named"),
        (["--methods", "saliency", "--steps", "5"], "--steps belongs to ig"),
        (["--methods", "ig", "--layer", "conv1"], "--layer belongs to gradcam"),
        (["--methods", "gradcam", "--layer", "conv9"], "no layer 'conv9'"),
        (["--methods", "gradcam", "--layer", "scores"], "such as relu2"),
        (["--methods", "ig", "--baseline", "pink"], "no baseline 'pink'"),
        (["--methods", "ig", "--steps", "0"], "steps=0"),
        (["--methods", "smoothgrad", "--samples", "0"], "samples=0"),
        (["--target", "99"], "Target 99 does not exist"),
        (["--target", "cat"], "no class 'cat'"),
        (["--at", "conv9"], "no layer 'conv9'"),
        (["--reduction", "maxabs"], "no reduction 'maxabs'"),
        (["--device", "tpu"], "cpu"),
        (["--out", "x.gif2"], "not a kind of picture"),
        (["--save", "x.txt"], "must end in .npz"),
        (["missing.png"], "no file"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    folder, monkeypatch, capsys, words, needed
):
    before = sorted(path.name for path in folder.iterdir())
    assert needed in refused(monkeypatch, capsys, "plain.onnx", "photo.png", *words)
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.filterwarnings("default::minicnn.attribution.CompletenessWarning")
def test_a_missed_tolerance_is_noted(folder, monkeypatch, capsys):
    words = ["minicnn", "explain", "plain.onnx", "photo.png", "--methods", "ig"]
    monkeypatch.setattr("sys.argv", [*words, "--tolerance", "1e-12", "--steps", "900"])
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code
    assert "Note: Integrated gradients missed the tolerance" in capsys.readouterr().err


@pytest.mark.slow
def test_a_class_by_its_name_on_a_real_network(folder):
    output = typed(shared("models/squeezenet1.1.onnx"), shared("photos/cat_dog.png"), "--target",
                   "tabby", "--methods", "saliency,gradcam")  # fmt: skip
    assert "target: class 281: tabby, score" in output
    size_of("squeezenet1.1_cat_dog_explain.png")


def test_noise_does_not_reach_into_the_other_rows(folder):
    """What a photo gets does not depend on which others stand beside it."""
    net = minicnn.load("plain.onnx")
    x = noise(2, 3, 16, 16)
    smooth = A.SmoothGrad(net, samples=3)
    np.testing.assert_array_equal(smooth.attribute(x)[1:], smooth.attribute(x[1:]))

"""The command line: what it prints, what it writes, on small networks and on the bundled one.

Bad options and files are in test_bad_input.py.
"""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from onnx_graphs import graph, node, noise, small_classifier, small_map_network, written
from PIL import Image
from typer.testing import CliRunner

import minicnn
from minicnn import rules, seeds
from minicnn.cli.app import app, keeping
from minicnn.data import bundled_digits, bundled_model, photo

ROOT = Path(__file__).resolve().parents[1]
FAMILY = {"DeSaliNet", "TFT", "FFT", "DeConvNet", "SaliNet", "TFF", "FFF", "FTF"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder with a photo, and networks to use on it."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    Image.fromarray(pixels).save("photo.png")
    written(small_classifier(), tmp_path, "plain.onnx")
    written(small_classifier(lrn=True), tmp_path, "lrn.onnx")
    written(small_map_network(), tmp_path, "map.onnx")
    return tmp_path


def typed(*words):
    """What a command line prints; it must succeed."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def look(path):
    """The pixels of a picture that was written: not tiny, not of one colour."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), np.float32)
    assert min(pixels.shape[:2]) > 200
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
    assert pixels.std() > 10
    return pixels


def maps(path):
    with np.load(path) as file:
        return dict(file)


# Help


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["--help"], ["compare", "trace", "demo"]),
        (["-h"], ["compare", "trace", "demo"]),
        (["compare", "--help"], ["--rules", "--unit", "--layer", "--selectivity", "--save"]),
        (["trace", "--help"], ["--rule", "--layer", "--unit"]),
        (["demo", "--help"], ["--out"]),
        (["--version"], [minicnn.__version__]),
    ],
)
def test_help_names_what_there_is(words, needed):
    output = typed(*words)
    for word in needed:
        assert word in output


def test_without_arguments_the_help_is_shown():
    assert "compare" in CliRunner().invoke(app, []).output


# Compare


def test_compare_writes_three_pictures_of_the_winning_class(folder):
    output = typed("compare", "plain.onnx", "photo.png")
    look("plain_photo.png")
    for name in ("SaliNet", "DeConvNet", "DeSaliNet"):
        assert name in output
    network = minicnn.load("plain.onnx")
    scores = network.cut(outputs="scores")(photo("photo.png", network.preprocess))[0]
    assert f"top signal: class {scores.argmax()}" in output


def test_compare_prints_the_strongest_classes_as_percentages(folder):
    output = typed("compare", "plain.onnx", "photo.png")
    network = minicnn.load("plain.onnx")
    shares = network(photo("photo.png", network.preprocess))[0]
    printed = re.findall(r"(\d+\.\d\d)%\s+class (\d+)", output)
    assert [int(number) for _, number in printed] == np.argsort(-shares).tolist()
    for share, number in printed:
        assert float(share) == pytest.approx(100 * shares[int(number)], abs=0.011)


def test_compare_says_that_preprocessing_was_assumed(folder):
    assert "--preprocess" in typed("compare", "plain.onnx", "photo.png")
    assert "assumed" not in typed("compare", "plain.onnx", "photo.png", "--preprocess", "imagenet")


def test_preprocess_changes_what_the_network_sees(folder):
    seen = []
    for name in ("imagenet", "caffe"):
        typed("compare", "map.onnx", "photo.png", "--save", "m.npz", "--preprocess", name)
        seen.append(maps("m.npz")["image"])
        assert seen[-1].shape == (1, 3, 16, 16)  # the size that the network needs
    assert np.abs(seen[0]).max() < 3
    assert np.abs(seen[1]).max() > 50


def test_the_table_shows_the_numbers_of_the_maps(folder):
    output = typed("compare", "plain.onnx", "photo.png", "--rules", "ttff,ftt", "--save", "m.npz")
    saved = maps("m.npz")
    assert set(saved) == {"image", "seed", "seed_at", "SaliNet", "DeConvNet"}
    for name in ("SaliNet", "DeConvNet"):
        row = next(line for line in output.splitlines() if line.startswith(name))
        assert f"{saved[name].min():.3g}" in row
        assert f"{saved[name].max():.3g}" in row
        assert f"{(saved[name] > 0).mean():.1%}" in row


def test_saved_maps_are_what_the_tape_gives(folder):
    typed(
        "compare", "lrn.onnx", "photo.png", "--layer", "conv2", "--unit", "2,1,3", "--save", "m.npz"
    )
    saved = maps("m.npz")
    network = minicnn.load("lrn.onnx")
    x = photo("photo.png", network.preprocess)
    np.testing.assert_array_equal(saved["image"], x)
    tape = network.record(x)
    seed = seeds.unit(tape, "conv2", (2, 1, 3))
    np.testing.assert_array_equal(saved["seed"], seed.p)
    assert str(saved["seed_at"]) == "conv2"
    for name in ("SaliNet", "DeConvNet", "DeSaliNet"):
        assert saved[name].shape == (3, 16, 16)
        np.testing.assert_allclose(saved[name], tape.backward(seed, name)[0], atol=1e-6)


def test_all_rules_are_eight_without_lrn_and_sixteen_with_it(folder):
    typed("compare", "plain.onnx", "photo.png", "--rules", "all", "--save", "a.npz")
    small = look("plain_photo_all.png")
    typed("compare", "lrn.onnx", "photo.png", "--rules", "ALL", "--save", "b.npz")
    large = look("lrn_photo_ALL.png")
    assert set(maps("a.npz")) - {"image", "seed", "seed_at"} == FAMILY
    names = {rules.find(code).name for code in rules.family_codes(True)}
    assert len(names) == 16
    assert set(maps("b.npz")) - {"image", "seed", "seed_at"} == names
    assert large.shape[0] > 1.7 * small.shape[0]
    assert large.shape[1] == small.shape[1]


def test_rules_go_by_code_name_and_alias_without_doubles(folder):
    words = ["--rules", " guided_backprop, ttt,FFF ,gradient", "--save", "m.npz"]
    typed("compare", "plain.onnx", "photo.png", *words)
    assert list(maps("m.npz"))[3:] == ["DeSaliNet", "FFF", "SaliNet"]


def test_unit_is_a_class_where_no_layer_is_given(folder):
    network = minicnn.load("plain.onnx")
    winner = network(photo("photo.png", network.preprocess)).argmax()
    other = (int(winner) + 1) % 5
    output = typed("compare", "plain.onnx", "photo.png", "--unit", other, "--save", "m.npz")
    assert f"top signal: class {other}" in output
    saved = maps("m.npz")
    assert str(saved["seed_at"]) == "scores"
    np.testing.assert_array_equal(saved["seed"], np.eye(5)[[other]])


def test_unit_is_a_channels_strongest_place_where_a_layer_is_given(folder):
    words = ["--layer", "relu2", "--unit", "4", "--save", "m.npz"]
    typed("compare", "plain.onnx", "photo.png", *words)
    seed = maps("m.npz")["seed"]
    network = minicnn.load("plain.onnx")
    plane = network.cut(outputs="relu2")(photo("photo.png", network.preprocess))[0, 4]
    assert seed.sum() == 1
    assert seed[0, 4].argmax() == plane.argmax()


def test_unit_max_is_the_strongest_of_the_layer(folder):
    typed("compare", "plain.onnx", "photo.png", "--layer", "conv1", "--save", "m.npz")
    network = minicnn.load("plain.onnx")
    value = network.cut(outputs="conv1")(photo("photo.png", network.preprocess))
    assert maps("m.npz")["seed"].argmax() == value.argmax()


def test_a_network_without_classes_starts_at_a_unit(folder):
    output = typed("compare", "map.onnx", "photo.png")
    assert "top signal: relu1 unit" in output
    assert "%  " not in output.split("top signal")[0]
    look("map_photo.png")


def test_a_labelled_network_prints_its_labels(folder):
    labelled = small_classifier()
    entry = labelled.metadata_props.add()
    entry.key, entry.value = "minicnn.labels", '["ant", "bee", "cat", "dog", "elk [x]"]'
    written(labelled, folder, "labelled.onnx")
    output = typed("compare", "labelled.onnx", "photo.png", "--unit", "4")
    for label in ("ant", "bee", "cat", "dog", "elk [x]"):
        assert label in output


def test_display_changes_the_picture_and_not_the_maps(folder):
    pictures, saved = [], []
    for display in ("sigmoid", "symmetric"):
        typed("compare", "plain.onnx", "photo.png", "--display", display, "--out", "a.png",
              "--save", "m.npz")  # fmt: skip
        pictures.append(look("a.png"))
        saved.append(maps("m.npz")["DeConvNet"])
    assert np.abs(pictures[0] - pictures[1]).max() > 10
    np.testing.assert_array_equal(*saved)


def test_selectivity_prints_correlations_and_saves_three_maps_a_rule(folder):
    words = ["--selectivity", "--layer", "conv2", "--rules", "salinet,deconvnet"]
    output = typed("compare", "plain.onnx", "photo.png", *words, "--save", "m.npz")
    look("plain_photo_conv2_selectivity.png")
    saved = maps("m.npz")
    for rule in ("SaliNet", "DeConvNet"):
        a, b = (saved[f"{rule} {name}"].ravel() for name in ("max", "random"))
        row = next(line for line in output.splitlines() if line.startswith(rule))
        assert f"{np.corrcoef(a, b)[0, 1]:.3f}" in row
        assert saved[f"{rule} noise"].any()


def test_selectivity_is_the_same_for_the_same_seed_and_another_for_another(folder):
    noises = []
    for seed in (1, 1, 2):
        typed("compare", "plain.onnx", "photo.png", "--selectivity", "--layer", "conv2", "--seed",
              seed, "--save", "m.npz")  # fmt: skip
        noises.append(maps("m.npz")["SaliNet noise"])
    np.testing.assert_array_equal(noises[0], noises[1])
    assert (noises[1] != noises[2]).any()


def test_paths_are_printed_whole_so_that_they_can_be_copied(folder):
    deep = folder / ("a_long_folder_name_" * 4) / "[red] pictures"
    deep.mkdir(parents=True)
    words = ["--out", deep / "out.png", "--save", deep / "maps.npz"]
    output = typed("compare", "plain.onnx", "photo.png", *words)
    assert str(deep / "out.png") in output
    assert str(deep / "maps.npz") in output


def test_a_picture_may_be_a_pdf(folder):
    typed("compare", "plain.onnx", "photo.png", "--out", "a.pdf")
    assert Path("a.pdf").read_bytes().startswith(b"%PDF")


# Trace


def test_trace_shows_every_block_and_its_transpose(folder):
    output = typed("trace", "lrn.onnx", "photo.png", "--rule", "desalinet")
    assert "back: DeSaliNet" in output
    lines = output.splitlines()
    for name in minicnn.load("lrn.onnx").layers[:-1]:
        row = next(line for line in lines if re.match(rf"{name}\s", line))
        assert "|" in row
    total = next(line for line in lines if line.startswith("total"))
    assert "10 blocks" in total


def test_trace_without_a_photo_uses_seeded_noise(folder):
    first, second = (typed("trace", "plain.onnx") for _ in range(2))
    assert "noise, seed 0" in first
    without_times = [
        re.sub(r"\d+\.\d\d\b|-{2,}| +", " ", text) for text in (first, second)
    ]  # a slow moment makes their column wider
    without_times = [" ".join(text.split()) for text in without_times]
    assert without_times[0] == without_times[1]


def test_trace_takes_a_layer_and_a_unit(folder):
    output = typed("trace", "plain.onnx", "photo.png", "--layer", "conv1", "--unit", "2,3,4")
    assert "conv1 unit 2,3,4" in output


def test_trace_of_the_whole_network_starts_at_the_winning_class(folder):
    network = minicnn.load("plain.onnx")
    scores = network.cut(outputs="scores")(photo("photo.png", network.preprocess))[0]
    assert f"class {scores.argmax()}" in typed("trace", "plain.onnx", "photo.png")


def test_trace_shows_the_shape_parameters_and_bits_by_hand(folder):
    row = next(
        line.split()
        for line in typed("trace", "plain.onnx").splitlines()
        if line.startswith("relu1")
    )
    assert row[1] == "ReLU"
    assert "4x16x16" in row[2]
    assert "256" in row  # 16 x 16 pixels, 4 bits in a byte each


def test_trace_reads_a_network_with_open_sides(folder):
    model = graph(
        [node("Conv", ["x", "w"], ["y"])], {"x": ("N", 3, None, None)}, {"w": noise(2, 3, 3, 3)}
    )
    written(model, folder, "open.onnx")
    assert "2x222x222" in typed("trace", "open.onnx")


# The bundled network


def test_the_bundled_network_knows_its_digits():
    network = minicnn.load(bundled_model())
    digits = bundled_digits()
    assert [path.stem for path in digits] == [f"digit_{n}" for n in (0, 2, 4, 7, 8)]
    for path in digits:
        odds = network(photo(path, network.preprocess))[0]
        assert odds.argmax() == int(path.stem[-1])
        assert odds.sum() == pytest.approx(1, abs=1e-5)


def test_the_bundled_network_says_how_photos_become_inputs():
    network = minicnn.load(bundled_model())
    assert network.metadata["minicnn.preprocess.source"] == "file"
    assert network.layers == [
        *("conv1", "relu1", "conv2", "relu2", "pool1"),
        *("conv3", "relu3", "conv4", "relu4", "pool2"),
        *("flat", "scores", "probabilities"),
    ]


def test_demo_writes_a_picture_and_says_what_to_type_next(folder):
    output = typed("demo")
    look("minicnn-demo.png")
    assert str(folder / "minicnn-demo.png") in output
    assert re.search(r"\d+\.\d\d%\s+cat", output)


def test_what_the_demo_tells_to_type_works(folder):
    commands = re.findall(r"^ +minicnn (.*(?:cifar|mnist).*)$", typed("demo"), re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        assert typed(*command.split())


def test_a_folder_of_that_name_does_not_hide_what_is_bundled(folder):
    (folder / "mnist").mkdir()
    assert "class 7" in typed("compare", "mnist", "digit_7")
    (folder / "cifar10").mkdir()
    assert "cat" in typed("demo")


def test_the_next_commands_can_be_typed_as_they_are_called(monkeypatch):
    from minicnn.cli import app

    monkeypatch.setattr("sys.argv", [".venv/bin/minicnn", "demo"])
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert app.program() == ".venv/bin/minicnn"
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/minicnn")
    assert app.program() == "minicnn"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--selectivity", "--unit", "3"], "leave --unit out"),
        (["--seed", "3"], "--selectivity"),
        (["--save", "maps.txt"], ".npz"),
        (["--out", "x.npz"], ".npz is not a kind of picture"),
        (["--rules", "salinet,all"], "stands alone"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(folder, words, said):
    done = in_process("compare", "plain.onnx", "photo.png", *words, cwd=folder)
    assert done.returncode == 2
    assert said in done.stderr
    assert not list(folder.glob("plain_*"))


def test_debug_may_stand_anywhere(folder):
    done = in_process("compare", "none.onnx", "photo.png", "--debug", cwd=folder)
    assert "Traceback" in done.stderr


def test_compare_runs_forward_once(folder, monkeypatch):
    runs = []
    record = minicnn.Network.record
    monkeypatch.setattr(
        minicnn.Network, "record", lambda self, *a, **k: runs.append(1) or record(self, *a, **k)
    )
    typed("compare", "plain.onnx", "photo.png", "--layer", "relu2")
    assert len(runs) == 1
    runs.clear()
    typed("trace", "plain.onnx", "photo.png", "--unit", "2")
    assert len(runs) == 1


def test_show_lists_the_layers(folder):
    for name in minicnn.load("plain.onnx").layers:
        assert name in typed("show", "plain.onnx")


def test_bundled_names_give_way_to_files_of_the_same_name(folder):
    written(small_classifier(), folder, "mnist")
    assert "3x16x16" in typed("trace", "mnist")


# In a process of its own


def in_process(*words, cwd):
    return subprocess.run(
        [sys.executable, "-m", "minicnn", *map(str, words)],
        cwd=cwd, capture_output=True, text=True, timeout=120,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(cwd)},
    )  # fmt: skip


def test_the_module_runs_as_a_program(folder):
    done = in_process("compare", "mnist", "digit_7", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    look("mnist_digit_7.png")
    assert "top signal: class 7" in done.stdout


def test_an_error_of_the_program_is_one_line_and_exit_code_2(folder):
    done = in_process("compare", "none.onnx", "photo.png", cwd=folder)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"Error: .*none\.onnx.*\n", done.stderr)


def test_debug_shows_the_traceback(folder):
    done = in_process("--debug", "compare", "none.onnx", "photo.png", cwd=folder)
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "ModelFileError" in done.stderr


def test_a_warning_of_the_program_is_a_note_and_not_an_error(folder):
    future = small_classifier()
    future.opset_import[0].version = 999
    written(future, folder, "future.onnx")
    done = in_process("trace", "future.onnx", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("Note: future.onnx uses opset 999")
    assert "Warning" not in done.stderr


def test_a_known_name_beside_a_file_of_that_name_is_told(folder):
    assert "for the file here" not in typed("show", "mnist")
    minicnn.load(bundled_model()).save("mnist.onnx")
    told = "mnist is a network that minicnn knows; for the file here write mnist.onnx."
    assert told in typed("show", "mnist")
    assert told not in typed("show", "mnist.onnx")


@pytest.mark.parametrize("kept", [True, False])
def test_interrupted_work_says_how_to_go_on(tmp_path, monkeypatch, capsys, kept):
    file = tmp_path / "found.part.npz"
    if kept:
        file.touch()
    monkeypatch.setattr(sys, "argv", ["minicnn", "look", "dead", "mnist", "photos/"])
    with pytest.raises(typer.Exit), keeping(file):
        raise KeyboardInterrupt
    said = "look dead mnist photos/" if kept else "Nothing was kept yet"
    assert said in capsys.readouterr().err

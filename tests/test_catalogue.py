"""The catalogue: names, files recognised by their bytes, adding, and the commands that list them.

No test needs a network; how files are fetched is in `test_fetching`.
"""

import json
import os
import re
from pathlib import Path

import pytest
import small_catalogue
from conftest import shared
from onnx_graphs import small_classifier, small_map_network
from PIL import Image
from small_catalogue import BOXED, FILES, GOOD, TINY, entry, names, put, typed, variant

import minicnn
from minicnn import errors
from minicnn.cli import app as application
from minicnn.cli.app import open_model
from minicnn.cli.demo import deep_layer
from minicnn.data import bundled_model, bundled_path, catalogue
from minicnn.preprocess import Preprocess

folder = small_catalogue.folder


# The facts


def test_each_entry_is_whole():
    entries = catalogue.catalogue()
    assert len(entries) > 60
    assert (
        len({one.name for one in entries}) == len({one.sha256 for one in entries}) == len(entries)
    )
    for one in entries:
        assert re.fullmatch("[0-9a-f]{64}", one.sha256)
        assert one.name == f"{one.family}-{one.opset}"
        how = one.preprocess
        if isinstance(how, Preprocess):
            height, width = one.shape[2:] if how.layout == "NCHW" else one.shape[1:3]
            assert how.crop_size == (height, width)
            assert how.channels == one.shape[how.channel_axis]
        else:
            assert how in minicnn.preprocess.PRESETS
            assert one.shape[1:] == (3, 224, 224)


def test_the_facts_are_those_of_the_zoo():
    zoo = {one["name"]: one for one in json.loads(shared("zoo.json").read_text())}
    for one in catalogue.catalogue():
        facts = zoo[one.name]
        assert (one.sha256, one.bytes, one.opset) == tuple(
            facts[key] for key in ("sha256", "bytes", "opset")
        )
        assert one.input == facts["inputs"][0]["name"]
        assert one.output == facts["outputs"][0]["name"]
        assert list(one.features) == [feature["name"] for feature in facts["features"]]


def test_squeezenet_is_recognised_and_has_what_the_catalogue_says():
    path = shared("models/squeezenet1.1.onnx")
    found = catalogue.find(str(path)).entry
    assert found.name == "squeezenet1.1-7"
    network = minicnn.load(path)
    assert list(network.inputs) == [found.input]
    assert network.inputs[found.input][1:] == found.shape[1:]
    assert list(network.outputs) == [found.output]
    assert found.features[0] in network.layers


# Recognising


def test_a_file_is_recognised_by_its_bytes_whatever_it_is_called(folder):
    path = put(folder, "holiday.bin", FILES["tiny-9"])
    assert catalogue.recognise(path) == TINY["tiny-9"]
    assert catalogue.find("tiny-9") == catalogue.Found(path, TINY["tiny-9"])


def test_a_wrong_name_does_not_deceive(folder):
    put(folder, "tiny-9.onnx", FILES["tiny-7"])  # of the same size
    assert catalogue.located(TINY["tiny-9"]) is None
    assert catalogue.find("tiny").entry == TINY["tiny-7"]


def test_a_file_that_is_still_being_written_is_not_taken(folder):
    put(folder, ".tiny-9.0a1b.onnx", FILES["tiny-9"])
    assert catalogue.located(TINY["tiny-9"]) is None


def test_the_folder_is_the_users_cache_unless_a_variable_says(folder, monkeypatch):
    assert catalogue.folder() == folder
    monkeypatch.delenv("MINICNN_MODELS")
    assert catalogue.folder().parts[-2:] == ("minicnn", "models")


# Names


def test_a_name_without_opset_is_the_newest_there(folder):
    put(folder, "a.onnx", FILES["tiny-7"])
    assert catalogue.find("tiny").entry.name == "tiny-7"
    put(folder, "b.onnx", FILES["tiny-9"])
    assert catalogue.find("tiny").entry.name == "tiny-9"
    assert catalogue.find("Tiny-7").entry.name == "tiny-7"


def test_of_networks_not_there_the_one_that_can_be_fetched_is_meant(folder, monkeypatch):
    fetchable = entry("tiny-7", FILES["tiny-7"], sdist=BOXED)
    newest = TINY["tiny-12"]
    assert catalogue.wanted([newest, fetchable]) == fetchable
    assert catalogue.wanted([newest, TINY["tiny-9"]]) == newest
    assert catalogue.wanted([newest, fetchable], "https://zoo.example") == newest
    assert catalogue.wanted([newest, fetchable], "https://zoo.example/tiny-7.onnx") == fetchable
    monkeypatch.setenv("MINICNN_MODELS_URL", "https://zoo.example")
    assert catalogue.wanted([newest, fetchable]) == newest


def test_files_of_the_working_folder_come_before_names(folder):
    Path("tiny-9").write_bytes(FILES["tiny-7"])
    assert catalogue.find("tiny-9") == catalogue.Found(Path("tiny-9"), TINY["tiny-7"])


def test_bundled_names_and_ones_own_files_are_found(folder):
    own = put(folder, "mine.onnx", small_map_network().SerializeToString())
    assert catalogue.find("mnist").path == bundled_model()
    for name in ("mine", "mine.onnx"):
        assert catalogue.find(name) == catalogue.Found(own)
    assert catalogue.find("elsewhere/mine.onnx").path == Path("elsewhere/mine.onnx")


@pytest.mark.parametrize(
    ("name", "kind", "needed"),
    [
        ("tiny-9", errors.ModelFileError, ["models get tiny-9 --from", "models add"]),
        ("boxed", errors.ModelFileError, ["`minicnn models get boxed-7`", "models add"]),
        ("tinny", errors.UnknownNameError, ["tinny", "Did you mean tiny?", "minicnn models"]),
        ("myne", errors.UnknownNameError, ["mine"]),
    ],
)
def test_what_is_not_there_says_how_to_get_it(folder, name, kind, needed):
    put(folder, "mine.onnx", b"of no use")
    with pytest.raises(kind) as caught:
        catalogue.find(name)
    for words in needed:
        assert words in str(caught.value)


def test_a_path_without_a_file_is_left_to_whoever_opens_it(folder):
    with pytest.raises(errors.ModelFileError, match="no file"):
        open_model("nothing.onnx")


def test_photos_have_names_too():
    assert bundled_path("china").name == "china.jpg"
    with Image.open(bundled_path("flower")) as image:
        assert min(image.size) > 400


# Adding


def test_add_says_which_network_a_file_is(folder):
    Path("download(3).onnx").write_bytes(GOOD)
    output = typed("models", "add", "download(3).onnx")
    assert "tiny-9" in output
    assert (folder / "tiny-9.onnx").read_bytes() == GOOD
    assert "tiny-9" in typed("models", "add", "download(3).onnx")
    assert names(folder) == ["tiny-9.onnx"]


def test_a_network_of_ones_own_is_added_under_its_name(folder):
    Path("mine.onnx").write_bytes(small_map_network().SerializeToString())
    for _ in range(2):  # the same file again is no mistake
        assert "Its name is mine" in typed("models", "add", "mine.onnx")
    Path("mine.onnx").unlink()
    assert open_model("mine").name == "mine"
    Path("mine.onnx").write_bytes(small_classifier().SerializeToString())
    with pytest.raises(errors.OutputError, match="is there already"):
        typed("models", "add", "mine.onnx")


@pytest.mark.parametrize("name", ["tiny-9.onnx", "tiny.onnx", "mnist.onnx"])
def test_a_file_may_not_pass_for_another(folder, name):
    Path(name).write_bytes(small_map_network().SerializeToString())
    with pytest.raises(errors.InputError, match="Rename it"):
        typed("models", "add", name)
    assert names(folder) == []


@pytest.mark.parametrize("data", [b"", b"not a model at all", GOOD[:-200]])
def test_what_is_no_onnx_is_not_added(folder, data):
    Path("bad.onnx").write_bytes(data)
    with pytest.raises(errors.ModelFileError, match=re.escape("bad.onnx")):
        typed("models", "add", "bad.onnx")
    assert names(folder) == []


def test_weights_in_another_file_are_not_left_behind(folder):
    import onnx

    onnx.save(
        small_classifier(), "split.onnx", save_as_external_data=True, location="split.data",
        size_threshold=0,
    )  # fmt: skip
    with pytest.raises(errors.ModelFileError, match=re.escape("split.data")):
        typed("models", "add", "split.onnx")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a folder without rights")
def test_a_folder_without_rights_is_one_clear_error(folder):
    folder.mkdir(mode=0o500)
    Path("mine.onnx").write_bytes(small_map_network().SerializeToString())
    with pytest.raises(errors.OutputError, match="permission"):
        typed("models", "add", "mine.onnx")


# Commands


def test_the_list_says_what_is_here_and_what_can_be_fetched(folder, monkeypatch):
    put(folder, "a.onnx", GOOD)
    put(folder, "mine.onnx", small_map_network().SerializeToString())
    lines = typed("models").splitlines()
    said = {line.split()[0]: line for line in lines if line.startswith(("tiny", "boxed"))}
    assert said["tiny-9"].endswith("here")
    assert said["tiny-7"].endswith("needs an address")
    assert said["boxed-7"].endswith("can be fetched")
    assert "1x3x16x16" in said["tiny-7"]
    assert "your own: mine" in lines
    assert f"model folder: {folder}" in lines
    monkeypatch.setenv("MINICNN_MODELS_URL", "https://zoo.example")
    assert "needs an address" not in typed("models")


def test_a_name_stands_for_its_file_in_commands(folder):
    put(folder, "a.onnx", GOOD)
    assert "conv1" in typed("show", "tiny")
    assert "conv1" in typed("trace", "tiny", "photo.png")
    typed("compare", "tiny-9", "photo.png", "--out", "seen.png")
    assert Path("seen.png").exists()


def test_the_catalogue_says_how_photos_go_in(folder):
    put(folder, "a.onnx", GOOD)
    network = open_model("tiny")
    assert network.preprocess.order == "BGR"
    assert network.metadata["minicnn.preprocess.source"] == "catalogue"
    assert open_model(str(folder / "a.onnx")).preprocess == network.preprocess
    assert open_model("tiny", "imagenet").preprocess.order == "RGB"
    assert open_model("tiny", "imagenet").metadata["minicnn.preprocess.source"] == "given"
    assert minicnn.load(folder / "a.onnx").preprocess.order == "BGR"  # in Python as in the shell


def test_a_guess_of_the_catalogue_is_called_one(folder, capsys):
    put(folder, "a.onnx", variant("d"))
    network = open_model("boxed")
    assert network.labels[:2] == ("yes", "no")
    application.warn_if_assumed(network)
    assert "probably" in capsys.readouterr().out


def test_the_demo_shows_another_network(folder):
    put(folder, "a.onnx", GOOD)
    output = typed("demo", "--model", "tiny")
    assert "compare tiny china" in output
    assert Path("minicnn-demo.png").exists()
    for line in re.findall(r"^ +minicnn (.*tiny.*)$", output, re.MULTILINE):
        if "YOUR" not in line:
            assert typed(*line.split())


def test_the_demo_says_which_command_gets_a_network(folder):
    with pytest.raises(errors.ModelFileError, match="models get boxed-7"):
        typed("demo", "--model", "boxed")


def test_the_demo_picks_a_deep_layer():
    network = minicnn.load(bundled_model())
    assert deep_layer(network) == "pool2"
    assert deep_layer(network.cut(outputs="relu2")) == "relu2"  # of relu1 and relu2
    with pytest.raises(errors.InputError, match="neither"):
        deep_layer(network.cut(outputs="conv1"))


def test_squeezenet_in_the_demo(folder, monkeypatch):
    path = shared("models/squeezenet1.1.onnx")
    monkeypatch.undo()
    monkeypatch.setenv("MINICNN_MODELS", str(folder))
    monkeypatch.chdir(folder.parent)
    assert "squeezenet1.1-7" in typed("models", "add", path)
    output = typed("demo", "--model", "squeezenet1.1")
    assert "monastery" in output
    assert "assumed" not in output
    with Image.open("minicnn-demo.png") as image:
        assert min(image.size) > 500

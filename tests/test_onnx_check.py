"""`check` reads no weights and says what a file is; signs of preprocessing are told as signs."""

import sys
from contextlib import suppress

import numpy as np
import onnx
import pytest
from conftest import shared
from onnx_graphs import graph, node, one

import minicnn.cli
from minicnn.onnx import check
from minicnn.onnx.modules import MODULE_KEY

F = np.float32


def saved(model, tmp_path, **facts):
    for key, value in facts.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key.replace("__", "."), value
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_the_bundled_network_is_reported_whole():
    report = check(minicnn.data.bundled_model())
    net = minicnn.load(minicnn.data.bundled_model())
    assert report.runs
    assert report.flops == net.flops
    assert report.parameters == sum(array.size for array in net.params.values())
    assert report.operators["Conv"] == 4
    assert report.inputs == ["image  float (batch, 1, 28, 28)"]
    assert [hint.points_to for hint in report.hints] == ["stated"]
    text = str(report)
    for part in ("opset 13", "written by minicnn", "Conv 4", "13 blocks", "FLOPs for 1x1x28x28"):
        assert part in text


def test_weights_are_not_read(tmp_path):
    """A file whose weights are cut away in an external file of the right size full of NaN."""
    model = one("Conv", (1, 3, 8, 8), np.full((64, 3, 8, 8), np.nan, F))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data")
    assert check(tmp_path / "m.onnx").runs
    with pytest.raises(minicnn.errors.ModelFileError, match="NaN"):
        minicnn.load(tmp_path / "m.onnx")


def test_what_is_not_read_is_counted_with_its_places_and_reasons(tmp_path):
    nodes = [node("Relu", ["x"], ["a"]), node("NonZero", ["a"], ["b"], name="where"),
             node("Magic", ["b"], ["y"], domain="com.example")]  # fmt: skip
    report = check(saved(graph(nodes, {"x": (1, 3, 8, 8)}), tmp_path))
    assert not report.runs
    assert [(m.operator, m.count) for m in report.missing] == [
        ("NonZero", 1),
        ("com.example.Magic", 1),
    ]
    assert report.missing[0].places == ["where"]
    assert "not part of ONNX" in str(report)


def test_names_in_a_file_do_not_command_the_terminal(tmp_path, capsys, monkeypatch):
    """Names that clear the screen, title the window, or end a line to begin a false one."""
    clear, title, line = "a\x1b[2J", "t\x1b]0;mine\x07", "x\nruns       yes"
    nodes = [node("Relu", [line], [clear], name="n\x9b1m"), node("Tanh", [clear], [title])]
    nodes[0].metadata_props.add(key=MODULE_KEY, value="layer\x1b[1m")
    inputs = {line: (1, 3, 8, 8)}
    path = saved(graph(nodes, inputs, outputs=(title,), producer_name="\x1b[31mme"), tmp_path)
    network = minicnn.load(path)
    monkeypatch.setattr(sys, "argv", ["minicnn", "show", str(path)])
    with suppress(SystemExit):
        minicnn.cli.main()
    shown = [check(path), network.summary(), network.to_dot(), network, network.explain_plan()]
    out = capsys.readouterr().out
    assert "layer\\x1b[1m" in out
    unread = graph([*nodes, node("Magic\x1b", [title], ["y"], name="m\x1b[2J")], inputs)
    shown.append(check(saved(unread, tmp_path)))
    for text in map(str, [*shown, out]):
        assert all(c.isprintable() or c == "\n" for c in text)
        assert "\nruns       yes" not in text.replace("\nruns       yes: 2 blocks", "")
    names = [row.split()[0] for row in str(network.summary()).splitlines()]
    assert names[4:] == ["a\\x1b[2J", "t\\x1b]0;mine\\x07"]


def test_a_graph_that_does_not_fit_is_a_problem(tmp_path):
    report = check(saved(one("Conv", (1, 3, 8, 8), np.zeros((4, 5, 3, 3), F)), tmp_path))
    assert not report.runs
    assert "needs 5 input channels" in report.problem


def test_signs_of_preprocessing_are_told_with_their_evidence(tmp_path):
    mean = np.array([123.675, 116.28, 103.53], F).reshape(1, 3, 1, 1)
    nodes = [node("Sub", ["x", "mean"], ["centred"]), node("Relu", ["centred"], ["y"])]
    facts = {"Image__BitmapPixelFormat": "Bgr8", "Image__NominalPixelRange": "NominalRange_0_255"}
    path = saved(graph(nodes, {"x": (1, 3, 8, 8)}, {"mean": mean}), tmp_path, **facts)
    signs = [str(hint) for hint in check(path).hints]
    assert signs[0].startswith("BGR: Image.BitmapPixelFormat")
    assert signs[1].startswith("0..255")
    assert "Subtract by 123.675, 116.28, 103.53" in signs[2]


def test_what_is_no_image_has_no_signs(tmp_path):
    report = check(saved(one("Relu", (1, 100, 1, 1)), tmp_path))
    assert "not an image" in str(report.hints[0])


def test_squeezenet_is_known_by_its_names():
    report = check(shared("models/squeezenet1.1.onnx"))
    assert report.runs
    assert report.parameters == 1_235_498  # with the target of its Reshape
    assert report.hints[0].points_to == "imagenet"

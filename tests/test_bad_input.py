"""Bad files, bad numbers, bad options: each gives one clear paragraph, and nothing half-written.

Through Python an error of minicnn.errors that names the file or node; through the command line
the same text on stderr, exit code 2, no traceback.
"""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import graph, ints, node, noise, one, small_classifier, small_map_network, written
from PIL import Image

import minicnn
from minicnn import errors
from minicnn.cli import main

RGB = (1, 3, 4, 4)
F = np.float32


@pytest.fixture
def typed(monkeypatch, capsys, tmp_path):
    """Run a command line in this process; gives (exit code, stdout, stderr)."""

    def run(*words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["minicnn", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def model(tmp_path):
    return written(small_classifier(), tmp_path, "good.onnx")


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (30, 24, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


# Files that are no networks


def damaged(change):
    """A maker of files: the small classifier after a change."""

    def make(folder):
        changed = small_classifier()
        change(changed)
        return written(changed, folder, "bad.onnx")

    return make


def of_bytes(data):
    """A maker of files with the given bytes."""

    def make(folder):
        path = folder / "bad.onnx"
        path.write_bytes(data(folder) if callable(data) else data)
        return path

    return make


def cut_off(at):
    return lambda folder: small_classifier().SerializeToString()[:at]


def a_folder(folder):
    path = folder / "bad.onnx"
    path.mkdir()
    return path


def short_weights(model):
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]


def no_external_data(folder):
    path = folder / "bad.onnx"
    onnx.save_model(
        small_classifier(), path, save_as_external_data=True, location="bad.data", size_threshold=0
    )
    (folder / "bad.data").unlink()
    return path


def short_external_data(folder):
    path = no_external_data(folder)
    (folder / "bad.data").write_bytes(bytes(100))
    return path


def outside_external_data(folder):
    path = no_external_data(folder)
    changed = onnx.load(path, load_external_data=False)
    for tensor in changed.graph.initializer:
        tensor.external_data[0].value = "../../../etc/passwd"
    return written(changed, folder, "bad.onnx")


def circle(model):
    model.graph.node[0].input[0] = "pool1"


def dangling(model):
    model.graph.node[3].input[0] = "nowhere"


def no_output(model):
    model.graph.output[0].name = "nowhere"


def nan_weight(model):
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[0, 0, 0, 0] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w1"))


def text_weight(model):
    model.graph.initializer[0].CopyFrom(
        helper.make_tensor("w1", TensorProto.STRING, [2], [b"a", b"b"])
    )


def sparse_weight(model):
    values = helper.make_tensor("w9", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [5]))


def at_opset(version):
    def change(model):
        model.opset_import[0].version = version

    return change


def no_opset(model):
    del model.opset_import[:]


def of_graph(*args, **keywords):
    return lambda folder: written(graph(*args, **keywords), folder, "bad.onnx")


BOMB = of_graph(
    [node("ConstantOfShape", ["huge"], ["big"], name="bomb"), node("Add", ["x", "big"], ["y"])],
    {"x": RGB}, {"huge": ints(10**6, 10**6, 10**3)},
)  # fmt: skip
NESTED_BOMB = of_graph(
    [
        node("ConstantOfShape", ["side"], ["a"]),
        node("ConstantOfShape", ["front"], ["b"]),
        node("Add", ["a", "b"], ["c"], name="bomb"),
        node("Add", ["x", "c"], ["y"]),
    ],
    {"x": RGB}, {"side": ints(1, 10**6), "front": ints(10**6, 1)},
)  # fmt: skip
MATMUL_BOMB = of_graph(
    [
        node("ConstantOfShape", ["wide"], ["a"]),
        node("ConstantOfShape", ["tall"], ["b"]),
        node("MatMul", ["b", "a"], ["c"], name="bomb"),
        node("Add", ["x", "c"], ["y"]),
    ],
    {"x": RGB}, {"wide": ints(1, 10**5), "tall": ints(10**5, 1)},
)  # fmt: skip


def control_flow(op):
    def make(folder):
        body = helper.make_graph([node("Identity", ["x"], ["z"])], "body", [], [
            helper.make_tensor_value_info("z", TensorProto.FLOAT, None)])  # fmt: skip
        inner = {"then_branch": body, "else_branch": body} if op == "If" else {"body": body}
        call = node(op, ["sure"] if op == "If" else ["", "sure"], ["y"], name="flow", **inner)
        return written(graph([call], {"x": RGB}, {"sure": np.array(True)}), folder, "bad.onnx")

    return make


def many(op, count, constants, **attributes):
    """Many small wishes: `count` nodes that each make a constant of which one number is used."""

    def make(folder):
        made = [node(op, list(constants), [f"c{i}"], **attributes) for i in range(count)]
        first = [node("Gather", [f"c{i}", "zero"], [f"g{i}"]) for i in range(count)]
        total = node("Sum", ["x", *(f"g{i}" for i in range(count))], ["y"], name="total")
        arrays = {**constants, "zero": np.array([0])}
        return written(graph([*made, *first, total], {"x": (1,)}, arrays), folder, "bad.onnx")

    return make


BAD_FILES = {  # name: (maker, error, words that the message must have)
    "missing": (lambda folder: folder / "bad.onnx", errors.ModelFileError, ["no file"]),
    "empty": (of_bytes(b""), errors.ModelFileError, ["empty"]),
    "folder": (a_folder, errors.ModelFileError, ["folder"]),
    "half": (of_bytes(cut_off(2000)), errors.ModelFileError, []),
    "few bytes": (of_bytes(cut_off(9)), errors.ModelFileError, []),
    "random bytes": (
        of_bytes(np.random.default_rng(0).bytes(5000)), errors.ModelFileError, ["not an ONNX"]
    ),
    "text": (of_bytes(b"This is a letter, not a network.\n" * 20), errors.ModelFileError, []),
    "html": (of_bytes(b"<!DOCTYPE html><html>404</html>"), errors.ModelFileError, []),
    "png": (of_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64)), errors.ModelFileError, []),
    "no nodes": (
        damaged(lambda m: m.graph.ClearField("node")), errors.ModelFileError, ["0 nodes"]
    ),
    "no outputs": (
        damaged(lambda m: m.graph.ClearField("output")), errors.ModelFileError, ["0 outputs"]
    ),
    "short weights": (damaged(short_weights), errors.ModelFileError, ["w1", "damaged"]),
    "no external data": (no_external_data, errors.ModelFileError, ["bad.data"]),
    "short external data": (short_external_data, errors.ModelFileError, []),
    "external data elsewhere": (outside_external_data, errors.ModelFileError, []),
    "circle": (damaged(circle), errors.ModelFileError, ["circle"]),
    "dangling input": (damaged(dangling), errors.ModelFileError, ["nowhere"]),
    "output that nobody makes": (damaged(no_output), errors.ModelFileError, ["nowhere"]),
    "NaN weight": (damaged(nan_weight), errors.ModelFileError, ["w1", "NaN"]),
    "text as weight": (damaged(text_weight), errors.ModelFileError, ["w1", "not numbers"]),
    "sparse weight": (damaged(sparse_weight), errors.ModelFileError, ["sparse"]),
    "opset 5": (damaged(at_opset(5)), errors.ModelFileError, ["opset 5", "convert"]),
    "no opset": (damaged(no_opset), errors.ModelFileError, ["opset"]),
    "bomb": (BOMB, errors.ModelFileError, ["bomb", "MINICNN_MAX_BYTES"]),
    "bomb by broadcasting": (NESTED_BOMB, errors.ModelFileError, ["bomb", "MINICNN_MAX_BYTES"]),
    "bomb by multiplying": (MATMUL_BOMB, errors.ModelFileError, ["bomb", "memory"]),
    "much work": (
        many("MatMul", 3, {"w": np.ones((1500, 1500), F)} | {"v": np.ones((1500, 1500), F)}),
        errors.ModelFileError, ["operations on constants"],
    ),
    "an output that nobody makes": (
        of_graph([node("Relu", ["x"], ["a", "b"]), node("Neg", ["b"], ["y"])], {"x": RGB}),
        errors.ModelFileError, ["2 outputs"],
    ),
    "huge input": (
        of_graph([node("GlobalMaxPool", ["x"], ["y"])], {"x": (3, 4, 5, 2**40)}),
        errors.ModelFileError, ["input x", "MINICNN_MAX_BYTES"],
    ),
    "huge LRN": (
        of_graph([node("LRN", ["x"], ["y"], size=2**40)], {"x": RGB}), errors.ModelFileError,
        ["makes no sense"],
    ),
    "Loop": (control_flow("Loop"), errors.UnsupportedOperatorError, ["Loop x1", "flow"]),
    "foreign domain": (
        of_graph([node("Magic", ["x"], ["y"], domain="com.example")], {"x": RGB}),
        errors.UnsupportedOperatorError, ["com.example.Magic", "not part of ONNX"],
    ),
    "two nodes make one value": (
        of_graph([node("Relu", ["x"], ["y"]), node("Tanh", ["x"], ["y"])], {"x": RGB}),
        errors.ModelFileError, ["y"],
    ),
    "a node makes the input": (
        of_graph([node("Tanh", ["x"], ["x"])], {"x": RGB}, outputs=("x",)),
        errors.ModelFileError, ["x"],
    ),
    "wrong channels": (
        of_graph([node("Conv", ["x", "w"], ["y"], name="stem")], {"x": RGB},
                 {"w": noise(2, 5, 3, 3)}),
        errors.ShapeError, ["stem", "5", "3"],
    ),
    "no axes to pool": (
        of_graph([node("MaxPool", ["x"], ["y"], name="pool")], {"x": RGB}),
        errors.ModelFileError, ["pool"],
    ),
    "no weight": (
        of_graph([node("Conv", ["x"], ["y"], name="stem")], {"x": RGB}),
        errors.ModelFileError, ["stem"],
    ),
    "stride 0": (
        lambda folder: written(one("MaxPool", RGB, kernel_shape=[2, 2], strides=[0, 0]), folder,
                               "bad.onnx"),
        errors.MiniCNNError, ["it (MaxPool)"],
    ),
    "LRN of no channels": (
        lambda folder: written(one("LRN", RGB, size=0), folder, "bad.onnx"),
        errors.MiniCNNError, ["it (LRN)"],
    ),
    "LRN without size": (
        lambda folder: written(one("LRN", RGB), folder, "bad.onnx"),
        errors.MiniCNNError, ["it (LRN)"],
    ),
    "slice of an axis that is not there": (
        lambda folder: written(one("Slice", RGB, ints(0), ints(1), ints(9)), folder, "bad.onnx"),
        errors.MiniCNNError, ["it (Slice)", "9"],
    ),
    "flatten at an axis that is not there": (
        lambda folder: written(one("Flatten", RGB, axis=9), folder, "bad.onnx"),
        errors.MiniCNNError, ["it (Flatten)", "9"],
    ),
    "unsqueeze at an axis that is not there": (
        lambda folder: written(one("Unsqueeze", RGB, ints(9)), folder, "bad.onnx"),
        errors.MiniCNNError, ["it (Unsqueeze)", "9"],
    ),
    "pads of terabytes": (
        lambda folder: written(one("Pad", RGB, ints(0, 0, 2**40, 0, 0, 0, 0, 0)), folder,
                               "bad.onnx"),
        errors.MiniCNNError, ["it (Pad)"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "kind", "words"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_gives_an_error_that_names_it(make, kind, words, tmp_path):
    path = make(tmp_path)
    with pytest.raises(kind) as caught:
        minicnn.load(path)
    text = str(caught.value)
    assert "bad.onnx" in text
    for word in words:
        assert word in text
    assert "\n" not in text
    assert text.isprintable()


@pytest.mark.parametrize("make", [v[0] for v in BAD_FILES.values()], ids=BAD_FILES.keys())
def test_a_bad_file_on_the_command_line_is_one_paragraph_and_exit_code_2(
    make, typed, picture, tmp_path
):
    path = make(tmp_path)
    before = sorted(tmp_path.iterdir())
    code, out, err = typed("compare", path, picture)
    assert code == 2
    assert err.startswith("Error: ")
    assert "Traceback" not in err + out
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_all_unsupported_operators_are_listed_at_once_with_counts_and_places(tmp_path):
    nodes = [
        node("Relu", ["x"], ["a"]),
        *(node("NonZero", [f"{'abcd'[i]}"], ["bcde"[i]], name=f"e{i}") for i in range(4)),
        node("Unique", ["e"], ["y"], name="top"),
        node("Reluu", ["a"], ["aside"]),
    ]
    path = written(graph(nodes, {"x": RGB}, outputs=("y", "aside")), tmp_path)
    with pytest.raises(errors.UnsupportedOperatorError) as caught:
        minicnn.load(path)
    text = str(caught.value)
    counts = ("NonZero x4 (at e0, e1, e2, ...)", "Unique x1 (at top)", "Reluu x1")
    for part in ("3 operator(s)", *counts):
        assert part in text
    assert "did you mean Relu" in text


def test_an_operator_too_new_for_the_opset_is_said_to_be(tmp_path):
    path = written(one("HardSwish", RGB, opset=13), tmp_path)
    with pytest.raises(errors.UnsupportedOperatorError, match="read from opset 14 on, not at 13"):
        minicnn.load(path)


def test_an_opset_from_the_future_is_read_with_a_warning(tmp_path):
    future = small_classifier()
    future.opset_import[0].version = 999
    path = written(future, tmp_path)
    with pytest.warns(UserWarning, match="opset 999; minicnn was checked up to"):
        network = minicnn.load(path)
    assert network(noise(1, 3, 16, 16)).shape == (1, 5)


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 0, 16), {"other": (1, 3, 16, 16)}])
def test_a_shape_that_does_not_fit_the_file_is_refused(shape, model):
    with pytest.raises(errors.InputError, match=r"inputs are x with 4 axes"):
        minicnn.load(model, shape=shape)


@pytest.mark.parametrize("key", ["minicnn.preprocess", "minicnn.labels"])
def test_metadata_that_is_no_json_is_refused(key, tmp_path):
    broken = small_classifier()
    helper.set_model_props(broken, {key: "{not json"})
    with pytest.raises(errors.MiniCNNError) as caught:
        minicnn.load(written(broken, tmp_path))
    assert "json" in str(caught.value).lower() or "Preprocessing" in str(caught.value)


# Arrays that do not fit


@pytest.mark.parametrize(
    ("x", "kind", "words"),
    [
        (noise(1, 3, 15, 16), errors.ShapeError, "(any, 3, 16, 16)"),
        (noise(1, 1, 16, 16), errors.ShapeError, "(any, 3, 16, 16)"),
        (noise(3, 16, 16), errors.ShapeError, "(any, 3, 16, 16)"),
        (noise(1, 3, 16, 16).astype(np.float64), errors.InputError, "astype"),
        (np.zeros((1, 3, 16, 16), np.uint8), errors.InputError, "uint8"),
        ([[1.0]], errors.InputError, "list"),
        (np.full((1, 3, 16, 16), np.nan, F), errors.InputError, "NaN"),
        (np.full((1, 3, 16, 16), -np.inf, F), errors.InputError, "infinity"),
    ],
)
def test_an_input_that_does_not_fit_is_refused_before_running(x, kind, words, model):
    network = minicnn.load(model)
    for run in (network, network.record):
        with pytest.raises(kind) as caught:
            run(x)
        assert words in str(caught.value)
        assert "x" in str(caught.value)


def test_the_number_of_inputs_is_checked(model):
    with pytest.raises(errors.InputError, match="takes 1 input"):
        minicnn.load(model)(noise(1, 3, 16, 16), noise(1, 3, 16, 16))


# Options that do not exist, units outside, files that cannot be written


BAD_OPTIONS = {  # name: (options, words)
    "layer": (["--layer", "cnv1"], ["'cnv1'", "conv1"]),
    "rule": (["--rules", "salinet,deconvnt"], ["deconvnt", "Did you mean deconvnet"]),
    "no rule": (["--rules", ","], ["names no rule"]),
    "code": (["--rules", "TTX"], ["TTX"]),
    "display": (["--display", "sigmod"], ["sigmod", "Did you mean sigmoid"]),
    "preset": (["--preprocess", "imagenets"], ["imagenets", "Did you mean imagenet"]),
    "unit outside": (["--layer", "conv1", "--unit", "1,16,0"], ["lies outside conv1", "0 to 15"]),
    "negative unit": (["--layer", "conv1", "--unit", "-1,0,0"], ["lies outside conv1"]),
    "channel outside": (["--layer", "conv1", "--unit", "4"], ["Channel 4", "0 to 3"]),
    "two coordinates": (["--layer", "conv1", "--unit", "1,2"], ["3 coordinates"]),
    "malformed unit": (["--layer", "conv1", "--unit", "a,b"], ["'max'", "a,b"]),
    "empty unit": (["--layer", "conv1", "--unit", ""], ["'max'"]),
    "class outside": (["--unit", "5"], ["Class 5 does not exist", "0 to 4"]),
    "negative class": (["--unit", "-1"], ["Class -1 does not exist"]),
    "malformed class": (["--unit", "cat"], ["cat", "is a class"]),
    "place of a class": (["--unit", "1,2,3"], ["is a class"]),
    "suffix": (["--out", "a.xyz"], ["a.xyz", ".png"]),
    "no suffix": (["--out", "a"], ["no suffix", ".png"]),
    "no folder": (["--out", "not/there.png"], ["folder not does not exist"]),
    "no folder for maps": (["--save", "not/there.npz"], ["folder not does not exist"]),
    "under a file": (["--out", "photo.png/a.png"], ["photo.png"]),
    "out is a folder": (["--out", "folder.png"], ["it is a folder"]),
    "place not writable": (["--out", "/proc/a.png"], ["/proc/a.png"]),
}


@pytest.mark.parametrize(("options", "words"), BAD_OPTIONS.values(), ids=BAD_OPTIONS.keys())
def test_a_bad_option_is_one_paragraph_and_leaves_nothing_behind(
    options, words, typed, model, picture, tmp_path
):
    (tmp_path / "folder.png").mkdir()
    before = sorted(tmp_path.rglob("*"))
    code, out, err = typed("compare", model, picture, *options)
    assert code == 2
    assert err.startswith("Error: ")
    assert "Traceback" not in out + err
    for word in words:
        assert word in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "word"),
    [(["--layer", "cnv1"], "conv1"), (["--rule", "desalnet"], "desalinet"),
     (["--unit", "99"], "0 to 4"), (["--preprocess", "cafe"], "caffe")],
)  # fmt: skip
def test_trace_reports_bad_options_too(options, word, typed, model):
    code, _, err = typed("trace", model, *options)
    assert code == 2
    assert err.startswith("Error: ")
    assert word in err


def test_a_unit_of_a_map_network_may_not_be_a_class(typed, picture, tmp_path):
    path = written(small_map_network(), tmp_path)
    code, _, err = typed("compare", path, picture, "--unit", "9")
    assert code == 2
    assert "Channel 9 lies outside relu1" in err


def test_debug_shows_the_error_itself(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["minicnn", "--debug", "trace", str(tmp_path / "none.onnx")])
    with pytest.raises(errors.ModelFileError, match="no file"):
        main()


def test_a_failed_write_leaves_the_old_picture(typed, model, picture, tmp_path, monkeypatch):
    old = tmp_path / "old.png"
    old.write_bytes(b"old")

    def half(self, path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", half)
    before = sorted(tmp_path.iterdir())
    code, _, err = typed("compare", model, picture, "--out", old)
    assert code == 2
    assert "No space left on device" in err
    assert old.read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == before


def test_many_small_constants_count_together(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_MAX_BYTES", "100M")
    path = many("ConstantOfShape", 40, {"s": ints(2_000_000)})(tmp_path)  # 8 MB each
    with pytest.raises(errors.ModelFileError, match="MINICNN_MAX_BYTES"):
        minicnn.load(path)
    assert minicnn.load(many("ConstantOfShape", 4, {"s": ints(2_000_000)})(tmp_path)).inputs

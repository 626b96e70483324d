"""Opening ONNX files: every byte of them is checked, weights are read once, budgets hold."""

import contextlib
import os
import subprocess
import sys
from io import BytesIO

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx_graphs import graph, ints, node, noise, one, small_classifier, written

import minicnn
from minicnn import limits
from minicnn.errors import InputError, MiniCNNError, ModelFileError
from minicnn.onnx.files import open_model
from minicnn.onnx.wire import skeleton, varints

F = np.float32


def model_of(tensor, **changes):
    """A model with one initialiser."""
    made = graph([node("Relu", ["x"], ["y"])], {"x": (2, 3)}, **changes)
    made.graph.initializer.append(tensor)
    return made


def array_of(tensor, folder, floats=F):
    return open_model(written(model_of(tensor), folder)).arrays(floats)[tensor.name]


def opened_and_read(path):
    return open_model(path).arrays(F)


def refused(model, folder, *words):
    """Check that a model, or the file at a path, is refused with these words."""
    path = written(model, folder) if isinstance(model, onnx.ModelProto) else model
    with pytest.raises(ModelFileError) as caught:
        opened_and_read(path)
    text = str(caught.value)
    assert path.name in text
    for word in words:
        assert word in text
    assert text.isprintable()


# Numbers of all types, wherever they are kept


NUMBERS = {
    TensorProto.FLOAT: np.float32, TensorProto.DOUBLE: np.float64,
    TensorProto.FLOAT16: np.float16, TensorProto.INT8: np.int8, TensorProto.INT16: np.int16,
    TensorProto.INT32: np.int32, TensorProto.INT64: np.int64, TensorProto.UINT8: np.uint8,
    TensorProto.UINT16: np.uint16, TensorProto.UINT32: np.uint32, TensorProto.UINT64: np.uint64,
    TensorProto.BOOL: np.bool_,
}  # fmt: skip


@pytest.mark.parametrize("count", [0, 7, 5000], ids=["none", "few", "many"])
@pytest.mark.parametrize("kept", ["raw", "field", "external"])
@pytest.mark.parametrize("kind", NUMBERS, ids=lambda kind: TensorProto.DataType.Name(kind))
def test_numbers_of_every_type_are_read(kind, kept, count, rng, tmp_path):
    dtype = np.dtype(NUMBERS[kind])
    if dtype.kind == "f":
        array = rng.standard_normal(count).astype(dtype)
    else:
        info = np.iinfo(dtype) if dtype.kind != "b" else None
        top = info.max if info else 1
        array = rng.integers(info.min if info else 0, top, count, dtype, True) if info else (
            rng.integers(0, 2, count) > 0)  # fmt: skip
        array[:1] = top
    if kept == "field":
        tensor = helper.make_tensor("w", kind, array.shape, array.tolist())
        assert not tensor.HasField("raw_data")
    else:
        tensor = numpy_helper.from_array(array, "w")
    model = model_of(tensor)
    if kept == "external":
        onnx.external_data_helper.convert_model_to_external_data(
            model, location="w.data", size_threshold=0
        )
        onnx.save_model(model, tmp_path / "model.onnx")
    else:
        written(model, tmp_path)
    opened = open_model(tmp_path / "model.onnx")
    (stored,) = opened.model.graph.initializer
    assert opened.nbytes(stored) == array.nbytes
    found = opened.arrays(F)["w"]
    assert found.dtype == (F if dtype.kind == "f" else dtype)
    assert found.flags.writeable
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, array.astype(found.dtype))
    if dtype == np.float64:
        assert opened.array(stored).dtype == np.float64
    if dtype.kind == "f":
        assert opened.arrays(np.float64)["w"].dtype == np.float64


@pytest.mark.parametrize("kept", ["raw", "field"])
@pytest.mark.parametrize("count", [3, 3000])
def test_bfloat16_is_the_upper_half_of_float32(count, kept, rng, tmp_path):
    bits = (rng.standard_normal(count).astype(F).view(np.uint32) >> 16).astype(np.uint16)
    tensor = TensorProto(name="w", data_type=TensorProto.BFLOAT16, dims=[count])
    if kept == "raw":
        tensor.raw_data = bits.tobytes()
    else:
        tensor.int32_data.extend(bits.tolist())
    expected = (bits.astype(np.uint32) << 16).view(F)
    np.testing.assert_array_equal(array_of(tensor, tmp_path), expected)


def test_large_weights_are_not_in_the_parsed_model(tmp_path):
    model = small_classifier()
    path = written(model, tmp_path)
    opened = open_model(path)
    large = sum(len(t.raw_data) for t in model.graph.initializer if len(t.raw_data) >= 1024)
    assert large > 0
    assert opened.model.ByteSize() < path.stat().st_size - large + 200
    arrays = opened.arrays(F)
    for tensor in model.graph.initializer:
        np.testing.assert_array_equal(arrays[tensor.name], numpy_helper.to_array(tensor))


def test_loading_takes_little_more_memory_than_the_file(tmp_path):
    resource = pytest.importorskip("resource")
    assert resource
    size = 4096
    model = graph([node("MatMul", ["x", "w"], ["y"])], {"x": ("N", size)}, {"w": noise(size, size)})
    path = written(model, tmp_path)
    code = f"""
import resource
import minicnn
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
minicnn.load({str(written(small_classifier(), tmp_path, "small.onnx"))!r})
before = peak()
network = minicnn.load({str(path)!r})
print((peak() - before) * 1024)
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    scale = 1024 if sys.platform == "darwin" else 1  # macOS counts bytes
    assert int(shown.stdout) / scale < 1.2 * path.stat().st_size


def test_large_constant_nodes_become_weights(tmp_path):
    weight = noise(8, 3, 5, 5)
    nodes = [
        node("Conv", ["x", "w"], ["y"]),
        node("Constant", [], ["w"], value=numpy_helper.from_array(weight, "inner")),
    ]
    path = written(graph(nodes, {"x": (1, 3, 8, 8)}), tmp_path)
    opened = open_model(path)
    assert [n.op_type for n in opened.model.graph.node] == ["Conv"]
    np.testing.assert_array_equal(opened.arrays(F)["w"], weight)
    assert minicnn.load(path).parameter_names() == ["w"]


def test_large_tensors_within_branches_and_functions_are_read(tmp_path):
    array = noise(30, 30)
    body = helper.make_graph([node("Identity", ["inner"], ["z"])], "body", [], [
        helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, "inner")])  # fmt: skip
    function = helper.make_function(
        "here", "Shift", ["a"], ["out"],
        [node("Constant", [], ["c"], value=numpy_helper.from_array(array, "c")),
         node("Add", ["a", "c"], ["out"])], [helper.make_opsetid("", 13)])  # fmt: skip
    nodes = [
        node("If", ["sure"], ["branch"], then_branch=body, else_branch=body),
        node("Shift", ["x"], ["h"], domain="here"),
        node("Shift", ["h"], ["i"], domain="here"),
        node("Add", ["i", "branch"], ["y"]),
    ]
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("here", 1)]
    model = graph(nodes, {"x": (30, 30)}, {"sure": np.array(True)}, functions=[function],
                  opset_imports=imports)  # fmt: skip
    opened = open_model(written(model, tmp_path))
    arrays = opened.arrays(F)
    assert sum(np.array_equal(found, array) for found in arrays.values()) == 2
    for attribute in opened.model.graph.node[0].attribute:
        np.testing.assert_array_equal(
            numpy_helper.to_array(attribute.g.initializer[0]), array
        )  # fmt: skip


# Files that are cut off or changed


def test_a_file_cut_off_at_any_byte_is_refused_or_read(tmp_path):
    whole = small_classifier().SerializeToString()
    path = tmp_path / "cut.onnx"
    for at in range(len(whole)):
        path.write_bytes(whole[:at])
        with contextlib.suppress(ModelFileError):
            opened = open_model(path)
            assert len(opened.arrays(F)) == len(opened.model.graph.initializer)


def test_flipped_bits_are_refused_or_read(rng, tmp_path):
    whole = np.frombuffer(small_classifier().SerializeToString(), np.uint8)
    path = tmp_path / "flipped.onnx"
    for at in range(len(whole)):
        flipped = whole.copy()
        flipped[at] ^= 1 << rng.integers(8)
        path.write_bytes(flipped.tobytes())
        with contextlib.suppress(ModelFileError):
            opened_and_read(path)


def test_a_skeleton_without_large_numbers_is_the_file(tmp_path):
    model = graph([node("Add", ["x", "w"], ["y"])], {"x": (3,)}, {"w": noise(3)})
    data = model.SerializeToString()
    assert skeleton(BytesIO(data), len(data), "key", 10**6, "x") == (data, [])


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    path = written(small_classifier(), tmp_path)
    opened = open_model(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ModelFileError, match="changed while it was read"):
        opened.arrays(F)


def test_names_that_are_no_text_are_refused(tmp_path):
    path = written(small_classifier(), tmp_path)
    path.write_bytes(path.read_bytes().replace(b"relu1", b"re\xff\xfe1"))
    refused(path, tmp_path, "not text")


def test_a_file_cannot_pretend_to_be_marked(tmp_path):
    tensor = numpy_helper.from_array(noise(3), "w")
    tensor.external_data.add(key="0" * 32, value="0")
    np.testing.assert_array_equal(array_of(tensor, tmp_path), noise(3))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_no_model(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    refused(tmp_path / "pipe.onnx", tmp_path, "not a plain file")


# Tensors whose numbers do not fit


def tensor(dims=(2,), kind=TensorProto.FLOAT, raw=b"\0" * 8, **changes):
    return TensorProto(name="w", dims=dims, data_type=kind, raw_data=raw, **changes)


BAD_TENSORS = {  # name: (tensor, words of the message)
    "too few bytes": (tensor((3,)), ["float of shape (3,)", "needs 12 bytes", "holds 8"]),
    "too many bytes": (tensor((1,)), ["needs 4 bytes", "holds 8"]),
    "too many large bytes": (tensor((1,), raw=bytes(2000)), ["needs 4 bytes", "holds 2,000"]),
    "no bytes": (tensor(raw=b""), ["needs 8 bytes", "holds 0"]),
    "negative size": (tensor((-1, 2)), ["(-1, 2)"]),
    "two negative sizes": (tensor((-1, -2)), ["(-1, -2)"]),
    "product that overflows": (tensor((2**62, 4)), ["needs 73,786,976,294,838,206,464 bytes"]),
    "no numbers of absurd size": (tensor((0, 2**62, 2**62), raw=b""), ["array is too big"]),
    "many axes": (tensor((1,) * 200), ["cannot have the shape"]),
    "numbers twice": (tensor(float_data=[1, 2]), ["raw_data", "float_data"]),
    "large numbers twice": (
        tensor((500,), raw=bytes(2000), float_data=[0] * 500), ["more than one piece"]
    ),
    "large and small": (tensor((500,), raw=bytes(2000), float_data=[1]), ["float_data and raw"]),
    "segments": (
        tensor(segment=TensorProto.Segment(begin=0, end=1)), ["pieces"]
    ),
    "numbers in the wrong field": (
        TensorProto(name="w", dims=[2], data_type=1, int32_data=[1, 2]), ["int32_data", "float"]
    ),
    "large numbers in the wrong field": (
        TensorProto(name="w", dims=[2000], data_type=1, int32_data=[1] * 2000), ["int32_data"]
    ),
    "int4": (tensor((2,), TensorProto.INT4, b"\1"), ["type int4", "not numbers"]),
    "float8": (tensor((1,), TensorProto.FLOAT8E4M3FN, b"\1"), ["float8e4m3fn"]),
    "complex": (tensor((1,), TensorProto.COMPLEX64), ["complex64"]),
    "no type": (tensor((2,), 0), ["undefined"]),
    "unknown type": (tensor((2,), 99), ["number 99"]),
    "NaN": (numpy_helper.from_array(F([1, np.nan]), "w"), ["NaN"]),
    "one NaN": (numpy_helper.from_array(F(np.nan), "w"), ["NaN"]),
    "NaN far behind": (
        numpy_helper.from_array(np.r_[np.zeros(10**6, F), F(np.nan)], "w"), ["NaN"]
    ),
    "doubles beyond float": (numpy_helper.from_array(np.float64([1e300, 1]), "w"), ["float32"]),
}  # fmt: skip


@pytest.mark.parametrize(("bad", "words"), BAD_TENSORS.values(), ids=BAD_TENSORS.keys())
def test_a_tensor_whose_numbers_do_not_fit_is_refused(bad, words, tmp_path):
    refused(model_of(bad), tmp_path, "w", *words)


@pytest.mark.parametrize("values", [F(-np.inf), F([1, -np.inf]), np.float16([np.inf, 1])])
def test_infinity_is_a_bound_or_a_mask_and_accepted(values, tmp_path):
    found = array_of(numpy_helper.from_array(values, "w"), tmp_path)
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(("what", "words"), [("initializer", "weights"), ("input", "inputs")])
def test_two_things_of_one_name_are_refused(what, words, tmp_path):
    model = small_classifier()
    things = getattr(model.graph, what)
    things.append(things[0])
    refused(model, tmp_path, words, things[0].name)
    things[0].name = things[-1].name = ""
    refused(model, tmp_path, words, "no name")


# Numbers in other files


@pytest.fixture
def outside(tmp_path):
    """A model in a folder of its own; change(entries) changes where its weight is said to lie."""
    folder = tmp_path / "inner"
    folder.mkdir()
    weight = noise(2, 3)

    def make(write=True, **entries):
        tensor = TensorProto(name="w", data_type=1, dims=(2, 3), data_location="EXTERNAL")
        for key, value in {"location": "w.data", **entries}.items():
            tensor.external_data.add(key=key, value=str(value))
        if write:
            (folder / "w.data").write_bytes(bytes(8) + weight.tobytes() + bytes(8))
        return written(model_of(tensor), folder)

    make.folder, make.weight = folder, weight
    return make


@pytest.mark.parametrize("entries", [{"offset": 8}, {"offset": "8", "length": "24"}])
def test_weights_are_read_from_another_file(entries, outside):
    found = open_model(outside(**entries)).arrays(F)["w"]
    np.testing.assert_array_equal(found, outside.weight)


def test_weights_may_lie_in_a_folder_below(outside):
    path = outside(write=False, location="below/w.data")
    (outside.folder / "below").mkdir()
    (outside.folder / "below" / "w.data").write_bytes(outside.weight.tobytes())
    np.testing.assert_array_equal(open_model(path).arrays(F)["w"], outside.weight)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"location": "../inner/w.data"}, ["only files in the model's folder"]),
        ({"location": "below/../../inner/w.data"}, ["only files in"]),
        ({"location": "/etc/passwd"}, ["only files in"]),
        ({"location": "C:\\weights"}, ["only files in"]),
        ({"location": "..\\w.data"}, ["only files in"]),
        ({"location": "w\0.data"}, ["only files in"]),
        ({"location": ""}, ["only files in"]),
        ({"location": "."}, ["not a file"]),
        ({"location": "x" * 5000}, ["not read"]),
        ({"location": "other.data"}, ["other.data", "missing", "belong together", "inner"]),
        ({"offset": -8}, ["-8", "numbers from 0 on"]),
        ({"offset": "8.0"}, ["numbers from 0 on"]),
        ({"offset": "1_0"}, ["numbers from 0 on"]),
        ({"offset": "9" * 5000}, ["numbers from 0 on"]),
        ({"offset": 24}, ["24 to 48", "has 40"]),
        ({"length": 20}, ["needs 24 bytes", "holds 20"]),
        ({"length": 28}, ["needs 24 bytes", "holds 28"]),
        ({"length": 999}, ["cut off"]),
        ({"offset": 10**17}, ["cut off"]),
    ],
)
def test_another_file_that_does_not_fit_is_refused(entries, words, outside, tmp_path):
    refused(outside(**entries), tmp_path, "w", *words)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs links and named pipes")
@pytest.mark.parametrize("how", ["symbolic", "hard", "folder", "pipe"])
def test_no_link_is_followed(how, outside, tmp_path):
    path = outside(write=False, location="sub/w.data" if how == "folder" else "w.data")
    secret = tmp_path / "elsewhere" / "w.data"
    secret.parent.mkdir()
    secret.write_bytes(outside.weight.tobytes())
    link = outside.folder / "w.data"
    if how == "symbolic":
        link.symlink_to(secret)
    elif how == "hard":
        os.link(secret, link)
    elif how == "folder":
        (outside.folder / "sub").symlink_to(secret.parent)
    else:
        os.mkfifo(link)
    refused(path, tmp_path, "not read")


def test_one_small_file_cannot_fill_the_memory_many_times(outside, monkeypatch, tmp_path):
    model = onnx.load(outside(), load_external_data=False)
    for k in range(1000):
        copy = model.graph.initializer.add()
        copy.CopyFrom(model.graph.initializer[0])
        copy.name = f"w{k}"
    path = written(model, outside.folder)
    assert len(open_model(path).arrays(F)) == 1001
    monkeypatch.setattr("minicnn.onnx.files.TIMES_ITS_SIZE", 0.01)
    monkeypatch.setenv("MINICNN_MAX_BYTES", "20K")
    refused(path, tmp_path, "23.5 KiB", "MINICNN_MAX_BYTES")


# Graphs that are too deep, too many or run in circles


def field(number, content):
    """A field of a protobuf message: tag, length, bytes."""
    size, length = b"", len(content)
    while length > 127:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return bytes([8 * number + 2]) + size + bytes([length]) + content


@pytest.mark.parametrize(("deep", "words"), [(40, "not an ONNX"), (200, "100 deep")])
def test_branches_in_branches_come_to_an_end(deep, words, tmp_path):
    content = b""
    for _ in range(deep):
        content = field(1, field(5, field(6, content)))  # a graph's node's attribute's graph
    path = tmp_path / "deep.onnx"
    path.write_bytes(field(7, content))
    refused(path, tmp_path, words)


def test_a_file_of_nothing_but_parts_is_refused_soon(tmp_path):
    path = tmp_path / "many.onnx"
    path.write_bytes(b"\x0a\x00" * 1_100_000)
    refused(path, tmp_path, "1,000,000 parts")


def test_a_graph_larger_than_the_budget_is_refused(monkeypatch, tmp_path):
    model = small_classifier()
    model.doc_string = "x" * 10_000
    path = written(model, tmp_path)
    monkeypatch.setenv("MINICNN_MAX_BYTES", "1M")
    refused(path, tmp_path, "not weights", "MINICNN_MAX_BYTES")


def functions(*calls):
    """A model whose function f0 calls those in calls[0], and so on; the last is a Relu."""
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("here", 1)]
    made = []
    for k, names in enumerate([*calls, ["Relu"]]):
        wires = ["a", *(f"t{i}" for i in range(len(names) - 1)), "out"]
        body = [
            node(name, [wires[i]], [wires[i + 1]], domain="" if name == "Relu" else "here")
            for i, name in enumerate(names)
        ]
        made.append(helper.make_function("here", f"f{k}", ["a"], ["out"], body, imports))
    return graph([node("f0", ["x"], ["y"], domain="here")], {"x": (2, 3)}, functions=made,
                 opset_imports=imports)  # fmt: skip


def test_functions_may_call_functions(tmp_path):
    opened = open_model(written(functions(["f1", "f1"], ["f2"]), tmp_path))
    assert [n.op_type for n in opened.model.graph.node] == ["Relu", "Relu"]


def test_functions_that_grow_without_bound_are_refused(tmp_path):
    refused(functions(*([f"f{k + 1}"] * 2 for k in range(40))), tmp_path, "so often")
    refused(functions(["f0"]), tmp_path, "circle")
    refused(functions(["f1"], ["f0"]), tmp_path, "circle")
    refused(functions(*([f"f{k + 1}"] for k in range(60))), tmp_path, "50 deep")


# The budget


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("1", 1), ("123456789", 123456789), ("7K", 7 * 1024), ("3m", 3 * 2**20), ("12G", 12 * 2**30)],
)
def test_the_budget_is_what_the_environment_says(text, bytes_, monkeypatch):
    monkeypatch.setenv("MINICNN_MAX_BYTES", text)
    assert limits.budget() == bytes_
    limits.check_bytes(bytes_, "it")
    with pytest.raises(ModelFileError, match="it would take"):
        limits.check_bytes(bytes_ + 1, "it")


@pytest.mark.parametrize(
    "text", ["0", "-1", "4GB", "4 G", "1e9", "K", "٣", "4G\n", "9" * 30, "lots"]
)
def test_a_budget_that_is_no_number_of_bytes_is_refused(text, monkeypatch, tmp_path):
    monkeypatch.setenv("MINICNN_MAX_BYTES", text)
    with pytest.raises(InputError, match="MINICNN_MAX_BYTES"):
        open_model(written(small_classifier(), tmp_path))


def test_the_budget_is_a_quarter_of_the_machine(monkeypatch):
    monkeypatch.delenv("MINICNN_MAX_BYTES", raising=False)
    assert limits.budget() == limits.machine_bytes() // 4
    assert limits.machine_bytes() > 2**28
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert limits.budget() == 2 * 2**30


def test_weights_beyond_the_budget_are_refused_before_they_are_read(monkeypatch, tmp_path):
    path = written(one("Add", (1,), noise(400_000)), tmp_path)
    monkeypatch.setenv("MINICNN_MAX_BYTES", "1M")
    with pytest.raises(MiniCNNError, match=r"model.onnx: its weights would take 1\.5 MiB"):
        minicnn.load(path)
    monkeypatch.setenv("MINICNN_MAX_BYTES", "2M")
    assert minicnn.load(path)


# Varints


@given(st.lists(st.integers(-(2**63), 2**64 - 1), max_size=30), st.integers(1, 40))
def test_packed_numbers_are_read_in_pieces_of_any_size(numbers, size):
    packed = bytearray()
    for number in numbers:
        number %= 2**64
        while number > 127:
            packed.append(number & 127 | 128)
            number >>= 7
        packed.append(number)
    data = np.frombuffer(bytes(packed), np.uint8)
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    found = [int(n) for piece in varints(pieces) for n in piece]
    assert found == [number % 2**64 for number in numbers]


@pytest.mark.parametrize("data", [b"\x80", b"\x01\xff", b"\x80" * 11 + b"\x01", b"\xff" * 40])
def test_packed_numbers_that_break_off_are_refused(data):
    with pytest.raises(ValueError, match="number"):
        list(varints([np.frombuffer(data, np.uint8)]))


def test_large_packed_numbers_that_break_off_are_refused(tmp_path):
    made = TensorProto(name="w", dims=[2000], data_type=TensorProto.INT64, int64_data=[300] * 2000)
    path = written(model_of(made), tmp_path)
    data = path.read_bytes()
    at = data.index(b"\xac\x02" * 2000) + 3999
    path.write_bytes(data[:at] + b"\x82" + data[at + 1 :])
    refused(path, tmp_path, "w", "breaks off")


def test_cycles_and_values_that_nobody_makes_are_named(tmp_path):
    made = graph([node("Relu", ["b"], ["a"]), node("Relu", ["a"], ["b"])], {"x": (1,)}, {}, ("b",))
    with pytest.raises(ModelFileError, match="circle"):
        minicnn.load(written(made, tmp_path))
    made = one("Reshape", (1, 4), ints(2, 2))
    made.graph.node[0].input[1] = "lost"
    with pytest.raises(ModelFileError, match="'lost'"):
        minicnn.load(written(made, tmp_path))

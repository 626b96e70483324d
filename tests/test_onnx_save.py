"""Writing ONNX: what is written runs in onnxruntime as it does here.

Every block of the table in `test_blocks` is written by itself; then whole networks, cut, trained
and reversed by every rule; then what cannot be written. What is read back: test_onnx_round_trip.py.
"""

import sys

import numpy as np
import onnx
import pytest
from conformance import CASES as KIT
from conftest import shared
from onnx.reference import ReferenceEvaluator
from onnx_graphs import (
    as_tuple,
    by_onnxruntime,
    fire_network,
    graph,
    node,
    noise,
    small_classifier,
    small_map_network,
    written,
)
from test_blocks import CASES

import minicnn
from minicnn import blocks, errors, rules
from minicnn import functional as F
from minicnn.blocks import Packed, Window
from minicnn.graph import Node
from minicnn.network import Network
from minicnn.onnx.writers import registry

WITHIN = 1e-4  # of the largest number


def single(block, *operands, arrays=(), label="it"):
    """A network of one block; `arrays` lists the operands that are arrays of the network."""
    names = tuple(f"x{i}" for i in range(len(operands)))
    free = {n: o for i, (n, o) in enumerate(zip(names, operands)) if i not in arrays}
    return Network(
        name="one",
        inputs={name: operand.shape for name, operand in free.items()},
        typical={name: operand.shape for name, operand in free.items()},
        nodes=[Node("y", block, names, label)],
        outputs=["y"],
        arrays={names[i]: operands[i] for i in arrays},
        dtype=np.dtype(np.float32),
        types={n: o.dtype for n, o in free.items() if o.dtype != np.float32},
    )


def close(found, expected):
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    if found.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected)
    elif found.size:
        assert np.abs(found - expected).max() <= WITHIN * np.abs(expected).max()


def runs_the_same(network, folder, *inputs):
    """Save, have it checked, run in onnxruntime, compare with our own result; gives the path."""
    path = folder / "written.onnx"
    network.save(path)
    for a, b in zip(by_onnxruntime(path, *inputs), as_tuple(network(*inputs)), strict=True):
        close(a, b)
    return path


def mnist():
    return minicnn.load(minicnn.data.bundled_model())


def an_input(network, seed=0):
    (shape,) = (network.default_shape(name) for name in network.inputs)
    return noise(*shape, seed=seed)


# Every block

CONSTANT_OPERANDS = {blocks.GridPut: (1,), blocks.GridSlope: (1, 2), blocks.GridSlide: (1, 2)}


@pytest.mark.parametrize("case", CASES)
def test_a_block_is_written_as_operators_that_compute_the_same(case, tmp_path):
    operands = [
        np.asarray(o, np.float32 if np.asarray(o).dtype.kind == "f" else None)
        for o in case.operands
    ]
    arrays = CONSTANT_OPERANDS.get(type(case.block), ())
    network = single(case.block, *operands, arrays=arrays)
    path = tmp_path / "block.onnx"
    minicnn.onnx.save(network, path)
    inputs = [operand for i, operand in enumerate(operands) if i not in arrays]
    expected = np.asarray(case.block(*operands))
    found = by_onnxruntime(path, *inputs)[0]
    close(found, expected)
    made = onnx.load(path).graph.node[-1]
    assert (made.name, list(made.output)[-1:]) == ("it", ["y"]) or "y" in made.output


def test_every_block_has_a_writer_or_a_reason():
    exported = [getattr(blocks, name) for name in blocks.__all__]
    kinds = {kind for kind in exported if isinstance(kind, type) and issubclass(kind, blocks.Block)}
    missing = kinds - {blocks.Block} - registry.known()
    assert not missing, "add a writer for each, or a reason with registry.unwritable"


def test_a_second_operand_in_floats_of_another_type_is_cast(tmp_path):
    a, b = noise(2, 3), np.arange(3)
    path = tmp_path / "a.onnx"
    network = single(blocks.Compare("less"), a, b)
    network.save(path)
    close(by_onnxruntime(path, a, b)[0], a < b)


def test_indices_that_are_known_keep_what_wins(tmp_path):
    p, indices = noise(2, 3), np.array([[0, 1, 0], [0, 2, 1]])
    network = single(blocks.PutElements(0, (3, 3), adds=False), p, indices, arrays=(1,))
    runs_the_same(network, tmp_path, p)


def test_a_max_pool_over_everything_has_indices_too(tmp_path):
    x = noise(2, 3, 4, 5)
    runs_the_same(single(blocks.MaxPoolIndices(None), x), tmp_path, x)


@pytest.mark.parametrize(
    "block",
    [
        blocks.Resize(2, 1.5, mode="linear"),
        blocks.Resize(2, 2.0),
        blocks.Resize(1, 0.7),
        blocks.Resize(3, out=4, mode="cubic", exclude_outside=True),
        blocks.Resize(3, out=8, mode="linear", coordinates="align_corners"),
        blocks.Resize(3, out=8, ratio=2.1, mode="linear"),
        blocks.SpaceToDepth(2, False),
        blocks.GroupNormalise(2),
        blocks.Flatten(0, 1),
        blocks.Flatten(2),
        blocks.Sum(()),
        blocks.Mean((2, 3), keepdims=True),
        blocks.PadFromInside(((0, 0), (0, 0), (1, 2), (2, 1)), "reflect"),
        blocks.Conv(Window((3, 3), (2, 2), (0, 0, 0, 0), (1, 1), True)),
    ],
    ids=str,
)
def test_more_settings_of_blocks(block, tmp_path):
    x = noise(2, 4, 6, 8)
    operands = [x, noise(3, 4, 3, 3)] if isinstance(block, blocks.Conv) else [x]
    runs_the_same(single(block, *operands), tmp_path, *operands)


@pytest.mark.parametrize(
    ("block", "shape"),
    [
        (blocks.Transpose(()), ()),
        (blocks.Reshape(()), (1, 1)),
        (blocks.Squeeze(()), (1, 3)),
        (blocks.Unsqueeze(()), (1, 3)),
        (blocks.Pad(()), ()),
        (blocks.Slice(()), ()),
        (blocks.BroadcastTo(()), ()),
        (blocks.Max(()), (2, 3)),
        (blocks.Normalise((), 0.1), (2, 3)),
    ],
    ids=str,
)
def test_settings_that_list_nothing(block, shape, tmp_path):
    x = np.asarray(noise(*shape))
    runs_the_same(single(block, x), tmp_path, x)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (1, 2, 3, 2, 2), (1, 2, 2, 2, 2, 2)])
def test_means_over_any_number_of_axes(shape, tmp_path):
    """Runtimes know no global average of more than three spatial axes."""
    x = noise(*shape)
    for axes in (tuple(range(2, len(shape))), tuple(range(1, len(shape)))):
        runs_the_same(single(blocks.Mean(axes, keepdims=True), x), tmp_path, x)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64"])
@pytest.mark.parametrize(
    "block",
    [blocks.Floor(), blocks.Ceil(), blocks.Round(), blocks.Sign(), blocks.IsNaN(), blocks.IsInf()],
    ids=str,
)
def test_questions_to_whole_numbers(block, dtype, tmp_path):
    x = np.array([np.iinfo(dtype).min, 0, 1, 7, np.iinfo(dtype).max], dtype)
    assert block(x).dtype == block.dtype(x.dtype)
    runs_the_same(single(block, x), tmp_path, x)


def test_truth_values_are_no_infinities(tmp_path):
    x = np.array([True, False])
    for block in (blocks.IsNaN(), blocks.IsInf(negative=False)):
        runs_the_same(single(block, x), tmp_path, x)


def test_values_without_spatial_axes(tmp_path):
    for block in (blocks.ChannelSum(1, 2), blocks.LRN(3)):
        x = noise(2, 5)
        runs_the_same(single(block, x), tmp_path, x)


# Open sizes


def pooled(block, inputs=(None, 3, None, None)):
    return Network(
        "open", {"x": inputs}, [Node("y", block, ("x",))], ["y"], typical={"x": (2, 3, 8, 8)}
    )


def test_sizes_stay_open(tmp_path):
    network = minicnn.load(written(small_map_network(), tmp_path)).derived(
        inputs={"x": (None, 3, None, None)}
    )
    path = tmp_path / "open.onnx"
    network.save(path)
    for shape in [(1, 3, 16, 16), (2, 3, 9, 20)]:
        close(by_onnxruntime(path, noise(*shape))[0], network(noise(*shape)))
    assert minicnn.load(path, shape=(1, 3, 9, 9)).inputs["x"] == (None, 3, None, None)
    value = onnx.load(path).graph.output[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in value] == ["N", 4, "x.2", "x.3"]


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_enlarging_leaves_sizes_open(mode, tmp_path):
    network = pooled(blocks.Resize(2, 2.0, mode=mode))
    network.save(tmp_path / "a.onnx")
    for shape in [(1, 3, 5, 7), (2, 3, 8, 4)]:
        close(by_onnxruntime(tmp_path / "a.onnx", noise(*shape))[0], network(noise(*shape)))


def test_multiples_of_a_size_stay_open(tmp_path):
    """A network with a way around takes multiples of 4 only: that is no reason to fix its size."""
    half = Window((2, 2), (2, 2), (0,) * 4, (1, 1))
    nodes = [Node("a", blocks.MaxPool(half), ("x",)), Node("b", blocks.MaxPool(half), ("a",))]
    for name, axis, below in [("c", 2, "b"), ("d", 3, "c")]:
        nodes.append(Node(name, blocks.Resize(axis, 4.0), (below,)))
    nodes.append(Node("y", blocks.Concat(1), ("d", "x")))
    network = Network("u", {"x": (None, 3, None, None)}, nodes, ["y"], typical={"x": (1, 3, 8, 8)})
    network.save(tmp_path / "a.onnx")
    x = noise(2, 3, 12, 20)
    close(by_onnxruntime(tmp_path / "a.onnx", x)[0], network(x))


def test_a_block_for_one_size_makes_the_file_say_so(tmp_path):
    network = pooled(blocks.AveragePool(Window((3, 3), (2, 2), (0,) * 4, (1, 1), True)))
    with pytest.warns(UserWarning, match=r"open is written for .* y \(AveragePool\)"):
        network.save(tmp_path / "a.onnx")
    assert minicnn.load(tmp_path / "a.onnx").inputs == {"x": (None, 3, 8, 8)}
    x = noise(5, 3, 8, 8)
    close(by_onnxruntime(tmp_path / "a.onnx", x)[0], network(x))


def test_a_number_of_axes_that_depends_on_the_batch_makes_the_file_say_so(tmp_path):
    nodes = [
        Node("mean", blocks.Mean((2, 3), keepdims=True), ("x",)),
        Node("y", blocks.Squeeze(), ("mean",)),
    ]
    network = Network("squeezed", {"x": (None, 3, 4, 4)}, nodes, ["y"])
    with pytest.warns(UserWarning, match=r"x \(1, 3, 4, 4\) only: y, whose number of axes depends"):
        network.save(tmp_path / "a.onnx")
    x = noise(1, 3, 4, 4)
    close(by_onnxruntime(tmp_path / "a.onnx", x)[0], network(x))


def test_coins_are_for_one_batch(tmp_path):
    network = pooled(blocks.Dropout(0.5, 3))
    with pytest.warns(UserWarning, match="Dropout"):
        network.save(tmp_path / "a.onnx")
    shape = onnx.load(tmp_path / "a.onnx").graph.input[0].type.tensor_type.shape
    assert [d.dim_value for d in shape.dim] == [2, 3, 8, 8]
    x = noise(2, 3, 8, 8)
    close(by_onnxruntime(tmp_path / "a.onnx", x)[0], network(x))


def test_what_fits_one_size_only_is_not_called_open(tmp_path):
    """A linear layer behind: the network claims any size, and takes one."""
    nodes = [Node("f", blocks.Flatten(), ("x",)), Node("y", blocks.Linear(), ("f", "w"))]
    shape = {"x": (None, 3, None, None)}
    network = Network("head", shape, nodes, ["y"], {"w": noise(5, 48)}, typical={"x": (1, 3, 4, 4)})
    network.save(tmp_path / "a.onnx")
    assert minicnn.load(tmp_path / "a.onnx").inputs == {"x": (None, 3, 4, 4)}
    x = noise(3, 3, 4, 4)
    close(by_onnxruntime(tmp_path / "a.onnx", x)[0], network(x))


# Whole networks


@pytest.mark.parametrize("count", [1, 3])
def test_the_bundled_network(count, tmp_path):
    network = mnist()
    runs_the_same(network, tmp_path, np.repeat(an_input(network), count, 0))


@pytest.mark.parametrize("make", [small_classifier, small_map_network, fire_network])
def test_networks_and_their_reversals(make, tmp_path):
    network = minicnn.load(written(make(), tmp_path))
    x = an_input(network)
    runs_the_same(network, tmp_path, x)
    tape = network.record(x)
    for code in rules.family_codes(lrn=True):
        p = noise(*tape.output.shape, seed=1)
        runs_the_same(tape.reverse(network.logits, code), tmp_path, p)


@pytest.mark.parametrize("code", rules.family_codes(lrn=True))
def test_the_bundled_network_reversed_by_every_code(code, tmp_path):
    network = mnist()
    tape = network.record(an_input(network))
    runs_the_same(tape.reverse(network.logits, code), tmp_path, noise(*tape.output.shape, seed=1))


@pytest.mark.parametrize("case", KIT, ids=lambda case: case.name)
def test_onnxruntime_passes_the_conformance_kit(case, tmp_path):
    """The kit's hand-computed signals come out of onnxruntime, by the files written here."""
    network = minicnn.load(written(case.model(), tmp_path))
    tape = network.record(case.input())
    for code, expected in case.expected.items():
        tape.reverse(network.logits, code).save(tmp_path / "reversed.onnx")
        p = np.array(case.p, np.float32).reshape(tape.output.shape)
        (found,) = by_onnxruntime(tmp_path / "reversed.onnx", p)
        np.testing.assert_allclose(found.reshape(-1), expected, rtol=1e-5, atol=1e-6)


def test_reversed_twice_it_is_the_linearised_network(tmp_path):
    network = mnist()
    tape = network.record(an_input(network))
    p = noise(*tape.output.shape, seed=1)
    back = tape.reverse()
    twice = back.record(p).reverse()
    runs_the_same(twice, tmp_path, noise(*back(p).shape, seed=2))


def test_signals_towards_parameters(tmp_path):
    """The transposes of convolutions and linear layers with respect to filters and biases."""
    network = mnist()
    x = an_input(network).astype(np.float32)
    wrt = network.parameter_names()
    learning = network.derived(
        inputs={**network.inputs, **{name: network.arrays[name].shape for name in wrt}},
        arrays={n: a for n, a in network.arrays.items() if n not in wrt},
    )
    tape = learning.record(x, *(network.arrays[name].copy() for name in wrt))
    back = tape.reverse(wrt=wrt)
    runs_the_same(back, tmp_path, noise(*tape.output.shape, seed=1))


def test_cut_networks(tmp_path):
    network = mnist()
    layers = network.layers
    x = an_input(network)
    values = dict(zip([s.name for s in network.steps(x)], network.steps(x)))
    middle = network.cut(inputs=layers[1], outputs=[layers[3], layers[5]])
    runs_the_same(middle, tmp_path, values[layers[1]].value)
    runs_the_same(network.cut(outputs=[layers[2], next(iter(network.inputs))]), tmp_path, x)


def test_a_network_trained_here(tmp_path):
    network = minicnn.load(written(small_classifier(), tmp_path)).cut(outputs="scores")
    parameters = network.parameters()
    x, labels = noise(4, 3, 16, 16), np.array([0, 1, 2, 3])
    for _ in range(3):
        loss = F.cross_entropy(network(minicnn.Tensor(x)), labels)
        for w, g in zip(parameters, minicnn.grad(loss, parameters)):
            w.data[...] -= 0.1 * g.data
    path = runs_the_same(network, tmp_path, x)
    np.testing.assert_array_equal(minicnn.load(path)(x), network(x))


def test_batches_of_several_rules(tmp_path):
    """Blocks stacked in one batch, as `tape.compare` runs them."""
    bits = np.arange(24).reshape(1, 2, 3, 4) % 3 > 0
    parts = ((blocks.Mask(Packed.pack(bits)), blocks.ReLU()), (blocks.ReLU(),), ())
    x = noise(6, 2, 3, 4)
    runs_the_same(single(blocks.Stacked(parts), x), tmp_path, x)


def test_doubles_stay_doubles(tmp_path):
    """By ONNX's reference: onnxruntime convolves floats only."""
    network = minicnn.load(written(small_classifier(), tmp_path)).astype(np.float64)
    x = an_input(network).astype(np.float64)
    tape = network.record(x)
    p = noise(*tape.output.shape, seed=1).astype(np.float64)
    for net, given in [(network, x), (tape.reverse(), p)]:
        net.save(tmp_path / "double.onnx")
        (name,) = net.inputs
        found = ReferenceEvaluator(str(tmp_path / "double.onnx")).run(None, {name: given})[0]
        assert found.dtype == np.float64
        assert np.abs(found - net(given)).max() <= 1e-9 * np.abs(found).max()


REAL = ["squeezenet1.1", "alexnet_features", "li2018_resnet56", "dcgan_faces"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::minicnn.rules.UnmatchedWarning")
@pytest.mark.parametrize("name", REAL)
def test_real_networks_and_their_reversals(name, tmp_path):
    network = minicnn.load(shared(f"models/{name}.onnx"))
    x = an_input(network)
    path = runs_the_same(network, tmp_path, x)
    np.testing.assert_array_equal(minicnn.load(path)(x), network(x))
    tape = network.record(x)
    for code in rules.family_codes():
        runs_the_same(
            tape.reverse(network.logits, code), tmp_path, noise(*tape.output.shape, seed=1)
        )


# What goes wrong


class Mine(blocks.Scale):
    """A block that minicnn does not know."""


def test_a_block_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_TABLE", dict(registry._TABLE))
    x = noise(2, 3)
    network = single(Mine(3.0), x)
    with pytest.raises(errors.OutputError) as caught:
        network.save(tmp_path / "a.onnx")
    for part in ("At y", "Mine", "@minicnn.onnx.writer(Mine)"):
        assert part in str(caught.value)
    assert not list(tmp_path.iterdir())

    @minicnn.onnx.writer(Mine)
    def mine(call):
        return call.node("Mul", call[0], call.block.factor)

    runs_the_same(network, tmp_path, x)


def test_all_blocks_without_a_writer_are_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_REASONS", {blocks.ReLU: "we are in a test"})
    monkeypatch.setattr(registry, "_TABLE", {})
    nodes = [Node(f"r{i}", blocks.ReLU(), (f"r{i - 1}" if i else "x",)) for i in range(5)]
    nodes.append(Node("y", blocks.Exp(), ("r4",)))
    with pytest.raises(errors.OutputError) as caught:
        Network("n", {"x": (2,)}, nodes, ["y"]).save(tmp_path / "a.onnx")
    for part in ("At r0, r1, r2, ...", "we are in a test", "At y", "a Exp is written"):
        assert part in str(caught.value)


def test_a_grid_that_is_computed_has_no_transpose_in_onnx(tmp_path):
    grid = noise(1, 2, 2, 2)
    network = single(blocks.GridPut(size=(3, 3)), noise(1, 2, 2, 2), grid)
    with pytest.raises(errors.OutputError, match=r"At y: ONNX has no GridPut"):
        network.save(tmp_path / "a.onnx")


def test_a_place_that_cannot_be_written(tmp_path):
    network = mnist()
    with pytest.raises(errors.OutputError, match="does not exist"):
        network.save(tmp_path / "nowhere" / "a.onnx")
    with pytest.raises(errors.OutputError, match="it is a folder"):
        network.save(tmp_path)


def test_the_file_there_stays_if_the_new_one_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.onnx"
    path.write_text("precious")
    monkeypatch.setattr(registry, "_TABLE", {})
    with pytest.raises(errors.OutputError):
        mnist().save(path)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_writes_nonsense_is_found_by_the_checker(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_TABLE", dict(registry._TABLE))

    @minicnn.onnx.writer(Mine)
    def mine(call):
        return call.node("Mull", call[0])

    network = single(Mine(3.0), noise(2))
    with pytest.raises(errors.OutputError, match="checker refuses"):
        network.save(tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_more_than_a_file_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["minicnn.onnx.save"], "LARGEST", 1000)
    with pytest.raises(errors.OutputError, match="2 GB at most"):
        mnist().save(tmp_path / "a.onnx")


def test_the_parts_of_a_split_are_nodes_of_different_names(tmp_path):
    parts = [node("Split", ["x"], ["a", "b", "c"], axis=1, name="split"),
             node("Add", ["a", "b"], ["d"]), node("Mul", ["d", "c"], ["y"])]  # fmt: skip
    onnx.save(graph(parts, {"x": (1, 6, 4, 4)}), tmp_path / "in.onnx")
    network = minicnn.load(tmp_path / "in.onnx")
    network.save(tmp_path / "out.onnx")
    x = np.random.default_rng(0).standard_normal((1, 6, 4, 4)).astype(np.float32)
    close(by_onnxruntime(tmp_path / "out.onnx", x)[0], network(x))
    names = [proto.name for proto in onnx.load(tmp_path / "out.onnx").graph.node]
    assert len(set(names)) == len(names)
    assert "split" in names

"""The nine graphs that onnx carries, with random weights, and wrong versions of them.

Right: class scores equal onnxruntime's. Wrong: for graphs changed a little (a ReLU left out, an
average for a maximum, pads shifted, ...) onnxruntime's scores differ from minicnn's of the graph as
it was, so a reader that made such a mistake would be caught; and minicnn reads the changed graph as
onnxruntime does.
"""

from importlib import import_module
from pathlib import Path

import onnx
import pytest
from onnx import helper

import minicnn

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow

WITHIN = 1e-3  # of the largest score
GRAPHS = [
    "light_bvlc_alexnet", "light_densenet121", "light_inception_v1", "light_inception_v2",
    "light_resnet50", "light_shufflenet", "light_squeezenet", "light_vgg19", "light_zfnet512",
]  # fmt: skip


def bypassed(graph, node):
    """Leave a node out: what read it reads what it read."""
    for reader in graph.node:
        for i, name in enumerate(reader.input):
            if name == node.output[0]:
                reader.input[i] = node.input[0]
    graph.node.remove(node)


def replaced(node, op, drop=(), **attributes):
    """Another operator in a node's place."""
    kept = [a for a in node.attribute if a.name not in {*drop, *attributes}]
    del node.attribute[:]
    node.op_type = op
    node.attribute.extend(kept)
    node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())


def pads(node):
    return next((list(a.ints) for a in node.attribute if a.name == "pads"), [0, 0, 0, 0])


def attribute(node, name):
    return next(helper.get_attribute_value(a) for a in node.attribute if a.name == name)


def nodes(graph, op):
    return [node for node in graph.node if node.op_type == op]


def middle(graph, op):
    found = nodes(graph, op)
    return found[len(found) // 2]


def padded_conv(graph):
    found = [node for node in nodes(graph, "Conv") if pads(node)[0]]
    return found[len(found) // 2]


def no_relu(graph):
    bypassed(graph, middle(graph, "Relu"))


def no_last_relu(graph):
    bypassed(graph, nodes(graph, "Relu")[-1])


def leaky_relu(graph):
    replaced(middle(graph, "Relu"), "LeakyRelu", alpha=0.01)


def average_for_max(graph):
    replaced(nodes(graph, "MaxPool")[0], "AveragePool")


def max_for_average(graph):
    replaced(middle(graph, "AveragePool"), "MaxPool", drop=("count_include_pad",))


def global_max_for_average(graph):
    replaced(nodes(graph, "GlobalAveragePool")[0], "GlobalMaxPool")


def shifted_pads(graph):
    node = padded_conv(graph)
    a, b, c, d = pads(node)
    replaced(node, "Conv", pads=[a + 1, b, c - 1, d])


def pads_swapped_end_for_end(graph):
    node = next(node for node in nodes(graph, "MaxPool") if pads(node)[:2] != pads(node)[2:])
    a, b, c, d = pads(node)
    replaced(node, "MaxPool", pads=[c, d, a, b])


def moved_pool_pads(graph):
    node = nodes(graph, "MaxPool")[0]
    a, b, c, d = pads(node)
    replaced(node, "MaxPool", pads=[a + 1, b + 1, max(c - 1, 0), max(d - 1, 0)])


def no_lrn(graph):
    bypassed(graph, nodes(graph, "LRN")[-1])


def narrower_lrn(graph):
    node = nodes(graph, "LRN")[0]
    replaced(node, "LRN", size=attribute(node, "size") - 2)


def lrn_undivided(graph):
    """Alpha not divided by the size."""
    node = nodes(graph, "LRN")[0]
    replaced(node, "LRN", alpha=attribute(node, "alpha") * attribute(node, "size"))


def reversed_concat(graph):
    node = middle(graph, "Concat")
    turned = list(node.input)[::-1]
    del node.input[:]
    node.input.extend(turned)


def no_batch_norm(graph):
    bypassed(graph, middle(graph, "BatchNormalization"))


def other_epsilon(graph):
    replaced(middle(graph, "BatchNormalization"), "BatchNormalization", epsilon=0.1)


def statistics_swapped(graph):
    """Scale and variance in each other's place."""
    node = middle(graph, "BatchNormalization")
    node.input[1], node.input[4] = node.input[4], node.input[1]


def no_shortcut(graph):
    node = middle(graph, "Sum")
    del node.input[1:]


def no_shuffle(graph):
    """Channels of a group stay together."""
    bypassed(graph, middle(graph, "Transpose"))


def no_bias(graph):
    del middle(graph, "Conv").input[2:]


def no_last_bias(graph):
    node = nodes(graph, "Gemm")[-1]
    replaced(node, "Gemm", beta=0.0)


def pads_not_counted(graph):
    node = next(node for node in nodes(graph, "AveragePool") if any(pads(node)))
    counted = any(a.name == "count_include_pad" and a.i for a in node.attribute)
    replaced(node, "AveragePool", count_include_pad=int(not counted))


def no_scale(graph):
    bypassed(graph, middle(graph, "Mul"))


def filters_turned(graph):
    """Convolution in the place of cross-correlation, along one axis."""
    node = padded_conv(graph)
    name, at = node.input[1], list(graph.node).index(node)
    graph.node.insert(at, helper.make_node("Transpose", [name], ["turned"], perm=[0, 1, 3, 2]))
    node.input[1] = "turned"


COMMON = [no_relu, average_for_max, shifted_pads]
MORE = {
    "light_bvlc_alexnet": [pads_swapped_end_for_end, no_lrn, narrower_lrn, lrn_undivided, no_bias,
                           no_last_bias],
    "light_densenet121": [max_for_average, global_max_for_average, reversed_concat,
                          statistics_swapped, no_scale],
    "light_inception_v1": [moved_pool_pads, max_for_average, no_lrn, reversed_concat],
    "light_inception_v2": [max_for_average, reversed_concat, no_batch_norm, pads_not_counted],
    "light_resnet50": [max_for_average, no_batch_norm, other_epsilon, no_shortcut],
    "light_shufflenet": [no_last_relu, no_shuffle, no_shortcut, reversed_concat],
    "light_squeezenet": [leaky_relu, filters_turned, global_max_for_average, reversed_concat],
    "light_vgg19": [],
    "light_zfnet512": [no_lrn, moved_pool_pads],
}  # fmt: skip
CHANGES = [
    pytest.param(name, change, id=f"{name}-{change.__name__}")
    for name in GRAPHS
    for change in [*COMMON, *MORE[name]]
]


@pytest.fixture(scope="module")
def benchmark_module():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
        yield import_module


@pytest.fixture(scope="module")
def judges(benchmark_module):
    return benchmark_module("judges")


@pytest.fixture(scope="module")
def graphs(benchmark_module):
    return benchmark_module("light_graphs")


@pytest.fixture(scope="module")
def light(graphs, tmp_path_factory):
    """File, input and scores of the graph last asked for; tests of one graph follow each other."""
    kept = {}

    def get(name):
        if name not in kept:
            for path, _, _ in kept.values():
                path.with_suffix(".data").unlink()
            kept.clear()
            path = graphs.reseeded(name, tmp_path_factory.mktemp(name))
            x = graphs.image(graphs.light_graph(name))
            kept[name] = path, x, minicnn.load(path)(*x.values())
        return kept[name]

    yield get
    for path, _, _ in kept.values():
        path.with_suffix(".data").unlink()


def test_all_graphs_are_tried(graphs):
    assert graphs.GRAPHS == GRAPHS
    assert len(CHANGES) >= 44


@pytest.mark.parametrize("name", GRAPHS)
def test_scores_equal_onnxruntimes(light, judges, name):
    path, x, found = light(name)
    (expected,) = judges.by_onnxruntime(path, x)
    assert judges.share(found, expected) <= WITHIN
    assert expected.std() > abs(expected).max() / 40  # not all the same


@pytest.mark.parametrize(("name", "change"), CHANGES)
def test_a_wrong_graph_is_caught(light, graphs, judges, name, change):
    path, x, found = light(name)
    model = onnx.load(path, load_external_data=False)
    change(model.graph)
    graphs.drop_unused(model)
    wrong = path.with_name("wrong.onnx")  # beside the weights
    wrong.write_bytes(model.SerializeToString())
    (expected,) = judges.by_onnxruntime(wrong, x)
    assert judges.share(found, expected) > WITHIN
    assert judges.share(minicnn.load(wrong)(*x.values()), expected) <= WITHIN

"""The whole on real networks and photos; skipped where the shared test data is absent."""

import gzip

import numpy as np
import pytest
from conftest import shared

import minicnn
from minicnn import kernels, rules, seeds
from minicnn.attribution import selectivity, top_classes

ort = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow

NETWORKS = [
    "squeezenet1.1",
    "vgg16_features",
    "alexnet_features",
    "adain_encoder",
    "dcgan_faces",
    "li2018_resnet56",
    "li2018_resnet56_noshort",
]
PHOTOS = ["cat_dog.png", "imagenet_00_243.jpg", "imagenet_08_915.jpg"]


def network(name):
    return minicnn.load(shared(f"models/{name}.onnx"))


def photo(name, net):
    return minicnn.data.photo(shared(f"photos/{name}"), net.preprocess)


def reference(name, x):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(shared(f"models/{name}.onnx")), options)
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def an_input(name, net):
    shape = net.infer_shapes()[next(iter(net.inputs))]
    if shape[1:3] == (3, 224):
        return photo(PHOTOS[1], net)
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_equal_onnxruntimes(name):
    net = network(name)
    x = an_input(name, net)
    expected = reference(name, x)
    assert np.abs(net(x) - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["vgg16_features", "adain_encoder"])
def test_open_sizes_stay_open(name):
    net = network(name)
    x = np.random.default_rng(0).standard_normal((2, 3, 75, 50)).astype(np.float32)
    expected = reference(name, x)
    assert np.abs(net(x) - expected).max() <= 1e-4 * np.abs(expected).max()


def test_a_baked_batch_is_opened():
    net = network("li2018_resnet56")
    x = np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(np.float32)
    one_by_one = np.concatenate([net(x[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(net(x), one_by_one, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_salinet_is_the_directional_derivative_in_float64(name):
    net = network(name).astype(np.float64)
    generator = np.random.default_rng(1)
    x = an_input(name, net).astype(np.float64)
    tape = net.record(x)
    p = generator.standard_normal(tape.output.shape)
    v = generator.standard_normal(x.shape)
    dx = tape.backward(p)
    step = 1e-7
    slope = (p * (net(x + step * v) - net(x - step * v))).sum() / (2 * step)
    # a ReLU or a maximum may switch within the step
    assert (dx * v).sum() == pytest.approx(slope, rel=1e-4, abs=1e-6 * np.abs(dx).sum())


@pytest.mark.parametrize("name", ["squeezenet1.1", "alexnet_features", "li2018_resnet56"])
def test_reversing_salinets_network_twice_is_the_forward_differential(name):
    net = network(name).astype(np.float64)
    generator = np.random.default_rng(2)
    x = an_input(name, net).astype(np.float64)
    v = generator.standard_normal(x.shape)
    reversed_network = net.record(x).reverse()
    differential = reversed_network.reverse()(v)
    step = 1e-7
    expected = (net(x + step * v) - net(x - step * v)) / (2 * step)
    np.testing.assert_allclose(differential, expected, atol=1e-4 * np.abs(expected).max())
    # <p, J v> = <J^T p, v>: the reversed network's Jacobian is the transpose
    p = generator.standard_normal(expected.shape)
    assert (p * differential).sum() == pytest.approx((reversed_network(p) * v).sum(), rel=1e-9)


@pytest.mark.parametrize("name", ["squeezenet1.1", "alexnet_features"])
def test_all_rules_from_one_tape_equal_the_rules_one_at_a_time(name):
    net = network(name)
    x = photo(PHOTOS[0], net)
    tape = net.record(x)
    layer = tape.network.layers[len(net.layers) * 2 // 3]
    seed = seeds.max_unit(tape, layer)
    bits = [c.kept.statistic.unpack() for c in tape.calls if c.kept.statistic]
    together = tape.compare(seed, rules.family_codes())
    for code in rules.family_codes():
        alone = net.record(x, rules=[code]).backward(seed, code)
        np.testing.assert_array_equal(together[rules.find(code).name], alone)
    with kernels.evenly(tape.even):
        np.testing.assert_array_equal(tape.output, net(x))
    after = [c.kept.statistic.unpack() for c in tape.calls if c.kept.statistic]
    assert all(np.array_equal(a, b) for a, b in zip(bits, after, strict=True))


def test_guided_backprop_is_desalinet_on_a_net_without_lrn():
    net = network("squeezenet1.1")
    tape = net.record(photo(PHOTOS[0], net))
    seed = seeds.logit(tape)
    np.testing.assert_array_equal(
        tape.backward(seed, "guided_backprop"), tape.backward(seed, "desalinet")
    )


def test_squeezenet_knows_its_photos():
    net = network("squeezenet1.1")
    found = 0
    for path in sorted(shared("photos/cat_dog.png").parent.glob("imagenet_*.jpg")):
        label = int(path.stem.split("_")[-1])
        top = top_classes(net.record(minicnn.data.photo(path, net.preprocess)), 5)
        found += label in [number for number, _, _ in top]
    assert found >= 8  # of ten photos


def test_the_names_of_imagenet_agree_with_the_reference_list():
    import json

    reference_names = json.loads(shared("imagenet_labels.json").read_text())
    for number, name in enumerate(minicnn.data.imagenet_names()):
        theirs = reference_names[str(number)].replace("_", " ")
        assert theirs.lower() in name.lower()


@pytest.mark.parametrize("name", PHOTOS)
def test_deconvnet_hardly_depends_on_the_neuron_and_salinet_does(name):
    """Figure 4 of the paper, on VGG-16's pool4."""
    net = network("vgg16_features")
    tape = net.record(photo(name, net))
    deconvnet = selectivity(tape, "pool4", "deconvnet", seed=0)
    salinet = selectivity(tape, "pool4", "salinet", seed=0)
    assert deconvnet.max_noise > 0.6
    assert abs(salinet.max_random) < 0.35
    assert deconvnet.max_random > abs(salinet.max_random) + 0.2


def test_the_bundled_network_keeps_its_promise():
    net = minicnn.load(minicnn.data.bundled_model())
    folder = shared("mnist/t10k-images-idx3-ubyte.gz").parent
    raw = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    raw = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())
    labels = np.frombuffer(raw, np.uint8, offset=8)
    right = 0
    for i in range(0, len(images), 500):
        scores = net.cut(outputs="scores")(images[i : i + 500].astype(np.float32) / 255)
        right += int((scores.argmax(1) == labels[i : i + 500]).sum())
    assert right / len(images) >= 0.99
    assert net.metadata["minicnn.accuracy"].startswith(f"{right / len(images):.4f}")

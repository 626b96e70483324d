"""Incremental runs and occlusion: exact against full forward runs, on small and real networks."""

import numpy as np
import pytest
from conftest import shared

import minicnn
from minicnn import blocks as B
from minicnn.attribution import RISE, Occlusion, occlude, watch
from minicnn.attribution.incremental import Change, Incremental
from minicnn.attribution.occlusion import FILLS, positions
from minicnn.errors import InputError, UnitError, UnknownNameError
from minicnn.graph import Node
from minicnn.kernels import Window
from minicnn.network import Network


def net(nodes, arrays, output, channels=3, size=None, dtype=np.float32):
    arrays = {name: np.asarray(a, dtype) for name, a in arrays.items()}
    shape = (None, channels, *(size or (None, None)))
    typical = {"x": (1, channels, *(size or (17, 19)))}
    made = Network("net", {"x": shape}, nodes, [output], arrays, typical=typical, dtype=dtype)
    return made.freeze()


def window(k, s=1, p=(0, 0, 0, 0), d=1, ceil=False):
    return Window((k, k), (s, s), p, (d, d), ceil)


def branching(rng, size=(17, 19), dtype=np.float32):
    """Asymmetric pads, dilation, strides, overlapping pools, branches, gates, batch norm, LRN."""

    def w(*shape):
        return rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))

    nodes = [
        Node("c1", B.Conv(window(3, 2, (1, 0, 2, 1))), ("x", "w1", "b1")),
        Node("n1", B.BatchNorm(), ("c1", "g", "s", "m", "v")),
        Node("r1", B.ReLU(), ("n1",)),
        Node("a1", B.Conv(window(1)), ("r1", "w2", "b2")),
        Node("a2", B.Conv(window(3, 1, (2, 2, 2, 2), 2)), ("r1", "w3")),
        Node("cat", B.Concat(1), ("a1", "a2")),
        Node("lrn", B.LRN(3), ("cat",)),
        Node("pool", B.MaxPool(window(3, 2, (1, 1, 1, 1), ceil=True)), ("lrn",)),
        Node("pad", B.Pad(((0, 0), (0, 0), (1, 2), (0, 1))), ("pool",)),
        Node("avg", B.AveragePool(window(2, 1)), ("pad",)),
        Node("c4", B.Conv(window(3, 1, (1, 1, 1, 1)), 2), ("avg", "w4", "b4")),
        Node("sum", B.Add(), ("avg", "c4")),
        Node("mean", B.Mean((2, 3), True), ("sum",)),
        Node("gate", B.Sigmoid(), ("mean",)),
        Node("gated", B.Multiply(), ("sum", "gate")),
        Node("up", B.Resize(2, factor=2.0, mode="linear"), ("gated",)),
        Node("r5", B.ReLU(), ("up",)),
        Node("flat", B.Flatten(), ("r5",)),
        Node("y", B.Linear(), ("flat", "w5", "b5")),
    ]
    arrays = {
        "w1": w(8, 3, 3, 3), "b1": w(8, 1)[:, 0], "g": 1 + 0.1 * w(8, 1)[:, 0],
        "s": w(8, 1)[:, 0], "m": w(8, 1)[:, 0], "v": np.abs(w(8, 1)[:, 0]) + 0.5,
        "w2": w(4, 8, 1, 1), "b2": w(4, 1)[:, 0], "w3": w(6, 8, 3, 3),
        "w4": w(10, 5, 3, 3), "b4": w(10, 1)[:, 0],
    }  # fmt: skip
    small = net(nodes[:-1], arrays, "flat", size=size, dtype=dtype)
    features = small.infer_shapes((1, 3, *size))["flat"][1]
    arrays |= {"w5": w(7, features), "b5": w(7, 1)[:, 0]}
    return net(nodes, arrays, "y", size=size, dtype=dtype)


def changes(rng, x, size, count):
    places = np.stack([rng.integers(0, n - m + 1, count)
                       for n, m in zip(x.shape[2:], size, strict=True)], 1)  # fmt: skip
    return Change(rng.standard_normal((count, x.shape[1], *size)).astype(x.dtype), places)


def full_runs(network, x, change, name):
    values = []
    for box, (top, left) in zip(change.values, change.places, strict=True):
        occluded = x.copy()
        occluded[0, :, top : top + box.shape[1], left : left + box.shape[2]] = box
        values.append(network.values({next(iter(network.inputs)): occluded}, [name])[name])
    return np.concatenate(values)


def assert_exact(network, x, change, names, tolerance):
    run = Incremental(network, x, names)
    found = run.run(change)
    for name in names:
        whole, expected = run.whole(name, found[name]), full_runs(network, x, change, name)
        assert whole.shape == expected.shape
        assert np.abs(whole - expected).max() <= tolerance * np.abs(expected).max(), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [(1, 1), (4, 6), (17, 19)])
def test_incremental_runs_are_full_runs(rng, size, dtype):
    network = branching(rng, dtype=dtype)
    x = rng.standard_normal((1, 3, 17, 19)).astype(dtype)
    names = ["r1", "cat", "pool", "pad", "c4", "gate", "up", "flat", "y"]
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    assert_exact(network, x, changes(rng, x, size, 7), names, tolerance)


def test_the_bits_outside_of_a_box_are_those_of_the_clean_run(rng):
    network = branching(rng)
    x = rng.standard_normal((1, 3, 17, 19)).astype(np.float32)
    run = Incremental(network, x, ["c1"])
    change = run.run(changes(rng, x, (2, 2), 1))["c1"]
    whole, clean = run.whole("c1", change), run.clean["c1"]
    (top, left), (height, width) = change.places[0], change.values.shape[2:]
    outside = np.ones(clean.shape[2:], bool)
    outside[top : top + height, left : left + width] = False
    assert height <= 2
    assert width <= 2
    np.testing.assert_array_equal(whole[0][:, outside], clean[0][:, outside])


def test_a_fully_connected_layer_gets_the_difference_alone(rng):
    """The low-rank update runs for small boxes, and gives what the whole product gives."""
    nodes = [
        Node("c", B.Conv(window(3, 1, (1, 1, 1, 1))), ("x", "w")),
        Node("flat", B.Flatten(), ("c",)),
        Node("y", B.Linear(), ("flat", "m", "b")),
        Node("z", B.ReLU(), ("y",)),
    ]
    arrays = {"w": rng.standard_normal((5, 3, 3, 3)), "m": rng.standard_normal((6, 5 * 12 * 10)),
              "b": rng.standard_normal(6)}  # fmt: skip
    network = net(nodes, arrays, "z", size=(12, 10))
    x = rng.standard_normal((1, 3, 12, 10)).astype(np.float32)
    for size, updated in (((3, 2), True), ((12, 10), False)):
        run = Incremental(network, x, ["z"])
        change = changes(rng, x, size, 6)
        found = run.whole("z", run.run(change)["z"])
        np.testing.assert_allclose(found, full_runs(network, x, change, "z"), atol=2e-4)
        assert bool(run._matrices) == updated


@pytest.mark.parametrize(
    ("file", "size", "names"),
    [
        ("squeezenet1.1.onnx", (224, 224), None),
        ("alexnet_features.onnx", (224, 224), ["pool5"]),
        ("li2018_resnet56.onnx", (32, 32), None),
        ("adain_decoder.onnx", (12, 12), None),
    ],
)
def test_real_networks_run_incrementally(rng, file, size, names):
    network = minicnn.load(shared(f"models/{file}"))
    channels = network.default_shape(next(iter(network.inputs)))[1]
    x = rng.standard_normal((1, channels, *size)).astype(np.float32)
    patch = (max(2, size[0] // 7), max(2, size[1] // 7))
    # reflecting pads and Winograd's rounding: 1e-5 of the largest, or a little more
    assert_exact(network, x, changes(rng, x, patch, 4), names or [network.outputs[0]], 2e-5)


def test_deviation_of_a_scan_from_full_runs_is_below_1e_5():
    network = minicnn.load("mnist")
    x = minicnn.data.photo("digit_7", network.preprocess)
    found = occlude(network, x, 5, 3, "mean")
    cover = np.full((1, 5, 5), x.mean(), np.float32)
    for i, top in enumerate(found.tops):
        for j, left in enumerate(found.lefts):
            change = Change(cover[None], np.array([[top, left]]))
            expected = full_runs(network, x, change, network.logits)[0]
            deviation = np.abs(found.scores[i, j] - expected).max()
            assert deviation <= 1e-5 * np.abs(expected).max()


# Occlusion


def linear(rng, size=(8, 9)):
    """y = <w, x>, whose occlusion by zeros is known."""
    nodes = [Node("flat", B.Flatten(), ("x",)), Node("y", B.Linear(), ("flat", "w"))]
    return net(nodes, {"w": rng.standard_normal((4, 2 * size[0] * size[1]))}, "y", 2, size)


def test_a_linear_network_loses_what_its_weights_say(rng):
    network = linear(rng)
    x = rng.standard_normal((1, 2, 8, 9)).astype(np.float32)
    found = occlude(network, x, (3, 2), (2, 3), fill=0.0)
    parts = (network.arrays["w"][1].reshape(2, 8, 9) * x[0]).sum(0)
    drop = found.drop(1)
    for i, top in enumerate(found.tops):
        for j, left in enumerate(found.lefts):
            expected = parts[top : top + 3, left : left + 2].sum()
            assert drop[i, j] == pytest.approx(expected, abs=1e-4)


def test_attribution_is_the_mean_of_the_patches_over_a_pixel(rng):
    network = linear(rng)
    x = rng.standard_normal((2, 2, 8, 9)).astype(np.float32)
    values = Occlusion(network, patch=4, stride=3, fill=0.0).attribute(x, [1, 2])
    assert values.shape == x.shape
    for n, target in enumerate((1, 2)):
        parts = (network.arrays["w"][target].reshape(2, 8, 9) * x[n]).sum(0)
        total, count = np.zeros((8, 9)), np.zeros((8, 9))
        for top in (0, 3, 4):
            for left in (0, 3, 5):
                box = (slice(top, top + 4), slice(left, left + 4))
                total[box] += parts[box].sum()
                count[box] += 1
        np.testing.assert_allclose(values[n], np.stack([total / count] * 2), atol=1e-4)


def test_positions_reach_the_end():
    assert positions(224, 32, 8).tolist() == list(range(0, 193, 8))
    assert positions(28, 28, 5).tolist() == [0]
    assert positions(28, 5, 7).tolist() == [0, 7, 14, 21, 23]


def test_what_is_watched_is_what_full_runs_have():
    network = minicnn.load("mnist")
    x = minicnn.data.photo("digit_4", network.preprocess)
    texts = [("pool1", "max"), ("pool1:7", "max"), ("pool1:7", "sum"), ("pool1:7,5,6", "max"),
             ("scores:4", "max")]  # fmt: skip
    watched = [watch(network, text, how) for text, how in texts]
    found = occlude(network, x, 9, 9, "black", watched)
    black = np.full((1, 1, 9, 9), -network.preprocess.mean[0] / network.preprocess.std[0])
    change = Change(black.astype(np.float32), np.array([[found.tops[1], found.lefts[1]]]))
    pool = full_runs(network, x, change, "pool1")[0]
    scores = full_runs(network, x, change, "scores")[0]
    expected = [pool.max(), pool[7].max(), pool[7].sum(), pool[7, 5, 6], scores[4]]
    got = [found.watched[one][1][1, 1] for one in watched]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    assert found.probabilities(4).shape == found.labels().shape == found.drop(4).shape


@pytest.mark.parametrize("fill", [*FILLS, 0.25, [0.1]])
def test_every_fill_covers(fill):
    network = minicnn.load("mnist")
    x = minicnn.data.photo("digit_8", network.preprocess)
    assert np.isfinite(occlude(network, x, 14, 14, fill).scores).all()


def test_an_interrupted_scan_goes_on_and_gives_the_same_bits(tmp_path):
    network = minicnn.load("mnist")
    x = minicnn.data.photo("digit_8", network.preprocess)
    path = tmp_path / "scan.npz"

    def stop(items, what, total):
        for number, item in enumerate(items):
            if number == 2:
                raise KeyboardInterrupt
            yield item

    class Eager(minicnn.checkpoint.Checkpoint):
        def offer(self, arrays):
            self.write(arrays())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minicnn.attribution.occlusion.Checkpoint", Eager)
        patch.setattr("minicnn.attribution.occlusion.BUDGET", 1 << 20)
        whole = occlude(network, x, 3, 1)
        with pytest.raises(KeyboardInterrupt):
            occlude(network, x, 3, 1, track=stop, checkpoint=path)
        assert path.exists()
        again = occlude(network, x, 3, 1, checkpoint=path)
    assert not path.exists()
    np.testing.assert_array_equal(again.scores, whole.scores)


def test_bad_input_is_explained(rng):
    network = minicnn.load("mnist")
    x = minicnn.data.photo("digit_8", network.preprocess)
    with pytest.raises(InputError, match="larger than the photo"):
        occlude(network, x, 29)
    with pytest.raises(InputError, match="1 pixel or more"):
        occlude(network, x, 5, 0)
    with pytest.raises(InputError, match="no fill"):
        occlude(network, x, 5, 5, "pink")
    with pytest.raises(InputError, match="one number"):
        occlude(network, x, 5, 5, [1.0, 2.0])
    with pytest.raises(InputError, match="one photo"):
        occlude(network, np.concatenate([x, x]), 5)
    with pytest.raises(UnknownNameError, match="pool1"):
        watch(network, "pol1:3")
    with pytest.raises(UnitError, match="units of shape"):
        watch(network, "pool1:99")
    with pytest.raises(InputError, match="One image"):
        Incremental(network, np.concatenate([x, x]), ["scores"])


# RISE


def test_rise_finds_the_pixels_that_count_and_repeats():
    network = minicnn.load("mnist")
    x = minicnn.data.photo("digit_7", network.preprocess)
    method = RISE(network, count=400, cells=7, seed=3)
    values = method.attribute(x, 7)
    assert values.shape == x.shape
    np.testing.assert_array_equal(values, method.attribute(x, 7))
    ink = x[0, 0] > 0
    assert values[0, 0][ink].mean() > values[0, 0][~ink].mean()


def test_masks_are_enlarged_coins(rng):
    from minicnn.attribution.rise import masks

    found = masks(300, 4, 0.3, (20, 30), rng)
    assert found.shape == (300, 1, 20, 30)
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.mean() == pytest.approx(0.3, abs=0.02)


def test_rise_refuses_nonsense():
    network = minicnn.load("mnist")
    with pytest.raises(InputError, match="RISE needs"):
        RISE(network, count=0)


def test_occlusion_agrees_with_captum(rng):
    torch = pytest.importorskip("torch")
    captum = pytest.importorskip("captum.attr")
    network = minicnn.load("mnist")
    x = minicnn.data.photo("digit_7", network.preprocess)
    scores = network.cut(outputs=network.logits)
    ours = Occlusion(network, patch=6, stride=2, fill=0.5).attribute(x, 7)

    def forward(batch):
        return torch.from_numpy(np.ascontiguousarray(scores(batch.numpy())))

    theirs = captum.Occlusion(forward).attribute(
        torch.from_numpy(x), (1, 6, 6), strides=(1, 2, 2), target=7, baselines=0.5
    )
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-4 * np.abs(ours).max())

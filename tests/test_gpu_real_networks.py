"""Real networks on a card against the CPU: forwards, and backwards under the three rules.

In float64, since in float32 units near zero turn their masks with the last bit. On CuPy's stand-in
images are small; on a card they have the size that the network is made for.
"""

import numpy as np
import pytest
from conftest import shared

import minicnn
from minicnn import seeds

NETWORKS = {  # height and width on the stand-in, which is slow; 0: on a card only
    "alexnet_features": 95,
    "vgg16_features": 0,
    "squeezenet1.1": 0,
    "li2018_resnet56": 32,
    "li2018_resnet56_noshort": 0,
    "dcgan_faces": 1,
    "adain_decoder": 4,
    "adain_encoder": 0,
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::minicnn.rules.UnmatchedWarning")  # tanh, by all rules
@pytest.mark.parametrize("name", NETWORKS)
def test_agrees_with_the_cpu(cupy, rng, name):
    net = minicnn.load(shared(f"models/{name}.onnx"))
    shape = net.default_shape(next(iter(net.inputs)))
    if hasattr(cupy, "copies"):
        small = NETWORKS[name]
        if not small:
            pytest.skip("takes a quarter of a minute on the stand-in: set its size to try")
        shape = (*shape[:2], small, small)
    x = rng.standard_normal(shape)
    single = x.astype(np.float32)
    wanted = net(single)
    got = net.to("cuda")(cupy.array(single)).get()
    np.testing.assert_allclose(got, wanted, atol=1e-5 * np.abs(wanted).max())

    double = net.astype(np.float64)
    host, card = double.record(x), double.to("cuda").record(cupy.array(x))
    seed = seeds.max_unit(host, net.outputs[0])
    for rule in ("salinet", "deconvnet", "desalinet"):
        signal, found = host.backward(seed, rule), card.backward(seed, rule).get()
        np.testing.assert_allclose(found, signal, atol=1e-10 * np.abs(signal).max())

"""Small networks as torch's two exporters write them, against onnxruntime and torch's gradients.

`benchmarks/torch_exports.py` does the same for more networks at their usual sizes.
"""

from argparse import Namespace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

for package in ("torch", "torchvision", "onnxscript", "onnxruntime"):
    if find_spec(package) is None:
        reason = f"needs {package}: pip install torch onnxscript onnxruntime, and torchvision"
        pytest.skip(reason, allow_module_level=True)

OPTIONS = Namespace(side=64, keep=None)
SMALL = ["squeezenet1_1", "shufflenet_v2_x1_0", "mobilenet_v3_small", "resnet18"]


@pytest.fixture(scope="module")
def exports():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
        yield import_module("torch_exports")


@pytest.fixture(scope="module", params=SMALL)
def named(request, exports):
    return request.param, import_module("torch_networks").module(request.param, side=OPTIONS.side)


@pytest.mark.parametrize("exporter", ["script", "dynamo"])
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_outputs_and_gradients_agree(exports, named, exporter, dynamic):
    name, net = named
    row = exports.run(name, exporter, dynamic, net, OPTIONS)
    assert row["verdict"] in ("agrees", "agrees in float64"), row
    assert max(row["forward"]) <= 1e-4
    assert max(row["in float64"] or row["gradient"]) <= 1e-3
    assert max(row["same masks"], default=0) <= 1e-4

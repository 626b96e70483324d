"""The peer benchmark: its networks are what they say, its ratios are right, and it runs."""

import json
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest

import minicnn

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

PARAMETERS = {  # as torchvision's models have; CIFAR's ResNet with projections
    "vgg16": 138_357_544,
    "resnet50": 25_557_032,
    "resnet18": 11_689_512,
    "alexnet": 61_100_840,
    "squeezenet": 1_235_496,
    "vgg16-features": 14_714_688,
    "lenet": 431_080,
    "resnet20": 272_474,
}


@pytest.fixture
def benchmark_module(monkeypatch):
    """Import a module of the benchmarks' folder by its name."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module


def learned(network) -> int:
    return sum(network.arrays[name].size for name in network.parameter_names())


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("batch", [1, "N"])
def test_networks_are_onnx_that_loads_and_runs(benchmark_module, tmp_path, name, batch):
    spec = benchmark_module("networks").network(name, quick=True)
    model = benchmark_module("onnx_builder").onnx_model(spec, spec.weights(), batch)
    onnx.checker.check_model(model, full_check=True)
    path = tmp_path / "network.onnx"
    path.write_bytes(model.SerializeToString())
    y = minicnn.load(path)(spec.images())
    assert y.shape == (1, *spec.shapes[spec.output])
    assert np.isfinite(y).all()
    assert 0.1 < y.std() < 100


@pytest.mark.parametrize("name", PARAMETERS)
def test_networks_have_the_published_number_of_parameters(benchmark_module, name):
    networks = benchmark_module("networks")
    assert networks.NETWORKS.keys() == PARAMETERS.keys()
    spec, count = networks.network(name), 0
    for layer in spec.layers:
        read, out = spec.shapes[layer.inputs[0]][0], layer.shape[0]
        if layer.kind in ("conv", "linear"):
            count += out * (read // layer.groups * layer.kernel**2 + layer.bias)
        elif layer.kind == "norm":
            count += 2 * out
    assert count == PARAMETERS[name]


def test_convolutions_are_forty_of_the_networks_own(benchmark_module):
    networks = benchmark_module("networks")
    specs = [networks.network(name) for name in PARAMETERS]
    occurring = {
        (1, *s.shapes[la.inputs[0]], la.shape[0], la.kernel, la.stride, la.pad, la.groups)
        for s in specs
        for la in s.layers
        if la.kind == "conv"
    }
    assert len({*networks.CONVOLUTIONS}) == 40
    assert {*networks.CONVOLUTIONS} <= occurring


def test_single_convolution_is_the_one_of_functional(benchmark_module, tmp_path):
    networks = benchmark_module("networks")
    spec = networks.single(networks.Convolution(1, 4, 9, 8, 6, 3, 2, 1, groups=2))
    path = tmp_path / "conv.onnx"
    benchmark_module("onnx_builder").write_onnx(spec, spec.weights(), path)
    weights, x = spec.weights(), spec.images()
    expected = minicnn.functional.conv2d(x, weights["y.weight"], weights["y.bias"], 2, 1, groups=2)
    np.testing.assert_allclose(minicnn.load(path)(x), expected, rtol=1e-5, atol=1e-6)


def case(turns, **failed):
    made = {name: [{"value": v} for v in values] for name, values in turns.items()}
    return {"title": "it", "turns": made, "agreement": {}, "failed": failed}


def test_ratios_take_the_fastest_layout_of_each_round(benchmark_module):
    report = benchmark_module("peer_report")
    turns = {"minicnn": [1.0, 2.0], "torch": [2.0, 2.0], "torch-channels-last": [3.0, 1.0]}
    gone = {"what": "not installed", "detail": "no module"}
    work = {"kind": "forward", "title": "work", "figures": {"torch": 1.5, "onnxruntime": 1.2}}
    (row,) = report.summary({**work, "cases": [case(turns, onnxruntime=gone)]})
    assert row["torch"]["ratio"] == {
        "rounds": [2.0, 0.5], "median": 1.25, "least": 0.5, "greatest": 2.0,
    }  # fmt: skip
    cells = report._cells(row, ("torch", "onnxruntime"))
    assert cells[1:] == [
        "1.5e+03 ms", "1.5e+03 ms", "1.25 (0.50 to 2.00)", "not installed", "",
        "1.5 (torch), 1.2 (onnxruntime)",
    ]  # fmt: skip


def test_convolutions_give_a_geometric_mean_and_the_worst(benchmark_module):
    report = benchmark_module("peer_report")
    cases = [case({"minicnn": [1.0], "torch": [ratio]}) for ratio in (4.0, 0.25, 1.0)]
    cases.append(case({}, minicnn={"what": "failed", "detail": ""}))
    work = {"kind": "conv", "title": "convolutions", "figures": {"torch": 1.4, "worst": 0.9}}
    mean, worst = report.summary({**work, "cases": cases})
    assert mean["torch"]["ratio"]["median"] == pytest.approx(1.0)
    assert mean["title"].startswith("3 convolutions (of 4;")
    assert worst["torch"]["ratio"]["median"] == 0.25


def test_differences_are_shares_of_the_largest_value(benchmark_module):
    differences = benchmark_module("peers").differences
    ours = {"output": np.array([1.0, 4.0]), "gradient": np.array([3.0, 4.0])}
    theirs = {"output": np.array([1.0, 5.0]), "gradient": np.array([0.0, 4.0])}
    found = differences(ours, theirs)
    assert found == {"outputs": 0.2, "gradients": 0.75, "gradients_norm": 0.75}
    assert np.isnan(differences({"output": np.array([np.nan, 1.0])}, theirs)["outputs"])


@pytest.mark.slow
def test_quick_run_measures_and_peers_agree(tmp_path):
    here = {peer for peer in ("torch", "onnxruntime") if find_spec(peer)}
    out, table = tmp_path / "results.json", tmp_path / "table.md"
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "peers.py", "--quick", "--only", "squeezenet,conv",
         "--out", out, "--table", table],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())
    assert results["settings"]["quick"]
    assert {"cpu", "cores", "versions", "ceilings", "date", "command"} <= results["machine"].keys()
    names = [work["name"] for work in results["works"]]
    assert names == ["squeezenet-forward", "squeezenet-gradient", "conv"]
    for work in results["works"]:
        assert work["rows"]
        for measured in work["cases"]:
            failed = {peer for peer in measured["failed"] if peer.split("-")[0] in here}
            assert not failed, measured["failed"]
            assert "minicnn" in measured["turns"]
            if "torch" in here:
                assert {"torch", "torch-channels-last"} <= measured["agreement"].keys()
            assert all(turn["value"] > 0 for turns in measured["turns"].values() for turn in turns)
            for found in measured["agreement"].values():
                assert found["outputs"] < 1e-4
                assert found["gradients_norm"] < 5e-2
    assert table.read_text().strip() == done.stdout.strip()
    assert "SqueezeNet 1.1, forward and input gradient" in done.stdout

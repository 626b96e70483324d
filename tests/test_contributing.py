"""What CONTRIBUTING shows works as it stands there: a block and an ONNX operator in a few lines."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import minicnn
from minicnn.onnx import registry

ROOT = Path(__file__).resolve().parents[1]


def test_the_block_and_the_operator_of_contributing_work(tmp_path, rng):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    scope: dict = {"__name__": "contributed"}
    try:
        for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            exec(code, scope)
        block = scope["Atan"]()
        x, p = rng.standard_normal((1, 3)), rng.standard_normal((1, 3))
        y, kept = block.record(x)
        np.testing.assert_allclose(y, np.arctan(x))
        np.testing.assert_allclose(block.transposed(kept)(p), p / (1 + x * x))

        graph = helper.make_graph(
            [helper.make_node("Atan", ["x"], ["y"])],
            "one",
            [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [1, 3])],
            [helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)],
        )
        opset = [helper.make_opsetid("", 13)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "m.onnx")
        net = minicnn.load(tmp_path / "m.onnx")
        np.testing.assert_allclose(net(x), y)
        net.save(tmp_path / "again.onnx")
        np.testing.assert_array_equal(minicnn.load(tmp_path / "again.onnx")(x), net(x))
        with pytest.warns(minicnn.rules.UnmatchedWarning, match="Atan"):
            net.record(x).backward(p, "deconvnet")
    finally:
        registry._TABLE.pop("Atan", None)


def test_the_readmes_commands_are_those_that_ci_runs():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python3 -m venv .*$", readme, re.MULTILINE)
    assert len(commands) == 2
    assert commands[0].endswith("minicnn demo")
    assert commands[1].endswith("pytest")

"""Gradients through every operator: ONNX's own node tests, backwards.

Each model that the reader runs forwards (test_onnx_backend) is made one of float64, and the signal
at each input is held to central differences,

    <J^T p, v> = <p, (f(x + h v) - f(x - h v)) / 2h>,

for seeded p and v. Inputs move a little first, away from the round numbers of the examples, where
functions have kinks and ties.
"""

import re
import warnings

import numpy as np
import onnx
import pytest
from onnx.backend.test.loader import load_model_tests
from onnx_backend import HALVES, as_array, loaded
from test_onnx_backend import RUN

from minicnn.errors import NotDifferentiableError

STEP, CLOSE = 3e-8, 1e-4
REASONS = re.compile("gradient|does not depend|transpose")  # why there may be no signal
SHAPING = ("scales", "roi", "ratio")  # floats that are no values
KINKS = (
    "test_gridsample",
    "maxpool_3d_dilations",
    "l2normalization_axis_0",
    "test_pow",
    "roialign",
)


def smooth(name):
    return RUN.get(name) == "node" and "attention" not in name and not any(k in name for k in KINKS)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    MODELS = [test for test in load_model_tests(kind="node") if smooth(test.name)]


def given_to(test, rng):
    """The test's inputs by name, floats in float64 and moved a little."""
    names = [value.name for value in test.model.graph.input]
    found = {}
    for name, value in zip(names, test.data_sets[0][0], strict=False):
        x = as_array(value)
        if name not in SHAPING and (x.dtype.kind == "f" or x.dtype.name in HALVES):
            x = np.asarray(x.astype(np.float64) + 0.01 * rng.standard_normal(x.shape))
            x = x.astype(np.float32)
        found[name] = x
    return found


def checked(network, output, values, rng):
    """How many inputs' signals agree with differences at one output."""
    floats = [name for name in network.inputs if name not in network.types]
    tape = network.record(*values.values())
    y = tape[network.value_name(output)]
    p = rng.standard_normal(y.shape)
    count = 0
    for name in floats:
        try:
            q = tape.backward(p, at=output, wrt=name)
        except NotDifferentiableError as error:
            REASONS.search(str(error)) or pytest.fail(str(error))
            continue
        v = rng.standard_normal(values[name].shape)

        def along(step, name=name, v=v):
            moved = {**values, name: values[name] + step * v}
            return float((p * network.values(moved, [output])[network.value_name(output)]).sum())

        difference = (along(STEP) - along(-STEP)) / (2 * STEP)
        found = float((q * v).sum())
        assert abs(found - difference) <= CLOSE * max(1, abs(found), abs(difference)), (
            name,
            output,
        )
        count += 1
    return count


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_signals_agree_with_differences_through_all_operators(tmp_path, capsys):
    count, operators = 0, set()
    for test in MODELS:
        rng = np.random.default_rng(0)
        onnx.save(test.model, tmp_path / "model.onnx")
        given = given_to(test, rng)
        network = loaded(tmp_path / "model.onnx", given).astype(np.float64)
        if not any(name not in network.types for name in network.inputs):
            continue
        kinds = {name: network.types.get(name, np.float64) for name in network.inputs}
        values = {name: np.asarray(given[name], kind) for name, kind in kinds.items()}
        types = network.infer_types()
        for output in network.outputs:
            if types[output].kind != "f":
                continue
            try:
                found = checked(network, output, values, rng)
            except AssertionError as error:
                raise AssertionError(f"{test.name}: {error}") from error
            count += found
            operators |= {node.op_type for node in test.model.graph.node} if found else set()
    with capsys.disabled():
        print(f"\n{count} signals through {len(operators)} operators agree with differences")
    assert count > 900
    assert len(operators) > 80

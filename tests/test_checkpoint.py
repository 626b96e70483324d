"""Checkpoints: read back by the pass they belong to alone; other files are told apart."""

import numpy as np
import pytest

from minicnn.checkpoint import Checkpoint, load_arrays
from minicnn.errors import InputError

KEY = {"layer": "conv1", "recipe": {"rate": 0.1, "epochs": 3}}


def test_what_was_written_comes_back(tmp_path):
    kept = Checkpoint(tmp_path / "a.npz", KEY)
    assert kept.read() == {}
    kept.write({"seen": np.arange(3)})
    np.testing.assert_array_equal(
        Checkpoint(tmp_path / "a.npz", dict(KEY)).read()["seen"], [0, 1, 2]
    )
    kept.remove()
    assert kept.read() == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"layer": "conv2"}, "(in layer)"),
        ({"recipe": {"rate": 0.1, "epochs": 4}}, "(in recipe: epochs)"),
        ({"recipe": {"rate": 0.1}, "more": 1}, "(in more, recipe: epochs)"),
    ],
)
def test_another_pass_is_told_in_what_it_differs(tmp_path, changes, said):
    Checkpoint(tmp_path / "a.npz", KEY).write({})
    with pytest.raises(InputError, match="another run") as error:
        Checkpoint(tmp_path / "a.npz", {**KEY, **changes}).read()
    assert said in str(error.value)


@pytest.mark.parametrize("what", ["one array", "text", "nothing", "cut", "pickled"])
def test_what_is_no_checkpoint_gets_one_error(tmp_path, what):
    path = tmp_path / "a.npz"
    Checkpoint(path, KEY).write({"seen": np.arange(100)})
    whole = path.read_bytes()
    with path.open("wb") as file:
        match what:
            case "one array":
                np.save(file, np.arange(3))
            case "pickled":
                np.save(file, np.array([{}]), allow_pickle=True)
            case _:
                file.write({"text": b"hello", "nothing": b"", "cut": whole[:-40]}[what])
    with pytest.raises(InputError, match="is not a checkpoint"):
        Checkpoint(path, KEY).read()


def test_a_file_of_one_array_is_no_file_of_arrays(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(2))
    with pytest.raises(ValueError, match="one array"):
        load_arrays(tmp_path / "a.npy")

"""cuDNN's stand-in: graphs of one convolution, checked for order and face, done by the reference.

Its face is that of nvidia-cudnn-frontend 1.32, as far as `kernels/gpu/cudnn.py` uses it.
"""

from enum import Enum
from types import SimpleNamespace

from minicnn.kernels import Window, reference

ATTRIBUTES = {"padding", "pre_padding", "post_padding", "stride", "dilation", "convolution_mode",
              "name", "compute_data_type"}  # fmt: skip

data_type = Enum("data_type", ["FLOAT", "DOUBLE", "HALF"])
heur_mode = Enum("heur_mode", ["A", "B", "FALLBACK"])
numerical_note = Enum(
    "numerical_note", ["TENSOR_CORE", "DOWN_CONVERT_INPUTS", "NONDETERMINISTIC", "WINOGRAD"]
)

built = []  # what graphs were built, with which notes barred


class cudnnGraphNotSupportedError(Exception):  # its name there
    pass


def backend_version():
    return 91900


def create_handle():
    return SimpleNamespace(stream=0)


def set_stream(handle, stream):
    handle.stream = stream


class _Tensor:
    def __init__(self, dim=None, stride=None):
        self.dim, self.stride, self.is_output = dim, stride, False

    def set_output(self, value):
        self.is_output = value
        return self

    def set_data_type(self, kind):
        assert kind is data_type.FLOAT
        return self

    def set_dim(self, dim):
        self.dim = dim
        return self

    def set_stride(self, stride):
        self.stride = stride
        return self


class pygraph:  # its name there
    """One convolution; every step of building asserts that the ones before were taken."""

    refuses = False

    def __init__(
        self, *, io_data_type, intermediate_data_type, compute_data_type, handle, name="graph"
    ):
        assert {io_data_type, intermediate_data_type, compute_data_type} == {data_type.FLOAT}
        self.steps, self.barred = [], []

    def tensor(self, *, dim, stride, data_type, name=""):
        return _Tensor(dim, stride)

    def _operation(self, what, first, second, attributes):
        assert attributes.keys() <= ATTRIBUTES
        self.what, self.given, self.how = what, (first, second), attributes
        self.result = _Tensor()
        return self.result

    def conv_fprop(self, image, weight, **attributes):
        return self._operation("fprop", image, weight, attributes)

    def conv_dgrad(self, loss, filter, **attributes):
        return self._operation("dgrad", loss, filter, attributes)

    def conv_wgrad(self, image, loss, **attributes):
        return self._operation("wgrad", image, loss, attributes)

    def _step(self, name, *before):
        assert self.steps == list(before)
        self.steps.append(name)

    def validate(self):
        assert self.result.is_output
        assert self.result.dim
        self._step("validate")

    def build_operation_graph(self):
        self._step("lower", "validate")

    def create_execution_plans(self, modes):
        assert heur_mode.A in modes
        self._step("plans", "validate", "lower")

    def deselect_numeric_notes(self, notes):
        self.barred += notes
        return self

    def check_support(self):
        if self.refuses:
            raise cudnnGraphNotSupportedError("No valid engine configs")
        self._step("support", "validate", "lower", "plans")

    def build_plans(self):
        self._step("build", "validate", "lower", "plans", "support")
        built.append((self.what, set(self.barred)))

    def get_workspace_size(self):
        return 1000

    def execute(self, memory, workspace, handle=None):
        assert self.steps[-1] == "build"
        assert workspace.size >= 1000
        assert handle is not None
        for tensor, array in memory.items():
            assert tuple(tensor.dim) == array.shape
            steps = [step // array.itemsize for step in array.strides]
            for length, said, step in zip(array.shape, tensor.stride, steps):
                assert length == 1 or said == step
        first, second = (memory[tensor].get() for tensor in self.given)
        how = self.how
        kernel = (memory[self.given[1]] if self.what != "wgrad" else memory[self.result]).shape[2:]
        window = Window(
            tuple(kernel), tuple(how["stride"]), (*how["pre_padding"], *how["post_padding"]),
            tuple(how["dilation"]),
        )  # fmt: skip
        size = tuple(self.result.dim)
        if self.what == "fprop":
            y = reference.conv(first, second, None, window, first.shape[1] // second.shape[1])
        elif self.what == "dgrad":
            groups = size[1] // second.shape[1]
            y = reference.conv_transpose(first, second, None, window, groups, size[2:])
        else:
            y = reference.conv_filter(second, first, window, first.shape[1] // size[1])
        assert y.shape == size
        memory[self.result]._host[...] = y

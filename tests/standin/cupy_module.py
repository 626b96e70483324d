"""A stand-in for CuPy on machines without a GPU, as strict as CuPy is.

Arrays live in host memory, but NumPy cannot have them unless it is asked to (`asnumpy`), and they
refuse to meet NumPy's arrays. Kernels are the CUDA sources, compiled for the CPU. Around every
array lie guards that no kernel may overwrite, and new memory is full of NaN. Captured graphs hold
what was done and do it again on the same memory.
"""

import numpy as np

from standin.compiling import RawModule  # noqa: F401  (part of the module's face)
from standin.face import ATTRIBUTES, FUNCTIONS, check_face
from standin.rounding import core as _core  # noqa: F401
from standin.rounding import multiplied
from standin.streams import (
    Event,
    MemoryPool,
    Stream,
    allocate,
    capturing,
    current_pool,
    forbidden_in_capture,
    note,
    using_allocator,
)

__version__ = "14.0.0"
GUARD = 64
CANARY = 0xA5
float32, float64 = np.float32, np.float64

copies = {"to host": 0, "to device": 0}


class _Guarded:
    """Memory with guards on both sides."""

    def __init__(self, size):
        self.memory = np.full(size + 4 * GUARD, CANARY, np.uint8)
        start = -(self.memory.ctypes.data + GUARD) % 256 + GUARD  # cupy's begin at 256 bytes
        if start + size + GUARD > self.memory.size:
            self.memory = np.full(size + 4 * GUARD + 256, CANARY, np.uint8)
            start = -(self.memory.ctypes.data + GUARD) % 256 + GUARD
        self.start, self.size = start, size
        self.memory[start : start + size] = 0xFF  # NaN in both precisions

    def check(self, who):
        outside = np.concatenate([self.memory[: self.start], self.memory[self.start + self.size :]])
        assert (outside == CANARY).all(), f"{who} wrote outside of an array"


class _Block:
    """What a pool gave: dead once no array needs it, though a graph may hold its address."""

    def __init__(self, size):
        self.guarded, self.pool = _Guarded(size), current_pool()


class _Flags:
    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous
        self.owndata = flags.owndata

    def __setattr__(self, name, value):
        if name == "writeable":
            raise AttributeError("cupy arrays have no flag writeable")
        object.__setattr__(self, name, value)


class _Pointer:
    def __init__(self, ptr):
        self.ptr = ptr


class _Device:
    """A card; work is done on the current one."""

    current = [0]  # noqa: RUF012  (the threads of tests share it)

    def __init__(self, index=0):
        self.id = index

    def __enter__(self):
        self.current.append(self.id)
        return self

    def __exit__(self, *error):
        self.current.pop()

    def use(self):
        self.current[-1] = self.id

    def synchronize(self):
        forbidden_in_capture("synchronize")


def _unwrap(value):
    if isinstance(value, ndarray):
        if value._card != _Device.current[-1]:
            raise ValueError(f"Array device must be same as the current device: {value._card}")
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, (list, tuple)):
        return type(value)(_unwrap(v) for v in value)
    return value


def blocks_of(value):
    """The memory of all arrays in arguments."""
    if isinstance(value, ndarray):
        return [value._block] if value._block is not None else []
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [block for one in value for block in blocks_of(one)]
    return []


def _wrap(value, base=None):
    if isinstance(value, (np.ndarray, np.generic)):
        return ndarray._of(np.asarray(value), base)
    if isinstance(value, (list, tuple)):
        return type(value)(_wrap(v) for v in value)
    return value


def _computed(function, args, kwargs):
    """Run a function on what arrays hold; note it for replaying."""
    if function in (np.concatenate, np.stack) and len(args[0]) > 8:
        forbidden_in_capture("copy addresses of more than 8 arrays to the card")
    plain, named = _unwrap(list(args)), {k: _unwrap(v) for k, v in kwargs.items()}
    result = function(*plain, **named)
    wrapped = kwargs["out"] if kwargs.get("out") is not None else _wrap(result)
    wrapped = wrapped[0] if isinstance(wrapped, tuple) and kwargs.get("out") else wrapped

    def again():
        anew = function(*plain, **named)
        pairs = zip(wrapped, anew) if isinstance(wrapped, (list, tuple)) else [(wrapped, anew)]
        for old, new in pairs:
            own = isinstance(old, ndarray) and kwargs.get("out") is None
            if own and not np.shares_memory(old._host, np.asarray(new)):
                old._host[...] = new

    note(again, blocks_of([args, kwargs, wrapped]))
    return wrapped


class ndarray:
    """An array of the card."""

    __array_priority__ = 100

    @classmethod
    def _of(cls, host, base=None):
        self = cls.__new__(cls)
        self._host, self._block, self._owner = host, base, None
        self._card = _Device.current[-1]
        return self

    @classmethod
    def _new(cls, shape, dtype):
        shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        dtype = np.dtype(dtype)
        block = _Block(allocate(int(np.prod(shape)) * dtype.itemsize))
        host = np.ndarray(shape, dtype, block.guarded.memory, block.guarded.start)
        return cls._of(host, block)

    # What CuPy refuses

    def __array__(self, *args, **kwargs):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct "
            "a NumPy array explicitly."
        )

    # What it has

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    strides = property(lambda self: self._host.strides)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    flags = property(lambda self: _Flags(self._host.flags))
    data = property(lambda self: _Pointer(self._host.ctypes.data))
    device = property(lambda self: _Device(self._card))
    T = property(lambda self: self.transpose())
    base = property(lambda self: self._owner)

    def get(self):
        forbidden_in_capture("copy to the host")
        copies["to host"] += 1
        return self._host.copy(order="K")

    def item(self):
        forbidden_in_capture("copy to the host")
        return self._host.item()

    def tolist(self):
        return self.get().tolist()

    def _views(name):
        def method(self, *args, **kwargs):
            result = getattr(self._host, name)(*args, **kwargs)
            shares = np.shares_memory(result, self._host) if result.size else True
            made = ndarray._of(result, self._block if shares else None)
            made._owner = (self if self._owner is None else self._owner) if shares else None
            made._card = self._card if shares else made._card
            if not shares:
                host, out = self._host, made._host

                def again():
                    out[...] = getattr(host, name)(*args, **kwargs)

                note(again, blocks_of([self, made]))
            return made

        return method

    transpose, reshape, view = _views("transpose"), _views("reshape"), _views("view")
    ravel, squeeze, swapaxes = _views("ravel"), _views("squeeze"), _views("swapaxes")

    def _method(name):
        def method(self, *args, **kwargs):
            return _computed(getattr(np.ndarray, name), (self, *args), kwargs)

        return method

    for _name in (
        "sum", "mean", "var", "std", "max", "min", "argmax", "argmin", "astype", "copy", "any",
        "all", "cumsum", "prod", "clip", "round", "repeat", "take", "argsort", "dot", "nonzero",
    ):  # fmt: skip
        locals()[_name] = _method(_name)

    def fill(self, value):
        self[...] = value

    def __getitem__(self, index):
        return self._got(index)

    def _got(self, index):
        plain = _unwrap(index)
        _no_mask(plain)
        result = np.asarray(self._host[plain])
        shares = np.shares_memory(result, self._host) if result.size else True
        made = ndarray._of(result, self._block if shares else None)
        made._owner = (self if self._owner is None else self._owner) if shares else None
        made._card = self._card if shares else made._card
        if not shares:
            host, out = self._host, made._host

            def again():
                out[...] = host[plain]

            note(again, blocks_of([self, index, made]))
        return made

    def __setitem__(self, index, value):
        plain, number = _unwrap(index), _unwrap(value)
        _no_mask(plain)
        host = self._host

        def run():
            host[plain] = number

        run()
        note(run, blocks_of([self, index, value]))

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        return bool(self.item() if self.size == 1 else self._host)

    def __int__(self):
        return int(self.item())

    def __float__(self):
        return float(self.item())

    def __index__(self):
        return int(self.item())

    def __repr__(self):
        return f"stand-in {self._host!r}"

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        check_face(ufunc.__name__, {})
        if method != "__call__":
            return NotImplemented  # CuPy does not dispatch other methods of ufuncs
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return _computed(function, inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        check_face(function.__name__, kwargs)
        if function is np.matmul:
            _no_cublas()
        if function in (np.empty_like, np.zeros_like, np.ones_like, np.full_like):
            return _like(function, *args, **kwargs)
        if function in (np.shape, np.ndim, np.size, np.result_type):
            return function(*_unwrap(list(args)), **kwargs)
        if function is np.copyto:
            target, value = args
            where = kwargs.get("where", True)
            if where is True:
                return target.__setitem__(..., value)
            return _copy_where(target, value, where)
        if function in (np.shares_memory, np.may_share_memory):
            return function(*_unwrap(list(args)))
        return _computed(function, args, kwargs)


def _no_mask(index):
    """CuPy counts how many numbers a mask chooses, on the host."""
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(p, np.ndarray) and p.dtype == bool for p in parts):
        forbidden_in_capture("count what a mask chooses")


def _copy_where(target, value, where):
    host, number, mask = target._host, _unwrap(value), _unwrap(where)

    def run():
        np.copyto(host, number, where=mask)

    run()
    note(run, blocks_of([target, value, where]))


def _like(function, x, *args, **kwargs):
    shape = kwargs.get("shape")
    shape = shape if shape else x.shape  # () is none to CuPy
    dtype = kwargs.get("dtype") or x.dtype
    made = ndarray._new(shape, dtype)
    if function is np.zeros_like:
        made[...] = 0
    elif function is np.ones_like:
        made[...] = 1
    elif function is np.full_like:
        made[...] = args[0] if args else kwargs["fill_value"]
    return made


def _no_cublas():
    if capturing():
        raise NotImplementedError("calling cuBLAS API during stream capture is not supported")


def _operator(name):
    function = getattr(np.ndarray, name)
    in_place = name.startswith("__i") and name not in ("__invert__",)

    def method(self, *others):
        if any(isinstance(o, np.ndarray) for o in others):
            raise TypeError(f"Unsupported type {np.ndarray}")
        if any(not isinstance(o, (ndarray, int, float, bool, np.generic)) for o in others):
            return NotImplemented
        if "matmul" in name:
            _no_cublas()
        if not in_place:
            return _computed(function, (self, *others), {})
        host, rest = self._host, _unwrap(list(others))

        def run():
            function(host, *rest)

        run()
        note(run, blocks_of([self, others]))
        return self

    return method


for _name in (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor",
    "lshift", "rshift",
):  # fmt: skip
    for _way in ("", "r", "i"):
        if hasattr(np.ndarray, f"__{_way}{_name}__"):
            setattr(ndarray, f"__{_way}{_name}__", _operator(f"__{_way}{_name}__"))
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "abs", "invert"):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
ndarray.__hash__ = None
_own = {name for name in vars(ndarray) if not name.startswith("_")}
assert _own <= ATTRIBUTES, f"CuPy's arrays have no {_own - ATTRIBUTES}"
ndarray.__module__ = "cupy"


# The module's functions


def array(value, dtype=None, copy=True):
    if isinstance(value, ndarray):
        return value.astype(dtype or value.dtype)
    forbidden_in_capture("copy from the host")
    copies["to device"] += 1
    host = np.asarray(value, dtype)
    made = ndarray._new(host.shape, host.dtype)
    made._host[...] = host
    return made


def asarray(value, dtype=None):
    same = isinstance(value, ndarray) and dtype in (None, value.dtype)
    return value if same else array(value, dtype)


def asnumpy(value):
    return value.get() if isinstance(value, ndarray) else np.asarray(value)


def ascontiguousarray(value):
    if value.flags.c_contiguous:
        return value
    made = ndarray._new(value.shape, value.dtype)
    made[...] = value
    return made


def empty(shape, dtype=np.float64):
    return ndarray._new(shape, dtype)


def zeros(shape, dtype=np.float64):
    made = ndarray._new(shape, dtype)
    made[...] = 0
    return made


def ones(shape, dtype=np.float64):
    made = ndarray._new(shape, dtype)
    made[...] = 1
    return made


def full(shape, value, dtype=None):
    made = ndarray._new(shape, dtype or np.asarray(value).dtype)
    made[...] = value
    return made


def arange(*args, **kwargs):
    numbers = np.arange(*args, **kwargs)
    made = ndarray._new(numbers.shape, numbers.dtype)
    made[...] = _wrap(numbers)
    return made


class add:
    """cupy.add: the sum, and its method for adding at indices."""

    def __new__(cls, *args, **kwargs):
        return _computed(np.add, args, kwargs)

    @staticmethod
    def at(x, indices, values):
        def run():
            np.add.at(x._host, indices._host, values._host)

        run()
        note(run, blocks_of([x, indices, values]))


class special:
    """cupyx.scipy.special."""

    @staticmethod
    def erf(x):
        from scipy.special import erf

        return _computed(erf, (x,), {})

    @staticmethod
    def ndtr(x):
        from scipy.special import ndtr

        return _computed(ndtr, (x,), {})


def matmul(a, b, out=None):
    _no_cublas()
    return _computed(multiplied, (a, b), {} if out is None else {"out": out})


def einsum(equation, *operands, optimize=False):
    _no_cublas()
    return _computed(np.einsum, (equation, *operands), {"optimize": optimize})


def __getattr__(name):
    """All else of NumPy's face that works on arrays."""
    function = getattr(np, name)  # an AttributeError is right
    if callable(function) and not isinstance(function, type) and name not in FUNCTIONS:
        raise AttributeError(f"CuPy has no function {name}")

    def call(*args, **kwargs):
        return _computed(function, args, kwargs)

    return call if callable(function) and not isinstance(function, type) else function


class CUDARuntimeError(RuntimeError):
    """What CUDA says."""


class _Runtime:
    CUDARuntimeError = CUDARuntimeError
    count = 1
    error = None

    @classmethod
    def getDeviceCount(cls):
        if cls.error:
            raise CUDARuntimeError(cls.error)
        return cls.count

    @staticmethod
    def getDevice():
        return _Device.current[-1]

    @staticmethod
    def runtimeGetVersion():
        return 13000

    @staticmethod
    def driverGetVersion():
        return 13000

    @staticmethod
    def getDeviceProperties(index):
        return {"name": b"stand-in", "multiProcessorCount": 4, "major": 9, "minor": 0,
                "totalGlobalMem": 1 << 33}  # fmt: skip


class _DefaultPool:
    def free_all_blocks(self):
        pass


def get_default_memory_pool():
    return _DefaultPool()


class _Compiler:
    """cupy.cuda.nvrtc."""

    error = None

    @classmethod
    def getVersion(cls):
        if cls.error:
            raise RuntimeError(cls.error)
        return 13, 0


class cuda:
    """The part of cupy.cuda that minicnn uses."""

    nvrtc = _Compiler
    runtime = _Runtime
    Device = _Device
    Stream = Stream
    Event = Event
    MemoryPool = MemoryPool
    using_allocator = staticmethod(using_allocator)

    @staticmethod
    def get_current_stream():
        return Stream(null=True)

    @staticmethod
    def get_elapsed_time(first, last):
        return 1.0

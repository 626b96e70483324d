"""The stand-in's streams: work is done at once, and noted while a stream captures."""

import weakref
from contextlib import contextmanager

_capture = None  # the list that work is noted in


def capturing():
    """Whether a stream captures."""
    return _capture is not None


def note(run, blocks=()):
    """Remember a piece of work and the memory that it uses, if a stream is capturing.

    As a graph of CUDA does, it keeps none of that memory from being given back, but for that of
    the pool that it was captured with; replaying refuses to touch what was.
    """
    if _capture is not None:
        pool = current_pool()
        outside = [weakref.ref(block) for block in blocks if block.pool is not pool]
        _capture.append((run, outside))


def forbidden_in_capture(what):
    """Refuse what a stream that captures cannot do."""
    if _capture is not None:
        raise RuntimeError(f"operation not permitted when stream is capturing: {what}")


class Graph:
    """Captured work."""

    def __init__(self, steps):
        self.steps = steps

    def launch(self, stream=None):
        for run, outside in self.steps:
            assert all(ref() is not None for ref in outside), "the graph reads what was given back"
            run()

    def upload(self, stream=None):
        pass


class Stream:
    """Work in order; `null` is the default one."""

    def __init__(self, null=False, non_blocking=False, ptds=False):
        self.null, self.non_blocking, self.ptr = null, non_blocking, 0 if null else id(self)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def use(self):
        return self

    def begin_capture(self, mode=None):
        global _capture
        assert self.non_blocking, "the legacy default stream cannot capture"
        assert _capture is None
        _capture = []

    def end_capture(self):
        global _capture
        steps, _capture = _capture, None
        return Graph(steps)

    def is_capturing(self):
        return capturing()

    def synchronize(self):
        forbidden_in_capture("synchronize")

    def wait_event(self, event):
        pass

    def record(self, event=None):
        return event or Event()


class Event:
    """A moment; times between two are made up."""

    def record(self, stream=None):
        pass

    def synchronize(self):
        pass


class MemoryPool:
    """Counts what it gave, as if nothing came back."""

    def __init__(self):
        self.given = 0

    def malloc(self, size):
        self.given += size
        return size

    def free_all_blocks(self):
        pass

    def used_bytes(self):
        return 0

    def total_bytes(self):
        return self.given


_allocators = [MemoryPool().malloc]


def current_pool():
    """Whose memory is given out."""
    return _allocators[-1].__self__


def allocate(size):
    """New memory from whom it is to come."""
    return _allocators[-1](size)


@contextmanager
def using_allocator(allocator):
    """Within this context memory comes from there."""
    _allocators.append(allocator)
    try:
        yield
    finally:
        _allocators.pop()

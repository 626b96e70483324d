"""Looking inside: what a network does, block by block."""

from minicnn.look.trace import Trace, TraceRow, trace

__all__ = ["Trace", "TraceRow", "trace"]

"""The version, on its own so that building the package needs nothing else."""

__version__ = "0.1.0"

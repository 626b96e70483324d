"""What CuPy has, read from `face.txt`: the stand-in refuses all else."""

from pathlib import Path


def _face():
    """What CuPy has: parameters by function, and the attributes of its arrays."""
    text = Path(__file__).with_name("face.txt").read_text()
    functions, attributes = text.split("\n\n")
    lines = [line.split() for line in functions.splitlines()[1:]]
    return {name: set(parameters) for name, *parameters in lines}, set(attributes.split())


FUNCTIONS, ATTRIBUTES = _face()


def check_face(name, kwargs):
    """Refuse what CuPy does not have."""
    if name not in FUNCTIONS:
        raise TypeError(f"CuPy has no function {name}")
    unknown = kwargs.keys() - FUNCTIONS[name]
    if unknown and not any(one.startswith("*") for one in FUNCTIONS[name]):
        raise TypeError(f"cupy.{name} has no {', '.join(unknown)}")

"""What the peer benchmark measures: the works, who takes part in each, and the figures to reach.

    python benchmarks/peer_works.py          # lists the works' names

Ratios say how many times as long (or as large) the peer's is as ours, so that more is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from networks import CONVOLUTIONS, Convolution, network, single
from specs import Spec

__all__ = [
    "CODES_AT",
    "IG_STEPS",
    "OURS",
    "PEERS",
    "WORKS",
    "Task",
    "Work",
    "chosen",
    "convolutions",
]

OURS = "minicnn"
TORCH = ("torch", "torch-channels-last")

# By kind of work: columns of the table, with the workers of which the fastest counts.
PEERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "forward": {"torch": TORCH, "onnxruntime": ("onnxruntime",)},
    "gradient": {"torch": TORCH},
    "codes": {"torch": ("captum", "captum-channels-last")},
    "conv": {"torch": TORCH},
    "training": {"torch": TORCH},
    "kept": {"torch": ("torch",)},
}

CODES_AT = "pool5"  # where the eight letter codes start
IG_STEPS = 50  # of Integrated Gradients, see attribution.py


@dataclass(frozen=True)
class Work:
    """One row of the table (two for the convolutions).

    Parameters
    ----------
    name : str
        What `--only` chooses by; the kind and the network do too.
    kind : str
        forward, gradient, codes, conv, training or kept.
    network : str
        The network, where it is one.
    title : str
        For the table.
    figures : mapping
        The ratio to reach by column; "worst" is the least of all convolutions.
    """

    name: str
    kind: str
    network: str
    title: str
    figures: Mapping[str, float]

    @property
    def workers(self) -> list[str]:
        """Everybody who takes part, ourselves first."""
        return [OURS, *(name for names in PEERS[self.kind].values() for name in names)]


@dataclass(frozen=True)
class Task:
    """What a worker is asked to get ready: a kind of work on a network or a convolution.

    Parameters
    ----------
    kind, network : str
        See `Work`.
    quick : bool
        Small sizes.
    file : str
        The network as an ONNX file, for those who read one.
    case : int
        Number of the convolution.
    """

    kind: str
    network: str
    quick: bool
    file: str = ""
    case: int = 0

    @property
    def spec(self) -> Spec:
        """The description of the network."""
        if self.kind == "conv":
            return single(convolutions(self.quick)[self.case])
        return network(self.network, self.quick)

    @property
    def batch(self) -> int:
        """Images at once."""
        if self.kind != "training":
            return 1
        return 8 if self.quick else 128

    @property
    def path(self) -> Path:
        """The ONNX file."""
        return Path(self.file)


def convolutions(quick: bool) -> list[Convolution]:
    """The convolutions, or a few of them on smaller images."""
    if not quick:
        return CONVOLUTIONS
    return [conv._replace(h=min(conv.h, 28), w=min(conv.w, 28)) for conv in CONVOLUTIONS[::8]]


def _works() -> list[Work]:
    found = []
    for name, title, forward, fastest in (
        ("vgg16", "VGG-16", 1.5, 1.2),
        ("resnet50", "ResNet-50", 1.5, 1.0),
        ("resnet18", "ResNet-18", 1.3, 1.0),
        ("alexnet", "AlexNet", 1.3, 1.0),
        ("squeezenet", "SqueezeNet 1.1", 1.3, 1.0),
    ):
        figures = {"torch": forward, "onnxruntime": fastest}
        found.append(Work(f"{name}-forward", "forward", name, f"{title}, forward", figures))
        title = f"{title}, forward and input gradient"
        found.append(Work(f"{name}-gradient", "gradient", name, title, {"torch": 2.0}))
    eight = "VGG-16, eight rules at pool5 (peer: eight runs of Captum)"
    found.append(Work("codes", "codes", "vgg16-features", eight, {"torch": 6.0}))
    found.append(Work("conv", "conv", "", "convolutions", {"torch": 1.4, "worst": 0.9}))
    for name, title in (("lenet", "LeNet"), ("resnet20", "CIFAR ResNet-20")):
        title = f"{title}, training step at batch 128"
        found.append(Work(f"{name}-training", "training", name, title, {"torch": 1.0}))
    kept = "VGG-16, kept for going back"
    found.append(Work("kept", "kept", "vgg16", kept, {"torch": 12.0}))
    return found


WORKS = _works()


def chosen(only: Sequence[str]) -> list[Work]:
    """The works of the given names, kinds or networks; all of them for no name.

    Raises
    ------
    ValueError
        If a name stands for no work.
    """
    for name in only:
        if not any(name in (work.name, work.kind, work.network) for work in WORKS):
            raise ValueError(f"No work is called {name!r}; there are {names(WORKS)}.")
    return [w for w in WORKS if not only or {w.name, w.kind, w.network} & {*only}]


def names(works: Sequence[Work]) -> str:
    """Names as a list for people."""
    return ", ".join(work.name for work in works)


if __name__ == "__main__":
    print("\n".join(f"{work.name:20} {work.title}" for work in WORKS))

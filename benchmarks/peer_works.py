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
    "CARD_PEERS",
    "CARD_WORKS",
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
CARD_PEERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "forward": {"torch": TORCH, "torch.compile": ("torch-compiled",)},
    "gradient": {"torch": TORCH, "torch.compile": ("torch-compiled",)},
    "codes": PEERS["codes"],
    "conv": PEERS["conv"],
    "training": PEERS["training"],
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
    batch : int
        Images at once; a training step takes 128.
    on_card : bool
        Whether it is measured on a CUDA card.
    """

    name: str
    kind: str
    network: str
    title: str
    figures: Mapping[str, float]
    batch: int = 1
    on_card: bool = False

    @property
    def workers(self) -> list[str]:
        """Everybody who takes part, ourselves first."""
        return [OURS, *(name for names in self.peers.values() for name in names)]

    @property
    def peers(self) -> Mapping[str, tuple[str, ...]]:
        """Columns of the table, with the workers of which the fastest counts."""
        return (CARD_PEERS if self.on_card else PEERS)[self.kind]


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
    images : int
        At once, where nobody learns.
    """

    kind: str
    network: str
    quick: bool
    file: str = ""
    case: int = 0
    images: int = 1

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
            return min(2, self.images) if self.quick else self.images
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


def _card_works() -> list[Work]:
    found = []
    for name, title in (("vgg16", "VGG-16"), ("resnet50", "ResNet-50")):
        for batch, figure in ((1, 1.5), (32, 0.8)):
            for kind, what in (("forward", "forward"), ("gradient", "forward and input gradient")):
                figures = {"torch": figure} if kind == "gradient" else {}
                named = f"{title}, {what}, batch {batch}"
                found.append(
                    Work(f"{name}-{kind}-{batch}", kind, name, named, figures, batch, True)
                )
    eight = "VGG-16, eight rules at pool5 (peer: eight runs of Captum)"
    found.append(Work("codes", "codes", "vgg16-features", eight, {"torch": 6.0}, 1, True))
    found.append(Work("conv", "conv", "", "convolutions", {}, 1, True))
    for name, title in (("lenet", "LeNet"), ("resnet20", "CIFAR ResNet-20")):
        title = f"{title}, training step at batch 128"
        found.append(Work(f"{name}-training", "training", name, title, {}, 1, True))
    return found


WORKS, CARD_WORKS = _works(), _card_works()


def chosen(only: Sequence[str], on_card: bool = False) -> list[Work]:
    """The works of the given names, kinds or networks; all of them for no name.

    Raises
    ------
    ValueError
        If a name stands for no work.
    """
    works = CARD_WORKS if on_card else WORKS
    for name in only:
        if not any(name in (work.name, work.kind, work.network) for work in works):
            raise ValueError(f"No work is called {name!r}; there are {names(works)}.")
    return [w for w in works if not only or {w.name, w.kind, w.network} & {*only}]


def names(works: Sequence[Work]) -> str:
    """Names as a list for people."""
    return ", ".join(work.name for work in works)


if __name__ == "__main__":
    print("\n".join(f"{work.name:20} {work.title}" for work in WORKS))

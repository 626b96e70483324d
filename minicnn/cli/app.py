"""The application: its commands and what they share."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from minicnn import figures
from minicnn._version import __version__
from minicnn.attribution import top_classes
from minicnn.data import Images, images_for
from minicnn.data.bundled import bundled_path
from minicnn.data.photo import photo, picture
from minicnn.drawing import columns
from minicnn.errors import OutputError
from minicnn.files import check_writable
from minicnn.kernels import set_threads
from minicnn.kernels.devices import cuda
from minicnn.kernels.devices import find as find_device
from minicnn.kernels.registry import overrule, using
from minicnn.network import Network
from minicnn.onnx import load
from minicnn.tape import Tape

__all__ = [
    "OWN_NUMBERS",
    "Device",
    "Folder",
    "Kernels",
    "LabelPattern",
    "Model",
    "Out",
    "Photo",
    "Save",
    "Seed",
    "Threads",
    "Unseeded",
    "app",
    "check_device",
    "check_outputs",
    "going_on",
    "keeping",
    "named_after",
    "open_images",
    "open_model",
    "open_photo",
    "program",
    "report_skipped",
    "serving",
    "show_top",
    "to_go_on",
    "warn_if_assumed",
]

app = typer.Typer(
    name="minicnn",
    help="Open convolutional networks up.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Model = Annotated[
    str,
    typer.Argument(
        help="An ONNX file, or a name that minicnn models lists: 'mnist', 'cifar10', ..."
    ),
]
Photo = Annotated[
    str,
    typer.Argument(
        help="An image file, or a bundled one such as 'digit_7', 'cifar_cat', 'china', 'flower'."
    ),
]
PreprocessName = Annotated[
    str | None,
    typer.Option("--preprocess", help="imagenet, caffe or raw, where the file does not say."),
]
Kernels = Annotated[
    str | None,
    typer.Option("--kernel", help="Which kernels serve, e.g. conv2d=direct; see minicnn bench."),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Threads. Default: NUMBA_NUM_THREADS, or all."),
]


Out = Annotated[
    Path | None,
    typer.Option(help="The figure to write: .png, .pdf or .svg. Default: named after its subject."),
]
Save = Annotated[
    Path | None, typer.Option("--save", help="Also write the arrays to this .npz file.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of whatever is random.")]
Unseeded = Annotated[
    int, typer.Option("--seed", min=0, help="Taken as everywhere; nothing is random here.")
]
Device = Annotated[str, typer.Option(help="Where to compute: cpu, or a CUDA card: cuda:0.")]
OWN_NUMBERS = (
    "images normalised by the data set's own mean and deviation (the file does not say; see "
    "--preprocess)"
)
Folder = Annotated[
    str,
    typer.Argument(
        help="A folder with images, itself or in subfolders named by class. Or a data set, whose "
        "test images are taken: a folder with MNIST's or CIFAR-10's files, or digits; mnist, "
        "fashion-mnist and cifar-10 are fetched from OpenML."
    ),
]
LabelPattern = Annotated[
    str | None,
    typer.Option(
        "--label-pattern",
        help="A regular expression whose first group finds an image's label in its file name. "
        "Default: the subfolder's name.",
    ),
]


def check_device(device: str) -> None:
    """Refuse devices that there are not, before any work.

    Parameters
    ----------
    device : str
        As the user typed it.

    Raises
    ------
    InputError
        If the text means no device.
    DeviceError
        If there is no such card; says what is missing.
    """
    found = find_device(device.strip().lower())
    if found.kind == "cuda":
        cuda(found.index).cuda.Device(found.index).use()  # CuPy computes on its current card


def check_outputs(out: Path | None, save: Path | None) -> None:
    """Refuse what cannot be written, before any work."""
    if out is not None:
        figures.check_format(out)
        check_writable(out)
    if save is not None:
        if save.suffix.lower() != ".npz":
            raise OutputError(f"Cannot write arrays to {save}: the name must end in .npz.")
        check_writable(save)


def named_after(*parts: str, suffix: str = ".png") -> Path:
    """A file name in the current folder made from what it shows."""
    text = "_".join(part for part in parts if part)
    return Path("".join(c if c.isalnum() or c in "._-" else "-" for c in text) + suffix)


def report_skipped(images: Images) -> None:
    """Say which images could not be read; the exit code is 1 then."""
    if not images.skipped:
        return
    reasons = list(images.skipped.values())
    print(
        f"Left out {len(reasons)} of {len(images)} images, which cannot be read:", file=sys.stderr
    )
    for reason in reasons[:10]:
        print(f"  {reason}", file=sys.stderr)
    if len(reasons) > 10:
        print(f"  ... and {len(reasons) - 10} more", file=sys.stderr)
    raise typer.Exit(1)


@contextmanager
def serving(kernels: str | None, threads: int | None) -> Iterator[None]:
    """Within this context the kernels asked for serve, with that many threads."""
    if threads is not None:
        set_threads(threads)
    with using(None, None, **overrule(kernels or "")):
        yield


def _version(wanted: bool) -> None:
    if wanted:
        print(f"minicnn {__version__}")
        raise typer.Exit


@app.callback()
def common(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of errors; may stand anywhere.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Open convolutional networks up."""


def open_model(model: str, preprocess: str | None = None, device: str = "cpu") -> Network:
    """The network of a file or of a name, with what the catalogue knows of it.

    On a card it takes and gives NumPy's arrays, as those of photos and figures are.
    """
    network = load(model, preprocess=preprocess)
    beside = Path(f"{model}.onnx")
    if not Path(model).exists() and beside.is_file():
        print(f"{model} is a network that minicnn knows; for the file here write {beside}.",
              file=sys.stderr)  # fmt: skip
    return network.to(device.strip().lower(), hosted=True)


def program() -> str:
    """How the user can call this program again: by its name, or by the path just used."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py" and called.parent.name == "minicnn":
        return "python -m minicnn"
    return str(called) if called.stem == "minicnn" and not shutil.which("minicnn") else "minicnn"


def to_go_on(*more: str) -> str:
    """The command that goes on where this one stopped."""
    arguments = [a for a in sys.argv[1:] if a not in more]
    return f"To go on: {program()} {shlex.join([*arguments, *more])}"


@contextmanager
def going_on(how: Callable[[], str]) -> Iterator[None]:
    """Say how to go on where long work is interrupted, or cannot write what it keeps."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"Interrupted. {how()}", file=sys.stderr)
        raise typer.Exit(130) from None
    except OutputError as error:
        raise OutputError(f"{error} {how()}") from error


def keeping(file: Path) -> AbstractContextManager[None]:
    """Say, where work is interrupted that is kept in a file now and then, how to go on."""

    def how() -> str:
        if file.exists():
            return to_go_on()
        return "Nothing was kept yet: the same command starts anew."

    return going_on(how)


def open_photo(path: str, network: Network) -> tuple[np.ndarray, np.ndarray]:
    """A photo as the network's input and as something to look at."""
    file = bundled_path(path)
    x = photo(file, network.preprocess).astype(network.dtype, copy=False)
    return x, picture(file, network.preprocess)


def open_images(where: str, network: Network, pattern: str | None = None) -> tuple[Images, Network]:
    """The images of a folder or a data set, and the network, which reads photos as they are."""
    found = images_for(where, network, pattern)
    if found.how is None:
        return found, network
    print(OWN_NUMBERS)
    source = {"minicnn.preprocess.source": "the data set's own"}
    return found, network.derived(preprocess=found.how, metadata={**network.metadata, **source})


def warn_if_assumed(network: Network) -> None:
    """Say how photos were preprocessed where the file did not."""
    if network.assumes_preprocess:
        source = network.metadata["minicnn.preprocess.source"]
        print(f"preprocessing {source} (the file does not say; see --preprocess)")


def show_top(tape: Tape, most: int = 5) -> None:
    """Print the strongest classes."""
    rows = [
        [
            f"{share:.2%}" if share >= 0.0001 else "< 0.01%",
            f"class {name}" if name == str(number) else name,
            "" if name == str(number) else f"(class {number})",
        ]
        for number, name, share in top_classes(tape, most)
    ]
    print(columns(rows, right=(0,)))


def shown_path(path: Path) -> str:
    """A path as the user would find it."""
    return str(path.resolve())


from minicnn.cli import (  # noqa: E402, F401  (commands enter themselves)
    bench,
    check,
    compare,
    demo,
    explain,
    export,
    landscape,
    look,
    look_activations,
    look_dead,
    look_embed,
    look_fields,
    look_filters,
    look_neighbours,
    look_unit,
    models,
    occlude,
    plan,
    sanity,
    show,
    study,
    trace,
    train,
)

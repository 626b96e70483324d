"""Read the ONNX files of real projects, forwards and backwards, and say which agree.

    python benchmarks/real_files.py FOLDER_OR_FILE ... --out benchmarks/results/real-files.json
    python benchmarks/real_files.py model.onnx --shape x=1,3,48,320 --again

Each file is loaded and run on seeded noise, beside onnxruntime with its optimiser off: the largest
difference as a share of the largest output, over all outputs. Two images at once are tried where
the file leaves the batch open, and, against each image alone, where only minicnn opens it. The
input gradient is checked in float64 against central differences along a random direction. Where
outputs differ, both are compared with ours in float64, since a sigmoid of large negative numbers,
for one, has few right digits in onnxruntime; and if it is ours that is off, the first value on the
way that differs is named.

Files that leave sizes open are tried at those in `SIZES`, or at 224. A run that is cut off goes on
where it stopped.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import light_graphs
import numpy as np
import onnx
from judges import Record, as_list, by_onnxruntime, first_off, share, slope_error

import minicnn
from minicnn.errors import MiniCNNError, UnsupportedOperatorError

__all__ = ["SIZES", "judged", "main", "models"]

SIZES: dict[str, tuple[int, ...]] = {  # what the projects feed them, large ones smaller
    "ch_PP-OCRv4_det_infer.onnx": (1, 3, 320, 320),
    "ch_PP-OCRv4_rec_infer.onnx": (1, 3, 48, 320),
    "ch_ppocr_mobile_v2.0_cls_infer.onnx": (1, 3, 48, 192),
    "pnet.onnx": (1, 61, 47, 3),
    "320n.onnx": (1, 3, 320, 320),
    "adain_decoder.onnx": (1, 512, 28, 28),
}
REFUSED = {  # files of the same packages that hold no convolutional network
    "common.onnx": "LSTM",
    "common_old.onnx": "DynamicQuantizeLSTM",
}
FORWARD, GRADIENT = 1e-4, 1e-4
COLUMNS = ("opset", "blocks", "input", "load s", "forward", "in float64", "two images",
           "gradient", "verdict")  # fmt: skip


def models(places: Sequence[Path]) -> Iterator[Path]:
    """The files given, and all that lie in the folders given."""
    for place in places:
        yield from sorted(place.rglob("*.onnx")) if place.is_dir() else [place]


def judged(path: Path, sizes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, Any]:
    """Load a file, run it forwards and backwards, and compare.

    Parameters
    ----------
    path : path
        The file.
    sizes : mapping
        Shapes of inputs that the file leaves open.
    seed : int
        Of the inputs.

    Returns
    -------
    dict
        A row of the table.
    """
    row: dict[str, Any] = {"verdict": "reads"}
    shapes: Any = dict(sizes) or SIZES.get(path.name)
    start = time.perf_counter()
    net = minicnn.load(path, shapes)
    row["load s"] = f"{time.perf_counter() - start:.2f}"
    row |= {"opset": int(net.metadata["opset"]), "blocks": len(net.nodes)}
    x = _noise(net, seed)
    row["input"] = "; ".join("x".join(map(str, array.shape)) for array in x.values())
    trials = {"forward": x}
    if _any_batch(path, net):
        trials["two images"] = _noise(net, seed + 1, batch=2)
    for name, given in trials.items():
        row[name] = _forward(path, net, given)
        if not row[name] <= FORWARD:
            found = _against_float64(path, net, given)
            row["in float64"] = list(map(max, found, row.get("in float64", found)))
            if not found[0] <= FORWARD:
                row["verdict"] = f"{name}: first off at {first_off(path, net, given, FORWARD)}"
    if "two images" not in trials and all(shape[:1] == (None,) for shape in net.inputs.values()):
        row["two images"] = _one_by_one(net, _noise(net, seed + 1, batch=2))
    row["gradient"] = slope_error(net, list(x.values()))
    return row


def _noise(net: minicnn.Network, seed: int, batch: int | None = None) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {name: net.default_shape(name) for name in net.inputs}
    if batch:
        shapes = {name: (batch, *shape[1:]) for name, shape in shapes.items()}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def _forward(path: Path, net: minicnn.Network, x: Mapping[str, np.ndarray]) -> float:
    found = as_list(net(*x.values()))
    return max(share(a, b) for a, b in zip(found, by_onnxruntime(path, x), strict=True))


def _one_by_one(net: minicnn.Network, x: Mapping[str, np.ndarray]) -> float:
    """How far the outputs of a batch are from those of its images alone."""
    alone = [as_list(net(*(array[i : i + 1] for array in x.values()))) for i in (0, 1)]
    pairs = zip(as_list(net(*x.values())), map(np.concatenate, zip(*alone)), strict=True)
    return max(share(together, apart) for together, apart in pairs)


def _against_float64(path: Path, net: minicnn.Network, x: Mapping[str, np.ndarray]) -> list[float]:
    """How far our outputs, and onnxruntime's, are from our own in double precision."""
    truth = as_list(net.astype(np.float64)(*(array.astype(np.float64) for array in x.values())))
    both = as_list(net(*x.values())), by_onnxruntime(path, x)
    return [max(share(a, b) for a, b in zip(found, truth, strict=True)) for found in both]


def _any_batch(path: Path, net: minicnn.Network) -> bool:
    """Whether file and network leave the batch open."""
    graph = onnx.load(path, load_external_data=False).graph
    sizes = {i.name: i.type.tensor_type.shape.dim[:1] for i in graph.input if i.name in net.inputs}
    return all(
        net.inputs[name][:1] == (None,) and dims and dims[0].dim_value < 1
        for name, dims in sizes.items()
    )


def verdict(row: dict[str, Any]) -> str:
    """Whether the figures are reached."""
    if row["verdict"] != "reads":
        return row["verdict"]
    if not row["gradient"] <= GRADIENT:
        return "gradient off"
    if "in float64" not in row and not row.get("two images", 0.0) <= FORWARD:
        return "two images off"
    return "agrees in float64; onnxruntime does not" if "in float64" in row else "agrees"


def run(path: Path, sizes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Judge a file; failures become a row too."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of opsets newer than those checked
            row = judged(path, sizes)
    except UnsupportedOperatorError as error:
        expected = REFUSED.get(path.name)
        if expected and expected in str(error):
            return {"verdict": f"refused, as it should be: {expected}"}
        return {"verdict": f"refused: {error}"}
    except MiniCNNError as error:
        return {"verdict": f"{type(error).__name__}: {error}"}
    except Exception as error:  # whatever goes wrong belongs in the table
        return {"verdict": f"crash: {error!r}"}
    return row | {"verdict": verdict(row)}


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = text.rpartition("=")
    try:
        return name, tuple(int(n) for n in sizes.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not like x=1,3,224,224") from None


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    today = datetime.now(UTC).date()
    out = Path(__file__).parent / "results" / f"real-files-{today}.json"
    parser.add_argument("places", type=Path, nargs="*", help="files, or folders to look through")
    parser.add_argument("--light", action="store_true", help="onnx's own light graphs, reseeded")
    parser.add_argument(
        "--shape", type=_shape, action="append", default=[], help="NAME=1,3,224,224, of one file"
    )
    parser.add_argument("--out", type=Path, default=out, help="results; rows in it are not redone")
    parser.add_argument("--again", action="store_true", help="redo all rows that do not agree")
    options = parser.parse_args(arguments)
    missing = [str(place) for place in options.places if not place.exists()]
    if missing:
        parser.error(f"there is no {', '.join(missing)}")
    if not options.places and not options.light:
        parser.error("give files or folders, or --light")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Go through the files and print the table; 1 if some do not agree."""
    options = parsed(arguments)
    record = Record(options.out)
    good = ("agrees", "refused, as it should be")

    def one(key: str, path: Path) -> None:
        record.add(key, run(path, dict(options.shape)))
        print(f"{key}: {record.rows[key]['verdict']}", file=sys.stderr, flush=True)

    def is_done(key: str) -> bool:
        done = record.rows.get(key, {}).get("verdict", "")
        return done.startswith(good) or bool(done and not options.again)

    for path in models(options.places):
        key = f"{path.parent.name}/{path.name}"
        if not is_done(key):
            one(key, path)
    for name in light_graphs.GRAPHS if options.light else []:
        if not is_done(name):
            with TemporaryDirectory() as folder:
                one(name, light_graphs.reseeded(name, Path(folder)))
    print(record.table(COLUMNS))
    return int(any(not row["verdict"].startswith(good) for row in record.rows.values()))


if __name__ == "__main__":
    sys.exit(main())

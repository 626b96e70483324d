"""Many images as a stream: from a folder of any size, a list of files, or an array.

Only the names are in memory. Pictures are decoded a batch ahead, in order, by a thread; a file that
cannot be read is left out and remembered with its reason, the rest goes on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from PIL import Image

from minicnn.data.photo import photo, picture
from minicnn.errors import ImageError, InputError, MiniCNNError
from minicnn.preprocess import Preprocess

__all__ = ["Batch", "Images", "unprocessed"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Some images as a network's input.

    Parameters
    ----------
    indices : numpy.ndarray of int, shape (N,)
        Which images these are.
    x : numpy.ndarray of float32, shape (N, C, H, W)
    """

    indices: np.ndarray
    x: np.ndarray


class Images:
    """A source of images.

    Parameters
    ----------
    source : path-like, sequence of path-like, or numpy.ndarray
        A folder (searched through all its subfolders, in the order of the names), files, or inputs
        of a network (N, C, H, W).
    labels : sequence of str, optional
        One an image. By default the name of the subfolder that it lies in, where there are any.
    pattern : str, optional
        A regular expression; its first group, searched for in an image's name, is its label.

    Attributes
    ----------
    names : list of str
        Relative to the folder; numbers for an array.
    skipped : dict
        Index and reason of each image that could not be read so far.
    how : Preprocess, optional
        How the images of an array were prepared, where the network does not say so.

    Raises
    ------
    ImageError
        If there is no such folder, or no image in it.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | np.ndarray,
        labels: Sequence[str] | None = None,
        pattern: str | None = None,
    ) -> None:
        self.array = source if isinstance(source, np.ndarray) else None
        self.folder: Path | None = None
        self.skipped: dict[int, str] = {}
        self.how: Preprocess | None = None
        if isinstance(source, np.ndarray):
            self.names = [str(i) for i in range(len(source))]
        elif isinstance(source, (str, os.PathLike)):
            self.folder = Path(source)
            self.names = _found(self.folder)
        else:
            self.names = [os.fspath(path) for path in source]
        if not self.names:
            raise ImageError("There are no images: the list is empty.")
        self.labels = self._labels(labels, pattern)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        where = f" in {self.folder}" if self.folder else ""
        return f"<Images: {len(self)}{where}>"

    def _labels(self, labels: Sequence[str] | None, pattern: str | None) -> list[str]:
        if labels is not None:
            if len(labels) != len(self):
                raise InputError(f"{len(labels)} labels for {len(self)} images: give one each.")
            return [str(label) for label in labels]
        if pattern is not None:
            try:
                found = [re.search(pattern, name) for name in self.names]
                return [match.group(1) if match else "" for match in found]
            except (re.error, IndexError) as error:
                raise InputError(
                    f"The label pattern {pattern!r} does not work ({error}): give a regular "
                    f"expression with one group, such as '_(.*)\\.jpg'."
                ) from None
        return (
            [str(Path(name).parent) if self.folder else "" for name in self.names]
            if any(Path(name).parent != Path() for name in self.names if self.folder)
            else [""] * len(self)
        )

    def path(self, index: int) -> Path:
        """The file of an image."""
        return (self.folder or Path()) / self.names[index]

    def read(self, index: int, preprocess: Preprocess | None) -> np.ndarray:
        """One image as a network's input, shape (1, C, H, W)."""
        if self.array is not None:
            return self.array[index : index + 1]
        return photo(self.path(index), preprocess)

    def picture(self, index: int, preprocess: Preprocess | None) -> np.ndarray:
        """One image as the network sees it, to look at: (H, W, 3), RGB in 0..1."""
        if self.array is not None:
            return unprocessed(self.array[index : index + 1], self.how or preprocess)
        return picture(self.path(index), preprocess)

    def batches(
        self, preprocess: Preprocess | None, size: int = 16, start: int = 0
    ) -> Iterator[Batch]:
        """Images as inputs, `size` at a time (fewer where their sizes differ or the last is near).

        Parameters
        ----------
        preprocess : Preprocess or None
            Usually `net.preprocess`.
        size : int
            Images a batch.
        start : int
            Index of the first image: where an interrupted pass goes on.

        Yields
        ------
        Batch
            In order. Images that cannot be read are left out, see `skipped`.
        """
        parts = range(start, len(self), size)
        with ThreadPoolExecutor(1) as pool:
            coming: list[Future[list[Batch]]] = []
            try:
                for first in parts:
                    coming.append(pool.submit(self._decoded, preprocess, first, size))
                    if len(coming) > 1:
                        yield from coming.pop(0).result()
                for future in coming:
                    yield from future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _decoded(self, preprocess: Preprocess | None, first: int, size: int) -> list[Batch]:
        """The images from `first` on as batches, each of one shape."""
        batches: list[Batch] = []
        indices: list[int] = []
        inputs: list[np.ndarray] = []
        for index in range(first, min(first + size, len(self))):
            try:
                x = self.read(index, preprocess)
            except MiniCNNError as error:
                self.skipped[index] = str(error)
                continue
            if inputs and x.shape != inputs[0].shape:
                batches.append(Batch(np.array(indices), np.concatenate(inputs)))
                indices, inputs = [], []
            indices.append(index)
            inputs.append(x)
        if inputs:
            batches.append(Batch(np.array(indices), np.concatenate(inputs)))
        return batches

    def fingerprint(self) -> str:
        """A short text that differs for other images (by their names, not their contents)."""
        digest = blake2b(digest_size=12)
        for name in self.names:
            digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
        if self.array is not None:
            digest.update(np.ascontiguousarray(self.array).tobytes())
        else:
            digest.update(str(self.folder and self.folder.resolve()).encode())
        return digest.hexdigest()


def unprocessed(x: np.ndarray, preprocess: Preprocess | None) -> np.ndarray:
    """An input (1, C, H, W) of a network as a picture (H, W, 3), RGB in 0..1.

    The inverse of preprocessing but for resizing and cropping; without one, 0..1 is assumed.
    """
    image = x[0].transpose(1, 2, 0)
    if preprocess is not None:
        image = x[0] if preprocess.layout == "NHWC" else image  # (H, W, C)
        mean = np.array(preprocess.mean, np.float32)
        std = np.array(preprocess.std, np.float32)
        image = (image * std + mean) / np.float32(preprocess.scale)
        if preprocess.order == "BGR":
            image = image[:, :, ::-1]
    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    return np.clip(image, 0, 1).astype(np.float32)


def _found(folder: Path) -> list[str]:
    """Names of all image files below a folder, in order."""
    if not folder.exists():
        raise ImageError(f"There is no folder {folder}. Give a folder with images in it.")
    if not folder.is_dir():
        raise ImageError(f"{folder} is a file. Give a folder with images in it.")
    Image.init()
    suffixes = {suffix for suffix, kind in Image.EXTENSION.items() if kind in Image.OPEN}
    names = [
        os.path.relpath(os.path.join(where, name), folder)  # noqa: PTH118  (a million of them)
        for where, folders, files in os.walk(folder)
        for name in files
        if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes  # noqa: PTH122
    ]
    if not names:
        raise ImageError(
            f"There are no images in {folder}. Give a folder that holds PNG, JPEG or other image "
            f"files, itself or in its subfolders."
        )
    return sorted(names)

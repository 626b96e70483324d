"""Photos: from an image file to a network's input, and back to something to look at.

Files are opened by Pillow with its guard against decompression bombs on; orientation tags are
obeyed, transparency is put on white.
"""

from __future__ import annotations

import os
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from minicnn.data.bundled import (
    bundled_digits,
    bundled_path,
    bundled_photos,
    bundled_pictures,
)
from minicnn.errors import ImageError, InputError
from minicnn.preprocess import Preprocess, preset

__all__ = ["open_photo", "photo", "picture"]

MOST_PIXELS = 89_478_485  # Pillow's own limit: a larger picture is taken for a bomb


def open_photo(path: str | os.PathLike[str]) -> Image.Image:
    """Open an image file as RGB; "china", "cifar_cat" and "digit_7" are bundled ones.

    Raises
    ------
    ImageError
        If the file is missing, no image, truncated, or larger than 89 megapixels.
    """
    path = bundled_path(os.fspath(path))
    if not path.exists():
        own = (*bundled_digits(), *bundled_pictures(), *bundled_photos())
        raise ImageError(
            f"There is no file {path}. Give the path of a photo, or the name of a bundled one: "
            f"{', '.join(file.stem for file in own)}."
        )
    if path.is_dir():
        raise ImageError(f"{path} is a folder. Give the path of a photo in it.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                image: Image.Image = ImageOps.exif_transpose(file)
                if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                    image = image.convert("RGBA")
                    white = Image.new("RGBA", image.size, "white")
                    image = Image.alpha_composite(white, image)
                if image.mode.startswith("I"):  # 16 bits a pixel, which convert() would cut off
                    eight = np.asarray(image).astype(np.float64) / 257
                    image = Image.fromarray(eight.clip(0, 255).round().astype(np.uint8))
                return image.convert("RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(
            f"{path} unpacks to more than {MOST_PIXELS // 10**6} megapixels and may be a "
            f"decompression bomb. Scale it down first."
        ) from None
    except UnidentifiedImageError:
        raise ImageError(f"{path} is not an image that Pillow knows (PNG, JPEG, ...).") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{path} cannot be read: {error}. It may be cut off.") from error


def photo(path: str | os.PathLike[str], preprocess: Preprocess | str | None = None) -> np.ndarray:
    """A photo as a network's input.

    Parameters
    ----------
    path : path-like
        An image file, or the name of a bundled one, such as "china" or "digit_7".
    preprocess : Preprocess or str, optional
        Usually `net.preprocess`; "imagenet" by default.

    Returns
    -------
    numpy.ndarray of float32, shape (1, C, H, W), or (1, H, W, C) if so laid out
        Normalised: (pixel / 255 * scale - mean) / std.
    """
    how = _resolve(preprocess)
    pixels = picture(path, how)
    if how.channels == 1:
        grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
        pixels = grey[:, :, None]
    elif how.order == "BGR":
        pixels = pixels[:, :, ::-1]
    mean, std = np.array(how.mean, np.float32), np.array(how.std, np.float32)
    values = (pixels * np.float32(how.scale) - mean) / std
    if how.layout == "NCHW":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None], np.float32)


def picture(path: str | os.PathLike[str], preprocess: Preprocess | str | None = None) -> np.ndarray:
    """What the network sees of a photo, to look at: resized and cropped, not normalised.

    Returns
    -------
    numpy.ndarray of float32, shape (H, W, 3)
        RGB in 0..1.
    """
    how = _resolve(preprocess)
    image = open_photo(path)
    if how.size:
        width, height = image.size
        scale = how.size / min(width, height)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if size[0] * size[1] > MOST_PIXELS:
            raise ImageError(
                f"{path} is {width}x{height} pixels; with a short side of {how.size} it would be "
                f"{size[0]}x{size[1]}, more than {MOST_PIXELS // 10**6} megapixels. Crop it first."
            )
        if size != image.size:
            image = image.resize(size, Image.Resampling.BILINEAR)
    if how.crop_size:
        height, width = how.crop_size
        left, top = (image.size[0] - width) // 2, (image.size[1] - height) // 2
        if min(left, top) < 0:
            raise InputError(
                f"{path} is {image.size[0]}x{image.size[1]} pixels after resizing; a crop of "
                f"{width}x{height} does not fit. Give a larger photo or size={max(height, width)}."
            )
        image = image.crop((left, top, left + width, top + height))
    return np.asarray(image, np.float32) / np.float32(255)


def _resolve(preprocess: Preprocess | str | None) -> Preprocess:
    if isinstance(preprocess, Preprocess):
        return preprocess
    return preset(preprocess or "imagenet")

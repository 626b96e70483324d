"""Images: photos, streams, data sets and batches, and what comes with the package."""

from minicnn.data.augment import Augment
from minicnn.data.batches import Batches, Pairs
from minicnn.data.bundled import (
    bundled_digits,
    bundled_model,
    bundled_models,
    bundled_path,
    bundled_photos,
    bundled_pictures,
)
from minicnn.data.datasets import Dataset
from minicnn.data.images import Batch, Images, unprocessed
from minicnn.data.labels import imagenet_names
from minicnn.data.matching import images_for
from minicnn.data.photo import open_photo, photo, picture
from minicnn.data.reading import read

__all__ = [
    "Augment",
    "Batch",
    "Batches",
    "Dataset",
    "Images",
    "Pairs",
    "bundled_digits",
    "bundled_model",
    "bundled_models",
    "bundled_path",
    "bundled_photos",
    "bundled_pictures",
    "imagenet_names",
    "images_for",
    "open_photo",
    "photo",
    "picture",
    "read",
    "unprocessed",
]

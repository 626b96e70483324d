"""Images and the facts that come with the package: photos, class names, the bundled network."""

from minicnn.data.bundled import bundled_digits, bundled_model, bundled_path, bundled_photos
from minicnn.data.images import Batch, Images, unprocessed
from minicnn.data.labels import imagenet_names
from minicnn.data.photo import open_photo, photo, picture

__all__ = [
    "Batch",
    "Images",
    "bundled_digits",
    "bundled_model",
    "bundled_path",
    "bundled_photos",
    "imagenet_names",
    "open_photo",
    "photo",
    "picture",
    "unprocessed",
]

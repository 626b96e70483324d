"""Photos: geometry, normalisation by hand, odd kinds of files, and files that are no photos."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from minicnn.data import imagenet_names, open_photo, photo, picture
from minicnn.errors import ImageError, InputError, UnknownNameError
from minicnn.preprocess import PRESETS, Preprocess, preset

F = np.float32
RAW = Preprocess(None, None, (0.0,) * 3, (1.0,) * 3)


def saved(folder, pixels, name="photo.png", mode=None, **options):
    """An array as an image file."""
    path = folder / name
    image = Image.fromarray(np.asarray(pixels, np.uint8))
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def flat(height, width, colour):
    return np.broadcast_to(np.array(colour, np.uint8), (height, width, 3))


def stripes(height, width):
    """Each column holds its own number."""
    return np.broadcast_to(np.arange(width, dtype=np.uint8)[:, None], (height, width, 3))


# Geometry


@pytest.mark.parametrize(
    ("height", "width", "seen"),
    [(30, 60, (10, 20)), (60, 30, (20, 10)), (40, 40, (10, 10)), (5, 7, (10, 14))],
)
def test_the_short_side_becomes_size_and_the_long_one_keeps_its_ratio(
    height, width, seen, tmp_path
):
    path = saved(tmp_path, flat(height, width, (10, 20, 30)))
    how = Preprocess(10, None)
    assert picture(path, how).shape == (*seen, 3)
    assert photo(path, how).shape == (1, 3, *seen)


def test_the_crop_is_the_middle(tmp_path):
    path = saved(tmp_path, stripes(4, 10))
    seen = picture(path, Preprocess(None, 4, (0.0,) * 3, (1.0,) * 3))
    np.testing.assert_array_equal(np.round(seen[0, :, 0] * 255), [3, 4, 5, 6])


def test_the_crop_of_a_tall_photo_is_the_middle_too(tmp_path):
    path = saved(tmp_path, stripes(4, 11).transpose(1, 0, 2))
    seen = picture(path, Preprocess(None, 4))
    np.testing.assert_array_equal(np.round(seen[:, 0, 0] * 255), [3, 4, 5, 6])


def test_the_default_is_256_then_224(tmp_path):
    path = saved(tmp_path, flat(300, 500, (0, 0, 0)))
    assert photo(path).shape == (1, 3, 224, 224)
    assert Preprocess().size == 256


def test_a_photo_of_the_right_size_is_not_touched(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    seen = picture(saved(tmp_path, pixels), Preprocess(12, 12))
    np.testing.assert_array_equal(seen, pixels.astype(F) / F(255))


def test_a_crop_larger_than_the_photo_is_refused_with_its_size(tmp_path):
    path = saved(tmp_path, flat(8, 30, (0, 0, 0)))
    with pytest.raises(InputError, match=r"30x8 pixels.*crop of 16") as caught:
        photo(path, Preprocess(None, 16))
    assert "photo.png" in str(caught.value)


def test_one_pixel_is_a_photo(tmp_path):
    x = photo(saved(tmp_path, flat(1, 1, (255, 0, 0))), Preprocess(16, 16))
    assert x.shape == (1, 3, 16, 16)
    assert np.ptp(x[0, 0]) == 0


# Numbers


def test_imagenet_numbers_by_hand(tmp_path):
    x = photo(saved(tmp_path, flat(4, 4, (255, 0, 51))), Preprocess(4, 4))
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    np.testing.assert_allclose(x[0, :, 1, 2], expected, rtol=1e-5)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous


def test_caffe_numbers_are_bgr_of_255_minus_the_mean(tmp_path):
    path = saved(tmp_path, flat(300, 300, (200, 100, 50)))
    x = photo(path, "caffe")
    expected = [50 - 103.939, 100 - 116.779, 200 - 123.68]
    np.testing.assert_allclose(x[0, :, 5, 5], expected, rtol=1e-5)


def test_raw_numbers_are_pixels_from_0_to_1(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    x = photo(saved(tmp_path, pixels), "raw")
    np.testing.assert_allclose(x[0].transpose(1, 2, 0), pixels / 255, rtol=1e-6)


def test_grey_weighs_the_colours(tmp_path):
    path = saved(tmp_path, flat(4, 4, (255, 51, 102)))
    x = photo(path, Preprocess(4, 4, (0.5,), (0.25,)))
    luma = 0.299 + 0.587 * 0.2 + 0.114 * 0.4
    assert x.shape == (1, 1, 4, 4)
    np.testing.assert_allclose(x, (luma - 0.5) / 0.25, rtol=1e-5)


def test_grey_files_keep_their_numbers(tmp_path):
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4) * 16
    x = photo(saved(tmp_path, pixels), Preprocess(None, None, (0.0,), (1.0,)))
    np.testing.assert_allclose(x[0, 0], pixels / 255, rtol=1e-6, atol=1e-7)


def test_a_picture_is_rgb_from_0_to_1_whatever_the_network_wants(tmp_path):
    path = saved(tmp_path, flat(300, 300, (255, 0, 51)))
    for how in ("imagenet", "caffe"):
        seen = picture(path, how)
        assert seen.shape == (224, 224, 3)
        np.testing.assert_allclose(seen[3, 3], [1, 0, 0.2], rtol=1e-6)


# Kinds of files


def test_transparency_is_put_on_white(tmp_path):
    pixels = np.array([[[255, 0, 0, 255], [255, 0, 0, 0]]], np.uint8)
    seen = picture(saved(tmp_path, pixels), RAW)
    np.testing.assert_array_equal(seen[0], [[1, 0, 0], [1, 1, 1]])


def test_a_palette_with_transparency_is_put_on_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 255, 0, 255, 0])
    image.putdata([0, 1])
    image.save(tmp_path / "p.png", transparency=1)
    seen = picture(tmp_path / "p.png", RAW)
    np.testing.assert_array_equal(seen[0], [[0, 0, 1], [1, 1, 1]])


def test_grey_with_transparency_is_put_on_white(tmp_path):
    pixels = np.array([[[0, 255], [0, 0]]], np.uint8)
    path = tmp_path / "la.png"
    Image.frombytes("LA", (2, 1), pixels.tobytes()).save(path)
    np.testing.assert_array_equal(picture(path, RAW)[0], [[0, 0, 0], [1, 1, 1]])


def test_sixteen_bits_keep_their_brightness(tmp_path):
    pixels = np.array([[0, 32768, 65535]], np.uint16)
    path = tmp_path / "deep.png"
    Image.fromarray(pixels).save(path)
    seen = picture(path, RAW)[0, :, 0]
    np.testing.assert_allclose(seen, [0, 0.5, 1], atol=0.01)


def test_cmyk_becomes_rgb(tmp_path):
    path = tmp_path / "print.jpg"
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(path, quality=100)
    np.testing.assert_allclose(picture(path, RAW)[8, 8], [1, 0, 0], atol=0.05)


def test_the_orientation_tag_is_obeyed(tmp_path):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255  # white on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise: left becomes top
    path = saved(tmp_path, pixels, "turned.jpg", quality=100, exif=exif)
    seen = picture(path, RAW)
    assert seen.shape == (32, 16, 3)
    assert seen[2:12].min() > 0.9
    assert seen[20:30].max() < 0.1


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.gif", "a.webp", "a.tiff"])
def test_the_usual_formats_are_read(name, tmp_path):
    seen = picture(saved(tmp_path, flat(16, 16, (200, 100, 0)), name), RAW)
    np.testing.assert_allclose(seen[8, 8], np.array([200, 100, 0]) / 255, atol=0.03)


# Files that are no photos


def png(width, height):
    """A PNG of a few bytes that says it is huge, every row of it present."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(min(height * (width // 8 + 1), 10**6)), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [9_600, 20_000, 2**30])
def test_a_decompression_bomb_is_refused(side, tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side))
    assert path.stat().st_size < 2000
    with pytest.raises(ImageError, match="bomb"):
        open_photo(path)


@pytest.mark.parametrize("keep", [0, 5, 30, 200, -50])
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_file_that_is_cut_off_is_refused(keep, name, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    path = saved(tmp_path, noise, name)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ImageError, match=name):
        photo(path)


@pytest.mark.parametrize(
    "data", [b"Dear reader, this is text.", bytes(range(256)) * 4, b"<svg></svg>"]
)
def test_what_is_no_image_is_refused(data, tmp_path):
    path = tmp_path / "thing.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"thing.png is not an image"):
        photo(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ImageError, match=r"no file .*none.png"):
        photo(tmp_path / "none.png")
    with pytest.raises(ImageError, match="is a folder"):
        photo(tmp_path)


# Preprocessing itself


def test_preprocessing_survives_a_file():
    how = Preprocess(None, 7, (0.25,), (0.5,), 255.0, "BGR")
    assert Preprocess.from_json(how.to_json()) == how


@pytest.mark.parametrize(
    "fields",
    [{"mean": (0.0,)}, {"mean": (0.0, 0.0), "std": (1.0, 1.0)}, {"order": "GBR"},
     {"std": (1.0, 0.0, 1.0)}],
)  # fmt: skip
def test_preprocessing_that_makes_no_sense_is_refused(fields):
    with pytest.raises(InputError):
        Preprocess(**fields)


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"siz": 3}', '{"size": 1e999}', '{"mean": 3}', '{"crop": "x"}']
)
def test_preprocessing_that_is_damaged_is_refused_when_read(text):
    with pytest.raises(InputError):
        Preprocess.from_json(text)


def test_presets_are_found_by_name_and_the_nearest_is_offered():
    assert preset("caffe") is PRESETS["caffe"]
    with pytest.raises(UnknownNameError, match="Did you mean caffe"):
        preset("cafe")


def test_there_are_a_thousand_class_names():
    names = imagenet_names()
    assert len(names) == 1000
    assert all(name.strip() == name and name for name in names)
    assert (names[0], names[281], names[999]) == ("tench", "tabby", "toilet tissue")


def test_a_sliver_that_resizing_would_blow_up_is_refused(tmp_path):
    """The guard against bombs sees the file's pixels; the resized ones count, too."""
    Image.fromarray(np.zeros((8, 4000), np.uint8)).save(tmp_path / "sliver.png")
    with pytest.raises(ImageError, match=r"4000x8 pixels; .* 512000x1024"):
        photo(tmp_path / "sliver.png", Preprocess(size=1024, crop=224))

"""Display formulas by hand, and the figures made of them."""

import numpy as np
import pytest
from onnx_graphs import noise, small_classifier, written
from PIL import Image

import minicnn
from minicnn import figures, seeds
from minicnn.attribution import compare, reported_rules, selectivity
from minicnn.errors import OutputError
from minicnn.figures import sigmoid, symmetric
from minicnn.figures.panels import support_box


def with_quantile(low, rest):
    """A map of 1000 values whose 0.5 % quantile is `low` < 0 exactly, and which holds `rest`."""
    values = np.zeros(1000)
    values[:11] = low
    values[11 : 11 + len(rest)] = rest
    return values.reshape(1, 25, 40)


def shown(image):
    return image[:, :, 0].reshape(-1)


# The authors' contrast


def test_sigmoid_shows_the_low_quantile_as_1_percent_and_its_mirror_as_99():
    seen = shown(sigmoid(with_quantile(-2.0, [0.0, 2.0, 1.0, -1.0])))
    np.testing.assert_allclose(seen[[0, 11, 12]], [0.01, 0.5, 0.99], rtol=1e-12)
    half = 1 / (1 + np.sqrt(99))  # at a / 2, exp(log(99) / 2) = sqrt(99)
    np.testing.assert_allclose(seen[[14, 13]], [half, 1 - half], rtol=1e-12)


def test_sigmoid_takes_the_quantile_and_not_the_minimum():
    values = with_quantile(-2.0, [-100.0])
    seen = shown(sigmoid(values))
    assert seen[0] == pytest.approx(0.01)
    assert seen[11] < 1e-10


def test_sigmoid_takes_the_minimum_where_the_quantile_is_almost_zero():
    values = np.zeros((1, 25, 40))
    values[0, 0, :5] = [-3.0, 3.0, -1.5, 0.0, 5.0]
    seen = shown(sigmoid(values))
    np.testing.assert_allclose(seen[:4], [0.01, 0.99, 1 / (1 + np.sqrt(99)), 0.5], rtol=1e-12)


def test_sigmoid_of_a_positive_map_shows_its_high_quantile_as_99_percent():
    values = np.full(1000, 2.0)
    values[:11], values[0] = 4.0, 100.0  # the 99.5 % quantile is 4
    seen = shown(sigmoid(values.reshape(1, 25, 40)))
    half = 1 / (1 + np.sqrt(99))
    np.testing.assert_allclose(seen[[1, 11]], [0.99, 1 - half], rtol=1e-12)


@pytest.mark.parametrize("values", [np.zeros((1, 4, 5)), np.zeros((3, 4, 5), np.float32)])
@pytest.mark.parametrize("display", [sigmoid, symmetric])
def test_a_map_of_zeros_is_mid_grey(display, values):
    np.testing.assert_array_equal(display(values), np.full((4, 5, 3), 0.5))


@pytest.mark.parametrize("display", [sigmoid, symmetric])
@pytest.mark.parametrize("scale", [1e-20, 1e-6, 1.0, 1e20])
@pytest.mark.parametrize(
    "values",
    [
        np.linspace(-1, 1, 60),
        np.linspace(0, 1, 60),
        np.linspace(0.5, 1, 60),
        np.linspace(-1, -0.5, 60),
        np.eye(1, 60, 7)[0],
        -np.eye(1, 60, 7)[0],
        np.ones(60),
        -np.ones(60),
    ],
)
def test_polarity_is_kept_and_everything_stays_in_0_to_1(display, scale, values):
    seen = shown(display((values * scale).reshape(1, 6, 10)))
    order = np.argsort(values, kind="stable")
    assert (np.diff(seen[order]) >= 0).all()
    assert seen.min() >= 0
    assert seen.max() <= 1
    assert (seen[values > 0] > 0.5).all()
    assert (seen[values < 0] < 0.5).all()
    assert (seen[values == 0] == 0.5).all()


@pytest.mark.parametrize("display", [sigmoid, symmetric])
def test_colours_stay_in_their_places(display):
    values = np.zeros((3, 4, 5))
    values[0, 1, 2], values[2, 3, 4] = 1.0, -1.0
    seen = display(values)
    assert seen.shape == (4, 5, 3)
    assert seen[1, 2, 0] > 0.9
    assert seen[3, 4, 2] < 0.1
    assert (seen != 0.5).sum() == 2


def test_symmetric_is_a_half_plus_x_over_twice_the_largest():
    seen = symmetric(np.array([[[-4.0, 0.0, 1.0, 2.0]]]))
    np.testing.assert_allclose(seen[0, :, 1], [0, 0.5, 0.625, 0.75])


def test_displays_do_not_change_the_map():
    values = noise(3, 5, 5)
    kept = values.copy()
    sigmoid(values), symmetric(values)
    np.testing.assert_array_equal(values, kept)


# The small part that a unit sees


def test_the_box_is_where_any_map_is_not_zero():
    first, second = np.zeros((3, 40, 50)), np.zeros((3, 40, 50))
    first[1, 10, 20] = -1.0
    second[2, 12, 23] = 1.0
    assert support_box([first, second]) == (10, 20, 13, 24)
    assert support_box([first]) == (10, 20, 11, 21)


def test_there_is_no_box_where_it_is_large_or_nothing_is_there():
    assert support_box([np.ones((1, 40, 50))]) is None
    assert support_box([np.zeros((1, 40, 50))]) is None


# Figures


@pytest.fixture
def tape(tmp_path):
    return minicnn.load(written(small_classifier(lrn=True), tmp_path)).record(noise(1, 3, 16, 16))


PHOTO = np.random.default_rng(0).random((16, 16, 3))


def images(figure):
    """What each panel shows, row by row; None where it shows nothing."""
    return [axis.images[0].get_array() if axis.images else None for axis in figure.axes]


def test_the_comparison_shows_the_photo_and_each_map_under_the_display(tape):
    found = compare(tape, seeds.logit(tape, 1), ["salinet", "deconvnet"])
    panels = images(figures.comparison_figure(PHOTO, [found], "title", "symmetric"))
    assert len(panels) == 3
    np.testing.assert_array_equal(panels[0], PHOTO)
    for panel, picture in zip(panels[1:], found.pictures, strict=True):
        np.testing.assert_array_equal(panel, symmetric(picture.values))


def test_the_family_figure_has_a_row_for_each_backward_choice_and_a_photo(tape):
    found = compare(tape, seeds.logit(tape, 1), reported_rules("all", tape.network))
    assert len(found.pictures) == 16
    figure = figures.family_figure(PHOTO, found, "title")
    panels = images(figure)
    assert len(panels) == 4 * 5
    assert sum(panel is None for panel in panels) == 3
    titles = " ".join(axis.get_title() for axis in figure.axes)
    for picture in found.pictures:
        assert picture.rule.code in titles


def test_every_panel_of_the_family_stands_where_its_code_belongs(tape):
    """Columns: mask + switches, mask, neither, switches; rows: backward ReLU, then LRN."""
    found = compare(tape, seeds.logit(tape, 1), reported_rules("all", tape.network))
    columns = ["TT", "TF", "FF", "FT"]
    for place, picture in enumerate(found.pictures):
        row, column = divmod(place, 4)
        wanted = columns[column] + ("T" if row % 2 == 0 else "F") + ("T" if row < 2 else "F")
        assert picture.rule.code in (wanted, wanted[:3] if row < 2 else wanted)


def test_the_selectivity_figure_shows_three_pictures_a_rule(tape):
    found = [selectivity(tape, "conv2", rule, 0) for rule in ("salinet", "deconvnet")]
    figure = figures.selectivity_figure(PHOTO, found, "title", "symmetric")
    panels = images(figure)
    assert len(panels) == 2 * 4
    np.testing.assert_array_equal(panels[6], symmetric(found[1].pictures[1]))
    assert f"{found[0].max_random:.2f}" in figure.axes[2].get_xlabel()


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg", "jpg"])
def test_figures_are_written_in_the_kind_of_their_suffix(suffix, tape, tmp_path):
    found = compare(tape, seeds.logit(tape), ["salinet"])
    path = tmp_path / f"out.{suffix}"
    figures.save(figures.comparison_figure(PHOTO, [found], "title"), path)
    start = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml", "jpg": b"\xff\xd8"}[suffix]
    assert path.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir() if p.name != "model.onnx"] == [path.name]


def test_a_figure_is_as_wide_as_its_panels(tape, tmp_path):
    sizes = []
    for rules in (["salinet"], ["salinet", "deconvnet", "desalinet"]):
        figure = figures.comparison_figure(
            PHOTO, [compare(tape, seeds.logit(tape), rules)], "title"
        )
        figures.save(figure, tmp_path / "a.png", dpi=50)
        with Image.open(tmp_path / "a.png") as image:
            sizes.append(image.size)
    assert sizes[1][0] == pytest.approx(2 * sizes[0][0], abs=8)
    assert sizes[1][1] == sizes[0][1]


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.png.exe"])
def test_what_is_no_kind_of_picture_is_refused(name, tape, tmp_path):
    figure = figures.comparison_figure(PHOTO, [compare(tape, seeds.logit(tape), ["salinet"])], "t")
    with pytest.raises(OutputError, match=r"not a kind of picture|no suffix"):
        figures.save(figure, tmp_path / name)

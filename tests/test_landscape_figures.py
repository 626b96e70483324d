"""Figures of landscapes: what is drawn where; and the command that draws them."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import shared
from matplotlib.colors import LogNorm

from minicnn import figures
from minicnn.errors import InputError
from minicnn.landscape import Curvature, Surface, Trajectory, axis


def bowl(height=9, width=11, steep=1.0):
    xs, ys = np.linspace(-1, 1, width).round(12), np.linspace(-1, 1, height).round(12)
    y, x = np.meshgrid(ys, xs, indexing="ij")
    loss = 0.01 + steep * (x**2 + 2 * y**2)
    return Surface(xs, ys, loss, np.exp(-loss))


def line(shift=0.0):
    xs = np.linspace(-1, 1, 9)
    return Surface(xs, None, (xs - shift) ** 2, np.exp(-((xs - shift) ** 2)))


@pytest.mark.parametrize("style", figures.LANDSCAPE_STYLES)
@pytest.mark.parametrize("log", [False, True])
def test_surfaces_side_by_side_share_their_colours(tmp_path, style, log):
    found = {"with skips": bowl(), "without": bowl(steep=30)}
    figure = figures.landscapes_figure(found, "Two networks", style, log, 10.0)
    axes = [a for a in figure.axes if a.get_title() in found]
    assert [a.get_title() for a in axes] == list(found)
    limits = {tuple(np.round(c.get_clim(), 9)) for a in axes for c in a.collections if c.cmap}
    if style != "contour":
        assert len(limits) == 1
    if log and style == "filled":
        assert isinstance(axes[0].collections[0].norm, LogNorm)
    if style != "surface":
        for each in axes:  # the network and the lowest point are marked
            marks = {m.get_label(): m for m in each.lines if len(m.get_xdata()) == 1}
            assert list(marks) == ["the network", "lowest point"]
            for mark in marks.values():
                assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (0, 0)
    figures.save(figure, tmp_path / "a.png")


def test_overflow_and_flat_surfaces_can_be_drawn(tmp_path):
    high = bowl()
    high.loss[0, 0] = np.inf
    flat = Surface(high.xs, high.ys, np.full(high.loss.shape, 2.3), high.accuracy)
    for number, one in enumerate((high, flat)):
        for log in (False, True):
            figure = figures.landscapes_figure({"": one}, "a", "filled", log)
            figures.save(figure, tmp_path / f"{number}{log}.png")
    nothing = Surface(high.xs, high.ys, np.full(high.loss.shape, np.inf), high.accuracy)
    with pytest.raises(InputError, match="finite"):
        figures.landscapes_figure({"": nothing}, "a")
    with pytest.raises(InputError, match="style='3d'"):
        figures.landscapes_figure({"": high}, "a", "3d")
    with pytest.raises(InputError, match="curves_figure"):
        figures.landscapes_figure({"": line()}, "a")


def test_curves_have_an_axis_for_accuracy(tmp_path):
    found = {"one": line(), "other": line(0.2)}
    figure = figures.curves_figure(found, "Lines", marked={"here": 0.0})
    left, right = figure.axes
    losses = [curve for curve in left.lines if len(curve.get_xdata()) == 9]
    for curve, share, one in zip(losses, right.lines, found.values(), strict=True):
        np.testing.assert_array_equal(curve.get_ydata(), one.loss)
        np.testing.assert_array_equal(share.get_ydata(), 100 * one.accuracy)
    figures.save(figure, tmp_path / "a.png")


def test_the_scale_demonstration_says_how_far_apart_curves_are(tmp_path):
    found = {
        "plain": {"as trained": line(), "rescaled": line(0.5)},
        "filter-normalised": {"as trained": line(), "rescaled": line()},
    }
    figure = figures.scale_figure(found, "Scale")
    titles = [a.get_title() for a in figure.axes]
    assert titles == ["plain\nlargest difference 1.2", "filter-normalised\nequal in every bit"]
    figures.save(figure, tmp_path / "a.png")


def test_the_trajectory_names_what_its_directions_explain(tmp_path):
    t = np.linspace(0, 1, 20)
    path = np.stack([-0.8 * (1 - t), 0.6 * t * (1 - t)], axis=1)
    found = Trajectory(({}, {}), path, np.array([0.7123, 0.2]))
    figure = figures.trajectory_figure(bowl(), found, "A training", marked=[10])
    drawn = figure.axes[0]
    assert "71.2 %" in drawn.get_xlabel()
    assert "20.0 %" in drawn.get_ylabel()
    assert any(np.array_equal(curve.get_xydata(), path) for curve in drawn.lines)
    figures.save(figure, tmp_path / "a.png")


def test_curvature_says_how_many_cells_are_not_convex(tmp_path):
    xs = np.linspace(-1, 1, 3)
    lowest = np.array([[-5.0, -0.5, 0.1], [-2.0, -1.1, np.nan]])
    found = Curvature(xs, xs[:2], lowest, np.full((2, 3), 10.0))
    np.testing.assert_allclose(found.ratio[0], [0.5, 0.05, 0])
    figure = figures.curvature_figure({"a network": found}, "Curvature")
    assert "60% of the cells" in figure.axes[0].get_title()
    figures.save(figure, tmp_path / "a.png")
    with pytest.raises(InputError, match="line"):
        figures.curvature_figure({"": Curvature(xs, None, xs, xs)}, "a")


def run(*arguments, cwd):
    words = [sys.executable, "-m", "minicnn", "landscape", *map(str, arguments)]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=300)


def test_the_command_draws_and_goes_on(tmp_path):
    folder = shared("mnist")
    given = ["mnist", "--data", folder, "--x", "-1:1:5", "--y", "-1:1:3", "--samples", "8"]
    first = run(*given, "--out", "a.png", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert (tmp_path / "a.png").exists()
    with np.load(tmp_path / "a.npz") as kept:
        assert kept["loss"].shape == (3, 5)
        assert kept["done"].all()
        np.testing.assert_array_equal(kept["x"], axis("-1:1:5"))
        loss = kept["loss"][1, 2]
    assert "break convexity" in first.stdout
    assert f"{loss:.4g}" in first.stdout
    again = run(*given, "--out", "b.png", "--save", "a.npz", "--show", "surface", "--log",
                cwd=tmp_path)  # fmt: skip
    assert again.returncode == 0, again.stderr
    other = run(*given[:-1], "9", "--out", "a.png", cwd=tmp_path)
    assert other.returncode == 2
    assert "another run" in other.stderr
    assert "Traceback" not in other.stderr


def test_where_nothing_is_low_enough_nothing_is_counted(tmp_path):
    given = ["lenet", "--data", shared("mnist"), "--x", "-1:1:3", "--y", "none", "--samples", "8"]
    found = run(*given, "--highest", "1e-9", "--out", "a.png", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "none to measure" in found.stdout


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--data", "digits"], "images of 1x8x8"),
        (["--x", "1:0:3"], "rises"),
        (["--show", "3d"], "filled"),
        (["--other", "mnist", "--y", "0:1:3"], "line"),
        (["--norm", "weights"], "norm="),
        (["--highest", "-1"], "positive"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_the_command_refuses(tmp_path, monkeypatch, capsys, extra, said):
    from minicnn.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["minicnn", "landscape", "mnist", "--data", "digits", *extra])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert said in capsys.readouterr().err


def test_the_bar_ends_in_an_arrow_where_losses_lie_above():
    for highest, ends in ((None, "neither"), (0.5, "max")):
        for style in ("filled", "surface"):
            figure = figures.landscapes_figure({"": bowl()}, "t", style=style, highest=highest)
            figure.canvas.draw()
            bars = [a._colorbar for a in figure.axes if hasattr(a, "_colorbar")]
            assert [bar.extend for bar in bars] == [ends]


@pytest.mark.parametrize("style", figures.LANDSCAPE_STYLES)
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("highest", [1e-9, 2.0, 5.0, 5.5])
def test_a_highest_level_below_all_losses_can_be_drawn(style, log, highest):
    high = replace(bowl(), loss=bowl().loss + 5)
    figure = figures.landscapes_figure({"": high}, "t", style, log, highest)
    figure.canvas.draw()
    if not log:
        bars = [a._colorbar for a in figure.axes if hasattr(a, "_colorbar")]
        assert all(bar.vmax == pytest.approx(highest) for bar in bars)

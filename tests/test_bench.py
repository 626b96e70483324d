"""Measuring kernels: what is reported, kernels of one's own, the command, and its figures."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import shared
from matplotlib.backends.backend_agg import FigureCanvasAgg
from onnx_graphs import small_classifier, written
from typer.testing import CliRunner

from minicnn import errors, figures
from minicnn.cli import bench as command
from minicnn.cli.app import app
from minicnn.figures import roofline
from minicnn.kernels import Entry, Window, cases, registry
from minicnn.kernels import bench as benches
from minicnn.kernels.bench import Bench, Ceilings, kernels
from minicnn.kernels.cases import Case
from minicnn.kernels.cpu import compiled
from minicnn.kernels.cpu.ceilings import arithmetic_peak, memory_bandwidth
from minicnn.kernels.cpu.team import threads
from minicnn.kernels.measure import Measurement, estimated_seconds, measure, roof
from minicnn.kernels.own import load_kernels
from minicnn.kernels.problems import Convolution
from minicnn.kernels.shapes import SETS, find, parse

ROOT = Path(__file__).resolve().parents[1]
TINY = "1,3,6,7,5,3"
SAME = Window((3, 3), (1, 1), (1, 1, 1, 1), (1, 1))
ODD = Window((3, 2), (2, 1), (1, 0, 2, 1), (1, 2))


def problem(block, window=SAME, size=(6, 7), channels=4, filters=6, groups=1):
    transposed = block == "conv_transpose2d"
    return Convolution(channels, filters, size, window, groups, transposed)


def made(kernel="direct", flops=10**9, size=10**8, seconds=0.01, name="64->64 @56x56, 3x3"):
    return Measurement("conv2d", kernel, name, 1, 2, seconds, seconds, 9, 0, 0, flops, size, 1e-7)


@pytest.fixture
def ceilings(monkeypatch):
    """Ceilings that need not be measured each time."""
    known = Ceilings(5e11, 5e10)
    monkeypatch.setattr(Ceilings, "measured", classmethod(lambda cls, threads: known))
    return known


@pytest.fixture
def typed(tmp_path, monkeypatch, ceilings):
    """Runs `minicnn bench` in an empty folder; gives its exit code and output."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        arguments = ["bench", *map(str, words), "--seconds", "0"]
        result = CliRunner().invoke(app, arguments)
        if isinstance(result.exception, errors.MiniCNNError):
            return 2, str(result.exception)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.output

    return run


@pytest.fixture
def kernel_file(tmp_path):
    """Writes a Python file with kernels."""

    def write(text, name="mine.py"):
        head = "import numpy as np\nfrom minicnn.kernels import Entry, reference\n"
        (tmp_path / name).write_text(head + text)
        return tmp_path / name

    return write


# Ceilings


def test_ceilings_are_positive_and_not_beyond_belief():
    one = arithmetic_peak(1, 0.01)
    assert 1e8 < one < 1e13
    assert 1e7 < memory_bandwidth(threads(), 0.01, 1 << 22) < 1e13
    found = made()
    assert roof(found, 5e11, 3e10).binds == "memory"
    assert roof(found, 5e11, 3e10).attainable == pytest.approx(3e11)  # 10 FLOPs a byte
    assert roof(found, 2e11, 3e10).binds == "arithmetic"
    assert roof(found, 5e10, 3e10).share == pytest.approx(2)  # shown as it is


# Cases and measurements


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("block", registry.BLOCKS)
def test_a_sample_of_places_holds_what_the_whole_reference_does(block, groups, monkeypatch):
    asked = problem(block, ODD, (11, 9), groups=groups)
    case = Case(block, asked, batch=3)
    where, whole = case.expected
    assert where is ...
    assert whole.shape == case.shape
    monkeypatch.setattr(cases, "WHOLE", 0)
    monkeypatch.setattr(cases, "SAMPLE", 1e4)
    where, some = Case(block, asked, batch=3).expected
    np.testing.assert_allclose(whole[where], some, atol=1e-12)
    assert some.size > 0


def test_images_lie_channels_last_and_seeds_repeat():
    case = Case("conv2d", problem("conv2d"), 2)
    x, w, b = case.operands
    assert x.transpose(0, 2, 3, 1).flags.c_contiguous
    assert (x.shape, w.shape, b.shape) == ((2, 4, 6, 7), (6, 4, 3, 3), (6,))
    np.testing.assert_array_equal(x, Case("conv2d", problem("conv2d"), 2).operands[0])


@pytest.mark.parametrize("window", [SAME, ODD])
@pytest.mark.parametrize("block", registry.BLOCKS)
def test_every_kernel_is_right_and_its_numbers_are_consistent(block, window):
    asked = problem(block, window)
    case = Case(block, asked, 2)
    for entry in registry.entries(block, "cpu"):
        if entry.why_not(asked):
            continue
        found = measure(entry, asked, 2, seconds=0, reference=case)
        assert found.error < 1e-4
        assert (found.block, found.kernel, found.problem) == (block, entry.name, str(asked))
        assert found.runs >= 1
        assert 0 < found.least <= found.seconds
        assert min(found.compile_seconds, found.pack_seconds) >= 0
        planned = entry.method is not None and block != "conv_filter2d"
        assert (found.pack_seconds > 0) == planned
        assert found.flops == 2 * asked.flops
        assert found.bytes == 4 * sum(a.size for a in case.operands[:2]) + 4 * np.prod(case.shape)
        assert found.flops_per_second * found.seconds == pytest.approx(found.flops)
        assert found.threads == threads()


def test_wrong_numbers_and_shapes_are_told():
    case = Case("conv2d", problem("conv2d"))
    _, right = case.expected
    assert case.error(right) == 0
    assert case.error(right * 1.5) == pytest.approx(0.5)
    assert np.isnan(case.error(np.full_like(right, np.nan)))
    for wrong, words in ((right[0], r"\(6, 6, 7\)"), (None, "NoneType")):
        with pytest.raises(errors.ShapeError, match=f"gave {words} where"):
            case.error(wrong)


def test_slow_kernels_are_left_out_unless_asked_for(ceilings, monkeypatch):
    (naive,) = kernels("conv2d", ["naive"])
    assert estimated_seconds(naive, SETS["vgg16"][1].problem, 2) > 7
    monkeypatch.setattr(benches, "LONG", 1e-6)
    run = Bench("conv2d", [naive], ceilings, 0).run(parse(TINY))
    assert run.measured == []
    assert "--kernel naive" in run.left_out["naive"]
    run = Bench("conv2d", [naive], ceilings, 0, frozenset(["naive"])).run(parse(TINY))
    assert [found.kernel for found in run.measured] == ["naive"]


def test_the_measured_choice_is_kept_in_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path))
    compiled.folder.cache_clear()
    asked = problem("conv_filter2d")
    try:
        with registry.using(measured=True):
            entry, why = registry.choose("conv_filter2d", asked)
            assert why.startswith("fastest measured")
            assert entry.cost(asked) < float("inf")
            (kept,) = tmp_path.glob("kernels-*/measured-*.json")
            (times,) = json.loads(kept.read_text()).values()
            assert times[entry.name] == min(times.values())
            monkeypatch.setattr("minicnn.kernels.measure.measure", None)  # not measured again
            assert registry.choose("conv_filter2d", asked)[0] is entry
    finally:
        compiled.folder.cache_clear()


# Shapes


def test_shapes_are_read_from_numbers_lists_and_networks(tmp_path):
    shape = parse(" 2, 8,14,15,16, 1x7, 2, 0x3, 4")
    assert shape.batch == 2
    window = Window((1, 7), (2, 2), (0, 3, 0, 3), (1, 1))
    assert shape.problem == Convolution(8, 16, (14, 15), window, 4)
    assert parse("1,3,8,8,4,5").problem.out == (8, 8)
    listed = tmp_path / "list.txt"
    listed.write_text(f"# n,c,h,w,o,k\n{TINY}  # the first\n\n1,8,4,4,8,1\n")
    assert find(str(listed)) == [parse(TINY), parse("1,8,4,4,8,1")]
    assert {name: len(found) for name, found in SETS.items()} == {
        "vgg16": 9, "resnet50": 23, "squeezenet": 18
    }  # fmt: skip
    assert find("VGG16") == SETS["vgg16"]


@pytest.mark.parametrize(
    ("name", "file"), [("squeezenet", "squeezenet1.1"), ("vgg16", "vgg16_features")]
)
def test_the_sets_are_those_of_the_real_networks(name, file):
    path = shared(f"models/{file}.onnx")
    assert command._distinct([str(path)], None) == SETS[name]


# Kernels of one's own

RIGHT = """
def right(x, w, b, window, groups):
    return reference.conv(x, w, b, window, groups)
"""


def test_own_kernels_stand_in_the_same_table(typed, kernel_file):
    path = kernel_file(
        RIGHT
        + """
def wrong(*arguments):
    return 1.01 * right(*arguments)

def empty(*arguments):
    return np.nan * right(*arguments)

def failing(x, w, b, window, groups):
    raise IndexError("too far")

def short(x, w, b, window, groups):
    return x

KERNELS = [Entry("conv2d", "fine", right), wrong, empty, failing, short]
"""
    )
    code, output = typed("conv2d", "--shapes", TINY, "--kernel-file", path, "--json", "a.json",
                         "--kernel", "im2col")  # fmt: skip
    assert code == 0
    lines = {line.split()[0]: line for line in output.splitlines() if line}
    assert "WRONG" not in lines["fine"] + lines["im2col"]
    assert "WRONG" in lines["wrong"]
    assert "nan WRONG" in lines["empty"]
    assert lines["failing"].endswith("failed")
    assert "failing: failed: IndexError: too far (mine.py, line 14)" in output
    assert "short: failed: ShapeError: gave (1, 3, 6, 7) where an array of shape" in output
    written = json.loads(Path("a.json").read_text())
    assert [line["kernel"] for line in written["measurements"]] == [
        "im2col", "fine", "wrong", "empty"
    ]  # fmt: skip
    assert [line["kernel"] for line in written["failed"]] == ["failing", "short"]


BAD_FILES = {  # name: (text, words)
    "none": ("", ["no list of kernels", "KERNELS = ["]),
    "empty": ("KERNELS = []", ["no list of kernels"]),
    "number": ("KERNELS = [3]", ["holds 3"]),
    "other block": ("KERNELS = [Entry('conv_filter2d', 'f', print)]", ["for conv_filter2d, none"]),
    "no block": ("KERNELS = [Entry('conv3d', 'f', print)]", ["UnknownNameError", "conv2d"]),
    "taken": ("KERNELS = [Entry('conv2d', 'direct', print)]", ["another kernel 'direct'"]),
    "twice": (RIGHT + "KERNELS = [right, right]", ["another kernel 'right'"]),
    "raises": ("1 / 0", ["ZeroDivisionError", "mine.py, line 3"]),
    "syntax": ("def", ["SyntaxError"]),
    "import": ("import nowhere_at_all", ["nowhere_at_all"]),
}


@pytest.mark.parametrize(("text", "words"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_kernel_file_is_told_before_any_work(text, words, typed, kernel_file):
    code, output = typed("conv2d", "--kernel-file", kernel_file(text))
    assert code == 2
    for word in ["mine.py", *words]:
        assert word in output


def test_the_worked_example_is_right():
    (rows,) = load_kernels(ROOT / "examples" / "own_kernel.py", "conv2d")
    assert "groups" in rows.why_not(problem("conv2d", groups=2))
    assert measure(rows, problem("conv2d", ODD), 2, seconds=0).error < 1e-5


# The command


@pytest.mark.parametrize("block", registry.BLOCKS)
def test_bench_prints_and_writes_what_it_measured(block, typed, ceilings):
    code, output = typed(block, "--shapes", TINY, "--shapes", "2,4,5,5,4,1", "--shapes", TINY,
                         "--json", "a.json")  # fmt: skip
    assert code == 0
    assert "500 GFLOP/s, memory 50.0 GB/s; below 10.0 FLOPs a byte" in output
    assert "WRONG" not in output
    assert "batch 2" in output
    found = json.loads(Path("a.json").read_text())
    assert found["complete"]
    assert found["ceilings"] == {"arithmetic_flops_per_s": 5e11, "memory_bytes_per_s": 5e10}
    assert found["machine"]["threads"] == threads()
    assert {"minicnn", "numpy", "numba", "python"} <= found["versions"].keys()
    problems = list(dict.fromkeys(line["problem"] for line in found["measurements"]))
    assert len(problems) == 2  # each once
    for line in found["measurements"]:
        assert line["error"] < 1e-4
        assert line["block"] == block
        assert line["share_of_attainable"] == pytest.approx(
            line["flops_per_second"] / line["attainable_flops_per_second"]
        )
        assert line["kernel"] in output
    for name in problems:
        lines = [line for line in found["measurements"] if line["problem"] == name]
        assert sum(line["default"] for line in lines) == 1
    if block != "conv_filter2d":
        assert {"winograd2", "winograd4"} <= {line["kernel"] for line in found["left_out"]}
        assert "winograd2, winograd4: needs 3x3 filters" in output


def test_bench_reads_onnx_files_and_draws(typed, tmp_path):
    path = written(small_classifier(), tmp_path, "net.onnx")
    code, output = typed("conv2d", "--shapes", path, "--batch", 2, "--kernel", "direct,im2col",
                         "--figure", "roof.png", "--bars", "bars.svg", "--threads", 1)  # fmt: skip
    assert code == 0
    assert "1 thread," in output
    assert "batch 2" in output
    assert "naive" not in output
    assert Path("roof.png").stat().st_size > 10_000
    assert Path("bars.svg").read_text().lstrip().startswith("<?xml")


def test_an_interrupt_keeps_what_was_measured(typed, monkeypatch):
    done = []

    def once(*arguments):
        if done:
            raise KeyboardInterrupt
        done.append(measure(*arguments))
        return done[0]

    monkeypatch.setattr(benches, "measure", once)
    code, output = typed("conv2d", "--shapes", TINY, "--shapes", "1,4,5,5,4,1", "--json", "a.json",
                         "--bars", "bars.png")  # fmt: skip
    assert code == 130
    assert "Interrupted" in output
    found = json.loads(Path("a.json").read_text())
    assert not found["complete"]
    assert [line["kernel"] for line in found["measurements"]] == [done[0].kernel]
    assert Path("bars.png").exists()


def test_moving_ceilings_are_told(capsys):
    command._check(Ceilings(5e11, 5e10), Ceilings(4.8e11, 5.2e10))
    assert capsys.readouterr().out == ""
    command._check(Ceilings(1e11, 5e10), Ceilings(5e11, 5e10))
    assert "500 GFLOP/s" in capsys.readouterr().out


BAD_OPTIONS = {  # name: (words typed, words told)
    "block": (["conv3d"], ["'conv3d'", "conv2d"]),
    "kernel": (["conv2d", "--kernel", "direkt"], ["'direkt'", "Did you mean direct"]),
    "other block's": (["conv_filter2d", "--kernel", "winograd4"], ["'winograd4'"]),
    "network": (["conv2d", "--shapes", "vgg61"], ["'vgg61'", "vgg16", ".txt", "n,c,h,w"]),
    "few numbers": (["conv2d", "--shapes", "1,2,3"], ["n,c,h,w,o,k", "'1,2,3'"]),
    "letters": (["conv2d", "--shapes", "1,3,a,8,4,3"], ["n,c,h,w,o,k"]),
    "zero": (["conv2d", "--shapes", "1,3,8,8,0,3"], ["1 or more"]),
    "too small": (["conv2d", "--shapes", "1,3,2,2,4,5,1,0"], ["does not fit into 2x2"]),
    "groups": (["conv2d", "--shapes", "1,3,8,8,4,3,1,1,2"], ["2 groups do not divide 3"]),
    "list": (["conv2d", "--shapes", "none.txt"], ["none.txt does not exist"]),
    "no network": (["conv2d", "--shapes", "none.onnx"], ["none.onnx"]),
    "kernel file": (["conv2d", "--kernel-file", "none.py"], ["none.py does not exist", "KERNELS"]),
    "picture": (["conv2d", "--figure", "a.xyz"], ["a.xyz", ".png"]),
    "folder": (["conv2d", "--json", "not/there.json"], ["folder not does not exist"]),
    "threads": (["conv2d", "--threads", "9999"], ["9999 threads", "NUMBA_NUM_THREADS"]),
}


@pytest.mark.parametrize(("words", "told"), BAD_OPTIONS.values(), ids=BAD_OPTIONS.keys())
def test_bad_options_are_told(words, told, typed, tmp_path):
    before = threads()
    code, output = typed(*words)
    assert code == 2
    for word in told:
        assert word in output
    assert list(tmp_path.iterdir()) == []
    assert threads() == before


# Figures


def many():
    """Three problems, one of them under the memory roof, by five kernels."""
    names = ["direct", "winograd4", "im2col", "naive", "mine"]
    speeds = [4e11, 1.1e12, 3.9e11, 1.5e9, 1.4e9]
    problems = {"8->8 @9x9, 1x1": 4, "64->64 @56x56, 3x3 pads 1,1,1,1": 130,
                "64->64 @28x28, 3x3 stride 2x2 pads 1,1,1,1": 128}  # fmt: skip
    return [
        made(kernel, 10**8, 10**8 // intensity, 10**8 / speed, name)
        for name, intensity in problems.items()
        for kernel, speed in zip(names, speeds, strict=True)
        if kernel != "winograd4" or "stride" not in name
    ]


def test_the_roofline_has_roofs_points_and_labels_that_do_not_overlap():
    figure = figures.roofline_figure(many(), 5e11, 5e10)
    (axis,) = figure.axes
    assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
    (line,) = [line for line in axis.lines if line.get_label() == "roof"]
    np.testing.assert_allclose(line.get_ydata()[1:], 500)
    assert line.get_xdata()[1] == pytest.approx(10)  # the ridge
    points = {dots.get_label(): dots.get_offsets() for dots in axis.collections[1:]}
    assert {name: len(where) for name, where in points.items()} == {
        "direct": 3, "winograd4": 2, "im2col": 3, "naive": 3, "mine": 3
    }  # fmt: skip
    np.testing.assert_allclose(points["direct"][0], [4, 400], rtol=1e-6)
    shown = {text.get_text(): text for text in axis.texts}
    assert {*points, "64→64 @56, 3×3", "64→64 @28, 3×3 stride 2"} <= shown.keys()
    assert any("above a roof" in text for text in shown)
    FigureCanvasAgg(figure).draw()
    whole = figure.bbox
    boxes = [shown[name].get_window_extent() for name in points]
    for i, box in enumerate(boxes):
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_the_bars_show_each_kernel_of_each_problem_and_the_peak():
    figure = figures.bars_figure(many(), 5e11, 5e10)
    (axis,) = figure.axes
    heights = [bars[0].get_height() for bars in axis.containers if bars.get_label() == "direct"]
    np.testing.assert_allclose(heights, 400)
    assert len(axis.containers) == len(many())
    assert [line.get_ydata()[0] for line in axis.lines] == [500]
    words = [text.get_text() for text in axis.texts]
    assert "peak\n500" in words
    assert words.count("memory roof") == 1
    assert [label.get_text() for label in axis.get_xticklabels()][1] == "64→64 @56\n3×3"
    assert len(figures.bars_figure([made(name=str(i)) for i in range(13)], 5e11, 5e10).axes) == 3


def test_labels_keep_their_order_and_their_distance(rng):
    wishes = rng.uniform(0, 1, 40)
    places = roofline._apart(wishes, 0.05)
    assert (np.argsort(places) == np.argsort(wishes)).all()
    assert np.diff(np.sort(places)).min() > 0.05 - 1e-9
    np.testing.assert_allclose(roofline._apart([0.9, 0.1, 0.5], 0.2), [0.9, 0.1, 0.5])
    np.testing.assert_allclose(roofline._apart([0.5, 0.5], 0.2), [0.4, 0.6])


def test_nothing_to_draw_is_told():
    for draw in (figures.roofline_figure, figures.bars_figure):
        with pytest.raises(errors.InputError, match="nothing to draw"):
            draw([], 1e11, 1e10)


def test_kernels_look_the_same_in_every_figure():
    everybody = roofline._styles(many())
    assert roofline._styles([found for found in many() if found.kernel != "direct"]) == {
        name: style for name, style in everybody.items() if name != "direct"
    }
    assert len(set(everybody.values())) == len(everybody)


def test_entries_that_raise_when_asked_do_not_end_a_run(ceilings):
    def raising(asked):
        raise RuntimeError("no idea")

    entry = Entry("conv2d", "mine", print, raising)
    run = Bench("conv2d", [entry], ceilings, 0).run(replace(parse(TINY), batch=2))
    assert run.failed == {"mine": "RuntimeError: no idea"}

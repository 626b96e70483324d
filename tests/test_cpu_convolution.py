"""Convolution kernels: each held to the reference in float64, in both directions, any geometry."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minicnn import kernels
from minicnn.errors import InputError, UnknownNameError
from minicnn.kernels import Convolution, Window, reference, registry, using
from minicnn.kernels.cpu import vector

TOLERANCE = {"winograd4": 1e-4}  # of the largest value; all others 1e-5


@st.composite
def convolutions(draw):
    """Geometry, groups, channels and batch; pads of any sign that leave room for a window."""
    axes = []
    for _ in range(2):
        kernel, dilation = draw(st.integers(1, 5)), draw(st.integers(1, 3))
        begin, end = draw(st.integers(-1, 3)), draw(st.integers(-1, 3))
        least = max(1, dilation * (kernel - 1) + 1 - begin - end, 1 - begin, 1 - end)
        size = draw(st.integers(least, least + 20))
        axes.append((kernel, draw(st.integers(1, 4)), begin, end, dilation, size))
    kernel, stride, begins, ends, dilation, size = zip(*axes)
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    inside, out = draw(st.integers(1, 40)), draw(st.integers(1, 70))
    window = Window(kernel, stride, begins + ends, dilation)
    return window, size, groups, inside, out, draw(st.integers(1, 3))


def three_by_three(size, inside, out, pads=(1, 1, 1, 1), batch=1):
    return Window((3, 3), (1, 1), pads, (1, 1)), size, 1, inside, out, batch


SHAPES = [
    three_by_three((6, 7), 3, 64),
    three_by_three((30, 29), 33, 70, (0, 2, 1, 0), 2),
    three_by_three((40, 40), 64, 64),  # tiles from input to output in one core
    (Window((1, 1), (1, 1), (0,) * 4, (1, 1)), (15, 13), 1, 70, 33, 2),
    (Window((1, 1), (2, 2), (0,) * 4, (1, 1)), (9, 8), 1, 40, 20, 1),
    (Window((7, 7), (2, 2), (3,) * 4, (1, 1)), (30, 31), 1, 3, 64, 2),
    (Window((11, 11), (4, 4), (2,) * 4, (1, 1)), (35, 33), 1, 3, 24, 1),
    (Window((1, 7), (1, 1), (0, 3, 0, 3), (1, 1)), (9, 11), 1, 20, 20, 1),
    (Window((7, 1), (1, 1), (3, 0, 3, 0), (1, 1)), (9, 11), 1, 20, 20, 1),
    (Window((3, 3), (1, 1), (1,) * 4, (1, 1)), (9, 9), 24, 1, 1, 2),
    (Window((2, 2), (3, 3), (0,) * 4, (1, 1)), (9, 10), 1, 5, 6, 1),  # pixels that nobody reads
]


def operands(what, seed=0):
    window, size, groups, inside, out, batch = what
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((batch, inside * groups, *size)).astype(np.float32)
    w = generator.standard_normal((out * groups, inside, *window.kernel)).astype(np.float32)
    p_shape = (batch, out * groups, *window.output_size(size))
    p = generator.standard_normal(p_shape).astype(np.float32)
    return x, w, p, generator.standard_normal(len(w)).astype(np.float32)


def doubles(*arrays):
    return [array.astype(np.float64) for array in arrays]


def check(name, y, expected):
    assert y.dtype == np.float32
    assert y.shape == expected.shape
    scale = max(1e-3, abs(expected).max())
    np.testing.assert_allclose(y, expected, rtol=0, atol=TOLERANCE.get(name, 1e-5) * scale)


def each_entry(block, problem, cheap=True):
    return [
        entry
        for entry in registry.entries(block, "cpu")
        if not entry.why_not(problem) and not (cheap and entry.name in ("naive", "fft"))
    ]


def check_all(what, cheap=True):
    window, size, groups, inside, out, _ = what
    x, w, p, b = operands(what)
    problem = Convolution(inside * groups, out * groups, size, window, groups)
    expected = reference.conv(*doubles(x, w, b), window, groups)
    for entry in each_entry("conv2d", problem, cheap):
        check(entry.name, entry.run(x, w, b, window, groups), expected)
    expected = reference.conv_transpose(*doubles(p, w), None, window, groups, size)
    for entry in each_entry("conv_transpose2d", problem, cheap):
        check(entry.name, entry.run(p, w, None, window, groups, size), expected)
    expected = reference.conv_filter(*doubles(p, x), window, groups)
    for entry in each_entry("conv_filter2d", problem, cheap):
        check(entry.name, entry.run(p, x, window, groups), expected)


@given(convolutions())
@settings(max_examples=60)
def test_kernels_agree_with_the_reference_for_any_geometry(what):
    check_all(what)


@pytest.mark.parametrize("what", SHAPES, ids=lambda what: f"{what[0].kernel} {what[1:]}")
def test_every_kernel_agrees_with_the_reference(what):
    check_all(what, cheap=False)


def some_convolution():
    return st.sampled_from(SHAPES)


@given(some_convolution(), st.integers(0, 9))
@settings(max_examples=20)
@example(SHAPES[5], 1)
def test_adjoint(what, seed):
    window, size, groups, *_ = what
    x, w, p, _ = operands(what, seed)
    y = kernels.conv(x, w, None, window, groups)
    q = kernels.conv_transpose(p, w, None, window, groups, size)
    v = kernels.conv_filter(p, x, window, groups)
    forward, back, filters = ((a.astype(float) * b).sum() for a, b in ((p, y), (q, x), (v, w)))
    scale = float(np.linalg.norm(p) * np.linalg.norm(y))
    assert forward == pytest.approx(back, abs=1e-5 * scale)
    assert forward == pytest.approx(filters, abs=1e-5 * scale)


@pytest.mark.parametrize("what", SHAPES, ids=lambda what: f"{what[0].kernel} {what[1:]}")
@pytest.mark.parametrize("name", ["direct", "winograd2", "winograd4"])
def test_an_image_gives_the_same_bits_alone_and_in_a_batch(what, name):
    window, _, groups, *_ = what
    x, w, _, b = operands(what)
    batch = np.concatenate([x, 2 * x, x, -x])
    problem = Convolution.forward(x, w, window, groups)
    entry = next(e for e in registry.entries("conv2d", "cpu") if e.name == name)
    if entry.why_not(problem):
        pytest.skip(entry.why_not(problem))
    together = entry.run(batch, w, b, window, groups)
    np.testing.assert_array_equal(together[: len(x)], entry.run(x, w, b, window, groups))
    np.testing.assert_array_equal(together[2 * len(x) : 3 * len(x)], together[: len(x)])


@pytest.mark.parametrize("make", [np.asfortranarray, lambda a: a[:, ::-1], lambda a: a[..., ::2]])
def test_arrays_may_have_any_strides(make):
    window = Window((3, 3), (1, 1), (1,) * 4, (1, 1))
    x = make(np.random.default_rng(0).standard_normal((2, 6, 12, 14)).astype(np.float32))
    w = make(np.random.default_rng(1).standard_normal((5, 6, 3, 6)).astype(np.float32))[..., :3]
    expected = reference.conv(*doubles(x, w), None, window, 1)
    check("winograd4", kernels.conv(x, w, None, window, 1), expected)


# Choosing


def test_using_overrules_the_choice_where_the_kernel_applies():
    problem = Convolution(64, 64, (56, 56), Window((3, 3), (1, 1), (1,) * 4, (1, 1)))
    assert registry.choose("conv2d", problem)[0].name == "winograd4"
    with using(conv2d="direct"):
        entry, why = registry.choose("conv2d", problem)
        assert (entry.name, why) == ("direct", "asked for")
        assert registry.choose("conv_transpose2d", problem)[0].name == "winograd4"
    strided = Convolution(64, 64, (56, 56), Window((3, 3), (2, 2), (1,) * 4, (1, 1)))
    with using(conv2d="winograd2"):
        entry, why = registry.choose("conv2d", strided)
    assert entry.name == "direct"
    assert "winograd2 needs 3x3 filters with stride and dilation 1" in why


def test_using_refuses_unknown_kernels_and_blocks():
    with pytest.raises(UnknownNameError, match="direct"), using(conv2d="dirct"):
        pass
    with pytest.raises(UnknownNameError, match="conv2d"), using(conv="direct"):
        pass
    with pytest.raises(InputError, match="conv2d=direct"):
        registry.overrule("direct")


def test_the_choice_belongs_to_its_context():
    seen = {}

    def other():
        seen["other"] = dict(registry.overruled())

    with using(conv2d="direct"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        seen["own"] = dict(registry.overruled())
    assert seen == {"other": {}, "own": {"conv2d": "direct"}}


# Threads, processes, caches


PROGRAM = """
import hashlib, sys
import numpy as np
from minicnn import kernels
from minicnn.kernels import Window, registry
from minicnn.kernels.cpu import team

def digest():
    made = hashlib.sha256()
    generator = np.random.default_rng(0)
    for kernel, stride, c, o, size in [(3, 1, 20, 40, 50), (3, 2, 16, 70, 31), (7, 2, 3, 64, 60)]:
        window = Window((kernel,) * 2, (stride,) * 2, (1,) * 4, (1, 1))
        x = generator.standard_normal((2, c, size, size)).astype("f4")
        w = generator.standard_normal((o, c, kernel, kernel)).astype("f4")
        for entry in registry.entries("conv2d", "cpu"):
            problem = kernels.Convolution.forward(x, w, window, 1)
            if entry.method and not entry.why_not(problem):
                y = entry.run(x, w, None, window, 1)
                made.update(np.ascontiguousarray(y))
                p = kernels.conv_transpose(y, w, None, window, 1, (size, size))
                made.update(np.ascontiguousarray(p))
                made.update(np.ascontiguousarray(kernels.conv_filter(y, x, window, 1)))
    return made.hexdigest()
"""


def run_program(code, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM + code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_one_two_and_three_threads_give_the_same_bits():
    code = "for n in (1, 2, 3):\n    team.set_threads(n)\n    print(digest())"
    digests = run_program(code, NUMBA_NUM_THREADS="3")
    assert len(digests) == 3
    assert len(set(digests)) == 1


def test_more_threads_than_there_are_is_refused():
    with pytest.raises(InputError, match="NUMBA_NUM_THREADS"):
        kernels.set_threads(10_000)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_computes_the_same():
    code = """
import os
before = digest()
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, digest().encode())
    os._exit(0)
os.wait()
print(before, os.read(read, 100).decode(), digest())
"""
    found = run_program(code)
    assert len(found) == 3
    assert len(set(found)) == 1


def test_python_threads_compute_the_same_at_once():
    code = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    print(*pool.map(lambda _: digest(), range(8)), digest())
"""
    found = run_program(code)
    assert len(found) == 9
    assert len(set(found)) == 1


def test_a_folder_that_cannot_be_written_does_not_matter(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("a file, not a folder")
    code = "print(digest())\nfrom minicnn.kernels.cpu import compiled\nprint(compiled.folder())"
    found = run_program(
        code, MINICNN_CACHE=str(blocked), XDG_CACHE_HOME=str(blocked), HOME=str(blocked),
        LOCALAPPDATA=str(blocked),
    )  # fmt: skip
    assert found == [*run_program("print(digest())"), "None"]


@pytest.mark.parametrize(
    ("name", "features"), [("haswell", "+avx2,+fma"), ("generic", "+sse2")], ids=["AVX2", "plain"]
)
def test_other_processors_get_the_same_results_up_to_rounding(name, features, tmp_path):
    import platform

    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("for Intel's and AMD's processors")
    wanted = {"haswell": 8, "generic": 4}[name]
    if wanted == vector.LANES:
        pytest.skip("this processor's own kernels, which all other tests run")
    code = f"""
from minicnn.kernels.cpu import vector
window = Window((3, 3), (1, 1), (1,) * 4, (1, 1))
generator = np.random.default_rng(0)
x = generator.standard_normal((2, 20, 30, 30)).astype("f4")
w = generator.standard_normal((37, 20, 3, 3)).astype("f4")
problem = kernels.Convolution.forward(x, w, window, 1)
for entry in registry.entries("conv2d", "cpu"):
    if entry.why_not(problem):
        continue
    np.save(r"{tmp_path}/" + entry.name, entry.run(x, w, None, window, 1))
print(vector.LANES)
"""
    (lanes,) = run_program(code, NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES=features)
    assert int(lanes) == wanted
    window = Window((3, 3), (1, 1), (1,) * 4, (1, 1))
    generator = np.random.default_rng(0)
    x = generator.standard_normal((2, 20, 30, 30)).astype(np.float32)
    w = generator.standard_normal((37, 20, 3, 3)).astype(np.float32)
    expected = reference.conv(*doubles(x, w), None, window, 1)
    for entry in registry.entries("conv2d", "cpu"):
        if (tmp_path / f"{entry.name}.npy").exists():
            check(entry.name, np.load(tmp_path / f"{entry.name}.npy"), expected)
    assert (tmp_path / "winograd4.npy").exists()

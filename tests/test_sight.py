"""What blocks say about which places they read, against brute force, over the table of blocks.

For each block and operand with an image's axes: change one place of the operand; every output that
changes must lie in `reached`, and the place must lie in what each of these outputs `reads`. Where a
block can run on a part, the part must be what the whole has there.
"""

import numpy as np
import pytest
from block_cases import Case
from block_cases_more import CASES

from minicnn.blocks import (
    AveragePool,
    Conv,
    ConvTranspose,
    DepthToSpace,
    MaxPool,
    Pad,
    PadFromInside,
    Resize,
    Slice,
    SpaceToDepth,
    Transpose,
)
from minicnn.blocks.sight import clipped, is_empty, of_table, same_places, to_table, union, whole

AROUND = ((0, 0), (0, 0), (2, 1), (1, 3))
MORE = [
    PadFromInside(AROUND, "reflect"),
    PadFromInside(AROUND, "edge"),
    PadFromInside(AROUND, "wrap"),
    Pad(AROUND),
    Pad(((0, 0), (0, 0), (-1, 2), (1, -2))),
    Slice((slice(None), slice(1, 3), slice(1, None, 2), slice(None, None, -1))),
    Resize(2, factor=2.0, mode="linear"),
    Resize(3, out=5, mode="cubic"),
    DepthToSpace(2),
    SpaceToDepth(2),
    Transpose((1, 0, 2, 3)),
]
X = np.random.default_rng(3).standard_normal((2, 4, 6, 8))
MOVING = [
    pytest.param(Case(block, (X,), block, (), (), ()), id=f"{block}") for block in MORE
]  # blocks whose places the table tries on arrays of other ranks

IMAGES = [
    pytest.param(param.values[0], wrt, id=f"{param.id} wrt {wrt}")
    for param in [*CASES, *MOVING]
    for wrt in param.values[0].seeing
    if np.ndim(param.values[0].operands[wrt]) == 4
]


def shapes_of(case):
    return [np.shape(operand) for operand in case.operands]


def is_local(case, wrt):
    """Whether the block says what it sees of an operand, and gives an image."""
    image = case.block(*case.operands).ndim == 4
    return image and case.block.reached(wrt, shapes_of(case), ((1, 2), (1, 2))) is not None


LOCAL = [param for param in IMAGES if is_local(*param.values)]
PARTS = [param for param in LOCAL if param.values[0].block.on_part() is not None]


def inside(place, box):
    return all(first <= i < end for i, (first, end) in zip(place, box, strict=True))


@pytest.mark.parametrize(("case", "wrt"), LOCAL)
def test_reads_and_reached_hold_all_that_changes(case, wrt):
    shapes = shapes_of(case)
    y = case.block(*case.operands)
    generator = np.random.default_rng(5)
    for _ in range(6):
        place = tuple(int(generator.integers(n)) for n in shapes[wrt][2:])
        operands = [operand.copy() for operand in case.operands]
        operands[wrt][:, :, place[0], place[1]] += 3.7
        changed = np.argwhere((case.block(*operands) != y).any((0, 1)))
        box = case.block.reached(wrt, shapes, tuple((i, i + 1) for i in place))
        for out in changed:
            assert box is None or inside(out, box)
            read = case.block.reads(wrt, shapes, tuple((int(i), int(i) + 1) for i in out))
            assert read is None or inside(place, read)


@pytest.mark.parametrize(("case", "wrt"), PARTS)
def test_a_part_is_what_the_whole_has_there(case, wrt):
    shapes = shapes_of(case)
    y = case.block(*case.operands)
    part = case.block.on_part()
    generator = np.random.default_rng(6)
    for _ in range(4):
        box = []
        for n in y.shape[2:]:
            first = int(generator.integers(n))
            box.append((first, int(generator.integers(first, n)) + 1))
        operands = [cut(case.block, i, operand, box, shapes)
                    for i, operand in enumerate(case.operands)]  # fmt: skip
        found = part(*operands)
        rows, columns = (slice(*span) for span in box)
        np.testing.assert_allclose(found, y[:, :, rows, columns], rtol=1e-12, atol=1e-12)


def cut(block, wrt, operand, box, shapes):
    """An operand cut to what the box reads, `filling` beyond the image; parameters as they are."""
    read = block.reads(wrt, shapes, tuple(box)) if np.ndim(operand) == 4 else None
    if read is None:
        return operand
    values = np.full((*operand.shape[:2], *(b - a for a, b in read)), block.filling)
    for i in range(values.shape[2]):
        for j in range(values.shape[3]):
            at = (read[0][0] + i, read[1][0] + j)
            if all(0 <= k < n for k, n in zip(at, operand.shape[2:], strict=True)):
                values[:, :, i, j] = operand[:, :, at[0], at[1]]
    return values


def test_the_blocks_that_move_over_images_say_what_they_see():
    """The test above must not pass because blocks say nothing."""
    kinds = (Conv, MaxPool, AveragePool, ConvTranspose, *map(type, MORE))
    for kind in kinds:
        cases = [p.values[0] for p in [*CASES, *MOVING] if isinstance(p.values[0].block, kind)]
        images = [c for c in cases if np.ndim(c.operands[0]) == 4]
        assert any(
            c.block.reached(0, shapes_of(c), ((1, 2), (1, 2))) is not None for c in images
        ), kind


def test_windows_are_tight():
    """The hull of a convolution without zero weights is what really changes, no more."""
    for param in CASES:
        case = param.values[0]
        if not isinstance(case.block, Conv) or np.ndim(case.operands[0]) != 4:
            continue
        if set(case.block.window.dilation) != {1}:
            continue
        if min(case.operands[0].shape[2:]) < 3:
            continue
        shapes = shapes_of(case)
        y = case.block(*case.operands)
        x = case.operands[0].copy()
        x[:, :, 1:3, 1:3] += 1
        changed = np.argwhere((case.block(x, *case.operands[1:]) != y).any((0, 1)))
        box = case.block.reached(0, shapes, ((1, 3), (1, 3)))
        if is_empty(box):
            assert not len(changed)
            continue
        strides = case.block.window.stride
        if all(k >= s for k, s in zip(case.block.window.kernel, strides, strict=True)):
            ends = [(int(c.min()), int(c.max()) + 1) for c in changed.T]
            assert tuple(ends) == box


def test_boxes():
    assert whole((2, 3, 5, 7), 2) == ((0, 5), (0, 7))
    assert clipped(((-2, 3), (4, 9)), (1, 1, 5, 7)) == ((0, 3), (4, 7))
    assert is_empty(clipped(((-4, -1), (0, 2)), (5, 7)))
    assert is_empty(clipped(((6, 9), (0, 2)), (5, 7)))
    assert union(((0, 2), (3, 4)), ((1, 5), (1, 2))) == ((0, 5), (1, 4))
    assert union(((0, 0), (3, 4)), ((1, 5), (1, 2))) == ((1, 5), (1, 2))
    assert same_places((1, 3, 1, 7), (1, 3, 5, 7), ((1, 2), (3, 4))) == ((0, 1), (3, 4))
    assert same_places((1, 3, 4, 7), (1, 3, 5, 7), ((1, 2), (3, 4))) is None
    table = np.array([[0, 1], [1, 2], [4, 5]])
    assert of_table(table, (1, 3)) == (1, 6)
    assert to_table(table, (1, 2)) == (0, 2)
    assert to_table(table, (3, 4)) == (0, 0)

"""Schedules: every step against the definition, their ends and corners, and unknown names."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import nn
from minicnn.errors import InputError, UnknownNameError

totals = st.integers(1, 400)


@given(totals)
def test_constant(total):
    assert {nn.Constant()(t, total) for t in range(total)} == {1.0}


@given(totals, st.lists(st.floats(0.01, 0.99), max_size=4), st.floats(0.05, 0.9))
def test_steps_count_the_milestones_behind(total, milestones, gamma):
    factor = nn.Steps(tuple(milestones), gamma)
    for t in range(total):
        expected = 1.0
        for share in milestones:
            if t >= share * total:
                expected *= gamma
        assert factor(t, total) == pytest.approx(expected)


@given(totals, st.floats(0.0, 1.0))
def test_cosine_is_half_a_wave(total, floor):
    factor = nn.Cosine(floor)
    for t in range(total):
        wave = floor + 0.5 * (1 - floor) * (1 + math.cos(math.pi * t / total))
        assert factor(t, total) == pytest.approx(wave)
    assert factor(0, total) == pytest.approx(1)
    assert factor(total, total) == pytest.approx(floor)


@given(totals, st.floats(0.05, 0.95), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_one_cycle_is_two_lines(total, warm, start, end):
    factor = nn.OneCycle(warm, start, end)
    for t in range(total):
        share = t / total
        up = start + (1 - start) * share / warm
        down = 1 - (1 - end) * (share - warm) / (1 - warm)
        assert factor(t, total) == pytest.approx(min(up, down) if warm > share else down)
        assert 0 <= factor(t, total) <= 1 + 1e-9
    assert factor(0, total) == pytest.approx(start)


@given(totals, st.integers(1, 9), st.floats(0.1, 1.0))
def test_cycles_are_one_cycles_one_after_the_other(total, tenths, height):
    cycle = nn.OneCycle(0.3, 0.2, 0.1)
    factor = nn.Cycles(((tenths / 10, 1.0), (1 - tenths / 10, height)), cycle)
    length = round(tenths / 10 * total)
    first = [cycle(t, length) for t in range(length)]
    second = [height * cycle(t, total - length) for t in range(total - length)]
    assert [factor(t, total) for t in range(total)] == pytest.approx(first + second)


def test_cosine_is_torchs():
    torch = pytest.importorskip("torch")
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    twin = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 50, eta_min=0.1)
    for t in range(50):
        assert nn.Cosine(0.1)(t, 50) == pytest.approx(twin.get_last_lr()[0], abs=1e-9)
        optimiser.step()
        twin.step()


@pytest.mark.parametrize("name", nn.SCHEDULES)
def test_every_name_is_a_schedule_that_never_exceeds_its_rate(name):
    factors = [nn.schedule(name)(t, 37) for t in range(37)]
    assert max(factors) <= 1
    assert min(factors) > 0
    assert nn.Recipe(schedule=name).factor is nn.schedule(name)


def test_a_function_of_step_and_total_is_a_schedule():
    recipe = nn.Recipe(schedule=lambda step, total: 1 / (step + 1))
    assert recipe.factor(3, 10) == 0.25


def test_what_makes_no_sense():
    with pytest.raises(UnknownNameError, match="cosine"):
        nn.schedule("cosin")
    with pytest.raises(InputError, match="add up to 1"):
        nn.Cycles(((0.5, 1.0), (0.4, 1.0)))
    for warm in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="share"):
            nn.OneCycle(warm=warm)

"""The order of a run: every row once an epoch, whatever the processes, resumable anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsynth.order import Order, choose_rows, epoch_order

plans = st.fixed_dictionaries(
    {
        "rows": st.integers(1, 40),
        "batch_size": st.integers(1, 50),
        "epochs": st.integers(1, 3),
        "seed": st.integers(0, 5),
        "world": st.integers(1, 4),
        "micro_batch": st.one_of(st.none(), st.integers(1, 7)),
    }
)


def _ranks(plan):
    return [list(Order(**plan, rank=rank).from_step(0)) for rank in range(plan["world"])]


@settings(deadline=None, max_examples=60)
@given(plans)
def test_an_epoch_covers_every_row_once_over_all_processes(plan):
    for epoch in range(plan["epochs"]):
        seen = [
            pick.index
            for rank in _ranks(plan)
            for micro in rank
            if micro.epoch == epoch
            for pick in micro.picks
            if pick.weight > 0
        ]
        assert sorted(seen) == list(range(plan["rows"]))


@settings(deadline=None, max_examples=60)
@given(plans)
def test_weights_average_to_the_mean_over_the_global_batch(plan):
    totals: dict[int, float] = {}
    for rank in _ranks(plan):
        for micro in rank:
            totals[micro.step] = totals.get(micro.step, 0.0) + sum(pick.weight for pick in micro.picks)
    assert all(total / plan["world"] == pytest.approx(1.0) for total in totals.values())


@settings(deadline=None, max_examples=60)
@given(plans)
def test_all_ranks_take_equally_many_equally_long_micro_batches(plan):
    shapes = {
        tuple((len(m.picks), m.step, m.part, m.ends_step, m.ends_epoch) for m in rank)
        for rank in _ranks(plan)
    }
    assert len(shapes) == 1


@settings(deadline=None, max_examples=60)
@given(plans, st.integers(0, 10))
def test_starting_later_gives_the_rest_of_the_same_plan(plan, start):
    whole = list(Order(**plan).from_step(0))
    assert list(Order(**plan).from_step(start)) == [micro for micro in whole if micro.step >= start]


def test_the_order_differs_between_epochs_and_seeds():
    assert epoch_order(50, 0, 0) != epoch_order(50, 0, 1)
    assert epoch_order(50, 0, 0) != epoch_order(50, 1, 0)


def test_a_subset_is_a_seeded_draw_and_not_the_first_rows():
    assert choose_rows(1000, 20, 0) == choose_rows(1000, 20, 0)
    assert choose_rows(1000, 20, 0) != list(range(20))
    assert len(set(choose_rows(1000, 20, 3))) == 20
    assert choose_rows(7, None, 0) == list(range(7))

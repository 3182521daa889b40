"""The order of a run: every row once an epoch, whatever the processes, resumable anywhere."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsynth.order import Groups, Kinds, Order, batches_of_kinds, choose_rows, dealt_batches, epoch_order

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


kinds_plans = st.fixed_dictionaries(
    {
        "of": st.lists(st.integers(0, 4), min_size=1, max_size=50),
        "batch_size": st.integers(1, 60),
        "world": st.integers(1, 3),
        "micro_batch": st.one_of(st.none(), st.integers(1, 5)),
        "seed": st.integers(0, 3),
    }
)


@settings(deadline=None, max_examples=80)
@given(kinds_plans, st.integers(0, 6))
def test_batches_of_kinds_hold_one_kind_and_every_row_once_an_epoch(plan, start):
    of, size, world = plan["of"], plan["batch_size"], plan["world"]
    orders = [
        Order(len(of), size, 2, plan["seed"], rank, world, plan["micro_batch"], Kinds(tuple(of)))
        for rank in range(world)
    ]
    whole = [list(order.from_step(0)) for order in orders]
    assert orders[0].steps_per_epoch == sum(-(-count // size) for count in Counter(of).values())
    assert len({tuple((len(m.picks), m.step, m.part, m.ends_epoch) for m in rank) for rank in whole}) == 1
    for epoch in range(2):
        seen = []
        for parts in zip(*whole, strict=True):
            if parts[0].epoch == epoch:
                picks = [pick for part in parts for pick in part.picks]
                assert len({of[pick.index] for pick in picks}) == 1  # padding, too, has the same size
                seen += [pick.index for pick in picks if pick.weight]
        assert sorted(seen) == list(range(len(of)))
    later = list(orders[0].from_step(start))
    assert later == [micro for micro in whole[0] if micro.step >= start]


def test_batches_of_kinds_are_as_equal_as_they_go_and_mixed_anew_in_each_epoch():
    kinds = Kinds(tuple([0] * 9 + [1] * 20 + [3] * 2))
    first, second = (batches_of_kinds(kinds, 8, 0, epoch) for epoch in range(2))
    assert sorted(map(len, first)) == [2, 4, 5, 6, 7, 7]
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}
    order = [[kinds.of[batch[0]] for batch in batches_of_kinds(kinds, 2, 0, epoch)] for epoch in range(2)]
    assert order[0] != order[1] != sorted(order[1])


dealt = st.fixed_dictionaries(
    {
        "of": st.lists(st.integers(0, 6), min_size=1, max_size=60),
        "most": st.integers(1, 5),
        "batch_size": st.integers(1, 70),
        "world": st.integers(1, 3),
        "seed": st.integers(0, 3),
    }
)


@settings(deadline=None, max_examples=80)
@given(dealt)
def test_dealt_batches_hold_few_of_a_group_and_all_ranks_agree_on_them(plan):
    of, most, size = plan["of"], plan["most"], plan["batch_size"]
    groups = Groups(tuple(of), most)
    orders = [
        Order(len(of), size, 2, plan["seed"], rank, plan["world"], groups=groups)
        for rank in range(plan["world"])
    ]
    shares = [list(order.from_step(0)) for order in orders]
    assert {len(share) for share in shares} == {orders[0].steps}
    for epoch in range(2):
        seen = []
        for parts in zip(*shares, strict=True):
            batch = [pick.index for part in parts for pick in part.picks if pick.weight]
            if parts[0].epoch == epoch:
                assert len(batch) <= size and max(Counter(of[row] for row in batch).values()) <= most
                seen += batch
        assert len({*seen}) == len(seen) == round(groups.coverage(size) * len(of))


def test_dealing_leaves_other_rows_out_and_lets_other_groups_meet_in_each_epoch():
    groups = Groups(tuple([0] * 40 + list(range(1, 25))), 2)
    first, second = (dealt_batches(groups, 8, 0, epoch) for epoch in range(2))
    shown = [{row for batch in batches for row in batch} for batches in (first, second)]
    assert [len(rows) for rows in shown] == [40, 40] and shown[0] != shown[1]
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}
    assert {len(batch) for batch in first} == {5}

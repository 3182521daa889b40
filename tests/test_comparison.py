"""Verdicts on models: none where the rows show nothing, and the interval of a slow, obvious bootstrap."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fsynth import comparison, ranking, retrieval
from fsynth.caption_groups import CaptionGroups
from fsynth.retrieval import Places
from fsynth.score_names import AT, DIRECTIONS
from tests.reference import comparison as slow


def simulated(captions, noise, draw):
    """Places of a model that sees pictures and sentences through noise."""
    truth = torch.eye(len(captions.group), 48)
    pictures = truth[captions.row_groups] + noise * torch.randn(len(captions.sentence), 48, generator=draw)
    sentences = truth[captions.group] + 0.3 * noise * torch.randn(len(captions.group), 48, generator=draw)
    unit = torch.nn.functional.normalize
    found = unit(pictures, dim=1), unit(sentences, dim=1)
    return ranking.rank(*found, captions.sentence, captions.group)


def together(sentence, group=None):
    """Captions of rows; each a group of its own where none is given."""
    number = int(sentence.max()) + 1
    group = torch.arange(number) if group is None else group
    return CaptionGroups(tuple(f"caption {n}" for n in range(number)), sentence, group, "attributes")


def repeating(rows, captions, draw):
    return torch.cat([torch.arange(captions), torch.randint(captions, (rows - captions,), generator=draw)])


def compared(noises, rows=40, captions=30, seed=0, groups=None):
    draw = torch.Generator().manual_seed(seed)
    group = None if groups is None else repeating(captions, groups, draw)
    found = together(repeating(rows, captions, draw), group)
    first, second = (simulated(found, noise, draw) for noise in noises)
    return comparison.compare("before", first, "after", second, found)


@st.composite
def answers(draw):
    """(places by direction of two models, their captions), any ranks."""
    groups = draw(st.integers(2, 5))
    group = [*range(groups), *draw(st.lists(st.integers(0, groups - 1), max_size=4))]
    captions = len(group)
    sentence = [*range(captions), *draw(st.lists(st.integers(0, captions - 1), max_size=6))]

    def places(queries):
        better = torch.tensor(draw(st.lists(st.integers(0, 12), min_size=queries, max_size=queries)))
        return places_at(better)

    models = [
        {"group": {"text_to_image": places(captions), "image_to_text": places(len(sentence))}} for _ in "ab"
    ]
    return models, together(torch.tensor(sentence), torch.tensor(group))


def places_at(better):
    one = torch.ones_like(better)
    return Places.of_one_level(better, one, one)


@settings(max_examples=25, deadline=None)
@given(answers())
def test_every_resample_equals_the_slow_one(problem):
    models, captions = problem
    found = comparison.compare("a", models[0], "b", models[1], captions)
    of = captions.group.tolist(), captions.row_groups.tolist()
    clusters = found.groups
    draw = torch.Generator().manual_seed(comparison.SEED)
    drawn = torch.randint(clusters, (comparison.DRAWS, clusters), generator=draw)
    recalls = comparison._recalls(*models, comparison._mean_recall)
    before, after = ([recall[which].tolist() for recall in recalls] for which in (0, 1))
    sizes = torch.stack([torch.bincount(torch.tensor(groups)) for groups in of], 1)
    sums = comparison._sums(recalls, [torch.tensor(groups) for groups in of])
    ours = comparison.resampled_means(sums, sizes).mean(1)
    for number in (0, 1, 17, comparison.DRAWS - 1):
        expected = slow.difference(before, after, of, drawn[number].tolist())
        assert ours[number].item() == pytest.approx(expected)
    assert found.difference == pytest.approx(slow.difference(before, after, of, range(clusters)))


@settings(max_examples=25, deadline=None)
@given(answers())
def test_a_comparison_turned_round_is_its_mirror_image(problem):
    (first, second), captions = problem
    there = comparison.compare("a", first, "b", second, captions)
    back = comparison.compare("b", second, "a", first, captions)
    assert there.difference == pytest.approx(-back.difference)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert (there.verdict, back.verdict) in {
        ("better", "worse"),
        ("worse", "better"),
        ("unclear", "unclear"),
    }
    assert there.low - 1e-9 <= there.high
    for way, change in there.recall_at_1.items():
        other = back.recall_at_1[way]
        assert (change.before, change.after) == (other.after, other.before)
        assert (change.low, change.high) == pytest.approx((-other.high, -other.low))


def test_a_model_does_not_differ_from_itself():
    draw = torch.Generator().manual_seed(0)
    captions = together(repeating(40, 30, draw))
    places = simulated(captions, 0.5, draw)
    found = comparison.compare("before", places, "after", places, captions)
    assert (found.difference, found.low, found.high, found.changed_groups) == (0, 0, 0, 0)
    assert found.verdict == "unclear"
    assert "no difference that 40 rows can show" in found.text()


def test_a_large_difference_is_found_either_way():
    better, worse = compared((0.6, 0.1)), compared((0.1, 0.6))
    assert better.verdict == "better" and better.low > 0.05
    assert worse.verdict == "worse" and worse.high < -0.05
    assert "after is better than before" in better.text() and "WORSE" in worse.text()


def test_chance_is_seldom_taken_for_a_difference():
    """Nominally 5 in 100; more than 12 of 100 would come by chance in 1 of 700 such tests."""
    alone = [compared((0.4, 0.4), 24, 18, seed) for seed in range(100)]
    grouped = [compared((0.4, 0.4), 60, 40, seed, groups=20) for seed in range(100)]
    for found in (alone, grouped):
        assert sum(one.verdict != "unclear" for one in found) <= 12
        for way in DIRECTIONS:
            changes = [one.recall_at_1[way] for one in found]
            assert sum(not change.low <= 0 <= change.high for change in changes) <= 12


def test_more_rows_show_what_few_cannot():
    few = [compared((0.35, 0.25), 10, 8, seed).verdict for seed in range(20)]
    many = [compared((0.35, 0.25), 300, 45, seed).verdict for seed in range(20)]
    assert few.count("better") <= 5 and many.count("better") >= 15


def test_the_headline_is_the_mean_of_the_group_recalls_printed():
    draw = torch.Generator().manual_seed(3)
    captions = together(repeating(40, 30, draw), repeating(30, 12, draw))
    first, second = (simulated(captions, noise, draw) for noise in (0.5, 0.3))
    found = comparison.compare("before", first, "after", second, captions)
    for which, places, headline in (
        ("before", first, found.baseline_recall),
        ("after", second, found.model_recall),
    ):
        scores = retrieval.scores(places)["group"]
        numbers = [scores[name][f"recall@{k}"] for name in DIRECTIONS for k in AT]
        assert headline == pytest.approx(sum(numbers) / 6)
        for way, change in found.recall_at_1.items():
            assert getattr(change, which) == pytest.approx(scores[way]["recall@1"])
    assert (found.rows, found.captions, found.groups) == (40, 30, 12)
    assert "40 rows with 30 captions in 12 groups" in found.text()
    assert found.details().startswith("group recall@1: text -> image ")


def test_few_changed_groups_show_nothing_however_far_they_went():
    ranks = torch.zeros(40, dtype=torch.int64)
    lost = ranks.clone()
    lost[: comparison.LEAST_CHANGED - 1] = 30

    def model(better):
        return {"group": dict.fromkeys(DIRECTIONS, places_at(better))}

    groups = torch.arange(40)
    assert comparison.compare("a", model(lost), "b", model(ranks), together(groups)).verdict == "unclear"
    lost[: comparison.LEAST_CHANGED + 6] = 30
    assert comparison.compare("a", model(lost), "b", model(ranks), together(groups)).verdict == "better"


def test_groups_not_sentences_are_drawn():
    """Of ten groups of four sentences one model wins seven whole and loses three: little."""
    first = torch.tensor([30] * 28 + [0] * 12)
    models = [{"group": dict.fromkeys(DIRECTIONS, places_at(b))} for b in (first, 30 - first)]
    rows = torch.arange(40)
    alone = comparison.compare("a", models[0], "b", models[1], together(rows))
    grouped = comparison.compare("a", models[0], "b", models[1], together(rows, rows // 4))
    assert alone.difference == grouped.difference == pytest.approx(0.4)
    assert alone.verdict == "better" and grouped.verdict == "unclear"
    assert grouped.high - grouped.low > 1.8 * (alone.high - alone.low)


def test_one_group_shows_nothing():
    found = compared((5.0, 0.1), rows=6, captions=1)
    assert found.verdict == "unclear" and (found.low, found.high) == (-1, 1)


def test_the_same_places_give_the_same_interval(monkeypatch):
    once = compared((0.5, 0.3))
    torch.manual_seed(123)
    assert compared((0.5, 0.3)) == once
    monkeypatch.setattr(comparison, "_NUMBERS_AT_ONCE", 100)  # three resamples at a time
    assert compared((0.5, 0.3)) == once


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)), min_size=6, max_size=40))
def test_losses_are_compared_as_scipys_paired_t_test_does(pairs):
    before, after = zip(*pairs, strict=True)
    found = comparison.compare_losses(before, after)
    if len({round(b - a, 6) for a, b in pairs}) == 1:
        return  # scipy gives no interval without spread
    expected = stats.ttest_rel(after, before).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-9)
    assert found.verdict == ("worse" if found.low > 0 else "better" if found.high < 0 else "unclear")


def test_losses_of_few_rows_or_of_the_same_model_show_nothing():
    assert comparison.compare_losses([0.3], [0.1]).verdict == "unclear"
    assert comparison.compare_losses([0.3] * 5, [0.1] * 5).verdict == "unclear"
    assert comparison.compare_losses([0.3, 0.2] * 9, [0.3, 0.2] * 9).verdict == "unclear"
    assert comparison.compare_losses([0.3, 0.2] * 9, [0.2, 0.1] * 9).verdict == "better"


def test_a_verdict_on_losses_says_what_it_rests_on():
    worse = comparison.compare_losses([0.40, 0.41] * 9, [0.42, 0.44] * 9).text()
    assert worse == (
        "the fine-tuned model is WORSE on held-out rows than before: validation loss 0.40500 before, 0.43000 "
        "after, +6.17 % (95% interval +5.54 to +6.80 %, from 18 rows, same noise and timesteps)"
    )
    same = comparison.compare_losses([0.4, 0.5] * 9, [0.5, 0.4] * 9).text()
    assert same.startswith(
        "no difference that 18 held-out rows can show: validation loss 0.45000 before, 0.4"
    )

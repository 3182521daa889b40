"""Places of right answers: a slow reference with ties, and the definitions of open_clip and torchmetrics."""

from __future__ import annotations

import functools
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fsynth import ranking, retrieval
from fsynth.errors import ScoreError
from fsynth.score_names import AT, DIRECTIONS, PROTOCOLS
from tests.reference import retrieval as slow

unit = functools.partial(torch.nn.functional.normalize, dim=1)


@st.composite
def small_problems(draw):
    """Features of small whole numbers, so that sums are exact and ties are common."""
    captions = draw(st.integers(1, 4))
    sentence = draw(st.permutations(range(captions))) + draw(
        st.lists(st.integers(0, captions - 1), max_size=2)
    )
    group = draw(st.lists(st.integers(0, 2), min_size=captions, max_size=captions))
    vector = st.lists(st.integers(-1, 1), min_size=2, max_size=2)
    pictures = draw(st.lists(vector, min_size=len(sentence), max_size=len(sentence)))
    texts = draw(st.lists(vector, min_size=captions, max_size=captions))
    return torch.tensor(pictures).float(), torch.tensor(texts).float(), sentence, group


@given(small_problems(), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_every_score_is_its_mean_over_the_orders_of_tied_answers(problem, at_once):
    pictures, texts, sentence, group = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_NUMBERS_AT_ONCE", at_once)  # chunks of one query and more
        found = ranking.rank(pictures, texts, torch.tensor(sentence), torch.tensor(group))
    level = (pictures @ texts.T).tolist()
    for protocol in PROTOCOLS:
        for direction in DIRECTIONS:
            places = found[protocol][direction]
            queries = slow.queries(level, sentence, group, protocol, direction)

            def expected(score, *more, asked=queries):
                return pytest.approx([slow.expected(*query, score, *more) for query in asked])

            assert places.ranks().tolist() == expected(slow.rank)
            assert places.reciprocal_ranks().tolist() == expected(slow.reciprocal_rank)
            assert places.precision.tolist() == expected(slow.average_precision)
            assert places.positives.tolist() == [len(right) for _, right in queries]
            for k in AT:
                assert places.recall(k).tolist() == expected(slow.hit, k)
                assert places.true_recall(k).tolist() == expected(slow.true_recall, k)


@given(st.integers(0, 30), st.integers(1, 7), st.data())
@settings(max_examples=60, deadline=None)
def test_many_tied_answers_score_their_mean_too(better, tied, data):
    """Few orders are counted above: here every order of one level behind wrong answers."""
    right = data.draw(st.integers(1, tied))
    places = retrieval.Places.of_one_level(*(torch.tensor([count]) for count in (better, tied, right)))
    levels = [2.0 + number for number in range(better)] + [1.0] * tied
    query = levels, set(range(better, better + right))
    assert places.reciprocal_ranks().item() == pytest.approx(slow.expected(*query, slow.reciprocal_rank))
    assert places.precision.item() == pytest.approx(slow.expected(*query, slow.average_precision))
    assert places.ranks().item() == pytest.approx(slow.expected(*query, slow.rank))


def random_problem(rows=70, captions=25, groups=9, width=12, seed=0):
    draw = torch.Generator().manual_seed(seed)
    sentence = torch.cat(
        [torch.arange(captions), torch.randint(captions, (rows - captions,), generator=draw)]
    )
    group = torch.cat([torch.arange(groups), torch.randint(groups, (captions - groups,), generator=draw)])
    pictures, texts = (unit(torch.randn(count, width, generator=draw)) for count in (rows, captions))
    return pictures, texts, sentence, group


def test_open_clips_numbers_come_out_to_the_digit_where_captions_are_unique():
    train = pytest.importorskip("open_clip_train.train", exc_type=ImportError)
    rows = 101  # odd: open_clip rounds the median of an even number down
    pictures, texts, *_ = random_problem(rows, rows)
    every = torch.arange(rows)
    scores = retrieval.scores(ranking.rank(pictures, texts, every, every))["pair"]
    theirs = train.get_clip_metrics(pictures, texts, 100.0)
    assert len(theirs) == 10
    for name, number in theirs.items():
        direction, score = re.match("(.*_to_[a-z]+)_(.*)", name).groups()
        ours = scores[direction][score.replace("R@", "recall@")]
        assert ours == (pytest.approx(number, rel=1e-15) if score == "mean_rank" else number), name


def test_torchmetrics_agrees_on_groups_without_ties():
    pictures, texts, sentence, group = random_problem()
    scores = retrieval.scores(ranking.rank(pictures, texts, sentence, group))
    level = 1 + pictures.double() @ texts.double().T  # answers of 0 and less are none to torchmetrics
    for protocol, same in (("group", group), ("sentence", torch.arange(len(group)))):
        right = same[sentence][:, None] == same[None, :]
        by_way = {"image_to_text": (level, right), "text_to_image": (level.T, right.T)}
        for direction, (levels, hits) in by_way.items():
            for name, metric in torchmetrics_of().items():
                query = torch.arange(len(levels))[:, None].expand(levels.shape)
                theirs = metric(levels.flatten(), hits.flatten(), indexes=query.flatten()).item()
                assert scores[protocol][direction][name] == pytest.approx(theirs), (protocol, direction, name)


def torchmetrics_of():
    from torchmetrics import retrieval as theirs

    metrics = {"mrr": theirs.RetrievalMRR(), "map": theirs.RetrievalMAP()}
    metrics |= {f"recall@{k}": theirs.RetrievalHitRate(top_k=k) for k in AT}
    return metrics | {f"true_recall@{k}": theirs.RetrievalRecall(top_k=k) for k in AT}


def test_similarities_that_are_given_rank_like_features():
    pictures, texts, sentence, group = random_problem()
    level = (pictures.double() @ texts.double().T).float()
    before = level.clone()
    given = retrieval.scores(ranking.rank_similarities(level, sentence, group))
    assert given == retrieval.scores(ranking.rank(pictures, texts, sentence, group))
    assert torch.equal(level, before)


def test_equal_features_tie_wherever_they_stand():
    pictures, texts, sentence, group = random_problem(600, 40, width=64)
    pictures = unit(torch.randn(5, 64, generator=torch.Generator().manual_seed(1)))[torch.arange(600) % 5]
    places = ranking.rank(pictures, texts, sentence, group)["pair"]["text_to_image"]
    assert (places.tied == 120).all() and (places.better % 120 == 0).all()


def test_progress_counts_every_query_once():
    done = []
    ranking.rank(*random_problem(), advance=done.append)
    assert sum(done) == 70 + 25


@pytest.mark.parametrize(
    ("pictures", "captions", "sentence", "group", "says"),
    [
        (torch.ones(3, 2), torch.ones(2, 3), [0, 1, 1], [0, 1], "do not fit"),
        (torch.ones(3, 2), torch.ones(2, 2), [0, 1], [0, 1], "not given once"),
        (torch.ones(3, 2), torch.ones(3, 2), [0, 1, 1], [0, 1, 2], "has no picture"),
        (torch.ones(2, 2), torch.ones(2, 2), [0, 1], [0], "the group of each is not given once"),
        (torch.full((2, 2), torch.nan), torch.ones(2, 2), [0, 1], [0, 1], "diverged"),
    ],
)
def test_features_that_cannot_be_ranked_are_refused(pictures, captions, sentence, group, says):
    with pytest.raises(ScoreError, match=says):
        ranking.rank(pictures, captions, torch.tensor(sentence), torch.tensor(group))

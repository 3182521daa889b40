import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fsynth import retrieval
from fsynth.errors import ScoreError
from tests.reference import retrieval as slow


@st.composite
def small_problems(draw):
    """Features of small whole numbers, so that sums are exact and ties are common."""
    captions = draw(st.integers(1, 4))
    groups = list(range(captions)) + draw(st.lists(st.integers(0, captions - 1), max_size=3))
    groups = draw(st.permutations(groups))
    vector = st.lists(st.integers(-1, 1), min_size=2, max_size=2)
    images = draw(st.lists(vector, min_size=len(groups), max_size=len(groups)))
    return images, draw(st.lists(vector, min_size=captions, max_size=captions)), groups


def tensors(images, captions, groups):
    return torch.tensor(images).float(), torch.tensor(captions).float(), torch.tensor(groups)


@given(small_problems(), st.integers(1, 12))
@settings(max_examples=80, deadline=None)
def test_ranks_and_recalls_equal_the_full_matrix_with_ties(problem, at_once):
    ours = {}
    whole = retrieval._SIMILARITIES_AT_ONCE
    retrieval._SIMILARITIES_AT_ONCE = at_once  # chunks of one row and more
    try:
        ours["pair"] = retrieval.pair_places(*tensors(*problem))
        ours["sentence"] = retrieval.group_places(*tensors(*problem), torch.arange(len(problem[1])))
    finally:
        retrieval._SIMILARITIES_AT_ONCE = whole
    for protocol, by_direction in ours.items():
        for direction, places in by_direction.items():
            queries = slow.queries(*problem, protocol, direction)
            assert places.ranks().tolist() == pytest.approx([float(slow.rank(*query)) for query in queries])
            for k in (1, 2, 5):
                expected = [float(slow.recall(*query, k)) for query in queries]
                assert places.recall(k).tolist() == pytest.approx(expected)


def test_random_features_equal_a_full_argsort():
    generator = torch.Generator().manual_seed(0)
    images, texts = torch.randn(2, 60, 8, generator=generator)
    places = retrieval.pair_places(images, texts, torch.arange(60))["image_to_text"]
    order = (images.double() @ texts.double().T).argsort(dim=1, descending=True)
    ranks = (order == torch.arange(60)[:, None]).int().argmax(1) + 1
    assert places.ranks().tolist() == ranks.tolist()
    assert float(places.recall(5).mean()) == (ranks <= 5).double().mean().item()


def test_a_perfect_model_reaches_the_ceiling_and_no_more():
    groups = torch.tensor([0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3])
    captions = torch.eye(4)
    scores = retrieval.scores(retrieval.evaluate(captions[groups], captions, groups, torch.arange(4)))
    bounds = retrieval.bounds(groups, torch.arange(4))
    for direction in retrieval.DIRECTIONS:
        for k in retrieval.AT:
            ceiling = bounds["pair"][direction][f"ceiling@{k}"]
            assert scores["pair"][direction][f"recall@{k}"] == pytest.approx(ceiling)
            assert scores["group"][direction][f"recall@{k}"] == 1
    sizes = [1, 2, 2, 3, 3, 3] + [6] * 6
    expected = sum(min(5, size) / size for size in sizes) / 12
    assert bounds["pair"]["text_to_image"]["ceiling@5"] == pytest.approx(expected)


def test_a_model_that_says_the_same_of_everything_scores_chance():
    generator = torch.Generator().manual_seed(1)
    groups = torch.cat([torch.arange(20), torch.randint(0, 20, (37,), generator=generator)])
    same = torch.nn.functional.normalize(torch.randn(1, 24, generator=generator))
    of = torch.arange(20) // 3
    scores = retrieval.scores(retrieval.evaluate(same.repeat(57, 1), same.repeat(20, 1), groups, of))
    bounds = retrieval.bounds(groups, of)
    for protocol in retrieval.PROTOCOLS:
        for direction in retrieval.DIRECTIONS:
            for k in retrieval.AT:
                chance = bounds[protocol][direction][f"chance@{k}"]
                assert scores[protocol][direction][f"recall@{k}"] == pytest.approx(chance)
    assert bounds["pair"]["image_to_text"]["chance@5"] == pytest.approx(5 / 57)
    assert scores["pair"]["image_to_text"]["mean_rank"] == pytest.approx(29)


def test_chance_of_groups_is_hypergeometric():
    groups = torch.tensor([0] * 7 + [1] * 3)
    chance = retrieval.bounds(groups, torch.arange(2))["group"]
    by_hand = [1 - math.comb(10 - m, 5) / math.comb(10, 5) for m in (7, 3)]
    assert chance["text_to_image"]["chance@5"] == pytest.approx(sum(by_hand) / 2)
    assert chance["image_to_text"]["chance@1"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("images", "captions", "groups", "says"),
    [
        (torch.ones(3, 2), torch.ones(2, 3), torch.tensor([0, 1, 1]), "do not fit"),
        (torch.ones(3, 2), torch.ones(2, 2), torch.tensor([0, 1]), "not given once"),
        (torch.ones(3, 2), torch.ones(3, 2), torch.tensor([0, 1, 1]), "has no picture"),
        (torch.full((2, 2), torch.nan), torch.ones(2, 2), torch.tensor([0, 1]), "diverged"),
    ],
)
def test_features_that_cannot_be_ranked_are_refused(images, captions, groups, says):
    with pytest.raises(ScoreError, match=says):
        retrieval.evaluate(images, captions, groups, torch.arange(len(captions)))

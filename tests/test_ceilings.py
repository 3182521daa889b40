"""Ceilings and chance are what models that are perfect, blind, or see attributes only score when ranked."""

from __future__ import annotations

import math

import pytest
import torch

from fsynth import ceilings, ranking, retrieval
from fsynth.score_names import COMPARED_WITH, DIRECTIONS, IDEALS, PROTOCOLS, limit_name

SENTENCE = torch.tensor([0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4])
"""The sentence of each row; 0 to 2 say the same of the garment, 3 and 4 as well."""
TUPLES = torch.tensor([0, 0, 0, 1, 1])
ROWS = torch.bincount(SENTENCE)


def scores(captions, pictures):
    return retrieval.scores(ranking.rank(pictures, captions, SENTENCE, TUPLES))


def one_hot(classes, more=()):
    return torch.cat([torch.eye(5)[classes], *(column.float()[:, None] for column in more)], 1)


def model(name):
    """Scores of a model that is what its name says."""
    if name == "chance":
        return scores(torch.ones(5, 3), torch.ones(13, 3))
    if name == "attributes":
        return scores(one_hot(TUPLES), one_hot(TUPLES[SENTENCE]))
    if name == "frequencies":
        return scores(one_hot(TUPLES, [ROWS / 100]), one_hot(TUPLES[SENTENCE], [torch.ones(13)]))
    near = torch.eye(2)[TUPLES] / 2  # its own sentence first, then the others of the group
    return scores(torch.cat([torch.eye(5), near], 1), torch.cat([torch.eye(5), near], 1)[SENTENCE])


@pytest.mark.parametrize("name", IDEALS)
def test_a_model_that_is_an_ideal_scores_what_is_said_of_it(name):
    bounds, found = ceilings.bounds(SENTENCE, TUPLES, TUPLES), model(name)
    said = 0
    for protocol in PROTOCOLS:
        for direction in DIRECTIONS:
            for score, number in found[protocol][direction].items():
                limit = bounds[protocol][direction].get(limit_name(name, score))
                if limit is not None:
                    assert number == pytest.approx(limit), (protocol, direction, score)
                    said += 1
    assert said == {"chance": 60, "ceiling": 60, "attributes": 40, "frequencies": 10}[name]


def test_every_ideal_that_a_score_is_compared_with_is_given():
    bounds = ceilings.bounds(SENTENCE, TUPLES, TUPLES)
    for protocol, ways in COMPARED_WITH.items():
        for direction, name in ways.items():
            limits = bounds[protocol][direction]
            assert limits["chance@1"] < limits[limit_name(name, "recall@1")] <= limits["ceiling@1"]


def test_the_ceiling_of_pairs_is_the_mean_share_of_rows_that_cannot_be_told_apart():
    pair = ceilings.bounds(SENTENCE, TUPLES, TUPLES)["pair"]["text_to_image"]
    assert pair["ceiling@5"] == pytest.approx(sum(min(5, m) / m for m in ROWS[SENTENCE].tolist()) / 13)
    assert pair["attributes@5"] == pytest.approx((6 * 5 / 6 + 7 * 5 / 7) / 13)


def test_who_knows_frequencies_names_the_most_frequent_sentence_of_the_tuple():
    way = ceilings.bounds(SENTENCE, TUPLES, TUPLES)["sentence"]["image_to_text"]
    assert way["frequencies@1"] == pytest.approx((3 + 6) / 13)
    assert way["attributes@1"] == pytest.approx((6 / 3 + 7 / 2) / 13)


def test_true_recall_has_a_ceiling_where_there_are_more_right_answers_than_places():
    way = ceilings.bounds(SENTENCE, TUPLES, TUPLES)["group"]["text_to_image"]
    assert way["ceiling@1"] == 1 and way["map_ceiling"] == 1
    assert way["true_recall_ceiling@1"] == pytest.approx((3 / 6 + 2 / 7) / 5)


def test_chance_of_pairs_is_k_of_n_and_that_of_groups_hypergeometric():
    chance = ceilings.bounds(SENTENCE, TUPLES, TUPLES)
    assert chance["pair"]["image_to_text"]["chance@5"] == pytest.approx(5 / 13)
    by_hand = [1 - math.comb(13 - m, 5) / math.comb(13, 5) for m in (6, 6, 6, 7, 7)]
    assert chance["group"]["text_to_image"]["chance@5"] == pytest.approx(sum(by_hand) / 5)
    assert chance["sentence"]["image_to_text"]["chance@1"] == pytest.approx(1 / 5)
    assert chance["pair"]["text_to_image"]["mean_rank_chance"] == pytest.approx(7)

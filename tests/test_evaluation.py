"""What a gallery knows of training, and what an evaluation makes of it."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch

from fsynth import caption_groups, evaluation, score_table
from fsynth.score_names import DIRECTIONS
from tests.report import folders


@pytest.fixture(scope="module")
def gallery():
    """40 rows: a dress or a tee in one of seven colours, 14 sentences, each a group."""
    return folders.gallery_of(40)


def trained(gallery):
    return gallery.trained_on(
        ["The lady wore a <b>RED</b> dress", "a lady is wearing a green tee.", "a green tee."] * 3
    )


def test_a_caption_is_seen_in_any_spelling_and_its_group_in_any_words(gallery):
    known = trained(gallery)
    sentences = gallery.captions.sentences
    assert [one for one, seen in zip(sentences, known.seen["sentence"], strict=True) if seen] == [
        "the lady wore a <b>red</b> dress."
    ]
    groups = [one for one, seen in zip(sentences, known.seen["group"], strict=True) if seen]
    assert set(groups) == {"the lady wore a <b>red</b> dress.", "the lady wore a <b>green</b> tee."}
    counts = known.seen_counts()["sentence"]
    assert [sum(numbers) for numbers in zip(*counts.values(), strict=True)] == [len(sentences), 40]
    assert known.record()["seen"]["sentence"]["seen"]["captions"] == 1
    assert gallery.record()["seen"] == {} and known.rows == gallery.rows


def test_groups_that_are_sentences_are_not_counted_twice(gallery):
    captions = caption_groups.find(gallery.captions.sentences, "sentence")
    alone = dataclasses.replace(gallery, captions=captions)
    assert list(trained(alone).seen) == ["sentence"] and alone.protocols == ("sentence", "pair")
    assert alone.bounds()["pair"] != alone.bounds()["sentence"]


def test_what_was_seen_and_what_was_not_add_up_to_the_whole(gallery):
    known = trained(gallery)
    found = folders.evaluation_of(known, 1.0)
    assert list(found.seen) == ["sentence", "group"]
    for kind, sides in found.seen.items():
        for protocol in ("sentence", "group"):
            for way, place in (("text_to_image", 0), ("image_to_text", 1)):
                sizes = {side: counts[place] for side, counts in known.seen_counts()[kind].items()}
                parts = [sizes[side] * sides[side][protocol][way]["recall@1"] for side in sizes]
                whole = found.scores[protocol][way]["recall@1"]
                assert sum(parts) / sum(sizes.values()) == pytest.approx(whole)


def test_a_side_without_captions_is_left_out(gallery):
    known = gallery.trained_on(gallery.captions.sentences)
    found = folders.evaluation_of(known, 1.0)
    assert found.seen["sentence"]["unseen"] == {} and found.seen["sentence"]["seen"]
    said = score_table.retrieval({"one": found})
    assert "too: 14 captions, 40 pictures" in said and "no training pair has" not in said
    assert "apart" not in score_table.retrieval({"one": folders.evaluation_of(gallery, 1.0)})


def test_the_record_says_what_scores_are_compared_with(gallery):
    found = {name: folders.evaluation_of(trained(gallery), noise) for name, noise in (("a", 2.0), ("b", 0.2))}
    about = {name: {"preprocessing": {"size": 24}} for name in found}
    compared = evaluation.comparisons(gallery, found)
    record = json.loads(json.dumps(evaluation.record("data", trained(gallery), about, found, compared)))
    assert record["compared_with"]["pair"]["image_to_text"] == "attributes"
    assert record["models"]["b"]["preprocessing"] == {"size": 24}
    assert record["models"]["b"]["scores"] == found["b"].scores and record["n_samples"] == 40
    (verdict,) = record["comparisons"]
    assert list(verdict["recall_at_1"]) == list(DIRECTIONS)
    for way, change in verdict["recall_at_1"].items():
        assert change["after"] == pytest.approx(found["b"].scores["group"][way]["recall@1"])
        assert change["low"] <= change["after"] - change["before"] <= change["high"]


def test_a_network_that_is_judged_goes_on_as_it_was():
    network = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.BatchNorm1d(3)).train()
    network[1].eval()  # as training keeps batch norms
    with evaluation.judged(SimpleNamespace(network=network)):
        assert not network.training and not network[0].training
    assert network.training and network[0].training and not network[1].training

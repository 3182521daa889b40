"""The Inception Score: its definition, its limits, and the digits of other implementations."""

import math

import numpy as np
import pytest
import torch

from fsynth.errors import ScoreError
from fsynth.scores import inception_score


def logits_of(pictures, classes=50, seed=0, scale=3.0):
    return np.random.default_rng(seed).normal(scale=scale, size=(pictures, classes)).astype(np.float32)


def separated(pictures, classes, margin=100.0):
    return margin * np.eye(classes)[np.arange(pictures) % classes]


def slow_score(probabilities, chunks):
    values = []
    for chunk in chunks:
        p = probabilities[chunk]
        q = p.mean(axis=0)
        values.append(
            math.exp(
                np.mean([sum(a * math.log(a / b) for a, b in zip(row, q, strict=True) if a > 0) for row in p])
            )
        )
    return np.mean(values), np.std(values)


def test_pictures_that_all_look_alike_score_one():
    assert inception_score(np.tile(logits_of(1), (200, 1))).mean == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 7, 19])
def test_separated_classes_score_their_number(classes):
    assert inception_score(separated(classes * 30, classes), splits=1).mean == pytest.approx(
        classes, abs=1e-9
    )


def test_certain_logits_give_a_number_where_float32_gives_none():
    certain = separated(100, 5, margin=1e5)
    assert inception_score(certain, splits=1).mean == pytest.approx(5, abs=1e-9)
    never = np.concatenate([certain, np.full((100, 1), -1e5)], axis=1)  # a class that underflows everywhere
    assert inception_score(never, splits=1).mean == pytest.approx(5, abs=1e-9)


def test_the_definition_written_slowly_agrees():
    logits = logits_of(103)
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    order = np.random.RandomState(5).permutation(103)
    chunks = [order[i * 103 // 4 : (i + 1) * 103 // 4] for i in range(4)]
    got = inception_score(logits, splits=4, seed=5)
    assert (got.mean, got.std) == pytest.approx(slow_score(p, chunks), rel=1e-12)


@pytest.mark.parametrize("pictures", [10, 25, 100, 1003])
def test_torch_fidelity_gives_the_same_digits(pictures):
    from torch_fidelity.metric_isc import isc_features_to_metric

    logits = logits_of(pictures, classes=1008)
    theirs = isc_features_to_metric(torch.from_numpy(logits), splits=10, shuffle=True, rng_seed=2020)
    ours = inception_score(logits)
    assert ours.mean == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    assert ours.std == pytest.approx(theirs["inception_score_std"], rel=1e-9, abs=1e-12)


def test_torchmetrics_gives_the_same_digits_in_the_same_order(monkeypatch):
    from torchmetrics.image.inception import InceptionScore

    logits = logits_of(500)
    order = torch.from_numpy(np.random.RandomState(2020).permutation(500))
    monkeypatch.setattr(torch, "randperm", lambda n: order)
    metric = InceptionScore(feature=torch.nn.Identity(), splits=10).set_dtype(torch.float64)
    metric.update(torch.from_numpy(logits).double())
    mean, std = metric.compute()
    ours = inception_score(logits, ddof=1)
    assert (ours.mean, ours.std) == pytest.approx((mean.item(), std.item()), rel=1e-9)


def test_fewer_pictures_than_splits_make_one_split_without_spread():
    score = inception_score(logits_of(9), splits=10)
    assert score.splits == 1 and score.std is None and score.smallest_split == 9
    assert score.mean > 1.5  # ten chunks of one picture would give exactly 1


def test_the_mean_never_exceeds_its_ceiling():
    for pictures, splits in [(9, 10), (25, 10), (100, 10), (100, 1)]:
        score = inception_score(separated(pictures, 30), splits=splits)
        assert score.mean <= score.ceiling + 1e-9
    assert inception_score(separated(25, 30), splits=10).ceiling == pytest.approx(2.5)


def test_the_seed_decides_and_sorted_pictures_do_not_mislead():
    logits = separated(1000, 10)
    by_class = logits[np.argsort(logits.argmax(axis=1), kind="stable")]
    assert inception_score(by_class).mean == pytest.approx(inception_score(logits).mean, rel=0.02)
    assert inception_score(by_class).mean > 9  # unshuffled, every split would hold one class and score 1
    assert inception_score(logits, seed=1) == inception_score(logits, seed=1)
    assert inception_score(logits_of(100), seed=1).mean != inception_score(logits_of(100), seed=2).mean


def test_few_pictures_are_printed_in_brackets_as_not_a_score():
    few = inception_score(logits_of(24))
    assert few.text().startswith(f"({few.mean:.3f} ± {few.std:.3f}) not a score [N 24, 10 splits")
    assert few.note().startswith("24 pictures are too few: below 1,000")
    assert few.record()["is_score"] is False
    enough = inception_score(logits_of(1000))
    assert enough.text().startswith(f"{enough.mean:.3f} ± ") and "not a score" not in enough.text()
    assert "reads low" in enough.record()["note"]
    assert "N 1,000, 10 splits, seed 2020, ceiling 50" in enough.text()
    assert inception_score(logits_of(10_000, classes=4)).note() is None


@pytest.mark.parametrize(
    ("logits", "splits", "says"),
    [
        (np.zeros((0, 5)), 10, r"got shape \(0, 5\)"),
        (np.zeros(5), 10, r"got shape \(5,\)"),
        (np.zeros((5, 5)), 0, "at least 1 split"),
        (np.array([[0, 1.0], [0, math.nan]]), 1, "picture 1 are not finite"),
    ],
)
def test_what_cannot_be_scored_is_refused(logits, splits, says):
    with pytest.raises(ScoreError, match=says):
        inception_score(logits, splits=splits)

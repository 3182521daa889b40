"""Similarities: counted as numpy counts, whatever the chunks; the area under the curve as by ranks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fsynth import similarities


def _features(rows: int, seed: int, spread: float = 1.0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    middle = torch.tensor([1.0, 0, 0, 0])
    return torch.nn.functional.normalize(middle + spread * torch.randn(rows, 4, generator=draw), dim=1)


def _pairs(pictures: int, sentences: int, seed: int, groups: int = 3) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(seed)
    which = (torch.randint(groups, (n,), generator=draw) for n in (pictures, sentences))
    return (_features(pictures, seed), _features(sentences, seed + 1), *which)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 1000), st.integers(1, 200))
def test_the_bins_are_those_of_numpy(pictures, sentences, seed, at_once):
    given = _pairs(pictures, sentences, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarities, "_PAIRS_AT_ONCE", at_once)
        found = similarities.count(*given)
    cosines = (given[0] @ given[1].T).numpy()
    same = given[2][:, None].numpy() == given[3][None, :].numpy()
    record = similarities.record({"model": found})
    model = record["models"]["model"]
    assert len(model["matching"]) == len(model["others"]) <= similarities.MOST_BINS
    edges = record["start"] + record["width"] * np.arange(len(model["matching"]) + 1)
    for name, mask in (("matching", same), ("others", ~same)):
        expected, _ = np.histogram(cosines[mask], edges)
        # a cosine on an edge may fall to either side by rounding
        assert sum(model[name]) == mask.sum()
        assert np.abs(np.cumsum(expected) - np.cumsum(model[name])).max() <= 1
        if mask.any():
            assert model[f"{name}_mean"] == pytest.approx(float(cosines[mask].mean()), abs=1e-6)
        else:
            assert model[f"{name}_mean"] is None and model["auc"] is None


def test_the_area_under_the_curve_is_that_of_ranks():
    given = _pairs(60, 50, seed=0)
    cosines = (given[0] @ given[1].T).numpy()
    same = given[2][:, None].numpy() == given[3][None, :].numpy()
    exact = stats.mannwhitneyu(cosines[same], cosines[~same]).statistic / (same.sum() * (~same).sum())
    assert similarities.count(*given).auc() == pytest.approx(exact, abs=1e-3)


def test_a_perfect_model_has_all_the_area_and_a_blind_one_half():
    groups = torch.arange(4)
    assert similarities.count(torch.eye(4), torch.eye(4), groups, groups).auc() == 1
    blind = torch.ones(4, 4) / 2
    assert similarities.count(blind, blind, groups, groups).auc() == 0.5


def test_models_share_their_bins():
    groups = torch.tensor([0, 0, 1, 1, 2])
    narrow, wide = (
        similarities.count(_features(5, 0, s), _features(5, 1, s), groups, groups) for s in (0.01, 3)
    )
    record = similarities.record({"before": narrow, "after": wide})
    before, after = record["models"].values()
    assert len(before["matching"]) == len(after["matching"])
    assert sum(count > 0 for count in before["others"]) < sum(count > 0 for count in after["others"])
    assert record["width"] >= 0.02


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_the_ends_of_the_scale_are_counted(value):
    pictures = torch.tensor([[1.0, 0.0]])
    one = torch.zeros(1, dtype=torch.int64)
    record = similarities.record({"m": similarities.count(pictures, value * pictures, one, one)})
    assert record["models"]["m"]["matching"] == [1]
    assert record["start"] == pytest.approx(value, abs=record["width"])

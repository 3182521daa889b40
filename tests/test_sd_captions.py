"""Captions that are embedded once: the same numbers, and only where that is right."""

import copy

import pytest
import torch

from fsynth import sd_captions, sd_model, sd_unet
from fsynth.sd_captions import Captions

TEXTS = ["the lady wore a red dress.", "the man is wearing a blue tee.", "the lady wore a red dress."]


@pytest.fixture
def pipeline(random_pipeline):
    """A copy whose text encoder is frozen."""
    own = copy.copy(random_pipeline)
    own.text_encoder = copy.deepcopy(random_pipeline.text_encoder).requires_grad_(False)
    return own


def test_each_caption_is_embedded_once_and_gives_what_it_gives_at_every_step(pipeline, monkeypatch):
    monkeypatch.setattr(sd_captions, "AT_ONCE", 2)
    live = Captions(pipeline, TEXTS, keep=False)
    kept = Captions(pipeline, TEXTS)
    assert len(kept) == 3 and kept.number("") == 0 and kept.number(TEXTS[0]) == kept.number(TEXTS[2])
    numbers = torch.tensor([2, 0, 1, 1, 2])
    family = sd_model.family(pipeline)
    expected = family.tokens([kept.texts[number] for number in numbers])["tokens"]
    alone = torch.cat([family.text({"tokens": part[None]})["states"] for part in expected])
    monkeypatch.setattr(sd_unet.Unet, "text", None)
    assert torch.equal(kept(numbers)["states"], alone)
    monkeypatch.undo()
    assert torch.equal(live(numbers)["states"], alone)
    assert kept.describe() == "captions: 2 different ones, embedded once, before the first step"
    with pytest.raises(KeyError):
        kept.number("a sentence of no row")


@pytest.mark.parametrize("why", ["the encoder learns", "too many"])
def test_captions_are_embedded_at_every_step_where_they_must_be(pipeline, monkeypatch, why):
    one = sd_model.family(pipeline).text({"tokens": torch.zeros(1, 16, dtype=torch.int64)})["states"].nbytes
    monkeypatch.setattr(sd_captions, "IN_MEMORY", 3 * one)
    assert Captions(pipeline, TEXTS).kept is not None
    if why == "too many":
        monkeypatch.setattr(sd_captions, "IN_MEMORY", 3 * one - 1)
        captions = Captions(pipeline, TEXTS)
    else:
        weight = next(pipeline.text_encoder.parameters()).requires_grad_(True)
        captions = Captions(pipeline, TEXTS)
        before = captions(torch.tensor([1]))["states"]
        with torch.no_grad():
            weight.add_(0.1 * torch.randn_like(weight))
        assert not torch.equal(captions(torch.tensor([1]))["states"], before)
    assert captions.kept is None and "embedded at every step" in captions.describe()

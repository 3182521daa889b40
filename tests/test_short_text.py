import copy

import open_clip
import pytest
import torch

from fsynth import short_text
from fsynth.short_text import ShortText, without_padding

TEXT = {"context_length": 20, "vocab_size": 60, "width": 32, "heads": 2, "layers": 2}
VISION = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16}
TOWERS = {
    "CLIP": open_clip.CLIP,
    "custom": open_clip.CustomTextCLIP,
}


def network(kind="CLIP", **text):
    torch.manual_seed(0)
    return TOWERS[kind](embed_dim=16, vision_cfg=VISION, text_cfg={**TEXT, **text}).eval()


def sentences(lengths, padding=0, end=59):
    """Random words, the end, then padding."""
    tokens = torch.full((len(lengths), 20), padding)
    generator = torch.Generator().manual_seed(1)
    for row, length in enumerate(lengths):
        tokens[row, : length - 1] = torch.randint(1, 50, (length - 1,), generator=generator)
        tokens[row, length - 1] = end
    return tokens


@pytest.mark.parametrize("kind", TOWERS)
@pytest.mark.parametrize("padding", [0, 59])  # or the end itself, as in transformers' tokenizer of CLIP
def test_the_padding_of_all_is_left_out_and_value_and_gradient_stay(kind, padding):
    tokens, whole = sentences([5, 9, 7], padding), network(kind)
    short = ShortText(copy.deepcopy(whole))
    cut = without_padding(whole, tokens)
    assert cut.shape[1] in (9, 10)
    pictures = torch.randn(3, 3, 32, 32)
    for model, given in ((whole, tokens), (short, cut)):
        found = model(pictures, given)
        (found[0] @ found[1].T).square().sum().backward()
    assert torch.allclose(whole(None, tokens)[1], short(None, cut)[1], atol=1e-6)
    for one, other in zip(whole.parameters(), short.network.parameters(), strict=True):
        assert one.grad is other.grad or torch.allclose(one.grad, other.grad, atol=1e-5)


@pytest.mark.parametrize("text", [{"no_causal_mask": True}, {"pool_type": "last"}])
def test_towers_that_see_the_padding_keep_it(text):
    tokens = sentences([5, 9, 7])
    assert torch.equal(without_padding(network("custom", **text), tokens), tokens)


def test_a_sentence_that_fills_the_context_leaves_nothing_to_cut():
    tokens = sentences([5, 20])
    assert torch.equal(without_padding(None, tokens), tokens)  # without a look at the network


def test_a_network_that_was_training_goes_on_training():
    model = network().train()
    assert without_padding(model, sentences([4, 6])).shape[1] == 7 and model.training


def test_a_tower_that_takes_whole_contexts_only_gets_them(monkeypatch):
    monkeypatch.setattr(short_text, "_cut", lambda network, length: {})
    tokens = sentences([5, 9, 7])
    assert torch.equal(without_padding(network(), tokens), tokens)

"""A base in 4 bits under adapters: what is packed, and that adapters learn on it."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from fsynth import sd_folder, sd_lora, sd_model, sd_quantized
from fsynth.sd_lora import Adapters
from tests import small_sd

bitsandbytes = pytest.importorskip("bitsandbytes")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    sizes = dataclasses.replace(small_sd.SIZES, unet=(64, 64), text=64)
    return small_sd.make(tmp_path_factory.mktemp("models") / "wide", sizes)


def load(folder):
    return sd_model.load_pipeline(folder, dtype=torch.float32, device="cpu")


@pytest.mark.parametrize("kind", ["lora", "dora", "rslora"])
def test_adapters_learn_on_packed_layers_and_answers_stay_near(folder, kind):
    pipeline = load(folder)
    unet, adapters = pipeline.unet, Adapters(2, 2.0, kind, "all")
    sd_lora.add(unet, adapters, seed=0)
    sample, text = torch.randn(1, 4, 4, 4), torch.randn(1, 8, 64)
    with torch.no_grad():
        plain = unet(sample, 10, text).sample
    share = sd_quantized.pack(unet)
    pipeline.to("cpu")  # packs
    packed = [part for part in unet.modules() if isinstance(part, bitsandbytes.nn.Linear4bit)]
    numbers = sum(part.in_features * part.out_features for part in packed)
    assert packed and all(part.weight.dtype == torch.uint8 for part in packed)
    assert share == pytest.approx(
        numbers / sum(value.numel() for value in load(folder).unet.parameters()), rel=0.2
    )
    answer = unet.train()(sample, 10, text).sample
    assert 0 < (answer - plain).norm() / plain.norm() < 0.5
    answer.square().mean().backward()
    learning = {name: value for name, value in unet.named_parameters() if value.requires_grad}
    assert all("lora_" in name and value.dtype == torch.float32 for name, value in learning.items())
    assert all(value.grad.any() for name, value in learning.items() if "lora_B" in name)


def test_what_embeds_time_and_convolutions_are_not_packed(folder):
    unet = load(folder).unet
    sd_lora.add(unet, Adapters(2, 2.0), seed=0)
    sd_quantized.pack(unet)
    kinds = {type(part) for part in unet.time_embedding.modules()}
    assert bitsandbytes.nn.Linear4bit not in kinds
    assert type(unet.mid_block.resnets[0].conv1) is torch.nn.Conv2d


def test_adapters_are_compared_weight_by_weight(folder, tmp_path):
    mine = load(folder)
    sd_lora.add(mine.unet, Adapters(2, 8.0), seed=0)
    sd_folder.save_lora(mine, str(folder), tmp_path)
    written = load(tmp_path).unet
    assert sd_quantized.difference(mine.unet, written) == 0
    weaker = load(folder).unet
    sd_lora.add(weaker, Adapters(2, 4.0), seed=0)
    assert sd_quantized.difference(mine.unet, weaker) == 2.0, "strengths are 4 and 2"
    other = load(folder).unet
    sd_lora.add(other, Adapters(2, 8.0, targets="all"), seed=0)
    assert sd_quantized.difference(mine.unet, other) == float("inf")

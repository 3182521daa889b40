"""Checkpointing, memory formats and the batch plan of diffusion training."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator

from fsynth import sd_lora, sd_memory, sd_model, sd_text
from fsynth.errors import ConfigError
from fsynth.sd_lora import Adapters
from fsynth.sd_memory import BatchPlan
from tests import small_sd


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_sd.make(tmp_path_factory.mktemp("models") / "small")


def gradients(folder, again):
    """Of adapters on both parts, whose own weights are frozen, the first layers among them."""
    pipeline = sd_model.load_pipeline(folder, dtype=torch.float32, device="cpu")
    adapters = Adapters(2, 2.0, targets="all")
    sd_lora.add(pipeline.unet, adapters, seed=0)
    sd_text.begin(pipeline.text_encoder, "lora", adapters, seed=0)
    models = [pipeline.unet.train(), pipeline.text_encoder.train()]
    if again:
        sd_memory.compute_again(models)
    sample = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    learning = {
        name: value
        for model in models
        for name, value in model.named_parameters()
        if value.requires_grad and "lora_" in name
    }
    with torch.no_grad():
        for number, value in enumerate(learning.values()):
            value += torch.randn(value.shape, generator=torch.Generator().manual_seed(number)) / 10
    text = small_sd.embedded(pipeline, "a red square")
    pipeline.unet(sample, 10, text).sample.square().mean().backward()
    return {name: value.grad for name, value in learning.items()}


def test_frozen_parts_and_checkpointing_together_give_all_gradients(folder):
    plain, again = gradients(folder, again=False), gradients(folder, again=True)
    assert plain.keys() == again.keys() and any("self_attn" in name for name in plain)
    for name, value in plain.items():
        assert value.any(), name
        torch.testing.assert_close(again[name], value, rtol=1e-4, atol=1e-8, msg=name)


def test_channels_last_and_back_changes_no_number(folder):
    unet = sd_model.load_pipeline(folder, dtype=torch.float32, device="cpu").unet
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    sd_memory.format_for(unet, channels_last=True)
    weight = unet.mid_block.resnets[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    sd_memory.format_for(unet, channels_last=False)
    assert all(value.is_contiguous() for value in unet.state_dict().values())
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())


# ------------------------------------------------------------------------------------------ what fits


def room_for(most, tried):
    def attempt(size):
        tried.append(size)
        if size > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    return attempt


@pytest.mark.parametrize(("wanted", "most", "fits"), [(8, 8, 8), (8, 3, 2), (12, 5, 3), (4, 0, None)])
def test_a_batch_is_halved_until_it_fits(wanted, most, fits):
    tried = []
    assert sd_memory.largest(wanted, room_for(most, tried)) == fits
    assert tried == [wanted // 2**power for power in range(len(tried))]


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def attempt(size):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        sd_memory.largest(4, attempt)


def test_the_plan_is_measured_on_a_gpu_alone_and_only_where_nothing_was_given(monkeypatch, capsys):
    tried = []
    accelerator = Accelerator(cpu=True)
    for plan, size in ((BatchPlan(None), None), (BatchPlan(3), 3)):
        plan.measure(8, room_for(2, tried), 1e3, accelerator)
        assert plan.size == size
    assert not tried and capsys.readouterr().err == ""
    monkeypatch.setattr(sd_memory, "is_measured", lambda device: True)
    plan = BatchPlan(None)
    plan.measure(8, room_for(2, tried), 1e3, accelerator)
    assert plan.size == 2 and tried == [8, 4, 2]
    says = (
        "memory: 2 of the 8 pictures of a process fit at once, so a step takes 4 parts (tried; --micro-batch)"
    )
    assert capsys.readouterr().err == f"{says}\n"
    resumed = BatchPlan(None)
    resumed.load_state_dict(plan.state_dict())
    resumed.measure(8, room_for(8, tried), 1e3, accelerator)
    assert resumed.size == 2 and tried == [8, 4, 2]


def test_a_model_of_which_not_even_one_picture_fits_says_what_to_try(monkeypatch):
    monkeypatch.setattr(sd_memory, "is_measured", lambda device: True)
    with pytest.raises(ConfigError, match=r"not even one picture fits .*memory\.checkpointing=true"):
        BatchPlan(None).measure(4, room_for(0, []), 1e3, Accelerator(cpu=True))

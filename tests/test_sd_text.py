"""Text encoders that learn: what is refused, gradients, and files that old and new versions read alike."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from fsynth import sd_folder, sd_lora, sd_model, sd_text
from fsynth.errors import ConfigError
from fsynth.sd_lora import Adapters
from tests import small_sd


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With float16 weights, as hubs hold them, and a configuration that says so."""
    folder = small_sd.make(tmp_path_factory.mktemp("models") / "small")
    config = folder / "text_encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"torch_dtype": "float16"}))
    return folder


@pytest.fixture
def pipeline(folder):
    return sd_model.load_pipeline(folder, dtype=torch.float32, device="cpu")


def embedded(pipeline):
    return small_sd.embedded(pipeline, "a red square").detach()


def train_a_step(pipeline):
    encoder = pipeline.text_encoder.train()
    (small_sd.embedded(pipeline, "a red square", "") - 1).square().mean().backward()
    learning = {name: value for name, value in encoder.named_parameters() if value.requires_grad}
    with torch.no_grad():
        for value in learning.values():
            value -= 0.05 * value.grad.sign()
    return learning


@pytest.mark.parametrize(("train", "adapters"), [("full", None), ("lora", Adapters(2, 4.0, targets="all"))])
def test_what_learns_gets_a_gradient_and_starts_where_it_was(pipeline, train, adapters):
    before = embedded(pipeline)
    sd_text.begin(pipeline.text_encoder, train, adapters, seed=0)
    assert torch.equal(embedded(pipeline), before)
    learning = train_a_step(pipeline)
    reached = {name for name, value in learning.items() if value.grad.any()}
    assert reached == {name for name in learning if "lora_A" not in name}  # B starts at 0, A waits for it
    assert {value.dtype for value in learning.values()} == {torch.float32}
    assert not torch.equal(embedded(pipeline), before)


def test_a_frozen_encoder_gives_no_gradient(pipeline):
    sd_text.begin(pipeline.text_encoder, "none", None, seed=0)
    assert not small_sd.embedded(pipeline, "a red square").requires_grad


def test_a_whole_encoder_is_written_as_old_and_new_versions_read_it(pipeline, folder, tmp_path):
    from diffusers import StableDiffusionPipeline

    sd_text.begin(pipeline.text_encoder, "full", None, seed=0)
    train_a_step(pipeline)
    sd_folder.save_trained(pipeline, sd_folder.find(folder), tmp_path / "out", text_learnt=True)
    tmp_path = tmp_path / "out"
    written = load_file(tmp_path / "text_encoder" / "model.safetensors")
    original = load_file(folder / "text_encoder" / "model.safetensors")
    assert written.keys() == {sd_lora.old_name(name) for name in original}
    assert all(name.startswith("text_model.") for name in written)
    assert json.loads((tmp_path / "text_encoder" / "config.json").read_text())["torch_dtype"] == "float32"
    fresh = StableDiffusionPipeline.from_pretrained(tmp_path)
    assert fresh.text_encoder.dtype == torch.float32
    assert torch.equal(embedded(fresh), embedded(pipeline))
    assert sd_model.reload_difference(pipeline, tmp_path) == 0


def test_adapters_of_both_parts_load_in_a_fresh_pipeline_with_their_strength(pipeline, folder, tmp_path):
    from diffusers import StableDiffusionPipeline

    adapters = Adapters(2, 8.0, "rslora", "all")
    sd_lora.add(pipeline.unet, adapters, seed=0)
    sd_text.begin(pipeline.text_encoder, "lora", adapters, seed=0)
    for _ in range(2):
        train_a_step(pipeline)
    sd_folder.save_lora(pipeline, str(folder), tmp_path)
    names = [
        name for name in load_file(tmp_path / sd_folder.LORA_WEIGHTS) if name.startswith("text_encoder.")
    ]
    assert names and all(name.startswith("text_encoder.text_model.encoder.layers.") for name in names)
    fresh = StableDiffusionPipeline.from_pretrained(folder)
    torch.nn.Module.float(fresh.text_encoder)
    torch.nn.Module.float(fresh.unet)
    fresh.load_lora_weights(tmp_path)
    assert torch.equal(embedded(fresh), embedded(pipeline))
    assert sd_model.reload_difference(pipeline, tmp_path) == 0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("none", 1e-5, None), "text.lr=1e-05: the text encoder does not learn; set text.train=lora or full"),
        (("lora", None, None), "text.train=lora belongs to adapters; give --lora-rank, too"),
        (("full", None, Adapters(2, 2.0)), "text.train=full: with --lora-rank adapters alone learn"),
        (
            ("lora", None, Adapters(2, 2.0, "lokr")),
            "text.train=lora: LoKr of a text encoder is not loaded by",
        ),
        (
            ("lora", None, Adapters(2, 2.0, "dora")),
            "text.train=lora: DoRA of a text encoder is not loaded by",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, says):
    with pytest.raises(ConfigError) as error:
        sd_text.check(*settings)
    assert str(error.value).startswith(says)

"""Adapters of diffusion models: kinds, places, gradients, and files that others load as they were trained."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from fsynth import sd_folder, sd_lora, sd_model
from fsynth.errors import ConfigError, ModelError
from fsynth.gradient_watch import GradientWatch
from fsynth.sd_lora import Adapters
from fsynth.sd_student import choose_adapters
from scripts import tiny_models

SENTENCES = ["the lady wore a blue dress", "the man wears a grey sweater"]
SMALL = tiny_models.Sizes(latent=4, vae=(8, 8, 8, 16), unet=(16, 32), text=16, text_layers=1, tokens=16)
KINDS = tuple(sd_lora.NAMES)
PLAIN = {"alpha": None, "kind": "lora", "targets": "attention", "dropout": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    tiny_models.save_pipeline(tiny_models.make_pipeline(SENTENCES, SMALL), folder)
    return folder


def load(folder, unet_dtype=torch.float32):
    return sd_model.load_pipeline(folder, dtype=torch.float32, denoiser_dtype=unet_dtype, device="cpu")


def learning(network):
    return {name: value for name, value in network.named_parameters() if value.requires_grad}


def train_two_steps(unet, lr=1e-2):
    """Two, since half of an adapter starts at 0, and the first step moves only that one."""
    optimizer = torch.optim.SGD(learning(unet).values(), lr=lr)
    sample, text = torch.randn(2, 4, 4, 4).to(unet.dtype), torch.randn(2, 8, 16).to(unet.dtype)
    for _ in range(2):
        unet(sample, 10, text).sample.float().square().mean().backward()
        optimizer.step()


# ------------------------------------------------------------------------------------------ adding


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", KINDS)
def test_adapters_are_float32_on_any_base_and_all_receive_gradients(folder, kind, dtype):
    unet = load(folder, dtype).unet
    before = sd_model.probe_output(unet)
    sd_lora.add(unet, Adapters(2, 4.0, kind, "all"), seed=1)
    rounding = {torch.float32: 0.0, torch.bfloat16: 3e-2, torch.float16: 3e-3}[dtype]
    fresh = (sd_model.probe_output(unet) - before).abs().max()
    assert fresh <= (rounding if kind == "dora" else 0), "fresh adapters change nothing"
    train_two_steps(unet)
    assert {value.dtype for value in learning(unet).values()} == {torch.float32}
    assert all(value.grad is not None and value.grad.any() for value in learning(unet).values())
    assert not torch.equal(sd_model.probe_output(unet), before)


def test_gradients_are_the_same_with_and_without_checkpointing(folder):
    gradients = []
    for again in (False, True):
        unet = load(folder).unet.train()
        sd_lora.add(unet, Adapters(2, 2.0, targets="all"), seed=1)
        if again:
            unet.enable_gradient_checkpointing()
        torch.manual_seed(0)
        train_two_steps(unet)
        gradients.append({name: value.grad for name, value in learning(unet).items()})
    assert gradients[0].keys() == gradients[1].keys()
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value, rtol=1e-4, atol=1e-7)


def test_places_are_attention_then_mlps_then_convolutions(folder):
    found = []
    for targets in ("attention", "attention-mlp", "all"):
        unet = load(folder).unet
        sd_lora.add(unet, Adapters(2, 2.0, targets=targets), seed=1)
        found.append(set(sd_lora.modules(unet)))
    attention, mlp, everything = found
    assert attention < mlp < everything
    assert {name.partition("attn")[0] for name in attention} and all(".attn" in name for name in attention)
    assert {name.partition(".ff.")[2] for name in mlp - attention} == {"net.0.proj", "net.2"}
    plain = load(folder).unet.named_modules()
    blocks = {
        name
        for name, part in plain
        if isinstance(part, (torch.nn.Linear, torch.nn.Conv2d))
        and "blocks." in name + "blocks." * ("mid" in name)
    }
    assert everything == blocks, "all that is in blocks; the first and the last layer stay"


def test_adapters_start_at_a_function_of_the_seed(folder):
    starts = []
    for seed in (1, 1, 2):
        unet = load(folder).unet
        sd_lora.add(unet, Adapters(2, 2.0), seed)
        starts.append(torch.cat([value.detach().flatten() for value in learning(unet).values()]))
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


def test_an_adapter_that_is_never_called_is_an_error_that_names_it(folder):
    unet = load(folder).unet
    sd_lora.add(unet, Adapters(2, 2.0, "lokr"), seed=1)
    attention = unet.mid_block.attentions[0].transformer_blocks[0].attn1
    attention.to_v.forward = attention.to_v.get_base_layer().forward
    watch = GradientWatch([unet], sd_lora.UNREACHED)
    train_two_steps(unet)
    with pytest.raises(
        ModelError, match=r"1 adapter got no gradient .*attn1\.to_v among them: .*lora\.targets"
    ):
        watch.check()
    watch.check()  # the first step alone decides


# ------------------------------------------------------------------------------------------ files


def from_diffusers(folder, weights, kind):
    """A fresh pipeline of diffusers with the adapters of a folder, as a user loads them."""
    from diffusers import StableDiffusionPipeline
    from diffusers.utils import peft_utils

    fresh = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    if kind != "lokr":
        fresh.load_lora_weights(weights)
    elif hasattr(peft_utils, "_create_lokr_config"):  # from diffusers 0.42 on
        fresh.unet.load_lora_adapter(weights, prefix="unet", use_safetensors=True)
    else:
        pytest.skip("this version of diffusers loads no LoKr")
    return fresh


def picture(pipeline):
    latents = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(3))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline("a blue dress", num_inference_steps=2, latents=latents, output_type="np").images


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_makes_the_same_pictures_in_a_fresh_pipeline(folder, tmp_path, kind):
    mine = load(folder)
    sd_lora.add(mine.unet, Adapters(2, 8.0, kind, "all"), seed=0)
    train_two_steps(mine.unet)
    sd_folder.save_lora(mine, str(folder), tmp_path)
    assert sd_model.reload_difference(mine, tmp_path) == 0
    record = json.loads((tmp_path / "fsynth.json").read_text())
    assert record == {"base": str(folder), "rank": 2, "alpha": 8}
    fresh = from_diffusers(folder, tmp_path, kind)
    assert torch.equal(sd_model.probe_output(fresh.unet), sd_model.probe_output(mine.unet.eval()))
    assert (picture(fresh) == picture(mine)).all()


def test_the_header_says_only_what_is_not_pefts_default(folder, tmp_path):
    """Other versions of peft refuse what they do not know; diffusers 0.34 wants to be told of ranks."""
    mine = load(folder)
    sd_lora.add(mine.unet, Adapters(2, 8.0, "rslora"), seed=0)
    sd_lora.save(mine, tmp_path)
    with safe_open(tmp_path / sd_folder.LORA_WEIGHTS, "pt") as file:
        settings = json.loads(file.metadata()["lora_adapter_metadata"])
    assert settings == {
        "unet.r": 2,
        "unet.lora_alpha": 8.0,
        "unet.rank_pattern": {},
        "unet.use_rslora": True,
        "unet.target_modules": ["to_k", "to_out.0", "to_q", "to_v"],
    }


def test_the_reload_check_sees_a_lost_alpha(folder, tmp_path):
    from diffusers import StableDiffusionPipeline

    mine = load(folder)
    sd_lora.add(mine.unet, Adapters(2, 8.0), seed=0)
    train_two_steps(mine.unet)
    sd_folder.save_lora(mine, str(folder), tmp_path)
    state = load_file(tmp_path / sd_folder.LORA_WEIGHTS)
    bare = {name.removeprefix("unet."): value for name, value in state.items()}
    StableDiffusionPipeline.save_lora_weights(tmp_path, unet_lora_layers=bare)
    assert sd_model.reload_difference(mine, tmp_path) > 1e-5


def test_lora_weights_without_a_record_ask_for_their_base(folder, tmp_path):
    mine = load(folder)
    sd_lora.add(mine.unet, Adapters(2, 2.0), seed=0)
    sd_folder.save_lora(mine, str(folder), tmp_path)
    (tmp_path / "fsynth.json").unlink()
    with pytest.raises(ModelError, match="--lora"):
        sd_folder.find(tmp_path)


# ------------------------------------------------------------------------------------------ settings


def test_adapters_are_what_settings_say():
    assert choose_adapters(None, PLAIN) is None
    assert choose_adapters(4, PLAIN) == Adapters(4, 4.0)
    assert choose_adapters(4, {**PLAIN, "alpha": 2.0, "kind": "lokr"}) == Adapters(4, 2.0, "lokr")


@pytest.mark.parametrize(
    ("rank", "settings", "says"),
    [
        (2, {"alpha": 0.0}, "lora.alpha: 0 switches the adapters off; leave it out to take the rank"),
        (None, {"alpha": 8.0}, "lora.alpha: 8 belongs to adapters; give --lora-rank, too, or leave it out"),
        (
            None,
            {"kind": "dora"},
            "lora.kind: dora belongs to adapters; give --lora-rank, too, or leave it out",
        ),
        (2, {"kind": "lokr", "dropout": 0.1}, "lora.dropout=0.1: LoKr has none; leave it out"),
    ],
)
def test_settings_that_contradict_each_other_are_one_line(rank, settings, says):
    with pytest.raises(ConfigError) as error:
        choose_adapters(rank, {**PLAIN, **settings})
    assert str(error.value) == says

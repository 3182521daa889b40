"""Every model family: what its denoiser is told and answers with, held to diffusers' pipelines and to
formulas written out here; true sizes without weights."""

from __future__ import annotations

import pytest
import torch

from fsynth import diffusion, sd_buckets, sd_folder, sd_model
from fsynth.errors import ConfigError, ModelError
from fsynth.sd_captions import Captions
from tests import sd_families

CAPTIONS = ["the lady wore a zebra", "a " * 100]
LATENT = (4, 4, 4)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("families")
    return {name: write(root / name) for name, write in sd_families.WRITERS.items()}


@pytest.fixture(scope="module")
def pipelines(folders):
    """Not to be changed."""
    return {
        name: sd_model.load_pipeline(folder, dtype=torch.float32, device="cpu")
        for name, folder in folders.items()
    }


def _loaded(folders, name, **more):
    return sd_model.load_pipeline(folders[name], **{"dtype": torch.float32, **more}, device="cpu")


def _batch(timesteps):
    rows = len(timesteps)
    drawn = {name: diffusion.draw_normal((rows, *LATENT), name) for name in ("noise", "posterior")}
    return {
        "moments": diffusion.draw_normal((rows, 8, 4, 4), "moments").abs(),
        "frame": torch.stack([sd_buckets.frame((48, 64), (32, 32))] * rows),
        "caption": torch.arange(rows),
        "timestep": torch.tensor(timesteps),
        **drawn,
    }


def test_families_are_told_by_their_pipelines_and_found_by_their_folders(folders, pipelines):
    assert {kind.KIND: kind.DENOISER for kind in sd_model.FAMILIES} == sd_folder.KINDS
    kinds = {name: type(sd_model.family(pipeline)).__name__ for name, pipeline in pipelines.items()}
    assert kinds == {"unet": "Unet", "xl": "XL", "flow": "Flow"}
    assert {sd_model.native_resolution(sd_folder.find(folder)) for folder in folders.values()} == {32}


@pytest.mark.parametrize("name", sd_families.WRITERS)
def test_a_denoiser_is_probed_as_what_it_is(pipelines, name):
    family = sd_model.family(pipelines[name])
    assert sd_model.probe_output(family.denoiser).shape == (1, *family.shapes(family.denoiser)["sample"])


@pytest.mark.parametrize("name", sd_families.WRITERS)
def test_parts_load_in_the_precision_that_was_asked_for(folders, name):
    pipeline = _loaded(folders, name, denoiser_dtype=torch.bfloat16)
    family = sd_model.family(pipeline)
    assert family.denoiser.dtype == torch.bfloat16
    assert {part.dtype for part in [pipeline.vae, *family.encoders]} == {torch.float32}
    assert _loaded(folders, name, dtype=torch.float16).vae.dtype == torch.float32


# ------------------------------------------------------------------------------------------ SDXL


def test_xl_captions_are_embedded_as_the_pipeline_embeds_them(pipelines):
    pipeline = pipelines["xl"]
    expected, _, pooled, _ = pipeline.encode_prompt(CAPTIONS, do_classifier_free_guidance=False)
    family = sd_model.family(pipeline)
    with torch.no_grad():
        found = family.text(family.tokens(CAPTIONS))
    torch.testing.assert_close(found["states"], expected)
    torch.testing.assert_close(found["pooled"], pooled)


def test_an_xl_row_without_caption_is_told_what_guidance_starts_from(folders):
    pipeline = _loaded(folders, "xl")
    captions = Captions(pipeline, CAPTIONS)
    _, negative, _, pooled = pipeline.encode_prompt("a dress")
    hidden = captions(torch.tensor([captions.number(""), captions.number(CAPTIONS[0])]))
    torch.testing.assert_close(hidden["states"][:1], negative)
    torch.testing.assert_close(hidden["pooled"][:1], pooled)
    assert hidden["states"][0].abs().max() == 0 < hidden["states"][1].abs().max()
    pipeline.register_to_config(force_zeros_for_empty_prompt=False)
    assert Captions(pipeline, CAPTIONS)(torch.tensor([0]))["states"].abs().max() > 0


@torch.no_grad()
def test_the_xl_loss_is_that_of_its_unet_called_by_hand(pipelines):
    from diffusers import DDPMScheduler

    pipeline, batch = pipelines["xl"], _batch([3, 600])
    captions = Captions(pipeline, CAPTIONS[:1])
    found = sd_model.Objective(pipeline, captions)(pipeline.unet, batch)

    mean, deviation = batch["moments"].chunk(2, dim=1)
    latents = (mean + deviation * batch["posterior"]) * pipeline.vae.config.scaling_factor
    scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    noisy = scheduler.add_noise(latents, batch["noise"], batch["timestep"])
    states, negative, pooled, nothing = pipeline.encode_prompt(CAPTIONS[0])
    answer = pipeline.unet(
        noisy,
        batch["timestep"],
        torch.cat([negative, states]),
        added_cond_kwargs={
            "text_embeds": torch.cat([nothing, pooled]),
            "time_ids": torch.tensor([[64.0, 48, round(8 * 32 / 48), 0, 32, 32]] * 2),
        },
    ).sample
    torch.testing.assert_close(found, (answer - batch["noise"]).square().mean((1, 2, 3)), rtol=1e-4, atol=0)
    moved = {**batch, "frame": batch["frame"] + 32}
    assert not torch.equal(sd_model.Objective(pipeline, captions)(pipeline.unet, moved), found)


# ------------------------------------------------------------------------------------------ SD 3.x


def test_flow_captions_are_embedded_as_the_pipeline_embeds_them(pipelines):
    pipeline = pipelines["flow"]
    expected, _, pooled, _ = pipeline.encode_prompt(CAPTIONS, CAPTIONS, CAPTIONS, None, 1, False)
    family = sd_model.family(pipeline)
    with torch.no_grad():
        found = family.text(family.tokens(CAPTIONS))
    assert found["states"].shape[::2] == (2, 40) and found["states"].shape[1] > 16
    torch.testing.assert_close(found["states"], expected)
    torch.testing.assert_close(found["pooled"], pooled)


def test_a_third_encoder_is_read_where_there_is_one(folders, random_pipeline):
    from transformers import T5Config, T5EncoderModel

    pipeline = _loaded(folders, "flow")
    config = T5Config(vocab_size=32, d_model=40, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    pipeline.register_modules(text_encoder_3=T5EncoderModel(config).eval())
    pipeline.register_modules(tokenizer_3=random_pipeline.tokenizer)
    expected, *_ = pipeline.encode_prompt(CAPTIONS, CAPTIONS, CAPTIONS, None, 1, False)
    family = sd_model.family(pipeline)
    with torch.no_grad():
        found = family.text(family.tokens(CAPTIONS))["states"]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)  # random weights give large states
    assert found[:, 16:].abs().max() > 0 and len(family.encoders) == 3


@torch.no_grad()
def test_the_flow_loss_is_that_of_its_transformer_called_by_hand(pipelines):
    pipeline, batch = pipelines["flow"], _batch([0, 499, 999])
    captions = Captions(pipeline, CAPTIONS)
    found = sd_model.Objective(pipeline, captions)(pipeline.transformer, batch)

    mean, deviation = batch["moments"].chunk(2, dim=1)
    latents = (mean + deviation * batch["posterior"] - 0.06) * 0.3
    even = torch.tensor([0.001, 0.5, 1.0]).view(-1, 1, 1, 1)
    sigma = 3 * even / (1 + 2 * even)  # Esser et al. 2024, equation 23
    texts = ["", *CAPTIONS]
    states, _, pooled, _ = pipeline.encode_prompt(texts, texts, texts, None, 1, False)
    answer = pipeline.transformer(
        (1 - sigma) * latents + sigma * batch["noise"],
        encoder_hidden_states=states,
        pooled_projections=pooled,
        timestep=1000 * sigma.flatten(),
    ).sample
    expected = (answer - (batch["noise"] - latents)).square().mean((1, 2, 3))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


def test_the_levels_of_a_flow_are_those_of_its_scheduler(pipelines):
    family = sd_model.family(pipelines["flow"])
    schedule = family.schedule()
    assert torch.equal(schedule.noise, pipelines["flow"].scheduler.sigmas.flip(0))
    torch.testing.assert_close(schedule.signal + schedule.noise, torch.ones(1000))
    told = family.told(schedule, torch.tensor([0, 999]))
    torch.testing.assert_close(told, pipelines["flow"].scheduler.timesteps[[-1, 0]])


def test_a_size_beyond_the_known_places_is_refused(folders):
    found = sd_folder.find(folders["flow"])
    sd_model.check_resolution(found, 64)
    with pytest.raises(ConfigError, match="--resolution 40 is not a multiple of 16; take 32 or 48"):
        sd_model.check_resolution(found, 40)
    with pytest.raises(ConfigError, match=r"--resolution 80: .*flow knows places up to 64 px; take that"):
        sd_model.check_resolution(found, 80)


def test_a_flow_needs_no_zero_terminal_snr(folders):
    with pytest.raises(ConfigError, match="ends in pure noise as it is; leave it out"):
        sd_model.check_zero_terminal(sd_folder.find(folders["flow"]))


# ------------------------------------------------------------------------------------------ true sizes


def _meta_answer(kind, network):
    shapes = {name: (2, *shape) for name, shape in kind.shapes(network).items()}
    drawn = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    noisy = drawn.pop("sample")
    told, frame = torch.empty(2, device="meta"), torch.empty(2, 6, device="meta")
    return noisy.shape, kind.answer(network, noisy, told, drawn, frame).shape


def test_the_published_xl_unet_takes_what_it_is_told():
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=128,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            block_out_channels=(320, 640, 1280),
            transformer_layers_per_block=(1, 2, 10),
            attention_head_dim=(5, 10, 20),
            cross_attention_dim=2048,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
        )
    kind = sd_model._kind_of(unet)
    assert kind.KIND == "StableDiffusionXLPipeline" and kind.shapes(unet)["pooled"] == (1280,)
    assert sum(value.numel() for value in unet.parameters()) == 2_567_463_684
    assert len(unet.state_dict()) == 1680
    wanted, found = _meta_answer(kind, unet)
    assert found == wanted


def test_the_published_transformer_takes_what_it_is_told():
    from diffusers import SD3Transformer2DModel

    with torch.device("meta"):
        transformer = SD3Transformer2DModel(
            sample_size=128,
            num_layers=24,
            num_attention_heads=24,
            caption_projection_dim=1536,
            pos_embed_max_size=192,
        )
    kind = sd_model._kind_of(transformer)
    assert kind.KIND == "StableDiffusion3Pipeline"
    assert round(sum(value.numel() for value in transformer.parameters()) / 1e9, 1) == 2.0  # billions
    wanted, found = _meta_answer(kind, transformer)
    assert found == wanted


def test_a_pipeline_without_its_parts_is_one_line(folders, tmp_path):
    import shutil

    broken = shutil.copytree(folders["xl"], tmp_path / "broken")
    shutil.rmtree(broken / "text_encoder_2")
    with pytest.raises(ModelError, match="broken does not load") as error:
        sd_model.load_pipeline(broken, dtype=torch.float32, device="cpu")
    assert "\n" not in str(error.value)

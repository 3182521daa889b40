"""Loading, encoding, LoRA and saving of Stable Diffusion, on small random pipelines made here."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch

from fsynth import diffusion, sd_choices, sd_folder, sd_model
from fsynth.errors import ConfigError, ModelError
from scripts import tiny_models

SENTENCES = ["the lady wore a blue dress", "the man wears a grey sweater"]
SMALL = tiny_models.Sizes(latent=4, vae=(8, 8, 8, 16), unet=(16, 32), text=16, text_layers=1, tokens=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pipeline folder with fp16 weights, as hubs hold them."""
    folder = tmp_path_factory.mktemp("pipeline")
    tiny_models.save_pipeline(tiny_models.make_pipeline(SENTENCES, SMALL), folder)
    return folder


@pytest.fixture
def pipeline(folder):
    return sd_model.load_pipeline(folder, dtype=torch.float32, device="cpu")


def _train_a_step(unet, lr=1e-2):
    parameters = [value for value in unet.parameters() if value.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=lr)
    x, text = torch.randn(2, 4, 4, 4), torch.randn(2, 8, 16)
    for _ in range(2):  # LoRA's second matrix starts at zero: the first step moves only that one
        unet(x.to(unet.dtype), 10, text.to(unet.dtype)).sample.float().square().mean().backward()
        optimizer.step()
    return parameters


# ------------------------------------------------------------------------------------------ finding


def test_a_folder_is_found_by_its_absolute_name(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert sd_folder.find(folder.name).name == str(folder.resolve())


def test_tiny_stays_tiny_in_records(folder, monkeypatch):
    monkeypatch.setattr(sd_folder, "TINY_FOLDER", folder)
    assert sd_folder.find("tiny") == sd_folder.Found("tiny", folder)


def test_a_model_that_the_hub_cannot_give_is_one_line(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError) as error:
        sd_folder.find("nobody/nothing")
    assert str(error.value) == (
        "model nobody/nothing is not in this machine's cache and the hub cannot be reached; fetch it where "
        "there is a network (`hf download nobody/nothing --local-dir FOLDER`) and pass --model FOLDER, or "
        "take --model tiny"
    )


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        (sd_folder.INDEX, "[1]", "model_index.json cannot be read (it holds a list, no settings"),
        (sd_folder.INDEX, "{", "model_index.json cannot be read (it is not JSON"),
        (sd_folder.RECORD, "{}", "fsynth.json names no base model"),
        (sd_folder.RECORD, "[]", "fsynth.json cannot be read (it holds a list, no settings"),
    ],
)
def test_broken_files_of_a_model_folder_are_named(tmp_path, file, content, says):
    (tmp_path / sd_folder.LORA_WEIGHTS).write_bytes(b"")
    (tmp_path / file).write_text(content)
    with pytest.raises(ModelError, match=re.escape(says)):
        sd_folder.find(tmp_path)


@pytest.mark.parametrize("name", ["no-such-model", "./runs/a/b", "/nowhere/at/all"])
def test_a_name_that_no_hub_could_know_is_refused_without_asking_it(name):
    with pytest.raises(ModelError, match=f"unknown model '{name}': there is no such folder"):
        sd_folder.find(name)


def test_files_unfinished_runs_and_other_folders_are_refused(tmp_path, folder):
    (tmp_path / "model.ckpt").write_bytes(b"")
    with pytest.raises(ModelError, match=r"of files only \.safetensors are read"):
        sd_folder.find(tmp_path / "model.ckpt")
    (tmp_path / "run.yaml").write_text("")
    with pytest.raises(ModelError, match="not a finished run"):
        sd_folder.find(tmp_path)
    with pytest.raises(ModelError, match="holds neither"):
        sd_folder.find(folder / "unet")


def test_another_kind_of_pipeline_is_refused(tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(ModelError, match="is a FluxPipeline; known are StableDiffusionPipeline, Stable"):
        sd_folder.find(tmp_path)


def test_a_broken_weight_file_is_one_line(folder, tmp_path):
    broken = shutil.copytree(folder, tmp_path / "broken")
    weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ModelError, match="broken does not load") as error:
        sd_model.load_pipeline(broken, dtype=torch.float32, device="cpu")
    assert "\n" not in str(error.value)


def test_the_resolution_comes_from_the_model_and_must_fit_its_autoencoder(folder):
    found = sd_folder.find(folder)
    assert sd_model.native_resolution(found) == 32
    sd_model.check_resolution(found, 40)
    with pytest.raises(ConfigError, match="44 is not a multiple of 8; take 40 or 48"):
        sd_model.check_resolution(found, 44)


def test_every_part_has_the_dtype_that_was_asked_for(folder):
    half = {"dtype": torch.float16, "denoiser_dtype": torch.bfloat16}
    pipeline = sd_model.load_pipeline(folder, **half, device="cpu")
    parts = {name: getattr(pipeline, name).dtype for name in ("unet", "vae", "text_encoder")}
    assert parts == {"unet": torch.bfloat16, "vae": torch.float32, "text_encoder": torch.float16}


# ------------------------------------------------------------------------------------------ encoding


def test_latents_are_the_scaled_posterior_of_the_autoencoder(pipeline):
    vae = pipeline.vae
    vae.register_to_config(scaling_factor=0.3)
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        posterior = vae.encode(pixels).latent_dist
    expected = posterior.sample(torch.Generator().manual_seed(5)) * 0.3
    noise = torch.randn(posterior.mean.shape, generator=torch.Generator().manual_seed(5))
    ours = sd_model.latents_of(vae, sd_model.posterior_moments(vae, pixels), noise)
    torch.testing.assert_close(ours, expected)


def test_captions_are_embedded_as_the_pipeline_embeds_them(pipeline):
    captions = ["the lady wore a zebra", "", "a " * 100]
    family = sd_model.family(pipeline)
    tokens = family.tokens(captions)
    expected, _ = pipeline.encode_prompt(captions, "cpu", 1, False)
    assert tokens["tokens"].shape == (3, 16)
    torch.testing.assert_close(family.text(tokens)["states"], expected)


def test_words_never_seen_are_spelt_not_dropped(pipeline):
    ids = sd_model.family(pipeline).tokens(["zebra", "zebrü", "日本"])["tokens"]
    assert len({tuple(row.tolist()) for row in ids}) == 3
    assert pipeline.tokenizer.decode(ids[0], skip_special_tokens=True).strip() == "zebra"


def test_the_training_schedule_is_the_schedulers(pipeline):
    schedule = sd_model.family(pipeline).schedule()
    torch.testing.assert_close(schedule.signal.square(), pipeline.scheduler.alphas_cumprod)


# ------------------------------------------------------------------------------------------ pipelines


def test_a_saved_pipeline_loads_in_diffusers_and_keeps_the_text_encoders_own_files(
    pipeline, folder, tmp_path
):
    from diffusers import StableDiffusionPipeline

    _train_a_step(pipeline.unet)
    sd_folder.save_pipeline(pipeline.unet, sd_folder.find(folder), tmp_path)
    other = StableDiffusionPipeline.from_pretrained(tmp_path, dtype=torch.float32)
    torch.testing.assert_close(sd_model.probe_output(other.unet), sd_model.probe_output(pipeline.unet))
    assert sd_model.reload_difference(pipeline, tmp_path) == 0
    for file in ("config.json", "model.safetensors"):
        original = (folder / "text_encoder" / file).read_bytes()
        assert (tmp_path / "text_encoder" / file).read_bytes() == original
    latents = torch.randn(1, 4, 4, 4)
    picture = other("a dress", num_inference_steps=2, latents=latents, output_type="np").images
    assert picture.shape == (1, 32, 32, 3)


def test_variants_and_parts_without_files_stay_behind(pipeline, folder, tmp_path):
    original = shutil.copytree(folder, tmp_path / "original")
    for name in ("model.fp16.safetensors", "pytorch_model.bin"):
        (original / "text_encoder" / name).write_bytes(b"another format")
    index = json.loads((original / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["feature_extractor"] = ["transformers", "CLIPFeatureExtractor"]  # gone from transformers 5
    (original / "model_index.json").write_text(json.dumps(index))
    sd_folder.save_pipeline(pipeline.unet, sd_folder.find(original), tmp_path / "saved")
    kept = {path.name for path in (tmp_path / "saved" / "text_encoder").iterdir()}
    assert kept == {"config.json", "model.safetensors"}
    assert sd_model.reload_difference(pipeline, tmp_path / "saved") == 0


def test_a_safety_checker_is_not_loaded_and_kept_as_found(pipeline, folder, tmp_path, capsys):
    from diffusers import StableDiffusionPipeline
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    original = shutil.copytree(folder, tmp_path / "original")
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    settings = CLIPConfig(vision_config=small | {"image_size": 32, "patch_size": 16}, projection_dim=8)
    checker = StableDiffusionSafetyChecker(settings)
    checker.save_pretrained(original / "safety_checker")
    CLIPImageProcessor(size=32, crop_size=32).save_pretrained(original / "feature_extractor")
    index = json.loads((original / "model_index.json").read_text()) | {"requires_safety_checker": True}
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["feature_extractor"] = ["transformers", "CLIPFeatureExtractor"]  # gone from transformers 5
    (original / "model_index.json").write_text(json.dumps(index))
    found = sd_folder.find(original)
    assert found.kept() == ["safety_checker", "feature_extractor"]
    assert sd_folder.find(folder).safety_checker is None
    sd_choices.say_safety_checker(found, lora=False)
    said = "safety checker: StableDiffusionSafetyChecker is kept in the model as found; fsynth draws"
    assert said in capsys.readouterr().err
    assert sd_model.load_pipeline(found, dtype=torch.float32, device="cpu").safety_checker is None
    sd_folder.save_pipeline(pipeline.unet, found, tmp_path / "saved")
    loaded = StableDiffusionPipeline.from_pretrained(tmp_path / "saved")
    assert loaded.config.requires_safety_checker and loaded.feature_extractor is not None
    before, after = checker.state_dict(), loaded.safety_checker.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_the_shipped_shapes_fit_the_package():
    """At most 14 MB in fp16, 128 px pictures, the longest caption of the benchmark (25 tokens) fits."""
    pipeline = tiny_models.make_pipeline(SENTENCES)
    parts = [pipeline.unet, pipeline.vae, pipeline.text_encoder]
    weights = sum(value.numel() for part in parts for value in part.parameters())
    assert 2 * weights < 14e6
    assert pipeline.unet.config.sample_size * pipeline.vae_scale_factor == 128
    assert pipeline.tokenizer.model_max_length >= 25 + 8
    assert pipeline.scheduler.config.prediction_type in diffusion.PREDICTION_TYPES

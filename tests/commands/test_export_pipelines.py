"""Diffusion models in other tools' formats: read back as the same model, under the names those tools know."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from fsynth import cli, hub_upload, sd_folder, sd_lora, sd_lora_layouts, sd_model
from fsynth.commands import export
from fsynth.config import ExportConfig
from fsynth.errors import ConfigError, ModelError
from fsynth.sd_lora import Adapters
from tests import sd_families
from tests.reference import ldm_names

UNETS = {
    "unet": {"widths": [1, 2], "blocks": 1, "attention": {1}, "depths": [1, 1]},
    "xl": {"widths": [1, 2], "blocks": 1, "attention": {1}, "depths": [1, 2], "label": True},
}
ADAPTERS = Adapters(rank=2, alpha=6.0)
TEXT = [f"text_model.encoder.layers.0.self_attn.{one}_proj" for one in ("q", "k", "v", "out")]


@pytest.fixture(scope="module", params=["unet", "xl"])
def family(request):
    return request.param


@pytest.fixture(scope="module")
def base(family, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / family
    return sd_families.WRITERS[family](folder)


def _with_adapters(base, adapters, text=True):
    """The pipeline with adapters that change what it says."""
    pipeline = sd_model.load_pipeline(base, dtype=torch.float32, device="cpu")
    sd_lora.add(pipeline.unet, adapters, seed=0)
    if text:
        sd_lora.add_to_text(pipeline.text_encoder, adapters, seed=1)
    for part in (pipeline.unet, pipeline.text_encoder):
        for name, value in part.named_parameters():
            if value.requires_grad and "magnitude" not in name:
                torch.nn.init.normal_(value, std=0.02)
    return pipeline


@pytest.fixture(scope="module")
def lora(base, tmp_path_factory):
    """A folder of adapters as sd-train writes it, alpha three times the rank."""
    folder = tmp_path_factory.mktemp("adapters") / "model"
    torch.manual_seed(0)
    sd_folder.save_lora(_with_adapters(base, ADAPTERS), str(base), folder)
    return folder


def _export(model, format, folder, **more):
    return export.main(ExportConfig(model=str(model), format=format, output=folder, **more))


def _draw(pipeline):
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.Generator().manual_seed(0)
    size = {"height": 32, "width": 32, "num_inference_steps": 2, "output_type": "np"}
    return pipeline("a red dress", generator=noise, **size).images[0]


def _expected(family, layout):
    """The modules that attention adapters sit on, under a layout's names; nothing of ours is asked."""
    attention = ("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight")
    original = ldm_names.unet(**UNETS[family])
    places = {name.removesuffix(".weight") for name in original if name.endswith(attention)}
    if layout == "comfyui":
        return {f"diffusion_model.{name}" for name in places} | {
            f"text_encoders.clip_l.transformer.{name}" for name in TEXT
        }
    if family == "xl":
        start = "lora_te1_"
    else:
        start, places = "lora_te_", set(_of_diffusers())
    names = {f"lora_unet_{name}" for name in places} | {f"{start}{name}" for name in TEXT}
    return {name.replace(".", "_") for name in names}


def _of_diffusers():
    blocks = ["down_blocks.1.attentions.0", "mid_block.attentions.0"]
    for block in [*blocks, "up_blocks.0.attentions.0", "up_blocks.0.attentions.1"]:
        for one in ("attn1", "attn2"):
            for part in ("to_q", "to_k", "to_v", "to_out.0"):
                yield f"{block}.transformer_blocks.0.{one}.{part}"


@pytest.mark.parametrize("layout", ["kohya", "comfyui"])
def test_adapters_have_the_names_and_the_strength_that_tools_know(family, lora, tmp_path, layout):
    result = _export(lora, layout, tmp_path / "mine")
    assert result.difference <= 1e-6
    content = load_file(tmp_path / "mine" / "mine.safetensors")
    endings = ("lora_down.weight", "lora_up.weight", "alpha")
    assert content.keys() == {f"{name}.{end}" for name in _expected(family, layout) for end in endings}
    assert {value.item() for name, value in content.items() if name.endswith("alpha")} == {6.0}


@pytest.mark.parametrize("format", ["lora", "kohya"])
def test_diffusers_draws_the_same_pictures_with_the_adapters(base, lora, tmp_path, format):
    drawn = _draw(sd_model.load_pipeline(lora, dtype=torch.float32, device="cpu"))
    plain = sd_model.load_pipeline(base, dtype=torch.float32, device="cpu")
    assert np.abs(drawn - _draw(plain)).max() > 1e-3
    _export(lora, format, tmp_path / "mine")
    (file,) = (tmp_path / "mine").glob("*.safetensors")
    plain.load_lora_weights(tmp_path / "mine", weight_name=file.name)
    assert np.array_equal(drawn, _draw(plain))


@pytest.mark.parametrize("format", ["diffusers", "single-file"])
def test_a_whole_model_has_the_adapters_in_its_weights(family, base, lora, tmp_path, format):
    import diffusers

    if (family, format) == ("xl", "single-file"):
        pytest.skip("diffusers tells XL's text encoders apart by their width, which is one here")

    drawn = _draw(sd_model.load_pipeline(lora, dtype=torch.float32, device="cpu"))
    assert _export(lora, format, tmp_path / "mine").difference == 0
    kind = getattr(diffusers, sd_folder.find(base).kind)
    if format == "diffusers":
        again = kind.from_pretrained(tmp_path / "mine", local_files_only=True)
    else:
        file = tmp_path / "mine" / "mine.safetensors"
        again = kind.from_single_file(file, config=str(base), local_files_only=True)
    assert np.abs(drawn - _draw(again)).max() < 1e-4
    assert not any(sd_lora.has(part) for part in (again.unet, again.text_encoder))
    if format == "diffusers":
        names = load_file(tmp_path / "mine" / "text_encoder" / "model.safetensors").keys()
        assert all(name.startswith("text_model.") for name in names)  # which older versions need


def test_half_the_size_is_compared_as_it_was_rounded(lora, tmp_path):
    assert _export(lora, "diffusers", tmp_path / "whole", half=True).difference == 0
    for part, file in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        weights = load_file(tmp_path / "whole" / part / f"{file}.safetensors")
        assert {value.dtype for value in weights.values()} == {torch.float16}
    assert _export(lora, "kohya", tmp_path / "lora", half=True).difference <= 1e-6


def test_the_header_says_what_is_in_the_file(family, lora, tmp_path):
    _export(lora, "kohya", tmp_path / "sheer")
    file = tmp_path / "sheer" / "sheer.safetensors"
    with safe_open(file, framework="pt") as opened:
        said = opened.metadata()
    architecture = {"unet": "stable-diffusion-v1", "xl": "stable-diffusion-xl-v1-base"}[family]
    assert said["modelspec.architecture"] == f"{architecture}/lora"
    assert said["modelspec.title"] == "sheer" and said["modelspec.prediction_type"] == "epsilon"
    assert said["modelspec.resolution"] == "32x32"
    assert said["ss_network_dim"] == "2" and said["ss_network_alpha"] == "6"
    raw = file.read_bytes()
    data = raw[8 + int.from_bytes(raw[:8], "little") :]
    assert said["modelspec.hash_sha256"] == f"0x{hashlib.sha256(data).hexdigest()}"


@pytest.mark.parametrize("kind", ["rslora", "lora"])
def test_adapters_on_all_blocks_come_back_too(base, tmp_path, kind, request):
    adapters = Adapters(rank=3, alpha=2.0, kind=kind, targets="all")
    sd_folder.save_lora(_with_adapters(base, adapters, text=False), str(base), tmp_path / "model")
    for format in ("lora", "kohya", "comfyui"):
        assert _export(tmp_path / "model", format, tmp_path / format).difference <= 1e-6


def test_what_the_tools_cannot_hold_is_refused(base, tmp_path, capsys):
    torch.manual_seed(0)
    pipeline = _with_adapters(base, Adapters(rank=2, alpha=2.0, kind="dora"), text=False)
    sd_folder.save_lora(pipeline, str(base), tmp_path / "model")
    arguments = ["export", "--model", str(tmp_path / "model"), "--output", str(tmp_path / "out")]
    assert cli.run([*arguments, "--format", "kohya"]) == 1
    assert (
        "fsynth: DoRA cannot be written as LoRA for these tools; --format single-file"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()
    assert _export(tmp_path / "model", "lora", tmp_path / "out").difference <= 1e-6
    with pytest.raises(ModelError, match=r"--format comfyui is for adapters, and .* is a whole model"):
        _export(base, "comfyui", tmp_path / "none")


def test_a_file_that_reads_back_weaker_is_not_left(lora, tmp_path, monkeypatch):
    right = sd_lora_layouts._content

    def weaker(found):
        return {name: value / 3 if name.endswith("alpha") else value for name, value in right(found).items()}

    monkeypatch.setattr(sd_lora_layouts, "_content", weaker)
    with pytest.raises(ModelError, match=r"loaded again, is another model: it differs by 0\.6"):
        _export(lora, "kohya", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_card_says_how_and_under_whose_terms_and_no_place_of_this_machine(base, lora, tmp_path):
    _export(lora, "lora", tmp_path / "mine")
    card = (tmp_path / "mine" / "README.md").read_text()
    assert card.startswith("---\nlicense: other\n") and "- lora" in card
    assert f"LoRA adapters for {base.name}, made by fsynth" in card
    assert "pipeline.load_lora_weights('pytorch_lora_weights.safetensors')" in card
    assert "The base model's licence is not known here: look it up. A safety checker is not included." in card
    assert str(base.parent) not in card and str(tmp_path) not in card


def test_a_run_tells_its_card_what_it_learnt(base, lora, tmp_path):
    run = tmp_path / "run"
    (run / "samples").mkdir(parents=True)
    (run / "model").symlink_to(lora)
    (run / "run.yaml").write_text("epochs: 5\nlr: 5.0e-05\nresolution: 48\ndata: /secret/place\n")
    loss = {"before": 0.2, "after": 0.1, "low": -0.12, "high": -0.08, "verdict": "better", "rows": 64}
    terms = "of DeepFashion's, copies too are for non-commercial research only and not to be passed on"
    result = {"model": str(base), "drawn": False, "terms": terms, "validation": loss}
    (run / "result.json").write_text(json.dumps(result))
    (run / "samples" / "samples.jsonl").write_text('{"file_name": "0.png", "text": "a hat", "seed": 0}\n')
    _export(run, "kohya", tmp_path / "mine")
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "- epochs: 5\n- lr: 5e-05\n- resolution: 48" in card and "/secret" not in card
    assert "- a hat" in card and "the fine-tuned model is better on held-out rows" in card
    assert "it learnt from DeepFashion's pictures, which are for non-commercial research only" in card
    assert "license: other\nlicense_name: terms-of-the-base-model-and-of-the-pictures" in card


def test_an_upload_is_agreed_to_before_the_weights_are_read(base, tmp_path, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(hub_upload, "check", lambda name: calls.append(("check", name)))
    monkeypatch.setattr(hub_upload, "upload", lambda *given: calls.append(given) or "https://hub/me/dress")
    arguments = [
        "export",
        "--model",
        str(base),
        "--output",
        str(tmp_path / "out"),
        "--push-to-hub",
        "me/dress",
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert cli.run(arguments) == 1
    said = capsys.readouterr().err
    assert "uploaded to me/dress, private; the base model's licence is not known here" in said
    assert said.endswith("fsynth: nothing is uploaded before somebody agrees; add --yes\n")
    assert calls == [("check", "me/dress")] and list(tmp_path.iterdir()) == []
    assert cli.run([*arguments, "--yes"]) == 0
    assert calls[-1] == (tmp_path / "out", "me/dress", False)
    assert "uploaded: https://hub/me/dress" in capsys.readouterr().err
    assert "from_pretrained('me/dress')" in (tmp_path / "out" / "README.md").read_text()


def test_flags_of_uploads_alone_are_refused(base):
    with pytest.raises(ConfigError, match=r"--public belongs to --push-to-hub ORG/NAME"):
        export.main(ExportConfig(model=str(base), public=True))
    with pytest.raises(ConfigError, match=r"--push-to-hub is for diffusion models; upload a CLIP model"):
        export.main(ExportConfig(model="tiny", push_to_hub="me/dress"))

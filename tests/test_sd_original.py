"""Original checkpoint names: all of them at true size, and files that diffusers reads as the same model."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from fsynth import sd_original
from fsynth.errors import ModelError
from scripts import make_random_pipeline
from scripts.make_random_pipeline import FAMILIES
from tests.reference import ldm_names

SD = {"widths": [1, 2, 4, 4], "blocks": 2, "attention": {0, 1, 2}, "depths": [1, 1, 1, 1]}
XL = {"widths": [1, 2, 4], "blocks": 2, "attention": {1, 2}, "depths": [1, 2, 10], "label": True}
WORDS = {
    "sd15": {"cond_stage_model.transformer.": ldm_names.clip(12)},
    "sd21": {"cond_stage_model.model.": ldm_names.open_clip(23, projection=False)},
    "sdxl": {
        "conditioner.embedders.0.transformer.": ldm_names.clip(12),
        "conditioner.embedders.1.model.": ldm_names.open_clip(32, projection=True),
    },
}


PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")


def _of_true_size(family):
    """The class and the networks of a family, without memory for weights."""
    parts = {name: config for name, config in FAMILIES[family].items() if name in PARTS}
    networks = {name: make_random_pipeline._described(name, config)[1] for name, config in parts.items()}
    return type(FAMILIES[family]["_class_name"], (SimpleNamespace,), {})(**networks)


@pytest.mark.parametrize("family", FAMILIES)
def test_names_are_those_of_the_published_files(family):
    names = {sd_original.UNET + name for name in ldm_names.unet(**(XL if family == "sdxl" else SD))}
    names |= {sd_original.VAE + name for name in ldm_names.autoencoder([128, 256, 512, 512], 2)}
    names |= {place + name for place, there in WORDS[family].items() for name in there}
    given = sd_original.checkpoint(_of_true_size(family))
    assert given.keys() == names
    shapes = {name: tuple(value.shape) for name, value in given.items()}
    assert shapes["first_stage_model.decoder.mid.attn_1.q.weight"] == (512, 512, 1, 1)
    if family == "sdxl":
        assert shapes["conditioner.embedders.1.model.transformer.resblocks.9.attn.in_proj_bias"] == (3840,)
    else:
        assert shapes["model.diffusion_model.output_blocks.8.2.conv.weight"] == (640, 640, 3, 3)


@pytest.mark.parametrize("family", FAMILIES)
def test_diffusers_reads_the_same_model_from_one_file(family, tmp_path):
    import diffusers

    folder = tmp_path / family
    folder.mkdir()
    make_random_pipeline.write(family, folder, torch.float32, "small")
    kind = getattr(diffusers, FAMILIES[family]["_class_name"])
    before = kind.from_pretrained(folder, local_files_only=True)
    save_file(sd_original.checkpoint(before), tmp_path / "one.safetensors")
    after = kind.from_single_file(tmp_path / "one.safetensors", config=str(folder), local_files_only=True)
    for part in (name for name in PARTS if name in FAMILIES[family]):
        mine, theirs = (getattr(pipeline, part).state_dict() for pipeline in (before, after))
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_family_without_such_files_is_refused():
    flow = type("StableDiffusion3Pipeline", (SimpleNamespace,), {})()
    with pytest.raises(
        ModelError, match="a StableDiffusion3Pipeline has no original Stable Diffusion layout"
    ):
        sd_original.checkpoint(flow)


def test_a_part_without_a_place_is_refused():
    with pytest.raises(ModelError, match=r"down_blocks.9.resnets.0.conv1 has no place in the original"):
        sd_original.original("down_blocks.9.resnets.0.conv1", {"down_blocks.0.resnets.0": "input_blocks.1.0"})

"""Random pipelines have the published shapes, load as any pipeline, and draw finite noise."""

from __future__ import annotations

import pytest
import torch

from fsynth import sd_folder, sd_model
from scripts import make_random_pipeline
from scripts.make_random_pipeline import FAMILIES

PUBLISHED = {
    ("sd15", "unet"): 859_520_964,
    ("sd15", "vae"): 83_653_863,
    ("sd15", "text_encoder"): 123_060_480,
    ("sd21", "unet"): 865_910_724,
    ("sd21", "text_encoder"): 340_387_840,
    ("sdxl", "unet"): 2_567_463_684,
    ("sdxl", "text_encoder_2"): 694_659_840,
}
"""Numbers of parameters of the published models."""


@pytest.mark.parametrize(("family", "part"), PUBLISHED, ids="-".join)
def test_full_size_is_the_published_size(family, part):
    _, network = make_random_pipeline._described(part, FAMILIES[family][part])
    assert sum(value.numel() for value in network.parameters()) == PUBLISHED[family, part]
    assert next(network.parameters()).is_meta


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small SD 2.1: it has all that sets 1.5's description apart, and predicts v."""
    folder = tmp_path_factory.mktemp("random") / "sd21"
    assert make_random_pipeline.main(["sd21", str(folder), "--scale", "small"]) == 0
    return folder


def test_a_small_one_draws(small):
    pipeline = sd_model.load_pipeline(small, dtype=torch.float32, device="cpu")
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert sd_model.native_resolution(sd_folder.find(small)) == 768
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline("a red dress", num_inference_steps=1, height=64, width=64, output_type="np").images
    assert image.shape == (1, 64, 64, 3) and 0 < image.std() < 1


def test_its_tokenizer_is_clips(small):
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(small / "tokenizer")
    ids = tokenizer("a Red dress", padding="max_length").input_ids
    assert ids[:5] == [49406, 320, 736, 2595, 49407] and len(ids) == 77
    assert set(ids[5:]) == {0}  # Stable Diffusion 2 fills up with an exclamation mark


def test_weights_are_a_function_of_the_seed():
    _, network = make_random_pipeline._described("vae", make_random_pipeline.shrunk(FAMILIES["sd15"]["vae"]))
    first, again, other = (
        make_random_pipeline.random_weights(network, torch.float16, seed) for seed in (0, 0, 1)
    )
    name = "decoder.conv_in.weight"
    assert torch.equal(first[name], again[name]) and not torch.equal(first[name], other[name])
    assert first[name].dtype == torch.float16


def test_a_folder_with_something_in_it_is_refused(small, capsys):
    assert make_random_pipeline.main(["sd15", str(small)]) == 1
    assert "is not empty" in capsys.readouterr().err

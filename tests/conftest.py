"""Fixtures that several test files share."""

import os
from pathlib import Path

import pytest

from tests.data import make_fixture

if "PYTEST_XDIST_WORKER" in os.environ:  # else each of the processes computes on all cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def benchmark_folder(tmp_path_factory) -> Path:
    """24 rows in the benchmark's exact formats: annotation, split, encrypted ZIP, HDF5. Do not change it."""
    return make_fixture.write_benchmark(tmp_path_factory.mktemp("benchmark"))


@pytest.fixture
def no_password(monkeypatch):
    """No archive password in the environment, also none remembered by an earlier test."""
    monkeypatch.setenv("FSYNTH_ZIP_PASSWORD", "x")
    for name in [name for name in os.environ if name.startswith("FSYNTH_ZIP_PASSWORD")]:
        monkeypatch.delenv(name)


@pytest.fixture
def password(no_password, monkeypatch):
    """The password of `benchmark_folder` in the environment."""
    monkeypatch.setenv("FSYNTH_ZIP_PASSWORD", make_fixture.PASSWORD.decode())


@pytest.fixture(scope="session")
def random_pipeline():
    """A whole Stable Diffusion pipeline of 32 px with random weights and a vocabulary of a dozen words."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    width = 32
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=width,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=32,
    )
    tokenizer = _word_tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=16,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text).eval(),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _word_tokenizer():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    text = "<start> <end> <unknown> the lady man wore is wearing a red blue sleeveless dress tee ."
    vocabulary = {word: number for number, word in enumerate(text.split())}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unknown>"))
    raw.normalizer = normalizers.Lowercase()
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 0), ("<end>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<start>",
        eos_token="<end>",
        pad_token="<end>",
        unk_token="<unknown>",
        model_max_length=16,
    )

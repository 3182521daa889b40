"""A picture is a function of model, prompt and seed; what the model cannot read is said."""

import numpy as np
import pytest
import torch

from fsynth import samples, sampling
from fsynth.errors import ModelError

PROMPTS = ["the lady wore a red dress.", "the man is wearing a blue tee.", "a red tee"]


def pictures(pipeline, wanted, **more):
    settings = {"steps": 3, "guidance_scale": 5.0, "size": 32, "batch_size": 2} | more
    return {(row.text, row.seed): picture for row, picture in sampling.generate(pipeline, wanted, **settings)}


def apart(first, second):
    return np.abs(first.astype(int) - second.astype(int)).max()


@pytest.fixture(scope="module")
def reference(random_pipeline):
    return pictures(random_pipeline, samples.plan(PROMPTS, per_prompt=2, seed=3))


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_the_batch_size_does_not_change_a_picture(random_pipeline, reference, batch_size):
    again = pictures(random_pipeline, samples.plan(PROMPTS, 2, 3), batch_size=batch_size)
    assert again.keys() == reference.keys()
    assert max(apart(again[key], reference[key]) for key in again) <= 1


def test_neighbours_and_order_do_not_change_a_picture(random_pipeline, reference):
    alone = pictures(random_pipeline, samples.plan([PROMPTS[2]], per_prompt=1, seed=4))
    assert apart(alone[PROMPTS[2], 4], reference[PROMPTS[2], 4]) <= 1


def test_a_scheduler_that_draws_at_every_step_draws_for_each_picture(random_pipeline):
    from diffusers import DDPMScheduler

    original = random_pipeline.scheduler
    random_pipeline.scheduler = DDPMScheduler.from_config(original.config)
    try:
        together = pictures(random_pipeline, samples.plan(PROMPTS), batch_size=3)
        alone = pictures(random_pipeline, samples.plan(PROMPTS), batch_size=1)
        assert max(apart(alone[key], together[key]) for key in alone) <= 1
    finally:
        random_pipeline.scheduler = original


def test_prompt_and_seed_both_change_the_picture(reference):
    first = reference[PROMPTS[0], 3]
    assert first.shape == (32, 32, 3) and first.dtype == np.uint8
    assert apart(first, reference[PROMPTS[0], 4]) > 8
    assert apart(first, reference[PROMPTS[1], 3]) > 8


def test_the_pictures_are_those_of_the_pipeline_itself(random_pipeline, reference):
    row = samples.plan(PROMPTS, 2, 3)[0]
    noise = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(row.noise_seed))
    image = random_pipeline(
        row.text, latents=noise, num_inference_steps=3, guidance_scale=5.0, height=32, width=32
    ).images[0]
    assert apart(np.asarray(image), reference[PROMPTS[0], 3]) <= 1


def test_the_picture_decides_the_size_not_the_unet(random_pipeline):
    (picture,) = pictures(random_pipeline, samples.plan(PROMPTS[:1]), size=48).values()
    assert picture.shape == (48, 48, 3)


def test_numbers_that_are_no_picture_are_an_error(random_pipeline, monkeypatch):
    decode = random_pipeline.vae.decode

    def broken(latents):
        found = decode(latents)
        found.sample[0, 0, 0, 0] = float("nan")
        return found

    monkeypatch.setattr(random_pipeline.vae, "decode", broken)
    with pytest.raises(ModelError, match="the lady wore a red dress"):
        pictures(random_pipeline, samples.plan(PROMPTS))


def test_unknown_words_and_cut_prompts_are_named(random_pipeline):
    read = random_pipeline.tokenizer
    assert sampling.reading_problems(read, PROMPTS) == []
    (unknown,) = sampling.reading_problems(read, ["the lady wore a zebra-print dress.", "a (paisley) tee"])
    assert unknown.endswith("does not know: paisley, print, zebra")
    (cut,) = sampling.reading_problems(read, ["a tee", "red " * 20])
    assert "reads 16 tokens; cut off: 1 prompts" in cut


def test_a_word_that_a_byte_level_tokenizer_spells_out_is_unknown_too():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(PROMPTS * 3, trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet))
    read = PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=77, add_prefix_space=True)
    assert sampling.reading_problems(read, PROMPTS) == []
    (strange,) = sampling.reading_problems(read, ["the lady wore a zebra dress from 1960, size 3 été."])
    assert strange.endswith("does not know: from, size, zebra, été")

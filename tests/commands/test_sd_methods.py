"""Runs of sd-train in which more than the UNet learns, or otherwise than whole and by AdamW."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import load_file

from fsynth import compiling, launch, optimizers, sampling, sd_folder, sd_memory, sd_model
from fsynth.commands import sd_train
from fsynth.config import (
    SDTrainConfig,
    SDTrainLora,
    SDTrainMemory,
    SDTrainOptimizer,
    SDTrainText,
    SDTrainTuning,
    SDTrainValidation,
)
from fsynth.data.sources import Source
from fsynth.errors import ConfigError
from tests import small_sd

BASE = SDTrainConfig(
    model="tiny",
    lr=1e-2,
    epochs=2,
    n_images=6,
    batch_size=4,
    checkpoint_every=1,
    validation=SDTrainValidation(rows=3, noise_levels=2, pictures=0),
)
TEXT_LORA = {"lora_rank": 2, "lora": SDTrainLora(dropout=0.1), "text": SDTrainText(train="lora", lr=2e-3)}
TEXT_FULL = {"text": SDTrainText(train="full"), "micro_batch": 2}


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory):
    """A random pipeline in the place of the shipped one, and squares to learn."""
    folder = small_sd.make(tmp_path_factory.mktemp("models") / "tiny")
    rows = small_sd.rows(10, 100, (32, 32)), small_sd.rows(5, 200, (32, 32))
    squares = Source(*rows, tmp_path_factory.mktemp("data"), True, True, True, "data: squares")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sd_folder, "TINY_FOLDER", folder)
        patch.setattr(sd_train, "open_source", lambda **_: squares)
        yield folder


def config(output, **changes):
    return dataclasses.replace(BASE, output=output, **changes)


def tensors(folder):
    """All weights that a run saved."""
    files = sorted((folder / "model").rglob("*.safetensors"))
    return {f"{file.parent.name}/{name}": value for file in files for name, value in load_file(file).items()}


def load(model):
    return sd_model.load_pipeline(model, dtype=torch.float32, device="cpu")


def embedded(pipeline):
    return small_sd.embedded(pipeline, "a red square").detach()


class Stop(Exception):
    pass


def run_twice(tmp_path, monkeypatch, **changes):
    """A run, and one that is stopped in mid-epoch and resumed: the results."""
    whole = sd_train.main(config(tmp_path / "whole", **changes))
    see = sd_train.LossWatch.see

    def stop(self, losses, index, step, steps):
        if step == 4:
            raise Stop
        see(self, losses, index, step, steps)

    broken = config(tmp_path / "broken", **changes)
    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(sd_train.LossWatch, "see", stop)
        sd_train.main(broken)
    return whole, sd_train.main(dataclasses.replace(broken, output=None, resume=tmp_path / "broken"))


def same(one, two):
    first, second = tensors(one.folder), tensors(two.folder)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# ------------------------------------------------------------------------------------------ the text encoder


@pytest.mark.parametrize("changes", [TEXT_LORA, TEXT_FULL], ids=["lora", "full"])
def test_a_text_encoder_learns_is_saved_and_resumes_to_the_bit(tmp_path, monkeypatch, changes):
    whole, resumed = run_twice(tmp_path, monkeypatch, **changes)
    assert same(whole, resumed)
    assert whole.reload_difference == 0
    assert not torch.equal(embedded(load(whole.folder)), embedded(load("tiny")))
    parts = {name.partition(".")[0] for name in tensors(whole.folder)}
    assert parts >= ({"model/text_encoder", "model/unet"} if changes is TEXT_LORA else set())


def test_its_learning_rate_is_its_own(tmp_path, capsys):
    settings = {"epochs": 1, "checkpoint_every": 0, "text": SDTrainText(train="full")}
    one = sd_train.main(config(tmp_path / "one", **settings))
    assert (
        "learning rate of the text encoder: 0.005, half of the UNet's (--set text.lr)"
        in capsys.readouterr().err
    )
    slow = dataclasses.replace(settings["text"], lr=1e-9)
    two = sd_train.main(config(tmp_path / "two", **{**settings, "text": slow}))
    base = embedded(load("tiny"))
    moved = [(embedded(load(run.folder)) - base).norm().item() for run in (one, two)]
    assert moved[1] < moved[0] / 1000


def test_what_belongs_to_adapters_is_refused_without_them(tmp_path):
    with pytest.raises(ConfigError, match=r"text\.train=lora belongs to adapters; give --lora-rank"):
        sd_train.main(config(tmp_path / "run", text=SDTrainText(train="lora")))
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------------- optimizers


@pytest.mark.parametrize("kind", ["adamw-8bit", "adafactor", "prodigy", "schedule-free"])
def test_any_optimizer_resumes_to_the_bit_with_its_schedule(tmp_path, monkeypatch, kind):
    if kind in optimizers._PACKAGES:
        pytest.importorskip(optimizers._PACKAGES[kind])
    schedule = "constant" if kind == "schedule-free" else "cosine"
    changes = {"optimizer": SDTrainOptimizer(kind=kind, schedule=schedule, warmup_steps=1), "lora_rank": 2}
    whole, resumed = run_twice(tmp_path, monkeypatch, lr=None, **changes)
    assert same(whole, resumed) and whole.reload_difference == 0
    assert small_sd.log(whole.folder, "step", "lr") == small_sd.log(resumed.folder, "step", "lr")


def test_a_running_mean_is_judged_and_saved_and_resumes_to_the_bit(tmp_path, monkeypatch):
    changes = {"lora_rank": 2, "text": SDTrainText(train="lora")}
    whole, resumed = run_twice(tmp_path, monkeypatch, tuning=SDTrainTuning(ema=0.9), **changes)
    assert same(whole, resumed) and whole.reload_difference == 0
    last = sd_train.main(config(tmp_path / "last", **changes))
    assert not same(whole, last)
    losses = [small_sd.log(run.folder, "epoch_loss") for run in (whole, last)]
    assert losses[0] == losses[1], "training itself is the same"
    judged = [small_sd.log(run.folder, "validation_loss") for run in (whole, last)]
    assert judged[0][0] == judged[1][0] and judged[0][1] != judged[1][1]


def test_what_schedule_free_averages_is_judged_and_saved(tmp_path):
    pytest.importorskip("schedulefree")
    result = sd_train.main(config(tmp_path / "run", optimizer=SDTrainOptimizer(kind="schedule-free")))
    again = sd_train.main(config(tmp_path / "again", model=str(result.folder), epochs=1))
    assert again.validation.before == pytest.approx(result.validation.after, rel=1e-6)


def test_a_mean_of_what_is_averaged_is_refused(tmp_path):
    pytest.importorskip("schedulefree")
    settings = {"optimizer": SDTrainOptimizer(kind="schedule-free"), "tuning": SDTrainTuning(ema=0.9)}
    with pytest.raises(ConfigError, match=r"tuning\.ema: schedule-free keeps a mean of its own"):
        sd_train.main(config(tmp_path / "run", **settings))


# ------------------------------------------------------------------------------------------ memory


def test_memory_settings_change_how_and_not_what_is_learnt(tmp_path):
    changes = {"lora_rank": 2, "text": SDTrainText(train="lora"), "checkpoint_every": 0}
    plain = sd_train.main(config(tmp_path / "plain", **changes))
    thrifty = SDTrainMemory(checkpointing=True, channels_last=True)
    other = sd_train.main(config(tmp_path / "thrifty", memory=thrifty, **changes))
    losses = [[loss for (loss,) in small_sd.log(run.folder, "loss")] for run in (plain, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert other.reload_difference == 0 and tensors(other.folder).keys() == tensors(plain.folder).keys()


def test_a_compiled_run_is_the_same_and_draws_and_validates_uncompiled(tmp_path, monkeypatch):
    calls = []

    def compiled(network, backend="eager", compile=torch.nn.Module.compile):
        calls.append(network)
        compile(network, backend=backend)

    monkeypatch.setattr(compiling, "check", lambda: None)
    monkeypatch.setattr(torch.nn.Module, "compile", compiled)
    changes = {"epochs": 1, "n_images": 4, "checkpoint_every": 0}
    plain = sd_train.main(config(tmp_path / "plain", **changes))
    other = sd_train.main(config(tmp_path / "compiled", memory=SDTrainMemory(compile=True), **changes))
    assert len(calls) == 1 and other.reload_difference == 0
    assert tensors(other.folder).keys() == tensors(plain.folder).keys()
    assert other.loss == pytest.approx(plain.loss, rel=1e-5)


def test_a_batch_that_does_not_fit_is_taken_in_parts_also_when_resumed(tmp_path, monkeypatch, capsys):
    at_once = []
    whole = sd_train.main(config(tmp_path / "free", checkpoint_every=0))

    def cramped(self, unet, batch, call=sd_model.Objective.__call__):
        at_once.append(len(batch["noise"]))
        if len(batch["noise"]) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return call(self, unet, batch)

    monkeypatch.setattr(sd_memory, "is_measured", lambda device: True)
    monkeypatch.setattr(sd_model.Objective, "__call__", cramped)
    monkeypatch.setattr(sd_train, "_at_once", lambda config, run: 2)
    one, resumed = run_twice(tmp_path, monkeypatch)
    assert "memory: 2 of the 4 pictures of a process fit at once" in capsys.readouterr().err
    assert at_once.count(4) == 2, "tried once a start, and not when it went on"
    assert same(one, resumed)
    assert one.loss == pytest.approx(whole.loss, rel=1e-5)


def test_pictures_are_tried_before_the_first_step(tmp_path, monkeypatch, capsys):
    drawn = []

    def cramped(pipeline, wanted, *, steps, batch_size, generate=sampling.generate, **settings):
        drawn.append((steps, batch_size))
        if batch_size > room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return generate(pipeline, wanted, steps=2, batch_size=batch_size, **settings)

    monkeypatch.setattr(sd_memory, "is_measured", lambda device: True)
    monkeypatch.setattr(sampling, "generate", cramped)
    changes = {"epochs": 1, "validation": dataclasses.replace(BASE.validation, pictures=1)}
    for room, expected in ((1, [(2, 4), (2, 2), (2, 1), (30, 1), (30, 1)]), (0, [(2, 4), (2, 2), (2, 1)])):
        drawn.clear()
        result = sd_train.main(config(tmp_path / str(room), **changes))
        assert drawn == expected
        assert (result.folder / "samples").exists() == bool(room)
    assert "too small to draw a picture beside training; none is drawn" in capsys.readouterr().err


def test_fp16_scales_the_gradients_of_float32_adapters(tmp_path, monkeypatch):
    """As on a GPU without bf16; there, weights in float16 raise "Attempting to unscale FP16 gradients"."""
    scalers = []

    def scaling(precision, make=launch.make_accelerator):
        accelerator = make(precision)
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=128.0)  # there is none for CPUs
        scalers.append(accelerator.scaler)
        return accelerator

    monkeypatch.setattr("fsynth.run.make_accelerator", scaling)
    changes = {"lora_rank": 2, "text": SDTrainText(train="lora"), "precision": "fp16"}
    whole, resumed = run_twice(tmp_path, monkeypatch, **changes)
    assert scalers and all(one.is_enabled() and one.get_scale() == 128.0 for one in scalers)
    assert same(whole, resumed) and whole.validation.after != whole.validation.before
    assert {value.dtype for value in tensors(whole.folder).values()} == {torch.float32}


def test_dora_does_not_read_convolutions_with_their_channels_last(tmp_path):
    settings = {"lora_rank": 2, "lora": SDTrainLora(kind="dora", targets="all")}
    with pytest.raises(ConfigError, match=r"memory\.channels_last: not with lora\.kind=dora"):
        sd_train.main(config(tmp_path / "run", memory=SDTrainMemory(channels_last=True), **settings))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, r"memory\.quantize=nf4: weights in 4 bits cannot learn; give --lora-rank, too"),
        (
            {"lora_rank": 2, "lora": SDTrainLora(kind="lokr")},
            r"memory\.quantize=nf4: not with lora\.kind=lokr",
        ),
    ],
)
def test_weights_in_four_bits_that_cannot_be_are_refused(tmp_path, monkeypatch, settings, says):
    pytest.importorskip("bitsandbytes")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=says):
        sd_train.main(config(tmp_path / "run", memory=SDTrainMemory(quantize="nf4"), **settings))

"""Training on augmented pictures: resumed to the bit, held-out rows as they are, refusals, what is said."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from fsynth import clip_tuning, sd_rows, settings
from fsynth.commands import clip_finetune, sd_train
from fsynth.config import AugmentSettings, ClipFinetuneConfig, SDTrainConfig, SDTrainValidation
from fsynth.data.augmentation import Augmentation
from fsynth.errors import ConfigError
from fsynth.order import Pick
from fsynth.sd_captions import Captions
from scripts import tiny_models
from tests import small_clip
from tests.data import make_flaws, make_sources

ROWS = 10
CHANGES = AugmentSettings(flip=0.5, rotation=10.0, scale=0.7, color=0.2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten training rows, of which two name letters, and three to test on."""
    root = tmp_path_factory.mktemp("data")
    for split, rows in (("train", range(ROWS)), ("test", range(ROWS, ROWS + 3))):
        (root / split).mkdir()
        lines = []
        for row in rows:
            (root / split / f"{row}.jpg").write_bytes(make_flaws.jpeg(make_flaws.texture(row)))
            what = "printed with letters" if row in (2, 5) else "in red"
            lines.append({"file_name": f"{row}.jpg", "text": f"the lady wore a dress {what}."})
        make_sources.jsonl(root / split, lines)
    return root


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    sizes = tiny_models.Sizes(latent=4, vae=(8, 8, 8, 16), unet=(16, 32), text=16, text_layers=1, tokens=16)
    tiny_models.save_pipeline(tiny_models.make_pipeline(["a dress in red"], sizes), folder / "sd")
    small_clip.make(folder / "clip")
    return folder


def _sd(folder, models, output, **more):
    quick = SDTrainValidation(rows=2, noise_levels=1, pictures=0)
    more = {"augment": CHANGES, "validation": quick, **more}
    model = str(models / "sd")
    return SDTrainConfig(data=folder, model=model, output=output, lr=1e-3, epochs=2, batch_size=4, **more)


def _clip(folder, models, output, **more):
    model = str(models / "clip")
    more = {"augment": CHANGES, **more}
    return ClipFinetuneConfig(
        data=folder, model=model, output=output, lr=1e-3, epochs=2, batch_size=4, **more
    )


def _weights(run):
    file = (
        "unet/diffusion_pytorch_model.safetensors"
        if (run / "model/unet").is_dir()
        else "open_clip_model.safetensors"
    )
    return load_file(run / "model" / file)


class _Stop(Exception):
    pass


def _stop_at(monkeypatch, step):
    """End a run in the step after the given one."""
    count, at = [], clip_tuning.keep_scale
    see = sd_train.LossWatch.see

    def watch(self, losses, index, now, steps):
        if now == step + 1:
            raise _Stop
        see(self, losses, index, now, steps)

    def scale(*given):
        count.append(1)
        if len(count) == step + 1:
            raise _Stop
        at(*given)

    monkeypatch.setattr(sd_train.LossWatch, "see", watch)
    monkeypatch.setattr(clip_tuning, "keep_scale", scale)


@pytest.mark.parametrize(("command", "config"), [(sd_train, _sd), (clip_finetune, _clip)], ids=["sd", "clip"])
def test_a_run_resumed_in_mid_epoch_by_workers_ends_with_the_same_weights(
    folder, models, tmp_path, monkeypatch, command, config, capsys
):
    whole = command.main(config(folder, models, tmp_path / "whole"))
    said = capsys.readouterr().err
    assert "mirrored with chance 0.5 (2 of 10 rows never: their sentences speak of letters" in said
    assert "note: sentences name colours" in said
    assert ("encoded at every step, not once" in said) == (command is sd_train)
    broken = config(folder, models, tmp_path / "broken", checkpoint_every=1)
    with monkeypatch.context() as patch, pytest.raises(_Stop):
        _stop_at(patch, 4)  # 3 steps an epoch
        command.main(broken)
    resumed = command.main(dataclasses.replace(broken, output=None, resume=tmp_path / "broken", workers=2))
    first, second = _weights(whole.folder), _weights(resumed.folder)
    assert all(torch.equal(first[name], second[name]) for name in first)
    plain = command.main(config(folder, models, tmp_path / "plain", augment=AugmentSettings()))
    assert any(not torch.equal(first[name], value) for name, value in _weights(plain.folder).items())
    if command is sd_train:  # the rows behind the validation loss are not augmented
        losses = [_validation(run.folder)[0] for run in (whole, plain)]
        assert losses[0] == losses[1]


def _validation(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row["validation_losses"] for row in rows if "validation_losses" in row]


def test_rows_are_shown_augmented_in_each_epoch_anew(folder, random_pipeline):
    from fsynth.data import sources

    train = sources.open_source(folder).train
    pictures = sd_rows.Pictures(train, [3, 5], 32)
    draws = sd_rows.Draws(0, 1000, 4, 4, 0.0)
    change = Augmentation(0, scale=0.6)
    rows = sd_rows.TrainingRows(
        pictures, Captions(random_pipeline, pictures.texts), draws, augmentation=change
    )
    shown = [rows[Pick(0, epoch, 1.0)]["pixels"] for epoch in range(3)]
    key = (pictures.rows[0], pictures.texts[0])
    changed = [change(pictures.image(0), epoch, *key) for epoch in range(3)]
    expected = [sd_rows.to_pixels(picture, (32, 32)) for picture in changed]
    assert all(torch.equal(*pair) for pair in zip(shown, expected, strict=True))
    assert not any(torch.equal(one, pictures[0]) for one in shown) and not torch.equal(shown[0], shown[1])


@pytest.mark.parametrize(("command", "config"), [(sd_train, _sd), (clip_finetune, _clip)], ids=["sd", "clip"])
def test_mirroring_only_letters_is_refused_before_a_word_is_said(
    folder, models, tmp_path, command, config, capsys
):
    other = shutil.copytree(folder, tmp_path / "letters")
    for table in other.rglob("metadata.jsonl"):
        table.write_text(table.read_text().replace("in red", "with letters"))
    with pytest.raises(
        ConfigError, match=r"augment.flip 0.5: all 10 sentences speak of letters, numbers or sides"
    ):
        command.main(config(other, models, tmp_path / "run"))
    assert capsys.readouterr().err == "" and not (tmp_path / "run").exists()


def test_settings_of_augmentation_are_set_like_any_group():
    config = settings.load(SDTrainConfig, {"augment": {"scale": 0.8}}, ["augment.flip=0.5"])
    assert config.augment == AugmentSettings(flip=0.5, scale=0.8)
    assert settings.load(SDTrainConfig, settings.dump(config)) == config
    with pytest.raises(ConfigError) as error:
        settings.load(SDTrainConfig, None, ["augment.flip=2", "augment.colour=0.1", "augment.scale=0"])
    assert str(error.value) == (
        "--set: augment.flip: must be at most 1, got 2.0; --set: unknown key 'augment.colour'; did you "
        "mean 'color'?; --set: augment.scale: must be at least 0.1, got 0.0"
    )

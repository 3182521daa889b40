"""sd-train with validation rows: harm gives back the start, patience ends a run, a resumed one too."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from fsynth import report, sd_folder, sd_model
from fsynth.commands import sd_train
from fsynth.config import SDTrainConfig, SDTrainValidation
from fsynth.data.sources import Source
from fsynth.errors import ConfigError
from tests import small_sd

PATIENT = SDTrainValidation(rows=8, noise_levels=2, pictures=0, patience=2)
HARMFUL = SDTrainConfig(model="tiny", lr=1e-3, epochs=5, batch_size=4, n_images=4, validation=PATIENT)


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory):
    folder = small_sd.make(tmp_path_factory.mktemp("models") / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sd_folder, "TINY_FOLDER", folder)
        yield folder


@pytest.fixture(autouse=True)
def source(tmp_path, monkeypatch):
    sides = {name: small_sd.rows(8, start, (32, 32)) for name, start in (("train", 100), ("test", 200))}
    held = Source(**sides, root=tmp_path, synthetic=True, drawn=True, has_pictures=True, describe="squares")
    held = dataclasses.replace(held, validation=small_sd.rows(8, 300, (32, 32)))
    monkeypatch.setattr(sd_train, "open_source", lambda **_: held)
    monkeypatch.chdir(tmp_path)
    return held


@pytest.fixture(autouse=True)
def harm(monkeypatch):
    """A random UNet cannot become worse: the further from where it began, the worse it is called."""
    find, start = sd_train.HeldOut.losses, _answer("tiny")

    def losses(self, accelerator):
        away = (sd_model.probe_output(self.objective.family.denoiser) - start).abs().mean().item()
        return [loss + 10 * away * (1 + place / 9) for place, loss in enumerate(find(self, accelerator))]

    monkeypatch.setattr(sd_train.HeldOut, "losses", losses)


def _answer(model):
    return sd_model.probe_output(sd_model.load_pipeline(model, dtype=torch.float32, device="cpu").unet)


@pytest.mark.parametrize("rank", [None, 2])
def test_a_fine_tune_that_does_harm_gives_back_the_start(tmp_path, capsys, rank):
    result = sd_train.main(dataclasses.replace(HARMFUL, lora_rank=rank, output=tmp_path / "run"))
    assert (result.epoch, result.steps) == (0, 2)  # patience has an end
    assert result.validation.before == result.validation.after
    assert torch.equal(_answer(tmp_path / "run"), _answer("tiny"))
    said = capsys.readouterr().err
    assert "kept: the weights before the first step, of the lowest validation loss" in said
    assert "note: fine-tuning did harm, so the model is as it began; try a lower --lr" in said
    assert json.loads((tmp_path / "run" / "result.json").read_text())["epoch"] == 0
    page = report.build(tmp_path / "run").read_text(encoding="utf-8")
    assert "The weights before the first step are kept." in page
    assert not list((tmp_path / "run").rglob("*.pt"))


class _Stop(Exception):
    pass


@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_run_that_is_resumed_ends_as_early_and_keeps_the_same(tmp_path, monkeypatch, stop_after):
    config = dataclasses.replace(HARMFUL, output=tmp_path / "cut", checkpoint_every=1)

    def stop(self, *given):
        if stop_after == 2 or given[2] == 2:  # the step
            raise _Stop

    with monkeypatch.context() as patch, pytest.raises(_Stop):
        kind, name = [(sd_train.LossWatch, "see"), (sd_train.Validation, "remove")][stop_after - 1]
        patch.setattr(kind, name, stop)
        sd_train.main(config)
    resumed = sd_train.main(dataclasses.replace(config, output=None, resume=tmp_path / "cut"))
    assert (resumed.epoch, resumed.steps) == (0, 2)
    assert [epoch for (epoch,) in small_sd.log(tmp_path / "cut", "epoch")] == [0, 1, 2]


def test_patience_without_rows_to_choose_by_is_refused(source, monkeypatch, capsys):
    monkeypatch.setattr(sd_train, "open_source", lambda **_: dataclasses.replace(source, validation=None))
    with pytest.raises(ConfigError, match=r"validation\.patience: 2: no rows are set aside to choose by"):
        sd_train.main(HARMFUL)
    assert capsys.readouterr().err == ""

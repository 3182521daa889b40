"""Runs of clip-finetune that blend the weights before and after (WiSE-FT)."""

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from fsynth import clip_model, report, wise_ft
from fsynth.commands import clip_finetune
from fsynth.config import ClipFinetuneConfig
from fsynth.data import synthetic
from fsynth.errors import ConfigError
from tests import small_clip
from tests.report.test_page import Page


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return synthetic.make_archive(tmp_path_factory.mktemp("data") / "drawn", rows=40, workers=0)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return small_clip.make(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture
def config(archive, small, tmp_path):
    def settings(name="run", **more):
        usual = {
            "data": archive,
            "password_file": archive / "password.txt",
            "model": str(small),
            "output": tmp_path / name,
            "epochs": 1,
            "batch_size": 8,
            "lr": 1e-3,
            "precision": "no",
            "val_fraction": 0.3,
        }
        return ClipFinetuneConfig(**{**usual, **more})

    return settings


def weights(folder):
    return load_file(folder / clip_model.WEIGHTS_FILE)


def take(monkeypatch, share):
    monkeypatch.setattr(wise_ft, "choose", lambda found: next(one for one in found if one.share == share))


def test_blends_are_tried_on_validation_rows_and_the_best_is_written(config, tmp_path, capsys):
    for number, name in enumerate(("tee", "coat", "dress")):
        (tmp_path / "classes" / name).mkdir(parents=True)
        Image.new("RGB", (28, 28), (80 * number, 0, 0)).save(tmp_path / "classes" / name / "0.png")
    done = clip_finetune.main(config(zero_shot=str(tmp_path / "classes"), wise_ft="0,0.5,1"))
    record = json.loads((done.folder / "wise_ft.json").read_text())
    assert [one["share"] for one in record["blends"]] == [0, 0.5, 1]
    assert record["retention"] == "classes/" and record["rows"] == 30 - done.pairs
    best = max(record["blends"], key=lambda one: (one["recall"], -one["share"]))
    assert record["chosen"] == best["share"] == done.blend
    assert (done.folder / "wise-ft.png").stat().st_size > 5000
    assert not (done.folder / ".fine-tuned.pt").exists()
    scores = json.loads((done.folder / "scores.json").read_text())
    assert list(scores["models"]) == list(scores["zero_shot"]["models"]) == ["before", "fine-tuned", "after"]
    about = json.loads((done.folder / "model" / "fsynth.json").read_text())
    assert about["trainings"][-1]["wise_ft"] == done.blend
    said = capsys.readouterr().err
    assert f"blends of the weights before (a = 0) and after (1), on {record['rows']} validation pairs" in said
    assert f"note: {record['rows']} validation pairs are few to choose a blend by" in said
    assert f"after: the blend {done.blend:g} of before (0) and fine-tuned (1)" in said
    words = Page(report.build(done.folder)).words
    assert "Blends with the model before" in words and f"{done.blend:g}, taken" in words


def test_a_blend_of_nothing_learnt_is_the_model_before_also_with_adapters(config, small, monkeypatch):
    take(monkeypatch, 0.0)
    done = clip_finetune.main(config(lora_rank=2, wise_ft="0,0.4,1"))
    scores = json.loads((done.folder / "scores.json").read_text())["models"]
    assert scores["after"]["scores"] == scores["before"]["scores"]
    expected = weights(small)
    for name, value in weights(done.folder / "model").items():
        assert torch.equal(value, expected[name]), name


def test_a_blend_of_all_that_was_learnt_is_the_model_that_a_run_without_blends_writes(config, monkeypatch):
    take(monkeypatch, 1.0)
    done = clip_finetune.main(config(wise_ft="0,1"))
    scores = json.loads((done.folder / "scores.json").read_text())["models"]
    assert scores["after"]["scores"] == scores["fine-tuned"]["scores"]
    plain = clip_finetune.main(config("plain"))
    expected = weights(plain.folder / "model")
    assert plain.blend is None and not (plain.folder / "wise_ft.json").exists()
    for name, value in weights(done.folder / "model").items():
        assert torch.equal(value, expected[name]), name


def test_what_cannot_be_blended_is_refused_first(config, tmp_path, capsys):
    with pytest.raises(ConfigError, match=r"^--wise-ft 0,2: 2 is not between"):
        clip_finetune.main(config(wise_ft="0,2"))
    with pytest.raises(ConfigError, match="never on test rows"):
        clip_finetune.main(config(wise_ft="0,1", val_fraction=0.0))
    assert capsys.readouterr().err == "" and not (tmp_path / "run").exists()

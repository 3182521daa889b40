"""Training on rows divided by the user: which train, which are watched, and what a recipe holds of it."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from fsynth import clip_rows, sd_rows
from fsynth.commands import clip_finetune, sd_train
from fsynth.config import ClipFinetuneConfig, SDTrainConfig, SDTrainValidation
from fsynth.errors import ConfigError, DataError
from tests.data import make_sources

GARMENTS, VIEWS = 5, 4
NAMES = [f"g{row // VIEWS}/{row}.jpg" for row in range(GARMENTS * VIEWS)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """20 pictures of 5 garments, dresses but for a fifth of the rows."""
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "data"
    make_sources.pictures(data, NAMES)
    texts = [f"the lady wore a red {'tee' if row % 5 == 0 else 'dress'}." for row in range(len(NAMES))]
    rows = [{"file_name": name, "text": text} for name, text in zip(NAMES, texts, strict=True)]
    return make_sources.jsonl(data, rows)


def _garments(names):
    return {name.split("/")[0] for name in names}


def test_sd_train_watches_whole_garments_that_it_does_not_train_on(folder, monkeypatch, capsys, tmp_path):
    opened = []
    pictures = sd_rows.Pictures

    def spy(*arguments):
        opened.append(pictures(*arguments))
        return opened[-1]

    monkeypatch.setattr(sd_train, "Pictures", spy)
    config = SDTrainConfig(
        data=folder,
        model="tiny",
        epochs=1,
        batch_size=4,
        split_by="garment",
        val_fraction=0.25,
        n_images=5,
        stratify="category",
        validation=SDTrainValidation(rows=4, noise_levels=1, pictures=0),
        checkpoint_every=1,
        output=tmp_path / "run",
    )
    result = sd_train.main(config)
    trained, watched = opened[-2:]
    assert len(trained.names) == 5 and not _garments(trained.names) & _garments(watched.names)
    assert sum("tee" in text for text in trained.texts) == 1
    said = capsys.readouterr().err
    assert "validation loss: on 4 of the 4 validation rows" in said
    assert "rows: 12 train, 4 validate, 4 test (the data bring no test rows; " in said
    assert "by a hash of its folder's name" in said
    recipe = yaml.safe_load((result.folder / "run.yaml").read_text())
    assert recipe["fingerprint"] in said and recipe["val_fraction"] == 0.25
    _resume_on_other_rows(config, recipe, folder, result.folder)


def _resume_on_other_rows(config, recipe, folder, run):
    """Other rows than those of run.yaml are refused before anything is loaded."""
    (run / "result.json").unlink()
    (folder / NAMES[-1]).unlink()
    table = folder / "metadata.jsonl"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    again = dataclasses.replace(config, output=None, resume=run, fingerprint=recipe["fingerprint"])
    with pytest.raises(ConfigError, match=f"the recipe was run on {recipe['fingerprint']}: bring those data"):
        sd_train.main(again)


def test_clip_finetune_keeps_the_validation_rows_out(folder, monkeypatch, tmp_path):
    seen = []
    pairs = clip_rows.Pairs

    def spy(dataset, rows, *more):
        seen.append(dataset.select_columns("name")[rows]["name"])
        return pairs(dataset, rows, *more)

    monkeypatch.setattr(clip_rows, "Pairs", spy)
    config = ClipFinetuneConfig(
        data=folder,
        model="tiny",
        epochs=1,
        batch_size=4,
        val_fraction=0.5,
        output=tmp_path / "run",
    )
    result = clip_finetune.main(config)
    assert (result.pairs, result.n_samples, len(seen[0])) == (9, 3, 9)
    assert yaml.safe_load((result.folder / "run.yaml").read_text())["fingerprint"]


def test_draws_that_cannot_be_are_refused(folder):
    with pytest.raises(ConfigError) as error:
        sd_train.main(SDTrainConfig(data=folder, model="tiny", stratify="color"))
    assert str(error.value) == "--stratify color shapes the draw of --n-images; give that, too"
    (folder / "metadata.jsonl").rename(folder / "test.jsonl")
    (folder / "test").mkdir()
    make_sources.pictures(folder / "test", NAMES[:2])
    make_sources.jsonl(folder / "test", [{"file_name": name, "text": "a dress"} for name in NAMES[:2]])
    with pytest.raises(DataError, match="holds no training rows; only test rows were found"):
        clip_finetune.main(ClipFinetuneConfig(data=folder, model="tiny"))

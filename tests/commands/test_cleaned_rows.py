"""Commands on data with planted flaws: what leaves training, where it is listed, what a resumed run needs."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
import yaml

from fsynth import cli
from fsynth.commands import clip_eval, clip_finetune, sd_train
from fsynth.config import (
    ClipEvalConfig,
    ClipFinetuneConfig,
    DataCheckConfig,
    DataReportConfig,
    RowSettings,
    SDTrainConfig,
    SDTrainValidation,
)
from fsynth.report import thumbnails
from scripts import tiny_models
from tests import small_clip
from tests.data import make_flaws

FLAGS = {"drop_duplicates": True, "drop_unreadable": True, "min_side": 30}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return make_flaws.archive(tmp_path_factory.mktemp("flawed"))


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch, no_password):
    monkeypatch.setenv("FSYNTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Random ones of a few thousand weights."""
    folder = tmp_path_factory.mktemp("models")
    sizes = tiny_models.Sizes(latent=4, vae=(8, 8, 8, 16), unet=(16, 32), text=16, text_layers=1, tokens=16)
    tiny_models.save_pipeline(tiny_models.make_pipeline(["the lady wore a red dress"], sizes), folder / "sd")
    small_clip.make(folder / "clip")
    return folder


def _config(kind, archive, model, output, **more):
    where = {"data": archive, "password_file": archive / "password.txt", "output": output}
    return kind(model=str(model), epochs=1, batch_size=8, **where, **more)


def _dropped(folder):
    return {json.loads(line)["row"] for line in (folder / "dropped.jsonl").read_text().splitlines()}


def test_sd_train_on_cleaned_rows_resumes_with_the_same_flags_only(archive, models, tmp_path, capsys):
    quick = SDTrainValidation(rows=3, noise_levels=1, pictures=0)
    more = {"validation": quick, "checkpoint_every": 1, **FLAGS}
    result = sd_train.main(_config(SDTrainConfig, archive, models / "sd", tmp_path / "run", **more))
    assert result.images == 12 and _dropped(result.folder) == make_flaws.DROPPED
    assert "dropped rows: listed in dropped.jsonl of the output folder" in capsys.readouterr().err
    recipe = yaml.safe_load((result.folder / "run.yaml").read_text())
    assert {name: recipe[name] for name in FLAGS} == FLAGS
    section = thumbnails.training_pictures(result.folder, thumbnails.Options(thumbnails=4))
    assert "4 of the 12" in section.lead
    (result.folder / "result.json").unlink()
    assert cli.run(["sd-train", "--resume", "run", "--no-drop-duplicates"]) == 1
    said = capsys.readouterr().err
    assert (
        f"the recipe was run on {recipe['fingerprint']}: bring those data back, divided and cleaned with"
        in said
    )
    assert cli.run(["sd-train", "--resume", "run"]) == 0
    assert _dropped(result.folder) == make_flaws.DROPPED


def test_clip_finetune_and_clip_eval_list_what_they_left_out(archive, models, tmp_path):
    result = clip_finetune.main(
        _config(ClipFinetuneConfig, archive, models / "clip", tmp_path / "run", **FLAGS)
    )
    assert (result.pairs, result.n_samples) == (12, 5)
    assert _dropped(result.folder) == make_flaws.DROPPED
    where = {"data": archive, "password_file": archive / "password.txt"}
    model = (str(models / "clip"),)
    done = clip_eval.main(ClipEvalConfig(model=model, output=tmp_path / "eval", **where, **FLAGS))
    assert done.n_samples == 5 and _dropped(done.folder) == make_flaws.DROPPED
    assert "7 dropped" in json.loads((done.folder / "scores.json").read_text())["data"]


@pytest.mark.parametrize("kind", ["folder", "parquet", "shards"])
def test_other_sources_lose_the_same_rows(kind, models, tmp_path):
    data = make_flaws.source(tmp_path / "data", kind)
    result = clip_finetune.main(
        ClipFinetuneConfig(
            data=data, model=str(models / "clip"), epochs=1, batch_size=8, output=tmp_path / "run", **FLAGS
        )
    )
    assert (result.pairs, result.n_samples) == (12, 5)
    assert {make_flaws.ORDER[kind][row] for row in _dropped(result.folder)} == make_flaws.DROPPED


@pytest.mark.parametrize("kind", [DataCheckConfig, DataReportConfig])
def test_checks_and_reports_look_at_all_rows(kind):
    assert not set(FLAGS) & {field.name for field in dataclasses.fields(kind)}


def test_a_report_opens_the_rows_that_its_run_had():
    """Every setting that decides what the rows are is taken from run.yaml."""
    names = {field.name for field in dataclasses.fields(RowSettings)}
    others = {"data", "password_file"}
    assert names - others == set(thumbnails.OPTIONS)


@pytest.mark.parametrize("command, workers", [("sd-train", 0), ("clip-finetune", 1), ("clip-eval", 0)])
def test_broken_plain_files_are_one_line_that_names_a_row(models, tmp_path, capsys, command, workers):
    root = make_flaws.folder(tmp_path / "data")
    for file in root.glob("*.jpg"):
        file.write_bytes(file.read_bytes()[:-100])
    model = models / ("sd" if command == "sd-train" else "clip")
    arguments = [command, "--data", str(root), "--model", str(model), "--workers", str(workers)]
    assert cli.run([*arguments, "--output", "out"]) == 1
    said = capsys.readouterr().err
    assert re.search(rf"\nfsynth: row \d+ \('\d+.jpg'\) in {root}/\d+.jpg is not a picture \(.*\n$", said)
    assert "Traceback" not in said and said.rstrip().endswith("the row out with --drop-unreadable")

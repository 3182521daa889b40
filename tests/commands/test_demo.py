"""`fsynth demo`: every step for real, on few drawn pictures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fsynth import cli
from fsynth.commands import clip_finetune, demo, sd_train
from fsynth.config import DemoConfig, DemoSizes
from fsynth.data import synthetic
from fsynth.errors import ModelError, OutputError

FEW = DemoSizes(pairs=16, pair_epochs=1, images=4, image_epochs=1, prompts=3, steps=2)


@pytest.fixture(scope="module")
def small_archive(tmp_path_factory) -> Path:
    return synthetic.make_archive(
        tmp_path_factory.mktemp("drawn") / "archive", rows=60, held_out=24, workers=0
    )


@pytest.fixture(autouse=True)
def drawn_data_are_few(small_archive, tmp_path, monkeypatch):
    """The default archive is small, and the user has real data elsewhere, which the demo leaves alone."""
    monkeypatch.setattr(synthetic, "cached_archive", lambda *_, **__: small_archive)
    monkeypatch.setenv("FSYNTH_DATA", str(tmp_path / "real"))
    monkeypatch.setenv("FSYNTH_ZIP_PASSWORD", "the real one")


def test_everything_ends_in_one_page(tmp_path, capsys):
    result = demo.main(DemoConfig(output=tmp_path / "tour", sizes=FEW))
    assert result.folder == tmp_path / "tour"
    assert sorted(path.name for path in result.folder.iterdir()) == sorted(
        ["labels", "clip", "sd", "samples", "prompts.txt", "report.html"]
    )
    words = result.report.read_text(encoding="utf-8")
    for head in ("Labels from sentences", "Retrieval, before", "validation loss", "Pictures from prompts"):
        assert head in words
    assert "not a score" in words
    assert result.scores["is"]["pictures"] == 3
    assert set(result.before) == set(result.after) == {"pair", "sentence", "group"}
    talk = capsys.readouterr().err
    assert [f"[{number}/6]" in talk for number in range(1, 7)] == [True] * 6
    for command in ("fsynth clip-finetune", "fsynth sd-train --lr", "fsynth sample --prompts"):
        assert f"{command}" in talk.split("report.html")[-1]
    assert os.environ["FSYNTH_DATA"] == str(tmp_path / "real")
    assert os.environ["FSYNTH_ZIP_PASSWORD"] == "the real one"


def test_prompts_are_held_out_sentences_of_different_garments(tmp_path, small_archive):
    from fsynth.commands import data_labels
    from fsynth.config import DataLabelsConfig

    table = data_labels.main(DataLabelsConfig(data=small_archive, output=tmp_path / "labels")).table
    file = demo._write_prompts(table, tmp_path / "prompts.txt", DemoConfig(sizes=FEW))
    from pyarrow import parquet

    rows = parquet.read_table(table).to_pylist()
    held_out = {row["text"]: row["category"] for row in rows if row["split"] == "test"}
    prompts = file.read_text(encoding="utf-8").splitlines()
    assert len({held_out[prompt] for prompt in prompts}) == len(prompts) == 3


def test_a_step_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(config):
        error = ModelError("no such model")
        error.add_note("tour/clip is unfinished")
        raise error

    monkeypatch.setattr(clip_finetune, "main", fail)
    with pytest.raises(ModelError) as caught:
        demo.main(DemoConfig(output=tmp_path / "tour", sizes=FEW))
    assert caught.value.__notes__ == [f"nothing is left of {tmp_path / 'tour'}"]
    assert not (tmp_path / "tour").exists()
    assert os.environ["FSYNTH_DATA"] == str(tmp_path / "real")


def test_a_folder_in_use_is_refused_before_anything_is_done(tmp_path, capsys):
    (tmp_path / "tour").mkdir()
    (tmp_path / "tour" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        demo.main(DemoConfig(output=tmp_path / "tour", sizes=FEW))
    assert (tmp_path / "tour" / "mine.txt").read_text() == "mine"


def test_its_sizes_are_a_recipe(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(demo, "main", seen.append)
    assert cli.run(["demo", "--seed", "3", "--set", "sizes.prompts=7", "--output", str(tmp_path)]) == 0
    assert seen[0].sizes.prompts == 7 and seen[0].sizes.steps == DemoSizes().steps
    assert seen[0].seed == 3


def test_a_model_that_is_finished_outlives_a_later_step(tmp_path, monkeypatch):
    def stop(config):
        raise KeyboardInterrupt

    monkeypatch.setattr(sd_train, "main", stop)
    monkeypatch.setattr(clip_finetune, "main", lambda config: _finished(config.output))
    with pytest.raises(KeyboardInterrupt) as caught:
        demo.main(DemoConfig(output=tmp_path / "tour", sizes=FEW))
    clip = tmp_path / "tour" / "clip"
    assert (clip / "result.json").is_file()
    assert caught.value.__notes__ == [f"{clip} is finished: fsynth report {clip} shows it"]


def _finished(folder):
    folder.mkdir()
    (folder / "result.json").write_text("{}")

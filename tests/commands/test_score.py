"""`fsynth score` on folders of pictures."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from fsynth import cli, features, probe_model, samples


@pytest.fixture
def judges(tmp_path_factory, monkeypatch):
    torch.manual_seed(0)
    folder = probe_model.save_probe(probe_model.Probe(), tmp_path_factory.mktemp("probe"), {"version": "3"})
    judge = features.probe(folder)
    monkeypatch.setattr(features, "probe", lambda device: judge)
    monkeypatch.setattr(features, "inception", lambda weights, device: pytest.fail("Inception was asked for"))


@pytest.fixture
def folder(tmp_path):
    shared = {"model": "tiny", "drawn": True, "base": "tiny", "steps": 2, "guidance_scale": 7.5}
    rows = samples.plan(["a", "b", "c"], per_prompt=4)
    rng = np.random.default_rng(0)
    for row in rows:
        samples.write_picture(tmp_path, row, rng.integers(0, 255, (40, 40, 3), dtype=np.uint8), shared)
    samples.write_records(tmp_path, rows, shared)
    return tmp_path


def test_a_samples_folder_is_scored_by_the_judge_its_record_asks_for(judges, folder, capsys):
    assert cli.run(["score", str(folder), "--metrics", "is", "--splits", "3", "--seed", "1"]) == 0
    out, talk = capsys.readouterr()
    assert out.strip() == str(folder)
    assert "12 pictures" in talk and "made by tiny" in talk
    assert (
        "judge: fsynth-probe, our small network for drawn garments: the model goes back to the shipped"
        in talk
    )
    assert (
        "not a score" in talk and "3 splits, seed 1" in talk and "fsynth-probe (version 3, 19 garment" in talk
    )
    record = json.loads((folder / "scores.json").read_text())
    assert record["is"]["splits"] == 3 and record["pictures"] == 12


def test_pictures_from_elsewhere_are_taken_as_photographs_unless_told(judges, tmp_path, capsys):
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    with pytest.raises(pytest.fail.Exception, match="Inception was asked for"):
        cli.run(["score", str(tmp_path)])
    assert cli.run(["score", str(tmp_path), "--extractor", "probe"]) == 0
    assert "not made by `fsynth sample`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("sampling.json", "{", "sampling.json cannot be read (it is not JSON"),
        ("sampling.json", "{}", "sampling.json needs drawn, guidance_scale, model, steps; sample again"),
        ("samples.jsonl", '{"a": 1}', "samples.jsonl: each line needs file_name, seed, text; sample again"),
    ],
)
def test_a_broken_record_is_named_in_one_line(judges, folder, capsys, file, content, says):
    (folder / file).write_text(content)
    for command in ("score", "report"):
        assert cli.run([command, str(folder)]) == 1
        talk = capsys.readouterr().err
        assert says in talk and talk.count("\n") == 1 and str(folder / file) in talk


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{folder}", "--metrics", "fid"], "--metrics fid: no such score; there are: is (Inception Score)"),
        (["{folder}/nowhere"], "nowhere is not a folder"),
    ],
)
def test_bad_input_is_one_line(judges, folder, capsys, arguments, says):
    assert cli.run(["score", *[text.format(folder=folder) for text in arguments]]) == 1
    assert says in capsys.readouterr().err.splitlines()[-1]
    assert not (folder / "scores.json").exists()

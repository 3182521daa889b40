"""Scores of a folder: which network judges, what the record says."""

import json
import types

import numpy as np
import pytest
import torch
from PIL import Image

from fsynth import features, scores, scoring
from fsynth.errors import ConfigError, DataError


@pytest.fixture
def colour_judge():
    """Three classes, told apart by the strongest channel."""

    def compute(pictures):
        means = pictures.float().mean((2, 3))
        return means, means

    return features.Extractor("colour", "1", "0" * 64, "none", "3 colours", 3, compute)


@pytest.fixture
def folder(tmp_path):
    for number in range(30):
        picture = np.zeros((8, 8, 3), np.uint8)
        picture[..., number % 3] = 200
        Image.fromarray(picture).save(tmp_path / f"{number:02d}.png")
    return tmp_path


def test_the_record_holds_number_basis_and_judge(folder, colour_judge):
    record = scoring.score_folder(folder, ["is"], colour_judge, splits=1, batch_size=7)
    assert record["is"]["mean"] == pytest.approx(3, abs=1e-9)
    assert record == json.loads((folder / "scores.json").read_text())
    assert record["pictures"] == 30 and record["is"]["splits"] == 1 and record["is"]["is_score"] is False
    assert record["extractor"]["name"] == "colour" and "torch" in record["versions"]
    number, why = scoring.lines(record)
    assert number.startswith("Inception Score (3.000) not a score [N 30, 1 split")
    assert "colour (version 1, 3" in number
    assert "30 pictures are too few" in why
    assert scoring.lines({}) == []


def test_the_score_is_that_of_the_logits_in_the_folders_order(folder, colour_judge):
    record = scoring.score_folder(folder, ["is"], colour_judge, splits=4, seed=9)
    logits = np.eye(3)[np.arange(30) % 3] * 200
    assert record["is"]["mean"] == scores.inception_score(logits, 4, 9).mean


def test_scoring_again_replaces_the_record_and_a_broken_picture_keeps_it(folder, colour_judge):
    first = scoring.score_folder(folder, ["is"], colour_judge, splits=1)
    (folder / "05.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"05\.png"):
        scoring.score_folder(folder, ["is"], colour_judge, splits=1)
    assert json.loads((folder / "scores.json").read_text()) == first
    (folder / "05.png").unlink()
    scoring.score_folder(folder, ["is"], colour_judge, splits=1)
    assert json.loads((folder / "scores.json").read_text())["pictures"] == 29


def test_an_unknown_score_names_those_that_exist():
    with pytest.raises(ConfigError, match=r"--score fid: no such score; there are: is \(Inception Score\)"):
        scoring.check_metrics(["is", "fid"], "--score")


@pytest.mark.parametrize(
    ("kind", "drawn", "base", "weights", "judge", "why"),
    [
        ("auto", True, "tiny", None, "probe", "the model goes back to the shipped tiny one"),
        ("auto", True, "some/model", None, "probe", "the model learnt from drawn data"),
        ("auto", False, "some/model", None, "inception", "the pictures count as photographs"),
        ("auto", True, "tiny", "file.pth", "inception", "--inception-weights"),
        ("probe", False, None, None, "probe", "--extractor probe"),
        ("inception", True, None, None, "inception", "--extractor inception"),
    ],
)
def test_drawings_are_judged_by_the_probe_and_photographs_by_inception_and_why_is_said(
    monkeypatch, capsys, kind, drawn, base, weights, judge, why
):
    def named(name):
        return types.SimpleNamespace(name=name)

    monkeypatch.setattr(features, "probe", lambda device: named("probe"))
    monkeypatch.setattr(features, "inception", lambda weights, device: named("inception"))
    assert scoring.choose_extractor(kind, drawn, base, weights, "cpu").name == judge
    said = capsys.readouterr().err
    assert said.startswith(f"judge: {judge}, ") and f": {why}" in said


def test_pictures_reach_the_judge_as_bytes(folder):
    def compute(pictures):
        assert pictures.dtype == torch.uint8 and pictures.shape[1:] == (3, 8, 8)
        return pictures[:, :, 0, 0].float(), pictures[:, :, 0, 0].float()

    judge = features.Extractor("bytes", "1", "0" * 64, "none", "3 colours", 3, compute)
    assert scoring.score_folder(folder, ["is"], judge, splits=1)["is"]["mean"] == pytest.approx(3)

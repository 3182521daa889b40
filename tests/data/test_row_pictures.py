"""A picture that cannot be had is an error that names its row, wherever training and scores read pictures."""

from __future__ import annotations

import types

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from fsynth import caption_groups, clip_model, clip_rows, sd_rows
from fsynth.data import row_pictures, sources
from fsynth.errors import DataError
from fsynth.order import Pick
from tests.data import make_fixture, make_sources

ADVICE = "; get it again, or leave the row out with --drop-unreadable"


@pytest.fixture
def folder(tmp_path):
    make_sources.pictures(tmp_path, make_sources.NAMES)
    return make_sources.jsonl(tmp_path, make_sources.records())


def _pixels(picture):
    return torch.from_numpy(np.array(picture))


CLIP = types.SimpleNamespace(
    network=None, transform=lambda train=False: _pixels, tokenizer=lambda texts: torch.zeros(len(texts), 1)
)
READERS = {
    "sd-train": lambda rows: sd_rows.Pictures(rows, range(len(rows)), 8),
    "clip-finetune": lambda rows: clip_rows.Pairs(
        rows, range(len(rows)), CLIP, 0, caption_groups.find(rows["text"])
    ),
    "clip-eval": lambda rows: clip_model.Pictures(rows, range(len(rows)), _pixels),
}


def _read(command, dataset, index):
    return READERS[command](dataset)[Pick(index, 0, 1.0) if command == "clip-finetune" else index]


def _cut(file):
    file.write_bytes(file.read_bytes()[:-40])


def _text(file):
    file.write_bytes(b"no picture")


def _gone(file):
    file.unlink()


PLACE = "row {row} ('{name}') in {file} "
FAULTS = {
    _cut: PLACE + "is not a picture (",
    _text: PLACE + "is not a picture (no known picture format)" + ADVICE,
    _gone: "the picture of " + PLACE + "cannot be read (No such file or directory)" + ADVICE,
}


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("break_it", FAULTS)
def test_a_broken_file_names_its_row(folder, command, break_it):
    dataset = sources.open_source(folder).train
    assert torch.is_tensor(_read(command, dataset, 1)) or "image" in _read(command, dataset, 1)
    row, name = dataset["row"][1], dataset["name"][1]
    break_it(folder / name)
    with pytest.raises(DataError) as error:
        _read(command, dataset, 1)
    assert str(error.value).startswith(FAULTS[break_it].format(row=row, name=name, file=folder / name))
    assert str(error.value).endswith(ADVICE) and "\n" not in str(error.value)


@pytest.mark.parametrize("command", READERS)
def test_a_decompression_bomb_names_its_row(folder, command, monkeypatch):
    dataset = sources.open_source(folder).train
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match=r"row \d \('g\d/\d.jpg'\) in .* is not a picture \(Image size"):
        _read(command, dataset, 0)


def test_pictures_in_the_table_are_named_without_a_file():
    whole = {"bytes": make_fixture.jpeg(2), "path": None}
    rows = {"image": [{"bytes": b"no picture", "path": "a.jpg"}, None, whole], "row": [7, 8, 9]}
    kinds = {"image": datasets.Image(), "row": datasets.Value("int32"), "name": datasets.Value("string")}
    dataset = datasets.Dataset.from_dict({**rows, "name": [*"abc"]}, features=datasets.Features(kinds))
    said = ("row 7 ('a') is not a picture (no known picture format)", "row 8 ('b') has no picture")
    for index, text in enumerate(said):
        with pytest.raises(DataError) as error:
            row_pictures.row_of(dataset, index)
        assert str(error.value) == text + ADVICE
    assert row_pictures.row_of(dataset, 2)["image"].size == (make_fixture.WIDTH, make_fixture.HEIGHT)

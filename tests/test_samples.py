"""The samples folder: prompts in, records out, and both readable by other tools."""

import json

import numpy as np
import pytest
from PIL import Image

from fsynth import samples
from fsynth.errors import ConfigError, DataError
from fsynth.report import files


def test_blank_lines_comments_and_a_byte_order_mark_are_skipped(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_bytes("\ufeff# title\n\n  a red dress.  \n   # note\na blue tee\r\n".encode())
    assert samples.read_prompts(path) == ["a red dress.", "a blue tee"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no prompt"),
        (b"# only\n\n", "holds no prompt"),
        (b"caf\xe9", "not UTF-8"),
        (None, "No such"),
    ],
)
def test_a_file_without_prompts_is_one_clear_line(tmp_path, content, says):
    path = tmp_path / "prompts.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=says) as caught:
        samples.read_prompts(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_noise_follows_words_and_seed_wherever_the_prompt_stands():
    here = {(row.text, row.seed): row.noise_seed for row in samples.plan(["a", "b"], per_prompt=3, seed=5)}
    there = {(row.text, row.seed): row.noise_seed for row in samples.plan(["c", "b", "a"], 1, seed=6)}
    assert sorted({seed for _, seed in here}) == [5, 6, 7]
    assert there["b", 6] == here["b", 6] and there["a", 6] == here["a", 6]
    assert len(set(here.values())) == 6


def test_a_prompt_that_occurs_again_gets_other_pictures():
    rows = samples.plan(["a", "b", "a"], per_prompt=2)
    assert [(row.text, row.seed) for row in rows] == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
        ("b", 1),
        ("a", 2),
        ("a", 3),
    ]
    assert [row.file_name for row in rows] == [f"{n:05d}.png" for n in range(6)]


def folder_of(tmp_path, prompts, model="tiny"):
    shared = {"model": model, "drawn": True, "steps": 3, "guidance_scale": 7.5}
    rows = samples.plan(prompts)
    for number, row in enumerate(rows):
        samples.write_picture(tmp_path, row, np.full((8, 8, 3), number, np.uint8), shared)
    samples.write_records(tmp_path, rows, shared)
    return rows


def test_a_picture_says_how_it_was_made(tmp_path):
    (row,) = folder_of(tmp_path, ["une robe d'été rouge"])
    with Image.open(tmp_path / row.file_name) as picture:
        text = picture.text
    assert text["prompt"] == row.text and text["seed"] == "0" and text["model"] == "tiny"
    assert json.loads(text["fsynth"])["noise_seed"] == row.noise_seed


def test_datasets_opens_the_records(tmp_path):
    rows = folder_of(tmp_path, ["a red dress", "a blue tee"])
    lines = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert [line["file_name"] for line in lines] == [row.file_name for row in rows]
    assert [line["text"] for line in lines] == ["a red dress", "a blue tee"]
    assert samples.shared_record(tmp_path)["drawn"] is True
    assert [path.name for path in samples.pictures_in(tmp_path)] == ["00000.png", "00001.png"]


def test_a_folder_of_plain_pictures_is_read_by_name_without_the_sheet(tmp_path):
    for name in ["b.png", "a.jpg", "contact_sheet.png"]:
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    assert [path.name for path in samples.pictures_in(tmp_path)] == ["a.jpg", "b.png"]
    assert samples.shared_record(tmp_path) == {}


def test_missing_pictures_are_named(tmp_path):
    folder_of(tmp_path, ["a", "b", "c"])
    (tmp_path / "00001.png").unlink()
    with pytest.raises(DataError, match=r"lists 00001\.png, which is missing \(1 in all\)"):
        samples.pictures_in(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        samples.pictures_in(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        samples.pictures_in(tmp_path / "empty")


def test_a_line_separator_in_a_prompt_divides_no_record(tmp_path):
    (row,) = folder_of(tmp_path, ["a red\u2028dress, \x85 and \x0b more"])
    assert [one["text"] for one in samples.rows_of(tmp_path / samples.ROWS)] == [row.text]
    assert [one["text"] for one in files.json_lines_of(tmp_path / samples.ROWS)] == [row.text]

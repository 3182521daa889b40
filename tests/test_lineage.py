"""Which run is the newest, and what a chain of runs started from."""

import json
import os

import pytest

from fsynth import lineage, sd_folder
from fsynth.errors import ModelError


def make_run(folder, model="tiny", *, finished=True, weights=sd_folder.INDEX, resolution=64, **result):
    (folder / "model").mkdir(parents=True)
    (folder / "run.yaml").write_text(f"model: {model}\nresolution: {resolution}\n")
    (folder / "model" / weights).write_text("{}")
    if finished:
        (folder / "result.json").write_text(json.dumps({"model": str(model), **result}))
    return folder


def test_the_newest_finished_picture_run_is_taken(tmp_path):
    old = make_run(tmp_path / "b-old")
    new = make_run(tmp_path / "a-new", weights=sd_folder.LORA_WEIGHTS)
    make_run(tmp_path / "z-unfinished", finished=False)
    clip = make_run(tmp_path / "z-clip", weights="open_clip_config.json")
    for age, run in enumerate([clip, new, old]):
        os.utime(run / "result.json", (1e9 - age, 1e9 - age))
    assert lineage.newest_run(tmp_path) == new
    assert lineage.newest_run(tmp_path / "nowhere") is None


def test_a_chain_of_runs_is_followed_to_its_base(tmp_path):
    first = make_run(tmp_path / "one", "some/model", drawn=False, resolution=256)
    second = make_run(tmp_path / "two", first / "model", drawn=False, weights=sd_folder.LORA_WEIGHTS)
    for name in (second, second / "model"):
        found = lineage.trace(str(name))
        assert (found.base, found.runs, found.resolution) == ("some/model", (second, first), 64)
        assert not found.drawn


@pytest.mark.parametrize(
    ("base", "learnt", "drawn"), [("tiny", False, True), ("x/y", True, True), ("x/y", False, False)]
)
def test_drawn_data_or_the_tiny_base_make_a_model_of_drawings(tmp_path, base, learnt, drawn):
    first = make_run(tmp_path / "one", base, drawn=learnt)
    second = make_run(tmp_path / "two", first, drawn=False)
    assert lineage.trace(str(second)).drawn is drawn


def test_a_name_that_is_no_run_is_its_own_base():
    assert lineage.trace("some/model") == lineage.Lineage("some/model", (), False, None)
    assert lineage.trace("tiny").drawn and lineage.trace(str(sd_folder.TINY_FOLDER)).drawn


def test_lora_weights_that_left_their_run_still_name_their_base(tmp_path):
    (tmp_path / sd_folder.LORA_WEIGHTS).write_text("")
    (tmp_path / sd_folder.RECORD).write_text('{"base": "tiny"}')
    assert lineage.trace(str(tmp_path)) == lineage.Lineage("tiny", (), True, None)


def test_a_run_that_did_not_finish_is_refused(tmp_path):
    run = make_run(tmp_path / "one", finished=False)
    with pytest.raises(ModelError, match=r"one is not a finished run \(no result\.json\)"):
        lineage.trace(str(run))


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("result.json", "{", "it is not JSON: Expecting property name"),
        ("result.json", "[]", "it holds a list, no settings"),
        ("run.yaml", "", "it is empty"),
        ("run.yaml", "[1]", "it holds a list, no settings"),
        ("run.yaml", "{", "it is not YAML: while parsing"),
    ],
)
def test_broken_records_are_named(tmp_path, file, content, reason):
    run = make_run(tmp_path / "one")
    (run / file).write_text(content)
    with pytest.raises(ModelError) as caught:
        lineage.trace(str(run))
    assert str(caught.value).startswith(f"{run / file} cannot be read ({reason}")

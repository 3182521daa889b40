"""What retrieval looks like: the files of a run's folder, and that they say what the scores say."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image, ImageColor

from fsynth import retrieval_cases, retrieval_pictures, retrieval_sheet
from fsynth.report.blocks import MOST_THUMBNAILS
from fsynth.report.retrieval_files import CASES, FOLDER, SIMILARITIES, path_of, rows_of
from tests.report import folders


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return folders.write_cases(tmp_path_factory.mktemp("runs"))


def _cases(folder):
    return json.loads((folder / FOLDER / CASES).read_text())


def test_the_folder_holds_the_thumbnails_of_the_rows_it_names_and_no_others(written):
    rows = rows_of(_cases(written))
    assert {path.name for path in (written / FOLDER).glob("*.webp")} == {f"{row:08d}.webp" for row in rows}
    assert 0 < len(rows) <= 42 <= MOST_THUMBNAILS
    with Image.open(written / retrieval_pictures.SHEET) as sheet:
        assert sheet.width == retrieval_sheet.WIDTH
    with Image.open(written / retrieval_pictures.PLOT) as plot:
        assert plot.width > plot.height
    assert retrieval_pictures.where(written) == (
        f"pictures: {written / 'retrieval.png'} (of the data; --set pictures=false leaves them out); "
        f"all on one page: fsynth report {written}"
    )


def test_thumbnails_are_small_and_without_metadata(tmp_path):
    folders.write_cases(tmp_path, rows=3)  # the last one's picture is large
    with Image.open(path_of(tmp_path, 102)) as thumbnail:
        assert thumbnail.size == (128, 128) and not thumbnail.info.get("exif")


def test_cases_say_what_the_ranks_of_the_scores_are(written):
    gallery = folders.gallery_of(40)
    found = {"before": folders.evaluation_of(gallery, 2.0), "after": folders.evaluation_of(gallery, 0.3)}
    record = _cases(written)
    captions, cases = gallery.captions, record["text_to_image"] + record["image_to_text"]
    assert record["models"] == ["before", "after"] and record["right"] == "attributes"
    assert [case["kind"] for case in cases] == ["best", "best", "worst", "worst", "random", "random"] * 2
    for case in cases:
        way = "image_to_text" if "row" in case else "text_to_image"
        query = case["row"] - 100 if "row" in case else captions.sentences.index(case["text"])
        for name, model in found.items():
            assert case["ranks"][name] == float(model.places["group"][way].ranks()[query])
        shown = case["answers"] + ([case["truth"]] if case["truth"] else [])
        first = next(place for place, answer in enumerate(shown, 1) if answer["right"])
        assert first == min(case["ranks"]["after"], retrieval_cases.FIRST + 1)
        levels = [answer["similarity"] for answer in shown]
        assert levels == sorted(levels, reverse=True)


def test_right_answers_are_those_of_the_caption_group(written):
    for case in _cases(written)["text_to_image"]:
        for answer in case["answers"]:
            assert answer["right"] == (answer["text"] == case["text"])
            assert answer["text"] == folders.gallery_of(40).dataset[answer["row"] - 100]["text"]


def test_the_worst_before_are_not_the_cases_where_after_is_judged():
    gallery = folders.gallery_of(40)
    blind, knowing = folders.evaluation_of(gallery, 9.0), folders.evaluation_of(gallery, 0.1)
    worst = {}
    for name, found in {"knowing": {"a": blind, "b": knowing}, "blind": {"a": knowing, "b": blind}}.items():
        record = retrieval_pictures.describe(gallery, found)
        worst[name] = max(case["ranks"]["b"] for case in record["image_to_text"])
    assert worst["knowing"] == 1 < worst["blind"]


def test_without_pictures_no_picture_is_kept(tmp_path):
    folders.write_cases(tmp_path, pictures=False)
    assert {path.name for path in (tmp_path / FOLDER).iterdir()} == {CASES, SIMILARITIES}
    assert not (tmp_path / retrieval_pictures.SHEET).exists()
    assert retrieval_pictures.where(tmp_path).startswith(f"pictures: {tmp_path / 'similarities.png'};")
    assert _cases(tmp_path)["pictures"] is False


def test_one_row_is_enough(tmp_path):
    folders.write_cases(tmp_path, rows=1)
    record = _cases(tmp_path)
    assert len(record["text_to_image"]) == 1 and record["text_to_image"][0]["answers"][0]["right"]
    model = json.loads((tmp_path / FOLDER / SIMILARITIES).read_text())["models"]["after"]
    assert sum(model["matching"]) == 1 and model["auc"] is None and model["others_mean"] is None


def test_a_second_time_replaces_the_first(tmp_path):
    folders.write_cases(tmp_path, rows=40)
    folders.write_cases(tmp_path, rows=2)
    assert len(list((tmp_path / FOLDER).glob("*.webp"))) == 2


def test_the_sheet_has_a_frame_where_an_answer_is_right(written):
    record = _cases(written)
    thumbnails = {row: path_of(written, row) for row in rows_of(record)}
    framed = retrieval_sheet.draw(record, thumbnails)
    for case in record["text_to_image"]:
        case["answers"] = [answer | {"right": False} for answer in case["answers"]]
    bare = retrieval_sheet.draw(record, thumbnails)
    assert framed.size == bare.size
    assert _green(framed) - _green(bare) > 10_000


def _green(sheet: Image.Image) -> int:
    return int((np.asarray(sheet) == ImageColor.getrgb(retrieval_sheet.RIGHT)).all(-1).sum())

"""Cases and histograms on the page: with and without pictures, within their limit, broken files named."""

from __future__ import annotations

import json
import shutil

import pytest

from fsynth import report
from fsynth.errors import DataError
from fsynth.report.blocks import NOTICE, Options, Sheet, Words
from fsynth.report.retrieval_files import CASES, FOLDER, SIMILARITIES, rows_of
from fsynth.report.retrieval_sheets import alike, room, sheets
from tests.report import folders
from tests.report.test_page import Page


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return folders.write_cases(folders.write_clip_run(tmp_path_factory.mktemp("runs") / "clip"))


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "clip")


def _cases(run):
    return json.loads((run / FOLDER / CASES).read_text())


def test_the_page_shows_queries_answers_and_ranks(run):
    page = Page(report.build(run))
    assert (
        "What it finds" in page.words
        and "A sentence asks for pictures among 40 held-out pictures" in page.words
    )
    for case in _cases(run)["text_to_image"]:
        before, after = (f"{rank:,.1f}".removesuffix(".0") for rank in case["ranks"].values())
        assert f"{case['text']} first right one at rank {before} → {after} ; " in page.words
    right = [answer["right"] for case in _cases(run)["text_to_image"] for answer in case["answers"]]
    assert page.words.count("✓") >= sum(right) > 0
    assert NOTICE in page.words and "<b>red</b>" not in (run / "report.html").read_text().replace(
        "<b>✓</b>", ""
    )


def test_every_thumbnail_of_the_record_is_shown(run):
    sources = {picture["src"] for picture in Page(report.build(run)).pictures}
    assert len(sources) == len(rows_of(_cases(run)))


def test_without_pictures_sentences_stand_for_them(run):
    page = Page(report.build(run, pictures=False))
    assert not page.pictures and NOTICE not in page.words
    assert "Pictures are left out (--no-pictures)" in page.words
    assert all(answer["text"] in page.words for answer in _cases(run)["text_to_image"][0]["answers"])
    assert room(run, Options(thumbnails=0)) == 0


def test_a_run_that_kept_none_shows_none_and_needs_no_notice(tmp_path):
    folders.write_cases(tmp_path, pictures=False)
    section = sheets(tmp_path, Options())
    assert not section.notice and len(section.blocks) == 2
    assert not any(case.source for sheet in section.blocks for case in sheet.cases)


def test_drawn_pictures_need_no_notice_but_are_called_so(tmp_path):
    run = folders.write_cases(tmp_path, drawn=True)
    assert not sheets(run, Options()).notice
    assert "drawn data ·" in Page(report.build(run)).words


@pytest.mark.parametrize("thumbnails", [64, 32, 16, 9, 3, 1])
def test_few_thumbnails_are_shared_out_among_whole_cases(run, thumbnails):
    options = Options(thumbnails=thumbnails)
    section = sheets(run, options)
    found = [block for block in section.blocks if isinstance(block, Sheet)]
    cases = [case for sheet in found for case in sheet.cases]
    sources = {
        one.source
        for case in cases
        for one in (*case.answers, *([case.truth] if case.truth else []), case)
        if one.source
    }
    assert len(sources) <= room(run, options) <= 2 * thumbnails // 3
    assert (len(cases) == 12) == (thumbnails == 64)
    assert all(sheet.cases for sheet in found) and bool(section.notice) == bool(sources)
    said = [block.text for block in section.blocks if isinstance(block, Words)]
    if thumbnails < 64:
        assert said[0].startswith(f"{len(cases)} of 12 cases are shown")
    else:
        assert not said
    if thumbnails == 32:
        assert {case.level for case in cases} == {"among the best", "among the worst", "drawn by lot"}


def test_training_pictures_take_what_is_left(run, benchmark_folder, password):
    folders.write_sd_run(run.parent / "sd", data=str(benchmark_folder))
    shutil.copy(run.parent / "sd" / "run.yaml", run)
    page = Page(report.build(run))
    assert len({picture["src"] for picture in page.pictures}) <= 64
    assert page.words.count(NOTICE) == 1 and "Training pictures" in page.words


def test_several_folders_share_the_limit_with_those_that_show_pictures(run):
    for name in ("labels", "samples", "more"):
        (run.parent / name).mkdir()
    assert len(Page(report.build(run.parent)).pictures) == len(Page(report.build(run)).pictures)
    shutil.copytree(run, run.parent / "second")
    assert 0 < len({one["src"] for one in Page(report.build(run.parent)).pictures}) <= 64


def test_similarities_are_two_heaps_over_each_other(run):
    section = alike(run, Options())
    (block,) = section.blocks
    before, after = block.histograms
    assert (before.title, after.title) == ("before", "after")
    assert before.names == ("other pairs", "matching pairs")
    for one in (before, after):
        assert max(max(column.share, column.over) for column in one.columns) == 1
    record = json.loads((run / FOLDER / SIMILARITIES).read_text())["models"]["after"]
    assert f"{100 * record['auc']:.1f}" in after.lead and "matching pairs" in after.lead
    assert "How alike pairs are" in Page(report.build(run)).words


def test_pairs_of_one_kind_are_said(tmp_path):
    section = alike(folders.write_cases(tmp_path, rows=1), Options())
    assert section.blocks[0].histograms[0].lead == "all pairs are of one kind"


def test_a_run_of_an_older_version_has_no_such_sections(tmp_path):
    run = folders.write_clip_run(tmp_path / "old")
    assert sheets(run, Options()) is None and alike(run, Options()) is None
    assert "What it finds" not in Page(report.build(run)).words


@pytest.mark.parametrize("name", [CASES, SIMILARITIES])
@pytest.mark.parametrize("content", ["{ broken", '{"models": ["a"]}', '{"models": 3}', "[]"])
def test_a_broken_record_is_one_line_that_names_it(run, name, content):
    (run / FOLDER / name).write_text(content)
    with pytest.raises(DataError, match=rf"{name}.*run its command again") as caught:
        report.build(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"RIFFxxxxWEBP"])
def test_a_broken_thumbnail_is_one_line_that_names_it(run, content):
    thumbnail = next((run / FOLDER).glob("*.webp"))
    thumbnail.unlink() if content is None else thumbnail.write_bytes(content)
    with pytest.raises(DataError, match=rf"{thumbnail.name} cannot be read .* or take --no-pictures"):
        report.build(run)
    report.build(run, pictures=False)

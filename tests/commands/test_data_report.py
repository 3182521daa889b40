"""`fsynth data-report`: small whole reports of several sources, with and without pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from fsynth import cli, report
from fsynth.commands import data_check, data_report
from fsynth.config import DataCheckConfig, DataReportConfig
from fsynth.data import scan, sources
from fsynth.errors import ConfigError, DataError, OutputError
from tests.data import make_fixture, make_sources
from tests.report.test_page import Page, _size

PLOTS = ("labels", "lengths", "words", "splits", "together-category-color", "together-category-sleeve")


@pytest.fixture(autouse=True)
def small_means(monkeypatch):
    """As of a data set of more pictures: with 30 a category has none in these."""
    monkeypatch.setattr("fsynth.report.showcase.MEAN_OF", 2)


@pytest.fixture
def no_plots(monkeypatch):
    """They take most of the time; `test_a_report_of_the_benchmark_is_whole` looks at them."""
    monkeypatch.setattr(data_report.data_plots, "write", lambda folder, numbers: None)


def _report(data: Path, output: Path, **more) -> tuple[data_report.DataReportResult, dict, Page]:
    result = data_report.main(DataReportConfig(data=data, output=output, workers=0, **more))
    return result, json.loads(result.numbers.read_text()), Page(result.report)


@pytest.fixture
def folder(tmp_path) -> Path:
    """An image folder: one picture on both sides, one that cannot be read. Its test rows come first."""
    folder = tmp_path / "pictures"
    rows = []
    for split, numbers in (("train", (0, 1, 2, 3)), ("test", (1, 5))):
        for place, number in enumerate(numbers):
            name = f"{split}/{place}.jpg"
            make_sources.pictures(folder, [name])
            (folder / name).write_bytes(make_fixture.jpeg(40 * number) if number != 3 else b"no picture")
            text = f"the lady wore a {('red', 'blue')[place % 2]} sleeveless dress with letters."
            rows.append((split, {"file_name": f"{place}.jpg", "text": text}))
    for split in ("train", "test"):
        make_sources.jsonl(folder / split, [row for where, row in rows if where == split])
    return folder


def test_a_report_of_the_benchmark_is_whole(tmp_path, benchmark_folder, password):
    result, numbers, page = _report(benchmark_folder, tmp_path / "report")
    assert (result.rows, result.folder) == (24, tmp_path / "report")
    assert numbers["rows"] == {"train": 18, "test": 6}
    assert numbers["pictures"]["sizes"] == [[make_fixture.WIDTH, make_fixture.HEIGHT, 24]]
    for name in PLOTS:
        with Image.open(result.folder / f"{name}.png") as plot:
            assert min(plot.size) > 200
    heads = ["The data", "Findings", "Examples", "Labels", "What comes together", "Training against test"]
    places = [page.words.index(head) for head in [*heads, "Sentences", "The mean picture"]]
    assert places == sorted(places) and places[-1] < page.words.rindex("Duplicates")
    assert all(load.startswith(("data:", "#")) for load in page.loads) and "script" not in page.tags
    assert not list(tmp_path.glob(".*")), "nothing but the folder is left"


@pytest.mark.usefixtures("no_plots")
def test_its_thumbnails_are_few_and_small_and_its_first_line_says_so(tmp_path, benchmark_folder, password):
    result, _, page = _report(benchmark_folder, tmp_path / "report")
    files = list((result.folder / "thumbnails").iterdir())
    assert 0 < result.thumbnails == len(files) <= 64
    tagged = [picture for picture in page.pictures if picture["alt"].endswith(")")]
    assert len(tagged) == len(files) and all(max(_size(picture)) <= 128 for picture in page.pictures)
    first = page.words.index(f"This page holds {len(files)} thumbnails of the data, 128 px at most")
    assert first < page.words.index("What the rows say")
    for file in files:
        assert make_fixture.CANARY not in file.read_bytes(), "metadata stay behind"


@pytest.mark.usefixtures("no_plots")
def test_without_pictures_nothing_of_them_is_kept(tmp_path, benchmark_folder, password):
    result, numbers, page = _report(benchmark_folder, tmp_path / "report", pictures=False)
    assert not page.pictures and "thumbnails" not in page.words
    assert all(path.is_file() for path in result.folder.iterdir())
    assert numbers["pictures"]["read"] == 24 and not numbers["means"] and result.thumbnails == 0


@pytest.mark.usefixtures("no_plots")
def test_it_finds_what_data_check_finds_in_one_pass(tmp_path, folder, monkeypatch):
    passes = []
    once = scan.scan
    monkeypatch.setattr(scan, "scan", lambda *given, **more: passes.append(1) or once(*given, **more))
    result, numbers, page = _report(folder, tmp_path / "report")
    assert len(passes) == 1
    checked = data_check.main(DataCheckConfig(data=folder, workers=0))
    assert [one["text"] for one in numbers["findings"]] == [one.text for one in checked.findings]
    assert numbers["verdict"] == checked.verdict == result.verdict
    pictures = numbers["pictures"]
    assert (pictures["read"], pictures["unreadable"]) == (6, 1)
    assert pictures["duplicates"]["exact"] == {
        "groups": 1,
        "pictures": 2,
        "across_splits": 1,
        "rows": [[3, 0]],
    }
    (group,) = numbers["shown"]["duplicates"]
    assert [one["split"] for one in group["shown"]] == ["train", "test"]
    assert "exact: rows 4, 1" in page.words and "1 of 6 pictures cannot be read" in page.words
    assert 5 not in [one["row"] for example in numbers["shown"]["examples"] for one in example["shown"]]


@pytest.mark.usefixtures("no_plots")
def test_a_quick_report_reads_a_sample_and_says_so(tmp_path, benchmark_folder, password, monkeypatch):
    monkeypatch.setattr(data_report, "QUICK", 10)
    _, numbers, page = _report(benchmark_folder, tmp_path / "report", quick=True)
    assert numbers["pictures"]["read"] == 10 and numbers["pictures"]["sampled"]
    assert numbers["means"][0]["pictures"] == 10 and numbers["pictures"]["duplicates"] is None
    assert "10 read, a sample (--quick)" in page.words and "Not looked for" in page.words


@pytest.mark.usefixtures("no_plots")
def test_data_without_pictures_have_a_report_of_their_sentences(tmp_path):
    make_fixture.write_annotation(tmp_path / "annotation")
    result, numbers, page = _report(tmp_path / "annotation", tmp_path / "report")
    assert numbers["pictures"] is None and not page.pictures and result.thumbnails == 0
    assert "none: sentences and labels only" in page.words and "Duplicates" not in page.words
    divided = {"split_by": "garment"}
    _, numbers, _ = _report(tmp_path / "annotation", tmp_path / "divided", **divided)
    assert "whole garments" in numbers["division"]


@pytest.mark.parametrize("kind", ["image folder", "parquet", "webdataset", "captions"])
@pytest.mark.usefixtures("no_plots")
def test_every_kind_of_source_has_a_report(tmp_path, kind):
    if kind == "parquet":
        data = make_sources.parquet(tmp_path / "data" / "0.parquet")
    elif kind == "webdataset":
        members = {f"{row}.jpg": make_fixture.jpeg(row) for row in range(4)}
        members |= {f"{row}.txt": text.encode() for row, text in enumerate(make_sources.TEXTS)}
        data = make_sources.shard(tmp_path / "data" / "0.tar", dict(sorted(members.items())))
    else:
        data = tmp_path / "data"
        make_sources.pictures(data, make_sources.NAMES)
        if kind == "captions":
            captions = dict(zip(make_sources.NAMES, make_sources.TEXTS, strict=True))
            (data / "captions.json").write_text(json.dumps(captions))
        else:
            make_sources.jsonl(data, make_sources.records())
    _, numbers, page = _report(data, tmp_path / "report")
    assert numbers["sentences"]["repetition"]["rows"] == 4 and numbers["pictures"]["read"] == 4
    assert numbers["labels"]["category"].keys() >= {"dress", "tee", "blouse"}
    assert page.pictures


@pytest.mark.usefixtures("no_plots")
def test_the_page_is_made_again_without_the_data(tmp_path, folder):
    result, _, page = _report(folder, tmp_path / "report")
    shutil.rmtree(folder)
    again = Page(report.build(result.folder))
    assert len(again.pictures) == len(page.pictures) and "Examples" in again.words
    assert not Page(report.build(result.folder, pictures=False)).pictures
    next((result.folder / "thumbnails").iterdir()).unlink()
    with pytest.raises(DataError, match=r"webp cannot be read \(No such file.*\); run its command again, or"):
        report.build(result.folder)


@pytest.mark.usefixtures("no_plots")
def test_a_report_among_others_shows_its_share_of_thumbnails(tmp_path, benchmark_folder, password):
    _report(benchmark_folder, tmp_path / "all" / "0")
    for number in range(1, 5):
        shutil.copytree(tmp_path / "all" / "0", tmp_path / "all" / str(number))
    page = Page(report.build(tmp_path / "all"))
    shown = [picture for picture in page.pictures if "(" in picture["alt"]]
    assert 0 < len(shown) <= 64


@pytest.mark.usefixtures("no_plots")
def test_what_cannot_be_reported_is_one_line_and_leaves_nothing(tmp_path, folder, capsys, monkeypatch):
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").touch()
    monkeypatch.setattr(sources, "open_source", lambda **_: pytest.fail("opened before it was refused"))
    with pytest.raises(OutputError, match="is not empty; name a new or empty folder"):
        data_report.main(DataReportConfig(data=folder, output=full))
    monkeypatch.undo()
    assert cli.run(["data-report", "--data", str(tmp_path / "gone"), "--output", str(tmp_path / "o")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(ConfigError, match="no column 'caption'; name one of these with --text-column"):
        data_report.main(DataReportConfig(data=folder, output=tmp_path / "o", text_column="caption"))
    monkeypatch.setattr(report, "build", lambda *_, **__: (_ for _ in ()).throw(OSError("broken")))
    with pytest.raises(OSError, match="broken"):
        data_report.main(DataReportConfig(data=folder, output=tmp_path / "o", workers=0))
    assert not (tmp_path / "o").exists() and not list(tmp_path.glob(".*"))


@pytest.mark.usefixtures("no_plots")
def test_sentences_over_the_limit_are_counted_at_the_head(tmp_path, folder):
    rows = [json.loads(line) for line in (folder / "test" / "metadata.jsonl").read_text().splitlines()]
    rows[0]["text"] = rows[1]["text"] = "<script>red</script> " * 90 + "dress"
    make_sources.jsonl(folder / "test", rows)
    _, numbers, page = _report(folder, tmp_path / "report")
    assert numbers["sentences"]["over_limit"] == 2
    assert "script" not in page.tags and "<script>red</script>" in page.words and page.words.count("…") == 2
    assert "Sentences cut off 2 of more than the 77 tokens" in page.words

"""`fsynth report`: from the command line to a page."""

from __future__ import annotations

import json

from fsynth import cli
from tests.report import folders


def test_it_writes_the_page_and_says_where(tmp_path, capsys):
    folder = folders.write_samples(tmp_path / "samples")
    assert cli.run(["report", str(folder), "--title", "Dresses", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["report"] == str(folder / "report.html")
    assert str(folder / "report.html") in output.err
    assert "<h1>Dresses</h1>" in (folder / "report.html").read_text(encoding="utf-8")


def test_training_pictures_are_a_flag_away(tmp_path, benchmark_folder, password):
    folder = folders.write_sd_run(tmp_path / "run", data=str(benchmark_folder))
    assert cli.run(["report", str(folder)]) == 0
    assert "of your own pictures" in (folder / "report.html").read_text(encoding="utf-8")
    assert cli.run(["report", str(folder), "--no-pictures"]) == 0
    assert "of your own pictures" not in (folder / "report.html").read_text(encoding="utf-8")


def test_a_folder_of_something_else_is_refused_in_one_line(tmp_path, capsys):
    assert cli.run(["report", str(tmp_path)]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and "nothing to report" in lines[0]


def test_the_page_goes_where_it_is_told(tmp_path, capsys):
    folder = folders.write_samples(tmp_path / "samples")
    page = tmp_path / "pages" / "tour.html"
    assert cli.run(["report", str(folder), "--output", str(page), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == str(page)
    assert "<h1>samples</h1>" in page.read_text(encoding="utf-8")
    assert not (folder / "report.html").exists()


def test_a_place_that_cannot_be_written_is_refused_in_one_line(tmp_path, capsys):
    folder = folders.write_samples(tmp_path / "samples")
    for place in (tmp_path, folder / "samples.jsonl" / "page.html"):
        assert cli.run(["report", str(folder), "--output", str(place)]) == 1
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and str(place.parent) in lines[0] and "--output" in lines[0]

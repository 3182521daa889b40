"""Training pictures in a report: read from where the run read them, never by asking."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fsynth.data import passwords, synthetic
from fsynth.report.blocks import Gallery, Options
from fsynth.report.thumbnails import training_pictures
from tests.data import make_fixture
from tests.report import folders


@pytest.fixture
def locked(tmp_path, benchmark_folder, no_password) -> Path:
    """Data whose password nobody told us."""
    folder = shutil.copytree(benchmark_folder, tmp_path / "data")
    (folder / "password.txt").unlink()
    return folder


@pytest.fixture
def nobody_is_asked(monkeypatch):
    def fail(*_):
        raise AssertionError("asked for a password")

    monkeypatch.setattr(passwords, "_ask", fail)


def test_pictures_come_with_their_sentences(tmp_path, benchmark_folder, password):
    run = folders.write_sd_run(tmp_path / "run", data=str(benchmark_folder))
    section = training_pictures(run, Options(thumbnails=4))
    (gallery,) = section.blocks
    assert isinstance(gallery, Gallery) and gallery.training
    assert len(gallery.cards) == len({card.pictures[0].source for card in gallery.cards}) == 4
    assert all(card.caption.endswith(".") for card in gallery.cards)
    assert "4 of the 6" in section.lead
    assert "your own pictures" in section.notice and "--no-pictures" in section.notice


def test_without_a_password_they_are_left_out_and_nobody_is_asked(tmp_path, locked, nobody_is_asked):
    run = folders.write_sd_run(tmp_path / "run", data=str(locked))
    section = training_pictures(run, Options())
    assert not section.blocks
    assert section.lead.startswith("Left out:") and "password" in section.lead


def test_the_password_file_of_the_run_is_used(tmp_path, locked, nobody_is_asked):
    file = tmp_path / "password.txt"
    file.write_text(make_fixture.PASSWORD.decode() + "\n")
    run = folders.write_sd_run(tmp_path / "run", data=str(locked), password_file=str(file))
    assert training_pictures(run, Options()).blocks


def test_data_that_moved_are_left_out(tmp_path, benchmark_folder, password):
    moved = shutil.copytree(benchmark_folder, tmp_path / "data")
    run = folders.write_sd_run(tmp_path / "run", data=str(moved))
    shutil.rmtree(moved)
    section = training_pictures(run, Options())
    assert not section.blocks and str(moved) in section.lead


def test_none_are_shown_where_none_are_wanted(tmp_path):
    run = folders.write_sd_run(tmp_path / "run")
    assert training_pictures(run, Options(thumbnails=0)) is None


def test_a_drawn_archive_brings_its_own_password(tmp_path, locked, nobody_is_asked):
    (locked / "password.txt").write_text(make_fixture.PASSWORD.decode() + "\n")
    run = folders.write_sd_run(tmp_path / "run", data=str(locked))
    (gallery,) = training_pictures(run, Options()).blocks
    assert gallery.cards


def test_drawn_pictures_need_no_notice(tmp_path, no_password, nobody_is_asked):
    drawn = synthetic.make_archive(tmp_path / "drawn", rows=8, workers=0)
    run = folders.write_sd_run(tmp_path / "run", data=str(drawn), n_images=None)
    section = training_pictures(run, Options())
    assert len(section.blocks[0].cards) == 6 and not section.notice

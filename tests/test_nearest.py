"""The nearest training pictures of drawn ones, on pictures of one colour each."""

from __future__ import annotations

import json

import pytest

from fsynth import nearest, samples
from fsynth.report.blocks import Gallery, Options, Table
from fsynth.report.thumbnails import training_pictures
from fsynth.sd_rows import Pictures
from tests import small_sd
from tests.report import folders


@pytest.fixture(scope="module")
def sides():
    """Training pictures 100 to 107; held-out ones of other colours' noise."""
    train, held = small_sd.rows(8, 100, (32, 32)), small_sd.rows(8, 203, (48, 32))
    return Pictures(train, [1, 3, 4, 6], 32), Pictures(held, range(8), 32)


def _run(folder, pictures):
    """A run's folder with these pictures after training, and one before."""
    (folder / "samples").mkdir(parents=True)
    rows = [{"file_name": "before-1.png", "text": "a square", "when": "before"}]
    for number, picture in enumerate(pictures):
        picture.save(folder / "samples" / f"after-{number}.png")
        rows.append({"file_name": f"after-{number}.png", "text": f"square {number}", "when": "after"})
    lines = "".join(json.dumps({"seed": 0, "noise_seed": 0, **row}) + "\n" for row in rows)
    (folder / "samples" / samples.ROWS).write_text(lines)
    return folder


def test_a_copy_is_at_0_and_nearer_than_all_held_out_pictures(tmp_path, sides, capsys):
    training, held_out = sides
    folder = _run(tmp_path, [training.image(2), held_out.image(0)])
    record = nearest.write(folder, training, held_out)
    copy, other = record["drawn"]
    assert (copy["file_name"], copy["row"], copy["place"]) == ("after-0.png", 104, 4)
    assert copy["distance"] == pytest.approx(0, abs=1e-3) and copy["nearer_held_out"] == 0
    assert other["distance"] == pytest.approx(record["held_out"][0], rel=1e-4) and other["distance"] > 0.01
    assert (record["looked_at"], record["training"], len(record["held_out"])) == (4, 4, 8)
    assert nearest.read(folder) == record
    nearest.say_found(record)
    said = capsys.readouterr().err
    assert "nearest training pictures: 0.00 to" in said and "(median) from 8 held-out ones" in said
    assert "of 2 drawn pictures are as near to a training picture as hardly any held-out one is" in said


def test_of_many_training_pictures_some_are_looked_at(tmp_path, sides, monkeypatch):
    monkeypatch.setattr(nearest, "MOST", 2)
    record = nearest.write(_run(tmp_path, [sides[0].image(0)]), *sides)
    assert (record["looked_at"], record["training"]) == (2, 4) and record["drawn"][0]["row"] in (101, 104)


def test_a_run_without_pictures_has_none(tmp_path, sides):
    assert nearest.write(_run(tmp_path, []), *sides) is None
    nearest.say_found(None)
    assert nearest.read(tmp_path) is None


@pytest.fixture
def compared(tmp_path, benchmark_folder, password):
    run = folders.write_sd_run(tmp_path / "run", data=str(benchmark_folder))
    rows = [row for row in samples.rows_of(run / "samples" / samples.ROWS) if row["when"] == "after"]
    found = {"row": 7, "place": 3, "distance": 0.5, "nearer_held_out": 0.25}
    drawn = [{"file_name": row["file_name"], "text": row["text"], **found} for row in rows]
    judge = {"looked_at": 6, "training": 6, "extractor": {"name": "probe"}}
    record = {"drawn": drawn, "held_out": [1.0, 2.0, 4.0], **judge}
    (run / nearest.FILE).write_text(json.dumps(record))
    return run


def test_a_report_shows_them_beside_what_was_drawn(compared):
    section = training_pictures(compared, Options(thumbnails=5))
    table, pairs, gallery = section.blocks
    assert isinstance(table, Table) and "Of 3 held-out pictures: 2.00 (median), 1.00 (least)" in table.lead
    assert next(iter(table.groups.values()))[0][1:] == ("0.50", "25%", "7")
    assert (
        isinstance(pairs, Gallery)
        and [one.tag for one in pairs.cards[0].pictures][1] == "nearest of training"
    )
    assert len(pairs.cards) + len(gallery.cards) == 5  # thumbnails of the data in all
    assert "your own pictures" in section.notice


def test_a_report_without_pictures_has_the_distances(compared):
    section = training_pictures(compared, Options(thumbnails=0))
    assert [type(block) for block in section.blocks] == [Table] and not section.notice

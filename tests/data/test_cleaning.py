"""Which rows cleaning leaves out, that it says so, and that what it found is kept and noticed to be old."""

from __future__ import annotations

import errno
import json
import threading
import time
from unittest.mock import Mock

import datasets
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from fsynth.data import cleaning, duplicates, picture_facts, scan, sources
from fsynth.data.cleaning import Rules
from fsynth.data.picture_facts import Facts
from fsynth.data.splits import Splits
from fsynth.errors import DataError, OutputError, UnreachableError
from tests.data import make_fixture, make_flaws

SMALL = {"min_side": 30, "workers": 0}
ALL = {"drop_duplicates": True, "drop_unreadable": True, "min_side": 30}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return make_flaws.archive(tmp_path_factory.mktemp("flawed"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FSYNTH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch):
    """Counts the passes over all pictures."""
    passes, read = [], scan.scan
    monkeypatch.setattr(scan, "scan", lambda *a, **k: (passes.append(len(a[0])), read(*a, **k))[1])
    return passes


def _open(root, **flags):
    return sources.open_source(root, root / "password.txt", workers=0, **flags)


def _rows(source):
    return {name: getattr(source, name)["row"][:] for name in ("train", "test")}


# ------------------------------------------------------------------------------------------ what goes


def test_planted_flaws_are_left_out_and_named(archive, no_password, capsys):
    source = _open(archive, **ALL)
    assert {one.row for one in source.dropped} == make_flaws.DROPPED
    assert _rows(source)["test"] == [row for row in make_flaws.TEST if row != 8]
    kept = {one.row: (one.kept_row, one.kept_split) for one in source.dropped if one.reason == "repeated"}
    assert kept == {1: (0, "test"), 9: (7, "train"), 10: (7, "train"), 14: (13, "train")}
    source.announce()
    said = capsys.readouterr().err
    first = f"{make_fixture.name(3)} in {archive}/Img/img.zip is not a picture"
    assert f"dropped: 2 pictures (1 train, 1 test) that cannot be read; first {first}" in said
    assert "dropped: 1 picture (1 train) with a side below 30 px; 1 test picture as small stay" in said
    assert (
        "dropped: 4 pictures (4 train) that repeat another one; 1 of them show the same as a test picture"
        in said
    )
    assert "rows: 12 train, 0 validate, 5 test, 7 dropped (the official split); fingerprint" in said
    assert "17 rows (12 for training, 5 held out)" in said


def test_only_what_was_asked_for_goes(archive, no_password):
    whole = _open(archive)
    assert whole.dropped == () and whole.cleaned == ()
    for flag, gone in (("drop_unreadable", {3, 8}), ("min_side", {5}), ("drop_duplicates", {1, 9, 10, 14})):
        source = _open(archive, **{flag: ALL[flag]})
        assert {one.row for one in source.dropped} == gone and len(source.cleaned) == 1
        assert source.fingerprint != whole.fingerprint
    assert _open(archive, **ALL).fingerprint == _open(archive, **ALL).fingerprint


def test_rules_that_find_nothing_say_so(benchmark_folder, password):
    source = _open(benchmark_folder, drop_unreadable=True, min_side=16)
    assert source.cleaned == (
        "dropped: no pictures that cannot be read",
        "dropped: no pictures with a side below 16 px",
    )
    assert "dropped" not in source.rows


def test_the_list_is_a_json_object_a_row(archive, no_password, tmp_path):
    source = _open(archive, **ALL)
    source.record_dropped(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "dropped.jsonl").read_text().splitlines()]
    assert [line["row"] for line in lines] == sorted(make_flaws.DROPPED)
    assert lines[0] == {
        "row": 1,
        "name": make_fixture.name(1),
        "split": "train",
        "reason": "repeated",
        "kept_row": 0,
        "kept_name": make_fixture.name(0),
        "kept_split": "test",
    }
    small = next(line for line in lines if line["row"] == 5)
    assert small["reason"] == "small" and small["detail"] == "20 x 40 px" and "kept_row" not in small
    _open(archive).record_dropped(tmp_path / "nowhere")  # nothing was asked for: nothing is written


def test_every_kind_of_source_is_cleaned_after_it_was_divided(tmp_path):
    """Test rows do not change with cleaning, also where they were drawn."""
    root = make_flaws.folder(tmp_path / "folder")
    for flags in ({}, {"split_by": "official", "val_fraction": 0.3}):
        whole = sources.open_source(root, **flags)
        source = sources.open_source(root, **flags, **ALL, workers=0)
        assert set(whole.test["row"]) - set(source.test["row"]) <= set(make_flaws.UNREADABLE)
        assert not set(source.train["row"]) & (set(make_flaws.UNREADABLE) | set(make_flaws.SMALL))


def test_pictures_inside_parquet_files_are_cleaned(tmp_path, reads):
    root = make_flaws.source(tmp_path / "data", "parquet")
    order = make_flaws.ORDER["parquet"]
    for _ in range(2):
        source = sources.open_source(root, drop_duplicates=True, drop_unreadable=True, workers=0)
        kept = {
            order[one.row]: None if one.kept_row is None else order[one.kept_row] for one in source.dropped
        }
        assert kept == {3: None, 8: None, **make_flaws.SAME, **make_flaws.NEARLY}
    assert len(reads) == 1


# ------------------------------------------------------------------------------------------ the rule


@st.composite
def _divided(draw):
    count = draw(st.integers(3, 30))
    sides = draw(st.lists(st.sampled_from(["train", "validation", "test"]), min_size=count, max_size=count))
    rows = {
        name: np.array([row for row in range(count) if sides[row] == name], np.int64) for name in set(sides)
    }
    none = np.empty(0, np.int64)
    parts = [rows.get(name, none) for name in ("train", "validation", "test")]
    sizes = draw(
        st.lists(st.one_of(st.none(), st.tuples(*[st.integers(1, 9)] * 2)), min_size=count, max_size=count)
    )
    readable = [row for row in range(count) if sizes[row] is not None]
    group = draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))
    groups = [[row for row in readable if group[row] == number] for number in range(4)]
    errors = {row: "broken" for row in range(count) if sizes[row] is None}
    facts = Facts(sizes, errors, [rows for rows in groups if len(rows) > 1])
    return facts, Splits(*parts, [f"{row}.jpg" for row in range(count)], "drawn")


@settings(deadline=None)
@given(_divided(), st.booleans(), st.integers(0, 6), st.booleans())
def test_what_stays_is_whole_clean_and_comparable(source, unreadable, min_side, repeats):
    facts, divided = source
    try:
        cleaned = cleaning.apply(facts, divided, Rules(unreadable, min_side, repeats))
    except DataError as error:
        assert "cleaning leaves no" in str(error)
        return
    side, left = divided.sides(), cleaned.splits.sides()
    gone = {one.row: one for one in cleaned.dropped}
    assert cleaned.splits.dropped == len(gone) == len(cleaned.dropped)
    assert all(
        (left[row] == "") == (row in gone) and left[row] in ("", side[row]) for row in range(len(side))
    )
    assert not any(side[row] == "test" and gone[row].reason != "unreadable" for row in gone)
    staying = {row for row in range(len(side)) if left[row]}
    assert not unreadable or staying.isdisjoint(facts.errors)
    assert all(
        side[row] == "test" or facts.sizes[row] is None or min(facts.sizes[row]) >= min_side
        for row in staying
    )
    for group in facts.groups if repeats else ():
        there = staying.intersection(group)
        assert len(there) <= 1 or {side[row] for row in there} == {"test"}
        assert all(
            one.kept_row in there for row, one in gone.items() if one.reason == "repeated" and row in group
        )
    if min_side == 0 and not unreadable and repeats:  # what another row stands in for, and nothing else
        assert all(staying.intersection(group) for group in facts.groups)


def test_of_repeated_validation_pictures_the_first_stays_and_gives_way_to_other_sides():
    sides = [np.array(rows, np.int64) for rows in ([0, 1], [2, 3, 4, 5], [6])]
    divided = Splits(*sides, [f"{row}.jpg" for row in range(7)], "drawn")
    facts = Facts([(9, 9)] * 7, {}, [[0, 2], [3, 4], [5, 6]])
    cleaned = cleaning.apply(facts, divided, Rules(duplicates=True))
    kept = {one.row: (one.kept_row, one.kept_split) for one in cleaned.dropped}
    assert kept == {2: (0, "train"), 4: (3, "validation"), 5: (6, "test")}
    assert {one.split for one in cleaned.dropped} == {"validation"}
    assert cleaned.splits.validation.tolist() == [3]


@given(st.lists(st.lists(st.integers(0, 30), min_size=2, max_size=4, unique=True), max_size=12))
def test_groups_that_share_a_row_are_one(groups):
    wanted: list[set[int]] = []
    for group in groups:
        others = [other for other in wanted if other & set(group)]
        wanted = [other for other in wanted if other not in others] + [set(group).union(*others)]
    assert picture_facts._joined(groups) == sorted(sorted(group) for group in wanted)


def test_many_groups_are_joined_in_no_time():
    groups = [[3 * number, 3 * number + 1, 3 * number + 2] for number in range(8_000)]
    start = time.process_time()
    assert picture_facts._joined([*groups, *groups]) == groups
    assert time.process_time() - start < 3  # comparing each with all takes ten times as long


def test_cleaning_that_leaves_nothing_is_refused(archive, no_password):
    with pytest.raises(DataError) as error:
        _open(archive, min_side=49, drop_unreadable=True)
    assert str(error.value).startswith(
        "cleaning leaves no train rows: dropped: 2 pictures (1 train, 1 test) that"
    )
    assert str(error.value).endswith(
        "dropped: 17 pictures (17 train) with a side below 49 px; 5 test pictures as small stay; "
        "drop less, or see what data-check says"
    )


def test_cleaning_does_not_empty_the_rows_that_validate():
    """Losses would be watched on test rows without a word."""
    divided = Splits(*(np.array([row]) for row in range(3)), ["0.jpg", "1.jpg", "2.jpg"], "drawn")
    facts = Facts([(9, 9)] * 3, {}, [[0, 1]])
    with pytest.raises(DataError, match=r"^cleaning leaves no validation rows: dropped: 1 picture \(1 valid"):
        cleaning.apply(facts, divided, Rules(duplicates=True))


def test_without_pictures_there_is_nothing_to_clean(tmp_path):
    make_fixture.write_annotation(tmp_path)
    with pytest.raises(
        DataError, match="holds no pictures that could be looked at; leave --drop-duplicates, "
    ):
        sources.open_source(tmp_path, min_side=30)


# ------------------------------------------------------------------------------------------ what is kept


def test_pictures_are_read_once_whatever_is_asked_of_them(archive, no_password, reads, cache):
    _open(archive, min_side=30)
    _open(archive, **ALL, val_fraction=0.2)
    _open(archive, drop_duplicates=True, split_by="garment")
    assert reads == [make_fixture.ROWS]
    (file,) = (cache / "cleaning").glob("*.json")
    kept = json.loads(file.read_text())
    assert set(kept) == {"sizes", "errors", "groups"} and kept["groups"] == [[0, 1], [7, 9, 10], [13, 14]]


@pytest.mark.parametrize("kind", make_flaws.ORDER)
def test_files_that_were_replaced_are_read_anew(tmp_path, no_password, reads, kind):
    root = make_flaws.source(tmp_path / "data", kind)
    small = {21: make_flaws.jpeg(make_flaws.texture(21, (8, 8)))}
    for changed, gone in (({}, {5}), (small, {5, 21}), ({}, {5, 21})):
        if changed:
            make_flaws.source(root, kind, changed)
        source = sources.open_source(root, root / "password.txt" if kind == "archive" else None, **SMALL)
        assert {make_flaws.ORDER[kind][one.row] for one in source.dropped} == gone
    assert reads == [make_fixture.ROWS] * 2


@pytest.mark.parametrize("change", ["touched", "limit", "version", "cut off", "another list"])
def test_what_is_old_or_broken_is_found_anew(tmp_path, reads, monkeypatch, cache, change):
    root = make_flaws.folder(tmp_path / "folder")
    sources.open_source(root, min_side=30, workers=0)
    if change == "touched":
        (root / "07.jpg").write_bytes(make_flaws.jpeg(make_flaws.texture(7, (8, 8))))
    elif change == "limit":
        monkeypatch.setattr(duplicates, "NEAR", 9)
    elif change == "version":
        monkeypatch.setattr(picture_facts, "VERSION", picture_facts.VERSION + 1)
    elif change == "cut off":
        (file,) = (cache / "cleaning").glob("*.json")
        file.write_text(file.read_text()[:-20])
    else:
        table = root / "metadata.jsonl"
        table.write_text("".join(reversed(table.read_text().splitlines(keepends=True))))
    source = sources.open_source(root, min_side=30, workers=0)
    assert len(reads) == 2
    if change == "touched":
        assert "07.jpg" in [one.name for one in source.dropped]


def test_of_several_that_ask_at_once_one_reads(archive, no_password, reads):
    found = []
    askers = [threading.Thread(target=lambda: found.append(_open(archive, **ALL))) for _ in range(3)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(reads) == 1 and len({source.fingerprint for source in found}) == 1 and len(found) == 3


def test_an_interrupted_reading_leaves_nothing(archive, no_password, monkeypatch, cache):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(scan, "scan", stop)
        _open(archive, **ALL)
    assert not list((cache / "cleaning").glob("*.json"))
    assert _open(archive, **ALL).dropped


def test_a_cache_that_cannot_be_written_is_named(archive, no_password, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FSYNTH_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=f"cannot create {tmp_path}/file/cleaning"):
        _open(archive, **ALL)


def test_no_picture_is_kept(archive, no_password, cache):
    """Sizes, messages and row numbers, a few bytes a picture: neither hashes nor grids of colours."""
    _open(archive, **ALL)
    assert sum(len(file.read_bytes()) for file in cache.rglob("*") if file.is_file()) < 60 * make_fixture.ROWS


@pytest.mark.parametrize("workers", [0, 1])
def test_a_disk_that_fails_once_is_not_remembered(tmp_path, monkeypatch, cache, workers):
    root = make_flaws.folder(tmp_path / "folder")
    with (
        monkeypatch.context() as patch,
        pytest.raises(UnreachableError, match=r"^cannot read .* now") as error,
    ):
        patch.setattr("fsspec.open", Mock(side_effect=OSError(errno.EMFILE, "Too many open files")))
        sources.open_source(root, drop_unreadable=True, workers=workers)
    assert "\n" not in str(error.value) and not list((cache / "cleaning").glob("*.json"))
    dropped = sources.open_source(root, drop_unreadable=True, workers=0).dropped
    assert {one.row for one in dropped} == set(make_flaws.UNREADABLE)


def test_files_that_change_under_the_reading_are_not_remembered(tmp_path, monkeypatch, cache):
    root = make_flaws.folder(tmp_path / "folder")
    read = scan.scan
    monkeypatch.setattr(scan, "scan", lambda *a, **k: (read(*a, **k), (root / "07.jpg").unlink())[0])
    with pytest.raises(UnreachableError, match="changed or went while they were read"):
        sources.open_source(root, drop_unreadable=True, workers=0)
    assert not list((cache / "cleaning").glob("*.json"))


def test_pictures_in_memory_that_have_a_name_are_told_apart_by_their_content(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "IN_MEMORY_MAX_SIZE", 2**30)
    keys = set()
    for shift in range(2):
        pictures = [{"bytes": make_fixture.jpeg(row + shift), "path": f"{row}.jpg"} for row in range(4)]
        table = pa.table({"image": pictures, "text": ["a red dress"] * 4})
        (tmp_path / str(shift)).mkdir()
        parquet.write_table(table, tmp_path / str(shift) / "train.parquet")
        train = sources.open_source(tmp_path / str(shift)).train
        assert not train.cache_files
        keys |= {picture_facts.key(train), picture_facts.key(train)}
    assert len(keys) == 2

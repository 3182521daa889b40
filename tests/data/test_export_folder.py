"""An export is whole or not there, goes on where it stopped, and refuses what would do harm."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from fsynth import cli, outputs
from fsynth.data import export_folder, export_formats, export_rows, picture_files, sources
from fsynth.errors import DataError, OutputError
from tests.data import exports, make_fixture
from tests.data import make_sources as make


@pytest.fixture(autouse=True)
def _own_place(monkeypatch, tmp_path_factory, no_password):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    monkeypatch.delenv("FSYNTH_DATA", raising=False)


@pytest.fixture
def small_parts(monkeypatch):
    exports.small_parts(monkeypatch)


# ----------------------------------------------------------------------------------- whole or not at all


@pytest.fixture
def stops(monkeypatch):
    """Reading stops at a row, once, as the keyboard stops it."""
    read = export_rows.Samples.__getitem__

    def at(row: int) -> None:
        def stopping(self, index: int):
            sample = read(self, index)
            if sample.row == row and not stopped:
                stopped.append(row)
                raise KeyboardInterrupt
            return sample

        stopped: list[int] = []
        monkeypatch.setattr(export_rows.Samples, "__getitem__", stopping)
        monkeypatch.setattr(export_rows, "expected_bytes", lambda parts: 0)
        monkeypatch.setattr(export_rows.reading, "_BATCH", 1)

    return at


@pytest.mark.parametrize("format", exports.FORMATS)
@pytest.mark.parametrize("row", [14, 20], ids=["in training rows", "in test rows"])
def test_an_interrupted_export_is_gone_on_with(benchmark_folder, tmp_path, small_parts, stops, format, row):
    exports.benchmark(benchmark_folder, tmp_path / "whole", format)
    out = tmp_path / "out"
    stops(row)
    with pytest.raises(KeyboardInterrupt) as stopped:
        exports.benchmark(benchmark_folder, out, format)
    assert stopped.value.__notes__ == [f"{out} is unfinished: the same command again goes on with it"]
    with pytest.raises(DataError) as error:
        sources.open_source(out)
    assert str(error.value) == (
        f"{out} is an unfinished export; run the same fsynth data-export again, which goes on where it "
        "stopped, or remove the folder"
    )
    with pytest.raises(OutputError) as error:
        exports.benchmark(benchmark_folder, out, format, val_fraction=0.1)
    assert str(error.value).startswith(f"{out} holds an unfinished export of other settings (fingerprint: ")
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.*") if ".part" not in str(path)}
    exports.benchmark(benchmark_folder, out, format)
    assert len(kept) > 4
    assert exports.tree(out) == exports.tree(tmp_path / "whole")


def test_datasets_takes_no_half_for_a_whole(benchmark_folder, tmp_path, small_parts, stops):
    import datasets

    for format in exports.FORMATS:
        stops(20)
        with pytest.raises(KeyboardInterrupt):
            exports.benchmark(benchmark_folder, tmp_path / format, format)
        with pytest.raises(Exception, match="data file"):
            datasets.load_dataset(format, data_dir=str(tmp_path / format))


def test_parts_that_are_there_are_not_read_again(benchmark_folder, tmp_path, small_parts, stops, monkeypatch):
    stops(15)
    with pytest.raises(KeyboardInterrupt):
        exports.benchmark(benchmark_folder, tmp_path / "out")
    read, rows = export_rows.Samples.__getitem__, []
    monkeypatch.setattr(
        export_rows.Samples, "__getitem__", lambda self, index: rows.append(index) or read(self, index)
    )
    exports.benchmark(benchmark_folder, tmp_path / "out")
    assert rows == [*range(10, 18), *range(6)]  # two folders of five training rows were there


def test_an_export_stopped_while_it_was_moved_is_gone_on_with(
    benchmark_folder, tmp_path, small_parts, monkeypatch
):
    put, out = outputs.put_in_place, tmp_path / "out"
    moved = []

    def failing(beside: Path, final: Path) -> None:
        if final.parent == out and len(moved) == 2:
            raise OSError(errno.EIO, "Input/output error")
        put(beside, final)
        moved.extend([final] * (final.parent == out))

    exports.benchmark(benchmark_folder, tmp_path / "whole", "parquet")
    with monkeypatch.context() as patched:
        patched.setattr(outputs, "put_in_place", failing)
        with pytest.raises(OSError, match="Input/output"):
            exports.benchmark(benchmark_folder, out, "parquet")
    assert len(list(out.glob("*.parquet"))) == 2
    with pytest.raises(DataError, match="unfinished export"):
        sources.open_source(out)
    exports.benchmark(benchmark_folder, out, "parquet")
    assert exports.tree(out) == exports.tree(tmp_path / "whole")


def test_nothing_is_left_of_an_export_that_has_no_part_yet(benchmark_folder, tmp_path, stops):
    stops(3)
    with pytest.raises(KeyboardInterrupt) as stopped:
        exports.benchmark(benchmark_folder, tmp_path / "a" / "out")
    assert stopped.value.__notes__ == [f"nothing is left of {tmp_path / 'a' / 'out'}"]
    assert not (tmp_path / "a").exists()


def test_a_whole_export_is_neither_written_again_nor_over(benchmark_folder, tmp_path, capsys):
    out = tmp_path / "out"
    result = exports.benchmark(benchmark_folder, out)
    (out / "train" / "metadata.jsonl").touch()
    again = exports.benchmark(benchmark_folder, out, yes=False)
    assert again == result
    assert capsys.readouterr().err.endswith(f"{out} holds this export already, whole\n")
    with pytest.raises(OutputError) as error:
        exports.benchmark(benchmark_folder, out, "parquet")
    assert str(error.value) == (
        f"{out} holds an export of other settings (format: imagefolder; now parquet); give the same again, "
        f"remove {out}, or name another --output"
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(OutputError, match=r"--output .*mine is not empty; name a new or empty folder"):
        exports.benchmark(benchmark_folder, tmp_path / "mine")


@pytest.mark.parametrize(
    "write",
    [
        lambda root: _folder(root),
        lambda root: make.shard(root / "a.tar", make.samples()),
        lambda root: make.parquet(root / "train.parquet"),
    ],
    ids=["image folder", "webdataset", "parquet"],
)
def test_pictures_that_changed_since_are_noticed(tmp_path, stops, monkeypatch, write):
    """Before an interrupted export mixes them with the old ones, and before it is called whole."""
    monkeypatch.setattr(export_formats, "FOLDER", 1)
    data, out = write(tmp_path / "data"), tmp_path / "out"
    exports.export(data, tmp_path / "whole")
    stops(int(json.loads((tmp_path / "whole" / "export.json").read_text())["rows"]["train"]) - 1)
    with pytest.raises(KeyboardInterrupt) as stopped:
        exports.export(data, out)
    assert "is unfinished" in stopped.value.__notes__[0]
    monkeypatch.setattr(make, "jpeg", lambda row: make_fixture.jpeg(row + 1))
    write(tmp_path / "data")
    for folder, what in ((out, "an unfinished export"), (tmp_path / "whole", "an export")):
        with pytest.raises(OutputError) as error:
            exports.export(data, folder)
        assert str(error.value) == (
            f"{folder} holds {what} of these pictures as they were; files of the source have changed since: "
            f"remove {folder}, or name another --output"
        )


@pytest.mark.parametrize("format", exports.FORMATS)
def test_an_export_that_has_lost_a_file_is_not_called_whole(benchmark_folder, tmp_path, format):
    out = tmp_path / "out"
    exports.benchmark(benchmark_folder, out, format)
    exports.benchmark(benchmark_folder, out, format)
    lost = max(out.rglob({"imagefolder": "*.jpg", "webdataset": "*.tar"}.get(format, "*.parquet")))
    cut_off = [] if format == "imagefolder" else [lambda: lost.write_bytes(b"")]  # its sizes are not kept
    for spoil in (*cut_off, lost.unlink):
        spoil()
        with pytest.raises(OutputError) as error:
            exports.benchmark(benchmark_folder, out, format)
        assert str(error.value) == (
            f"{out} was a whole export, but {lost} is gone or cut off; remove {out} and run again"
        )


def test_two_processes_do_not_write_the_same_export(benchmark_folder, tmp_path):
    first, second = (export_folder.begun(tmp_path / "out", {}) for _ in range(2))
    with first, pytest.raises(OutputError) as error, second:
        pass
    assert str(error.value) == f"another process is writing {tmp_path / 'out'}; wait for it, or end it"


@pytest.mark.parametrize("format", exports.FORMATS)
def test_the_number_of_processes_changes_nothing(benchmark_folder, tmp_path, small_parts, format):
    for workers in (0, 2):
        exports.benchmark(benchmark_folder, tmp_path / str(workers), format, workers=workers)
    assert exports.tree(tmp_path / "0") == exports.tree(tmp_path / "2")


def _folder(root: Path) -> Path:
    make.pictures(root, make.NAMES)
    return make.jsonl(root, make.records())


# ---------------------------------------------------------------------------------------- what is refused


def test_a_disk_without_room_is_refused_first(benchmark_folder, tmp_path, monkeypatch):
    import shutil
    from types import SimpleNamespace

    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=10_000))
    with pytest.raises(OutputError) as error:
        exports.benchmark(benchmark_folder, tmp_path / "out")
    assert str(error.value) == (
        f"--output {tmp_path / 'out'} has 0 MB free, the export needs about 0 MB; free some room or name "
        "another folder"
    )
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_one_line_that_says_how_to_go_on(
    benchmark_folder, tmp_path, small_parts, monkeypatch, capsys
):
    keep, kept = export_folder._Making.keep, []

    def full(self, record: Path) -> None:
        if kept:
            raise OSError(errno.ENOSPC, "No space left on device", str(record))
        kept.append(keep(self, record))

    monkeypatch.setattr(export_folder._Making, "keep", full)
    words = ["data-export", "--data", str(benchmark_folder), "--output", str(tmp_path / "out"), "--yes"]
    assert cli.run([*words, "--password-file", str(benchmark_folder / "password.txt"), "--workers", "0"]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.endswith(
        f"No space left on device; {tmp_path / 'out'} is unfinished: the same command again goes on with it; "
        "free some room or name another place"
    )


@pytest.mark.parametrize("name", ["../evil.jpg", "/etc/evil.jpg", "C:\\evil.jpg", "a\\..\\..\\evil.jpg"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path, name):
    data = make.jsonl(tmp_path / "data", make.records()[1:] + make.records(name=name)[:1])
    make.pictures(data, make.NAMES)
    with pytest.raises(DataError) as error:
        exports.export(data, tmp_path / "out")
    assert str(error.value) == (
        "1 name would leave the folder of whoever unpacks by them (zip-slip), first "
        f"{name.replace(chr(92), '/')!r}; do not unpack these data: get them from their own publisher"
    )
    assert not (tmp_path / "out").exists()


def test_members_that_lead_out_of_the_folder_are_refused_whatever_the_list_says(tmp_path):
    make_fixture.write_annotation(tmp_path / "data")
    make_fixture.save_zip(tmp_path / "data" / "img.zip", make_fixture.ROWS, prefix="../../img/")
    (tmp_path / "data" / "password.txt").write_bytes(make_fixture.PASSWORD)
    with pytest.raises(DataError, match=r"is named to leave the folder it is unpacked into"):
        exports.benchmark(tmp_path / "data", tmp_path / "out")


def test_decompression_bombs_are_refused(benchmark_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(picture_files, "LARGEST", 100)
    with pytest.raises(DataError, match="it is a decompression bomb"):
        exports.benchmark(benchmark_folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_picture_is_named(tmp_path):
    data = _folder(tmp_path / "data")
    (data / make.NAMES[2]).write_bytes(b"no picture")
    with pytest.raises(DataError) as error:
        exports.export(data, tmp_path / "out")
    assert str(error.value) == (
        f"row 2 ('{make.NAMES[2]}') in {data / make.NAMES[2]} is not a picture (no known picture format); "
        "get it again, or leave the row out with --drop-unreadable"
    )
    with pytest.raises(
        DataError, match="is PPM, which the readers of exports do not know; save it as one of"
    ):
        (data / make.NAMES[2]).write_bytes(b"P6 1 1 255\nabc")
        exports.export(data, tmp_path / "out")


def test_what_is_no_picture_in_a_shard_is_named(tmp_path):
    data = make.shard(tmp_path / "a.tar", make.samples() | {"g1/2.jpg": b"no picture"})
    with pytest.raises(DataError) as error:
        exports.export(data, tmp_path / "out")
    assert str(error.value) == (
        f"g1/2.jpg in {data} is not a picture (no known picture format); get the archive again, or "
        "leave the row out with --drop-unreadable"
    )


def test_an_output_inside_the_data_is_refused(benchmark_folder):
    out = benchmark_folder / "Img" / "out"
    with pytest.raises(OutputError) as error:
        exports.benchmark(benchmark_folder, out)
    assert str(error.value) == (
        f"--output {out} lies in the data folder {benchmark_folder} and would be read as part of the data; "
        "name a folder outside"
    )


def test_data_without_pictures_are_refused(tmp_path):
    make_fixture.write_annotation(tmp_path / "data")
    with pytest.raises(DataError, match="holds the annotation but no pictures"):
        exports.export(tmp_path / "data", tmp_path / "out")

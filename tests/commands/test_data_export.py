"""`fsynth data-export`: what it writes opens again as the same data; it writes only what was agreed to."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from fsynth import cli
from fsynth.data import export_formats, sources, terms
from fsynth.data.labels import LABELS
from fsynth.errors import ConfigError, DataError
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


# ------------------------------------------------------------------------------------- the round trip


@pytest.mark.parametrize("format", exports.FORMATS)
@pytest.mark.parametrize(
    "more", [{}, {"split_by": "garment", "val_fraction": 0.2}], ids=["official", "garment"]
)
def test_an_export_opens_as_the_same_data(benchmark_folder, tmp_path, small_parts, format, more):
    result = exports.benchmark(benchmark_folder, tmp_path / "out", format, **more)
    before = sources.open_source(benchmark_folder, benchmark_folder / "password.txt", **more)
    after = sources.open_source(tmp_path / "out")
    assert exports.rows(after) == exports.rows(before)
    assert result.fingerprint == after.fingerprint == before.fingerprint
    assert sum(result.rows.values()) == make_fixture.ROWS
    assert exports.stored(tmp_path / "out", format) == {
        row: make_fixture.jpeg(row) for row in range(make_fixture.ROWS)
    }


@pytest.mark.parametrize("format", exports.FORMATS)
def test_an_export_opens_in_datasets(benchmark_folder, tmp_path, small_parts, format):
    import datasets

    exports.benchmark(benchmark_folder, tmp_path / "out", format, val_fraction=0.2)
    for opened in (
        datasets.load_dataset(format, data_dir=str(tmp_path / "out")),
        datasets.load_dataset(str(tmp_path / "out")),
    ):
        assert {name: len(part) for name, part in opened.items()} == {"train": 15, "validation": 3, "test": 6}
        row = opened["test"][1]
        if format == "webdataset":
            row = {"image": row["jpg"], "text": row["txt"], **row["json"]}
        assert row["image"].size == (make_fixture.WIDTH, make_fixture.HEIGHT)
        assert (row["row"], row["name"]) == (4, make_fixture.name(4))
        assert row["text"] == "the lady wore a red sleeveless dress number 4."
    if format == "parquet":
        features = opened["train"].features
        assert isinstance(features["image"], datasets.Image)
        assert {name: features[name].names for name in LABELS} == {k: list(v) for k, v in LABELS.items()}


def test_scripts_that_train_on_every_picture_below_a_folder_get_the_training_rows(benchmark_folder, tmp_path):
    """As diffusers' train_text_to_image.py opens --train_data_dir: it takes the first columns it is told."""
    import datasets

    exports.benchmark(benchmark_folder, tmp_path / "out")
    files = {"train": str(tmp_path / "out" / "train" / "**")}
    (rows,) = datasets.load_dataset("imagefolder", data_files=files).values()
    assert len(rows) == 18 and rows.column_names[:2] == ["image", "text"]
    assert not any(row % make_fixture.TEST_EVERY == 0 for row in rows["row"])


def test_parquet_has_small_row_groups_and_does_not_pack_pictures_again(
    benchmark_folder, tmp_path, monkeypatch
):
    from pyarrow import parquet

    monkeypatch.setattr(export_formats, "ROW_GROUP", 7)
    exports.benchmark(benchmark_folder, tmp_path / "out", "parquet")
    file = parquet.ParquetFile(tmp_path / "out" / "train-00000-of-00001.parquet").metadata
    groups = [file.row_group(number) for number in range(file.num_row_groups)]
    assert [group.num_rows for group in groups] == [7, 7, 4]
    columns = [groups[0].column(number) for number in range(groups[0].num_columns)]
    packed = {column.path_in_schema: column.compression for column in columns}
    assert packed["image.bytes"] == "UNCOMPRESSED" and packed["text"] == "ZSTD"


def test_rows_of_the_hdf5_become_png_without_loss(benchmark_folder, tmp_path):
    exports.export(benchmark_folder, tmp_path / "out", image_source="hdf5")
    before = sources.open_source(benchmark_folder, image_source="hdf5")
    assert exports.rows(sources.open_source(tmp_path / "out")) == exports.rows(before)
    files = sorted(path.name for path in (tmp_path / "out" / "test").rglob("*.*"))
    assert files[:2] == ["00000000.png", "00000004.png"]


def _folder(root: Path) -> Path:
    make.pictures(root, make.NAMES)
    return make.jsonl(root, make.records())


def _captions(root: Path) -> Path:
    make.pictures(root, make.NAMES)
    (root / "captions.json").write_text(json.dumps(dict(zip(make.NAMES, make.TEXTS, strict=True))))
    return root


@pytest.mark.parametrize("format", exports.FORMATS)
@pytest.mark.parametrize(
    "source",
    [
        _folder,
        _captions,
        make.category,
        make.in_shop,
        lambda root: make.parquet(root / "train.parquet"),
        lambda root: make.shard(root / "a.tar", make.samples()),
    ],
    ids=["image folder", "captions", "category", "in-shop", "parquet", "webdataset"],
)
def test_every_kind_of_source_makes_the_round_trip(source, format, tmp_path):
    root = source(tmp_path / "data")
    exports.export(root, tmp_path / "out", format)
    before, after = sources.open_source(root), sources.open_source(tmp_path / "out")
    assert exports.rows(after) == exports.rows(before) and after.fingerprint == before.fingerprint


def test_formats_and_colour_modes_stay_as_they_are(tmp_path):
    from PIL import Image

    picture = Image.fromarray(make_fixture.picture(1))
    kinds = [("P", "PNG"), ("CMYK", "JPEG"), ("L", "WEBP"), ("RGBA", "PNG"), ("I;16", "TIFF"), ("P", "GIF")]
    files = {f"{number}.dat": _encoded(picture, *kind) for number, kind in enumerate(kinds)}
    data = make.jsonl(tmp_path / "data", [{"file_name": name, "text": "a tee."} for name in files])
    for name, content in files.items():
        (data / name).write_bytes(content)
    exports.export(data, tmp_path / "out")
    written = {path.stem: path for path in (tmp_path / "out").rglob("0*.*")}
    endings = (".png", ".jpg", ".webp", ".png", ".tif", ".gif")
    for row, (content, ending) in enumerate(zip(files.values(), endings, strict=True)):
        assert written[f"{row:08d}"].suffix == ending and written[f"{row:08d}"].read_bytes() == content


def _encoded(picture, mode: str, kind: str) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    picture.save(out, kind)
    return out.getvalue()


def test_names_that_differ_in_case_alone_are_files_of_their_own(tmp_path):
    names = ["a/Dress.jpg", "a/dress.jpg", "a/DRESS.jpg", "a/dress.jpeg"]
    make.pictures(tmp_path / "data", names)
    make.jsonl(tmp_path / "data", [{"file_name": name, "text": "a tee."} for name in names])
    exports.export(tmp_path / "data", tmp_path / "out")
    files = [path.name.casefold() for path in (tmp_path / "out").rglob("*.jpg")]
    assert len(set(files)) == 4
    assert sorted(row["name"] for row in exports.rows(sources.open_source(tmp_path / "out"))) == sorted(names)


@pytest.mark.parametrize("format", exports.FORMATS)
def test_unknown_labels_stay_unknown(tmp_path, format):
    """Also where no row of a split, or none of the first, has one: readers guess types by those."""
    import datasets

    data = make.jsonl(tmp_path / "data", [{**row, "text": "somebody."} for row in make.records()])
    make.pictures(data, make.NAMES)
    exports.export(data, tmp_path / "out", format)
    assert [row["gender"] for row in exports.rows(sources.open_source(tmp_path / "out"))] == [None] * 4
    assert len(datasets.load_dataset(format, data_dir=str(tmp_path / "out"))["train"]) == 3


def test_some_splits_can_be_chosen(benchmark_folder, tmp_path):
    result = exports.benchmark(benchmark_folder, tmp_path / "out", split=("test",))
    assert result.rows == {"test": 6} and not (tmp_path / "out" / "train").exists()
    with pytest.raises(DataError) as error:
        exports.benchmark(benchmark_folder, tmp_path / "other", split=("validation",))
    assert str(error.value) == f"{benchmark_folder} has no rows for --split validation; there are train, test"
    with pytest.raises(ConfigError, match="--split tset: expected one of train, validation, test"):
        exports.benchmark(benchmark_folder, tmp_path / "other", split=("tset",))


@pytest.mark.parametrize("format", exports.FORMATS)
def test_rows_that_cleaning_leaves_out_are_listed(tmp_path, format):
    data = _folder(tmp_path / "data")
    (data / make.NAMES[1]).write_bytes(b"no picture")
    result = exports.export(data, tmp_path / "out", format, drop_unreadable=True)
    assert sum(result.rows.values()) == 3
    (dropped,) = (tmp_path / "out" / "dropped.jsonl").read_text().splitlines()
    assert json.loads(dropped)["name"] == make.NAMES[1]
    rows = exports.rows(sources.open_source(tmp_path / "out"))
    assert sorted(row["name"] for row in rows) == [make.NAMES[0], *make.NAMES[2:]]
    before = exports.rows(sources.open_source(data, drop_unreadable=True))
    assert {row["name"]: row["side"] for row in rows} == {row["name"]: row["side"] for row in before}


def test_drawings_are_known_as_drawings_when_they_come_back(tmp_path):
    from fsynth.data import synthetic

    drawn = synthetic.make_archive(tmp_path / "drawn", rows=8, size=32, workers=0)
    exports.benchmark(drawn, tmp_path / "out")
    assert sources.open_source(tmp_path / "out").drawn
    assert json.loads((tmp_path / "out" / "export.json").read_text())["terms"] == terms.DRAWN


def test_terms_go_on_with_the_copies_of_copies(benchmark_folder, tmp_path):
    exports.benchmark(benchmark_folder, tmp_path / "first", "webdataset")
    exports.export(tmp_path / "first", tmp_path / "second", "parquet")
    (file,) = (tmp_path / "second").glob("train-*.parquet")
    for number, data in enumerate((tmp_path / "second", file)):
        exports.export(data, tmp_path / str(number))
        record = json.loads((tmp_path / str(number) / "export.json").read_text())
        assert record["terms"] == terms.DEEPFASHION and not record["drawn"]


def test_the_commands_of_the_documentation_run(tmp_path, monkeypatch):
    """Of diffusers' recipe, those that are fsynth's, with fewer rows; a folder of theirs may lie there."""
    monkeypatch.chdir(tmp_path)
    text = (
        (Path(__file__).parents[2] / "docs" / "export.md").read_text().partition("## Training with diff")[2]
    )
    commands = [line.split()[1:] for line in text.splitlines() if line.startswith("fsynth ")]
    assert [words[0] for words in commands] == ["data-make", "data-export"]
    for words in commands:
        assert cli.run([{"300": "12", "64": "32"}.get(word, word) for word in words]) == 0
    assert len(sources.open_source(tmp_path / "EXPORT").train) == 9


def test_the_record_says_what_it_is_and_comes_from(benchmark_folder, tmp_path):
    result = exports.benchmark(benchmark_folder, tmp_path / "out", "webdataset")
    record = json.loads((tmp_path / "out" / "export.json").read_text())
    assert record["format"] == "webdataset" and record["source"] == str(benchmark_folder)
    assert record["rows"] == {"train": 18, "test": 6} == result.rows
    assert record["bytes"] == result.bytes == sum(len(make_fixture.jpeg(row)) for row in range(24))
    assert record["fingerprint"] == result.fingerprint
    assert "DeepFashion" in record["terms"] and make_fixture.PASSWORD.decode() not in str(record)


# --------------------------------------------------------------------------------------- only if agreed


def test_nothing_is_written_without_agreement(benchmark_folder, tmp_path, capsys, monkeypatch):
    words = ["data-export", "--data", str(benchmark_folder), "--output", str(tmp_path / "out")]
    words += ["--password-file", str(benchmark_folder / "password.txt")]
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))  # no terminal
    assert cli.run(words) == 1
    said = capsys.readouterr().err.splitlines()
    size = sum(len(make_fixture.jpeg(row)) for row in range(24)) / 1e6
    assert said[2] == (
        f"data-export writes 24 pictures (18 train, 6 test) as imagefolder, about {size:.1f} MB, to "
        f"{tmp_path / 'out'}"
    )
    assert said[3].startswith("nothing is encrypted there") and "of DeepFashion's, copies too" in said[3]
    assert said[4] == "fsynth: nothing is written before somebody agrees; add --yes"
    assert not (tmp_path / "out").exists()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "written"), [("y\n", True), ("yes\n", True), ("\n", False), ("", False)])
def test_on_a_terminal_it_asks(benchmark_folder, tmp_path, monkeypatch, answer, written):
    talk = _Terminal()
    monkeypatch.setattr(sys, "stdin", _Terminal(answer))
    monkeypatch.setattr(sys, "stderr", talk)
    if written:
        exports.benchmark(benchmark_folder, tmp_path / "out", yes=False)
    else:
        with pytest.raises(ConfigError, match="nothing is written: the answer was no"):
            exports.benchmark(benchmark_folder, tmp_path / "out", yes=False)
    assert "write them? [y/N] " in talk.getvalue()
    assert (tmp_path / "out").exists() == written


# ------------------------------------------------------------------------------------------------- hdf5


@pytest.fixture
def zipped(tmp_path) -> Path:
    """A benchmark whose pictures are in an encrypted G2.zip alone."""
    data = make_fixture.write_annotation(tmp_path / "data")
    hdf5 = make_fixture.save_hdf5(tmp_path / "G2.h5", make_fixture.ROWS)
    make_fixture.save_hdf5_zip(data / "G2.zip", hdf5)
    (data / "password.txt").write_bytes(make_fixture.PASSWORD)
    return data


def test_hdf5_unpacks_the_file_that_memory_may_not_hold(zipped, tmp_path):
    result = exports.benchmark(zipped, zipped / "plain", "hdf5")
    assert (zipped / "plain" / "G2.h5").read_bytes() == (tmp_path / "G2.h5").read_bytes()
    assert sorted(path.name for path in (zipped / "plain").rglob("*")) == ["G2.h5", "export.json"]
    assert result.rows == {"all": make_fixture.ROWS} and result.bytes == (tmp_path / "G2.h5").stat().st_size
    source = sources.open_source(zipped, memory_limit=0.0)  # the plain file is read: nothing goes to memory
    assert source.train[0]["image"].size == (make_fixture.WIDTH, make_fixture.HEIGHT)


def test_hdf5_that_is_none_leaves_nothing(zipped, tmp_path):
    (tmp_path / "other.h5").write_bytes(b"no HDF5")
    make_fixture.save_hdf5_zip(zipped / "G2.zip", tmp_path / "other.h5")
    with pytest.raises(DataError, match="as HDF5"):
        exports.benchmark(zipped, tmp_path / "out", "hdf5")
    assert not (tmp_path / "out").exists()


def test_hdf5_needs_its_zip(benchmark_folder, tmp_path):
    with pytest.raises(DataError) as error:
        exports.benchmark(benchmark_folder, tmp_path / "out", "hdf5")
    assert str(error.value) == (
        f"no G2.zip under {benchmark_folder}, which --format hdf5 unpacks; take another format"
    )


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("split", ("train",)),
        ("split_by", "garment"),
        ("val_fraction", 0.1),
        ("split_seed", 1),
        ("image_source", "zip"),
        ("image_column", "x"),
        ("drop_duplicates", True),
        ("min_side", 9),
    ],
)
def test_hdf5_refuses_to_choose_rows(tmp_path, flag, value):
    with pytest.raises(ConfigError) as error:
        exports.export(tmp_path, tmp_path / "out", "hdf5", **{flag: value})
    flag = flag.replace("_", "-")
    assert str(error.value) == f"--format hdf5 unpacks a file that holds all rows; leave --{flag} out"

"""Streams: the rows, labels and pixels of the map-style data for every kind, shared by workers, resumable."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fsynth
from fsynth import hub
from fsynth.data import hub_data, remote, stream_splits
from fsynth.data.sides import HashedSides
from fsynth.errors import ConfigError, DataError
from tests.data import make_fixture, range_server
from tests.data import make_sources as make

KINDS = (
    "image folder",
    "captions",
    "category",
    "in-shop",
    "benchmark",
    "parquet",
    "parquet in splits",
    "shards",
    "shards in splits",
    "remote shards",
    "remote parquet",
    "hub",
)
UNCOUNTED = ("shards", "shards in splits", "remote shards", "hub")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path_factory):
    import datasets

    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    monkeypatch.setenv("FSYNTH_CACHE", str(cache))
    monkeypatch.delenv("FSYNTH_DATA", raising=False)
    monkeypatch.setattr(hub, "reachable", lambda: False)
    monkeypatch.setattr(remote, "WAITS", (0.0,))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def shards(tmp_path):
    """Three shards, of 1, 2 and 1 rows."""
    for number, rows in enumerate((range(1), range(1, 3), range(3, 4))):
        make.shard(tmp_path / "shards" / f"{number}.tar", make.samples(rows=rows))
    return tmp_path / "shards"


@pytest.fixture
def place(request, tmp_path, shards, monkeypatch, benchmark_folder, password):
    """What ``--data`` names, of a kind."""
    kind = request.param
    root = tmp_path / "data"
    if kind == "image folder":
        make.pictures(root, make.NAMES)
        yield make.jsonl(root, make.records())
    elif kind == "captions":
        names = [name.replace("/", "-") for name in make.NAMES]
        make.pictures(root / "images", names)
        (root / "captions.json").write_text(json.dumps(dict(zip(names, make.TEXTS, strict=True))))
        yield root
    elif kind in ("category", "in-shop"):
        yield (make.category if kind == "category" else make.in_shop)(root)
    elif kind == "benchmark":
        yield benchmark_folder
    elif kind in ("parquet", "hub", "remote parquet"):
        file = make.parquet(root / "rows.parquet")
        if kind == "hub":
            _stand_in_for_the_hub(monkeypatch, file)
        with range_server.serve(root) as served:
            yield {"parquet": file, "hub": "org/name"}.get(kind, f"{served.url}/rows.parquet")
    elif kind == "parquet in splits":
        make.parquet(root / "train-0.parquet")
        make.parquet(root / "test-0.parquet")
        yield root
    elif kind == "shards in splits":
        make.shard(root / "train.tar", make.samples("text", range(3)))
        make.shard(root / "val.tar", make.samples(rows=range(3, 4)))
        yield root
    elif kind == "shards":
        yield shards
    else:
        with range_server.serve(shards) as served:
            yield f"{served.url}/{{0..2}}.tar"


def _stand_in_for_the_hub(monkeypatch, file) -> None:
    import datasets

    load = datasets.load_dataset

    def from_file(name, **options):
        if name == "org/name":
            return load("parquet", data_files=str(file), **options)
        return load(name, **options)

    monkeypatch.setattr(datasets, "load_dataset", from_file)


def _by_name(parts) -> dict[str, list[dict]]:
    """Rows of all sides under their names, sides left out."""
    found: dict[str, list[dict]] = {}
    for part in parts.values():
        for row in part:
            found.setdefault(row["name"], []).append(row)
    return found


@pytest.mark.parametrize(("place", "kind"), [(kind, kind) for kind in KINDS], indirect=["place"], ids=KINDS)
def test_a_stream_has_the_rows_of_the_map_style_data(place, kind):
    import datasets

    plain, streamed = fsynth.load_dataset(place), fsynth.load_dataset(place, streaming=True)
    assert isinstance(streamed, datasets.IterableDatasetDict) and set(streamed) == set(plain)
    for name, part in streamed.items():
        assert part.features == plain[name].features
        assert list(part.features) == plain[name].column_names
    for name, part in plain.items():
        assert sorted(row["name"] for row in streamed[name]) == sorted(part["name"][:])
    expected, got = _by_name(plain), _by_name(streamed)
    assert set(got) == set(expected)
    for name, rows in expected.items():
        for one, other in zip(got[name], rows, strict=True):
            row = one.pop("row")
            assert row is None if kind in UNCOUNTED else row == other["row"]
            other.pop("row")
            assert np.array_equal(np.asarray(one.pop("image")), np.asarray(other.pop("image")))
            assert one == other


@pytest.mark.parametrize("file", ["parquet", "shards"])
def test_rows_that_the_source_counts_itself_keep_their_numbers(tmp_path, file):
    """As our exports do."""
    if file == "parquet":
        make.parquet(tmp_path / "rows.parquet", text=make.TEXTS, row=[2, 0, 3, 1])
    else:
        members = make.samples("text")
        for place, number in enumerate([2, 0, 3, 1]):
            key = f"{make.NAMES[place].removesuffix('.jpg')}.json"
            members[key] = json.dumps({**json.loads(members[key]), "row": number}).encode()
        make.shard(tmp_path / "rows.tar", members)
    plain, streamed = fsynth.load_dataset(tmp_path), fsynth.load_dataset(tmp_path, streaming=True)
    numbers = {row["name"]: row["row"] for part in streamed.values() for row in part}
    assert numbers == dict(zip(make.NAMES, [2, 0, 3, 1], strict=True))
    assert numbers == {row["name"]: row["row"] for part in plain.values() for row in part}


@pytest.mark.parametrize("place", ["benchmark", "parquet in splits", "shards in splits"], indirect=True)
def test_official_splits_are_kept(place):
    plain, streamed = fsynth.load_dataset(place), fsynth.load_dataset(place, streaming=True)
    for name, part in plain.items():
        assert [row["text"] for row in streamed[name]] == part["text"][:]
        assert [row["text"] for row in fsynth.load_dataset(place, name, streaming=True)] == part["text"][:]


# ---------------------------------------------------------------------------- workers, shuffling, resuming


def test_workers_share_the_shards(shards):
    """Also where a worker is a copy of this process."""
    from torch.utils.data import DataLoader

    part = fsynth.load_dataset(shards, "train", streaming=True)
    alone = [row["name"] for row in part]
    shared = DataLoader(part.select_columns(["name", "text"]), batch_size=None, num_workers=2)
    assert sorted(row["name"] for row in shared) == sorted(alone)


def test_a_stream_is_pickled_for_spawned_workers(shards):
    import pickle

    with range_server.serve(shards) as served:
        part = fsynth.load_dataset(f"{served.url}/{{0..2}}.tar", "train", streaming=True)
        again = pickle.loads(pickle.dumps(part))
        assert [row["name"] for row in again] == [row["name"] for row in part]


def test_shuffling_is_a_function_of_the_seed(shards):
    part = fsynth.load_dataset(shards, "train", streaming=True).remove_columns("image")
    orders = [
        [row["name"] for row in part.shuffle(seed=seed, buffer_size=2)] for seed in (1, 1, *range(2, 8))
    ]
    assert orders[0] == orders[1] and len({tuple(order) for order in orders}) > 1
    assert all(sorted(order) == sorted(orders[0]) for order in orders)


@pytest.mark.parametrize("place", ["shards", "parquet", "image folder", "hub"], indirect=True)
def test_a_stream_resumes_where_it_stopped(place):
    part = fsynth.load_dataset(place, "train", streaming=True)
    whole = [row["name"] for row in part]
    rows = iter(part)
    first = [next(rows)["name"] for _ in range(2)]
    state = part.state_dict()
    part.load_state_dict(state)
    assert first + [row["name"] for row in part] == whole


# ---------------------------------------------------------------------------- sides


def test_hashed_sides_have_their_shares_and_do_not_depend_on_the_order():
    names = [f"g{number // 3}/{number}.jpg" for number in range(30_000)]
    sides = HashedSides("official", 0.1, 0.2, 0)
    found = [sides.side(name) for name in names]
    assert found == [sides.side(name) for name in names[::-1]][::-1]
    assert abs(found.count("test") / 30_000 - 0.1) < 0.01
    assert abs(found.count("validation") / 30_000 - 0.18) < 0.01
    other = [HashedSides("official", 0.1, 0.2, 1).side(name) for name in names]
    assert 0.05 < sum(a == b == "test" for a, b in zip(found, other, strict=True)) / found.count("test") < 0.2
    garments = [HashedSides("garment", 0.1, 0.0, 0).side(name) for name in names]
    assert all(len({*garments[start : start + 3]}) == 1 for start in range(0, 30_000, 3))
    assert abs(garments.count("test") / 30_000 - 0.1) < 0.02


@pytest.mark.parametrize("by", ["official", "garment"])
def test_every_row_is_on_one_side(shards, capsys, by):
    options = {"split_by": by, "val_fraction": 0.5, "split_seed": 3}
    parts = fsynth.load_dataset(shards, streaming=True, **options)
    assert list(parts) == ["train", "validation", "test"]
    names = [row["name"] for part in parts.values() for row in part]
    assert sorted(names) == make.NAMES
    whose = "its name" if by == "official" else "its folder's name"
    assert capsys.readouterr().err == (
        f"data: {shards}, streamed, WebDataset\nrows: train, validation, test (0.1 of all test and 0.5 of "
        f"the training rows validate: each row's side by a hash of {whose}, seed 3, where few of "
        "them may leave a side empty); their number shows when they are read\n"
    )


def test_validation_rows_that_the_data_bring_are_not_mixed():
    there = ("train", "validation", "test")
    with pytest.raises(
        ConfigError, match=r"--val-fraction 0\.5: the data bring validation rows; leave it out"
    ):
        stream_splits.divide(there, "official", 0.5, 0)
    sides, how = stream_splits.divide(("train", "test"), "official", 0.5, 0)
    assert [(side.name, side.parts, side.hashed is None) for side in sides] == [
        ("train", ("train",), False),
        ("validation", ("train",), False),
        ("test", ("test",), True),
    ]
    assert how.startswith("the official split; 0.5 of the training rows validate")
    with pytest.raises(
        ConfigError, match="garment keeps the size of the test rows that the data bring, which"
    ):
        stream_splits.divide(there, "garment", 0.0, 0)


# ---------------------------------------------------------------------------- what is wrong


def test_faults_of_streams_are_one_line(shards, tmp_path):
    with pytest.raises(ConfigError, match="has no 'words'; name one of these with --text-column: txt"):
        fsynth.load_dataset(shards, streaming=True, text_column="words")
    file = make.parquet(tmp_path / "rows.parquet", text=[make.TEXTS[0], "", *make.TEXTS[2:]])
    with pytest.raises(ConfigError, match="has no column 'photo'; name one of these with --image-column: im"):
        fsynth.load_dataset(file, streaming=True, image_column="photo")
    with pytest.raises(DataError, match=f"row 1 of {file} has no sentence but ''; add it, or take the row"):
        list(fsynth.load_dataset(file, streaming=True)["train"])
    with pytest.raises(DataError, match=r"there is no split 'dev'; name one of train, test"):
        fsynth.load_dataset(shards, "dev", streaming=True)
    with pytest.raises(TypeError, match="imagecolumn"):
        fsynth.load_dataset(shards, streaming=True, imagecolumn="x")
    make.shard(shards / "1.tar", {"a.jpg": b"no picture", "a.txt": b"words"})
    with pytest.raises(DataError, match=r"the picture of a in .*/1.tar cannot be decoded \(cannot identify"):
        list(fsynth.load_dataset(shards, streaming=True)["train"])


@pytest.mark.parametrize("option", [{"drop_duplicates": True}, {"drop_unreadable": True}, {"min_side": 8}])
def test_options_that_look_at_every_picture_first_are_refused(shards, option):
    (name,) = option
    with pytest.raises(ConfigError, match=f"{name} looks at every picture first, and a stream passes over"):
        fsynth.load_dataset(shards, streaming=True, **option)


def test_a_stream_checks_its_options(shards):
    for option, message in (
        ({"val_fraction": 2.0}, r"--val-fraction 2\.0 is no share of the training rows; take 0 or more"),
        ({"split_by": "bogus"}, "--split-by 'bogus' is no way to divide rows; take official or garment"),
        ({"cache_images": "memory"}, "cache_images keeps pictures, and a stream keeps nothing; leave it out"),
    ):
        with pytest.raises(ConfigError, match=message):
            fsynth.load_dataset(shards, streaming=True, **option)


@pytest.mark.parametrize("streaming", [False, True])
def test_pictures_in_no_folder_are_not_divided_by_garment(tmp_path, streaming):
    rows = make.samples().items()
    file = make.shard(tmp_path / "x.tar", {name.replace("/", "-"): content for name, content in rows})
    with pytest.raises(
        ConfigError, match=r"--split-by garment: 'g0-0\.jpg' lies in no folder that could tell"
    ):
        list(fsynth.load_dataset(file, split_by="garment", streaming=streaming)["train"])


def test_a_hub_picture_has_the_same_name_in_every_cache():
    revision, digest = "0123456789" * 4, "0123456789abcdef" * 4
    for path in (
        "g/1.jpg",
        f"hf://datasets/org/name@{revision}/g/1.jpg",
        f"zip://g/1.jpg::hf://datasets/org/name@{revision}/x.zip",
        f"/home/me/.cache/huggingface/hub/datasets--org--name/snapshots/{revision}/g/1.jpg",
        f"/home/me/.cache/huggingface/datasets/downloads/extracted/{digest}/g/1.jpg",
    ):
        assert hub_data._name({"path": path, "bytes": None}) == "g/1.jpg"


def test_a_hub_row_without_a_name_is_named_by_its_content(monkeypatch, tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    images = [{"bytes": make_fixture.jpeg(row), "path": None} for row in range(4)]
    parquet.write_table(pa.table({"image": images, "text": make.TEXTS}), tmp_path / "x.parquet")
    _stand_in_for_the_hub(monkeypatch, tmp_path / "x.parquet")
    rows = [row for part in fsynth.load_dataset("org/name", streaming=True).values() for row in part]
    assert len({row["name"] for row in rows}) == 4 and all(len(row["name"]) == 16 for row in rows)
    plain = [row for part in fsynth.load_dataset("org/name").values() for row in part]
    assert {row["name"]: row["text"] for row in plain} == {row["name"]: row["text"] for row in rows}

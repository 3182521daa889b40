"""Pictures through datasets in every kind of worker, and what they leave behind: nothing."""

import io
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from fsynth.data import fashion_synthesis, picture_files, picture_memory, shared_pictures, zip_writer
from fsynth.errors import DataError
from tests.data import make_fixture as make

REPO = Path(__file__).resolve().parents[2]
ROWS = make.ROWS
TRACES = {
    "a JPEG": b"\xff\xd8\xff",
    "a PNG": b"\x89PNG\r\n",
    "the comment in the pictures": make.CANARY,
    "decoded pixels": make.STRIPE,
    "decoded pixels, BGR": np.frombuffer(make.STRIPE, np.uint8).reshape(-1, 3)[:, ::-1].tobytes(),
    "the password": make.PASSWORD,
}

pytestmark = pytest.mark.usefixtures("password")


def traces(*folders: Path) -> list[str]:
    """What of the pictures or the password the files under the folders hold."""
    return [
        f"{what} in {path}"
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
        for what, content in TRACES.items()
        if content in path.read_bytes()
    ]


@pytest.fixture
def places(monkeypatch) -> Iterator[tuple[Path, Path, Path]]:
    """Fresh cache, temporary and working folders, for this process and its workers. Not in pytest's own: the
    workers' sockets lie in the temporary one, and the name of a socket has 107 bytes at most."""
    import datasets

    with tempfile.TemporaryDirectory() as short:
        folders = tuple(Path(short, name) for name in ("cache", "temporary", "run"))
        for folder in folders:
            folder.mkdir()
        with monkeypatch.context() as patch:
            _work_in(patch, datasets, *folders)
            yield folders


def _work_in(monkeypatch, datasets, cache, temporary, run):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    monkeypatch.setenv("HF_HOME", str(cache))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(cache))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(run)


@pytest.fixture(scope="module")
def zipped_hdf5_folder(tmp_path_factory, benchmark_folder) -> Path:
    root = tmp_path_factory.mktemp("zipped")
    make.write_annotation(root)
    make.save_hdf5_zip(root / "G2.zip", benchmark_folder / "Img" / "G2.h5")
    return root


@pytest.fixture(params=["zip", "hdf5", "zipped hdf5"])
def train(request, benchmark_folder, zipped_hdf5_folder):
    if request.param == "zipped hdf5":
        return fashion_synthesis.load(zipped_hdf5_folder)["train"]
    return fashion_synthesis.load(benchmark_folder, request.param)["train"]


def brightness(example: dict) -> dict:
    return {"brightness": float(np.asarray(example["image"]).mean())}


def changed_picture(example: dict) -> dict:
    return {"image": example["image"].transpose(1), "row": example["row"]}


def test_map_filter_and_split_leave_no_picture_and_no_password(train, places):
    """A cache file of `datasets` would keep whatever they return; tables in memory have none."""
    for processes in (None, 2):
        mapped = train.map(changed_picture, num_proc=processes)
        assert np.asarray(mapped[0]["image"])[make.HEIGHT // 2 - 1].any()
        bright = mapped.map(brightness, num_proc=processes)
        assert not mapped.cache_files and not bright.cache_files
        kept = bright.filter(lambda example: example["image"].width == make.WIDTH, num_proc=processes)
        assert len(kept) == len(train)
    halves = train.train_test_split(0.5, seed=0)
    again = halves["train"].shuffle(seed=1).select(range(3)).sort("row").map(changed_picture)
    assert len(again["image"]) == 3
    assert traces(*places) == []


def test_the_search_for_traces_finds_them(benchmark_folder, places):
    cache, temporary, _ = places
    train = fashion_synthesis.load(benchmark_folder)["train"]
    train.map(changed_picture, cache_file_name=str(cache / "asked-for.arrow"))
    (temporary / "picture.bmp").write_bytes(b"BM" + make.STRIPE)
    found = "\n".join(traces(*places))
    assert "a JPEG in" in found and "decoded pixels in" in found


@pytest.mark.parametrize("method, kept", [("fork", False), ("spawn", True)])
def test_loader_workers_read_pictures_and_leave_nothing(
    benchmark_folder, zipped_hdf5_folder, places, method, kept, monkeypatch
):
    monkeypatch.setattr(shared_pictures, "_kept", {})
    from torch.utils.data import ConcatDataset, DataLoader

    parts = [
        fashion_synthesis.load(benchmark_folder, "zip")["train"].select(range(3)),
        fashion_synthesis.load(benchmark_folder, "hdf5")["train"].filter(lambda row: row["row"] < 4),
        fashion_synthesis.load(zipped_hdf5_folder)["train"].map(brightness).select([2, 1, 0]),
    ]
    if kept:
        picture_memory.keep(parts[:2])
    for part in parts:
        part[0]  # handles are open when the workers start
    loader = DataLoader(
        ConcatDataset(parts), batch_size=3, num_workers=1, collate_fn=list, multiprocessing_context=method
    )
    batches, found = [], []
    for batch in loader:
        batches.append(batch)
        found += traces(*places)  # also what would be gone when the workers end
    assert [[row["row"] for row in batch] for batch in batches] == [[1, 2, 3], [1, 2, 3], [3, 2, 1]]
    for row in (row for batch in batches for row in batch):
        difference = np.abs(np.asarray(row["image"]).astype(int) - make.picture(row["row"])).mean()
        assert difference < 4
    assert found == []
    memories = set(shared_pictures._kept.values())  # one picture of each part was read here, two elsewhere
    assert [memory.filled() for memory in memories] == [6] * kept


def test_pickled_datasets_register_the_file_systems_where_they_wake_up(
    benchmark_folder, zipped_hdf5_folder, tmp_path
):
    """Without fsynth being installed or imported there, and with the password from the environment only."""
    by_zip = fashion_synthesis.load(benchmark_folder)["train"]
    derived = fashion_synthesis.load(zipped_hdf5_folder)["train"].filter(lambda row: row["row"] < 9)
    derived = derived.map(lambda row: {"more": row["row"]}, num_proc=2)
    content = pickle.dumps({"both": [by_zip.shuffle(seed=0), derived]})
    assert make.PASSWORD not in content
    (tmp_path / "dataset.pickle").write_bytes(content)
    script = (
        "import pickle, sys, fsspec\n"
        "assert 'fsynth-zip' not in fsspec.available_protocols()\n"
        "both = pickle.load(open(sys.argv[1], 'rb'))['both']\n"
        "print([both[0][0]['image'].size, both[1][-1]['image'].size, both[1][-1]['more']])"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "dataset.pickle")]
    out = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert out.stdout.strip() == "[(16, 24), (16, 24), 7]", out.stderr


def test_other_datasets_are_pickled_as_ever():
    import datasets

    picture_files.register()
    other = datasets.Dataset.from_dict({"text": ["a"], "image": [{"bytes": make.jpeg(0), "path": None}]})
    for dataset in (other, other.cast_column("image", datasets.Image()), other.select([])):
        content = pickle.dumps(dataset)
        assert b"fsynth" not in content
        assert pickle.loads(content).to_dict() == dataset.to_dict()


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"this is no picture at all", "no known picture format"),
        (b"", "no known picture format"),
        (make.jpeg(1)[:-60], "truncated"),
    ],
)
def test_a_member_that_is_not_a_picture_is_named(tmp_path, benchmark_folder, content, reason):
    make.write_annotation(tmp_path)
    make.save_zip(tmp_path / "img.zip", ROWS, members={make.name(4): content})
    test = fashion_synthesis.load(tmp_path)["test"]
    assert test[0]["image"].size == (make.WIDTH, make.HEIGHT)
    with pytest.raises(DataError, match=f"is not a picture .*{reason}") as error:
        test[1]
    assert make.name(4) in str(error.value) and str(tmp_path / "img.zip") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "member",
    ["img/a b/#1%20.jpg", "img/a::b/*?.jpg", "./img//twice/../x.jpg", "größe/é!/x.jpg", "img/!/x/.jpg"],
)
def test_any_member_name_survives_the_way_through_datasets(tmp_path, member):
    import datasets

    file = tmp_path / "odd name #!::%41.zip"
    zip_writer.write_encrypted_zip(file, [(member, make.jpeg(3)), ("other", b"x" * 99)], make.PASSWORD)
    picture_files.register()
    paths = picture_files.zip_paths(file, [member])
    dataset = datasets.Dataset.from_dict({"image": paths}).cast_column("image", datasets.Image())
    assert dataset[0]["image"].size == (make.WIDTH, make.HEIGHT)


def test_a_path_opens_with_fsspec_and_only_for_reading(benchmark_folder):
    import datasets
    import fsspec

    test = fashion_synthesis.load(benchmark_folder)["test"].cast_column("image", datasets.Image(decode=False))
    path = test[2]["image"]["path"]
    with fsspec.open(path, "rb") as file:
        assert file.read() == make.jpeg(8)
    with pytest.raises(OSError, match="read only"), fsspec.open(path, "wb"):
        pass


def test_a_jpeg_with_bytes_after_its_end_is_a_picture():
    picture_files.check_picture(make.jpeg(0) + bytes(5000))
    gif = io.BytesIO()
    from PIL import Image

    Image.new("P", (4, 4)).save(gif, "GIF")
    picture_files.check_picture(gif.getvalue())


def test_a_member_larger_than_any_picture_is_refused_unread(no_password, tmp_path, monkeypatch):
    monkeypatch.setenv("FSYNTH_ZIP_PASSWORD", make.PASSWORD.decode())
    monkeypatch.setattr(picture_files, "LARGEST", 100)
    file = make.save_zip(tmp_path / "img.zip", 1)
    picture_files.register()
    with (
        pytest.raises(DataError, match="decompression bomb"),
        fsspec.open(picture_files.zip_paths(file, [make.name(0)])[0], "rb"),
    ):
        pass


@pytest.mark.parametrize("member", ["../x.jpg", "/x.jpg", "a/../../x.jpg", "C:/x.jpg", ".."])
def test_a_member_named_to_leave_its_folder_is_refused(tmp_path, member):
    file = tmp_path / "a.zip"
    zip_writer.write_encrypted_zip(
        file, [(member, make.jpeg(3)), ("a..b/x..jpg", make.jpeg(4))], make.PASSWORD
    )
    evil, good = picture_files.zip_paths(file, [member, "a..b/x..jpg"])
    assert picture_files.read(good) == make.jpeg(4)
    for path in (evil, *picture_files.tar_paths(file, [(member, 0, 9)])):
        with pytest.raises(DataError, match="named to leave the folder it is unpacked into"):
            picture_files.read(path)


@pytest.mark.parametrize("left", [0, 100, 512 + 300])
def test_a_shard_cut_short_after_it_was_opened_is_said(tmp_path, left):
    import tarfile

    content = make.jpeg(3)
    info = tarfile.TarInfo("1.jpg")
    info.size = len(content)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(info, io.BytesIO(content))
    (path,) = picture_files.tar_paths(tmp_path / "a.tar", [("1.jpg", 512, len(content))])
    assert picture_files.read(path) == content
    os.truncate(tmp_path / "a.tar", left)
    with pytest.raises(DataError, match=r"a.tar ends inside 1.jpg: it was cut short; get the shard again"):
        picture_files.read(path)
    (tmp_path / "a.tar").unlink()
    with pytest.raises(DataError, match=r"cannot read 1.jpg in .*a.tar \(No such file or directory\)"):
        picture_files.read(path)


def test_an_archive_cut_short_while_it_is_read_is_said(tmp_path):
    file = make.save_zip(tmp_path / "img.zip", 3)
    path = picture_files.zip_paths(file, [make.name(2)])[0]
    assert picture_files.read(path) == make.jpeg(2)
    os.truncate(file, 1000)
    with pytest.raises(DataError, match=r"img_00000003.jpg' in .*is damaged \(the file ends inside it\)"):
        picture_files.read(path)

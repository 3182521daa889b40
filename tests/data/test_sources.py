"""What --data and load_dataset accept."""

import ast
import os
from pathlib import Path

import pytest

import fsynth
from fsynth.data import places, sources
from fsynth.errors import ConfigError, DataError, PasswordError
from tests.data import make_fixture as make

pytestmark = pytest.mark.usefixtures("no_password")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    monkeypatch.delenv("FSYNTH_DATA", raising=False)


def test_a_folder_opens_with_a_password_file(benchmark_folder):
    source = sources.open_source(benchmark_folder, benchmark_folder / "password.txt")
    assert (len(source.train), len(source.test)) == (18, 6)
    assert source.train[0]["image"].size == (make.WIDTH, make.HEIGHT)
    assert not source.synthetic and not source.drawn and source.has_pictures
    source.need_pictures()
    assert source.describe.startswith(f"data: {benchmark_folder}, 24 rows (18 for training, 6 held out)")
    assert "img.zip" in source.describe


def test_the_environment_names_the_folder_and_an_argument_comes_first(
    benchmark_folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("FSYNTH_DATA", str(benchmark_folder))
    assert sources.open_source(None, image_source="hdf5").root == benchmark_folder
    with pytest.raises(DataError, match=r"no language_original\.mat"):
        sources.open_source(tmp_path)


def test_without_a_folder_the_drawn_archive_opens_with_its_own_password(benchmark_folder, monkeypatch):
    monkeypatch.setattr(places, "_drawn", lambda: benchmark_folder)
    source = sources.open_source(None, Path("no-such-file"))
    assert source.synthetic
    assert source.test[0]["image"].size == (make.WIDTH, make.HEIGHT)
    assert source.describe.startswith("data: drawn archive, 24 rows")
    assert "--data" in source.describe


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    from fsynth.data import synthetic

    return synthetic.make_archive(tmp_path_factory.mktemp("data") / "mine", rows=8, size=32, workers=0)


def test_a_drawn_archive_that_is_given_is_known_as_drawn(drawn):
    for root in (drawn, drawn.parent):
        source = sources.open_source(root, drawn / "password.txt")
        assert source.drawn and not source.synthetic
        assert source.setting == root.resolve()


def test_drawn_names_the_drawn_archive_whatever_the_environment_says(
    drawn, benchmark_folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "_drawn", lambda: drawn)
    monkeypatch.setenv("FSYNTH_DATA", str(benchmark_folder))
    source = sources.open_source(Path("drawn"))
    assert source.root == drawn and source.synthetic and source.drawn and source.setting == Path("drawn")
    (tmp_path / "drawn").mkdir()
    with pytest.raises(ConfigError, match=r"there is a folder drawn here, too; name it by its full path \(/"):
        sources.open_source(Path("drawn"))


@pytest.mark.parametrize("given", [make.PASSWORD, make.PASSWORD.decode()])
def test_load_dataset_takes_the_password_and_keeps_it_for_workers_only(benchmark_folder, capsys, given):
    both = fsynth.load_dataset(benchmark_folder, password=given)
    assert both["train"][0]["image"].size == (make.WIDTH, make.HEIGHT)
    assert "FSYNTH_ZIP_PASSWORD" not in os.environ
    told = capsys.readouterr()
    assert told.out == "" and "18 for training" in told.err
    assert make.PASSWORD.decode() not in told.err + repr(both) + repr(both["train"].__dict__)


def test_a_second_try_with_the_right_password_works(benchmark_folder):
    with pytest.raises(PasswordError) as error:
        fsynth.load_dataset(benchmark_folder, password="wrong-word")
    assert "wrong-word" not in str(error.value)
    assert fsynth.load_dataset(benchmark_folder, "test", password=make.PASSWORD)[0]["image"].format == "JPEG"


def test_archives_with_different_passwords_are_open_at_once(benchmark_folder, tmp_path, monkeypatch):
    from fsynth.data import zip_writer

    monkeypatch.setenv("FSYNTH_ZIP_PASSWORD", make.PASSWORD.decode())
    make.write_annotation(tmp_path)
    pictures = [(make.name(row), make.jpeg(row)) for row in range(make.ROWS)]
    zip_writer.write_encrypted_zip(tmp_path / "img.zip", pictures, b"another")
    ours = fsynth.load_dataset(tmp_path, "test", password="another")
    theirs = fsynth.load_dataset(benchmark_folder, "test")
    assert [data[0]["image"].size for data in (ours, theirs)] == [(make.WIDTH, make.HEIGHT)] * 2
    assert fsynth.load_dataset(tmp_path, "test")[1]["image"].format == "JPEG"
    with pytest.raises(PasswordError, match="wrong password"):
        fsynth.load_dataset(tmp_path, "test", password="third")
    assert ours[2]["image"].format == "JPEG"


def test_a_password_file_opens_g2_zip_beside_the_zip_of_another_benchmark(benchmark_folder, tmp_path):
    make.write_annotation(tmp_path)
    make.save_zip(tmp_path / "in-shop" / "img.zip", 0, members={"img/WOMEN/01_front.jpg": make.jpeg(0)})
    make.save_hdf5_zip(tmp_path / "G2.zip", benchmark_folder / "Img" / "G2.h5")
    source = sources.open_source(tmp_path, benchmark_folder / "password.txt")
    assert source.train[0]["image"].size == (make.WIDTH, make.HEIGHT)


def test_a_missing_password_is_asked_for_in_the_error(benchmark_folder):
    with pytest.raises(PasswordError, match="FSYNTH_ZIP_PASSWORD"):
        sources.open_source(benchmark_folder)
    assert sources.open_source(benchmark_folder, image_source="hdf5").has_pictures


def test_load_dataset_returns_one_split_when_asked(benchmark_folder):
    test = fsynth.load_dataset(str(benchmark_folder), split="test", image_source="hdf5")
    assert test["row"][:] == list(range(0, 24, 4))
    with pytest.raises(DataError, match="validation"):
        fsynth.load_dataset(benchmark_folder, split="validation", image_source="hdf5")


def test_the_memory_limit_is_in_gibibytes(benchmark_folder, tmp_path):
    make.write_annotation(tmp_path)
    make.save_hdf5_zip(tmp_path / "G2.zip", benchmark_folder / "Img" / "G2.h5")
    password = benchmark_folder / "password.txt"
    assert fsynth.load_dataset(tmp_path, password_file=password, memory_limit=0.01)["train"][0]["image"]
    with pytest.raises(DataError, match="memory-limit"):
        sources.open_source(tmp_path, password, None, 0.00001)


def test_a_command_that_needs_pictures_says_so(benchmark_folder, tmp_path):
    make.write_annotation(tmp_path)
    source = sources.open_source(tmp_path)
    assert not source.has_pictures and "no pictures" in source.describe
    with pytest.raises(DataError, match=r"no pictures; put img\.zip"):
        source.need_pictures()


def test_the_package_imports_nothing_until_a_name_is_used():
    tree = ast.parse(Path(fsynth.__file__).read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert [node.module for node in imports] == ["__future__"]
    assert fsynth.TYPE_CHECKING is False
    assert fsynth.load_dataset is sources.load_dataset
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fsynth.nothing


def test_the_benchmark_divided_by_garment_stays_in_memory(benchmark_folder, password):
    """Pictures of an encrypted archive that pass through map must not reach a cache on the disk."""
    source = sources.open_source(benchmark_folder, split_by="garment", val_fraction=0.3)
    parts = (source.train, source.validation, source.test)
    folders = [{name.rpartition("/")[0] for name in part["name"]} for part in parts]
    assert [len(side) for side in folders] == [1, 1, 1] and len(set.union(*folders)) == 3
    mapped = source.validation.map(lambda row: {"copy": row["image"]})
    assert not mapped.cache_files
    row = source.validation[0]
    assert row["image"].format == "JPEG" and row["name"] == make.name(row["row"])

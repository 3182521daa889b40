"""Pictures out of G2.h5, and out of one inside an encrypted G2.zip."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from fsynth.data import fashion_synthesis, hdf5_pictures, picture_files
from fsynth.errors import DataError, PasswordError
from tests.data import make_fixture as make

ROWS = make.ROWS

pytestmark = pytest.mark.usefixtures("password")


def test_values_beyond_the_range_are_clipped_not_wrapped(tmp_path):
    import h5py

    file = make.save_hdf5(tmp_path / "G2.h5", 1)
    with h5py.File(file, "r+") as content:
        content["ih"][0, :, 0, 0] = (-2.0, 3.0, 0.5 - content["ih_mean"][2, 0, 0])
    assert hdf5_pictures.HDF5Pictures(file).read(0)[0, 0].tolist() == [0, 255, 128]


@pytest.fixture(scope="module")
def zipped_hdf5(tmp_path_factory) -> Path:
    root = make.write_annotation(tmp_path_factory.mktemp("zipped"))
    make.save_hdf5_zip(
        root / "Img" / "G2.zip", make.save_hdf5(tmp_path_factory.mktemp("plain") / "x.h5", ROWS)
    )
    return root


def test_a_zipped_hdf5_is_read_from_memory(zipped_hdf5):
    test = fashion_synthesis.load(zipped_hdf5)["test"]
    assert all(
        np.array_equal(np.asarray(test[i]["image"]), make.picture(row))
        for i, row in enumerate(test["row"][:])
    )


def test_a_zipped_hdf5_over_the_limit_is_refused_with_its_size(zipped_hdf5):
    with pytest.raises(DataError, match=r"GiB, more than the --memory-limit") as error:
        fashion_synthesis.load(zipped_hdf5, memory_limit=20_000)
    assert "raise it, or write" in str(error.value) and "data-export --format hdf5" in str(error.value)
    assert "supervision_signals/G2.h5" in str(error.value)


def test_a_zipped_hdf5_with_fewer_rows_is_refused(tmp_path):
    make.write_annotation(tmp_path)
    make.save_hdf5_zip(tmp_path / "G2.zip", make.save_hdf5(tmp_path / "plain" / "x.h5", 9))
    with pytest.raises(DataError, match="row counts differ"):
        fashion_synthesis.load(tmp_path)


def test_the_unpacked_hdf5_is_found_again_only_while_it_lives(zipped_hdf5, monkeypatch):
    file = zipped_hdf5 / "Img" / "G2.zip"
    first = hdf5_pictures.HDF5Pictures(file)
    monkeypatch.delenv("FSYNTH_ZIP_PASSWORD")
    again = hdf5_pictures.HDF5Pictures(file, first.address)  # needs no password: nothing is unpacked
    assert np.array_equal(again.read(3), make.picture(3))
    stale = first.address
    del first, again
    with pytest.raises(PasswordError):
        hdf5_pictures.HDF5Pictures(file, stale)


def test_a_worker_keeps_the_memory_limit_when_the_copy_has_gone(zipped_hdf5, monkeypatch):
    test = fashion_synthesis.load(zipped_hdf5, image_source="hdf5", memory_limit=10**9)["test"]
    sent = pickle.dumps(test)
    for name in ("_hdf5", "_elsewhere"):  # as in a worker
        monkeypatch.setattr(picture_files, name, {})
    received = pickle.loads(sent)
    (file,) = (name for name in picture_files._elsewhere if name.startswith(str(zipped_hdf5)))
    address, limit = picture_files._elsewhere[file]
    assert limit == 10**9
    monkeypatch.setattr(picture_files, "_elsewhere", {file: (f"{address}0", 9)})
    with pytest.raises(DataError, match="more than the --memory-limit"):
        received[0]

"""Encrypted ZIPs as we write them, read by other people's programs."""

from __future__ import annotations

import random
import shutil
import subprocess
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsynth.data import zip_cipher, zip_writer
from fsynth.data.archive import Archive
from fsynth.data.zip_writer import write_encrypted_zip
from fsynth.errors import DataError, OutputError
from tests.reference.zip_cipher import encrypt_slowly

pytestmark = pytest.mark.filterwarnings("ignore:PBKDF2 without:DeprecationWarning")  # stream_unzip's

PASSWORD = "sésame".encode()


def some_members(number: int = 12) -> list[tuple[str, bytes]]:
    draw = random.Random(number)
    edges = [0, 1, 115, 116, 117, 127, 128, 129, 243, 244, 245]  # rows of 128 after a header of 12
    sizes = edges + [draw.randrange(5000) for _ in range(number)]
    return [(f"img/{index}/é.jpg", draw.randbytes(size)) for index, size in enumerate(sizes)]


@given(st.lists(st.binary(max_size=700), max_size=6), st.binary(max_size=20), st.sampled_from([1, 128, 300]))
def test_the_vectorised_cipher_is_the_byte_by_byte_one(members, password, piece):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zip_cipher, "PIECE", piece)
        assert zip_cipher.encrypt_members(members, password) == [
            encrypt_slowly(member, password) for member in members
        ]


@pytest.mark.parametrize("compress", [False, True])
def test_the_standard_library_reads_it(tmp_path, compress):
    write_encrypted_zip(tmp_path / "a.zip", some_members(), PASSWORD, compress=compress)
    with zipfile.ZipFile(tmp_path / "a.zip") as zipped:
        zipped.setpassword(PASSWORD)
        assert [(name, zipped.read(name)) for name in zipped.namelist()] == some_members()
        assert all(info.flag_bits & 1 for info in zipped.infolist())


@pytest.mark.skipif(shutil.which("unzip") is None, reason="no unzip on this machine")
def test_info_zip_reads_it(tmp_path):
    write_encrypted_zip(tmp_path / "a.zip", some_members(), b"open sesame", compress=True)
    command = ["unzip", "-tq", "-P", "open sesame", str(tmp_path / "a.zip")]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("encryption", ["zipcrypto", "aes"])
def test_large_archives_take_the_zip64_fields(tmp_path, monkeypatch, encryption):
    monkeypatch.setattr(zip_writer, "LIMIT", 1000)  # instead of 4 GiB
    path = tmp_path / "a.zip"
    write_encrypted_zip(path, some_members(), PASSWORD, encryption=encryption, compress=True)
    zipped = Archive(path, PASSWORD)
    assert [(name, zipped.read(name)) for name in zipped.names] == some_members()
    with zipfile.ZipFile(path) as standard:
        assert any(info.extra.startswith(b"\1\0") for info in standard.infolist()) or encryption == "aes"
    assert b"PK\6\6" in path.read_bytes()


def test_more_members_than_the_old_format_counts(tmp_path):
    members = [(f"{number}", b"") for number in range(70_000)]
    write_encrypted_zip(tmp_path / "a.zip", members, PASSWORD)
    assert Archive(tmp_path / "a.zip").names == tuple(name for name, _ in members)


@pytest.mark.parametrize("encryption", ["zipcrypto", "aes"])
def test_the_same_input_gives_the_same_file_and_no_shared_key_stream(tmp_path, encryption):
    members = [("a", b"x" * 500), ("b", b"x" * 500)]
    for name in ("1.zip", "2.zip"):
        write_encrypted_zip(tmp_path / name, members, PASSWORD, encryption=encryption)
    content = (tmp_path / "1.zip").read_bytes()
    assert content == (tmp_path / "2.zip").read_bytes()
    places = [content.index(b"PK\3\4"), content.rindex(b"PK\3\4")]
    bodies = [content[place + 100 : place + 500] for place in places]
    assert sum(ours == theirs for ours, theirs in zip(*bodies, strict=True)) < 20  # chance: 400 / 256


def test_a_failure_leaves_nothing_and_keeps_what_was_there(tmp_path):
    def failing():
        yield "a", b"1"
        raise RuntimeError("the drawing failed")

    (tmp_path / "a.zip").write_bytes(b"before")
    with pytest.raises(RuntimeError):
        write_encrypted_zip(tmp_path / "a.zip", failing(), PASSWORD)
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]
    assert (tmp_path / "a.zip").read_bytes() == b"before"


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(DataError, match="'a' is given twice"):
        write_encrypted_zip(tmp_path / "a.zip", [("a", b""), ("a", b"1")], PASSWORD)
    with pytest.raises(DataError, match="password is empty"):
        write_encrypted_zip(tmp_path / "a.zip", [("a", b"")], b"")
    with pytest.raises(OutputError, match="No such file"):
        write_encrypted_zip(tmp_path / "no" / "a.zip", [("a", b"")], PASSWORD)
    assert not list(tmp_path.iterdir())

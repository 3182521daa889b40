"""The quick way into a ZIP reads what the thorough one reads, and lets nothing wrong pass."""

from __future__ import annotations

import dataclasses
import random
import zlib

import pytest

from fsynth.data import zip_unpack
from fsynth.data.archive import Archive
from fsynth.data.zip_writer import write_encrypted_zip

PASSWORD = b"open sesame"
CONTENTS = {
    "empty": b"",
    "one": b"1",
    "text": b"sleeve " * 300,
    "noise": random.Random(0).randbytes(900),
}

pytestmark = pytest.mark.filterwarnings("ignore:PBKDF2 without:DeprecationWarning")  # stream_unzip's


@pytest.fixture(params=[("zipcrypto", True), ("zipcrypto", False), ("aes", True), ("aes", False)], ids=str)
def archive(request, tmp_path):
    encryption, compress = request.param
    path = tmp_path / "img.zip"
    write_encrypted_zip(path, CONTENTS.items(), PASSWORD, encryption=encryption, compress=compress)
    return Archive(path, PASSWORD)


def parts(archive, name):
    member = archive._member(name)
    return member, archive._file().body(member)


@pytest.mark.parametrize("name", CONTENTS)
def test_it_reads_what_the_thorough_way_reads(archive, name):
    member, packed = parts(archive, name)
    assert zip_unpack.unpack(member, packed, PASSWORD) == CONTENTS[name] == b"".join(archive.chunks(name))


@pytest.mark.parametrize("name", ["text", "noise"])
def test_no_changed_or_missing_byte_gives_other_content(archive, name):
    """A changed bit may lie behind the last one that counts; AES notices that, too."""
    member, packed = parts(archive, name)
    for place in random.Random(1).sample(range(len(packed)), min(len(packed), 150)):
        changed = bytearray(packed)
        changed[place] ^= 1 << place % 8
        right = [None] if member.encryption == "aes" else [None, CONTENTS[name]]
        assert zip_unpack.unpack(member, bytes(changed), PASSWORD) in right, place
    for cut in (packed[:-1], packed[:5], b"", packed + b"\0"):
        assert zip_unpack.unpack(member, cut, PASSWORD) is None


def test_wrong_passwords_do_not_pass(archive):
    member, packed = parts(archive, "text")
    assert zip_unpack.unpack(member, packed, None) is None
    tried = [b"%d" % number for number in range(300)]  # the format's own test lets one in 256 through
    assert not any(zip_unpack.unpack(member, packed, password) for password in tried)


def test_sizes_and_checksums_of_the_directory_are_compared(archive):
    member, packed = parts(archive, "text")
    for size in (0, member.size - 1, member.size + 1):
        assert zip_unpack.unpack(dataclasses.replace(member, size=size), packed, PASSWORD) is None
    if member.encryption == "zipcrypto":
        other = dataclasses.replace(member, crc=member.crc ^ 1)
        assert zip_unpack.unpack(other, packed, PASSWORD) is None


def test_the_older_kind_of_aes_has_a_checksum_too(tmp_path):
    write_encrypted_zip(tmp_path / "a.zip", CONTENTS.items(), PASSWORD, encryption="aes")
    member, packed = parts(Archive(tmp_path / "a.zip", PASSWORD), "text")
    older = dataclasses.replace(member, aes=b"\1\0" + member.aes[2:], crc=zlib.crc32(CONTENTS["text"]))
    assert zip_unpack.unpack(older, packed, PASSWORD) == CONTENTS["text"]
    assert zip_unpack.unpack(dataclasses.replace(older, crc=older.crc ^ 1), packed, PASSWORD) is None


def test_it_inflates_no_further_than_the_directory_says(tmp_path, monkeypatch):
    """Else a few bytes that inflate to gigabytes would fill the memory."""
    asked = []

    class Inflater:
        eof, unused_data = False, b""

        def decompress(self, content, most):
            asked.append(most)
            return bytes(most)

    monkeypatch.setattr(zip_unpack.isal_zlib, "decompressobj", lambda bits: Inflater())
    write_encrypted_zip(tmp_path / "a.zip", CONTENTS.items(), PASSWORD, compress=True)
    member, packed = parts(Archive(tmp_path / "a.zip", PASSWORD), "text")
    assert zip_unpack.unpack(member, packed, PASSWORD) is None
    assert asked == [member.size + 1]


def test_what_it_cannot_read_is_left_to_the_thorough_way(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("text", CONTENTS["text"])
    archive = Archive(tmp_path / "a.zip")
    member, packed = parts(archive, "text")
    assert zip_unpack.unpack(member, packed, None) is None
    assert archive.read("text") == CONTENTS["text"]


def test_pictures_are_read_the_quick_way(archive, monkeypatch):
    monkeypatch.setattr(Archive, "chunks", lambda *_: pytest.fail("the thorough way was taken"))
    assert {name: archive.read(name) for name in archive.names} == CONTENTS


def test_without_the_private_cipher_of_stream_unzip_members_are_read_all_the_same(archive, monkeypatch):
    monkeypatch.setattr(zip_unpack, "_decryptor", lambda: None)
    for name, content in CONTENTS.items():
        assert archive.read(name) == content
        if archive.encryption(name) == "zipcrypto":
            assert zip_unpack.unpack(*parts(archive, name), PASSWORD) is None

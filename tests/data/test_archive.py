"""Single members of encrypted ZIPs: every way they are packed, and every way they can be wrong."""

from __future__ import annotations

import multiprocessing
import pickle
import random
import struct
import time
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import count
from pathlib import Path

import pytest

from fsynth.data import zip_cipher
from fsynth.data.archive import Archive, current_password, remember_password
from fsynth.data.zip_writer import write_encrypted_zip
from fsynth.errors import DataError, PasswordError

pytestmark = pytest.mark.filterwarnings("ignore:PBKDF2 without:DeprecationWarning")  # stream_unzip's

PASSWORD = b"open sesame"
PHOTOS = Path(__file__).resolve().parents[3] / "shared/data/clothing-photos-300"


@pytest.fixture(autouse=True)
def no_password_around(monkeypatch):
    monkeypatch.setenv("FSYNTH_ZIP_PASSWORD", "")


@cache
def members() -> dict[str, bytes]:
    draw = random.Random(0)
    texts = {f"img/Dress_{n % 3}/img_{n:08d}.jpg": draw.randbytes(200 + 37 * n) for n in range(30)}
    return {**texts, "empty.txt": b"", "one.txt": b"1", "img/é.txt": b"sleeve " * 3000}


def written(folder: Path, **how) -> Path:
    path = folder / "img.zip"
    write_encrypted_zip(path, members().items(), PASSWORD, **how)
    return path


def handmade(path: Path, content: bytes, *, method: int, late: bool, wide: bool) -> Path:
    """One traditionally encrypted member; `late`: sizes only in a data descriptor; `wide`: zip64."""
    crc, flags, clock = zlib.crc32(content), 1 | 8 * late, 0xABCD
    packed = content
    if method == 8:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = packer.compress(content) + packer.flush()
    check = clock >> 8 if late else crc >> 24
    [body] = zip_cipher.encrypt_members([bytes(11) + bytes([check]) + packed], PASSWORD)
    sizes = len(body), len(content)
    extra = struct.pack("<HHQQ", 1, 16, *reversed(sizes)) if wide else b""
    shown = (0xFFFFFFFF, 0xFFFFFFFF) if wide else sizes
    before = (0, *(shown if wide else (0, 0))) if late else (crc, *shown)
    local_extra = extra[:4] + bytes(len(extra) - 4) if wide and late else extra
    name, head = b"m", (45, flags, method, clock, 33)
    local = b"PK\3\4" + struct.pack("<HHHHHLLLHH", *head, *before, 1, len(local_extra)) + name + local_extra
    descriptor = b"PK\7\x08" + struct.pack("<LQQ" if wide else "<LLL", crc, *sizes) if late else b""
    central = (
        b"PK\1\2" + struct.pack("<H", 45) + struct.pack("<HHHHHLLLHH", *head, crc, *shown, 1, len(extra))
    )
    central += struct.pack("<HHHLL", 0, 0, 0, 0, 0) + name + extra
    start = len(local) + len(body) + len(descriptor)
    end = b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, 1, 1, len(central), start, 0)
    path.write_bytes(local + body + descriptor + central + end)
    return path


def lucky_wrong_password(path: Path) -> bytes:
    """A wrong password that passes the check byte of the first member (one in 256 does)."""
    with zipfile.ZipFile(path) as zipped:
        guesses = (b"wrong%d" % number for number in count())
        return next(guess for guess in guesses if passes_check_byte(zipped, guess))


def passes_check_byte(zipped: zipfile.ZipFile, password: bytes) -> bool:
    try:
        zipped.open(zipped.namelist()[0], pwd=password).close()
    except RuntimeError:
        return False
    return True


def spoil(path: Path, name: str) -> None:
    """Change one byte in the middle of a member."""
    with zipfile.ZipFile(path) as zipped:
        info = zipped.getinfo(name)
    content = bytearray(path.read_bytes())
    content[info.header_offset + 30 + len(name) + info.compress_size // 2] ^= 0x40
    path.write_bytes(content)


@pytest.mark.parametrize("encryption", ["zipcrypto", "aes"])
@pytest.mark.parametrize("compress", [False, True])
def test_every_member_reads_back_whole(tmp_path, encryption, compress):
    zipped = Archive(written(tmp_path, encryption=encryption, compress=compress), PASSWORD)
    assert zipped.names == tuple(members())
    assert zipped.encrypted
    assert {zipped.encryption(name) for name in zipped.names} == {encryption}
    for name, content in members().items():
        assert zipped.read(name) == content
        assert zipped.size(name) == len(content)
    zipped.check_password()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_plain_archives_need_no_password(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "plain.zip", "w", method) as writer:
        writer.mkdir("img")
        for name, content in members().items():
            with writer.open(name, "w", force_zip64=True) as file:
                file.write(content)
    zipped = Archive(tmp_path / "plain.zip")
    assert not zipped.encrypted
    assert {name: zipped.read(name) for name in zipped.names} == members()
    zipped.check_password()


class Pipe:
    """A file that cannot seek: `zipfile` then writes the sizes behind each member."""

    def __init__(self, path):
        self.file = path.open("wb")

    def write(self, content):
        return self.file.write(content)

    def flush(self):
        self.file.flush()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_plain_members_written_to_a_pipe_are_read(tmp_path, method):
    pipe = Pipe(tmp_path / "pipe.zip")
    with zipfile.ZipFile(pipe, "w", method) as writer:
        for name, content in members().items():
            writer.writestr(name, content)
    pipe.file.close()
    zipped = Archive(tmp_path / "pipe.zip")
    assert {name: zipped.read(name) for name in zipped.names} == members()


@pytest.mark.parametrize("method", [0, 8])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("content", [b"", b"colour " * 5000])
def test_zip64_and_data_descriptors_are_read_in_all_combinations(tmp_path, method, late, wide, content):
    path = handmade(tmp_path / "m.zip", content, method=method, late=late, wide=wide)
    with zipfile.ZipFile(path) as standard:
        assert standard.read("m", pwd=PASSWORD) == content
    assert Archive(path, PASSWORD).read("m") == content


def test_a_member_larger_than_a_piece_comes_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("fsynth.data.zip_members.PIECE", 4096)
    monkeypatch.setattr("fsynth.data.archive.PIECE", 4096)
    content = random.Random(1).randbytes(50_000)
    for encryption in ("zipcrypto", "aes"):
        for compress in (False, True):
            path = tmp_path / "large.zip"
            write_encrypted_zip(path, [("m", content)], PASSWORD, encryption=encryption, compress=compress)
            pieces = list(Archive(path, PASSWORD).chunks("m"))
            assert max(map(len, pieces)) <= 4096
            assert b"".join(pieces) == content


def test_an_archive_behind_other_bytes_is_read(tmp_path):
    path = written(tmp_path)
    path.write_bytes(b"#!/bin/sh\n" * 100 + path.read_bytes())
    assert Archive(path, PASSWORD).read("one.txt") == b"1"


@pytest.mark.parametrize("encryption", ["zipcrypto", "aes"])
def test_a_wrong_password_is_told_from_damage(tmp_path, encryption):
    path = written(tmp_path, encryption=encryption)
    for attempt in (Archive(path, b"guess").check_password, lambda: Archive(path, b"guess").read("one.txt")):
        with pytest.raises(PasswordError, match=r"wrong password.*img\.zip.*FSYNTH_ZIP_PASSWORD") as caught:
            attempt()
        assert "guess" not in str(caught.value)


@pytest.mark.parametrize("compress", [False, True])
def test_a_wrong_password_that_passes_the_check_byte_is_found_out(tmp_path, compress):
    path = written(tmp_path, compress=compress)
    password = lucky_wrong_password(path)
    first = next(iter(members()))
    with pytest.raises(PasswordError, match="wrong password: it does not open"):
        Archive(path, password).read(first)
    with pytest.raises(PasswordError, match="wrong password: it does not open"):
        Archive(path, password).check_password()


def test_with_one_member_only_a_lucky_wrong_password_and_damage_look_alike(tmp_path):
    path = handmade(tmp_path / "m.zip", b"colour " * 500, method=8, late=True, wide=False)
    with pytest.raises(PasswordError, match="wrong password or damaged file"):
        Archive(path, lucky_wrong_password(path)).check_password()


@pytest.mark.parametrize("encryption", ["zipcrypto", "aes"])
@pytest.mark.parametrize("compress", [False, True])
def test_a_damaged_member_is_named_whatever_was_read_before(tmp_path, encryption, compress):
    path = written(tmp_path, encryption=encryption, compress=compress)
    names = [name for name in members() if name.endswith(".jpg")]
    spoil(path, names[3])
    for before in ([], [names[0]]):
        zipped = Archive(path, PASSWORD)
        for name in before:
            zipped.read(name)
        with pytest.raises(DataError, match=rf"{names[3]}.*img\.zip is damaged") as caught:
            zipped.read(names[3])
        assert not isinstance(caught.value, PasswordError)
        assert zipped.read(names[4]) == members()[names[4]]


@pytest.mark.parametrize(("spoilt", "noticed"), [(2, True), (14, True), (29, True), (0, False), (15, False)])
def test_a_password_is_judged_on_three_small_members_far_apart(tmp_path, spoilt, noticed):
    sizes = [100 if index in (2, 14, 29) else 5000 for index in range(30)]
    draw = random.Random(2)
    path = tmp_path / "img.zip"
    write_encrypted_zip(
        path, [(f"{index}", draw.randbytes(size)) for index, size in enumerate(sizes)], PASSWORD
    )
    spoil(path, f"{spoilt}")
    if not noticed:
        Archive(path, PASSWORD).check_password()
        return
    with pytest.raises(DataError, match=f"'{spoilt}' in .* is damaged"):
        Archive(path, PASSWORD).check_password()


def test_check_password_says_damage_when_the_other_judges_open(tmp_path):
    path = written(tmp_path)
    spoil(path, next(iter(members())))
    with pytest.raises(DataError, match="damaged") as caught:
        Archive(path, PASSWORD).check_password()
    assert not isinstance(caught.value, PasswordError)


def test_a_truncated_archive_is_one_line_that_names_the_file(tmp_path):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match=r"img\.zip is cut short.*download it again") as caught:
        Archive(path, PASSWORD).check_password()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [0, 1, 30, 100, 500])
def test_no_cut_of_an_archive_escapes_as_another_error(tmp_path, length):
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=r"img\.zip"):
        Archive(path, PASSWORD).check_password()


def test_no_changed_byte_escapes_as_another_error(tmp_path):
    """Also in the directory: each change is a DataError or changes nothing that is read."""
    write_encrypted_zip(
        tmp_path / "m.zip", [("m", b"colour " * 20)], PASSWORD, encryption="aes", compress=True
    )
    whole = (tmp_path / "m.zip").read_bytes()
    for place in range(len(whole)):
        (tmp_path / "m.zip").write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        zipped = Archive(tmp_path / "m.zip", PASSWORD)
        try:
            assert [zipped.read(name) for name in zipped.names] in ([b"colour " * 20], [])
        except DataError as error:
            assert "m.zip" in str(error) and "\n" not in str(error)


def test_a_file_that_is_no_zip_or_is_not_there_is_said(tmp_path):
    (tmp_path / "page.zip").write_text("<html>sign in</html>")
    with pytest.raises(DataError, match="is not a ZIP archive"):
        assert Archive(tmp_path / "page.zip").names
    with pytest.raises(DataError, match="No such file"):
        assert Archive(tmp_path / "nowhere.zip").names
    with pytest.raises(DataError, match=str(tmp_path)):
        assert Archive(tmp_path).names


def test_a_missing_member_is_said_with_an_example(tmp_path):
    with pytest.raises(
        DataError, match=r"img\.zip has no member 'img/no\.jpg'; it has 33 members.*img/Dress_0"
    ):
        Archive(written(tmp_path), PASSWORD).read("img/no.jpg")


def test_lzma_under_aes_is_named_before_a_password_is_asked_for(tmp_path):
    path = written(tmp_path, encryption="aes")
    path.write_bytes(path.read_bytes().replace(b"AE\3\0\0", b"AE\3\x0e\0"))
    with pytest.raises(DataError, match="LZMA under AES is not supported"):
        Archive(path).read("one.txt")


def test_a_missing_password_names_both_ways_to_give_it(tmp_path):
    with pytest.raises(PasswordError, match="FSYNTH_ZIP_PASSWORD or pass --password-file"):
        Archive(written(tmp_path)).read("one.txt")


def test_the_password_of_the_process_counts_also_when_set_later(tmp_path):
    zipped = Archive(written(tmp_path))
    assert zipped.size("one.txt") == 1
    remember_password(PASSWORD, zipped.path)
    assert zipped.read("one.txt") == b"1"


def test_only_a_password_that_opens_the_archive_is_remembered(tmp_path):
    zipped = Archive(written(tmp_path))
    with pytest.raises(PasswordError, match="wrong password"):
        zipped.unlock(b"guess")
    assert current_password(zipped.path) is None
    zipped.unlock(PASSWORD)
    with pytest.raises(PasswordError, match="wrong password"):
        zipped.unlock(b"guess")
    assert zipped.read("one.txt") == b"1"


def test_a_remembered_password_is_forgotten_when_the_file_has_another(tmp_path):
    Archive(written(tmp_path)).unlock(PASSWORD)
    write_encrypted_zip(tmp_path / "img.zip", members().items(), b"new")
    with pytest.raises(PasswordError, match="wrong password"):
        Archive(tmp_path / "img.zip").unlock(PASSWORD)
    assert current_password(tmp_path / "img.zip") is None


def test_members_that_a_windows_tool_packed_have_slashes(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as writer:
        for name, content in (("img\\", b""), ("img\\A_Dress\\img_1.jpg", b"picture")):
            writer.writestr(name, content)
    zipped = Archive(tmp_path / "w.zip")
    assert zipped.names == ("img/A_Dress/img_1.jpg",)
    assert zipped.read("img/A_Dress/img_1.jpg") == b"picture"


def test_neither_repr_nor_pickle_holds_the_password(tmp_path):
    zipped = Archive(written(tmp_path), PASSWORD)
    zipped.check_password()
    assert PASSWORD not in pickle.dumps(zipped)
    assert PASSWORD.decode() not in repr(zipped)
    with pytest.raises(PasswordError):
        pickle.loads(pickle.dumps(zipped)).read("one.txt")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_and_their_parent_read_at_the_same_time(tmp_path, method):
    zipped = Archive(written(tmp_path))
    zipped.unlock(PASSWORD)  # opened before the fork
    names = list(members()) * 10
    with multiprocessing.get_context(method).Pool(2) as pool:
        theirs = pool.map_async(zipped.read, names, chunksize=5)
        ours = [zipped.read(name) for name in names]
        assert theirs.get(60) == ours == [members()[name] for name in names]


def test_threads_share_one_archive(tmp_path):
    zipped = Archive(written(tmp_path), PASSWORD)
    names = list(members()) * 10
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(zipped.read, names)) == [members()[name] for name in names]


def test_real_photos_agree_with_the_standard_library_and_read_far_faster():
    if not PHOTOS.is_dir():
        pytest.skip(f"no real photos beside the repository ({PHOTOS.name})")
    password = (PHOTOS / "password.txt").read_bytes().strip()
    path = PHOTOS / "Img/img.zip"
    zipped = Archive(path, password)
    names = zipped.names[::30]
    with zipfile.ZipFile(path) as standard:
        start = time.process_time()
        expected = [standard.read(name, pwd=password) for name in names]
        slow = time.process_time() - start
    start = time.process_time()
    assert [zipped.read(name) for name in names] == expected
    assert slow > 5 * (time.process_time() - start)  # 26; of the processor's time, whatever else runs


def test_a_member_that_inflates_to_more_than_it_says_is_stopped(tmp_path):
    """The size is compared while it inflates, not when the memory is full."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("img.jpg", bytes(1 << 25))
    content = bytearray(path.read_bytes())
    start = content.rindex(b"PK\1\2")
    content[start + 24 : start + 28] = (1000).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(DataError, match="inflates to more"):
        Archive(path).read("img.jpg")

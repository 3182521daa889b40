"""Writes password-protected ZIPs: traditional encryption (ZipCrypto) or WinZip AES-256.

Python's own `zipfile` reads traditional encryption but writes none, and no well-kept package writes it,
so `fsynth.data.zip_cipher` holds the cipher and this module the container. What comes out is read by
Info-ZIP `unzip` (ZipCrypto), by `zipfile` (ZipCrypto) and by `fsynth.data.archive` (both).

The same members and password give the same file, byte for byte: dates are fixed, and salts are derived
from password, name and content. Format: PKWARE APPNOTE 6.3.9; WinZip "AES Encryption Information", AE-2.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from fsynth import outputs
from fsynth.data import zip_cipher
from fsynth.errors import DataError, OutputError

Encryption = Literal["zipcrypto", "aes"]

DATE = (0, (1 << 5) | 1)  # midnight, 1 January 1980 in the format's own coding
BATCH = 4 << 20  # bytes encrypted together: enough to keep numpy busy, little to hold
LIMIT = 0xFFFFFFFF  # from here on a size or offset moves to the zip64 extra,
MOVED = 0xFFFFFFFF  # and its field says so
STORED, DEFLATED, AES_METHOD = 0, 8, 99
ENCRYPTED, UTF8 = 1, 1 << 11


@dataclass(frozen=True)
class _Member:
    """One member as it will stand in the file, without its position."""

    name: bytes
    method: int
    crc: int
    size: int
    body: bytes  # salt or header, ciphertext, authentication code
    extra: bytes = b""

    @property
    def flags(self) -> int:
        return ENCRYPTED | (0 if self.name.isascii() else UTF8)


def write_encrypted_zip(
    path: Path,
    members: Iterable[tuple[str, bytes]],
    password: bytes,
    *,
    encryption: Encryption = "zipcrypto",
    compress: bool = False,
) -> None:
    """Write an encrypted ZIP beside `path`, then move it there: complete or absent.

    Args:
        path: the file to write; an existing one is replaced.
        members: (name, content) pairs; consumed once, in batches, so a generator keeps memory low.
            A name is relative, uses ``/`` and occurs once.
        password: not empty.
        encryption: ``zipcrypto`` (what the benchmark's archives use) or ``aes`` (WinZip AE-2, 256 bits).
        compress: deflate each member; pictures are compressed already, so the default stores them.

    Raises:
        DataError: an empty password, or a name that occurs twice.
        OutputError: the file cannot be written.
    """
    if not password:
        raise DataError(f"cannot encrypt {path}: the password is empty; give one of at least one byte")
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            _write(file, _encrypted(members, password, encryption, compress), path)
        outputs.put_in_place(beside, path)
    except OSError as error:
        raise OutputError(
            f"cannot write the archive {path} ({error.strerror}); choose another place"
        ) from None
    finally:
        beside.unlink(missing_ok=True)


def _write(file: BinaryIO, members: Iterable[_Member], path: Path) -> None:
    """Local headers and bodies, then the central directory and its end records."""
    directory: dict[bytes, bytes] = {}
    for member in members:
        if member.name in directory:
            raise DataError(f"cannot write {path}: the member {member.name.decode()!r} is given twice")
        directory[member.name] = _central_record(member, file.tell())
        file.write(_local_header(member))
        file.write(member.body)
    start = file.tell()
    file.writelines(directory.values())
    file.write(_end_records(len(directory), file.tell() - start, start))


def _encrypted(
    members: Iterable[tuple[str, bytes]], password: bytes, encryption: Encryption, compress: bool
) -> Iterator[_Member]:
    encrypt = {"zipcrypto": _zipcrypto_members, "aes": _aes_members}[encryption]
    for batch in _batches(members):
        yield from encrypt(batch, password, compress)


def _batches(members: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    batch, size = [], 0
    for name, content in members:
        batch.append((name, content))
        size += len(content)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _packed(content: bytes, compress: bool) -> bytes:
    if not compress:
        return content
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def _salt(name: str, content: bytes, password: bytes, length: int) -> bytes:
    """Differs whenever name or content do, so no two members share a key stream (as RFC 5297 does)."""
    message = hashlib.sha256(name.encode()).digest() + hashlib.sha256(content).digest()
    return hmac.digest(password, message, "sha256")[:length]


def _zipcrypto_members(batch: list[tuple[str, bytes]], password: bytes, compress: bool) -> Iterator[_Member]:
    sums = [zlib.crc32(content) for _, content in batch]
    headed = [
        _salt(name, content, password, 11) + bytes([crc >> 24]) + _packed(content, compress)
        for (name, content), crc in zip(batch, sums, strict=True)
    ]
    bodies = zip_cipher.encrypt_members(headed, password)
    method = DEFLATED if compress else STORED
    for (name, content), crc, body in zip(batch, sums, bodies, strict=True):
        yield _Member(name.encode(), method, crc, len(content), body)


def _aes_members(batch: list[tuple[str, bytes]], password: bytes, compress: bool) -> Iterator[_Member]:
    method = DEFLATED if compress else STORED
    extra = struct.pack("<HHH2sBH", 0x9901, 7, 2, b"AE", 3, method)
    for name, content in batch:
        salt = _salt(name, content, password, 16)
        body = zip_cipher.encrypt_aes(_packed(content, compress), password, salt)
        yield _Member(name.encode(), AES_METHOD, 0, len(content), body, extra)  # AE-2 leaves the CRC out


def _narrow(number: int) -> int:
    return number if number < LIMIT else MOVED


def _zip64(*numbers: int) -> bytes:
    """The extra field that holds those of the numbers that do not fit in 32 bits."""
    large = [number for number in numbers if number >= LIMIT]
    return struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""


def _common(member: _Member, extra: bytes, sizes: tuple[int, int]) -> bytes:
    """The fields, from version to extra length, that both kinds of header share."""
    version = 51 if member.method == AES_METHOD else 45 if max(sizes) == MOVED else 20
    method = (version, member.flags, member.method, *DATE, member.crc)
    return struct.pack("<HHHHHLLLHH", *method, *sizes, len(member.name), len(extra))


def _local_header(member: _Member) -> bytes:
    packed, size = len(member.body), member.size
    extra = member.extra
    if max(packed, size) >= LIMIT:  # the local header takes both sizes or neither
        extra += struct.pack("<HHQQ", 1, 16, size, packed)
        packed = size = MOVED
    return b"PK\3\4" + _common(member, extra, (packed, size)) + member.name + extra


def _central_record(member: _Member, offset: int) -> bytes:
    packed, size = len(member.body), member.size
    extra = member.extra + _zip64(size, packed, offset)
    fields = _common(member, extra, (_narrow(packed), _narrow(size)))
    tail = struct.pack("<HHHLL", 0, 0, 0, 0, _narrow(offset))
    return b"PK\1\2" + struct.pack("<H", 45) + fields + tail + member.name + extra


def _end_records(count: int, length: int, start: int) -> bytes:
    """The end of the central directory, preceded by the zip64 one where the numbers need it."""
    counts = min(count, 0xFFFF), min(count, 0xFFFF)
    end = struct.pack("<HHHHLLH", 0, 0, *counts, _narrow(length), _narrow(start), 0)
    if count < 0xFFFF and max(length, start) < LIMIT:
        return b"PK\5\6" + end
    large = b"PK\6\6" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, count, count, length, start)
    locator = b"PK\6\7" + struct.pack("<LQL", 0, start + length, 1)
    return large + locator + b"PK\5\6" + end

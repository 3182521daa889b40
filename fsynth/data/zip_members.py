"""What a ZIP says of its members, and their bytes as they lie in the file.

`zipfile` reads the central directory. A member is then handed on as an archive of its own: a header
composed from the directory, the member's bytes, a trailer. So only one thing is taken from the local headers
(where the data start), and zip64, data descriptors and headers written before the sizes were known all take
one path.

Formats: PKWARE APPNOTE 6.3.9; WinZip "AES Encryption Information", AE-1 and AE-2.
"""

from __future__ import annotations

import os
import posixpath
import re
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fsynth.errors import DataError, not_now

PIECE = 8 << 20  # bytes read at once: a picture is one piece
ENCRYPTED, DESCRIPTOR = 1, 1 << 3
UNREADABLE_FLAGS = 1 << 4 | 1 << 5 | 1 << 6 | 1 << 13  # enhanced deflate, patches, PKWARE's own encryption
AES_METHOD, AES_EXTRA = 99, 0x9901
LOCAL_HEADER = 30  # bytes before name and extra field
NAME = 512  # bytes that these hardly ever fill
_LENGTHS = struct.Struct("<HH")


class DamagedError(Exception):
    """The bytes are not there, or not what the directory says."""


@dataclass(frozen=True, slots=True)
class Member:
    """What the central directory says of one member."""

    offset: int
    flags: int
    method: int
    time: int
    crc: int
    packed: int
    size: int
    aes: bytes = b""  # version, vendor, strength and the true method, where method is 99

    @property
    def encryption(self) -> Literal["none", "zipcrypto", "aes"]:
        if not self.flags & ENCRYPTED:
            return "none"
        return "aes" if self.method == AES_METHOD else "zipcrypto"

    @property
    def true_method(self) -> int:
        return struct.unpack_from("<H", self.aes, 5)[0] if len(self.aes) >= 7 else self.method

    @property
    def has_no_crc(self) -> bool:
        """AES as AE-2: its authentication code takes the checksum's place."""
        return self.aes[:2] == b"\2\0"

    @property
    def header(self) -> bytes:
        """A local header that says all there is to say, always with 64-bit sizes."""
        flags = self.flags & ENCRYPTED
        if self.encryption == "zipcrypto":  # decides which byte the password is first compared with
            flags |= self.flags & DESCRIPTOR
        extra = struct.pack("<HHQQ", 1, 16, self.size, self.packed)
        if self.aes:
            extra += struct.pack("<HH", AES_EXTRA, len(self.aes)) + self.aes
        fields = (51, flags, self.method, self.time, 0, self.crc, 0xFFFFFFFF, 0xFFFFFFFF, 0, len(extra))
        return b"PK\3\4" + struct.pack("<HHHHHLLLHH", *fields) + extra

    @property
    def trailer(self) -> bytes:
        """The data descriptor for a header that announces one, and the start of what would follow."""
        return b"PK\7\x08" + struct.pack("<LQQ", self.crc, self.packed, self.size) + b"PK\1\2"


def leaves_folder(name: str) -> bool:
    """Whether who unpacks this name, on whatever system, writes outside the folder (zip-slip): ``../x``,
    ``/x``, ``C:x``."""
    tidy = posixpath.normpath(name.replace("\\", "/"))
    return tidy.startswith(("/", "../")) or tidy == ".." or re.match("[A-Za-z]:", tidy) is not None


class ZipContents:
    """A file descriptor that closes itself, and the members found in the file, the last where a name is given
    twice (``repeated``), as `zipfile` does.

    It is read with `os.pread` only, which moves no shared position: threads and forked processes may use
    one descriptor at the same time.
    """

    def __init__(self, path: Path) -> None:
        if not hasattr(os, "pread"):
            raise DataError(f"cannot read {path}: this system has no pread; use Linux, macOS or WSL")
        try:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            gone = DataError(f"cannot open the archive {path} ({error.strerror}); check the path")
            raise not_now(path, error) or gone from None
        self.path = path
        found = _find_members(self.descriptor, path)
        self.members = dict(found)
        self.repeated = tuple(name for name, times in Counter(name for name, _ in found).items() if times > 1)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)

    def packed(self, member: Member) -> Iterator[bytes]:
        """The member as an archive of its own.

        Raises:
            DamagedError: the file does not hold it.
            UnreachableError: the file cannot be read now.
        """
        yield member.header
        local = self._read(LOCAL_HEADER, member.offset)
        if local[:4] != b"PK\3\4":
            raise DamagedError("there is no header at its place")
        start = member.offset + LOCAL_HEADER + sum(_LENGTHS.unpack_from(local, 26))
        for done in range(0, member.packed, PIECE):
            yield self._read(min(PIECE, member.packed - done), start + done)
        yield member.trailer

    def body(self, member: Member) -> bytes | None:
        """The member as it lies in the file, in one read; None where that is not to be had."""
        try:
            content = os.pread(self.descriptor, LOCAL_HEADER + NAME + member.packed, member.offset)
        except OSError:
            return None
        if content[:4] != b"PK\3\4" or len(content) < LOCAL_HEADER:
            return None
        start = LOCAL_HEADER + sum(_LENGTHS.unpack_from(content, 26))
        body = content[start : start + member.packed]
        return body if len(body) == member.packed else None

    def _read(self, length: int, position: int) -> bytes:
        try:
            content = os.pread(self.descriptor, length, position)
        except OSError as error:
            damaged = DamagedError(f"the disk reports: {error.strerror}")
            raise not_now(self.path, error) or damaged from None
        if len(content) < length:
            raise DamagedError("the file ends inside it")
        return content


def _find_members(descriptor: int, path: Path) -> list[tuple[str, Member]]:
    """The central directory without its folders; names with ``/``, also where a Windows tool wrote ``\\``."""
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file, zipfile.ZipFile(file) as directory:
            named = [(info.filename.replace("\\", "/"), info) for info in directory.infolist()]
            return [(name, _as_member(info)) for name, info in named if not name.endswith("/")]
    except OSError as error:
        damaged = DataError(f"cannot read the archive {path} ({error.strerror or error}); check the path")
        raise not_now(path, error) or damaged from None
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError) as error:
        if os.pread(descriptor, 4, 0) == b"PK\3\4":
            what = "is cut short or damaged: it begins as a ZIP, but its directory cannot be read"
        else:
            what = "is not a ZIP archive"
        raise DataError(f"{path} {what} ({error}); download it again") from None


def _as_member(info: zipfile.ZipInfo) -> Member:
    hour, minute, second = info.date_time[3:]
    time = hour << 11 | minute << 5 | second // 2
    sizes = (info.CRC, info.compress_size, info.file_size)
    return Member(info.header_offset, info.flag_bits, info.compress_type, time, *sizes, _aes_extra(info))


def _aes_extra(info: zipfile.ZipInfo) -> bytes:
    rest = info.extra if info.compress_type == AES_METHOD else b""
    while len(rest) >= 4:
        kind, length = struct.unpack_from("<HH", rest)
        if kind == AES_EXTRA:
            return rest[4 : 4 + length]
        rest = rest[4 + length :]
    return b""

"""Random access to the members of a ZIP, encrypted or not: traditional encryption (ZipCrypto), WinZip AES.

`fsynth.data.zip_members` finds the members; `fsynth.data.zip_unpack` decrypts and inflates one at once, and
`stream_unzip` (compiled) those that are large, packed in rarer ways or damaged. On 19 kB pictures that is
some 35 times as fast as `zipfile`: scripts/bench_archive.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import stream_unzip
from stream_inflate import StreamInflateError

from fsynth.data import zip_unpack
from fsynth.data.passwords import (
    HOW_TO_GIVE,
    current_password,
    find_password,
    forget_password,
    password_in,
    remember_password,
    variable_of,
)
from fsynth.data.zip_members import ENCRYPTED, PIECE, UNREADABLE_FLAGS, DamagedError, Member, ZipContents
from fsynth.errors import DataError, PasswordError

__all__ = ["Archive", "current_password", "find_password", "remember_password"]

JUDGES = 3  # members that a password is judged on
EVIDENCE = 16  # bytes; a member that is shorter proves little
METHODS = {
    0: "stored",
    8: "Deflate",
    9: "Deflate64",
    12: "bzip2",
    14: "LZMA",
    93: "Zstandard",
    95: "XZ",
    98: "PPMd",
}
READABLE = (0, 8, 9, 12)

UNZIP_ERRORS = (stream_unzip.UnzipError, StreamInflateError, EOFError)


class Archive:
    """A ZIP file, opened when first used; safe in threads, in forked and in spawned processes.

    Args:
        path: the ZIP file.
        password: kept in this object only. Without it, and in every copy or unpickled object, what the
            process knows counts (`current_password` of this file), also when it is set later.
    """

    def __init__(self, path: Path, password: bytes | None = None) -> None:
        self.path = Path(path)
        self._password = password
        self._opened: ZipContents | None = None
        self._variable: str | None = None  # where the process remembers the password
        self._proved: bytes | None = None  # a password that has opened a member

    def __repr__(self) -> str:
        return f"Archive({str(self.path)!r})"

    def __reduce__(self) -> tuple[type[Archive], tuple[Path]]:
        return Archive, (self.path.absolute(),)

    @property
    def names(self) -> tuple[str, ...]:
        """All members but folders, in the order of the directory.

        Raises:
            DataError: when the file is missing, cut short or no ZIP.
        """
        return tuple(self._file().members)

    @property
    def repeated(self) -> tuple[str, ...]:
        """Names that several members have; the last of them is read."""
        return self._file().repeated

    @property
    def encrypted(self) -> bool:
        """Whether any member is encrypted."""
        return any(member.flags & ENCRYPTED for member in self._file().members.values())

    def encryption(self, name: str) -> Literal["none", "zipcrypto", "aes"]:
        """How one member is encrypted."""
        return self._member(name).encryption

    def size(self, name: str) -> int:
        """Bytes of one member when read."""
        return self._member(name).size

    def checksum(self, name: str) -> str | None:
        """CRC-32 and size of one member's content as the directory says; None where it says no CRC-32."""
        member = self._member(name)
        return None if member.has_no_crc else f"{member.crc:08x} {member.size}"

    def packed_size(self, name: str) -> int:
        """Bytes of one member as it lies in the file."""
        return self._member(name).packed

    def read(self, name: str) -> bytes:
        """One member, decrypted, inflated and compared with its checksum.

        Raises:
            PasswordError: the password is missing or wrong.
            DataError: the archive or the member is missing, damaged or packed in a way we cannot read.
        """
        member = self._member(name)
        self._refuse_unreadable(name, member)
        password = self._password_for(member)
        content = self._at_once(member, password)
        return b"".join(self.chunks(name)) if content is None else content

    def chunks(self, name: str) -> Iterator[bytes]:
        """`read` for a large member, in pieces of at most 8 MiB; the checksum is compared after the last."""
        member = self._member(name)
        self._refuse_unreadable(name, member)
        password = self._password_for(member)
        try:
            yield from self._unpack(member, password)
        except (*UNZIP_ERRORS, DamagedError) as error:
            raise self._explain(name, password, error) from None
        self._note(member, password)

    def check_password(self) -> None:
        """Read three encrypted members to the end: small ones, from the start, middle and end of the archive.

        The format's own test lets one wrong password in 256 pass; the checksums of whole members do not.

        Raises:
            PasswordError: the password is missing or opens none of them.
            DataError: it opens some of them, so the others are damaged; or they cannot be read at all.
        """
        for name in self._judges():
            self.read(name)

    def unlock(self, password: bytes) -> None:
        """Judge a password as `check_password` does; the process remembers one that passes.

        Raises:
            PasswordError: it opens none of the members.
            DataError: members are damaged or cannot be read.
        """
        candidate = Archive(self.path, password)
        candidate._opened = self._file()
        try:
            candidate.check_password()
        except PasswordError:
            if password == current_password(self.path):
                forget_password(self.path)  # it opened what the file was before
            raise
        remember_password(password, self.path)

    def _file(self) -> ZipContents:
        opened = self._opened
        if opened is None:  # two threads may both open it; one of the two then closes itself
            opened = self._opened = ZipContents(self.path)
        return opened

    def _member(self, name: str) -> Member:
        members = self._file().members
        if name in members:
            return members[name]
        known = f"{len(members):,} members, the first {next(iter(members))!r}" if members else "no members"
        raise DataError(f"{self.path} has no member {name!r}; it has {known}")

    def _password_for(self, member: Member) -> bytes | None:
        if not member.flags & ENCRYPTED:
            return None
        if self._variable is None:
            self._variable = variable_of(self.path)
        password = self._password or password_in(self._variable)
        if password is None:
            raise PasswordError(f"{self.path} is encrypted and no password is given; {HOW_TO_GIVE}")
        return password

    def _refuse_unreadable(self, name: str, member: Member) -> None:
        if member.true_method in READABLE and not member.flags & UNREADABLE_FLAGS:
            return
        method = METHODS.get(member.true_method, f"method {member.true_method}")
        if member.flags & UNREADABLE_FLAGS:
            method = "PKWARE's own encryption or patches"
        under = " under AES" if member.encryption == "aes" else ""
        raise DataError(
            f"cannot read {name!r} in {self.path}: {method}{under} is not supported; "
            "pack the archive again with Deflate or without compression"
        )

    def _unpack(self, member: Member, password: bytes | None) -> Iterator[bytes]:
        packed = self._file().packed(member)
        _, _, pieces = next(stream_unzip.stream_unzip(packed, password=password, chunk_size=PIECE))
        left = member.size
        for piece in pieces:
            left -= len(piece)
            if left < 0:  # or a few bytes that inflate without end would fill the memory
                raise DamagedError("it inflates to more than the directory says")
            yield piece

    def _at_once(self, member: Member, password: bytes | None) -> bytes | None:
        """`zip_unpack` for what is no larger than a picture; None leaves it to `chunks`."""
        if max(member.packed, member.size) > PIECE:
            return None
        packed = self._file().body(member)
        content = None if packed is None else zip_unpack.unpack(member, packed, password)
        if content is not None:
            self._note(member, password)
        return content

    def _note(self, member: Member, password: bytes | None) -> None:
        """A password has opened a whole member."""
        if member.flags & ENCRYPTED and member.size >= EVIDENCE:
            self._proved = password

    def _judges(self) -> list[str]:
        """The smallest telling member of each third of the encrypted ones."""
        encrypted = [
            (name, member) for name, member in self._file().members.items() if member.flags & ENCRYPTED
        ]
        names = [name for name, member in encrypted if member.size >= EVIDENCE]
        names = names or [name for name, _ in encrypted]
        cuts = [len(names) * part // JUDGES for part in range(JUDGES + 1)]
        thirds = [names[start:end] for start, end in pairwise(cuts) if end > start]
        return [min(third, key=self.size) for third in thirds]

    def _explain(self, name: str, password: bytes | None, error: Exception) -> DataError:
        """Tell a wrong password from a damaged member: a right one opens other members."""
        damaged = DataError(
            f"{name!r} in {self.path} is damaged ({_reason(error)}); download the archive again"
        )
        if password is None or isinstance(error, DamagedError):
            return damaged
        others = [other for other in self._judges() if other != name]
        if password == self._proved or any(self._opens(other, password) for other in others):
            return damaged
        if others or isinstance(error, stream_unzip.IncorrectPasswordError):
            return PasswordError(f"wrong password: it does not open {name!r} in {self.path}; {HOW_TO_GIVE}")
        return PasswordError(
            f"{name!r} in {self.path} does not decrypt ({_reason(error)}): wrong password or "
            f"damaged file; {HOW_TO_GIVE}, or download the archive again"
        )

    def _opens(self, name: str, password: bytes) -> bool:
        try:
            for _ in self._unpack(self._member(name), password):
                pass
        except (*UNZIP_ERRORS, DamagedError):
            return False
        return True


def _reason(error: Exception) -> str:
    known = {
        stream_unzip.IncorrectPasswordError: "its test of the password fails",
        stream_unzip.TruncatedDataError: "its data end too early",
        stream_unzip.HMACIntegrityError: "its authentication code differs",
        stream_unzip.CRC32IntegrityError: "its checksum differs",
        stream_unzip.SizeIntegrityError: "its size differs",
        stream_unzip.UncompressError: "it does not inflate",
        StreamInflateError: "it does not inflate",
        EOFError: "it does not inflate",
        DamagedError: str(error),
    }
    return next((text for kind, text in known.items() if isinstance(error, kind)), type(error).__name__)

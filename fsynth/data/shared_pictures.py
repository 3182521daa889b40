"""Files of pictures in memory that all loader workers of a process share, filled by whoever reads one first.

One piece of anonymous memory without a name on any disk (Linux), laid out before the first read, in words of
64 bits but for the contents::

    count | keys, sorted | starts | sizes | marks | contents, one after the other

A key is a hash of the picture's path. A mark is 0 until the content stands in its slot, then its CRC with a
bit above it. It is written last and compared whenever the content is read, so nobody needs a lock: two who
fill a slot write the same, and one who is killed leaves a slot that counts as empty.
"""

from __future__ import annotations

import bisect
import hashlib
import mmap
import os
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate
from pathlib import Path

import numpy as np
from isal import isal_zlib

from fsynth.errors import DataError

WORD = 8
_FILLED = 1 << 32
_LABEL = "fsynth-pictures-"


class SharedPictures:
    """See the module text; safe in threads, in forked workers, and in spawned ones by `address`.

    Args:
        sizes: path -> bytes of each picture's file, as far as it is known.
        address: of memory that another process has made, instead.

    Raises:
        DataError: the memory cannot be had, or is gone.
    """

    def __init__(self, sizes: Mapping[str, int] | None = None, address: str = "") -> None:
        self.address, self._descriptor = address, -1
        try:
            if sizes is not None:
                self._make(dict(sizes))
            self._map()
        except OSError as error:
            raise DataError(
                f"no memory to share pictures in ({error.strerror or error}); leave --cache-images out"
            ) from None

    def get(self, path: str) -> bytes | None:
        """The file of a picture; None where nobody has put it here, or where it is damaged."""
        place = self._place(path)
        mark = 0 if place is None else self._words[self._marks + place]
        if not mark:
            return None
        start, size = self._words[self._starts + place], self._words[self._sizes + place]
        content = self._memory[start : start + size]
        return content if isal_zlib.crc32(content) | _FILLED == mark else None

    def put(self, path: str, content: bytes) -> None:
        """Keep a picture's file, where there is a slot of its size for it."""
        place = self._place(path)
        if place is None or self._words[self._sizes + place] != len(content):
            return
        start = self._words[self._starts + place]
        self._memory[start : start + len(content)] = content
        self._words[self._marks + place] = isal_zlib.crc32(content) | _FILLED

    def filled(self) -> int:
        """How many pictures are here."""
        return int(np.count_nonzero(self._words[self._marks : self._marks + self._count]))

    def __len__(self) -> int:
        return self._count

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def _place(self, path: str) -> int | None:
        key = _key(path)
        place = bisect.bisect_left(self._words, key, 1, 1 + self._count)
        return place - 1 if place <= self._count and self._words[place] == key else None

    def _make(self, sizes: dict[str, int]) -> None:
        index = _index(sizes)
        label = f"{_LABEL}{secrets.token_hex(8)}"
        self._descriptor = os.memfd_create(label)
        self.address = f"/proc/{os.getpid()}/fd/{self._descriptor}#{label}"
        os.truncate(self._descriptor, needed(sizes.values()))
        os.pwrite(self._descriptor, index, 0)

    def _map(self) -> None:
        file, _, label = self.address.partition("#")
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        try:
            if not _lives(file, label):
                raise FileNotFoundError(f"{file} is other memory")
            self._memory = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        self._count = int.from_bytes(self._memory[:WORD], "little")
        self._starts, self._sizes, self._marks = (1 + self._count * part for part in (1, 2, 3))
        self._words = memoryview(self._memory)[: _head(self._count)].cast("Q")


_kept: dict[str, SharedPictures] = {}
"""Start of the paths of a file's pictures -> where they are kept."""


def keep(sizes: Mapping[str, int], end: str) -> SharedPictures:
    """From now on `of` finds memory for these paths; ``end`` ends the part that those of one file share."""
    shared = SharedPictures(sizes)
    _kept.update((path.partition(end)[0], shared) for path in sizes)
    return shared


def of(start: str) -> SharedPictures | None:
    """Where the pictures are kept whose paths start so; None where they are not."""
    return _kept.get(start)


def forget(start: str) -> None:
    """Because the file is opened anew, and may be another; the memory goes when nobody uses it."""
    _kept.pop(start, None)


def addresses() -> dict[str, list[str]]:
    """What another process has to know: address -> starts of paths."""
    told: dict[str, list[str]] = {}
    for start, shared in _kept.items():
        told.setdefault(shared.address, []).append(start)
    return told


def join(told: Mapping[str, Iterable[str]]) -> None:
    """Share what another process keeps, as far as it still lives; what this one keeps itself stays."""
    for address, starts in told.items():
        new = [start for start in starts if start not in _kept]
        file, _, label = address.partition("#")
        if new and _lives(file, label):
            _kept.update(dict.fromkeys(new, SharedPictures(address=address)))


def needed(sizes: Iterable[int]) -> int:
    """Bytes of memory for pictures of these sizes."""
    every = list(sizes)
    return _head(len(every)) + sum(every)


def _head(count: int) -> int:
    return WORD * (1 + 4 * count)


def _lives(file: str, label: str) -> bool:
    """Whether the address still is that memory: its process may have ended and its number be another's."""
    try:
        return Path(file).readlink().name.startswith(f"memfd:{label} ")
    except OSError:
        return False


def _key(path: str) -> int:
    return int.from_bytes(hashlib.blake2b(path.encode(), digest_size=WORD).digest(), "little")


def _index(sizes: dict[str, int]) -> bytes:
    """All before the contents. Of paths with one key (3 chances in 10**8 for a million) none is kept."""
    keyed = sorted((_key(path), size) for path, size in sizes.items())
    often = Counter(key for key, _ in keyed)
    lengths = [size if often[key] == 1 else 0 for key, size in keyed]
    first = _head(len(keyed))
    starts = list(accumulate(lengths[:-1], initial=first)) if keyed else []
    columns = ([len(keyed)], [key for key, _ in keyed], starts, lengths)
    return b"".join(np.array(column, np.uint64).tobytes() for column in columns)

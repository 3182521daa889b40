"""What lies where in a WebDataset shard: found by walking through its headers once.

The index is kept in the cache folder, under the shard's address and version: names, places and the contents
of the ``.txt`` and ``.json`` members, no pictures.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from fsynth import outputs
from fsynth.console import is_main_process
from fsynth.data import addresses, caches, remote
from fsynth.data.remote import RemoteFile
from fsynth.errors import DataError, OutputError

TEXTS = (".txt", ".json")
LARGEST_TEXT = 2**20
"""Bytes of a ``.txt`` or ``.json`` that is read as a sentence."""
WORTH_KEEPING = 1000
"""Members from which on the index of a shard on this machine is kept: fewer are found again in no time."""
THREADS = 8
"""Remote shards that are walked through at once."""
FORMAT = "1"

_KEY = b"fsynth"


@dataclass(frozen=True)
class Member:
    """``name``, place in the shard in bytes, and what a text holds (None for anything else)."""

    name: str
    offset: int
    size: int
    text: bytes | None

    @property
    def key(self) -> str:
        """The name up to the first dot of the file: what the members of a sample share."""
        folder, _, file = self.name.rpartition("/")
        stem = file.partition(".")[0]
        return f"{folder}/{stem}" if folder else stem

    @property
    def suffix(self) -> str:
        """What follows: ``.jpg``, ``.seg.png``; in lower case."""
        return f".{self.name.rpartition('/')[2].partition('.')[2].lower()}"


@dataclass(frozen=True)
class Shard:
    """A shard and what is in it, in the order of the file. ``file``: None for one on this machine."""

    address: str
    members: tuple[Member, ...]
    file: RemoteFile | None


def read_all(shards: Sequence[str]) -> list[Shard]:
    """The shards with their members; remote ones several at once, behind a progress bar, or from the cache.

    Raises:
        DataError: a shard that is not there, not whole or no plain tar file.
        MissingPackage: for an address whose scheme needs another package.
    """
    from tqdm.auto import tqdm

    far = sum(map(addresses.is_far, shards))
    hidden = not far or not is_main_process()
    with (
        ThreadPoolExecutor(THREADS if far else 1) as pool,
        tqdm(total=len(shards), desc="looking into shards", unit="shard", disable=hidden, delay=1) as bar,
    ):
        stop = threading.Event()
        found = [pool.submit(_read, shard, stop) for shard in shards]
        try:
            return [_counted(future.result(), bar) for future in found]
        finally:
            stop.set()  # or the keyboard would wait for walks through whole shards
            pool.shutdown(cancel_futures=True)


def walk(
    shard: str, file: RemoteFile | None = None, stop: threading.Event | None = None
) -> Iterator[tuple[Member, BinaryIO]]:
    """The files in a shard, each with what opens it until the next one is taken; texts are read.

    Args:
        stop: see `remote.look`.

    Raises:
        DataError: see `read_all`.
    """
    where = addresses.shown(shard)
    try:
        with contextlib.closing(_open(shard, file, stop)) as opened:
            whole = opened.seek(0, io.SEEK_END)
            opened.seek(0)
            with tarfile.open(fileobj=opened, mode="r:") as tar:
                for info in tar:
                    tar.members = []  # or all headers would stay in memory
                    if info.offset_data + info.size > whole:
                        raise tarfile.ReadError(f"{info.name} is cut off")
                    if info.isfile():
                        content = cast(BinaryIO, tar.extractfile(info))
                        yield _member(info, content), content
                opened.seek(tar.offset)
                if opened.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
                    raise tarfile.ReadError("it stops without the mark of its end: it is cut off")
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"cannot read the shard {where} ({error}); get it again, as a plain .tar") from None


def _member(info: tarfile.TarInfo, content: BinaryIO) -> Member:
    member = Member(info.name, info.offset_data, info.size, None)
    if member.suffix in TEXTS and info.size <= LARGEST_TEXT:
        return dataclasses.replace(member, text=content.read())
    return member


def _counted(shard: Shard, bar: object) -> Shard:
    bar.update()  # type: ignore[attr-defined]
    return shard


def _open(shard: str, file: RemoteFile | None, stop: threading.Event | None) -> BinaryIO:
    if addresses.is_far(shard):
        return cast(BinaryIO, remote.Window(file or remote.look(shard), stop))
    return open(shard, "rb")


def _read(shard: str, stop: threading.Event) -> Shard:
    file = remote.look(shard, stop) if addresses.is_far(shard) else None
    version = file.mark if file else _state(Path(shard))
    keeps = file is None or file.versioned  # else new content of the same size would get the old sentences
    members = _kept(shard, version) if keeps else None
    if members is None:
        with _alone(shard, file):
            members = _kept(shard, version) if keeps else None
            members = members or tuple(_until(stop, walk(shard, file, stop)))
            if keeps and (file or len(members) >= WORTH_KEEPING):
                _keep(shard, version, members)
    return Shard(shard, members, file)


def _until(stop: threading.Event, walked: Iterator[tuple[Member, BinaryIO]]) -> Iterator[Member]:
    for member, _ in walked:
        if stop.is_set():
            raise DataError("another shard could not be read")  # nobody waits for this one any more
        yield member


@contextlib.contextmanager
def _alone(shard: str, file: RemoteFile | None) -> Iterator[None]:
    """The processes of a launch share the walk through remote shards; without a cache each does it all."""
    with contextlib.ExitStack() as held:
        if file:
            with contextlib.suppress(OutputError):
                held.enter_context(caches.alone(_place(shard)))
        yield


def _state(file: Path) -> str:
    try:
        stat = file.stat()
    except OSError as error:
        raise DataError(f"cannot open the shard {file} ({error.strerror}); check the path") from None
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"


def _place(shard: str) -> Path:
    name = hashlib.sha256(shard.encode()).hexdigest()[:32]
    return outputs.cache_folder() / "shards" / f"{name}.parquet"


def _kept(shard: str, version: str) -> tuple[Member, ...] | None:
    """The members that an earlier process found, if the shard is still the same."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(_place(shard))
    except (OSError, pa.ArrowException):
        return None
    if (table.schema.metadata or {}).get(_KEY) != _stamp(version):
        return None
    columns = (table.column(name).to_pylist() for name in ("name", "offset", "size", "text"))
    return tuple(Member(*values) for values in zip(*columns, strict=True))


def _keep(shard: str, version: str, members: Sequence[Member]) -> None:
    """A cache that cannot be written is no reason to stop: the shard is walked through again next time."""
    import pyarrow as pa
    from pyarrow import parquet

    types = {"name": pa.string(), "offset": pa.int64(), "size": pa.int64(), "text": pa.binary()}
    columns = {name: pa.array([getattr(one, name) for one in members], kind) for name, kind in types.items()}
    table = pa.table(columns).replace_schema_metadata({_KEY: _stamp(version)})
    place = _place(shard)
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        outputs.write_file(place, lambda beside: parquet.write_table(table, beside))


def _stamp(version: str) -> bytes:
    return f"{FORMAT} {version}".encode()

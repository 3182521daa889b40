"""Pictures of ``G2.h5``: a dataset N,C,W,H of 128 px, stored with the mean picture taken off.

The file is read where it lies, or, out of an encrypted ``G2.zip``, from a copy in anonymous memory that
loader workers share and that never has a name on any disk.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from fsynth import console
from fsynth.data.archive import Archive, remember_password
from fsynth.errors import DataError, UnreachableError, not_now

if TYPE_CHECKING:
    from numpy.typing import NDArray

PICTURES, MEAN, SEGMENTATION = "ih", "ih_mean", "b_"
_GIB = 2**30
_SHOWN = 2**28  # bytes: decrypting more takes several seconds
_CHUNK_CACHE = 2**25  # bytes: a file with many rows per chunk is not unpacked anew for every row


class HDF5Pictures:
    """The pictures of one HDF5 file, upright; safe in forked and spawned workers and in threads.

    Args:
        file: ``G2.h5``, or the ZIP that holds it.
        address: where the unpacked copy of a ZIP's HDF5 is in memory, when another process made it.
        memory_limit: largest HDF5 in bytes to unpack from a ZIP; None for no limit.
        password: of the ZIP; the process remembers one that opens it. None for `current_password`.

    Raises:
        DataError: when the file cannot be opened, lacks a variable or has another layout.
        PasswordError: when the ZIP's password is missing or wrong.
    """

    def __init__(
        self,
        file: Path,
        address: str | None = None,
        memory_limit: int | None = None,
        password: bytes | None = None,
    ) -> None:
        self.file = file
        self.address, self.memory_limit = address, memory_limit
        self._memory: int | bytes | None = None
        self._opened: tuple[int, Any, NDArray[np.float32]] | None = None
        if file.suffix.lower() == ".zip" and not _is_copy_of(file, address):
            self._unpack(password)
            if password is not None:
                remember_password(password, file)

    @property
    def rows(self) -> int:
        """How many pictures there are."""
        return int(self._open()[0].shape[0])

    def counts(self) -> dict[str, int]:
        """Rows of every per-row variable in the file: what it is -> rows."""
        pictures, _ = self._open()
        file = pictures.file
        return {
            f"{name} in {self.file}": int(file[name].shape[0])
            for name in (PICTURES, SEGMENTATION)
            if name in file
        }

    @property
    def in_memory(self) -> bool:
        """Whether the file is a copy that was unpacked into memory."""
        return self._memory is not None or self.address is not None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of every picture."""
        _, mean = self._open()
        return mean.shape[2], mean.shape[1]

    def read(self, row: int) -> NDArray[np.uint8]:
        """One picture, (height, width, 3) RGB: mean added, axes swapped, clipped to 0..1, rounded to bytes.

        Raises:
            DataError: when the row cannot be read.
            UnreachableError: when the file cannot be read now.
        """
        pictures, mean = self._open()
        try:
            values = pictures[row].astype(np.float32) + mean
        except (OSError, IndexError, ValueError) as error:
            damaged = DataError(
                f"cannot read row {row + 1} of {PICTURES} in {self.file} ({error}); download it again"
            )
            raise _not_now(self.file, error) or damaged from None
        return np.rint(values.transpose(2, 1, 0).clip(0, 1) * 255).astype(np.uint8)

    def _open(self) -> tuple[Any, NDArray[np.float32]]:
        """Picture variable and mean; opened anew in each process: HDF5 handles do not survive a fork."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), *self._open_file())
        return self._opened[1:]

    def _open_file(self) -> tuple[Any, NDArray[np.float32]]:
        import h5py

        try:
            file = h5py.File(self._content(), "r", locking=False, rdcc_nbytes=_CHUNK_CACHE)
        except OSError as error:
            damaged = DataError(f"cannot open {self.file} as HDF5 ({error}); download it again")
            raise _not_now(self.file, error) or damaged from None
        for name in (PICTURES, MEAN):
            if name not in file:
                raise DataError(f"{self.file} lacks {name}; it is not the benchmark's G2.h5")
        pictures, mean = file[PICTURES], file[MEAN][...].astype(np.float32)
        if pictures.ndim != 4 or pictures.shape[1] != 3 or mean.squeeze().shape != pictures.shape[1:]:
            raise DataError(
                f"{self.file}: {PICTURES} {pictures.shape} and {MEAN} {mean.shape} should be "
                "(N, 3, W, H) and (3, W, H); it is not the benchmark's G2.h5"
            )
        return pictures, mean.squeeze()

    def _content(self) -> Path | BinaryIO:
        """What HDF5 opens. It refuses the path of anonymous memory, so that is handed over opened."""
        if isinstance(self._memory, bytes):
            return io.BytesIO(self._memory)
        return open(self.address, "rb") if self.address else self.file

    def _unpack(self, password: bytes | None) -> None:
        zipped = Archive(self.file, password)
        member = member_of(zipped, self.file)
        size, memory_limit = zipped.size(member), self.memory_limit
        if memory_limit is not None and size > memory_limit:
            raise DataError(
                f"{member} in {self.file} has {size / _GIB:.2f} GiB, more than the --memory-limit of "
                f"{memory_limit / _GIB:.2f} GiB; raise it, or write the file to the disk once with "
                "fsynth data-export --format hdf5"
            )
        if not hasattr(os, "memfd_create"):
            # not Linux: forked workers share these pages, spawned ones unpack
            self._memory = zipped.read(member)
            return
        self._memory = os.memfd_create(_label(self.file))
        with open(self._memory, "wb", closefd=False) as copy:
            copy.writelines(shown(zipped.chunks(member), size, self.file.name))
        self.address = f"/proc/{os.getpid()}/fd/{self._memory}"

    def __del__(self) -> None:
        if isinstance(self._memory, int):
            os.close(self._memory)


def member_of(zipped: Archive, file: Path) -> str:
    """The HDF5's name in the ZIP (in the benchmark's: ``data_release/supervision_signals/G2.h5``).

    Raises:
        DataError: when the ZIP holds none.
    """
    inside = [name for name in zipped.names if name.lower().endswith((".h5", ".hdf5"))]
    named = [name for name in inside if Path(name).name.lower() == "g2.h5"] or inside
    if not named:
        raise DataError(f"{file} holds no G2.h5; download it again")
    return min(named, key=lambda name: (len(name), name))


def shown(pieces: Iterator[bytes], size: int, name: str) -> Iterator[bytes]:
    """The pieces, with a progress bar where they are many."""
    from tqdm import tqdm

    quiet = size < _SHOWN or not console.is_main_process()
    with tqdm(total=size, unit="B", unit_scale=True, desc=f"decrypting {name}", disable=quiet) as bar:
        for piece in pieces:
            yield piece
            bar.update(len(piece))


def _not_now(file: Path, error: Exception) -> UnreachableError | None:
    """`not_now`; of a failed read HDF5 gives the system's number in words only."""
    told = re.search(r"\berrno = (\d+)", str(error))
    return not_now(file, error, int(told[1]) if told else None) if isinstance(error, OSError) else None


def _label(file: Path) -> str:
    return f"fsynth-{hashlib.sha256(os.fsencode(file)).hexdigest()[:16]}"


def _is_copy_of(file: Path, address: str | None) -> bool:
    """Whether the address still is the copy: its process may have ended and its number been given anew."""
    try:
        return address is not None and Path(address).readlink().name.startswith(f"memfd:{_label(file)}")
    except OSError:
        return False

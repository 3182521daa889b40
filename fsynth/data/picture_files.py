"""Pictures as files that never touch the disk: fsspec file systems over a ZIP, an HDF5 and tar files.

``datasets.Image`` opens ``fsynth-...://`` paths through them, one picture at a time::

    fsynth-zip://data/Img/img.zip!/img/Some_Dress/img_00000001.jpg    (/data/Img/img.zip)
    fsynth-hdf5://data/Img/G2.h5!/17
    fsynth-tar://data/train-0.tar!/1536/18211/img_1.jpg    (offset, size and name of the member)
    fsynth-remote-tar://https%3A%2F%2Fhost%2F0.tar!/1536/18211/f00.../img_1.jpg    (and the file's mark)

Both parts are percent-encoded; a file's first slash is left out, because `datasets` tidies paths and would
take it away. A path holds no password: the archive of each process does. A forked loader
worker inherits file systems and archives; a spawned one has to register the file systems, which pickled
datasets see to (`register`), and finds the password in the environment.
"""

from __future__ import annotations

import copyreg
import io
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import fsspec

from fsynth.data import addresses, remote
from fsynth.data.archive import Archive
from fsynth.data.hdf5_pictures import HDF5Pictures
from fsynth.errors import DataError

if TYPE_CHECKING:
    import datasets

ZIP, HDF5, TAR, REMOTE_TAR = "fsynth-zip", "fsynth-hdf5", "fsynth-tar", "fsynth-remote-tar"
LARGEST = 2**28
"""Bytes of a member that is read as a picture: a larger one is no picture but a decompression bomb."""

_archives: dict[str, Archive] = {}
_states: dict[str, tuple[int, ...]] = {}  # size, time and inode of the archives when they were opened
_hdf5: dict[str, HDF5Pictures] = {}
_elsewhere: dict[str, tuple[str | None, int | None]] = {}
"""HDF5 files that another process has opened: where they are unpacked in memory, and the memory limit."""


def open_archive(file: Path) -> Archive:
    """This process' archive of a file: its directory is read once, and again when the file has changed.

    Raises:
        DataError: when the file is not there.
    """
    key = str(file.resolve())
    try:
        stat = file.stat()
    except OSError as error:
        raise DataError(f"cannot open the archive {file} ({error.strerror}); check the path") from None
    state = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    if _states.get(key) != state:
        _archives[key], _states[key] = Archive(file), state
    return _archives[key]


def zip_paths(file: Path, members: list[str]) -> list[str]:
    """Paths of the members of a ZIP."""
    return [_url(ZIP, str(file.resolve()), member) for member in members]


def hdf5_paths(pictures: HDF5Pictures, rows: int) -> list[str]:
    """Paths of the first ``rows`` pictures; from now on this process reads them through ``pictures``."""
    file = str(pictures.file.resolve())
    _hdf5[file] = pictures
    return [_url(HDF5, file, str(row)) for row in range(rows)]


def tar_path(file: Path, member: str, offset: int, size: int) -> str:
    """Path of a member of an uncompressed tar file, by its place in the file."""
    return _url(TAR, str(file.resolve()), f"{offset}/{size}/{member}")


def remote_tar_path(file: remote.RemoteFile, member: str, offset: int, size: int) -> str:
    """`tar_path` in a file elsewhere; reading it notices when the file has changed."""
    return _url(REMOTE_TAR, file.address, f"{offset}/{size}/{file.mark}/{member}", slashes="")


class ZipPictures(fsspec.AbstractFileSystem):
    """Members of (encrypted) ZIPs, read only."""

    protocol = ZIP

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        file, member = _parts(path, mode)
        archive = _archives.get(file) or open_archive(Path(file))
        if archive.size(member) > LARGEST:
            raise DataError(
                f"{member} in {file} would have {archive.size(member):,} bytes, more than any picture; "
                "it is a decompression bomb: get the archive again"
            )
        content = archive.read(member)
        check_picture(content, f"{member} in {file}")
        return io.BytesIO(content)


class HDF5PictureFiles(fsspec.AbstractFileSystem):
    """Rows of an HDF5, read only, each as a BMP: no loss, and the fastest format to write and to read."""

    protocol = HDF5

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        from PIL import Image

        file, row = _parts(path, mode)
        content = io.BytesIO()
        Image.fromarray(_pictures(file).read(int(row))).save(content, "BMP")
        content.seek(0)
        return content


class TarPictures(fsspec.AbstractFileSystem):
    """Members of tar files, read only."""

    protocol = TAR

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        file, inside = _parts(path, mode)
        offset, size, member = inside.split("/", 2)
        with open(file, "rb") as tar:
            tar.seek(int(offset))
            content = tar.read(int(size))
        check_picture(content, f"{member} in {file}")
        return io.BytesIO(content)


class RemoteTarPictures(fsspec.AbstractFileSystem):
    """Members of tar files elsewhere, read only: each is one request."""

    protocol = REMOTE_TAR

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        file, inside = _parts(path, mode)
        address = file.removeprefix("/")
        offset, size, mark, member = inside.split("/", 3)
        content = remote.read(address, int(offset), int(size), mark)
        check_picture(content, f"{member} in {addresses.shown(address)}")
        return io.BytesIO(content)


def check_picture(content: bytes, where: str) -> None:
    """Refuse what cannot be decoded.

    A JPEG with its end in place is opened only, anything else decoded: a picture cut short opens well too.

    Raises:
        DataError: naming ``where``.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.format != "JPEG" or b"\xff\xd9" not in content[-1024:]:
                picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "no known picture format" if isinstance(error, Image.UnidentifiedImageError) else error
        raise DataError(f"{where} is not a picture ({reason}); get the archive again") from None


def register() -> None:
    """Make the file systems known to fsspec, and make pickled datasets do so where they are unpickled.

    The pickling of a `datasets.Dataset` that holds paths of ours gains one step; that of others stays as it
    is. Safe to call again.
    """
    import datasets

    fsspec.register_implementation(ZIP, ZipPictures, clobber=True)
    fsspec.register_implementation(HDF5, HDF5PictureFiles, clobber=True)
    fsspec.register_implementation(TAR, TarPictures, clobber=True)
    fsspec.register_implementation(REMOTE_TAR, RemoteTarPictures, clobber=True)
    copyreg.pickle(datasets.Dataset, _reduce)


def _reduce(dataset: datasets.Dataset) -> tuple[Any, ...]:
    make, arguments, *state = object.__reduce_ex__(dataset, 2)
    if not _holds_our_paths(dataset):
        return make, arguments, *state
    opened = {file: (pictures.address, pictures.memory_limit) for file, pictures in _hdf5.items()}
    return _revive, ({**_elsewhere, **opened}, *arguments), *state


def _revive(
    elsewhere: dict[str, tuple[str | None, int | None]], kind: type[datasets.Dataset]
) -> datasets.Dataset:
    """What unpickling calls first: importing this module and registering is its purpose."""
    register()
    _elsewhere.update(elsewhere)
    return kind.__new__(kind)


def _holds_our_paths(dataset: datasets.Dataset) -> bool:
    import datasets

    columns = [name for name, feature in dataset.features.items() if isinstance(feature, datasets.Image)]
    firsts = (
        chunk[0].as_py() or {} for name in columns for chunk in dataset.data.column(name).chunks if len(chunk)
    )
    return any((first.get("path") or "").startswith("fsynth-") for first in firsts)


def _url(protocol: str, file: str, inside: str, slashes: str = "/") -> str:
    tidy = posixpath.normpath(inside) == inside  # else slashes are encoded too: nobody may tidy the name
    place = quote(file.removeprefix("/"), safe=slashes)
    return f"{protocol}://{place}!/{quote(inside, safe='/' if tidy else '')}"


def _parts(path: str, mode: str) -> tuple[str, str]:
    if mode != "rb":
        raise OSError(f"pictures are read only: {path} cannot be opened with mode {mode}")
    file, _, inside = path.partition("!/")
    return "/" + unquote(file), unquote(inside)


def _pictures(file: str) -> HDF5Pictures:
    if file not in _hdf5:
        _hdf5[file] = HDF5Pictures(Path(file), *_elsewhere.get(file, (None, None)))
    return _hdf5[file]

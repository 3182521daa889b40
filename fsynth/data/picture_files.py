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
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import fsspec

from fsynth.data import addresses, remote, shared_pictures
from fsynth.data.archive import Archive
from fsynth.data.hdf5_pictures import HDF5Pictures
from fsynth.data.zip_members import leaves_folder
from fsynth.errors import DataError, UnreachableError, not_now, reason

if TYPE_CHECKING:
    import datasets

ZIP, HDF5, TAR, REMOTE_TAR = "fsynth-zip", "fsynth-hdf5", "fsynth-tar", "fsynth-remote-tar"
LARGEST = 2**28
"""Bytes of a member that is read as a picture: a larger one is no picture but a decompression bomb."""

INSIDE = "!/"
"""Between a file and the place in it."""
BMP_HEADER = 54  # bytes

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
        gone = DataError(f"cannot open the archive {file} ({error.strerror}); check the path")
        raise not_now(file, error) or gone from None
    state = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    if _states.get(key) != state:
        _archives[key], _states[key] = Archive(file), state
    return _archives[key]


def zip_paths(file: Path, members: list[str]) -> list[str]:
    """Paths of the members of a ZIP."""
    start = _opened(ZIP, file)
    return [_url(start, member) for member in members]


def hdf5_paths(pictures: HDF5Pictures, rows: int) -> list[str]:
    """Paths of the first ``rows`` pictures; from now on this process reads them through ``pictures``."""
    _hdf5[str(pictures.file.resolve())] = pictures
    start = _opened(HDF5, pictures.file)
    return [_url(start, str(row)) for row in range(rows)]


def tar_paths(file: Path, members: Iterable[tuple[str, int, int]]) -> list[str]:
    """Paths of members of an uncompressed tar file, by name, offset and size."""
    start = _opened(TAR, file)
    return [_url(start, f"{offset}/{size}/{member}") for member, offset, size in members]


def remote_tar_paths(file: remote.RemoteFile, members: Iterable[tuple[str, int, int]]) -> list[str]:
    """`tar_paths` in a file elsewhere; reading them notices when the file has changed."""
    start = _start(REMOTE_TAR, file.address, slashes="")
    return [_url(start, f"{offset}/{size}/{file.mark}/{member}") for member, offset, size in members]


def is_ours(path: str) -> bool:
    """Whether `read` knows the path."""
    return path.startswith("fsynth-") and path.partition("://")[0] in _CONTENTS


def read(path: str) -> bytes:
    """The file that a path names: a member as it is, a row of an HDF5 as a BMP; from memory, where
    `shared_pictures` keeps it.

    Raises:
        DataError: it is missing or damaged, larger than any picture, or named as if to leave its folder.
        UnreachableError: its file cannot be read now.
        PasswordError: the password is missing or wrong.
    """
    protocol, _, place = path.partition("://")
    shared = shared_pictures.of(path.partition(INSIDE)[0])
    content = None if shared is None else shared.get(path)
    if content is None:
        content = _CONTENTS[protocol](*_parts(place))
        if shared is not None:
            shared.put(path, content)
    return content


def size_of(path: str) -> int:
    """Bytes of what `read` gives, without reading it.

    Raises:
        DataError: the file is missing, or has no such member.
    """
    protocol, _, place = path.partition("://")
    file, inside = _parts(place)
    if protocol == ZIP:
        return _archive(file).size(inside)
    if protocol == HDF5:
        height, width = _pictures(file).shape
        return BMP_HEADER + height * (-(-3 * width // 4) * 4)  # lines are filled up to four bytes
    return int(inside.split("/", 2)[1])


def checksum(path: str) -> str | None:
    """Checksum and size of a member of a ZIP as its directory says them; None where nothing does.

    Raises:
        DataError: the file is missing, or has no such member.
    """
    protocol, _, place = path.partition("://")
    file, inside = _parts(place)
    return _archive(file).checksum(inside) if protocol == ZIP else None


def in_memory(path: str) -> bool:
    """Whether a picture lies in memory already: in an HDF5 that was unpacked from its ZIP."""
    protocol, _, place = path.partition("://")
    return protocol == HDF5 and _pictures(_parts(place)[0]).in_memory


def state(path: str) -> str:
    """What changes with the file that a path of ours lies in, or with the version of one elsewhere."""
    protocol, _, place = path.partition("://")
    file, inside = _parts(place)
    return inside if protocol == REMOTE_TAR else file_state(file)


def file_state(file: str | Path) -> str:
    """Size and time of a file here; empty where it is not there."""
    try:
        stat = Path(file).stat()
    except OSError:
        return ""
    return f"{stat.st_size} {stat.st_mtime_ns}"


def no_picture(path: str, error: Exception) -> DataError:
    """What to say of a path whose content a decoder refused, with one of `undecodable`."""
    protocol, _, place = path.partition("://")
    file, inside = _parts(place)
    before = {TAR: 2, REMOTE_TAR: 3}.get(protocol, 0)  # numbers before the name
    member = inside.split("/", before)[-1] if before else inside
    file = addresses.shown(file.removeprefix("/")) if protocol == REMOTE_TAR else file
    return DataError(f"{member} in {file} is not a picture ({fault(error)}); get the archive again")


def fault(error: Exception) -> str:
    """Why a decoder refused a content, with one of `undecodable`; Pillow's own words may hold an object."""
    from PIL import Image

    return "no known picture format" if isinstance(error, Image.UnidentifiedImageError) else reason(error)


def undecodable() -> tuple[type[Exception], ...]:
    """What picture decoders raise."""
    from PIL import Image

    return OSError, SyntaxError, ValueError, Image.DecompressionBombError


def _member_of_zip(file: str, member: str) -> bytes:
    _refuse_outside(file, member)
    archive = _archive(file)
    _refuse_bomb(file, member, archive.size(member))
    return archive.read(member)


def _row_of_hdf5(file: str, row: str) -> bytes:
    """As a BMP: no loss, and the fastest format to write and to read."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(_pictures(file).read(int(row))).save(content, "BMP")
    return content.getvalue()


def _member_of_tar(file: str, inside: str) -> bytes:
    offset, size, member = inside.split("/", 2)
    _refuse_outside(file, member)
    _refuse_bomb(file, member, int(size))
    try:
        with open(file, "rb") as tar:
            tar.seek(int(offset))
            content = tar.read(int(size))
    except OSError as error:
        gone = DataError(f"cannot read {member} in {file} ({error.strerror}); get the shard again")
        raise not_now(f"{member} in {file}", error) or gone from None
    if len(content) < int(size):
        raise DataError(f"{file} ends inside {member}: it was cut short; get the shard again")
    return content


def _member_of_remote_tar(file: str, inside: str) -> bytes:
    """Each is one request."""
    address = file.removeprefix("/")
    offset, size, mark, member = inside.split("/", 3)
    _refuse_outside(addresses.shown(address), member)
    _refuse_bomb(addresses.shown(address), member, int(size))
    try:
        return remote.read(address, int(offset), int(size), mark)
    except DataError as error:
        raise UnreachableError(str(error)) from None


_CONTENTS: dict[str, Callable[[str, str], bytes]] = {
    ZIP: _member_of_zip,
    HDF5: _row_of_hdf5,
    TAR: _member_of_tar,
    REMOTE_TAR: _member_of_remote_tar,
}


def _refuse_outside(file: str, member: str) -> None:
    if leaves_folder(member):
        raise DataError(
            f"{member!r} in {file} is named to leave the folder it is unpacked into; "
            "get the archive from its own publisher"
        )


def _refuse_bomb(file: str, member: str, size: int) -> None:
    if size > LARGEST:
        raise DataError(
            f"{member} in {file} would have {size:,} bytes, more than any picture; "
            "it is a decompression bomb: get the archive again"
        )


class _PictureFiles(fsspec.AbstractFileSystem):
    """Read only. Nobody is known who decodes what is opened here, so that it is checked before."""

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        if mode != "rb":
            raise OSError(f"pictures are read only: {path} cannot be opened with mode {mode}")
        whole = f"{self.protocol}://{path}"
        content = read(whole)
        try:
            check_picture(content)
        except undecodable() as error:
            raise no_picture(whole, error) from None
        return io.BytesIO(content)


class ZipPictures(_PictureFiles):
    """Members of (encrypted) ZIPs."""

    protocol = ZIP


class HDF5PictureFiles(_PictureFiles):
    """Rows of an HDF5."""

    protocol = HDF5


class TarPictures(_PictureFiles):
    """Members of tar files."""

    protocol = TAR


class RemoteTarPictures(_PictureFiles):
    """Members of tar files elsewhere."""

    protocol = REMOTE_TAR


def check_picture(content: bytes) -> None:
    """Refuse what cannot be decoded.

    A JPEG with its end in place is opened only, anything else decoded: a picture cut short opens well too.

    Raises:
        Exception: one of `undecodable`.
    """
    from PIL import Image

    with Image.open(io.BytesIO(content)) as picture:
        if picture.format != "JPEG" or b"\xff\xd9" not in content[-1024:]:
            picture.load()


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
    return _revive, ({**_elsewhere, **opened}, shared_pictures.addresses(), *arguments), *state


def _revive(
    elsewhere: dict[str, tuple[str | None, int | None]],
    shared: dict[str, list[str]],
    kind: type[datasets.Dataset],
) -> datasets.Dataset:
    """What unpickling calls first: importing this module and registering is its purpose."""
    register()
    _elsewhere.update(elsewhere)
    shared_pictures.join(shared)
    return kind.__new__(kind)


def _holds_our_paths(dataset: datasets.Dataset) -> bool:
    import datasets

    columns = [name for name, feature in dataset.features.items() if isinstance(feature, datasets.Image)]
    firsts = (
        chunk[0].as_py() or {} for name in columns for chunk in dataset.data.column(name).chunks if len(chunk)
    )
    return any((first.get("path") or "").startswith("fsynth-") for first in firsts)


def _url(start: str, inside: str) -> str:
    tidy = posixpath.normpath(inside) == inside  # else slashes are encoded too: nobody may tidy the name
    return start + INSIDE + quote(inside, safe="/" if tidy else "")


def _opened(protocol: str, file: Path) -> str:
    """`_start` of a file here that is opened anew: what memory keeps of its pictures may be of another.

    Resolving looks at every folder above: once a file, not for each of its members.
    """
    start = _start(protocol, str(file.resolve()))
    shared_pictures.forget(start)
    return start


def _start(protocol: str, file: str, slashes: str = "/") -> str:
    """What the paths of all pictures of a file begin with."""
    return f"{protocol}://{quote(file.removeprefix('/'), safe=slashes)}"


def _parts(place: str) -> tuple[str, str]:
    """File and name inside it."""
    file, _, inside = place.partition(INSIDE)
    return "/" + unquote(file), unquote(inside)


def _archive(file: str) -> Archive:
    return _archives.get(file) or open_archive(Path(file))


def _pictures(file: str) -> HDF5Pictures:
    if file not in _hdf5:
        _hdf5[file] = HDF5Pictures(Path(file), *_elsewhere.get(file, (None, None)))
    return _hdf5[file]


def file_of(path: str) -> str:
    """The file that a picture lies in: the archive of a path of ours, else the path itself."""
    protocol, _, place = path.partition("://")
    return _parts(place)[0] if protocol in _CONTENTS else path

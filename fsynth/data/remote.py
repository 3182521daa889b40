"""Files elsewhere, read a range at a time: ``https://`` by `requests`, other schemes by fsspec's packages.

Nothing of them reaches the disk. A file that has changed since it was first looked at is refused: its size
or version (ETag, else the time of its last change) is another.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fsynth.data.addresses import shown
from fsynth.errors import DataError, MissingPackage, UnreachableError, reason

if TYPE_CHECKING:
    import requests
    from fsspec import AbstractFileSystem

WAITS = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try, where a try may help."""
LONGEST_WAIT = 60.0
"""Seconds that a server may ask us to wait."""
TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and between two bytes."""
LEAST_WINDOW, MOST_WINDOW = 2**16, 2**22
"""Bytes that a `Window` reads at once: more while it is read from end to end."""

UNVERSIONED = "read anew each time, as its server tells no version of a file"
"""The note on what is not kept for the next time."""

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSED = {401, 403, 407}
_GONE = {404, 410}
_own = threading.local()
_versions: dict[tuple[int, str], tuple[int, str]] = {}  # of fsspec files: looked up once a process


@dataclass(frozen=True)
class RemoteFile:
    """A file at an address, as it was when `look` saw it.

    ``mark`` changes with its content, with its size alone where nothing tells its version (``versioned``).
    """

    address: str
    size: int
    mark: str
    versioned: bool = True

    def read(self, start: int, length: int, stop: threading.Event | None = None) -> bytes:
        """See `read`."""
        return read(self.address, start, length, self.mark, stop)


class _PassingError(Exception):
    """Another try may help. ``wait``: seconds that the server asks for."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


def look(address: str, stop: threading.Event | None = None) -> RemoteFile:
    """Size and version of a file; also whether parts of it can be read.

    Args:
        stop: set when nobody waits for the answer any more: no further try is made then.

    Raises:
        DataError: not there, refused, not answering, empty, or sent as a whole only; stopped.
        MissingPackage: of another scheme than http.
    """
    _versions.pop((os.getpid(), address), None)
    _, size, version = _patiently(address, 0, 1, stop)
    return RemoteFile(address, size, _mark(size, version), bool(version))


def read(address: str, start: int, length: int, mark: str, stop: threading.Event | None = None) -> bytes:
    """Part of a file.

    Args:
        mark: of the file as `look` saw it.
        stop: see `look`.

    Raises:
        DataError: see `look`; the file is another one now.
        MissingPackage: of another scheme than http.
    """
    if not length:
        return b""
    content, size, version = _patiently(address, start, length, stop)
    if _mark(size, version) != mark:
        raise DataError(f"{shown(address)} has changed since it was opened; start again to read the new file")
    return content


class Window(io.RawIOBase):
    """A remote file as a file object that is read ahead of, in one thread. ``stop``: see `look`."""

    def __init__(self, file: RemoteFile, stop: threading.Event | None = None) -> None:
        super().__init__()
        self._stop = stop
        self._file = file
        self._place = 0
        self._start, self._held = 0, b""
        self._ahead = LEAST_WINDOW

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + (0, self._place, self._file.size)[whence]
        return self._place

    def readinto(self, buffer: Any) -> int:
        """All that was asked for, up to the end of the file: fewer bytes are the end."""
        wanted = max(0, min(len(buffer), self._file.size - self._place))
        if wanted and not (
            self._start <= self._place and self._place + wanted <= self._start + len(self._held)
        ):
            self._fill(wanted)
        begin = self._place - self._start
        buffer[:wanted] = self._held[begin : begin + wanted]
        self._place += wanted
        return wanted

    def _fill(self, wanted: int) -> None:
        """Hold what is wanted and something after it: twice as much as last time where that was used up."""
        begin, end = self._place - self._start, self._start + len(self._held)
        going_on = bool(self._held) and self._start <= self._place <= end
        self._ahead = min(2 * self._ahead, MOST_WINDOW) if going_on else LEAST_WINDOW
        rest = self._held[begin:] if going_on else b""
        first = self._place + len(rest)
        more = min(max(self._ahead, wanted - len(rest)), self._file.size - first)
        self._held = rest + self._file.read(first, more, self._stop)
        self._start = self._place


def _patiently(address: str, start: int, length: int, stop: threading.Event | None) -> tuple[bytes, int, str]:
    """A range, the size of the whole and its version, tried again where the fault may pass."""
    once = _over_http if address.startswith(("http://", "https://")) else _over_fsspec
    for wait in (*WAITS, None):
        try:
            return once(address, start, length)
        except _PassingError as error:
            if wait is None:
                raise UnreachableError(
                    f"cannot read {shown(address)} after {len(WAITS) + 1} tries ({error}); check the address "
                    "and the network, or try again later"
                ) from None
            _wait(max(wait, min(error.wait, LONGEST_WAIT)), address, stop)
    raise AssertionError  # the last try returns or raises


def _wait(seconds: float, address: str, stop: threading.Event | None) -> None:
    if stop is None:
        time.sleep(seconds)
    elif stop.wait(seconds):
        raise DataError(f"nobody waits for {shown(address)} any more")


def _over_http(address: str, start: int, length: int) -> tuple[bytes, int, str]:
    import requests

    headers = {"Range": f"bytes={start}-{start + length - 1}", "Accept-Encoding": "identity"}
    try:
        with _session().get(address, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            size = _size(answer, address)
            content = answer.content
    except requests.exceptions.SSLError as error:
        raise DataError(f"{shown(address)} has no certificate to trust ({_why(error)})") from None
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise _PassingError(_why(error)) from None
    except requests.RequestException as error:
        raise DataError(f"cannot read {shown(address)} ({_why(error)}); check the address") from None
    if len(content) != min(length, size - start):
        raise _PassingError(f"{len(content):,} bytes came, {length:,} were asked for")
    version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    return content, size, version.removeprefix("W/")


def _size(answer: requests.Response, address: str) -> int:
    """Bytes of the whole file of which a part is answered; the body is not read yet."""
    status = f"{answer.status_code} {answer.reason}".strip()
    if answer.status_code in _PASSING:
        raise _PassingError(f"the server answers {status}", _asked_to_wait(answer))
    if answer.status_code in _GONE:
        raise DataError(f"{shown(address)} is not there ({status}); check the address")
    if answer.status_code in _REFUSED:
        raise DataError(
            f"{shown(address)} may not be read ({status}); check the rights, ~/.netrc, or a signature: give "
            "--data again with a new one, as run.yaml keeps none"
        )
    if answer.status_code == 416:
        raise DataError(f"{shown(address)} is empty, or shorter than it was ({status}); get it whole again")
    if answer.status_code >= 400:
        raise DataError(f"{shown(address)} cannot be read (the server answers {status}); check the address")
    size = answer.headers.get("Content-Range", "").rpartition("/")[2]
    if answer.status_code != 206 or not size.isdigit():
        raise DataError(
            f"the server of {shown(address)} sends whole files only (no range requests), but pictures are "
            "read one by one; put the file on a server with ranges, or fetch it to this machine"
        )
    return int(size)


def _asked_to_wait(answer: requests.Response) -> float:
    seconds = answer.headers.get("Retry-After", "")
    return float(seconds) if seconds.isdigit() else 0.0


def _session() -> requests.Session:
    """One for each thread of each process: connections are kept open, and never shared with a fork."""
    import requests

    if getattr(_own, "process", None) != os.getpid():
        _own.session, _own.process = requests.Session(), os.getpid()
    return _own.session


def _over_fsspec(address: str, start: int, length: int) -> tuple[bytes, int, str]:
    system, path = _system(address)
    try:
        size, version = _looked_up(system, path, address)
        if not size:
            raise DataError(f"{shown(address)} is empty; get it again")
        content = system.cat_file(path, start=start, end=min(start + length, size))
    except FileNotFoundError:
        raise DataError(f"{shown(address)} is not there; check the address") from None
    except PermissionError as error:
        raise DataError(f"{shown(address)} may not be read ({reason(error)}); check the rights") from None
    except (TimeoutError, ConnectionError) as error:
        raise _PassingError(reason(error)) from None
    except DataError:
        raise
    except Exception as error:  # of each storage's own package
        raise DataError(f"cannot read {shown(address)} ({reason(error)}); check the address") from None
    if len(content) != min(length, size - start):
        raise DataError(f"{shown(address)} is shorter than it was; start again to read the new file")
    return content, size, version


def _system(address: str) -> tuple[AbstractFileSystem, str]:
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    scheme = address.partition("://")[0]
    try:
        return url_to_fs(address)
    except ImportError as error:
        package = known_implementations.get(scheme, {}).get("class", "").partition(".")[0]
        advice = reason(error) if package in ("", "fsspec") else f"pip install {package}"
        raise MissingPackage(f"{scheme}:// needs a package that is not installed: {advice}") from None
    except ValueError:
        raise DataError(f"{shown(address)}: nothing here reads {scheme}://; use https:// or a path") from None
    except Exception as error:  # of each storage's own package
        raise DataError(f"cannot open {shown(address)} ({reason(error)}); check the address") from None


def _looked_up(system: AbstractFileSystem, path: str, address: str) -> tuple[int, str]:
    key = os.getpid(), address
    if key not in _versions:
        system.invalidate_cache()
        info = system.info(path)
        names = ("ETag", "etag", "sha256", "xet_hash", "blob_id", "md5Hash", "crc32c")
        names += ("LastModified", "updated", "mtime", "created")
        version = next((str(info[name]) for name in names if info.get(name)), "")
        _versions[key] = int(info.get("size") or 0), version
    return _versions[key]


def _mark(size: int, version: str) -> str:
    return hashlib.sha256(f"{size} {version}".encode()).hexdigest()[:12]


def _why(error: BaseException) -> str:
    """The innermost reason, without the pools and addresses around it, which may hold a signature."""
    inside = [getattr(error, "reason", None), *error.args]
    for inner in inside:
        if isinstance(inner, BaseException):
            return _why(inner)
    text = re.sub(r"^\[Errno -?\d+\] ", "", reason(error).rpartition(": ")[2])
    return "no answer in time" if "timed out" in text.lower() else text

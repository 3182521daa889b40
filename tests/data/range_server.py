"""A web server in a thread, on this machine only: serves a folder, with ranges, and fails on request."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Served:
    """``url`` of the folder. ``answers``: what the next requests get instead, as statuses, or "cut" and
    "hang up". ``ranges``: whether parts are sent; ``asked``: (path, start, end) of every request."""

    url: str
    folder: Path
    ranges: bool = True
    etags: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    answers: list[int | str] = field(default_factory=list)
    asked: list[tuple[str, int, int]] = field(default_factory=list)


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Served]:
    """Serve a folder until the block ends."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    served = Served(f"http://127.0.0.1:{server.server_port}", folder)
    server.served = served
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_) -> None:
        """Quiet: a client that hangs up is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else an answer waits 40 ms for the reader's acknowledgement

    def log_message(self, *_) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        served: Served = self.server.served
        path = unquote(urlsplit(self.path).path)
        file = served.folder / path.lstrip("/")
        start, end = self._range()
        served.asked.append((path, start, end))
        answer = served.answers.pop(0) if served.answers else None
        if isinstance(answer, int) or not file.is_file():
            self._send(answer if isinstance(answer, int) else 404, b"", served.headers)
        elif answer == "hang up":
            self.close_connection = True
        else:
            self._send_file(served, file, start, end, cut=answer == "cut")

    def _send_file(self, served: Served, file: Path, start: int, end: int, cut: bool) -> None:
        stat = file.stat()
        about = {"ETag": f'"{stat.st_mtime_ns}-{stat.st_size}"'} if served.etags else {}
        if not served.ranges or end < 0:
            self._send(200, file.read_bytes(), about)
        elif start >= stat.st_size:
            self._send(416, b"", {"Content-Range": f"bytes */{stat.st_size}"})
        else:
            with file.open("rb") as opened:
                opened.seek(start)
                part = opened.read(end + 1 - start)
            about["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{stat.st_size}"
            self._send(206, part, about, cut)

    def _range(self) -> tuple[int, int]:
        asked = self.headers.get("Range", "")
        if not asked:
            return 0, -1
        start, _, end = asked.removeprefix("bytes=").partition("-")
        return int(start), int(end)

    def _send(self, status: int, body: bytes, headers: dict[str, str], cut: bool = False) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut

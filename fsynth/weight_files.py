"""Weight files from outside the package: found, downloaded and checked by hash before anything reads them."""

from __future__ import annotations

import contextlib
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

from fsynth.console import say
from fsynth.errors import ModelError

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILE}"
TIMEOUT = 30.0  # seconds without an answer


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def inception_weights(given: Path | None = None) -> Path:
    """The weights of the 2015 Inception network, converted by torch-fidelity: 96 MB, checked.

    Taken from ``given``, else from torch hub's folder, else downloaded into it.

    Raises:
        ModelError: when the file is not there and cannot be downloaded, or is another file.
    """
    check_given(given)
    path = given or _hub_folder() / INCEPTION_FILE
    if not path.is_file():
        _download(path)
    found = sha256_of(path)
    if found != INCEPTION_SHA256:
        raise ModelError(
            f"{path} has SHA-256 {found[:8]}..., not {INCEPTION_SHA256[:8]}...: its scores would "
            f"compare with nothing; take {INCEPTION_URL}"
        )
    return path


def check_given(weights: Path | None) -> None:
    """Refuse an ``--inception-weights`` that names no file.

    Raises:
        ModelError: with the name that the file should have.
    """
    if weights is not None and not weights.is_file():
        raise ModelError(f"--inception-weights {weights} does not exist; it should be {INCEPTION_FILE}")


def _hub_folder() -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def _download(path: Path) -> None:
    import torch

    say(f"downloading {INCEPTION_URL} (96 MB) to {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _socket_timeout(TIMEOUT):
            torch.hub.download_url_to_file(INCEPTION_URL, str(path), hash_prefix=INCEPTION_SHA256)
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f"the Inception Score of real models needs {INCEPTION_FILE}, which could not be downloaded from "
            f"{INCEPTION_URL} ({error}); fetch it on a machine with network and put it at {path}, or give "
            "--inception-weights FILE"
        ) from None


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)

"""The model hub, when it cannot be reached: say so at once, and use what is cached."""

from __future__ import annotations

import contextlib
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator

_SECONDS = 3.0


def place() -> tuple[str, int]:
    """Host and port of the hub: those of ``$HF_ENDPOINT``, else of the public one.

    Raises:
        ValueError: an address without a host, or whose port is no number.
    """
    from huggingface_hub import constants

    url = urllib.parse.urlsplit(constants.ENDPOINT)
    if not url.hostname:
        raise ValueError(f"no host in {constants.ENDPOINT}")
    return url.hostname, url.port or (80 if url.scheme == "http" else 443)


def behind_a_proxy() -> bool:
    """Whether requests to the hub go through a proxy, whose reach cannot be told from here."""
    from huggingface_hub import constants

    return bool(urllib.request.getproxies().get(urllib.parse.urlsplit(constants.ENDPOINT).scheme))


def reachable() -> bool:
    """Whether the hub answers within seconds; behind a proxy, or told to be offline, nothing is tried."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    if behind_a_proxy():
        return True
    try:
        socket.create_connection(place(), timeout=_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


@contextlib.contextmanager
def without_waiting() -> Iterator[bool]:
    """Within the block, an unreachable hub is not asked: libraries take cached files or fail at once.

    Left alone they try each file again for about half a minute. Yields whether the hub is reachable.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    answers = reachable()
    constants.HF_HUB_OFFLINE = not answers
    try:
        yield answers
    finally:
        constants.HF_HUB_OFFLINE = before

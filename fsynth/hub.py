"""The model hub, when it cannot be reached: say so at once, and use what is cached."""

from __future__ import annotations

import contextlib
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator

_SECONDS = 3.0


def reachable() -> bool:
    """Whether the hub answers within seconds; behind a proxy, or told to be offline, nothing is tried."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    address = urllib.parse.urlsplit(constants.ENDPOINT)
    if urllib.request.getproxies().get(address.scheme):
        return True
    try:
        port = address.port or (80 if address.scheme == "http" else 443)
        socket.create_connection((address.hostname, port), timeout=_SECONDS).close()
    except OSError:
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

"""Pictures as they stand in a page: WebP, in the page itself."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

LOSSLESS = 192
"""Up to this many pixels on a side a picture keeps every one of them."""


def data_uri(picture: Image.Image, most: int) -> str:
    """The picture as a WebP data URI of at most ``most`` pixels on a side, without its metadata."""
    return uri_of(webp(picture, most))


def uri_of(content: bytes) -> str:
    """The data URI of a WebP file."""
    return "data:image/webp;base64," + base64.b64encode(content).decode()


def webp(picture: Image.Image, most: int) -> bytes:
    """The picture as a WebP file of at most ``most`` pixels on a side, without its metadata."""
    from PIL import Image

    small = picture.convert("RGB")
    small.thumbnail((most, most), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "WEBP", lossless=max(small.size) <= LOSSLESS, quality=90)
    return file.getvalue()

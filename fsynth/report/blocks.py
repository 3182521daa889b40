"""What a report is made of: sections of blocks. A section brings facts; the page's template sets them.

Texts are plain: the template escapes them. A new kind of section needs no HTML as long as these blocks do.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fsynth.report.charts import Chart

if TYPE_CHECKING:
    from PIL import Image

THUMBNAIL = 128
"""Most pixels on a side of a picture from the data."""
GENERATED = 384
"""Most pixels on a side of a generated picture, which may be shown whole."""


@dataclass(frozen=True)
class Fact:
    """A number for the head of the page; ``value`` is short, ``note`` says what it depends on.

    A ``bad`` one is set so that nobody takes it for a success.
    """

    label: str
    value: str
    note: str
    bad: bool = False


@dataclass(frozen=True)
class Track:
    """Shares from 0 to 1 on one scale: the values of some models between chance and ceiling."""

    values: tuple[float, ...]
    chance: float
    ceiling: float


Row = tuple[str | Track, ...]


@dataclass(frozen=True)
class Table:
    """Rows of as many cells as ``head``, by the name of their group; the first cell of a row is its name.

    ``lead`` is a remark beside the title. A head of empty texts is left out.
    """

    kind: ClassVar[str] = "table"
    title: str
    head: tuple[str, ...]
    groups: Mapping[str, Sequence[Row]]
    lead: str = ""


@dataclass(frozen=True)
class Bar:
    """``share`` is the length of the bar, 0 to 1; ``colors`` are CSS colours, none for the page's own."""

    label: str
    share: float
    count: str
    colors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Panel:
    """Bars of one kind of label, longest first."""

    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Panels:
    """Panels side by side, as many as fit."""

    kind: ClassVar[str] = "panels"
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Charts:
    """Line charts side by side."""

    kind: ClassVar[str] = "charts"
    charts: tuple[Chart, ...]
    lead: str = ""


@dataclass(frozen=True)
class Picture:
    """``source`` is a data URI; ``tag`` is a word on its corner."""

    source: str
    tag: str = ""


@dataclass(frozen=True)
class Card:
    """Pictures that belong together, and their caption."""

    caption: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Gallery:
    """Cards in a grid; ``training`` ones are small and come from the data."""

    kind: ClassVar[str] = "gallery"
    cards: tuple[Card, ...]
    training: bool = False
    lead: str = ""


@dataclass(frozen=True)
class Words:
    """A paragraph; ``warning`` sets it apart."""

    kind: ClassVar[str] = "words"
    text: str
    warning: bool = False


@dataclass(frozen=True)
class Settings:
    """Names and values, folded away until asked for."""

    kind: ClassVar[str] = "settings"
    title: str
    rows: tuple[tuple[str, str], ...]


VERDICTS = {
    "better": "better than before",
    "worse": "worse than before",
    "unclear": "no difference shown",
}
"""Headlines of `fsynth.comparison.Verdict`."""

Block = Table | Panels | Charts | Gallery | Words | Settings


@dataclass(frozen=True)
class Section:
    """A part of the page about one folder.

    ``cover`` offers generated pictures for the head of the page; ``notice`` is what whoever passes the page
    on must know first, and becomes its first line.
    """

    title: str
    lead: str
    blocks: tuple[Block, ...]
    facts: tuple[Fact, ...] = ()
    cover: tuple[Picture, ...] = ()
    notice: str = ""


@dataclass(frozen=True)
class Options:
    """``thumbnails``: how many training pictures one folder may show; 0 for none."""

    thumbnails: int = 24


LOSSLESS = 192
"""Up to this many pixels on a side a picture keeps every one of them."""


def data_uri(picture: Image.Image, most: int) -> str:
    """The picture as a WebP data URI of at most ``most`` pixels on a side, without its metadata."""
    from PIL import Image

    small = picture.convert("RGB")
    small.thumbnail((most, most), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "WEBP", lossless=max(small.size) <= LOSSLESS, quality=90)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


NARROW = "\u202f"
"""A space that does not break, before a unit."""


def percent(share: float) -> str:
    """0.1234 -> 12.3 %; two digits below one percent."""
    return f"{100 * share:.{1 if share >= 0.01 or share == 0 else 2}f}{NARROW}%"


def points(share: float) -> str:
    """A difference of shares in percentage points: -0.036 -> −3.6."""
    return f"{100 * share:+.1f}".replace("-", "−")

"""What a report is made of: sections of blocks. A section brings facts; the page's template sets them.

Texts are plain: the template escapes them. A new kind of section needs no HTML as long as these blocks do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from fsynth.plots import DEEP
from fsynth.report.charts import Chart

THUMBNAIL = 128
"""Most pixels on a side of a picture from the data."""
MOST_THUMBNAILS = 64
"""Pictures of the data on a page, over all its parts."""
NOTICE = (
    f"This page holds thumbnails, {THUMBNAIL} px at most, of your own pictures. To pass it on without them, "
    "make it again with --no-pictures."
)
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
    """Panels side by side, as many as fit; ``labels`` may need more room than a word's."""

    kind: ClassVar[str] = "panels"
    panels: tuple[Panel, ...]
    labels: Literal["", "wider", "widest"] = ""


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
    """Cards in a grid; ``training`` ones are small and come from the data. ``small`` pictures are not
    enlarged."""

    kind: ClassVar[str] = "gallery"
    cards: tuple[Card, ...]
    training: bool = False
    small: bool = False
    lead: str = ""


@dataclass(frozen=True)
class Plot:
    """A plot that a command drew; ``source`` is a data URI."""

    kind: ClassVar[str] = "plot"
    title: str
    source: str


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


@dataclass(frozen=True)
class Heading:
    """A column of a heat map; ``colors`` as of a `Bar`. ``gap``: set apart from the columns before."""

    label: str
    colors: tuple[str, ...] = ()
    gap: bool = False


@dataclass(frozen=True)
class Cell:
    """``tint`` from 0 to 1 is how deep its colour is; ``note`` is shown to who points at it."""

    text: str
    tint: float
    note: str

    @property
    def deep(self) -> bool:
        """Whether the text must be light."""
        return self.tint > DEEP


@dataclass(frozen=True)
class HeatMap:
    """Numbers on coloured ground; ``rows``: name, total, cells. ``high`` is what the deep end of the scale of
    colours means; the other is 0."""

    kind: ClassVar[str] = "heat_map"
    title: str
    columns: tuple[Heading, ...]
    rows: tuple[tuple[str, str, tuple[Cell, ...]], ...]
    high: str


@dataclass(frozen=True)
class Column:
    """A bar of a histogram; ``share`` of the highest. ``label`` stands under it, where there is room;
    ``over`` is the bar of a second histogram, in front of the first."""

    label: str
    share: float
    note: str
    over: float = 0.0


@dataclass(frozen=True)
class Histogram:
    """``limit``: the index of the column after which a line stands, and what the line is called; ``names``:
    of the two histograms that lie over each other."""

    title: str
    x_title: str
    columns: tuple[Column, ...]
    lead: str = ""
    limit: tuple[int, str] | None = None
    names: tuple[str, str] | None = None


@dataclass(frozen=True)
class Histograms:
    """Histograms side by side."""

    kind: ClassVar[str] = "histograms"
    histograms: tuple[Histogram, ...]


@dataclass(frozen=True)
class Phrase:
    """A sentence or its frame, with a bar; words of ``slots`` are set apart."""

    text: str
    share: float
    count: str
    note: str = ""


@dataclass(frozen=True)
class Ranking:
    """Phrases, the most frequent first. ``share`` is of the first."""

    kind: ClassVar[str] = "ranking"
    title: str
    phrases: tuple[Phrase, ...]
    slots: tuple[str, ...] = ()
    lead: str = ""


@dataclass(frozen=True)
class Pair:
    """Shares of a label in two splits, 0 to 1, and their difference in words."""

    label: str
    shares: tuple[float, float]
    difference: str


@dataclass(frozen=True)
class Compared:
    """Labels in two splits; ``panels``: title, remark and the labels of one column."""

    kind: ClassVar[str] = "compared"
    names: tuple[str, str]
    panels: tuple[tuple[str, str, tuple[Pair, ...]], ...]


@dataclass(frozen=True)
class Remark:
    """One thing found; ``level`` is error, warning or note."""

    level: str
    name: str
    text: str
    advice: str = ""
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Remarks:
    kind: ClassVar[str] = "remarks"
    remarks: tuple[Remark, ...]


@dataclass(frozen=True)
class Answer:
    """What was found in answer to a query; ``source`` is a data URI, empty where it has no picture."""

    rank: str
    text: str
    similarity: str
    right: bool
    source: str = ""


@dataclass(frozen=True)
class Case:
    """A query and its first answers; ``truth`` is the first right one where it comes later.

    ``level`` says why it is shown, ``ranks`` where the first right answer stands.
    """

    level: str
    text: str
    ranks: str
    note: str
    answers: tuple[Answer, ...]
    truth: Answer | None
    source: str = ""


@dataclass(frozen=True)
class Sheet:
    """Cases of one direction of retrieval."""

    kind: ClassVar[str] = "sheet"
    title: str
    cases: tuple[Case, ...]
    lead: str = ""


VERDICTS = {
    "better": "better than before",
    "worse": "worse than before",
    "unclear": "no difference shown",
}
"""Headlines of `fsynth.comparison.Verdict`."""

Block = (
    Table
    | Panels
    | Charts
    | Gallery
    | Plot
    | Words
    | Settings
    | HeatMap
    | Histograms
    | Ranking
    | Compared
    | Remarks
    | Sheet
)


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
    """``thumbnails``: how many pictures of the data one folder may show; 0 for none, nor their mean."""

    thumbnails: int = MOST_THUMBNAILS


NARROW = "\u202f"
"""A space that does not break, before a unit."""


def percent(share: float) -> str:
    """0.1234 -> 12.3 %; two digits below one percent."""
    return f"{100 * share:.{1 if share >= 0.01 or share == 0 else 2}f}{NARROW}%"


def points(share: float) -> str:
    """A difference of shares in percentage points: -0.036 -> −3.6."""
    return f"{100 * share:+.1f}".replace("-", "−")

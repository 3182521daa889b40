"""How often the benchmark's captions say what: counts measured on its 78,979 rows.

Aggregates only; `fsynth.data.grammar` makes sentences from them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from fsynth.data.labels import CATEGORIES, COLORS

_COUNTS = """
blazer    2619   106   111     5   242     0     1     0  58   4   123  310  358  148   23  718   60   69   39   73   48  358   82 0  1  1   430
blouse    4654  2398  1957    69    66    40     4     1  53   6   377  861 1981  593  134 1047   67  228  159  153   65  371  154 1  1  2  2884
bomber     141     0     1     0    66     0     0     0  84   7     3    8    6    2    0   87   11    3    0    3    0    8    1 0  0  0    10
cardigan  4272   384   144    17   337     9     4     1  47   6   154  309  623  165   24  692  111   92   84   85   75  921  177 0  1  3  1301
henley     243    68     5     0   191    55     3     0  51  13    15   47   43    3    1   37    3    5    5    2    1   79    2 0  1  0    72
hoodie    1208   125   111    13   346    31    30     3  56 122    52  148  164   51   12  259   13   24   21   11    8  386   18 0  0  1   289
jacket    3617   137   145     6   547     7     6     1  57   3    93  478  341  131   24 1102  172  173   37   72   80  458  110 0  3  2   629
jersey      41    68    42     5    19    32     4     3  77 211     5    8   22    1    1   52    1    4    2    2    1   15    1 0  0  0    41
parka      283     1     1     0    22     0     0     0  60   1     9   16   16    2    3   76   23   49    1    6   18   36   13 0  0  3    14
poncho     246    61     7     0     6     1     1     0  57  10     6   14   34    4    1   26    5    4    3    0    6   40    8 0  0  0   163
sweater   3949   348   132     9   298    10     2     0  52  24   197  321  639  169   28  495   82   81   80   98   70  828  122 0  1  4  1223
tank       359   453  4778   168    36    61   235    10  48  66   156  461 1227  293   76  889   30  116  118  120   27  628   66 0  4  3  1544
tee       2602  6849  2550   243   489  1526    92     7  57 163   272  871 2889  387   67 1776   74  187  169  127   50 1753   97 0  2  2  3521
top       1364  1442  1156    38    22     7     3     1  40  22   105  317  785  176   49  628   18   53   55   65   23  321   45 0  3  0  1357
coat       653    10    15     0    14     0     0     0  60   1    32   48   65   32    2  148   28   16    8   27   50  108   34 0  0  0    80
dress     4565  5322 13283    39     4     4     1     0  33   5  1169 1992 2960 1082  197 3642  116  385  354  287  116  953  245 0 17  2  9692
jumpsuit   165   139   462     8     0     0     0     0  48   3    23   90   51   17    3  183    5   11   15    9    2   26    5 0  0  0   334
kimono     539   173    53     2     0     0     0     0  56   7    11   22   77   20    3  121    5    8   11    4    1   17   15 0  0  0   452
romper     665   521  2607     7     1     0     2     0  80   6   105  394  382  166   39  612   17   55   37   30   10   39   23 0  0  1  1890
"""  # noqa: E501
"""Per category: rows with long, short, no and unstated sleeves; men among each of the four; rows in a
thousand whose sentence departs from its labels' usual one, and whose sentence names a print; rows of each
colour."""

WELL_FILLED = tuple(color for color in COLORS if color not in ("blonde", "silver", "olive", "multicolor"))
"""The 13 single colours that the benchmark has more than a few dozen rows of."""


@dataclass(frozen=True)
class CategoryCounts:
    """What `_COUNTS` holds of one category."""

    rows: int
    sleeves: np.ndarray
    men: np.ndarray
    departing: float
    printed: float
    colors: np.ndarray


@functools.cache
def counts() -> dict[str, CategoryCounts]:
    """Category -> its counts; sleeves and men (4,) in the order of SLEEVES, colours (17,) of COLORS."""
    table = {}
    for line in _COUNTS.split("\n")[1:-1]:
        name, *numbers = line.split()
        n = np.array(numbers, dtype=np.int64)
        table[name] = CategoryCounts(int(n[:4].sum()), n[:4], n[4:8], n[8] / 1000, n[9] / 1000, n[10:])
    return table


def category_shares(balance: float) -> np.ndarray:
    """(19,) shares of the categories: real ones at balance 0, equal ones at 1, mixed between."""
    return _mixed(np.array([counts()[name].rows for name in CATEGORIES]), np.ones(len(CATEGORIES)), balance)


def color_shares(category: str, balance: float) -> np.ndarray:
    """(17,) shares of the colours within a category; that of multicolor stays real, the 13 well-filled single
    colours go from real to equal."""
    real = counts()[category].colors / counts()[category].rows
    single = np.where(np.array(COLORS) == "multicolor", 0.0, real)
    equal = np.isin(COLORS, WELL_FILLED).astype(float)
    mixed = _mixed(single, equal, balance) * single.sum()
    return np.where(np.array(COLORS) == "multicolor", real, mixed)


def _mixed(real: np.ndarray, other: np.ndarray, balance: float) -> np.ndarray:
    return (1 - balance) * real / real.sum() + balance * other / other.sum()


# --------------------------------------------------------------------------------------------------
# the usual sentence of a set of labels: annotators kept to one for 91 % of the rows

_VERBS = """
blazer   women long is 82 was 18 | short is 69 was 31 | sleeveless wore 51 was 36 is 13
blazer   men   long was 96 is 4
blouse   women long was 52 is 47 wore 1 | short was 53 is 34 wears 10 wore 3 | sleeveless is 46 wore 39 was 15
blouse   men   long was 1 | short was 50 is 50
bomber   women long was 90 is 9 wears 1
bomber   men   long was 1
cardigan women long wore 84 was 16 | short wore 88 was 10 is 2 | sleeveless wore 63 was 37
cardigan men   long was 1
henley   women long was 77 wore 23 | short was 71 is 29
henley   men   long was 1 | short was 98 is 2
hoodie   women long was 75 wore 15 is 10 | short is 76 was 24 | sleeveless was 1
hoodie   men   long was 91 is 9 | short was 1
jacket   women long is 73 wore 24 was 3 | short wore 64 is 25 was 11 | sleeveless wore 55 was 45
jacket   men   long was 55 is 45 | short was 1
jersey   women long is 94 was 6 | short is 93 dressed 7 | sleeveless was 57 is 29 wore 7 dressed 7
jersey   men   long is 75 was 25 | short was 50 is 27 dressed 23
parka    women long is 91 wears 9
parka    men   long is 74 was 26
poncho   women long is 95 was 5 | short is 88 wore 12
sweater  women long was 93 wore 7 | short was 98 wore 2 | sleeveless was 94 wears 4 wore 2
sweater  men   long was 1
tank     women long was 96 is 4 | short was 91 is 6 wore 3 | sleeveless was 53 wore 47
tank     men   long was 1
tee      women long is 88 was 12 | short is 1 | sleeveless is 52 was 38 wore 10
tee      men   long is 99 was 1 | short is 1 | sleeveless was 97 is 3
top      women long is 57 wore 42 was 1 | short wore 48 is 39 was 13 | sleeveless wore 93 was 7
top      men   long is 72 was 28
coat     women long was 68 is 25 wore 7 | short was 62 wore 38 | sleeveless wore 92 was 8
coat     men   long was 1
dress    women long is 96 wears 2 wore 2 | short is 1 | sleeveless wore 90 was 6 is 4
jumpsuit women long is 1 | short is 1 | sleeveless is 43 dressed 34 wore 23
kimono   women long was 57 wore 41 is 2 | short wore 60 is 37 was 3 | sleeveless was 53 wore 42 dressed 5
romper   women long is 90 was 8 wears 2 | short is 1 | sleeveless was 59 wore 28 is 13
"""
"""Which verb the usual sentence of a single-coloured garment has, with weights."""

VERBS = {
    "is": "is wearing",
    "was": "was wearing",
    "wore": "wore",
    "wears": "wears",
    "dressed": "dressed in",
}


@functools.cache
def verbs(category: str, sleeve: str, gender: str) -> tuple[tuple[str, float], ...]:
    """(verb, weight) of the usual sentences; where the benchmark has none, those of the nearest labels."""
    table = _verb_table()
    for key in ((category, gender, sleeve), (category, gender, "long"), (category, "female", sleeve)):
        if key in table:
            return table[key]
    return table[category, "female", "long"]


@functools.cache
def _verb_table() -> dict[tuple[str, str, str], tuple[tuple[str, float], ...]]:
    table = {}
    for line in _VERBS.strip().splitlines():
        category, people, rest = line.split(maxsplit=2)
        for part in rest.split("|"):
            sleeve, *pairs = part.split()
            choices = zip(pairs[::2], pairs[1::2], strict=True)
            gender = {"women": "female", "men": "male"}[people]
            table[category, gender, sleeve] = tuple((VERBS[verb], float(weight)) for verb, weight in choices)
    return table


_MULTI_USUAL = {
    "the {person} wore a {item} with a multicolor {length} sleeve": (
        "blazer:ls blouse:ls cardigan:ls sweater:s jersey:s"
    ),
    "the {person} was wearing a {item} with a multicolor {length} sleeve": "sweater:l hoodie:s",
    "the {person} wears a {item} with a multicolor {length} sleeve": "bomber:l romper:s",
    "the {person} wore a {item} of a multicolor {length} sleeve": "top:ls",
    "the {person} wore a {item} with a multicolor {sleeved} look": "blazer:0 blouse:0",
    "the {person} wears a {item} with a multicolor {sleeved} look": "romper:0",
    "the {person} was wearing a {item} with multicolor {sleeved} sleeves": "cardigan:0",
    "the {person} is wearing a {item} multi-colored {sleeved}": "jersey:l",
    "the {person} is wearing a multi-colored {sleeved} {item}": "hoodie:l jacket:ls dress:l kimono:l",
    "the {person} wore a multicolor {sleeved} {item}": "jacket:0 dress:0",
    "the {person} wore a multicolored {sleeved} {item}": "top:0",
    "the {person} was wearing a multicolored {sleeved} {item}": "sweater:0 tank:0 kimono:0 coat:0 henley:0",
    "the {person} was wearing a multi-colored {sleeved} {item}": "tank:l",
    "the {person} dressed in a multicolored {sleeved} {item}": "jersey:0",
    "the {person} dressed in a multicolor {sleeved} {item}": "jumpsuit:0",
}  # fmt: skip
_MULTI_USUAL_OF_MEN = {
    "the {person} is wearing a multi-colored {sleeved} {item}": "blazer:l bomber:l",
    "the {person} was wearing a multi-colored {sleeved} {item}": "henley:l hoodie:l top:l tank:s coat:l",
    "the {person} was wearing a {item} with a multicolor {length} sleeve": "blouse:ls sweater:s",
    "the {person} was wearing a {item} with {length} sleeves": "jacket:l",
    "the {person} is wearing a multi-color {sleeved} {item}": "top:s",
    "the {person} dressed in a multi-color {sleeved} {item}": "jersey:s0 tee:0",
}
"""Sentence frame -> where it is the usual one (l long, s short, 0 sleeveless)."""

_ELSEWHERE = "the {person} is wearing a multi-color {sleeved} {item}"


@functools.cache
def multicolor_frame(category: str, sleeve: str, gender: str) -> str:
    """The frame of the usual sentence of a multicoloured garment."""
    key = (category, {"long": "l", "short": "s", "sleeveless": "0"}[sleeve])
    if gender == "male" and key in _spread(False):
        return _spread(False)[key]
    return _spread(True).get(key, _ELSEWHERE)


@functools.cache
def _spread(women: bool) -> dict[tuple[str, str], str]:
    frames = _MULTI_USUAL if women else _MULTI_USUAL_OF_MEN
    places = [(frame, place.split(":")) for frame, where in frames.items() for place in where.split()]
    return {(category, sleeve): frame for frame, (category, sleeves) in places for sleeve in sleeves}

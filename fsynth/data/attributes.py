"""Read gender, sleeve, category, colour and descriptive terms off a caption, misspelt words included.

    >>> parse("the lady is wearing a blue long-sleeved blosue.")
    Attributes(gender='female', sleeve='long', category='blouse', color='blue', terms=())

A sentence falls into groups of words ("a blue long-sleeved blosue", "with letters"). Known words are looked
up. An unknown word may be a slip of a label word as far as its place in the group allows: the last word
after "long-sleeved" is a garment, the word before "sleeve" a length or a colour; in no such place a word is
corrected only when it is long, one slip away and no ordinary word (`fsynth.data.slips`).
"""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import dataclass, field, replace

from fsynth.data.labels import UNKNOWN
from fsynth.data.lexicon import KINDS, ORDINARY, SHADES, TERMS
from fsynth.data.slips import LIKELY, SURE, WEAK, meant, nearest


@dataclass(frozen=True)
class Attributes:
    """What a caption says: label names of `fsynth.data.labels`, `UNKNOWN` where it does not say."""

    gender: str
    sleeve: str
    category: str
    color: str
    terms: tuple[str, ...]


@dataclass(frozen=True)
class _Word:
    text: str
    kind: str
    meaning: str = ""
    glued: bool = False  # to the word before, by a hyphen


@dataclass
class _Group:
    """Words between two articles, verbs or prepositions."""

    opener: str  # "wear", "be", "aside" or "" at the start
    words: list[_Word] = field(default_factory=list)

    def having(self, *kinds: str) -> list[_Word]:
        return [word for word in self.words if word.kind in kinds]

    def kind_at(self, i: int) -> str:
        return self.words[i].kind if 0 <= i < len(self.words) else ""

    def correct(self, i: int, kind: str, meaning: str) -> None:
        self.words[i] = replace(self.words[i], kind=kind, meaning=meaning)


@functools.lru_cache(maxsize=16384)  # captions repeat
def parse(sentence: str) -> Attributes:
    """The labels and terms a caption states; any text will do, whatever its frame or word order."""
    groups = _groups(_words(sentence))
    _correct(groups)
    garment = _garment_group(groups)
    return Attributes(
        gender=_gender(groups),
        sleeve=_sleeve(groups, garment),
        category=_category(garment),
        color=_color(groups, garment),
        terms=_terms(groups),
    )


def kinds_of(word: str) -> tuple[tuple[str, str], ...]:
    """(kind, meaning) of a word as `fsynth.data.lexicon` has it, of each part of a compound; lower case.

    >>> kinds_of("long-sleeved")
    (('length', 'long'), ('sleeve', ''))
    """
    return tuple((part.kind, part.meaning) for part in _read(word))


# --------------------------------------------------------------------------------------------------
# words and groups

_CHUNK = re.compile(r"[a-z0-9]+(?:[-_'][a-z0-9]+)*|[.;:?!]")
_LONG, _SHORT, _SLEEVE = ("length", "long"), ("length", "short"), ("sleeve", "")
_WHOLE = {
    "multicolor": (KINDS["multicolor"],),
    "multicolored": (KINDS["multicolor"],),
    "longsleeve": (_LONG, _SLEEVE),
    "longsleeved": (_LONG, _SLEEVE),
    "shortsleeve": (_SHORT, _SLEEVE),
    "shortsleeved": (_SHORT, _SLEEVE),
    "sleeveless": (KINDS["sleeveless"],),
    "tshirt": (KINDS["tee"],),
}
"""Written as one word or with a hyphen."""
_COMPOUNDS = tuple(word for word in _WHOLE if word.endswith(("color", "colored", "sleeve", "sleeved")))
"""Long enough to be recognised with slips."""


def _words(sentence: str) -> list[_Word]:
    text = re.sub(r"\s*-\s*", "-", sentence.lower().replace("’", "'"))
    text = re.sub(r"\bt shirt", "tshirt", re.sub(r"'s?\b", "", text))
    return [word for chunk in _CHUNK.findall(text) for word in _read(chunk)]


@functools.lru_cache(maxsize=65536)
def _read(chunk: str) -> tuple[_Word, ...]:
    parts = re.findall(r"[a-z0-9]+", chunk)
    if not parts:
        return (_Word(chunk, "break"),)
    joined = "".join(parts)
    whole = _whole(joined, exact=all(part in KINDS for part in parts))
    meanings = whole or tuple(KINDS.get(part, ("unknown", "")) for part in parts)
    texts = [joined] * len(whole) if whole else parts
    return tuple(_Word(text, *meanings[i], i > 0) for i, text in enumerate(texts))


def _whole(joined: str, exact: bool) -> tuple[tuple[str, str], ...]:
    if joined in _WHOLE or exact or len(joined) < 8 or joined in KINDS or joined in ORDINARY:
        return _WHOLE.get(joined, ())
    return _WHOLE.get(nearest(joined, _COMPOUNDS, most=2) or "", ())


_OPENERS = {"article", "wear", "be", "aside", "and", "no", "break"}


def _groups(words: list[_Word]) -> list[_Group]:
    groups = [_Group("")]
    for i, word in enumerate(words):
        if word.kind not in _OPENERS or (word.kind == "and" and _joins_colors(words, i)):
            groups[-1].words.append(word)
        else:
            _open(groups, word)
    return [group for group in groups if group.words]


def _joins_colors(words: list[_Word], i: int) -> bool:
    """ "black and white dress" is one group."""
    near = words[max(i - 1, 0) : i] + words[i + 1 : i + 2]
    colors = sum(word.kind in ("color", "othercolor") for word in near)
    return colors == 2 or (colors == 1 and any(word.kind == "unknown" for word in near))


def _open(groups: list[_Group], word: _Word) -> None:
    last = groups[-1]
    kept = {"article": last.opener, "and": last.opener, "no": "aside", "break": ""}
    opener = kept.get(word.kind, word.kind)
    if last.words:
        groups.append(_Group(opener))
    elif not (last.opener == "wear" and opener == "aside"):  # "has on", "dressed with"
        last.opener = opener
    if word.kind == "no":
        groups[-1].words.append(word)


# --------------------------------------------------------------------------------------------------
# correcting unknown words by their places

_CUES = ("length", "sleeve", "sleeveless")


def _correct(groups: list[_Group]) -> None:
    for group in groups:
        _correct_sleeve(group)
    said = any(group.opener != "aside" and group.having("category") for group in groups)
    for group in groups:
        if not (group.having("category") or (said and group.opener == "aside")):
            _correct_garment(group)
    if not any(group.having("category") for group in groups):
        _correct_any_garment(groups)
    for group in groups:
        _correct_colors(group)
        _correct_terms(group)
    _correct_far(groups, "category")
    _correct_far(groups, "color")
    if not any(group.having("gender") for group in groups):
        _correct_person(groups)


def _correct_sleeve(group: _Group) -> None:
    for i, word in enumerate(group.words):
        if word.kind == "unknown":
            place = SURE if group.kind_at(i - 1) == "length" else LIKELY
            _try(group, i, ("sleeveless", "sleeve"), place)
    for i in range(len(group.words)):
        if group.kind_at(i) == "sleeve":
            before = i - 2 if group.kind_at(i - 1) in ("color", "othercolor") else i - 1
            if group.kind_at(before) in ("unknown", "plain"):
                _try(group, before, ("length",), SURE)


def _correct_garment(group: _Group) -> None:
    i = _last(group, "unknown")
    if i is None:
        return
    cued = bool(group.having("color", *_CUES))
    follows = group.kind_at(i - 1) in ("color", *_CUES)
    ends = i == len(group.words) - 1
    if ends and (follows or group.opener == "wear"):
        _try(group, i, ("category", "color"), SURE)
    elif cued or group.opener == "wear":
        _try(group, i, ("category", "color"), LIKELY)


def _correct_any_garment(groups: list[_Group]) -> None:
    """ "a caot with red sleeves": no verb says that it is worn, but a garment is missing."""
    cued = any(group.having("color", *_CUES) for group in groups)
    for group in groups:
        i = _last(group, "unknown")
        if i is not None and group.opener != "aside" and cued:
            _try(group, i, ("category",), LIKELY)


def _correct_colors(group: _Group) -> None:
    cued = group.having("category", "term", "hue", *_CUES) or group.opener in ("wear", "be")
    for i, word in enumerate(group.words):
        if word.kind == "unknown" and cued:
            before, after = group.kind_at(i - 1), group.kind_at(i + 1)
            starts = before in ("", "length") and after in ("category", "hue", *_CUES)
            _try(group, i, ("color",), SURE if starts or before in _CUES else LIKELY)


def _correct_terms(group: _Group) -> None:
    for i, word in enumerate(group.words):
        if word.kind == "unknown":
            _try(group, i, ("term",), WEAK)


def _correct_far(groups: list[_Group], kind: str) -> None:
    """Where no group says it, a long word one slip away does, wherever it stands."""
    for group in groups:
        for i, word in enumerate(group.words):
            if word.kind == "unknown" and not any(other.having(kind) for other in groups):
                _try(group, i, (kind,), WEAK)


def _correct_person(groups: list[_Group]) -> None:
    if groups and groups[0].opener == "" and groups[0].words[-1].kind == "unknown":
        _try(groups[0], len(groups[0].words) - 1, ("gender",), LIKELY)


def _try(group: _Group, i: int, kinds: tuple[str, ...], place: int) -> None:
    """Correct a word to the nearest label word of the kinds; of equally near ones, the first kind's."""
    found = [(kind, meant(group.words[i].text, kind, place)) for kind in kinds]
    found = [(kind, hit) for kind, hit in found if hit]
    if found:
        kind, (_, meaning) = min(found, key=lambda pair: pair[1][0])
        group.correct(i, kind, meaning)


def _last(group: _Group, kind: str) -> int | None:
    return max((i for i, word in enumerate(group.words) if word.kind == kind), default=None)


# --------------------------------------------------------------------------------------------------
# reading the labels

_GENERIC = {"top", "jacket", "coat", "sweater"}
"""After another garment these name its class: a tank top is a tank, a bomber jacket a bomber."""
_LENGTHY = {"dress", "jumpsuit", "coat", "kimono", "poncho"}
"""Garments that are long without long sleeves."""


def _garment_group(groups: list[_Group]) -> _Group | None:
    """The group that names what is worn: before any "with ...", where there is a choice."""
    naming = [group for group in groups if group.having("category")]
    return min(naming, key=lambda group: group.opener == "aside", default=None)


def _category(garment: _Group | None) -> str:
    if garment is None:
        return UNKNOWN
    names = [word.meaning for word in garment.having("category")]
    if len(names) > 1 and names[-1] in _GENERIC and names[-2] not in {*_GENERIC, "dress"}:
        return names[-2]
    return names[-1]


def _gender(groups: list[_Group]) -> str:
    people = [(group, word) for group in groups for word in group.having("gender")]
    return min(people, key=lambda pair: pair[0].opener == "aside")[1].meaning if people else UNKNOWN


def _sleeve(groups: list[_Group], garment: _Group | None) -> str:
    if any(group.having("sleeveless") or _says_none(group) for group in groups):
        return "sleeveless"
    stated = [length for group in groups if (length := _sleeve_length(group))]
    stated += [_predicate_length(first, second) for first, second in itertools.pairwise(groups)]
    stated = [length for length in stated if length] or ["long" for group in groups if _long_alone(group)]
    return stated[0] if stated and stated[0] != "other" else UNKNOWN


def _says_none(group: _Group) -> bool:
    return group.words[0].kind == "no" and group.kind_at(1) == "sleeve"


def _sleeve_length(group: _Group) -> str | None:
    """The length nearest before, or else right after, the group's last word for sleeve."""
    sleeve = _last(group, "sleeve")
    if sleeve is None:
        return None
    before = [word.meaning for word in group.words[:sleeve] if word.kind == "length"]
    after = [word.meaning for word in group.words[sleeve + 1 : sleeve + 2] if word.kind == "length"]
    return (before[-1:] or after or [None])[0]


def _predicate_length(subject: _Group, predicate: _Group) -> str | None:
    """ "the sleeves are short"."""
    says = subject.words[-1].kind == "sleeve" and predicate.opener == "be"
    return predicate.words[0].meaning if says and predicate.kind_at(0) == "length" else None


def _long_alone(group: _Group) -> bool:
    """ "a long orange blazer", "long letters": the captions mean the sleeves."""
    for i, word in enumerate(group.words):
        if word.kind == "length" and word.meaning == "long":
            rest = [other for other in group.words[i + 1 :] if other.kind not in ("color", "othercolor")]
            return not rest or (rest[0].kind != "unknown" and rest[0].meaning not in _LENGTHY)
    return False


def _color(groups: list[_Group], garment: _Group | None) -> str:
    """The garment's own colour, else the first one named after it, else before it."""
    start = groups.index(garment) if garment else 0
    for group in [*groups[start:], *groups[:start]]:
        found = _group_colors(group)
        if found:
            return found.pop() if len(found) == 1 else "multicolor"
    return UNKNOWN


def _group_colors(group: _Group) -> set[str]:
    """Colours of the thing, not of the person; a shade ("silver-gray", "olive green") is one colour."""
    person = _last(group, "gender") if group.opener == "" and not group.having("category") else None
    words = group.words[0 if person is None else person + 1 :]
    return {word.meaning or UNKNOWN for i, word in enumerate(words) if _names_color(words, i)}


def _names_color(words: list[_Word], i: int) -> bool:
    word, before, after = words[i], words[i - 1] if i else None, words[i + 1] if i + 1 < len(words) else None
    if word.kind == "othercolor":
        return after is None or after.kind != "color"
    if word.kind != "color":
        return False
    shade = before is not None and before.kind == "color"
    return not (shade and (word.glued or (before.meaning, word.meaning) in SHADES))


def _terms(groups: list[_Group]) -> tuple[str, ...]:
    said = {word.meaning for group in groups for word in group.having("term")}
    return tuple(term for term in TERMS if term in said and (term != "print" or said == {"print"}))

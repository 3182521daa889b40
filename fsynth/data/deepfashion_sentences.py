"""Sentences made from DeepFashion's labels, in the benchmark's manner: "the lady is wearing a red dress".

Pure. What the labels do not say is left out, so Category/Attribute, which names no gender, has "a person".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fsynth.data.lexicon import KINDS

TEXTURE, FABRIC, SHAPE, PART, STYLE = "1", "2", "3", "4", "5"
"""Types of attributes."""

_BEFORE = (STYLE, SHAPE, TEXTURE, FABRIC)
"""Kinds of words before a noun, as English has them; colour and sleeve come after the second."""
_SLEEVES = {"long": "long-sleeved", "short": "short-sleeved"}
_VOWEL = re.compile(r"(?!one\b|u\b|uni|use)[aeiou]")
_SLEEVE = re.compile(r"\b(long|short)[ _-]?sleeve[sd]?\b")
_NOUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Blouses_Shirts": ("top", ("blouse", "shirt")),
    "Denim": ("denim", ("jeans",)),
    "Graphic_Tees": ("graphic tee", ()),
    "Jackets_Coats": ("outerwear", ("jacket", "coat")),
    "Jackets_Vests": ("outerwear", ("jacket", "vest")),
    "Rompers_Jumpsuits": ("one-piece", ("romper", "jumpsuit")),
    "Shirts_Polos": ("shirt", ("polo",)),
    "Suiting": ("suiting", ("blazer", "suit")),
    "Sweatshirts_Hoodies": ("sweatshirt", ("hoodie",)),
    "Tees_Tanks": ("top", ("tee", "tank")),
}
"""In-shop's types that hold several garments: what all of them are, and those that a description may name."""
_UNCOUNTED = ("denim", "outerwear", "suiting", "pants", "jeans", "leggings", "shorts")


def of_attributes(category: str, attributes: Sequence[tuple[str, str]]) -> str:
    """Category/Attribute: a style, a shape, the colour and sleeve, a texture and a fabric before the garment,
    a part after it; of several of a kind the first.

    Args:
        category: name of the category, in lower case.
        attributes: those that the picture has, each with its type.
    """
    first: dict[str, str] = {}
    for given, kind in attributes:
        name = _tidy(given, category)
        if name:
            first.setdefault(_place(name, kind), sleeve_in(name) or name)
    looks = [first.get(kind) for kind in _BEFORE]
    words = [*looks[:2], first.get("color"), first.get("sleeve"), *looks[2:], category]
    garment = _with_article(" ".join(dict.fromkeys(word for word in words if word)))
    part = first.get(PART)
    return f"a person is wearing {garment}" + (f" with {_with_article(part)}" if part else "")


def of_item(person: str, kind: str, color: str, description: str) -> str:
    """In-shop: the colour, the sleeve and the garment, as far as the item's description names them.

    Args:
        person: such as ``the lady``.
        kind: type of the garment, such as ``Blouses_Shirts``.
        color: as the item has it, such as ``Black-blush``; may be empty.
        description: of the item; may be empty.
    """
    hue = _listed(color_parts(color))
    words = [hue, sleeve_in(description.lower()), _noun(kind, description)]
    return f"{person} is wearing {_with_article(' '.join(word for word in words if word))}"


def color_parts(color: str) -> list[str]:
    """``Heather grey-black`` -> ``heather grey``, ``black``; a ``multi`` makes the whole multicolor."""
    parts = [part.strip() for part in re.split(r"[-/]", color.lower()) if part.strip()]
    if any(part in ("multi", "multicolor") for part in parts):
        return ["multicolor"]
    return list(dict.fromkeys(parts))


def sleeve_in(text: str) -> str | None:
    """``long-sleeved``, ``short-sleeved``, ``sleeveless``, where a text in lower case says one of them."""
    lengths = {_SLEEVES[length] for length in _SLEEVE.findall(text)}
    lengths |= {"sleeveless"} if "sleeveless" in text else set()
    return lengths.pop() if len(lengths) == 1 else None


def _place(name: str, kind: str) -> str:
    """Where a word goes: a sleeve and a colour are known by name, "embroidered" is no part to be "with"."""
    if sleeve_in(name):
        return "sleeve"
    if KINDS.get(name, ("",))[0] in ("color", "othercolor"):
        return "color"
    return TEXTURE if kind == PART and name.endswith(("ed", "less")) else kind


def _tidy(name: str, category: str) -> str:
    """In lower case, without the garment: ``Maxi_Dress`` -> ``maxi`` of a dress."""
    plain = " ".join(name.lower().replace("_", " ").split())
    return plain.removesuffix(category).strip()


def _noun(kind: str, description: str) -> str:
    """The garment that the description names first; where it names none, what all of the type are."""
    general, names = _NOUNS.get(kind, (_one(kind), ()))
    found = re.search(rf"\b({'|'.join(names)})s?\b", description.lower()) if names else None
    return found[1] if found else general


def _one(kind: str) -> str:
    """``Dresses`` -> ``dress``; what has no singular stays."""
    words = kind.lower().replace("_", " ")
    if words.endswith(_UNCOUNTED):
        return words
    return words.removesuffix("es") if words.endswith("sses") else words.removesuffix("s")


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _with_article(words: str) -> str:
    last = words.rpartition(" ")[2]
    plural = last.endswith("s") and not last.endswith("ss")
    if plural or last in _UNCOUNTED:
        return words
    return f"{'an' if _VOWEL.match(words) else 'a'} {words}"

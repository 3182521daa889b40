"""The label names of the FashionSynthesis benchmark, in the order of its codes.

The files count categories, colours and sleeves from 1 and gender from 0; everywhere in fsynth a label is a
0-based index into one of these tuples (`datasets.ClassLabel` order). The tables were confirmed by
cross-tabulating every code with the word in its sentence; the maps found in public notebooks are wrong.
"""

from __future__ import annotations

UNKNOWN = "unknown"
"""What a sentence does not say."""

GENDERS = ("female", "male")
NOT_STATED = "not stated"
"""The label of a sleeve that nobody speaks of. Other kinds of label have none: theirs is null."""
SLEEVES = ("long", "short", "sleeveless", NOT_STATED)
CATEGORIES = (
    "blazer",
    "blouse",
    "bomber",
    "cardigan",
    "henley",
    "hoodie",
    "jacket",
    "jersey",
    "parka",
    "poncho",
    "sweater",
    "tank",
    "tee",
    "top",
    "coat",
    "dress",
    "jumpsuit",
    "kimono",
    "romper",
)
COLORS = (
    "red",
    "blue",
    "white",
    "pink",
    "orange",
    "black",
    "brown",
    "green",
    "purple",
    "yellow",
    "khaki",
    "gray",
    "beige",
    "blonde",
    "silver",
    "olive",
    "multicolor",
)

LABELS = {"gender": GENDERS, "sleeve": SLEEVES, "category": CATEGORIES, "color": COLORS}
"""Column name -> class names."""

UNSAID = {"sleeve": NOT_STATED, "color": "multicolor"}
"""The benchmark's code for what a sentence does not say; it has none for gender and category."""


def agree(column: str, code: str, said: str) -> bool:
    """Whether a code names the label that its sentence says, or the one for what a sentence leaves out."""
    return code == (UNSAID.get(column) if said == UNKNOWN else said)

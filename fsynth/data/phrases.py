"""The less usual sentences of the benchmark's captions: other frames, prints, slips of the pen, with counts.

Fields: person, item (the category word), color (a colour word or a spelling of multicolor), sleeved
("long-sleeved"), length ("long"; frames with it do not fit sleeveless garments), noun (what is printed).
`fsynth.data.grammar` fills them in.
"""

from __future__ import annotations

import functools

MULTI_SPELLINGS = (("multicolor", 54), ("multi-color", 26), ("multi-colored", 13), ("multicolored", 7))

_DEPARTING = """
454 the {person} wore a {color} {sleeved} {item}
298 the {person} was wearing a {color} {sleeved} {item}
268 the {person} wears a {color} {sleeved} {item}
329 a {person} wearing a {color} {sleeved} {item}
261 the {person} wore {color} {sleeved} {item}
178 the {person} is wearing a {sleeved} {color} {item}
208 the {person} was wearing a {sleeved} {color} {item}
274 the {person} wore a {sleeved} {color} {item}
175 the {person} is wearing a {color} {sleeved} {item}
108 a {person} wears a {color} {sleeved} {item}
 80 a {person} in {color} {sleeved} {item}
 45 the {person} wears a {item} with {color} {length} sleeves
 31 a {person} wearing {color} {sleeved} {item}
 32 the {person} was wearing a {item} with a {color} {length} sleeve
 32 the {person} is wearing a {item} with a {length} sleeved {color}
 32 the {person} wore a {sleeved} {item} of {color}
 27 a {person} in a {color} {sleeved} {item}
 24 the {person} in {color} {sleeved} {item}
 18 the {person} dressed in a {color} {sleeved} {item}
 17 the {person} wore a {color} {item} with {length} sleeves
 15 the {person} was wearing a {item} with {length} {color} sleeves
 10 the {person} wore a {item} with a {color} {length} sleeve
  9 the {person} was wearing a {color} {length} sleeve {item}
  8 a {person} wearing {sleeved} {item} {color}
  7 the {person} wears {color} {sleeved} {item}
  6 the {person} wore a {sleeved}, {color} {item}
  5 this {person} wears a {color} {sleeved} {item}
  5 the little {person} was wearing a {color} {sleeved} {item}
  5 the {person} was dressed in a {color} {sleeved} {item}
"""

_COLOR_UNSTATED = """
104 the {person} was wearing a {sleeved} {item}
 27 the {person} was wearing a {item} with {length} sleeves
 26 the {person} wore a {sleeved} {item}
  9 the {person} is wearing a {sleeved} {item}
  9 the {person} was wearing a {length} sleeved {item}
  7 a {person} wearing a {sleeved} {item}
  4 the {person} wears a {sleeved} {item}
"""
"""Departing sentences of multicoloured garments that leave the colour out."""

_SLEEVE_UNSTATED = """
 80 the {person} was wearing a {color} {item}
 15 the {person} is wearing a {color} {item}
  9 the {person} wore a {color} {item}
  6 the {person} wore a half-sleeved {color} {item}
  4 the {person} wore a {item} with a {color} sleeve
"""

_SLEEVE_UNSTATED_LETTERS = """
134 the {person} was wearing a {item} with {color} letters and letters
 42 the {person} was wearing a {color} {item} with a {color} letter
 42 the {person} was wearing a {color} {item} with an english letter
 24 the {person} was wearing a {color} {item} printed in english letters
 20 the {person} was wearing a {color} {item} with english letters
 10 the {person} wore a {color} {item} with an english letter
  6 the {person} was wearing a {item} with {color} letters
"""

_LETTERS = """
637 the {person} was wearing a {item} with a {color} {sleeved} letter
421 the {person} is wearing a {color} {sleeved} {item} printed with letters
191 the {person} was wearing a {item} with {color} letters and {sleeved} letters
144 the {person} was wearing a {color} {sleeved} {item} with english letters
 44 the {person} is wearing a {color} {sleeved} letter {item}
 44 the {person} was wearing a {item} with a {color} letter {sleeved} letter
 39 the {person} was wearing a {color} {sleeved} {item} printed with letters
 36 the {person} was wearing a {color} {sleeved} {item} with letters
 30 the {person} was wearing a {item} of letters with a {color} {sleeved} letter
 19 the {person} was wearing a {color} {sleeved} {item} with an english letter
 18 the {person} is wearing a {color} {item} with {length} sleeves printed with letters
 17 the {person} is wearing a printed letters of {color} {sleeved} {item}
 17 the {person} wears a {item} with a {color} {sleeved} letter
 16 the {person} is wearing a {color} {sleeved} {item} printed letters
  9 a {person} wearing a {color} {sleeved} {item} printed with letters
  7 the {person} is wearing a {color} {sleeved} {item} printed with english letters
  6 the {person} is wearing a {color} {sleeved} {item} printed characters
"""

_MOTIF = """
115 the {person} was wearing a {item} with a {color} {sleeved} {noun}
 58 the {person} is wearing a {color} {sleeved} {item} printed with {nouns}
 44 the {person} was wearing a {color} {sleeved} {item} printed with {nouns}
 30 the {person} was wearing a {color} {sleeved} {item} with a {noun}
 42 the {person} was wearing a {color} {sleeved} {item} with {nouns}
 28 the {person} was wearing a {item} with {color} {sleeved} {nouns}
 14 the {person} wore a {color} {sleeved} {item} with {nouns}
 17 the {person} was wearing a {color} {sleeved} {noun} {item}
 12 the {person} is wearing a printed {color} {sleeved} {noun} {item}
 14 the {person} wore a {item} with a {color} {sleeved} {noun}
 14 the {person} was wearing a {item} with a {noun} {color} {length} sleeve
 22 the {person} is wearing a printed {noun} {color} {sleeved} {item}
 11 the {person} is wearing a {color} {sleeved} {noun} printed {item}
  6 the {person} is wearing a {color} {sleeved} {item} printed with a {noun}
 12 the {person} is wearing a {noun} {color} {sleeved} {item}
  5 the {person} is wearing a {color} {sleeved} {item} printed on the {noun}
  8 a {person} wearing a {color} {sleeved} {item} with {nouns}
"""

_PRINT = """
 18 the {person} is wearing a printed {color} {sleeved} {item}
 12 the {person} is wearing a {color} {sleeved} printed {item}
  5 the {person} was wearing a {item} with a {color} {length} sleeve printed on it
  3 the {person} was wearing a {item} with a {color} {sleeved} pattern
  4 the {person} was wearing a {color} {sleeved} patterned {item}
"""

TABLES = {
    "departing": _DEPARTING,
    "color unstated": _COLOR_UNSTATED,
    "sleeve unstated": _SLEEVE_UNSTATED,
    "sleeve unstated, letters": _SLEEVE_UNSTATED_LETTERS,
    "letters": _LETTERS,
    "motif": _MOTIF,
    "print": _PRINT,
}


@functools.cache
def frames(table: str, sleeveless: bool) -> tuple[tuple[str, float], ...]:
    """(frame, weight) of a table of `TABLES`, without those that need a sleeve's length for sleeveless."""
    lines = [line.strip().split(" ", 1) for line in TABLES[table].strip().splitlines()]
    pairs = tuple((frame, float(weight)) for weight, frame in lines)
    return tuple(pair for pair in pairs if not (sleeveless and "{length}" in pair[0]))


_SPORTSWEAR_PRINTS = """
2410 letters, 245 animals, 91 cartoon, 84 print, 53 faces, 32 numbers, 31 figures, 29 skulls, 29 objects,
28 fruit, 26 hearts, 24 flowers, 23 shapes, 22 stars, 21 plants, 19 flag, 13 places, 12 animal print,
10 vehicles
"""
_OTHER_PRINTS = """
105 letters, 98 flowers, 24 print, 22 animals, 7 figures, 7 numbers, 6 places, 5 stars, 4 hearts, 3 cartoon,
2 plants, 1 stripes
"""
SPORTSWEAR = ("tee", "tank", "hoodie", "jersey", "sweater", "top", "henley")


@functools.cache
def prints(category: str) -> tuple[tuple[str, float], ...]:
    """(term, weight) of what is printed on garments of a category."""
    return _weighted(_SPORTSWEAR_PRINTS if category in SPORTSWEAR else _OTHER_PRINTS)


_NOUNS = {
    "animals": """
        58 cat/cats, 28 elephant/elephants, 18 dog/dogs, 21 tiger/tigers, 14 butterfly/butterflies,
        13 horse/horses, 10 lion/lions, 8 bear/bears, 6 owl/owls, 6 bird/birds, 5 deer/deer, 5 animal/animals,
        4 wolf/wolves, 6 eagle/eagles, 3 sheep/sheep, 6 rabbit/rabbits, 3 dinosaur/dinosaurs""",
    "cartoon": """
        59 mickey mouse/mickey mouse, 8 cartoon/cartoon, 4 snoopy/snoopy, 3 spiderman/spiderman,
        2 minnie mouse/minnie mouse""",
    "faces": "31 face/faces, 12 head/heads, 2 portrait/portraits, 4 lip/lips",
    "numbers": "37 digital/numbers, 5 number/numbers",
    "figures": "32 figure/figures, 4 hand/hands, 1 angel/angels",
    "skulls": "18 skull/skulls, 11 skeleton/skeletons",
    "objects": "5 glasses/glasses, 4 pizza/pizza, 3 basketball/basketball, 2 guitar/guitar",
    "fruit": "24 pineapple/pineapples, 5 banana/bananas",
    "hearts": "29 heart/hearts, 2 love/love",
    "flowers": "87 flower/flowers, 3 rose/roses, 2 sunflower/sunflowers",
    "shapes": "11 cross/crosses, 4 moon/moon, 3 anchor/anchor, 3 arrow/arrows, 1 crown/crown",
    "stars": "27 star/stars",
    "plants": "9 coconut tree/coconut trees, 8 tree/trees, 2 cactus/cactus, 2 palm/palm",
    "flag": "20 american flag/american flags",
    "places": "5 eiffel tower/eiffel tower, 3 tower/tower, 2 landscape/landscape",
    "animal print": "12 leopard/leopard",
    "vehicles": "6 car/cars, 2 bike/bike, 2 motorcycle/motorcycle",
    "stripes": "2 stripe/stripes",
}
"""Term -> its nouns (one/several, count)."""

MISSPELLINGS = {
    "blouse": "blosue blosue blosue blousee blouset bliouse blous",
    "blazer": "bazer balazer blzaer",
    "bomber": "bomer bomder",
    "sweater": "swerter serater wseater suerter sweatwer swester sweatert sweter sweayer",
    "cardigan": "catdigan catdigan crdigan cardign acrdigan carfigan carkigan cardogan caidigan cardiagn",
    "hoodie": "hoosie hoodin hodie boodie doodie",
    "jacket": "jacker jacker jscket jacjet jaket backet jacke",
    "tank": "tnak tnak takn",
    "henley": "genley hennley",
    "tee": "teee",
    "parka": "parke",
    "dress": "derss derss drsss drees dres bresss bress drerss drss",
    "romper": "rpmper rpmper rompe romer bromper romoper romoer tomper rompere romepr",
    "kimono": "kiomono kinono kimomo kimon",
    "jumpsuit": "junpsuit jumpuit jumpsui",
    "coat": "caot",
}
"""Category -> how its word was misspelt, as often as it was."""
MISSPELT_SHARE = 120 / 78979


@functools.cache
def nouns(term: str) -> tuple[tuple[str, float], ...]:
    """("one/several", weight) of a term."""
    return _weighted(_NOUNS[term])


def _weighted(text: str) -> tuple[tuple[str, float], ...]:
    parts = [part.strip().split(" ", 1) for part in text.split(",")]
    return tuple((words, float(weight)) for weight, words in parts)

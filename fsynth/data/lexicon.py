"""The words of fashion captions: what each means, and which of them are not slips of a label word.

Words only, never whole sentences. `KINDS` maps every known word to its kind and meaning; a word that is
not in it may be a misspelling. `ORDINARY` holds English words that lie one slip away from a label word.
"""

from __future__ import annotations

from fsynth.data.labels import CATEGORIES, COLORS, GENDERS

Meaning = tuple[str, str]
"""Kind of word, and what it stands for: a label, a term, or nothing."""

# --------------------------------------------------------------------------------------------------
# label -> other words for it

_GENDERS = {
    "female": "lady ladies woman women womens girl girls females she mother mum mom aunt auntie ms mrs miss"
    " madam gal daughter sister wife bride",
    "male": "man men mens boy boys males he guy guys gentleman gentlemen father dad uncle mr sir lad son"
    " brother husband groom",
}
_CATEGORIES = {
    "blazer": "blazers",
    "blouse": "blouses",
    "bomber": "bombers",
    "cardigan": "cardigans cardi",
    "henley": "henleys",
    "hoodie": "hoodies hoody",
    "jacket": "jackets",
    "jersey": "jerseys",
    "parka": "parkas",
    "poncho": "ponchos",
    "sweater": "sweaters sweatshirt sweatshirts sweatshorts sweat pullover jumper",
    "tank": "tanks tanktop",
    "tee": "tees tshirt tshirts ee",
    "top": "tops",
    "coat": "coats overcoat trenchcoat raincoat",
    "dress": "dresses gown sundress shift",
    "jumpsuit": "jumpsuits",
    "kimono": "kimonos",
    "romper": "rompers romp playsuit",
}
_COLORS = {
    "red": "reddish crimson scarlet burgundy maroon",
    "blue": "blued bluish navy",
    "white": "whitish",
    "pink": "pinkish",
    "brown": "brownish",
    "green": "greenish",
    "purple": "purplish lavender violet",
    "yellow": "yellowish",
    "gray": "grey grayish greyish charcoal",
    "blonde": "blond",
    "silver": "silvery",
    "olive": "olives",
    "multicolor": "multicolour multicolored multicoloured multi multiple colorful colourful polychrome"
    " polychromatic",
}
_SLEEVES = {
    ("length", "long"): "long",
    ("length", "short"): "short",
    ("length", "other"): "half semi quarter mid elbow cap",
    ("sleeve", ""): "sleeve sleeves sleeved",
    ("sleeveless", "sleeveless"): "sleeveless sleevless",
}
_OTHER_COLORS = "gold golden apricot cream creamy cyan wheat tan teal turquoise ivory lilac coral mint"
"""Colours the benchmark has no code for."""

SHADES = {("olive", "green"), ("silver", "gray")}
"""Two colour words, one colour: the first names it."""

# --------------------------------------------------------------------------------------------------
# descriptive term -> words for it

TERMS = {
    "letters": "letter letters lettering alphabet alphanumeric characters logo slogan text writing adidas",
    "numbers": "number numbers numeral numerals digital",
    "flowers": "flower flowers floral flowery rose roses rosette sunflower sunflowers blossom blossoms"
    " cherry tulip tulips daisy daisies bouquet",
    "stripes": "stripe stripes striped stripy pinstripe pinstriped",
    "plaid": "plaid checked checkered chequered tartan gingham",
    "dots": "dot dots dotted polka",
    "hearts": "heart hearts love",
    "stars": "star stars starry",
    "shapes": "cross crosses anchor arrow arrows crown triangle diamond diamonds moon geometric",
    "denim": "denim chambray",
    "lace": "lace lacy crochet crocheted",
    "chiffon": "chiffon sheer",
    "leather": "leather suede",
    "knit": "knit knitted wool woolen ribbed",
    "fur": "fur furry fleece shearling feathers",
    "silk": "silk silky satin",
    "velvet": "velvet",
    "hood": "hooded hood drawstring",
    "buttons": "button buttons buttoned zip zipper zipped",
    "pockets": "pocket pockets",
    "collar": "collar collared",
    "animal print": "leopard cheetah zebra snakeskin",
    "animals": "animal animals bat bear bears bird birds bulls butterfly butterflies cat cats chicken cobra"
    " cow crab crabs crocodile deer dinosaur dinosaurs dog dogs dolphin dragon dragonfly dragonflies duck"
    " eagle eagles elephant elephants fish flamingo flamingos fox giraffe goose hawk hedgehog horse horses"
    " kitten kittens lion lions ostrich owl owls panda pandas parrot peacock pig pony rabbit rabbits"
    " reindeer seal shark sharks sheep snake swallow swallows tiger tigers turtle turtles unicorn wolf"
    " wolves",
    "cartoon": "cartoon animated mickey minnie mouse snoopy garfield barbie spiderman spider ninja"
    " character sponge smiley alien santa",
    "faces": "face faces head heads portrait portraits lip lips lipstick bust smile smiles smiling tongue",
    "figures": "figure figures doll angel angels hand hands children",
    "skulls": "skull skulls skeleton skeletons",
    "plants": "tree trees leaf leaves palm cactus coconut",
    "fruit": "fruit fruits pineapple pineapples banana bananas lemon lemons strawberry strawberries",
    "flag": "flag flags",
    "vehicles": "car cars bike bicycle motorcycle",
    "places": "tower eiffel paris statue liberty landscape village sky map",
    "objects": "basketball cake camera chandelier gem gemstones glasses guitar hamburger headset keyboard"
    " pizza poker shell shells sunglasses",
    "graffiti": "graffiti camouflage camo paisley",
    "print": "print prints printed printing pattern patterns patterned picture motif motifs",
}

# --------------------------------------------------------------------------------------------------
# the words between, and words that are no label

_FRAME = {
    "article": "a an the this that these those my your its our their his her some any",
    "wear": "wear wears wearing wore worn dressed clad in sporting sports donning dons has have had",
    "be": "is are was were be being been am",
    "aside": "with of on by from like featuring bearing for under over at as because to through into around",
    "and": "and",
    "no": "no without",
    "hue": "color colors colored colour colours coloured",
    "break": "who which it also both there here while but not so then we they you i",
}
_PLAIN = (
    "look looks colorless style version pair many light dark deep pale bright little large big small young"
    " old new nice casual loose tight simple plain soft warm summer winter english chinese american british"
    " egyptian roman military army human child kid baby person people model wine sea shirt shirts skirt"
    " skirts shorts shortsuit pants trousers jeans vest vests suit suits cape cloak robe shawl scarf hat"
    " cap boots shoes socks belt tie tunic camisole cami bodysuit leggings garment outfit clothes clothing"
    " uniform swimsuit polo gloves front side neck neckline waist hem down up out off open low high made"
    " very naked topless terry life ringer burnout surplice mesh cotton linen name world question mark"
    " lightning base filled game ruffle ruffled pleated cropped crop trim detail details real bold led rib"
)

_ORDINARY_TEXT = (
    # near tee, top, tank, coat
    "see teen fee ten lee tea toe pee bee ted wee gee tech steep step to too two stop pop tip toy hop tom"
    " tap ton cop mop bop tow fop atop talk bank thank thanks task rank tang tack hank dank sank yank cost"
    " chat coast boat coal goat cot oat moat float colt cots tell tex dee thee tie ter tor tag"
    # near the longer garments
    " press dressy dresser address blaze blazed blazing glazer louse house packet racket bracket jacked"
    " park parks sweaty sweeter wetter bombed hoodlum foodie goodie honcho roping roper mono presses"
    " goodies speaker shelter smarter swimmer cardinal"
    # near the colours
    " wed bed ref rev reed rid rod rad fed ned bred reel read ready rude glue clue blur blues blow while"
    " write whine wait waite ping pin pine pint pick ink sink link wink mink rink punk kink range ranger"
    " arrange back block lack blank slack brow grown blown drown frown browse greet greed greek greens"
    " greener fellow mellow bellow yell gay ray pray tray grab grad gram gran bray garygrave live alive"
    " liver oliver solver people begin being seller server blood blind blend bond prey fred"
    # near long, short and sleeve
    " log along song kong hong lung lone gong belong lounge sort sport shot shoot shore shout snort sleep"
    " sleek sleet steve sleeper sleepy sleeping asleep sleepless served seemed serve slave"
    # near letter, flower, stripe, leather, plaid
    " better latter litter bitter setter fetter lower slower flow flowed flowery strip strips stripped"
    " strive stride weather feather heather lather paid laid plait placid patter painted strike flora"
    # near lady, woman, man, girl, boy
    " lay lazy lads may can map mad mean main mane buy bay box joy boys roman gill omen woven"
)
ORDINARY = frozenset(word + ending for word in _ORDINARY_TEXT.split() for ending in ("", "s"))
"""Words that mean something else, however close they are to a label word."""


def _own_names() -> dict[str, Meaning]:
    names = {label: ("category", label) for label in CATEGORIES}
    names |= {label: ("color", label) for label in COLORS}
    return names | {label: ("gender", label) for label in GENDERS}


def _spread(kind: str, table: dict[str, str]) -> dict[str, Meaning]:
    return {word: (kind, meaning) for meaning, words in table.items() for word in words.split()}


KINDS: dict[str, Meaning] = {
    **dict.fromkeys(_PLAIN.split(), ("plain", "")),
    **_spread("term", TERMS),
    **{word: (kind, "") for kind, words in _FRAME.items() for word in words.split()},
    **dict.fromkeys(_OTHER_COLORS.split(), ("othercolor", "")),
    **{word: meaning for meaning, words in _SLEEVES.items() for word in words.split()},
    **_spread("gender", _GENDERS),
    **_spread("category", _CATEGORIES),
    **_spread("color", _COLORS),
    **_own_names(),
}
"""Word -> (kind, meaning)."""

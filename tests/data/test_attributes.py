"""Labels off captions: the real annotation, misspellings, unseen frames, words that are no garments."""

from __future__ import annotations

import random
import re
import string
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsynth.data import annotation, grammar
from fsynth.data.attributes import Attributes, parse
from fsynth.data.labels import CATEGORIES, COLORS, GENDERS, LABELS, UNKNOWN
from fsynth.data.lexicon import KINDS, ORDINARY, TERMS

REAL = Path(__file__).resolve().parents[3] / "shared/data/fashion-synthesis-annotations"
UNSAID = {"sleeve": "not stated", "color": "multicolor"}
LABEL_KINDS = {"category", "color", "length", "sleeve", "sleeveless"}


def said(sentence: str) -> tuple[str, str, str, str]:
    found = parse(sentence)
    return found.gender, found.sleeve, found.category, found.color


# --------------------------------------------------------------------------------------------------
# the benchmark


@pytest.fixture(scope="module")
def real() -> annotation.Annotation:
    if not REAL.is_dir():
        pytest.skip(f"no real annotation at {REAL}")
    return annotation.read(REAL / "Anno/language_original.mat")


@pytest.mark.parametrize(
    ("column", "least"), [("gender", 0.9998), ("sleeve", 0.999), ("color", 0.999), ("category", 0.998)]
)
def test_sentences_agree_with_the_real_codes(real, column, least):
    read = [getattr(parse(text), column) for text in real.text]
    names = [LABELS[column][code] for code in real.codes[column]]
    agree = sum(
        name == (UNSAID.get(column) if one == UNKNOWN else one) for name, one in zip(names, read, strict=True)
    )
    assert agree / len(names) >= least


def test_all_real_sentences_take_seconds(real):
    parse.cache_clear()
    start = time.process_time()  # a busy machine does not count
    for text in real.text:
        parse(text)
    assert time.process_time() - start < 5


def test_no_real_word_is_taken_for_another_garment(real):
    """Every corrected word of the real vocabulary is a misspelling; ordinary words stay what they are."""
    words = {word for text in set(real.text) for word in re.findall("[a-z]+", text)}
    ordinary = (
        "collar pocket skirt shirt stripe heart life terry button cat bear rose swallow face head letter"
    )
    for word in set(ordinary.split()) & words:
        assert parse(f"the lady is wearing a white short-sleeved {word}.").category == UNKNOWN


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("is wearing a dress.", (UNKNOWN, UNKNOWN, "dress", UNKNOWN)),
        ("a lady in gray hoodie.", ("female", UNKNOWN, "hoodie", "gray")),
        ("the lady wore a long-sleeved, multi-colored blouse.", ("female", "long", "blouse", "multicolor")),
        ("ms. wearing a black sleeveless top.", ("female", "sleeveless", "top", "black")),
        ("the man was wearing a blue short - sleeved jersey.", ("male", "short", "jersey", "blue")),
        ("the woman was wearing a gray dog ??sleeveless tee.", ("female", "sleeveless", "tee", "gray")),
        ("the lady was wearing a yellow blouse.", ("female", UNKNOWN, "blouse", "yellow")),
        (
            "the lady was wearing a tee with the letters and mickey mouse's multicolor short sleeves.",
            ("female", "short", "tee", "multicolor"),
        ),
        ("men wear a black long-sleeved hoodie.", ("male", "long", "hoodie", "black")),
        ("the lady wore a blouse with a long red-sleeved burgundy.", ("female", "long", "blouse", "red")),
        ("the lady is wearing a white short-sleeved jersey_tee.", ("female", "short", "tee", "white")),
        ("a woman in a gray and white half-sleeved tee.", ("female", UNKNOWN, "tee", "multicolor")),
        ("the lady wore a gold sleeveless dress.", ("female", "sleeveless", "dress", UNKNOWN)),
        ("the lady wore a silver-gray long-sleeved coat.", ("female", "long", "coat", "silver")),
        ("the black man wearing a green short-sleeved tee.", ("male", "short", "tee", "green")),
        (
            "the lady was wearing a tank with white letters and no sleeves.",
            ("female", "sleeveless", "tank", "white"),
        ),
        ("the lady is wearing a short-sleeved white.", ("female", "short", UNKNOWN, "white")),
    ],
)
def test_odd_sentences_of_the_benchmark(sentence, expected):
    assert said(sentence) == expected


@pytest.mark.parametrize(
    ("slip", "category"),
    [
        (slip, category)
        for category, slips in {
            "blouse": "blosue blousee blouset bliouse blous louse",
            "sweater": "wseater swerter serater suerter sweatwer sweayer",
            "romper": "rpmper rompe tomper pomper dromper romepr",
            "kimono": "kimomo kinono kiomono kimon",
            "dress": "derss drees drsss bress drerss ress",
            "jacket": "jscket jacker jaket jacjet backet",
            "cardigan": "catdigan crdigan acrdigan cardogan caidigan",
            "jumpsuit": "junpsuit jumpuit jumpsui",
            "tank": "tnak takn",
            "coat": "caot",
            "blazer": "blzaer bazer balazer blaze",
            "hoodie": "hoosie hodie boodie",
            "top": "yop eop tops",
            "parka": "parke",
            "henley": "genley hennley",
        }.items()
        for slip in slips.split()
    ],
)
def test_the_benchmarks_own_misspellings(slip, category):
    assert parse(f"the lady is wearing a white long-sleeved {slip}.").category == category


# --------------------------------------------------------------------------------------------------
# random edits


def _edited(word: str, rng: random.Random) -> str:
    i, letter = rng.randrange(len(word)), rng.choice(string.ascii_lowercase)
    kind = rng.choice(["insert", "delete", "replace", "swap"])
    if kind == "insert":
        i = rng.randrange(len(word) + 1)
        return word[:i] + letter + word[i:]
    if kind == "swap":
        i = min(i, len(word) - 2)
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    return word[:i] + (letter if kind == "replace" else "") + word[i + 1 :]


def _edits(sentences: list[str], count: int, rng: random.Random):
    """(length of the word, sentence, sentence with an edit in one category, colour or sleeve word).

    Skips edits that give another known word. Ordinary words outside the captions' vocabulary are kept: a
    stricter test than the promise.
    """
    while count:
        sentence = rng.choice(sentences)
        words = [m for m in re.finditer("[a-z]+(?:-[a-z]+)?", sentence) if _is_label(m[0])]
        if not words:
            continue
        word = rng.choice(words)
        edited = _edited(word[0], rng)
        joined = edited.replace("-", "")
        if {joined, *edited.split("-")} & KINDS.keys() - set(word[0].split("-")):
            continue
        count -= 1
        yield len(word[0]), sentence, sentence[: word.start()] + edited + sentence[word.end() :]


def _is_label(word: str) -> bool:
    parts = [KINDS.get(part, ("", ""))[0] for part in word.split("-")]
    return any(kind in LABEL_KINDS for kind in parts) and all(kind in {*LABEL_KINDS, "hue"} for kind in parts)


def _shares_right(sentences: list[str], count: int) -> tuple[float, float]:
    """Share read right after an edit: words of five letters or more, shorter words."""
    right: dict[bool, list[bool]] = {True: [], False: []}
    for length, sentence, edited in _edits(sentences, count, random.Random(5)):
        right[length >= 5].append(said(edited) == said(sentence))
    return float(np.mean(right[True])), float(np.mean(right[False]))


def test_one_random_edit_is_read_right():
    captions = grammar.sentences(4000, np.random.default_rng(1))
    plain = [text for text, labels in captions if said(text)[1:] == _expected(labels)]
    long, short = _shares_right(plain, 10_000)
    assert long >= 0.99
    assert short >= 0.85


def _expected(labels) -> tuple[str, str, str]:
    return labels.sleeve, labels.category, labels.color


UNSEEN = (
    "a {sleeve} {item} in {color} on a {person}.",
    "photo of a {person} in a {sleeve}, {color} {item}",
    "this {person} has on a {color} {item} with long sleeves",
    "her {color} {item} is {sleeve}",
    "{color} {sleeve} {item} for a {person}",
    "{sleeve} {item} in {color} worn by a {person}",
    "the {item} that the {person} wears is {color} and {sleeve}",
    "{item}, {color}, {sleeve}, {person}",
    "{person} in {color} {item}, long sleeve",
    "a {person} whose {item} is {color} with short sleeves",
)


def _unseen(count: int) -> list[tuple[str, tuple[str, str, str]]]:
    rng = random.Random(2)
    made = []
    for _ in range(count):
        frame, sleeve = rng.choice(UNSEEN), rng.choice(["long-sleeved", "short-sleeved", "sleeveless"])
        item, color = rng.choice(CATEGORIES), rng.choice([c for c in COLORS if c != "blonde"])
        text = frame.format(item=item, color=color, sleeve=sleeve, person=rng.choice(["lady", "man"]))
        named = re.search("long|short|sleeveless", text)
        made.append((text, (named[0], item, color)))
    return made


def test_unseen_frames_and_word_orders_are_read():
    for text, expected in _unseen(3000):
        assert said(text)[1:] == expected, text


def test_one_random_edit_in_an_unseen_frame_is_read_right():
    long, short = _shares_right([text for text, _ in _unseen(3000)], 5000)
    assert long >= 0.99
    assert short >= 0.85


# --------------------------------------------------------------------------------------------------
# what must not be corrected


@pytest.mark.parametrize(
    "sentence",
    [
        "we see the coast and thank the man",
        "he reads a book and has a sore toe",
        "the boat near the goat",
        "a cup of tea on the tree",
        "the lady wore a white short-sleeved toe.",
        "the man is wearing a red long-sleeved coast.",
        "the man is wearing a red tie",
        "the lady wore a pleated skirt",
    ],
)
def test_ordinary_words_are_no_garments(sentence):
    assert parse(sentence).category == UNKNOWN


@pytest.mark.parametrize(
    "sentence", ["the man read a book in a tee", "a dress with a back print", "rib tops"]
)
def test_ordinary_words_are_no_colors(sentence):
    assert parse(sentence).color == UNKNOWN


@pytest.mark.parametrize("word", ["toe", "see", "tea", "coast", "boat", "thank", "bank", "rank", "press"])
def test_an_ordinary_word_beside_the_garment_changes_nothing(word):
    assert word in ORDINARY
    assert said(f"the man wore a blue long-sleeved tee with a {word}.") == ("male", "long", "tee", "blue")


def test_a_long_dress_says_nothing_of_its_sleeves():
    assert parse("she wears a long red dress").sleeve == UNKNOWN
    assert parse("the lady wore a long orange blazer.").sleeve == "long"


@pytest.mark.parametrize(
    ("words", "category"),
    [("tank top", "tank"), ("bomber jacket", "bomber"), ("parka coat", "parka"), ("sweater dress", "dress")],
)
def test_compounds_are_named_by_their_kind(words, category):
    assert parse(f"a woman in a black {words}").category == category


@pytest.mark.parametrize("slip", ["layd", "laddy", "womn"])
def test_a_misspelt_person_is_read(slip):
    assert parse(f"the {slip} is wearing a red tee.").gender == "female"


# --------------------------------------------------------------------------------------------------
# terms


@pytest.mark.parametrize(
    ("sentence", "terms"),
    [
        ("the man is wearing a white short-sleeved tee printed with english letters.", ("letters",)),
        ("the lady wore a dress with colorful sleeveless flowers.", ("flowers",)),
        ("a striped denim jacket", ("stripes", "denim")),
        ("a plaid lace blouse with polka dots", ("plaid", "dots", "lace")),
        ("the lady was wearing a gray sleeveless tank with leters and a cat", ("letters", "animals")),
        ("a lady wearing a printed red tee", ("print",)),
        ("the lady wore a red dress.", ()),
    ],
)
def test_terms_are_read(sentence, terms):
    assert parse(sentence).terms == terms


def test_no_word_has_two_terms():
    words = [word for listed in TERMS.values() for word in listed.split()]
    assert len(words) == len(set(words))
    assert all(KINDS[word][0] == "term" for word in words)


# --------------------------------------------------------------------------------------------------
# any text


@given(st.text(alphabet=string.ascii_letters + " -,.'_?0é\n", max_size=120))
def test_any_text_gives_names_of_the_tables(text):
    found = parse(text)
    assert isinstance(found, Attributes)
    assert found.gender in {*GENDERS, UNKNOWN}
    assert found.sleeve in {"long", "short", "sleeveless", UNKNOWN}
    assert found.category in {*CATEGORIES, UNKNOWN}
    assert found.color in {*COLORS, UNKNOWN}
    assert set(found.terms) <= TERMS.keys()


def test_case_and_hyphens_do_not_matter():
    assert said("The LADY wore a Multi-Color Long Sleeved DRESS") == ("female", "long", "dress", "multicolor")
    assert said("the lady wore a multicolored longsleeved dress") == ("female", "long", "dress", "multicolor")

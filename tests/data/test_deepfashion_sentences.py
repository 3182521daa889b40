"""Sentences from DeepFashion's labels: plain English, and what they say is what the labels say."""

from __future__ import annotations

import pytest

from fsynth.data import attributes, labels
from fsynth.data import deepfashion_sentences as sentences


@pytest.mark.parametrize(
    ("category", "given", "text"),
    [
        ("dress", [], "a dress"),
        ("dress", [("red", "1"), ("long sleeve", "4"), ("maxi dress", "3")], "a maxi red long-sleeved dress"),
        ("dress", [("dress", "3"), ("chic", "5"), ("boho", "5")], "a chic dress"),
        ("tee", [("Long_Sleeve", "4"), ("graphic", "1")], "a long-sleeved graphic tee"),
        ("anorak", [("embroidered", "4"), ("pockets", "4")], "an embroidered anorak with pockets"),
        ("jumpsuit", [("u-neck", "4")], "a jumpsuit with a u-neck"),
        ("jeans", [("cotton", "2"), ("distressed", "1")], "distressed cotton jeans"),
        ("top", [("lace", "1"), ("lace", "2")], "a lace top"),
    ],
)
def test_attributes_stand_where_english_has_them(category, given, text):
    assert sentences.of_attributes(category, given) == f"a person is wearing {text}"


@pytest.mark.parametrize(
    ("kind", "color", "description", "text"),
    [
        ("Dresses", "", "", "a dress"),
        ("Graphic_Tees", "Orange", "", "an orange graphic tee"),
        ("Blouses_Shirts", "Black-blush", "A sheer Blouse.", "a black and blush blouse"),
        ("Blouses_Shirts", "Red", "wear it with blousey things", "a red top"),
        ("Rompers_Jumpsuits", "Cream-multi", "", "a multicolor one-piece"),
        ("Rompers_Jumpsuits", "", "two jumpsuits, one romper", "a jumpsuit"),
        ("Jackets_Coats", "Ivory", "warm", "ivory outerwear"),
        ("Denim", "Dark denim", "Slim jeans", "dark denim jeans"),
        (
            "Tees_Tanks",
            "Grey-black-white",
            "a tee with short sleeves",
            "a grey, black and white short-sleeved tee",
        ),
        ("Tees_Tanks", "Red", "short sleeves over long sleeves", "a red top"),
        ("Swim_Shorts", "Blue", "", "blue swim shorts"),
    ],
)
def test_items_are_named_as_far_as_they_are_described(kind, color, description, text):
    assert sentences.of_item("the man", kind, color, description) == f"the man is wearing {text}"


@pytest.mark.parametrize("category", labels.CATEGORIES)
@pytest.mark.parametrize("color", [name for name in labels.COLORS if name != "multicolor"])
def test_what_a_sentence_says_is_read_back(category, color):
    text = sentences.of_attributes(category, [(color, "1"), ("sleeveless", "4")])
    said = attributes.parse(text)
    assert (said.category, said.color, said.sleeve) == (category, color, "sleeveless")

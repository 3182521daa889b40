"""Words, frames and repetition: small sentences by hand, the benchmark's against what is known of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsynth.data import annotation, captions, clip_tokens

REAL = Path(__file__).resolve().parents[3] / "shared/data/fashion-synthesis-annotations"

sentences = st.dictionaries(
    st.text("abc dress red-'.,;", max_size=30), st.integers(1, 50), min_size=1, max_size=12
)


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("The lady, in a short - sleeved tee.", "the lady in a short-sleeved tee"),
        ("a gray dog ??sleeveless tee.", "a gray dog sleeveless tee"),
        ("mickey mouse's multicolor sleeves", "mickey mouse's multicolor sleeves"),
        ("a long-sleeved,red tee - new", "a long-sleeved red tee-new"),
        ("Une robe à fleurs", "une robe à fleurs"),
        (" . ", ""),
    ],
)
def test_words_are_told_from_what_stands_between_them(sentence, words):
    assert captions.words(sentence) == words.split()


@pytest.mark.parametrize(
    ("sentence", "frame"),
    [
        ("the lady wore an orange long-sleeved tank top.", "the PERSON wore a COLOUR SLEEVE ITEM"),
        ("the man is wearing a multi-color tee.", "the PERSON is wearing a COLOUR ITEM"),
        ("the lady wore a blouse with a red long sleeve.", "the PERSON wore a ITEM with a COLOUR SLEEVE"),
        ("a short - sleeved black and white tee", "a SLEEVE COLOUR and COLOUR ITEM"),
        ("a long red coat", "a long COLOUR ITEM"),
        ("her hair is very very long", "her hair is very very long"),
        ("the léman coat", "the léman ITEM"),
        ("", ""),
    ],
)
def test_a_frame_is_the_sentence_without_what_differs(sentence, frame):
    assert captions.frame(sentence) == frame


@given(sentences)
def test_every_row_counts_once_for_each_of_its_words_and_pairs(found):
    rows = [sentence for sentence, count in found.items() for _ in range(count)]
    words = Counter(word for row in rows for word in captions.words(row))
    assert captions.word_counts(found) == words
    assert sum(captions.frame_counts(found).values()) == len(rows)
    assert captions.length_counts(found, captions.lengths_in_words) == dict(
        sorted(Counter(len(captions.words(row)) for row in rows).items())
    )
    assert sum(captions.bigram_counts(found).values()) <= sum(words.values())


def test_a_pair_of_words_does_not_reach_over_the_end_of_a_sentence():
    assert captions.bigram_counts({"Red tee. New tee, red.": 3}) == {"red tee": 3, "new tee": 3, "tee red": 3}


@given(sentences)
def test_repetition_is_told_of_the_most_frequent_sentences(found):
    told = captions.repetition(found)
    rows = sum(found.values())
    assert told["rows"] == rows and told["distinct"] == len(found)
    assert told["once"] == sum(count == 1 for count in found.values())
    assert told["top_10"] == sum(count for _, count in captions.most_common(found, 10))
    assert told["top_10"] <= told["top_50"] <= told["top_100"] <= rows


@pytest.mark.skipif(not REAL.is_dir(), reason="the benchmark's annotation is not here")
def test_the_benchmarks_sentences_are_what_is_known_of_them():
    """Counted by others on the same file: distinct sentences, lengths, frames, words."""
    rows = Counter(annotation.read(REAL / "Anno/language_original.mat").text)
    told = captions.repetition(rows)
    assert (told["rows"], told["distinct"], told["once"]) == (78979, 4004, 2387)
    assert [round(100 * told[name] / 78979) for name in ("top_10", "top_50", "top_100")] == [24, 54, 69]
    top = [count for _, count in captions.most_common(rows, 4)]
    assert top == [5299, 2332, 1984, 1775]
    counts = captions.word_counts(rows)
    known = {
        "dress": 23193,
        "letters": 1911,
        "letter": 1041,
        "sleeveless": 27561,
        "tee": 12231,
        "with": 10389,
    }
    assert {word: counts[word] for word in known} == known
    frames = captions.frame_counts(rows)
    shares = {name: round(100 * count / 78979, 1) for name, count in captions.most_common(frames, 4)}
    assert shares == {  # 25.2 + 11.3, 18.7 + 7.3, 16.5 + 1.8 and 4.8 where multicolour has a slot of its own
        "the PERSON is wearing a COLOUR SLEEVE ITEM": 36.6,
        "the PERSON wore a COLOUR SLEEVE ITEM": 26.1,
        "the PERSON was wearing a COLOUR SLEEVE ITEM": 18.5,
        "the PERSON wore a ITEM with a COLOUR SLEEVE": 4.9,
    }
    lengths = captions.length_counts(rows, captions.lengths_in_words)
    assert [round(100 * lengths[words] / 78979) for words in (7, 8, 10)] == [28, 56, 9]
    assert max(captions.length_counts(rows, clip_tokens.counts)) < clip_tokens.LIMIT

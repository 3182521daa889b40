from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fsynth.data import attributes, frequencies, grammar, phrases
from fsynth.data.figure import GarmentLabels
from fsynth.data.labels import CATEGORIES, COLORS, GENDERS, SLEEVES, UNKNOWN

REAL = Path(__file__).parents[3] / "shared/data/fashion-synthesis-annotations/Anno/language_original.mat"
N = 20_000


@pytest.fixture(scope="module")
def captions():
    return grammar.sentences(N, np.random.default_rng(0))


@pytest.fixture(scope="module")
def real():
    if not REAL.exists():
        pytest.skip(f"needs the benchmark's annotation at {REAL}")
    from scipy import io

    return [str(cell[0]) for cell in io.loadmat(REAL, variable_names=["engJ"])["engJ"].ravel()]


def frame(sentence: str) -> str:
    words = {
        "COLOUR": [c for c in COLORS if c != "multicolor"],
        "MULTI": [spelling for spelling, _ in phrases.MULTI_SPELLINGS],
        "ITEM": CATEGORIES,
        "PERSON": ["lady", "woman", "man", "girl", "boy"],
        "SLEEVED": ["long-sleeved", "short-sleeved", "sleeveless"],
    }
    kind = {word: name for name, several in words.items() for word in several}
    return " ".join(kind.get(word, word) for word in sentence.rstrip(".").split()).replace(" an ", " a ")


def shares(sentences: list[str]) -> dict[str, float]:
    counted = Counter(map(frame, sentences))
    return {name: count / len(sentences) for name, count in counted.items()}


def test_captions_look_like_the_benchmarks(captions):
    for sentence, _ in captions:
        assert re.fullmatch(r"[a-z ,'-]+\.", sentence), sentence
        assert "  " not in sentence and not sentence.startswith(" ")
        assert 4 <= len(sentence.split()) <= 17 and 19 <= len(sentence) <= 104, sentence


def test_an_stands_before_vowels_only(captions):
    text = " ".join(sentence for sentence, _ in captions)
    assert not re.search(r"\ba [aeiou]", text) and not re.search(r"\ban [^aeiou]", text)
    assert " an orange " in text


def test_labels_are_the_benchmarks_names(captions):
    for _, labels in captions:
        assert labels.gender in GENDERS and labels.sleeve in SLEEVES
        assert labels.category in CATEGORIES and labels.color in COLORS


def test_the_sentence_says_what_the_labels_are(captions):
    """Read back by the parser, which knows nothing of this grammar."""
    wrong = []
    for sentence, labels in captions[:6000]:
        if labels.category not in sentence:
            continue  # misspelt: how well those are read is another test's matter
        read = attributes.parse(sentence)
        left_out = {"not stated", "multicolor"}
        for name in ("gender", "sleeve", "category", "color"):
            told, meant = getattr(read, name), getattr(labels, name)
            if told != meant and not (told == UNKNOWN and meant in left_out):
                wrong.append((sentence, name, told, meant))
        if set(read.terms) - {"print"} != set(labels.terms) - {"print"}:
            wrong.append((sentence, read.terms, labels.terms))
    assert not wrong


def test_one_usual_sentence_says_nine_of_ten_sets_of_labels(captions):
    by_labels: dict[GarmentLabels, Counter] = {}
    for sentence, labels in captions:
        bare = (labels.gender, labels.sleeve, labels.category, labels.color)
        by_labels.setdefault(bare, Counter())[sentence] += 1
    usual = sum(counted.most_common(1)[0][1] for counted in by_labels.values())
    assert 0.88 < usual / N < 0.95


def test_misspellings_come_at_their_real_rate():
    told = grammar.sentences(60_000, np.random.default_rng(1))
    slips = {slip for words in phrases.MISSPELLINGS.values() for slip in words.split()}
    rate = sum(bool(slips & set(re.findall("[a-z]+", sentence))) for sentence, _ in told) / len(told)
    assert 0.5 * phrases.MISSPELT_SHARE < rate < 1.5 * phrases.MISSPELT_SHARE


def test_no_table_misspells_a_word_into_another_category():
    for category, words in phrases.MISSPELLINGS.items():
        assert category in CATEGORIES
        assert not set(words.split()) & set(CATEGORIES)


def test_the_same_generator_gives_the_same_captions():
    first = grammar.sentences(50, np.random.default_rng(5), balance=0.5)
    assert first == grammar.sentences(50, np.random.default_rng(5), balance=0.5)
    assert first != grammar.sentences(50, np.random.default_rng(6), balance=0.5)


def test_balance_mixes_real_and_equal_shares():
    real, equal = frequencies.category_shares(0), frequencies.category_shares(1)
    assert real[CATEGORIES.index("bomber")] == pytest.approx(142 / 78979)
    assert equal == pytest.approx(1 / 19)
    assert frequencies.category_shares(0.5) == pytest.approx((real + equal) / 2)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_colour_shares_keep_the_share_of_multicolor(balance):
    for category, counts in frequencies.counts().items():
        share = frequencies.color_shares(category, balance)
        assert share.sum() == pytest.approx(1)
        assert share[COLORS.index("multicolor")] == pytest.approx(counts.colors[-1] / counts.rows)
        if balance == 1:
            singles = [share[COLORS.index(color)] for color in frequencies.WELL_FILLED]
            assert max(singles) == pytest.approx(min(singles))


def test_every_set_of_labels_can_be_said():
    rng = np.random.default_rng(0)
    for category in CATEGORIES:
        for sleeve in SLEEVES:
            for gender in GENDERS:
                for color in COLORS:
                    sentence, _ = grammar.say(GarmentLabels(gender, sleeve, category, color), rng)
                    assert "{" not in sentence


def test_counts_are_the_real_ones(real):
    assert sum(counts.rows for counts in frequencies.counts().values()) == len(real)


def test_frames_come_in_their_real_shares(captions, real):
    ours, theirs = shares([sentence for sentence, _ in captions]), shares(real)
    common = [name for name, share in theirs.items() if share > 0.005]
    assert len(common) >= 12
    for name in common:
        assert ours.get(name, 0) == pytest.approx(theirs[name], abs=0.012, rel=0.2), name


def test_captions_repeat_as_in_the_benchmark(captions, real):
    def top(sentences, k):
        return sum(count for _, count in Counter(sentences).most_common(k)) / len(sentences)

    drawn = np.random.default_rng(0).choice(len(real), N, replace=False)
    some = [real[i] for i in drawn]
    ours = [sentence for sentence, _ in captions]
    for k in (1, 10, 100):
        assert top(ours, k) == pytest.approx(top(some, k), abs=0.02)
    assert len(set(ours)) == pytest.approx(len(set(some)), rel=0.25)


def test_most_real_rows_carry_a_sentence_that_the_grammar_says_too(captions, real):
    ours = {sentence for sentence, _ in captions}
    assert sum(sentence in ours for sentence in real) / len(real) > 0.8

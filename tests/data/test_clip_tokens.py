"""Tokens of sentences, as CLIP's own tokenizer counts them."""

from __future__ import annotations

import importlib.util

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsynth.data import clip_tokens
from fsynth.errors import DataError


@pytest.fixture(scope="module")
def reference():
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


SENTENCES = [
    "the lady wore a multicolor sleeveless dress.",
    "the man was wearing a blue short - sleeved jersey.",
    "the woman was wearing a gray dog ??sleeveless tee.",
    "a tee with the letters and mickey mouse's multicolor short sleeves, size 12",
    "MIXED Case, It's &amp; 100% cotton",
    "  blanks \n between\t",
    "crème brûlée コート 👗",
    "",
]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_sentences_have_the_tokens_of_clips_tokenizer(sentence, reference):
    assert clip_tokens.counts([sentence]) == [len(reference.encode(sentence)) + 2]


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
def test_so_has_any_ascii_text(reference, text):
    assert clip_tokens.counts([text]) == [len(reference.encode(text)) + 2]


def test_without_the_vocabulary_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="install open_clip_torch again"):
        clip_tokens._lines()

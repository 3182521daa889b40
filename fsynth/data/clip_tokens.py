"""How many tokens CLIP's text encoders see of a sentence.

The vocabulary is the file that open_clip brings along, read without importing the package: that is slow.
"""

from __future__ import annotations

import functools
import gzip
import html
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsynth.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LIMIT = 77
"""What the encoders read of a sentence, with its start and its end."""
VOCABULARY = 49408
"""CLIP's words and the marks of start and end, the last two."""
_FILE = "bpe_simple_vocab_16e6.txt.gz"
_MERGES = VOCABULARY - 2 * 256 - 2
"""Merges that CLIP uses, beside all bytes, within words and at their ends; the file holds more."""
_PIECES = r"(?i)'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
"""What is never joined into one token."""


def counts(sentences: Sequence[str]) -> list[int]:
    """Tokens of each sentence, with start and end; `LIMIT` is not applied."""
    clean = [html.unescape(html.unescape(sentence)).strip() for sentence in sentences]
    return [len(encoded.ids) + 2 for encoded in _tokenizer().encode_batch(clean)]


@functools.cache
def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's words with their numbers, without the marks of start and end, which follow; and its merges."""
    from tokenizers import pre_tokenizers

    merges = [(first, second) for first, second in map(str.split, _lines()[1 : _MERGES + 1])]
    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*bytes_, *(byte + "</w>" for byte in bytes_), *map("".join, merges)]
    return {word: number for number, word in enumerate(words)}, merges


def as_transformers(words: dict[str, int], merges: list[tuple[str, str]], start: str, end: str) -> Tokenizer:
    """The tokenizer as transformers builds it: with start and end around a sentence.

    It differs from open_clip's in what that one repairs before: HTML entities and broken encodings.

    Args:
        words: with ``start`` and ``end``.
    """
    from tokenizers import processors

    tokenizer = _pieces(words, merges, unk_token=end, continuing_subword_prefix="")
    tokenizer.post_processor = processors.RobertaProcessing(
        (end, words[end]), (start, words[start]), trim_offsets=False, add_prefix_space=False
    )
    tokenizer.add_special_tokens([start, end])
    return tokenizer


@functools.cache
def _tokenizer() -> Tokenizer:
    return _pieces(*vocabulary())


def _pieces(words: dict[str, int], merges: list[tuple[str, str]], **more: str) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.BPE(words, merges, end_of_word_suffix="</w>", **more))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _lines() -> list[str]:
    spec = importlib.util.find_spec("open_clip")
    for folder in spec.submodule_search_locations or () if spec else ():
        file = Path(folder) / _FILE
        if file.is_file():
            return gzip.decompress(file.read_bytes()).decode("utf-8").split("\n")
    raise DataError(f"open_clip's vocabulary {_FILE} is not there; install open_clip_torch again")

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
_FILE = "bpe_simple_vocab_16e6.txt.gz"
_MERGES = 49152 - 256 - 2
"""Merges that CLIP uses; the file holds more."""
_PIECES = r"(?i)'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
"""What is never joined into one token."""


def counts(sentences: Sequence[str]) -> list[int]:
    """Tokens of each sentence, with start and end; `LIMIT` is not applied."""
    clean = [html.unescape(html.unescape(sentence)).strip() for sentence in sentences]
    return [len(encoded.ids) + 2 for encoded in _tokenizer().encode_batch(clean)]


@functools.cache
def _tokenizer() -> Tokenizer:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    merges = [tuple(line.split()) for line in _lines()[1 : _MERGES + 1]]
    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*bytes_, *(byte + "</w>" for byte in bytes_), *map("".join, merges)]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


def _lines() -> list[str]:
    spec = importlib.util.find_spec("open_clip")
    for folder in spec.submodule_search_locations or () if spec else ():
        file = Path(folder) / _FILE
        if file.is_file():
            return gzip.decompress(file.read_bytes()).decode("utf-8").split("\n")
    raise DataError(f"open_clip's vocabulary {_FILE} is not there; install open_clip_torch again")

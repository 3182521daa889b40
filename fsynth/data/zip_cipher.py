"""Encrypts ZIP members: the traditional stream cipher, vectorised, and WinZip AES.

The traditional cipher (PKWARE APPNOTE 6.3.9, section 6.1) looks sequential: three 32-bit keys change
with every plain byte. But the one who encrypts knows the plain text, and then each key is a prefix
computation that numpy does for many bytes at once:

- key 0 is the raw CRC-32 of the password and the text so far;
- key 1 follows x -> (x + low byte of key 0) * M + 1 modulo 2**32; M is odd, hence invertible, and dividing
  step i by M**i turns the recurrence into a cumulative sum;
- key 2 is again a raw CRC-32, of the top bytes of key 1.

The text is laid out in rows of 128 bytes. The keys at the start of each row are found one after the other
(by zlib, and by one multiplication a row); within the rows all rows advance together.
"""

from __future__ import annotations

import hmac
import zlib
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

ROW = 128
AES_KEY = 32  # bytes: AES-256
PIECE = 4 << 20  # bytes of a long member done at once: bounds the memory to about 100 MB
MASK = 0xFFFFFFFF
MULTIPLIER = 134775813

Keys = tuple[int, int, int]
Rows = np.ndarray  # (rows, ROW) of uint8 or uint32

START: Keys = (0x12345678, 0x23456789, 0x34567890)


def encrypt_members(members: Sequence[bytes], password: bytes) -> list[bytes]:
    """Encrypt each member with traditional ZIP encryption.

    Args:
        members: plain bytes; the first twelve of each are its encryption header, whose last byte the reader
            compares with the top byte of the CRC.
        password: any bytes.

    Returns:
        cipher bytes, each as long as its member.
    """
    parts: list[list[bytes]] = [[] for _ in members]
    keys = [_keys_after(password)] * len(members)
    for start in range(0, max(map(len, members), default=0), PIECE):
        active = [index for index, member in enumerate(members) if len(member) > start]
        pieces = [members[index][start : start + PIECE] for index in active]
        ciphers, after = _encrypt_pieces(pieces, [keys[index] for index in active])
        for index, cipher, key in zip(active, ciphers, after, strict=True):
            parts[index].append(cipher)
            keys[index] = key
    return [b"".join(part) for part in parts]


def encrypt_aes(content: bytes, password: bytes, salt: bytes) -> bytes:
    """Encrypt one member with WinZip AES-256.

    Args:
        content: the bytes to hide, already deflated where they should be.
        password: any bytes.
        salt: 16 bytes, never used twice with one password.

    Returns:
        salt, two bytes that verify the password, cipher bytes, ten bytes of HMAC-SHA1 over these.
    """
    keys = aes_keys(password, salt, AES_KEY)
    cipher = aes_counter(keys[:AES_KEY], content)
    code = hmac.digest(keys[AES_KEY : 2 * AES_KEY], cipher, "sha1")[:10]
    return salt + keys[2 * AES_KEY :] + cipher + code


@lru_cache(maxsize=1 << 16)
def aes_keys(password: bytes, salt: bytes, size: int) -> bytes:
    """Key of the cipher and key of the authentication, ``size`` bytes each, and two that verify the password.

    Two thirds of the time that an AES member takes go into this, though `cryptography` needs half as long as
    hashlib; so they are remembered (some 20 MB at most) for when the member is read again.
    """
    return PBKDF2HMAC(hashes.SHA1(), 2 * size + 2, salt, 1000).derive(password)


def aes_counter(key: bytes, content: bytes) -> bytes:
    """AES in counter mode as WinZip counts, from 1 and little-endian; it encrypts and decrypts."""
    blocks = -(-len(content) // 16)
    counter = np.zeros((blocks, 2), "<u8")
    counter[:, 0] = np.arange(1, blocks + 1)
    stream = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(counter.tobytes())
    hidden = np.frombuffer(stream, np.uint8, len(content)) ^ np.frombuffer(content, np.uint8)
    return hidden.tobytes()


def _keys_after(password: bytes) -> Keys:
    key0, key1, key2 = START
    for byte in password:
        key0 = _crc(bytes([byte]), key0)
        key1 = ((key1 + (key0 & 0xFF)) * MULTIPLIER + 1) & MASK
        key2 = _crc(bytes([key1 >> 24]), key2)
    return key0, key1, key2


def _encrypt_pieces(pieces: list[bytes], keys: list[Keys]) -> tuple[list[bytes], list[Keys]]:
    """Encrypt non-empty pieces, each from its own keys; also the keys after each piece."""
    counts = [-(-len(piece) // ROW) for piece in pieces]
    padded = b"".join(piece.ljust(count * ROW, b"\0") for piece, count in zip(pieces, counts, strict=True))
    plain = np.frombuffer(padded, np.uint8).reshape(-1, ROW)
    key0, key1, key2 = zip(*keys, strict=True)
    state0 = _running_crc(plain, counts, key0)
    state1 = _running_product(state0.astype(np.uint8), counts, key1)
    state2 = _running_crc((state1 >> 24).astype(np.uint8), counts, key2)
    firsts = np.cumsum([0, *counts[:-1]]) * ROW
    cipher = (plain.ravel() ^ _key_stream(state2.ravel(), firsts, key2)).tobytes()
    spans = [(int(first), int(first) + len(piece)) for first, piece in zip(firsts, pieces, strict=True)]
    after = [tuple(int(state.flat[end - 1]) for state in (state0, state1, state2)) for _, end in spans]
    return [cipher[first:end] for first, end in spans], after


def _running_crc(content: Rows, counts: list[int], states: Sequence[int]) -> Rows:
    """The raw CRC after each byte; member k has counts[k] rows and begins at states[k]."""
    table = _crc_table()
    register = _crc_row_starts(content, counts, states)
    columns = np.ascontiguousarray(content.T)
    result = np.empty(columns.shape, np.uint32)
    for step, column in enumerate(columns):
        register = (register >> 8) ^ table[register.astype(np.uint8) ^ column]
        result[step] = register
    return np.ascontiguousarray(result.T)


def _crc_row_starts(content: Rows, counts: list[int], states: Sequence[int]) -> np.ndarray:
    text, row, starts = content.tobytes(), 0, []
    for count, state in zip(counts, states, strict=True):
        for _ in range(count):
            starts.append(state)
            state = _crc(text[row * ROW : row * ROW + ROW], state)
            row += 1
    return np.array(starts, np.uint32)


def _running_product(low: Rows, counts: list[int], states: Sequence[int]) -> Rows:
    """Key 1 after each byte, from the low bytes of key 0."""
    powers, inverses = _powers()
    terms = (low * np.uint32(MULTIPLIER) + np.uint32(1)) * inverses
    sums = np.cumsum(terms, axis=1, dtype=np.uint32)
    step = int(powers[-1])
    starts, row, totals = [], 0, (sums[:, -1] * powers[-1]).tolist()
    for count, state in zip(counts, states, strict=True):
        for _ in range(count):
            starts.append(state)
            state = (step * state + totals[row]) & MASK
            row += 1
    return (sums + np.array(starts, np.uint32)[:, None]) * powers


def _key_stream(after: np.ndarray, firsts: np.ndarray, states: Sequence[int]) -> np.ndarray:
    """The byte that hides each plain byte: from key 2 before it."""
    word = np.empty_like(after)
    word[1:] = after[:-1]
    word[firsts] = states
    word = (word | 2) & 0xFFFF
    return ((word * (word ^ 1)) >> 8).astype(np.uint8)


def _crc(content: bytes, state: int) -> int:
    """The raw CRC-32 register: zlib's without the inversion at both ends."""
    return zlib.crc32(content, state ^ MASK) ^ MASK


@cache
def _crc_table() -> np.ndarray:
    return np.array([_crc(bytes([byte]), 0) for byte in range(256)], np.uint32)


@cache
def _powers() -> tuple[np.ndarray, np.ndarray]:
    """M**1 ... M**ROW and their inverses, modulo 2**32."""
    inverse = pow(MULTIPLIER, -1, 1 << 32)
    powers = [pow(MULTIPLIER, step, 1 << 32) for step in range(1, ROW + 1)]
    inverses = [pow(inverse, step, 1 << 32) for step in range(1, ROW + 1)]
    return np.array(powers, np.uint32), np.array(inverses, np.uint32)

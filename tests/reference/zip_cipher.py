"""Traditional ZIP encryption byte by byte, as PKWARE's APPNOTE 6.3.9 (section 6.1) puts it."""

from __future__ import annotations

import zlib

MASK = 0xFFFFFFFF


def encrypt_slowly(plain: bytes, password: bytes) -> bytes:
    keys = [0x12345678, 0x23456789, 0x34567890]
    for byte in password:
        update(keys, byte)
    cipher = bytearray()
    for byte in plain:
        word = (keys[2] | 2) & 0xFFFF
        cipher.append(byte ^ (word * (word ^ 1) >> 8) & 0xFF)
        update(keys, byte)
    return bytes(cipher)


def update(keys: list[int], byte: int) -> None:
    keys[0] = crc(keys[0], byte)
    keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) & MASK
    keys[2] = crc(keys[2], keys[1] >> 24)


def crc(register: int, byte: int) -> int:
    return zlib.crc32(bytes([byte]), register ^ MASK) ^ MASK

"""Cloth for a label: the tone of a colour word, the pattern of "multicolor", the print of a term."""

from __future__ import annotations

import colorsys

import numpy as np

from fsynth.data.labels import UNKNOWN
from fsynth.data.shapes import Color, Fabric, Print

TONES: dict[str, Color] = {
    "red": (200, 28, 44),
    "blue": (38, 88, 192),
    "white": (248, 248, 246),
    "pink": (246, 152, 186),
    "orange": (244, 126, 28),
    "black": (30, 29, 34),
    "brown": (106, 62, 36),
    "green": (38, 138, 74),
    "purple": (122, 62, 162),
    "yellow": (248, 214, 48),
    "khaki": (158, 142, 90),
    "gray": (136, 138, 142),
    "beige": (230, 211, 182),
    "blonde": (232, 192, 110),
    "silver": (190, 195, 205),
    "olive": (96, 102, 46),
}
"""The middle of each colour word, as RGB."""
_VIVID = ("red", "blue", "white", "pink", "orange", "black", "green", "purple", "yellow")
_GROUNDS = ("white", "black", "beige", "blue", "pink")
MULTI_PATTERNS = ("stripes", "blocks", "floral", "plaid", "dots", "tie-dye", "zigzag", "patches")
_PATTERN_OF_TERM = {
    "flowers": "floral",
    "stripes": "stripes",
    "plaid": "plaid",
    "dots": "dots",
    "animal print": "leopard",
    "graffiti": "tie-dye",
    "print": "zigzag",
}
_TEXTURES = ("denim", "lace", "chiffon", "leather", "knit", "fur", "velvet")
MOTIFS = (
    "letters",
    "numbers",
    "hearts",
    "stars",
    "shapes",
    "animals",
    "cartoon",
    "faces",
    "figures",
    "skulls",
    "plants",
    "fruit",
    "flag",
    "vehicles",
    "places",
    "objects",
)
"""Terms that are printed once, on the chest."""


def tone(color: str, rng: np.random.Generator) -> Color:
    """A tone of a colour word, varied little enough to stay the same word."""
    r, g, b = (c / 255 for c in TONES[color])
    hue, light, vivid = colorsys.rgb_to_hls(r, g, b)
    hue = (hue + rng.uniform(-0.012, 0.012)) % 1.0
    room = 0.012 if color in ("white", "black") else 0.035
    light = float(np.clip(light + rng.uniform(-room, room), 0.0, 1.0))
    red, green, blue = colorsys.hls_to_rgb(hue, light, float(np.clip(vivid * rng.uniform(0.92, 1.08), 0, 1)))
    return round(red * 255), round(green * 255), round(blue * 255)


def luminance(color: Color) -> float:
    """Perceived lightness in [0, 255] (Rec. 601)."""
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]


def accents(ground: Color, rng: np.random.Generator, count: int) -> tuple[Color, ...]:
    """Colours that stand out on a ground without overwhelming it."""
    pool = [n for n in _VIVID if sum(abs(a - b) for a, b in zip(TONES[n], ground, strict=True)) > 190]
    order = rng.permutation(len(pool))[:count]
    return tuple(tone(pool[i], rng) for i in order)


def _multicolor(terms: tuple[str, ...], rng: np.random.Generator, seed: int) -> Fabric:
    asked = [_PATTERN_OF_TERM[t] for t in terms if t in _PATTERN_OF_TERM]
    pattern = asked[0] if asked else str(rng.choice(MULTI_PATTERNS))
    ground = tone(str(rng.choice(_GROUNDS)), rng)
    return Fabric(ground, pattern, (ground, *accents(ground, rng, 4)), _texture(terms), 0.35, seed)


def _texture(terms: tuple[str, ...]) -> str:
    return next((t for t in terms if t in _TEXTURES), "")


def _single(color: str, terms: tuple[str, ...], rng: np.random.Generator, seed: int) -> Fabric:
    ground = tone(color, rng)
    asked = [_PATTERN_OF_TERM[t] for t in terms if t in _PATTERN_OF_TERM]
    pattern = f"{asked[0]}, sparse" if asked else "plain"
    ink = _quiet(ground)
    sheen = {"silver": 1.0, "black": 0.45}.get(color, 0.35)
    sheen = 0.9 if {"leather", "velvet"} & set(terms) else sheen
    return Fabric(ground, pattern, (ground, ink, *accents(ground, rng, 2)), _texture(terms), sheen, seed)


def _quiet(color: Color) -> Color:
    """The same hue, clearly lighter or darker: for patterns that must not change the colour word."""
    if luminance(color) > 120:
        return (round(color[0] * 0.62), round(color[1] * 0.62), round(color[2] * 0.62))
    return (
        round(color[0] + (255 - color[0]) * 0.5),
        round(color[1] + (255 - color[1]) * 0.5),
        round(color[2] + (255 - color[2]) * 0.5),
    )


def choose_fabric(color: str, terms: tuple[str, ...], rng: np.random.Generator) -> Fabric:
    """The cloth of a garment. An unknown colour is drawn as any single one.

    Args:
        color: a name from `labels.COLORS`, or `UNKNOWN`.
        terms: canonical terms of `fsynth.data.attributes`; those that cannot be seen are ignored.
    """
    seed = int(rng.integers(2**31))
    if color == UNKNOWN:
        color = str(rng.choice(_VIVID))
    if color == "multicolor":
        return _multicolor(terms, rng, seed)
    return _single(color, terms, rng, seed)


def choose_trim(fabric: Fabric, rng: np.random.Generator) -> Fabric:
    """A contrasting plain or patterned cloth for bands and stripes."""
    pool = accents(fabric.color, rng, 1)
    color = pool[0] if fabric.pattern != "plain" else _quiet(fabric.color)
    if luminance(fabric.color) < 90:
        color = (240, 236, 228)
    return Fabric(color, seed=fabric.seed)


def choose_print(
    terms: tuple[str, ...], category: str, fabric: Fabric, rng: np.random.Generator
) -> tuple[Print, ...]:
    """The motif on the chest that the terms name, in neutral body coordinates, if any.

    A jersey carries its number unless another motif is asked for.
    """
    motif = next((t for t in terms if t in MOTIFS), "numbers" if category == "jersey" else "")
    if not motif:
        return ()
    open_front = category in ("cardigan", "blazer", "jacket", "coat", "parka", "bomber", "kimono")
    center, size = ((0.36, 1.15), 0.48) if open_front else ((0.0, 0.95), 0.82)
    ink = (245, 243, 238) if luminance(fabric.color) < 125 else (38, 36, 44)
    return (Print(motif, center, size, (ink, *accents(fabric.color, rng, 3)), int(rng.integers(2**31))),)


def inner_color(fabric: Fabric, rng: np.random.Generator) -> Color:
    """A plain shirt or trousers that set off a garment."""
    if luminance(fabric.color) > 150:
        choices = [(58, 60, 68), (120, 122, 128), (40, 44, 60)]
    else:
        choices = [(246, 245, 242), (228, 226, 222), (208, 210, 214)]
    return choices[int(rng.integers(len(choices)))]


def bottom_fabric(fabric: Fabric, rng: np.random.Generator) -> Fabric:
    """Quiet trousers, shorts or skirts: denim, charcoal, stone; never close to the garment above."""
    pool = [(62, 76, 104), (46, 48, 56), (70, 70, 76), (214, 212, 208), (92, 104, 126), (168, 168, 170)]
    far = [c for c in pool if abs(luminance(c) - luminance(fabric.color)) > 45]
    color = far[int(rng.integers(len(far)))]
    texture = "denim" if color[2] > color[0] + 20 else ""
    return Fabric(color, texture=texture, seed=int(rng.integers(2**31)))


def background_tone(fabric: Fabric, rng: np.random.Generator) -> Color:
    """A near-plain light backdrop; darker behind light clothes so that white stands out."""
    light = luminance(fabric.color)
    low, high = (166, 186) if light > 225 else (140, 158) if light > 190 else (222, 242)
    base = rng.uniform(low, high)
    tint = rng.normal(0, 8, 3)
    return tuple(int(np.clip(base + d, 130, 250)) for d in tint)

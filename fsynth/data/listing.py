"""The rows of a drawn archive before anything is drawn: names, captions, labels, split.

As in the benchmark, a row lies in a folder named after a search for one category
(`img/Sheer_Pleated-Front_Blouse/img_00000012.jpg`); a folder holds 1 to 96 pictures (median 17) of several
garments, and a garment one to four neighbouring pictures, with the same caption. The split is by row, so
nearly every folder with test rows has training rows too.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fsynth.data import annotation, attributes, frequencies, grammar, layout
from fsynth.data.figure import GarmentLabels
from fsynth.data.labels import CATEGORIES, LABELS
from fsynth.errors import DataError
from fsynth.keyed import seed_of

FIRST_TEST_ROWS = 257
"""The benchmark's first rows are all held out: whoever trains on "the first 100 rows" trains on test rows."""

_SHOTS = (0.886, 0.965, 0.982, 1.0)
"""Cumulated shares of garments with 1, 2, 3 and 4 pictures."""
_MANNERS = """
Sheer Faded Soft Textured Abstract Floral Striped Geo Tribal Graphic Paisley Tropical Vintage Modern Everyday
Retro Washed Mineral Metallic Dotted Plaid Tile Baroque Watercolor Botanical Southwestern Varsity Utility
"""
_CLOTHS = """
Chiffon Knit Lace Denim Crochet Cotton Linen Woven Ribbed Mesh Crepe Chambray Leather Marled Heathered Slub
Gauze Satin Velvet Jacquard Waffle Fleece Flannel Terry Pointelle Corduroy Twill Tweed Suede Georgette
"""
_DETAILS = """
Pleated-Front V-Neck Open-Front Cutout-Back Crew-Neck High-Neck Surplice Racerback Drawstring Belted Buttoned
Zippered Hooded Collarless Layered Draped Cropped Longline Boxy Classic Relaxed Embroidered Fringed Ruffled
Pintucked Beaded Colorblock Raglan Dolman Peasant A-Line High-Slit Side-Slit Mock-Neck Smocked Tie-Waist
"""


@dataclass(frozen=True)
class Row:
    """One picture to be: its name in the ZIP, its caption, and what is to be seen."""

    name: str
    sentence: str
    labels: GarmentLabels


@dataclass(frozen=True)
class Listing:
    """All rows, and the split by 1-based row; `pairs` gives each test row another one as caption donor."""

    rows: list[Row]
    train: np.ndarray
    test: np.ndarray
    pairs: np.ndarray


def invent(rows: int, held_out: int, seed: int, balance: float) -> Listing:
    """Rows from the grammar.

    Args:
        rows: how many.
        held_out: how many of them are test rows.
        seed: decides everything.
        balance: see `grammar.sentences`; each category gets its share exactly, but for rounding.

    Raises:
        DataError: fewer than two rows, or a split without training or test rows.
    """
    if not 0 < held_out < rows:
        raise DataError(
            f"{held_out:,} of {rows:,} rows held out leaves no rows to train or to test on; "
            "draw more rows or hold out others"
        )
    rng = np.random.default_rng(seed_of("listing", seed))
    folders = list(_folders(rows, balance, rng))
    listed = [row for k in rng.permutation(len(folders)) for row in _fill(*folders[k], balance, rng)]
    first = min(FIRST_TEST_ROWS, held_out // 4)
    others = first + 1 + rng.choice(rows - first, held_out - first, replace=False)
    return _listing(listed, np.concatenate([np.arange(1, first + 1), others]), rng)


def read(folder: Path, rows: int | None, seed: int) -> Listing:
    """Rows of a given annotation: its captions, codes, names and split.

    The codes decide what is drawn, and the caption's descriptive terms what is printed on it.

    Args:
        folder: anywhere above a `language_original.mat` with its `ind.mat`.
        rows: how many of its rows, drawn from both parts of the split alike; None for all.
        seed: decides which.

    Raises:
        DataError: files that are missing, broken or do not belong together, or have fewer rows.
    """
    where = layout.find(folder)
    given = annotation.read(where.annotation)
    if where.splits is None:
        raise DataError(
            f"no {layout.SPLITS} under {folder}; --annotations needs the split beside the captions"
        )
    splits = annotation.read_splits(where.splits, len(given))
    rng = np.random.default_rng(seed_of("listing", seed))
    test, train = splits.test, splits.train
    if rows is not None:
        test, train = _some(test, train, rows, where.annotation, rng)
    keep = np.sort(np.concatenate([test, train]))
    return _listing([_row_of(given, int(i)) for i in keep], np.flatnonzero(np.isin(keep, test)) + 1, rng)


def _some(
    test: np.ndarray, train: np.ndarray, rows: int, origin: Path, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    have = len(test) + len(train)
    if not 2 <= rows <= have:
        raise DataError(f"{rows:,} rows asked for, but {origin} has {have:,}; ask for 2 to {have:,}")
    held_out = min(max(1, round(rows * len(test) / have)), rows - 1)
    return rng.choice(test, held_out, replace=False), rng.choice(train, rows - held_out, replace=False)


def _row_of(given: annotation.Annotation, index: int) -> Row:
    named = {column: LABELS[column][given.codes[column][index]] for column in LABELS}
    terms = attributes.parse(given.text[index]).terms
    # "printed with letters" names letters; a pattern all over is meant only where nothing else is named
    terms = tuple(term for term in terms if term != "print") or terms
    return Row(given.name[index], given.text[index], GarmentLabels(**named, terms=terms))


def _listing(rows: list[Row], test: np.ndarray, rng: np.random.Generator) -> Listing:
    test = np.sort(test)
    train = np.setdiff1d(np.arange(1, len(rows) + 1), test)
    circle = rng.permutation(len(test))  # each points to the next: nobody is his own donor
    pairs = np.empty_like(test)
    pairs[circle] = test[np.roll(circle, 1)]
    return Listing(rows, train, test, pairs)


def _folders(rows: int, balance: float, rng: np.random.Generator) -> Iterator[tuple[str, str, int]]:
    """(name, category, pictures) of folders that hold each category's share of the rows."""
    for category, quota in zip(CATEGORIES, _quotas(rows, frequencies.category_shares(balance)), strict=True):
        taken: set[str] = set()
        while quota:
            size = min(quota, int(np.clip(round(rng.gamma(2.2, 8.8)), 1, 96)))
            yield _new_name(category, taken, rng), category, size
            quota -= size


def _quotas(rows: int, shares: np.ndarray) -> list[int]:
    """Whole numbers nearest to the shares that sum to `rows` (largest remainders)."""
    exact = rows * shares
    whole = np.floor(exact).astype(int)
    whole[np.argsort(whole - exact, kind="stable")[: rows - whole.sum()]] += 1
    return whole.tolist()


def _new_name(category: str, taken: set[str], rng: np.random.Generator) -> str:
    while True:
        words = [
            str(rng.choice(pool.split())) for pool in (_MANNERS, _CLOTHS, _DETAILS) if rng.random() < 0.67
        ]
        name = "_".join([*words, category.capitalize()])
        if name not in taken:
            taken.add(name)
            return name


def _fill(name: str, category: str, size: int, balance: float, rng: np.random.Generator) -> Iterator[Row]:
    number = left = 0
    while left < size:
        sentence, labels = grammar.say(grammar.draw_labels(category, rng, balance), rng)
        shots = min(1 + bisect.bisect(_SHOTS, rng.random()), size - left)
        for _ in range(shots):
            number += int(rng.geometric(0.6))
            yield Row(f"img/{name}/img_{number:08d}.jpg", sentence, labels)
        left += shots

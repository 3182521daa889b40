"""Captions as the benchmark's annotators wrote them, with the labels they state.

In the benchmark nearly every set of labels has one usual sentence ("the lady wore a multicolor sleeveless
dress" stands 5,299 times); about five rows in a hundred say the same otherwise, four name a print, and one in
seven hundred misspells the garment. `sentences` follows those habits and frequencies, so captions repeat as
they do there: the 100 commonest make up 69 % of the rows.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import re
from dataclasses import replace

import numpy as np

from fsynth.data import frequencies, phrases
from fsynth.data.figure import GarmentLabels
from fsynth.data.labels import CATEGORIES, COLORS, SLEEVES
from fsynth.keyed import seed_of

GRAMMAR_VERSION = 1
"""Raised whenever the same generator gives other sentences: part of the key of every cached archive."""

Weighted = tuple[tuple[str, float], ...]
_HABIT = 4998
"""Chosen among 5,000 so that frequent labels get the verb that they have in the benchmark."""
_SLEEVED = {"long": "long-sleeved", "short": "short-sleeved", "sleeveless": "sleeveless"}
_PEOPLE: dict[tuple[str, str], Weighted] = {
    ("the", "female"): (("lady", 989), ("woman", 9), ("girl", 1)),
    ("a", "female"): (("woman", 74), ("lady", 26)),
    ("little", "female"): (("girl", 1),),
    ("the", "male"): (("man", 994), ("boy", 6)),
    ("a", "male"): (("man", 1),),
    ("little", "male"): (("boy", 1),),
}
"""Words for the person, by the word before."""


def sentences(n: int, rng: np.random.Generator, balance: float = 0.0) -> list[tuple[str, GarmentLabels]]:
    """Independent captions with their labels.

    Args:
        n: how many.
        rng: the only source of chance.
        balance: 0 for the benchmark's own frequencies, 1 for equally many of every category and of every
            colour within it, mixtures between.
    """
    shares = frequencies.category_shares(balance)
    categories = rng.choice(len(CATEGORIES), size=n, p=shares)
    return [say(draw_labels(CATEGORIES[c], rng, balance), rng) for c in categories]


def draw_labels(category: str, rng: np.random.Generator, balance: float = 0.0) -> GarmentLabels:
    """Sleeve, gender and colour of a garment of this category, without terms, as `sentences` draws them."""
    sleeves, colors, men = _shares(category, balance)
    sleeve = _choose(sleeves, rng)
    gender = "male" if rng.random() < men[sleeve] else "female"
    return GarmentLabels(gender, sleeve, category, _choose(colors, rng))


@functools.lru_cache(maxsize=256)
def _shares(category: str, balance: float) -> tuple[Weighted, Weighted, dict[str, float]]:
    """Sleeves and colours with weights, and the share of men by sleeve."""
    counts = frequencies.counts()[category]
    colors = frequencies.color_shares(category, balance)
    men = {s: float(m / n) if n else 0.0 for s, m, n in zip(SLEEVES, counts.men, counts.sleeves, strict=True)}
    return _weighted(SLEEVES, counts.sleeves), _weighted(COLORS, colors), men


def _weighted(names: tuple[str, ...], weights: np.ndarray) -> Weighted:
    return tuple((name, float(weight)) for name, weight in zip(names, weights, strict=True) if weight > 0)


def say(labels: GarmentLabels, rng: np.random.Generator) -> tuple[str, GarmentLabels]:
    """A caption for labels without terms, and the labels with the terms that the caption names.

    A sleeve that is "not stated" is left out of the caption; a garment labelled multicolor may have its
    colour left out, as in the benchmark, whose code 17 means either.
    """
    counts = frequencies.counts()[labels.category]
    fate = rng.random()
    if labels.sleeve not in _SLEEVED:
        return _say_without_sleeve(labels, rng)
    if fate < counts.printed:
        return _say_print(labels, rng)
    if fate < counts.printed + counts.departing:
        return _fill(_departing_frame(labels, rng), labels, rng), labels
    return _fill(usual_frame(labels), labels, rng), labels


@functools.cache
def usual_frame(labels: GarmentLabels) -> str:
    """The frame of the one sentence that annotators used for nearly all rows with these labels.

    Where the benchmark has several usual verbs for a category's colours, which colour has which is drawn once
    and for all, from the labels alone.
    """
    if labels.color == "multicolor":
        return frequencies.multicolor_frame(labels.category, labels.sleeve, labels.gender)
    verbs = frequencies.verbs(labels.category, labels.sleeve, labels.gender)
    return f"the {{person}} {_choose_at(verbs, _habit(labels))} a {{color}} {{sleeved}} {{item}}"


def _habit(labels: GarmentLabels, *more: str) -> float:
    """A number in [0, 1) that depends on the labels alone."""
    return seed_of(_HABIT, labels.category, labels.color, labels.sleeve, labels.gender, *more) / 2**63


def _departing_frame(labels: GarmentLabels, rng: np.random.Generator) -> str:
    """Half of the departures are the second habit of their labels."""
    unstated = labels.color == "multicolor" and rng.random() < 0.2
    frames = phrases.frames("color unstated" if unstated else "departing", labels.sleeve == "sleeveless")
    return _choose_at(frames, _habit(labels, "second")) if rng.random() < 0.5 else _choose(frames, rng)


def _say_without_sleeve(labels: GarmentLabels, rng: np.random.Generator) -> tuple[str, GarmentLabels]:
    if rng.random() < (0.75 if labels.category in phrases.SPORTSWEAR else 0.2):
        sentence = _fill(_frame("sleeve unstated, letters", labels, rng), labels, rng)
        return sentence, replace(labels, terms=("letters",))
    return _fill(_frame("sleeve unstated", labels, rng), labels, rng), labels


def _say_print(labels: GarmentLabels, rng: np.random.Generator) -> tuple[str, GarmentLabels]:
    term = _choose(phrases.prints(labels.category), rng)
    labels = replace(labels, terms=(term,))
    if term in ("letters", "print"):
        return _fill(_frame(term, labels, rng), labels, rng), labels
    noun = _choose(phrases.nouns(term), rng)
    return _fill(_frame("motif", labels, rng), labels, rng, noun), labels


def _frame(table: str, labels: GarmentLabels, rng: np.random.Generator) -> str:
    return _choose(phrases.frames(table, labels.sleeve == "sleeveless"), rng)


def _fill(frame: str, labels: GarmentLabels, rng: np.random.Generator, noun: str = "/") -> str:
    """Write the labels' words into a frame; "a" becomes "an" where a vowel follows."""
    one, several = noun.split("/")
    color = labels.color
    if color == "multicolor":
        color = _choose(phrases.MULTI_SPELLINGS, rng)
    text = frame.format(
        person=_person(frame, labels, rng),
        item=_spelt(labels.category, rng),
        color=color,
        sleeved=_SLEEVED.get(labels.sleeve, ""),
        length=labels.sleeve,
        noun=one,
        nouns=several,
    )
    return re.sub(r"\ba(?= [aeiou])", "an", text) + "."


def _person(frame: str, labels: GarmentLabels, rng: np.random.Generator) -> str:
    """Blazers of several colours are the one garment that "the woman" wears."""
    if labels.category == "blazer" and "with a multicolor" in frame:
        return "woman" if labels.gender == "female" else "man"
    before = frame.split("{person}")[0].split()[-1]
    return _choose(_PEOPLE["the" if before == "this" else before, labels.gender], rng)


def _spelt(category: str, rng: np.random.Generator) -> str:
    if rng.random() >= phrases.MISSPELT_SHARE or category not in phrases.MISSPELLINGS:
        return category
    slips = phrases.MISSPELLINGS[category].split()
    return slips[int(rng.integers(len(slips)))]


def _choose(options: Weighted, rng: np.random.Generator) -> str:
    return _choose_at(options, rng.random())


def _choose_at(options: Weighted, where: float) -> str:
    """The option at a place in [0, 1) of the options laid end to end."""
    names, sums = _cumulated(options)
    return names[bisect.bisect(sums, where * sums[-1], hi=len(sums) - 1)]


@functools.lru_cache(maxsize=4096)
def _cumulated(options: Weighted) -> tuple[list[str], list[float]]:
    return [name for name, _ in options], list(itertools.accumulate(weight for _, weight in options))

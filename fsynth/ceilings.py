"""What retrieval scores lie between: chance, and the ceilings of three models that see all there is to see.

``ceiling``      knows every sentence, and no model can know more: rows of one sentence are alike. In the
                 ``pair`` protocol recall@k is mean(min(k, m) / m) over rows, m the rows of the same sentence.
``attributes``   sees exactly gender, sleeve, category and colour, so that all sentences and pictures of one
                 such tuple are alike to it. Wording is no property of a picture, so this, not the ceiling, is
                 what a model can be asked for; only one that reads more from pictures gets beyond it.
``frequencies``  also knows how often each sentence occurs among these rows, and names the most frequent of
                 the tuple first. It says something where a picture ranks the distinct sentences; where it
                 ranks rows, any order of a tuple's rows gives the same mean recall.

All are expectations over random orders of what is alike, by the formulas of `fsynth.retrieval`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fsynth.retrieval import Places, Scores, summary
from fsynth.score_names import DIRECTIONS, IDEALS, PROTOCOLS, limit_name

Bounded = dict[str, dict[str, Places]]
"""protocol -> direction -> places; fewer where nothing is said."""


def bounds(sentence: Tensor, group: Tensor, attributes: Tensor) -> Scores:
    """protocol -> direction -> what `IDEALS` score, by the names of `fsynth.score_names.limit_name`.

    Where an ideal says nothing it is left out.

    Args:
        sentence: (N,) int64, the caption of each row; every caption has a row.
        group: (M,) int64, the group of each caption.
        attributes: (M,) int64, the tuple of gender, sleeve, category and colour of each caption.
    """
    ideals = (
        _exact(sentence, group),
        _attributes(sentence, attributes),
        _frequencies(sentence, attributes),
        _chance(sentence, group),
    )
    found: Scores = {protocol: {way: {} for way in DIRECTIONS} for protocol in PROTOCOLS}
    for name, protocols in zip(IDEALS, ideals, strict=True):
        for protocol, ways in protocols.items():
            for way, places in ways.items():
                numbers = summary(places).items()
                found[protocol][way] |= {limit_name(name, score): number for score, number in numbers}
    return found


def _exact(sentence: Tensor, group: Tensor) -> Bounded:
    rows = torch.bincount(sentence)
    alone = torch.arange(len(group))
    pair = _tied(rows[sentence], torch.ones_like(sentence))
    return {
        "pair": dict.fromkeys(DIRECTIONS, pair),
        "sentence": _together(sentence, alone, alone),
        "group": _together(sentence, group, group),
    }


def _attributes(sentence: Tensor, attributes: Tensor) -> Bounded:
    alike = torch.bincount(attributes[sentence])[attributes[sentence]]
    pair = _tied(alike, torch.ones_like(sentence))
    alone = torch.arange(len(attributes))
    return {"pair": dict.fromkeys(DIRECTIONS, pair), "sentence": _together(sentence, attributes, alone)}


def _frequencies(sentence: Tensor, attributes: Tensor) -> Bounded:
    """Of a picture: the sentences of its tuple that more rows have come first, those as frequent are tied."""
    rows = torch.bincount(sentence)
    order = attributes * (int(rows.max()) + 1) + rows  # rises with the tuple, within it with the rows
    of_tuple, ordered = (order - rows).sort().values, order.sort().values
    last = torch.searchsorted(of_tuple, order - rows, right=True)
    above = torch.searchsorted(ordered, order, right=True)
    better, tied = last - above, above - torch.searchsorted(ordered, order)
    one = torch.ones_like(sentence)
    return {"sentence": {"image_to_text": Places.of_one_level(better[sentence], tied[sentence], one)}}


def _chance(sentence: Tensor, group: Tensor) -> Bounded:
    blind, alone = torch.zeros_like(group), torch.arange(len(group))
    pair = _tied(torch.full_like(sentence, len(sentence)), torch.ones_like(sentence))
    return {
        "pair": dict.fromkeys(DIRECTIONS, pair),
        "sentence": _together(sentence, blind, alone),
        "group": _together(sentence, blind, group),
    }


def _together(sentence: Tensor, alike: Tensor, right: Tensor) -> dict[str, Places]:
    """Both ways of a model to which captions, and their pictures, of one class ``alike`` are tied and come
    first, where those of one class ``right`` are right answers to each other; (M,) both."""
    captions = (torch.bincount(classes)[classes] for classes in (alike, right))
    pictures = (torch.bincount(classes[sentence])[classes] for classes in (alike, right))
    to_text = _tied(*(count[sentence] for count in captions))
    return {"text_to_image": _tied(*pictures), "image_to_text": to_text}


def _tied(alike: Tensor, right: Tensor) -> Places:
    return Places.of_one_level(torch.zeros_like(alike), alike, right)

"""What retrieval looks like: cases with thumbnails, and how alike pairs are, written into a run's folder.

``retrieval/cases.json`` and ``similarities.json`` hold what a report says, ``retrieval/<row>.webp`` the few
pictures it shows, so that its page can be made again without the data and their password. ``retrieval.png``
and ``similarities.png`` are the same to paste elsewhere.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fsynth import outputs, plots, retrieval_cases, retrieval_sheet, similarities
from fsynth.data.row_pictures import row_of
from fsynth.evaluation import Evaluation
from fsynth.gallery import Gallery
from fsynth.report.blocks import THUMBNAIL
from fsynth.report.data_uris import webp
from fsynth.report.retrieval_files import CASES, FOLDER, SIMILARITIES, path_of, rows_of
from fsynth.retrieval_cases import Answers

SHEET, PLOT = "retrieval.png", "similarities.png"
EACH = 2
"""Cases of a kind, in either direction. With five answers and a right one, at most 42 pictures are shown."""


def write(
    folder: Path, gallery: Gallery, found: Mapping[str, Evaluation], *, drawn: bool, pictures: bool
) -> None:
    """Write the files that the module names, in place of older ones.

    Args:
        found: name -> what a model makes of the gallery. Cases are chosen by the last one's ranks.
        drawn: whether the pictures are drawn ones.
        pictures: whether to keep thumbnails, and the sheet of them.

    Raises:
        DataError: a picture that cannot be read.
    """
    shutil.rmtree(folder / FOLDER, ignore_errors=True)  # of a run that was stopped while it wrote them
    (folder / FOLDER).mkdir()
    cases = describe(gallery, found) | {"drawn": drawn, "pictures": pictures}
    histograms = similarities.record({name: _similarities(gallery, one) for name, one in found.items()})
    if pictures:
        _write_thumbnails(folder, gallery, cases)
        sheet = retrieval_sheet.draw(cases, {row: path_of(folder, row) for row in rows_of(cases)})
        outputs.write_file(folder / SHEET, lambda beside: sheet.save(beside, "PNG"))
    figure = plots.overlaps(histograms)
    outputs.write_file(folder / PLOT, lambda beside: figure.savefig(beside, format="png"))
    outputs.write_json(folder / FOLDER / SIMILARITIES, histograms)
    outputs.write_json(folder / FOLDER / CASES, cases)


def where(folder: Path) -> str:
    """One line for the end of a command."""
    page = f"all on one page: fsynth report {folder}"
    if not (folder / SHEET).is_file():
        return f"pictures: {folder / PLOT}; {page}"
    return f"pictures: {folder / SHEET} (of the data; --set pictures=false leaves them out); {page}"


def describe(gallery: Gallery, found: Mapping[str, Evaluation]) -> dict[str, Any]:
    """The cases in plain values.

    Returns:
        ``models``, their names; ``right``, what makes an answer right (`fsynth.caption_groups.By`);
        ``n_pictures`` and ``n_sentences``, the answers there are. In ``text_to_image`` and ``image_to_text``
        for each case its ``kind``, ``text`` and, of a picture, ``row``; ``right``, how many answers are
        right; ``ranks``, of the first right one by each model; ``answers`` of the last model (``row``,
        ``text``, ``similarity``, ``right``), and ``truth``, its first right one if it is not among them.
    """
    return {
        "models": list(found),
        "right": gallery.captions.by,
        "n_pictures": len(gallery.rows),
        "n_sentences": len(gallery.captions.sentences),
        "text_to_image": _text_to_image(gallery, found),
        "image_to_text": _image_to_text(gallery, found),
    }


def _text_to_image(gallery: Gallery, found: Mapping[str, Evaluation]) -> list[dict[str, Any]]:
    captions, last = gallery.captions, list(found.values())[-1]
    kinds, queries = _chosen(found, "text_to_image", captions.group)
    right = captions.group[queries, None] == captions.row_groups[None, :]
    answers = retrieval_cases.answer(last.captions[queries], last.pictures, right)
    about = [{"text": captions.sentences[query]} for query in queries]
    cases = _cases(found, "text_to_image", kinds, queries, about, right)
    return [case | _answers(one, _rows(gallery)) for case, one in zip(cases, answers, strict=True)]


def _image_to_text(gallery: Gallery, found: Mapping[str, Evaluation]) -> list[dict[str, Any]]:
    captions, last = gallery.captions, list(found.values())[-1]
    kinds, queries = _chosen(found, "image_to_text", captions.row_groups)
    right = captions.row_groups[queries, None] == captions.group[None, :]
    answers = retrieval_cases.answer(last.pictures[queries], last.captions, right)
    rows, sentences = _rows(gallery), [{"text": text} for text in captions.sentences]
    cases = _cases(found, "image_to_text", kinds, queries, [rows[query] for query in queries], right)
    return [case | _answers(one, sentences) for case, one in zip(cases, answers, strict=True)]


def _chosen(
    found: Mapping[str, Evaluation], direction: str, groups: torch.Tensor
) -> tuple[list[str], list[int]]:
    """Kinds and queries of the cases, by the ranks of the last model."""
    ranks = list(found.values())[-1].places["group"][direction].ranks()
    chosen = retrieval_cases.choose(ranks, groups, EACH)
    pairs = [(kind, query) for kind, queries in chosen.items() for query in queries]
    return [kind for kind, _ in pairs], [query for _, query in pairs]


def _cases(
    found: Mapping[str, Evaluation],
    direction: str,
    kinds: list[str],
    queries: list[int],
    about: list[dict[str, Any]],
    right: torch.Tensor,
) -> list[dict[str, Any]]:
    ranks = {name: one.places["group"][direction].ranks()[queries] for name, one in found.items()}
    return [
        {
            "kind": kind,
            **about[place],
            "right": int(right[place].sum()),
            "ranks": {name: float(by[place]) for name, by in ranks.items()},
        }
        for place, kind in enumerate(kinds)
    ]


def _answers(found: Answers, about: list[dict[str, Any]]) -> dict[str, Any]:
    first, truth = (
        [about[one.place] | {"similarity": round(one.similarity, 4), "right": one.right} for one in part]
        for part in (found.first, [found.truth] if found.truth else [])
    )
    return {"answers": first, "truth": truth[0] if truth else None}


def _rows(gallery: Gallery) -> list[dict[str, Any]]:
    """Number and sentence of each picture, in the order of the features."""
    chosen = gallery.dataset.select_columns(["row", "text"])[list(gallery.rows)]
    return [{"row": row, "text": text} for row, text in zip(chosen["row"], chosen["text"], strict=True)]


def _similarities(gallery: Gallery, found: Evaluation) -> similarities.Similarities:
    captions = gallery.captions
    return similarities.count(found.pictures, found.captions, captions.row_groups, captions.group)


def _write_thumbnails(folder: Path, gallery: Gallery, cases: Mapping[str, Any]) -> None:
    places = {one["row"]: place for one, place in zip(_rows(gallery), gallery.rows, strict=True)}
    for row in rows_of(cases):
        picture = row_of(gallery.dataset, int(places[row]))["image"]
        path_of(folder, row).write_bytes(webp(picture, THUMBNAIL))

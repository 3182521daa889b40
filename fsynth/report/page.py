"""The one page of a run: a self-contained report.html, built from the files that a folder holds.

What the page says is in `fsynth.report.sections`, how it looks in page.html.j2 and page.css. It loads nothing
from anywhere: no scripts, no fonts, pictures as data URIs.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsynth
from fsynth.errors import DataError, OutputError
from fsynth.outputs import make_folder, write_text
from fsynth.report import files
from fsynth.report.blocks import MOST_THUMBNAILS, Options, Section
from fsynth.report.retrieval_files import CASES, FOLDER
from fsynth.report.sections import SECTIONS
from fsynth.report.training import unfinished

NAME = "report.html"
WITH_THUMBNAILS = ("run.yaml", "report.json", f"{FOLDER}/{CASES}")
"""Files of folders that may show pictures of the data, and share the most there may be on a page."""
TEMPLATES = Path(__file__).parent


@dataclass(frozen=True)
class Part:
    """The sections about one folder; ``place`` is where its first section stands in the order of sections."""

    folder: Path
    sections: tuple[Section, ...]
    place: int


def build(
    folder: Path,
    title: str | None = None,
    *,
    lead: str = "",
    pictures: bool = True,
    output: Path | None = None,
    where: Path | None = None,
) -> Path:
    """Write the page about a run, a samples folder, or a folder of such folders; returns where it stands.

    Args:
        folder: where a command wrote its results.
        title: head of the page; None for the folder's name.
        lead: a sentence under the title.
        pictures: whether the page may hold small pictures of the training data (at most 64, 128 px).
        output: file to write; None for ``folder/report.html``.
        where: what the page calls the folder; None for its own name.

    Raises:
        DataError: a folder that holds nothing to report, or a broken file.
        OutputError: a file that cannot be written.
    """
    parts = _parts(folder, pictures)
    page = _render(
        title=title or folder.resolve().name,
        lead=lead,
        parts=parts,
        cover=next((section.cover for part in parts for section in part.sections if section.cover), ()),
        notices=list(dict.fromkeys(one.notice for part in parts for one in part.sections if one.notice)),
        unfinished=[text for part in parts if (text := unfinished(part.folder))],
        where=(where or folder).as_posix(),
        data=_data(parts),
        made=datetime.date.today(),
        version=fsynth.__version__,
    )
    return _write(output or folder / NAME, page)


def _data(parts: Sequence[Part]) -> str:
    """What nobody may take for results on the benchmark."""
    drawn = [files.drawn_of(part.folder) for part in parts]
    return "drawn data" if all(drawn) else "partly drawn data" if any(drawn) else ""


def _write(path: Path, page: str) -> Path:
    if path.is_dir():
        raise OutputError(f"--output {path} is a folder; name a file in it, {path / NAME} say")
    make_folder(path.parent)
    try:
        write_text(path, page)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another --output") from None
    return path


def _parts(folder: Path, pictures: bool) -> list[Part]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; name one that a command of fsynth wrote")
    if own := _part(folder, MOST_THUMBNAILS if pictures else 0):
        return [own]
    below = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    showing = [child for child in below if any((child / name).is_file() for name in WITH_THUMBNAILS)]
    each = MOST_THUMBNAILS // max(1, len(showing)) if pictures else 0
    parts = [part for child in below if (part := _part(child, each))]
    if not parts:
        raise DataError(
            f"{folder} holds nothing to report; name a run, a samples folder, or a folder of them"
        )
    return sorted(parts, key=lambda part: part.place)


def _part(folder: Path, thumbnails: int) -> Part | None:
    options = Options(thumbnails)
    found = [(place, section(folder, options)) for place, section in enumerate(SECTIONS)]
    sections = [(place, section) for place, section in found if section is not None]
    return Part(folder, tuple(section for _, section in sections), sections[0][0]) if sections else None


def _render(parts: Sequence[Part], **values: Any) -> str:
    import jinja2

    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2").render(parts=parts, **values)

"""A drawn look-alike of the benchmark: the same files in the same formats, free to use.

    Anno/language_original.mat   captions, codes, names      Eval/ind.mat    the split
    Anno/boxes.jsonl             boxes, polygons, landmarks  password.txt    of the ZIP; no secret
    Img/img.zip                  JPEG, ZipCrypto             README.txt      what this is
    Img/G2.h5                    on request: mean-subtracted N,C,W,H pictures and segmentation

Everything is a function of the arguments, byte for byte, whatever the number of processes.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from fsynth import outputs
from fsynth.console import say
from fsynth.data import caches, drawn_archive, figure, grammar, listing
from fsynth.data.drawing_workers import Task
from fsynth.data.listing import Listing

ROWS, SIZE, PASSWORD = 6000, 128, "fsynth"
HELD_OUT = 0.25
BALANCE = 0.5
"""Half real frequencies, half equal ones. At real frequencies 6,000 rows hold 11 bombers and 42 khaki
garments, too few to learn or to score; at equal ones no class would be rare and captions would repeat less,
and both are what makes the benchmark hard. At 0.5 every category has at least 160 rows, every colour but the
benchmark's three nearly empty ones too, dresses still lead with 17 % and 100 captions are half the rows."""


def make_archive(
    output: Path,
    rows: int | None = None,
    seed: int = 0,
    look: str = "catalogue",
    size: int = SIZE,
    annotation: Path | None = None,
    password: str = PASSWORD,
    *,
    held_out: int | None = None,
    balance: float = BALANCE,
    hdf5: bool = False,
    workers: int | None = None,
) -> Path:
    """Draw an archive into a new or empty folder: complete or absent.

    Args:
        rows: pictures; None for 6,000, or for all rows of `annotation`.
        look: "catalogue", "street" or "runway" (see `figure.pose`).
        size: side of the square pictures in pixels.
        annotation: folder with a `language_original.mat` and `ind.mat` to draw; None for the grammar.
        password: encrypts the ZIP; written to `password.txt` beside it.
        held_out: test rows of invented rows; None for a quarter.
        balance: 0 for the benchmark's frequencies of categories and colours, 1 for equal ones.
        hdf5: write `G2.h5` too: 200 kB a picture at 128 px before compression.
        workers: drawing processes; None for one a core, 0 for this process.

    Returns:
        the folder.

    Raises:
        DataError: an annotation that cannot be drawn, or too few rows.
        OutputError: a folder that is not empty or cannot be written.
        MissingPackage: skia does not import.
    """
    listed = list_rows(rows, seed, annotation, held_out, balance)
    task = Task([row.labels for row in listed.rows], seed, look, size, pixels=hdf5)
    return draw_rows(output, listed, task, password.encode(), annotation, workers)


def draw_rows(
    output: Path | None,
    listed: Listing,
    task: Task,
    password: bytes = PASSWORD.encode(),
    annotation: Path | None = None,
    workers: int | None = None,
) -> Path:
    """The second half of `make_archive`, for rows that the caller listed (`list_rows`).

    Args:
        output: None for a new ``runs/data-make-<date>-<n>``.
        task: what to draw; its labels are those of the rows.
        annotation: where the rows were read, if they were not invented.
    """
    with outputs.whole_folder(output, "data-make") as (staging, final):
        drawn_archive.write(staging, listed, task, password, workers, given=annotation)
    return final


def list_rows(
    rows: int | None,
    seed: int = 0,
    annotation: Path | None = None,
    held_out: int | None = None,
    balance: float = BALANCE,
) -> Listing:
    """The rows `make_archive` would draw with these arguments."""
    if annotation is not None:
        return listing.read(annotation, rows, seed)
    rows = ROWS if rows is None else rows
    return listing.invent(rows, round(rows * HELD_OUT) if held_out is None else held_out, seed, balance)


def cached_archive(rows: int = ROWS, seed: int = 0, look: str = "catalogue") -> Path:
    """The drawn archive with these arguments, from the cache; drawn now where it is not there yet.

    Several processes that ask at once get the same folder: one draws, the others wait.

    Raises:
        OutputError: the cache folder (`$FSYNTH_CACHE`) cannot be written.
        MissingPackage: skia does not import.
    """
    folder = outputs.cache_folder() / "archives" / _key(rows, seed, look)
    if _is_whole(folder):
        return folder
    with caches.alone(folder):
        if not _is_whole(folder):
            _clear(folder)
            say(f"drawing {rows:,} {look} pictures into {folder} (once; about a minute)")
            make_archive(folder, rows, seed, look)
    return folder


def _key(rows: int, seed: int, look: str) -> str:
    """Readable, and different whenever anything that determines the archive's bytes is."""
    made_by = (figure.DRAWING_VERSION, grammar.GRAMMAR_VERSION, drawn_archive.FORMAT_VERSION)
    parts = (rows, seed, look, SIZE, BALANCE, HELD_OUT, PASSWORD, *made_by)
    return f"{look}-{rows}-seed{seed}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"


def _is_whole(folder: Path) -> bool:
    """Folders appear whole; a cleaner of caches may have taken single files since."""
    return drawn_archive.is_drawn(folder)


def _clear(folder: Path) -> None:
    """Remove what earlier, interrupted processes left."""
    for remains in (folder, *folder.parent.glob(f".{folder.name}.*.part")):
        shutil.rmtree(remains, ignore_errors=True)

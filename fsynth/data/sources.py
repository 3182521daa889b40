"""Data as every command opens them: `kinds` tells what ``--data`` is, `splits` divides the rows.

Nothing given means the drawn archive.
"""

from __future__ import annotations

import functools
import inspect
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsynth import console
from fsynth.data import (
    addresses,
    cleaning,
    export_record,
    fashion_synthesis,
    kinds,
    layout,
    picture_memory,
    places,
    splits,
    streams,
    terms,
)
from fsynth.data.rows import Opened
from fsynth.errors import ConfigError, DataError

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True)
class Source:
    """Opened data, divided (columns: see `fashion_synthesis`), and where they come from.

    Attributes:
        synthetic: nothing was given, it is the archive that stands in then.
        drawn: the pictures are drawings, given or not.
        describe: the line a command prints first.
        validation: rows that neither train nor test; None where there are none.
        rows: the line that says which rows train, validate and test.
        fingerprint: of these rows; 12 hex digits.
        what: the kind of source, and what its pictures come from.
        cleaned: a line for each reason to leave rows out that was asked for.
        dropped: the rows that were left out.
        kept: what of the pictures is kept in memory, where that was asked for.
    """

    train: datasets.Dataset
    test: datasets.Dataset
    root: Path | str
    synthetic: bool
    drawn: bool
    has_pictures: bool
    describe: str
    validation: datasets.Dataset | None = None
    rows: str = ""
    fingerprint: str | None = None
    what: str = ""
    cleaned: tuple[str, ...] = ()
    dropped: tuple[cleaning.Dropped, ...] = ()
    kept: str = ""

    @property
    def held_out(self) -> tuple[str, datasets.Dataset]:
        """The rows that losses are watched on in training, with the name of their split."""
        return (splits.TEST, self.test) if self.validation is None else (splits.VALIDATION, self.validation)

    @property
    def terms(self) -> str:
        """Under whose terms the pictures are."""
        return terms.of(self.drawn, self.what, self.root)

    def announce(self) -> None:
        """Say what was opened, what was left out and how the rest is divided."""
        for line in (self.describe, *self.cleaned, self.rows, self.kept, self._unrecorded):
            if line:
                console.say(line)

    @property
    def _unrecorded(self) -> str:
        if isinstance(self.root, Path) or self.setting == self.root:
            return ""
        return (
            "note: the query of the address is not recorded; give --data again to repeat or resume this run"
        )

    def record_dropped(self, folder: Path) -> None:
        """Write the rows that were left out into a run folder, where cleaning was asked for: every process
        may call it, the first one writes."""
        if self.cleaned and console.is_main_process():
            cleaning.write(folder, self.dropped)
            if self.dropped:
                console.say(f"dropped rows: listed in {cleaning.FILE} of the output folder")

    def strata(self, column: str | None) -> list[Any] | None:
        """The label of each training row; None for no column."""
        return None if column is None else self.train.select_columns([column])[:][column]

    def check_rows(self, fingerprint: str | None) -> None:
        """Stop a run that a recipe says trained on other rows; None is any.

        Raises:
            ConfigError: with both fingerprints.
        """
        if fingerprint not in (None, self.fingerprint):
            raise ConfigError(
                f"{addresses.shown(self.root)} gives rows of fingerprint {self.fingerprint}, the recipe was "
                f"run on {fingerprint}: bring those data back, divided and cleaned with the same flags, or "
                "start a new run with --set fingerprint=null"
            )

    @property
    def setting(self) -> Path | str:
        """What ``--data`` must say to open the same again, wherever and whatever ``$FSYNTH_DATA`` is then.

        Addresses are without their query, which may be a signature: it must not lie in run.yaml.
        """
        if self.synthetic:
            return places.DRAWN
        if isinstance(self.root, str):
            return addresses.shown(self.root)
        return self.root.resolve() if self.root.exists() else self.root  # a name on the hub

    def need_pictures(self) -> None:
        """Stop a command that cannot work from sentences and labels alone.

        Raises:
            DataError: when there are no pictures.
        """
        if not self.has_pictures:
            raise DataError(
                f"{self.root} holds the annotation but no pictures; put img.zip, img_highres.zip, G2.h5 or "
                "G2.zip anywhere under it"
            )

    def need_rows(self, wanted: int | None, stratify: str | None = None) -> None:
        """Stop a command that is to draw more rows than the training split has; None takes all.

        Raises:
            ConfigError: with how many there are.
            DataError: there are none.
        """
        rows = len(self.train)
        if not rows:
            raise DataError(
                f"{addresses.shown(self.root)} holds no training rows; only {splits.TEST} rows were found"
            )
        if wanted is not None and wanted > rows:
            raise ConfigError(
                f"--n-images {wanted} is more than the {rows:,} rows of the training split; "
                f"take at most {rows}"
            )
        if stratify is not None and wanted is None:
            raise ConfigError(f"--stratify {stratify} shapes the draw of --n-images; give that, too")


def open_source(
    root: Path | str | None,
    password_file: Path | None = None,
    image_source: str | None = None,
    memory_limit: float = 4.0,
    password: bytes | None = None,
    *,
    image_column: str | None = None,
    text_column: str | None = None,
    split_by: str = "official",
    val_fraction: float | None = 0.0,
    split_seed: int = 0,
    drop_duplicates: bool = False,
    drop_unreadable: bool = False,
    min_side: int = 0,
    cache_images: str = "none",
    workers: int | None = None,
    prompt: bool = True,
) -> Source:
    """Open what ``--data`` and the flags beside it name.

    Args:
        root: see `kinds`; None for ``$FSYNTH_DATA``, else the drawn archive, which is drawn now
            where it is not in the cache yet; `places.DRAWN` for that one in any case.
        password_file: its first line is the password; else ``$FSYNTH_ZIP_PASSWORD``, else a hidden prompt.
        image_source: of FashionSynthesis: ``zip``, ``hdf5``, or None for the ZIP where there is one.
        memory_limit: largest HDF5 in GiB to unpack from ``G2.zip`` into memory.
        password: instead of all these. The process remembers, for each archive, the one that opens it.
        image_column: column of the pictures, where it is not the usual one.
        text_column: column of the sentences, where it is not ``text``.
        split_by: ``official`` or ``garment`` (`splits.split`).
        val_fraction: share of the training rows that validates; None takes the usual one (`splits.split`).
        split_seed: of the rows that are drawn for a side.
        drop_duplicates: see `cleaning.Rules`, like the next two.
        drop_unreadable: leave out rows whose picture cannot be read.
        min_side: leave out training pictures with a shorter side, in pixels.
        cache_images: ``memory`` keeps pictures there once they were read (`picture_memory`).
        workers: processes that read pictures to clean them; None for one a core.
        prompt: whether a password may be asked for.

    Raises:
        ConfigError: see `places.data_root`.
        DataError: files that are missing, broken or do not belong together; cleaning that leaves no rows.
        ConfigError: a column that is not there, a division that the rows do not allow, a system that cannot
            keep pictures in memory.
        PasswordError: when a password is needed and missing or wrong.
    """
    place = places.locate(root, password_file, password, prompt)
    benchmark = functools.partial(_benchmark, image_source, memory_limit, place.ask)
    opened = kinds.open_kind(place.root, image_column, text_column, benchmark, place.ask)
    divided = splits.split(opened.names(), opened.official, split_by, val_fraction, split_seed)
    rules = cleaning.Rules(drop_unreadable, min_side, drop_duplicates)
    if rules and not opened.has_pictures:
        raise DataError(
            f"{addresses.shown(place.root)} holds no pictures that could be looked at; leave "
            "--drop-duplicates, --drop-unreadable and --min-side out"
        )
    cleaned = cleaning.find(opened.dataset, divided, rules, workers)
    divided = cleaned.splits
    train, test = opened.part(divided.train, splits.TRAIN), opened.part(divided.test, splits.TEST)
    validation = opened.part(divided.validation, splits.VALIDATION) if len(divided.validation) else None
    parts = [part for part in (train, validation, test) if part is not None]
    return Source(
        train=train,
        test=test,
        root=place.root,
        synthetic=place.synthetic,
        drawn=opened.drawn or export_record.holds_drawings(place.root),
        has_pictures=opened.has_pictures,
        describe=_describe(opened, divided, place),
        what=opened.what,
        validation=validation,
        rows=divided.describe(),
        fingerprint=divided.fingerprint(),
        cleaned=cleaned.lines,
        dropped=cleaned.dropped,
        kept=picture_memory.keep(parts) if cache_images == "memory" else "",
    )


def load_dataset(
    root: str | os.PathLike[str] | None = None,
    split: str | None = None,
    password: str | bytes | None = None,
    password_file: str | os.PathLike[str] | None = None,
    streaming: bool = False,
    **options: Any,
) -> datasets.DatasetDict | datasets.Dataset | datasets.IterableDatasetDict | datasets.IterableDataset:
    """Data of any kind that `fsynth` reads, as a `datasets.DatasetDict` with the same columns for all.

    Args:
        root: see `kinds`; None for ``$FSYNTH_DATA``, else drawn data; ``drawn`` for those always.
        split: ``train``, ``validation`` or ``test`` for one split instead of all.
        password: of the archive. This process' environment remembers it, where loader workers find it.
        password_file: its first line is the password; else ``$FSYNTH_ZIP_PASSWORD``, else a hidden prompt.
        streaming: read rows as they come, without a local copy (see `streams`).
        options: further arguments of `open_source`: ``image_source``, ``split_by``, ``drop_duplicates`` ...
            (what was left out is printed; `open_source` itself returns the list, too: ``dropped``).

    Returns:
        train, test and, where there is one, validation; or the split asked for. Columns: see
        `fsynth.data.fashion_synthesis`. For ``streaming`` their iterable kinds.

    Raises:
        DataError: files that are missing, broken or do not belong together; a split that is not there.
        ConfigError: a column that is not there, a division that the rows do not allow.
        PasswordError: when a password is needed and missing or wrong.
    """
    import datasets

    given = Path(root) if isinstance(root, os.PathLike) else root
    file = None if password_file is None else Path(password_file)
    secret = password.encode() if isinstance(password, str) else password
    about = {"root": given, "password_file": file, "password": secret, **options}
    there: Any = _streams(about) if streaming else None
    if there is None:
        there = _open_splits(about)
        there = datasets.IterableDatasetDict(streams.from_memory(there)) if streaming else there
    if split not in (None, *there):
        names = ", ".join(there)
        raise DataError(f"there is no split {split!r}; name one of {names}, or leave split out for all")
    return there if split is None else there[split]


def _open_splits(options: dict[str, Any]) -> datasets.DatasetDict:
    import datasets

    source = open_source(**options)
    source.announce()
    parts = {splits.TRAIN: source.train, splits.VALIDATION: source.validation, splits.TEST: source.test}
    return datasets.DatasetDict({name: part for name, part in parts.items() if part is not None})


def _streams(options: dict[str, Any]) -> datasets.IterableDatasetDict | None:
    """What `streams.open_stream` opens; None for sources that lie in memory."""
    import datasets

    given = inspect.signature(open_source).bind(**options)
    given.apply_defaults()
    root = places.data_root(given.arguments["root"])
    found = None if root is None else kinds.find(root)
    if found is None or not streams.is_streamed(found):
        return None
    streams.refuse_options(options)
    chosen = {name: given.arguments[name] for name in streams.OPTIONS}
    parts, lines = streams.open_stream(found, root, **chosen)
    for line in lines:
        console.say(line)
    return datasets.IterableDatasetDict(parts)


def _benchmark(
    image_source: str | None, memory_limit: float, ask: fashion_synthesis.Ask, where: layout.Layout
) -> Opened:
    from fsynth.data import drawn_archive

    found = fashion_synthesis.open_layout(where, image_source, int(memory_limit * fashion_synthesis.GIB), ask)
    official = {splits.TRAIN: found.official.train, splits.TEST: found.official.test}
    pictures = f"FashionSynthesis, pictures from {found.pictures}" if found.pictures else "no pictures"
    drawn = drawn_archive.holds_drawings(where)
    return Opened(found.rows, official, pictures, found.pictures is not None, found.notes, drawn)


def _describe(opened: Opened, divided: splits.Splits, place: places.Place) -> str:
    train, validation, test = (len(rows) for rows in (divided.train, divided.validation, divided.test))
    sizes = [
        f"{train:,} for training",
        *([f"{validation:,} to validate"] * bool(validation)),
        f"{test:,} held out",
    ]
    rows = f"{train + validation + test:,} rows ({', '.join(sizes)})"
    if place.synthetic:
        return f"data: drawn archive, {rows} ({places.REAL_THING})"
    return "; ".join([f"data: {addresses.shown(place.root)}, {rows}, {opened.what}", *opened.notes])

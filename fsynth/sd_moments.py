"""Posterior moments of pictures, made once: kept in memory, or on the disk where the next run finds them.

What is kept are mean and standard deviation of the latents, not a draw from them; noise is drawn anew at
every step. A picture has one entry for each way in which it is shown (`View`): as it is, and mirrored.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fsynth import launch, loading, outputs, sd_model
from fsynth.console import say
from fsynth.data import caches
from fsynth.data.augmentation import may_mirror
from fsynth.errors import ModelError, OutputError
from fsynth.latent_store import Store
from fsynth.sd_rows import Moments, Pictures, View

if TYPE_CHECKING:
    from accelerate import Accelerator
    from diffusers import AutoencoderKL

IN_MEMORY = 4 * 2**30
"""Bytes that are kept in memory where nothing is said; more lie on the disk."""
SHARD = 64 * 2**20
"""Bytes of a shard: what an interrupted command loses at most."""
VERSION = 1
"""Of how pictures become pixels (`sd_rows.to_pixels`) and what an entry is; raise it when either changes."""
NUMBER = 4  # bytes


@dataclass(frozen=True)
class Encoder:
    """An autoencoder, and how pictures get to it.

    Attributes:
        batch_size: pictures at a time in each process.
        workers: loader processes.
    """

    vae: AutoencoderKL
    accelerator: Accelerator
    batch_size: int
    workers: int

    def size(self, target: tuple[int, int]) -> int:
        """Bytes of one entry of a picture of (width, height) pixels."""
        config = self.vae.config
        factor = 2 ** (len(config.block_out_channels) - 1)
        return 2 * config.latent_channels * (target[0] // factor) * (target[1] // factor) * NUMBER


class InMemory:
    """Moments in stacks, one for each size of pictures."""

    def __init__(self) -> None:
        self._stacks: list[Tensor] = []
        self._places: dict[View, tuple[int, int]] = {}

    def add(self, views: Sequence[View], moments: Tensor) -> None:
        self._places |= {view: (len(self._stacks), place) for place, view in enumerate(views)}
        self._stacks.append(moments)

    def __getitem__(self, view: View) -> Tensor:
        stack, place = self._places[view]
        return self._stacks[stack][place]


@dataclass(frozen=True)
class OnDisk:
    """Moments in a folder, read when they are asked for. ``made``: how many of them were encoded just now."""

    store: Store
    names: dict[View, str]
    made: int

    def __getitem__(self, view: View) -> Tensor:
        return self.store.read(self.names[view])


def views_of(pictures: Pictures, mirrored: bool) -> list[View]:
    """Every picture as it is; where asked for, also mirrored, but for those whose sentence forbids it."""
    plain = [View(index) for index in range(len(pictures))]
    turned = [view.other() for view in plain if may_mirror(pictures.texts[view.index])] if mirrored else []
    return plain + turned


def total_size(pictures: Pictures, views: Sequence[View], encoder: Encoder) -> int:
    """Bytes of all moments."""
    return sum(encoder.size(pictures.targets[view.index]) for view in views)


def find(
    pictures: Pictures,
    views: Sequence[View],
    encoder: Encoder,
    *,
    where: str,
    folder: Path,
    again: bool,
    title: str,
) -> Moments | None:
    """The moments of all views, encoded now where they are not at hand; None: encode at every step.

    Args:
        where: ``memory``, ``disk``, ``none``, or ``auto``: on the disk where all are there already, else in
            memory where they fit, else on the disk; not at all where they are not needed again.
        folder: of caches on the disk (`folder_of`).
        again: whether a picture is shown more than once.
        title: of the progress bar.

    Raises:
        ModelError: when some moments are not finite, with the pictures' names.
        DataError: a picture that cannot be read.
        OutputError: the folder cannot be written, or the disk is too small.
    """
    if where == "auto":
        where = launch.same_everywhere(_choose(pictures, views, encoder, folder, again), encoder.accelerator)
    if where == "disk":
        return on_disk(pictures, views, encoder, folder, title)
    return encode(pictures, views, encoder, title) if where == "memory" else None


def folder_of(given: Path | None) -> Path:
    """Where caches of latents lie: the given folder, else sd/ of the cache folder (`$FSYNTH_CACHE`)."""
    return given.expanduser() if given else outputs.cache_folder() / "sd"


def _choose(pictures: Pictures, views: Sequence[View], encoder: Encoder, folder: Path, again: bool) -> str:
    if folder.is_dir():
        store = Store(folder / key(encoder.vae))
        store.load()
        if store.where and store.where.keys() >= set(names_of(pictures, views).values()):
            return "disk"
    if not again:
        return "none"
    return "memory" if total_size(pictures, views, encoder) <= IN_MEMORY else "disk"


# --------------------------------------------------------------------------------------------------
# in memory


def encode(pictures: Pictures, views: Sequence[View], encoder: Encoder, title: str) -> InMemory:
    """Encode all views now; every process does a part and gets all of them. See `find` for the rest."""
    groups, found = _by_size(pictures, views), InMemory()
    batches = [(number, batch) for number, alike in enumerate(groups) for batch in _share(alike, encoder)]
    parts: dict[int, list[Tensor]] = defaultdict(list)
    stream = _encoded(pictures, [batch for _, batch in batches], encoder, title)
    for (number, _), moments in zip(batches, stream, strict=True):
        parts[number].append(encoder.accelerator.gather(moments).cpu())
    for number, alike in enumerate(groups):
        found.add(alike, torch.cat(parts[number])[: len(alike)])
    _check_finite(pictures, views, found)
    return found


def _by_size(pictures: Pictures, views: Sequence[View]) -> list[list[View]]:
    groups: dict[tuple[int, int], list[View]] = defaultdict(list)
    for view in views:
        groups[pictures.targets[view.index]].append(view)
    return [groups[size] for size in sorted(groups)]


def _share(alike: Sequence[View], encoder: Encoder) -> Iterator[list[View]]:
    """This process' batches, equally many and long in all; what is too much repeats the last view."""
    size, last = encoder.batch_size, len(alike) - 1
    first = encoder.accelerator.process_index * size
    for start in range(first, len(alike) + first, encoder.accelerator.num_processes * size):
        yield [alike[min(place, last)] for place in range(start, start + size)]


def _encoded(
    pictures: Pictures, batches: Sequence[list[View]], encoder: Encoder, title: str
) -> Iterator[Tensor]:
    """Moments of batches of views, each of one size, on the device."""
    from tqdm.auto import tqdm

    loader = torch.utils.data.DataLoader(pictures, batch_sampler=batches, num_workers=encoder.workers)
    main = encoder.accelerator.is_main_process
    with loading.clear_errors():
        for pixels in tqdm(loader, desc=title, unit="batch", disable=not main):
            yield sd_model.posterior_moments(encoder.vae, pixels)


def _check_finite(pictures: Pictures, views: Iterable[View], moments: Moments) -> None:
    broken = [pictures.names[view.index] for view in views if not moments[view].isfinite().all()]
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise ModelError(f"the model's VAE makes no finite latents of {', '.join(broken[:3])}{more}")


# --------------------------------------------------------------------------------------------------
# on the disk


def on_disk(pictures: Pictures, views: Sequence[View], encoder: Encoder, folder: Path, title: str) -> OnDisk:
    """All views in the folder's part for this autoencoder; what is not there yet is encoded now, by all
    processes, a shard each. See `find` for the rest."""
    _make(folder)
    store, names = Store(folder / key(encoder.vae)), names_of(pictures, views)
    main, wait = encoder.accelerator.is_main_process, encoder.accelerator.wait_for_everyone
    with caches.alone(store.folder) if main else contextlib.nullcontext():
        if main:
            store.create(determined_by(encoder.vae))
            store.settle(names.values())
        wait()
        store.load()
        missing = _missing(names, store)
        first = launch.same_everywhere(store.next_number(), encoder.accelerator)
        _say_what_is_there(store, names, missing)
        if missing:
            store.need_room(total_size(pictures, missing, encoder))
            _fill(store, pictures, missing, names, first, encoder, title)
            wait()
            if main:
                store.settle(names.values())
            wait()
            store.load()
    return OnDisk(store, names, len(missing))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot create the folder of latents {folder} ({error.strerror}); name another: cache.dir of "
            "sd-train, --dir of sd-cache"
        ) from None


def _missing(names: Mapping[View, str], store: Store) -> list[View]:
    """One view of each name that is not there; equal pictures have one."""
    first = {name: view for view, name in reversed(names.items()) if name not in store.where}
    return sorted(first.values())


def _say_what_is_there(store: Store, names: Mapping[View, str], missing: Sequence[View]) -> None:
    there = len(set(names.values())) - len(missing)
    now = f"{len(missing):,} are encoded now" if missing else "none to encode"
    say(f"latents: {there:,} are in {store.folder}, {now}")
    if missing:
        say("note: latents can be decoded back into the pictures; nobody but you may read that folder")


def _fill(
    store: Store,
    pictures: Pictures,
    missing: Sequence[View],
    names: Mapping[View, str],
    first: int,
    encoder: Encoder,
    title: str,
) -> None:
    """Encode this process' shards, and write each as soon as it is whole."""
    shards = [part for alike in _by_size(pictures, missing) for part in _shards(pictures, alike, encoder)]
    accelerator = encoder.accelerator
    mine = list(enumerate(shards, first))[accelerator.process_index :: accelerator.num_processes]
    batches = [batch for _, views in mine for batch in _cut(views, encoder.batch_size)]
    stream = _encoded(pictures, batches, encoder, title)
    for number, views in mine:
        whole = torch.cat([next(stream).cpu() for _ in _cut(views, encoder.batch_size)])
        moments = dict(zip(views, whole, strict=True))
        _check_finite(pictures, views, moments)
        store.write(number, {names[view]: value for view, value in moments.items()})
    next(stream, None)  # ends its bar


def _shards(pictures: Pictures, alike: Sequence[View], encoder: Encoder) -> list[list[View]]:
    return _cut(alike, max(1, SHARD // encoder.size(pictures.targets[alike[0].index])))


def _cut(views: Sequence[View], length: int) -> list[list[View]]:
    return [list(views[start : start + length]) for start in range(0, len(views), length)]


# --------------------------------------------------------------------------------------------------
# names: what is found again


def determined_by(vae: AutoencoderKL) -> dict[str, Any]:
    """What all moments of a folder depend on; what those of one picture depend on is in its name."""
    import PIL

    config = {name: value for name, value in vae.config.items() if not name.startswith("_")}
    return {
        "version": VERSION,
        "autoencoder": _weights_hash(vae),
        "config": json.loads(json.dumps(config, default=str)),
        "computed_in": str(vae.dtype).removeprefix("torch."),
        "pillow": PIL.__version__,
    }


def key(vae: AutoencoderKL) -> str:
    """The name of the folder: 16 hex digits of `determined_by`."""
    return hashlib.sha256(json.dumps(determined_by(vae), sort_keys=True).encode()).hexdigest()[:16]


def _weights_hash(vae: AutoencoderKL) -> str:
    """Of all that encodes: another decoder, as sd-vae-ft-mse is one, changes nothing here."""
    digest = hashlib.sha256()
    for name, value in sorted(vae.state_dict().items()):
        if not name.startswith(("decoder.", "post_quant_conv.")):
            digest.update(name.encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def names_of(pictures: Pictures, views: Sequence[View]) -> dict[View, str]:
    """The name of each view's entry: 32 hex digits of its picture's identity, size and how it is shown."""
    identities = pictures.identities

    def name(view: View) -> str:
        width, height = pictures.targets[view.index]
        text = f"{identities[view.index]} {width}x{height} {'mirrored' if view.mirrored else 'plain'}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    return {view: name(view) for view in views}

"""Latents on the disk: a folder of safetensors shards that every run may read and add to.

FOLDER/00000.safetensors ...   float32 tensors, each named by what it was made from
FOLDER/index.json              written last: of every shard its size, checksum and names
FOLDER/README.txt              what this is

A shard gets its name when all of it is on the disk, and is never changed: what an interrupted command
finished is used by the next, and readers need no lock. A shard that is not what the index says is removed
and made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from fsynth import outputs
from fsynth.console import counted, say
from fsynth.errors import OutputError, reason

INDEX, README = "index.json", "README.txt"
PRIVATE = 0o700
GIB = 2**30
_TEXT = """Latents of pictures, made by fsynth so that training need not encode them again.

The model's autoencoder decodes them back into the pictures, little changed: keep this folder
as private as the pictures are. It may be removed at any time; training makes it anew.

index.json says what they were made with. Each *.safetensors holds float32 tensors
(2C, h, w): the C means, then the C standard deviations, unscaled.
"""


class Store:
    """See the module text.

    Attributes:
        where: name of a tensor -> its shard; what `settle` or `load` found.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.where: dict[str, str] = {}
        self._sound: dict[str, dict[str, Any]] = {}  # shards that this process has compared with the index
        self._open: dict[str, Any] = {}
        self._process = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}  # a worker opens the shards itself

    def create(self, about: Mapping[str, Any]) -> None:
        """Make the folder, for its owner alone.

        Args:
            about: what its tensors depend on; stands in the index.

        Raises:
            OutputError: it cannot be written.
        """
        outputs.make_folder(self.folder).chmod(PRIVATE)
        if not (self.folder / README).exists():
            outputs.write_text(self.folder / README, _TEXT)
        self._about = dict(about)

    def load(self) -> None:
        """Take the index at its word."""
        self.where = {name: shard for shard, entry in self._index().items() for name in entry["names"]}

    def settle(self, names: Iterable[str]) -> None:
        """Bring the index and the shards together: remove shards that are broken, take in those that an
        interrupted command left, write the index. Only one process at a time may.

        Args:
            names: tensors that are wanted; the shards that hold some of them are read and compared.
        """
        wanted, listed = set(names), self._index()
        for shard, entry in listed.items():
            if shard not in self._sound and wanted.intersection(entry["names"]):
                self._compare(shard, entry)
        for path in sorted(self.folder.glob("[0-9]*.safetensors")):
            if path.name not in listed and path.name not in self._sound:
                self._take_in(path)
        entries = {shard: entry for shard, entry in listed.items() if (self.folder / shard).exists()}
        entries |= self._sound
        if entries != listed or not listed:
            outputs.write_json(self.folder / INDEX, {"about": self._about, "shards": entries})
        self.load()

    def next_number(self) -> int:
        """That of the first shard that is not there."""
        numbers = [int(path.stem) for path in self.folder.glob("[0-9]*.safetensors")]
        return max(numbers, default=-1) + 1

    def write(self, number: int, tensors: Mapping[str, Tensor]) -> None:
        """Write a shard whole; `settle` puts it into the index."""
        from safetensors.torch import save_file

        whole = {name: value.contiguous() for name, value in tensors.items()}
        outputs.write_file(self.folder / f"{number:05d}.safetensors", lambda beside: save_file(whole, beside))

    def read(self, name: str) -> Tensor:
        """One tensor, on the CPU; also in loader workers.

        Raises:
            OutputError: its shard has gone since it was checked.
        """
        if self._process != os.getpid():  # a forked worker maps the files itself
            self._open, self._process = {}, os.getpid()
        shard = self.where[name]
        try:
            if shard not in self._open:
                self._open[shard] = _opened(self.folder / shard)
            return self._open[shard].get_tensor(name)
        except Exception as error:  # safetensors' own kinds and the system's
            raise OutputError(
                f"{self.folder / shard} cannot be read ({reason(error)}) and was whole before; start again, "
                "and what is missing is made"
            ) from None

    def need_room(self, size: int) -> None:
        """Refuse to write what the disk cannot hold.

        Raises:
            OutputError: with both sizes.
        """
        free = shutil.disk_usage(self.folder).free
        if size > free:
            raise OutputError(
                f"latents need {size / GIB:.2f} GiB in {self.folder}, where {free / GIB:.2f} GiB are free; "
                "set cache.dir to a larger disk, or cache.latents=none"
            )

    def _index(self) -> dict[str, dict[str, Any]]:
        try:
            shards = json.loads((self.folder / INDEX).read_text(encoding="utf-8"))["shards"]
            return {shard: {**entry, "names": list(entry["names"])} for shard, entry in shards.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}  # what its shards hold is found again

    def _compare(self, shard: str, entry: dict[str, Any]) -> None:
        path = self.folder / shard
        if path.exists() and _checksum(path) == (entry.get("bytes"), entry.get("sha256")):
            self._sound[shard] = entry
            return
        self._remove(path, len(entry["names"]))

    def _take_in(self, path: Path) -> None:
        try:
            with _opened(path) as shard:
                names = sorted(shard.keys())
        except Exception:  # written by nobody of ours, or cut short by the disk
            self._remove(path, 0)
            return
        size, digest = _checksum(path)
        self._sound[path.name] = {"bytes": size, "sha256": digest, "names": names}

    def _remove(self, path: Path, count: int) -> None:
        lost = f"its {counted(count, 'picture')} are" if count else "what it held is"
        say(f"note: {path} is broken; {lost} encoded again")
        path.unlink(missing_ok=True)


def _opened(path: Path) -> Any:
    from safetensors import safe_open

    return safe_open(path, framework="pt")


def _checksum(path: Path) -> tuple[int, str]:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()

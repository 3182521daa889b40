"""The column ``image`` of our tables: a `datasets.Image` with a shorter way to pictures inside archives.

`datasets` opens a path that is no plain file through fsspec, which costs a third of the decoding of a small
picture. `Picture` asks `picture_files` for the content instead, and hands the same bytes to the same decoder.
Where `datasets` rebuilds its columns from an Arrow schema, a plain `datasets.Image` takes over, which reads
the same pictures through fsspec.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import datasets

from fsynth.data import picture_files

if TYPE_CHECKING:
    from PIL.Image import Image


class Picture(datasets.Image):
    """Equal to the `datasets.Image` of the same mode, so that tables of both kinds can be joined."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, datasets.Image):
            return NotImplemented
        return (self.mode, self.decode) == (other.mode, other.decode)

    __hash__ = None  # type: ignore[assignment]  # as that of datasets.Image

    def decode_example(self, value: Any, token_per_repo_id: dict[str, Any] | None = None) -> Image:
        """The picture, in the column's mode.

        Raises:
            DataError: it cannot be read or decoded; names the member and its file.
        """
        path = value.get("path") if isinstance(value, dict) and value.get("bytes") is None else None
        if not self.decode or path is None or not picture_files.is_ours(path):
            return super().decode_example(value, token_per_repo_id)
        content = picture_files.read(path)
        try:
            return super().decode_example({"path": path, "bytes": content}, token_per_repo_id)
        except picture_files.undecodable() as error:
            raise picture_files.no_picture(path, error) from None

"""IDX files, the format of MNIST and Fashion-MNIST: big-endian arrays of bytes, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from fsynth.errors import DataError, not_now, reason

if TYPE_CHECKING:
    import numpy as np

_BYTES = 0x08  # the code of unsigned bytes
_LARGEST = 2**30  # bytes; all of Fashion-MNIST is 47 MB


def read(path: Path, dimensions: int) -> np.ndarray:
    """The array of a file, uint8.

    Args:
        dimensions: how many it must have; pictures have 3 (pictures, rows, columns), labels 1.

    Raises:
        DataError: no IDX file of bytes, or not whole.
        UnreachableError: it cannot be read now.
    """
    import numpy as np

    content = _content(path)
    start = 4 + 4 * dimensions
    if content[:4] != bytes((0, 0, _BYTES, dimensions)) or len(content) < start:
        raise DataError(f"{path} is no IDX file of bytes in {dimensions} dimensions; {_AGAIN}")
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    if math.prod(shape) != len(content) - start:
        raise DataError(
            f"{path} should hold {' x '.join(map(str, shape))} bytes and holds {len(content) - start:,}; "
            f"{_AGAIN}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


_AGAIN = "download it again"


def _content(path: Path) -> bytes:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            content = file.read(_LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and (refused := not_now(path, error)):
            raise refused from None
        raise DataError(f"{path} cannot be read ({reason(error)}); {_AGAIN}") from None
    if len(content) > _LARGEST:
        raise DataError(f"{path} holds more than {_LARGEST >> 30} GiB; it is not Fashion-MNIST's: {_AGAIN}")
    return content

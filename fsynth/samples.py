"""A folder of generated pictures: prompts in, PNGs and samples.jsonl out, readable without this package.

SAMPLES/00000.png ...      the pictures; their text chunks repeat prompt, seed, model and versions
SAMPLES/samples.jsonl      a line a picture: file_name, text, seed, noise_seed
SAMPLES/sampling.json      what all of them share: model, steps, guidance, size, versions
SAMPLES/contact_sheet.png  SAMPLES/scores.json where they were scored
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import fsynth
from fsynth import records
from fsynth.errors import ConfigError, DataError
from fsynth.keyed import seed_of
from fsynth.outputs import write_json, write_text

ROWS, SHARED, SHEET, SCORES = "samples.jsonl", "sampling.json", "contact_sheet.png", "scores.json"
EVERY_ROW, EVERY_RECORD = {"file_name", "text", "seed"}, {"model", "drawn", "steps", "guidance_scale"}
"""What every samples.jsonl and sampling.json says, whichever command wrote it."""
PICTURE_ENDINGS = {".png", ".jpg", ".jpeg", ".webp"}


@dataclass(frozen=True)
class Wanted:
    """One picture to make. ``noise_seed`` seeds its generator and is a function of text and seed alone."""

    file_name: str
    text: str
    seed: int
    noise_seed: int


def read_prompts(path: Path) -> list[str]:
    """The prompts of a UTF-8 file, one a line; blank lines and lines that start with # are skipped.

    Raises:
        ConfigError: when the file cannot be read or holds no prompt.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError(
            f"--prompts {path}: {error.strerror}; name a text file, one prompt a line"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"--prompts {path} is not UTF-8 text ({error.reason} at byte {error.start})"
        ) from None
    prompts = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    if not prompts:
        raise ConfigError(f"--prompts {path} holds no prompt; write one a line (lines with # are comments)")
    return prompts


def plan(prompts: Sequence[str], per_prompt: int = 1, seed: int = 0) -> list[Wanted]:
    """The pictures of a prompts file, prompt by prompt.

    A prompt's pictures have the seeds ``seed``, ``seed + 1``, ...; a prompt that occurs again goes on
    counting. So a picture's noise depends on its words and its seed, not on where the prompt stands.
    """
    made: Counter[str] = Counter()
    wanted = []
    for text in (prompt for prompt in prompts for _ in range(per_prompt)):
        own = seed + made[text]
        made[text] += 1
        wanted.append(Wanted(f"{len(wanted):05d}.png", text, own, seed_of("sample", text, own)))
    return wanted


def write_picture(folder: Path, wanted: Wanted, picture: np.ndarray, shared: dict[str, Any]) -> None:
    """Write a PNG whose text chunks say how it was made.

    Args:
        picture: uint8 RGB (H, W, 3).
        shared: what goes to sampling.json.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    about = PngInfo()
    about.add_text("prompt", wanted.text)
    about.add_text("seed", str(wanted.seed))
    about.add_text("model", str(shared["model"]))
    about.add_text("Software", f"fsynth {fsynth.__version__}")
    about.add_text("fsynth", json.dumps({**asdict(wanted), **shared}, default=str))
    Image.fromarray(picture).save(folder / wanted.file_name, pnginfo=about)


def write_records(folder: Path, wanted: Sequence[Wanted], shared: dict[str, Any]) -> None:
    """Write sampling.json, then samples.jsonl, whose presence means that every picture is there."""
    write_json(folder / SHARED, shared)
    lines = [json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in wanted]
    write_text(folder / ROWS, "".join(lines))


def pictures_in(folder: Path) -> list[Path]:
    """The pictures that samples.jsonl lists; in a folder without one, every picture file, by name.

    Raises:
        DataError: when there is none, or a listed one is missing.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; name one that `fsynth sample` wrote")
    if (folder / ROWS).is_file():
        listed = [folder / row["file_name"] for row in rows_of(folder / ROWS)]
        if missing := [path.name for path in listed if not path.is_file()]:
            raise DataError(f"{folder / ROWS} lists {missing[0]}, which is missing ({len(missing)} in all)")
    else:
        files = (path for path in sorted(folder.iterdir()) if path.name != SHEET)
        listed = [path for path in files if path.suffix.lower() in PICTURE_ENDINGS]
    if not listed:
        raise DataError(f"{folder} holds no pictures; name a folder that `fsynth sample` wrote")
    return listed


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a samples.jsonl; each has file_name, text and seed.

    Raises:
        DataError: when the file is broken.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # not at U+2028, which may stand in a prompt
        rows = [json.loads(line) for line in lines if line.strip()]
    except ValueError as error:
        raise DataError(f"{path} is not JSON lines ({error}); sample again") from None
    if not all(isinstance(row, dict) and row.keys() >= EVERY_ROW for row in rows):
        raise DataError(f"{path}: each line needs {_listed(EVERY_ROW)}; sample again")
    return rows


def shared_record(folder: Path) -> dict[str, Any]:
    """sampling.json of a samples folder; empty for pictures from elsewhere.

    Raises:
        DataError: when the file is broken.
    """
    path = folder / SHARED
    if not path.is_file():
        return {}
    record = records.read(path, DataError, "sample again")
    if not record.keys() >= EVERY_RECORD:
        raise DataError(f"{path} needs {_listed(EVERY_RECORD)}; sample again")
    return record


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))


def versions(*packages: str) -> dict[str, str]:
    """fsynth's version and those of installed packages."""
    return {"fsynth": fsynth.__version__, **{name: metadata.version(name) for name in packages}}

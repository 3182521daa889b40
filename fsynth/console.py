"""What a person sees: talk on standard error, results on standard output, once per launch."""

from __future__ import annotations

import logging
import os
import sys
import warnings


def is_main_process() -> bool:
    """True in the only process, or in rank 0 of a launch with several."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str = "") -> None:
    """Print a line of talk on standard error, in the main process only."""
    if not is_main_process():
        return
    if "tqdm" in sys.modules:  # above a running progress bar, not into it
        sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr, flush=True)


def counted(number: int, thing: str, none: str = "no") -> str:
    """``1 step``, ``2,000 steps``, ``no steps``."""
    amount = f"{number:,}" if number else none
    return f"{amount} {thing}" if number == 1 else f"{amount} {thing}s"


def shortened(text: str, most: int = 100) -> str:
    """A sentence for a message: its beginning, where it is long."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def close_bars() -> None:
    """End the lines of progress bars that an error left open, so that the next line is one of its own."""
    if "tqdm" in sys.modules:
        for bar in list(getattr(sys.modules["tqdm"].tqdm, "_instances", ())):
            bar.close()


def hush_libraries() -> None:
    """Keep the import-time notices of libraries off the screen; real errors still raise.

    Runs before the heavy imports. ``python -W ...`` and FSYNTH_TRACEBACK=1 leave everything audible.
    """
    if sys.warnoptions or os.environ.get("FSYNTH_TRACEBACK"):
        return
    warnings.simplefilter("ignore")
    for name, value in {
        "BITSANDBYTES_NOWELCOME": "1",
        "DATASETS_VERBOSITY": "critical",  # it logs what it also raises
        "DIFFUSERS_VERBOSITY": "error",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "PYTHONWARNINGS": "ignore",  # for loader workers
    }.items():
        os.environ.setdefault(name, value)
    for name in ("accelerate", "bitsandbytes", "datasets", "huggingface_hub", "open_clip", "peft", "torch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger().setLevel(logging.CRITICAL)  # open_clip tells the root logger what it also raises

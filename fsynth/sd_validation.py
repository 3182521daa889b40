"""Validation while a diffusion model trains: held-out losses of the start and each epoch, the weights kept.

Epochs are compared row by row, with the same noise at the same noise levels (`comparison.compare_losses`).
Even so, of five epochs one has the lowest mean by chance. The last epoch's weights are therefore kept, unless
the rows show that those of the lowest loss are better; the start counts as epoch 0.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from fsynth import checkpoints, outputs
from fsynth.comparison import LEAST_CHANGED, LossComparison, compare_losses
from fsynth.console import is_main_process, say
from fsynth.errors import OutputError, reason

if TYPE_CHECKING:
    from accelerate import Accelerator

    from fsynth.sd_training import HeldOut

NO_ROWS = "no rows are set aside to choose by, and test rows never choose; --val-fraction 0.1 sets some aside"


class Validation:
    """The held-out losses of a run, in every process.

    Args:
        held_out: gives the losses; None where nothing is validated.
        learning: what learns, and is kept.
        folder: the run's.
        set_aside: whether the rows are validation rows, and not test rows, which never choose.
        keep: ``best`` may keep the best epoch's weights in place of the last one's; says why where it cannot.
        patience: epochs without a lower loss after which a run has had enough; 0 is never.
    """

    def __init__(
        self,
        held_out: HeldOut | None,
        learning: Sequence[torch.nn.Module],
        folder: Path,
        *,
        set_aside: bool,
        keep: Literal["best", "last"],
        patience: int,
    ) -> None:
        self.held_out, self.learning, self.log = held_out, learning, folder / "metrics.jsonl"
        self.losses: dict[int, list[float]] = {}
        self.patience = patience
        chooses = held_out is not None and keep == "best" and _can_choose(len(held_out), set_aside)
        self.file = folder / "checkpoints" / "best-epoch.pt" if chooses else None

    def go_on(self) -> None:
        """Of a resumed run: what its log and its kept weights say.

        Raises:
            OutputError: kept weights that are gone or cannot be read.
        """
        for line in self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else ():
            values = json.loads(line)
            if "validation_losses" in values:
                self.losses[values["epoch"]] = values["validation_losses"]
        if self.file is not None:  # its epoch may be later than what the run resumes from
            kept = _read(self.file)
            self.losses[kept["epoch"]] = kept["losses"]

    def see(self, epoch: int, accelerator: Accelerator) -> dict[str, Any]:
        """Try the weights as they are, keep them where they are the best so far; returns what to log.

        Args:
            epoch: from 1; 0 is before the first step.
        """
        if self.held_out is None:
            return {}
        losses = self.losses[epoch] = self.held_out.losses(accelerator)
        if epoch == self.best and self.file is not None and is_main_process():
            state = [checkpoints.state_of(module) for module in self.learning]
            record = {"epoch": epoch, "losses": losses, "weights": state}
            outputs.make_folder(self.file.parent)
            outputs.write_file(self.file, lambda beside: torch.save(record, beside))
        return {"validation_loss": _mean(losses), "validation_losses": losses}

    @property
    def best(self) -> int:
        """The epoch of the lowest mean loss."""
        return min(self.losses, key=lambda epoch: (_mean(self.losses[epoch]), epoch))

    @property
    def exhausted(self) -> bool:
        """Whether the loss has not become lower for as many epochs as patience lasts."""
        return bool(self.patience and self.losses) and max(self.losses) - self.best >= self.patience

    def settle(self) -> int | None:
        """Put the weights in place that are to be saved, in the first process; says which.

        Returns:
            their epoch; None where no rows choose: the last one.
        """
        if self.file is None:
            return None
        last, best = max(self.losses), self.best
        found = compare_losses(self.losses[best], self.losses[last])
        kept = best if found.verdict == "worse" else last
        say(f"kept: the weights {_named(kept)}, {_why(kept, best, found)}")
        if kept == 0:
            say("note: fine-tuning did harm, so the model is as it began; try a lower --lr or more data")
        if kept != last and is_main_process():
            for module, state in zip(self.learning, _read(self.file)["weights"], strict=True):
                checkpoints.put_state(module, state)
        return kept

    def comparison(self, kept: int | None) -> LossComparison | None:
        """The kept epoch against the start, None for the last; None where nothing is validated."""
        if not self.losses:
            return None
        return compare_losses(self.losses[0], self.losses[max(self.losses) if kept is None else kept])

    def remove(self) -> None:
        """For the end: the kept weights are in the model that is written."""
        if self.file is not None and is_main_process():
            self.file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # checkpoints to resume from are there, too
                self.file.parent.rmdir()


def _can_choose(rows: int, set_aside: bool) -> bool:
    few = f"{rows} rows cannot tell epochs apart, {LEAST_CHANGED} can" if rows < LEAST_CHANGED else ""
    problem = few if set_aside else NO_ROWS
    if problem:
        say(f"validation: the last epoch's weights will be kept: {problem}")
    return not problem


def _why(kept: int, best: int, found: LossComparison) -> str:
    if kept != best:
        return f"the last; the rows show no difference from those {_named(best)}, of the lowest loss"
    if found.verdict != "worse":
        return "the last, of the lowest validation loss"
    more = f"{100 * (found.after / found.before - 1):.2f} %"
    return f"of the lowest validation loss; the last epoch's is {more} higher, more than chance makes it"


def _named(epoch: int) -> str:
    return f"of epoch {epoch}" if epoch else "before the first step"


def _mean(losses: Sequence[float]) -> float:
    return sum(losses) / len(losses)


def _read(file: Path) -> dict[str, Any]:
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise OutputError(f"{file} cannot be read ({reason(error)}); start a new run") from None

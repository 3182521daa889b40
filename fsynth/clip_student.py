"""The CLIP model that learns, and what goes along: adapters, the running mean of its weights, validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from fsynth import clip_lora, clip_tuning, clip_validation
from fsynth.clip_model import ClipModel
from fsynth.clip_tuning import Locked
from fsynth.clip_validation import Keep, Validation
from fsynth.console import is_main_process, say
from fsynth.ema import Ema
from fsynth.errors import ConfigError
from fsynth.gallery import Gallery
from fsynth.keyed import seed_of


def choose(
    network: nn.Module,
    rank: int | None,
    lora: Mapping[str, Any],
    *,
    lock: Locked,
    unlock: int,
    freeze_scale: bool,
    ema: float | None,
) -> clip_lora.Plan | None:
    """Hold still what is not to learn, and find where adapters go.

    Args:
        rank: of the adapters; None for none.
        lora: the arguments of `clip_lora.plan`.
        lock, unlock: the arguments of `clip_tuning.lock`.
        ema: decay of the running mean; any will do.

    Raises:
        ConfigError: settings that contradict each other or the towers.
        ModelError: a tower that cannot be locked in part, or adapted.
    """
    given = [name for name, value in lora.items() if value not in (None, False, 0.0, "both")]
    if rank is None and given:
        raise ConfigError(f"lora.{given[0]}: {lora[given[0]]} belongs to adapters; give --lora-rank, too")
    if rank is not None and unlock:
        raise ConfigError(f"tuning.unlock={unlock}: with --lora-rank adapters alone learn; leave one out")
    if rank is not None and lock != "none" and lora["towers"] in ("both", lock):
        other = "text" if lock == "image" else "image"
        raise ConfigError(
            f"tuning.lock={lock}: --lora-rank would adapt that tower; set lora.towers={other}, which alone "
            "learns then"
        )
    clip_tuning.lock(network, lock, unlock)
    if freeze_scale:
        clip_tuning.freeze_scale(network)
    return None if rank is None else clip_lora.plan(network, rank, **lora)


class Student:
    """A model in training. Says what learns.

    Args:
        adapters: what is put into the network, and alone learns then.
        seed: of the run; the adapters start at a function of it.
        decay: of the running mean of the weights, which is scored and saved in their place; None for none.

    Attributes:
        states: what a checkpoint must hold beside network, optimizer and schedule.
    """

    def __init__(
        self, model: ClipModel, adapters: clip_lora.Plan | None, seed: int, decay: float | None
    ) -> None:
        self.model, self.network = model, model.network
        self.adapted = clip_lora.add(self.network, adapters, seed_of(seed, "adapters")) if adapters else None
        self.ema = None if decay is None else Ema(self.network, decay)
        self._largest_scale = clip_tuning.largest_scale(self.network)
        self.states = [self.ema] if self.ema else []
        self._validation: Validation | None = None
        # a process whose share of a batch is padding has no gradient worth a look; the first one has rows
        self._reached = clip_lora.watch(self.network) if adapters and is_main_process() else None
        for line in (clip_lora.describe(adapters), *adapters.notes) if adapters else ():
            say(line)
        say(clip_tuning.describe(self.network))
        if self.ema is not None:
            say(
                f"running mean: of the weights that learn, decay {decay:g} (less in the first steps); it is "
                "scored and saved in their place"
            )

    def validate_on(
        self, gallery: Gallery, run: Path, keep: Keep, workers: int, *, resumed: bool
    ) -> dict[str, Any]:
        """Score the network now and after each epoch on these rows, in this process; returns what to log.

        Args:
            run: the run's folder, where the best weights are kept, and what earlier epochs of a
                resumed run scored stands.
        """
        self._validation = Validation.of(gallery, self.model, self.ema, run, keep, workers)
        found = self._validation.begin()
        if resumed:
            self._validation.go_on(run)
        else:
            self._validation.keep_start()
        say(f"at the start{clip_validation.described(found)}")
        return found

    def after_step(self) -> None:
        """Call it after each optimizer step.

        Raises:
            ModelError: adapters that the first step's gradient did not reach.
        """
        clip_tuning.keep_scale(self.network, self._largest_scale)
        if self.ema is not None:
            self.ema.update()
        if self._reached is not None:
            self._reached.check()

    def after_epoch(self, epoch: int) -> dict[str, Any]:
        """Score the epoch's weights; returns what to log, nothing where nobody validates."""
        return {} if self._validation is None else self._validation.after_epoch(epoch)

    @property
    def epoch(self) -> int | None:
        """Whose weights are kept, once settled; 0 is before the first step, None the last of all."""
        kept = self._validation is not None and self._validation.best is not None
        return self._validation.epoch if kept else None

    def settle(self, run: Path, judge_raw: Callable[[], object]) -> None:
        """Make the network what is to be saved: the weights kept, the running mean if there is one, adapters
        written to RUN/adapter and merged.

        Args:
            judge_raw: called where there is a running mean, before it is put in place of the weights.
        """
        if self._validation is not None:
            self._validation.settle()
        if self.ema is not None:
            judge_raw()
            self.ema.put_in_place()
        if self.adapted is not None:
            folder = clip_lora.save(self.adapted, run / "adapter", self.model.source)
            clip_lora.merge(self.adapted)
            say(f"adapters: {folder} (peft), merged into the model")

    def forget_epochs(self) -> None:
        """Remove the file of the best weights: the run is whole but for its result.json."""
        if self._validation is not None:
            self._validation.remove()

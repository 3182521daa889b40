"""A training run's clock, log and checkpoints, shared by every training command.

The command owns model, loss, evaluation and export, and its loop stays in view:

    with Run.of("sd-train", config) as run:
        unet, optimizer, schedule = run.prepare(unet, optimizer, schedule)
        for batch in run.batches(dataset, batch_size=..., epochs=..., models=[unet]):
            loss = (per_row_loss(unet, batch) * batch["weight"]).sum()
            run.descend(loss, unet, optimizer, schedule)
            if run.ends_epoch:
                run.log(epoch=run.epoch + 1, loss=run.epoch_loss())

Folder: run.yaml (a recipe that repeats the run), metrics.jsonl, checkpoints/, then what the command
writes, and result.json last: its presence means that the run is whole.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from fsynth import checkpoints, loading, outputs, stopping, trackers
from fsynth.console import say
from fsynth.errors import DivergedError
from fsynth.keyed import seed_of
from fsynth.launch import make_accelerator
from fsynth.order import Groups, Kinds, MicroBatch, Order
from fsynth.progress import Progress
from fsynth.settings import dump


class Run:
    """See the module text.

    Args:
        command: e.g. ``sd-train``; names the default folder.
        recipe: the resolved settings as plain values (`config.dump`), written to run.yaml.
        output: new or empty folder; None makes ``runs/<command>-<date>-<n>``.
        resume: folder of an unfinished run to go on with; its settings must equal ``recipe``.
        mirrors: trackers that are told what is logged (`trackers.chosen`), and under which project.
    """

    def __init__(
        self,
        command: str,
        recipe: dict[str, Any],
        *,
        output: Path | None = None,
        seed: int = 0,
        precision: str = "auto",
        checkpoint_every: int = 0,
        resume: Path | None = None,
        mirrors: tuple[Sequence[str], str] = ((), "fsynth"),
    ) -> None:
        self.accelerator = make_accelerator(precision)
        self.device = self.accelerator.device
        self.rank, self.world = self.accelerator.process_index, self.accelerator.num_processes
        self.command, self.seed, self.checkpoint_every = command, seed, checkpoint_every
        self.step = self.epoch = self.steps = 0
        self.ends_step = self.ends_epoch = self._enough = False
        self._loss_sum: torch.Tensor | float = 0.0
        self._step_loss: torch.Tensor | float = 0.0
        self._step_extra: dict[str, float] = {}
        self._rows = self._rows_seen = 0
        self._prepared: list[Any] = []
        self._restored: dict[str, Any] | None = None
        self.last_epoch_loss = math.nan
        self._progress: Progress | None = None
        self._listener = stopping.Listener()
        self._started = time.monotonic()
        recipe = {key: value for key, value in recipe.items() if key not in ("output", "resume")}
        self.folder = self._resume(resume, recipe) if resume else self._begin(command, output, recipe)
        self._mirror = trackers.Mirror(self.folder)
        self._mirrored = (*(mirrors if self.is_main else ((), "")), recipe)

    @classmethod
    def of(cls, command: str, config: Any) -> Run:
        """The run of a training command's config: it has the settings used here, and is the recipe."""
        return cls(
            command,
            dump(config),
            output=config.output,
            seed=config.seed,
            precision=config.precision,
            checkpoint_every=config.checkpoint_every,
            resume=config.resume,
            mirrors=(trackers.chosen(config.tracking.to), config.tracking.project),
        )

    def __enter__(self) -> Run:
        try:
            self._mirror = trackers.Mirror(self.folder, *self._mirrored, self.step)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        """Leave the process group. A run that failed before its first step leaves no folder behind; a later
        one puts on its error what can be done with the folder.

        The process that fails removes it, whichever it is: the others may wait for it where no signal
        reaches them, until the launcher kills them. What a loader worker met is said in our words.
        """
        self._listener.close()
        if self._progress is not None:
            self._progress.close()
        ended = loading.cleared(error)
        error = ended or error
        if kind is None or getattr(error, "code", None) == stopping.CODE:
            self._mirror.finish()
            self.accelerator.end_training()
        elif self.step == 0:
            self._claim.take_back()
        elif isinstance(error, DivergedError):
            pass  # going on with the same settings would lead there again
        elif self.is_main and error is not None and not (self.folder / "result.json").exists():
            reached = f"step {self.step} of {self.steps}" if self.steps else f"step {self.step}"
            error.add_note(checkpoints.prospects(self.folder, self.command, reached))
        if ended is not None:
            raise ended from None

    # ---------------------------------------------------------------------------------- the folder

    def _begin(self, command: str, output: Path | None, recipe: dict[str, Any]) -> Path:
        claim = outputs.claim_folder(output, command) if self.is_main else None
        self._claim = self.same_everywhere(claim)
        self.accelerator.wait_for_everyone()  # all have checked that it is empty before one fills it
        if self.is_main:
            outputs.write_text(self._claim.folder / "run.yaml", yaml.safe_dump(recipe, sort_keys=False))
        self.accelerator.wait_for_everyone()
        return self._claim.folder

    def _resume(self, folder: Path, recipe: dict[str, Any]) -> Path:
        checkpoints.check_resumable(folder)
        checkpoints.check_same(folder, recipe)
        self._restored = checkpoints.newest(folder)
        self.step = self._restored["step"]
        if self.is_main:
            checkpoints.drop_log_after(folder, self.step)
            (folder / stopping.MARKER).unlink(missing_ok=True)
        self.accelerator.wait_for_everyone()
        say(f"resuming {folder} after step {self.step}")
        return folder

    # ---------------------------------------------------------------------------------- the models

    def prepare(self, *things: Any) -> tuple[Any, ...]:
        """Wrap models and optimizers for this launch, and restore all of them when resuming.

        What else has a state, learning-rate schedules and running means, passes through: `descend` steps
        schedules once an optimizer step, on any number of processes.
        """
        wrap = (torch.nn.Module, torch.optim.Optimizer)
        wrapped = tuple(
            self.accelerator.prepare(thing) if isinstance(thing, wrap) else thing for thing in things
        )
        self._prepared = list(wrapped)
        if self._restored is not None:
            things = [self._inside(thing) for thing in wrapped]
            checkpoints.restore(self._restored, things, self.accelerator.scaler)
            self._loss_sum = self._restored["loss_sum"] if self.is_main else 0.0
            self._rows_seen = self._restored["rows_seen"]
            self.last_epoch_loss = self._restored["last_epoch_loss"]
        return wrapped

    def unwrap(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model itself, without the wrappers of the launch: for the end, since it also ends autocast."""
        return self.accelerator.unwrap_model(model, keep_fp32_wrapper=False)

    def _inside(self, thing: Any) -> Any:
        """A model in the wrapper of its autocast, without that of the launch; other things as they are."""
        if not isinstance(thing, torch.nn.Module):
            return thing
        return self.accelerator.unwrap_model(thing, keep_fp32_wrapper=True)

    # ---------------------------------------------------------------------------------- the clock

    @property
    def is_main(self) -> bool:
        return self.accelerator.is_main_process

    def same_everywhere(self, value: Any) -> Any:
        """The main process' value, in every process."""
        if self.world == 1:
            return value
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def batches(
        self,
        dataset: Any,
        *,
        batch_size: int,
        epochs: int,
        models: Sequence[torch.nn.Module],
        micro_batch: int | None = None,
        groups: Groups | Kinds | None = None,
        workers: int = 0,
        title: str = "training",
    ) -> Iterator[dict[str, Any]]:
        """This process' micro-batches, from where the run is to its end.

        ``dataset`` has a length and is indexed with an `order.Pick`; it returns a dict, collated as torch
        does. Each batch gains ``weight`` (B,) as `order.Pick` defines it; ``groups`` keeps rows that are
        alike apart, or of kinds that differ. While a batch is out, ``step`` (from 1) and ``epoch`` (from 0)
        say where the run is, ``ends_step`` and ``ends_epoch`` what comes after.
        """
        plan = Order(len(dataset), batch_size, epochs, self.seed, self.rank, self.world, micro_batch, groups)
        self.steps = plan.steps
        if self.step == 0:
            self.log(steps=plan.steps)  # what the steps of an unfinished run are out of
            self.accelerator.wait_for_everyone()  # who fails in the first step removes the folder
        _train(models)
        self._listener.open()
        progress = self._progress = Progress.of(
            self.accelerator, title, self.step, plan.steps, workers, models
        )
        for micro, batch in () if self._enough else progress.timed(self._load(dataset, plan, workers)):
            self._at(micro)
            with self._unsynchronised(() if micro.ends_step else models):
                yield self._to_device(batch)
            if micro.ends_step:
                self._after_step(progress)
            if self._enough:
                break
            if micro.ends_epoch:
                _train(models)  # an evaluation at the end of the epoch may have left them in eval mode
        self._listener.close()
        progress.close()
        progress.sum_up()

    def end_early(self, enough: bool) -> None:
        """Make no step after this one, if the main process has had enough. Every process calls it."""
        self._enough = self.same_everywhere(enough)

    def _load(self, dataset: Any, plan: Order, workers: int) -> Iterator[tuple[MicroBatch, dict[str, Any]]]:
        loader = torch.utils.data.DataLoader(
            loading.Picked(dataset),
            batch_sampler=loading.Shares(plan, self.step),
            num_workers=workers,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=stopping.survive_signals,
        )
        return zip(plan.from_step(self.step), loader, strict=True)

    def _at(self, micro: MicroBatch) -> None:
        self._rows, self.step, self.epoch = micro.rows, micro.step + 1, micro.epoch
        self.ends_step, self.ends_epoch = micro.ends_step, micro.ends_epoch
        if micro.part == 0:
            self._progress.begin()
        self._seed_layers(micro.part)

    def _seed_layers(self, part: int) -> None:
        torch.manual_seed(seed_of(self.seed, "layers", self.step - 1, part))

    @contextlib.contextmanager
    def _unsynchronised(self, models: Sequence[torch.nn.Module]) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for model in models:
                stack.enter_context(self.accelerator.no_sync(model))
            yield

    def _to_device(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {
            key: value.to(self.device, non_blocking=True) if torch.is_tensor(value) else value
            for key, value in batch.items()
        }

    def _after_step(self, progress: Progress) -> None:
        progress.made(self._rows)
        if self._log_due():
            loss = self._finite(self._reduced(self._step_loss))
            figures = progress.figures()
            progress.show(loss, self._step_extra.get("lr"), figures)
            self.log(loss=loss, **self._step_extra, **figures)
        self._step_loss = 0.0
        number = self._listener.heard_anywhere(self.world)
        due = self.checkpoint_every and self.step % self.checkpoint_every == 0 and self.step < self.steps
        if due or number:
            progress.leave()
            self._save_checkpoint()
            progress.back()
        if number:
            raise stopping.stopped(number, self.folder, self.command, self.step, self.steps)

    def _log_due(self) -> bool:
        # reading a loss makes a GPU wait, so not at every step of a long run
        every = max(1, self.steps // 500)
        return self.step % every == 0 or self.step == self.steps or self._enough

    # ---------------------------------------------------------------------------------- the step

    def descend(
        self,
        loss: torch.Tensor,
        model: torch.nn.Module,
        optimizer: Any,
        schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
        clip: float = 1.0,
        parts: Sequence[Callable[[], torch.Tensor]] = (),
    ) -> None:
        """Backward; at the end of a step also clip, step, schedule and zero.

        ``loss`` is this process' part as `order.Pick.weight` makes it. Gradients are clipped to the global
        norm ``clip`` over the trainable parameters of ``model``; 0 leaves them as they are.

        A loss that is computed from all micro-batches of a step comes at its end with ``parts``: a function
        for each micro-batch, called under the draws of that micro-batch (dropout), whose result is
        back-propagated instead.
        """
        if parts:
            self._backward_in_parts(parts, model)
        else:
            self.accelerator.backward(loss)
        part = loss.detach().float() / self.world
        self._step_loss = self._step_loss + part
        self._loss_sum = self._loss_sum + part * self._rows
        if not self.ends_step:
            return
        self._rows_seen += self._rows
        parameters = [value for value in model.parameters() if value.requires_grad]
        if clip:
            self.accelerator.clip_grad_norm_(parameters, clip)
        optimizer.step()
        if schedule is not None and not self.accelerator.optimizer_step_was_skipped:
            self._step_extra = {"lr": schedule.get_last_lr()[0]}
            schedule.step()
        optimizer.zero_grad(set_to_none=True)
        self._progress.end(self._rows / self.world, leaves=self.ends_epoch)

    def _backward_in_parts(self, parts: Sequence[Callable[[], torch.Tensor]], model: torch.nn.Module) -> None:
        for number, part in enumerate(parts, 1):
            self._seed_layers(number - 1)
            with self._unsynchronised(() if number == len(parts) else [model]):
                self.accelerator.backward(part())

    def epoch_loss(self) -> float:
        """Mean loss over the rows seen since the last call: the whole epoch, when called at its end."""
        mean = self._finite(self._reduced(self._loss_sum) / max(1, self._rows_seen))
        self._loss_sum, self._rows_seen = 0.0, 0
        self.last_epoch_loss = mean
        return mean

    def _finite(self, loss: float) -> float:
        if math.isfinite(loss):
            return loss
        raise DivergedError(
            f"the loss is {loss} at step {self.step}; lower --lr, or use --precision no; "
            f"{self.folder} holds no finished model"
        )

    def _reduced(self, value: torch.Tensor | float) -> float:
        return self.accelerator.reduce(torch.as_tensor(value, device=self.device), "sum").item()

    # ---------------------------------------------------------------------------------- the records

    def log(self, **values: Any) -> None:
        """Append a line to metrics.jsonl: step, seconds since the start, and the values."""
        if not self.is_main:
            return
        row = {"step": self.step, "seconds": round(time.monotonic() - self._started, 2), **values}
        with open(self.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(row, default=str) + "\n")
        self._mirror.log(row)

    def show(self, title: str, pictures: Sequence[Path]) -> None:
        """Show drawn pictures where the log is mirrored."""
        self._mirror.show(title, pictures, self.step)

    def finish(self, result: dict[str, Any]) -> None:
        """Write result.json: the run is whole. Every process calls it."""
        self.accelerator.wait_for_everyone()
        if self.is_main:
            outputs.make_durable(self.folder)  # all that result.json vouches for
            outputs.write_json(self.folder / "result.json", result)
        self.accelerator.wait_for_everyone()

    def _save_checkpoint(self) -> None:
        loss_sum = self._finite(self._reduced(self._loss_sum))  # nobody can go on from weights that are NaN
        if self.is_main:
            things = [self._inside(thing) for thing in self._prepared]
            told = {"rows_seen": self._rows_seen, "last_epoch_loss": self.last_epoch_loss}
            scaler = self.accelerator.scaler
            checkpoints.save(self.folder, self.step, things, scaler, loss_sum=loss_sum, **told)
        self.accelerator.wait_for_everyone()


def _train(models: Sequence[torch.nn.Module]) -> None:
    for model in models:
        model.train()

"""What stands around the loop of a Stable Diffusion training run: encoding, held-out losses, a watch.

The accelerator comes from the caller; with several processes each takes its share, and all get the result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import default_collate

from fsynth import nearest, outputs, samples, sampling, sd_memory, sd_model
from fsynth.console import say, shortened
from fsynth.errors import DivergedError, reason
from fsynth.keyed import seed_of
from fsynth.sd_buckets import Size
from fsynth.sd_captions import Captions
from fsynth.sd_rows import HeldOutRows, Moments, Pictures

if TYPE_CHECKING:
    from accelerate import Accelerator
    from diffusers import DiffusionPipeline
    from transformers import CLIPTokenizer

PICTURE_STEPS, PICTURE_GUIDANCE = 30, 7.5
PICTURES_AT_ONCE = 4
"""After training the optimizer's state is in memory too."""


def _named(names: Sequence[str], indexes: Sequence[int]) -> str:
    shown = ", ".join(names[index] for index in indexes[:3])
    return shown if len(indexes) <= 3 else f"{shown} and {len(indexes) - 3} more"


def say_cut_captions(pictures: Pictures, tokenizer: CLIPTokenizer) -> None:
    """Name the captions that are longer than what the model reads."""
    captions = list(dict.fromkeys(pictures.texts))
    most = tokenizer.model_max_length
    lengths = [len(ids) for ids in tokenizer(captions, verbose=False).input_ids]
    cut = [caption for caption, length in zip(captions, lengths, strict=True) if length > most]
    if cut:
        say(
            f"note: {len(cut)} of {len(captions)} different captions are longer than the {most} tokens that "
            f"the model reads and lose their end, first {shortened(cut[0])!r}"
        )


class LossWatch:
    """Stops a run whose loss is not a number, with the names of the rows."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._seen: list[tuple[Tensor, Tensor]] = []

    def see(self, losses: Tensor, index: Tensor, step: int, steps: int) -> None:
        """Take the losses (B,) of rows (B,) of a step, from 1; look at them some 500 times a run, no more:
        a GPU waits for it.

        Raises:
            DivergedError: when some losses are not finite.
        """
        self._seen.append((losses.detach(), index))
        if step % max(1, steps // 500) and step != steps:
            return
        values, rows = (torch.cat(parts).cpu() for parts in zip(*self._seen, strict=True))
        self._seen.clear()
        if broken := sorted(set(rows[~values.isfinite()].tolist())):
            raise DivergedError(
                f"the loss is not finite at step {step}: {_named(self.names, broken)}; lower --lr, or use "
                "--precision no; the run is left without a model"
            )


class HeldOut:
    """Losses of held-out rows: the same rows, noise, timesteps and seeds in every run.

    The loss is the plain one, mean squared errors at evenly spread timesteps, whatever is trained: runs of
    other weightings, losses and draws compare. Those of another noise schedule (zero terminal SNR) do not:
    their errors are of other noisy pictures.

    Args:
        pictures: the held-out rows.
        moments: of the pictures.
        noise_levels: at how many timesteps a row is tried.
        batch_size: rows at a time in each process.
    """

    def __init__(
        self,
        pictures: Pictures,
        moments: Moments,
        pipeline: DiffusionPipeline,
        noise_levels: int,
        batch_size: int,
    ) -> None:
        self.pictures, self.noise_levels = pictures, noise_levels
        captions = Captions(pipeline, pictures.texts)
        self.objective = sd_model.Objective(pipeline, captions)
        timesteps = pipeline.scheduler.config.num_train_timesteps
        rows = HeldOutRows(pictures, captions, moments, timesteps, noise_levels)
        self.count = len(rows)
        self.batches = [
            (places, default_collate([rows[place] for place in places]))
            for places in rows.batches(batch_size)
        ]

    def __len__(self) -> int:
        return self.count // self.noise_levels

    @torch.no_grad()
    def losses(self, accelerator: Accelerator) -> list[float]:
        """Of each row, the mean over its noise levels; in every process.

        Raises:
            DivergedError: when one is not finite.
        """
        found = torch.zeros(self.count, device=accelerator.device)
        for encoder in self.objective.family.encoders:
            encoder.eval()
        denoiser = self.objective.family.denoiser.eval()
        for places, rows in self.batches[accelerator.process_index :: accelerator.num_processes]:
            batch = {key: value.to(accelerator.device) for key, value in rows.items()}
            found[places] = self.objective(denoiser, batch)  # the prepared one is in autocast as in training
        losses = accelerator.reduce(found, "sum").view(-1, self.noise_levels).double().mean(1)
        if not losses.isfinite().all():
            raise DivergedError("the validation loss is not finite; lower --lr, or use --precision no")
        return losses.tolist()


def prompts_of(pictures: Pictures, most: int) -> dict[str, Size]:
    """The first different sentences of some rows, each with the size of its first picture."""
    found: dict[str, Size] = {}
    for text, size in zip(pictures.texts, pictures.targets, strict=True):
        if len(found) < most:
            found.setdefault(text, size)
    return found


def draw_pictures(
    pipeline: DiffusionPipeline,
    prompts: Mapping[str, Size],
    folder: Path,
    *,
    when: str,
    size: int,
    model: str,
    base: str,
    drawn: bool,
    at_once: int = PICTURES_AT_ONCE,
) -> list[Path]:
    """Write ``<folder>/<when>-<n>.png`` of each prompt in its size, and their rows in samples.jsonl; returns
    the files.

    The seed of a picture depends on its prompt alone, so pictures of before and after, and of other runs,
    compare. ``size`` is the resolution for the records. ``base`` and ``drawn`` are those of the model's
    `lineage.Lineage`; they tell a scorer which network should judge.
    """
    if not prompts:
        return []
    outputs.make_folder(folder)
    family = sd_model.family(pipeline)
    for part in (family.denoiser, *family.encoders):
        part.eval()
    wanted = [
        samples.Wanted(f"{when}-{number}.png", text, 0, seed_of("sd-train", "picture", text))
        for number, text in enumerate(prompts, start=1)
    ]
    settings = {"steps": PICTURE_STEPS, "guidance_scale": PICTURE_GUIDANCE, "size": size}
    for shape in sorted(set(prompts.values())):
        alike = [row for row in wanted if prompts[row.text] == shape]
        how = {**settings, "size": shape, "batch_size": at_once}
        for row, picture in sampling.generate(pipeline, alike, **how):
            samples.write_picture(folder, row, picture, {"when": when, "model": model})
    index = folder / samples.ROWS
    kept = index.read_text(encoding="utf-8").splitlines() if index.exists() else []
    lines = [json.dumps({**asdict(row), "when": when}) for row in wanted]
    outputs.write_json(folder / samples.SHARED, {**settings, "model": model, "base": base, "drawn": drawn})
    outputs.write_text(index, "".join(f"{line}\n" for line in dict.fromkeys([*kept, *lines])))
    return [folder / row.file_name for row in wanted]


def pictures_at_once(pipeline: DiffusionPipeline, prompts: Mapping[str, Size], later: float) -> int:
    """How many pictures can be drawn at a time while a model trains, 0 for none: tried in two steps each,
    where memory is a GPU's, so that no run ends at its first pictures. Says where there are none.

    Args:
        later: bytes that the optimizer will hold.
    """
    if not prompts or not sd_memory.is_measured(pipeline.device):
        return PICTURES_AT_ONCE
    size = max(prompts.values(), key=lambda size: size[0] * size[1])
    wanted = [samples.Wanted("", next(iter(prompts)), 0, 0)] * PICTURES_AT_ONCE

    def attempt(count: int) -> None:
        settings = {"steps": 2, "guidance_scale": PICTURE_GUIDANCE, "size": size, "batch_size": count}
        for _ in sampling.generate(pipeline, wanted[:count], **settings):
            pass

    with sd_memory.reserved(later, pipeline.device):
        fits = sd_memory.largest(PICTURES_AT_ONCE, attempt) or 0
    if not fits:
        say("note: the GPU's memory is too small to draw a picture beside training; none is drawn")
    return fits


class Shows(Protocol):
    """What pictures are drawn for: a run."""

    folder: Path

    def show(self, when: str, files: list[Path]) -> None: ...


class Drawing:
    """Pictures of the same prompts before and after training, in RUN/samples.

    Args:
        prompts: none where nothing is to be drawn, as in all but the first process.
        later: bytes that the optimizer will hold.
        about: the other arguments of `draw_pictures`, but for ``when`` and ``at_once``.
    """

    def __init__(
        self, pipeline: DiffusionPipeline, prompts: Mapping[str, Size], run: Shows, later: float, **about: Any
    ) -> None:
        self.pipeline, self.prompts, self.run, self.about = pipeline, prompts, run, about
        self.at_once = pictures_at_once(pipeline, prompts, later)

    def before(self) -> None:
        self._draw("before")

    def after(self) -> None:
        """The model is saved: nothing that goes wrong here may cost it."""
        try:
            self._draw("after")
        except Exception as error:
            advice = "the model is saved: draw some with fsynth sample"
            say(f"note: no pictures after training ({reason(error)}); {advice}")

    def compare(self, training: Pictures, held_out: HeldOut | None) -> None:
        """Find the training pictures that are nearest to the drawn ones. As `after`: the model is saved."""
        if not self.prompts or held_out is None:
            return
        try:
            nearest.say_found(nearest.write(self.run.folder, training, held_out.pictures))
        except Exception as error:
            say(f"note: no training pictures were compared with the drawn ones ({reason(error)})")

    def _draw(self, when: str) -> None:
        folder = self.run.folder
        about = {
            **self.about,
            "model": f"{self.about['model']}, {when} {folder.name}",
            "at_once": self.at_once,
        }
        if self.prompts and self.at_once:
            files = draw_pictures(self.pipeline, self.prompts, folder / "samples", when=when, **about)
            self.run.show(when, files)

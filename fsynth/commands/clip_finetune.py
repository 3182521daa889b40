"""`fsynth clip-finetune`: teach a CLIP model the pictures and their sentences, and show whether it learnt."""

from __future__ import annotations

import dataclasses
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fsynth import (
    caption_groups,
    class_folders,
    clip_folder,
    clip_lora,
    clip_model,
    clip_recipe,
    clip_rows,
    clip_student,
    clip_tuning,
    clip_validation,
    logit_bias,
    outputs,
    retrieval_pictures,
    trackers,
    wise_ft,
)
from fsynth.accumulation import Accumulation
from fsynth.blending import Blending
from fsynth.caption_groups import CaptionGroups
from fsynth.checkpoints import check_place, weights_signature
from fsynth.class_pictures import ClassPictures
from fsynth.clip_model import ClipModel
from fsynth.clip_student import Student
from fsynth.clip_validation import Keep
from fsynth.comparison import Comparison
from fsynth.config import ClipFinetuneConfig
from fsynth.console import say
from fsynth.data.augmentation import Augmentation
from fsynth.data.sources import Source, open_source
from fsynth.errors import FsynthError
from fsynth.exam import Exam, SideBySide
from fsynth.gallery import Gallery
from fsynth.order import Groups, Order, choose_rows
from fsynth.retrieval import Scores
from fsynth.run import Run
from fsynth.settings import flag_name
from fsynth.short_text import ShortText

GALLERY_SEED = 0
"""The run's seed does not choose the held-out rows: scores compare between runs."""

TOLD = ("loss", "group_by", "lr", "epochs", "batch_size", "lora_rank", "seed")
"""Settings that a model carries with it."""

RAW = "without mean"
"""What the last weights are called beside their running mean, which is saved."""

NAMES = {"lr": "learning rate", "epochs": "epochs", "batch_size": "batch size"}


@dataclass(frozen=True)
class ClipFinetuneResult:
    """``before`` and ``after``: protocol -> direction -> name -> number, on the same held-out rows;
    ``bounds``: their chance and ceiling. ``comparison`` says whether these rows show a difference.
    ``loss`` is the last epoch's mean. ``blend`` is the share of the fine-tuned weights in what was written,
    where blends were tried, ``epoch`` the one whose weights were kept: 0 is before the first step, None the
    last where no rows chose."""

    folder: Path
    model: str
    synthetic: bool
    drawn: bool
    processes: int
    pairs: int
    steps: int
    loss: float
    n_samples: int
    distinct_captions: int
    seed: int
    bounds: Scores
    before: Scores
    after: Scores
    comparison: Comparison
    blend: float | None
    epoch: int | None
    seconds: float


def main(config: ClipFinetuneConfig) -> ClipFinetuneResult | None:
    """Fine-tune and write RUN/model, an open_clip folder, and RUN/scores.json.

    Returns:
        paths and scores; None in all but the first process of a launch.

    Raises:
        ConfigError: settings that the data do not allow.
        DataError: pictures that are missing or cannot be read.
        ModelError: a model that is unknown, broken or cannot be fetched.
        OutputError: an output folder that is not empty, a run that cannot be resumed.
        FsynthError: a loss that is not finite, weights that did not change.
    """
    started = time.monotonic()
    check_place("clip-finetune", config.output, config.resume)
    trackers.chosen(config.tracking.to)
    shares = wise_ft.parse(config.wise_ft) if config.wise_ft is not None else ()
    elsewhere = class_folders.open_given(config.zero_shot, config.zero_shot_samples)
    source = open_source(**config.source())
    source.need_pictures()
    source.need_rows(config.n_images, config.stratify)
    source.check_rows(config.fingerprint)
    if shares:
        wise_ft.need_rows(len(source.validation or ()) if config.validation.rows else 0)
    _augmentation(config).check(_texts(source, _rows(config, source)))
    model = clip_model.load(_model_name(config, source))
    adapters = _choose_weights(config, model)
    source.announce()
    if elsewhere is not None:
        say(elsewhere.describe())
    say(f"model: {model.describe()}")
    config = _resolve(config, source, model.source)
    with Run.of("clip-finetune", config) as run:
        source.record_dropped(run.folder)
        result = _finetune(config, source, elsewhere, shares, model, adapters, run)
        if result is not None:
            result = dataclasses.replace(result, seconds=round(time.monotonic() - started, 1))
        run.finish(dataclasses.asdict(result) if result else {})
    return result


def _finetune(
    config: ClipFinetuneConfig,
    source: Source,
    elsewhere: ClassPictures | None,
    shares: Sequence[float],
    model: ClipModel,
    adapters: clip_lora.Plan | None,
    run: Run,
) -> ClipFinetuneResult | None:
    rows, augmentation = _rows(config, source), _augmentation(config)
    chosen = Gallery.choose(source.test, config.n_samples, GALLERY_SEED, config.group_by)
    chosen = chosen.trained_on(_texts(source, rows))
    groups = caption_groups.find(_texts(source, rows), config.group_by)
    pairs = clip_rows.Pairs(source.train, rows, model, config.seed, groups, augmentation)
    together = _dealt(config, groups)
    for line in caption_groups.describe(groups, config.batch_size):
        say(line)
    for line in augmentation.describe(_texts(source, rows)):
        say(line)
    network = model.network.to(run.device)
    if config.loss == "siglip-multi":
        _ensure_bias(config, model, pairs, together)
    judged = SideBySide(chosen, Exam.of(chosen, elsewhere), config.workers)
    watched, blending = _validation_gallery(config, source), None
    if run.is_main:
        judged.judge("before", model)
    if run.is_main and shares:
        blending = Blending(model, shares, watched, Exam.of(watched, elsewhere), config.workers)
    student = Student(model, adapters, config.seed, config.tuning.ema)
    if run.is_main and watched:
        resumed = run.step > 0
        at_start = student.validate_on(watched, run.folder, _keep(config), config.workers, resumed=resumed)
        if not resumed:
            run.log(epoch=0, **at_start)
    start = weights_signature(network)

    loss = _learn(config, pairs, together, student, run)

    if weights_signature(network) == start:
        raise FsynthError(f"the weights did not change in {run.steps} steps; --lr {config.lr:g} does nothing")
    if not run.is_main:
        return None
    student.settle(run.folder, lambda: judged.judge(RAW, model))
    blend = None
    if blending is not None:
        judged.judge("fine-tuned", model)
        blend = blending.settle(run.folder).share
    taken = {"epoch": student.epoch, "wise_ft": blend}
    reloaded = _save(run, model, chosen, _training(config, source, run, len(pairs), taken))
    judged.judge("after", reloaded)
    comparisons = judged.comparisons()
    comparison = comparisons[-1]
    _write_scores(run.folder, source, model, judged, comparisons)
    retrieval_pictures.write(run.folder, chosen, judged.found, drawn=source.drawn, pictures=config.pictures)
    say(f"\n{judged.tables()}")
    if blend is not None:
        say(f"after: the blend {blend:g} of before (0) and fine-tuned (1), chosen on validation pairs")
    advice = "; try a lower --lr or fewer --epochs" if comparison.verdict == "worse" else ""
    say(f"\n{comparison.text()}{advice}\n{comparison.details()}")
    if lost := judged.lost():
        say(f"{lost}; --wise-ft 0,0.1,...,1 may keep more of it")
    say(retrieval_pictures.where(run.folder))
    say(f"model: {run.folder / 'model'} (an open_clip folder: local-dir:{run.folder / 'model'})")
    student.forget_epochs()  # last: a run that is stopped before takes them up again
    return ClipFinetuneResult(
        folder=run.folder,
        model=model.source,
        synthetic=source.synthetic,
        drawn=source.drawn,
        processes=run.world,
        pairs=len(pairs),
        steps=run.steps,
        loss=loss,
        n_samples=len(chosen.rows),
        distinct_captions=len(chosen.captions.sentences),
        seed=chosen.seed,
        bounds=chosen.bounds(),
        before=judged.found["before"].scores,
        after=judged.found["after"].scores,
        comparison=comparison,
        blend=blend,
        epoch=student.epoch,
        seconds=0.0,
    )


def _learn(
    config: ClipFinetuneConfig, pairs: clip_rows.Pairs, groups: Groups | None, student: Student, run: Run
) -> float:
    """The loop; returns the mean loss of the last epoch."""
    network, settings = student.network, config.optimizer
    optimizer, schedule = _optimizer(config, network, len(pairs), run)
    still = clip_tuning.held_still(network)
    others = (optimizer, schedule, *student.states)
    wrapped, optimizer, schedule, *_ = run.prepare(ShortText(network), *others)
    if config.memory.compile:
        clip_tuning.compile_training(network)
    accumulation, micro = Accumulation(wrapped, config.loss), config.memory.micro_batch
    sizes: dict[str, Any] = {"batch_size": config.batch_size, "micro_batch": micro, "epochs": config.epochs}
    for batch in run.batches(pairs, models=[wrapped], groups=groups, workers=config.workers, **sizes):
        for layer in still:
            layer.eval()
        if not run.ends_step:
            accumulation.add(batch)
            continue
        total, parts = accumulation.finish(batch)
        run.descend(total, wrapped, optimizer, schedule, settings.max_grad_norm, parts)
        student.after_step()
        if run.ends_epoch:
            loss = run.epoch_loss()
            found = student.after_epoch(run.epoch + 1)
            scale = network.logit_scale.exp().item()
            run.log(epoch=run.epoch + 1, epoch_loss=loss, logit_scale=scale, **found)
            said = clip_validation.described(found)
            say(f"epoch {run.epoch + 1} of {config.epochs}: loss {loss:.4f}{said}")
            run.accelerator.wait_for_everyone()  # the first process alone validates
    return run.last_epoch_loss


def _optimizer(config: ClipFinetuneConfig, network: torch.nn.Module, pairs: int, run: Run) -> tuple[Any, Any]:
    """AdamW and its schedule, said."""
    settings = config.optimizer
    steps = -(-pairs // config.batch_size) * config.epochs
    say(
        f"steps: {steps} of {config.batch_size} pairs over all processes; precision "
        f"{run.accelerator.mixed_precision}"
    )
    optimizer = clip_tuning.make_optimizer(network, config.lr, settings.weight_decay, settings.layer_decay)
    warmup = math.ceil(settings.warmup * steps)
    for line in clip_tuning.describe_rates(optimizer, steps, warmup):
        say(line)
    return optimizer, clip_tuning.make_schedule(optimizer, steps, warmup)


# --------------------------------------------------------------------------------------------------
# before the first step


def _model_name(config: ClipFinetuneConfig, source: Source) -> str:
    """What is given or the default; paths made absolute, for run.yaml."""
    return clip_folder.absolute(
        config.model or (clip_folder.TINY if source.synthetic else clip_folder.DEFAULT)
    )


def _rows(config: ClipFinetuneConfig, source: Source) -> list[int]:
    """Positions in the training split."""
    return choose_rows(len(source.train), config.n_images, config.seed, source.strata(config.stratify))


def _texts(source: Source, rows: list[int]) -> list[str]:
    return source.train.select_columns(["text"])[rows]["text"]


def _dealt(config: ClipFinetuneConfig, captions: CaptionGroups) -> Groups | None:
    """How pairs of one caption group are kept apart, said."""
    most = config.batches.twins
    if most is None:
        most = max(2, config.batch_size // 16)
    if most == 0:
        return None
    groups = Groups(tuple(captions.row_groups.tolist()), most)
    say(
        f"batches: at most {most} pairs of a caption group in one (--set batches.twins=N); an epoch shows "
        f"{100 * groups.coverage(config.batch_size):.4g} % of the pairs"
    )
    return groups


def _ensure_bias(
    config: ClipFinetuneConfig, model: ClipModel, pairs: clip_rows.Pairs, groups: Groups | None
) -> None:
    first = Order(len(pairs), config.batch_size, 1, config.seed, groups=groups).from_step(0)
    if logit_bias.ensure(model, pairs, next(first).picks):
        scale, bias = model.network.logit_scale.exp().item(), model.network.logit_bias.item()
        say(
            f"logit bias: {bias:.2f}, which the sigmoid needs and the model had not; with its scale of "
            f"{scale:.4g} as many pairs of the first batch are called right as are right"
        )


def _augmentation(config: ClipFinetuneConfig) -> Augmentation:
    return Augmentation(config.seed, **dataclasses.asdict(config.augment))


def _validation_gallery(config: ClipFinetuneConfig, source: Source) -> Gallery | None:
    if source.validation is None and config.validation.rows and config.validation.keep == "best":
        say("validation: no rows, so the last epoch's weights are kept; --val-fraction sets some aside")
    if source.validation is None or not config.validation.rows:
        return None
    rows = min(config.validation.rows, len(source.validation))
    return Gallery.choose(source.validation, rows, GALLERY_SEED, config.group_by)


def _keep(config: ClipFinetuneConfig) -> Keep:
    """Of blends with the start, which the start can win, the other end is always one that learnt."""
    return "best epoch" if config.wise_ft and config.validation.keep == "best" else config.validation.keep


def _choose_weights(config: ClipFinetuneConfig, model: ClipModel) -> clip_lora.Plan | None:
    """What learns and where adapters go; what cannot be is refused here, before anything is said."""
    tuning, memory = dataclasses.asdict(config.tuning), config.memory
    clip_tuning.check(config.optimizer.warmup, compiles=memory.compile)
    adapters = clip_student.choose(model.network, config.lora_rank, dataclasses.asdict(config.lora), **tuning)
    if memory.checkpointing:
        clip_tuning.compute_again(model.network)
    return adapters


def _resolve(config: ClipFinetuneConfig, source: Source, model: str) -> ClipFinetuneConfig:
    """Every derived value, said; run.yaml holds the result, so it repeats this very run."""
    pairs = config.n_images or len(source.train)
    given = {name: getattr(config, name) for name in NAMES}
    tiny, adapters = model == clip_model.TINY, config.lora_rank is not None
    values, reasons = clip_recipe.values(given, pairs, tiny, adapters)
    for name, reason in reasons.items():
        shown = f"{values[name]:.1e}" if name == "lr" else f"{values[name]}"
        say(f"{NAMES[name]}: {shown}, {reason} ({flag_name(name)})")
    if values["batch_size"] > pairs:
        say(f"batch size: {pairs}, all pairs there are, instead of {values['batch_size']} (--batch-size)")
        values["batch_size"] = pairs
    return dataclasses.replace(
        config,
        data=source.setting,
        fingerprint=source.fingerprint,
        password_file=config.password_file.resolve() if config.password_file else None,
        zero_shot=class_folders.absolute(config.zero_shot),
        model=model,
        **values,
    )


# --------------------------------------------------------------------------------------------------
# after the last step


def _save(run: Run, model: ClipModel, chosen: Gallery, training: dict[str, Any]) -> ClipModel:
    """Write RUN/model, and load it as a user will."""
    folder = run.folder / "model"
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was stopped while it was evaluated
    pictures = clip_model.Pictures(chosen.dataset, chosen.rows[:8], model.transform())
    return model.save_checked(folder, pictures, chosen.captions.sentences[:8], training)


def _training(
    config: ClipFinetuneConfig, source: Source, run: Run, pairs: int, taken: dict[str, float | None]
) -> dict[str, Any]:
    """What the model's record says of this run and the weights ``taken``; no places of this machine."""
    kind = source.what.partition(",")[0]  # what follows are files
    data = {"data": kind, "drawn": source.drawn, "rows": source.fingerprint, "pairs": pairs}
    known = {name: value for name, value in taken.items() if value is not None}
    return {**data, "steps": run.steps, **known, **{name: getattr(config, name) for name in TOLD}}


def _write_scores(
    folder: Path,
    source: Source,
    model: ClipModel,
    judged: SideBySide,
    comparisons: Sequence[Comparison],
) -> None:
    said = {"before": model.source, RAW: "not kept", "fine-tuned": "not kept", "after": "model"}
    about = {name: {"model": said[name], "preprocessing": model.preprocessing} for name in judged.found}
    record = judged.record(f"{source.describe}; {source.rows}", about, comparisons)
    outputs.write_json(folder / "scores.json", record)

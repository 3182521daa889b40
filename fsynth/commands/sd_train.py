"""`fsynth sd-train`: fine-tune Stable Diffusion, whole or by LoRA, and show whether it learnt."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fsynth import (
    lineage,
    optimizers,
    sd_choices,
    sd_folder,
    sd_memory,
    sd_model,
    sd_moments,
    sd_student,
    sd_text,
    trackers,
)
from fsynth.checkpoints import check_place, weights_signature
from fsynth.comparison import LossComparison
from fsynth.config import SDTrainConfig
from fsynth.console import counted, say
from fsynth.data.augmentation import Augmentation
from fsynth.data.sources import Source, open_source
from fsynth.errors import ConfigError, FsynthError, ModelError
from fsynth.launch import resolve_precision
from fsynth.order import Order, choose_rows
from fsynth.run import Run
from fsynth.sd_buckets import Size
from fsynth.sd_captions import Captions
from fsynth.sd_folder import Found
from fsynth.sd_lora import Adapters
from fsynth.sd_moments import Encoder
from fsynth.sd_rows import Draws, Moments, Pictures, TrainingRows
from fsynth.sd_student import Student
from fsynth.sd_training import Drawing, HeldOut, LossWatch, prompts_of, say_cut_captions
from fsynth.sd_validation import NO_ROWS, Validation

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


@dataclass(frozen=True)
class SDTrainResult:
    """``loss`` is the last epoch's mean; ``epoch`` the one whose weights were kept: 0 is before the first
    step, None the last where no rows chose. ``validation`` is None when --set validation.rows=0; its losses
    compare with those of other runs of the same model, data and resolution. ``terms`` are the pictures'."""

    folder: Path
    model: str
    synthetic: bool
    drawn: bool
    processes: int
    images: int
    resolution: int
    steps: int
    epoch: int | None
    safety_checker: str | None
    trainable_parameters: int
    loss: float
    validation: LossComparison | None
    reload_difference: float
    terms: str
    seconds: float = 0.0


def main(config: SDTrainConfig) -> SDTrainResult | None:
    """Fine-tune and write RUN/model: a pipeline, or LoRA weights beside the name of their base.

    Returns:
        paths and losses; None in all but the first process of a launch.

    Raises:
        ConfigError: settings that the data or the model do not allow.
        DataError: pictures that are missing or cannot be read.
        ModelError: a model that is unknown, broken, or of no known family.
        OutputError: an output folder that is not empty, a run that cannot be resumed.
        FsynthError: a loss that is not finite, weights that did not change.
    """
    started = time.monotonic()
    check_place("sd-train", config.output, config.resume)
    trackers.chosen(config.tracking.to)
    source = open_source(**config.source())
    source.need_pictures()
    source.need_rows(config.n_images, config.stratify)
    source.check_rows(config.fingerprint)
    found = sd_folder.find(config.model or (sd_folder.TINY if source.synthetic else sd_model.DEFAULT_MODEL))
    _check(config, source, found)
    _augmentation(config).check(source.train.select_columns(["text"])[_rows(config, source)]["text"])
    source.announce()
    config = _resolve(config, source, found)
    student = Student(
        found,
        _adapters(config),
        precision=resolve_precision(config.precision),
        seed=config.seed,
        text=config.text.train,
        quantize=config.memory.quantize,
        decay=config.tuning.ema,
        zero_terminal_snr=config.objective.zero_terminal_snr,
    )
    with Run.of("sd-train", config) as run:
        source.record_dropped(run.folder)
        result = _train(config, source, student, run)
        result = dataclasses.replace(result, seconds=round(time.monotonic() - started, 1))
        run.finish(dataclasses.asdict(result))
        _say_result(result)
    return result if run.is_main else None


def _train(config: SDTrainConfig, source: Source, student: Student, run: Run) -> SDTrainResult:
    memory = config.memory
    pipeline = student.to(run.device, checkpointing=memory.checkpointing, channels_last=memory.channels_last)
    rows, captions = _training_rows(config, source, student, run)
    objective = _objective(config, pipeline, captions)
    held_out, prompts = _held_out(config, source, pipeline, run, rows.pictures.buckets)
    network = torch.nn.ModuleList(student.models)
    start = weights_signature(network)
    keeping = {"keep": config.validation.keep, "patience": config.validation.patience}
    set_aside = source.validation is not None
    validation = Validation(held_out, student.models, run.folder, set_aside=set_aside, **keeping)
    plan = sd_memory.BatchPlan(config.micro_batch)
    others = (*_optimizer(config, student, rows), plan, *student.states)
    optimizer, schedule, *rest = run.prepare(*others, *student.models)
    models = rest[-len(student.models) :]
    denoiser, learning = models[0], torch.nn.ModuleList(models)
    share, attempt = -(-config.batch_size // run.world), student.attempt(objective, rows)
    plan.measure(share, attempt, student.state_size, run.accelerator)
    if student.text != "none":
        captions.family = captions.family.with_part("text_encoder", models[1])
    drawing = _drawing(config, source, run, student, prompts)
    if run.step == 0:
        run.log(epoch=0, **validation.see(0, run.accelerator))
        drawing.before()
    else:
        validation.go_on()
        run.end_early(validation.exhausted)

    if memory.compile:
        student.compile()
    watch = LossWatch(rows.pictures.names)
    sizes = {"batch_size": config.batch_size, "epochs": config.epochs, "micro_batch": plan.size}
    for batch in run.batches(rows, models=models, workers=config.workers, groups=rows.kinds, **sizes):
        losses = objective(denoiser, batch)
        watch.see(losses, batch["index"], run.step, run.steps)
        total = (losses * batch["weight"]).sum()
        run.descend(total, learning, optimizer, schedule, clip=config.optimizer.max_grad_norm)
        if run.ends_step:
            student.after_step()
        if run.ends_epoch:
            epoch_loss = run.epoch_loss()
            with student.judged():
                found = validation.see(run.epoch + 1, run.accelerator)
            run.log(epoch=run.epoch + 1, epoch_loss=epoch_loss, **found)
            held_out_loss = f", validation loss {found['validation_loss']:.5f}" if found else ""
            say(f"epoch {run.epoch + 1} of {config.epochs}: loss {epoch_loss:.4f}{held_out_loss}")
            run.end_early(validation.exhausted)

    if weights_signature(network) == start:
        raise FsynthError(f"the weights did not change in {run.step} steps; --lr {config.lr:g} does nothing")
    student.settle()
    kept = validation.settle()
    if run.is_main:
        student.save(run.folder / "model")
    drawing.after()  # in the same autocast as before
    drawing.compare(rows.pictures, held_out)
    for model in models:
        run.unwrap(model)
    result = SDTrainResult(
        folder=run.folder,
        model=student.found.name,
        synthetic=source.synthetic,
        drawn=source.drawn,
        terms=source.terms,
        processes=run.world,
        images=len(rows),
        resolution=rows.pictures.resolution,
        steps=run.step,
        epoch=kept,
        safety_checker=student.found.safety_checker,
        trainable_parameters=student.size,
        loss=run.last_epoch_loss,
        validation=validation.comparison(kept),
        reload_difference=student.check_saved(run.folder / "model") if run.is_main else 0.0,
    )
    validation.remove()  # last: a run that is stopped before takes it up again
    return result


def _drawing(
    config: SDTrainConfig, source: Source, run: Run, student: Student, prompts: dict[str, Size]
) -> Drawing:
    origin = lineage.trace(config.model or sd_folder.TINY)
    about = {"size": config.resolution or 0, "base": origin.base, "drawn": source.drawn or origin.drawn}
    about |= {"model": str(config.model), "later": student.state_size}
    return Drawing(student.pipeline, prompts if run.is_main else {}, run, **about)


# --------------------------------------------------------------------------------------------------
# before the first step


def _check(config: SDTrainConfig, source: Source, found: Found) -> None:
    """What can be refused before anything is said or loaded."""
    if found.lora is not None:
        raise ModelError(f"{found.lora} holds LoRA weights for {found.name}; train from that model instead")
    sd_model.check_resolution(found, config.resolution or sd_model.native_resolution(found))
    sd_choices.check_step(config.buckets.step, found)
    if config.objective.zero_terminal_snr:
        sd_model.check_zero_terminal(found)
    patience = config.validation.patience
    if patience and (source.validation is None or not config.validation.rows):
        raise ConfigError(f"validation.patience: {patience}: {NO_ROWS}")
    adapters = _adapters(config)
    sd_text.check(config.text.train, config.text.lr, adapters, found.kind)
    memory = config.memory
    sd_memory.check(memory.channels_last, memory.compile, memory.quantize, adapters)
    settings = config.optimizer
    rates = [config.text.lr or config.lr, config.lr]
    optimizers.check(settings.kind, settings.schedule, rates, config.tuning.ema is not None)


def _adapters(config: SDTrainConfig) -> Adapters | None:
    return sd_student.choose_adapters(config.lora_rank, dataclasses.asdict(config.lora))


def _objective(config: SDTrainConfig, pipeline: DiffusionPipeline, captions: Captions) -> sd_model.Objective:
    settings = config.objective
    huber_c = settings.huber_c if settings.loss == "huber" else None
    weights = {"weighting": settings.weighting, "snr_gamma": settings.snr_gamma}
    return sd_model.Objective(pipeline, captions, huber_c=huber_c, **weights)


def _resolve(config: SDTrainConfig, source: Source, found: Found) -> SDTrainConfig:
    """Every derived value, said; run.yaml holds the result, so it repeats this very run."""
    rows, wanted = len(source.train), config.n_images
    images = wanted or rows
    data = "drawn" if source.synthetic else "real"
    say(f"model: {found.name}" + ("" if config.model else f", the default for {data} data (--model)"))
    sd_choices.say_safety_checker(found, config.lora_rank is not None)
    say(f"pictures: {sd_choices.describe_draw(wanted, rows, config.seed)}")
    resolution = config.resolution or sd_model.native_resolution(found)
    width, height = Pictures(source.train, [0], resolution).image(0).size
    lr = sd_choices.learning_rate(config.lr, config.lora_rank is not None, config.optimizer.kind)
    learns = config.text.train != "none"
    text_lr = sd_choices.text_learning_rate(config.text.lr, lr, learns, config.optimizer.kind)
    return dataclasses.replace(
        config,
        data=source.setting,
        fingerprint=source.fingerprint,
        password_file=_absolute(config.password_file),
        model=found.name,
        cache=dataclasses.replace(config.cache, dir=_absolute(config.cache.dir)),
        batch_size=sd_choices.batch_size(config.batch_size, images),
        resolution=sd_choices.resolution(config.resolution, found, width, height),
        lr=lr,
        text=dataclasses.replace(config.text, lr=text_lr),
    )


def _absolute(place: Path | None) -> Path | None:
    """A resumed run may start in another folder."""
    return place.expanduser().resolve() if place else None


def _optimizer(config: SDTrainConfig, student: Student, rows: TrainingRows) -> tuple[Any, Any]:
    plan = Order(len(rows), config.batch_size, config.epochs, config.seed, groups=rows.kinds)
    per_epoch = plan.steps_per_epoch
    steps = per_epoch * config.epochs
    say(
        f"steps: {steps} (epochs {config.epochs} x {per_epoch}); {config.batch_size} pictures a step over "
        f"all processes; each picture is seen {counted(config.epochs, 'time')}"
    )
    settings = dataclasses.asdict(config.optimizer)
    del settings["max_grad_norm"]  # of the step
    return student.optimizer(lr=config.lr, text_lr=config.text.lr, steps=steps, **settings)


# --------------------------------------------------------------------------------------------------
# rows


def _training_rows(
    config: SDTrainConfig, source: Source, student: Student, run: Run
) -> tuple[TrainingRows, Captions]:
    pipeline = student.pipeline
    pictures = Pictures(source.train, _rows(config, source), config.resolution or 0)
    pictures.fit(sd_choices.buckets(pictures, student.found, **dataclasses.asdict(config.buckets)))
    draws = Draws(
        seed=config.seed,
        timesteps=pipeline.scheduler.config.num_train_timesteps,
        channels=pipeline.vae.config.latent_channels,
        factor=pipeline.vae_scale_factor,
        caption_dropout=config.objective.caption_dropout,
        noise_offset=config.objective.noise_offset,
        input_perturbation=config.objective.input_perturbation,
        levels=config.objective.timesteps or sd_model.family(pipeline).LEVELS,
    )
    augmentation = _augmentation(config)
    for line in augmentation.describe(pictures.texts):
        say(line)
    moments = _moments(config, run, pipeline, pictures, augmentation)
    say_cut_captions(pictures, pipeline.tokenizer)
    captions = Captions(pipeline, pictures.texts, keep=config.cache.captions == "auto")
    say(captions.describe())
    return TrainingRows(pictures, captions, draws, moments, augmentation), captions


def _rows(config: SDTrainConfig, source: Source) -> list[int]:
    """Positions in the training split."""
    return choose_rows(len(source.train), config.n_images, config.seed, source.strata(config.stratify))


def _augmentation(config: SDTrainConfig) -> Augmentation:
    return Augmentation(config.seed, **dataclasses.asdict(config.augment))


def _moments(
    config: SDTrainConfig,
    run: Run,
    pipeline: DiffusionPipeline,
    pictures: Pictures,
    augmentation: Augmentation,
) -> Moments | None:
    """Of every way in which training shows the pictures; None where these are too many, or too much."""
    if not augmentation.only_mirrors:
        say(
            "note: pictures changed so are encoded at every step, not once before the first; steps take "
            "longer"
        )
        return None
    return sd_moments.find(
        pictures,
        sd_moments.views_of(pictures, mirrored=augmentation.flip > 0),
        _encoder(config, run, pipeline),
        where=config.cache.latents,
        folder=sd_moments.folder_of(config.cache.dir),
        again=config.epochs > 1,
        title="encoding pictures",
    )


def _held_out(
    config: SDTrainConfig,
    source: Source,
    pipeline: DiffusionPipeline,
    run: Run,
    buckets: Sequence[Size],
) -> tuple[HeldOut | None, dict[str, Size]]:
    """The held-out rows that give the validation loss, and the prompts to draw."""
    settings = config.validation
    name, dataset = source.held_out
    rows = sd_choices.held_out_rows(len(dataset), settings.rows)
    if not rows:
        return None, {}
    say(f"validation loss: on {len(rows):,} of the {len(dataset):,} {name} rows")
    pictures = Pictures(dataset, rows, config.resolution or 0)
    pictures.fit(buckets)
    moments = sd_moments.find(
        pictures,
        sd_moments.views_of(pictures, mirrored=False),
        _encoder(config, run, pipeline),
        where="memory" if config.cache.latents == "none" else config.cache.latents,
        folder=sd_moments.folder_of(config.cache.dir),
        again=True,
        title="encoding held-out pictures",
    )
    held_out = HeldOut(pictures, moments, pipeline, settings.noise_levels, _at_once(config, run))
    return held_out, prompts_of(pictures, settings.pictures)


def _encoder(config: SDTrainConfig, run: Run, pipeline: DiffusionPipeline) -> Encoder:
    return Encoder(pipeline.vae, run.accelerator, _at_once(config, run), config.workers)


def _at_once(config: SDTrainConfig, run: Run) -> int:
    """Pictures that a process may hold: what --micro-batch promises, also before and after the steps."""
    share = -(-config.batch_size // run.world)
    return min(share, config.micro_batch or share)


# --------------------------------------------------------------------------------------------------
# after the last step


def _say_result(result: SDTrainResult) -> None:
    say(f"loss: {result.loss:.4f}, mean of the last epoch")
    if result.validation is not None:
        worse = result.validation.verdict == "worse"
        advice = "; try a lower --lr, fewer --epochs or more --n-images" if worse else ""
        say(result.validation.text() + advice)
    say(f"model: {result.folder / 'model'}; loaded again it answers the same")

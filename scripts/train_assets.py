"""Train the tiny models that ship inside the package, on drawn pictures, on a CPU.

    python scripts/train_assets.py probe            # the judge and feature extractor; then again with --go-on
    python scripts/train_assets.py clip             # the warm tiny CLIP
    python scripts/train_assets.py vae unet         # the tiny Stable Diffusion
    python scripts/train_assets.py probe clip vae unet --minutes 20
    python scripts/train_assets.py score            # measure what is there again: the drawings have changed

Each part trains for --minutes or until its --epochs are over, whichever comes first, on an archive drawn
with its own seed (the default synthetic archive stays unseen), and writes weights and a record of seed,
settings and held-out results to fsynth/assets/. `unet` goes on from what is there, `probe` with --go-on;
the others start anew.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import tiny_models  # noqa: E402
import torch  # noqa: E402
from asset_probe import train_probe  # noqa: E402
from asset_training import (  # noqa: E402
    SEED,
    Clock,
    Pictures,
    minutes_of,
    read_pictures,
    training_record,
)
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from tqdm.auto import tqdm  # noqa: E402

from fsynth import clip_model, clip_tiny, clip_tuning, contrastive, probe_model, sd_model  # noqa: E402
from fsynth.data.figure import DRAWING_VERSION  # noqa: E402
from fsynth.data.labels import LABELS  # noqa: E402
from fsynth.outputs import write_json  # noqa: E402

TINY_CLIP = ROOT / "fsynth" / "assets" / "tiny-clip"
TINY_SD = ROOT / "fsynth" / "assets" / "tiny-sd"


# ----------------------------------------------------------------------------------------------- CLIP


def train_clip(train: Pictures, held_out: Pictures, minutes: float, epochs: int) -> None:
    """Contrastive on plain captions, colour and garment only: the benchmark's sentences are left to learn."""
    plain = [_plain(train, row) for row in range(len(train))]
    with tempfile.TemporaryDirectory() as folder:
        model = clip_tiny.create_tiny(Path(folder) / "new", [*train.texts, *plain])
        network = model.network.train()
        tokens = model.tokenizer(plain)
        optimizer = clip_tuning.make_optimizer(network, 0.0, 0.1)
        clock = Clock(minutes, epochs * (len(train) // 64))
        epoch = 0
        while clock.share() < 1:
            for rows in tqdm(list(train.batches(64, epoch)), desc=f"clip, epoch {epoch + 1}"):
                rate = clock.rate(1e-3)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                pictures, sentences, scale = network(_normalised(model, train.signed(rows)), tokens[rows])
                weight, group = torch.full((len(rows),), 1 / len(rows)), torch.arange(len(rows))
                features = contrastive.Features(pictures, sentences, scale, weight, group)
                loss = contrastive.contrastive_loss("clip", features)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                clip_tuning.keep_scale(network)
                if clock.share() >= 1:
                    break
            epoch += 1
            print(f"epoch {epoch}: loss {loss.item():.3f}", zero_shot(model, held_out), flush=True)
        network.eval()
        shutil.rmtree(TINY_CLIP, ignore_errors=True)
        model.save(TINY_CLIP, half=True)
    settings = training_record(train, epochs=epoch, batch_size=64, lr=1e-3, minutes=minutes_of(clock))
    about = {"name": "fsynth-tiny-clip", "version": 1, "captions": "a photo of a COLOUR CATEGORY"}
    write_json(TINY_CLIP / "fsynth.json", {**about, **_clip_scores(model, held_out), "training": settings})


def _clip_scores(model: object, held_out: Pictures) -> dict[str, object]:
    return {"zero_shot": zero_shot(model, held_out), **_judged_on(held_out)}


def _judged_on(held_out: Pictures) -> dict[str, int]:
    return {"held_out_rows": len(held_out), "held_out_drawing": DRAWING_VERSION}


def _plain(pictures: Pictures, row: int) -> str:
    words = [LABELS[name][int(pictures.labels[name][row])] for name in ("color", "category")]
    return "a photo of a " + " ".join(words)


def _normalised(model: object, pictures: Tensor) -> Tensor:
    mean, deviation = (torch.tensor(model.preprocessing[key]).view(3, 1, 1) for key in ("mean", "std"))
    return ((pictures + 1) / 2 - mean) / deviation


@torch.no_grad()
def zero_shot(model: object, pictures: Pictures) -> dict[str, float]:
    """Share of held-out pictures nearest to the right one of "a photo of a NAME", by column."""
    network = model.network.eval()
    parts = torch.arange(len(pictures)).split(256)
    seen = torch.cat(
        [network.encode_image(_normalised(model, pictures.signed(part)), normalize=True) for part in parts]
    )
    result = {}
    for name in ("category", "color"):
        texts = model.tokenizer([f"a photo of a {word}" for word in LABELS[name]])
        found = (seen @ network.encode_text(texts, normalize=True).T).argmax(1)
        result[name] = round((found == pictures.labels[name]).double().mean().item(), 4)
    network.train()
    return result


# ------------------------------------------------------------------------------------- Stable Diffusion


def train_vae(train: Pictures, held_out: Pictures, minutes: float, epochs: int) -> None:
    """Autoencoder on 64 px crops, then on whole pictures: L1 + squared error + edges + a small KL."""
    pipeline = tiny_models.make_pipeline(train.texts)
    vae = pipeline.vae
    optimizer = torch.optim.AdamW(vae.parameters(), lr=0.0, weight_decay=0.0)
    clock = Clock(minutes, epochs * (len(train) // 8))
    epoch = 0
    while clock.share() < 1:
        for rows in tqdm(list(train.batches(8, epoch)), desc=f"vae, epoch {epoch + 1}"):
            optimizer.param_groups[0]["lr"] = clock.rate(2e-3)
            # crops are cheap, but their group norms see other statistics than whole pictures do
            whole = clock.share() > 0.5
            pictures = train.signed(rows[:4]) if whole else _crop(train.signed(rows), 64)
            posterior = vae.encode(pictures).latent_dist
            loss = _vae_loss(vae.decode(posterior.sample()).sample, pictures) + 1e-6 * posterior.kl().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
            optimizer.step()
            if clock.share() >= 1:
                break
        epoch += 1
        print(f"epoch {epoch}: loss {loss.item():.4f}", reconstruction(vae, held_out), flush=True)
    latents = _moments(vae, train, 1024)[0]
    vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))
    tiny_models.save_pipeline(pipeline, TINY_SD)
    settings = training_record(train, epochs=epoch, batch_size=8, crop=64, lr=2e-3, minutes=minutes_of(clock))
    _record_sd({"vae": {**reconstruction(vae, held_out), **_judged_on(held_out), "training": settings}})


def _crop(pictures: Tensor, side: int) -> Tensor:
    top, left = torch.randint(0, pictures.shape[2] - side + 1, (2,)).tolist()
    return pictures[:, :, top : top + side, left : left + side]


def _vae_loss(made: Tensor, real: Tensor) -> Tensor:
    edges = sum(functional.l1_loss(made.diff(dim=d), real.diff(dim=d)) for d in (2, 3))
    return functional.l1_loss(made, real) + functional.mse_loss(made, real) + 0.5 * edges


@torch.no_grad()
def reconstruction(vae: nn.Module, pictures: Pictures) -> dict[str, float]:
    """Held-out reconstructions: mean error in grey levels, share of colours that the probe still reads."""
    probe, _ = probe_model.load_probe()
    error, right, seen = 0.0, 0, 0
    for rows in torch.arange(len(pictures)).split(64):
        real = pictures.signed(rows)
        made = vae.decode(vae.encode(real).latent_dist.mode()).sample.clamp(-1, 1)
        error += (made - real).abs().mean().item() * 127.5 * len(rows)
        right += (probe(made)[1]["color"].argmax(1) == pictures.labels["color"][rows]).sum().item()
        seen += len(rows)
    return {"grey_levels": round(error / seen, 2), "color_probe": round(right / seen, 4)}


@torch.no_grad()
def _moments(vae: nn.Module, pictures: Pictures, rows: int | None = None) -> tuple[Tensor, Tensor]:
    """Posterior mean and standard deviation of the latents, (N, 4, 16, 16) each."""
    parts = torch.arange(rows or len(pictures)).split(64)
    found = [vae.encode(pictures.signed(part)).latent_dist for part in tqdm(parts, desc="latents")]
    return torch.cat([d.mean for d in found]), torch.cat([d.std for d in found])


def train_unet(train: Pictures, held_out: Pictures, minutes: float, epochs: int) -> None:
    """Noise prediction, UNet and text encoder together, caption dropout 10 %, averaged weights saved."""
    from diffusers import StableDiffusionPipeline
    from diffusers.training_utils import EMAModel

    pipeline = StableDiffusionPipeline.from_pretrained(TINY_SD, dtype=torch.float32)
    unet, text_encoder, scheduler = pipeline.unet.train(), pipeline.text_encoder.train(), pipeline.scheduler
    scale = pipeline.vae.config.scaling_factor
    means, deviations = _moments(pipeline.vae, train)
    tokens = _tokens(pipeline, train.texts)
    empty = _tokens(pipeline, [""])
    parameters = [*unet.parameters(), *text_encoder.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=0.0, weight_decay=0.01)
    average = EMAModel(parameters, decay=0.999)
    clock = Clock(minutes, epochs * (len(train) // 64))
    epoch = 0
    while clock.share() < 1:
        losses = []
        for rows in tqdm(list(train.batches(64, epoch)), desc=f"unet, epoch {epoch + 1}"):
            optimizer.param_groups[0]["lr"] = clock.rate(1e-3)
            latents = scale * (means[rows] + deviations[rows] * torch.randn_like(means[rows]))
            timesteps = torch.randint(0, 1000, (len(rows),))
            noise = torch.randn_like(latents)
            ids = torch.where(torch.rand(len(rows), 1) < 0.1, empty, tokens[rows])
            noisy = scheduler.add_noise(latents, noise, timesteps)
            made = unet(noisy, timesteps, text_encoder(ids).last_hidden_state).sample
            loss = functional.mse_loss(made, noise)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            average.step(parameters)
            losses.append(loss.item())
            if clock.share() >= 1:
                break
        epoch += 1
        print(f"epoch {epoch}: loss {sum(losses) / len(losses):.4f}, step {clock.step}", flush=True)
        if epoch % 5 == 0 or clock.share() >= 1:
            settings = training_record(train, epochs=epoch, batch_size=64, lr=1e-3, minutes=minutes_of(clock))
            _save_average(pipeline, parameters, average, held_out, {**settings, "steps": clock.step})


def _save_average(
    pipeline: object, parameters: list, average: object, held_out: Pictures, settings: dict
) -> None:
    average.store(parameters)
    average.copy_to(parameters)
    faithful = faithfulness(pipeline, held_out)
    print(faithful, flush=True)
    tiny_models.save_pipeline(pipeline, TINY_SD)
    _record_sd({"unet": {"probe_agreement": faithful, **_judged_on(held_out), "training": settings}})
    average.restore(parameters)


def _tokens(pipeline: object, texts: list[str]) -> Tensor:
    length = pipeline.tokenizer.model_max_length
    options = {"padding": "max_length", "max_length": length, "truncation": True, "return_tensors": "pt"}
    return pipeline.tokenizer(texts, **options).input_ids


@torch.no_grad()
def faithfulness(pipeline: object, held_out: Pictures, count: int = 128) -> dict[str, float]:
    """Share of generated pictures in which the probe reads what the sentence's labels say (N, 25 steps)."""
    probe, _ = probe_model.load_probe()
    rows = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(0))[:count]
    pipeline.set_progress_bar_config(disable=True)
    draw = torch.Generator().manual_seed(0)
    made = []
    for part in rows.split(32):
        prompts = [held_out.texts[row] for row in part.tolist()]
        made.append(
            pipeline(
                prompts, num_inference_steps=25, guidance_scale=3.0, generator=draw, output_type="pt"
            ).images
        )
    logits = probe(torch.cat(made) * 2 - 1)[1]
    result = {"pictures": float(count)}
    for name, values in logits.items():
        labels = held_out.labels[name][rows]
        known = labels < values.shape[1]
        result[name] = round((values.argmax(1) == labels)[known].double().mean().item(), 4)
    return result


def _record_sd(part: dict[str, object]) -> None:
    path = TINY_SD / "fsynth.json"
    known = json.loads(path.read_text()) if path.exists() else {"name": "fsynth-tiny-sd", "version": 1}
    write_json(path, {**known, **part})


# -----------------------------------------------------------------------------------------------------


def score(train: Pictures, held_out: Pictures, minutes: float, epochs: int) -> None:
    """Measure the shipped CLIP and Stable Diffusion again; how they were trained stays on record."""
    clip, sd = (json.loads((folder / "fsynth.json").read_text()) for folder in (TINY_CLIP, TINY_SD))
    model = clip_model.load(str(TINY_CLIP))
    write_json(TINY_CLIP / "fsynth.json", {**clip, **_clip_scores(model, held_out)})
    pipeline = sd_model.load_pipeline(TINY_SD, dtype=torch.float32, device="cpu")
    agreement = faithfulness(pipeline, held_out, 512)
    _record_sd(
        {
            "vae": {**sd["vae"], **reconstruction(pipeline.vae, held_out), **_judged_on(held_out)},
            "unet": {**sd["unet"], "probe_agreement": agreement, **_judged_on(held_out)},
        }
    )


PARTS = {"probe": train_probe, "clip": train_clip, "vae": train_vae, "unet": train_unet, "score": score}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--minutes", type=float, default=20, help="longest time for each part")
    parser.add_argument("--epochs", type=int, default=200, help="most passes for each part")
    parser.add_argument("--rows", type=int, default=9500, help="rows of the archive to draw")
    parser.add_argument("--go-on", action="store_true", help="probe: go on from the shipped weights")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "assets", help="where the archive stays")
    arguments = parser.parse_args()
    train, held_out = read_pictures(arguments.rows, arguments.work)
    for part in arguments.parts:
        torch.manual_seed(SEED)
        more = {"go_on": True} if part == "probe" and arguments.go_on else {}
        PARTS[part](train, held_out, arguments.minutes, arguments.epochs, **more)


if __name__ == "__main__":
    main()

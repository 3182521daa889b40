"""A Stable Diffusion pipeline of a few thousand weights, pictures for it, and what its runs wrote."""

from __future__ import annotations

import json

import numpy as np

from scripts import tiny_models

COLORS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "black": (10, 10, 10)}
SIZES = tiny_models.Sizes(latent=4, vae=(8, 8, 8, 16), unet=(16, 32), text=16, text_layers=1, tokens=16)


def make(folder, sizes=SIZES):
    """Write a random pipeline for pictures of 32 px into a folder, and return that."""
    sentences = [f"a {color} square" for color in COLORS]
    tiny_models.save_pipeline(tiny_models.make_pipeline(sentences, sizes), folder)
    return folder


def rows(count, start, size):
    """Noisy pictures of one colour each, of (width, height) pixels, as a source holds them."""
    import datasets
    from PIL import Image

    names = [list(COLORS)[row % len(COLORS)] for row in range(start, start + count)]
    pictures = []
    for row, name in enumerate(names, start=start):
        noise = np.random.default_rng(row).integers(-9, 9, (size[1], size[0], 3))
        pictures.append(Image.fromarray(np.clip(noise + COLORS[name], 0, 255).astype(np.uint8)))
    columns = {
        "image": pictures,
        "text": [f"a {name} square" for name in names],
        "name": [f"{row}.jpg" for row in range(start, start + count)],
        "row": list(range(start, start + count)),
    }
    features = datasets.Features(
        image=datasets.Image(),
        text=datasets.Value("string"),
        name=datasets.Value("string"),
        row=datasets.Value("int64"),
    )
    return datasets.Dataset.from_dict(columns, features=features)


def log(folder, *keys):
    """What a run logged under all of these keys."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [tuple(line[key] for key in keys) for line in lines if all(key in line for key in keys)]


def weights(folder):
    """The UNet that a run saved."""
    from safetensors.torch import load_file

    return load_file(folder / "model" / "unet" / "diffusion_pytorch_model.safetensors")


def embedded(pipeline, *captions):
    """What the denoiser attends to, of captions."""
    from fsynth import sd_model

    family = sd_model.family(pipeline)
    return family.text(family.tokens(captions))["states"]

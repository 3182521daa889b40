from __future__ import annotations

import builtins
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fsynth.data import drawing, motifs
from fsynth.data.fabrics import MULTI_PATTERNS, TONES
from fsynth.data.figure import LOOKS, GarmentLabels, Scene, pose
from fsynth.data.labels import CATEGORIES, COLORS, GENDERS, SLEEVES
from fsynth.errors import MissingPackage

PLAIN = COLORS[:13]
TERMS = ("letters", "flowers", "stripes", "dots", "plaid", "hearts", "animals", "numbers", "denim", "print")


def scene(labels: GarmentLabels, seed: int = 0, look: str = "catalogue") -> Scene:
    return pose(labels, np.random.default_rng(seed), look)


def covered(drawn: Scene, size: int = 128) -> np.ndarray:
    """Pixels of the labelled garment (size, size), bool."""
    mask = Image.new("1", (size, size))
    for polygon in drawn.garments[0].polygons:
        ImageDraw.Draw(mask).polygon([tuple(p) for p in polygon * size], fill=1)
    return np.array(mask)


def garment_pixels(labels: GarmentLabels, seed: int = 0) -> np.ndarray:
    drawn = scene(labels, seed)
    return drawing.draw(drawn)[covered(drawn)]


@pytest.mark.parametrize("look", LOOKS)
def test_pictures_are_rgb_bytes_and_the_same_for_the_same_seed(look: str) -> None:
    labels = GarmentLabels("female", "short", "kimono", "multicolor", ("flowers",))
    one, two = (drawing.draw(scene(labels, 5, look)) for _ in range(2))
    assert one.shape == (128, 128, 3) and one.dtype == np.uint8
    assert np.array_equal(one, two)
    assert drawing.draw(scene(labels, 5, look), 64).shape == (64, 64, 3)
    assert np.abs(one.astype(int) - drawing.draw(scene(labels, 6, look))).mean() > 3


def test_one_scene_painted_at_two_sizes_is_one_picture() -> None:
    drawn = scene(GarmentLabels("male", "long", "hoodie", "green"), 2)
    small, large = drawing.draw(drawn), drawing.draw(drawn, 512)
    shrunk = np.array(Image.fromarray(large).resize((128, 128), Image.Resampling.BOX), dtype=float)
    assert np.abs(shrunk - small).mean() < 4


@pytest.mark.parametrize("color", PLAIN)
def test_a_garment_has_the_colour_of_its_label(color: str) -> None:
    names = list(PLAIN)
    targets = np.array([TONES[n] for n in names], dtype=float)
    for seed, category in enumerate(("tee", "dress", "hoodie")):
        lit = np.percentile(
            garment_pixels(GarmentLabels("female", "long", category, color), seed), 65, axis=0
        )
        assert names[int(np.abs(targets - lit).sum(axis=1).argmin())] == color


@pytest.mark.parametrize("color", ["white", "black", "gray", "beige"])
def test_a_garment_stands_out_from_the_backdrop(color: str) -> None:
    for seed in range(3):
        drawn = scene(GarmentLabels("female", "long", "tee", color), seed)
        picture = drawing.draw(drawn).astype(float)
        inside = np.median(picture[covered(drawn)], axis=0)
        assert np.abs(inside - picture[5:40, :12].reshape(-1, 3).mean(axis=0)).mean() > 18


@pytest.mark.parametrize("seed", range(6))
def test_multicolor_shows_several_colours(seed: int) -> None:
    pixels = garment_pixels(GarmentLabels("female", "short", "dress", "multicolor"), seed).astype(int)
    coarse, counts = np.unique(pixels // 64, axis=0, return_counts=True)
    assert (counts > 0.04 * len(pixels)).sum() >= 3
    assert len(coarse) > 6


def test_sleeves_uncover_the_arms() -> None:
    def changed(category: str, one: str, two: str) -> float:
        a, b = (
            drawing.draw(scene(GarmentLabels("male", s, category, "blue"), 1)).astype(int) for s in (one, two)
        )
        return float((np.abs(a - b).max(axis=2) > 40).mean())

    for category in CATEGORIES:
        assert changed(category, "long", "short") > 0.01
        assert changed(category, "short", "sleeveless") > 0.004


def test_prints_show_and_differ() -> None:
    plain, *printed = (
        drawing.draw(scene(GarmentLabels("female", "short", "tee", "white", terms), 3)).astype(int)
        for terms in ((), ("letters",), ("animals",), ("flowers",), ("stripes",), ("dots",))
    )
    for k, one in enumerate(printed):
        assert np.abs(one - plain).max() > 80
        assert all(np.abs(one - other).max() > 80 for other in printed[k + 1 :])


def test_every_motif_and_pattern_paints_on_every_category() -> None:
    terms = [
        *motifs.NAMES,
        "plaid",
        "animal print",
        "graffiti",
        "print",
        "denim",
        "lace",
        "leather",
        "knit",
        "fur",
    ]
    for k, term in enumerate(terms):
        labels = GarmentLabels(GENDERS[k % 2], SLEEVES[k % 4], CATEGORIES[k % 19], PLAIN[k % 13], (term,))
        assert drawing.draw(scene(labels, k)).std() > 10
    for motif in motifs.NAMES:
        for seed in range(40):
            assert all(np.abs(m.points).max() < 0.8 for m in motifs.marks(motif, seed))
    assert len(set(MULTI_PATTERNS)) >= 6


def test_a_machine_without_skia_or_its_libraries_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = scene(GarmentLabels("female", "short", "tee", "white"))
    monkeypatch.setitem(sys.modules, "skia", None)
    with pytest.raises(MissingPackage, match="pip install skia-python"):
        drawing.draw(drawn)
    real = builtins.__import__

    def broken(name: str, *rest: object) -> object:
        if name == "skia":
            raise ImportError("libEGL.so.1: cannot open shared object file")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(MissingPackage, match="apt-get install libegl1 libgl1"):
        drawing.draw(drawn)


def drawn_labels(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Catalogue pictures (N, 128, 128, 3) and their gender, sleeve, category and colour indices (N, 4)."""
    rng = np.random.default_rng(11)
    pictures, codes = np.empty((count, 128, 128, 3), np.uint8), np.empty((count, 4), np.int64)
    for k in range(count):
        g, s, c, color = rng.integers(2), rng.integers(3), k % 19, rng.integers(14)
        terms = (str(rng.choice(TERMS)),) if rng.random() < 0.15 else ()
        name = "multicolor" if color == 13 else COLORS[color]
        labels = GarmentLabels(GENDERS[g], SLEEVES[s], CATEGORIES[c], name, terms)
        pictures[k], codes[k] = drawing.draw(pose(labels, rng)), (g, s, c, color)
    return pictures, codes


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_small_network_reads_every_label_off_held_out_drawings(request: pytest.FixtureRequest) -> None:
    """About ten minutes on one core: `pytest -m slow -s tests/data/test_drawing.py` prints the table."""
    if "slow" not in request.config.getoption("markexpr"):
        pytest.skip("runs with -m slow")
    import torch
    from torch import nn

    def stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())

    tables = {
        "gender": GENDERS,
        "sleeve": SLEEVES[:3],
        "category": CATEGORIES,
        "color": (*PLAIN, "multicolor"),
    }
    torch.manual_seed(0)
    pictures, codes = (torch.from_numpy(a) for a in drawn_labels(9500))
    pictures = pictures.permute(0, 3, 1, 2).contiguous()
    train, steps = 7600, 11 * (7600 // 64)
    body = nn.Sequential(
        stage(3, 20, 2), stage(20, 40, 2), stage(40, 64, 2), stage(64, 96, 1), stage(96, 128, 2)
    )
    head = nn.Linear(256, 2 + 3 + 19 + 14)
    model = nn.ModuleList([body, head])
    optimizer = torch.optim.AdamW(model.parameters(), 4e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)

    def logits(batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        maps = body(batch.float() / 127.5 - 1)
        return head(torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)).split([2, 3, 19, 14], 1)

    for _ in range(steps):
        rows = torch.randint(train, (64,))
        moved = torch.roll(pictures[rows], tuple(torch.randint(-4, 5, (2,)).tolist()), (2, 3))
        loss = sum(nn.functional.cross_entropy(o, codes[rows, k]) for k, o in enumerate(logits(moved)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        batches = pictures[train:].split(100)
        found = torch.cat([torch.stack([o.argmax(1) for o in logits(b)], 1) for b in batches])
    truth, scores = codes[train:], {}
    for k, (head_name, names) in enumerate(tables.items()):
        for j, name in enumerate(names):
            rows = truth[:, k] == j
            scores[head_name, name] = float((found[rows, k] == j).float().mean())
    print({f"{a}={b}": round(v, 3) for (a, b), v in scores.items()})
    assert {key: score for key, score in scores.items() if score < 0.95} == {}


def test_every_print_of_the_grammar_is_drawn():
    from fsynth.data import fabrics, phrases

    drawn = set(fabrics.MOTIFS) | set(fabrics._PATTERN_OF_TERM) | set(fabrics._TEXTURES)
    printed = {term for category in CATEGORIES for term, _ in phrases.prints(category)}
    assert printed <= drawn
    assert set(fabrics.MOTIFS) <= set(motifs._MOTIFS)

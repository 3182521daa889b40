import datasets
import numpy as np
import torch
from PIL import Image

from fsynth import caption_groups, clip_rows, clip_tiny
from fsynth.order import Pick


def test_crops_are_a_function_of_seed_epoch_and_row(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (4, 128, 128, 3), dtype=np.uint8)
    table = {"image": [Image.fromarray(one) for one in noise], "text": ["a red tee.", "a tee."] * 2}
    table["row"] = [10, 11, 12, 13]
    dataset = datasets.Dataset.from_dict(table).cast_column("image", datasets.Image())
    model = clip_tiny.create_tiny(tmp_path / "tiny", table["text"])
    pairs = clip_rows.Pairs(dataset, [3, 1], model, 5, caption_groups.find(["a tee.", "a tee."]))
    before = torch.get_rng_state()
    first = pairs[Pick(0, 0, 1.0)]
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(3)
    both = caption_groups.find(["a red tee.", "a tee."])
    again = clip_rows.Pairs(dataset, [0, 3], model, 5, both)[Pick(1, 0, 1.0)]
    assert torch.equal(first["image"], again["image"])
    assert not torch.equal(first["image"], pairs[Pick(0, 1, 1.0)]["image"])
    assert again["group"] == 1
    assert torch.equal(first["tokens"], model.tokenizer(["a tee."])[0, :6])

"""Pictures of classes from elsewhere: IDX files against torchvision's reader, folders, the hub, faults."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import mnist

from fsynth import class_folders, idx_files
from fsynth.class_folders import open_classes
from fsynth.errors import DataError

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "fashion-mnist"
PICTURES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def idx(array):
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def made(tmp_path):
    """Thirty pictures of 28 px, plain files."""
    draw = np.random.default_rng(0)
    (tmp_path / PICTURES).write_bytes(idx(draw.integers(0, 255, (30, 28, 28), dtype=np.uint8)))
    (tmp_path / LABELS).write_bytes(idx(np.arange(30, dtype=np.uint8) % 10))
    return tmp_path


def folder_of(root, **classes):
    for name, pictures in classes.items():
        (root / name).mkdir(parents=True)
        for number in range(pictures):
            Image.new("RGB", (9, 7), (number, 0, 0)).save(root / name / f"{number}.png")
    return root


def refusal(where, most=10_000):
    with pytest.raises(DataError) as caught:
        open_classes(str(where), most)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_idx_files_are_read_as_torchvision_reads_them(made):
    assert np.array_equal(idx_files.read(made / PICTURES, 3), mnist.read_image_file(str(made / PICTURES)))
    assert np.array_equal(idx_files.read(made / LABELS, 1), mnist.read_label_file(str(made / LABELS)))


@pytest.mark.skipif(not REAL.is_dir(), reason="no Fashion-MNIST beside the repository")
def test_the_real_fashion_mnist_whole_and_drawn(tmp_path):
    for name in (PICTURES, LABELS):
        (tmp_path / name).write_bytes(gzip.decompress((REAL / f"{name}.gz").read_bytes()))
    theirs = mnist.read_image_file(str(tmp_path / PICTURES)).numpy()
    labels = mnist.read_label_file(str(tmp_path / LABELS)).tolist()
    whole = open_classes(str(REAL), 10_000)
    assert list(whole.truth) == labels
    for place in (0, 5000, 9999):
        assert np.array_equal(np.asarray(whole.pictures[place]), theirs[place])
    assert whole.classes[labels[0]] == "ankle boot"  # the first of t10k
    assert whole.describe() == "zero-shot: Fashion-MNIST, 10,000 pictures of 10 classes"
    some = open_classes(str(tmp_path), 200)
    rows = some.pictures.rows
    assert len(rows) == 200 and [labels[row] for row in rows] == list(some.truth)
    assert np.array_equal(np.asarray(some.pictures[7]), theirs[rows[7]])
    assert (
        some.describe() == "zero-shot: Fashion-MNIST, 200 pictures (drawn from 10,000, seed 0) of 10 classes"
    )


def test_files_that_are_not_the_published_ones_are_said(made):
    found = open_classes(str(made), 10)
    assert len(found.truth) == 10 and found.found == 30
    assert "t10k-images-idx3-ubyte is not t10k as published" in found.describe()


def test_where_torchvision_puts_them(made, tmp_path):
    raw = tmp_path / "root" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name in (PICTURES, LABELS):
        (made / name).rename(raw / name)
    assert len(open_classes(str(tmp_path / "root"), 99).truth) == 30


def test_broken_idx_files_are_one_line_each(made):
    whole = (made / PICTURES).read_bytes()
    (made / PICTURES).write_bytes(whole[:-5])
    assert refusal(made) == (
        f"{made / PICTURES} should hold 30 x 28 x 28 bytes and holds 23,515; download it again"
    )
    (made / PICTURES).write_bytes(b"<html>not found</html>")
    assert refusal(made) == f"{made / PICTURES} is no IDX file of bytes in 3 dimensions; download it again"
    (made / PICTURES).unlink()
    assert "not both are in" in refusal(made)
    (made / f"{PICTURES}.gz").write_bytes(gzip.compress(whole)[:-900])
    assert refusal(made).startswith(f"{made / PICTURES}.gz cannot be read (")
    (made / f"{PICTURES}.gz").write_bytes(gzip.compress(whole))
    (made / LABELS).write_bytes(idx(np.arange(29, dtype=np.uint8) % 10))
    assert refusal(made) == (
        f"{made / PICTURES}.gz holds 30 pictures and {made / LABELS} 29 labels; they do not belong together: "
        "download both again"
    )
    (made / LABELS).write_bytes(idx(np.arange(30, dtype=np.uint8)))
    assert refusal(made) == f"{made / LABELS} holds a label 29, Fashion-MNIST's are 0 to 9; download it again"


def test_training_files_alone_are_not_what_is_tested_on(made):
    for name in (PICTURES, LABELS):
        (made / name).rename(made / name.replace("t10k", "train"))
    assert "t10k-images-idx3-ubyte.gz" in refusal(made)


def test_folders_named_by_class(tmp_path):
    root = folder_of(tmp_path / "wardrobe", ankle_boot=3, tee=2)
    (root / "tee" / "notes.txt").write_text("no picture")
    (root / ".cache").mkdir()
    found = open_classes(str(root), 10_000)
    assert found.name == "wardrobe/" and found.classes == ("ankle boot", "tee")
    assert found.truth == (0, 0, 0, 1, 1)
    assert found.pictures[4].size == (9, 7) and found.pictures.called(4) == str(root / "tee" / "1.png")
    assert "an image of one ankle boot." in found.task().prompts[0]
    assert len(open_classes(str(root), 3).truth) == 3


def test_the_test_folder_is_taken_where_there_are_splits(tmp_path):
    folder_of(tmp_path / "a" / "train", tee=2, coat=2)
    folder_of(tmp_path / "a" / "test", tee=1, coat=1)
    assert len(open_classes(str(tmp_path / "a"), 99).truth) == 2
    folder_of(tmp_path / "b" / "train", tee=2, coat=2)
    assert "there is no test folder: train/ is taken" in open_classes(str(tmp_path / "b"), 99).describe()
    folder_of(tmp_path / "c", test=1, dev=2)  # two classes that happen to be called so
    assert open_classes(str(tmp_path / "c"), 99).classes == ("dev", "test")


def test_folders_that_ask_nothing_are_one_line_each(tmp_path):
    root = folder_of(tmp_path / "one", tee=2)
    assert refusal(root).startswith(
        f"--zero-shot {root}: 1 class folder in {root}, there must be two at least"
    )
    (root / "coat").mkdir()
    assert refusal(root) == f"--zero-shot {root}: class folder {root / 'coat'} holds no pictures; take it out"
    twice = folder_of(tmp_path / "twice", ankle_boot=1, **{"ankle boot": 1})
    assert refusal(twice).endswith("are both called 'ankle boot'; put their pictures into one")
    cases = folder_of(tmp_path / "cases", ankle_boot=1, **{"Ankle boot": 1})
    assert refusal(cases).endswith("are both called 'ankle boot'; put their pictures into one")
    (tmp_path / "empty").mkdir()
    assert "no class folders in" in refusal(tmp_path / "empty")
    assert "no such folder" in refusal(tmp_path / "nowhere")


def test_a_broken_picture_is_named(tmp_path):
    root = folder_of(tmp_path / "wardrobe", coat=1, tee=1)
    (root / "tee" / "0.png").write_bytes((root / "coat" / "0.png").read_bytes()[:40])
    shown = open_classes(str(root), 99).shown(lambda picture: picture.convert("RGB"))
    shown[0]
    with pytest.raises(DataError, match=r"tee/0\.png is not a picture"):
        shown[1]


def test_fashion_mnist_of_the_hub(monkeypatch):
    import datasets

    rows = {"image": [Image.new("L", (28, 28), 9 * label) for label in range(10)], "label": list(range(10))}
    names = datasets.ClassLabel(names=["T - shirt / top", *"bcdefghij"])
    made = datasets.Dataset.from_dict(rows, datasets.Features(image=datasets.Image(), label=names))
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: asked.append((a, k)) or made)
    found = open_classes("fashion-mnist", 5)
    assert asked == [(("zalando-datasets/fashion_mnist",), {"split": "test"})]
    assert found.classes[0] == "t-shirt" and found.found == 10
    place = found.truth.index(max(found.truth))
    assert found.pictures[place].getpixel((0, 0)) == 9 * found.truth[place]


def test_a_hub_out_of_reach_is_one_line(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert refusal(class_folders.HUB).startswith(
        "--zero-shot fashion-mnist: zalando-datasets/fashion_mnist ca"
    )

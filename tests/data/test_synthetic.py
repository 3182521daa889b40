from __future__ import annotations

import io
import json
import time
import zipfile
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy import io as matlab

from fsynth.data import drawing_workers, drawn_archive, fashion_synthesis, figure, listing, synthetic
from fsynth.data.drawing_workers import Task
from fsynth.data.figure import GarmentLabels
from fsynth.data.labels import CATEGORIES, COLORS, LABELS
from fsynth.data.segmentation import ARMS, BACKGROUND, FACE, HAIR, LEGS, LOWER, UPPER, segment
from fsynth.errors import DataError, OutputError

REAL = Path(__file__).parents[3] / "shared/data/fashion-synthesis-annotations"
ROWS, SIZE = 60, 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("drawn") / "archive"
    return synthetic.make_archive(place, ROWS, seed=3, size=SIZE, hdf5=True, workers=0)


@pytest.fixture(scope="module")
def annotation(folder):
    return matlab.loadmat(folder / "Anno/language_original.mat")


@pytest.fixture(scope="module")
def splits(folder):
    return matlab.loadmat(folder / "Eval/ind.mat")


@pytest.fixture(scope="module")
def jpegs(folder):
    with zipfile.ZipFile(folder / "Img/img.zip") as file:
        file.setpassword((folder / "password.txt").read_bytes().strip())
        return {name: file.read(name) for name in file.namelist()}


@pytest.fixture
def real():
    if not REAL.is_dir():
        pytest.skip(f"needs the benchmark's annotation at {REAL}")
    return REAL


def captions(annotation) -> list[str]:
    return [str(cell[0]) for cell in annotation["engJ"].ravel()]


def pixels(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)))


# --- language_original.mat


def test_the_annotation_has_the_documented_variables(folder):
    listed = matlab.whosmat(folder / "Anno/language_original.mat")
    cells, doubles = ((ROWS, 1), "cell"), ((ROWS, 1), "double")
    assert {name: (shape, kind) for name, shape, kind in listed} == {
        "engJ": cells,
        "cate_new": doubles,
        "color_": doubles,
        "gender_": doubles,
        "sleeve_": doubles,
        "img_root": ((1,), "char"),
        "nameList": cells,
        "codeJ": cells,
    }


def test_both_files_are_compressed_matlab_v5(folder):
    for name in ("Anno/language_original.mat", "Eval/ind.mat"):
        content = (folder / name).read_bytes()
        assert content.startswith(b"MATLAB 5.0 MAT-file")
        assert int.from_bytes(content[128:132], "little") == 15  # miCOMPRESSED


def test_cells_hold_character_rows_and_columns_of_numbers(folder):
    raw = matlab.loadmat(folder / "Anno/language_original.mat", chars_as_strings=False)
    for text, name, code in zip(
        raw["engJ"].ravel(), raw["nameList"].ravel(), raw["codeJ"].ravel(), strict=True
    ):
        assert text.ndim == name.ndim == 2 and text.shape[0] == name.shape[0] == 1
        assert code.ndim == 2 and code.shape[1] == 1


def test_files_have_the_structure_of_the_real_ones(folder, real):
    for name in ("Anno/language_original.mat", "Eval/ind.mat"):
        ours, theirs = matlab.whosmat(folder / name), matlab.whosmat(real / name)
        kinds = [{n: (len(shape), shape[1:], kind) for n, shape, kind in found} for found in (ours, theirs)]
        assert kinds[0] == kinds[1]


def test_codes_are_those_of_the_labels(annotation):
    listed = synthetic.list_rows(ROWS, 3).rows
    for variable, column, first in (
        ("cate_new", "category", 1),
        ("color_", "color", 1),
        ("sleeve_", "sleeve", 1),
        ("gender_", "gender", 0),
    ):
        told = [LABELS[column][int(code) - first] for code in annotation[variable].ravel()]
        assert told == [getattr(row.labels, column) for row in listed]


def test_word_numbers_follow_the_order_of_first_appearance(annotation):
    vocabulary: list[str] = []
    for caption, code in zip(captions(annotation), annotation["codeJ"].ravel(), strict=True):
        words = caption.replace(".", "").replace(",", "").split()
        vocabulary += [word for word in dict.fromkeys(words) if word not in vocabulary]
        assert [vocabulary.index(word) + 1 for word in words] == code.ravel().tolist()


def test_the_real_word_numbers_come_out_of_the_same_rule(real):
    from fsynth.data import matlab_files

    content = matlab.loadmat(real / "Anno/language_original.mat", variable_names=["engJ", "codeJ"])
    numbers = matlab_files.word_numbers(captions(content))
    assert max(map(max, numbers)) == 539
    theirs = content["codeJ"].ravel()
    assert all(theirs[i].ravel().tolist() == numbers[i] for i in range(0, len(numbers), 97))


def test_names_are_unique_and_end_in_the_category(annotation):
    names = [str(cell[0]) for cell in annotation["nameList"].ravel()]
    assert len(set(names)) == ROWS
    for name, code in zip(names, annotation["cate_new"].ravel(), strict=True):
        top, garment, file = name.split("/")
        assert top == "img" and file.startswith("img_") and len(file) == len("img_00000001.jpg")
        assert garment.split("_")[-1].lower() == CATEGORIES[int(code) - 1]


# --- ind.mat


def test_the_split_covers_every_row_once(splits):
    train, test = splits["train_ind"].ravel(), splits["test_ind"].ravel()
    assert splits["train_ind"].shape == (len(train), 1) and splits["train_ind"].dtype == np.float64
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(1, ROWS + 1))
    assert np.all(np.diff(train) > 0) and np.all(np.diff(test) > 0)
    assert len(test) == ROWS // 4


def test_every_test_row_has_another_one_as_donor(splits):
    test, pairs = splits["test_ind"].ravel(), splits["test_set_pair_ind"].ravel()
    assert np.array_equal(np.sort(pairs), test) and not np.any(pairs == test)


def test_the_first_rows_are_all_held_out():
    listed = synthetic.list_rows(6000)
    assert np.array_equal(listed.test[:257], np.arange(1, 258)) and 258 not in listed.test[:258]
    assert len(listed.test) == 1500


def test_folders_are_shared_by_the_split_and_neighbours_by_garment():
    listed = synthetic.list_rows(2000)
    names = [row.name.split("/")[1] for row in listed.rows]
    train, test = ({names[row - 1] for row in rows} for rows in (listed.train, listed.test))
    assert len(train & test) > 0.8 * len(test)
    sizes = Counter(names)
    assert 10 <= np.median(list(sizes.values())) <= 24 and max(sizes.values()) <= 96
    again = [a.sentence == b.sentence for a, b in zip(listed.rows, listed.rows[1:], strict=False)]
    assert 0.08 < np.mean(again) < 0.4


def test_every_class_of_the_default_archive_can_be_learnt():
    rows = synthetic.list_rows(None).rows
    assert len(rows) == 6000
    categories = Counter(row.labels.category for row in rows)
    colors = Counter(row.labels.color for row in rows)
    assert set(categories) == set(CATEGORIES) and min(categories.values()) >= 150
    assert min(colors[color] for color in COLORS if color not in ("blonde", "silver", "olive")) >= 150
    assert categories["dress"] > 5 * categories["bomber"]


def test_a_split_needs_two_sides():
    with pytest.raises(DataError, match="leaves no rows"):
        listing.invent(10, 10, 0, 0.5)


# --- img.zip


def test_pictures_are_encrypted_jpegs_in_row_order(folder, annotation, jpegs):
    with zipfile.ZipFile(folder / "Img/img.zip") as file:
        assert all(info.flag_bits & 1 for info in file.infolist())
    assert list(jpegs) == [str(cell[0]) for cell in annotation["nameList"].ravel()]
    for content in jpegs.values():
        picture = Image.open(io.BytesIO(content))
        assert (picture.format, picture.size, picture.mode) == ("JPEG", (SIZE, SIZE), "RGB")


def test_the_readers_of_the_real_archive_read_it(folder, annotation, monkeypatch):
    monkeypatch.setenv("FSYNTH_ZIP_PASSWORD", synthetic.PASSWORD)
    listed = synthetic.list_rows(ROWS, 3)
    for source in ("zip", "hdf5"):
        both = fashion_synthesis.load(folder, source)
        assert [row + 1 for row in both["test"]["row"]] == listed.test.tolist()
        one = both["train"][0]
        assert one["image"].size == (SIZE, SIZE) and one["text"] == listed.rows[one["row"]].sentence


# --- G2.h5


def test_the_hdf5_is_upright_after_adding_the_mean_and_swapping_axes(folder, jpegs):
    with h5py.File(folder / "Img/G2.h5", locking=False) as file:
        pictures, mean = file["ih"], file["ih_mean"][...]
        assert pictures.shape == (ROWS, 3, SIZE, SIZE) and pictures.dtype == mean.dtype == np.float32
        assert mean.shape == (3, SIZE, SIZE) and mean.min() >= 0 and mean.max() <= 1
        assert np.abs(pictures[...].mean(axis=0)).max() < 1e-4, "the mean is off"
        for row, content in enumerate(jpegs.values()):
            upright = (pictures[row] + mean).transpose(2, 1, 0) * 255
            fitting = np.abs(upright - pixels(content)).mean()
            lying = np.abs((pictures[row] + mean).transpose(1, 2, 0) * 255 - pixels(content)).mean()
            assert fitting < 3 and fitting < lying / 3


def test_large_pictures_are_128_px_in_the_hdf5_as_the_benchmark_has_them(tmp_path):
    place = synthetic.make_archive(tmp_path / "large", 4, seed=1, size=192, hdf5=True, workers=0, held_out=1)
    with (
        h5py.File(place / "Img/G2.h5", locking=False) as file,
        zipfile.ZipFile(place / "Img/img.zip") as zipped,
    ):
        assert file["ih"].shape == (4, 3, 128, 128) and file["b_"].shape == (4, 1, 128, 128)
        for row, name in enumerate(zipped.namelist()):
            large = Image.open(io.BytesIO(zipped.read(name, pwd=synthetic.PASSWORD.encode())))
            assert large.size == (192, 192)
            small = np.asarray(large.resize((128, 128), Image.Resampling.LANCZOS), float)
            upright = (file["ih"][row] + file["ih_mean"][...]).transpose(2, 1, 0) * 255
            assert np.abs(upright - small).mean() < 3


def test_the_segmentation_lies_on_the_garment(folder):
    lines = (folder / "Anno/boxes.jsonl").read_text().splitlines()
    with h5py.File(folder / "Img/G2.h5", locking=False) as file:
        assert file["b_"].shape == (ROWS, 1, SIZE, SIZE) and file["b_"].dtype == np.uint8
        for row, line in enumerate(lines):
            parts = file["b_"][row, 0].T
            x1, y1, x2, y2 = (round(v) for v in json.loads(line)["garments"][0]["box"])
            inside = np.isin(parts[y1:y2, x1:x2], (UPPER, LOWER)).sum()
            assert inside > 0.4 * (y2 - y1) * (x2 - x1)


# --- geometry


def test_boxes_have_a_line_for_every_picture(folder, annotation):
    lines = [json.loads(line) for line in (folder / "Anno/boxes.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == [str(cell[0]) for cell in annotation["nameList"].ravel()]
    for line in lines:
        first = line["garments"][0]
        assert first["labels"]["category"] == first["category"]
        for garment in line["garments"]:
            x1, y1, x2, y2 = garment["box"]
            assert 0 <= x1 < x2 <= SIZE and 0 <= y1 < y2 <= SIZE
            assert len(garment["landmarks"]) == {"upper": 6, "lower": 4, "full": 8}[garment["kind"]]
            assert all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in garment["polygons"])


@pytest.mark.parametrize("look", figure.LOOKS)
@pytest.mark.parametrize(("category", "label"), [("tee", UPPER), ("dress", LOWER), ("coat", UPPER)])
def test_all_parts_of_a_figure_are_told_apart(look, category, label):
    labels = GarmentLabels("female", "short", category, "red")
    parts = segment(figure.pose(labels, np.random.default_rng(0), look), 128)
    shares = np.bincount(parts.ravel(), minlength=7) / parts.size
    assert shares[label] > (0.005 if look == "street" else 0.03)
    assert shares[BACKGROUND] > 0.3 and all(shares[[HAIR, FACE, ARMS]] > 0.0005)
    if category == "dress":
        assert shares[LEGS] > 0.0005


def test_hair_is_above_and_legs_are_below():
    labels = GarmentLabels("male", "long", "sweater", "blue")
    parts = segment(figure.pose(labels, np.random.default_rng(1), "runway"), 128)
    height = {part: np.nonzero(parts == part)[0].mean() for part in (HAIR, FACE, UPPER, LOWER, LEGS)}
    assert height[HAIR] < height[FACE] < height[UPPER] < height[LOWER] < height[LEGS]


# --- the same arguments, the same bytes


def test_bytes_depend_on_the_seed_and_not_on_the_number_of_processes(tmp_path):
    rows = drawing_workers.BLOCK + 5
    alone = synthetic.make_archive(tmp_path / "alone", rows, size=32, workers=0)
    shared = synthetic.make_archive(tmp_path / "shared", rows, size=32, workers=2)
    for name in drawn_archive.FILES:
        assert (alone / name).read_bytes() == (shared / name).read_bytes(), name
    other = synthetic.make_archive(tmp_path / "other", rows, seed=1, size=32, workers=0)
    for name in ("Anno/language_original.mat", "Img/img.zip", "Eval/ind.mat"):
        assert (alone / name).read_bytes() != (other / name).read_bytes(), name


def test_a_picture_keeps_its_geometry_at_another_size():
    labels = [GarmentLabels("female", "long", "coat", "green")]
    small, large = (drawing_workers.draw_one(Task(labels, 7, "catalogue", size), 0) for size in (64, 128))
    halved = np.array(large.garments[0]["box"]) / 2
    assert np.allclose(small.garments[0]["box"], halved, atol=0.11)


def test_a_worker_that_dies_is_one_line(monkeypatch):
    monkeypatch.setattr(drawing_workers, "_START", "raise SystemExit(3) # {root}")
    task = Task([GarmentLabels("female", "long", "coat", "green")] * 64, 0, "catalogue", 32)
    with pytest.raises(OutputError, match="exit code 3"):
        list(drawing_workers.draw_all(task, 2))


NOISY = """
import os, sys; sys.path[:0] = [{root!r}]
from fsynth.data import drawing_workers as workers
drawn = workers.draw_one
workers.draw_one = lambda *task: (os.write(1, b"a library speaks"), drawn(*task))[1]
workers.serve()
"""


@pytest.mark.parametrize("start", [NOISY, "print('no picture', flush=True); import time; time.sleep(100)"])
def test_what_a_worker_prints_neither_hangs_nor_spoils_the_pictures(monkeypatch, start):
    monkeypatch.setattr(drawing_workers, "_START", start)
    task = Task([GarmentLabels("female", "long", "coat", "green")], 0, "catalogue", 32)
    began = time.monotonic()
    with drawing_workers._started() as worker:
        drawing_workers._feed(worker, (task, 0, 1))
        if start == NOISY:
            assert drawing_workers._receive(worker) == [drawing_workers.draw_one(task, 0)]
        else:
            with pytest.raises(OutputError, match="a drawing process ended early"):
                drawing_workers._receive(worker)
    assert time.monotonic() - began < 60


# --- a given annotation


def test_a_given_annotation_is_drawn_with_its_captions_and_split(folder, tmp_path, annotation, splits):
    copy = synthetic.make_archive(tmp_path / "copy", annotation=folder, size=32, workers=0)
    again = matlab.loadmat(copy / "Anno/language_original.mat")
    for name in ("cate_new", "color_", "gender_", "sleeve_"):
        assert np.array_equal(again[name], annotation[name])
    assert captions(again) == captions(annotation)
    assert np.array_equal(matlab.loadmat(copy / "Eval/ind.mat")["test_ind"], splits["test_ind"])
    assert "keep its terms" in (copy / "README.txt").read_text()


def test_some_rows_of_a_given_annotation_keep_both_sides_of_the_split(folder, annotation):
    some = listing.read(folder, 9, seed=0)
    assert len(some.rows) == 9 and len(some.test) == 2 and len(some.train) == 7
    assert {row.sentence for row in some.rows} <= set(captions(annotation))
    with pytest.raises(DataError, match="61 rows asked for"):
        listing.read(folder, 61, seed=0)


def test_rows_of_the_real_annotation_can_be_drawn(real):
    some = listing.read(real, 40, seed=0)
    assert len(some.rows) == 40 and 1 <= len(some.test) <= 8
    task = Task([row.labels for row in some.rows], 0, "catalogue", 32)
    assert len(list(drawing_workers.draw_all(task, 0))) == 40


def test_the_real_prints_are_named(real):
    rows = listing.read(real, 4000, seed=0).rows
    lettered = [row for row in rows if "letters" in row.sentence]
    assert lettered and all("letters" in row.labels.terms for row in lettered)
    assert not any(row.labels.terms == ("letters", "print") for row in rows)

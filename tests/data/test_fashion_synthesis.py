"""The benchmark as datasets: layouts, codes, splits, row counts, both picture sources."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import io as matlab

from fsynth.data import annotation, fashion_synthesis, labels
from fsynth.errors import DataError, PasswordError
from tests.data import make_fixture as make

REPO = Path(__file__).resolve().parents[2]
SHARED = REPO.parent / "shared" / "data"
ROWS = make.ROWS
COLUMNS = ["image", "text", "gender", "sleeve", "category", "color", "name", "row"]

pytestmark = pytest.mark.usefixtures("password")


def needs(folder: str) -> Path:
    if not (SHARED / folder).is_dir():
        pytest.skip(f"no {SHARED / folder}")
    return SHARED / folder


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert make.PASSWORD.decode() not in text
    return text


def array(dataset, index: int) -> np.ndarray:
    return np.asarray(dataset[index]["image"])


# ---------------------------------------------------------------------------------------- tables


def test_rows_are_counted_from_zero_and_stay_with_their_split(benchmark_folder):
    splits = fashion_synthesis.load(benchmark_folder)
    assert splits["test"]["row"][:] == list(range(0, ROWS, 4))
    assert splits["train"]["row"][:] == [row for row in range(ROWS) if row % 4]
    for row in splits["train"].remove_columns("image"):
        assert row["text"] == f"the lady wore a red sleeveless dress number {row['row']}."
        assert row["name"] == make.name(row["row"])
        assert [row[key] for key in ("category", "color", "gender", "sleeve")] == [
            row["row"] % classes for classes in (19, 17, 2, 4)
        ]


def test_columns_are_those_of_the_contract(benchmark_folder):
    import datasets

    train = fashion_synthesis.load(benchmark_folder)["train"]
    assert train.column_names == COLUMNS
    assert isinstance(train.features["image"], datasets.Image)
    for column, names in labels.LABELS.items():
        assert train.features[column] == datasets.ClassLabel(names=list(names))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
def test_codes_and_splits_may_be_of_any_number_type_and_lie_flat(tmp_path, dtype):
    plain = {key: value.astype(dtype).T for key, value in make.split_variables(ROWS).items()}
    codes = {
        key: make.annotation_variables(ROWS)[key].astype(dtype)
        for key in ("cate_new", "color_", "gender_", "sleeve_")
    }
    changed = fashion_synthesis.load(make.write_annotation(tmp_path / "a", codes, plain))
    usual = fashion_synthesis.load(make.write_annotation(tmp_path / "b"))
    assert changed["train"].to_dict() == usual["train"].to_dict()
    assert changed["test"].to_dict() == usual["test"].to_dict()


def test_an_annotation_without_pictures_opens_alone(tmp_path):
    splits = fashion_synthesis.load(make.write_annotation(tmp_path))
    assert "image" not in splits["train"].column_names
    assert len(splits["train"]) + len(splits["test"]) == ROWS


def test_the_real_annotation_has_the_counts_of_the_benchmark():
    splits = fashion_synthesis.load(needs("fashion-synthesis-annotations"))
    assert (len(splits["train"]), len(splits["test"])) == (70_000, 8_979)
    both = np.concatenate([splits["train"]["category"][:], splits["test"]["category"][:]])
    assert np.bincount(both)[labels.CATEGORIES.index("dress")] == 23_209
    assert np.bincount(splits["test"]["category"][:])[labels.CATEGORIES.index("bomber")] == 16
    assert splits["test"][0]["text"] == "the lady was wearing a blue long-sleeved blouse."
    assert splits["test"]["row"][:257] == list(range(257))


def test_the_real_annotation_opens_quickly_and_small():
    folder = needs("fashion-synthesis-annotations")
    if not Path("/proc/self/status").is_file():
        pytest.skip("the peak memory of a process is read from /proc")
    script = (
        "import sys, time, datasets, scipy.io, fsynth.data.fashion_synthesis as f\n"
        "start = time.process_time()  # a busy machine does not count\n"
        "splits = f.load(sys.argv[1])\n"
        "print(time.process_time() - start)\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
        "assert 'torch' not in sys.modules"
    )
    out = subprocess.run(
        [sys.executable, "-c", script, folder], cwd=REPO, capture_output=True, text=True, check=True
    )
    seconds, kibibytes = map(float, out.stdout.split())
    assert seconds < 3
    assert kibibytes < 600 * 1024


# --------------------------------------------------------------------------------------- layouts


@pytest.mark.parametrize(
    "anno, split, pictures",
    [
        ("Anno/language_original.mat", "Eval/ind.mat", "Img/G2.h5"),
        ("data_release/benchmark/language_original.mat", "data_release/benchmark/ind.mat", "G2.h5"),
        ("Anno/language_original.mat", "Eval/ind.mat", "Img/data_release/supervision_signals/G2.h5"),
        ("LANGUAGE_ORIGINAL.MAT", "Ind.mat", "g2.H5"),
        ("Fashion Synthesis Benchmark/Anno/Language_Original.mat", "x/y/z/IND.mat", "Fashion/Img/G2.h5"),
    ],
)
def test_files_are_found_in_every_layout(tmp_path, anno, split, pictures):
    make.save_mat(tmp_path / anno, make.annotation_variables(ROWS))
    make.save_mat(tmp_path / split, make.split_variables(ROWS))
    make.save_hdf5(tmp_path / pictures, ROWS)
    assert np.array_equal(array(fashion_synthesis.load(tmp_path)["test"], 1), make.picture(4))


def test_equal_copies_are_one_file_and_different_ones_an_error(tmp_path):
    make.write_annotation(tmp_path)
    make.write_annotation(tmp_path / "deeper" / "copy")
    found = fashion_synthesis.find(tmp_path)
    assert found.annotation == tmp_path / "language_original.mat"
    assert any("2 equal copies of language_original.mat" in note for note in found.notes)
    make.write_annotation(tmp_path / "other", {"color_": np.ones((ROWS, 1))})
    with pytest.raises(DataError, match="differ") as error:
        fashion_synthesis.find(tmp_path)
    assert "other/language_original.mat" in one_line(error)


def test_a_link_that_leads_back_does_not_trap_the_search(tmp_path):
    make.write_annotation(tmp_path / "here")
    (tmp_path / "here" / "loop").symlink_to(tmp_path)
    assert fashion_synthesis.find(tmp_path).annotation == tmp_path / "here" / "language_original.mat"


@pytest.mark.parametrize(
    "missing, wanted", [("language_original.mat", "no language_original.mat"), ("ind.mat", "no ind")]
)
def test_a_missing_file_is_named(tmp_path, missing, wanted):
    (make.write_annotation(tmp_path) / missing).unlink()
    with pytest.raises(DataError, match=wanted) as error:
        fashion_synthesis.load(tmp_path)
    assert str(tmp_path) in one_line(error)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        fashion_synthesis.find(tmp_path / "nowhere")


# ------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("source", [None, "zip", "hdf5"])
def test_an_hdf5_with_fewer_rows_is_refused_whatever_the_source(tmp_path, source):
    make.write_benchmark(tmp_path, ROWS)
    make.save_hdf5(tmp_path / "Img" / "G2.h5", ROWS - 5)
    with pytest.raises(DataError) as error:
        fashion_synthesis.load(tmp_path, source)
    text = one_line(error)
    assert "24 rows" in text and "ih in" in text and "b_ in" in text and " 19" in text


def test_every_row_count_that_differs_is_named_at_once(tmp_path):
    short = {"nameList": make.cells(["img/a/b.jpg"] * 20), "sleeve_": np.ones((7, 1))}
    with pytest.raises(DataError) as error:
        fashion_synthesis.load(make.write_annotation(tmp_path, short))
    text = one_line(error)
    assert "nameList 20" in text and "sleeve_ 7" in text and "cate_new" not in text


@pytest.mark.parametrize(
    "splits, wanted",
    [
        ({"train_ind": [[2.0], [25.0]]}, "train_ind holds row 25, outside 1..24"),
        ({"test_ind": [[0.0], [1.0]]}, "test_ind holds row 0, outside 1..24"),
        ({"test_ind": [[1.0], [2.0], [5.0]]}, r"1 rows are in train_ind and in test_ind \(first: row 2\)"),
        ({"test_ind": [[1.0], [5.0]]}, r"4 of 24 rows are in neither .* \(first: row 9\)"),
        ({"test_ind": [[1.0], [1.0], [5.0]]}, r"test_ind holds 1 rows more than once \(first: row 1\)"),
        ({"test_ind": [[1.5]]}, "test_ind holds something else than whole numbers"),
        ({"test_ind": [[float("nan")]]}, "test_ind holds something else than whole numbers"),
    ],
)
def test_a_split_that_is_not_one_is_refused(tmp_path, splits, wanted):
    changed = {key: np.array(value) for key, value in splits.items()}
    with pytest.raises(DataError, match=wanted) as error:
        fashion_synthesis.load(make.write_annotation(tmp_path, None, changed))
    assert "ind.mat" in one_line(error)


@pytest.mark.parametrize(
    "variable, code, wanted",
    [
        ("cate_new", 20, r"cate_new holds 20 at row 3, outside 1\.\.19"),
        ("color_", 0, r"color_ holds 0 at row 3, outside 1\.\.17"),
        ("gender_", 2, r"gender_ holds 2 at row 3, outside 0\.\.1"),
        ("sleeve_", 5, r"sleeve_ holds 5 at row 3, outside 1\.\.4"),
    ],
)
def test_a_code_outside_its_table_is_refused(tmp_path, variable, code, wanted):
    codes = make.annotation_variables(ROWS)[variable]
    codes[2] = code
    with pytest.raises(DataError, match=wanted):
        fashion_synthesis.load(make.write_annotation(tmp_path, {variable: codes}))


def test_a_broken_annotation_is_one_line(tmp_path):
    make.write_annotation(tmp_path)
    file = tmp_path / "language_original.mat"
    for content in (b"", b"not MATLAB at all\n" * 20, file.read_bytes()[:700]):
        file.write_bytes(content)
        with pytest.raises(DataError) as error:
            fashion_synthesis.load(tmp_path)
        assert str(file) in one_line(error)


def test_another_matlab_file_is_no_annotation(tmp_path):
    make.write_annotation(tmp_path)
    matlab.savemat(tmp_path / "language_original.mat", {"engJ": make.cells(["a"])})
    with pytest.raises(DataError, match="lacks the variable"):
        fashion_synthesis.load(tmp_path)


def test_a_broken_hdf5_is_one_line(tmp_path):
    import h5py

    make.write_annotation(tmp_path)
    (tmp_path / "G2.h5").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"cannot open .*G2\.h5 as HDF5"):
        fashion_synthesis.load(tmp_path)
    with h5py.File(tmp_path / "G2.h5", "w") as file:
        file["ih"] = np.zeros((ROWS, 24, 16, 3), np.float32)
        file["ih_mean"] = np.zeros((24, 16, 3), np.float32)
    with pytest.raises(DataError, match=r"should be \(N, 3, W, H\)") as error:
        fashion_synthesis.load(tmp_path)
    one_line(error)


@pytest.mark.parametrize("source", ["zip", "hdf5"])
def test_a_source_that_is_not_there_is_refused(tmp_path, source):
    with pytest.raises(DataError, match="try --image-source"):
        fashion_synthesis.load(make.write_annotation(tmp_path), source)


# -------------------------------------------------------------------------------------- pictures


def test_the_zip_is_preferred_and_both_sources_show_the_same_pictures(benchmark_folder):
    by_zip = fashion_synthesis.load(benchmark_folder)["train"]
    by_hdf5 = fashion_synthesis.load(benchmark_folder, "hdf5")["train"]
    assert by_zip[0]["image"].format == "JPEG"
    for index, row in enumerate(by_zip["row"][:]):
        assert np.array_equal(array(by_hdf5, index), make.picture(row))
        assert np.abs(array(by_zip, index).astype(int) - make.picture(row)).mean() < 4


def test_pictures_of_both_sources_agree_on_real_photos():
    from PIL import Image

    folder = needs("clothing-photos-300")
    password = (folder / "password.txt").read_text().strip()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSYNTH_ZIP_PASSWORD", password)
        by_zip, by_hdf5 = (fashion_synthesis.load(folder, source) for source in ("zip", "hdf5"))
        differences = []
        for split in ("train", "test"):
            for a, b in zip(by_zip[split]["image"], by_hdf5[split]["image"], strict=True):
                small = a.resize((128, 128), Image.Resampling.LANCZOS)
                differences.append(np.abs(np.asarray(small, int) - np.asarray(b, int)).mean())
    assert len(differences) == 300
    assert np.mean(differences) < 2
    assert max(differences) < 6


def test_a_turned_or_gray_picture_comes_out_upright_and_rgb(tmp_path):
    from PIL import Image

    turned, gray = io.BytesIO(), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees
    Image.new("RGB", (30, 10)).save(turned, "JPEG", exif=exif)
    Image.new("L", (30, 10), 77).save(gray, "PNG")
    members = {make.name(0): turned.getvalue(), make.name(4): gray.getvalue()}
    make.save_zip(make.write_annotation(tmp_path) / "img.zip", ROWS, members=members)
    test = fashion_synthesis.load(tmp_path)["test"]
    assert (test[0]["image"].size, test[0]["image"].mode) == ((10, 30), "RGB")
    assert (test[1]["image"].mode, test[1]["image"].getpixel((3, 3))) == ("RGB", (77, 77, 77))


@pytest.mark.parametrize("prefix", ["img/", "Img/img/", "img_highres/", "", "a b/c/"])
def test_members_match_under_any_prefix(prefix):
    names = [make.name(row) for row in range(ROWS)]
    members = [prefix + name.removeprefix("img/") for name in names]
    noise = ["readme.txt", "img/other.jpg", "img_00000001.jpg", *(f"masks/{name}.png" for name in names)]
    assert fashion_synthesis.match(names, [*noise, *members]) == members


def test_the_fuller_of_two_folders_counts():
    names = [make.name(row) for row in range(4)]
    assert fashion_synthesis.match(names, [*(f"b/{n}" for n in names), f"a/{names[0]}"]) == [
        f"b/{name}" for name in names
    ]


def test_missing_members_are_counted_and_the_first_is_named(tmp_path):
    make.write_annotation(tmp_path)
    make.save_zip(tmp_path / "img.zip", ROWS - 3)
    with pytest.raises(DataError, match="lacks 3 of 24 pictures") as error:
        fashion_synthesis.load(tmp_path)
    assert make.name(21) in one_line(error)


def test_the_zip_of_another_benchmark_is_left_alone(tmp_path):
    make.write_annotation(tmp_path)
    make.save_zip(tmp_path / "in-shop" / "img.zip", 0, members={"img/WOMEN/Tees/01_front.jpg": make.jpeg(0)})
    with pytest.raises(DataError, match="another benchmark"):
        fashion_synthesis.load(tmp_path)
    make.save_hdf5(tmp_path / "G2.h5", ROWS)
    opened = fashion_synthesis.open_layout(fashion_synthesis.find(tmp_path), None, 2**30)
    assert opened.pictures == tmp_path / "G2.h5"
    assert any("holds none of the pictures" in note for note in opened.notes)


def test_a_truncated_zip_is_one_line(tmp_path):
    file = make.save_zip(make.write_annotation(tmp_path) / "img.zip", ROWS)
    file.write_bytes(file.read_bytes()[:-3000])
    with pytest.raises(DataError) as error:
        fashion_synthesis.load(tmp_path)
    assert str(file) in one_line(error)


@pytest.mark.parametrize("wrong", ["not-the-password", None])
def test_a_wrong_or_missing_password_is_told_when_opening(benchmark_folder, monkeypatch, wrong):
    monkeypatch.delenv("FSYNTH_ZIP_PASSWORD")
    if wrong:
        monkeypatch.setenv("FSYNTH_ZIP_PASSWORD", wrong)
    with pytest.raises(PasswordError) as error:
        fashion_synthesis.load(benchmark_folder)
    assert "not-the-password" not in one_line(error)


def test_annotation_rows_must_agree_with_what_is_given(tmp_path):
    file = make.write_annotation(tmp_path) / "language_original.mat"
    assert len(annotation.read(file, {"ih": ROWS})) == ROWS
    with pytest.raises(DataError, match="ih 23"):
        annotation.read(file, {"ih": 23})

"""`fsynth data-check`: every fault of a broken archive is found, each with exit code 1; whole ones pass."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fsynth import cli
from fsynth.commands import data_check
from fsynth.config import DataCheckConfig
from fsynth.data import zip_writer
from fsynth.data.labels import LABELS
from fsynth.errors import ConfigError
from tests.data import make_fixture

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
ROWS = 120
SIZE = 16, 24
GARMENTS = ("Dress", "Tee", "Blouse", "Coat")
COLORS = ("red", "blue", "black")


def _picture(row: int) -> np.ndarray:
    """(24, 16, 3) uint8, smooth, each row another one."""
    from PIL import Image

    coarse = np.random.default_rng(row).integers(0, 256, (12, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC))


def _file(row: int, kind: str = "JPEG") -> bytes:
    from PIL import Image

    content = io.BytesIO()
    large = Image.fromarray(_picture(row)).resize((64, 96), Image.Resampling.BICUBIC)
    large.save(content, kind, quality=95, subsampling=0)
    return content.getvalue()


def _name(row: int) -> str:
    return f"img/Number_{row // 8}_{GARMENTS[row // 8 % 4]}/img_{row + 1:08d}.jpg"


class Parts:
    """The files of a whole archive, to be broken before they are written."""

    def __init__(self) -> None:
        garments = [GARMENTS[row // 8 % 4].lower() for row in range(ROWS)]
        colors = [COLORS[row % 3] for row in range(ROWS)]
        self.text = [f"the lady wore a {c} sleeveless {g}." for c, g in zip(colors, garments, strict=True)]
        self.name = [_name(row) for row in range(ROWS)]
        self.cate_new = [LABELS["category"].index(garment) + 1 for garment in garments]
        self.color_ = [LABELS["color"].index(color) + 1 for color in colors]
        self.splits = make_fixture.split_variables(ROWS)
        self.members = {name: _file(row) for row, name in enumerate(self.name)}
        self.hdf5 = np.stack([_picture(row) for row in range(ROWS)])
        self.password, self.compress = make_fixture.PASSWORD, False

    def write(self, root: Path) -> Path:
        import h5py

        column = {"cate_new": self.cate_new, "color_": self.color_}
        column |= {"gender_": [0] * ROWS, "sleeve_": [3] * ROWS}
        numbers = {name: np.array(values, float).reshape(-1, 1) for name, values in column.items()}
        strings = {"engJ": make_fixture.cells(self.text), "nameList": make_fixture.cells(self.name)}
        make_fixture.save_mat(root / "language_original.mat", {**numbers, **strings})
        make_fixture.save_mat(root / "ind.mat", self.splits)
        zip_writer.write_encrypted_zip(
            root / "img.zip", self.members.items(), make_fixture.PASSWORD, compress=self.compress
        )
        stored = self.hdf5.astype(np.float32).transpose(0, 3, 2, 1) / 255
        with h5py.File(root / "G2.h5", "w") as file:
            file["ih"], file["ih_mean"] = stored - stored.mean(axis=0), stored.mean(axis=0)
        (root / "password.txt").write_bytes(self.password)
        return root

    def swap(self, column: str, a: int, b: int) -> None:
        values = getattr(self, column)
        values[a], values[b] = values[b], values[a]


def _missing_member(parts: Parts) -> None:
    del parts.members[_name(5)]


def _swapped_sentences(parts: Parts) -> None:
    parts.swap("text", 0, 8)


def _swapped_categories(parts: Parts) -> None:
    parts.swap("cate_new", 16, 24)


def _swapped_pictures(parts: Parts) -> None:
    parts.members[_name(0)], parts.members[_name(8)] = _file(8), _file(0)


def _duplicates(parts: Parts) -> None:
    for row in (2, 3):
        parts.members[_name(row)] = _file(1)
        parts.hdf5[row] = _picture(1)


def _test_picture_in_training(parts: Parts) -> None:
    parts.members[_name(1)], parts.hdf5[1] = _file(0), _picture(0)


def _near_duplicate(parts: Parts) -> None:
    """One picture, saved twice: with texture, as photos have it."""
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((64, 96), Image.Resampling.BICUBIC)
    for row, quality in ((1, 95), (2, 80)):
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=quality, subsampling=0)
        parts.members[_name(row)] = content.getvalue()
        parts.hdf5[row] = np.asarray(picture.resize(SIZE, Image.Resampling.LANCZOS))


def _overlapping_split(parts: Parts) -> None:
    parts.splits["train_ind"] = np.vstack([[1.0], parts.splits["train_ind"]])


def _split_beyond_the_rows(parts: Parts) -> None:
    parts.splits["train_ind"] = np.vstack([parts.splits["train_ind"], [ROWS + 1.0]])


def _row_in_no_split(parts: Parts) -> None:
    parts.splits["train_ind"] = parts.splits["train_ind"][1:]


def _wrong_count(parts: Parts) -> None:
    parts.hdf5 = parts.hdf5[:-1]


def _short_variable(parts: Parts) -> None:
    parts.color_ = parts.color_[:-1]


def _foreign_code(parts: Parts) -> None:
    parts.color_[4] = 18


def _non_picture(parts: Parts) -> None:
    parts.members[_name(7)] = b"this is a text, not a picture"


def _cut_short(parts: Parts) -> None:
    parts.members[_name(7)] = _file(7)[:-400]


def _wrong_password(parts: Parts) -> None:
    parts.password = b"not this one"


def _repeated_name(parts: Parts) -> None:
    parts.name[1] = parts.name[0]


def _climbing_name(parts: Parts) -> None:
    parts.members["../../etc/passwd"] = b"root"


def _bomb(parts: Parts) -> None:
    """A picture of 400 million pixels in a few kilobytes."""
    from PIL import Image

    content = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(content, "PNG")
    parts.members[_name(7)] = content.getvalue()


def _inflating_member(parts: Parts) -> None:
    """16 MiB in 16 kB."""
    parts.members["img/large.bmp"], parts.compress = bytes(2**24 + 1), True


def _empty_sentence(parts: Parts) -> None:
    parts.text[4] = " "


FAULTS: dict[Callable[[Parts], None], str] = {
    _missing_member: "members",
    _swapped_sentences: "caption-code",
    _swapped_categories: "name-category",
    _swapped_pictures: "sources",
    _duplicates: "exact-duplicates",
    _test_picture_in_training: "exact-duplicates-across-splits",
    _overlapping_split: "split",
    _split_beyond_the_rows: "split",
    _row_in_no_split: "split",
    _wrong_count: "counts",
    _short_variable: "counts",
    _foreign_code: "codes",
    _non_picture: "unreadable",
    _cut_short: "unreadable",
    _wrong_password: "password",
    _repeated_name: "names",
    _climbing_name: "zip-slip",
    _bomb: "unreadable",
    _inflating_member: "decompression-bombs",
    _empty_sentence: "captions",
}


def _check(folder: Path, **more: object) -> data_check.DataCheckResult:
    return data_check.main(DataCheckConfig(data=folder, password_file=folder / "password.txt", **more))


def _errors(result: data_check.DataCheckResult) -> set[str]:
    return {finding.check for finding in result.findings if finding.level == "error"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return Parts().write(tmp_path_factory.mktemp("whole"))


def test_a_whole_archive_passes(no_password, whole, capsys):
    assert cli.run(["data-check", "--data", str(whole), "--password-file", str(whole / "password.txt")]) == 0
    shown = capsys.readouterr().err
    assert "verdict: fit for training" in shown and "error" not in shown and "warning" not in shown
    assert "120 members with ZipCrypto" in shown and "120 rows, 90 for training, 30 held out" in shown
    assert "120 pictures, 64 x 96 px, RGB" in shown


@pytest.mark.parametrize("break_it", FAULTS, ids=lambda function: function.__name__.strip("_"))
def test_each_fault_is_found(no_password, tmp_path, break_it):
    parts = Parts()
    break_it(parts)
    result = _check(parts.write(tmp_path))
    assert FAULTS[break_it] in _errors(result)
    assert result.failure and result.verdict.startswith("not fit")
    found = next(finding for finding in result.findings if finding.check == FAULTS[break_it])
    assert found.count and found.text and found.advice


def test_all_faults_of_one_archive_are_found_at_once(no_password, tmp_path, capsys):
    """A fault hides no other, and the command ends with exit code 1 and a line about the first."""
    parts = Parts()
    together = set(FAULTS) - {_wrong_password, _repeated_name, _cut_short, _bomb, _short_variable}
    for break_it in FAULTS:
        if break_it in together:
            break_it(parts)
    folder = parts.write(tmp_path)
    code = cli.run(
        ["data-check", "--data", str(folder), "--password-file", str(folder / "password.txt"), "--json"]
    )
    assert code == 1
    out, err = capsys.readouterr()
    result = json.loads(out)
    errors = {finding["check"] for finding in result["findings"] if finding["level"] == "error"}
    assert errors == {FAULTS[break_it] for break_it in together}
    last = err.strip().splitlines()[-1]
    assert last.startswith("fsynth: ") and "faults in" in last and "; first: " in last
    assert last.removeprefix("fsynth: ") == " ".join(result["failure"].split())


def test_what_is_found_names_the_rows(no_password, tmp_path):
    parts = Parts()
    for break_it in (_missing_member, _non_picture, _swapped_pictures):
        break_it(parts)
    examples = {finding.check: finding.examples for finding in _check(parts.write(tmp_path)).findings}
    assert examples["members"] == (_name(5),)
    assert examples["unreadable"][0].startswith(f"row 8 {_name(7)}: ")
    assert [line.split(":")[0] for line in examples["sources"]] == [f"row 1 {_name(0)}", f"row 9 {_name(8)}"]


def test_a_picture_saved_again_is_a_near_duplicate(no_password, tmp_path):
    parts = Parts()
    _near_duplicate(parts)
    result = _check(parts.write(tmp_path))
    (found,) = (finding for finding in result.findings if finding.check == "near-duplicates")
    assert found.level == "warning" and found.examples == (f"row 2 {_name(1)} = row 3 {_name(2)}",)
    assert not result.failure and result.verdict == "fit for training; 1 warning"


def test_pictures_of_one_colour_are_a_warning(no_password, tmp_path):
    from PIL import Image

    parts, content = Parts(), io.BytesIO()
    Image.new("RGB", (64, 96), "white").save(content, "PNG")
    parts.members[_name(7)], parts.hdf5[7] = content.getvalue(), 255
    (found,) = [one for one in _check(parts.write(tmp_path)).findings if one.check == "blank"]
    assert (found.level, found.count) == ("warning", 1) and _name(7) in found.examples[0]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_in_the_zip_twice_is_a_fault(no_password, tmp_path):
    parts = Parts()
    parts.write(tmp_path)
    with zipfile.ZipFile(tmp_path / "img.zip", "w") as file:
        for name, content in (*parts.members.items(), (_name(3), _file(4))):
            file.writestr(name, content)
    result = _check(tmp_path)
    (found,) = [one for one in result.findings if one.check == "repeated-members"]
    assert found.level == "error" and found.examples == (_name(3),)
    assert "sources" in _errors(result), "the last one is read, and it is another picture"


def test_workers_find_the_same(no_password, tmp_path):
    parts = Parts()
    for break_it in (_non_picture, _duplicates):
        break_it(parts)
    folder = parts.write(tmp_path)
    assert _check(folder, workers=2).findings == _check(folder).findings


def test_quick_reads_a_sample_and_says_so(no_password, whole):
    result = _check(whole, quick=True)
    (sizes,) = (finding for finding in result.findings if finding.check == "sizes")
    assert sizes.count == 64 and result.verdict == "no fault in a sample of the pictures"
    assert "exact-duplicates" not in result.passed


def test_the_hdf5_alone_is_read(no_password, whole):
    result = _check(whole, image_source="hdf5")
    (sizes,) = (finding for finding in result.findings if finding.check == "sizes")
    assert "16 x 24 px" in sizes.text and not result.failure


@pytest.mark.parametrize("lost", ["language_original.mat", "ind.mat"])
def test_a_file_that_is_missing_or_cut_is_a_finding(no_password, tmp_path, lost):
    folder = Parts().write(tmp_path)
    content = (folder / lost).read_bytes()
    (folder / lost).write_bytes(content[: len(content) // 2])
    assert _errors(_check(folder)) & {"annotation", "split"}
    (folder / lost).unlink()
    assert _errors(_check(folder)) == {"layout"}


@pytest.mark.parametrize("cut, check", [("img.zip", "archive"), ("G2.h5", "hdf5")])
def test_pictures_cut_short_are_a_finding(no_password, tmp_path, cut, check):
    folder = Parts().write(tmp_path)
    content = (folder / cut).read_bytes()
    (folder / cut).write_bytes(content[: len(content) // 2])
    assert check in _errors(_check(folder))


def test_no_password_is_a_finding(no_password, tmp_path):
    folder = Parts().write(tmp_path)
    result = data_check.main(DataCheckConfig(data=folder))
    assert "password" in _errors(result) and not {"probe", "members", "sources"} & {*result.passed}
    (instead,) = (finding for finding in result.findings if finding.check == "sources")
    assert instead.text == "pictures were read from G2.h5 instead; those of img.zip were not opened"
    assert instead.level == "warning"
    assert "sources" not in {one.check for one in _check(folder, image_source="hdf5").findings}


def test_an_image_folder_is_checked_too(no_password, tmp_path):
    """Also one with rows that are not divided, of which one picture is broken and one stands twice."""
    lines = []
    for row in range(30):
        (tmp_path / f"{row}.jpg").write_bytes(b"no picture" if row == 3 else _file(4 if row == 5 else row))
        lines.append(json.dumps({"file_name": f"{row}.jpg", "text": f"the lady wore dress number {row}."}))
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    result = data_check.main(DataCheckConfig(data=tmp_path))
    examples = {finding.check: finding.examples for finding in result.findings}
    assert _errors(result) >= {"unreadable", "exact-duplicates"}
    assert examples["unreadable"][0].startswith("row 4 3.jpg: ")
    assert examples["exact-duplicates"] == ("row 5 4.jpg = row 6 5.jpg",)


def test_another_division_is_refused(whole):
    with pytest.raises(ConfigError, match="--split-by"):
        _check(whole, split_by="garment")


def test_nothing_to_check_is_a_finding(no_password, tmp_path):
    assert _errors(data_check.main(DataCheckConfig(data=tmp_path / "absent"))) == {"layout"}


@pytest.mark.skipif(not (SHARED / "fashion-synthesis-annotations").is_dir(), reason="no real annotation here")
def test_the_real_annotation_has_no_fault(no_password):
    result = data_check.main(DataCheckConfig(data=SHARED / "fashion-synthesis-annotations"))
    assert not _errors(result)
    assert "no pictures" in result.verdict
    (found,) = (finding for finding in result.findings if finding.check == "caption-code")
    assert found.level == "note" and 0 < found.count < 400


@pytest.mark.skipif(not (SHARED / "clothing-photos-300").is_dir(), reason="no real photos here")
def test_real_photos_pass(no_password):
    result = _check(SHARED / "clothing-photos-300")
    assert result.verdict == "fit for training"

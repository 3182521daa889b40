"""`fsynth data-labels`: the table, the agreement, the listing, the plot; complete or absent."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from scipy import io

from fsynth import plots
from fsynth.commands import data_labels
from fsynth.config import DataLabelsConfig
from fsynth.data.labels import LABELS
from fsynth.errors import DataError, OutputError

ROWS = (
    # sentence, gender, sleeve, category, color, as the codes have them
    ("the lady is wearing a blue long-sleeved blosue.", "female", "long", "blouse", "blue"),
    ("the man wore a white short-sleeved tee printed with letters.", "male", "short", "tee", "white"),
    ("the lady wore a gold dress.", "female", "not stated", "dress", "multicolor"),
    ("men wear a black long-sleeved hoodie.", "female", "long", "hoodie", "black"),  # gender differs
    ("the lady is wearing a red sleeveless.", "female", "sleeveless", "dress", "red"),  # no garment said
)


def _write_annotation(folder: Path, splits: bool = True) -> Path:
    def cell(values: list[str]) -> np.ndarray:
        column = np.empty((len(values), 1), dtype=object)
        column[:, 0] = values
        return column

    def codes(label: str, place: int, first: int) -> np.ndarray:
        return np.array([[LABELS[label].index(row[place]) + first] for row in ROWS], dtype=np.float64)

    folder.mkdir(parents=True, exist_ok=True)
    names = [f"img/A_Garment/img_{i:08d}.jpg" for i in range(1, len(ROWS) + 1)]
    content = {"engJ": cell([row[0] for row in ROWS]), "nameList": cell(names)}
    content |= {"gender_": codes("gender", 1, 0), "sleeve_": codes("sleeve", 2, 1)}
    content |= {"cate_new": codes("category", 3, 1), "color_": codes("color", 4, 1)}
    io.savemat(folder / "language_original.mat", content)
    if splits:
        io.savemat(folder / "ind.mat", {"train_ind": [[2.0], [3.0], [5.0]], "test_ind": [[1.0], [4.0]]})
    return folder


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    base = tmp_path_factory.mktemp("labels")
    data = _write_annotation(base / "data")
    return data_labels.main(DataLabelsConfig(data=data, output=base / "out"))


def test_the_table_has_a_line_a_row(result):
    table = parquet.read_table(result.table)
    assert table["row"].to_pylist() == [0, 1, 2, 3, 4]
    assert table["split"].to_pylist() == ["test", "train", "train", "test", "train"]
    assert table["category"].to_pylist() == [row[3] for row in ROWS]
    assert table["said_category"].to_pylist() == ["blouse", "tee", "dress", "hoodie", "unknown"]
    assert table["terms"].to_pylist() == [[], ["letters"], [], [], []]
    assert table["agrees"].to_pylist() == [True, True, True, False, False]


def test_the_bars_show_what_sentences_say(result):
    panels = data_labels._panels(parquet.read_table(result.table))
    assert panels["Category"] == {"blouse": 1, "tee": 1, "dress": 1, "hoodie": 1, "unknown": 1}
    assert panels["Gender"] == {"female": 3, "male": 2} and panels["Sleeve"]["unknown"] == 1


def test_csv_and_parquet_hold_the_same(result):
    with open(result.folder / "labels.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    table = parquet.read_table(result.table)
    assert list(lines[0]) == table.column_names
    assert [line["text"] for line in lines] == table["text"].to_pylist()
    assert lines[1]["terms"] == "letters"


def test_agreement_follows_the_counting_rule(result):
    """Unsaid sleeve is code 4 and unsaid colour code 17; unsaid category and contradictions differ."""
    found = json.loads((result.folder / "agreement.json").read_text(encoding="utf-8"))
    assert found["rows"] == result.rows == 5
    assert {column: one["disagree"] for column, one in found["columns"].items()} == {
        "gender": 1,
        "sleeve": 0,
        "category": 1,
        "color": 0,
    }
    assert found["columns"] == result.agreement
    assert result.agreement["sleeve"]["unsaid"] == 1
    assert data_labels._lines(result.agreement, result.rows)[-1] == (
        "unsaid by the sentence: agrees with the code 'not stated' (sleeve) and 'multicolor' (color), "
        "else differs"
    )
    assert result.agreement["gender"]["share"] == pytest.approx(0.8)


def test_what_disagrees_is_listed(result):
    with open(result.disagreements, newline="", encoding="utf-8") as file:
        lines = [
            (line["row"], line["column"], line["code"], line["sentence"]) for line in csv.DictReader(file)
        ]
    assert lines == [("3", "gender", "female", "male"), ("4", "category", "dress", "unknown")]


def test_the_plot_is_a_picture(result):
    assert result.plot.read_bytes().startswith(b"\x89PNG")


def test_the_agreement_is_shown_and_the_folder_whole(tmp_path, capsys):
    data = _write_annotation(tmp_path / "data")
    data_labels.main(DataLabelsConfig(data=data, output=tmp_path / "out"))
    talk = capsys.readouterr()
    assert talk.out == ""
    assert "category          4        5    80.00 %        1        1" in talk.err
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_an_annotation_without_splits_is_enough(tmp_path):
    data = _write_annotation(tmp_path / "data", splits=False)
    result = data_labels.main(DataLabelsConfig(data=data, output=tmp_path / "out"))
    assert parquet.read_table(result.table)["split"].to_pylist() == [None] * 5


def test_a_broken_annotation_leaves_nothing_behind(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "language_original.mat").write_bytes(b"not a MATLAB file")
    with pytest.raises(DataError, match="language_original"):
        data_labels.main(DataLabelsConfig(data=data, output=tmp_path / "out"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_full_output_folder_is_refused(tmp_path):
    data = _write_annotation(tmp_path / "data")
    with pytest.raises(OutputError, match="not empty"):
        data_labels.main(DataLabelsConfig(data=data, output=data))


def test_bars_are_sorted_and_the_rarest_left_out():
    counts = {f"label {i}": i for i in range(1, 31)}
    figure = plots.label_bars({"Category": counts, "Empty": {}}, rows=465, title="Title", most=20)
    (axes,) = figure.axes
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == list(range(30, 10, -1))
    assert "10 rarer left out" in axes.get_title(loc="left")

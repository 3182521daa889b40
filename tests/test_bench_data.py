"""The benchmark of reading runs, says what it measured, and fails where a bar is missed."""

from __future__ import annotations

import json

import pytest

from fsynth.data import shared_pictures
from scripts import bench_data, bench_opening, bench_sources
from tests.data import make_fixture as make


@pytest.fixture
def quick(monkeypatch, no_password):
    monkeypatch.setattr(bench_data, "QUICK", bench_data.Size(6, 3, 3, 40))
    monkeypatch.setattr(bench_data, "WORKERS", (0, 1, 4))
    monkeypatch.setattr(shared_pictures, "_kept", {})


def run(folder, *more):
    arguments = ["--quick", "--growth", "0", "--data", str(folder)]
    return bench_data.main([*arguments, "--password-file", str(folder / "password.txt"), *more])


def test_every_kind_is_measured_and_the_numbers_are_written(
    quick, benchmark_folder, tmp_path, capsys, monkeypatch
):
    for bar in ("MOST_ZIPCRYPTO", "MOST_AES", "MOST_LATER"):
        monkeypatch.setattr(bench_data, bar, 1e9)
    monkeypatch.setattr(bench_data, "LEAST_TIMES_ZIPFILE", 0)
    monkeypatch.setattr(bench_data, "LEAST_SPEED_UP", 0)
    assert run(benchmark_folder, "--json", str(tmp_path / "numbers.json")) == 0
    lines = json.loads((tmp_path / "numbers.json").read_text())["lines"]
    shown = capsys.readouterr().out
    assert all(line["what"] in shown for line in lines)
    asked = {line["what"].strip(): line["passed"] for line in lines if line["bar"]}
    assert asked.pop("ZIP, four workers against one") in (True, None)
    assert asked.pop("HDF5, four workers against one") in (True, None)
    assert asked == {
        "ZipCrypto ZIP more than plain folder": True,
        "members read, against zipfile": True,
        "AES ZIP more than plain folder": True,
        "later passes, CPU against plain": True,
        "later passes, wall against plain": True,
    }
    assert {"tar shard more than plain folder", "HDF5, 0 workers, 256 px tensors"} <= {
        line["what"].strip() for line in lines
    }


def test_a_missed_bar_is_shown_and_ends_with_1(quick, benchmark_folder, monkeypatch, capsys):
    monkeypatch.setattr(bench_data, "MOST_ZIPCRYPTO", -1e9)
    monkeypatch.setattr(bench_data, "throughput", lambda *_: [])
    assert run(benchmark_folder) == 1
    assert "at most -1e+09  MISSED" in capsys.readouterr().out


def test_data_that_cannot_be_opened_are_one_line(quick, tmp_path, capsys):
    assert run(tmp_path) == 1
    assert capsys.readouterr().err.startswith("error: no language_original.mat under")


def test_opening_is_measured_on_an_archive_made_of_repeated_pictures(no_password, tmp_path):
    members = [(f"{row}.jpg", make.jpeg(row)) for row in range(3)]
    made = bench_sources.benchmark(tmp_path / "made", members, rows=64)
    numbers = bench_opening.opening(made, made / "password.txt", "zip", pictures=64)
    assert numbers["rows"] == 64 and 0 < numbers["index"] < numbers["open"]
    assert numbers["worker_pss"] > 0 and numbers["worker_own"] > 0 and numbers["first_batch"] > 0


def test_growth_compares_the_first_batches(tmp_path, monkeypatch):
    def opened(folder, _, source):
        rows = int(folder.name.split("-")[1])
        return {"rows": rows, "source": source, "first_batch": seconds[rows], **rest}

    rest = dict.fromkeys(("open", "index", "worker_pss", "worker_own", "main_pss"), 1.0)
    monkeypatch.setattr(bench_data, "in_a_process", opened)
    monkeypatch.setattr(bench_data.bench_sources, "benchmark", lambda folder, *_: folder)
    monkeypatch.setattr(bench_data.places, "data_root", lambda _: None)
    options = bench_data.parse_options(["--growth", "10,1000"])
    for large, passed in ((0.2, True), (0.3, False)):
        seconds = {10: 0.1, 1000: large}
        assert bench_data.growth(tmp_path, [], options)[-1].passed is passed


def test_pictures_are_saved_again_near_a_size():
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    import io

    saved = io.BytesIO()
    Image.fromarray(noise).save(saved, "PNG")
    for size in (5000, 7000):
        (_, content), *_ = bench_sources.near([("a.jpg", saved.getvalue())], size)
        assert abs(len(content) - size) < 400

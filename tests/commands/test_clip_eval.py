import json

import pytest
from PIL import Image

from fsynth import gallery, report, score_names, score_table
from fsynth.commands import clip_eval
from fsynth.config import ClipEvalConfig
from fsynth.data import sources, synthetic
from fsynth.errors import DataError, ModelError, OutputError
from fsynth.settings import load
from tests import small_clip
from tests.report.test_page import Page


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return synthetic.make_archive(tmp_path_factory.mktemp("data") / "drawn", rows=24, workers=0)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return tuple(str(small_clip.make(folder / f"clip-{seed}", seed)) for seed in (0, 1))


def settings(archive, models, output, **more):
    return ClipEvalConfig(
        data=archive, password_file=archive / "password.txt", model=models, output=output, **more
    )


def test_models_stand_side_by_side_on_the_same_rows(archive, models, tmp_path, capsys):
    result = clip_eval.main(settings(archive, (*models, models[0]), tmp_path / "out"))
    assert list(result.scores) == list(models)
    assert result.n_samples == 6
    record = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert record["models"][models[1]]["scores"] == result.scores[models[1]]
    assert record["models"][models[1]]["preprocessing"]["size"] == [128, 128]
    (found,) = result.comparisons
    assert record["comparisons"] == [found.record()]
    assert (found.baseline, found.model, found.rows, found.verdict) == (*models, 6, "unclear")
    said = capsys.readouterr().err
    assert found.text() in said
    assert "model 1" in said and "model 2" in said and "ceiling" in said
    assert f"6 held-out pictures with {result.distinct_captions} distinct captions in" in said


def test_what_they_can_tell_stands_beside_from_here_and_elsewhere(archive, models, tmp_path, capsys):
    classes = tmp_path / "classes"
    for number, name in enumerate(("ankle_boot", "tee", "tee", "coat")):
        (classes / name).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (28, 28), (80 * number, 0, 0)).save(classes / name / f"{number}.png")
    found = settings(archive, models, tmp_path / "out", zero_shot=str(classes), zero_shot_samples=3)
    clip_eval.main(found)
    record = json.loads((tmp_path / "out" / "scores.json").read_text())["zero_shot"]
    assert record["elsewhere"] == "zero-shot: classes/, 3 pictures (drawn from 4, seed 0) of 3 classes"
    assert record["tasks"]["classes/"]["classes"] == ["ankle boot", "coat", "tee"]
    assert record["tasks"]["category"]["pictures"] + record["tasks"]["category"]["left_out"] == 6
    assert set(record["models"]) == set(models)
    assert len(record["comparisons"]) == len(record["tasks"]) >= 3
    said = capsys.readouterr().err
    assert record["elsewhere"] in said and "classes/, 3 classes" in said and "category, " in said
    words = Page(report.build(tmp_path / "out")).words
    assert "What it can tell" in words and "each class counting as much" in words


def test_a_wrong_zero_shot_folder_stops_it_first(archive, models, tmp_path, capsys):
    with pytest.raises(DataError, match="no such folder"):
        clip_eval.main(settings(archive, models, tmp_path / "out", zero_shot="nowhere"))
    assert capsys.readouterr().err == "" and not (tmp_path / "out").exists()


def test_the_same_model_scores_the_same_alone(archive, models, tmp_path):
    both = clip_eval.main(settings(archive, models, tmp_path / "both", n_samples=5, seed=3))
    alone = clip_eval.main(
        settings(archive, models[1:], tmp_path / "alone", n_samples=5, seed=3, pictures=False)
    )
    assert both.scores[models[1]] == alone.scores[models[1]]
    cases = [
        json.loads((tmp_path / name / "retrieval" / "cases.json").read_text()) for name in ("both", "alone")
    ]
    assert cases[0]["text_to_image"][0]["answers"] == cases[1]["text_to_image"][0]["answers"]
    assert list((tmp_path / "both").rglob("*.webp")) and not list((tmp_path / "alone").rglob("*.webp"))


def test_the_rows_depend_on_the_seed_only(archive, models):
    dataset = sources.open_source(archive, archive / "password.txt").train
    first, again, other = (gallery.Gallery.choose(dataset, 8, seed) for seed in (0, 0, 1))
    assert first.record() == again.record()
    assert first.record()["rows_sha256"] != other.record()["rows_sha256"]


def test_an_empty_test_split_is_said(archive):
    dataset = sources.open_source(archive, archive / "password.txt").train
    with pytest.raises(DataError, match="no held-out rows"):
        gallery.Gallery.choose(dataset.select([]), 8, 0)


def test_a_broken_model_or_a_full_folder_stops_it_before_anything_is_written(archive, models, tmp_path):
    with pytest.raises(ModelError):
        clip_eval.main(settings(archive, (models[0], "missing"), tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        clip_eval.main(settings(archive, models, tmp_path / "file"))


def test_models_are_given_one_by_one():
    assert load(ClipEvalConfig, {"model": ["a", "b"]}).model == ("a", "b")
    assert load(ClipEvalConfig, {"model": "a"}).model == ("a",)


def test_the_table_lines_up_and_says_what_a_score_is_compared_with():
    numbers = {f"{name}@{k}": 0.123 for name in ("recall", "true_recall") for k in (1, 5, 10)}
    numbers |= {"median_rank": 1234.5, "mrr": 0.25, "map": 0.125}
    limits = {**{f"ceiling@{k}": 1.0 for k in (1, 5, 10)}, **{f"chance@{k}": 0.0002 for k in (1, 5, 10)}}
    limits |= {f"attributes@{k}": 0.5 for k in (1, 5, 10)}
    scores, bounds = (
        {protocol: {"text_to_image": row, "image_to_text": row} for protocol in score_names.PROTOCOLS}
        for row in (numbers, limits)
    )
    text = score_table.table({"before": scores, "after": scores}, bounds, score_names.PROTOCOLS)
    lines = [line for line in text.splitlines() if "  recall" in line]
    assert len(lines) == 18 and len({len(line) for line in lines}) == 1
    assert "12.3 %" in lines[0] and "100.0 %*" in lines[0] and "0.02 %" in lines[0]
    assert "50.0 %*" in lines[-1] and "100.0 % " in lines[-1]
    assert "1,234.5" in text and "0.250" in text and text.count("true recall@10") == 2
    assert "same group" not in score_table.table({"a": scores}, bounds, ("sentence", "pair"))

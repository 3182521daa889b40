"""The page: chosen by files, self-contained, escaped, and sparing with training pictures."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fsynth import evaluation, report, scores
from fsynth.commands import data_labels
from fsynth.config import DataLabelsConfig
from fsynth.errors import DataError
from fsynth.report import page as pages
from fsynth.report import pictures as report_pictures
from tests.report import folders

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """The words, links and pictures of a page; fails where tags are not closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.pictures: list[dict[str, str]] = []
        self.words = self.style = ""
        self.open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append(tag)
        self.loads += [values[name] for name in ("src", "href", "srcset", "action") if name in values]
        if tag == "img":
            self.pictures.append(values)
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.style += data
        elif data.strip():
            self.words += " ".join(data.split()) + " "


@pytest.fixture
def runs(tmp_path, benchmark_folder, password) -> Path:
    """A folder like the demo's: labels, clip, sd, samples."""
    data_labels.main(DataLabelsConfig(data=benchmark_folder, output=tmp_path / "labels"))
    folders.write_clip_run(tmp_path / "clip")
    folders.write_sd_run(tmp_path / "sd", data=str(benchmark_folder))
    folders.write_samples(tmp_path / "samples")
    return tmp_path


def test_a_page_loads_nothing_and_runs_nothing(runs):
    page = Page(report.build(runs))
    assert all(load.startswith(("data:", "#")) for load in page.loads)
    assert "script" not in page.tags
    assert "url(" not in page.style and "@import" not in page.style
    assert {"light", "dark"} <= set(page.style.split("color-scheme:")[1].split(";")[0].split())


def test_a_folder_of_runs_becomes_one_page_in_the_order_of_the_work(runs):
    words = Page(report.build(runs, "A tour")).words
    heads = [
        "A tour",
        "Labels from sentences",
        "Retrieval, before",
        "Pictures, before",
        "Pictures from prompts",
    ]
    places = [words.index(head) for head in heads]
    assert places == sorted(places)


def test_sections_follow_the_files_that_exist(runs):
    (runs / "samples" / "scores.json").unlink()
    (runs / "sd" / "metrics.jsonl").unlink()
    words = Page(report.build(runs)).words
    assert "Inception Score" not in words
    assert "Validation loss" not in words
    assert "Pictures from prompts" in words


def test_one_run_is_a_page_of_its_own(tmp_path):
    folders.write_clip_run(tmp_path / "run")
    path = report.build(tmp_path / "run")
    assert path == tmp_path / "run" / "report.html"
    words = Page(path).words
    assert "Retrieval, before and after" in words
    assert "1.25" in words  # the mean loss of the last epoch


def test_an_unfinished_run_says_so_before_anything_else(tmp_path):
    run = folders.stop(folders.write_sd_run(tmp_path / "run", data="gone"), step=3)
    words = Page(report.build(run)).words
    notice = "run is not finished: its log ends at step 3 of 4, and there is no result.json."
    assert notice in words and words.index(notice) < words.index("Pictures before training")
    assert "after the last" not in words and "resume" not in words
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "step-00000002.pt").touch()
    assert "--resume goes on from step 2" in Page(report.build(run)).words
    (run / "metrics.jsonl").unlink()
    assert "its log ends at step 0," in Page(report.build(run)).words


def test_among_whole_runs_only_the_unfinished_one_is_named(runs):
    assert "not finished" not in Page(report.build(runs)).words
    folders.stop(folders.write_sd_run(runs / "second", data="gone"), step=1)
    assert Page(report.build(runs)).words.count("second is not finished") == 1


def test_a_validation_loss_that_rose_is_called_worse_at_the_head(tmp_path):
    better = Page(report.build(folders.write_sd_run(tmp_path / "better", data="gone"))).words
    worse = Page(report.build(folders.write_sd_run(tmp_path / "worse", 0.5003, data="gone"))).words
    assert "Validation loss, worse than before 0.5 → 0.5003 +0.1" in worse
    assert "worse" not in better and "0.5 → 0.25 −50.0" in better


def test_the_verdict_on_a_model_stands_at_the_head_and_above_the_table(tmp_path):
    folder = folders.write_clip_run(tmp_path / "run")
    file = folder / "scores.json"
    record = json.loads(file.read_text())
    (found,) = record["comparisons"]
    assert found["text"].startswith(f"after is {found['verdict']} than before")
    words = Page(report.build(folder)).words
    assert "After is better than before" in words and "Retrieval, better than before" in words
    found |= {"verdict": "unclear"}
    file.write_text(json.dumps(record))
    assert "Retrieval, no difference shown" in Page(report.build(folder)).words
    found |= {"verdict": "worse", "text": "after is WORSE than before: 60% -> 50%, -10.0 points"}
    found |= {"difference": -0.1, "low": -0.2, "high": -0.05}
    file.write_text(json.dumps(record))
    words = Page(report.build(folder)).words
    assert "Retrieval, worse than before" in words and "−20.0 to −5.0" in words
    assert "After is WORSE than before: 60% → 50%, −10.0 points." in words
    del record["comparisons"]  # as other tools and older versions write it
    file.write_text(json.dumps(record))
    assert "A right picture in the first ten" in Page(report.build(folder)).words


def test_a_page_about_drawn_data_says_so_at_its_head(tmp_path):
    run = folders.write_sd_run(tmp_path / "runs" / "one", data="gone")
    assert "drawn data" not in Page(report.build(run)).words
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps(result | {"drawn": True}))
    assert "drawn data ·" in Page(report.build(run)).words
    folders.write_sd_run(tmp_path / "runs" / "two", data="gone")
    assert "partly drawn data ·" in Page(report.build(tmp_path / "runs")).words


def test_full_agreement_is_no_headline_where_sentences_are_drawn(runs):
    record = json.loads((runs / "labels" / "agreement.json").read_text())
    assert record["drawn"] is False
    words = Page(report.build(runs)).words
    assert "Sentences read as coded" in words and "expected" not in words
    (runs / "labels" / "agreement.json").write_text(json.dumps({**record, "drawn": True}))
    words = Page(report.build(runs)).words
    assert "Sentences read as coded" not in words and "full agreement is expected" in words
    assert "Distinct sentences" in words


def test_only_axes_that_are_cut_are_called_so(tmp_path):
    lead = "The vertical axis of the training and validation loss does not start at 0."
    far = folders.write_sd_run(tmp_path / "far", 0.49, data="gone")
    near = folders.write_sd_run(tmp_path / "near", 0.01, data="gone")
    near_words, far_words = (Page(report.build(run)).words for run in (near, far))
    assert lead in far_words and "does not start at 0" not in near_words
    assert (
        "Where it rises while the mean of an epoch goes on falling, the model learns its pictures"
        in far_words
    )


def test_recall_after_each_epoch_is_drawn_in_percent(tmp_path):
    run = folders.write_clip_run(tmp_path / "run")
    assert "Validation recall" not in Page(report.build(run)).words
    ways = {"validation_text_to_image": 0.25, "validation_image_to_text": 0.125}
    epochs = [{"step": 4 * epoch, "epoch": epoch, "validation_recall": 0.5 + epoch / 8} for epoch in range(3)]
    with open(run / "metrics.jsonl", "a") as file:
        for row in epochs:
            scale = {"logit_scale": 14.5 + row["epoch"]} if row["epoch"] else {}
            file.write(json.dumps({**row, **ways, **scale}) + "\n")
    words = Page(report.build(run)).words
    assert "Loss and recall" in words and "at step 0 nothing is learnt yet" in words
    assert "75 %" in words and "12.5 %" in words and "25 %" in words and "16.5" in words
    assert "follows the noise" not in words and "are kept" not in words


@pytest.mark.parametrize(("epoch", "which"), [(0, "before the first step"), (2, "of epoch 2")])
def test_a_page_says_which_weights_a_run_kept(tmp_path, epoch, which):
    run = folders.write_clip_run(tmp_path / "run")
    recalls = dict.fromkeys(
        ("validation_recall", "validation_text_to_image", "validation_image_to_text"), 0.5
    )
    with open(run / "metrics.jsonl", "a") as file:
        for step in range(3):
            file.write(json.dumps({"step": 4 * step, "epoch": step, **recalls}) + "\n")
    (run / "result.json").write_text(json.dumps({"epoch": epoch, "blend": None}))
    assert f"The weights {which} are kept." in Page(report.build(run)).words
    (run / "result.json").write_text(json.dumps({"epoch": epoch, "blend": 0.5}))
    assert f"The weights {which} were blended." in Page(report.build(run)).words


def test_captions_are_text(runs):
    path = report.build(runs)
    assert folders.PROMPTS[1] in Page(path).words
    assert "<script>" not in path.read_text(encoding="utf-8")


def test_the_table_holds_the_numbers_of_the_record(tmp_path):
    folder = folders.write_clip_run(tmp_path / "run")
    record = json.loads((folder / "scores.json").read_text())
    words = Page(report.build(folder)).words
    for model in record["models"].values():
        for protocol in ("group", "pair"):
            for direction in model["scores"][protocol].values():
                for k in (1, 5, 10):
                    assert f"{100 * direction[f'recall@{k}']:.1f} %" in words
    assert f"{100 * record['bounds']['pair']['text_to_image']['ceiling@1']:.1f} %" in words


def test_the_tables_say_what_a_perfect_eye_reaches_and_what_training_had(tmp_path):
    gallery = folders.gallery_of(40).trained_on(["the lady wore a <b>red</b> dress."])
    found = {name: folders.evaluation_of(gallery, noise) for name, noise in (("a", 2.0), ("b", 0.2))}
    about = {name: {"preprocessing": {}} for name in found}
    record = evaluation.record("data", gallery, about, found, evaluation.comparisons(gallery, found))
    (tmp_path / "scores.json").write_text(json.dumps(record))
    words = Page(report.build(tmp_path)).words
    eye = record["bounds"]["sentence"]["image_to_text"]["frequencies@1"]
    assert "perfect eye" in words and f"{100 * eye:.1f} %" in words
    assert f"{record['models']['b']['scores']['group']['text_to_image']['map']:.3f}" in words
    assert "too: 1, of 3 pictures" in words and "has: 13, of 37 pictures" in words
    assert "Group recall@1: text → image" in words
    record["group_by"] = "sentence"
    (tmp_path / "scores.json").write_text(json.dumps(record))
    assert "any sentence of the group is right" not in Page(report.build(tmp_path)).words


@pytest.mark.parametrize(
    ("pictures", "splits", "words"),
    [
        (20, 10, "10 of 2 pictures each"),
        (24, 10, "10 of 2 or 3 pictures each"),
        (9, 10, "1, of all pictures"),
    ],
)
def test_splits_are_said_with_their_sizes(pictures, splits, words):
    score = scores.inception_score(np.eye(pictures, 30), splits).record()
    assert report_pictures._splits(score) == words


def test_few_pictures_are_not_called_a_score(runs):
    words = Page(report.build(runs)).words
    assert ") not a score" in words
    assert "8 pictures are too few" in words


def test_training_pictures_are_small_and_few(runs):
    page = Page(report.build(runs))
    shown = [picture for picture in page.pictures if "title" in picture]
    assert len(shown) == 6
    assert all(max(_size(picture)) <= 128 for picture in shown)


def test_many_runs_together_show_at_most_64_training_pictures(tmp_path, benchmark_folder, password):
    for number in range(7):
        folders.write_sd_run(tmp_path / f"run-{number}", data=str(benchmark_folder), n_images=None)
    page = Page(report.build(tmp_path))
    assert 0 < sum("title" in picture for picture in page.pictures) <= pages.MOST_THUMBNAILS


def test_training_pictures_can_be_left_out(runs):
    page = Page(report.build(runs, pictures=False))
    assert not any("title" in picture for picture in page.pictures)
    assert "Training pictures" not in page.words
    assert len(page.pictures) >= 12  # generated ones stay


def test_large_generated_pictures_are_made_smaller(runs):
    sizes = [max(_size(picture)) for picture in Page(report.build(runs)).pictures]
    assert max(sizes) == 384


def test_a_page_is_replaced_by_the_next(runs):
    first = report.build(runs, "First").read_text(encoding="utf-8")
    second = report.build(runs, "Second").read_text(encoding="utf-8")
    assert "<h1>First</h1>" in first and "<h1>Second</h1>" in second
    assert first.count("<section") == second.count("<section")


def test_a_folder_with_nothing_to_report_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="nothing to report"):
        report.build(tmp_path)
    with pytest.raises(DataError, match="not a folder"):
        report.build(tmp_path / "missing")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("name", ["clip/scores.json", "sd/metrics.jsonl", "sd/run.yaml", "samples/00000.png"])
def test_a_broken_file_is_named_and_nothing_is_written(runs, name):
    (runs / name).write_text("{ broken: [")
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        report.build(runs)
    assert not (runs / "report.html").exists()


def _size(picture: dict[str, str]) -> tuple[int, int]:
    head, _, data = picture["src"].partition(",")
    assert head == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as opened:
        assert not opened.info.get("exif")
        return opened.size


def test_a_model_that_is_only_called_before_was_not_fine_tuned(tmp_path):
    folder = folders.write_clip_run(tmp_path / "evaluated")
    file = folder / "scores.json"
    record = json.loads(file.read_text())
    record["models"]["other"] = record["models"].pop("after")
    record["comparisons"][0]["model"] = "other"
    file.write_text(json.dumps(record))
    words = Page(report.build(folder)).words
    assert "A right picture in the first ten" in words and "Retrieval, before and after" not in words


def test_the_last_models_column_stands_out_among_any_number_of_limits(tmp_path):
    folder = folders.write_clip_run(tmp_path / "run")
    html = report.build(folder).read_text()
    record = json.loads((folder / "scores.json").read_text())["models"]["after"]["scores"]
    rows = sum(len(scores) - 2 for ways in record.values() for scores in ways.values())
    rows -= 2 * 3  # neither true recall@10 nor mAP of the three ways in which one answer is right
    latest = re.findall(r'<td class="latest">([^<]*)</td>', html)
    assert len(latest) == rows  # all but true recall@1 and @5
    assert html.count('<td class="limit">') == rows * 3 - 2 * (len(record["group"]["text_to_image"]) - 2)
    ranks = [text for text in latest if re.fullmatch(r"[\d,]+\.\d", text)]
    assert f"{record['pair']['image_to_text']['mean_rank']:,.1f}" == ranks[-1]

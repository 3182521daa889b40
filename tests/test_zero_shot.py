"""Zero-shot accuracies: open_clip's classifier, scipy's interval, scores by hand, verdicts by clusters."""

from __future__ import annotations

import json
from types import SimpleNamespace

import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fsynth import attribute_tasks, clip_model, score_table, zero_shot
from fsynth.exam import SideBySide
from fsynth.report.zero_shot import abilities
from fsynth.zero_shot import Task
from tests import small_clip

CLASSES = ("red", "orange", "blue")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return clip_model.load(str(small_clip.make(tmp_path_factory.mktemp("models") / "small")))


def task(truth, clusters=None, classes=CLASSES, left_out=0):
    rows = torch.arange(len(truth))
    prompts = tuple((f"a {name} dress.",) for name in classes)
    clusters = rows if clusters is None else torch.tensor(clusters)
    return Task("color", classes, prompts, rows, torch.tensor(truth), clusters, left_out)


def test_class_features_are_those_of_open_clips_classifier(model):
    templates = ["a photo of a {} dress.", "the lady wore a {} tee.", "{}"]
    names = ["red", "multicolor", "dark blue"]
    theirs = open_clip.build_zero_shot_classifier(model.network, model.tokenizer, names, templates)
    ours = zero_shot.class_features(model, [zero_shot.fill(templates, name) for name in names])
    assert torch.allclose(ours, theirs.T, atol=1e-6)
    pictures = torch.nn.functional.normalize(torch.randn(50, ours.shape[1]), dim=1)
    truth = torch.randint(3, (50,))
    told = (pictures @ theirs).argmax(1) == truth
    assert torch.equal(zero_shot.hits(pictures, ours, truth), told.double())


def test_a_sentence_of_two_classes_is_encoded_once(model, monkeypatch):
    asked = []
    encode = clip_model.encode_sentences
    monkeypatch.setattr(clip_model, "encode_sentences", lambda m, s: asked.extend(s) or encode(m, s))
    first, second = zero_shot.class_features(model, [("a tee.", "clothes."), ("clothes.", "a coat.")])
    assert asked == ["a tee.", "clothes.", "a coat."]
    assert not torch.equal(first, second)


def test_equally_near_classes_share_a_picture(monkeypatch):
    classes = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    pictures = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    truth = torch.tensor([0, 2, 2, 1])
    assert zero_shot.hits(pictures, classes, truth).tolist() == [0.5, 0, 1, 0]
    monkeypatch.setattr(zero_shot, "_CELLS_AT_ONCE", 4)  # a picture at a time
    assert zero_shot.hits(pictures, classes, truth).tolist() == [0.5, 0, 1, 0]


def test_a_model_that_gives_everything_one_feature_has_the_score_of_chance():
    told = zero_shot.hits(torch.ones(9, 4) / 2, torch.ones(3, 4) / 2, torch.tensor([0] * 7 + [1, 2]))
    assert float(told.mean()) == pytest.approx(1 / 3)


def test_scores_by_hand():
    one = task([0, 0, 0, 0, 1, 2])
    found = zero_shot.score(one, torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0, 0.0], dtype=torch.float64))
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.balanced == pytest.approx((3 / 4 + 1 + 0) / 3)
    assert one.chance == pytest.approx(1 / 3) and one.majority == pytest.approx(4 / 6)
    without_the_last = zero_shot.score(task([0, 0, 1]), torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64))
    assert without_the_last.balanced == pytest.approx(0.75)  # of the classes that there are pictures of


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_scipys_wilson_interval(case):
    right, pictures = case
    share, low, high = zero_shot.wilson(right, pictures)
    expected = stats.binomtest(right, pictures).proportion_ci(0.95, method="wilson")
    assert share == right / pictures
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_an_before_a_vowel():
    assert zero_shot.fill(("a {} bag.", "the {} bag."), "orange") == ("an orange bag.", "the orange bag.")
    assert zero_shot.fill(("a {} bag.",), "Red") == ("a Red bag.",)


def test_alike_pictures_are_one_piece_of_evidence():
    """Sixty pictures gained: certain of sixty garments, nothing of four."""
    before, after = torch.zeros(120).double(), torch.tensor([1.0] * 60 + [0.0] * 60).double()
    apart = zero_shot.compare(task([0, 1] * 60), "before", before, "after", after)
    assert apart.verdict == "better" and apart.difference == 0.5
    assert apart.low == pytest.approx(0.41, abs=0.02) and apart.high == pytest.approx(0.59, abs=0.02)
    together = task([0, 1] * 60, [row // 15 for row in range(120)])
    few = zero_shot.compare(together, "before", before, "after", after)
    assert few.verdict == "unclear" and few.difference == 0.5 and few.clusters == 8
    assert few.low < apart.low and apart.high < few.high


def test_a_model_does_not_differ_from_itself_and_worse_mirrors_better():
    told = torch.tensor([1.0, 0.0] * 30).double()
    one = task([0, 1] * 30)
    same = zero_shot.compare(one, "a", told, "b", told)
    assert (same.difference, same.low, same.high, same.verdict) == (0, 0, 0, "unclear")
    assert zero_shot.compare(one, "a", told, "b", torch.zeros(60).double()).verdict == "worse"
    assert zero_shot.compare(one, "a", told, "b", torch.ones(60).double()).verdict == "better"


def test_chance_is_seldom_taken_for_a_difference():
    """Nominally 5 in 100; more than 12 of 100 would come by chance in 1 of 700 such tests."""
    draw = torch.Generator().manual_seed(0)
    one = task([0] * 60, [row // 2 for row in range(60)])
    verdicts = []
    for _ in range(100):
        garments = torch.rand(2, 30, generator=draw).repeat_interleave(2, 1)  # pictures of one are alike
        before, after = ((garments + 0.2 * torch.rand(2, 60, generator=draw)) > 0.6).double()
        verdicts.append(zero_shot.compare(one, "a", before, "b", after).verdict)
    assert 100 - verdicts.count("unclear") <= 12


def test_the_record_and_the_table_hold_every_model_and_what_was_left_out():
    tasks = [task([0, 1, 2, 0] * 30, left_out=7)]
    told = {"before": {"color": torch.zeros(120).double()}, "after": {"color": torch.ones(120).double()}}
    record = zero_shot.record(tasks, told)
    assert record["tasks"]["color"]["pictures"] == 120 and record["tasks"]["color"]["left_out"] == 7
    assert record["models"]["after"]["color"]["accuracy"] == 1
    (change,) = record["comparisons"]
    assert (change["baseline"], change["model"], change["verdict"]) == ("before", "after", "better")
    lines = score_table.told(tasks, told).splitlines()
    assert "before" in lines[1] and "after" in lines[1]
    assert "color, 3 classes" in lines[2] and "100.0 % (96.9 to 100.0) +" in lines[2] and "120" in lines[2]
    assert "33.3 %" in lines[2] and "50.0 %" in lines[2]
    assert lines[-2].strip() == "left out, their label not being stated: color 7"
    assert lines[-1].strip() == "+ and -: the pictures show it to be better or worse than before"
    assert "+ and -" not in score_table.told(tasks, {"alone": told["before"]})


# --------------------------------------------------------------------------------------------------
# the labels of a data set


def test_labels_that_are_not_stated_are_left_out():
    from datasets import Dataset

    from fsynth.data.labels import CATEGORIES, COLORS, SLEEVES

    rows = [
        ("the lady wore a red sleeveless dress.", 0, "sleeveless", "dress", "red"),
        ("the man wore a multicolor long-sleeved tank.", 1, "long", "tank", "multicolor"),
        ("the man wore a tank.", 1, "not stated", "tank", "multicolor"),
        ("clothes.", None, "not stated", None, None),
    ]
    texts, genders, sleeves, categories, colors = zip(*rows, strict=True)
    dataset = Dataset.from_dict(
        {
            "text": texts,
            "gender": genders,
            "sleeve": [SLEEVES.index(sleeve) for sleeve in sleeves],
            "category": [name and CATEGORIES.index(name) for name in categories],
            "color": [name and COLORS.index(name) for name in colors],
        }
    )
    found = {one.name: one for one in attribute_tasks.tasks(dataset, range(4), torch.tensor([4, 9, 9, 2]))}
    assert {name: one.left_out for name, one in found.items()} == {
        "gender": 1,
        "sleeve": 2,
        "category": 1,
        "color": 2,
    }
    assert found["category"].classes == ("tank", "dress") and found["category"].truth.tolist() == [1, 0, 0]
    assert found["category"].rows.tolist() == [0, 1, 2] and found["category"].clusters.tolist() == [0, 1, 1]
    assert found["color"].classes == ("red", "multicolor")
    assert found["sleeve"].classes == ("long", "sleeveless")
    (tank, _) = found["category"].prompts
    assert "a photo of a tank top." in tank and "the lady wore a tank." in tank
    assert "the lady was wearing a long-sleeved blouse." in found["sleeve"].prompts[0]
    assert any(" an orange" in text for text in attribute_tasks.WORDINGS["color"].prompts("orange"))


def test_a_label_of_one_value_asks_nothing():
    assert attribute_tasks.task_of("gender", ["male", None, "male"], torch.zeros(3).long()) is None


def test_every_label_has_a_wording():
    from fsynth.data.labels import LABELS

    assert set(attribute_tasks.WORDINGS) == set(LABELS)


def test_what_fine_tuning_costs_is_said_at_the_end_and_on_the_page(tmp_path):
    color = task([0, 1] * 60)
    right, wrong = torch.ones(120).double(), torch.zeros(120).double()
    judged = SideBySide(gallery=None, exam=SimpleNamespace(tasks=[color]))
    judged.found = judged.told = {"before": {"color": right}, "after": {"color": wrong}}
    assert judged.lost() == "after tells WORSE than before, asked by sentences: color 100.0% -> 0.0%"
    (tmp_path / "scores.json").write_text(json.dumps({"zero_shot": zero_shot.record([color], judged.told)}))
    (fact,) = abilities(tmp_path, None).facts
    assert (fact.label, fact.value, fact.bad) == ("Told worse than before", "color", True)
    judged.found = judged.told = {"before": {"color": wrong}, "after": {"color": right}}
    assert judged.lost() == ""
    (tmp_path / "scores.json").write_text(json.dumps({"zero_shot": zero_shot.record([color], judged.told)}))
    assert abilities(tmp_path, None).facts == ()

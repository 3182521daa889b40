import open_clip
import pytest
import torch

from fsynth import caption_groups, clip_model, logit_bias
from fsynth.contrastive import Features, contrastive_loss
from fsynth.order import Pick
from tests import small_clip


class Drawn:
    """Pairs of noise and two sentences, as `fsynth.clip_rows.Pairs` gives them."""

    def __init__(self, model, rows=24):
        self.groups = caption_groups.find([small_clip.SENTENCES[row % 2] for row in range(rows)])
        self.tokens = model.tokenizer(list(self.groups.sentences))
        self.images = torch.randn(rows, 3, 128, 128, generator=torch.Generator().manual_seed(0))

    def __getitem__(self, pick):
        sentence = self.groups.sentence[pick.index]
        group = self.groups.group[sentence]
        return {"image": self.images[pick.index], "tokens": self.tokens[sentence], "group": group}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_clip.make(tmp_path_factory.mktemp("models") / "small")


def loss_of(logits, right, bias):
    """SigLIP's, a row."""
    labels = 2.0 * right - 1
    return -torch.nn.functional.logsigmoid(labels * (logits + bias)).sum().item() / len(logits)


def test_the_bias_is_where_the_loss_is_least():
    logits = 40 * torch.rand(30, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    group = torch.arange(30) // 3
    right = group[:, None] == group[None, :]
    assert logit_bias.right_share(group) == pytest.approx(right.double().mean().item())
    bias = logit_bias.best_bias(logits, right, logit_bias.right_share(group))
    least = loss_of(logits, right, bias)
    assert all(least < loss_of(logits, right, bias + by) for by in (-1, -0.01, 0.01, 1))
    assert (logits + bias).sigmoid().sum().item() == pytest.approx(right.sum().item())


def test_a_sample_gives_the_bias_of_the_batch_that_it_is_of():
    """Of 600 rows, each its own group, the first 100: of 100 pairs one is right, in the batch of 600."""
    logits = 3 * torch.randn(600, 600, generator=torch.Generator().manual_seed(0)) + 8 * torch.eye(600)
    right, some = torch.eye(600) > 0, (logits[:100, :100], torch.eye(100) > 0)
    whole = logit_bias.best_bias(logits, right, 1 / 600)
    assert logit_bias.best_bias(*some, 1 / 600) == pytest.approx(whole, abs=0.2)
    assert abs(logit_bias.best_bias(*some, 1 / 100) - whole) > 1


def test_where_all_is_right_there_is_nothing_to_find():
    assert logit_bias.best_bias(torch.rand(3, 3), torch.ones(3, 3) > 0, 1.0) == 0


def test_a_model_gets_a_bias_that_open_clip_reads_back(folder, tmp_path):
    model = clip_model.load(str(folder))
    pairs, batch = Drawn(model), [Pick(row, 0, 1 / 24) for row in range(24)]
    assert logit_bias.ensure(model, pairs, batch)
    saved = open_clip.create_model(f"local-dir:{model.save(tmp_path / 'saved')}", require_pretrained=True)
    assert torch.equal(saved.logit_bias, model.network.logit_bias) and saved.logit_bias != 0
    assert "logit_bias" in dict(model.network.named_parameters())
    again = clip_model.load(str(tmp_path / "saved"))
    assert not logit_bias.ensure(again, pairs, batch)
    assert torch.equal(again.network.logit_bias, saved.logit_bias)


def test_the_first_loss_is_far_below_that_of_siglips_own_start(folder):
    model = clip_model.load(str(folder))
    pairs = Drawn(model)
    logit_bias.ensure(model, pairs, [Pick(row, 0, 1 / 24) for row in range(24)])
    pictures, sentences, scale, bias = model.network(pairs.images, pairs.tokens[pairs.groups.sentence])
    weight, groups = torch.full((24,), 1 / 24), pairs.groups.row_groups
    losses = [
        contrastive_loss("siglip-multi", Features(pictures, sentences, scale, weight, groups, value)).item()
        for value in (bias, torch.tensor(-10.0))
    ]
    guessed = 24 * torch.tensor(2.0).log().item()  # half of the pairs are right: a coin for each
    assert losses[0] < 1.2 * guessed < losses[1]

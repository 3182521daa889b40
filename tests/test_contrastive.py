import torch
from open_clip import ClipLoss

from fsynth import contrastive
from tests import contrastive_process, launches


def unit(rows, seed, width=8):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, width, generator=generator), dim=1)


def test_the_loss_equals_open_clips():
    pictures, sentences, scale = unit(12, 0), unit(12, 1), torch.tensor(14.3)
    ours = contrastive.contrastive_loss(pictures, sentences, scale, torch.full((12,), 1 / 12))
    assert torch.allclose(ours, ClipLoss()(pictures, sentences, scale))


def test_rows_of_weight_zero_neither_ask_nor_answer():
    pictures, sentences, scale = unit(7, 0).requires_grad_(), unit(7, 1), torch.tensor(20.0)
    weight = torch.tensor([1, 1, 0, 1, 1, 0, 1]) / 5
    kept = weight > 0
    loss = contrastive.contrastive_loss(pictures, sentences, scale, weight)
    alone = contrastive.contrastive_loss(pictures[kept], sentences[kept], scale, weight[kept])
    assert torch.allclose(loss, alone)
    loss.backward()
    assert pictures.grad[~kept].abs().max() == 0 and pictures.grad[kept].abs().min(1).values.max() > 0


def test_half_precision_features_are_compared_in_single_precision():
    pictures, sentences = unit(5, 0).bfloat16(), unit(5, 1).bfloat16()
    loss = contrastive.contrastive_loss(pictures, sentences, torch.tensor(100.0), torch.ones(5) / 5)
    assert loss.dtype == torch.float32


def test_three_processes_have_the_loss_and_gradients_of_one(tmp_path):
    """7 rows over 3 processes: two rows of padding."""
    contrastive_process.run(0, 1, tmp_path)
    launches.torchrun(3, contrastive_process.__file__, tmp_path)
    alone = torch.load(tmp_path / "1-0.pt")
    for rank in range(3):
        for one, several in zip(alone, torch.load(tmp_path / f"3-{rank}.pt"), strict=True):
            assert torch.allclose(one, several, atol=1e-6)

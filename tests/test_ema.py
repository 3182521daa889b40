import pytest
import torch

from fsynth.ema import Ema


def networks():
    network = torch.nn.Linear(3, 2)
    network.bias.requires_grad_(False)
    return network


def walk(network, steps):
    """Give the weights a value for each step; returns them."""
    values = [torch.full((2, 3), float(step) ** 2) for step in range(1, steps + 1)]
    for value in values:
        network.weight.data.copy_(value)
        yield value


def test_the_mean_is_the_one_of_its_definition():
    network = networks()
    mean, ema = network.weight.detach().double().clone(), Ema(network, 0.5)
    for number, value in enumerate(walk(network, 30), 1):
        ema.update()
        kept = min(0.5, (1 + number) / (10 + number))
        mean = kept * mean + (1 - kept) * value.double()
    with ema.applied():
        assert network.weight.detach().double().numpy() == pytest.approx(mean.numpy(), rel=1e-5)
    assert torch.equal(network.weight.detach(), value)


def test_a_high_decay_does_not_hang_on_to_the_start_of_a_short_run():
    network = networks()
    network.weight.data.fill_(1000.0)
    ema = Ema(network, 0.9999)
    for _ in walk(network, 5):
        ema.update()
    ema.put_in_place()
    assert network.weight.max() < 30  # 0.9999 ** 5 would have left 999.5


def test_what_does_not_learn_has_no_mean():
    network = networks()
    ema = Ema(network, 0.9)
    network.bias.data.fill_(7.0)
    ema.put_in_place()
    assert (network.bias == 7).all()


def test_the_weights_come_back_after_an_error():
    network = networks()
    before = network.weight.detach().clone()
    ema = Ema(network, 0.9)
    network.weight.data.add_(1)
    with pytest.raises(RuntimeError), ema.applied():
        raise RuntimeError
    assert torch.equal(network.weight.detach(), before + 1)


def test_a_restored_mean_goes_on_with_the_same_bits():
    first, second = networks(), networks()
    one, other = Ema(first, 0.999), Ema(second, 0.999)
    for _ in walk(first, 4):
        one.update()
    other.load_state_dict({**one.state_dict(), "means": dict(one.state_dict()["means"])})
    for network, ema in ((first, one), (second, other)):
        for _ in walk(network, 3):
            ema.update()
        ema.put_in_place()
    assert torch.equal(first.weight, second.weight)

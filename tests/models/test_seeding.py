"""Random numbers that follow a seed inside a block, and nowhere else."""

import random

import numpy as np
import pytest
import torch

from models.seeding import seeded


def draws():
    """A number of every library."""
    return random.random(), np.random.rand(), torch.rand(()).item()


def seed_all(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@pytest.fixture(autouse=True)
def restored():
    """Whatever a test does to the generators."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])


def test_draws_follow_the_seed():
    found = []
    for seed in (1, 1, 2):
        with seeded(seed):
            found.append(draws())
    assert found[0] == found[1]
    assert all(one != other for one, other in zip(found[1], found[2], strict=True))


def test_draws_outside_are_as_if_the_block_were_not_there():
    seed_all(5)
    expected = [draws(), draws()]
    seed_all(5)
    found = [draws()]
    with seeded(1):
        draws()
    assert [*found, draws()] == expected


def test_generators_are_back_after_an_error():
    seed_all(5)
    expected = draws()
    seed_all(5)
    with pytest.raises(KeyError), seeded(1):
        raise KeyError
    assert draws() == expected

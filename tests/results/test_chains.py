"""Which stages a line joins."""

import pytest

from results.chains import chains, numbered_chains

STREAMS = [f"{layer},{stream}" for layer in ("conv1", "layer1", "layer2") for stream in ("a", "b")]


@pytest.mark.parametrize(
    ("stages", "known", "expected"),
    [
        ("1 2 3", "1 2 3", ["1 2 3"]),
        ("2 5", "1 2 3 4 5", ["2", "5"]),
        ("0 1 4 5 6 9", "0 1 2 3 4 5 6 7 8 9", ["0 1", "4 5 6", "9"]),
        (" ".join(STREAMS), " ".join(STREAMS), [" ".join(STREAMS[::2]), " ".join(STREAMS[1::2])]),
        ("conv1,a conv1,b layer2,a layer1,b", " ".join(STREAMS), ["conv1,a", "layer2,a"]),
    ],
    ids=["all", "two ends", "pieces", "streams", "streams with a hole"],
)
def test_neighbours_of_a_stream_are_joined(stages, known, expected):
    found = [" ".join(chain) for chain in chains(stages.split(), known.split())]
    assert found[: len(expected)] == expected


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ("network.slow network.fast", ["network.slow", "network.fast"]),
        ("stem blocks.0 blocks.1 blocks.2 head", ["stem", "blocks.0 blocks.1 blocks.2", "head"]),
        ("blocks.9 blocks.10 blocks.12", ["blocks.9 blocks.10", "blocks.12"]),
        ("a.0 b.1", ["a.0", "b.1"]),
        ("layer1 layer2", ["layer1 layer2"]),
        ("blocks.0.norm1 blocks.1.norm1", ["blocks.0.norm1", "blocks.1.norm1"]),
        ("both#0 both#1", ["both#0", "both#1"]),
    ],
)
def test_only_numbered_siblings_of_an_own_network_are_joined(stages, expected):
    assert [" ".join(chain) for chain in numbered_chains(stages.split())] == expected

"""Checkpoints that do not fit, are damaged or are an attack: CheckpointError, nothing else."""

import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch

from models.checkpoints import CheckpointError, load
from tests.helpers import tiny_network
from tests.helpers_checkpoints import (
    Runs,
    caffe2_blobs,
    known_state,
    refusal,
    save_caffe2,
    save_torch,
)


@pytest.fixture
def network():
    return tiny_network("one")


@pytest.fixture
def state(network):
    return known_state(network)


# ---- Does not fit.


def listed(message, title):
    """Count and names under a title of the message."""
    count, block = re.search(rf"^  {title} \((\d+)\):\n((?:    .*\n)*)", message, re.M).groups()
    return int(count), [line.strip() for line in block.splitlines()]


def test_missing_unexpected_and_wrong_shaped_are_listed_apart(network, state, tmp_path):
    del state["s2.pathway0_res0.branch2.a.weight"]
    state["s7.conv.weight"] = torch.ones(2)
    state["s1.pathway0_stem.bn.bias"] = torch.ones(3)
    message = refusal(network, save_torch(tmp_path / "w.pyth", state))
    assert listed(message, "missing") == (1, ["s2.pathway0_res0.branch2.a.weight"])
    assert listed(message, "unexpected") == (1, ["s7.conv.weight"])
    assert listed(message, "wrong shape") == (1, ["s1.pathway0_stem.bn.bias (3,), expected (4,)"])
    assert "must be that which it was trained with" in message


def test_long_lists_are_cut_and_counted(network, state, tmp_path):
    more = {f"extra.{i}": torch.ones(1) for i in range(20)}
    message = refusal(network, save_torch(tmp_path / "w.pyth", {**state, **more}))
    count, names = listed(message, "unexpected")
    assert count == 20
    assert len(names) == 9
    assert names[-1] == "... and 12 more"
    assert listed(message, "missing") == (0, [])
    assert "allow_other_head" not in message  # it would not help


def test_checkpoint_of_another_network(state, tmp_path):
    message = refusal(tiny_network("two"), save_torch(tmp_path / "w.pyth", state))
    assert "must be that which it was trained with" in message
    assert "allow_other_head" not in message


def test_allowing_another_head_does_not_allow_anything_else(network, state, tmp_path):
    del state["s5.pathway0_res0.branch2.a.weight"], state["head.projection.bias"]
    path = save_torch(tmp_path / "w.pyth", state)
    message = refusal(network, path, allow_other_head=True)
    assert listed(message, "missing") == (1, ["s5.pathway0_res0.branch2.a.weight"])


def test_a_parameter_given_twice_is_unexpected(network, state, tmp_path):
    twice = {**state, "module.head.projection.bias": torch.ones(5)}
    message = refusal(network, save_torch(tmp_path / "w.pyth", twice))
    assert listed(message, "unexpected") == (1, ["module.head.projection.bias"])


@pytest.mark.parametrize("kind", ["one", "two published"])
@pytest.mark.parametrize("case", ["other", "missing"])
def test_other_head_is_refused_with_advice(kind, case, tmp_path):
    network = tiny_network(kind)
    state = network.module(num_classes=9).state_dict()
    if case == "missing":
        state = {n: v for n, v in state.items() if not n.startswith(network.head)}
    message = refusal(network, save_torch(tmp_path / "w.pyth", state))
    assert re.search(
        r"Only the classifier differs.*`num_classes`.*`allow_other_head` True", message
    )
    assert f"{network.head}weight" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "holds a list, expected named tensors"),
        ({}, "keys none"),
        ({"epoch": 3, "lr": 0.1}, "keys epoch, lr"),
        ({"model_state": {"a": 1}}, "keys a"),
        (torch.ones(3), "holds a Tensor"),
    ],
    ids=["list", "empty", "no state dict", "numbers", "tensor"],
)
def test_pytorch_files_without_named_tensors(network, content, words, tmp_path):
    assert words in refusal(network, save_torch(tmp_path / "w.pyth", content))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_whole_network_is_refused_with_how_to_save_its_tensors(network, legacy, tmp_path):
    path = save_torch(tmp_path / "w.pth", torch.nn.Linear(2, 3), legacy=legacy)
    message = refusal(network, path)
    assert "it holds torch.nn.modules.linear.Linear, and only tensors" in message
    assert "load it with torch.load(FILE, weights_only=False)" in message
    assert "torch.save(network.state_dict(), NEW_FILE)" in message
    # The advice leads to a file that can be read.
    known = tiny_network("one")
    torch.save(known.module(), path)
    advised = torch.load(path, weights_only=False).state_dict()
    load(network, str(save_torch(tmp_path / "new.pth", advised)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1], "without 'blobs'"),
        ({"weights": {}}, "without 'blobs'"),
        ({"blobs": {}}, "without 'blobs'"),
        ({"blobs": {"conv1_w": np.array(["a"])}}, "asks for an array of U1, and only"),
        ({"blobs": {"conv1_w": np.array([{}])}}, "asks for an array of O8, and only"),
        ({"blobs": {"other_w": np.ones(2)}}, "other_w"),
    ],
    ids=["list", "no blobs", "empty", "text", "objects", "unknown blob"],
)
def test_pickles_that_are_no_caffe2_checkpoint(network, content, words, tmp_path):
    path = tmp_path / "w.pkl"
    path.write_bytes(pickle.dumps(content, protocol=2))
    assert words in refusal(network, path)


# ---- An attack.


@pytest.fixture
def marker(tmp_path):
    """A file that exists if an attack ran."""
    return tmp_path / "attacked"


def test_the_attacks_below_work_on_a_careless_reader(tmp_path, marker):
    """Otherwise the tests below could not fail. In another process, to be safe."""
    for number, how in enumerate(("os.system", "eval", "subprocess")):
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(pickle.dumps(Runs(marker, how), protocol=2))
        code = f"import pickle; pickle.load(open({str(path)!r}, 'rb'))"
        subprocess.run([sys.executable, "-c", code], check=True)
        assert marker.exists()
        marker.unlink()


@pytest.mark.parametrize("how", ["os.system", "eval", "subprocess"])
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("place", ["whole", "beside the blobs", "a blob", "in an array"])
def test_malicious_caffe2_pickle(network, tmp_path, marker, how, protocol, place):
    attack = Runs(marker, how)
    content = {
        "whole": attack,
        "beside the blobs": {"blobs": {"conv1_w": np.ones(2)}, "zzz": attack},
        "a blob": {"blobs": {"conv1_w": attack}},
        "in an array": {"blobs": {"conv1_w": np.array([attack, None])}},
    }[place]
    path = tmp_path / "w.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    message = refusal(network, path)
    assert not marker.exists()
    assert "is refused: the pickle asks for" in message or protocol == 5


@pytest.mark.parametrize("how", ["os.system", "eval", "subprocess"])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("place", ["whole", "beside the weights"])
def test_malicious_pytorch_file(network, state, tmp_path, marker, how, legacy, place):
    attack = Runs(marker, how)
    content = attack if place == "whole" else {"model_state": state, "cfg": attack}
    path = save_torch(tmp_path / "w.pyth", content, legacy=legacy)
    message = refusal(network, path)
    assert not marker.exists()
    assert "only tensors and plain containers are read" in message
    assert {"os.system": "system", "eval": "eval", "subprocess": "check_call"}[how] in message


# ---- Damaged, or no checkpoint at all.


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n",
        b"<html>\r\n<head><title>403 Forbidden</title></head>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 138\n",
        b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code></Error>',
        b'{"message":"Not Found"}',
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
        bytes(64),
    ],
    ids=["empty", "newline", "html", "html 403", "lfs pointer", "xml", "json", "gzip", "zeros"],
)
def test_files_that_are_no_checkpoint(network, content, tmp_path):
    path = tmp_path / "w.pyth"
    path.write_bytes(content)
    message = refusal(network, path)
    assert re.search("is not a checkpoint: it begins with|is damaged or cut off", message)


def container(kind, state, folder):
    """The bytes of a checkpoint in one of its containers."""
    path = folder / "whole"
    if kind == "safetensors":
        safetensors.torch.save_file(state, path)
    elif kind == "caffe2":
        save_caffe2(path, caffe2_blobs(state))
    else:
        save_torch(path, {"model_state": state}, legacy=kind == "legacy")
    return path.read_bytes()


CONTAINERS = ("zip", "legacy", "safetensors", "caffe2")


@pytest.mark.parametrize("kind", CONTAINERS)
def test_truncated_files(network, state, kind, tmp_path):
    whole, path = container(kind, state, tmp_path), tmp_path / "cut.bin"
    sizes = (*range(1, 12), *range(12, 1000, 19), *(len(whole) * k // 10 for k in range(1, 10)))
    for size in sizes:
        path.write_bytes(whole[:size])
        refusal(network, path)
    path.write_bytes(whole[:-1])
    refusal(network, path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", CONTAINERS)
def test_flipped_bytes_load_or_are_refused_but_never_crash(network, state, kind, tmp_path, rng):
    whole, path = container(kind, state, tmp_path), tmp_path / "flipped.bin"
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        for position in rng.integers(0, min(len(whole), 4000), 4):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            load(network, str(path))
        except CheckpointError:
            refused += 1
    assert refused > 0

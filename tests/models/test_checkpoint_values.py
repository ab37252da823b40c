"""Checkpoints whose tensors have the right names and are no weights: refused before any forward."""

import contextlib
import re

import numpy as np
import pytest
import safetensors.torch
import torch

from models.catalogue import find
from models.checkpoints import CheckpointError, load, load_state
from tests.helpers import tiny_network
from tests.helpers_checkpoints import caffe2_blobs, known_state, refusal, save_caffe2, save_torch
from utils import UserError

KERNEL, MEAN, HEAD = "s1.pathway0_stem.conv.weight", "s1.pathway0_stem.bn.running_mean", "head"
COUNTER = "s1.pathway0_stem.bn.num_batches_tracked"


@pytest.fixture
def network():
    return tiny_network("one")


@pytest.fixture
def state(network):
    return known_state(network)


def spoiled(tensor, value):
    """A copy with one other value."""
    result = tensor.clone()
    result.view(-1)[-1] = value
    return result


# ---- Tensors without values of their own.


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x: x.to_sparse(), "sparse tensor"),
        (lambda x: x.to("meta"), r"tensor without values \(meta\)"),
        (lambda x: torch.empty(1).expand(10**12), r"tensor \(10{12},\) that is larger than the f"),
        (
            lambda x: torch.empty(1).expand(10**9, *x.shape),
            "tensor .* that is larger than the file",
        ),
        (lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8), r"quantised tensor \(t"),
    ],
    ids=["sparse", "meta", "one value", "one value of a shape", "quantised"],
)
@pytest.mark.filterwarnings("ignore")
def test_tensor_without_values_is_named(network, state, make, words, legacy, tmp_path):
    state[KERNEL] = make(state[KERNEL])
    message = refusal(network, save_torch(tmp_path / "w.pt", state, legacy=legacy))
    assert re.search(f"holds {re.escape(KERNEL)} as a {words}.*, expected a dense tensor", message)


def test_one_value_that_fills_a_parameter_is_loaded(network, state, tmp_path):
    state[MEAN] = torch.tensor([0.5]).expand(state[MEAN].shape)
    module, _ = load(network, str(save_torch(tmp_path / "w.pt", state)))
    assert module.state_dict()[MEAN].eq(0.5).all()


@pytest.mark.parametrize(
    ("keys", "shown"),
    [((0, 1), "int, int"), ((("a", 1),), "tuple"), (("a" * 100, 2.5), f"{'a' * 60}, float")],
    ids=["numbers", "tuple", "mixed"],
)
@pytest.mark.parametrize("wrap", [False, True])
def test_keys_that_are_no_names(network, keys, shown, wrap, tmp_path):
    content = {key: torch.ones(2) for key in keys}
    path = save_torch(tmp_path / "w.pt", {"model_state": content} if wrap else content)
    assert f"holds no state dict: keys {shown}. Expected named tensors" in refusal(network, path)


@pytest.mark.parametrize("name", ["timesformer", "timesformer_ssv2", "mvit"])
def test_embeddings_without_positions_do_not_tell_a_form_of_the_network(name):
    names = ("time_embed", "pos_embed", "pos_embed_temporal", "pos_embed_spatial")
    network = find(name)
    for rows in (0, 1):
        state = {each: torch.ones(1, rows, 8) for each in names}
        with contextlib.suppress(UserError):  # of clips of other frames
            assert network.variant(state).spec.crop > 0


# ---- Other kinds of numbers.

OTHER_KINDS = [
    (kind, container)
    for kind in ("int8", "uint8", "int64", "bool", "complex64", "float8_e4m3fn")
    for container in ("torch", "safetensors")
    if (kind, container) != ("complex64", "safetensors")  # older releases cannot write it
]


@pytest.mark.parametrize(("kind", "container"), OTHER_KINDS)
def test_weights_of_another_kind_are_not_cast(network, state, kind, container, tmp_path):
    state[KERNEL] = state[KERNEL].to(getattr(torch, kind))
    path = tmp_path / "w"
    if container == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        save_torch(path, state)
    message = refusal(network, path)
    assert f"values (1):\n    {KERNEL}: {kind}, expected float32\n" in message
    assert "Is it quantised" in message


@pytest.mark.parametrize("kind", ["float32", "bool"])
def test_counter_of_another_kind(network, state, kind, tmp_path):
    state[COUNTER] = state[COUNTER].to(getattr(torch, kind))
    message = refusal(network, save_torch(tmp_path / "w.pt", state))
    assert f"{COUNTER}: {kind}, expected int64" in message


def test_counter_of_other_integers_is_loaded(network, state, tmp_path):
    state[COUNTER] = torch.tensor(7, dtype=torch.int32)
    module, _ = load(network, str(save_torch(tmp_path / "w.pt", state)))
    assert module.state_dict()[COUNTER] == 7


def test_safetensors_of_double_precision_are_loaded(network, state, tmp_path):
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(
        {n: v.double() if v.is_floating_point() else v for n, v in state.items()}, path
    )
    module, _ = load(network, str(path))
    assert torch.equal(module.state_dict()[KERNEL], state[KERNEL])


@pytest.mark.parametrize("dtype", ["F4", "F8_E8M0", "I4", "F6_E2M3"])
def test_safetensors_of_types_within_bytes_are_refused(network, dtype, tmp_path):
    header = f'{{"a":{{"dtype":"{dtype}","shape":[2],"data_offsets":[0,1]}}}}'.encode()
    (tmp_path / "w").write_bytes(len(header).to_bytes(8, "little") + header + b"x")
    # PyTorch has some of these types, according to its release.
    assert re.search("is damaged or cut off|does not fit", refusal(network, tmp_path / "w"))


# ---- Values that are not finite.


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (float("nan"), torch.float32),
        (float("inf"), torch.float32),
        (float("-inf"), torch.bfloat16),
        (float("nan"), torch.float16),
        (1e300, torch.float64),  # infinite in single precision
    ],
)
def test_values_that_are_not_finite(network, state, value, dtype, tmp_path):
    state[KERNEL] = spoiled(state[KERNEL].to(dtype), value)
    state[MEAN] = spoiled(state[MEAN], float("nan"))
    message = refusal(network, save_torch(tmp_path / "w.pt", state))
    total = state[KERNEL].numel()
    assert "values (2):\n" in message
    assert f"{KERNEL}: 1 of {total} values are NaN or infinite, expected finite" in message
    assert "training that diverged" in message


def test_only_what_is_loaded_is_judged(network, state, tmp_path):
    name = f"{network.head}weight"
    other = network.module(num_classes=9).state_dict()[name]
    path = save_torch(tmp_path / "w.pt", {**state, name: torch.full_like(other, float("nan"))})
    _, loaded = load(network, str(path), allow_other_head=True)
    assert loaded.random_parameters == (name,)
    path = save_torch(tmp_path / "w.pt", {**state, name: spoiled(state[name], float("nan"))})
    assert f"{name}: 1 of" in refusal(network, path, allow_other_head=True)


def test_infinite_values_that_the_network_has_itself_are_loaded(tmp_path):
    module = torch.nn.Linear(2, 2)
    mask = torch.tensor([0.0, float("-inf")])
    module.register_buffer("mask", mask)
    load_state(module, {**module.state_dict(), "mask": mask.clone()}, tmp_path, "head")
    with pytest.raises(CheckpointError, match="mask: 1 of 2 values are NaN or infinite"):
        load_state(module, {**module.state_dict(), "mask": -mask}, tmp_path, "head")


# ---- Caffe2.


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (lambda x: spoiled(torch.tensor(x), float("nan")).numpy(), "values are NaN or infinite"),
        (lambda x: x.astype("i4"), "int32, expected float32"),
        (lambda x: x.astype("?"), "bool, expected float32"),
        (lambda x: x.tolist(), "blob 'conv1_w' is a list, expected an array of numbers"),
        (lambda x: None, "blob 'conv1_w' is a NoneType, expected an array of numbers"),
    ],
    ids=["NaN", "integers", "bool", "list", "None"],
)
def test_caffe2_blobs_that_are_no_weights(network, state, blob, words, tmp_path):
    blobs = caffe2_blobs(state)
    blobs["conv1_w"] = blob(blobs["conv1_w"])
    assert words in refusal(network, save_caffe2(tmp_path / "w.pkl", blobs))


def test_caffe2_blobs_of_the_same_parameter(network, state, tmp_path):
    blobs = {**caffe2_blobs(state), "t_pred_w": np.ones((5, 4), "f4")}
    message = refusal(network, save_caffe2(tmp_path / "w.pkl", blobs))
    assert "unexpected (1):\n    t_pred_w\n" in message


def test_caffe2_blobs_in_the_other_order_of_bytes_are_loaded(network, state, tmp_path):
    blobs = {name: value.astype(">f4") for name, value in caffe2_blobs(state).items()}
    module, _ = load(network, str(save_caffe2(tmp_path / "w.pkl", blobs)))
    assert torch.equal(module.state_dict()[KERNEL], state[KERNEL])

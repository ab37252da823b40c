"""Checkpoints load unchanged from the files that users have."""

import hashlib
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch

from models.checkpoints import Loaded, load
from tests.helpers import tiny_inputs, tiny_network
from tests.helpers_checkpoints import (
    caffe2_blobs,
    known_state,
    save_caffe2,
    save_caffe2_python2,
    save_torch,
    with_prefix,
)

KINDS = ("one", "two", "one published", "two published")
ZIP_FIRST, LEGACY_FIRST = b"PK", b"\x80\x02\x8a"


def assert_loads(network, path, state, **options):
    """`path` loads completely: every parameter and buffer equals `state`, evaluation mode."""
    module, loaded = load(network, str(path), **options)
    found = module.state_dict()
    assert set(found) == set(state)
    assert [name for name, value in state.items() if not torch.equal(found[name], value)] == []
    assert not any(part.training for part in module.modules())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded == Loaded(str(path), digest, ())


@pytest.fixture(params=KINDS)
def network(request):
    return tiny_network(request.param)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda s: s, id="plain"),
        pytest.param(
            lambda s: {
                "epoch": 195,
                "model_state": s,
                "optimizer_state": {"state": {0: {"momentum_buffer": torch.ones(2)}}},
                "cfg": "TRAIN:\n  ENABLE: true\n",
            },
            id="PySlowFast",
        ),
        pytest.param(lambda s: {"state_dict": s, "best_prec1": 0.5}, id="state_dict"),
        pytest.param(lambda s: {"model": s}, id="model"),
    ],
)
def test_pytorch_files(network, tmp_path, legacy, wrap):
    state = known_state(network)
    path = save_torch(tmp_path / "weights.pyth", wrap(state), legacy=legacy)
    assert path.read_bytes().startswith(LEGACY_FIRST if legacy else ZIP_FIRST)
    assert_loads(network, path, state)


def test_safetensors(network, tmp_path):
    state = known_state(network)
    safetensors.torch.save_file(state, tmp_path / "weights.safetensors")
    assert_loads(network, tmp_path / "weights.safetensors", state)


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "model.module."])
def test_prefixes_of_wrappers(network, tmp_path, prefix):
    state = known_state(network)
    path = save_torch(tmp_path / "weights.pyth", with_prefix(state, prefix))
    assert_loads(network, path, state)


@pytest.mark.parametrize("kind", ["one published", "two published"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_pytorchvideo_files_without_their_model_prefix(kind, prefix, tmp_path):
    network = tiny_network(kind)
    state = known_state(network)
    hub = with_prefix(state, prefix, strip="model.")
    assert f"{prefix}blocks.1." in " ".join(hub)
    assert_loads(network, save_torch(tmp_path / "hub.pyth", hub), state)


@pytest.mark.parametrize("suffix", [".pyth", ".pkl", ".safetensors", ".bin", ""])
@pytest.mark.parametrize("container", ["zip", "legacy", "safetensors", "caffe2"])
def test_container_is_recognised_by_content_whatever_its_suffix(container, suffix, tmp_path):
    network = tiny_network("one")
    state, path = known_state(network), tmp_path / f"weights{suffix}"
    if container == "safetensors":
        safetensors.torch.save_file(state, path)
    elif container == "caffe2":
        save_caffe2(path, caffe2_blobs(state))
    else:
        save_torch(path, state, legacy=container == "legacy")
    assert_loads(network, path, state)


@pytest.mark.parametrize("kind", ["one", "two"])
@pytest.mark.parametrize("matrices", [False, True], ids=["5-D kernels", "2-D kernels"])
def test_caffe2_files(kind, matrices, tmp_path):
    network = tiny_network(kind)
    state = known_state(network)
    blobs = caffe2_blobs(state, matrices=matrices)
    if matrices and kind == "one":
        assert blobs["nonlocal_conv3_1_theta_w"].ndim == 2
    assert_loads(network, save_caffe2(tmp_path / "weights.pkl", blobs), state)


@pytest.mark.parametrize("kind", ["one", "two"])
def test_caffe2_files_as_python_2_wrote_them(kind, tmp_path):
    network = tiny_network(kind)
    state = known_state(network)
    path = save_caffe2_python2(tmp_path / "weights.pkl", caffe2_blobs(state))
    content = pickle.loads(path.read_bytes(), encoding="latin1")  # the writer above is right
    assert np.array_equal(content["blobs"]["conv1_w"], state["s1.pathway0_stem.conv.weight"])
    assert_loads(network, path, state)


@pytest.mark.parametrize("protocol", range(6))
def test_caffe2_files_of_every_pickle_protocol(protocol, tmp_path):
    network = tiny_network("one")
    state = known_state(network)
    path = save_caffe2(tmp_path / "weights.pkl", caffe2_blobs(state), protocol)
    assert_loads(network, path, state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_other_precisions_become_float32(dtype, tmp_path):
    network = tiny_network("one")
    state = {
        n: v.to(dtype) if v.is_floating_point() else v for n, v in known_state(network).items()
    }
    path = save_torch(tmp_path / "weights.pyth", state)
    expected = {n: v.float() if v.is_floating_point() else v for n, v in state.items()}
    assert_loads(network, path, expected)


def test_counters_of_batches_may_be_missing(network, tmp_path):
    state = known_state(network)
    assert sum(name.endswith("num_batches_tracked") for name in state) > 10
    kept = {n: v for n, v in state.items() if not n.endswith("num_batches_tracked")}
    assert_loads(network, save_torch(tmp_path / "weights.pyth", kept), state)


def test_number_of_classes_can_be_given(network, tmp_path):
    module = network.module(num_classes=9)
    path = save_torch(tmp_path / "weights.pyth", module.state_dict())
    assert_loads(network, path, module.state_dict(), num_classes=9)


def test_other_head_stays_random_where_allowed_and_is_reported(network, tmp_path):
    state = network.module(num_classes=9).state_dict()
    path = save_torch(tmp_path / "weights.pyth", state)
    module, loaded = load(network, str(path), allow_other_head=True, seed=3)
    random, _ = load(network, "random", seed=3)
    assert loaded.random_parameters == (f"{network.head}weight", f"{network.head}bias")
    for name, value in module.state_dict().items():
        expected = random.state_dict()[name] if name.startswith(network.head) else state[name]
        assert torch.equal(value, expected), name


def test_missing_head_stays_random_where_allowed(network, tmp_path):
    state = {n: v for n, v in known_state(network).items() if not n.startswith(network.head)}
    path = save_torch(tmp_path / "weights.pyth", state)
    _module, loaded = load(network, str(path), allow_other_head=True)
    assert loaded.random_parameters == (f"{network.head}weight", f"{network.head}bias")


def test_fitting_head_is_loaded_also_where_another_is_allowed(network, tmp_path):
    state = known_state(network)
    path = save_torch(tmp_path / "weights.pyth", state)
    assert_loads(network, path, state, allow_other_head=True)


def test_random_weights_depend_on_the_seed_alone_and_leave_the_generator_alone():
    network = tiny_network("two")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    (one, loaded), (same, _), (other, _) = (load(network, "random", seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert loaded == Loaded("random", None)
    name = "s5.pathway0_res0.branch2.a.weight"
    assert torch.equal(one.state_dict()[name], same.state_dict()[name])
    assert not torch.equal(one.state_dict()[name], other.state_dict()[name])
    assert not one.training


def test_random_networks_keep_the_scale_of_activations():
    network = tiny_network("one")
    module, _ = load(network, "random", seed=1)
    with torch.inference_mode():
        logits = module(*tiny_inputs(network))
    assert torch.isfinite(logits).all()
    assert 1e-3 < logits.std() < 1e3

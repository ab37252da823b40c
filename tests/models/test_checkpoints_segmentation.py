"""Checkpoints of segmentation networks in the published formats, and what is refused."""

import hashlib
import re

import pytest
import torch
from safetensors.torch import save_file

from models.catalogue import find
from models.checkpoints import CheckpointError, load
from tests.helpers import fill
from tests.helpers_checkpoints import Runs
from tests.vos.helpers import TinyMATNet, bare_module, tiny_segmenter

NEVER_RUN = ("encoder.coa_res3.bna.", "decoder.pred5.")


@pytest.fixture
def state():
    return fill(TinyMATNet().state_dict())


def save_folder(folder, state, epoch, prefix=""):
    """The two files of an epoch, each without its own part of the names."""
    folder.mkdir(exist_ok=True)
    for part in ("encoder", "decoder"):
        own = {n: v for n, v in state.items() if n.startswith(f"{part}.")}
        named = {prefix + n.removeprefix(f"{part}."): v for n, v in own.items()}
        torch.save(named, folder / f"{part}_{epoch}.pt")
    return folder


def assert_loaded(module, state):
    found = module.state_dict()
    assert set(found) == set(state)
    assert all(torch.equal(found[name], value) for name, value in state.items())
    assert not module.training


@pytest.mark.parametrize("prefix", ["", "module."])
def test_newest_epoch_of_a_folder_is_read(state, prefix, tmp_path):
    save_folder(tmp_path / "net", {}, 9)
    save_folder(tmp_path / "net", {}, 0)
    save_folder(tmp_path / "net", state, 10, prefix)
    (tmp_path / "net" / "encoder_best.pt").touch()
    module, loaded = load(tiny_segmenter(), str(tmp_path / "net"))
    assert_loaded(module, state)
    assert loaded.note == "encoder_10.pt, decoder_10.pt"
    files = [tmp_path / "net" / name for name in ("encoder_10.pt", "decoder_10.pt")]
    hashes = "".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    assert loaded.sha256 == hashlib.sha256(hashes.encode()).hexdigest()


@pytest.mark.parametrize("kind", ["model_state", "state_dict", "plain", "safetensors"])
def test_files_of_every_form_are_read(state, kind, tmp_path):
    path = tmp_path / "net.pth"
    if kind == "safetensors":
        save_file(state, path)
    elif kind == "plain":
        torch.save(state, path)
    else:
        torch.save({"epoch": 3, kind: {f"module.{n}": v for n, v in state.items()}}, path)
    module, loaded = load(tiny_segmenter(), str(path))
    assert_loaded(module, state)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.note == ""


def test_file_of_matnet_may_lack_them_too(state, tmp_path):
    kept = {n: v for n, v in state.items() if not n.startswith(NEVER_RUN)}
    torch.save({"state_dict": kept}, tmp_path / "net.pth")
    assert load(tiny_segmenter(), str(tmp_path / "net.pth"))[1].note == (
        "without 6 parameters that are never run"
    )


def test_parameters_that_are_never_run_may_be_missing(state, tmp_path):
    kept = {
        name: value
        for name, value in state.items()
        if not name.startswith(NEVER_RUN) and "num_batches" not in name
    }
    module, loaded = load(tiny_segmenter(), str(save_folder(tmp_path / "net", kept, 1)))
    # Weight, bias, mean and variance of bna; weight and bias of pred5.
    assert loaded.note.endswith("without 6 parameters that are never run")
    zeros = {name: torch.zeros_like(value) for name, value in state.items()}
    assert_loaded(module, zeros | kept)
    module.to("cpu")(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize("name", ["rtnet", "twostream_deeplabv3plus_resnet101"])
def test_other_networks_need_all_their_parameters(name):
    # Of MATNet alone it is known which are never run.
    assert re.match(find("matnet").unused, "decoder.pred5.weight")
    assert not any(re.match(find(name).unused, n) for n in bare_module(find(name)).state_dict())


def test_half_precision_becomes_float32(state, tmp_path):
    half = {n: v.half() if v.is_floating_point() else v for n, v in state.items()}
    torch.save(half, tmp_path / "net.pt")
    module, _ = load(tiny_segmenter(), str(tmp_path / "net.pt"))
    assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_random_weights_follow_the_seed_and_nothing_else():
    def weights(seed):
        return load(tiny_segmenter(), "random", seed=seed)[0].decoder["pred2"].weight

    torch.manual_seed(1)
    before = torch.get_rng_state()
    assert torch.equal(weights(5), weights(5))
    assert not torch.equal(weights(5), weights(6))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"decoder.pred2.bias": None}, r"missing \(1\):\n    decoder.pred2.bias"),
        ({"decoder.norm.weight": None}, "decoder.norm.weight"),
        ({"decoder.extra": torch.ones(1)}, r"unexpected \(1\):\n    decoder.extra"),
        ({"decoder.pred2.weight": torch.ones(1, 3, 1, 1)}, r"wrong shape \(1\)"),
        ({"decoder.pred5.weight": torch.ones(1, 3, 1, 1)}, r"wrong shape \(1\)"),
    ],
    ids=["missing", "missing norm", "foreign", "shape", "shape of one never run"],
)
def test_what_does_not_fit_is_listed(state, change, words, tmp_path):
    changed = {n: v for n, v in {**state, **change}.items() if v is not None}
    with pytest.raises(CheckpointError, match=words) as refusal:
        load(tiny_segmenter(), str(save_folder(tmp_path / "net", changed, 1)))
    # True as well where a configuration, and no option, names the network.
    assert str(refusal.value).splitlines()[-1] == (
        "Is this the checkpoint of another network, or of another form of this one? `model`, or "
        "the configuration in `cfg_file`, must be that which it was trained with."
    )


def test_folder_without_an_epoch_or_without_its_decoder_is_refused(state, tmp_path):
    (tmp_path / "net").mkdir()
    with pytest.raises(CheckpointError, match=r"no encoder_N\.pt.*but nothing"):
        load(tiny_segmenter(), str(tmp_path / "net"))
    save_folder(tmp_path / "net", state, 0)
    with pytest.raises(CheckpointError, match=r"but decoder_0\.pt, encoder_0\.pt"):
        load(tiny_segmenter(), str(tmp_path / "net"))
    save_folder(tmp_path / "net", state, 4)
    torch.save(state, tmp_path / "net" / "encoder_5.pt")
    with pytest.raises(CheckpointError, match=r"no decoder_5\.pt"):
        load(tiny_segmenter(), str(tmp_path / "net"))


def test_nothing_in_a_folder_is_unpickled_freely(state, tmp_path):
    folder, marker = save_folder(tmp_path / "net", state, 1), tmp_path / "ran"
    torch.save({"decoder.pred2.weight": Runs(marker)}, folder / "decoder_1.pt")
    with pytest.raises(CheckpointError, match="is refused"):
        load(tiny_segmenter(), str(folder))
    assert not marker.exists()

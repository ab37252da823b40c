"""misc/extract_features.py: clips.npz in, features.npz out."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from misc.extract_features import main
from models.capture import stage_features
from models.catalogue import find
from models.tables import resnet as resnet_family
from tests.helpers import (
    assert_close,
    at_path,
    golden_inputs,
    golden_network,
    golden_stage,
    read_npz,
    tiny_inputs,
    tiny_network,
)
from tests.helpers_checkpoints import known_state, save_torch
from utils import UserError

ROOT = Path(__file__).parents[2]


def save_clips(path, network, inputs):
    names = [name for name, _frames in network.clip.inputs]
    np.savez(path, **{n: x.numpy() for n, x in zip(names, inputs, strict=True)})
    return path


def extract(folder, model, checkpoint, *options, clips="clips.npz"):
    """Run the script in this process; the arrays it saved."""
    files = ["--clips", str(folder / clips), "--save", str(folder / "features.npz")]
    main(["--model", model, "--checkpoint", str(checkpoint), *files, "--device", "cpu", *options])
    with np.load(folder / "features.npz") as arrays:
        return dict(arrays)


# ---- Goldens; those of all networks are in test_extract_goldens.py.


@pytest.fixture(scope="module", params=["fast_diving48", "slowfast_r50_4x16"])
def published(request, tmp_path_factory):
    """Name and folder of a network's checkpoint, as PySlowFast saves it, and its golden clips."""
    name, folder = request.param, tmp_path_factory.mktemp("published")
    network, module = golden_network(name)
    save_torch(folder / "weights.pyth", {"epoch": 1, "model_state": module.state_dict()})
    save_clips(folder / "clips.npz", network, golden_inputs(name))
    return name, folder


@pytest.mark.parametrize(
    ("path", "fuse"),
    [("slow", "True"), ("slow", "0"), ("fast", "False"), ("cat", "1"), ("cat", "False")],
)
@pytest.mark.parametrize("published", ["slowfast_r50_4x16"], indirect=True)
def test_path_and_fuse_equal_the_golden_ones(published, path, fuse):
    name, folder = published
    options = ("--stg", "2", "--path", path, "--fuse", fuse)
    features = extract(folder, name, folder / "weights.pyth", *options)
    assert_close(features["2"], golden_stage(name, "2", path, fuse in ("True", "1")))


@pytest.mark.parametrize("published", ["fast_diving48"], indirect=True)
def test_logits_equal_the_golden_ones(published):
    name, folder = published
    save_clips(folder / "large.npz", find(name), golden_inputs(name, "@224"))
    checkpoint = folder / "weights.pyth"
    features = extract(folder, name, checkpoint, "--stg", "3", "--logits", clips="large.npz")
    assert list(features) == ["3", "logits"]
    assert_close(features["logits"], read_npz("golden_resnet.npz")[f"{name}/cls@224_preact"])


@pytest.mark.parametrize("published", ["fast_diving48"], indirect=True)
def test_fast_resolves_by_the_data_set(published):
    name, folder = published
    options = ("--dataset", "Diving48")
    features = extract(folder, "fast", folder / "weights.pyth", *options)
    assert list(features) == ["1", "2", "3", "4", "5"]  # all of them are the default
    for stage, values in features.items():
        assert_close(values, golden_stage(name, stage))
    with pytest.raises(UserError, match="Only the classifier differs"):
        extract(folder, "fast", folder / "weights.pyth")  # Kinetics-400 has other classes


@pytest.mark.parametrize("published", ["fast_diving48"], indirect=True)
def test_classes_of_the_file_can_be_given(published):
    name, folder = published
    features = extract(folder, "fast", folder / "weights.pyth", "--num_classes", "48")
    assert_close(features["5"], golden_stage(name, "5"))


@pytest.mark.parametrize("published", ["fast_diving48"], indirect=True)
def test_another_head_can_be_allowed(published):
    name, folder = published
    features = extract(folder, "fast", folder / "weights.pyth", "--allow_other_head", "True")
    assert_close(features["5"], golden_stage(name, "5"))


# ---- A tiny network.


@pytest.fixture(params=["one", "two"])
def tiny(request, tmp_path, monkeypatch):
    """A tiny network that `model` knows, and the folder of its checkpoint and clips."""
    network = tiny_network(request.param)
    monkeypatch.setattr(resnet_family, "NETWORKS", (*resnet_family.NETWORKS, network))
    save_torch(tmp_path / "weights.pyth", known_state(network))
    save_clips(tmp_path / "clips.npz", network, tiny_inputs(network, clips=5))
    return network, tmp_path


def test_features_are_those_of_the_network(tiny):
    network, folder = tiny
    path = ("--path", "cat") if "path" in network.options else ()
    features = extract(folder, "tiny", folder / "weights.pyth", "--stg", "5,2", *path)
    module = network.module()
    module.load_state_dict(known_state(network))
    inputs = tiny_inputs(network, clips=5)
    expected = stage_features(module, inputs, at_path(network, "cat").stage_points("5,2"))
    assert list(features) == list(expected) == ["2", "5"]
    for stage, values in expected.items():
        assert_close(features[stage], values)


@pytest.mark.parametrize("size", ["1", "2", "3", "64"])
def test_batches_do_not_change_the_features(tiny, size):
    _network, folder = tiny
    weights = folder / "weights.pyth"
    whole = extract(folder, "tiny", weights, "--stg", "all", "--logits", "--batch_size", "5")
    parts = extract(folder, "tiny", weights, "--stg", "all", "--logits", "--batch_size", size)
    assert list(parts) == list(whole)
    for name, values in whole.items():
        assert values.shape[0] == 5
        assert_close(parts[name], values)


def test_logits_have_the_given_number_of_classes(tiny):
    network, folder = tiny
    state = network.module(num_classes=7).state_dict()
    path = save_torch(folder / "seven.pyth", state)
    features = extract(folder, "tiny", path, "--logits", "--num_classes", "7")
    assert features["logits"].shape == (5, 7)


def test_random_weights_depend_on_the_seed(tiny):
    _network, folder = tiny
    one, same, other = (
        extract(folder, "tiny", "random", "--random_seed", seed)["5"] for seed in "112"
    )
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64], ids=str)
def test_clips_of_other_precisions_become_float32(tiny, dtype):
    network, folder = tiny
    inputs = [x.half() for x in tiny_inputs(network)]
    save_clips(folder / "float32.npz", network, [x.float() for x in inputs])
    save_clips(folder / "other.npz", network, [x.to(dtype) for x in inputs])
    weights = folder / "weights.pyth"
    expected = extract(folder, "tiny", weights, clips="float32.npz")["5"]
    found = extract(folder, "tiny", weights, clips="other.npz")["5"]
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)


def test_shapes_and_file_are_printed_and_a_replaced_file_is_marked(tiny, capsys):
    _network, folder = tiny
    features = extract(folder, "tiny", "random", "--stg", "1")
    text = capsys.readouterr().out
    assert f"1: 5 clips x {features['1'].shape[1]}" in text
    assert text.endswith(f"saved: {folder / 'features.npz'}\n")
    extract(folder, "tiny", "random")
    assert "(replaced)" in capsys.readouterr().out


# ---- Refusals.


def refusal(folder, model, checkpoint="random", *options, clips="clips.npz"):
    with pytest.raises(UserError) as caught:
        extract(folder, model, checkpoint, *options, clips=clips)
    assert not (folder / "features.npz").exists()
    return str(caught.value)


VIDEO = np.zeros((2, 3, 8, 32, 32), dtype=np.float32)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, "holds nothing; i3d takes video"),
        ({"clip": VIDEO}, "holds clip; i3d takes video"),
        ({"slow": VIDEO, "fast": VIDEO}, "holds slow, fast; i3d takes video"),
        ({"video": VIDEO, "label": VIDEO}, "holds video, label; i3d takes video"),
        ({"video": VIDEO[:, :, :7]}, "float32 [2, 3, 7, 32, 32]; i3d takes float32 [B, 3, 8,"),
        ({"video": VIDEO[:, :1]}, "[2, 1, 8, 32, 32]"),
        ({"video": VIDEO[0]}, "[3, 8, 32, 32]"),
        ({"video": VIDEO.transpose(0, 2, 3, 4, 1)}, "[2, 8, 32, 32, 3]"),
        ({"video": VIDEO.astype(np.uint8)}, "'video' is uint8"),
        ({"video": np.where(VIDEO == 0, np.nan, VIDEO)}, "holds NaN or inf"),
        ({"video": VIDEO[:0]}, "at least one"),
    ],
    ids=[
        "nothing",
        "other name",
        "two pathways",
        "one more",
        "frames",
        "grey",
        "no batch",
        "channels last",
        "pixels",
        "NaN",
        "no clip",
    ],
)
def test_clips_that_do_not_fit(arrays, words, tmp_path):
    np.savez(tmp_path / "clips.npz", **arrays)
    message = refusal(tmp_path, "i3d")
    assert words in message
    assert "clips.npz" in message


def test_pathways_with_different_numbers_of_clips(tmp_path):
    np.savez(tmp_path / "clips.npz", slow=VIDEO, fast=np.zeros((3, 3, 32, 32, 32), np.float32))
    assert "the same number of clips" in refusal(tmp_path, "slowfast_r50_8x8")


@pytest.mark.parametrize(("height", "width"), [(16, 16), (0, 0), (1, 1), (32, 0)])
def test_clips_that_are_too_small(height, width, tmp_path):
    video = np.zeros((1, 3, 8, height, width), dtype=np.float32)
    np.savez(tmp_path / "clips.npz", video=video)
    assert f"{height}, {width}" in refusal(tmp_path, "i3d_nln", "random", "--stg", "all")


def test_pathways_of_different_sizes(tmp_path):
    fast = np.zeros((2, 3, 32, 64, 64), np.float32)
    np.savez(tmp_path / "clips.npz", slow=VIDEO, fast=fast)
    assert "fast" in refusal(tmp_path, "slowfast_r50_8x8")


def test_logits_of_small_clips(tmp_path):
    np.savez(tmp_path / "clips.npz", video=VIDEO[:1])
    assert "at least 224x224" in refusal(tmp_path, "c2d", "random", "--logits")


@pytest.mark.parametrize(
    ("model", "checkpoint", "options", "words"),
    [
        ("i4d", "random", [], "Did you mean"),
        ("i3d", "random", ["--stg", "6"], "stage '6' is not in network 'i3d'"),
        ("i3d", "absent.pyth", [], "`checkpoint` absent.pyth is not a file"),
    ],
    ids=["model", "stage", "checkpoint"],
)
def test_requests_are_checked_before_the_clips_are_read(
    model, checkpoint, options, words, tmp_path
):
    assert words in refusal(tmp_path, model, checkpoint, *options)


def test_absent_clips(tmp_path):
    assert "clips.npz does not exist" in refusal(tmp_path, "i3d")


def test_checkpoint_that_does_not_fit(tiny, tmp_path):
    _network, folder = tiny
    state = known_state(tiny_network("two published"))
    path = save_torch(tmp_path / "other.pyth", state)
    message = refusal(folder, "tiny", path)
    assert "does not fit this network" in message


@pytest.mark.parametrize("case", ["frames", "name", "page"])
def test_user_error_has_exit_code_2_and_no_traceback(case, tmp_path):
    video = VIDEO[:, :, :7] if case == "frames" else VIDEO
    np.savez(tmp_path / "clips.npz", **{"clip" if case == "name" else "video": video})
    (tmp_path / "page.pyth").write_text("<!DOCTYPE html><html>Not found</html>")
    checkpoint = tmp_path / "page.pyth" if case == "page" else "random"
    command = [sys.executable, str(ROOT / "misc" / "extract_features.py"), "--model", "i3d"]
    command += ["--checkpoint", str(checkpoint), "--clips", str(tmp_path / "clips.npz")]
    command += ["--save", str(tmp_path / "features.npz"), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "features.npz").exists()


@pytest.mark.parametrize("option", ["--clips", "--checkpoint", "--cfg_file"])
def test_what_is_read_is_not_replaced(tmp_path, option):
    (tmp_path / "x").write_bytes(b"mine")
    given = {"--clips": tmp_path / "clips.npz", option: tmp_path / "x", "--save": tmp_path / "x"}
    with pytest.raises(UserError, match=r"`save` .*x is a file that is read"):
        main([str(part) for pair in given.items() for part in pair])
    assert (tmp_path / "x").read_bytes() == b"mine"

"""misc/extract_features.py for segmentation networks: released files and clips in, features out."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from measure.loaded import LoadedNetwork
from misc.extract_features import main
from models import catalogue
from models.capture import stage_features
from tests.helpers import assert_close, clip, fill
from tests.vos.helpers import (
    TinyMATNet,
    assert_golden,
    bare_module,
    golden_inputs,
    golden_segmenter,
    golden_state,
    tiny_segmenter,
)
from utils import DataError, UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def one_forward(monkeypatch) -> None:
    """The check that clips do not depend on each other has tests of its own, and takes a forward
    more of each of many large networks."""
    monkeypatch.setattr(LoadedNetwork, "require_steady", lambda *given: None)


def save_clips(path, inputs):
    np.savez(path, **{n: x.numpy() for n, x in zip(("image", "flow"), inputs, strict=True)})


def extract(folder, checkpoint, *options):
    """Run the script in this process; the arrays it saved."""
    files = ["--clips", str(folder / "clips.npz"), "--save", str(folder / "features.npz")]
    main(["--checkpoint", str(checkpoint), *files, "--device", "cpu", *options])
    with np.load(folder / "features.npz") as arrays:
        return dict(arrays)


def save_fusionseg(folder, state):
    torch.save({"cur_itrs": 1, "model_state": state}, folder / "latest.pth")
    return folder / "latest.pth"


def save_matnet(folder, state):
    for part in ("encoder", "decoder"):
        own = {n.removeprefix(f"{part}."): v for n, v in state.items() if n.startswith(part)}
        torch.save(own, folder / f"{part}_25.pt")
    return folder


def save_rtnet(folder, state):
    torch.save({"state_dict": {f"module.{n}": v for n, v in state.items()}}, folder / "RX50.pth")
    return folder / "RX50.pth"


RELEASED = {
    "twostream_deeplabv3plus_resnet101/base": ("twostreamv3plus_davis", save_fusionseg, 2),
    "matnet/coatt_recip": ("cc_types/matnet_davis_bidir", save_matnet, 1),
    "rtnet34/base": ("rtnet_34_davis", save_rtnet, 1),
}


@pytest.mark.parametrize("case", RELEASED)
def test_released_files_give_the_golden_arrays(case, tmp_path, capsys):
    config, save, samples = RELEASED[case]
    network = golden_segmenter(case)
    checkpoint = save(tmp_path, golden_state(case, bare_module(network)))
    save_clips(tmp_path / "clips.npz", golden_inputs(case, samples))
    options = ["--cfg_file", str(ROOT / "configs" / f"{config}.json"), "--stg", "all", "--logits"]
    features = extract(tmp_path, checkpoint, *options)
    assert {values.dtype for values in features.values()} == {np.dtype("float32")}
    assert [name for name in features if "," in name] == list(network.stages)
    assert_golden(case, features)
    rows = "2 frames" if network.clip.frames == 2 else f"{samples} clips"
    assert f"conv1,app_stream: {rows} x 64\n" in capsys.readouterr().out
    for file in tmp_path.iterdir():  # hundreds of megabytes
        file.unlink()


# ---- A tiny network.


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A tiny network under the name of MATNet, and the folder of its clips and its two files."""
    network = tiny_segmenter()
    monkeypatch.setattr(catalogue, "TABLES", (SimpleNamespace(NETWORKS=(network,)),))
    save_matnet(tmp_path, fill(TinyMATNet().state_dict()))
    save_clips(tmp_path / "clips.npz", [clip("image", (5, 3, 8, 9)), clip("flow", (5, 3, 8, 9))])
    return network, tmp_path


@pytest.mark.parametrize("size", ["1", "2", "8"])
def test_batches_do_not_change_features_and_logits(tiny, size):
    network, folder = tiny
    options = ["--model", "matnet", "--stg", "all", "--logits", "--batch_size", size]
    features = extract(folder, folder, *options)
    module = TinyMATNet().eval()
    module.load_state_dict(fill(module.state_dict()))
    inputs = clip("image", (5, 3, 8, 9)), clip("flow", (5, 3, 8, 9))
    expected = stage_features(module, inputs, network.stage_points("all"), logits=True)
    assert list(features) == [*network.stages, "logits"] == list(expected)
    assert features["logits"].shape == (5, 1, 8, 9)
    for name, values in expected.items():
        assert_close(features[name], values, 1e-5)


def test_configuration_names_the_network_where_model_does_not(tiny):
    network, folder = tiny
    (folder / "cfg.json").write_text(json.dumps({"model": "matnet"}))
    features = extract(folder, folder, "--cfg_file", str(folder / "cfg.json"))
    assert tuple(features) == network.stages
    one = extract(folder, "random", "--model", "matnet", "--stg", "layer4,sensor_fusion")
    assert list(one) == ["layer4,sensor_fusion"]


def test_what_was_read_is_printed(tiny, capsys):
    _, folder = tiny
    extract(folder, folder, "--model", "matnet")
    text = capsys.readouterr().out
    assert "layer4,sensor_fusion: 5 clips x 1\n" in text
    assert f"weights: {folder}\ncheckpoint: encoder_25.pt, decoder_25.pt\n" in text


# ---- Refusals.


def refusal(folder, *options):
    with pytest.raises(UserError) as caught:
        extract(folder, "random", *options)
    assert not (folder / "features.npz").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "sam"], "it needs PyTorch 0.4"),
        (
            ["--model", "rtnet", "--path", "slow"],
            "network 'rtnet' does not have this option",
        ),
        (
            ["--model", "i3d", "--trained_on", "davis"],
            "`trained_on` davis: network 'i3d' does not have this option",
        ),
        (["--model", "rtnet", "--num_classes", "2"], "`num_classes` is for networks of action"),
        (["--model", "rtnet", "--stg", "layer5,app_stream"], "'layer5,app_stream' is not in"),
        (["--model", "rtnet", "--cfg_file", "absent.json"], "absent.json does not exist"),
        (["--model", "rtnet", "--checkpoint", "absent"], "`checkpoint` absent is not a file"),
    ],
    ids=["sam", "pathway", "training set", "classes", "stage", "configuration", "checkpoint"],
)
def test_requests_are_checked_before_the_clips_are_read(options, words, tmp_path):
    assert words in refusal(tmp_path, *options)


FRAME = np.zeros((2, 3, 32, 32), dtype=np.float32)


@pytest.mark.parametrize(
    ("model", "arrays", "words"),
    [
        ("matnet", {"image": FRAME}, "holds image; matnet takes image, flow"),
        ("matnet", {"image": FRAME, "flow": FRAME[:1]}, "the same number of clips"),
        ("matnet", {"image": FRAME, "flow": FRAME[:, :2]}, "takes float32 [B, 3, H, W]"),
        ("rtnet", {"image": FRAME, "flow": FRAME}, "rtnet takes float32 [B, 2, 3, H, W]"),
        ("matnet", {"image": FRAME[..., :31], "flow": FRAME}, "at least 32x32"),
    ],
    ids=["no flow", "clips", "channels", "one frame", "small"],
)
def test_clips_that_do_not_fit(model, arrays, words, tmp_path):
    np.savez(tmp_path / "clips.npz", **arrays)
    assert words in refusal(tmp_path, "--model", model)


def test_features_that_are_not_finite_name_the_clip(tiny):
    _, folder = tiny
    state = fill(TinyMATNet().state_dict())
    state["encoder.conv1_1.bias"][1] = 3.4e38  # finite, until something is added
    state["encoder.conv1_1.weight"][1] = 1e38
    save_matnet(folder, state)
    with pytest.raises(DataError, match="stage conv1,app_stream, unit 1, clip 0: the feature is"):
        extract(folder, folder, "--model", "matnet", "--stg", "all")

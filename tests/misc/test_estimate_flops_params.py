"""misc/estimate_flops_params.py: the costs of networks as a table."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from torchvision.models.video import MViT_V1_B_Weights

import models.cost
from misc.estimate_flops_params import main
from models.network import Variant
from models.tables import resnet as resnet_family
from tests.helpers import tiny_network
from tests.helpers_checkpoints import known_state, save_torch
from tests.helpers_cost import rows
from utils import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tiny(monkeypatch):
    """Two tiny networks that `model` knows, tiny and tiny_two, on clips of 32 pixels."""

    def small(kind, name):
        network = tiny_network(kind)
        return replace(network, name=name, clip=replace(network.clip, crop=32))

    added = (small("one", "tiny"), small("two", "tiny_two"))
    monkeypatch.setattr(resnet_family, "NETWORKS", (*resnet_family.NETWORKS, *added))
    return added


# ---- Published numbers.


def test_x3d_costs_what_its_authors_publish(tmp_path, capsys):
    (row,) = rows(tmp_path, "--model", "x3d_s")
    # 1.96 GFLOPs and 3.8 M parameters (PySlowFast's model zoo), batch norm folded.
    assert round(row["flops_folded"] / 1e9, 2) == 1.96
    assert round(row["params"] / 1e6, 1) == 3.8
    text = capsys.readouterr().out
    head, line = (text.splitlines()[i].split() for i in (1, 2))
    assert head[:4] == ["network", "input", "batch", "GFLOPs"]
    assert line == ["x3d_s", "3x13x160x160", "1", "2.032", "1.963", "3.794", "3.763"]
    assert "every other operator is counted" in text


def test_mvit_costs_what_torchvision_publishes(tmp_path):
    (row,) = rows(tmp_path, "--model", "mvit")
    published = MViT_V1_B_Weights.DEFAULT.meta
    assert row["params"] == published["num_params"]
    # torchvision counts no layer norm, which is 0.203 GFLOPs here.
    assert row["flops"] / 1e9 == pytest.approx(published["_ops"] + 0.203, abs=6e-4)


# ---- Choosing networks and their inputs.


def test_one_list_or_several_options(tiny, tmp_path):
    listed = rows(tmp_path, "--model", "tiny_two,tiny")
    assert [row["network"] for row in listed] == ["tiny_two", "tiny"]
    assert [row["input"] for row in listed] == ["3x8x32x32 + 3x32x32x32", "3x8x32x32"]
    assert rows(tmp_path, "--model", "tiny_two", "--model", "tiny") == listed


def test_all_means_every_network(tiny, monkeypatch, tmp_path):
    monkeypatch.setattr("misc.estimate_flops_params.networks", lambda: {n.name: n for n in tiny})
    assert [row["network"] for row in rows(tmp_path, "--model", "all")] == ["tiny", "tiny_two"]


def test_names_beside_all_are_kept(monkeypatch, tiny, tmp_path):
    monkeypatch.setattr("misc.estimate_flops_params.networks", lambda: {"tiny": tiny[0]})
    found = rows(tmp_path, "--model", "all,tiny_two,tiny")
    assert [row["network"] for row in found] == ["tiny", "tiny_two"]
    with pytest.raises(UserError, match="'nonsense'"):
        main(["--model", "all,tiny_two,nonsense"])


def test_a_name_resolves_by_the_data_set(tmp_path):
    (row,) = rows(tmp_path, "--model", "fast", "--dataset", "Diving48", "--image_size", "224")
    assert row["network"] == "fast_diving48"


def test_a_network_of_ones_own_is_counted_as_built(tmp_path):
    code = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv3d(3, 4, 1), nn.Flatten(), nn.Linear(4 * 2 * 8 * 8, 5))
"""
    (tmp_path / "own.py").write_text(code)
    options = ("--clip_frames", "2", "--crop", "8")
    (row,) = rows(tmp_path, "--model", f"{tmp_path / 'own.py'}:build", *options)
    assert row["input"] == "3x2x8x8"
    assert row["flops"] == 2 * 8 * 8 * (3 * 4 + 4 * 5)


def test_batch_size_classes_and_image_size(tiny, tmp_path):
    one, batch, classes, large = (
        rows(tmp_path, "--model", "tiny", *options)[0]
        for options in ((), ("--batch_size", "2"), ("--num_classes", "7"), ("--image_size", "64"))
    )
    assert (batch["batch_size"], batch["flops"]) == (2, 2 * one["flops"])
    assert batch["params"] == one["params"]
    width = 4 * 4 * 2**3  # units of the last stage
    assert classes["params"] - one["params"] == 2 * (width + 1)
    assert classes["flops"] - one["flops"] == 2 * width
    assert large["input"] == "3x8x64x64"
    assert large["flops"] > 4 * one["flops"] - 10 * width  # the classifier stays


def test_a_checkpoint_decides_the_form_of_its_network(tiny, monkeypatch, tmp_path, capsys):
    network = tiny[0]
    shallow = replace(network.spec, blocks=(1, 1, 1, 1), nonlocal_after=((), (), (), ()))
    forms = replace(network, recognise=lambda *given: Variant(shallow, given[-1], "a form"))
    others = [n for n in resnet_family.NETWORKS if n.name != network.name]
    monkeypatch.setattr(resnet_family, "NETWORKS", (*others, forms))
    path = save_torch(tmp_path / "weights.pyth", known_state(replace(network, spec=shallow)))
    (random,) = rows(tmp_path, "--model", "tiny")
    (loaded,) = rows(tmp_path, "--model", "tiny", "--checkpoint", str(path))
    assert loaded["params"] < random["params"]
    assert "tiny, checkpoint: a form" in capsys.readouterr().out


# ---- What is written.


def test_modules_add_up_to_their_network(tiny, tmp_path, capsys):
    found = rows(tmp_path, "--model", "tiny,tiny_two", "--by_module")
    for name in ("tiny", "tiny_two"):
        whole, *parts = [row for row in found if row["network"] == name]
        assert whole["module"] == ""
        assert {"s1", "s2", "s3", "s4", "s5", "head"} <= {row["module"] for row in parts}
        for key in ("flops", "flops_folded", "params", "params_without_norm"):
            assert sum(row[key] for row in parts) == whole[key]
    assert "s1_fuse" in capsys.readouterr().out


def test_operators_that_are_not_counted_are_named(tiny, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(models.cost, "_FREE", frozenset({"max_pool3d", "avg_pool3d"}))
    (row,) = rows(tmp_path, "--model", "tiny")
    text = capsys.readouterr().out
    # 5 blocks and a non-local block are added; positions and logits are averaged.
    assert "NOT COUNTED, so tiny costs more than this: add (6x), mean (2x)" in text
    assert "every other operator is counted" not in text
    assert row["uncounted_operators"] == 8


def test_a_replaced_file_is_marked(tiny, tmp_path, capsys):
    rows(tmp_path, "--model", "tiny")
    assert f"saved: {tmp_path / 'costs.csv'}\n" in capsys.readouterr().out
    rows(tmp_path, "--model", "tiny")
    assert f"saved: {tmp_path / 'costs.csv'} (replaced)\n" in capsys.readouterr().out


def test_the_screen_shows_no_warnings_and_no_file_is_written(tmp_path):
    script = ROOT / "misc" / "estimate_flops_params.py"
    command = [sys.executable, str(script), "--model", "demo_motion"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "demo_motion" in done.stdout
    assert list(tmp_path.iterdir()) == []


# ---- Refusals.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--model or --cfg_file is missing"),
        (["--model", "sam"], "cannot be run"),
        (["--model", "i3d", "--clip_frames", "9"], "takes 8 frames"),
        (["--model", "i3d", "--image_size", "224x256"], "square; give `image_size` 224"),
        (["--model", "i3d,i4d"], "Did you mean"),
        (["--model", "i3d,c2d", "--checkpoint", "weights.pyth"], "--model names 2: give one"),
        (["--model", "i3d", "--checkpoint", "absent.pyth"], "absent.pyth is not a file"),
        (["--model", "i3d", "--image_size", "16"], "at least 32 pixels, not 16"),
        (["--model", "mvit", "--image_size", "256"], "takes clips of 224 pixels"),
        (["--model", "i3d", "--save", "."], "`save` . cannot be written"),
    ],
    ids=[
        *(
            "no model",
            "gone",
            "frames",
            "not square",
            "name",
            "one checkpoint",
            "checkpoint",
            "small",
            "only size",
        ),
        "folder",
    ],
)
def test_requests_are_checked_before_anything_is_counted(options, words, monkeypatch):
    monkeypatch.setattr("misc.estimate_flops_params.count", None)
    with pytest.raises(UserError) as caught:
        main(options)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["big", "0", "240x", "x240", "240x0", "-3"])
def test_sizes_that_are_none(text, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--model", "i3d", "--image_size", text])
    assert caught.value.code == 2
    assert "--image_size" in capsys.readouterr().err


def test_clips_too_small_for_the_classifier(tmp_path):
    with pytest.raises(UserError, match="at least 224x224 pixels"):
        rows(tmp_path, "--model", "fast", "--image_size", "64")
    assert not (tmp_path / "costs.csv").exists()


def test_clips_that_a_network_cannot_take(tmp_path):
    with pytest.raises(UserError, match=r"cannot take clips \[1, 3, 2, 224, 224\]: Runtime"):
        rows(tmp_path, "--model", "torchvision:s3d", "--clip_frames", "2")
    assert not (tmp_path / "costs.csv").exists()

"""Every network of the study through misc/extract_features.py, against the study's own code.

The checkpoint files hold the names and shapes of the published ones.
"""

import numpy as np
import pytest
import torch

from common.tasks import RECOGNITION
from measure.loaded import LoadedNetwork
from misc.extract_features import main
from models.catalogue import find, networks
from tests.helpers import (
    assert_close,
    clip,
    golden_inputs,
    golden_stage,
    golden_state,
    read_json,
    read_npz,
)
from tests.helpers_checkpoints import save_torch

RESNETS = tuple(read_json("golden_inputs.json"))
OTHERS = tuple(read_json("x3d_transformers.json")["networks"])
REFERENCES = {
    **dict.fromkeys(RESNETS, "state_dicts.json"),
    **dict.fromkeys(OTHERS, "x3d_transformers.json"),
}


@pytest.fixture(autouse=True)
def one_forward(monkeypatch) -> None:
    """The check that clips do not depend on each other has tests of its own, and takes a forward
    more of each of many large networks."""
    monkeypatch.setattr(LoadedNetwork, "require_steady", lambda *given: None)


def published_state(name):
    """The state dict of the published file, with the weights behind the golden arrays."""
    reference = read_json(REFERENCES[name])
    entry = reference["networks"][name.removesuffix("_soft")]
    shapes = {**reference["layouts"][entry["layout"]], **entry["except"]}
    kinds = {key: torch.int64 if key.endswith("_tracked") else torch.float32 for key in shapes}
    empty = {key: torch.empty(shape, dtype=kinds[key]) for key, shape in shapes.items()}
    return golden_state(name, empty)


def golden_clips(name):
    """The first of the clips behind the golden arrays, by the name of the input."""
    if name in RESNETS:
        inputs = golden_inputs(name)
    else:
        inputs = [clip(*entry) for entry in read_json(REFERENCES[name])["inputs"][name]["default"]]
    names = [key for key, _ in find(name.removesuffix("_soft")).clip.inputs]
    return {key: x[:1].numpy() for key, x in zip(names, inputs, strict=True)}


def golden(name, stage):
    """The golden vector of a stage for that clip; of both pathways where there are two."""
    if name in OTHERS:
        return read_npz("golden_x3d_transformers.npz")[f"{name}/stage{stage}"][:1]
    two = len(find(name.removesuffix("_soft")).clip.inputs) == 2
    return golden_stage(name, stage, "cat" if two else "")[:1]


def test_every_network_of_the_study_is_here():
    names = {name.removesuffix("_soft") for name in (*RESNETS, *OTHERS)}
    study = {name for name, network in networks().items() if network.task == RECOGNITION}
    assert names == {name for name in study if not name.startswith("demo_")}


@pytest.mark.parametrize("name", [*RESNETS, *OTHERS])
def test_all_stages_equal_the_golden_ones(name, tmp_path):
    network = find(name.removesuffix("_soft"))
    save_torch(tmp_path / "weights.pyth", {"epoch": 1, "model_state": published_state(name)})
    np.savez(tmp_path / "clips.npz", **golden_clips(name))
    # The golden logits of the others are those of larger clips.
    transformer = network.family in ("MViT", "TimeSformer")
    files = {"checkpoint": "weights.pyth", "clips": "clips.npz", "save": "features.npz"}
    argv = [part for option, file in files.items() for part in (f"--{option}", tmp_path / file)]
    argv += ["--model", network.name, "--stg", "all", "--device", "cpu"]
    argv += ["--path", "cat"] if "path" in network.options else []
    main([*map(str, argv), *(["--logits"] if transformer else [])])
    (tmp_path / "weights.pyth").unlink()  # of up to 500 MB, and pytest keeps folders

    with np.load(tmp_path / "features.npz") as arrays:
        features = dict(arrays)
    if transformer:
        stored = read_npz("golden_x3d_transformers.npz")
        logits = "cls_preact" if network.family == "MViT" else "cls"
        assert_close(features.pop("logits"), stored[f"{name}/{logits}"])
    assert tuple(features) == network.stages
    for stage, values in features.items():
        assert values.dtype == np.float32
        assert_close(values, golden(name, stage))

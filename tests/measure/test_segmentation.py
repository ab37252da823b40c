"""Runs of segmentation networks: the numbers, and the files that they leave."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.batches import iter_batches
from estimation.estimator import CLASSES
from measure.prepare import prepare
from measure.run import Run
from tests import helpers_vos
from tests.datasets.helpers_davis import write_trees
from tests.helpers import assert_close, fill
from tests.helpers_estimation import estimate_pairs
from tests.helpers_runs import read_rows
from tests.helpers_vos import (
    LAST,
    UNITS,
    Tiny,
    contents,
    no_network,
    place,
    quick,
    run,
    tiny_networks,
)

trees, tiny, weights = helpers_vos.trees, helpers_vos.tiny, helpers_vos.weights


def expanded(plan: Run, module: Tiny) -> dict[str, tuple[np.ndarray, ...]]:
    """By stage the features of all pairs, a and b, and their factors: one forward per pair and
    member, without store and distinct clips. Rows in order pair, frame."""
    rows: dict[str, tuple[list, list]] = {stage: ([], []) for stage in plan.stages}
    factors = []
    frames, reader = plan.geometry.frames, plan.data.reader(plan.geometry)
    for pair in plan.plan.pairs:
        factors += [pair.factor] * frames
        for member, clip in enumerate((pair.a, pair.b)):
            (batch,) = iter_batches([[[clip]]], reader)
            image, flow = (x[0] if frames > 1 else x for x in batch.inputs)
            for picture, motion in zip(image, flow, strict=True):
                with torch.inference_mode():
                    app = module.app(picture[None])
                    mot = module.mot(motion[None])
                    fused = module.fusion(torch.cat([app.relu(), mot.relu()], 1))
                for stage, x in zip(plan.stages, (app, mot, fused), strict=True):
                    rows[stage][member].append(x.mean((2, 3))[0].numpy())
    return {s: (np.stack(a), np.stack(b), np.array(factors)) for s, (a, b) in rows.items()}


@pytest.mark.parametrize("model", ["tiny", "tiny2"])
def test_numbers_are_those_of_the_estimator_on_all_pairs(trees, tmp_path, model):
    network = next(n for n in tiny_networks() if n.name == model)
    module = Tiny(network.spec).eval()
    state = fill(module.state_dict())
    module.load_state_dict(state)
    torch.save({"state_dict": state}, tmp_path / "weights.pt")
    out = tmp_path / "out"
    config = quick(trees, out, model=model, checkpoint=str(tmp_path / "weights.pt"), nreps=1)
    plan = prepare(config)
    run(config)

    name = "tiny_davis" if model == "tiny" else "tiny2"
    lines = []
    table = {(r["stage"], r["factor"]): r for r in read_rows(place(out, name) / "layerwise.csv")}
    for stage, (a, b, factor) in expanded(plan, module).items():
        assert len(a) == network.clip.frames * len(plan.plan.pairs)
        assert Counter(factor.tolist()) == dict.fromkeys((0, 1, 2), len(a) // 3)
        scored = factor < 2
        expected = estimate_pairs(a[scored], b[scored], factor[scored])
        dims, percents = list(expected.dims), list(expected.dims_percent)
        lines.append(f"Stage: {stage} , Dimensions: {dims} {percents}")
        for index, what in enumerate(("dynamic", "static")):
            row = table[stage, what]
            assert float(row["score"]) == pytest.approx(expected.scores[index], abs=1e-5)
            # Pairs of clips: those of two frames are two pairs of rows, and still one.
            assert int(row["n_pairs"]) == sum(p.factor == index for p in plan.plan.pairs)
    assert (out / f"final/{name}/{name}_final_001.txt").read_text().splitlines() == lines
    # The image stream sees no flow, in which alone static pairs differ.
    units = read_rows(place(out, name) / "units.csv")
    alike = [float(r["score_static"]) for r in units if r["stage"] == "conv1,app_stream"]
    assert alike == pytest.approx([1] * 5)


def test_features_of_two_frames_are_rows_in_order_clip_frame(trees, tmp_path):
    config = quick(trees, tmp_path / "out", model="tiny2", nreps=1)
    plan = prepare(config)
    run(config)
    folder = place(tmp_path / "out", "tiny2_random") / "features"
    clips = read_rows(folder / "clips.csv")
    stored = np.load(folder / "conv1,app_stream.npy")
    assert stored.shape == (2 * len(plan.rows), 5)
    # The image stream sees one frame at a time, so a row is a function of style and frame.
    keys = [(clip["video"], clip["style"], clip["row_of"]) for clip in clips]
    by_frame = dict(zip(keys, stored, strict=True))
    assert_close(stored, np.stack([by_frame[key] for key in keys]), 1e-5)
    assert len(by_frame) == len({tuple(np.round(row, 4)) for row in by_frame.values()})


def test_files_of_the_study_and_of_the_run(trees, tmp_path, weights, capsys):
    run(quick(trees, tmp_path / "out", checkpoint=weights))
    folder = place(tmp_path / "out", "tiny_davis")
    final = tmp_path / "out/final/tiny_davis/tiny_davis_final_001.txt"
    found = {path.relative_to(tmp_path / "out") for path in contents(tmp_path / "out")}
    store = {f"{stage}.npy" for stage in UNITS} | {"clips.csv", "checksums.npy", "identity.json"}
    names = {
        "config.json",
        "tiny_davis_dim_est.csv",
        "plan.csv",
        "estimates.csv",
        "layerwise.csv",
        "units.csv",
        "joint_encoding.csv",
    }
    names |= {*(f"features/{n}" for n in store)}
    expected = {Path(folder.name) / name for name in names}
    assert found == expected | {final.relative_to(tmp_path / "out")}
    assert [line.split(" , ")[0] for line in final.read_text().splitlines()] == [
        f"Stage: {stage}" for stage in UNITS
    ]
    record = json.loads((folder / "config.json").read_text())
    assert record["options"]["checkpoint"] == weights
    assert record["options"]["nreps"] == 2  # as configured
    assert record["device"] == "cpu"
    text = capsys.readouterr().out
    assert "network: tiny_davis" in text
    assert f"tables:  {folder}\n" in text
    assert f"study:   {final}\n" in text
    assert "joint encoding" not in text


def test_joint_encoding_files_are_written_only_if_asked_for(trees, tmp_path, weights, capsys):
    config = quick(trees, tmp_path / "out", checkpoint=weights, joint_encoding=True)
    run(dataclasses.replace(config, random_seed=2, joint_encoding=False))
    joint = tmp_path / "out/joint_encoding/tiny_davis"
    assert not joint.exists()
    run(config)
    assert {path.name for path in joint.iterdir()} == {f"{stage}.npz" for stage in UNITS}
    assert "joint encoding, unit scores above 0.5" in capsys.readouterr().out
    units = read_rows(place(tmp_path / "out", "tiny_davis") / "units.csv")
    for stage, n in UNITS.items():
        with np.load(joint / f"{stage}.npz") as file:
            assert file["unit_scores"].shape == (3, n)
            sizes = {name: len(file[name]) for name in CLASSES}
            own = [row for row in units if row["stage"] == stage]
            scores = [float(row["score_dynamic"]) for row in own]
            np.testing.assert_allclose(file["unit_scores"][0], scores, atol=1e-6)
        assert sum(sizes.values()) == n


def test_results_stay_where_they_are_to_be_whatever_the_network_is_called(trees, tmp_path):
    run(quick(trees, tmp_path / "out", name="../../my net", joint_encoding=True))
    assert contents(tmp_path).keys() == contents(tmp_path / "out").keys()
    (final,) = (tmp_path / "out/final").rglob("*.txt")
    name = ".._.._my_net_random"
    assert final.relative_to(tmp_path / "out/final") == Path(name, f"{name}_final_001.txt")
    assert (tmp_path / "out/joint_encoding" / name / f"{LAST}.npz").exists()


def test_joint_encoding_of_a_finished_run_is_added_without_the_network(
    trees, tmp_path, weights, monkeypatch
):
    config = quick(trees, tmp_path / "out", checkpoint=weights)
    run(config)
    no_network(monkeypatch)
    before = contents(tmp_path / "out/final")
    run(dataclasses.replace(config, joint_encoding=True))
    assert len(list((tmp_path / "out/joint_encoding/tiny_davis").iterdir())) == len(UNITS)
    assert contents(tmp_path / "out/final") == before


def test_first_threshold_is_that_of_the_joint_encoding_files_and_it_is_said(
    trees, tmp_path, weights, capsys
):
    options = {"joint_encoding": True, "joint_encoding_thresh": (0.3, 0.6)}
    run(quick(trees, tmp_path / "out", checkpoint=weights, **options))
    joint = tmp_path / "out/joint_encoding/tiny_davis"
    folder = place(tmp_path / "out", "tiny_davis")
    words = f"classes in {joint} are those at 0.3; others: {folder}\n"
    assert words in capsys.readouterr().out
    table = read_rows(folder / "joint_encoding.csv")
    units = {(r["stage"], float(r["threshold"]), r["class"]): int(r["units"]) for r in table}
    counts = {t: [units[stage, t, c] for stage in UNITS for c in CLASSES] for t in (0.3, 0.6)}
    found = []
    for stage in UNITS:
        with np.load(joint / f"{stage}.npz") as file:
            assert (file["threshold"], file["seed"]) == (0.3, 1)
            found += [len(file[name]) for name in CLASSES]
    assert found == counts[0.3] != counts[0.6]


@pytest.mark.parametrize("model", ["tiny", "tiny2"])
def test_batch_size_and_workers_change_no_number(trees, tmp_path, model):
    scores = []
    for index, options in enumerate(({"batch_size": 1}, {"batch_size": 7, "num_workers": 2})):
        run(quick(trees, tmp_path / str(index), model=model, nreps=1, **options))
        (table,) = (tmp_path / str(index)).rglob("layerwise.csv")
        scores.append([float(row["score"]) for row in read_rows(table)])
    assert_close(*scores, 1e-5)


def test_plan_given_back_gives_the_same_numbers(trees, tmp_path, weights):
    run(quick(trees, tmp_path / "a", checkpoint=weights))
    run(
        quick(
            trees,
            tmp_path / "b",
            checkpoint=weights,
            random_seed=5,
            pairs=place(tmp_path / "a", "tiny_davis") / "plan.csv",
        )
    )
    (one,), (two,) = ((tmp_path / folder / "final").rglob("*.txt") for folder in "ab")
    assert two.name == "tiny_davis_final_005.txt"
    assert one.read_text() == two.read_text()


def test_fusionseg(tmp_path):
    root = write_trees(tmp_path, {"bear": 3, "cows": 3}, size=(32, 32))
    config = quick(
        root,
        tmp_path / "out",
        model="twostream_deeplabv3plus_resnet101",
        image_size=(32, 32),
        nreps=1,
        trained_on="taovos",
    )
    run(config)
    name = "twostream_deeplabv3plus_resnet101_taovos_random"
    lines = (tmp_path / f"out/final/{name}/{name}_final_001.txt").read_text().splitlines()
    layers = ["conv1", "layer1", "layer2", "layer3", "layer4"]
    stages = [f"{layer},{s}" for s in ("app_stream", "mot_stream") for layer in layers]
    stages += ["layer1,sensor_fusion", "layer4,sensor_fusion"]
    assert [line.split()[1] for line in lines] == stages
    dims = [sum(map(int, line.split("[")[1].split("]")[0].split(","))) for line in lines]
    assert dims == [64, 256, 512, 1024, 2048] * 2 + [256, 2048]

"""Runs of `vos.measure`: the numbers, the files, and what is never overwritten or done twice."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import pipeline
from datasets.davis import FORWARD
from datasets.flow_clips import iter_flow_batches
from estimation.estimator import CLASSES, estimate
from estimation.final_files import format_line
from estimation.moments import PairMoments
from tests.helpers import fill
from tests.helpers_vos import SEQUENCES, UNITS, Tiny, as_argv, quick, tiny_networks, write_trees
from utils import UserError
from vos import families, measure
from vos.config import VosConfig
from vos.measure import Places, main
from vos.measurement import Segmentation, prepare

TABLES = ("plan.csv", "layerwise.csv", "units.csv", "joint_encoding.csv")


@pytest.fixture(scope="module")
def trees(tmp_path_factory) -> Path:
    """The trees, made once: not to be changed."""
    return write_trees(tmp_path_factory.mktemp("trees"))


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(families, "NETWORKS", (*families.NETWORKS, *tiny_networks()))
    # Figures have tests of their own, and take most of the time.
    monkeypatch.setattr("runs.draw_layerwise", lambda folder, results: folder)
    monkeypatch.setattr("runs.draw_joint_encoding", lambda folder, results: folder)
    for variable in ("ORIGINAL_DATA_ROOT", "STYLIZED_DATA_ROOT"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def weights(tmp_path) -> str:
    """A file of known weights of "tiny"; results do not depend on PyTorch's random ones."""
    torch.save({"model_state": fill(Tiny(tiny_networks()[0].spec).state_dict())}, tmp_path / "w.pt")
    return str(tmp_path / "w.pt")


def run(config: VosConfig) -> None:
    """The same as the command line does."""
    main(as_argv(config))


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file under a folder, but for empty folders."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def expanded(plan: Segmentation, module: Tiny) -> dict[str, tuple[np.ndarray, ...]]:
    """By stage the features of all pairs, a and b, and their factors: one forward per pair and
    member, without store and distinct clips. Rows in order pair, frame."""
    rows: dict[str, tuple[list, list]] = {stage: ([], []) for stage in plan.stages}
    factors = []
    for pair in plan.pairs:
        factors += [pair.factor] * plan.network.frames
        for member, clip in enumerate((pair.a, pair.b)):
            (batch,) = iter_flow_batches([clip], plan.data, plan.geometry, batch_size=1)
            image, flow = (x[0] for x in batch.inputs)
            image = image if plan.network.frames > 1 else image[None]
            flow = flow if plan.network.frames > 1 else flow[None]
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
    table = {
        (r["stage"], r["factor"]): r for r in read_rows(out / f"runs/{name}/seed_001/layerwise.csv")
    }
    for stage, (a, b, factor) in expanded(plan, module).items():
        assert len(a) == network.frames * len(plan.pairs)
        moments = {f: PairMoments.of(a[factor == f], b[factor == f]) for f in (0, 1)}
        expected = estimate(moments)
        lines.append(format_line(stage, expected.dims, expected.dims_percent))
        for index, what in enumerate(("dynamic", "static")):
            row = table[stage, what]
            assert float(row["score"]) == pytest.approx(expected.scores[index], abs=1e-5)
            assert int(row["n_pairs"]) == network.frames * len(plan.pairs) // 2
    assert (out / f"final/{name}/{name}_final_001.txt").read_text().splitlines() == lines
    # The image stream sees no flow, in which alone static pairs differ.
    units = read_rows(out / f"runs/{name}/seed_001/units.csv")
    alike = [float(r["score_static"]) for r in units if r["stage"] == "conv1,app_stream"]
    assert alike == pytest.approx([1] * 5)


def test_features_of_two_frames_are_rows_in_order_clip_frame(trees, tmp_path):
    config = quick(trees, tmp_path / "out", model="tiny2", nreps=1)
    plan = prepare(config)
    run(config)
    folder = tmp_path / "out/runs/tiny2/seed_001/features"
    clips = read_rows(folder / "clips.csv")
    stored = np.load(folder / "conv1,app_stream.npy")
    assert stored.shape == (2 * len(plan.rows), 5)
    # The image stream sees one frame at a time, so a row is a function of style and frame.
    by_frame: dict[tuple, np.ndarray] = {}
    for row, clip in zip(stored, clips, strict=True):
        known = by_frame.setdefault((clip["video"], clip["style"], clip["row_of"]), row)
        np.testing.assert_allclose(row, known, atol=1e-6)
    assert len(by_frame) == len({tuple(np.round(row, 4)) for row in by_frame.values()})


def test_files_of_the_study_and_of_the_run(trees, tmp_path, weights, capsys):
    run(quick(trees, tmp_path / "out", checkpoint=weights))
    final = tmp_path / "out/final/tiny_davis/tiny_davis_final_001.txt"
    found = {path.relative_to(tmp_path / "out") for path in contents(tmp_path / "out")}
    store = {f"{stage}.npy" for stage in UNITS} | {"clips.csv", "done.npy", "identity.json"}
    names = {"config.json", "tiny_davis_dim_est.csv", *TABLES, *(f"features/{n}" for n in store)}
    expected = {Path("runs/tiny_davis/seed_001") / name for name in names}
    assert found == expected | {final.relative_to(tmp_path / "out")}
    assert [line.split(" , ")[0] for line in final.read_text().splitlines()] == [
        f"Stage: {stage}" for stage in UNITS
    ]
    record = json.loads((tmp_path / "out/runs/tiny_davis/seed_001/config.json").read_text())
    assert record["options"]["checkpoint"] == weights
    assert record["device"] == "cpu"
    text = capsys.readouterr().out
    assert "network: tiny_davis" in text
    assert str(final) in text
    assert "joint encoding" not in text


def test_joint_encoding_files_are_written_only_if_asked_for(trees, tmp_path, weights, capsys):
    config = quick(trees, tmp_path / "out", checkpoint=weights, joint_encoding=True)
    run(dataclasses.replace(config, random_seed=2, joint_encoding=False))
    joint = tmp_path / "out/joint_encoding/tiny_davis"
    assert not joint.exists()
    run(config)
    assert {path.name for path in joint.iterdir()} == {f"{stage}.npz" for stage in UNITS}
    assert "joint encoding, unit scores above 0.5" in capsys.readouterr().out
    units = read_rows(tmp_path / "out/runs/tiny_davis/seed_001/units.csv")
    for stage, n in UNITS.items():
        with np.load(joint / f"{stage}.npz") as file:
            assert file["unit_scores"].shape == (3, n)
            sizes = {name: len(file[name]) for name in CLASSES}
            own = [row for row in units if row["stage"] == stage]
            scores = [float(row["score_dynamic"]) for row in own]
            np.testing.assert_allclose(file["unit_scores"][0], scores, atol=1e-6)
        assert sum(sizes.values()) == n


def test_joint_encoding_of_a_finished_run_is_added_without_the_network(
    trees, tmp_path, weights, monkeypatch
):
    config = quick(trees, tmp_path / "out", checkpoint=weights)
    run(config)
    monkeypatch.setattr(measure, "load_network", lambda plan: pytest.fail("the network is loaded"))
    before = contents(tmp_path / "out/final")
    run(dataclasses.replace(config, joint_encoding=True))
    assert len(list((tmp_path / "out/joint_encoding/tiny_davis").iterdir())) == len(UNITS)
    assert contents(tmp_path / "out/final") == before


@pytest.mark.parametrize("model", ["tiny", "tiny2"])
def test_batch_size_and_workers_change_no_number(trees, tmp_path, model):
    texts = set()
    for index, options in enumerate(({"batch_size": 1}, {"batch_size": 7, "num_workers": 2})):
        run(quick(trees, tmp_path / str(index), model=model, nreps=1, **options))
        (final,) = (tmp_path / str(index) / "final").rglob("*.txt")
        texts.add(final.read_text())
    assert len(texts) == 1


def test_plan_given_back_gives_the_same_numbers(trees, tmp_path, weights):
    run(quick(trees, tmp_path / "a", checkpoint=weights))
    run(
        quick(
            trees,
            tmp_path / "b",
            checkpoint=weights,
            random_seed=5,
            pairs=tmp_path / "a/runs/tiny_davis/seed_001/plan.csv",
        )
    )
    (one,), (two,) = ((tmp_path / folder / "final").rglob("*.txt") for folder in "ab")
    assert two.name == "tiny_davis_final_005.txt"
    assert one.read_text() == two.read_text()


class Interrupter:
    """Counts the clips of every forward; interrupts before batch `k`."""

    def __init__(self, monkeypatch, k: int | None = None):
        self.sizes: list[int] = []
        original = pipeline.FrozenNetwork.features

        def features(network, inputs):
            if len(self.sizes) == k:
                raise KeyboardInterrupt
            self.sizes.append(len(inputs[0]))
            return original(network, inputs)

        monkeypatch.setattr(pipeline.FrozenNetwork, "features", features)


class TestStartedAgain:
    def test_finished_run_is_not_repeated_and_says_so(self, trees, tmp_path, capsys, monkeypatch):
        config = quick(trees, tmp_path / "out", joint_encoding=True)
        run(config)
        before = contents(tmp_path / "out")
        capsys.readouterr()
        monkeypatch.setattr(measure, "load_network", lambda p: pytest.fail("the network is loaded"))
        run(dataclasses.replace(config, batch_size=1))
        final = tmp_path / "out/final/tiny_davis/tiny_davis_final_001.txt"
        assert capsys.readouterr().out == f"finished already: {final}\n"
        assert contents(tmp_path / "out") == before

    @pytest.mark.parametrize("model", ["tiny", "tiny2"])
    @pytest.mark.parametrize("k", [0, 2])
    def test_interrupted_run_goes_on(self, trees, tmp_path, capsys, model, k):
        config = quick(trees, tmp_path / "out", model=model)
        total = len(prepare(config).rows)
        with pytest.MonkeyPatch.context() as patch:
            Interrupter(patch, k)
            words = f"{4 * k} of {total} clips are kept; the same command goes on"
            with pytest.raises(KeyboardInterrupt, match=words):
                run(config)
        assert not (tmp_path / "out/final").exists()
        with pytest.MonkeyPatch.context() as patch:
            rest = Interrupter(patch)
            run(config)
        assert sum(rest.sizes) == total - 4 * k
        assert (f"going on: {4 * k} clips are there already" in capsys.readouterr().out) == (k > 0)
        run(dataclasses.replace(config, save_dir=tmp_path / "whole"))
        for name in TABLES:
            one, whole = ((tmp_path / f).rglob(name) for f in ("out", "whole"))
            assert next(one).read_bytes() == next(whole).read_bytes()

    @pytest.mark.parametrize("finished", [False, True])
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"stg": "conv1,app_stream"}, "another stages"),
            ({"crop_size": (12, 16)}, "another crop_size"),
            ({"nreps": 3}, "another plan"),
            ({"n_factors": 2, "residual_index": -1}, "another factors"),
            ({"joint_encoding_thresh": (0.3,)}, "another thresholds"),
        ],
    )
    def test_other_options_in_the_same_place_are_refused(
        self, trees, tmp_path, monkeypatch, options, words, finished
    ):
        config = quick(trees, tmp_path / "out")
        if finished:
            run(config)
        else:
            with pytest.MonkeyPatch.context() as patch:
                Interrupter(patch, 1)
                with pytest.raises(KeyboardInterrupt):
                    run(config)
        before = contents(tmp_path / "out")
        monkeypatch.setattr(measure, "load_network", lambda p: pytest.fail("the network is loaded"))
        with pytest.raises(UserError, match=rf"seed_001 holds a run with {words}.*--save_dir"):
            run(dataclasses.replace(config, **options))
        assert contents(tmp_path / "out") == before

    def test_other_weights_of_the_same_name_are_refused(self, trees, tmp_path, weights):
        run(quick(trees, tmp_path / "out", checkpoint=weights))
        with pytest.raises(UserError, match="another weights, random"):
            run(quick(trees, tmp_path / "out"))

    def test_other_files_in_the_place_of_the_same_data_are_refused(self, tmp_path):
        write_trees(tmp_path / "one")
        write_trees(tmp_path / "two", size=(16, 24))
        run(quick(tmp_path / "one", tmp_path / "out"))
        with pytest.raises(UserError, match="another video"):
            run(quick(tmp_path / "two", tmp_path / "out"))

    def test_moved_data_are_accepted(self, tmp_path, capsys):
        write_trees(tmp_path / "one")
        run(quick(tmp_path / "one", tmp_path / "out"))
        shutil.move(tmp_path / "one", tmp_path / "two")
        run(quick(tmp_path / "two", tmp_path / "out"))
        assert "finished already" in capsys.readouterr().out

    def test_result_without_its_run_is_not_overwritten(self, trees, tmp_path):
        places = Places.of(tmp_path / "out", "tiny_davis", 1)
        places.final.parent.mkdir(parents=True)
        places.final.write_text("of the study's own code")
        with pytest.raises(UserError, match=r"final_001\.txt exists without its run"):
            run(quick(trees, tmp_path / "out"))
        assert places.final.read_text() == "of the study's own code"


def test_nothing_is_written_if_the_network_does_not_load(trees, tmp_path):
    (tmp_path / "w.pt").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"w\.pt"):
        run(quick(trees, tmp_path / "out", checkpoint=str(tmp_path / "w.pt")))
    assert not (tmp_path / "out").exists()


class TestDamagedFile:
    @pytest.fixture
    def damaged(self, tmp_path) -> tuple[Path, Path, bytes]:
        """The trees, a flow image of "cows" that is cut off, and what it was."""
        root = write_trees(tmp_path / "trees")
        path = root / "original" / FORWARD / "cows/00001.png"
        whole = path.read_bytes()
        path.write_bytes(whole[:100])
        return root, path, whole

    def test_stop_says_which_and_what_is_kept_and_goes_on_when_mended(
        self, damaged, tmp_path, capsys
    ):
        root, path, whole = damaged
        config = quick(root, tmp_path / "out", batch_size=1)
        with pytest.raises(UserError) as refusal:
            run(config)
        first, kept = str(refusal.value).splitlines()
        assert first.startswith("video cows: a frame cannot be read: ")
        assert str(path) in first
        assert "--on_bad_video skip" in first
        stored = np.load(tmp_path / "out/runs/tiny_davis/seed_001/features/done.npy")
        assert 0 < stored.sum() < len(stored)
        assert kept.startswith(f"{stored.sum()} of {len(stored)} clips are kept; ")
        path.write_bytes(whole)
        run(config)
        assert f"going on: {stored.sum()} clips" in capsys.readouterr().out

    def test_skip_leaves_the_sequence_out_of_all_factors_and_counts_it(
        self, damaged, tmp_path, capsys
    ):
        root, path, _ = damaged
        # One sequence has a file less, and one a file that turns out to be damaged.
        (root / "original" / FORWARD / "dance/00000.png").unlink()
        run(quick(root, tmp_path / "out", on_bad_video="skip"))
        folder = tmp_path / "out/runs/tiny_davis/seed_001"
        assert f"left out: 2 sequences, see {folder}/skipped_videos.csv" in capsys.readouterr().out
        skipped = {row["video"]: row["reason"] for row in read_rows(folder / "skipped_videos.csv")}
        assert list(skipped) == ["dance", "cows"]
        assert "1 of 8 files are missing" in skipped["dance"]
        assert str(path) in skipped["cows"]
        pairs = {int(row["n_pairs"]) for row in read_rows(folder / "layerwise.csv")[:2]}
        assert pairs == {2 * (SEQUENCES["bear"] - 1)}

        # The same as on a set that has the remaining sequence alone.
        plan = (folder / "plan.csv").read_text().splitlines()
        rows = [plan[0], *(line for line in plan if ",bear," in line)]
        (tmp_path / "plan.csv").write_text("\n".join(rows) + "\n")
        run(quick(root, tmp_path / "bear", pairs=tmp_path / "plan.csv"))
        kept, alone = (
            [float(row["score"]) for row in read_rows(place / "layerwise.csv")]
            for place in (folder, tmp_path / "bear/runs/tiny_davis/seed_001")
        )
        assert kept == pytest.approx(alone, abs=1e-6)

    def test_all_damaged_is_refused(self, damaged, tmp_path):
        root, *_ = damaged
        for image in (root / "original" / FORWARD).rglob("00001.png"):
            image.write_bytes(b"")
        with pytest.raises(UserError, match="dynamic"):
            run(quick(root, tmp_path / "out", on_bad_video="skip"))
        assert not (tmp_path / "out/final").exists()


def test_fusionseg(tmp_path):
    root = write_trees(tmp_path, {"bear": 3, "cows": 3}, size=(32, 32))
    config = quick(
        root,
        tmp_path / "out",
        model="twostream_deeplabv3plus_resnet101",
        crop_size=(32, 32),
        nreps=1,
        trained_on="taovos",
    )
    run(config)
    name = "twostream_deeplabv3plus_resnet101_taovos"
    lines = (tmp_path / f"out/final/{name}/{name}_final_001.txt").read_text().splitlines()
    layers = ["conv1", "layer1", "layer2", "layer3", "layer4"]
    stages = [f"{layer},{s}" for s in ("app_stream", "mot_stream") for layer in layers]
    stages += ["layer1,sensor_fusion", "layer4,sensor_fusion"]
    assert [line.split()[1] for line in lines] == stages
    dims = [sum(map(int, line.split("[")[1].split("]")[0].split(","))) for line in lines]
    assert dims == [64, 256, 512, 1024, 2048] * 2 + [256, 2048]

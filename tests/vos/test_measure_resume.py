"""Runs of `vos.measure` started again, and unreadable files: nothing lost, nothing mixed."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets.davis import BACKWARD, FORWARD
from measure import pipeline
from tests import helpers_vos
from tests.helpers import assert_close
from tests.helpers_runs import read_rows
from tests.helpers_vos import (
    SEQUENCES,
    Tiny,
    TinySpec,
    contents,
    quick,
    run,
    save,
    write_trees,
)
from utils import UserError
from vos import measure
from vos.config import VosConfig
from vos.measurement import prepare

trees, tiny, weights = helpers_vos.trees, helpers_vos.tiny, helpers_vos.weights
TABLES = ("plan.csv", "layerwise.csv", "units.csv", "joint_encoding.csv")


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


def interrupt(config: VosConfig) -> None:
    """Begin a run, and interrupt it after a batch."""
    with pytest.MonkeyPatch.context() as patch:
        Interrupter(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            run(config)


class TestStartedAgain:
    def test_finished_run_is_not_repeated_and_says_so(self, trees, tmp_path, capsys, monkeypatch):
        config = quick(trees, tmp_path / "out", joint_encoding=True)
        run(config)
        before = contents(tmp_path / "out")
        capsys.readouterr()
        monkeypatch.setattr(measure, "load_network", lambda p: pytest.fail("the network is loaded"))
        run(dataclasses.replace(config, batch_size=1))
        final = tmp_path / "out/final/tiny_davis_random/tiny_davis_random_final_001.txt"
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
            ({"nreps": 3}, "another pairing, plan"),
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
            interrupt(config)
        before = contents(tmp_path / "out")
        monkeypatch.setattr(measure, "load_network", lambda p: pytest.fail("the network is loaded"))
        with pytest.raises(UserError, match=rf"seed_001 holds a run with {words}.*`save_dir`"):
            run(dataclasses.replace(config, **options))
        assert contents(tmp_path / "out") == before

    def test_other_weights_of_the_same_name_are_refused(self, trees, tmp_path, weights):
        config = quick(trees, tmp_path / "out", checkpoint=weights)
        run(config)
        torch.save({"model_state": Tiny(TinySpec()).state_dict()}, weights)
        with pytest.raises(UserError, match="seed_001 holds a run with another weights;"):
            run(config)

    def test_random_weights_have_a_place_of_their_own(self, trees, tmp_path, weights):
        run(quick(trees, tmp_path / "out", checkpoint=weights))
        before = contents(tmp_path / "out")
        run(quick(trees, tmp_path / "out"))
        places = {path.name for path in (tmp_path / "out/final").iterdir()}
        assert places == {"tiny_davis", "tiny_davis_random"}
        assert contents(tmp_path / "out").items() >= before.items()

    def test_other_files_in_the_place_of_the_same_data_are_refused(self, tmp_path):
        write_trees(tmp_path / "one")
        write_trees(tmp_path / "two", size=(16, 24))
        run(quick(tmp_path / "one", tmp_path / "out"))
        with pytest.raises(UserError, match="another video"):
            run(quick(tmp_path / "two", tmp_path / "out"))

    @pytest.mark.parametrize("finished", [False, True])
    def test_other_flow_of_the_same_frames_is_refused(self, tmp_path, finished):
        root = write_trees(tmp_path / "trees")
        config = quick(root, tmp_path / "out")
        if finished:
            run(config)
        else:
            interrupt(config)
        before = contents(tmp_path / "out")
        for flow in (root / "original" / FORWARD).rglob("*.png"):
            save(flow, np.zeros((12, 20, 3), np.uint8))  # much smaller than noise
        with pytest.raises(UserError, match=r"were made with another video: .* is not what"):
            run(config)
        assert contents(tmp_path / "out") == before

    def test_backward_flow_counts_where_it_is_shown(self, tmp_path):
        root = write_trees(tmp_path / "trees")
        one, two = (quick(root, tmp_path / "out", model=model) for model in ("tiny", "tiny2"))
        run(one)
        run(two)
        for flow in (root / "original" / BACKWARD).rglob("*.png"):
            save(flow, np.zeros((12, 20, 3), np.uint8))
        run(one)
        with pytest.raises(UserError, match="another video"):
            run(two)

    def test_moved_data_are_accepted(self, tmp_path, capsys):
        write_trees(tmp_path / "one")
        run(quick(tmp_path / "one", tmp_path / "out"))
        shutil.move(tmp_path / "one", tmp_path / "two")
        run(quick(tmp_path / "two", tmp_path / "out"))
        assert "finished already" in capsys.readouterr().out

    @pytest.mark.parametrize("left", ["final", "joint_encoding"])
    def test_result_without_its_run_is_not_overwritten(self, trees, tmp_path, left):
        config = quick(trees, tmp_path / "out", joint_encoding=True)
        run(config)
        for name in {"runs", "final", "joint_encoding"} - {left}:
            shutil.rmtree(tmp_path / "out" / name)
        before = contents(tmp_path / "out")
        with pytest.raises(UserError, match=r"(final_001\.txt|\.npz) exists without its run"):
            run(config)
        assert contents(tmp_path / "out") == before


def test_no_file_is_written_if_the_network_does_not_load(trees, tmp_path):
    (tmp_path / "w.pt").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"w\.pt"):
        run(quick(trees, tmp_path / "out", checkpoint=str(tmp_path / "w.pt")))
    assert contents(tmp_path / "out") == {}


def test_place_that_cannot_be_written_is_refused_before_the_network_is_loaded(
    trees, tmp_path, monkeypatch
):
    (tmp_path / "out").write_text("a file")
    monkeypatch.setattr(measure, "load_network", lambda p: pytest.fail("the network is loaded"))
    with pytest.raises(UserError, match=r"`save_dir`: .*seed_001 cannot be made: "):
        run(quick(trees, tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "a file"


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
        assert "`on_bad_video` skip" in first
        stored = np.load(tmp_path / "out/runs/tiny_davis_random/seed_001/features/done.npy")
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
        folder = tmp_path / "out/runs/tiny_davis_random/seed_001"
        assert f"left out: 2 sequences, see {folder}/skipped_videos.csv" in capsys.readouterr().out
        skipped = {row["video"]: row["reason"] for row in read_rows(folder / "skipped_videos.csv")}
        assert list(skipped) == ["dance", "cows"]
        assert "1 of 8 files are missing" in skipped["dance"]
        assert str(path) in skipped["cows"]
        pairs = {int(row["n_pairs"]) for row in read_rows(folder / "layerwise.csv")[:2]}
        assert pairs == {2 * (SEQUENCES["bear"] - 1)}
        run(quick(root, tmp_path / "out", on_bad_video="skip"))
        finished, without = capsys.readouterr().out.splitlines()
        assert finished.startswith("finished already: ")
        assert without == f"without the sequences in {folder}/skipped_videos.csv"

        # The same as on a set that has the remaining sequence alone.
        plan = (folder / "plan.csv").read_text().splitlines()
        rows = [plan[0], *(line for line in plan if ",bear," in line)]
        (tmp_path / "plan.csv").write_text("\n".join(rows) + "\n")
        run(quick(root, tmp_path / "bear", pairs=tmp_path / "plan.csv"))
        kept, alone = (
            [float(row["score"]) for row in read_rows(place / "layerwise.csv")]
            for place in (folder, tmp_path / "bear/runs/tiny_davis_random/seed_001")
        )
        assert_close(kept, alone, 1e-5)

    def test_all_damaged_is_refused(self, damaged, tmp_path):
        root, *_ = damaged
        for image in (root / "original" / FORWARD).rglob("00001.png"):
            image.write_bytes(b"")
        with pytest.raises(UserError, match="dynamic"):
            run(quick(root, tmp_path / "out", on_bad_video="skip"))
        assert not (tmp_path / "out/final").exists()

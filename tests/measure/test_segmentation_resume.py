"""Runs of segmentation networks started again: nothing lost, nothing mixed."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import main
from config import Config
from datasets.davis import BACKWARD, FORWARD
from measure.loaded import LoadedNetwork
from measure.prepare import prepare
from tests import helpers_runs, helpers_vos
from tests.datasets.helpers_davis import save, write_trees
from tests.helpers_vos import Tiny, TinySpec, contents, no_network, place, quick, run
from utils import UserError

trees, tiny, weights = helpers_vos.trees, helpers_vos.tiny, helpers_vos.weights
without_figures = helpers_runs.without_figures
TABLES = ("plan.csv", "layerwise.csv", "units.csv", "joint_encoding.csv")


class Interrupter:
    """Counts the clips of every forward; interrupts before batch `k`."""

    def __init__(self, monkeypatch, k: int | None = None):
        self.sizes: list[int] = []
        original = LoadedNetwork.features

        def features(network, inputs):
            if len(self.sizes) == k:
                raise KeyboardInterrupt
            self.sizes.append(len(inputs[0]))
            return original(network, inputs)

        monkeypatch.setattr(LoadedNetwork, "features", features)


def interrupt(config: Config) -> None:
    """Begin a run, and interrupt it after a batch."""
    with pytest.MonkeyPatch.context() as patch:
        Interrupter(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            run(config)


def resume(folder: Path, *more: str) -> None:
    """The same as the command line does that names nothing but a folder."""
    main.main(["--resume", str(folder), *more])


class TestStartedAgain:
    def test_finished_run_is_only_estimated_anew(self, trees, tmp_path, capsys, monkeypatch):
        config = quick(trees, tmp_path / "out", joint_encoding=True)
        run(config)
        before, shown = contents(tmp_path / "out"), capsys.readouterr().out
        folder = place(tmp_path / "out")
        (folder / "layerwise.csv").unlink()
        no_network(monkeypatch)
        run(dataclasses.replace(config, batch_size=1, num_workers=1))
        assert contents(tmp_path / "out") == before
        again = capsys.readouterr().out.splitlines(keepends=True)
        nothing = f"nothing left to compute: the features of all {len(prepare(config).rows)} clips "
        (said,) = [line for line in again if line.startswith("nothing left")]
        assert said.startswith(nothing)
        assert "".join(line for line in again if line != said) == shown

    @pytest.mark.parametrize("model", ["tiny", "tiny2"])
    @pytest.mark.parametrize("k", [0, 2])
    @pytest.mark.parametrize("by", ["the same command", "resume"])
    def test_interrupted_run_goes_on(self, trees, tmp_path, capsys, model, k, by):
        config = quick(trees, tmp_path / "out", model=model)
        total, folder = len(prepare(config).rows), place(tmp_path / "out", prepare(config).model)
        with pytest.MonkeyPatch.context() as patch:
            Interrupter(patch, k)
            words = f"{4 * k} of {total} clips are kept; finish with the same .*--resume {folder}$"
            with pytest.raises(KeyboardInterrupt, match=words):
                run(config)
        assert not (tmp_path / "out/final").exists()
        assert {path.name for path in (tmp_path / "out").iterdir()} == {folder.name}
        with pytest.MonkeyPatch.context() as patch:
            rest = Interrupter(patch)
            run(config) if by == "the same command" else resume(folder)
        assert sum(rest.sizes) == total - 4 * k
        assert (f"resuming: {4 * k} of" in capsys.readouterr().out) == (k > 0)
        run(dataclasses.replace(config, save_dir=tmp_path / "whole"))
        for name in (*TABLES, "*_final_001.txt"):
            one, whole = ((tmp_path / f).rglob(name) for f in ("out", "whole"))
            assert next(one).read_bytes() == next(whole).read_bytes()

    @pytest.mark.parametrize("finished", [False, True])
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"stg": "conv1,app_stream"}, "other stages"),
            ({"image_size": (12, 16)}, "other clips .*"),
            ({"nreps": 3}, r"other pairs \(plan\), another pairing"),
            ({"pairing": "sampled"}, r"other pairs \(plan\), another pairing"),
            ({"parts": False}, r"other pairs \(plan\)"),
            ({"styles": ("1", "2")}, r"other pairs \(plan\), another data set or other styles"),
            ({"n_factors": 2, "residual_index": -1}, "other factors"),
            ({"joint_encoding_thresh": (0.3,)}, "other thresholds .*"),
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
        no_network(monkeypatch)
        words = rf"seed1 holds a run of tiny_davis_random with {words}; .*`save_dir`"
        with pytest.raises(UserError, match=words):
            run(dataclasses.replace(config, **options))
        assert contents(tmp_path / "out") == before

    @pytest.mark.parametrize("finished", [False, True])
    def test_other_form_of_the_same_name_is_refused(self, trees, tmp_path, monkeypatch, finished):
        # Features of another form would be taken for those of this one.
        config = quick(trees, tmp_path / "out")
        run(config) if finished else interrupt(config)
        no_network(monkeypatch)
        content = json.loads(config.cfg_file.read_text())
        config.cfg_file.write_text(json.dumps({**content, "gain": 2}))
        words = "seed1 holds a run of .* with another form of the network;"
        with pytest.raises(UserError, match=words):
            run(config)
        words = "seed1 holds features that were made with another form of the network and cannot"
        with pytest.raises(UserError, match=words):
            resume(place(tmp_path / "out"))

    def test_other_weights_of_the_same_name_are_refused(self, trees, tmp_path, weights):
        config = quick(trees, tmp_path / "out", checkpoint=weights)
        run(config)
        torch.save({"model_state": Tiny(TinySpec()).state_dict()}, weights)
        with pytest.raises(UserError, match="seed1 holds a run of tiny_davis with other weights;"):
            run(config)

    def test_random_weights_have_a_place_of_their_own(self, trees, tmp_path, weights):
        run(quick(trees, tmp_path / "out", checkpoint=weights))
        before = contents(tmp_path / "out")
        run(quick(trees, tmp_path / "out"))
        names = {path.name for path in (tmp_path / "out/final").iterdir()}
        assert names == {"tiny_davis", "tiny_davis_random"}
        assert contents(tmp_path / "out").items() >= before.items()

    def test_other_files_in_the_place_of_the_same_data_are_refused(self, tmp_path):
        write_trees(tmp_path / "one")
        write_trees(tmp_path / "two", size=(16, 24))
        run(quick(tmp_path / "one", tmp_path / "out"))
        with pytest.raises(UserError, match="other videos of the same names"):
            run(quick(tmp_path / "two", tmp_path / "out"))

    @pytest.mark.parametrize("finished", [False, True])
    @pytest.mark.parametrize("tree", [f"original/{FORWARD}", "stylized/JPEGImages"])
    def test_other_files_of_the_same_frames_are_refused(self, tmp_path, finished, tree):
        root = write_trees(tmp_path / "trees")
        config = quick(root, tmp_path / "out")
        if finished:
            run(config)
        else:
            interrupt(config)
        before = contents(tmp_path / "out")
        for path in (root / tree).rglob("*.*"):
            shade = sum(path.parts[-3].encode()) % 256  # of the style
            save(path, np.full((12, 20, 3), shade, np.uint8))
        for again in (lambda: run(config), lambda: resume(place(tmp_path / "out"))):
            with pytest.raises(UserError, match=r"another video: |other videos of the same names"):
                again()
        assert contents(tmp_path / "out") == before

    def test_backward_flow_counts_where_it_is_shown(self, tmp_path):
        root = write_trees(tmp_path / "trees")
        one, two = (quick(root, tmp_path / "out", model=model) for model in ("tiny", "tiny2"))
        run(one)
        run(two)
        for flow in (root / "original" / BACKWARD).rglob("*.png"):
            save(flow, np.zeros((12, 20, 3), np.uint8))
        run(one)
        with pytest.raises(UserError, match="other videos of the same names"):
            run(two)

    def test_moved_data_are_accepted(self, tmp_path, monkeypatch):
        write_trees(tmp_path / "one")
        run(quick(tmp_path / "one", tmp_path / "out"))
        before = contents(tmp_path / "out")
        shutil.move(tmp_path / "one", tmp_path / "two")
        no_network(monkeypatch)
        run(quick(tmp_path / "two", tmp_path / "out"))
        assert contents(tmp_path / "out") == before

    @pytest.mark.parametrize("left", ["final", "joint_encoding"])
    def test_result_without_its_run_is_not_overwritten(self, trees, tmp_path, left):
        config = quick(trees, tmp_path / "out", joint_encoding=True)
        run(config)
        for path in (tmp_path / "out").iterdir():
            shutil.rmtree(path) if path.name != left else None
        before = contents(tmp_path / "out")
        with pytest.raises(UserError, match=r"(final_001\.txt|\.npz) exists without its run"):
            run(config)
        assert contents(tmp_path / "out") == before


class TestResume:
    @pytest.fixture
    def finished(self, trees, tmp_path, weights) -> Path:
        """The folder of a finished run."""
        run(quick(trees, tmp_path / "out", checkpoint=weights))
        return place(tmp_path / "out", "tiny_davis")

    def test_joint_encoding_is_added_without_the_network(self, finished, tmp_path, monkeypatch):
        before = contents(tmp_path / "out")
        no_network(monkeypatch)
        resume(finished, "--joint_encoding", "True")
        joint = tmp_path / "out/joint_encoding/tiny_davis"
        assert len(contents(joint)) == 3
        record = json.loads((finished / "config.json").read_text())
        assert [entry["options"]["joint_encoding"] for entry in record["resumed"]] == [True]
        unchanged = before.keys() - {finished / "config.json"}
        after = contents(tmp_path / "out")
        assert all(after[path] == before[path] for path in unchanged)

    def test_other_thresholds_are_estimated_without_the_network(
        self, finished, tmp_path, monkeypatch
    ):
        before = contents(tmp_path / "out")
        no_network(monkeypatch)
        resume(finished, "--joint_encoding_thresh", "0.3,0.5")
        head = (finished / "units.csv").read_text().splitlines()[0].split(",")
        for name in ("class", "certain"):
            found = [column for column in head if column.startswith(name)]
            assert found == [f"{name}_at_0.3", f"{name}_at_0.5"]
        after = contents(tmp_path / "out")
        assert after.keys() == before.keys()
        changed = {path.name for path in before if after[path] != before[path]}
        tables = {"units.csv", "joint_encoding.csv", "estimates.csv"}
        assert changed == {*tables, "config.json"}

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ("--nreps 3", "goes on with the pairs of that run: leave out `nreps`"),
            ("--pairing sampled", "goes on with the pairs of that run: leave out `pairing`"),
            ("--save_dir elsewhere", "goes on with that run's save_dir .*: leave out `save_dir`"),
            ("--dataset StylizedDAVISStereograms", "leave out `dataset`"),
            # Its files would say that seed 2 gave what seed 1 gave.
            ("--random_seed 2", "goes on with that run's random_seed 1: leave out `random_seed`"),
            ("--image_size 12,16", "other clips .*"),
            ("--stg conv1,app_stream", "other stages"),
            ("--n_factors 2 --residual_index -1", "other factors; .*: leave out `resume`"),
            ("--num_classes 3", "`num_classes` is for networks of action recognition"),
        ],
    )
    def test_options_of_another_run_are_refused(self, finished, tmp_path, options, words):
        before = contents(tmp_path / "out")
        with pytest.raises(UserError, match=words):
            resume(finished, *options.split())
        assert contents(tmp_path / "out") == before

    def test_files_of_the_study_are_beside_a_folder_that_was_moved(self, finished, tmp_path):
        shutil.move(tmp_path / "out", tmp_path / "moved")
        shutil.rmtree(tmp_path / "moved/final")
        resume(tmp_path / "moved" / finished.name)
        assert (tmp_path / "moved/final/tiny_davis/tiny_davis_final_001.txt").exists()
        assert not (tmp_path / "out").exists()

    def test_plan_that_was_given_is_kept(self, finished, trees, tmp_path, weights):
        options = {"checkpoint": weights, "random_seed": 4, "pairs": finished / "plan.csv"}
        interrupt(quick(trees, tmp_path / "two", **options))
        other = place(tmp_path / "two", "tiny_davis", seed=4)
        resume(other)
        for name in TABLES:
            assert (other / name).read_bytes() == (finished / name).read_bytes()


def test_no_file_is_written_if_the_network_does_not_load(trees, tmp_path):
    (tmp_path / "w.pt").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"w\.pt"):
        run(quick(trees, tmp_path / "out", checkpoint=str(tmp_path / "w.pt")))
    assert contents(tmp_path / "out") == {}


def test_place_that_cannot_be_written_is_refused_before_the_network_is_loaded(
    trees, tmp_path, monkeypatch
):
    (tmp_path / "out").write_text("a file")
    no_network(monkeypatch)
    with pytest.raises(UserError, match=r"`save_dir`: .*out cannot be made: .*out is not a folder"):
        run(quick(trees, tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "a file"

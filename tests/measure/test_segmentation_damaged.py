"""Runs of segmentation networks on a set with unreadable files: stopped, or without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.davis import FORWARD
from tests import helpers_runs, helpers_vos
from tests.datasets.helpers_davis import SEQUENCES, write_trees
from tests.helpers_runs import done, read_rows
from tests.helpers_vos import contents, place, quick, run
from utils import UserError

tiny = helpers_vos.tiny
without_figures = helpers_runs.without_figures


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
        first, which, advice = str(refusal.value).splitlines()
        assert first == "1 video with a frame that cannot be read:"
        assert which.startswith(f"  cows: {path}: ")
        assert "`on_bad_video` skip" in advice
        stored = done(place(tmp_path / "out"))
        assert 0 < stored.sum() < len(stored)
        (kept,) = refusal.value.__notes__
        assert kept.startswith(f"{stored.sum()} of {len(stored)} clips are kept; ")
        path.write_bytes(whole)
        run(config)
        assert f"resuming: {stored.sum()} of" in capsys.readouterr().out

    def test_skip_leaves_the_sequence_out_of_all_factors_and_counts_it(
        self, damaged, tmp_path, capsys
    ):
        root, path, _ = damaged
        # One sequence has a file less, and one a file that turns out to be damaged.
        (root / "original" / FORWARD / "dance/00000.png").unlink()
        run(quick(root, tmp_path / "out", on_bad_video="skip", max_bad=100))
        folder = place(tmp_path / "out")
        assert f"left out: 2 videos, see {folder}/skipped_videos.csv" in capsys.readouterr().out
        skipped = {row["video"]: row["reason"] for row in read_rows(folder / "skipped_videos.csv")}
        assert list(skipped) == ["dance", "cows"]
        assert "1 of 8 files are missing" in skipped["dance"]
        assert str(path) in skipped["cows"]
        pairs = {int(row["n_pairs"]) for row in read_rows(folder / "layerwise.csv")[:2]}
        assert pairs == {2 * (SEQUENCES["bear"] - 1)}
        before = contents(tmp_path / "out")
        run(quick(root, tmp_path / "out", on_bad_video="skip", max_bad=100))
        assert f"left out: 2 videos, see {folder}/skipped_videos.csv" in capsys.readouterr().out
        assert contents(tmp_path / "out") == before

        # The same as on a set that has the remaining sequence alone.
        plan = (folder / "plan.csv").read_text().splitlines()
        rows = [plan[0], *(line for line in plan if ",bear," in line)]
        (tmp_path / "plan.csv").write_text("\n".join(rows) + "\n")
        run(quick(root, tmp_path / "bear", pairs=tmp_path / "plan.csv"))
        kept, alone = (
            [float(row["score"]) for row in read_rows(run_folder / "layerwise.csv")]
            for run_folder in (folder, place(tmp_path / "bear"))
        )
        assert kept == pytest.approx(alone, abs=1e-6)

    def test_all_damaged_is_refused(self, damaged, tmp_path):
        root, *_ = damaged
        for image in (root / "original" / FORWARD).rglob("00001.png"):
            image.write_bytes(b"")
        with pytest.raises(UserError, match="dynamic"):
            run(quick(root, tmp_path / "out", on_bad_video="skip", max_bad=100))
        assert not (tmp_path / "out/final").exists()

"""misc/re_estimate.py: tables and figures of a finished run, from its folder alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import main as main_script
from common.factors import FACTORS
from config import Config
from measure.finished import FinishedRun
from measure.folder import RECORD
from misc.re_estimate import main
from models import catalogue
from results.chains import numbered_chains
from tests import helpers_runs
from tests.datasets.helpers_davis import write_trees
from tests.helpers_estimation import estimate_pairs
from tests.helpers_runs import Forwards, contents, options, read_rows, write_videos
from tests.helpers_vos import quick, tiny_networks
from utils import DataError, UserError, WriteError

ROOT = Path(__file__).parents[2]
TABLES = ("estimates.csv", "layerwise.csv", "units.csv", "joint_encoding.csv")
VIDEOS = {"arms": 20, "ball": 18, "chess": 16, "dance": 12, "eggs": 9}

without_figures = helpers_runs.without_figures


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> dict[str, Path]:
    """Finished runs by task, whose data sets are gone: not to be changed."""
    patch = pytest.MonkeyPatch()
    for name in ("plot_layerwise", "plot_joint_encoding"):
        patch.setattr(f"measure.folder.{name}", lambda folder, results: folder)
    patch.setattr("measure.folder.plot_parts", lambda folder, results: [])
    root = tmp_path_factory.mktemp("runs")
    videos = write_videos(root / "videos", VIDEOS)
    runs = {"recognition": main_script.measure(Config(**options(videos, root / "out"))).folder}
    for seed in (1, 2):
        seeded = {"checkpoint": "auto", "stg": "4,5", "random_seed": seed}
        chosen = options(videos, root / "seeds", **seeded)
        runs[f"seed {seed}"] = main_script.measure(Config(**chosen)).folder
    patch.setattr(catalogue, "TABLES", (SimpleNamespace(NETWORKS=tiny_networks()),))
    trees = write_trees(root / "davis")
    for model in ("tiny", "tiny2"):
        runs[model] = main_script.measure(quick(trees, root / "out", model=model)).folder
    patch.undo()
    shutil.rmtree(videos)
    shutil.rmtree(trees)
    return runs


@pytest.fixture
def run(finished, tmp_path) -> Path:
    """A copy of the run of action recognition, to be changed."""
    return Path(shutil.copytree(finished["recognition"], tmp_path / "run"))


def tables(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in TABLES}


def edit_record(run: Path, **changes) -> None:
    """Change entries of config.json; None takes one away."""
    record = {**json.loads((run / RECORD).read_text()), **changes}
    (run / RECORD).write_text(json.dumps({k: v for k, v in record.items() if v is not None}))


def edit_line(path: Path, line: int, old: str, new: str) -> None:
    lines = path.read_text().splitlines()
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    path.write_text("\n".join(lines) + "\n")


class TestSameNumbers:
    @pytest.mark.parametrize("task", ["recognition", "tiny", "tiny2"])
    def test_tables_are_those_of_the_run(self, finished, tmp_path, task):
        main([str(finished[task]), "--save", str(tmp_path / "anew")])
        assert tables(tmp_path / "anew") == tables(finished[task])

    def test_in_place_nothing_else_changes_and_what_is_replaced_is_said(self, run, capsys):
        before = contents(run)
        main([str(run)])
        after = contents(run)
        changed = {path.name for path in after if after[path] != before.get(path)}
        assert changed == {RECORD}  # which says when, and with what
        assert after.keys() == before.keys()
        text = capsys.readouterr().out
        assert f"\ntables:  {run}\n" in text
        assert f"\nreplaced: {', '.join(sorted(TABLES))}\n" in text

    def test_record_says_that_it_was_estimated_anew(self, run):
        main([str(run), "--joint_encoding_thresh", "0.3,0.7"])
        (note,) = json.loads((run / RECORD).read_text())["estimated"]
        assert note["options"]["joint_encoding_thresh"] == [0.3, 0.7]
        assert {row["threshold"] for row in read_rows(run / "joint_encoding.csv")} == {"0.3", "0.7"}
        main([str(run)])  # as the run was
        assert {row["threshold"] for row in read_rows(run / "joint_encoding.csv")} == {"0.5"}

    def test_options_of_the_last_start_are_those_of_the_run(self, run):
        record = json.loads((run / RECORD).read_text())
        again = {**record["options"], "joint_encoding_thresh": [0.2], "confidence": 0.8}
        edit_record(run, resumed=[{"when": "now", "options": again}])
        main([str(run)])
        assert {row["threshold"] for row in read_rows(run / "joint_encoding.csv")} == {"0.2"}
        assert {row["confidence"] for row in read_rows(run / "layerwise.csv")} == {"0.8"}

    def test_command_imports_no_pytorch(self, run, tmp_path):
        code = (
            "import sys; sys.path[:0] = ['.', 'misc']; from misc.re_estimate import main;"
            "main(sys.argv[1:]); assert 'torch' not in sys.modules"
        )
        command = [sys.executable, "-c", code, str(run), "--save", str(tmp_path / "anew")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert (done.returncode, done.stderr) == (0, "")
        assert "figures: " in done.stdout
        for name in ("layerwise", "joint_encoding"):
            assert (tmp_path / "anew" / f"{name}.png").stat().st_size > 1000


class TestOlderRuns:
    @pytest.fixture
    def old(self, finished, tmp_path) -> Path:
        """A run without different pairs, as an older version made it."""
        videos = write_videos(tmp_path / "videos", VIDEOS)
        folder = main_script.measure(
            Config(**options(videos, tmp_path / "out", parts=False))
        ).folder
        edit_record(folder, chains=None, dataset=None)
        sums = np.load(folder / "features" / "checksums.npy")
        np.save(folder / "features" / "done.npy", (sums >= 0).all(1))
        (folder / "features" / "checksums.npy").unlink()
        rows = [row.rsplit(",", 1)[0] for row in self.lines(folder / "features" / "clips.csv")]
        (folder / "features" / "clips.csv").write_text("\n".join(rows))
        shutil.rmtree(videos)
        return folder

    @staticmethod
    def lines(path: Path) -> list[str]:
        return path.read_text().splitlines()

    def test_has_the_same_numbers_and_no_parts(self, old, tmp_path, capsys):
        before = contents(old)
        main([str(old), "--save", str(tmp_path / "anew")])
        assert tables(tmp_path / "anew") == tables(old)
        assert contents(old) == before
        assert (
            "no parts of the variance: the plan has no different pairs" in capsys.readouterr().out
        )
        assert {row["part_both"] for row in read_rows(tmp_path / "anew/layerwise.csv")} == {""}

    def test_lines_in_figures_join_numbered_stages(self, old):
        stages = json.loads((old / RECORD).read_text())["stages"]
        assert FinishedRun.read(old).chains == numbered_chains(stages)


class TestOptions:
    def test_confidence(self, finished, tmp_path):
        for name in ("0.5", "0.99"):
            main(
                [str(finished["recognition"]), "--save", str(tmp_path / name), "--confidence", name]
            )
        narrow, wide = (read_rows(tmp_path / name / "layerwise.csv") for name in ("0.5", "0.99"))
        for x, y in zip(narrow, wide, strict=True):
            assert x["score"] == y["score"]
            if x["factor"] != "residual":
                assert float(y["score_lo"]) < float(x["score_lo"])
                assert float(x["score_hi"]) < float(y["score_hi"])

    def test_groups(self, finished, tmp_path):
        (tmp_path / "groups.csv").write_text("video,group\narms,one\nball,one\n")
        given = ["--groups", str(tmp_path / "groups.csv"), "--save", str(tmp_path / "anew")]
        main([str(finished["recognition"]), *given])
        rows = read_rows(tmp_path / "anew" / "layerwise.csv")
        assert {row["n_videos"] for row in rows} == {"4"}
        ours = read_rows(finished["recognition"] / "layerwise.csv")
        scores = [[float(row["score"]) for row in table] for table in (rows, ours)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-12)

    def test_groups_of_the_run_that_are_gone_are_asked_for(self, run):
        record = json.loads((run / RECORD).read_text())
        edit_record(run, options={**record["options"], "groups": "/gone/groups.csv"})
        with pytest.raises(UserError, match=r"groups\.csv, the `groups` of the run, is not there"):
            main([str(run)])

    def test_different_pairs_as_a_factor(self, finished, tmp_path):
        given = ["--residual_index", "-1", "--save", str(tmp_path / "anew")]
        main([str(finished["recognition"]), *given])
        rows = read_rows(tmp_path / "anew" / "layerwise.csv")
        assert {row["factor"] for row in rows} == set(FACTORS[:3])

    def test_joint_encoding_is_shown_where_it_is_asked_for(self, finished, tmp_path, capsys):
        main([str(finished["recognition"]), "--save", str(tmp_path), "--joint_encoding", "True"])
        assert "joint encoding, unit scores above 0.5:" in capsys.readouterr().out


class TestSeveralRuns:
    @pytest.fixture
    def seeds(self, finished) -> list[str]:
        """Runs of two seeds, each with every video once."""
        return [str(finished[f"seed {seed}"]) for seed in (1, 2)]

    def test_pairs_of_all_count_and_intervals_are_over_the_videos(self, seeds, tmp_path, capsys):
        main([*seeds, "--save", str(tmp_path / "pooled")])
        runs = [FinishedRun.read(Path(folder)) for folder in seeds]
        stores = [run.features() for run in runs]
        pairs = [(k, pair) for k, run in enumerate(runs) for pair in run.pairs]
        shown = [
            np.array([column(pair) for _, pair in pairs])
            for column in (
                lambda pair: pair.factor,
                lambda pair: pair.a.video,
                lambda pair: pair.a.style,
                lambda pair: pair.b.style,
            )
        ]
        rows = read_rows(tmp_path / "pooled" / "layerwise.csv")
        assert {row["n_videos"] for row in rows} == {str(len(VIDEOS))}
        for stage in ("4", "5"):
            x = [store.reader(stage)(np.arange(len(store.clips))) for store in stores]
            a, b = (
                np.stack([x[k][runs[k].rows[getattr(pair, side)][0]] for k, pair in pairs])
                for side in "ab"
            )
            expected = estimate_pairs(a, b, *shown)
            own = [row for row in rows if row["stage"] == stage]
            assert [int(row["n_pairs"]) for row in own] == [2 * len(VIDEOS), 2 * len(VIDEOS), 0]
            for k, row in enumerate(own):
                assert float(row["score"]) == pytest.approx(expected.scores[k], abs=1e-12)
                for end in ("lo", "hi"):
                    known = getattr(expected.inference.scores, end)[k]
                    assert float(row[f"score_{end}"]) == pytest.approx(known, abs=1e-9)
                both = expected.inference.parts.value[2]
                assert float(row["part_both"]) == pytest.approx(both, abs=1e-9)
        assert f"tables:  {tmp_path / 'pooled'}" in capsys.readouterr().out

    def test_their_order_changes_nothing(self, seeds, tmp_path):
        for name, folders in (("one", seeds), ("other", seeds[::-1])):
            main([*folders, "--save", str(tmp_path / name)])
        one, other = (read_rows(tmp_path / name / "layerwise.csv") for name in ("one", "other"))
        for x, y in zip(one, other, strict=True):
            assert float(x["adjusted"] or 0) == pytest.approx(float(y["adjusted"] or 0), abs=1e-12)

    def test_a_folder_to_save_in_is_needed(self, seeds):
        with pytest.raises(UserError, match="`save` is missing"):
            main(seeds)

    def test_a_run_is_pooled_once(self, seeds, tmp_path):
        with pytest.raises(UserError, match=r"have the same pairs, or .*: give one of them"):
            main([seeds[0], seeds[0], "--save", str(tmp_path)])

    def test_a_run_is_no_place_for_several(self, seeds):
        with pytest.raises(UserError, match="is the folder of another run"):
            main([*seeds, "--save", seeds[0]])

    def test_runs_of_two_networks(self, seeds, finished, tmp_path):
        with pytest.raises(UserError, match=r"has other weights, other .* can be pooled"):
            main([seeds[0], str(finished["recognition"]), "--save", str(tmp_path / "anew")])
        assert not (tmp_path / "anew").exists()


def test_what_the_results_do_not_have_goes(run, tmp_path, capsys):
    """Figures and lists of earlier results beside those of other videos would be taken for one."""
    groups = tmp_path / "groups.csv"
    groups.write_text("video,group\n" + "".join(f"{video},one\n" for video in VIDEOS))
    for name in ("parts.png", "parts.pdf", "skipped_videos.csv", "mine.txt"):
        (tmp_path / "anew" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "anew" / name).write_text("of an earlier start")
    main([str(run), "--groups", str(groups), "--save", str(tmp_path / "anew")])
    left = {path.name for path in (tmp_path / "anew").iterdir()}
    assert left == {*TABLES, "mine.txt"}
    shown = capsys.readouterr().out
    assert "groups: 5 of 5 videos are in 1 group\n" in shown
    assert "removed: parts.pdf, parts.png, skipped_videos.csv, of which these" in shown


class TestVideosLeftOut:
    @pytest.fixture
    def skipping(self, tmp_path) -> Path:
        """A run that left out a video while it computed, and one before."""
        videos = write_videos(tmp_path / "videos", VIDEOS)
        for style in "123":
            for path in (videos / f"style_{style}" / "chess").iterdir():
                path.write_bytes(b"broken")
        (videos / "style_2" / "eggs" / "000004.png").unlink()
        chosen = options(videos, tmp_path / "out", on_bad_video="skip", max_bad=50)
        folder = main_script.measure(Config(**chosen)).folder
        shutil.rmtree(videos)
        return folder

    def test_stay_left_out(self, skipping, tmp_path, capsys):
        before = (skipping / "skipped_videos.csv").read_bytes()
        assert [row["video"] for row in read_rows(skipping / "skipped_videos.csv")] == [
            "eggs",
            "chess",
        ]
        anew = tmp_path / "anew"
        main([str(skipping), "--save", str(anew)])
        assert tables(anew) == tables(skipping)
        assert (anew / "skipped_videos.csv").read_bytes() == before
        assert f"left out: 2 videos, see {anew}/skipped_videos.csv" in capsys.readouterr().out


class TestRefusals:
    def refused(self, run: Path, error: type, words: str, *given: str) -> None:
        before = contents(run)
        with pytest.raises(error) as caught:
            main([str(run), *given])
        assert words in str(caught.value)
        assert contents(run) == before
        assert not list(run.rglob(".partial-*"))

    @pytest.mark.parametrize("there", [False, True])
    def test_no_run(self, tmp_path, there):
        if there:
            (tmp_path / "run").mkdir()
        with pytest.raises(UserError, match=r"run is not the folder of a run: it has no config"):
            main([str(tmp_path / "run")])

    def test_unfinished_run(self, tmp_path, monkeypatch):
        videos = write_videos(tmp_path / "videos", VIDEOS)
        chosen = Config(**options(videos, tmp_path / "out", batch_size=4, run_name="my run"))
        with monkeypatch.context() as patch:
            Forwards(patch, interrupt_after=2)
            with pytest.raises(KeyboardInterrupt):
                main_script.measure(chosen)
        folder = tmp_path / "out" / "my run"
        words = "12 of 20 clips are to be computed yet. Finish it with python main.py --resume "
        words += f"'{folder}'"
        self.refused(folder, UserError, words)
        shutil.rmtree(folder / "features")
        self.refused(folder, UserError, "no clip is computed yet. Finish it with python main.py")

    def test_damaged_features(self, run):
        stage = json.loads((run / RECORD).read_text())["stages"][0]
        path = run / "features" / f"{stage}.npy"
        content = bytearray(path.read_bytes())
        content[-3] ^= 1
        path.write_bytes(content)
        self.refused(run, DataError, f"{path} is missing or damaged: the features of 1 clip, such")
        path.unlink()
        self.refused(run, DataError, f"{path} is missing or damaged: the features of 20 clips")

    def test_damaged_checksums(self, run):
        (run / "features" / "checksums.npy").write_bytes(b"x")
        self.refused(run, DataError, "checksums.npy is missing or damaged")

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("dynamic", "dynamc", "plan.csv, line 2: factor 'dynamc' is none of"),
            (",0\n", ",x\n", "plan.csv, line 2: shuffle_b 'x' must be an integer"),
            (",0\n", ",7\n", "plan.csv, line 2: "),
            (",0\n", "\n", "plan.csv, line 2: 8 cells, expected"),
        ],
    )
    def test_damaged_plan(self, run, old, new, words):
        path = run / "plan.csv"
        lines = path.read_text().splitlines(keepends=True)
        first = lines[1].replace("\r\n", "\n")
        assert old in first
        lines[1] = first.replace(old, new, 1)
        path.write_text("".join(lines))
        if "cells" in words:
            words = "cells, expected"
        self.refused(run, DataError, words)

    def test_plan_with_fewer_rows(self, run):
        path = run / "plan.csv"
        path.write_text("\n".join(path.read_text().splitlines()[:-1]))
        self.refused(run, DataError, "plan.csv has changed since the run: its rows are not those")

    def test_damaged_list_of_clips(self, run):
        path = run / "features" / "clips.csv"
        edit_line(path, 3, ",", ",9")
        self.refused(run, DataError, "line ")
        path.write_text("video,style\na,1\n")
        self.refused(run, DataError, "clips.csv is damaged: expected a header with video, style")

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"network": None}, "config.json is damaged: it has no 'network'"),
            ({"stages": "5"}, "config.json is damaged: 'stages' is '5'"),
            ({"chains": [["nothing"]]}, "config.json is damaged: 'chains' is"),
            ({"resumed": {"a": 1}}, "config.json is damaged: 'resumed' is"),
            ({"bad_videos": [1]}, "config.json is damaged: 'bad_videos' is [1]"),
        ],
    )
    def test_damaged_record(self, run, changes, words):
        edit_record(run, **changes)
        self.refused(run, DataError, words)

    def test_value_of_the_record_that_cannot_be(self, run):
        record = json.loads((run / RECORD).read_text())
        edit_record(run, options={**record["options"], "confidence": 7})
        self.refused(
            run, DataError, f"{run / RECORD} is damaged: `confidence`: '7' is not a number"
        )

    def test_features_of_another_run(self, run):
        path = run / "features" / "identity.json"
        identity = json.loads(path.read_text())
        path.write_text(json.dumps({**identity, "weights": "other"}))
        self.refused(run, DataError, "features is of another run, with other weights than config")
        path.unlink()
        self.refused(run, DataError, "what the features were made from cannot be told")

    def test_pairs_that_would_count_twice(self, run, tmp_path):
        more = Path(shutil.copytree(run, tmp_path / "more"))
        words = f"{run} and {more} have the same pairs, or pairs of one `random_seed`"
        self.refused(run, UserError, words, str(more), "--save", str(tmp_path / "pooled"))
        record = json.loads((run / RECORD).read_text())
        edit_record(more, options={**record["options"], "random_seed": 2})
        self.refused(run, UserError, words, str(more), "--save", str(tmp_path / "pooled"))

    def test_factors_without_pairs(self, run):
        words = "too few pairs for the factor 'same': 0, at least 2 needed"
        self.refused(run, DataError, words, "--n_factors", "4", "--residual_index", "-1")

    def test_place_among_the_features_or_of_another_run(self, run, finished):
        place = ["--save", str(run / "features" / "anew")]
        self.refused(run, UserError, "lies among the features of the run", *place)
        place = ["--save", str(finished["tiny"])]
        self.refused(run, UserError, "is the folder of another run", *place)
        place = ["--save", str(run / "plan.csv")]
        self.refused(run, UserError, "nothing can be written to", *place)

    def test_nothing_half_written(self, run, monkeypatch):
        def full(folder, results):
            raise WriteError("no space", "No space left on device")

        monkeypatch.setattr("measure.folder.plot_joint_encoding", full)
        words = f"nothing could be written to {run}, which is as it was: No space left on device"
        self.refused(run, UserError, words, "--joint_encoding_thresh", "0.2")

    def test_file_that_cannot_be_replaced(self, run):
        (run / "units.csv").unlink()
        (run / "units.csv").mkdir()
        self.refused(run, UserError, f"{run / 'units.csv'} is a folder", "--confidence", "0.5")

    def test_run_that_another_process_works_in(self, run):
        if os.name == "nt":
            pytest.skip("there are no locks")
        code = (
            "import sys; from pathlib import Path; from measure.lock import held\n"
            "with held(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", code, str(run)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
        with subprocess.Popen(command, **pipes) as other:
            assert other.stdout.readline() == "held\n"
            with pytest.raises(UserError, match=r"is in use: .* or give `save`$"):
                main([str(run)])
            other.communicate("")

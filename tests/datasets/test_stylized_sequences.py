"""A data set of sequences with flow: what it answers, and how it is found."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from common.factors import DYNAMIC, STATIC
from datasets.dataset import DataRequest
from datasets.davis import BACKWARD, FORWARD
from datasets.flow_plan import FlowClip
from datasets.geometry import FlowGeometry
from datasets.pair_plan import Pair, PairPlan, PlanRow, PlanRules
from datasets.stylized_sequences import StylizedSequences, find
from tests.datasets.helpers_davis import SEQUENCES, sequences, toy, write_trees
from utils import DataError, UserError

ONE, TWO = FlowGeometry((10, 16)), FlowGeometry((10, 16), frames=2)


@pytest.fixture
def root(tmp_path) -> Path:
    return write_trees(tmp_path)


def request(root: Path, **options) -> DataRequest:
    chosen = {"stylized": root / "stylized", "original": root / "original", "styles": ("1", "2")}
    return DataRequest(**{**chosen, **options})


class TestPlan:
    # Recorded from the code before it was made one path for both tasks: digests of plans.
    @pytest.mark.parametrize(
        ("seed", "options", "digest"),
        [
            (1, {}, "44ca2ea762ae1170"),
            (2, {"two_frames": True}, "d82bc0a41ffca3cb"),
            (1, {"factors": (0, 1, 2, 3)}, "6e673b93a7b83a97"),
            (1, {"pairing": "sampled", "nreps": 3, "two_frames": True}, "c4c1b84775b76840"),
            (7, {"pairing": "exhaustive"}, "c9033cb20cdb811c"),
        ],
    )
    def test_golden_digests(self, seed, options, digest):
        plan = StylizedSequences(toy()).sample(PlanRules(seed, **options))
        assert plan.digest.startswith(digest)

    @pytest.mark.parametrize("two_frames", [False, True])
    def test_file_has_a_row_for_each_sequence_pair_and_is_read_back(self, tmp_path, two_frames):
        data, rules = StylizedSequences(toy()), PlanRules(3, nreps=2, two_frames=two_frames)
        plan = data.sample(rules)
        # Three sequences, two passes, two factors; a pair for every frame.
        assert len(plan.rows) == 12
        assert len(plan.pairs) == 4 * sum(SEQUENCES.values())
        assert {len(clip.frames) for clip in plan.clips} == {1 + two_frames}
        plan.write(tmp_path / "plan.csv")
        head, first, *rest = (tmp_path / "plan.csv").read_text().splitlines()
        assert head == "visit,factor,video,style_a,jitter_a,style_b,jitter_b,offset"
        assert first.startswith("0,dynamic,bear,")
        assert len(rest) == 11
        again = data.read_plan(tmp_path / "plan.csv", rules)
        assert (again.pairs, again.digest) == (plan.pairs, plan.digest)

    def test_a_sequence_is_left_out_with_all_its_frames(self):
        plan = StylizedSequences(toy()).sample(PlanRules(3, nreps=2))
        left = plan.without(["bear"])
        assert {clip.video for clip in left.clips} == {"cows", "dance"}
        assert len(left.pairs) == len(plan.pairs) - 4 * SEQUENCES["bear"]

    def test_note_says_what_a_row_stands_for(self):
        data = StylizedSequences(toy())
        (note,) = data.notes(data.sample(PlanRules(3, nreps=2)), ONE)
        assert note == "sequences: each of 12 pairs of sequences gives a pair per frame"


class TestCheck:
    def plan(self, *clips: FlowClip) -> PairPlan:
        return PairPlan((PlanRow({}, tuple(Pair(STATIC, clip, clip) for clip in clips)),))

    def test_files_that_are_missing_are_named_by_sequence(self, root):
        data = StylizedSequences(sequences(root))
        wanted = self.plan(FlowClip("bear", "00001", "1"), FlowClip("cows", "00000", "2"))
        assert data.check(wanted) == {}
        image = root / "stylized/JPEGImages/Lynx/bear/00003.jpg"
        flow = root / "original" / FORWARD / "cows/00000.png"
        for path in (image, flow):
            path.unlink()
        # Five frames of image and flow, and three.
        assert data.check(wanted) == {
            "bear": f"1 of 10 files are missing, such as {image}",
            "cows": f"1 of 6 files are missing, such as {flow}",
        }
        assert data.check(self.plan(FlowClip("bear", "00001", "2"))) == {}
        assert data.listed.problems == {}


class TestFind:
    def test_its_answers(self, root):
        data = find("StylizedDAVIS", request(root))
        assert (data.listed.name, list(data.listed.videos)) == ("StylizedDAVIS", list(SEQUENCES))
        assert (data.listed.left_out, data.listed.problems) == ({}, {})
        assert data.listed == sequences(root, styles=("1", "2"))
        pairs = data.sample(PlanRules(1, nreps=1)).pairs
        assert {pair.factor for pair in pairs} == {DYNAMIC, STATIC}

    def test_backward_flow_and_another_image_set(self, root):
        assert find("StylizedDAVIS", request(root, backward=True)).listed.flows == (
            FORWARD,
            BACKWARD,
        )
        listed = root / "original/ImageSets/480p"
        shutil.copy(listed / "val.txt", listed / "train.txt")
        assert find("StylizedDAVIS", request(root, subset="train")).listed.videos
        with pytest.raises(DataError, match=r"test\.txt does not exist"):
            find("StylizedDAVIS", request(root, subset="test"))

    @pytest.mark.parametrize(
        "dataset", ["StylizedDAVIS", "StylizedDAVISCinematograms", "StylizedDAVISStereograms"]
    )
    @pytest.mark.parametrize(
        ("field", "words"),
        [
            ("original", "`original_data_root` is missing: .*DAVIS 2016 .*ORIGINAL_DATA_ROOT"),
            ("stylized", "`stylized_data_dir` is missing: .*Stylized DAVIS.*STYLIZED_DATA_ROOT"),
        ],
    )
    def test_missing_folder_is_asked_for(self, root, dataset, field, words):
        with pytest.raises(UserError, match=words + ".* `cfg_file`"):
            find(dataset, request(root, **{field: None}))

"""Stylized DAVIS on disk: which sequences and frames, where their files are, what is missing."""

from __future__ import annotations

import shlex
import shutil

import pytest

from datasets.davis import BACKWARD, FORWARD, STYLE_FOLDERS, check_files
from tests.datasets.helpers_davis import SEQUENCES, STYLES, sequences, toy, write_list, write_trees
from utils import DataError


@pytest.fixture
def root(tmp_path):
    return write_trees(tmp_path)


def make_styles(root, styles=STYLES):
    for style in styles:
        (root / "stylized/JPEGImages" / STYLE_FOLDERS[style]).mkdir(parents=True)


class TestFrames:
    def test_last_frame_has_no_flow(self, root):
        data = sequences(root)
        assert {name: len(v.frames) for name, v in data.videos.items()} == {
            name: n - 1 for name, n in SEQUENCES.items()
        }
        assert data.videos["cows"].frames == ("00000", "00001", "00002")
        assert data.flows == (FORWARD,)

    def test_nor_has_the_first_one_where_backward_flow_is_needed(self, root):
        data = sequences(root, backward=True)
        assert data.videos["cows"].frames == ("00001", "00002")
        assert data.videos["bear"].frames == ("00001", "00002", "00003", "00004")
        assert data.flows == (FORWARD, BACKWARD)

    def test_first_and_last_are_those_of_the_list_and_what_is_left_is_sorted(self, tmp_path):
        # As in the study, which sorted after it had cut.
        make_styles(tmp_path)
        write_list(tmp_path, ["bear/7", "cows/1", "bear/9", "bear/3", "bear/5", "cows/2"])
        data = sequences(tmp_path)
        assert data.videos["bear"].frames == ("3", "7", "9")
        assert list(data.videos) == ["bear", "cows"]
        write_list(tmp_path, ["bear/7", "bear/9", "bear/3", "bear/5"])
        assert sequences(tmp_path, backward=True).videos["bear"].frames == ("3", "9")

    def test_split_names_the_list(self, root):
        write_list(root, ["cows/00000", "cows/00001"], split="train")
        assert list(sequences(root, split="train").videos) == ["cows"]

    @pytest.mark.parametrize(
        ("offset", "expected"), [(0, "1"), (1, "2"), (2, "0"), (3, "1"), (-2, "2"), (-10, "0")]
    )
    def test_neighbour_goes_round_the_end(self, offset, expected):
        # -10 and 1: position -9, which is 0 in threes.
        sequence = toy({"a": 3}).videos["a"]
        assert sequence.neighbour("00001", offset) == f"0000{expected}"


class TestPaths:
    def test_every_file_of_a_frame(self, root):
        data = sequences(root)
        assert data.image("bear", "2", "00003") == (
            root / "stylized/JPEGImages/Maruska640/bear/00003.jpg"
        )
        original = root / "original"
        assert data.flow("bear", FORWARD, "00003") == original / "FlowImages_gap1/bear/00003.png"
        assert data.flow("bear", BACKWARD, "00003") == original / "FlowImages_gap-1/bear/00003.png"
        assert data.mask("bear", "00003") == original / "Annotations/480p/bear/00003.png"

    def test_styles_of_the_study_have_ids_and_others_are_folders(self, root):
        assert STYLE_FOLDERS == {"1": "Lynx", "2": "Maruska640", "3": "Zuzka1", "4": "Zuzka2"}
        (root / "stylized/JPEGImages/my jpg style").mkdir()
        data = sequences(root, styles=("1", "my jpg style"))
        assert data.image("bear", "my jpg style", "00000").parts[-3] == "my jpg style"


class TestGenerated:
    """Every listed frame is a video of ten frames, in a folder of its name."""

    @pytest.fixture
    def listed(self, tmp_path):
        write_list(tmp_path, ["bear/00004", "bear/00007", "cows/00002"])
        make_styles(tmp_path)
        for folder in ("bear/00004", "cows/00002"):
            (tmp_path / "original/JPEGImages/480p" / folder).mkdir(parents=True)
        return tmp_path

    @pytest.mark.parametrize(
        ("dataset", "styles"),
        [("StylizedDAVISCinematograms", ("1", "2")), ("StylizedDAVISStereograms", STYLES)],
    )
    def test_videos_that_were_made_and_their_styles(self, listed, dataset, styles):
        data = sequences(listed, dataset=dataset)
        assert list(data.videos) == ["bear_00004", "cows_00002"]
        assert data.styles == styles
        video = data.videos["bear_00004"]
        assert video.frames == tuple(f"0000{k}" for k in range(9))
        assert data.image("bear_00004", "1", "00008") == (
            listed / "stylized/JPEGImages/Lynx/bear/00004/00008.jpg"
        )
        assert data.flow("bear_00004", FORWARD, "00008") == (
            listed / "original/FlowImages_gap1/bear/00004/00008.png"
        )

    def test_videos_that_were_not_made_are_counted(self, listed):
        dataset = "StylizedDAVISStereograms"
        assert sequences(listed, dataset=dataset).left_out == {"not generated": 1}
        (listed / "original/JPEGImages/480p/bear/00007").mkdir()
        assert sequences(listed, dataset=dataset).left_out == {}

    def test_none_made_is_refused(self, listed):
        shutil.rmtree(listed / "original/JPEGImages")
        words = r"none of the 3 generated videos that val\.txt lists is there: .*480p/bear/00004$"
        with pytest.raises(DataError, match=words):
            sequences(listed, dataset="StylizedDAVISStereograms")


class TestRefusals:
    def test_no_list_is_not_davis(self, root):
        with pytest.raises(DataError, match=r"test\.txt does not exist: .*`original_data_root`"):
            sequences(root, split="test")

    @pytest.mark.parametrize(
        ("line", "number"),
        [("00001.jpg", 3), ("bear/00001.jpg x", 3), ("/JPEGImages/480p/../00001.jpg", 3)],
        ids=["a name alone", "too few folders", "a folder above"],
    )
    def test_line_that_names_no_frame_is_refused_with_its_number(self, tmp_path, line, number):
        make_styles(tmp_path)
        write_list(tmp_path, ["bear/1"])
        with (tmp_path / "original/ImageSets/480p/val.txt").open("a") as file:
            file.write(f"\n{line}\n")
        with pytest.raises(DataError, match=rf"val\.txt, line {number}: .*expected a line like"):
            sequences(tmp_path)

    def test_list_that_is_no_text_is_refused(self, root):
        (root / "original/ImageSets/480p/val.txt").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(DataError, match=r"val\.txt cannot be read"):
            sequences(root)

    @pytest.mark.parametrize(("backward", "least"), [(False, 2), (True, 3)])
    def test_sequences_that_are_too_short_are_named(self, tmp_path, backward, least):
        make_styles(tmp_path)
        frames = [f"bear/{k}" for k in range(least)] + [f"cows/{k}" for k in range(least - 1)]
        write_list(tmp_path, frames)
        words = rf"cows found with too few frames; at least {least} are needed"
        with pytest.raises(DataError, match=words):
            sequences(tmp_path, backward=backward)
        write_list(tmp_path, frames[:least])
        assert len(sequences(tmp_path, backward=backward).videos["bear"].frames) == 1

    def test_missing_styles_are_refused_with_those_present(self, root):
        words = r"missing style folders: .*Zuzka2, .*mine\. Present: Lynx, Maruska640, Zuzka1\. "
        with pytest.raises(DataError, match=words + r".*`stylized_data_dir`"):
            sequences(root, styles=("1", "4", "mine"))

    @pytest.mark.parametrize("styles", [("1", "2", "1"), ("2", "Lynx", "1")])
    def test_a_style_under_two_names_is_refused(self, root, styles):
        with pytest.raises(DataError, match=f"`styles` {','.join(styles)} names a folder twice: "):
            sequences(root, styles=styles)

    def test_no_stylized_tree_at_all(self, root):
        shutil.rmtree(root / "stylized")
        with pytest.raises(DataError, match="Present: none"):
            sequences(root)


class TestFiles:
    WANTED = (("bear", "1"), ("bear", "2"), ("cows", "2"))

    @pytest.mark.parametrize("backward", [False, True])
    def test_complete_trees_have_no_problem(self, root, backward):
        # Neither masks nor unstylized frames are there, and neither is needed.
        assert check_files(sequences(root, backward=backward), self.WANTED) == {}

    @pytest.mark.parametrize("gone", [(FORWARD,), (BACKWARD,), (FORWARD, BACKWARD)])
    def test_missing_flow_is_named_with_the_commands_that_make_it(self, tmp_path, gone):
        root = write_trees(tmp_path / "my trees")
        for flow in gone:
            shutil.rmtree(root / "original" / flow)
        with pytest.raises(DataError) as refusal:
            check_files(sequences(root, backward=True), self.WANTED)
        first, *commands = str(refusal.value).splitlines()
        folders = [root / "original" / flow for flow in gone]
        assert first.startswith(f"{' and '.join(map(str, folders))}: there are no images")
        # As a shell reads them: paths with a space are one word.
        frames = str(root / "original/JPEGImages/480p")
        assert [shlex.split(command) for command in commands] == [
            ["python", "misc/make_flow.py", frames, str(folder)]
            + ["--gap", "-1"] * (folder.name == BACKWARD)
            for folder in folders
        ]

    @pytest.mark.parametrize(("flow", "end"), [(FORWARD, "gap1"), (BACKWARD, "gap-1 --gap -1")])
    def test_sequence_without_its_folder_of_flow_is_a_problem(self, root, flow, end):
        shutil.rmtree(root / "original" / flow / "cows")
        problems = check_files(sequences(root, backward=True), self.WANTED)
        assert list(problems) == ["cows"]
        folder = root / "original" / flow / "cows"
        assert problems["cows"].startswith(f"{folder} is missing; make it with python misc/make_f")
        assert problems["cows"].endswith(end)

    def test_backward_flow_is_not_asked_of_networks_of_one_frame(self, root):
        shutil.rmtree(root / "original" / BACKWARD)
        assert check_files(sequences(root), self.WANTED) == {}

    def test_missing_files_are_counted_by_sequence_with_an_example(self, root):
        images = root / "stylized/JPEGImages/Lynx"
        gone = [images / "bear/00001.jpg", images / "bear/00002.jpg"]
        # Of a style that is not wanted, and the frame that no network is shown.
        spared = [images / "cows/00001.jpg", images / "bear/00005.jpg"]
        for path in gone + spared:
            path.unlink()
        flow = root / "original" / FORWARD / "cows/00000.png"
        flow.unlink()
        problems = check_files(sequences(root), self.WANTED)
        # Five frames of image and flow, and three.
        assert problems == {
            "bear": f"2 of 10 files are missing, such as {gone[0]}",
            "cows": f"1 of 6 files are missing, such as {flow}",
        }

    def test_every_frame_needs_its_backward_flow_too(self, root):
        path = root / "original" / BACKWARD / "cows/00002.png"
        path.unlink()
        assert check_files(sequences(root), self.WANTED) == {}
        # Two frames of image and both flows.
        assert check_files(sequences(root, backward=True), self.WANTED) == {
            "cows": f"1 of 6 files are missing, such as {path}"
        }

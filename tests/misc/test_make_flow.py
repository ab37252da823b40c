"""misc/make_flow.py: flow near the true one, files under the right names, counting, refusals."""

from __future__ import annotations

import colorsys
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.davis import BACKWARD, FORWARD, check_files
from datasets.synthetic_davis import draw_scene, make_davis, mask_of
from misc.make_flow import find_pairs, main
from tests.datasets.helpers import noise, write_frames
from tests.datasets.helpers_davis import sequences
from tests.helpers_processes import abandoned
from utils import DataError, UserError

SIZE = (96, 160)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A synthetic set: not to be changed."""
    root = tmp_path_factory.mktemp("davis") / "set"
    make_davis(root, 3, 4, SIZE)
    return root


@pytest.fixture
def frames(tmp_path) -> Path:
    """Folders of three and of two frames."""
    for name, n in (("a", 3), ("b/deep", 2)):
        write_frames(tmp_path / "frames" / name, noise(n, 1, 32, 48))
    return tmp_path / "frames"


def hue(path: Path, mask: np.ndarray) -> float:
    """Hue, in turns, of the mean colour under a mask."""
    mean = np.asarray(Image.open(path))[mask].mean(0) / 255
    return colorsys.rgb_to_hsv(*mean)[0]


@pytest.mark.parametrize(("folder", "gap"), [(FORWARD, 1), (BACKWARD, -1)])
def test_disc_moves_in_the_true_direction(made, tmp_path, folder, gap):
    main([str(made / "original/JPEGImages/480p"), str(tmp_path / "flow"), "--gap", str(gap)])
    true = sequences(made)
    for index, video in enumerate(true.videos):
        scene = draw_scene(1, index, SIZE)
        # The middle of the disc: at its border the flow is a mixture.
        mask = mask_of(replace(scene, radius=scene.radius / 2), 2, SIZE)
        found, expected = (
            hue(path, mask)
            for path in (tmp_path / "flow" / video / "00002.png", true.flow(video, folder, "00002"))
        )
        difference = abs((found - expected + 0.5) % 1 - 0.5)
        assert difference < 0.08, (video, found, expected)


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (1, ["a/000001", "a/000002", "b/deep/000001"]),
        (-1, ["a/000002", "a/000003", "b/deep/000002"]),
        (2, ["a/000001"]),
    ],
)
def test_frames_without_a_partner_get_no_flow(frames, tmp_path, capsys, gap, expected):
    main([str(frames), str(tmp_path / "flow"), "--gap", str(gap)])
    found = sorted((tmp_path / "flow").rglob("*.png"))
    assert found == [tmp_path / "flow" / f"{name}.png" for name in expected]
    *left_out, last = capsys.readouterr().out.splitlines()
    assert last == f"{len(expected)} flow images: {tmp_path / 'flow'}"
    short = "no flow: 1 of 2 folders have too few frames for a gap of 2, such as "
    assert left_out == [f"{short}{frames / 'b/deep'} (2)"] * (gap == 2)
    for path in found:
        with Image.open(path) as image:
            assert (image.size, image.mode) == ((48, 32), "RGB")


def test_partners_are_neighbours_in_order_of_names(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for name in ("10.jpg", "09.PNG", "11.jpeg", "notes.txt"):
        (folder / name).touch()
    jobs = [(a.name, b.name, c) for a, b, c in find_pairs(folder, tmp_path / "flow", 1)]
    # A folder of frames alone is a sequence without a name.
    assert jobs == [
        ("09.PNG", "10.jpg", tmp_path / "flow/09.png"),
        ("10.jpg", "11.jpeg", tmp_path / "flow/10.png"),
    ]


def test_what_is_there_is_kept_and_counted(frames, tmp_path, capsys):
    flow = tmp_path / "flow"
    main([str(frames), str(flow)])
    capsys.readouterr()
    (flow / "a/000001.png").unlink()
    (flow / "b/deep/000001.png").unlink()
    (flow / "a/000002.png").write_bytes(b"mine")
    main([str(frames), str(flow)])
    assert capsys.readouterr().out == f"2 flow images: {flow} (1 were there already)\n"
    assert (flow / "a/000002.png").read_bytes() == b"mine"
    main([str(frames), str(flow)])
    assert capsys.readouterr().out == f"0 flow images: {flow} (3 were there already)\n"


def test_command_that_the_loader_advises_makes_what_is_missing(made, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(made, root)
    for folder in (FORWARD, BACKWARD):
        shutil.rmtree(root / "original" / folder)
    data = sequences(root, backward=True)
    for _ in (FORWARD, BACKWARD):
        with pytest.raises(DataError) as refusal:
            check_files(data, [("disc_00", "1")])
        python, script, *argv = shlex.split(str(refusal.value).splitlines()[1])
        assert (python, script) == ("python", "misc/make_flow.py")
        main(argv)
    assert check_files(data, [(video, "1") for video in data.videos]) == {}


class TestRefusals:
    def test_no_gap(self, frames, tmp_path):
        with pytest.raises(UserError, match="--gap 0"):
            main([str(frames), str(tmp_path / "flow"), "--gap", "0"])

    def test_no_folder_and_no_frames(self, tmp_path):
        with pytest.raises(DataError, match="none is not a folder"):
            main([str(tmp_path / "none"), str(tmp_path / "flow")])
        (tmp_path / "empty").mkdir()
        with pytest.raises(DataError, match=r"empty holds no \.jpg"):
            main([str(tmp_path / "empty"), str(tmp_path / "flow")])

    @pytest.mark.parametrize("defect", ["broken", "size"])
    def test_unusable_frame_is_named_and_no_half_image_is_left(self, frames, tmp_path, defect):
        second = frames / "a/000003.png"
        if defect == "broken":
            second.write_bytes(second.read_bytes()[:200])
        else:
            Image.new("RGB", (40, 32)).save(second)
        words = r"000003\.png" if defect == "broken" else r"000003\.png are of different sizes"
        with pytest.raises(DataError, match=words):
            main([str(frames), str(tmp_path / "flow")])
        assert [p.name for p in (tmp_path / "flow/a").iterdir()] == ["000001.png"]


def test_two_frames_of_one_name_are_refused(frames, tmp_path):
    first = next(path for path in sorted((frames / "a").iterdir()) if path.stem == "000001")
    first.with_suffix(".jpeg").write_bytes(first.read_bytes())
    with pytest.raises(DataError, match="more than one frame called 000001"):
        main([str(frames), str(tmp_path / "flow")])


def test_flow_of_another_gap_or_origin_is_not_mixed(frames, tmp_path):
    main([str(frames), str(tmp_path / "flow")])
    with pytest.raises(UserError, match=r"holds other flow .*'gap': 1"):
        main([str(frames), str(tmp_path / "flow"), "--gap", "-1"])
    (tmp_path / "flow/flow.json").unlink()
    with pytest.raises(UserError, match="not made here"):
        main([str(frames), str(tmp_path / "flow")])


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
    for number in (1, 2, 10):
        (tmp_path / f"f{number}.jpg").touch()
    partners = [(a.stem, b.stem) for a, b, _ in find_pairs(tmp_path, tmp_path / "flow", 1)]
    assert partners == [("f1", "f2"), ("f2", "f10")]


def test_frames_too_small_for_flow_are_named(tmp_path):
    write_frames(tmp_path / "frames", noise(2, 1, 4, 4), "{}.png")
    with pytest.raises(DataError, match=r"1\.png: no flow of \(4, 4\) pixels"):
        main([str(tmp_path / "frames"), str(tmp_path / "flow")])


@pytest.mark.parametrize("place", [".", "a", "b/flow"])
def test_flow_among_the_frames_is_refused(frames, place):
    before = sorted(frames.rglob("*"))
    with pytest.raises(UserError, match="among the frames: give another folder"):
        main([str(frames), str(frames / place)])
    assert sorted(frames.rglob("*")) == before


@pytest.mark.parametrize("gap", [3, -99])
def test_gap_that_no_video_is_long_enough_for_is_refused(frames, tmp_path, gap):
    words = rf"--gap {gap}: no frame has .* of 2 folders, .*/a, has 3 frames: give 2 at most"
    with pytest.raises(UserError, match=words):
        main([str(frames), str(tmp_path / "flow"), "--gap", str(gap)])
    assert not (tmp_path / "flow").exists()


def test_single_frames_have_no_flow(tmp_path):
    write_frames(tmp_path / "frames", noise(1, 1, 32, 48))
    with pytest.raises(UserError, match=r"of 1 folder, .*, has 1 frame: flow needs two frames"):
        main([str(tmp_path / "frames"), str(tmp_path / "flow")])


def test_what_a_killed_process_left_is_cleared(frames, tmp_path):
    folder = tmp_path / "flow/a"
    folder.mkdir(parents=True)
    (tmp_path / "flow/flow.json").write_text('{"method": "OpenCV DIS, medium", "gap": 1}')
    left = abandoned(folder)
    left.touch()
    main([str(frames), str(tmp_path / "flow")])
    assert not left.exists()

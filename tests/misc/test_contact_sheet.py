"""misc/contact_sheet.py: pictures are the frames that the network sees, whatever its values are."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.factors import FACTORS
from common.process import run_script
from config import Config
from datasets.davis import BACKWARD, FORWARD
from datasets.flow_jitter import sample_jitters
from datasets.flow_plan import FlowClip
from datasets.pair_plan import Pair
from datasets.taken_frames import permutation
from datasets.video_plan import Clip
from measure.prepare import Run, prepare
from misc.contact_sheet import (
    choose_pairs,
    clip_pictures,
    main,
    plot_sheet,
    title,
    without_weights,
)
from tests.datasets.helpers import noise, write_frames
from tests.datasets.helpers_davis import write_trees
from utils import DataError, UserError

# A network of the user's own, which says how it wants its clips, and what stands there.
OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.last = nn.Conv3d(3, 4, 1), nn.Conv3d(4, 2, 1)

    def forward(self, clip):
        return self.last(self.stem(clip)).mean((2, 3, 4))

def small(frames):
    return frames[:, -32:, -32:].permute(3, 0, 1, 2).float() - 100.0

def build():
    return Net(), {"frames": 4, "rate": 3, "crop": 32, %s}
"""
EVEN, EXACT = (0, 2, 4, 6, 8, 10, 12, 15), (0, 3, 6, 9)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """A user's file may change the path; variables may say where data are."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("ORIGINAL_DATA_ROOT", "STYLIZED_DATA_ROOT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Three videos of 70 frames of noise, 32x40 pixels, in two styles: not to be changed."""
    root = tmp_path_factory.mktemp("videos")
    for index, video in enumerate("abc"):
        for style in (1, 2):
            frames = noise(70, 10 * index + style)
            write_frames(root / f"style_{style}" / video, frames)
    return root


@pytest.fixture(scope="module")
def trees(tmp_path_factory) -> Path:
    """Sequences and their flow, 32x48 pixels: not to be changed."""
    root = tmp_path_factory.mktemp("trees")
    return write_trees(root, {"bear": 5, "cows": 4}, ("1", "2"), size=(32, 48))


def options(data: Path, **more) -> dict[str, object]:
    """Those of clips of 32x32 pixels of the videos, cut out of frames that are not scaled."""
    chosen = {"dataset": "plain", "stylized_data_dir": data, "styles": "1,2", "image_size": "32"}
    return {**chosen, "device": "cpu", "model": "demo_motion", **more}


def segmentation(trees: Path, **more) -> dict[str, object]:
    folders = {
        "stylized_data_dir": trees / "stylized",
        "original_data_root": trees / "original",
    }
    return {**folders, "styles": "1,2", "image_size": "32,48", "device": "cpu", **more}


def as_argv(chosen: dict[str, object]) -> list[str]:
    return [part for name, value in chosen.items() for part in (f"--{name}", str(value))]


def prepared(chosen: dict[str, object]) -> Run:
    return prepare(without_weights(Config(**chosen)))


def own(folder: Path, more: str) -> str:
    path = folder / "my_net.py"
    path.write_text(OWN % more)
    return f"{path}:build"


def expected(data: Path, clip: Clip, taken: tuple[int, ...], last: int = 0) -> np.ndarray:
    """The middle 32 columns of the frames that a clip takes, in its order, read one by one."""
    folder = data / f"style_{clip.style}" / clip.video
    frames = [
        np.asarray(Image.open(folder / f"{clip.start + p + 1:06d}.png"))[:, 4:36] for p in taken
    ]
    return np.stack(frames)[permutation(clip.shuffle, last, len(taken))]


class TestPictures:
    """They equal the frames, cropped and in the clip's order, for networks of each kind."""

    def check(self, data: Path, plan: Run, taken: tuple[int, ...], last: int = 0) -> None:
        shown = clip_pictures(plan, plan.plan.pairs)
        assert set(shown) == set(plan.plan.clips)
        assert any(clip.shuffle for clip in shown)
        for clip, pictures in shown.items():
            assert pictures.dtype == np.uint8
            np.testing.assert_array_equal(pictures, expected(data, clip, taken, last))

    def test_network_of_the_study(self, data):
        self.check(data, prepared(options(data)), EVEN)

    def test_mean_and_std_of_the_command_line(self, data):
        plan = prepared(options(data, mean="0.1,0.5,0.9", std="0.5,0.2,0.1"))
        self.check(data, plan, EVEN)

    def test_fast_input_of_two(self, data):
        # 32 of 64, evenly spread: i * 63 / 31, truncated.
        taken = tuple(i * 63 // 31 for i in range(32))
        plan = prepared(options(data, model="slowfast_r50_8x8"))
        self.check(data, plan, taken, last=1)

    @pytest.mark.parametrize(
        "more",
        [
            # Pictures were white where values are in 0..255, and red was blue.
            pytest.param("'value_range': 255, 'mean': 110, 'std': 60", id="0 to 255"),
            pytest.param("'channels': 'BGR', 'mean': (0.1, 0.2, 0.3)", id="BGR"),
            pytest.param("'value_range': 255, 'channels': 'BGR', 'std': (1, 2, 3)", id="both"),
            pytest.param("'mean': 0, 'std': 1", id="0 to 1"),
        ],
    )
    def test_own_network(self, data, tmp_path, more):
        # Any such network was refused.
        plan = prepared(options(data, model=own(tmp_path, more)))
        self.check(data, plan, EXACT)

    def test_own_preprocessing_stays_out_of_it(self, data, tmp_path):
        # It was undone with a mean of 0.45 and a standard deviation of 0.225.
        model = own(tmp_path, "'transform': small")
        self.check(data, prepared(options(data, model=model)), EXACT)

    def test_torchvision(self, data):
        # The preprocessing of its weights takes 112 pixels, so frames are scaled: colours stay.
        plan = prepared({**options(data, model="torchvision:r3d_18"), "image_size": "112"})
        shown = clip_pictures(plan, plan.plan.pairs)
        for clip, pictures in shown.items():
            assert pictures.shape == (16, 112, 112, 3)
            frames = expected(data, clip, tuple(2 * i for i in range(16)))
            colours, own_colours = (x.mean((1, 2), dtype=float) for x in (pictures, frames))
            np.testing.assert_allclose(colours, own_colours, atol=4)

    def test_scaled_frames(self, data):
        # X3D scales the short side to 182 / 160 of the crop: 36 of 32 here, and 45 of 40.
        plan = prepared(options(data, model="x3d_xs"))
        for clip, pictures in clip_pictures(plan, plan.plan.pairs[:2]).items():
            # 4 of 48, evenly spread: i * 47 / 3, truncated.
            path = data / f"style_{clip.style}" / clip.video
            position = [0, 15, 31, 47][int(permutation(clip.shuffle, 0, 4)[1])]
            image = Image.open(path / f"{clip.start + position + 1:06d}.png")
            scaled = np.asarray(image.resize((45, 36), Image.Resampling.BILINEAR), int)
            # (36 - 32) / 2 and (45 - 32) / 2 = 6.5, which rounds to 6; Pillow rounds values too.
            assert np.abs(scaled[2:34, 6:38] - pictures[1]).max() <= 1


class TestSegmentation:
    def check(self, trees: Path, chosen: dict[str, object], flows: tuple[str, ...]) -> None:
        plan = prepared(segmentation(trees, nreps=1, **chosen))
        shown = clip_pictures(plan, plan.plan.pairs)
        assert any(clip.jitter for clip in shown)
        for clip, pictures in shown.items():
            wanted = [
                image
                for frame in clip.frames
                for image in (
                    self.image(trees, clip, frame),
                    *self.flows(trees, clip, frame, flows),
                )
            ]
            np.testing.assert_array_equal(pictures, np.stack(wanted))

    def image(self, trees: Path, clip: FlowClip, frame: str) -> np.ndarray:
        style = {"1": "Lynx", "2": "Maruska640"}[clip.style]
        path = trees / "stylized/JPEGImages" / style / clip.video / f"{frame}.jpg"
        return np.asarray(Image.open(path))

    def flows(
        self, trees: Path, clip: FlowClip, frame: str, folders: tuple[str, ...]
    ) -> list[np.ndarray]:
        jitters = sample_jitters(clip.jitter, clip.video, frame, len(folders))
        images = []
        for folder, jitter in zip(folders, jitters, strict=True):
            image = Image.open(trees / "original" / folder / clip.video / f"{frame}.png")
            images.append(np.asarray(jitter(image) if clip.jitter else image))
        return images

    def test_a_frame_and_its_flow(self, trees):
        self.check(trees, {"cfg_file": "configs/matnet_davis.json"}, (FORWARD,))

    def test_two_frames_each_with_both_flows(self, trees):
        self.check(trees, {"model": "rtnet"}, (FORWARD, BACKWARD))


def test_unreadable_frame_is_named(tmp_path):
    for style in (1, 2):
        for video in "ab":
            write_frames(tmp_path / f"style_{style}" / video, noise(16, style))
    plan = prepared(options(tmp_path))
    broken = tmp_path / "style_1" / "a" / "000001.png"
    broken.write_bytes(b"broken")
    with pytest.raises(DataError, match=rf"video a: a frame cannot be read: {broken}"):
        clip_pictures(plan, plan.plan.pairs)


class TestChoice:
    def pairs(self, videos: str, factor: int = 0) -> list[Pair]:
        return [
            Pair(factor, Clip(v, "1", start), Clip(v, "2", start)) for start, v in enumerate(videos)
        ]

    def test_distinct_videos_come_first(self):
        pairs = self.pairs("aabac")
        assert choose_pairs(pairs, 2) == [pairs[0], pairs[2]]
        assert choose_pairs(pairs, 4) == [pairs[0], pairs[2], pairs[4], pairs[1]]
        assert choose_pairs(pairs, 9) == [pairs[i] for i in (0, 2, 4, 1, 3)]

    def test_each_factor_has_its_rows(self):
        static, dynamic = self.pairs("abc", 1), self.pairs("ba", 0)
        chosen = choose_pairs([*static, *dynamic], 2)
        assert chosen == [*dynamic, *static[:2]]


class TestTexts:
    PAIR = Pair(1, Clip("a", "1", 0), Clip("a", "1", 0, 5))

    @pytest.mark.parametrize(
        ("frames", "said"), [(4, "(a)"), (8, "(a)"), (9, "(a, 8 of 9 frames)"), (32, "8 of 32 fr")]
    )
    def test_title_says_how_many_frames_are_shown_if_not_all(self, frames, said):
        text = title(self.PAIR, frames)
        assert text.startswith("static pair: same appearance, other motion (a")
        assert said in text

    def test_every_factor_has_one(self):
        titles = [title(Pair(factor, self.PAIR.a, self.PAIR.b), 4) for factor in range(4)]
        assert [text.partition(":")[0] for text in titles] == [f"{name} pair" for name in FACTORS]

    def test_what_was_done_to_a_clip(self):
        assert [clip.order for clip in (self.PAIR.a, self.PAIR.b)] == ["in order", "shuffled"]
        clips = FlowClip("a", "0", "1"), FlowClip("a", "0", "1", 7)
        assert [clip.order for clip in clips] == ["true flow", "jittered flow"]


class TestSheet:
    def test_strips_follow_each_other_in_their_own_colours(self, tmp_path):
        flat = {}
        pairs = [
            Pair(factor, Clip(v, "1", 0), Clip(v, "2", 0)) for factor, v in ((0, "a"), (1, "b"))
        ]
        colours = [(250, 10, 10), (10, 250, 10), (10, 10, 250), (200, 200, 10)]
        for clip, colour in zip([c for p in pairs for c in (p.a, p.b)], colours, strict=True):
            flat[clip] = np.full((12, 32, 32, 3), colour, np.uint8)
        plot_sheet(tmp_path / "sheet.png", pairs, flat)
        sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
        rows = [np.nonzero((sheet == colour).all(-1).any(1))[0] for colour in colours]
        assert all(len(found) > 20 for found in rows)
        assert all(a.max() < b.min() for a, b in pairwise(rows))
        # Eight of the twelve: as many runs of the colour in a line.
        line = (sheet[rows[0][10]] == colours[0]).all(-1).astype(int)
        assert (np.diff(line) == 1).sum() == 8

    @pytest.mark.parametrize("kind", ["study", "own", "segmentation", "two frames"])
    def test_command_writes_a_picture(self, data, trees, tmp_path, capsys, kind):
        chosen = {
            "study": options(data),
            "own": options(data, model=own(tmp_path, "'value_range': 255")),
            "segmentation": segmentation(trees, cfg_file="configs/matnet_davis.json"),
            "two frames": segmentation(trees, model="rtnet"),
        }[kind]
        save = tmp_path / "pairs.png"
        for replaced in ("", " (replaced)"):
            main([*as_argv(chosen), "--rows", "2", "--save", str(save)])
            assert capsys.readouterr().out == f"6 pairs: {save}{replaced}\n"
        with Image.open(save) as image:
            assert image.format == "PNG"
            assert image.width in (901, 902)  # 8.2 inches of 110 pixels

    def test_no_weights_are_needed_whatever_a_run_had(self, data, tmp_path, capsys):
        """A run is shown whose checkpoint is not there any more."""
        plan = prepare(Config(**options(data, checkpoint="random")))
        folder = tmp_path / "run"
        folder.mkdir()
        plan.plan.write(folder / "plan.csv")
        saved = {**options(data), "stylized_data_dir": str(data), "checkpoint": "gone.pyth"}
        (folder / "config.json").write_text(json.dumps({"options": saved}))
        main(["--resume", str(folder), "--save", str(tmp_path / "pairs.png")])
        assert "9 pairs: " in capsys.readouterr().out

    def test_what_cannot_be_written_is_refused_first(self, data, tmp_path):
        with pytest.raises(UserError, match=r"`save` .* cannot be written"):
            main([*as_argv(options(tmp_path / "nowhere")), "--save", str(tmp_path)])
        assert run_script(lambda: main(as_argv(options(tmp_path / "nowhere")))) == 2

"""README and docs: every command runs, or is marked and parses; examples are what they say."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import main
from datasets.davis import find_sequences
from datasets.video_layouts import find_videos
from datasets.videos import Video
from tests.datasets.helpers import touch

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [page.name for page in PAGES]
_FENCED = re.compile(r"^```(\w+)(?: ([^\n]*))?\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what is said behind it, and its text."""

    language: str
    mark: str
    text: str


def blocks(page: Path, language: str = "") -> list[Block]:
    found = [Block(*match) for match in _FENCED.findall(page.read_text(encoding="utf-8"))]
    return [block for block in found if language in ("", block.language)]


def commands(page: Path, *marks: str) -> list[list[str]]:
    """The commands of blocks with one of these marks, split into words."""
    wanted = [block for block in blocks(page, "bash") if block.mark in marks]
    lines = [line for block in wanted for line in block.text.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def script(words: list[str]):
    """The function behind `python FILE.py`, and its arguments."""
    assert words[0] == "python", words
    name = words[1].removesuffix(".py").replace("/", ".")
    return importlib.import_module(name).main, words[2:]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the files of all pages, where their commands run."""
    folder = tmp_path_factory.mktemp("docs")
    for page in PAGES:
        for block in blocks(page, "python"):
            if block.mark.startswith("file="):
                (folder / block.mark.removeprefix("file=")).write_text(block.text)
    rng = np.random.default_rng(0)
    clips = rng.standard_normal((2, 3, 8, 64, 64), dtype=np.float32)
    np.savez(folder / "clips.npz", video=clips)
    a = rng.standard_normal((20, 6))
    np.savez(folder / "pairs.npz", a=a, b=a + 0.5, factor=np.arange(20) % 2)
    return folder


@pytest.fixture
def inside(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return place


def test_readme_is_short():
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_run(page, inside, capsys):
    for words in commands(page, ""):
        call, argv = script(words)
        call(argv)
        assert capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_that_need_data_name_files_and_options_that_exist(page, capsys):
    for words in commands(page, "needs-data", "takes-minutes", "setup"):
        words = [word for word in words if word != "DEMO=1"]
        if words[0] != "python":
            assert words[0] in ("make", "bash"), words
            assert words[0] == "make" or (ROOT / words[1]).is_file()
            continue
        call, argv = script(words)
        with pytest.raises(SystemExit) as leave:
            call(["--help"])
        assert leave.value.code == 0
        known = set(re.findall(r"--\w+", capsys.readouterr().out))
        used = {word for word in argv if word.startswith("--")}
        assert used <= known, words


def test_scripts_for_clusters_are_sound_and_name_options_that_exist(capsys):
    for block in blocks(ROOT / "docs/cluster.md", "sh"):
        subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
        (_, given) = block.text.split("main.py")
        with pytest.raises(SystemExit):
            main.main(["--help"])
        known = set(re.findall(r"--\w+", capsys.readouterr().out))
        assert set(re.findall(r"--\w+", given)) <= known


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_stages_of_the_adapter_are_those_shown(inside, capsys):
    (shown,) = (b.text for b in blocks(ROOT / "docs/networks.md", "text") if b.mark == "output")
    main.main(["--model", "two_rates.py:build", "--list_stages"])
    printed = capsys.readouterr().out
    assert [line.split() for line in printed.splitlines()] == [
        line.split() for line in shown.splitlines()
    ]


class TestAnnotations:
    """The examples of docs/data.md, with frames beside them."""

    @pytest.fixture
    def written(self, tmp_path):
        """A folder with the annotation files; a function that adds frames of a video to it."""
        page = ROOT / "docs/data.md"
        for block in (*blocks(page, "json"), *blocks(page, "text")):
            if block.mark.startswith("file="):
                (tmp_path / block.mark.removeprefix("file=")).write_text(block.text)

        def add(video: str, count: int, pattern: str = "{:06d}.jpg") -> None:
            for style in "12":
                names = [pattern.format(i) for i in range(count)]
                touch(tmp_path / f"style_{style}" / video, names)

        return tmp_path, add

    def test_activitynet(self, written):
        folder, add = written
        add("v_QOlSCBRmfWY", 75)
        add("v_sJFgo9H6zNo", 70)
        found = find_videos("StylizedActivityNet", folder, "12").videos
        assert found["QOlSCBRmfWY"] == Video("QOlSCBRmfWY", "v_QOlSCBRmfWY", 0, 42, "Rowing")
        assert (found["sJFgo9H6zNo"].start, found["sJFgo9H6zNo"].end) == (6, 60)

    def test_ssv2(self, written):
        folder, add = written
        add("74225", 30)
        add("1142", 30)
        found = find_videos("ssv2", folder, "12").videos
        assert [video.label for video in found.values()] == list(
            json.loads((folder / "something-something-v2-labels.json").read_text())
        )

    def test_diving48(self, written):
        folder, add = written
        add("_8Vy3dlHg2w_00000", 50, "image_{:05d}.jpg")
        add("_8Vy3dlHg2w_00001", 50, "image_{:05d}.jpg")
        found = find_videos("Diving48", folder, "12").videos
        assert [video.length for video in found.values()] == [40, 20]

    def test_davis(self, written):
        folder, _ = written
        lists = folder / "original" / "ImageSets" / "480p"
        lists.mkdir(parents=True)
        (folder / "val.txt").rename(lists / "val.txt")
        for style in ("Lynx", "Maruska640"):
            (folder / "stylized" / "JPEGImages" / style).mkdir(parents=True)
        found = find_sequences(
            "StylizedDAVIS", lists.parents[1], folder / "stylized", "val", ("1", "2"), False
        )
        assert {n: v.frames for n, v in found.videos.items()} == {
            "bear": ("00000", "00001"),
            "cows": ("00000", "00001"),
        }

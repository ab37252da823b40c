"""Annotations whose values are not what they should be: a message, or a listing of true frames."""

from __future__ import annotations

import contextlib
import copy
import json
from pathlib import Path
from typing import Any

import pytest

from datasets.video_layouts import find_videos
from tests.datasets.helpers import touch
from utils import DataError

# Frames of the video that the entries below are of.
COUNT = 40
FILES = {
    "StylizedActivityNet": "activitynet_v13.json",
    "ssv2": "something-something-v2-validation.json",
    "Diving48": "Diving48_V2_test.json",
}
SOUND: dict[str, Any] = {
    "StylizedActivityNet": {
        "database": {
            "x": {
                "subset": "validation",
                "num_frames": COUNT,
                "annotations": [{"segment": [0.0, 8.0], "label": "Rowing"}],
            }
        }
    },
    "ssv2": [{"id": "x", "label": "pushing a cup", "template": "Pushing [something]"}],
    "Diving48": [{"vid_name": "x", "label": 7, "start_frame": 0, "end_frame": COUNT}],
}
PLACES: dict[str, list[tuple]] = {
    "StylizedActivityNet": [
        ("database",),
        ("database", "x"),
        ("database", "x", "subset"),
        ("database", "x", "num_frames"),
        ("database", "x", "annotations"),
        ("database", "x", "annotations", 0),
        ("database", "x", "annotations", 0, "segment"),
        ("database", "x", "annotations", 0, "segment", 0),
        ("database", "x", "annotations", 0, "segment", 1),
        ("database", "x", "annotations", 0, "label"),
    ],
    "ssv2": [(0,), (0, "id"), (0, "template")],
    "Diving48": [(0,), (0, "vid_name"), (0, "label"), (0, "start_frame"), (0, "end_frame")],
}
BAD = [
    *(None, True, False, "", "text", "x\0", "\ud800", "y" * 300, "../style_2/x", "/x", ".", ".."),
    *(-1, -(10**30), 10**30, 1.5, -0.5, 1e300, float("nan"), float("inf"), -float("inf")),
    *([], [[]], [None], [1, 2, 3], ["x"], {}, {"x": 1}, [{}]),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("styles")
    for style in "12":
        for folder in ("x", "v_x"):
            names = (f"{i:06d}.jpg" for i in range(COUNT))
            touch(root / f"style_{style}" / folder, names)
    return root


def find(root: Path, dataset: str, content: Any, labels: Any = ("Pushing something",)):
    (root / FILES[dataset]).write_text(json.dumps(content))
    (root / "something-something-v2-labels.json").write_text(json.dumps(labels))
    return find_videos(dataset, root, "12")


def changed(dataset: str, place: tuple, value: Any) -> Any:
    """A sound annotation with another value at a place."""
    content = copy.deepcopy(SOUND[dataset])
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return content


@pytest.mark.parametrize("dataset", FILES)
def test_sound_annotation_is_read(root, dataset):
    (video,) = find(root, dataset, SOUND[dataset]).videos.values()
    assert (video.start, video.end) == (0, COUNT)


@pytest.mark.parametrize(("dataset", "place"), [(d, p) for d in FILES for p in PLACES[d]])
@pytest.mark.parametrize("value", BAD, ids=lambda value: repr(value)[:30])
def test_any_value_anywhere_gives_a_message_or_frames_that_are_there(root, dataset, place, value):
    videos = {}
    with contextlib.suppress(DataError):
        videos = find(root, dataset, changed(dataset, place, value)).videos
    # What says how long a video is may exceed its folder: the check of its frames tells.
    told = place[-1] in ("end_frame", "num_frames")
    for video in videos.values():
        assert 0 <= video.start < video.end
        assert video.end <= COUNT or told
        assert (root / "style_1" / video.folder).parent == root / "style_1"
        assert isinstance(video.label, str)


@pytest.mark.parametrize(
    ("dataset", "place", "value", "words"),
    [
        ("StylizedActivityNet", ("subset",), None, r"x has 'subset' None, expected text"),
        ("StylizedActivityNet", ("num_frames",), True, "x has 'num_frames' True, expected a whole"),
        (
            "StylizedActivityNet",
            ("num_frames",),
            -5,
            "x has 'num_frames' -5, expected a who",
        ),
        ("StylizedActivityNet", ("num_frames",), 10**30, "x has 'num_frames' 10+, expected a wh"),
        (
            "StylizedActivityNet",
            ("annotations", 0, "label"),
            None,
            "x has 'label' None, expected text",
        ),
        *(
            ("StylizedActivityNet", ("annotations", 0, "segment"), value, "x has the segment .*")
            for value in ([-3.0, 8.0], [0, 1e300], [True, 8], [0, 8, 9], {"0": 8})
        ),
        ("ssv2", ("id",), None, "entry 1 has 'id' None, expected a number or text"),
        ("ssv2", ("id",), 1.0, "entry 1 has 'id' 1.0, expected a number or text"),
        ("ssv2", ("template",), ["Pushing"], r"x has 'template' \['Pushing'\], expected text"),
        ("Diving48", ("start_frame",), -1, "x has 'start_frame' -1, expected a whole number"),
        ("Diving48", ("start_frame",), True, "x has 'start_frame' True, expected a whole"),
        ("Diving48", ("start_frame",), 50, "x has the frames 50 to 40, expected an 'end_frame'"),
        ("Diving48", ("end_frame",), 10**30, "x has 'end_frame' 10+, expected a whole number"),
        ("Diving48", ("label",), None, "x has 'label' None, expected a number or text"),
    ],
)
def test_message_names_file_entry_and_value(root, dataset, place, value, words):
    above = ("database", "x") if dataset == "StylizedActivityNet" else (0,)
    with pytest.raises(DataError, match=rf"{FILES[dataset]}.*: {words}"):
        find(root, dataset, changed(dataset, (*above, *place), value))


NAMES = {
    "../style_2/x": "leads to another folder",
    "/x": "leads to another folder",
    "a\\b": "leads to another folder",
    "..": "names no folder of its own",
    ".": "names no folder of its own",
    "x\0": "has a NUL character",
    "\udcff": "is not UTF-8",
    "n" * 300: "is longer than 255 bytes",
    "ü" * 128: "is longer than 255 bytes",
}


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name)[:20])
@pytest.mark.parametrize("dataset", FILES)
def test_no_name_leaves_its_folder(root, dataset, name):
    # One style used to be shown as all: "../style_2/x" is the same folder from each of them.
    content = copy.deepcopy(SOUND[dataset])
    if dataset == "StylizedActivityNet":
        content["database"][name] = content["database"].pop("x")
    else:
        content[0]["id" if dataset == "ssv2" else "vid_name"] = name
    with pytest.raises(DataError, match=rf"{FILES[dataset]}.*: the name .* {NAMES[name]}; exp"):
        find(root, dataset, content)


def test_a_name_that_is_too_long_with_its_prefix_is_refused(root):
    content = SOUND["StylizedActivityNet"]
    entries = {"n" * 254: content["database"]["x"]}
    with pytest.raises(DataError, match="longer than 255 bytes"):
        find(root, "StylizedActivityNet", {"database": entries})


@pytest.mark.parametrize("dataset", ["ssv2", "Diving48"])
def test_a_video_that_is_listed_twice_is_refused(root, dataset):
    # The last entry used to win.
    (entry,) = SOUND[dataset]
    other = {**entry, "end_frame": 20}
    with pytest.raises(DataError, match=r"\.json: x is listed twice, as entries 1 and 2; take one"):
        find(root, dataset, [entry, other])


@pytest.mark.parametrize("labels", [[["x"]], [None], {"x": 1}, [], "text", 3, None])
def test_labels_of_another_kind_are_refused(root, labels):
    with pytest.raises(DataError, match=r"v2-labels\.json"):
        find(root, "ssv2", SOUND["ssv2"], labels)

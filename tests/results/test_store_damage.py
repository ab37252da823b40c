"""A damaged store: nothing of it becomes a number; what can be computed again is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from results.store import FeatureStore
from tests.helpers import stored
from utils import DataError

STAGES = ("4", "5")
ROWS = [{"video": f"v{i}", "style": "1", "files": f"time:{i}"} for i in range(12)]
IDENTITY = {"network": "i3d", "weights": "abc"}
UNITS = 6


def features(rows) -> dict[str, np.ndarray]:
    rows = np.asarray(rows)[:, None]
    values = {stage: np.sin(rows * 7.0 + np.arange(UNITS) + int(stage)) for stage in STAGES}
    return {stage: value.astype(np.float32) for stage, value in values.items()}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A store with ten of its twelve clips computed."""
    store = FeatureStore.create(tmp_path / "features", STAGES, ROWS, IDENTITY)
    store.write(range(10), features(range(10)))
    return store.folder


def reopened(folder: Path) -> FeatureStore:
    return FeatureStore.resume(folder, STAGES, ROWS, IDENTITY)


def changed(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change the array of stage 5 behind the store's back."""
    np.save(folder / "5.npy", change(np.load(folder / "5.npy")))


def cut(size: int) -> Callable[[Path], None]:
    return lambda folder: (folder / "5.npy").write_bytes((folder / "5.npy").read_bytes()[:size])


def flipped(byte: int) -> Callable[[Path], None]:
    def flip(folder: Path) -> None:
        content = bytearray((folder / "5.npy").read_bytes())
        content[byte] ^= 1
        (folder / "5.npy").write_bytes(content)

    return flip


def setting(rows, value) -> Callable[[Path], None]:
    def change(array: np.ndarray) -> np.ndarray:
        array[rows] = value
        return array

    return lambda folder: changed(folder, change)


ALL = list(range(10))
HEADER = 128  # bytes of a .npy file before its values
# What is done to the file of a stage, and which of its ten clips are lost with it.
DAMAGE = {
    "missing": (lambda folder: (folder / "5.npy").unlink(), ALL),
    "empty": (cut(0), ALL),
    "a header alone": (cut(HEADER), ALL),
    "cut off": (cut(HEADER + 5 * UNITS * 4), ALL),
    "one byte short": (cut(HEADER + 12 * UNITS * 4 - 1), ALL),
    "fewer units": (lambda folder: changed(folder, lambda x: x[:, :4]), ALL),
    "fewer rows": (lambda folder: changed(folder, lambda x: x[:10]), ALL),
    "more rows": (lambda folder: changed(folder, lambda x: np.concatenate([x, x])), ALL),
    "float64": (lambda folder: changed(folder, lambda x: x.astype(np.float64)), ALL),
    "another stage's": (lambda folder: shutil.copy(folder / "4.npy", folder / "5.npy"), ALL),
    "one bit": (flipped(HEADER + 3 * UNITS * 4 + 2), [3]),
    "a row of zeros": (setting(7, 0), [7]),
    "NaN": (setting((2, 1), np.nan), [2]),
    "rows exchanged": (lambda folder: changed(folder, lambda x: x[[1, 0, *range(2, 12)]]), [0, 1]),
    "columns first": (lambda folder: changed(folder, np.asfortranarray), ALL),
    "one axis": (lambda folder: changed(folder, lambda x: x[:, 0]), ALL),
    "objects": (lambda folder: np.save(folder / "5.npy", np.array([{}] * 12), True), ALL),
    "a folder": (lambda f: ((f / "5.npy").unlink(), (f / "5.npy").mkdir()), ALL),
}


@pytest.mark.parametrize(("damage", "lost"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_clips_are_those_to_compute_again(folder, damage, lost):
    damage(folder)
    store = reopened(folder)
    assert np.flatnonzero(~store.done).tolist() == [*lost, 10, 11]
    assert store.damaged == len(lost)
    if (folder / "5.npy").is_dir():  # which nothing of ours removes
        return
    rest = np.flatnonzero(~store.done)
    store.write(rest, features(rest))
    for stage in STAGES:
        assert np.array_equal(stored(store, stage), features(range(12))[stage])
    assert reopened(folder).done.all()
    assert reopened(folder).damaged == 0


@pytest.mark.parametrize("kind", ["missing", "cut off", "one bit", "NaN"])
def test_damage_is_found_when_features_are_read(folder, kind):
    store = reopened(folder)
    store._sound.clear()  # as another process, which has not read them yet
    damage, lost = DAMAGE[kind]
    damage(folder)
    words = "hold NaN or inf" if kind == "NaN" else "are not those that were written"
    with pytest.raises(DataError, match=rf"5\.npy .*damaged.* {len(lost)} clips?, .*{words}"):
        stored(store, "5")
    assert len(stored(store, "4")) == 12


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: np.save(path, np.zeros(3)),
        lambda path: np.save(path, np.zeros((12, 2))),
        lambda path: np.save(path, np.zeros((11, 2), np.int64)),
        lambda path: np.save(path, np.zeros((12, 2), np.int64)),
        lambda path: path.write_bytes(path.read_bytes().replace(b"False", b"True ")),
    ],
    ids=[
        *("missing", "empty", "cut off", "one axis", "float", "of another plan", "zeros"),
        "columns first",
    ],
)
def test_without_checksums_nothing_counts_as_computed(folder, damage):
    damage(folder / "checksums.npy")
    store = reopened(folder)
    assert not store.done.any()
    assert store.damaged > 0
    store.write(range(12), features(range(12)))
    assert reopened(folder).done.all()


@pytest.mark.parametrize(
    "content", [None, "", "{", "[]", "null", "1", '{"network": "i3d"}', "[" * 200_000]
)
def test_store_that_does_not_say_what_it_is_of_is_refused(folder, content):
    (folder / "identity.json").unlink()
    if content is not None:
        (folder / "identity.json").write_text(content)
    with pytest.raises(Exception, match=r"identity\.json|other weights") as refusal:
        reopened(folder)
    assert type(refusal.value).__module__ == "utils"


def test_store_without_the_list_of_its_clips_is_refused(folder):
    (folder / "clips.csv").unlink()
    with pytest.raises(DataError, match=r"which videos .* cannot be told: .*clips\.csv does not"):
        reopened(folder)


@pytest.mark.parametrize("lines", [1, 5, 12], ids=["header", "half", "one missing"])
def test_list_that_is_cut_off_is_refused(folder, lines):
    path = folder / "clips.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))
    with pytest.raises(DataError, match=rf"lists {lines - 1} clips, the plan has 12"):
        reopened(folder)


def test_store_appears_when_it_is_complete(tmp_path, monkeypatch):
    def fails(*given):
        raise OSError("no space left")

    monkeypatch.setattr("results.store.write_json", fails)
    with pytest.raises(OSError, match="no space left"):
        FeatureStore.create(tmp_path / "features", STAGES, ROWS, IDENTITY)
    assert list(tmp_path.iterdir()) == []


def test_nothing_can_be_forgotten(folder):
    store = reopened(folder)
    store.forget([])
    assert store.done.sum() == 10
    store.forget([3, 4, 9])
    assert np.flatnonzero(~reopened(folder).done).tolist() == [3, 4, 9, 10, 11]


@pytest.mark.parametrize("name", ["5.npy", "checksums.npy"])
def test_what_cannot_be_read_is_not_taken_for_damaged(folder, monkeypatch, name):
    open_memmap = np.lib.format.open_memmap

    def refused(path, *given, **named):
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return open_memmap(path, *given, **named)

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(np.lib.format, "open_memmap", refused)
    with pytest.raises(DataError, match=rf"{name} cannot be read: Permission denied"):
        reopened(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


class TestOlderVersion:
    """A store from before there were checksums: `done.npy`, and `bytes` in the list of clips."""

    @pytest.fixture
    def older(self, folder) -> Path:
        (folder / "checksums.npy").unlink()
        np.save(folder / "done.npy", np.arange(12) < 10)
        rows = "".join(f"v{i},1,77\n" for i in range(12))
        (folder / "clips.csv").write_text("video,style,bytes\n" + rows)
        return folder

    def test_its_features_are_taken(self, older):
        store = reopened(older)
        assert np.flatnonzero(~store.done).tolist() == [10, 11]
        assert store.damaged == 0
        assert np.array_equal(stored(store, "5")[:10], features(range(10))["5"])
        store.write([10, 11], features([10, 11]))
        assert reopened(older).done.all()
        assert not (older / "done.npy").exists()

    def test_not_if_they_are_not_finite(self, older):
        setting((2, 1), np.nan)(older)
        assert np.flatnonzero(~reopened(older).done).tolist() == [2, 10, 11]

    @pytest.mark.parametrize("kind", ["missing", "cut off", "fewer rows"])
    def test_not_if_they_are_not_there(self, older, kind):
        DAMAGE[kind][0](older)
        assert not reopened(older).done.any()


def test_identity_may_say_more_than_is_asked(folder):
    path = folder / "identity.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "more": 1}))
    assert reopened(folder).done.sum() == 10

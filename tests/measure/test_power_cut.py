"""A power cut at any moment: of a disk that has what was synced alone, a run goes on to the same
bytes."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest

import main
from common import files
from config import Config
from results.array_files import checksum
from tests import helpers_runs
from tests.helpers_runs import contents, options

data, without_figures = helpers_runs.videos, helpers_runs.without_figures

CUTS = 6
Tree = dict[str, bytes | None]


class Disk:
    """What a power cut would leave of a folder: of files, what they held when they were synced
    last; of folders, the names that were in them then.

    trees: what would be left at every sync, with None for folders.
    """

    def __init__(self, root: Path, monkeypatch):
        self.root = root
        self.files: dict[int, bytes] = {}
        self.folders: dict[int, dict[str, os.stat_result]] = {}
        self.trees: list[Tree] = []
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self.sync, raising=False)

    def sync(self, opened: int) -> None:
        """Stands before the system's calls."""
        self.trees.append(self.left())
        found = os.fstat(opened)
        if stat.S_ISDIR(found.st_mode):
            names = os.listdir(opened)
            there = {name: os.stat(name, dir_fd=opened) for name in names}
            self.folders[found.st_ino] = there
        else:
            self.files[found.st_ino] = os.pread(opened, found.st_size, 0)

    def left(self, folder: int | None = None, under: str = "") -> Tree:
        """What a power cut would leave now, by path."""
        tree: Tree = {}
        number = self.root.stat().st_ino if folder is None else folder
        for name, found in self.folders.get(number, {}).items():
            path = under + name
            if stat.S_ISDIR(found.st_mode):
                tree |= {path: None, **self.left(found.st_ino, f"{path}/")}
            else:
                tree[path] = self.files.get(found.st_ino, b"")
        return tree


def write(tree: Tree, folder: Path) -> None:
    """Make a folder of what was left."""
    folder.mkdir()
    for name, content in tree.items():
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)


def results(folder: Path) -> dict[str, bytes]:
    """All that a run leaves, but for its record, which has the time in it."""
    left = contents(folder)
    return {str(p.relative_to(folder)): x for p, x in left.items() if p.name != "config.json"}


@pytest.fixture
def measure(data):
    """A function that measures in some folder of runs; gives the folder of the run."""
    return lambda place: main.measure(Config(**options(data, place, batch_size=4))).folder


def test_run_goes_on_from_what_was_on_the_disk(measure, tmp_path):
    root = tmp_path / "disk"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(root, patch)
        folder = measure(root)
    whole = results(folder)
    points = np.random.default_rng(0).choice(len(disk.trees), CUTS, replace=False)
    for point in map(int, points):
        place = tmp_path / f"cut{point}"
        write(disk.trees[point], place)
        assert measure(place).name == folder.name
        assert results(place / folder.name) == whole, f"cut at sync {point}"


def test_what_a_finished_run_leaves_is_on_the_disk(measure, tmp_path, monkeypatch):
    (tmp_path / "new").mkdir()
    disk = Disk(tmp_path / "new", monkeypatch)
    folder = measure(tmp_path / "new" / "runs" / "here")
    there = {str(p.relative_to(disk.root)): content for p, content in contents(folder).items()}
    left = disk.left()
    assert there == {name: left[name] for name in there}


def test_no_clip_is_marked_before_its_features_are_on_the_disk(measure, tmp_path, monkeypatch):
    """Looked at before every sync: a mark that waits to be written may be on the disk as well."""
    root, marked = tmp_path / "disk", []
    root.mkdir()
    disk = Disk(root, monkeypatch)

    def sync(opened: int) -> None:
        for path in root.glob("*/features/checksums.npy"):
            sums, left = np.load(path), disk.left()
            for column, stage in enumerate("12345"):
                rows = np.flatnonzero(sums[:, column] >= 0)
                if len(rows):
                    name = str(path.with_name(f"{stage}.npy").relative_to(root))
                    values = _array(left[name], len(sums))
                    found = [checksum(stage, row, values[row]) for row in rows.tolist()]
                    assert found == sums[rows, column].tolist()
            marked.append(int((sums >= 0).all(1).sum()))
        Disk.sync(disk, opened)

    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, sync, raising=False)
    measure(root)
    assert set(marked) == {0, 4, 8, 12, 16, 20}


def _array(content: bytes | None, clips: int) -> np.ndarray:
    """The features [clips, units] in the bytes of a file."""
    assert content
    return np.frombuffer(content[128:], dtype="<f4").reshape(clips, -1)


class TestSync:
    """`common.files`: what cannot be waited for is no error, and what is lost is one."""

    @pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP], ids=errno.errorcode.get)
    def test_file_systems_without_it(self, tmp_path, monkeypatch, number):
        def fail(opened: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fail)
        monkeypatch.setattr(os, "fdatasync", fail, raising=False)
        files.write_text(tmp_path / "a" / "file", "x")
        assert (tmp_path / "a" / "file").read_text() == "x"

    def test_systems_without_fdatasync(self, tmp_path, monkeypatch):
        monkeypatch.delattr(os, "fdatasync", raising=False)
        files.write_text(tmp_path / "file", "x")
        assert (tmp_path / "file").read_text() == "x"

    def test_what_a_disk_could_not_keep_is_not_put_in_place(self, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("old")

        def fail(opened: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, "fsync", fail)
        monkeypatch.setattr(os, "fdatasync", fail, raising=False)
        with pytest.raises(files.WriteError, match="file cannot be written: Input/output error"):
            files.write_text(tmp_path / "file", "new")
        assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"file": "old"}

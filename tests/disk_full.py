"""Fill a small disk to many levels, and run on it: results, or a message and nothing lost.

    python -m tests.disk_full [LEVELS]

Needs a system that lets this user mount a tmpfs (root, or inside `unshare --user --map-root-user
--mount`). At every level (16 by default, from nothing free to more than a run takes) a run ends
with code 0 and all of its results, or with code 2 and a message; with space again, the same command
gives the results of a run that never lacked any. Prints a line a level; exits with 1 if one failed.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

import main
from common.process import run_script
from config import Config
from tests.helpers_processes import Ended, forked
from tests.helpers_runs import VIDEOS, as_argv, contents, options, write_videos

MEGABYTES = 16


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of a few megabytes, mounted on a new folder."""
    folder.mkdir()
    size = f"size={MEGABYTES}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, free: int) -> Path:
    """Write a file that leaves so many bytes free; returns it."""
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(max(0, shutil.disk_usage(disk).free - free)))
    return ballast


def results(folder: Path) -> dict[str, bytes]:
    """The tables, the plan and the features that a run leaves."""
    kinds = (".csv", ".npy")
    left = {str(p.relative_to(folder)): x for p, x in contents(folder).items()}
    return {name: content for name, content in left.items() if name.endswith(kinds)}


def judged(ended: Ended, before: dict[str, bytes], again: dict[str, bytes], whole: dict) -> str:
    """What is wrong with a run on a full disk, and with the one that finished it, in words."""
    if ended.code not in (0, 2):
        return f"exit code {ended.code}: {ended.err[-300:]}"
    if ended.code == 0 and before != whole:
        return "exit code 0 without all results"
    if ended.code == 2 and "space" not in ended.err:
        return f"no word of space: {ended.err[-300:]}"
    return "" if again == whole else "finished with other results"


def check(levels: int, place: Path) -> int:
    """The number of levels that failed."""
    data = write_videos(place / "videos", VIDEOS)
    given = {**options(data, place / "whole"), "run_name": "run", "batch_size": 4, "stg": "all"}
    whole = results(main.measure(Config(**given)).folder)
    takes = sum(path.stat().st_size for path in (place / "whole").rglob("*") if path.is_file())
    failed = 0
    for level in range(levels):
        free = round(1.4 * takes * level / (levels - 1))
        with small_disk(place / f"disk{level}") as disk:
            ballast = fill(disk, free)
            argv = as_argv({**given, "save_dir": disk})
            ended = forked(lambda argv=argv: run_script(lambda: main.main(argv)), place)
            before = results(disk / "run") if (disk / "run").exists() else {}
            ballast.unlink()
            again = forked(lambda argv=argv: run_script(lambda: main.main(argv)), place)
            wrong = judged(ended, before, results(disk / "run"), whole) or (
                f"not finished: {again.err[-300:]}" if again.code else ""
            )
            left = [path.name for path in disk.rglob(".*")]
            wrong = wrong or (f"left: {', '.join(left)}" if left else "")
        last = ended.err.strip().splitlines()[-1:] or ["results are there"]
        print(f"{free / 1000:8.0f} kB free: code {ended.code}, {wrong or 'sound'} ({last[0][:90]})")
        failed += bool(wrong)
    return failed


if __name__ == "__main__":
    torch.set_num_threads(1)  # copies of a process with more of them would wait for those
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(bool(check(int(sys.argv[1]) if sys.argv[1:] else 16, Path(folder))))

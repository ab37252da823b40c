"""An entry point as a process: whatever becomes of its streams, it does its work and says so."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from common.files import write_json
from common.process import run_script
from tests.helpers_processes import Ended, forked, needs_fork
from utils import DataError, UserError, add_note, progress

pytestmark = needs_fork


def broken_pipe(number: int) -> None:
    read, write = os.pipe()
    os.close(read)
    os.dup2(write, number)


def closed(number: int) -> None:
    os.close(number)
    setattr(sys, ("stdin", "stdout", "stderr")[number], None)


def full(number: int) -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), number)


def ascii_only(number: int) -> None:
    stream = os.fdopen(number, "w", encoding="ascii", closefd=False)
    setattr(sys, ("stdin", "stdout", "stderr")[number], stream)


STREAMS = [broken_pipe, closed, full, ascii_only]


def end(prepare: Callable[[], None], main: Callable[[], int | None], folder: Path) -> Ended:
    def work() -> int:
        prepare()
        return run_script(main)

    return forked(work, folder)


@pytest.mark.parametrize("what", STREAMS, ids=lambda what: what.__name__)
@pytest.mark.parametrize("number", [1, 2])
def test_work_is_done_whatever_its_output_is(tmp_path, what, number):
    def main() -> None:
        for _ in range(3000):
            print("a line of output: vidéo ü \udcff", file=(None, sys.stdout, sys.stderr)[number])
        (None, sys.stdout, sys.stderr)[number].flush()
        (tmp_path / "result").touch()

    ended = end(lambda: what(number), main, tmp_path)
    assert ended.code == 0, ended
    assert (tmp_path / "result").exists()


@pytest.mark.parametrize("what", STREAMS, ids=lambda what: what.__name__)
def test_error_has_its_code_where_nobody_reads_it(tmp_path, what):
    def main() -> None:
        raise UserError("vidéo \udcff is missing")

    assert end(lambda: what(2), main, tmp_path).code == 2


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path):
    """What C libraries print would be written into it."""

    def main() -> None:
        path = tmp_path / "result.json"
        with path.open("w") as file:
            print(file.fileno(), file=sys.stdout)
        os.write(2, b"a warning of a C library")
        write_json(path, [1])

    ended = end(lambda: closed(2), main, tmp_path)
    assert (ended.code, int(ended.out) > 2) == (0, True)
    assert (tmp_path / "result.json").read_text() == "[\n  1\n]\n"


def test_progress_where_there_is_no_error_stream(tmp_path):
    def main() -> None:
        print(sum(progress([1, 2], "clips", "clip")))

    ended = end(lambda: closed(2), main, tmp_path)
    assert (ended.code, ended.out) == (0, "3\n")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "w.pth"), "w.pth: Permission denied"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), "x: File name too long"),
        (OSError(errno.ENOSPC, "No space left on device"), "a file: No space left on device"),
        (OSError(errno.EXDEV, "Invalid link", "a", None, "b"), "a and b: Invalid link"),
        (OSError("strange"), "OSError: strange"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates"), "not valid in this environ"),
        (MemoryError(), "out of memory"),
        (DataError("give `styles` 1,2"), "give --styles 1,2"),
    ],
)
def test_errors_of_the_system_are_sentences(error, words, capsys):
    def main() -> None:
        add_note(error, "8 of 15 clips are kept, with `resume`")
        raise error

    assert run_script(main) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert words in said
    assert said.endswith("\n8 of 15 clips are kept, with --resume\n")
    assert "Traceback" not in said


def test_parser_keeps_its_exit_code(tmp_path):
    def main() -> None:
        sys.exit(2)

    assert end(lambda: None, main, tmp_path).code == 2

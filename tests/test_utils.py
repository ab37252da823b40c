"""The small things that every part shares."""

import hashlib
import io
import json
import math
import os
import stat
import sys
import time

import pytest
import torch

import utils
from common import files
from common.process import run_script
from utils import DataError, UserError

# ---- Exit codes.


def raising(error):
    def main():
        if error is not None:
            raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (None, 0, ""),
        (UserError("no such stage"), 2, "error: no such stage\n"),
        (DataError("bad frame"), 2, "error: bad frame\n"),
        (KeyboardInterrupt("3 of 5 kept"), 130, "\ninterrupted. 3 of 5 kept\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted.\n"),
        (UserError("give `styles` 1,2, not `n` 3"), 2, "error: give --styles 1,2, not --n 3\n"),
        (KeyboardInterrupt("then `resume` it"), 130, "\ninterrupted. then --resume it\n"),
    ],
    ids=[
        *("none", "user error", "data error", "interrupt with advice", "interrupt"),
        *("fields", "fields in an interrupt"),
    ],
)
def test_exit_codes(error, code, words, capsys):
    assert run_script(raising(error)) == code
    assert capsys.readouterr().err == words


def test_a_mistake_of_the_toolkit_keeps_its_traceback(capsys):
    assert run_script(raising(ZeroDivisionError("by zero"))) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "ZeroDivisionError: by zero" in said
    assert said.endswith(
        "error: this is a mistake in the toolkit: report it with the lines above\n"
    )


# ---- Devices.


@pytest.fixture
def machine(monkeypatch):
    """Pretend to have a number of GPUs, and MPS or not."""

    def pretend(gpus=0, mps=False):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("gpus", "mps", "text", "expected"),
    [
        (0, False, None, "cpu"),
        (2, False, None, "cuda"),
        (0, True, None, "mps"),
        (2, False, "cpu", "cpu"),
        (2, False, "cuda", "cuda:0"),
        (2, False, "cuda:1", "cuda:1"),
        (2, False, "1", "cuda:1"),
        (2, False, "0", "cuda:0"),
        (0, True, "mps", "mps"),
    ],
)
def test_device(gpus, mps, text, expected, machine):
    machine(gpus, mps)
    assert str(utils.resolve_device(text)) == expected


@pytest.mark.parametrize(
    ("rank", "text", "expected"),
    [
        ("1", None, "cuda:1"),
        ("1", "cuda", "cuda:1"),
        ("1", "cuda:0", "cuda:0"),
        ("1", "cpu", "cpu"),
        ("3", None, "cuda:1"),  # two processes on each GPU
        ("2", None, "cuda"),
    ],
)
def test_processes_of_one_machine_share_its_gpus(rank, text, expected, machine, monkeypatch):
    machine(gpus=2)
    current = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setenv("LOCAL_RANK", rank)
    assert str(utils.resolve_device(text)) == expected
    assert current == [1] * (expected == "cuda:1")


def test_local_rank_that_is_no_number_is_refused(machine, monkeypatch):
    machine(gpus=2)
    monkeypatch.setenv("LOCAL_RANK", "x")
    with pytest.raises(UserError, match="LOCAL_RANK is x, and is to be the number"):
        utils.resolve_device(None)
    monkeypatch.setenv("LOCAL_RANK", "")
    assert str(utils.resolve_device(None)) == "cuda"


@pytest.mark.parametrize(
    ("gpus", "text", "present"),
    [
        (0, "cuda", "Present: cpu;"),
        (0, "0", "Present: cpu;"),
        (2, "2", "Present: cpu, cuda:0, cuda:1;"),
        (2, "cuda:7", "Present: cpu, cuda:0, cuda:1;"),
        (0, "mps", "Present: cpu;"),
        (0, "gpu", "Present: cpu;"),
        (0, "-1", "Present: cpu;"),
    ],
)
def test_absent_device_is_refused_with_those_present(gpus, text, present, machine):
    machine(gpus)
    with pytest.raises(UserError) as caught:
        utils.resolve_device(text)
    assert f"`device` {text} is not on this machine" in str(caught.value)
    assert present in str(caught.value)


# ---- Files, whole or not at all.


def test_atomic_path_makes_folders_and_leaves_only_the_file(tmp_path):
    path = tmp_path / "a" / "b" / "file.txt"
    with files.atomic_path(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
        assert not path.exists()
    assert list(path.parent.iterdir()) == [path]
    assert path.read_text() == "new"


def test_a_place_that_cannot_be_written_to_is_a_user_error(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "inside"
    with pytest.raises(UserError, match="cannot be written") as refusal:
        files.write_text(path, "text")
    # Callers raise it again with what they know.
    more = type(refusal.value)(f"{refusal.value}: give another folder")
    assert str(more).startswith(f"{path} cannot be written: ")
    assert str(more).endswith(": give another folder")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_error_in_the_block_keeps_the_old_file(error, tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write_half():
        with files.atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002], ids=oct)
def test_files_have_the_permissions_of_ordinary_files(umask, tmp_path):
    before = os.umask(umask)
    try:
        files.write_text(tmp_path / "file", "x")
        assert os.umask(umask) == umask  # left as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask


def test_text_is_written_as_it_is(tmp_path):
    files.write_text(tmp_path / "t", "ä\r\nb\n")
    assert (tmp_path / "t").read_bytes() == "ä\r\nb\n".encode()


def test_json_round_trip(tmp_path):
    value = {"a": [1, 2.5, None, True], "ä": {}}
    files.write_json(tmp_path / "x.json", value)
    assert files.read_json(tmp_path / "x.json") == value
    assert (tmp_path / "x.json").read_text().endswith("}\n")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_json_has_no_nan_and_nothing_is_written(value, tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "x.json", {"score": value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"), [(None, "does not exist"), (b"{", "readable"), (b"\xff", "readable")]
)
def test_unreadable_json_is_a_data_error(content, words, tmp_path):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"x\.json .*{words}"):
        files.read_json(path)


def test_csv_round_trip(tmp_path):
    rows = [
        {"name": 'a,"b"', "score": 0.1, "count": 3},
        {"name": "two\nlines", "score": math.nan, "count": None},
    ]
    files.write_csv(tmp_path / "x.csv", rows)
    assert files.read_csv(tmp_path / "x.csv") == [
        {"name": 'a,"b"', "score": "0.1", "count": "3"},
        {"name": "two\nlines", "score": "", "count": ""},
    ]


def test_csv_floats_keep_every_digit(tmp_path):
    value = 0.1 + 0.2
    files.write_csv(tmp_path / "x.csv", [{"v": value}])
    assert float(files.read_csv(tmp_path / "x.csv")[0]["v"]) == value


def test_csv_of_a_spreadsheet_with_a_byte_order_mark(tmp_path):
    (tmp_path / "x.csv").write_bytes("﻿video,style\r\nv1,2\r\n".encode())
    assert files.read_csv(tmp_path / "x.csv") == [{"video": "v1", "style": "2"}]


@pytest.mark.parametrize("row", [{"a": 1, "b": 2}, {"b": 2}], ids=["one more", "other"])
def test_csv_rows_with_other_keys_are_refused(row, tmp_path):
    with pytest.raises(ValueError, match="fieldnames"):
        files.write_csv(tmp_path / "x.csv", [{"a": 1}, row])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, (1 << 20) + 1])
def test_sha256(size, tmp_path):
    data = bytes(size)
    (tmp_path / "x").write_bytes(data)
    assert files.sha256(tmp_path / "x") == hashlib.sha256(data).hexdigest()


def test_json_is_what_other_programs_read(tmp_path):
    files.write_json(tmp_path / "x.json", {"v": [0.1, None]})
    assert json.loads((tmp_path / "x.json").read_text(encoding="ascii")) == {"v": [0.1, None]}


# ---- Progress.


def test_progress_of_a_short_job_is_quiet_when_piped(capsys):
    assert list(utils.progress([1, 2], "clips", "clip")) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_piped_progress_prints_lines(capsys, monkeypatch):
    monkeypatch.setattr(utils, "LINE_EVERY", 0)
    assert list(utils.progress(range(3), "clips", "clip", total=5, done=2)) == [0, 1, 2]
    out, err = capsys.readouterr()
    assert out == ""
    assert "\r" not in err
    lines = err.splitlines()
    assert len(lines) >= 3
    assert all(line.startswith("clips: ") for line in lines)
    assert lines[-1].startswith("clips: 100%")
    assert "5/5" in lines[-1]


def test_piped_progress_is_a_line_now_and_then(capsys, monkeypatch):
    # Bars that are updated by hand, and seldom, as that of a run is.
    monkeypatch.setattr(utils, "LINE_EVERY", 0.05)
    with utils.progress((), "clips", "clip", total=40) as bar:
        for _ in range(40):
            time.sleep(0.005)
            bar.update(1)
    lines = capsys.readouterr().err.splitlines()
    assert 1 <= len(lines) <= 10
    assert all("\r" not in line and line.startswith("clips: ") for line in lines)


def test_progress_on_a_terminal_is_one_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(utils.progress(range(3), "clips", "clip")) == [0, 1, 2]
    assert "\r" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()


# ---- What was meant.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("i3", " Did you mean 'i3d'?"),
        ("I3D", " Did you mean 'i3d'?"),
        ("SSv2", " Did you mean 'ssv2'?"),
        ("activitynet", " Did you mean 'StylizedActivityNet'?"),
        ("ActivityNet", " Did you mean 'StylizedActivityNet'?"),
        ("xyzzy", ""),
        ("", ""),
        # Too little to go by, though it stands in several names.
        ("v", ""),
    ],
)
def test_suggestion(name, expected):
    known = ("i3d", "ssv2", "StylizedActivityNet", "Diving48")
    assert utils.suggestion(name, known) == expected

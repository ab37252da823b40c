"""Options from a command line, and how they are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from config import Config, load_config

DATA = ["--stylized_data_dir", "videos"]


def parse(*argv: str) -> Config:
    """The options of a command line that names a folder of videos, and more."""
    return load_config([*DATA, *argv])


@pytest.fixture
def refused(capsys) -> Callable[..., str]:
    """A function that parses options which must be refused and returns the one line shown."""

    def run(*argv: str) -> str:
        with pytest.raises(SystemExit) as leave:
            parse(*argv)
        assert leave.value.code == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        (line,) = shown.err.splitlines()
        assert line.startswith("error: ")
        return line

    return run

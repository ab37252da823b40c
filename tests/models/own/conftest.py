"""Fixtures for networks from a user's file."""

import sys

import pytest


@pytest.fixture(autouse=True)
def path_restored(monkeypatch):
    """A file may import its neighbours, so its folder comes onto the path."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def written(tmp_path):
    """A function that writes a file of code and names the network of `build` in it."""

    def write(code, file="my_net.py"):
        (tmp_path / file).write_text(code)
        return f"{tmp_path / file}:build"

    return write

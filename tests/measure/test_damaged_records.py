"""Damage anywhere in the folder of a run: the same numbers, or a refusal."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import main
from config import Config
from tests import helpers_runs
from tests.helpers_runs import options, read_rows
from utils import UserError

data, without_figures = helpers_runs.videos, helpers_runs.without_figures

VALUES = (
    *(None, [], {}, "x", "", -1, 0, 1, 1e308, True, 10**30, "a\0b", "../..", [None], ["a", ["b"]]),
    *({"a": 1}, "ü\udcff", "9" * 5000, 0.5, [1, 2], "1,1", [[[[1]]]]),
)
FILES = (
    *("config.json", "plan.csv", "features/identity.json", "features/clips.csv"),
    *("features/checksums.npy", "features/4.npy"),
)


@pytest.fixture
def intact(data, tmp_path) -> Path:
    """The folder of a finished run, to copy."""
    given = options(data, tmp_path / "runs", run_name="run", stg="4,5", n_examples=6)
    folder = main.measure(Config(**given)).folder
    shutil.copytree(folder, tmp_path / "intact")
    return tmp_path / "intact"


def scores(folder: Path) -> list[float]:
    """Those of all stages and units."""
    rows = read_rows(folder / "estimates.csv")
    return [float(row["value"] or "nan") for row in rows if row["statistic"] == "score"]


def resumed(intact: Path, damage: Callable[[Path], None]) -> bool:
    """Whether a damaged copy goes on, to the same numbers; what else it raises is no user error."""
    folder = intact.parent / "runs" / "run"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(intact, folder)
    damage(folder)
    # Of the system's errors an entry point makes sentences.
    with contextlib.suppress(UserError, OSError, UnicodeError):
        main.main(["--resume", str(folder)])
        assert scores(folder) == pytest.approx(scores(intact), abs=1e-4, nan_ok=True)
        return True
    return False


def test_any_value_anywhere_in_the_record(intact):
    record = json.loads((intact / "config.json").read_text())
    places = [(name,) for name in record] + [("options", name) for name in record["options"]]
    values = itertools.cycle(VALUES)  # their number has no factor in common with the places'
    went_on = 0
    for place, value in zip((*places, *places), values, strict=False):
        changed = json.loads(json.dumps(record))
        inner = changed if len(place) == 1 else changed["options"]
        inner[place[-1]] = value
        text = json.dumps(changed)
        if (place[-1], value) == ("residual_index", -1):
            continue  # another request, and a valid one
        went_on += resumed(intact, lambda f, text=text: (f / "config.json").write_text(text))
    assert 0 < went_on < 2 * len(places)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "1", "[" * 200_000, "\0", '{"options": 1}']
)
def test_record_that_is_none(intact, text):
    assert not resumed(intact, lambda folder: (folder / "config.json").write_text(text))


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content with some bytes changed, left out or doubled, or cut off."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 3, 10))):
        if not found:
            break
        at, kind = rng.randrange(len(found)), rng.random()
        if kind < 0.5:
            found[at] ^= 1 << rng.randrange(8)
        elif kind < 0.7:
            del found[at : at + rng.choice((1, 4, 30))]
        elif kind < 0.85:
            found[at:at] = found[at : at + rng.choice((1, 8, 50))]
        else:
            del found[at:]
    return bytes(found)


@pytest.mark.parametrize("name", FILES)
def test_mutations_of_its_files(intact, name):
    rng = random.Random(name)

    def damage(folder: Path) -> None:
        path = folder / name
        path.write_bytes(mutated(path.read_bytes(), rng))

    for _ in range(25):
        resumed(intact, damage)

"""Options that may be lists: a run for each combination, on main.py alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config import combinations, from_given, parse
from misc import benchmark, contact_sheet, extract_features
from tests import helpers_config
from utils import UserError

refused = helpers_config.refused


def asked(*argv: str) -> list[tuple]:
    """Data set, seed and network of every run that a command line asks for."""
    every = map(from_given, combinations(parse(argv)))
    return [(run.dataset, run.random_seed, run.model) for run in every]


def test_every_combination_in_order():
    argv = ("--model", "i3d, x3d_s", "--dataset", "plain,synthetic", "--random_seed", "2,1")
    assert asked(*argv) == [
        (dataset, seed, model)
        for dataset in ("plain", "synthetic")
        for seed in (2, 1)
        for model in ("i3d", "x3d_s")
    ]


def test_other_options_are_those_of_all():
    runs = combinations(parse(["--random_seed", "1,2", "--styles", "3,4", "--batch_size", "2"]))
    assert runs == [{"random_seed": seed, "styles": ("3", "4"), "batch_size": 2} for seed in (1, 2)]


@pytest.mark.parametrize("argv", [(), ("--model", "i3d"), ("--random_seed", "7")], ids=str)
def test_one_value_is_one_run(argv):
    assert len(asked(*argv)) == 1


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("--model i3d,i3d", "argument --model: 'i3d,i3d' is not a list of distinct names"),
        ("--model ,", "argument --model: ',' is not a list"),
        ("--random_seed 1,01", "argument --random_seed: '1,01' has a value twice"),
        ("--random_seed 1,x", "argument --random_seed: 'x' is not an integer"),
        ("--random_seed 1,-1", "argument --random_seed: -1 is below 0"),
        ("--dataset plain,SSv2", "argument --dataset: 'SSv2' is not known. Did you mean 'ssv2'?"),
        ("--batch_size 1,2", "argument --batch_size: '1,2' is not an integer"),
    ],
)
def test_lists_that_are_refused(refused, argv, words):
    assert words in refused(*argv.split())


@pytest.mark.parametrize("model", ["{}/my,net.py:build", "hf:{}/a,b"])
def test_a_comma_in_a_path_is_told(tmp_path, model):
    (tmp_path / "my,net.py").touch()
    (tmp_path / "a,b").mkdir()
    model = model.format(tmp_path)
    path = re.sub(r"^hf:|:build$", "", model)
    words = f"`model`: commas separate networks, and {path} has one: rename it"
    with pytest.raises(UserError, match=words):
        asked("--model", model)


@pytest.mark.parametrize(
    ("script", "option", "value"),
    [
        (contact_sheet, "model", "i3d,x3d_s"),
        (contact_sheet, "dataset", "plain,synthetic"),
        (benchmark, "random_seed", "1,2"),
        (extract_features, "model", "i3d,x3d_s"),
    ],
)
def test_scripts_take_one(script, option, value, capsys):
    with pytest.raises(SystemExit) as stopped:
        script.main([f"--{option}", value])
    assert stopped.value.code == 2
    words = f"argument --{option}: {value!r}: one value is expected here, without a comma"
    assert words in capsys.readouterr().err


def test_resume_may_stand_alone():
    assert parse(["--resume", "--model", "i3d"]) == {"resume": None, "model": ("i3d",)}
    assert parse(["--resume", "."])["resume"] == Path()

"""run_main_vos.sh: what it runs, in which order, and what a failure does.

Its Python is a small shell script that writes down how it was called.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from config import Config, load_config
from measure.cfg_file import find_network, resolved
from models.tables.two_stream import ARCHIVE
from utils import UserError

ROOT = Path(__file__).parents[1]
STUB = """#!/bin/sh
{ printf 'call\\n'; printf '%s\\n' "$@"; } >> "$STUB_FOLDER/calls"
printf '%s\\n%s\\n' "$ORIGINAL_DATA_ROOT" "$STYLIZED_DATA_ROOT" > "$STUB_FOLDER/roots"
case "$*" in
  *make_synthetic_davis*) [ -z "$STUB_NO_DATA" ] || exit 2; mkdir -p "$2" ;;
  *"$STUB_FAILS"*) exit "$STUB_CODE" ;;
esac
"""
FUSIONSEG = "twostreamv3plus_davis"
TRAININGS = ("davis", "taovos", "imgnetvid")


@dataclass(frozen=True)
class Outcome:
    """How the script ended, what it printed, and the arguments of every call of Python."""

    code: int
    text: str
    calls: list[list[str]]
    folder: Path

    @property
    def runs(self) -> list[Config]:
        """The options of the runs, as the real command line reads them."""
        return [load_config(call[1:]) for call in self.calls if call[0] == "main.py"]


@pytest.fixture
def study(tmp_path):
    """A function that runs the script with some variables of the environment."""
    stub = tmp_path / "stub.sh"
    stub.write_text(STUB)
    stub.chmod(0o755)
    fixed = {"STUB_FOLDER": str(tmp_path), "STUB_FAILS": "none", "STUB_CODE": "2"}
    clean = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "TMPDIR")}

    def run(**variables: str) -> Outcome:
        result = subprocess.run(
            ["bash", str(ROOT / "run_main_vos.sh")],
            env={**clean, **fixed, "PYTHON": str(stub), **variables},
            cwd=tmp_path,  # it must not matter where it is called
            capture_output=True,
            text=True,
        )
        assert result.stderr == ""
        recorded = (tmp_path / "calls").read_text().split("call\n")[1:]
        calls = [entry.splitlines() for entry in recorded]
        return Outcome(result.returncode, result.stdout, calls, tmp_path)

    return run


def test_four_seeds_of_five_networks(study):
    outcome = study()
    assert outcome.code == 0
    assert outcome.text.splitlines()[-1] == "all done: dim_outputs/vos_models"
    found = [(c.random_seed, c.cfg_file.stem, c.batch_size, c.trained_on) for c in outcome.runs]
    networks = [
        ("rtnet_davis", 5, None),
        ("matnet_davis", 10, None),
        *((FUSIONSEG, 32, training) for training in TRAININGS),
    ]
    assert found == [(seed, *network) for seed in (1, 2, 3, 4) for network in networks]
    assert {config.stg for config in outcome.runs} == {"all"}
    assert len(outcome.calls) == len(found)


def test_joint_encoding_is_of_the_first_seed_alone(study):
    # In the study "False" was true: every seed wrote these files, and the last one's remained.
    found = {(config.random_seed, config.joint_encoding) for config in study().runs}
    assert found == {(1, True), (2, False), (3, False), (4, False)}


def test_checkpoints_are_the_published_ones_of_each_network(study):
    for config in study(CHECKPOINTS="weights", SEEDS="1").runs:
        network = find_network(resolved(replace(config, cfg_file=ROOT / config.cfg_file), {}))
        with pytest.raises(UserError) as missing:
            network.checkpoint(None)
        assert Path(config.checkpoint).is_absolute()  # where the script was called from
        _, _, published = config.checkpoint.partition("/weights/")
        assert published
        assert f"give `checkpoint` {ARCHIVE}/{published}" in str(missing.value)


def test_variables_choose_seeds_and_places_also_with_spaces(study, tmp_path):
    place = str(tmp_path / "my results")
    outcome = study(SEEDS="7 1", SAVE_DIR=place, CHECKPOINTS="/my disk/weights")
    assert [config.random_seed for config in outcome.runs] == [7] * 5 + [1] * 5
    assert {str(config.save_dir) for config in outcome.runs} == {place}
    assert {config.batch_size for config in outcome.runs} == {5, 10, 32}
    assert all(c.checkpoint.startswith("/my disk/weights/") for c in outcome.runs)


class TestFailures:
    @pytest.mark.parametrize(
        ("fails", "listed"),
        [
            ("matnet_davis", ["configs/matnet_davis.json  seed 1"]),
            ("os16.pth", [f"configs/{FUSIONSEG}.json {t} seed 1" for t in TRAININGS]),
        ],
    )
    def test_others_run_all_the_same_and_the_exit_code_tells(self, study, fails, listed):
        outcome = study(STUB_FAILS=fails, SEEDS="1")
        assert outcome.code == 1
        assert len(outcome.runs) == 5
        *_, head = (line for line in outcome.text.splitlines() if line.startswith("failed"))
        assert head == f"failed: {len(listed)}"
        lines = outcome.text.splitlines()
        assert [line.strip() for line in lines[lines.index(head) + 1 :]] == listed
        assert "all done" not in outcome.text

    def test_failure_of_an_early_seed_is_not_forgotten(self, study):
        outcome = study(STUB_FAILS="--random_seed 1 ")
        assert outcome.code == 1
        assert len(outcome.runs) == 20
        assert "failed: 5" in outcome.text

    def test_interruption_ends_all(self, study):
        outcome = study(STUB_FAILS="matnet_davis", STUB_CODE="130")
        assert outcome.code == 130
        assert len(outcome.runs) == 2


class TestDemo:
    def test_makes_data_and_measures_untrained_networks_small(self, study, tmp_path):
        place = tmp_path / "demo"
        outcome = study(DEMO="1", SEEDS="1", SAVE_DIR=str(place))
        assert outcome.code == 0
        made, *measured = outcome.calls
        data = str(place / "synthetic_davis")
        assert made[:2] == ["misc/make_synthetic_davis.py", data]
        roots = (outcome.folder / "roots").read_text().splitlines()
        assert roots == [f"{data}/original", f"{data}/stylized"]
        assert len(measured) == 5
        assert {(c.checkpoint, c.image_size, c.nreps) for c in outcome.runs} == {
            ("random", (64, 96), 1)
        }
        assert "the numbers say nothing about trained networks" in outcome.text

    def test_data_that_are_there_are_used(self, study, tmp_path):
        (tmp_path / "demo/synthetic_davis").mkdir(parents=True)
        outcome = study(DEMO="1", SEEDS="1", SAVE_DIR=str(tmp_path / "demo"))
        assert len(outcome.calls) == len(outcome.runs) == 5

    def test_no_data_no_runs(self, study, tmp_path):
        outcome = study(DEMO="1", SAVE_DIR=str(tmp_path / "demo"), STUB_NO_DATA="1")
        assert outcome.code == 1
        assert outcome.runs == []

    def test_zero_is_no_demo(self, study):
        outcome = study(DEMO="0", SEEDS="1")
        assert all(config.checkpoint != "random" for config in outcome.runs)

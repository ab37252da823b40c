"""The segmentation study: what is run, in which order, and what a failure does."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import main as main_script
from common.process import run_script
from config import Config, load_config
from measure.request import find_network, resolved
from misc import run_main_vos
from utils import UserError

ROOT = Path(__file__).parents[2]
FUSIONSEG = "twostreamv3plus_davis"
TRAININGS = ("davis", "taovos", "imgnetvid")


@dataclass
class Study:
    """A study whose runs only write down their options, and fail where these hold `fails`."""

    fails: str = "nothing"
    error: BaseException = field(default_factory=lambda: UserError("broken"))
    runs: list[Config] = field(default_factory=list)

    def measure(self, argv: list[str]) -> None:
        self.runs.append(load_config(argv))
        if self.fails in " ".join(argv):
            raise self.error


@pytest.fixture
def study(monkeypatch, tmp_path):
    found = Study()
    monkeypatch.setattr(main_script, "main", found.measure)
    monkeypatch.chdir(tmp_path)
    for folder in (run_main_vos.ARCHIVE, "my weights"):
        Path(folder).mkdir()
    for variable in ("ORIGINAL_DATA_ROOT", "STYLIZED_DATA_ROOT"):
        monkeypatch.setenv(variable, "data")
    return found


def test_four_seeds_of_five_networks(study, capsys):
    assert run_main_vos.main([]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "all done: dim_outputs/vos_models"
    found = [(c.random_seed, c.cfg_file.stem, c.trained_on) for c in study.runs]
    networks = [
        ("rtnet_davis", None),
        ("matnet_davis", None),
        *((FUSIONSEG, training) for training in TRAININGS),
    ]
    assert found == [(seed, *network) for seed in (1, 2, 3, 4) for network in networks]
    assert {config.stg for config in study.runs} == {"all"}


def test_missing_checkpoints_are_one_error(study, capsys):
    assert run_script(lambda: run_main_vos.main(["--checkpoints", "nowhere"])) == 2
    assert "--checkpoints nowhere is not a folder" in capsys.readouterr().err
    assert not study.runs


def test_joint_encoding_is_of_seed_1_alone(study):
    # In the study "False" was true: every seed wrote these files, and the last one's remained.
    run_main_vos.main(["--seeds", "7,1"])
    found = {(config.random_seed, config.joint_encoding) for config in study.runs}
    assert found == {(7, False), (1, True)}


def test_checkpoints_are_the_published_ones_of_each_network(study):
    run_main_vos.main(["--checkpoints", "my weights", "--seeds", "1"])
    for config in study.runs:
        network = find_network(resolved(config))
        with pytest.raises(UserError) as missing:
            network.checkpoint(None)
        found = str(Path(config.checkpoint).relative_to("my weights"))
        assert f"/{found}" in str(missing.value)


@pytest.mark.parametrize(
    ("fails", "listed"),
    [
        ("matnet_davis", ["matnet_davis.json, seed 1"]),
        ("os16.pth", [f"{FUSIONSEG}.json {training}, seed 1" for training in TRAININGS]),
    ],
)
@pytest.mark.parametrize(
    "error",
    [UserError("broken"), RuntimeError("a bug"), SystemExit(2)],
    ids=["user", "bug", "option"],
)
def test_others_run_all_the_same_and_the_exit_code_tells(study, capsys, fails, listed, error):
    study.fails, study.error = fails, error
    assert run_main_vos.main(["--seeds", "1"]) == 1
    assert len(study.runs) == 5
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[-len(listed) - 1] == f"failed: {len(listed)}"
    assert [line.strip() for line in lines[-len(listed) :]] == listed
    assert ("Traceback" in err) == isinstance(error, RuntimeError)


def test_failure_of_an_early_seed_is_not_forgotten(study, capsys):
    study.fails = "--random_seed 1 "
    assert run_main_vos.main([]) == 1
    assert len(study.runs) == 20
    assert "failed: 5" in capsys.readouterr().out


def test_interruption_ends_all(study):
    study.fails, study.error = "matnet_davis", KeyboardInterrupt()
    assert run_main_vos.main([]) == 130
    assert len(study.runs) == 2


class TestDemo:
    def test_makes_data_and_measures_untrained_networks_small(self, study, tmp_path, capsys):
        place = tmp_path / "demo"
        assert run_main_vos.main(["--demo", "--seeds", "1", "--save_dir", str(place)]) == 0
        assert {(c.checkpoint, c.image_size, c.nreps) for c in study.runs} == {
            ("random", (64, 96), 1)
        }
        assert "say nothing" in capsys.readouterr().out
        data = place / "synthetic_davis"
        assert len(list((data / "stylized/JPEGImages").iterdir())) == 4
        assert os.environ["ORIGINAL_DATA_ROOT"] == f"{data}/original"
        assert os.environ["STYLIZED_DATA_ROOT"] == f"{data}/stylized"

    def test_data_that_are_there_are_used(self, study, tmp_path):
        (tmp_path / "demo/synthetic_davis").mkdir(parents=True)
        run_main_vos.main(["--demo", "--seeds", "1", "--save_dir", "demo"])
        assert len(study.runs) == 5
        assert list((tmp_path / "demo/synthetic_davis").iterdir()) == []


class TestShell:
    """The variables of run_main_vos.sh, with a stub for Python that prints its arguments."""

    @pytest.fixture
    def called(self, tmp_path):
        stub = tmp_path / "stub.sh"
        roots = "${ORIGINAL_DATA_ROOT:-} ${STYLIZED_DATA_ROOT:-}"
        stub.write_text(
            '#!/bin/sh\nprintf "%s\\n" "$@"\n'
            f'[ -z "$SHOW_ROOTS" ] || echo "{roots}"\nexit "${{STUB_CODE:-0}}"\n'
        )
        stub.chmod(0o755)
        clean = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "TMPDIR")}

        def call(**variables: str) -> tuple[int, list[str]]:
            done = subprocess.run(
                ["bash", str(ROOT / "run_main_vos.sh")],
                env={**clean, "PYTHON": str(stub), **variables},
                cwd=tmp_path,  # it must not matter where it is called
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.stderr == ""
            return done.returncode, done.stdout.splitlines()

        return call

    def test_without_variables(self, called):
        assert called() == (0, ["misc/run_main_vos.py"])

    def test_variables_become_options_also_with_spaces(self, called, tmp_path):
        _, argv = called(SEEDS="7 1", SAVE_DIR="my results", CHECKPOINTS="/my disk/weights")
        assert argv == [
            *("misc/run_main_vos.py", "--checkpoints", "/my disk/weights"),
            *("--save_dir", f"{tmp_path}/my results", "--seeds", "7,1"),
        ]

    def test_relative_places_are_where_it_was_called(self, called, tmp_path):
        roots = {"ORIGINAL_DATA_ROOT": "my DAVIS", "STYLIZED_DATA_ROOT": "/disk/stylized"}
        _, lines = called(PYTHON="./stub.sh", SHOW_ROOTS="1", **roots)
        assert lines[-1] == f"{tmp_path}/my DAVIS /disk/stylized"

    def test_demo_has_a_place_of_its_own(self, called):
        assert called(DEMO="1")[1][1:] == ["--demo", "--save_dir", "dim_outputs/vos_demo"]
        assert called(DEMO="0")[1] == ["misc/run_main_vos.py"]

    def test_exit_code_is_that_of_the_study(self, called):
        assert called(STUB_CODE="1")[0] == 1

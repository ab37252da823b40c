"""The help of main.py: every option, by subject, without a long wait."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

import main
from config import Config, load_config

ROOT = Path(__file__).parents[1]


class TestHelp:
    GROUPS = (
        "options",
        "what to measure",
        "on which videos",
        "which pairs",
        "how to estimate",
        "how to run",
    )

    @pytest.fixture
    def shown(self, capsys, monkeypatch) -> str:
        monkeypatch.setenv("COLUMNS", "80")
        with pytest.raises(SystemExit) as leave:
            load_config(["--help"])
        assert leave.value.code == 0
        return capsys.readouterr().out

    def test_options_stand_under_headings(self, shown):
        headings = [line[:-1] for line in shown.splitlines() if re.fullmatch(r"\w[^:]*:", line)]
        assert tuple(headings) == self.GROUPS
        parts = re.split(r"^(?=\w[^:\n]*:\n)", shown, flags=re.MULTILINE)[1:]
        where = {
            option: part.partition(":")[0]
            for part in parts
            for option in re.findall(r"^  --(\w+)", part, re.MULTILINE)
        }
        assert where["model"] == where["fuse"] == "what to measure"
        assert where["styles"] == "on which videos"
        assert where["nreps"] == where["m_same"] == "which pairs"
        assert where["residual_index"] == "how to estimate"
        assert where["batch_size"] == "how to run"
        assert set(where) == {field.name for field in dataclasses.fields(Config)}

    def test_options_of_one_task_say_so(self, shown):
        text = " ".join(shown.split())
        assert "--nreps NREPS segmentation: passes over the sequences; default: 5" in text
        assert "--m_same M_SAME action recognition: dynamic pair" in text
        assert "--num_workers NUM_WORKERS processes that read frames" in text
        assert "default: 1,2,3,4" in text

    def test_is_of_options_not_of_fields(self, shown):
        assert "`" not in shown

    def test_imports_no_torch(self):
        script = (
            "import sys, main\n"
            "try:\n    main.main(['--help'])\n"
            "except SystemExit as leave:\n    assert leave.code == 0\n"
            "print([name for name in ('torch', 'matplotlib', 'scipy') if name in sys.modules])"
        )
        result = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
        )
        *shown, imported = result.stdout.splitlines()
        assert imported == "[]"
        words = [word.rstrip(",") for line in shown for word in line.split()]
        options = {word for word in words if word.startswith("--")}
        named = {*(field.name for field in dataclasses.fields(Config)), *main.LISTS}
        assert {f"--{name}" for name in named} <= options

"""What the README and docs/ show works: commands parse, and the own network is measured."""

from __future__ import annotations

import re
import shlex
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import main
from config import Config, parse
from tests import helpers_runs
from tests.helpers_runs import as_argv, options, read_rows

data = helpers_runs.videos
ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(text: str) -> Iterator[str]:
    """The blocks of code of a page: fenced, or indented by four spaces."""
    parts = re.split(r"^```.*$", text, flags=re.MULTILINE)
    for fenced, part in enumerate(parts):
        if fenced % 2:
            yield part.strip("\n")
        else:
            for lines in re.findall(r"(?:^    .*\n|^\n(?=    ))+", part + "\n", re.MULTILINE):
                yield textwrap.dedent(lines).strip("\n")


BLOCKS = [block for page in PAGES for block in blocks(page.read_text(encoding="utf-8"))]


def block(first: str) -> str:
    """The block of code that begins with these words, or from the line on that does."""
    return next(
        b[b.index(first) :] for b in BLOCKS if re.search(f"^{re.escape(first)}", b, re.MULTILINE)
    )


def commands() -> list[list[str]]:
    """Every command that is shown, in words; "..." and comments are left out."""
    lines = "\n".join(BLOCKS).replace("\\\n", " ").splitlines()
    shown = (re.sub(r"\s#.*", "", line).replace("...", "") for line in lines)
    return [shlex.split(line) for line in shown if re.match(r"(?:\w+=\S+ )*(python|bash) ", line)]


MAIN = [words[2:] for words in commands() if words[:2] == ["python", "main.py"]]


def test_commands_are_found():
    assert len(MAIN) >= 3
    assert any("--joint_encoding" in argv for argv in MAIN)


@pytest.mark.parametrize("argv", MAIN, ids=" ".join)
def test_command_of_main_parses(argv):
    given = parse(argv, main.LISTS)
    assert Config(**{k: v for k, v in given.items() if k not in main.LISTS})


def test_scripts_that_are_named_exist():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"\b(?:python|bash) ((?:misc/)?\w+\.(?:py|sh))", text))
    assert {"main.py", "run_main_vos.sh", "misc/estimate.py"} <= named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_options_that_are_named_exist():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    sources = [ROOT / "main.py", ROOT / "config.py", *sorted((ROOT / "misc").glob("*.py"))]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    known = {*re.findall(r"--(\w+)", code), *main.LISTS, "help"}
    for field in Config.__dataclass_fields__.values():
        known |= {field.name, *field.metadata.get("alias", ())}
    assert set(re.findall(r"(?<![\w-])--(\w+)", text)) - known == set()


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The folder of the example, in which it is run."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_net.py").write_text(block("# my_net.py"))
    return tmp_path


def test_stages_of_the_adapter_are_those_shown(example, capsys):
    main.main(["--model", "my_net.py:build", "--list_stages"])
    shown = block("my_net.py:build (as built)").splitlines()
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        line.split() for line in shown
    ]


def test_adapter_is_measured(example, data, capsys):
    stages = "network.slow,network.fast,network#embedding"
    chosen = options(data, example, model="my_net.py:build", stg=stages, run_name="run")
    del chosen["checkpoint"], chosen["image_size"]
    main.main(as_argv(chosen))
    assert "BGR 0 to 255, mean 104 117 123, std 1 1 1" in capsys.readouterr().out
    rows = read_rows(example / "run" / "layerwise.csv")
    units = {row["stage"]: int(row["n_units"]) for row in rows}
    assert units == {"network#embedding": 24, "network.slow": 16, "network.fast": 8}
    # The embedding is that of both branches after their ReLU: nowhere below zero.
    (file,) = (example / "run" / "features").glob("*embedding*.npy")
    embedding = np.load(file)
    assert embedding.shape == (15, 24)
    assert embedding.min() >= 0 < embedding.max()

"""docs/reliability.md and docs/security.md: every promise has a test, and the test is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("reliability.md", "security.md")


def text(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


NAMED = [
    found for page in PAGES for found in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text(page))
]


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_named_tests_are_there(file, name):
    code = (ROOT / file).read_text(encoding="utf-8")
    assert not name or re.search(rf"^ *def {name}\(", code, re.M)


@pytest.mark.parametrize("page", PAGES)
def test_every_row_names_a_test(page):
    rows = [row for row in re.findall(r"^\| .*", text(page), re.M) if not row.endswith("| test |")]
    assert len(rows) > 10
    assert [row for row in rows if "`tests/" not in row.split("|")[-2]] == []

"""docs/security.md: the tests that it names are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMED = re.findall(
    r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs/security.md").read_text(encoding="utf-8")
)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_named_tests_are_there(file, name):
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not name or re.search(rf"^ *def {name}\(", text, re.M)


def test_every_row_names_a_test():
    rows = re.findall(r"^\| .*", (ROOT / "docs/security.md").read_text(encoding="utf-8"), re.M)
    assert len(rows) > 10
    assert [row for row in rows[1:] if "`tests/" not in row.split("|")[-2]] == []

"""Options as fields of a dataclass, and the parsers that no test of a command line covers."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import pytest

from common.options import (
    add_fields,
    as_text,
    boolean,
    colours,
    integer,
    names,
    option,
    positive_colours,
)


@dataclass(frozen=True)
class Table:
    """Options of every kind."""

    size: int = option(3, integer(1), "pixels", alias="crop")
    kind: str = option("a", str, "what", choices=("a", "b"))
    styles: tuple[str, ...] = option(("1", "2"), names, "ids")
    fuse: bool = option(True, boolean, "whether")
    place: str | None = option(None, str, "where")


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    add_fields(parser, Table)
    return parser


class TestFields:
    def test_what_is_not_given_is_left_to_the_table(self, parser):
        assert vars(parser.parse_args([])) == {}
        assert Table(**vars(parser.parse_args(["--fuse", "0"]))) == Table(fuse=False)

    def test_alias_is_another_spelling(self, parser):
        assert vars(parser.parse_args(["--crop", "5"])) == {"size": 5}
        assert vars(parser.parse_args(["--size", "5"])) == {"size": 5}

    def test_help_shows_defaults_as_they_would_be_given(self, parser):
        text = " ".join(parser.format_help().split())
        assert "pixels (default: 3)" in text
        assert "ids (default: 1,2)" in text
        assert "--kind {a,b}" in text
        assert "where (default" not in text

    @pytest.mark.parametrize(
        ("value", "text"), [((1, 2), "1,2"), (["a"], "a"), (0.5, "0.5"), (True, "True")]
    )
    def test_value_as_text(self, value, text):
        assert as_text(value) == text


class TestColours:
    @pytest.mark.parametrize(
        ("text", "expected"), [("0.45", (0.45,)), ("0.4, 0,-1", (0.4, 0.0, -1.0))]
    )
    def test_one_for_all_channels_or_three(self, text, expected):
        assert colours(text) == expected

    @pytest.mark.parametrize("text", ["", "0.4,0.5", "1,2,3,4", "grey", "0.4,,0.5"])
    def test_anything_else_is_refused(self, text):
        with pytest.raises(argparse.ArgumentTypeError, match="is not one number or three like"):
            colours(text)

    def test_standard_deviations_are_above_zero(self):
        assert positive_colours("0.2,0.3,0.4") == (0.2, 0.3, 0.4)
        for text in ("0", "0.2,-0.1,0.2", "0.2,0,0.2"):
            with pytest.raises(argparse.ArgumentTypeError, match="above 0"):
                positive_colours(text)

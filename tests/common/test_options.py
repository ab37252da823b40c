"""Options as fields of a dataclass, and the parsers that no test of a command line covers."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from common.options import (
    Parser,
    add_fields,
    as_text,
    boolean,
    colours,
    integer,
    names,
    option,
    positive_colours,
    size,
    thresholds,
)


@dataclass(frozen=True)
class Table:
    """Options of every kind."""

    width: int = option(3, integer(1), "pixels", alias=("crop", "side"), group="clips")
    kind: str = option("a", str, "what", choices=("alpha", "a"), group="network")
    styles: tuple[str, ...] = option(("1", "2"), names, "ids", group="clips", task="singing")
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

    @pytest.mark.parametrize("spelling", ["width", "crop", "side"])
    def test_aliases_are_other_spellings(self, parser, spelling):
        assert vars(parser.parse_args([f"--{spelling}", "5"])) == {"width": 5}

    def test_help_shows_defaults_as_they_would_be_given(self, parser):
        text = " ".join(parser.format_help().split())
        assert "pixels (default: 3)" in text
        assert "singing: ids (default: 1,2)" in text
        assert "--kind {alpha,a} what" in text
        assert "where (default" not in text

    def test_help_is_grouped_and_what_has_no_group_comes_first(self, parser):
        text = parser.format_help()
        marks = ("--place", "clips:", "--width", "--styles", "network:", "--kind")
        places = [text.rindex(mark) for mark in marks]
        assert places == sorted(places)

    def test_a_few_options_stand_without_headings(self):
        parser = argparse.ArgumentParser()
        add_fields(parser, Table, only=("width", "place"))
        assert "clips:" not in parser.format_help()
        assert vars(parser.parse_args(["--width", "1", "--place", "x"])) == {
            "width": 1,
            "place": "x",
        }

    def test_word_that_is_none_of_the_choices(self, parser, capsys):
        with pytest.raises(SystemExit):
            parser.parse_args(["--kind", "Alph"])
        words = "argument --kind: 'Alph' is not known. Did you mean 'alpha'? Available: alpha, a"
        assert words in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("value", "text"), [((1, 2), "1,2"), (["a"], "a"), (0.5, "0.5"), (True, "True")]
    )
    def test_value_as_text(self, value, text):
        assert as_text(value) == text


class TestParser:
    """Errors are one line, without the usage, and exit with code 2."""

    @pytest.fixture
    def error(self, capsys) -> Callable[..., str]:
        parser = Parser(prog="tool.py", allow_abbrev=False)
        add_fields(parser, Table)
        parser.add_argument("--needed", required=True)

        def run(*argv: str) -> str:
            with pytest.raises(SystemExit) as leave:
                parser.parse_args(argv)
            assert leave.value.code == 2
            out, err = capsys.readouterr()
            assert out == ""
            assert err.endswith(" tool.py --help lists the options\n")
            return err.removesuffix(" tool.py --help lists the options\n")

        return run

    def test_nearest_option_for_an_unknown_one(self, error):
        words = "error: unrecognized arguments: --widht 3. Did you mean 'width'?"
        assert error("--needed", "1", "--widht", "3") == words
        assert error("--needed", "1", "--styl", "3").endswith("Did you mean 'styles'?")
        assert error("--needed", "1", "--xyzzy") == "error: unrecognized arguments: --xyzzy."

    def test_other_errors(self, error):
        assert error() == "error: the following arguments are required: --needed."
        words = "error: argument --width/--crop/--side: 0 is below 1."
        assert error("--needed", "1", "--width", "0") == words


class TestSize:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("256", (256, 256)),
            ("480,854", (480, 854)),
            ("480x854", (480, 854)),
            ("480, 854", (480, 854)),
        ],
    )
    def test_one_side_or_height_and_width(self, text, expected):
        assert size(text) == expected

    @pytest.mark.parametrize("text", ["", "0", "480,0", "-1", "1.5", "480,", "1,2,3", "480*854"])
    def test_anything_else_is_refused(self, text):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a size like 256 or 480,854"):
            size(text)


class TestThresholds:
    def test_distinct_ones_in_their_order(self):
        assert thresholds("0.7,0.3,0.7") == (0.7, 0.3)

    @pytest.mark.parametrize("text", ["1", "-1.1", "nan", "0.5,2"])
    def test_out_of_range(self, text):
        with pytest.raises(argparse.ArgumentTypeError, match=r"thresholds lie in \[-1, 1\)"):
            thresholds(text)


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

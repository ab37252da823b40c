"""`--resume` without a folder: which run it finishes, and what is said where that is unclear."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import main
from common.process import run_script
from config import Config
from measure.prepare import prepare
from tests import helpers_runs
from tests.helpers_processes import forked, killed_at_call, needs_fork
from tests.helpers_runs import Writes, as_argv, computed, contents, options
from utils import UserError

data, no_network = helpers_runs.videos, helpers_runs.no_network
without_figures = helpers_runs.without_figures
USUAL = "demo_motion_plain_seed1"


def chosen(data: Path, save_dir: Path, **more) -> dict:
    return {**options(data, save_dir), "stg": "4,5", "batch_size": 4, "way": "plain", **more}


@pytest.fixture
def begun(data, tmp_path):
    """A function that begins a run of some options, and is interrupted; gives its folder."""

    def begin(**more) -> Path:
        config = Config(**chosen(data, tmp_path, **more))
        with pytest.MonkeyPatch.context() as patch:
            Writes(patch, interrupt_after=1)
            with pytest.raises(KeyboardInterrupt) as stop:
                main.measure(config)
        return Path(re.search(r"--resume (\S+)", "".join(stop.value.__notes__))[1])

    return begin


@pytest.fixture
def resume(data, tmp_path, monkeypatch):
    """A function that resumes with some options; gives the sizes of the batches computed."""

    def run(*argv: str, **more) -> list[int]:
        writes = Writes(monkeypatch)
        assert main.main([*as_argv(chosen(data, tmp_path, **more)), "--resume", *argv]) == 0
        return writes.sizes

    return run


def test_finishes_the_run_that_the_same_command_would(begun, resume, data, tmp_path, capsys):
    folder = begun()
    assert folder == tmp_path / USUAL
    assert resume() == [4, 4, 4, 4]
    assert f"resuming {folder}\n" in capsys.readouterr().out
    whole = main.measure(Config(**chosen(data, tmp_path, run_name="whole"))).folder
    for name in ("plan.csv", "estimates.csv", "units.csv"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize(
    "more",
    [{"n_examples": 4}, {"pairing": "crossed", "parts": False}, {"run_name": "mine"}],
    ids=str,
)
def test_options_of_the_plan_may_be_given_again(begun, resume, more):
    folder = begun(**more)
    assert folder.name == more.get("run_name", USUAL)
    resume(**more)
    assert (folder / "estimates.csv").exists()


def test_one_that_is_the_only_one_needs_no_options(begun, tmp_path, monkeypatch):
    folder = begun(random_seed=5)
    monkeypatch.chdir(tmp_path)
    main.main(["--resume", "--save_dir", "."])
    assert (folder / "estimates.csv").exists()


def test_of_several_the_one_of_just_these_options(begun, resume, tmp_path):
    other, own = begun(n_examples=4), begun()
    assert (other.name, own.name) == (USUAL, f"{USUAL}-2")
    assert resume() == [4, 4, 4, 4]
    assert (own / "estimates.csv").exists()
    assert not (other / "estimates.csv").exists()


def test_others_may_be_given_that_change_no_number(begun, resume):
    begun()
    assert sum(resume("--batch_size", "16")) == 16


def test_several_are_listed(begun, tmp_path):
    names = [begun(random_seed=seed).name for seed in (1, 2, 3)]
    words = "3 unfinished runs of these options in .*, of these:" + "".join(
        f"\n  .*{name}: unfinished" for name in names
    )
    with pytest.raises(UserError, match=f"`resume`: {words}\nGive `resume` the folder of a run$"):
        main.main(["--resume", "--save_dir", str(tmp_path), "--dataset", "plain"])


def test_none_is_told_with_what_is_there(begun, resume, tmp_path):
    begun(n_examples=4)
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "config.json").write_text("{}")
    before = contents(tmp_path)
    words = (
        "no unfinished run of these options in .*, of these:"
        f"\n  .*{USUAL}: unfinished, with other values of `stg`, `random_seed`"
        "\n  .*older: unfinished, its record is not of this version"
        "\n.* or start one without `resume`"
    )
    with pytest.raises(UserError, match=words):
        resume(stg="5", random_seed=7)
    with pytest.raises(UserError, match=r"no unfinished run .*, where no run is\nStart one"):
        resume("--save_dir", str(tmp_path / "nowhere"))
    assert contents(tmp_path) == before


def test_a_finished_run_has_nothing_left(resume, data, tmp_path, capsys, request):
    argv = as_argv(chosen(data, tmp_path))
    main.main(argv)
    request.getfixturevalue("no_network")
    with pytest.raises(UserError, match=rf"no unfinished run .*\n  .*{USUAL}: finished\n"):
        resume()
    capsys.readouterr()
    main.main(argv)
    words = "nothing left to compute: the features of all 20 clips are there\n"
    assert words in capsys.readouterr().out


def test_older_runs_are_finished_if_their_tables_are_there(data, tmp_path, resume):
    folder, _ = computed(prepare(Config(**chosen(data, tmp_path))))
    assert resume() == []  # what was left are the tables
    record = (folder / "config.json").read_text()
    (folder / "config.json").write_text(
        re.sub(r',\s*"results": \{.*?\}\n\}', "}", record, flags=re.S)
    )
    assert '"results"' not in (folder / "config.json").read_text()
    with pytest.raises(UserError, match=f"{USUAL}: finished"):
        resume()


@needs_fork
def test_runs_killed_anywhere(data, tmp_path):
    """Resumed, they end as the same command does; killed before they began, or after their end,
    that is said."""
    argv = as_argv(chosen(data, tmp_path / "0", n_examples=4))

    def start(place: Path, *more: str) -> int:
        return run_script(lambda: main.main([*argv, "--save_dir", str(place), *more]))

    traced = forked(killed_at_call(lambda: start(tmp_path / "0"), None), tmp_path)
    calls = int(traced.out.split()[-1])
    codes = set()
    for number in range(1, 8):
        place = tmp_path / str(number)
        forked(killed_at_call(lambda p=place: start(p), calls * number // 8), tmp_path)
        began = (place / USUAL).exists()
        code = forked(lambda p=place: start(p, "--resume"), tmp_path).code
        assert code == (0 if began else 2)
        codes.add(code)
        assert (
            not began
            or (place / USUAL / "estimates.csv").read_bytes()
            == (tmp_path / "0" / USUAL / "estimates.csv").read_bytes()
        )
    assert codes == {0, 2}

"""Which process of a team this one is, as its environment says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from measure.ranks.joining import Place, joined
from measure.ranks.team import Team
from tests.helpers_ranks import environment, free_port
from utils import UserError


@pytest.mark.parametrize(
    "environ", [{}, {"WORLD_SIZE": "1", "RANK": "0"}, {"RANK": "3", "LOCAL_RANK": "1"}]
)
def test_alone(environ):
    with joined(environ) as team:
        assert (team.rank, team.size, team.leads) == (0, 1, True)


def test_place():
    environ = {**environment(3, 8, 1234), "LOCAL_WORLD_SIZE": "4"}
    assert Place.of(environ) == Place(3, 8, 4, "127.0.0.1", 1234, hosts_store=False)
    first = {**environ, "RANK": "0"}
    assert Place.of(first).hosts_store
    assert not Place.of({**first, "TORCHELASTIC_USE_AGENT_STORE": "True"}).hosts_store


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("RANK", None, "RANK is not set"),
        ("RANK", "8", "RANK is 8"),
        ("RANK", "x", "RANK is x"),
        ("WORLD_SIZE", "many", "WORLD_SIZE is many"),
        ("MASTER_ADDR", None, "MASTER_ADDR is not set"),
        ("MASTER_PORT", None, "MASTER_PORT is not set"),
        ("MASTER_PORT", "99999", "MASTER_PORT is 99999"),
    ],
)
def test_incomplete_environment_is_refused(name, value, words):
    environ = {**environment(3, 8, 1234), name: value}
    environ = {key: text for key, text in environ.items() if text is not None}
    with pytest.raises(UserError, match=rf"{words}: start them with torchrun, or as docs/cluster"):
        Place.of(environ)


@pytest.mark.parametrize(
    ("rank", "words"),
    [(0, "1 of 2 processes did not come .* rank 1"), (1, "nothing answers at 127.0.0.1, port ")],
)
def test_others_that_do_not_come(monkeypatch, rank, words):
    monkeypatch.setattr("measure.ranks.joining.PATIENCE", 0.2)
    with pytest.raises(UserError, match=words), joined(environment(rank, 2, free_port())):
        pass


def test_alone_nothing_of_pytorch_is_imported():
    code = (
        "import sys; from measure.ranks.joining import joined\n"
        "with joined({}): assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


class TestTeamOfOne:
    def test_takes_all(self):
        assert list(Team().next_run().take("abc")) == ["a", "b", "c"]

    def test_runs_do_not_see_each_other(self):
        team = Team()
        first, second = team.next_run(), team.next_run()
        assert list(first.take("ab")) == list(second.take("ab")) == ["a", "b"]

    def test_lists(self):
        team = Team().next_run()
        team.post("found", 1)
        team.post("found", [2, "b"])
        assert team.posted("found") == [1, [2, "b"]]
        assert team.posted("found", 1) == [[2, "b"]]
        assert team.posted("nothing") == []

"""A file over HTTP, with every way in which that goes wrong, from a server on this machine."""

import contextlib
import resource
import shutil
import socket
from collections import namedtuple

import numpy as np
import pytest

from models import transfer
from models.download import fetch
from tests.helpers_server import Site, serve
from utils import UserError

DATA = np.random.default_rng(5).bytes(300_000)
OTHER = np.random.default_rng(6).bytes(300_000)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def site():
    with serve(Site(DATA)) as served:
        yield served


def get(site, folder, waits=(0, 0), **options):
    return fetch(f"{site.address}/net.pkl", folder, waits=waits, **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


WHOLE = ["net.pkl", "net.pkl.lock", "net.pkl.sha256"]


def test_whole_file_arrives_and_nothing_else_stays(site, tmp_path):
    path = get(site, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "net.pkl"
    assert path.read_bytes() == DATA
    assert names(path.parent) == WHOLE
    assert site.ranges_asked() == [None]


def test_rest_is_asked_for_after_each_cut(site, tmp_path, capsys):
    site.cuts = [100_000, 50_000, 1]
    assert get(site, tmp_path, waits=(0,)).read_bytes() == DATA
    assert site.asked[1:] == [
        ("/net.pkl", "bytes=100000-", '"one"'),
        ("/net.pkl", "bytes=150000-", '"one"'),
        ("/net.pkl", "bytes=150001-", '"one"'),
    ]
    assert names(tmp_path) == WHOLE
    assert "net.pkl: 100,000 of 300,000 bytes have arrived" in capsys.readouterr().err


def test_later_call_continues_what_an_earlier_one_left(site, tmp_path):
    site.cuts = [70_000]
    with pytest.raises(UserError, match=r"70,000 of 300,000 bytes .* start again to continue"):
        get(site, tmp_path, waits=())
    assert (tmp_path / "net.pkl.part").read_bytes() == DATA[:70_000]
    assert not (tmp_path / "net.pkl").exists()
    assert get(site, tmp_path).read_bytes() == DATA
    assert site.ranges_asked() == [None, "bytes=70000-"]


def test_part_that_became_whole_just_before_the_end_needs_no_request(site, tmp_path):
    site.cuts = [70_000]
    with pytest.raises(UserError):
        get(site, tmp_path, waits=())
    (tmp_path / "net.pkl.part").write_bytes(DATA)
    assert get(site, tmp_path).read_bytes() == DATA
    assert len(site.asked) == 1


@pytest.mark.parametrize("tag", [None, 'W/"weak"'], ids=["no tag", "weak tag"])
def test_date_stands_in_for_a_strong_tag(tag, tmp_path):
    date = "Tue, 01 Mar 2022 10:00:00 GMT"
    with serve(Site(DATA, tag=tag, modified=date, cuts=[9])) as site:
        assert get(site, tmp_path).read_bytes() == DATA
    assert site.asked[1] == ("/net.pkl", "bytes=9-", date)


def test_address_that_moved_is_followed_with_the_range(site, tmp_path):
    site.cuts = [70_000]
    path = fetch(f"{site.address}/moved/net.pkl", tmp_path, waits=(0,))
    assert path.read_bytes() == DATA
    assert site.asked[-1] == ("/net.pkl", "bytes=70000-", '"one"')


# ---- Servers that do not continue, or not the same file.


def test_server_without_ranges_begins_again(tmp_path):
    with serve(Site(DATA, ranges="ignored", cuts=[100_000])) as site:
        assert get(site, tmp_path).read_bytes() == DATA
    assert site.ranges_asked() == [None, "bytes=100000-"]


@pytest.mark.parametrize(
    ("ranges", "tag", "data", "requests"),
    [
        ("honest", '"two"', OTHER, 2),
        ("blind", '"two"', OTHER, 3),
        ("blind", None, OTHER[:200_000], 3),
        ("blind", None, OTHER[:40_000], 3),
    ],
    ids=["If-Range tells", "tag of the rest tells", "size tells", "nothing there (416)"],
)
def test_file_that_changed_meanwhile_is_fetched_whole(ranges, tag, data, requests, tmp_path):
    with serve(Site(DATA, tag=tag and '"one"', ranges=ranges, cuts=[70_000])) as site:
        with pytest.raises(UserError, match="70,000 of 300,000"):
            get(site, tmp_path, waits=())
        site.tag, site.data = tag, data
        assert get(site, tmp_path, waits=()).read_bytes() == data
    assert len(site.asked) == requests


@pytest.mark.parametrize(
    "record", [None, "{", "[1]", '{"url": 3, "total": "9"}'], ids=["none", "torn", "list", "types"]
)
def test_part_without_a_sound_record_is_not_trusted(record, site, tmp_path):
    (tmp_path / "net.pkl.part").write_bytes(OTHER[:70_000])
    if record:
        (tmp_path / "net.pkl.part.json").write_text(record)
    assert get(site, tmp_path).read_bytes() == DATA
    assert site.ranges_asked() == [None]


def test_part_of_another_address_is_not_continued(site, tmp_path):
    site.cuts = [70_000]
    with pytest.raises(UserError):
        fetch(f"{site.address}/old/net.pkl", tmp_path, waits=())
    assert get(site, tmp_path).read_bytes() == DATA
    assert site.ranges_asked() == [None, None]


# ---- Sizes.


def test_file_that_never_comes_whole_is_given_up(tmp_path):
    with (
        serve(Site(DATA, announced=300_001, ranges="ignored")) as site,
        pytest.raises(UserError, match="300,000 of 300,001 bytes have arrived") as caught,
    ):
        get(site, tmp_path)
    assert len(site.asked) == 3
    assert f"kept in {tmp_path / 'net.pkl.part'}" in str(caught.value)
    assert f"Or download {site.address}/net.pkl by hand" in str(caught.value)
    assert not (tmp_path / "net.pkl").exists()


def test_chunks_need_no_size_and_begin_again_when_cut(tmp_path):
    with serve(Site(DATA, chunked=True, cuts=[100_000])) as site:
        assert get(site, tmp_path).read_bytes() == DATA
    assert site.ranges_asked() == [None, None]


@pytest.mark.parametrize(
    "site",
    [Site(DATA, announced=-1), Site(b""), Site(DATA, headers={"Content-Encoding": "gzip"})],
    ids=["no size", "empty", "compressed"],
)
def test_answer_whose_end_cannot_be_told_is_refused(site, tmp_path):
    with serve(site), pytest.raises(UserError, match=r"gives no file of known size .*by hand"):
        get(site, tmp_path)
    assert names(tmp_path) == ["net.pkl.lock"]


# ---- Answers that are no file.


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("text/html; charset=utf-8", b"Sign in"),
        ("application/octet-stream", b"\n <!-- x --><!DOCTYPE html><title>Too large to scan"),
        ("application/octet-stream", b"<html><body>Quota exceeded"),
    ],
    ids=["by its type", "by its first words", "by its first tag"],
)
def test_web_page_is_refused(kind, data, tmp_path):
    with (
        serve(Site(data, kind=kind)) as site,
        pytest.raises(UserError, match=r"gives a web page, not a file.*`checkpoint`"),
    ):
        get(site, tmp_path)
    assert names(tmp_path) == ["net.pkl.lock"]
    assert len(site.asked) == 1


def test_web_page_leaves_the_part_as_it_is(site, tmp_path):
    site.cuts = [70_000]
    with pytest.raises(UserError):
        get(site, tmp_path, waits=())
    site.data, site.kind, site.tag = b"Sign in", "text/html", None
    with pytest.raises(UserError, match="web page"):
        get(site, tmp_path)
    site.data, site.kind, site.tag = DATA, "application/octet-stream", '"one"'
    assert get(site, tmp_path).read_bytes() == DATA
    assert site.ranges_asked()[-1] == "bytes=70000-"


@pytest.mark.parametrize("status", [403, 404, 410, 416])
def test_refusal_of_the_server_is_told_at_once(status, site, tmp_path):
    site.errors = [status]
    with pytest.raises(UserError, match=f"gives no file: the server answers {status}.*by hand"):
        get(site, tmp_path)
    assert len(site.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_troubles_of_the_server_may_pass(status, site, tmp_path, capsys):
    site.errors = [status]
    assert get(site, tmp_path).read_bytes() == DATA
    assert f"the server answers {status}" in capsys.readouterr().err


def test_no_connection(tmp_path, capsys):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    with pytest.raises(UserError, match=r"no answer: .*refused.*connection\. Or download http"):
        fetch(f"http://127.0.0.1:{port}/net.pkl", tmp_path, waits=(0, 0.01))
    told = capsys.readouterr().err.splitlines()
    assert [line.rsplit(";", 1)[1] for line in told] == [
        " trying again in 0 s",
        " trying again in 0.01 s",
    ]


def test_silent_server_is_not_waited_for_longer_than_asked(tmp_path):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/net.pkl"
        with pytest.raises(UserError, match="timed out"):
            fetch(url, tmp_path, timeout=0.1, waits=())


# ---- The disk and the screen.


def test_file_larger_than_the_free_space_is_refused_before_it_is_read(site, tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(299_999))
    with pytest.raises(UserError, match=r"299,999 bytes free .* needs 300,000 more"):
        get(site, tmp_path)
    assert not (tmp_path / "net.pkl.part").exists()


def test_disk_that_takes_no_more_is_told_and_what_came_is_used_later(site, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(UserError, match="cannot be written or read: File too large"):
            get(site, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "net.pkl.part").read_bytes() == DATA[:100_000]
    assert get(site, tmp_path).read_bytes() == DATA
    assert site.ranges_asked() == [None, "bytes=100000-"]


@pytest.mark.parametrize("terminal", [True, False])
def test_bar_is_shown_on_a_terminal_alone(terminal, site, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(transfer.sys.stderr, "isatty", lambda: terminal)
    get(site, tmp_path)
    shown = capsys.readouterr().err
    assert ("net.pkl" in shown and "300k" in shown and "B/s" in shown) if terminal else not shown

"""Published weights: whole, the same every time, and what is said when they do not come."""

import contextlib
import gzip
import hashlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from common.tasks import SEGMENTATION
from models import download
from models.catalogue import find, networks
from models.download import default_folder, fetch, published_file
from models.network import Weights
from tests.helpers_server import Site, serve
from utils import UserError

ROOT = Path(__file__).parents[2]
DATA = bytes(range(256)) * 1000
SUM = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def site():
    with serve(Site(DATA)) as served:
        yield served


def get(site, folder):
    return fetch(f"{site.address}/net.pkl", folder)


def refusal(site, folder):
    """The message with which a file is refused, after which nothing is there."""
    with pytest.raises(UserError) as caught:
        get(site, folder)
    assert list(folder.iterdir()) == []
    message = str(caught.value)
    assert f"Or download {site.address}/net.pkl by hand and give the file's path" in message
    assert "`checkpoint`" in message
    return message


# ---- The same file every time.


def test_whole_file_arrives_and_only_its_sum_stays_beside_it(site, tmp_path):
    folder = tmp_path / "new" / "folder"
    path = get(site, folder)
    assert path == folder / "net.pkl"
    assert path.read_bytes() == DATA
    assert sorted(file.name for file in folder.iterdir()) == ["net.pkl", "net.pkl.sha256"]
    assert (folder / "net.pkl.sha256").read_text() == f"{SUM}  net.pkl\n"
    assert path.stat().st_mode == (folder / "net.pkl.sha256").stat().st_mode
    assert get(site, folder) == path
    assert site.asked == ["/net.pkl"]


@pytest.mark.parametrize("chunked", [True, False])
def test_address_that_moved_is_followed(chunked, site, tmp_path):
    site.chunked = chunked
    assert fetch(f"{site.address}/moved/net.pkl", tmp_path).read_bytes() == DATA
    assert site.asked == ["/moved/net.pkl", "/net.pkl"]


def test_file_put_there_by_hand_is_used_and_recorded(site, tmp_path):
    (tmp_path / "net.pkl").write_bytes(DATA)
    assert get(site, tmp_path).read_bytes() == DATA
    assert (tmp_path / "net.pkl.sha256").read_text() == f"{SUM}  net.pkl\n"
    assert site.asked == []


def test_file_that_changed_on_disk_is_refused_until_it_is_deleted(site, tmp_path):
    path = get(site, tmp_path)
    damaged = DATA[:-1] + b"x"
    path.write_bytes(damaged)
    with pytest.raises(UserError) as caught:
        get(site, tmp_path)
    words = [str(path), SUM, hashlib.sha256(damaged).hexdigest(), "Delete net.pkl to fetch it"]
    assert [word for word in words if word not in str(caught.value)] == []
    assert path.read_bytes() == damaged
    path.unlink()
    assert get(site, tmp_path).read_bytes() == DATA


def test_other_file_under_the_same_address_is_refused_until_its_sum_is_deleted(site, tmp_path):
    path = get(site, tmp_path)
    path.unlink()
    site.data = DATA[::-1]
    with pytest.raises(UserError, match=r"differs from the first .*net\.pkl\.sha256 if the change"):
        get(site, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["net.pkl.sha256"]
    (tmp_path / "net.pkl.sha256").unlink()
    assert get(site, tmp_path).read_bytes() == DATA[::-1]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("name", ["net.pkl", "net.pkl.sha256"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_in_the_place_of_one_is_refused(kind, name, site, tmp_path):
    (tmp_path / "net.pkl").write_bytes(DATA)
    (tmp_path / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(tmp_path / name)
    elif kind == "device":
        (tmp_path / name).symlink_to("/dev/zero")
    else:
        (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=r"is a (pipe or a device|folder), expected a file"):
        get(site, tmp_path)
    assert site.asked == []


def test_link_that_leads_nowhere_is_replaced_and_not_followed(site, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "net.pkl").symlink_to(tmp_path / "elsewhere")
    assert get(site, tmp_path / "weights").read_bytes() == DATA
    assert not (tmp_path / "elsewhere").exists()


def test_two_at_once_both_get_the_file(site, tmp_path):
    site.halfway = threading.Barrier(2, timeout=10).wait
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: get(site, tmp_path), range(2)))
    assert [path.read_bytes() == DATA for path in paths] == [True, True]
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_killed_process_leaves_is_not_taken_for_the_file(site, tmp_path):
    code = (
        "import sys; from pathlib import Path; from models.download import fetch; "
        "fetch(sys.argv[1], Path(sys.argv[2]))"
    )
    begun, killed = threading.Event(), threading.Event()
    site.halfway = lambda: (begun.set(), killed.wait(10))
    argv = [sys.executable, "-c", code, f"{site.address}/net.pkl", str(tmp_path)]
    with subprocess.Popen(argv, cwd=ROOT) as process:
        assert begun.wait(20)
        deadline = time.monotonic() + 10
        while not any(file.stat().st_size for file in tmp_path.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
    killed.set()
    assert not (tmp_path / "net.pkl").exists()
    assert get(site, tmp_path).read_bytes() == DATA


# ---- Answers that are no file, or no whole one.

PAGE = "it is a web page"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Site(DATA, cut=100_000), ""),
        (Site(DATA, cut=100_000, chunked=True), ""),
        (Site(DATA, headers={"Content-Length": None}), "256000 bytes came, announced: unknown"),
        (Site(gzip.compress(DATA), headers={"Content-Encoding": "gzip"}), "256000 bytes came, ann"),
        (Site(DATA, status=206), r"256000 bytes came, announced: 256000 \(status 206\)"),
        (Site(b""), "0 bytes came"),
        (Site(b"<html>Sorry", status=404, kind="text/html"), "404 Client Error: Not Found"),
        (Site(b"Sign in", kind="text/html; charset=utf-8"), PAGE),
        (Site(b"\n <!-- x --><!DOCTYPE html><title>Too large to scan"), PAGE),
        (Site(b"<html><body>Quota exceeded"), PAGE),
    ],
    ids=[
        *("cut", "cut chunks", "no size", "compressed", "a part", "empty", "no such file"),
        *("page by its type", "page by its first words", "page by its first tag"),
    ],
)
def test_answer_that_is_no_file_is_refused(answer, reason, tmp_path):
    with serve(answer) as site:
        assert re.search(f"did not return a file: {reason}", refusal(site, tmp_path))
    assert len(site.asked) == 1


def test_no_connection(tmp_path):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        site = Site(b"", address=f"http://127.0.0.1:{free.getsockname()[1]}")
    assert re.search(r"did not return a file: [^<>]*refused\. Start again", refusal(site, tmp_path))


def test_server_that_falls_silent_is_not_waited_for_longer(site, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    end = threading.Event()
    site.halfway = lambda: end.wait(10)
    assert "timed out" in refusal(site, tmp_path)
    end.set()


# ---- Names, folders and the screen.


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("http://127.0.0.1:9/a/..%2F..%2Fescape", None),
        ("http://127.0.0.1:9/a/..%5Cescape", None),
        ("http://127.0.0.1:9/a/.hidden", None),
        ("http://127.0.0.1:9/a/", None),
        ("http://127.0.0.1:9/a/b", "../escape"),
        (f"file://{__file__}", None),
    ],
)
def test_name_that_leads_elsewhere_is_refused(url, file, tmp_path):
    with pytest.raises(UserError, match=r"not the http\(s\) address of a file with a plain name"):
        fetch(url, tmp_path / "folder", file=file)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made_is_told_before_any_request(site, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written.*`weights_dir`.*by hand"):
        get(site, tmp_path / "file" / "folder")
    assert site.asked == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep caches elsewhere")
@pytest.mark.parametrize(
    ("caches", "expected"),
    [("/caches", "/caches/static-dynamic"), ("", "/home/me/.cache/static-dynamic")],
)
def test_default_folder(caches, expected, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", caches)
    assert default_folder() == Path(expected)


@pytest.mark.skipif(sys.platform == "win32", reason="homes are found otherwise")
def test_user_without_a_home_is_told_to_name_a_folder(monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # nobody has an entry
    with pytest.raises(
        UserError, match="no home folder is known: give a folder with `weights_dir`"
    ):
        default_folder()


@pytest.mark.parametrize("terminal", [True, False])
def test_bar_is_shown_on_a_terminal_alone(terminal, site, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(download.sys.stderr, "isatty", lambda: terminal)
    get(site, tmp_path)
    shown = capsys.readouterr().err
    assert ("net.pkl: 100%" in shown and "256k/256k" in shown) if terminal else not shown


# ---- The networks.


def test_published_file_of_a_network(site, tmp_path):
    weights = Weights("page", f"{site.address}/download?id=7&confirm=t", file="net.pyth")
    network = replace(find("i3d"), weights=weights)
    assert published_file(network, tmp_path) == tmp_path / "net.pyth"
    assert (tmp_path / "net.pyth").read_bytes() == DATA
    assert site.asked == ["/download?id=7&confirm=t"]


def test_network_without_an_address_gets_the_advice(tmp_path):
    with pytest.raises(UserError, match=r"'fast_ssv2' is known\. No weights of the fast pathway"):
        published_file(find("fast", "ssv2"), tmp_path)


def test_addresses_are_secure_and_no_two_files_share_a_name():
    names = {}
    for network in networks().values():
        if (url := network.weights.url) is not None:
            assert url.startswith("https://")
            name = network.weights.file or url.rsplit("/", 1)[-1]
            assert names.setdefault(name, url) == url
            assert Path(name).suffix in (".pkl", ".pyth")
            assert f"download {name} from {url}" in network.weights.advice()
    without = {network.name for network in networks().values() if not network.weights.url}
    # The weights of segmentation networks are in one archive.
    segmentation = {n.name for n in networks().values() if n.task == SEGMENTATION}
    other = {"fast", "fast_ssv2", "fast_diving48", "demo_motion", "demo_appearance"}
    assert without == other | segmentation


def test_nothing_heavy_is_loaded_before_a_download():
    heavy = {"torch", "pooch", "requests", "models.network"}
    code = f"import sys, models.download; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0

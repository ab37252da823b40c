"""The folder of published weights: whose addresses, which names, and the same file every time."""

import hashlib
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from models.download import default_folder, fetch, published_file
from models.network import Weights, find, networks
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
    return fetch(f"{site.address}/net.pkl", folder, waits=())


# ---- The same file every time.


def test_file_that_is_there_is_not_asked_for_again(site, tmp_path):
    assert get(site, tmp_path) == get(site, tmp_path)
    assert len(site.asked) == 1


def test_sum_is_recorded_as_other_tools_read_it(site, tmp_path):
    get(site, tmp_path)
    assert (tmp_path / "net.pkl.sha256").read_text() == f"{SUM}  net.pkl\n"


def test_file_put_there_by_hand_is_used_and_recorded(site, tmp_path):
    (tmp_path / "net.pkl").write_bytes(b"by hand")
    assert get(site, tmp_path).read_bytes() == b"by hand"
    assert site.asked == []
    (tmp_path / "net.pkl").write_bytes(b"changed")
    with pytest.raises(UserError, match="is not what came first"):
        get(site, tmp_path)


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
    with pytest.raises(UserError, match=r"not what came first.*net\.pkl\.sha256 if the change"):
        get(site, tmp_path)
    assert not path.exists()
    (tmp_path / "net.pkl.sha256").unlink()
    assert get(site, tmp_path).read_bytes() == DATA[::-1]
    assert len(site.asked) == 2


# ---- Several processes.


def test_two_at_once_make_one_request(tmp_path, capsys):
    answer = threading.Event()
    with serve(Site(DATA, go_on=answer)) as site, ThreadPoolExecutor(2) as pool:
        site.cuts = [None]
        both = [pool.submit(get, site, tmp_path) for _ in range(2)]
        told = ""
        deadline = time.monotonic() + 5
        while "another process is fetching" not in told and time.monotonic() < deadline:
            told += capsys.readouterr().err
            time.sleep(0.01)
        answer.set()
        paths = [job.result() for job in both]
    assert "net.pkl: waiting for it" in told
    assert [path.read_bytes() == DATA for path in paths] == [True, True]
    assert len(site.asked) == 1


def test_killed_process_leaves_a_part_and_no_lock(tmp_path):
    code = (
        "import sys; from pathlib import Path; from models.download import fetch; "
        "fetch(sys.argv[1], Path(sys.argv[2]))"
    )
    release = threading.Event()
    with serve(Site(DATA, cuts=[100_000], go_on=release)) as site:
        url, part = f"{site.address}/net.pkl", tmp_path / "net.pkl.part"
        process = subprocess.Popen([sys.executable, "-c", code, url, str(tmp_path)], cwd=ROOT)
        deadline = time.monotonic() + 20
        # What a killed process had not yet handed to the system is lost: any length will do.
        while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        size = part.stat().st_size
        release.set()
        assert get(site, tmp_path).read_bytes() == DATA
    assert 0 < size <= 100_000
    assert [wanted for _, wanted, _ in site.asked] == [None, f"bytes={size}-"]


# ---- Names and folders.


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("/a/..%2F..%2Fescape", None),
        ("/a/..%5Cescape", None),
        ("/a/.hidden", None),
        ("/a/", None),
        ("/a/b", "../escape"),
        ("/a/b", "c/escape"),
        ("/a/b", ".."),
    ],
)
def test_name_that_leads_elsewhere_is_refused(path, file, tmp_path):
    with pytest.raises(UserError, match="plain name"):
        fetch(f"http://127.0.0.1:9{path}", tmp_path / "folder", file=file, waits=())
    assert list(tmp_path.iterdir()) == []


def test_address_of_another_kind_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"not the http\(s\) address"):
        fetch(f"file://{__file__}", tmp_path)


def test_given_name_goes_before_that_of_the_address(site, tmp_path):
    path = fetch(f"{site.address}/download?id=7&confirm=t", tmp_path, file="net.pyth")
    assert path == tmp_path / "net.pyth"
    assert site.asked[0][0] == "/download?id=7&confirm=t"


def test_folder_that_cannot_be_made_is_told_before_any_request(site, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written.*`weights_dir`.*by hand"):
        get(site, tmp_path / "file" / "folder")
    assert site.asked == []


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/caches"}, "/caches/static-dynamic"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/static-dynamic"),
        ("linux", {}, "/home/me/.cache/static-dynamic"),
        ("freebsd14", {}, "/home/me/.cache/static-dynamic"),
        ("darwin", {"XDG_CACHE_HOME": "/caches"}, "/home/me/Library/Caches/static-dynamic"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/static-dynamic"),
        ("win32", {}, "/home/me/AppData/Local/static-dynamic"),
    ],
)
def test_default_folder(platform, variables, expected, monkeypatch):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert default_folder() == Path(expected)


# ---- The networks.


def test_published_file_of_a_network(site, tmp_path):
    weights = Weights("page", f"{site.address}/download?id=7", file="net.pyth")
    network = replace(find("i3d"), weights=weights)
    assert published_file(network, tmp_path) == tmp_path / "net.pyth"
    assert (tmp_path / "net.pyth").read_bytes() == DATA


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
    without = {name for name, network in networks().items() if not network.weights.url}
    assert without == {"fast", "fast_ssv2", "fast_diving48", "demo_motion", "demo_appearance"}


def test_torch_is_not_loaded_to_download():
    code = "import sys, models.download; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0

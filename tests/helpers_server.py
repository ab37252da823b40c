"""A small web server on this machine whose answers, and failures, a test chooses."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What the server gives under every address, and what it was asked.

    cuts: after how many bytes the next answers end, None for never; then they are whole.
    errors: status codes of the next answers, before any file.
    ranges: "honest", "ignored", or "blind" to If-Range.
    go_on: what an answer waits for after its cut, before the connection is closed.
    """

    data: bytes
    tag: str | None = '"one"'
    modified: str | None = None
    ranges: str = "honest"
    kind: str = "application/octet-stream"
    announced: int | None = None
    chunked: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    cuts: list[int | None] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)
    go_on: threading.Event | None = None
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    address: str = ""

    def ranges_asked(self) -> list[str | None]:
        return [wanted for _, wanted, _ in self.asked]


@contextlib.contextmanager
def serve(site: Site) -> Iterator[Site]:
    """The site, reachable at its `address`."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.site = site
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    site: Site
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        """A client that leaves is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        """Say nothing."""

    def do_GET(self):
        site = self.server.site
        wanted, unless = self.headers["Range"], self.headers["If-Range"]
        site.asked.append((self.path, wanted, unless))
        self.close_connection = True
        if self.path.startswith("/moved/"):
            return self.head(
                302, {"Location": self.path.removeprefix("/moved"), "Content-Length": 0}
            )
        if site.errors:
            return self.head(site.errors.pop(0), {"Content-Length": 0})
        start, total = int(wanted[6:-1]) if wanted else 0, len(site.data)
        same = unless in (None, site.tag, site.modified)
        if site.ranges == "ignored" or not (same or site.ranges == "blind"):
            start = 0
        if start >= total > 0:
            return self.head(416, {"Content-Range": f"bytes */{total}", "Content-Length": 0})
        body, headers = site.data[start:], {"Content-Type": site.kind, **site.headers}
        if site.tag:
            headers["ETag"] = site.tag
        if site.modified:
            headers["Last-Modified"] = site.modified
        if start:
            headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
        if site.chunked:
            headers["Transfer-Encoding"] = "chunked"
            size, body = len(body), b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        else:
            size = len(body) if site.announced is None else site.announced
            headers["Content-Length"] = size
        if size < 0:
            del headers["Content-Length"]
        self.head(206 if start else 200, headers)
        self.wfile.write(body[: site.cuts.pop(0) if site.cuts else None])
        self.wfile.flush()
        if site.go_on:
            site.go_on.wait(10)
        return None

    def head(self, status, headers):
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.send_header("Connection", "close")
        self.end_headers()

"""A small web server on this machine whose answers, and failures, a test chooses."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What the server gives under every address, and which addresses it was asked for.

    headers: beside the usual ones, or instead of them; None leaves one out.
    cut: after how many bytes an answer ends.
    halfway: called when half of an answer has been sent.
    """

    data: bytes
    status: int = 200
    kind: str = "application/octet-stream"
    headers: dict[str, str | None] = field(default_factory=dict)
    chunked: bool = False
    cut: int | None = None
    halfway: Callable[[], object] | None = None
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def answer(self) -> tuple[dict[str, str | None], bytes]:
        """The headers and the body as they are sent, before any cut."""
        headers, body = {"Content-Type": self.kind}, self.data
        if self.chunked:
            headers["Transfer-Encoding"] = "chunked"
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        else:
            headers["Content-Length"] = str(len(body))
        return {**headers, **self.headers}, body


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
        site.asked.append(self.path)
        self.close_connection = True
        if self.path.startswith("/moved/"):
            target = self.path.removeprefix("/moved")
            return self.head(302, {"Location": target, "Content-Length": "0"})
        headers, body = site.answer()
        self.head(site.status, headers)
        self.wfile.write(body[: len(body) // 2][: site.cut])
        if site.halfway:
            self.wfile.flush()
            site.halfway()
        return self.wfile.write(body[: site.cut][len(body) // 2 :])

    def head(self, status, headers):
        self.send_response_only(status)
        for name, value in {**headers, "Connection": "close"}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

"""A small web server on 127.0.0.1, good and bad as a test wants it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Serves the contents of `good`; half of those in `cut`, those in `slow` not in time, in `trickle` byte by byte."""

    def __init__(self) -> None:
        self.good: dict[str, bytes] = {}
        self.cut: dict[str, bytes] = {}
        self.slow: dict[str, bytes] = {}
        self.trickle: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.http.server_port}{path}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path
        self.asked.append(path)
        every = {**self.good, **self.cut, **self.slow, **self.trickle}
        if path not in every:
            request.send_error(404)
            return
        content = every[path]
        if path in self.slow:
            self.closing.wait(10)
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        try:
            if path in self.trickle:
                for byte in content:
                    request.wfile.write(bytes([byte]))
                    if self.closing.wait(0.02):
                        return
            else:
                request.wfile.write(content[: len(content) // 2] if path in self.cut else content)
        except OSError:  # the client went away, as it should
            pass

    def close(self) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()

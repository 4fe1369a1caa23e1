"""A server on this machine that answers as a database would, from files in `responses/`.

The responses are written by hand in the format of the specifications (OPTIMADE 1.2; the Materials
Project's summary route), with made-up numbers: no database was asked.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

RESPONSES = Path(__file__).parent / "responses"

Answer = Callable[[str, dict[str, list[str]], Any], tuple[int, Any]]
"""From path, query and headers of a request to status and body."""


def response(name: str) -> Any:
    """A recorded body."""
    return json.loads((RESPONSES / f"{name}.json").read_text())


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """The address of a server that answers so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlparse(self.path)
            status, body = answer(parts.path, parse_qs(parts.query), self.headers)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *words: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()

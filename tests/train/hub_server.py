"""A server on this machine in the place of the Hugging Face hub."""

from __future__ import annotations

import hashlib
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants


class Server(ThreadingHTTPServer):
    """Answers as the Hugging Face hub does."""

    files: dict[str, bytes]  #: by the paths of their addresses
    wait = 0.0  #: seconds before each answer
    ranges = True  #: whether it honours Range
    cut: int | None = None  #: bytes after which it hangs up, and is down from then on
    down = False  #: whether it answers 500 to everything
    asked: list[str | None]  #: the Range of each GET


class Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_HEAD(self) -> None:
        self._answer(self.server.asked.copy(), body=False)

    def do_GET(self) -> None:
        self._answer(self.server.asked, body=True)

    def _answer(self, asked: list[str | None], body: bool) -> None:
        wanted = self.headers.get("Range")
        if not self.path.startswith("/api/"):  # huggingface_hub asks once what the hub can do
            asked.append(wanted)
        time.sleep(self.server.wait)
        content = self.server.files.get(self.path)
        if self.server.down or content is None:
            self.send_error(500 if self.server.down else 404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if body:
            self.wfile.write(content[start:][: self.server.cut])
            self.server.down = self.server.cut is not None

    def log_message(self, format: str, *args: object) -> None:
        pass


def point_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT does, which is read when huggingface_hub is imported."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)

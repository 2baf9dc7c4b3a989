"""The photos of Label Studio's tasks, fetched from Label Studio itself and from nowhere else.

A backend that fetched whatever address a request names would be a door into the network it stands in.
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from functools import lru_cache
from urllib.parse import urljoin, urlsplit

from seem_train.errors import UserError

_KEPT = 8  #: photos: a task is asked about many times in a row
_SECONDS = 20


class StudioPhotos:
    """
    Args:
        address: Label Studio's, such as ``http://localhost:8080``; None: only photos that a request holds.
        token: its API key, old (a hash) or new (a refresh token).
        most: bytes of a photo.
    """

    def __init__(self, address: str | None, token: str | None, most: int) -> None:
        self._address = address.rstrip("/") + "/" if address else None
        self._token, self._most = token, most
        self._get = lru_cache(_KEPT)(self._got)

    def fetch(self, named: str) -> bytes:
        """Raises UserError: it lies elsewhere, or cannot be had."""
        if named.startswith("data:"):
            return self._held(named)
        if self._address is None:
            raise UserError(
                f"{_short(named)}: start the demo with --label-studio URL to let it fetch photos from there"
            )
        url = urljoin(self._address, named)
        own, wanted = urlsplit(self._address), urlsplit(url)
        if (wanted.scheme, wanted.netloc) != (own.scheme, own.netloc):
            raise UserError(
                f"{_short(named)}: does not lie on {self._address}, from where alone photos are fetched"
            )
        return self._get(url)

    def _held(self, named: str) -> bytes:
        head, _, content = named.partition(",")
        if not head.endswith(";base64"):
            raise UserError("data: addresses must be base64")
        try:
            return base64.b64decode(content, validate=True)
        except ValueError:
            raise UserError("a data: address whose base64 is damaged") from None

    def _got(self, url: str) -> bytes:
        request = urllib.request.Request(url)
        if self._token:
            request.add_header("Authorization", self._authorization(self._token))
        try:
            with _OPENER.open(request, timeout=_SECONDS) as answer:
                content = answer.read(self._most + 1)
        except urllib.error.HTTPError as error:
            hint = "; is LABEL_STUDIO_API_KEY its API key?" if error.code in (401, 403, 404) else ""
            raise UserError(
                f"{_short(url)}: Label Studio answers {error.code} {error.reason}{hint}"
            ) from None
        except OSError as error:
            raise UserError(f"{_short(url)}: cannot be fetched ({error})") from None
        if len(content) > self._most:
            raise UserError(f"{_short(url)}: is longer than {self._most >> 20} MB")
        return content

    def _authorization(self, token: str) -> str:
        if token.count(".") != 2:
            return f"Token {token}"
        assert self._address is not None
        refresh = urllib.request.Request(
            urljoin(self._address, "api/token/refresh"),
            json.dumps({"refresh": token}).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with _OPENER.open(refresh, timeout=_SECONDS) as answer:
                return f"Bearer {json.load(answer)['access']}"
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"Label Studio does not take the token in LABEL_STUDIO_API_KEY ({error})"
            ) from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect might lead anywhere."""

    def redirect_request(self, *_: object, **__: object) -> None:  # pyright: ignore
        return None


_OPENER = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))


def _short(named: str) -> str:
    return named if len(named) <= 120 else f"{named[:117]}…"

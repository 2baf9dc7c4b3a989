"""What is in requests, bytes up to a bound and JSON of a known type; and JSON for an answer."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

Body = TypeVar("Body")


def json_response(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, "application/json")


async def read_bytes(request: Request, most: int) -> bytes:
    """Raises HTTPException: it is longer than that; no more is read."""
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > most:
        raise _too_long(most)
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > most:
            raise _too_long(most)
    return bytes(read)


async def read_json(request: Request, kind: type[Body], most: int) -> Body:
    """Raises HTTPException: it is too long, no JSON, or of another form."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise HTTPException(
            415, f"send JSON with 'Content-Type: application/json', not {media or 'nothing'!r}"
        )
    content = await read_bytes(request, most)
    try:
        return msgspec.convert(_with_integers(msgspec.json.decode(content)), kind)
    except msgspec.ValidationError as error:
        raise HTTPException(422, f"the request: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, f"the request is no JSON: {error}") from None


def _with_integers(value: object) -> object:
    """JSON's 3.0 is the whole number 3, which msgspec alone would refuse."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 1 << 53 else value
    if isinstance(value, list):
        return [_with_integers(one) for one in value]
    if isinstance(value, dict):
        return {name: _with_integers(one) for name, one in value.items()}
    return value


def query_int(request: Request, name: str, low: int, high: int) -> int | None:
    """Raises HTTPException: it is no whole number, or out of bounds."""
    text = request.query_params.get(name)
    return None if text is None else whole(text, name, low, high)


def whole(text: str, name: str, low: int, high: int) -> int:
    """Raises HTTPException: it is no whole number, or out of bounds."""
    plain = text.isascii() and text.isdigit() and len(text) <= 10
    if not plain or not low <= int(text) <= high:
        raise HTTPException(422, f"{name}={text!r}: must be a whole number from {low} to {high}")
    return int(text)


def _too_long(most: int) -> HTTPException:
    size = f"{most / (1 << 20):g} MB" if most >= 1 << 20 else f"{most} bytes"
    return HTTPException(413, f"the request is longer than {size}, which is the most that is taken here")

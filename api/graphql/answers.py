"""Answers as they are sent, whatever they say."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson
from starlette.responses import Response


class Answer(Response):
    """Of bytes, with its headers as they are sent."""

    def __init__(self, body: bytes, media: str, status: int) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [*_headers(media), (b"content-length", b"%d" % len(body))]


def answer_of(data: Any, media: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON of this type, which nobody may keep. `headers`: more of them."""
    response = Answer(orjson.dumps(data), media, status)
    if headers:
        response.headers.update(headers)
    return response


@cache
def _headers(media: str) -> tuple[tuple[bytes, bytes], ...]:
    """What is said of every answer of this type, as it is sent."""
    return (
        (b"content-type", f"{media}; charset=utf-8".encode()),
        (b"cache-control", b"no-store"),
        (b"vary", b"accept"),
        (b"x-content-type-options", b"nosniff"),
    )

"""Bodies that are no operation, or hardly one: good ones that were spoiled, bytes by chance, and JSON that is meant to hurt."""

import gzip
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fuzzing.texts import HOSTILE_TEXTS

_JSON = "application/json"
_TYPES = [
    "", "text/plain", "application/graphql", "application/x-www-form-urlencoded", "multipart/form-data", "multipart/form-data;boundary=x",
    "application/json; charset=utf-16", "application/json; charset=", "application/json;", "APPLICATION/JSON",
    "application/json, text/plain",
    "application/json; charset=\"utf-8", "application/graphql+json", "/", ";;;", "application/json; charset*=utf-8''utf-8", "é",
]  # fmt: skip
_ACCEPTS = [
    "",
    "*/*",
    "text/event-stream",
    "text/html",
    "application/graphql-response+json",
    "application/json;q=x",
    ",;q=1,,",
    "multipart/mixed",
    "a" * 2_000,
]
_ENCODINGS = ["gzip", "br", "deflate", "identity", "gzip, gzip", "x"]


@dataclass(frozen=True)
class Sent:
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": _JSON})
    # In pieces of so many bytes, without a length in front.
    chunk: int | None = None


class Bodies:
    """Makes bodies from good ones. `strange` are bytes of another origin, taken as they are and put into good ones."""

    def __init__(self, chance: random.Random, good: Sequence[Mapping[str, Any]], strange: Sequence[bytes]) -> None:
        self._chance = chance
        self._good = good
        self._strange = strange

    def next(self) -> Sent:
        body = self.spoiled()
        headers = {"content-type": _JSON}
        if self._chance.random() < 0.1:
            headers["content-type"] = self._chance.choice(_TYPES)
        if self._chance.random() < 0.1:
            headers["accept"] = self._chance.choice(_ACCEPTS)
        if self._chance.random() < 0.05:
            headers["content-encoding"] = self._chance.choice(_ENCODINGS)
            body = gzip.compress(body) if self._chance.random() < 0.5 else body
        return Sent(body, headers, self._chance.choice([1, 7, 1_000, 70_000]) if self._chance.random() < 0.1 else None)

    def spoiled(self) -> bytes:
        chance = self._chance
        match chance.randrange(6):
            case 0 if self._strange:
                return chance.choice(self._strange)
            case 1:
                return chance.choice(_HURTING)(chance.choice([1, 20, 40, 1_000, 20_000]))
            case 2:
                return json.dumps(_strange_members(dict(chance.choice(self._good)), chance)).encode()
        body = json.dumps(chance.choice(self._good)).encode()
        for _ in range(chance.randint(1, 3)):
            body = self._spoil(body)
        return body

    def _spoil(self, body: bytes) -> bytes:
        chance = self._chance
        here, there = sorted(chance.randrange(len(body) + 1) for _ in range(2))
        match chance.randrange(8):
            case 0:
                return body[:here]
            case 1:
                return body[:here] + body[there:]
            case 2:
                return body + body
            case 3:
                return body[:here] + chance.choice(_PIECES) + body[here:]
            case 4:
                return body[:here] + bytes([chance.randrange(256)]) + body[here + 1 :]
            case 5:
                return chance.choice(_MARKS) + body
            case 6 if self._strange:
                return body[:here] + chance.choice(self._strange) + body[there:]
        return body.decode(errors="replace").encode(chance.choice(["utf-16", "utf-16-be", "utf-32", "utf-7", "cp037"]), errors="replace")


_MARKS = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff", b")]}',\n", b"\x1e", b" \t\r\n", b"\x00"]
_PIECES = [
    b"\x00", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\\u0000", b"\\ud800", b"\\udc00\\ud800", b"\\x",
    b"\\", b'"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"NaN", b"Infinity", b"-", b"1e999", b"-0", b"0x1", b"9" * 5_000, b"//",
    b"/*", b"\r\n",
]  # fmt: skip
_HURTING: list[Callable[[int], bytes]] = [
    lambda size: b"[" * size,
    lambda size: b"[" * size + b"]" * size,
    lambda size: b'{"query":' * size,
    lambda size: b'{"query":' * size + b"1" + b"}" * size,
    lambda size: b'{"query":"{ viewer { id } }","variables":' + b'{"a":' * size + b"1" + b"}" * size + b"}",
    lambda size: b'{"query":"{ viewer { id } }","variables":{"a":' + b"[" * size + b"]" * size + b"}}",
    lambda size: b'{"query":"{ viewer { id } }","variables":{"a":' + b"9" * size + b"}}",
    lambda size: b'{"query":"{ viewer { id } }","variables":{"a":1e' + b"9" * size + b"}}",
    lambda size: b'{"query":"{ viewer { id } }","variables":{' + b'"a":1,' * size + b'"a":2}}',
    lambda size: b'{"query":"{ viewer { id } }",' * size + b'"query":"{ viewer { name } }"}',
    lambda size: b'{"query":"' + b"{ viewer { id } }\\n" * size + b'"}',
    lambda size: b'{"query":"' + b"a" * size * 6 + b'"}',
    lambda size: b'{"query":"' + b"\\u0000" * size + b'"}',
    lambda size: b'{"query":"' + b"\\ud83d" * size + b'"}',
    lambda size: b"[" + b'{"query":"{ viewer { id } }"},' * size + b'{"query":"{ viewer { id } }"}]',
    lambda size: b" " * size,
    lambda size: b"\x00" * size,
    lambda size: b"query=" + b"%7B" * size,
    lambda size: b'--x\r\nContent-Disposition: form-data; name="operations"\r\n\r\n' + b"{}" * size + b"\r\n--x--\r\n",
]


def _strange_members(body: dict[str, Any], chance: random.Random) -> Any:
    """A body whose members are of other kinds."""
    values: list[Any] = [None, 1, -0.0, True, [], {}, "", [[]], {"a": [{}]}, *HOSTILE_TEXTS]
    for name in chance.sample(["query", "variables", "operationName", "extensions", "id", "persistedQuery"], chance.randint(1, 3)):
        body[name] = chance.choice(values)
    return chance.choice([body, body, body, [body], [body] * 50, {"data": body}, body.get("query"), None])

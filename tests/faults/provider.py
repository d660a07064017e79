"""A strict OAuth provider as a process of its own, which can misbehave at exact places, and kills whom it is told to at exact moments.

usage: python -m tests.faults.provider HOSTS CERTIFICATE
It listens on so many ports, so that a client which limits its requests by host can still have many under way, and prints them.
CERTIFICATE is a PEM file with the private key.

`/token` is the token endpoint; what is below `/admin` is for the supervisor, JSON to JSON:
grants   {"count"}                                 new grants, with their refresh tokens
truth                                              what is known of every grant, and how many exchanges are under way
behave   {any field of Behaviour, and "mode"}      how it is from now on
trap     {any field of Trap}                       kill or stop processes at that point; answers once that is done
length                                             of how many bytes an answer with tokens is
quiet                                              answers once no exchange is under way
"""

import asyncio
import contextlib
import json
import os
import random
import ssl
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs

from tests.faults.tokens import Grant, Grants, Mode

_TRAP_SECONDS = 30.0
# So that an answer is as long as those of real providers, which give tokens of this size.
_ACCESS_TOKEN_LETTERS = 700


class Point(StrEnum):
    """Where an exchange can be when somebody dies."""

    RECEIVED = "received"
    HALF_SENT = "half-sent"
    SENT = "sent"


@dataclass(frozen=True, slots=True)
class Behaviour:
    # How long an exchange takes, in seconds: anything between these.
    latency: tuple[float, float] = (0.1, 0.5)
    # The lifetime of an access token, in seconds.
    lifetime: int = 10
    # Every connection is closed without an answer.
    is_down: bool = False
    # Of so many requests in one the answer is 503, and nothing was exchanged.
    refused_share: float = 0.0
    # For a grant: how many bytes of its next answer are sent. Each is used once.
    cuts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trap:
    """It springs at a point of an exchange, once so many are under way with good tokens, and then so many seconds later."""

    pids: list[int]
    signal: int
    point: Point
    under_way: int
    delay: float
    sprung: asyncio.Event = field(default_factory=asyncio.Event)

    def spring(self) -> None:
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, self.signal)
        self.sprung.set()


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    body: bytes


class Provider:
    def __init__(self) -> None:
        self.grants = Grants()
        self.behaviour = Behaviour()
        self._trap: Trap | None = None
        self._under_way = 0
        # Of those, with a token that was good: who presents one that is lost has nothing to lose.
        self._good_under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection for as long as it is kept."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while (request := await _read(reader)) is not None:
                if not await self._serve(request, writer):
                    break
        writer.close()

    async def _serve(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Answer a request; whether the connection may be used again."""
        if request.path.startswith("/admin/"):
            body = json.loads(request.body) if request.body else {}
            return await _send(writer, _response(200, await self._administer(request.path.removeprefix("/admin/"), body)))
        if self.behaviour.is_down:
            return False
        if request.path != "/token":
            return await _send(writer, _response(200, {"sub": "anybody"}))
        return await self._exchange({name: values[0] for name, values in parse_qs(request.body.decode()).items()}, writer)

    async def _exchange(self, form: Mapping[str, str], writer: asyncio.StreamWriter) -> bool:
        token = form.get("refresh_token", "")
        grant = self.grants.find(token)
        if grant is None or form.get("grant_type") != "refresh_token":
            return await _send(writer, _response(400, {"error": "invalid_request"}))
        if random.random() < self.behaviour.refused_share:
            return await _send(writer, _response(503, {"error": "temporarily_unavailable"}))
        is_good = token == grant.current
        self._begin(grant, is_good=is_good)
        try:
            self._pass(Point.RECEIVED)
            seconds = random.uniform(*self.behaviour.latency)
            # Whoever asks may be gone at any moment: what is used up is used up.
            await asyncio.sleep(seconds / 2)
            successor = self.grants.exchange(grant, token, time.monotonic())
            await asyncio.sleep(seconds / 2)
            return await self._answer(grant, self._token_answer(successor), writer)
        finally:
            self._end(grant, is_good=is_good)

    def _token_answer(self, successor: str | None) -> bytes:
        if successor is None:
            return _response(400, {"error": "invalid_grant"})
        access_token = successor.ljust(_ACCESS_TOKEN_LETTERS, "A")
        tokens = {"access_token": access_token, "token_type": "Bearer", "expires_in": self.behaviour.lifetime, "refresh_token": successor}
        return _response(200, tokens)

    async def _answer(self, grant: Grant, answer: bytes, writer: asyncio.StreamWriter) -> bool:
        cut = self.behaviour.cuts.pop(grant.id, None)
        if cut is not None:
            await _send(writer, answer[:cut])
            return False
        middle = len(answer) // 2
        await _send(writer, answer[:middle])
        self._pass(Point.HALF_SENT)
        await _send(writer, answer[middle:])
        self._pass(Point.SENT)
        return True

    def _begin(self, grant: Grant, *, is_good: bool) -> None:
        self.grants.begin(grant)
        self._under_way += 1
        self._good_under_way += is_good
        self._quiet.clear()

    def _end(self, grant: Grant, *, is_good: bool) -> None:
        self.grants.end(grant)
        self._under_way -= 1
        self._good_under_way -= is_good
        if self._under_way == 0:
            self._quiet.set()

    def _pass(self, point: Point) -> None:
        """An exchange is at this point: the trap that waits for it springs."""
        trap = self._trap
        if trap is None or trap.point is not point or self._good_under_way < trap.under_way:
            return
        self._trap = None
        if trap.delay:
            asyncio.get_running_loop().call_later(trap.delay, trap.spring)
        else:
            trap.spring()

    async def _administer(self, act: str, given: dict[str, Any]) -> Any:
        match act:
            case "grants":
                grants = [self.grants.issue() for _ in range(given["count"])]
                return [{"id": grant.id, "refresh_token": grant.current} for grant in grants]
            case "truth":
                return {"under_way": self._under_way, "grants": self.grants.truth(time.monotonic())}
            case "behave":
                self.grants.mode = Mode(given.pop("mode", self.grants.mode))
                self.behaviour = replace(self.behaviour, **given)
                return {}
            case "trap":
                return {"sprung": await self._set(Trap(**given | {"point": Point(given["point"])}))}
            case "length":
                return {"length": len(self._token_answer(self.grants.issue().current))}
            case "quiet":
                await self._quiet.wait()
                return {}
        raise ValueError(act)

    async def _set(self, trap: Trap) -> bool:
        """Set a trap, and wait until it springs; False where it never did."""
        self._trap = trap
        try:
            async with asyncio.timeout(_TRAP_SECONDS):
                await trap.sprung.wait()
        except TimeoutError:
            self._trap = None
        return trap.sprung.is_set()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    """The next request; None once the other side has closed."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, path, _ = head[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    return Request(method, path, await reader.readexactly(int(headers.get("content-length", 0))))


async def _send(writer: asyncio.StreamWriter, data: bytes) -> bool:
    writer.write(data)
    await writer.drain()
    return True


def _response(status: int, document: Any) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 %d Said\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


async def main(hosts: int, certificate: str) -> None:
    provider, tls = Provider(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    async with contextlib.AsyncExitStack() as stack:
        servers = [await asyncio.start_server(provider.converse, "127.0.0.1", 0, backlog=1024, ssl=tls) for _ in range(hosts)]
        for server in servers:
            await stack.enter_async_context(server)
        print("ready", *(f"127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in servers), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]), sys.argv[2]))

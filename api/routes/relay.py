"""Whoever calls, while bodies are passed on: heard and answered piece by piece, at their own pace, and noticed when they leave."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from starlette.types import Message, Receive, Send

# How long somebody may send nothing of what they announced, or take nothing of what is there for them.
_STILL_SECONDS = 60.0


class CallerLeft(Exception):
    """They closed the connection, so nobody is there to answer to."""


class CallerStalled(Exception):
    pass


class Caller:
    """One request, over the server's own interface. No more than two pieces of what it sends are kept here at a time."""

    def __init__(self, receive: Receive, send: Send, *, has_body: bool) -> None:
        self._receive = receive
        self._send = send
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        # Who sends a body is not listened to before it is wanted: until then the server does not tell them to go on.
        self._is_heard = asyncio.Event()
        if not has_body:
            self._is_heard.set()
        self.has_all = False
        self.status: int | None = None
        self.received = 0
        self.sent = 0
        self.has_begun = False
        self.has_left = False
        self.broke_off = False

    @property
    def outcome(self) -> str:
        return "caller left" if self.has_left else "broke off" if self.broke_off else "answered"

    async def attended(self, serving: Coroutine[Any, Any, None]) -> None:
        """Serve the caller for as long as they are there. Raises CallerLeft, CallerStalled, and whatever the serving raises."""
        try:
            async with asyncio.TaskGroup() as tasks:
                listening = tasks.create_task(self._listen())
                try:
                    await serving
                finally:
                    listening.cancel()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def take(self) -> bytes | None:
        """The next piece of the body; None at its end."""
        self._is_heard.set()
        return await self._pieces.get()

    async def begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.status, self.has_begun = status, True
        # From here on also who sends nothing is noticed when they leave.
        self._is_heard.set()
        await self.send_message({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def send(self, chunk: bytes, *, is_last: bool = False) -> None:
        """Raises CallerStalled."""
        self.has_all = is_last
        self.sent += len(chunk)
        await self.send_message({"type": "http.response.body", "body": chunk, "more_body": not is_last})

    async def send_message(self, message: Message) -> None:
        try:
            async with asyncio.timeout(_STILL_SECONDS):
                await self._send(message)
        except TimeoutError:
            raise CallerStalled("Nothing of the answer was taken for too long.") from None

    async def _listen(self) -> None:
        await self._is_heard.wait()
        more = True
        while more:
            message = await self._message()
            more = message.get("more_body", False)
            if piece := message.get("body", b""):
                self.received += len(piece)
                await self._pieces.put(piece)
        await self._pieces.put(None)
        # All is said; the next thing to hear is that they leave.
        while not self.has_all:
            await self._receive_unless_gone()

    async def _message(self) -> Message:
        try:
            async with asyncio.timeout(_STILL_SECONDS):
                return await self._receive_unless_gone()
        except TimeoutError:
            raise CallerStalled("Nothing more of the request came for too long.") from None

    async def _receive_unless_gone(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self.has_all:
            raise CallerLeft
        return message

"""A socket of the server that can be written to without waiting: what goes to thousands at once goes so, to whoever takes it at once.

There are thousands of them that only wait, so that what each keeps for that is little.
"""

import asyncio
from collections import deque
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.protocol import State

from api.graphql.sockets import SEND_NOW

_TEXT = 0x80 | Opcode.TEXT
_SHORT, _MEDIUM = 126, 65_536


class PromptSocket(WebSocketsSansIOProtocol):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue = Inbox()  # type: ignore[assignment]
        self.writable = Gate()  # type: ignore[assignment]

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            # Its application is a task, which has not begun yet.
            self.scope["extensions"] = {**(self.scope["extensions"] or {}), SEND_NOW: self.send_now}  # type: ignore[dict-item]

    def start_keepalive(self) -> None:
        super().start_keepalive()
        # The socket is open; what was said to open it is not kept for as long as it lasts. What reads frames keeps the request.
        self.request.headers.clear()
        del self.request, self.response

    def send_now(self, text: bytes) -> bool:
        """Send a whole text, unless its reader is behind, or is not there any more: then False, and nothing was sent."""
        if not self.writable.is_set() or self.close_sent or self.transport.is_closing() or self.conn.state is not State.OPEN:
            return False
        self.transport.write(_head(len(text)) + text)
        return True


class Gate:
    """As much of `asyncio.Event` as the server needs. Who waits at it makes what that takes; an open one keeps nothing."""

    __slots__ = ("_opened",)

    def __init__(self) -> None:
        # None: it is open.
        self._opened: asyncio.Future[None] | None = None

    def is_set(self) -> bool:
        return self._opened is None

    def set(self) -> None:
        if self._opened is not None:
            self._opened.set_result(None)
            self._opened = None

    def clear(self) -> None:
        if self._opened is None:
            self._opened = asyncio.get_running_loop().create_future()

    async def wait(self) -> None:
        # Who waits may be called off, and the others wait on.
        if self._opened is not None:
            await asyncio.shield(self._opened)


class Inbox:
    """As much of `asyncio.Queue` as the server needs: one reader, for whom hardly ever more than one message waits."""

    __slots__ = ("_arrived", "_messages")

    def __init__(self) -> None:
        self._messages: deque[Any] | None = None
        # The reader waits for it.
        self._arrived: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        return not self._messages

    def put_nowait(self, message: Any) -> None:
        if self._messages is None:
            self._messages = deque()
        self._messages.append(message)
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    async def get(self) -> Any:
        while not self._messages:
            self._messages = None
            self._arrived = asyncio.get_running_loop().create_future()
            try:
                await self._arrived
            finally:
                self._arrived = None
        return self._messages.popleft()


def _head(length: int) -> bytes:
    """What stands before a text of so many bytes that goes in one frame, uncompressed (RFC 6455 section 5.2)."""
    if length < _SHORT:
        return bytes((_TEXT, length))
    if length < _MEDIUM:
        return bytes((_TEXT, 126)) + length.to_bytes(2, "big")
    return bytes((_TEXT, 127)) + length.to_bytes(8, "big")

"""A socket of the server that can be written to without waiting: what goes to thousands at once goes so, to whoever takes it at once."""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.protocol import State

from api.graphql.sockets import SEND_NOW

_TEXT = 0x80 | Opcode.TEXT
_SHORT, _MEDIUM = 126, 65_536


class PromptSocket(WebSocketsSansIOProtocol):
    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            # Its application is a task, which has not begun yet.
            self.scope["extensions"] = {**(self.scope["extensions"] or {}), SEND_NOW: self.send_now}  # type: ignore[dict-item]

    def start_keepalive(self) -> None:
        super().start_keepalive()
        # The socket is open; what was said to open it is not kept for as long as it lasts.
        del self.request, self.response

    def send_now(self, text: bytes) -> bool:
        """Send a whole text, unless its reader is behind, or is not there any more: then False, and nothing was sent."""
        if not self.writable.is_set() or self.close_sent or self.transport.is_closing() or self.conn.state is not State.OPEN:
            return False
        self.transport.write(_head(len(text)) + text)
        return True


def _head(length: int) -> bytes:
    """What stands before a text of so many bytes that goes in one frame, uncompressed (RFC 6455 section 5.2)."""
    if length < _SHORT:
        return bytes((_TEXT, length))
    if length < _MEDIUM:
        return bytes((_TEXT, 126)) + length.to_bytes(2, "big")
    return bytes((_TEXT, 127)) + length.to_bytes(8, "big")

"""A request that is whole and the answer that is read whole, over the connections of a session.

What a session does beyond that (redirects, cookies, tracing, bodies that come piece by piece) none of these needs, and to make a request
ready for all of it costs more than the exchange. So its connector and its parser are used by themselves: the connections are opened,
guarded, bounded, kept and closed as ever. What stays the same for a server is made once.
"""

from typing import Final

import aiohttp
from yarl import URL

from api.outbound.dialling import MAXIMUM_HEADERS, AnswerTooLarge, Progress
from api.outbound.egress import Destination
from api.outbound.messages import Answer, OutboundRequest
from api.outbound.resuming import ResumingContext

# What may be asked twice comes to the same (RFC 9110, 9.2.2).
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
# Of these a body is expected so little that its absence is not said.
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_SERVERS_REMEMBERED: Final = 1000
_CONNECTIONS_TRIED: Final = 2


class Exchanges:
    """Over the connections of one session, which outlives it."""

    def __init__(self, session: aiohttp.ClientSession, tls: ResumingContext) -> None:
        assert session.connector is not None
        self._connector = session.connector
        self._timeout = session.timeout
        self._tls = tls
        self._always = [(name.lower(), f"{name}: {value}\r\n") for name, value in session.headers.items()]
        # How a connection to each server is asked for.
        self._servers: dict[str, aiohttp.ClientRequest] = {}

    async def ask(self, request: OutboundRequest, destination: Destination, progress: Progress, max_bytes: int) -> Answer:
        """Inside of `reaching` alone. Raises AnswerTooLarge, and what that translates."""
        try:
            return await self._exchange(request, destination, progress, max_bytes)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            # Perhaps a kept connection, which turned out to be closed.
            if isinstance(error, aiohttp.ClientConnectorError) or request.method not in _IDEMPOTENT:
                raise
        return await self._exchange(request, destination, progress, max_bytes)

    async def _exchange(self, request: OutboundRequest, destination: Destination, progress: Progress, max_bytes: int) -> Answer:
        server, target = destination.server_and_target
        connection = await self._connected(server)
        progress.is_connected = True
        try:
            protocol, transport = connection.protocol, connection.transport
            assert protocol is not None
            assert transport is not None
            protocol.set_response_params(skip_payload=request.method == "HEAD", read_until_eof=True, max_headers=MAXIMUM_HEADERS)
            transport.write(self._message(request, server, target))
            head, content = await protocol.read()
            # What only informs is not the answer yet (RFC 9110, 15.2).
            while 100 <= head.code < 200 and head.code != 101:
                head, content = await protocol.read()
            body = await _whole(content, max_bytes)
            if body is None:
                raise AnswerTooLarge(destination.origin, "a body", status=head.code)
            self._tls.note(transport.get_extra_info("ssl_object"))
        except BaseException:
            # An answer that is not read to its end costs its connection: it is not used again.
            connection.close()
            raise
        if transport.get_write_buffer_size():
            # Answered before it was heard out: what is still to be sent is no part of another request.
            connection.close()
        connection.release()
        return Answer(head.code, head.headers, body)

    async def _connected(self, server: str) -> aiohttp.connector.Connection:
        request = self._servers.get(server) or self._met(server)
        for _ in range(_CONNECTIONS_TRIED):
            connection = await self._connector.connect(request, [], self._timeout)
            if connection.protocol is not None and not connection.protocol.should_close:
                return connection
            # On a kept one the server said something unasked: that must not be taken for the answer to what is asked next.
            connection.close()
        raise aiohttp.ServerDisconnectedError

    def _met(self, server: str) -> aiohttp.ClientRequest:
        if len(self._servers) >= _SERVERS_REMEMBERED:
            self._servers.clear()
        met = self._servers[server] = aiohttp.ClientRequest("GET", URL(f"{server}/", encoded=True))
        return met

    def _message(self, request: OutboundRequest, server: str, target: str) -> bytes:
        given = {name.lower() for name in request.headers}
        lines = [f"{request.method} {target} HTTP/1.1\r\nHost: {server.partition('://')[2]}\r\n"]
        lines += [line for name, line in self._always if name not in given]
        lines += [f"{name}: {value}\r\n" for name, value in request.headers.items()]
        body = request.body or b""
        if request.body is not None or request.method not in _WITHOUT_BODY:
            lines.append(f"Content-Length: {len(body)}\r\n")
        lines.append("\r\n")
        return "".join(lines).encode() + body


async def _whole(content: aiohttp.StreamReader, max_bytes: int) -> bytes | None:
    """None where it is larger than that; reading stops there."""
    first = await content.readany()
    if content.at_eof():
        return first if len(first) <= max_bytes else None
    body = bytearray(first)
    while len(body) <= max_bytes:
        if content.at_eof():
            return bytes(body)
        body += await content.readany()
    return None

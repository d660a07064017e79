"""Connections for protocols other than HTTP: spoken over line by line or byte by byte, and bounded in all that comes in.

Nothing here waits in a thread, so that a deadline or a cancellation ends it at once. What a server sent before TLS began is forgotten
when it begins: nobody in between may have the first word (CVE-2011-0411).
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

_LONGEST_LINE = 8_192
# Far more than any login takes. A server that talks on without end is left.
_LONGEST_CONVERSATION = 65_536


class NoVerdict(Exception):
    """The server broke off, or said what is not of the protocol, or what judges no credential."""


class NoTls(Exception):
    """The server does not start TLS, or does not prove who it is."""


class Wire:
    """A connection to one server. Every method that reads raises NoVerdict where it is over, or where too much comes."""

    def __init__(self, transport: asyncio.Transport, reader: asyncio.StreamReader, host: str, tls: ssl.SSLContext) -> None:
        self._transport = transport
        self._reader = reader
        self._host = host
        self._tls = tls
        self._left = _LONGEST_CONVERSATION

    async def secure(self) -> None:
        """Speak TLS from here on. Raises NoTls."""
        # A new reader: what the old one still holds came in the clear.
        reader, protocol = _reader()
        try:
            transport = await asyncio.get_running_loop().start_tls(self._transport, protocol, self._tls, server_hostname=self._host)
        # Whatever breaks in a handshake; ssl.SSLError is one of them.
        except OSError:
            raise NoTls from None
        if transport is None:
            raise NoTls
        protocol.connection_made(transport)
        self._transport, self._reader = transport, reader

    async def line(self) -> bytes:
        """The next line, without its end."""
        try:
            line = await self._reader.readuntil(b"\n")
        except (asyncio.LimitOverrunError, EOFError, OSError):
            raise NoVerdict from None
        self._count(len(line))
        return line.rstrip(b"\r\n")

    async def octets(self, count: int) -> bytes:
        """The next so many bytes."""
        self._count(count)
        try:
            return await self._reader.readexactly(count)
        except (EOFError, OSError):
            raise NoVerdict from None

    def say(self, text: str | bytes) -> None:
        """Send bytes as they are, or a line of text. It waits for nothing: what is said in a login is short."""
        self._transport.write(text if isinstance(text, bytes) else f"{text}\r\n".encode())

    def close(self) -> None:
        """Part at once: a server that does not answer the end of TLS is not waited for."""
        self._transport.close()
        self._transport.abort()

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise NoVerdict


@asynccontextmanager
async def dial(addresses: Sequence[str], port: int, *, host: str, tls: ssl.SSLContext) -> AsyncIterator[Wire]:
    """Connect to the first of some addresses that takes a connection. Raises OSError where none does."""
    transport, reader = await _connect(addresses, port)
    wire = Wire(transport, reader, host, tls)
    try:
        yield wire
    finally:
        wire.close()


async def _connect(addresses: Sequence[str], port: int) -> tuple[asyncio.Transport, asyncio.StreamReader]:
    failure = OSError("there is no address")
    for address in addresses:
        try:
            return await _connect_to(address, port)
        except OSError as error:
            failure = error
    raise failure


async def _connect_to(address: str, port: int) -> tuple[asyncio.Transport, asyncio.StreamReader]:
    reader, protocol = _reader()
    # An address that was checked, and no name, which would be looked up again.
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: protocol, address, port)
    return transport, reader


def _reader() -> tuple[asyncio.StreamReader, asyncio.StreamReaderProtocol]:
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    return reader, asyncio.StreamReaderProtocol(reader)

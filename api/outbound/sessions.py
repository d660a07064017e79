"""Sessions of aiohttp: every connection that they open was checked by the guard."""

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from api.outbound.dialling import MAXIMUM_HEADERS, current_destination, tls_context
from api.outbound.egress import EgressGuard
from api.outbound.late import Manner
from api.version import version

# Servers close idle connections after 5 seconds and more. Being sooner avoids sending into a connection that is about to close.
_KEEP_ALIVE_SECONDS = 4


def open_session(guard: EgressGuard, ca_file: Path | None, manner: Manner) -> aiohttp.ClientSession:
    """For calls inside of `reaching` alone, each of which has its `Progress` as its `trace_request_ctx`."""
    return aiohttp.ClientSession(
        connector=_guarded_connector(guard, ca_file, manner),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"Patchbay/{version()}", **manner.headers},
        skip_auto_headers=manner.without,
        auto_decompress=manner.decompress,
        # How long a call may take is for the client to say, over all of it.
        timeout=aiohttp.ClientTimeout(total=None, connect=manner.connect_seconds, sock_connect=None, sock_read=None),
        trust_env=False,
        max_headers=MAXIMUM_HEADERS,
        trace_configs=[_noting_progress()],
    )


def _guarded_connector(guard: EgressGuard, ca_file: Path | None, manner: Manner) -> aiohttp.TCPConnector:
    def open_socket(address: tuple[Any, ...]) -> socket.socket:
        family, kind, _, _, sockaddr = address
        guard.check_dial(current_destination.get(), sockaddr[0])
        opened = socket.socket(family, kind, socket.IPPROTO_TCP)
        # A body that follows its headers must not wait for them to be acknowledged: that may take 40 ms.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    return aiohttp.TCPConnector(
        resolver=_GuardedResolver(guard),
        socket_factory=open_socket,
        use_dns_cache=False,
        ssl=tls_context(ca_file),
        limit=manner.connections,
        limit_per_host=manner.connections_per_host,
        keepalive_timeout=_KEEP_ALIVE_SECONDS,
    )


def _noting_progress() -> aiohttp.TraceConfig:
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(_note_connection)
    trace.on_connection_reuseconn.append(_note_connection)
    return trace


async def _note_connection(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    context.trace_request_ctx.is_connected = True


class _GuardedResolver(AbstractResolver):
    def __init__(self, guard: EgressGuard) -> None:
        self._guard = guard

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._guard.addresses(current_destination.get())
        ]

    async def close(self) -> None:
        """Part of the interface; there is nothing here to close."""

"""How servers are reached, whatever is asked of them: at checked addresses, over verified TLS, with errors that hold no secret."""

import logging
import re
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from api.outbound.egress import Destination, EgressRefused, ForbiddenAddress, OutboundError
from api.outbound.resuming import ResumingContext

if TYPE_CHECKING:
    import aiohttp

logger = logging.getLogger(__name__)

MAXIMUM_HEADERS = 100
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
# What frames a request, or says to whom it goes, is the client's alone.
_RESERVED_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"})
# How aiohttp words it; it has no type of its own for this.
_HEADERS_TOO_LARGE = ("Got more than", "Too many")


class Obstacle(StrEnum):
    """At which step a server could not be reached."""

    NAME = "name"
    CONNECTION = "connection"
    TLS = "tls"
    EXCHANGE = "exchange"

    @property
    def sentence(self) -> str:
        match self:
            case Obstacle.NAME:
                return "its name has no address"
            case Obstacle.CONNECTION:
                return "it takes no connection"
            case Obstacle.TLS:
                return "its TLS certificate or handshake is not good"
            case Obstacle.EXCHANGE:
                return "the connection broke, or its answer was not of the protocol"


class Unreachable(OutboundError):
    def __init__(self, origin: str, obstacle: Obstacle, *, may_have_arrived: bool) -> None:
        super().__init__(origin, f"{origin} cannot be reached: {obstacle.sentence}.", may_have_arrived=may_have_arrived)
        self.obstacle = obstacle


class DeadlineExceeded(OutboundError):
    def __init__(self, origin: str, deadline: timedelta, *, may_have_arrived: bool) -> None:
        super().__init__(origin, f"{origin} did not answer within {deadline.total_seconds():g} s.", may_have_arrived=may_have_arrived)
        self.deadline = deadline


class AnswerTooLarge(OutboundError):
    """`status` is that of the answer, where it came as far as that."""

    def __init__(self, origin: str, what: str, *, status: int | None = None) -> None:
        super().__init__(origin, f"{origin} sent {what} larger than allowed.", may_have_arrived=True)
        self.what = what
        self.status = status


@dataclass(slots=True)
class Progress:
    """How far a call came."""

    is_connected: bool = False


# Whom the running call goes to. The tasks that aiohttp starts in order to connect inherit it.
current_destination: ContextVar[Destination] = ContextVar("destination")


@contextmanager
def reaching(destination: Destination, progress: Progress) -> Iterator[None]:
    """Call this destination in the block, by a session that is open. Raises EgressRefused, Unreachable and AnswerTooLarge.

    They take the place of aiohttp's errors, which may hold the whole URL and all headers, and are never chained.
    """
    token = current_destination.set(destination)
    try:
        yield
    except OutboundError:
        raise
    # Whatever is not of aiohttp passes; it has names for its errors only once it is loaded.
    except Exception as error:
        translated = _translated(error, destination.origin, progress)
        if translated is None:
            raise
        raise translated from None
    finally:
        current_destination.reset(token)


def _translated(error: Exception, origin: str, progress: Progress) -> OutboundError | None:
    """None for what says nothing about the server."""
    # There since the session is: see `api.outbound.late`.
    import aiohttp
    from aiohttp.http import HttpProcessingError

    match error:
        case aiohttp.ConnectionTimeoutError():
            return Unreachable(origin, Obstacle.CONNECTION, may_have_arrived=False)
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return Unreachable(origin, Obstacle.TLS, may_have_arrived=False)
        case aiohttp.ClientConnectorError():
            return _not_connected(error, origin)
        case aiohttp.ClientResponseError() | HttpProcessingError():
            is_large = error.message.startswith(_HEADERS_TOO_LARGE)
            return AnswerTooLarge(origin, "headers") if is_large else Unreachable(origin, Obstacle.EXCHANGE, may_have_arrived=True)
        case aiohttp.ClientError() | OSError():
            return Unreachable(origin, Obstacle.EXCHANGE, may_have_arrived=progress.is_connected)
    return None


def _not_connected(error: "aiohttp.ClientConnectorError", origin: str) -> OutboundError:
    import aiohttp

    if isinstance(error.os_error, ForbiddenAddress):
        return EgressRefused(origin, "its address is not public")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unreachable(origin, Obstacle.NAME, may_have_arrived=False)
    # A connection that is refused outright is no reset: this one was taken, and given up in the handshake.
    obstacle = Obstacle.TLS if isinstance(error.os_error, ConnectionResetError) else Obstacle.CONNECTION
    return Unreachable(origin, obstacle, may_have_arrived=False)


def check_head(method: str, headers: Iterable[tuple[str, str]], origin: str) -> None:
    """Raises EgressRefused for a method or a header that would make another request of it than the one that is meant."""
    if not _TOKEN.fullmatch(method):
        raise EgressRefused(origin, "the method is not one of HTTP")
    for name, value in headers:
        if not _may_be_set(name):
            raise EgressRefused(origin, "a header of the request is not one that may be set")
        if _CONTROL.search(value):
            raise EgressRefused(origin, f"the header {name} holds a control character")


# The same few names, over and over.
@lru_cache(1000)
def _may_be_set(name: str) -> bool:
    return _TOKEN.fullmatch(name) is not None and name.lower() not in _RESERVED_HEADERS


# The authorities of a system take 20 ms to load, and do not change under a running process.
@cache
def tls_context(ca_file: Path | None, *, alpn: str | None = "http/1.1") -> ResumingContext:
    """How certificates are verified: always, by the authorities of the system and of the operator."""
    context = ResumingContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    # The paths that OpenSSL was built with, and not those of SSL_CERT_FILE and SSL_CERT_DIR.
    paths = ssl.get_default_verify_paths()
    cafile = paths.openssl_cafile if Path(paths.openssl_cafile).is_file() else None
    capath = paths.openssl_capath if Path(paths.openssl_capath).is_dir() else None
    if cafile or capath:
        context.load_verify_locations(cafile, capath)
    elif ca_file is None:
        logger.warning("no certificate authorities found", extra={"looked_at": [paths.openssl_cafile, paths.openssl_capath]})
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context

"""Logins by other protocols than HTTP: a person's directory or mail account, tried once and left again.

The server is found by the same guard as every other call: each of its addresses is checked, and only checked ones are dialled. TLS is
verified always. A password goes over a connection without TLS only where the person chose that; a server that does not start TLS when
asked to gets none.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from datetime import timedelta

from api.outbound.egress import EgressRefused, ForbiddenAddress
from api.outbound.http import DeadlineExceeded, Obstacle, OutboundClient, Unreachable
from api.outbound.logins.directories import log_in_by_ldap
from api.outbound.logins.login import Login, LoginRejected
from api.outbound.logins.mailboxes import log_in_by_imap, log_in_by_pop3, log_in_by_smtp
from api.outbound.logins.wires import NoTls, NoVerdict, Wire, dial

__all__ = ["Login", "LoginRejected", "log_in"]

_DEADLINE = timedelta(seconds=15)
# A line break would begin a command of its own, and a zero byte ends a text for servers in C: a password with one in front is an
# empty password to them. No server takes what cannot be written in UTF-8.
_UNSENDABLE = re.compile(r"[\x00\r\n\ud800-\udfff]")

_PROTOCOLS: dict[str, Callable[[Login, Wire], Awaitable[str | None]]] = {
    "imap": log_in_by_imap,
    "ldap": log_in_by_ldap,
    "pop3": log_in_by_pop3,
    "smtp": log_in_by_smtp,
}


async def log_in(login: Login, client: OutboundClient, *, deadline: timedelta = _DEADLINE) -> str:
    """Log in and out again; who is signed in.

    Raises LoginRejected where the server does not take the credential, or none could, and OutboundError where there was no such answer.
    """
    destination = client.guard.check_host(login.host, login.port, origin=login.origin)
    if not _is_sendable(login):
        raise LoginRejected
    limit = asyncio.timeout(deadline.total_seconds())
    try:
        async with limit:
            addresses = await client.guard.addresses(destination)
            async with dial(addresses, login.port, host=destination.host, tls=client.tls) as wire:
                if login.security == "tls":
                    await wire.secure()
                return await _PROTOCOLS[login.protocol](login, wire) or login.username
    except NoTls:
        raise Unreachable(login.origin, Obstacle.TLS, may_have_arrived=False) from None
    except NoVerdict:
        raise Unreachable(login.origin, Obstacle.EXCHANGE, may_have_arrived=True) from None
    except ForbiddenAddress:
        raise EgressRefused(login.origin, "its address is not public") from None
    except socket.gaierror:
        raise Unreachable(login.origin, Obstacle.NAME, may_have_arrived=False) from None
    # A TimeoutError of the system's, when a dial has taken too long for it, is one of them.
    except OSError:
        if limit.expired():
            raise DeadlineExceeded(login.origin, deadline, may_have_arrived=True) from None
        raise Unreachable(login.origin, Obstacle.CONNECTION, may_have_arrived=False) from None


def _is_sendable(login: Login) -> bool:
    """An empty name or password is no credential: a directory takes either for nobody in particular, whom it lets in."""
    username, password = login.username, login.password.reveal()
    return bool(username and password) and not _UNSENDABLE.search(username + password)

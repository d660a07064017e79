"""TLS that goes on where it left off: a server that was verified a moment ago is not verified again for the next connection.

Many providers close each connection with its answer, and most of what a new one costs is to check certificates. In TLS 1.3 a server hands
out tickets, and whoever comes back with one proves itself, and has the server prove itself, by a secret that only these two have; keys
are agreed on anew. A server that does not know its ticket is verified in full, as is every one some minutes after it last was, so that a
certificate that is over or withdrawn does not stay good for long. Before TLS 1.3 what is said would be protected less; there each
connection is verified in full.
"""

import ssl
from collections.abc import Callable
from typing import Final, Self

from api.clock import seconds_since_boot

_GOOD_FOR_SECONDS: Final = 600.0
_SERVERS_REMEMBERED: Final = 1000


class _Conversation(ssl.SSLObject):
    is_noted = False


class ResumingContext(ssl.SSLContext):
    """A context whose clients go on where they left off with the same host. `seconds`: a clock that goes on steadily."""

    _tickets: dict[str, tuple[ssl.SSLSession, float]]
    _seconds: Callable[[], float]
    sslobject_class = _Conversation

    def __new__(cls, protocol: int, *, seconds: Callable[[], float] = seconds_since_boot) -> Self:
        context = super().__new__(cls, protocol)
        context._tickets, context._seconds = {}, seconds
        return context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session or self._ticket(server_hostname))

    def note(self, conversation: object) -> None:
        """To be told of a connection once something has come over it: only then is there a ticket."""
        if not isinstance(conversation, _Conversation) or conversation.is_noted:
            return
        conversation.is_noted = True
        host = conversation.server_hostname
        # A ticket of one that was resumed is not taken: how long ago the server was verified counts from the certificate.
        if host is None or conversation.session_reused or conversation.version() != "TLSv1.3":
            return
        ticket = conversation.session
        if ticket is not None and ticket.has_ticket:
            self._keep(host, ticket)

    def _keep(self, host: str, ticket: ssl.SSLSession) -> None:
        self._tickets.pop(host, None)
        if len(self._tickets) >= _SERVERS_REMEMBERED:
            del self._tickets[next(iter(self._tickets))]
        self._tickets[host] = ticket, self._seconds()

    def _ticket(self, host: str | bytes | None) -> ssl.SSLSession | None:
        if not isinstance(host, str) or host not in self._tickets:
            return None
        ticket, verified_at = self._tickets[host]
        if self._seconds() - verified_at < _GOOD_FOR_SECONDS:
            return ticket
        del self._tickets[host]
        return None

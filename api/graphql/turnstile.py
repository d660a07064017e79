"""How much one caller gets of the endpoint, so that nobody takes what there is of it from all others."""

from math import ceil
from typing import Any, Self

from api.access import Actor
from api.clock import Steady
from api.graphql.bodies import NotExecuted
from api.graphql.refusals import Code
from api.throttling import Bucket, Buckets, Rate, Seat, Seats

STREAMS_PER_CALLER = 50
# Requests with a whole document, which are read into memory.
LONG_REQUESTS = 4
# Sockets whose caller is not known yet; they have five seconds to say it.
STRANGERS_PER_ADDRESS = 20
# Beside a steady twenty a second there is room for a client that comes back: it begins all of its fifty operations at once.
MESSAGES = Rate(20, in_one_go=120)


class Turnstile:
    """`calls`: what each user may ask for, by whichever way they ask."""

    def __init__(self, calls: Buckets, steady: Steady) -> None:
        self.steady = steady
        self.calls = calls
        self.callers = Seats(STREAMS_PER_CALLER)
        self.strangers = Seats(STRANGERS_PER_ADDRESS)
        self.long_requests = Seats(LONG_REQUESTS)

    def visit(self) -> "Visit":
        return Visit(self)


class Visit:
    """One request or one socket. At the end of the block it gives back what it took."""

    def __init__(self, turnstile: Turnstile) -> None:
        self._turnstile = turnstile
        self._seat = Seat()
        self._load = Seat()
        # Who asks, once that is known.
        self.actor: Actor | None = None
        # The operation that a request asks for, once it was read.
        self.asked: dict[str, Any] | None = None
        self._messages: Bucket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._load.leave()
        self._seat.leave()

    def wait_as_stranger(self, address: str) -> bool:
        """Whether one more socket may wait there to say who calls."""
        return self._seat.take(self._turnstile.strangers, address)

    def stay(self, actor: Actor) -> None:
        """Stay for long. Raises NotExecuted where the caller has too many sockets and streams already."""
        if not self._seat.take(self._turnstile.callers, actor.user_id):
            message = f"You have {STREAMS_PER_CALLER} sockets and streams already; close one of them."
            raise NotExecuted(429, message, Code.THROTTLED, headers={"retry-after": "1"})

    def bring_much(self) -> None:
        """Bring a whole document. Raises NotExecuted where too many others are doing so."""
        if not self._load.take(self._turnstile.long_requests, None):
            message = "Other requests with documents are being read just now; send it again."
            raise NotExecuted(429, message, Code.THROTTLED, headers={"retry-after": "2"})

    def ask(self, actor: Actor) -> None:
        """Ask for one operation. Raises NotExecuted where the caller asked for too many."""
        self.actor = actor
        seconds = ceil(self._turnstile.calls.take(actor.user_id))
        if seconds:
            message = f"You ask more often than this server lets one user; ask again in {seconds} s."
            raise NotExecuted(429, message, Code.THROTTLED, headers={"retry-after": str(seconds)})

    def hear(self) -> bool:
        """Whether one more message is listened to now."""
        now = self._turnstile.steady()
        if self._messages is None:
            self._messages = Bucket(MESSAGES, now)
        return not self._messages.take(now)

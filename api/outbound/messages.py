"""What is said to a server as a whole, and what it says as a whole. Printed, neither shows a secret."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from multidict import CIMultiDict, CIMultiDictProxy

from api.outbound.egress import origin_of


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def __repr__(self) -> str:
        size = "no" if self.body is None else f"{len(self.body)} bytes of"
        return f"OutboundRequest({self.method} {origin_of(self.url)}, headers: {', '.join(self.headers) or 'none'}, {size} body)"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said. The names of headers are told apart without regard to case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    # When it came, where that was earlier than now: it was kept meanwhile.
    received_at: datetime | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.headers, CIMultiDictProxy):
            object.__setattr__(self, "headers", CIMultiDictProxy(CIMultiDict(self.headers)))

    def received(self, at: datetime) -> "Answer":
        """The same answer, with the time at which it came."""
        return replace(self, received_at=at)

    def __repr__(self) -> str:
        return f"Answer({self.status}, {len(self.headers)} headers, {len(self.body)} bytes)"

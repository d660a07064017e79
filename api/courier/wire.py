"""What server and courier say to each other: JSON in frames, each after its length in four bytes.

Both ends are of the same user on the same machine; the socket lets nobody else in. They need not be of the same version: the first
message of a server names its own, and a courier of another one is replaced.
"""

import asyncio
import base64
import os
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID

import orjson

from api.courier.journal import SEGMENT_BYTES
from api.outbound.http import Answer, AnswerTooLarge, DeadlineExceeded, EgressRefused, Obstacle, OutboundError, OutboundRequest, Unreachable

VERSION: Final = 3
# Exchanges, in all and with one host, where no more are asked for.
AT_ONCE: Final = 256
AT_ONCE_WITH_HOST: Final = 64
_LARGEST_FRAME: Final = 4 * 1024 * 1024
_READ_AT_ONCE: Final = 256 * 1024
# The length of a path that a Unix socket takes; without /proc there is no way around it.
_LONGEST_ADDRESS: Final = 100


class Refusal(StrEnum):
    """Why the courier did not carry an order. Nothing was sent."""

    # It was asked only for what it has, and has nothing.
    NOTHING = "nothing"
    # It is about to end.
    DRAINING = "draining"
    # The time in which it might have been sent is over.
    LATE = "late"
    # The journal has no room for another answer.
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a courier must know to call the outside as its server would."""

    egress_allow: frozenset[str] = frozenset()
    ca_file: Path | None = None
    # How many exchanges are under way at most, in all and with one host, and how large each segment of the journal is for that.
    at_once: int = AT_ONCE
    at_once_with_host: int = AT_ONCE_WITH_HOST
    segment_bytes: int = SEGMENT_BYTES

    def to_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "egress_allow": sorted(self.egress_allow),
            "ca_file": self.ca_file and str(self.ca_file),
            "at_once": [self.at_once, self.at_once_with_host],
            "segment_bytes": self.segment_bytes,
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        ca_file = Path(said["ca_file"]) if said["ca_file"] else None
        at_once, at_once_with_host = said["at_once"]
        return cls(frozenset(said["egress_allow"]), ca_file, at_once, at_once_with_host, said["segment_bytes"])


@dataclass(frozen=True, slots=True)
class Errand:
    """Which exchange: a connection, what of it is consumed, and under which lease. The same one is never under way twice."""

    connection_id: UUID
    # What the exchange consumes: a keyed hash, and the generation of the credential.
    consumed: str
    lease_number: int

    def to_json(self) -> dict[str, Any]:
        return {"connection": str(self.connection_id), "consumed": self.consumed, "lease": self.lease_number}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        return cls(UUID(said["connection"]), said["consumed"], said["lease"])

    @property
    def key(self) -> tuple[UUID, str]:
        return self.connection_id, self.consumed


@dataclass(frozen=True, slots=True)
class Order:
    errand: Errand
    request: OutboundRequest = field(repr=False)
    deadline: timedelta
    max_bytes: int
    # Whether to ask the provider, where there is no answer yet and none under way.
    may_send: bool
    # On the clock of `seconds_since_boot`, which server and courier share: not sent later than this.
    send_before: float
    # The answers up to this one were heard, and did not end the matter.
    after: int = 0

    def to_json(self) -> dict[str, Any]:
        request = self.request
        return self.errand.to_json() | {
            "method": request.method,
            "url": request.url,
            "headers": dict(request.headers),
            "body": None if request.body is None else _text(request.body),
            "deadline": self.deadline.total_seconds(),
            "max_bytes": self.max_bytes,
            "may_send": self.may_send,
            "send_before": self.send_before,
            "after": self.after,
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        body = None if said["body"] is None else _bytes(said["body"])
        return cls(
            errand=Errand.from_json(said),
            request=OutboundRequest(said["method"], said["url"], said["headers"], body),
            deadline=timedelta(seconds=said["deadline"]),
            max_bytes=said["max_bytes"],
            may_send=said["may_send"],
            send_before=said["send_before"],
            after=said["after"],
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that the courier has, until it is settled. Sequence 0: it found no room in the journal and is in no file."""

    sequence: int
    errand: Errand
    answer: Answer
    # How long ago it came, in whole seconds, when it is told.
    age: timedelta = timedelta()

    def to_json(self) -> dict[str, Any]:
        """Without its sequence, which is known once it is written."""
        answer = self.answer
        return self.errand.to_json() | {
            "status": answer.status,
            # As plain texts: they come in a kind of their own.
            "headers": {str(name): value for name, value in answer.headers.items()},
            "body": _text(answer.body),
            "received_at": None if answer.received_at is None else answer.received_at.isoformat(),
            "age": self.age.total_seconds(),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any], sequence: int) -> Self:
        answer = Answer(said["status"], said["headers"], _bytes(said["body"]), datetime.fromisoformat(said["received_at"]))
        return cls(sequence, Errand.from_json(said), answer, timedelta(seconds=said["age"]))

    def told(self, now: datetime) -> Self:
        assert self.answer.received_at is not None
        return replace(self, age=timedelta(seconds=max(0, (now - self.answer.received_at) // timedelta(seconds=1))))


def failure_to_json(error: OutboundError) -> dict[str, Any]:
    said: dict[str, Any] = {"origin": error.origin, "may_have_arrived": error.may_have_arrived}
    match error:
        case EgressRefused():
            return said | {"kind": "egress", "problem": error.problem}
        case DeadlineExceeded():
            return said | {"kind": "deadline", "seconds": error.deadline.total_seconds()}
        case AnswerTooLarge():
            return said | {"kind": "large", "what": error.what}
        case Unreachable():
            return said | {"kind": "unreachable", "obstacle": error.obstacle}
    return said | {"kind": "unreachable", "obstacle": Obstacle.EXCHANGE}


def failure_from_json(said: Mapping[str, Any]) -> OutboundError:
    origin, may_have_arrived = said["origin"], said["may_have_arrived"]
    match said["kind"]:
        case "egress":
            return EgressRefused(origin, said["problem"])
        case "deadline":
            return DeadlineExceeded(origin, timedelta(seconds=said["seconds"]), may_have_arrived=may_have_arrived)
        case "large":
            return AnswerTooLarge(origin, said["what"])
        case _:
            return Unreachable(origin, Obstacle(said["obstacle"]), may_have_arrived=may_have_arrived)


def frame(message: Mapping[str, Any]) -> bytes:
    body = orjson.dumps(message)
    return len(body).to_bytes(4, "big") + body


class Outbox:
    """What is said to the other end: all that is said in one go of the event loop is sent in one."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._frames: list[bytes] = []

    def say(self, message: Mapping[str, Any]) -> None:
        """Whoever is gone does not hear it."""
        if not self._frames:
            asyncio.get_running_loop().call_soon(self._send)
        self._frames.append(frame(message))

    def close(self) -> None:
        """Send what was said, and end."""
        self._send()
        self._writer.close()

    def _send(self) -> None:
        frames, self._frames = self._frames, []
        if frames and not self._writer.is_closing():
            self._writer.write(b"".join(frames))


class Inbox:
    """What the other end says: all that has come is read in one go, and heard one by one."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._unread = bytearray()
        self._messages: deque[dict[str, Any]] = deque()

    async def next(self) -> dict[str, Any]:
        """The next message. Raises EOFError at the end, ValueError where what comes is none, and OSError."""
        while not self._messages:
            came = await self._reader.read(_READ_AT_ONCE)
            if not came:
                raise EOFError("the other end is gone")
            self._unread += came
            self._take()
        return self._messages.popleft()

    def _take(self) -> None:
        begin = 0
        while (body := begin + 4) <= len(self._unread):
            end = body + int.from_bytes(self._unread[begin:body], "big")
            if end - body > _LARGEST_FRAME:
                raise ValueError("a frame is larger than any")
            if end > len(self._unread):
                break
            self._messages.append(orjson.loads(self._unread[body:end]))
            begin = end
        del self._unread[:begin]


@contextmanager
def address(folder: Path) -> Iterator[str]:
    """Where the socket of a courier's folder is, in a form that is short enough for one; good within the block."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        path = str(folder / "socket")
        yield path if len(path.encode()) <= _LONGEST_ADDRESS else f"/proc/self/fd/{descriptor}/socket"
    finally:
        os.close(descriptor)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)

"""The courier itself: listens on its socket, carries what servers order, and ends when nobody needs it any more."""

import asyncio
import logging
import os
import secrets
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import orjson

from api.clock import Clock, seconds_since_boot
from api.courier.journal import Journal, JournalFull, JournalOfAnother
from api.courier.shelf import Key, Shelf
from api.courier.wire import Inbox, Kept, Order, Outbox, Refusal, Terms, address, failure_to_json
from api.outbound.http import EgressGuard, OutboundClient, OutboundError

logger = logging.getLogger(__name__)

# How long it stays without a server: one that crashed is back before.
_ALONE: Final = timedelta(minutes=1)
_LOOK_AGAIN_SECONDS: Final = 0.5
_BACKLOG: Final = 16


class DiskFailed(Exception):
    """The journal could not be written: what the disk holds is known only to whoever reads it anew."""


class _Session(Outbox):
    """One server that is connected."""


@dataclass(slots=True)
class _Flight:
    """An exchange that is under way."""

    # Who waits for its answer, each with the number of the order.
    listeners: list[tuple[_Session, int]]
    task: "asyncio.Task[None] | None" = None


class CourierProcess:
    """Carries errands for as long as `serve` runs. It learns its key and its terms from the first server that comes."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._id = _identity(folder)
        self._resources = AsyncExitStack()
        self._introduced: tuple[str, dict[str, Any]] | None = None
        self._journal: Journal | None = None
        self._http: OutboundClient | None = None
        self._tasks = asyncio.TaskGroup()
        self._sessions: set[_Session] = set()
        self._flights: dict[Key, _Flight] = {}
        self._shelf = Shelf()
        self._ends = asyncio.Event()
        self._alone_since = seconds_since_boot()

    async def serve(self) -> None:
        """Until it is told to end, or nobody has come for a minute; what is under way then is finished. Raises DiskFailed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ends.set)
        try:
            async with self._resources, self._tasks:
                with _listening(self._folder) as listener:
                    server = await asyncio.start_unix_server(self._meet, sock=listener)
                    logger.info("courier ready", extra={"courier": self._id})
                    await self._needed()
                    # Nobody new comes in. What is under way is finished, and told to whoever still listens.
                    server.close()
                await self._landed()
                # A task of the group's own, which does not end by itself.
                for session in self._sessions:
                    session.close()
        except ExceptionGroup as group:
            if group.subgroup(DiskFailed) is None:
                raise
            raise DiskFailed from None
        logger.info("courier ended", extra={"courier": self._id})

    async def _needed(self) -> None:
        while not self._ends.is_set():
            if self._sessions or self._flights:
                self._alone_since = seconds_since_boot()
            elif seconds_since_boot() - self._alone_since > _ALONE.total_seconds():
                return
            try:
                async with asyncio.timeout(_LOOK_AGAIN_SECONDS):
                    await self._ends.wait()
            except TimeoutError:
                # Nobody told it to end: it looks again whether anybody needs it.
                pass

    async def _landed(self) -> None:
        while under_way := [flight.task for flight in self._flights.values() if flight.task is not None]:
            await asyncio.wait(under_way)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One server, from its first word to its last."""
        session, inbox = _Session(writer), Inbox(reader)
        try:
            if _is_stranger(writer) or not await self._introduce(session, await inbox.next()):
                return
            self._sessions.add(session)
            while True:
                self._hear(session, await inbox.next())
        except (EOFError, OSError, ValueError, KeyError):
            # It is gone, or speaks another language: either way this was its last word.
            pass
        finally:
            self._sessions.discard(session)
            session.close()

    async def _introduce(self, session: _Session, hello: dict[str, Any]) -> bool:
        """Take the key and the terms of the first; whoever comes with others is sent away."""
        said = hello["key"], hello["terms"]
        if self._introduced is None:
            try:
                await self._open(bytes.fromhex(hello["key"]), Terms.from_json(hello["terms"]))
            except (JournalOfAnother, OSError) as error:
                session.say({"refused": str(error) if isinstance(error, JournalOfAnother) else f"The journal cannot be opened: {error}."})
                self._ends.set()
                return False
            self._introduced = said
        if self._introduced != said:
            session.say({"refused": None})
            # A server with other terms starts another courier, once nobody needs this one.
            if not self._sessions:
                self._ends.set()
            return False
        session.say({"courier": self._id})
        return True

    async def _open(self, key: bytes, terms: Terms) -> None:
        self._journal = self._resources.enter_context(Journal.opened(self._folder, key, segment_bytes=terms.segment_bytes))
        for record in self._journal.records:
            self._shelf.put(Kept.from_json(orjson.loads(record.payload), record.sequence), None)
        client = OutboundClient(
            EgressGuard(terms.egress_allow),
            ca_file=terms.ca_file,
            connections=terms.at_once,
            connections_per_host=terms.at_once_with_host,
        )
        self._http = await self._resources.enter_async_context(client)
        logger.info("journal opened", extra={"courier": self._id, "answers": len(self._shelf)})

    def _hear(self, session: _Session, said: dict[str, Any]) -> None:
        match said["say"]:
            case "carry":
                self._carry(session, said["id"], Order.from_json(said))
            case "settle":
                for sequence in said["sequences"]:
                    self._settle(sequence)
            case "unsettled":
                kept = self._shelf.not_of(self._sessions - {session})
                session.say({"id": said["id"], "errands": [each.errand.to_json() | {"sequence": each.sequence} for each in kept]})
            case "leave" if self._sessions == {session}:
                self._ends.set()

    def _carry(self, session: _Session, number: int, order: Order) -> None:
        """Tell the answer that is kept, or that of the exchange that is under way, or of a new one; or why there is none."""
        if kept := self._shelf.find(order):
            session.say({"id": number, "sequence": kept.sequence, "kept": kept.told(self._clock()).to_json()})
            return
        if flight := self._flights.get(order.errand.key):
            flight.listeners.append((session, number))
            return
        if refusal := self._refusal(order):
            session.say({"id": number, "refusal": refusal})
            return
        flight = self._flights[order.errand.key] = _Flight([(session, number)])
        flight.task = self._tasks.create_task(self._fly(flight, order))

    async def _fly(self, flight: _Flight, order: Order) -> None:
        """Exchange, and tell the answer to whoever waits for it. Raises DiskFailed, with which the courier ends: it tells nothing."""
        owner, _ = flight.listeners[0]
        try:
            answer = await self._exchange(owner, order)
        finally:
            del self._flights[order.errand.key]
        for session, number in flight.listeners:
            session.say({"id": number} | answer)

    def _refusal(self, order: Order) -> Refusal | None:
        assert self._journal is not None
        if not order.may_send:
            return Refusal.NOTHING
        if self._ends.is_set():
            return Refusal.DRAINING
        if seconds_since_boot() > order.send_before:
            return Refusal.LATE
        return None if self._journal.has_room(len(self._flights) + 1) else Refusal.FULL

    async def _exchange(self, session: _Session, order: Order) -> dict[str, Any]:
        """Ask the provider; its answer is on disk when this returns. Raises DiskFailed."""
        assert self._http is not None
        try:
            answer = await self._http.send(order.request, deadline=order.deadline, max_bytes=order.max_bytes)
        except OutboundError as error:
            return {"failure": failure_to_json(error)}
        kept = Kept(0, order.errand, answer.received(self._clock()))
        written = orjson.dumps(kept.to_json())
        sequence = await self._keep(kept, written)
        if sequence:
            self._shelf.put(Kept(sequence, kept.errand, kept.answer), session)
        return {"sequence": sequence, "kept": orjson.Fragment(written)}

    async def _keep(self, kept: Kept, written: bytes) -> int:
        """Its sequence once it is on disk; 0 where there is no room. Raises DiskFailed."""
        assert self._journal is not None
        try:
            return await self._journal.append(written)
        except JournalFull:
            # It is told all the same, and lost only if the server dies before it saves.
            logger.warning("answer not kept", extra={"connection": str(kept.errand.connection_id)})
            return 0
        except OSError as error:
            logger.critical("journal not written", extra={"error": error.strerror or type(error).__name__})
            raise DiskFailed from error

    def _settle(self, sequence: int) -> None:
        assert self._journal is not None
        if self._shelf.take_off(sequence):
            self._journal.settle(sequence)


@contextmanager
def _listening(folder: Path) -> Iterator[socket.socket]:
    """The socket, for the owner alone. Whoever calls this is the only courier of the folder, so what is there is left over."""
    file = folder / "socket"
    file.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, address(folder) as path:
        before = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        try:
            yield listener
        finally:
            file.unlink(missing_ok=True)


def _identity(folder: Path) -> str:
    """What the journal in this folder is called in the database; made once."""
    file = folder / "id"
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        identity = secrets.token_hex(16)
        unfinished = folder / "id.unfinished"
        unfinished.write_text(f"{identity}\n")
        unfinished.replace(file)
        return identity


def _is_stranger(writer: asyncio.StreamWriter) -> bool:
    """Whether somebody else than the owner of this process has connected; the socket's mode should have kept them out."""
    if not hasattr(socket, "SO_PEERCRED"):
        return False
    connection = writer.get_extra_info("socket")
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return bool(user != os.getuid())

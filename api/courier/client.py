"""The server's side of the courier: starts it where there is none, stays connected, and orders exchanges."""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from api.clock import seconds_since_boot
from api.courier.wire import Errand, Inbox, Kept, Order, Outbox, Refusal, Terms, address, failure_from_json
from api.errors import PatchbayError, StartRefused

logger = logging.getLogger(__name__)

# A new one waits for a former one to finish what is under way.
_STARTS_WITHIN_SECONDS: Final = 45.0
_CONNECTS_WITHIN_SECONDS: Final = 5.0
_LOOK_AGAIN_SECONDS: Final = 0.05
_TRY_AGAIN_SECONDS: Final = 1.0
_PROJECT: Final = Path(__file__).parents[2]


class CourierAway(PatchbayError):
    """There is no courier just now. Where `may_have_arrived`, it was given the order before it went away."""

    def __init__(self, *, may_have_arrived: bool) -> None:
        super().__init__("The courier, which asks providers for tokens, is not there just now.", "Try again in a few seconds.")
        self.may_have_arrived = may_have_arrived


class NotCarried(PatchbayError):
    """The courier did not send the order, nor has it an answer."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"The courier did not carry an order: {refusal}.", "Try again in a few seconds.")
        self.refusal = refusal


class Courier:
    """Made by `Courier.running`, which keeps it connected."""

    def __init__(self, folder: Path, key: bytes, terms: Terms) -> None:
        self._folder = folder
        self._hello = {"key": key.hex(), "terms": terms.to_json()}
        self._child: subprocess.Popen[bytes] | None = None
        self._outbox: Outbox | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0
        # What it is called in the database; known once it was met.
        self.id = ""

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path, key: bytes, terms: Terms) -> AsyncIterator["Courier"]:
        """Connected to a courier for as long as this lasts, and to another one soon if it ends. Raises StartRefused.

        `key` seals its journal; `terms` say how it calls the outside.
        """
        courier = cls(folder, key, terms)
        try:
            # allowed: ownerless-task: this block ends it and waits for it; a courier that is lost must not cancel what runs in the block
            staying = asyncio.create_task(courier._stay(await courier._connect()))
            try:
                yield courier
            finally:
                courier._leave()
                staying.cancel()
                await asyncio.wait([staying])
        finally:
            courier._lose()
            await courier._reap()

    @property
    def is_there(self) -> bool:
        return self._outbox is not None

    async def carry(self, order: Order) -> Kept:
        """The answer to an order: kept from before, or of the exchange that is under way, or of a new one.

        Raises OutboundError where the provider gave none, NotCarried, CourierAway.
        """
        reply = await self._ask({"say": "carry"} | order.to_json())
        if "refusal" in reply:
            raise NotCarried(Refusal(reply["refusal"]))
        if "failure" in reply:
            raise failure_from_json(reply["failure"])
        return Kept.from_json(reply["kept"], reply["sequence"])

    async def unsettled(self) -> list[tuple[Errand, int]]:
        """The answers that are kept for this server, or for one that is gone, each by its sequence. Raises CourierAway."""
        reply = await self._ask({"say": "unsettled"})
        return [(Errand.from_json(said), said["sequence"]) for said in reply["errands"]]

    def settle(self, sequences: Iterable[int]) -> None:
        """Let it forget answers. If it does not hear of it, they come back, and nothing comes of them."""
        if self._outbox is not None:
            self._outbox.say({"say": "settle", "sequences": [sequence for sequence in sequences if sequence]})

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        if self._outbox is None:
            raise CourierAway(may_have_arrived=False)
        self._number += 1
        number = self._number
        reply = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._outbox.say(message | {"id": number})
            answer: dict[str, Any] = await reply
            return answer
        finally:
            self._waiting.pop(number, None)

    async def _stay(self, inbox: Inbox) -> None:
        while True:
            await self._listen(inbox)
            logger.warning("courier went away")
            inbox = await self._connect_again()

    async def _listen(self, inbox: Inbox) -> None:
        try:
            while True:
                reply = await inbox.next()
                waiting = self._waiting.get(reply["id"])
                if waiting is not None and not waiting.done():
                    waiting.set_result(reply)
        except (EOFError, OSError, ValueError):
            # It is gone, which whoever waits for it is told, and the caller sees to.
            pass
        finally:
            self._lose()

    def _lose(self) -> None:
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            outbox.close()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(CourierAway(may_have_arrived=True))

    async def _connect_again(self) -> Inbox:
        while True:
            try:
                return await self._connect()
            # Without it nothing is exchanged, and the log says why each time; with the next one all goes on.
            except (StartRefused, OSError):
                logger.exception("courier not started")
                await asyncio.sleep(_TRY_AGAIN_SECONDS)

    async def _connect(self) -> Inbox:
        """To the courier that is there, or to a new one. Raises StartRefused."""
        until = seconds_since_boot() + _STARTS_WITHIN_SECONDS
        while seconds_since_boot() < until:
            inbox = await self._meet()
            if inbox is not None:
                return inbox
            self._start()
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        raise StartRefused(
            f"The courier, which asks providers for tokens, does not start; see {self._folder / 'log'}.",
            "Mend what it says there, or set PATCHBAY_COURIER=off to do without its protection.",
        )

    async def _meet(self) -> Inbox | None:
        """Introduce ourselves to the courier that listens; None where none does, or where it takes no one like us. Raises StartRefused."""
        try:
            async with asyncio.timeout(_CONNECTS_WITHIN_SECONDS):
                with address(self._folder) as path:
                    reader, writer = await asyncio.open_unix_connection(path)
                inbox, outbox = Inbox(reader), Outbox(writer)
                outbox.say(self._hello)
                reply = await inbox.next()
        except (EOFError, OSError, ValueError):
            return None
        if "courier" in reply:
            self._outbox, self.id = outbox, reply["courier"]
            return inbox
        outbox.close()
        if reply["refused"] is not None:
            raise StartRefused(reply["refused"])
        return None

    def _start(self) -> None:
        """Start one, unless the one that was started last still runs: it may be waiting for a former one to end."""
        if self._child is not None and self._child.poll() is None:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The environment is handed on without our settings, of which some are secret: what it must know, it is told.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PATCHBAY_")}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_PROJECT), environment.get("PYTHONPATH")]))
        with (self._folder / "log").open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603  # this program, and a path of the operator's
                [sys.executable, "-m", "api.courier", str(self._folder)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                # Its own session, so that what ends the server does not end it.
                start_new_session=True,
                cwd="/",
                env=environment,
            )

    def _leave(self) -> None:
        if self._outbox is not None:
            self._outbox.say({"say": "leave"})

    async def _reap(self) -> None:
        """Wait for the courier that was started here, if it ends at once: others may still need it."""
        if self._child is None:
            return
        until = seconds_since_boot() + _CONNECTS_WITHIN_SECONDS
        while self._child.poll() is None and seconds_since_boot() < until:
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        if self._child.returncode is None:
            # It stays, and nobody here waits for it any more; without this, `Popen` would complain of that.
            self._child.returncode = 0

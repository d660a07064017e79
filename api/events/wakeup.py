"""A hint that something was committed. Hints may be lost: whoever waits looks again after a second anyway."""

import asyncio


class Wakeup:
    """Wakes everyone who waits. Take a ticket before you look, then wait on it: a signal in between is not missed."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.closed = False

    def ticket(self) -> asyncio.Event:
        return self._event

    def signal(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    def close(self) -> None:
        """Wake everyone for the last time: whoever finds it closed stops watching."""
        self.closed = True
        self.signal()


async def wait(ticket: asyncio.Event, *, seconds: float) -> None:
    """Until the ticket is called, or so many seconds passed."""
    try:
        async with asyncio.timeout(seconds):
            await ticket.wait()
    except TimeoutError:
        pass

"""What came of a kind of trial, and the one who looks: at every answer, at the log, and at the time that it took."""

import asyncio
import base64
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from api.logs import EventFormatter

Sent = TypeVar("Sent")

SLOW_SECONDS = 1.0
_MOST_EXAMPLES = 10
# The client of the trials, and a log that is switched off where Patchbay serves.
_NOT_THE_SERVERS = ("httpx2", "uvicorn.access")


@dataclass
class Tally:
    """The figures of one kind of trial. Seconds are of processor time, so that a busy machine makes nothing slow."""

    what: str
    trials: int = 0
    server_errors: int = 0
    leaks: int = 0
    slow: int = 0
    crashes: int = 0
    slowest: float = 0.0
    # How often it ended how: it shows whether the trials reach what they are meant for.
    outcomes: dict[str, int] = field(default_factory=dict)
    # What was sent where something was found, shortened.
    examples: list[str] = field(default_factory=list)

    @property
    def found(self) -> int:
        return self.server_errors + self.leaks + self.slow + self.crashes

    def count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def server_error(self, sent: object) -> None:
        self.server_errors += 1
        self._show("5xx", sent)

    def crash(self, sent: object) -> None:
        self.crashes += 1
        self._show("crash", sent)

    def leak(self, sent: object) -> None:
        self.leaks += 1
        self._show("leak", sent)

    def took(self, seconds: float, sent: object) -> None:
        self.slowest = max(self.slowest, seconds)
        if seconds > SLOW_SECONDS:
            self.slow += 1
            self._show(f"{seconds:.2f} s", sent)

    def _show(self, what: str, sent: object) -> None:
        if len(self.examples) < _MOST_EXAMPLES:
            self.examples.append(f"{what}: {sent!r:.2000}")


class Watch(logging.Handler):
    """Knows the secrets that were planted, and keeps what the log says, as an operator would read it, for the trial under way."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(EventFormatter())
        self._secrets: set[str] = set()
        self._pattern = re.compile(r"(?!)")
        self._lines: list[str] = []
        self._errors = 0

    def plant(self, secrets: Iterable[str]) -> None:
        """Look for these from now on, in all the forms that a text takes on its way."""
        for secret in secrets:
            raw = secret.encode()
            self._secrets |= {
                secret,
                raw.hex(),
                base64.b64encode(raw).decode().rstrip("="),
                base64.urlsafe_b64encode(raw).decode().rstrip("="),
            }
        self._pattern = re.compile("|".join(map(re.escape, sorted(self._secrets))))

    def sees_secret(self, text: str) -> bool:
        return self._pattern.search(text) is not None

    def emit(self, record: logging.LogRecord) -> None:
        if record.name in _NOT_THE_SERVERS:
            return
        self._lines.append(self.format(record))
        self._errors += record.levelno >= logging.ERROR or record.exc_info is not None

    async def trials(self, tally: Tally, batch: Sequence[Sent], trial: Callable[[Sent], Awaitable[None]]) -> None:
        """Try a few at once. An exception that gets out of one, an error in the log and a secret in the log are counted.

        Where together they take too long, each is tried again alone.
        """
        tally.trials += len(batch)
        seconds = await self._tried(tally, batch, trial)
        if seconds <= SLOW_SECONDS or len(batch) == 1:
            tally.took(seconds, batch)
        else:
            for each in batch:
                tally.took(await self._tried(tally, [each], trial), each)
        if self._errors:
            tally.crash((self._lines, batch))
        if self.sees_secret("\n".join(self._lines)):
            tally.leak((self._lines, batch))
        # Here and not before it, so that what is said between two trials is not missed.
        self._lines.clear()
        self._errors = 0

    async def _tried(self, tally: Tally, batch: Sequence[Sent], trial: Callable[[Sent], Awaitable[None]]) -> float:
        began = time.process_time()
        results = await asyncio.gather(*(trial(each) for each in batch), return_exceptions=True)
        seconds = time.process_time() - began
        for each, result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                tally.crash((f"{type(result).__name__}: {result}", each))
        return seconds


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch the whole log of this process, as the server keeps it."""
    watch = Watch()
    root = logging.getLogger()
    level = root.level
    root.addHandler(watch)
    root.setLevel(logging.INFO)
    try:
        yield watch
    finally:
        root.removeHandler(watch)
        root.setLevel(level)


def table(tallies: Iterable[Tally]) -> str:
    heads = ("what", "trials", "5xx", "leaks", "over 1 s", "crashes", "slowest (CPU s)")
    rows = [
        (each.what, f"{each.trials:,}", each.server_errors, each.leaks, each.slow, each.crashes, f"{each.slowest:.3f}") for each in tallies
    ]
    return "\n".join(f"{row[0]:<32}" + "".join(f"{cell!s:>16}" for cell in row[1:]) for row in (heads, *rows))

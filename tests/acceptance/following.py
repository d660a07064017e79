"""Following the stream of status changes with clients that others wrote, each a process of its own."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.acceptance.asking import Api
from tests.acceptance.processes import HERE, Program, running, until

CLIENTS = {
    "graphql-ws": ("node", HERE / "follow.mjs", "graphql-ws"),
    "graphql-sse": ("node", HERE / "follow.mjs", "graphql-sse"),
    "gql": (sys.executable, HERE / "follow.py"),
}


class Follower:
    """A client that follows what the owner of an API token may see."""

    def __init__(self, program: Program) -> None:
        self._program = program

    @property
    def events(self) -> list[dict[str, Any]]:
        """What came so far, without a line that is being written."""
        return [json.loads(line) for line in self._program.output.splitlines(keepends=True) if line.endswith("\n")]

    async def first(self, number: int, *, within: float = 15) -> list[dict[str, Any]]:
        """The first so many events, once they came."""

        async def look() -> list[dict[str, Any]] | None:
            events = self.events
            assert len(events) >= number or self._program.runs, self._program.log
            return events[:number] if len(events) >= number else None

        return await until(look, within=within)


@asynccontextmanager
async def following(client: str, api: Api, folder: Path, *, after: str) -> AsyncIterator[Follower]:
    """A client that follows from behind a cursor on, for as long as this lasts."""
    async with running(*CLIENTS[client], api.url, api.token, after, words=folder / f"{client}-{after}") as program:
        yield Follower(program)

"""A client that reads all the time, through a load balancer: it asks a replica that says it is ready, and tries the next one only
where a connection is refused."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx2

from api.secret import Secret

_EVERY_SECONDS = 0.05
_LOOK_EVERY_SECONDS = 0.2
_QUERY = "{ connections(first: 10) { nodes { id name status } } }"


class Reader:
    def __init__(self, urls: Sequence[str], token: Secret) -> None:
        self.reads = 0
        self.failed = 0
        # How it failed, in the words of whatever did.
        self.failures: set[str] = set()
        self._token = token
        self._urls = list(urls)
        self._ready: list[str] = []

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Read for as long as this lasts."""
        limits = httpx2.Limits(max_keepalive_connections=0)
        headers = {"Authorization": f"Bearer {self._token.reveal()}"}
        async with httpx2.AsyncClient(trust_env=False, timeout=10, limits=limits, headers=headers) as client, asyncio.TaskGroup() as tasks:
            await self._look(client)
            running = [tasks.create_task(self._look_for_ever(client)), tasks.create_task(self._read_for_ever(client))]
            yield
            for task in running:
                task.cancel()

    async def _look_for_ever(self, client: httpx2.AsyncClient) -> None:
        while True:
            await self._look(client)
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    async def _look(self, client: httpx2.AsyncClient) -> None:
        self._ready = [url for url in self._urls if await _is_ready(client, url)]

    async def _read_for_ever(self, client: httpx2.AsyncClient) -> None:
        while True:
            self.reads += 1
            failure = await self._read(client)
            if failure is not None:
                self.failed += 1
                self.failures.add(failure)
            # In turns.
            self._ready = self._ready[1:] + self._ready[:1]
            await asyncio.sleep(_EVERY_SECONDS)

    async def _read(self, client: httpx2.AsyncClient) -> str | None:
        """Why a read failed, if it did."""
        for url in list(self._ready):
            try:
                answer = await client.post(f"{url}/graphql", json={"query": _QUERY})
            except httpx2.ConnectError:
                continue
            except httpx2.HTTPError as error:
                return type(error).__name__
            return None if answer.status_code == 200 and answer.json().get("errors") is None else f"HTTP {answer.status_code}"
        return "no replica"


async def _is_ready(client: httpx2.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/readyz")).status_code == 200
    except httpx2.HTTPError:
        return False

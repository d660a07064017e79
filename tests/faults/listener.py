"""A subscriber that is away, and a replica that is not told of new events: nothing is missed, nothing comes twice, order is kept."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from gql import Client, gql
from gql.transport.exceptions import TransportError
from gql.transport.websockets import WebsocketsTransport

import models
from models.database_url import DatabaseUrl
from tests.acceptance.asking import Api
from tests.faults.checker import Tally
from tests.faults.records import Records
from tests.faults.supervisor import Terms, installed
from tests.faults.tokens import Mode

_EVENTS = 1_000
# In one transaction, at most.
_AT_ONCE = 10
# Without a notice, new events are found each second. A busy machine may take longer.
_SILENCE_SECONDS = 15.0

_FOLLOW = """
subscription Follow($after: String) { connectionStatusChanged(after: $after) { cursor connectionName } }
"""
_END_LISTENERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"


class Subscriber:
    """Follows all that happens, and goes on from where it stopped. Events tell apart by the name that the connection had."""

    def __init__(self, url: str, token: str, cursor: str) -> None:
        self.names: list[str] = []
        # Why a stream ended that was not left.
        self.ends: list[str] = []
        self._cursor = cursor
        self._url = url.replace("http", "ws", 1)
        self._token = token

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow for as long as this lasts."""
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self._follow())
            yield
            task.cancel()

    async def has(self, count: int) -> None:
        """Wait until it has so many, or until nothing comes any more: what is missing then is missing."""
        while len(self.names) < count:
            before = len(self.names)
            try:
                async with asyncio.timeout(_SILENCE_SECONDS):
                    while len(self.names) == before:
                        await asyncio.sleep(0.05)
            except TimeoutError:
                return

    async def _follow(self) -> None:
        try:
            transport = WebsocketsTransport(
                self._url, init_payload={"authorization": self._token}, subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL]
            )
            request = gql(_FOLLOW)
            request.variable_values = {"after": self._cursor}
            async with Client(transport=transport) as session:
                async for result in session.subscribe(request):
                    event = result["connectionStatusChanged"]
                    self._cursor = event["cursor"]
                    self.names.append(event["connectionName"])
        except TransportError as error:
            self.ends.append(str(error))


async def listener(terms: Terms, folder: Path) -> Tally:
    """In each trial somebody is away for a thousand events and comes back, and no notice comes through meanwhile."""
    tally, expected = Tally(), list[str]()
    async with installed(folder, terms, Mode.STRICT) as here, here.records() as records, here.serving():
        await here.connect(1)
        async with Api.opened(f"{here.url}/graphql", here.token.reveal()) as api:
            (connection,) = await api.connections()
            subscriber = Subscriber(api.url, api.token, await api.cursor(connection["id"]))
        for _ in range(terms.trials):
            async with subscriber.following():
                expected += await _happen(records, len(expected), 1)
                await subscriber.has(len(expected))
            expected += await _happen(records, len(expected), _EVENTS // 2)
            async with subscriber.following():
                await _end_listeners(terms.database.url)
                expected += await _happen(records, len(expected), _EVENTS // 2)
                await subscriber.has(len(expected))
            tally.trials += 1
    tally.note = _compared(expected, subscriber)
    return tally


def _compared(expected: list[str], subscriber: Subscriber) -> str:
    came = subscriber.names
    missing, twice = len(set(expected) - set(came)), len(came) - len(set(came))
    order = "in order" if came == sorted(came) else "out of order"
    ends = f", streams ended: {subscriber.ends}" if subscriber.ends else ""
    return f"{len(expected)} events: {missing} missing, {twice} twice, {order}{ends}"


async def _happen(records: Records, first: int, count: int) -> list[str]:
    """So many events, numbered from here on, as another replica would write them; their names in the order of their commits."""
    names = [f"{number:08}" for number in range(first, first + count)]
    rest = list(names)
    connection = await models.Connection.all().first()
    assert connection is not None
    while rest:
        batch = [rest.pop(0) for _ in range(min(len(rest), random.randint(1, _AT_ONCE)))]
        await records.tell(connection, batch)
    return names


async def _end_listeners(url: str) -> None:
    session = await asyncpg.connect(**DatabaseUrl.parse(url).credentials)
    try:
        await session.execute(_END_LISTENERS)
    finally:
        await session.close()

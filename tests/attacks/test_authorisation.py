"""Attacks on who may do what."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID, uuid4

import pytest

import models
from api.access import Actor
from api.events.feed import EventFeed, EventSelection
from api.events.wakeup import Wakeup
from api.graphql.schema import schema
from api.secret import Secret
from models import ConnectionEventType, ConnectionStatus, Permission
from tests.graphql.asking import Graph
from tests.graphql.endpoint import Endpoint, hear, open_endpoint, say
from tests.installation import Installation

pytestmark = pytest.mark.anyio

# A32


@dataclass
class Watcher:
    """Somebody who watches on each of two replicas, and what they were shown: the numbers of the events."""

    actor: Actor
    end: Callable[[], Awaitable[object]]
    shown: list[int] = field(default_factory=list)
    # The number of the last event whose commit had begun when the end was committed.
    last: int = -1

    async def watch(self, feed: EventFeed) -> None:
        async for placed in feed.watch(self.actor, EventSelection(), after=None):
            self.shown.append(int(placed.event.connection_name))


async def person(here: Installation, folder_id: UUID, way: str) -> Watcher:
    """Somebody who may look into a folder, in a way that ends."""
    people, name = here.patchbay.people, f"{way} {uuid4().hex[:6]}"
    user = await here.add_person(name)
    await here.patchbay.folders.set_access(here.ada, folder_id, user.user_id, Permission.VIEW)
    match way:
        case "sign out":
            cookie = await people.sign_in_with_link(await people.new_sign_in_link(user.user_id))
            assert cookie is not None
            actor = await people.actor_of_session(cookie)
            end: Callable[[], Awaitable[object]] = partial(people.sign_out, cookie)
        case "token revoked":
            new = await people.create_token(user, name=name)
            actor = await people.actor_of_token(new.token)
            end = partial(people.revoke_token, here.ada, new.row.id)
        case "deactivated":
            actor, end = user, partial(people.deactivate, here.ada, user.user_id)
        case _:
            actor, end = user, partial(here.patchbay.folders.set_access, here.ada, folder_id, user.user_id, Permission(0))
    assert actor is not None
    return Watcher(actor, end)


@asynccontextmanager
async def second_replica(here: Installation) -> AsyncIterator[EventFeed]:
    """The feed of another process: nothing here wakes it but the database, and on SQLite its own look each second."""
    feed = EventFeed(here.patchbay.feed._access, here.patchbay.feed._database, Wakeup(), here.clock)
    async with feed.running():
        yield feed


async def tell(here: Installation, folder_id: UUID, number: int) -> None:
    async with here.log.change():
        await models.ConnectionEvent.create(
            type=ConnectionEventType.RENAMED,
            connection_id=uuid4(),
            connection_name=str(number),
            connector_key="sandbox",
            folder_id=folder_id,
            status=ConnectionStatus.CONNECTED,
            at=here.clock(),
        )


@pytest.mark.timeout(60)
async def test_a32_nothing_that_happens_after_a_right_ended_is_shown_on_either_of_two_replicas(here: Installation) -> None:
    """24 streams under load, and four ways in which a right ends."""
    folder = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)
    ways = ["sign out", "token revoked", "deactivated", "access taken away"]
    watchers = [await person(here, folder.id, way) for way in ways for _ in range(3)]
    begun, stopped = 0, asyncio.Event()

    async def keep_changing() -> None:
        nonlocal begun
        while not stopped.is_set():
            begun += 1
            await tell(here, folder.id, begun)

    async with second_replica(here) as second, asyncio.TaskGroup() as tasks:
        feeds = [here.patchbay.feed, second]
        watching = [tasks.create_task(watcher.watch(feed)) for watcher in watchers for feed in feeds]
        while sum(len(feed._subscribers) for feed in feeds) < len(watching):
            await asyncio.sleep(0)
        writing = tasks.create_task(keep_changing())
        for watcher in watchers:
            while begun < 5 or not watcher.shown:
                await asyncio.sleep(0)
            await watcher.end()
            watcher.last = begun
        stopped.set()
        await writing
        await tell(here, folder.id, begun + 1)
        # Who lost their session, token or account is not left with a stream that says nothing.
        ended = watching[: 2 * 9]
        async with asyncio.timeout(15):
            await asyncio.gather(*ended)
        for stream in watching:
            stream.cancel()

    assert [watcher.actor.name for watcher in watchers if max(watcher.shown) > watcher.last] == []


async def test_a32_a_stream_ends_with_its_session_within_a_second_and_others_go_on(here: Installation) -> None:
    people = here.patchbay.people
    cookies = [await people.sign_in_with_link(await people.new_sign_in_link(here.ada.user_id)) for _ in range(3)]
    actors = [await people.actor_of_session(cookie) for cookie in cookies if cookie is not None]
    streams = []
    async with asyncio.TaskGroup() as tasks:
        for actor in actors:
            assert actor is not None
            streams.append(tasks.create_task(Watcher(actor, asyncio.Event().wait).watch(here.patchbay.feed)))
        while len(here.patchbay.feed._subscribers) < 3:
            await asyncio.sleep(0)

        assert cookies[0] is not None
        await people.sign_out(cookies[0])
        async with asyncio.timeout(1):
            await streams[0]
        assert [stream.done() for stream in streams] == [True, False, False]

        await models.Session.filter(token_hash=actors[1].session_hash if actors[1] else "").update(expires_at=here.clock())
        async with asyncio.timeout(5):
            await streams[1]
        assert not streams[2].done()
        streams[2].cancel()


async def test_a32_a_session_that_was_signed_out_of_meanwhile_allows_nothing(here: Installation) -> None:
    people = here.patchbay.people
    cookie = await people.sign_in_with_link(await people.new_sign_in_link(here.ada.user_id))
    assert cookie is not None
    actor = await people.actor_of_session(cookie)
    assert actor is not None

    await people.sign_out(cookie)

    assert not await here.patchbay.feed._access.is_known(actor)
    assert await here.patchbay.feed._access.is_known(here.ada)


@pytest.mark.parametrize("transport", ["socket", "server-sent events"])
@pytest.mark.parametrize("watched", ["connections", "a consent"])
async def test_a32_signing_out_ends_what_streams_in_that_session(graph: Graph, transport: str, watched: str) -> None:
    async with open_endpoint(graph.here, schema) as endpoint:
        authorization = await graph.here.begin()
        query = {
            "connections": "subscription { connectionStatusChanged { connectionName } }",
            "a consent": f'subscription {{ authorizationChanged(id: "{authorization.id}") {{ status }} }}',
        }[watched]
        streaming = _by_socket if transport == "socket" else _by_events
        async with streaming(endpoint, query) as answers:
            if watched == "a consent":
                assert "PENDING" in await anext(answers)
            else:
                while not graph.here.patchbay.feed._subscribers:
                    await asyncio.sleep(0)
            await graph.here.patchbay.people.sign_out(Secret(endpoint.cookie))
            async with asyncio.timeout(1):
                left = [answer async for answer in answers]
            await graph.here.patchbay.connecting.cancel(graph.here.ada, authorization.id)
            await graph.here.connect_with_token(name="After")

    assert left == []
    assert graph.here.patchbay.feed._subscribers == set()


@asynccontextmanager
async def _by_socket(endpoint: Endpoint, query: str) -> AsyncIterator[AsyncIterator[str]]:
    async def answers() -> AsyncIterator[str]:
        while (heard := await hear(opened))["type"] == "next":
            yield json.dumps(heard)
        assert heard == {"id": "1", "type": "complete"}

    async with endpoint.socket(origin=endpoint.here.patchbay.settings.public_url, headers=endpoint.with_cookie) as opened:
        await say(opened, {"type": "connection_init"})
        assert await hear(opened) == {"type": "connection_ack"}
        await say(opened, {"id": "1", "type": "subscribe", "payload": {"query": query}})
        yield answers()


@asynccontextmanager
async def _by_events(endpoint: Endpoint, query: str) -> AsyncIterator[AsyncIterator[str]]:
    headers = endpoint.with_cookie | {"accept": "text/event-stream", "origin": endpoint.here.patchbay.settings.public_url}
    async with endpoint.client.stream("POST", endpoint.url, json={"query": query}, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()

        async def answers() -> AsyncIterator[str]:
            async for line in answer.aiter_lines():
                if line.startswith("data:") and line.removeprefix("data:").strip():
                    yield line

        yield answers()

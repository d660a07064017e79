"""Attacks on who may do what."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

import models
from api.access import Actor
from api.connections.requests import OwnApp
from api.errors import InvalidInput, NotFound, PermissionDenied
from api.events.audience import Delivery
from api.events.feed import EventFeed
from api.events.order import PlacedEvent
from api.events.seeing import Standing
from api.events.selection import EventSelection
from api.events.wakeup import Wakeup
from api.graphql.context import Context
from api.graphql.schema import schema
from api.secret import Secret
from models import AuthenticationType, ConnectionEventType, ConnectionStatus, Permission
from tests.graphql.asking import Graph
from tests.graphql.endpoint import Endpoint, hear, open_endpoint, say
from tests.graphql.filling import Root, roots
from tests.graphql.test_matrix import BESIDE_THE_POINT, PLAIN, things_of
from tests.installation import Installation

pytestmark = pytest.mark.anyio

# A31

READ_AND_CHANGED = [root for root in roots("query", "mutation") if root.takes_an_id]


async def test_a31_an_id_of_somebody_elses_is_answered_as_one_that_never_was(graph: Graph) -> None:
    """Every field that takes an id, walked from the schema."""
    olga, ben = await graph.here.add_person("Olga"), await graph.here.add_person("Ben")
    things = await things_of(graph, olga, (await models.Folder.get(owner_id=olga.user_id)).id)
    before = await everything()

    for root in READ_AND_CHANGED:
        theirs = await answer(graph, ben, root, lambda name: things[name])
        nobodys = await answer(graph, ben, root, lambda _: str(uuid4()))
        assert theirs == nobodys, root.name
    assert await everything() == before


@pytest.mark.parametrize("field", ["connectionStatusChanged(folderId: {folder})", "connectionStatusChanged(connectionId: {connection})"])
async def test_a31_nothing_streams_of_what_is_somebody_elses(graph: Graph, field: str) -> None:
    here, ben = graph.here, await graph.here.add_person("Ben")
    connection = await here.connect_with_token()
    field = field.format(folder=f'"{here.workspace}"', connection=f'"{connection.id}"')
    asked = f"subscription {{ {field} {{ connectionName }} }}"
    async with graph.seen_by(ben).watching(asked) as answers:
        first = asyncio.ensure_future(anext(answers))
        while not here.patchbay.feed._subscribers:
            await asyncio.sleep(0)
        await here.patchbay.connections.rename(here.ada, connection.id, "Other")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await first


async def answer(graph: Graph, actor: Actor, root: Root, choose: Callable[[str], str]) -> str:
    """What somebody is answered, without what is about the request alone."""

    def value(name: str, kind: str) -> Any:
        return choose(name) if kind == "ID" else PLAIN[kind]

    variables = root.variables(value, without=BESIDE_THE_POINT)
    context = Context(graph.here.patchbay, actor)
    result = await schema.execute(root.document(), variables, context_value=context)
    told = repr([result.data, [(error.message, error.extensions) for error in result.errors or []]])
    return re.sub("[0-9a-f]{8}-[0-9a-f-]{27}", "id", told)


async def everything() -> str:
    """Every row that somebody could change."""
    tables = (models.Connection, models.Credential, models.Folder, models.FolderGrant, models.OAuthApp, models.User, models.ApiToken)
    return repr([sorted(repr(sorted(row.items())) for row in await table.all().values()) for table in tables])


# A33


async def test_a33_of_a_move_and_the_end_of_a_right_to_it_one_comes_first(here: Installation) -> None:
    """25 pairs at once, on each database: a move is either done before the right ended, or not at all."""
    ben = await here.add_person("Ben")
    old, new = [await here.patchbay.folders.create(here.ada, name=name, parent_id=None) for name in ("Old", "New")]
    connection = await here.connect_with_token(folder_id=old.id)

    for turn in range(25):
        for place in (old, new):
            await here.patchbay.folders.set_access(here.ada, place.id, ben.user_id, Permission.every())
        move = here.patchbay.moving.move(ben, connection.id, new.id)
        end = here.patchbay.folders.set_access(here.ada, new.id, ben.user_id, Permission(0))
        outcomes = await asyncio.gather(*((move, end) if turn % 2 else (end, move)), return_exceptions=True)

        moved = isinstance(outcomes[0 if turn % 2 else 1], models.Connection)
        assert (await models.Connection.get(id=connection.id)).folder_id == (new.id if moved else old.id)
        if moved:
            await here.patchbay.moving.move(here.ada, connection.id, old.id)
        with pytest.raises((NotFound, PermissionDenied)):
            await here.patchbay.moving.move(ben, connection.id, new.id)
        assert (await models.Connection.get(id=connection.id)).folder_id == old.id


async def test_a33_a_move_takes_rights_on_both_sides(here: Installation) -> None:
    ben = await here.add_person("Ben")
    old, new = [await here.patchbay.folders.create(here.ada, name=name, parent_id=None) for name in ("Old", "New")]
    connection = await here.connect_with_token(folder_id=old.id)
    every = Permission.every()

    for there, goes in ((every, Permission.VIEW), (Permission.VIEW, every), (every, Permission(0)), (Permission(0), every)):
        await here.patchbay.folders.set_access(here.ada, old.id, ben.user_id, there)
        await here.patchbay.folders.set_access(here.ada, new.id, ben.user_id, goes)
        with pytest.raises((NotFound, PermissionDenied)):
            await here.patchbay.moving.move(ben, connection.id, new.id)
        assert (await models.Connection.get(id=connection.id)).folder_id == old.id


async def test_a33_a_token_does_no_more_than_it_and_its_owner_may(here: Installation) -> None:
    folder = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)
    ben = await here.add_person("Ben")
    await here.patchbay.folders.set_access(here.ada, folder.id, ben.user_id, Permission.VIEW | Permission.USE)
    people, access = here.patchbay.people, here.patchbay.feed._access
    new = await people.create_token(ben, name="CI", permissions=Permission.VIEW | Permission.MANAGE, folder_ids=(folder.id,))
    token = await people.actor_of_token(new.token)
    assert token is not None

    assert await access.permissions(token, [folder.id]) == {folder.id: Permission.VIEW}
    with pytest.raises(PermissionDenied):
        await people.create_token(token, name="Wider")
    assert await models.ApiToken.all().count() == 1


async def test_a33_an_app_in_a_folder_is_used_by_whoever_may_use_what_is_there(here: Installation) -> None:
    ben = await here.add_person("Ben")
    own = OwnApp(here.sandbox.client_id, here.sandbox.client_secret)
    byo = AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP
    connection = await here.connect_by_consent(authentication_type=byo, own_app=own)
    workspace = await models.Folder.get(owner_id=ben.user_id)
    request = here.consent_request(folder_id=workspace.id, authentication_type=byo, oauth_app_id=connection.oauth_app_id)

    with pytest.raises(InvalidInput) as refusal:
        await here.patchbay.connecting.connect(ben, request)

    assert refusal.value.fields["oauthAppId"] == "is not an app that you may use with this connector"
    assert await models.Authorization.filter(user_id=ben.user_id).count() == 0


# A34


async def test_a34_a_thousand_probes_tell_nothing_of_what_is_hidden(graph: Graph) -> None:
    """Half of the ids are of things that are there; 25 in a request."""
    here, ben = graph.here, await graph.here.add_person("Ben")
    connection, authorization = await here.connect_with_token(), await here.begin(name="Under way")
    hidden = {"folder": here.workspace, "connection": connection.id, "authorization": authorization.id, "user": here.ada.user_id}
    answers = set()

    for number in range(40):
        kind = list(hidden)[number % 4]
        ids = [hidden[kind] if each % 2 else uuid4() for each in range(25)]
        asked = " ".join(f'p{each}: {kind}(id: "{id}") {{ __typename }}' for each, id in enumerate(ids))
        result = await schema.execute(f"{{ {asked} }}", context_value=Context(here.patchbay, ben))
        answers |= {repr(value) for value in (result.data or {}).values()}
        answers |= {repr((error.message, (error.extensions or {}).get("code"))) for error in result.errors or []}

    assert answers == {"None"}


async def test_a34_counts_names_and_cursors_are_of_what_can_be_seen(graph: Graph) -> None:
    here, ben = graph.here, await graph.here.add_person("Ben")
    await here.connect_with_token(name="Taken")
    await here.connect_with_token(name="Another")
    listed = "{ connections(first: 1) { totalCount nodes { name } pageInfo { endCursor hasNextPage } } folders { totalCount } }"
    mine = await graph.ask(listed)

    seen = await graph.seen_by(ben).ask(listed)
    assert (seen["connections"]["totalCount"], seen["connections"]["nodes"], seen["folders"]["totalCount"]) == (0, [], 1)
    cursor = mine["connections"]["pageInfo"]["endCursor"]
    paged = "query Paged($after: String) { connections(first: 1, after: $after) { totalCount } }"
    assert await graph.seen_by(ben).codes(paged, after=cursor) == ["BAD_USER_INPUT"]
    # A name is taken only where one can see by what.
    workspace = await models.Folder.get(owner_id=ben.user_id)
    connection = await here.patchbay.connecting.connect(ben, here.token_request(folder_id=workspace.id, name="Taken"))
    assert isinstance(connection, models.Connection)


# A32


@dataclass
class Watcher:
    """Somebody who watches on each of two replicas, and what they were shown: the numbers of the events."""

    actor: Actor
    end: Callable[[], Awaitable[object]]
    shown: list[int] = field(default_factory=list)
    # The number of the last event whose commit had begun when the end was committed.
    last: int = -1
    is_taking: bool = False

    async def watch(self, feed: EventFeed, *, shares: bool = False) -> None:
        delivery = Delivery("numbers", number_of, self.take) if shares else None
        async for placed in feed.watch(self.actor, EventSelection(), after=None, delivery=delivery):
            self.shown.append(int(placed.event.connection_name))

    def take(self, number: bytes) -> bool:
        """By an audience. Now and then it does not come, so that the stream goes on alone for a while."""
        self.is_taking = not self.is_taking
        if self.is_taking:
            self.shown.append(int(number))
        return self.is_taking


@dataclass
class Number:
    """An answer that depends on nothing."""

    payload: bytes
    is_personal: bool = False
    folder_ids: set[UUID] = field(default_factory=set)

    def is_for(self, viewer: Standing) -> bool:
        return True


async def number_of(placed: PlacedEvent, actor: Actor) -> Number:
    return Number(placed.event.connection_name.encode())


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
@pytest.mark.parametrize("shares", [False, True], ids=["alone", "in an audience"])
async def test_a32_nothing_that_happens_after_a_right_ended_is_shown_on_either_of_two_replicas(here: Installation, shares: bool) -> None:
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
        watching = [tasks.create_task(watcher.watch(feed, shares=shares)) for watcher in watchers for feed in feeds]
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

"""An answer that is made for many is, byte for byte, the one that each would have got alone."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import pytest
from graphql import GraphQLNamedType, get_named_type, is_leaf_type, is_object_type, is_required_argument
from strawberry.types.graphql import OperationType

import models
from api.access import Actor, Limits
from api.events.order import EventPosition, PlacedEvent
from api.events.selection import EventSelection
from api.graphql import sharing
from api.graphql.context import Context
from api.graphql.schema import schema
from api.graphql.sharing import Document, answers
from models import FolderKind, Permission
from tests.graphql.asking import Graph
from tests.graphql.filling import roots

pytestmark = pytest.mark.anyio

PLAIN = "subscription { connectionStatusChanged { type connectionName connection { name } folder { name } } }"
PERMISSIONS = "subscription { connectionStatusChanged { connectionName folder { name permissions } } }"
TOKENS = "subscription { connectionStatusChanged { connectionName folder { connections { nodes { name permissions } totalCount } } } }"
START = EventPosition(0, 0)


class Reader:
    """Somebody who watches, and takes what comes if they are not busy just then."""

    def __init__(self, graph: Graph, actor: Actor, text: str, variables: dict[str, Any] | None, takes: Callable[[], bool]) -> None:
        self.actor = actor
        self.texts: list[bytes] = []
        self.taken = 0
        self._graph = graph
        self._document = Document(schema, text, None, variables, {OperationType.SUBSCRIPTION})
        self._takes = takes
        self._came = asyncio.Event()

    def write(self, payload: bytes) -> bool:
        if not self._takes():
            return False
        self._take(payload)
        self.taken += 1
        return True

    async def read(self) -> None:
        async for answer in answers(self._document, self._graph.here.patchbay, self.actor, write=self.write):
            self._take(answer.payload)

    def _take(self, payload: bytes) -> None:
        self.texts.append(payload)
        self._came.set()

    async def until(self, count: int) -> list[bytes]:
        async with asyncio.timeout(15):
            while len(self.texts) < count:
                self._came.clear()
                await self._came.wait()
        return self.texts


@asynccontextmanager
async def reading(
    graph: Graph, *actors: Actor, text: str = PLAIN, variables: dict[str, Any] | None = None, takes: Callable[[], bool] = lambda: True
) -> AsyncIterator[list[Reader]]:
    """All of these, once they are served together."""
    readers = [Reader(graph, actor, text, variables, takes) for actor in actors]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(reader.read()) for reader in readers]
        await gathered(graph, len(readers))
        yield readers
        for task in running:
            task.cancel()


async def gathered(graph: Graph, count: int) -> None:
    """Until so many are in audiences."""
    async with asyncio.timeout(15):
        while sum(subscriber.member is not None for subscriber in graph.here.patchbay.feed._subscribers) < count:
            await asyncio.sleep(0)


async def shared_folder(graph: Graph, **people: tuple[Actor, Permission]) -> UUID:
    here = graph.here
    folder = await models.Folder.create(name="Sales", name_key="sales", kind=FolderKind.SHARED, created_at=here.clock())
    for actor, permission in people.values():
        await models.FolderGrant.create(folder_id=folder.id, user_id=actor.user_id, permissions=permission)
    return folder.id


async def rename(graph: Graph, connection: models.Connection, name: str) -> None:
    await graph.here.patchbay.connections.rename(graph.here.ada, connection.id, name)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Actor]:
    """For whom answers were made."""
    actors: list[Actor] = []
    original = sharing._answer

    async def answer(document: Document, patchbay: Any, placed: PlacedEvent, actor: Actor) -> sharing.Answered:
        actors.append(actor)
        return await original(document, patchbay, placed, actor)

    monkeypatch.setattr(sharing, "_answer", answer)
    return actors


@pytest.fixture
async def people(graph: Graph) -> list[Actor]:
    return [await graph.here.add_person(f"Person {number}") for number in range(4)]


async def watched(graph: Graph, people: list[Actor], *permissions: Permission) -> models.Connection:
    """A connection of Ada's in a folder into which these people may look; each with the next of the permissions."""
    given = {str(number): (actor, permissions[number % len(permissions)]) for number, actor in enumerate(people)}
    folder_id = await shared_folder(graph, ada=(graph.here.ada, Permission.every()), **given)
    connection = await graph.here.connect_with_token(folder_id=folder_id)
    await settled(graph)
    return connection


async def settled(graph: Graph) -> None:
    """Until the reader has what happened so far."""
    feed = graph.here.patchbay.feed
    async with asyncio.timeout(15):
        while await feed._order.after(feed._position):
            await asyncio.sleep(0)


async def test_an_event_is_answered_once_for_all_who_see_the_same(graph: Graph, people: list[Actor], made: list[Actor]) -> None:
    connection = await watched(graph, people, Permission.VIEW, Permission.VIEW | Permission.USE)

    async with reading(graph, *people, *people, graph.here.ada) as readers:
        await rename(graph, connection, "New")
        texts = [await reader.until(1) for reader in readers]

    assert len(made) == 1
    data = {"type": "RENAMED", "connectionName": "New", "connection": {"name": "New"}, "folder": {"name": "Sales"}}
    assert texts == [[orjson.dumps({"data": {"connectionStatusChanged": data}})]] * 9


async def test_who_may_do_other_things_gets_an_answer_of_their_own(graph: Graph, people: list[Actor], made: list[Actor]) -> None:
    connection = await watched(graph, people, Permission.VIEW, Permission.VIEW | Permission.USE)

    async with reading(graph, *people, text=PERMISSIONS) as readers:
        await rename(graph, connection, "New")
        texts = [(await reader.until(1))[0] for reader in readers]

    assert len(made) == 2
    assert [b'"permissions":["VIEW"]' in text for text in texts] == [True, False, True, False]
    assert [b'"permissions":["VIEW","USE"]' in text for text in texts] == [False, True, False, True]


async def test_what_is_asked_about_the_viewer_otherwise_is_answered_to_each(graph: Graph, people: list[Actor], made: list[Actor]) -> None:
    connection = await watched(graph, people, Permission.VIEW)

    async with reading(graph, *people, *people, text=TOKENS) as readers:
        await rename(graph, connection, "New")
        for reader in readers:
            await reader.until(1)

    assert sorted(actor.name for actor in made) == sorted(actor.name for actor in people)


async def test_clients_that_began_at_other_places_share_what_comes_next(graph: Graph, people: list[Actor], made: list[Actor]) -> None:
    connection = await watched(graph, people, Permission.VIEW)
    text = "subscription($after: String) { connectionStatusChanged(after: $after) { cursor connectionName } }"
    async with reading(graph, people[0], text=text) as [first]:
        await rename(graph, connection, "One")
        cursor = orjson.loads((await first.until(1))[0])["data"]["connectionStatusChanged"]["cursor"]
    made.clear()

    async with (
        reading(graph, people[0], text=text) as [one],
        reading(graph, people[1], text=text, variables={"after": cursor}) as [other],
    ):
        await gathered(graph, 2)
        assert len(graph.here.patchbay.feed._audiences) == 1
        await rename(graph, connection, "Two")
        assert await one.until(1) == await other.until(1)

    assert len(made) == 1


async def test_other_documents_and_other_variables_are_not_shared(graph: Graph, people: list[Actor], made: list[Actor]) -> None:
    connection = await watched(graph, people, Permission.VIEW)
    by_variable = "subscription($is: Boolean!) { connectionStatusChanged { type connectionName @include(if: $is) } }"

    async with (
        reading(graph, people[0], text=by_variable, variables={"is": True}) as [shown],
        reading(graph, people[1], text=by_variable, variables={"is": False}) as [hidden],
        reading(graph, people[2]) as [other],
    ):
        await gathered(graph, 3)
        await rename(graph, connection, "New")
        texts = [(await reader.until(1))[0] for reader in (shown, hidden, other)]

    assert len(made) == len(set(texts)) == 3


async def test_a_reader_that_is_behind_goes_on_alone_and_misses_nothing(graph: Graph, people: list[Actor]) -> None:
    connection = await watched(graph, people, Permission.VIEW)
    chance = random.Random(5)
    names = [f"Name {number}" for number in range(30)]

    async with reading(graph, *people, takes=lambda: chance.random() < 0.7) as readers:
        for name in names:
            await rename(graph, connection, name)
        found = [await reader.until(len(names)) for reader in readers]

    assert [[name_in(text) for text in texts] for texts in found] == [names] * 4
    assert 0 < sum(reader.taken for reader in readers) < 4 * len(names)


async def test_who_loses_the_folder_gets_nothing_more_and_the_others_go_on(graph: Graph, people: list[Actor]) -> None:
    connection = await watched(graph, people, Permission.VIEW)

    async with reading(graph, *people) as readers:
        await rename(graph, connection, "One")
        for reader in readers:
            await reader.until(1)
        await graph.here.patchbay.folders.set_access(graph.here.ada, connection.folder_id, people[0].user_id, Permission(0))
        await rename(graph, connection, "Two")
        for reader in readers[1:]:
            await reader.until(2)

    assert [len(reader.texts) for reader in readers] == [1, 2, 2, 2]


@pytest.mark.parametrize("keeps_up", [True, False])
async def test_who_is_an_administrator_no_more_is_answered_like_everybody(graph: Graph, people: list[Actor], keeps_up: bool) -> None:
    """However long ago they began to watch."""
    connection = await watched(graph, people, Permission.VIEW)
    boss = await graph.here.add_person("Boss", administrator=True)
    await models.FolderGrant.create(folder_id=connection.folder_id, user_id=boss.user_id, permissions=Permission.VIEW)

    async with reading(graph, boss, graph.here.ada, text=PERMISSIONS, takes=lambda: keeps_up) as readers:
        await models.User.filter(id=boss.user_id).update(administrator=False)
        await rename(graph, connection, "New")
        texts = [(await reader.until(1))[0] for reader in readers]

    assert [b'"permissions":["VIEW"]' in text for text in texts] == [True, False]


async def test_who_is_an_administrator_no_more_is_answered_like_everybody_in_a_stream_of_their_own(graph: Graph) -> None:
    """As server-sent events are."""
    boss = await graph.here.add_person("Boss", administrator=True)
    connection = await watched(graph, [boss], Permission.VIEW)

    async with graph.seen_by(boss).watching(PERMISSIONS) as answers:
        first = asyncio.ensure_future(anext(answers))
        async with asyncio.timeout(15):
            while not graph.here.patchbay.feed._streams:
                await asyncio.sleep(0)
        await models.User.filter(id=boss.user_id).update(administrator=False)
        await rename(graph, connection, "New")
        async with asyncio.timeout(15):
            answer = await first

    assert answer == {"connectionStatusChanged": {"connectionName": "New", "folder": {"name": "Sales", "permissions": ["VIEW"]}}}


async def test_who_is_an_administrator_no_more_is_told_of_their_consent_like_everybody(graph: Graph) -> None:
    here = graph.here
    folder_id = await shared_folder(graph, ada=(here.ada, Permission.VIEW | Permission.CREATE))
    authorization = await here.begin(folder_id=folder_id)
    text = f'subscription {{ authorizationChanged(id: "{authorization.id}") {{ connection {{ folder {{ permissions }} }} }} }}'

    async with graph.watching(text) as answers, asyncio.timeout(15):
        assert await anext(answers) == {"authorizationChanged": {"connection": None}}
        await models.User.filter(id=here.ada.user_id).update(administrator=False)
        await here.come_back(authorization)
        answer = await anext(answers)

    assert answer == {"authorizationChanged": {"connection": {"folder": {"permissions": ["VIEW", "CREATE"]}}}}


async def test_an_audience_ends_with_its_last_reader(graph: Graph, people: list[Actor]) -> None:
    feed = graph.here.patchbay.feed
    await watched(graph, people, Permission.VIEW)

    async with reading(graph, *people):
        assert len(feed._audiences) == 1
    async with asyncio.timeout(15):
        while len(feed._audiences):
            await asyncio.sleep(0)

    assert feed._subscribers == set()


async def test_an_answer_that_cannot_be_made_for_all_is_made_for_each(
    graph: Graph, people: list[Actor], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connection = await watched(graph, people, Permission.VIEW)
    original = sharing._answer
    failed: list[Actor] = []

    async def answer(document: Document, patchbay: Any, placed: PlacedEvent, actor: Actor) -> sharing.Answered:
        if not failed:
            failed.append(actor)
            raise ValueError("it broke")
        return await original(document, patchbay, placed, actor)

    monkeypatch.setattr(sharing, "_answer", answer)
    async with reading(graph, *people) as readers:
        await rename(graph, connection, "One")
        for reader in readers:
            await reader.until(1)
        await gathered(graph, 4)
        await rename(graph, connection, "Two")
        texts = [await reader.until(2) for reader in readers]

    assert [[name_in(text) for text in each] for each in texts] == [["One", "Two"]] * 4
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["event not shared"]


def name_in(text: bytes) -> str:
    name: str = orjson.loads(text)["data"]["connectionStatusChanged"]["connectionName"]
    return name


def a_document(chance: random.Random) -> str:
    """A subscription to anything that an event leads to."""
    event = get_named_type(roots("subscription")[0].field.type)
    root = next(root for root in roots("subscription") if root.name == "connectionStatusChanged")
    return f"subscription {{ {root.name} {a_selection(chance, get_named_type(root.field.type) or event, 4)} }}"


def a_selection(chance: random.Random, type_: GraphQLNamedType, depth: int) -> str:
    assert is_object_type(type_)
    asked = ["__typename"]
    for name, field in type_.fields.items():
        kind = get_named_type(field.type)
        if any(is_required_argument(argument) for argument in field.args.values()) or chance.random() > 0.35:
            continue
        if is_leaf_type(kind):
            asked.append(name)
        elif depth and is_object_type(kind):
            asked.append(f"{name} {a_selection(chance, kind, depth - 1)}")
    return "{ " + " ".join(asked) + " }"


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_asked_is_answered_as_it_would_be_alone(graph: Graph, people: list[Actor], seed: int) -> None:
    """Documents by chance, and viewers who differ in everything that an answer may depend on."""
    here, chance = graph.here, random.Random(seed)
    boss = await here.add_person("Boss", administrator=True)
    connection = await watched(graph, people, Permission.VIEW, Permission.VIEW | Permission.USE, Permission.every())
    limited = replace(people[2], limits=Limits(Permission.VIEW, frozenset({connection.folder_id}), without_workspace=True))
    viewers = [*people, boss, limited, here.ada]

    for number in range(8):
        text = a_document(chance)
        async with reading(graph, *viewers, text=text) as readers:
            await rename(graph, connection, f"Name {seed} {number}")
            shared = [(await reader.until(1))[0] for reader in readers]
            taken = sum(reader.taken for reader in readers)
        last = (await here.patchbay.feed._order.after(START))[-1]
        alone = [await alone_answer(graph, viewer, text, last) for viewer in viewers]

        assert shared == alone, text
        assert taken == len(viewers)


async def alone_answer(graph: Graph, viewer: Actor, text: str, placed: PlacedEvent) -> bytes:
    """As graphql-core executes it for one subscriber, with nothing of ours between."""

    async def only(selection: EventSelection, after: EventPosition | None) -> AsyncIterator[PlacedEvent]:
        yield placed

    stream = await schema.stream(text, context_value=Context(graph.here.patchbay, viewer, events=only))
    result: Any = await anext(stream)
    await stream.aclose()
    assert result.errors is None, (text, result.errors)
    return orjson.dumps({"data": result.data})

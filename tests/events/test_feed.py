"""The event log as a stream."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

import models
from api.access import Actor
from api.errors import InvalidInput, StreamLagged
from api.events.audience import Delivery
from api.events.order import EventPosition, PlacedEvent
from api.events.selection import EventSelection
from api.events.waiting import Answer
from models import ConnectionEventType, ConnectionStatus, FolderKind, Permission, fold
from models.database import transaction
from models.notices import notify
from tests.clock import HeldClock
from tests.installation import Installation, installed

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 5, tzinfo=UTC)
ALL = EventSelection()
START = EventPosition(0, 0)


async def append(folder_id: UUID, name: str, *, connector_key: str = "sandbox", connection_id: UUID | None = None) -> None:
    await models.ConnectionEvent.create(
        type=ConnectionEventType.RENAMED,
        connection_id=connection_id or uuid4(),
        connection_name=name,
        connector_key=connector_key,
        folder_id=folder_id,
        status=ConnectionStatus.CONNECTED,
        at=NOW,
    )


async def commit(here: Installation, folder_id: UUID, *names: str) -> None:
    async with here.log.change():
        for name in names:
            await append(folder_id, name)


@asynccontextmanager
async def watching(
    here: Installation, selection: EventSelection = ALL, *, after: EventPosition | None = None, actor: Actor | None = None
) -> AsyncIterator["Watcher"]:
    """A subscription that has begun."""
    watcher = Watcher(here.patchbay.feed.watch(actor or here.ada, selection, after=after))
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(watcher.read())
        # It has begun once it takes part.
        before = len(here.patchbay.feed._subscribers)
        while len(here.patchbay.feed._subscribers) == before:
            await asyncio.sleep(0)
        yield watcher
        reading.cancel()


class Watcher:
    def __init__(self, stream: AsyncIterator[PlacedEvent]) -> None:
        self._stream = stream
        self._came = asyncio.Condition()
        self.events: list[PlacedEvent] = []
        self.ended = asyncio.Event()

    async def read(self) -> None:
        async for placed in self._stream:
            async with self._came:
                self.events.append(placed)
                self._came.notify_all()
        self.ended.set()

    async def until(self, name: str) -> None:
        """Once an event of this name is there."""
        async with asyncio.timeout(10), self._came:
            await self._came.wait_for(lambda: name in [placed.event.connection_name for placed in self.events])

    async def names(self, count: int) -> list[str]:
        """The names of the first so many events, once they are there."""
        async with asyncio.timeout(10), self._came:
            await self._came.wait_for(lambda: len(self.events) >= count)
        return [placed.event.connection_name for placed in self.events]


async def settled(here: Installation, count: int) -> None:
    """Until so many events are past the horizon: on PostgreSQL other databases of the server can hold it back for a moment."""
    async with asyncio.timeout(10):
        while len(await here.patchbay.feed._order.after(START)) < count:
            await asyncio.sleep(0.01)


async def test_what_happened_is_replayed_and_then_what_happens_is_streamed(here: Installation) -> None:
    await commit(here, here.workspace, "a", "b")

    async with watching(here, after=START) as watcher:
        assert await watcher.names(2) == ["a", "b"]
        await commit(here, here.workspace, "c")
        await commit(here, here.workspace, "d")
        assert await watcher.names(4) == ["a", "b", "c", "d"]


async def test_without_a_cursor_the_stream_begins_now(here: Installation) -> None:
    await commit(here, here.workspace, "before")
    await settled(here, 1)

    async with watching(here) as watcher:
        # Let the stream ask where the log stands.
        await asyncio.sleep(0.1)
        await commit(here, here.workspace, "after")
        assert await watcher.names(1) == ["after"]


async def test_who_is_not_woken_looks_every_second(here: Installation) -> None:
    async with watching(here, after=START) as watcher:
        await append(here.workspace, "unannounced")
        assert await watcher.names(1) == ["unannounced"]


async def test_a_cursor_goes_on_where_the_stream_was_left(here: Installation) -> None:
    await commit(here, here.workspace, "a", "b")
    async with watching(here, after=START) as watcher:
        await watcher.names(1)
        first = watcher.events[0].position
    await commit(here, here.workspace, "c")

    async with watching(here, after=first) as watcher:
        assert await watcher.names(2) == ["b", "c"]


async def test_a_cursor_of_another_database_server_is_refused(here: Installation) -> None:
    """As after a restore: on a server that has counted less far, new events would seem to be old ones."""
    await commit(here, here.workspace, "first")

    with pytest.raises(InvalidInput) as refused:
        await anext(here.patchbay.feed.watch(here.ada, ALL, after=EventPosition(2**62, 1)))

    assert refused.value.fields["after"].startswith("is from before the database was restored")


async def test_what_was_rolled_back_never_happened(here: Installation) -> None:
    async with watching(here, after=START) as watcher:
        with pytest.raises(ZeroDivisionError):
            async with transaction():
                await append(here.workspace, "undone")
                raise ZeroDivisionError
        await commit(here, here.workspace, "done")
        assert await watcher.names(1) == ["done"]


async def test_many_writers_at_once_lose_nothing_and_repeat_nothing(here: Installation) -> None:
    chance = random.Random(7)

    async def write(writer: int) -> None:
        for number in range(5):
            async with transaction():
                await append(here.workspace, f"{writer}-{number}")
                # Transactions end in another order than they began.
                await asyncio.sleep(chance.random() / 200)
                await notify("patchbay")

    async with watching(here, after=START) as watcher:
        async with asyncio.TaskGroup() as tasks:
            for writer in range(12):
                tasks.create_task(write(writer))
        names = await watcher.names(60)

    assert sorted(names) == sorted(f"{writer}-{number}" for writer in range(12) for number in range(5))
    positions = [placed.position for placed in watcher.events]
    assert positions == sorted(set(positions))


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (lambda workspace, other, one: EventSelection(folder_id=workspace), ["mine", "github"]),
        (lambda workspace, other, one: EventSelection(connection_id=one), ["github"]),
        (lambda workspace, other, one: EventSelection(connector_key="sandbox"), ["mine", "other"]),
        (lambda workspace, other, one: EventSelection(folder_id=other, connector_key="github"), []),
    ],
)
async def test_only_what_was_selected_comes(here: Installation, selection, expected) -> None:  # type: ignore[no-untyped-def]
    other, one = (await shared_folder("Other")).id, uuid4()
    await append(here.workspace, "mine")
    await append(other, "other")
    await append(here.workspace, "github", connector_key="github", connection_id=one)
    await append(here.workspace, "end", connector_key="end", connection_id=uuid4())

    await settled(here, 4)
    chosen = selection(here.workspace, other, one)
    found = [placed.event.connection_name async for placed in replayed(here, chosen) if placed.event.connection_name != "end"]

    assert found == expected


async def replayed(here: Installation, selection: EventSelection) -> AsyncIterator[PlacedEvent]:
    """What a stream replays, up to now."""
    stream = here.patchbay.feed.watch(here.ada, selection, after=START)
    try:
        while True:
            async with asyncio.timeout(0.5):
                yield await anext(stream)
    except TimeoutError:
        await stream.aclose()


async def shared_folder(name: str) -> models.Folder:
    return await models.Folder.create(name=name, name_key=fold(name), kind=FolderKind.SHARED, created_at=NOW)


async def test_delivery_ends_with_the_permission(here: Installation) -> None:
    ben = await here.add_person("Ben")
    folder = await shared_folder("Sales")
    grant = await models.FolderGrant.create(folder=folder, user_id=ben.user_id, permissions=Permission.VIEW)

    async with watching(here, after=START, actor=ben) as watcher:
        await commit(here, folder.id, "seen")
        assert await watcher.names(1) == ["seen"]
        await grant.delete()
        await commit(here, folder.id, "hidden")
        await commit(here, (await models.Folder.get(owner_id=ben.user_id)).id, "his own")
        assert await watcher.names(2) == ["seen", "his own"]


async def test_nothing_is_delivered_that_happens_after_a_revocation(here: Installation) -> None:
    """However many events come at that moment: those before it are shown, and none of those after it."""
    ben = await here.add_person("Ben")
    folder = await shared_folder("Sales")
    own = (await models.Folder.get(owner_id=ben.user_id)).id

    for turn in range(5):
        await here.patchbay.folders.set_access(here.ada, folder.id, ben.user_id, Permission.VIEW)
        async with watching(here, actor=ben) as watcher:
            writing = asyncio.ensure_future(write_for_long(here, folder.id, turn))
            await here.patchbay.folders.set_access(here.ada, folder.id, ben.user_id, Permission(0))
            await commit(here, folder.id, "after")
            await commit(here, own, "end")
            await writing
            await watcher.until("end")
        assert "after" not in [placed.event.connection_name for placed in watcher.events]


async def write_for_long(here: Installation, folder_id: UUID, turn: int) -> None:
    for number in range(10):
        await commit(here, folder_id, f"{turn}-{number}")


async def test_a_stream_ends_within_a_second_of_the_deactivation(here: Installation) -> None:
    ben = await here.add_person("Ben")
    own = (await models.Folder.get(owner_id=ben.user_id)).id

    async with watching(here, after=START, actor=ben) as watcher, watching(here, after=START) as other:
        await commit(here, own, "seen")
        await watcher.names(1)
        await here.patchbay.people.deactivate(here.ada, ben.user_id)
        async with asyncio.timeout(1):
            await watcher.ended.wait()
        await commit(here, own, "hidden")
        await commit(here, here.workspace, "Ada’s")
        assert await other.names(1) == ["Ada’s"]

    assert await watcher.names(1) == ["seen"]


async def test_a_deactivation_that_nobody_announces_is_found_out(here: Installation) -> None:
    ben = await here.add_person("Ben")

    async with watching(here, actor=ben) as watcher:
        await models.User.filter(id=ben.user_id).update(deactivated_at=here.clock.now)
        async with asyncio.timeout(5):
            await watcher.ended.wait()


async def test_a_stream_ends_with_the_token_that_it_was_begun_with(here: Installation) -> None:
    people = here.patchbay.people
    tokens = [await people.create_token(here.ada, name=name, expires_at=NOW + timedelta(days=1)) for name in ("Revoked", "Ends", "Lasts")]
    revoked, ends, lasts = [await people.actor_of_token(token.token) for token in tokens]
    assert revoked is not None and ends is not None and lasts is not None
    await models.ApiToken.filter(name="Lasts").update(expires_at=None)

    async with watching(here, actor=revoked) as first, watching(here, actor=ends) as second, watching(here, actor=lasts) as third:
        await people.revoke_token(here.ada, tokens[0].row.id)
        async with asyncio.timeout(1):
            await first.ended.wait()
        assert not second.ended.is_set()
        here.clock.move(timedelta(days=2))
        async with asyncio.timeout(5):
            await second.ended.wait()
        assert not third.ended.is_set()


async def test_nothing_is_shown_to_a_token_whose_time_is_over(here: Installation) -> None:
    """Not even before the stream is ended, which is once in a while."""
    new = await here.patchbay.people.create_token(here.ada, name="Ends", expires_at=here.clock.now + timedelta(hours=1))
    actor = await here.patchbay.people.actor_of_token(new.token)
    assert actor is not None
    await commit(here, here.workspace, "before")
    await settled(here, 1)
    stream = here.patchbay.feed.watch(actor, ALL, after=START)
    assert (await anext(stream)).event.connection_name == "before"

    here.clock.move(timedelta(hours=1))
    await commit(here, here.workspace, "after")

    with pytest.raises(StopAsyncIteration):
        async with asyncio.timeout(10):
            await anext(stream)


async def test_a_stream_that_must_be_read_again_ends_all_the_same(here: Installation) -> None:
    """What did not fit is read from the log again, and the end is not lost in that."""
    ben = await here.add_person("Ben")
    stream = here.patchbay.feed.watch(ben, ALL, after=START)
    own = (await models.Folder.get(owner_id=ben.user_id)).id
    await commit(here, own, "first")
    await anext(stream)
    async with watching(here) as other:
        await commit(here, here.workspace, *(str(number) for number in range(250)))
        await other.names(1)

    await here.patchbay.people.deactivate(here.ada, ben.user_id)

    with pytest.raises(StopAsyncIteration):
        async with asyncio.timeout(5):
            await anext(stream)


async def test_nobody_sees_events_of_anothers_workspace(here: Installation) -> None:
    ben = await here.add_person("Ben", administrator=True)

    async with watching(here, after=START, actor=ben) as watcher:
        await commit(here, here.workspace, "Ada’s")
        await commit(here, (await models.Folder.get(owner_id=ben.user_id)).id, "Ben’s")
        assert await watcher.names(1) == ["Ben’s"]


async def test_who_does_not_keep_up_is_told_to_go_on_from_the_last_event(here: Installation) -> None:
    stream = here.patchbay.feed.watch(here.ada, ALL, after=START)
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.05)
    await commit(here, here.workspace, "first")
    taken = [await first]

    # Nothing is taken while far more comes than waits.
    async with watching(here, after=taken[0].position) as other:
        await commit(here, here.workspace, *(str(number) for number in range(250)))
        await other.names(250)
    here.clock.move(timedelta(seconds=11))
    with pytest.raises(StreamLagged):
        while True:
            async with asyncio.timeout(10):
                taken.append(await anext(stream))

    async with watching(here, after=taken[-1].position) as resumed:
        missing = 251 - len(taken)
        await resumed.names(missing)
    names = [placed.event.connection_name for placed in [*taken, *resumed.events]]
    assert names == ["first", *(str(number) for number in range(250))]


async def test_a_burst_that_does_not_fit_is_read_from_the_log(here: Installation) -> None:
    async with watching(here, after=START) as watcher:
        await commit(here, here.workspace, *(str(number) for number in range(250)))
        assert await watcher.names(250) == [str(number) for number in range(250)]


async def test_streams_end_when_patchbay_closes(here: Installation) -> None:
    stream = here.patchbay.feed.watch(here.ada, ALL, after=START)
    await commit(here, here.workspace, "a")
    await anext(stream)

    here.patchbay.feed.close()

    with pytest.raises(StopAsyncIteration):
        async with asyncio.timeout(5):
            await anext(stream)


async def test_a_stream_ends_in_the_middle_of_what_is_replayed(here: Installation) -> None:
    await commit(here, here.workspace, "a", "b", "c")
    await settled(here, 3)
    stream = here.patchbay.feed.watch(here.ada, ALL, after=START)
    await anext(stream)

    here.patchbay.feed.close()

    with pytest.raises(StopAsyncIteration):
        async with asyncio.timeout(10):
            await anext(stream)


async def test_a_deactivation_is_found_out_while_ever_more_happens(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    feed, ben = here.patchbay.feed, await here.add_person("Ben")
    original = feed._order.after

    async def after(position: EventPosition) -> list[PlacedEvent]:
        if position == feed._position and feed._streams:
            await commit(here, here.workspace, "more")
        return await original(position)

    async with watching(here, actor=ben) as watcher:
        monkeypatch.setattr(feed._order, "after", after, raising=False)
        await commit(here, here.workspace, "first")
        await models.User.filter(id=ben.user_id).update(deactivated_at=here.clock.now)
        async with asyncio.timeout(10):
            await watcher.ended.wait()


async def test_nothing_is_kept_of_a_stream_that_was_left_at_once(here: Installation) -> None:
    async def no_answer(*_: object) -> Answer:
        raise AssertionError

    await commit(here, here.workspace, "a")
    await settled(here, 1)
    feed = here.patchbay.feed
    stream = feed.watch(here.ada, ALL, after=START, delivery=Delivery("any", no_answer, lambda _: True))

    await anext(stream)
    await stream.aclose()
    # Until what it left behind has had its turn.
    for _ in range(10):
        await asyncio.sleep(0)

    assert len(feed._audiences) == 0
    assert feed._streams == {}


async def test_a_cursor_of_what_a_backup_does_not_have_is_refused(sqlite_url: str, tmp_path: Path) -> None:
    """New events would seem to be those that were lost. On PostgreSQL the server that it is restored on has counted less far."""
    async with installed(sqlite_url, tmp_path, HeldClock()) as here:
        await commit(here, here.workspace, "kept", "lost")
        kept, lost = await here.patchbay.feed._order.after(START)
        await models.ConnectionEvent.filter(id=lost.event.id).delete()

        with pytest.raises(InvalidInput):
            await anext(here.patchbay.feed.watch(here.ada, ALL, after=lost.position))

        async with watching(here, after=kept.position) as watcher:
            await commit(here, here.workspace, "new")
            assert await watcher.names(1) == ["new"]


async def test_history_is_the_same_log_newest_first(here: Installation) -> None:
    connection = await here.connect_with_token()
    for name in ("b", "c"):
        await here.patchbay.connections.rename(here.ada, connection.id, name)
    stranger = await here.add_person("Ben")

    found, more = await here.patchbay.feed.history(here.ada, connection.id, first=2, before=None)
    rest, no_more = await here.patchbay.feed.history(here.ada, connection.id, first=2, before=found[-1].position)

    assert [placed.event.connection_name for placed in found + rest] == ["c", "b", "Sandbox"]
    assert (more, no_more) == (True, False)
    assert await here.patchbay.feed.history(stranger, connection.id, first=2, before=None) == ([], False)

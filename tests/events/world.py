"""An installation with people who watch it, and what they were told, held against the model at each answer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import models
from api.access import Actor
from api.events.audience import Delivery
from api.events.cursors import write_cursor
from api.events.order import EventPosition, PlacedEvent
from api.graphql import sharing
from models import ConnectionEventType, ConnectionStatus, FolderKind, Permission
from models.database import transaction
from tests.clock import HeldClock
from tests.events.follower import Follower
from tests.events.rest import Rest, small, streams_of
from tests.events.seen import Happened, Mention, State, Viewer, untrue
from tests.installation import Installation, installed

HOUR = timedelta(hours=1)
LAGGED = ["STREAM_LAGGED"]


@dataclass
class World:
    here: Installation
    rest: Rest
    tasks: asyncio.TaskGroup
    boss: Actor
    ben: Actor
    cleo: Actor
    # Shared ones, and then workspaces.
    folders: list[UUID]
    states: list[State]
    viewers: list[Viewer] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)
    cursors: dict[int, str] = field(default_factory=dict)
    followers: dict[Follower, asyncio.Task[None]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    last_id: int = 0
    # What is told now was looked at in no state before these: alone, and in an answer for many.
    floor: int = 0
    shared_floor: int = 0
    # While it is not set, no answer for many is made.
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    breaks: int = 0
    makers: set[tuple[str, UUID, UUID | None]] = field(default_factory=set)

    @classmethod
    async def begin(cls, stack: AsyncExitStack, url: str, folder: Path) -> "World":
        stack.enter_context(small())
        rest = stack.enter_context(patch("api.events.feed.wait", Rest()))
        here = await stack.enter_async_context(installed(url, folder, HeldClock()))
        boss, cleo = await here.add_person("Boss", administrator=True), await here.add_person("Cleo")
        user = await here.patchbay.people.add_user(name="Ben", email="ben@example.com")
        ben = Actor(user.id, user.name)
        shared = [(await here.patchbay.folders.create(here.ada, name=name, parent_id=None)).id for name in ("North", "South", "East")]
        owners = {(await models.Folder.get(owner_id=actor.user_id, kind=FolderKind.PERSONAL)).id: actor.user_id for actor in (ben, cleo)}
        group = await here.patchbay.groups.create(here.ada, name="Group")
        state = State(
            now=here.clock.now,
            parents=dict.fromkeys(shared),
            owners=owners,
            grants={(here.ada.user_id, id): Permission.every() for id in shared},
            group_id=group.id,
            members=frozenset(),
            administrators=frozenset({here.ada.user_id, boss.user_id}),
            active=frozenset(actor.user_id for actor in (here.ada, boss, ben, cleo)),
        )
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        world = cls(here, rest, tasks, boss, ben, cleo, [*shared, *owners], [state])
        world.answers.set()
        stack.push_async_callback(world.part)
        stack.enter_context(patch.object(sharing, "_delivery", world.holding(sharing._delivery)))
        world.viewers += [Viewer(actor) for actor in (here.ada, boss, ben, cleo)]
        world.viewers += [await world.new_token(kind) for kind in range(3)]
        return world

    @property
    def state(self) -> State:
        return self.states[-1]

    def holding(self, original: Callable[..., Delivery | None]) -> Callable[..., Delivery | None]:
        """Deliveries whose answers are made when the world lets them, and break where it says so."""

        def made(*arguments: Any) -> Delivery | None:
            delivery = original(*arguments)
            if delivery is None:
                return None

            async def answer(placed: PlacedEvent, actor: Actor) -> Any:
                self.makers.add((placed.event.connection_name, actor.user_id, actor.token_id))
                await self.answers.wait()
                if self.breaks:
                    self.breaks -= 1
                    raise ZeroDivisionError
                return await delivery.answer(placed, actor)

            return replace(delivery, answer=answer)

        return made

    def id_of(self, who: str) -> UUID:
        return {"boss": self.boss, "ben": self.ben, "cleo": self.cleo}[who].user_id

    # What changes

    async def new_token(self, kind: int) -> Viewer:
        """One that is for a folder and looks only, one that ends, and one that somebody else made."""
        people, ben, cleo = self.here.patchbay.people, self.ben, self.cleo
        expires_at = None
        match kind:
            case 0:
                await self.give(ben.user_id, 0, Permission.VIEW)
                new = await people.create_token(ben, name=uuid4().hex, permissions=Permission.VIEW, folder_ids=(self.folders[0],))
            case 1:
                expires_at = self.here.clock.now + HOUR
                new = await people.create_token(ben, name=uuid4().hex, expires_at=expires_at)
            case _:
                new = await people.create_token(self.here.ada, name=uuid4().hex, user_id=cleo.user_id)
        actor = await people.actor_of_token(new.token)
        assert actor is not None
        return Viewer(actor, expires_at)

    async def change(self, act: Awaitable[object], **what: Any) -> None:
        # From now on, because nobody knows when within the act.
        self.states.append(replace(self.state, **what))
        await act

    async def give(self, who: UUID, folder: int, permissions: Permission) -> None:
        grants = {**self.state.grants, (who, self.folders[folder]): permissions}
        await self.change(self._grant(who, self.folders[folder], permissions), grants=grants)

    async def _grant(self, who: UUID, folder_id: UUID, permissions: Permission) -> None:
        folders, ada = self.here.patchbay.folders, self.here.ada
        if who == self.state.group_id:
            await folders.set_group_access(ada, folder_id, who, permissions)
        else:
            await folders.set_access(ada, folder_id, who, permissions)

    async def set_members(self, user_ids: frozenset[UUID]) -> None:
        await self.change(self.here.patchbay.groups.set_members(self.here.ada, self.state.group_id, user_ids), members=user_ids)

    async def put(self, folder: int, below: int | None) -> None:
        """Put a shared folder below another, or at the top."""
        id, parent_id = self.folders[folder], None if below is None else self.folders[below]
        if parent_id is not None and id in self.state.line(parent_id):
            return
        moved = models.Folder.filter(id=id).update(parent_id=parent_id)
        await self.change(moved, parents={**self.state.parents, id: parent_id})

    async def make_administrator(self, is_one: bool) -> None:
        others = self.state.administrators - {self.boss.user_id}
        changed = models.User.filter(id=self.boss.user_id).update(administrator=is_one)
        await self.change(changed, administrators=others | ({self.boss.user_id} if is_one else set()))

    async def deactivate(self, user_id: UUID) -> None:
        tokens = {viewer.actor.token_id for viewer in self.viewers if viewer.actor.user_id == user_id}
        revoked = self.state.revoked | {id for id in tokens if id is not None}
        act = self.here.patchbay.people.deactivate(self.here.ada, user_id)
        await self.change(act, active=self.state.active - {user_id}, revoked=revoked)

    async def reactivate(self, user_id: UUID) -> None:
        act = self.here.patchbay.people.reactivate(self.here.ada, user_id)
        await self.change(act, active=self.state.active | {user_id})

    async def revoke(self, viewer: Viewer) -> None:
        token_id = viewer.actor.token_id
        if token_id is not None and token_id not in self.state.revoked:
            act = self.here.patchbay.people.revoke_token(self.here.ada, token_id)
            await self.change(act, revoked=self.state.revoked | {token_id})

    def pass_time(self, by: timedelta) -> None:
        self.states.append(replace(self.state, now=self.state.now + by))
        self.here.clock.move(by)
        for follower in self.followers:
            follower.has_been_away_long |= not follower.goes_on.is_set()

    async def happen(self, folder: int, previous: int | None, count: int, *, noticed: bool) -> None:
        """So many events in one transaction, of which the reader is told or not."""
        async with self.here.log.change() if noticed else transaction():
            for _ in range(count):
                actor = Mention(self.ben.user_id, "ben@example.com")
                previous_id = None if previous is None else self.folders[previous]
                happened = Happened(len(self.happened) + 1, self.folders[folder], previous_id, actor, len(self.states) - 1)
                self.happened.append(happened)
                self.last_id = await _written(happened, self.here.clock)

    # Who watches

    async def join(self, choice: int, document: str, variables: Mapping[str, Any], after: int | None) -> None:
        """Somebody begins to watch, after the event of this number, or from now on."""
        viewer = await self._come(choice)
        if after is None:
            # On PostgreSQL "now" is behind all that is read, if nothing is held back.
            await self.settle()
            start = len(self.happened)
        else:
            start, variables = after, {**variables, "after": self._cursor(after)}
        follower = Follower(choice, viewer, document, variables, start, len(self.states) - 1, self.look)
        self.followers[follower] = self.tasks.create_task(self._follow(follower))
        async with asyncio.timeout(30):
            while len(streams_of(self.here.patchbay.feed)) < self._unfinished():
                await asyncio.sleep(0)
        if after is None:
            await self.settle()

    async def _come(self, choice: int) -> Viewer:
        """Somebody who is known, with what they are by now."""
        viewer = self.viewers[choice]
        if viewer.actor.user_id not in self.state.active:
            await self.reactivate(viewer.actor.user_id)
        if not self.state.knows(viewer):
            viewer = self.viewers[choice] = await self.new_token(choice - 4)
        administrator = viewer.actor.user_id in self.state.administrators
        return replace(viewer, actor=replace(viewer.actor, administrator=administrator))

    def _cursor(self, number: int) -> str:
        """Of an event that somebody was told of, or else of the beginning."""
        return self.cursors[number] if number else write_cursor(EventPosition(0, 0), self.here.patchbay.vault)

    async def _follow(self, follower: Follower) -> None:
        try:
            await follower.follow(self.here.patchbay)
        # It must not end the world before it is looked at.
        except Exception as error:
            self.problems.append(f"a stream broke: {error!r}")

    async def leave(self, follower: Follower) -> None:
        task = self.followers.pop(follower)
        task.cancel()
        await asyncio.wait([task])

    async def come_back(self, follower: Follower) -> None:
        """Go on from the last event that was told."""
        await self.leave(follower)
        variables = {name: value for name, value in follower.variables.items() if name != "after"}
        after = follower.last if follower.last in self.cursors else None
        await self.join(follower.who, follower.document, variables, after)

    def look(self, follower: Follower, answer: Mapping[str, Any], shared: bool) -> Happened:
        """Hold an answer against the model."""
        happened = self.happened[int(answer["connectionName"].split()[1]) - 1]
        self.cursors[happened.number] = answer["cursor"]
        actor = follower.viewer.actor
        shared &= (answer["connectionName"], actor.user_id, actor.token_id) not in self.makers
        states = self.states[max(happened.state, self.shared_floor if shared else self.floor) :]
        if happened.number <= follower.last:
            self._blame(follower, f"told of {happened.number} after {follower.last}")
        if not follower.wants(happened):
            self._blame(follower, f"told of {happened.number}, which it did not want")
        if not follower.asked_for(answer):
            self._blame(follower, f"told of {happened.number} what it did not ask for: {answer}")
        if (what := untrue(answer, happened, follower.viewer, states)) is not None:
            self._blame(follower, f"{happened.number}: {what}")
        self._miss(follower, happened.number)
        return happened

    def _miss(self, follower: Follower, before: int) -> None:
        """All that it had to be told since the last, up to here."""
        for happened in self.happened[follower.last : before - 1]:
            if follower.wants(happened) and all(state.shows(follower.viewer, happened) for state in self.states[happened.state :]):
                self._blame(follower, f"not told of {happened.number}")

    def _blame(self, follower: Follower, what: str) -> None:
        self.problems.append(f"{follower.viewer.actor.name}, {follower.document} {dict(follower.variables)}: {what}")

    # What must be so

    async def settle(self) -> None:
        """Until everybody has what is there, but for those who take nothing; then nothing may be missing."""
        self.release()
        await self.rest.settle(self.here.patchbay.feed, self.last_id, self._unfinished, self._stuck)
        self.check()
        self.floor = self.shared_floor = len(self.states) - 1

    def release(self) -> None:
        if not self.answers.is_set():
            self.shared_floor = len(self.states) - 1
            self.answers.set()

    async def hold(self) -> None:
        """From now on answers for many are begun, and not made."""
        await self.settle()
        self.makers.clear()
        self.answers.clear()

    def check(self) -> None:
        for follower in list(self.followers):
            if follower.goes_on.is_set():
                self._check_end(follower)
                if not follower.has_ended:
                    self._miss(follower, len(self.happened) + 1)
            if follower.has_ended:
                del self.followers[follower]
        assert not self.problems, self.problems

    def _check_end(self, follower: Follower) -> None:
        is_known = self.state.knows(follower.viewer)
        was_known = all(state.knows(follower.viewer) for state in self.states[follower.since :])
        may_lag = follower.has_been_away_long and follower.codes == LAGGED
        if follower.codes and not may_lag:
            self._blame(follower, f"ended with {follower.codes}")
        if follower.has_ended and was_known and not may_lag:
            self._blame(follower, "ended without a reason")
        if not follower.has_ended and not is_known:
            self._blame(follower, "goes on, although they may not ask any more")

    async def part(self) -> None:
        """All go."""
        for follower in list(self.followers):
            await self.leave(follower)

    async def check_nothing_is_kept(self) -> None:
        await self.part()
        async with asyncio.timeout(30):
            while len(self.here.patchbay.feed._audiences) or self.here.patchbay.feed._subscribers:
                await asyncio.sleep(0)
        assert (self.here.patchbay.feed._alone, self.here.patchbay.feed._streams, self.here.patchbay.feed._audiences._followers) == (
            set(),
            {},
            {},
        )

    def _unfinished(self) -> int:
        return sum(not follower.has_ended for follower in self.followers)

    def _stuck(self) -> int:
        return sum(follower.is_stuck for follower in self.followers)


async def _written(happened: Happened, clock: HeldClock) -> int:
    row = await models.ConnectionEvent.create(
        type=ConnectionEventType.RENAMED,
        connection_id=uuid4(),
        connection_name=happened.name,
        connector_key="sandbox",
        folder_id=happened.folder_id,
        previous_folder_id=happened.previous_folder_id,
        actor_id=happened.actor.user_id,
        status=ConnectionStatus.CONNECTED,
        at=clock(),
    )
    return int(row.id)

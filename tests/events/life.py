"""The life of subscriptions, as chance leads it: people watch, are slow, come, go, and go on from where they were, while what they may
see changes; notices are lost, and answers take long or break.

What each is told is held against what `tests.events.seen` says that they must be told, may be told, or must not:

    each event that they see goes to each once, in order, and none is missing, from where they asked for on
    nobody is told of what they do not see at that moment, nor anything in an answer that is for somebody else
    a stream ends where its viewer may not ask any more, and nowhere else, but for who leaves too much waiting for too long
    who takes nothing keeps nobody waiting, and nothing is kept of who has gone

The short form is in the suite. The long one: `python -m tests.events.life --examples 1000 --steps 60 --database sqlite`.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from models import Permission
from tests.events.follower import DOCUMENTS, Follower
from tests.events.world import HOUR, World
from tests.lives import Led, main

_MOST = 9
# Longer than anybody may leave too much waiting.
_LONG = timedelta(seconds=11)
_SHARED, _ANY = st.integers(0, 2), st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4])
_CHOICES = st.integers(0, _MOST - 1)
_GIVEN = st.sampled_from([Permission(0), Permission.VIEW, Permission.VIEW | Permission.USE])
_PEOPLE = st.sampled_from(["boss", "ben", "cleo"])
# Of one page, of more than waits for anybody, and of several pages.
_COUNTS = st.sampled_from([1, 1, 1, 2, 3, 6, 8, 17])
Act = Callable[[World], Awaitable[None]]


def _giving(who: str, folder: int, permissions: Permission) -> Act:
    return lambda world: world.give(world.state.group_id if who == "group" else world.id_of(who), folder, permissions)


def _setting_members(ben: bool, cleo: bool) -> Act:
    return lambda world: world.set_members(frozenset([world.ben.user_id] * ben + [world.cleo.user_id] * cleo))


_CHANGES: st.SearchStrategy[Act] = st.one_of(
    st.builds(_giving, st.sampled_from(["boss", "ben", "ben", "cleo", "cleo", "group"]), _SHARED, _GIVEN),
    st.builds(_setting_members, st.booleans(), st.booleans()),
    st.builds(lambda folder, below: lambda world: world.put(folder, below), _SHARED, st.none() | _SHARED),
    st.builds(lambda is_one: lambda world: world.make_administrator(is_one), st.booleans()),
    st.builds(lambda who: lambda world: world.deactivate(world.id_of(who)), _PEOPLE),
    st.builds(lambda choice: lambda world: world.revoke(world.viewers[choice]), st.integers(4, 6)),
)


class Life(Led[World]):
    async def begin(self, stack: AsyncExitStack, url: str, folder: Path) -> World:
        """People who watch, and see something."""
        world = await World.begin(stack, url, folder)
        for actor in (world.boss, world.ben, world.cleo):
            await world.give(actor.user_id, 0, Permission.VIEW)
        for who, document in enumerate(["names", "folders", "folders", "folders", "names"]):
            await world.join(who, document, {"all": True} if document == "folders" else {}, 0)
        return world

    def one(self, choice: int) -> Follower:
        followers = list(self.world.followers)
        return followers[choice % len(followers)]

    @property
    def watchers(self) -> int:
        return len(self.world.followers)

    @precondition(lambda self: self.watchers < _MOST)
    @rule(
        who=st.integers(0, 6),
        document=st.sampled_from(list(DOCUMENTS)),
        all=st.booleans(),
        folder=st.none() | _ANY,
        place=st.integers(-1, 30),
    )
    def join(self, who: int, document: str, all: bool, folder: int | None, place: int) -> None:
        """From now on, from the beginning, or behind an event that somebody was told of."""
        variables: dict[str, Any] = {"all": all} if document == "folders" else {}
        if document == "folders" and folder is not None:
            variables["in"] = str(self.world.folders[folder])
        known = [0, *self.world.cursors]
        self.live(lambda: self.world.join(who, document, variables, None if place < 0 else known[-1 - place % len(known)]))

    @precondition(lambda self: self.watchers > 0)
    @rule(choice=_CHOICES, comes_back=st.sampled_from([True, True, False]))
    def leave(self, choice: int, comes_back: bool) -> None:
        self.live(lambda: self.world.come_back(self.one(choice)) if comes_back else self.world.leave(self.one(choice)))

    @precondition(lambda self: self.watchers > 0)
    @rule(choice=_CHOICES, misses=st.integers(0, 3))
    def be_slow(self, choice: int, misses: int) -> None:
        """Miss the next that come, or take nothing at all until all go on."""
        self.one(choice).misses = misses
        if not misses:
            self.one(choice).goes_on.clear()

    @rule()
    def all_go_on(self) -> None:
        for follower in self.world.followers:
            follower.goes_on.set()

    @rule(folder=_ANY, previous=st.none() | _ANY, count=_COUNTS)
    def happen(self, folder: int, previous: int | None, count: int) -> None:
        self.live(lambda: self.world.happen(folder, previous, count, noticed=True))

    @rule(folder=_ANY, previous=st.none() | _ANY, count=_COUNTS)
    def happen_unnoticed(self, folder: int, previous: int | None, count: int) -> None:
        self.live(lambda: self.world.happen(folder, previous, count, noticed=False))

    @rule(change=_CHANGES)
    def change(self, change: Act) -> None:
        self.live(lambda: change(self.world))

    @rule(folder=_ANY, change=_CHANGES)
    def change_while_an_answer_is_made(self, folder: int, change: Act) -> None:
        async def act() -> None:
            await self.world.hold()
            await self.world.happen(folder, None, 1, noticed=True)
            await change(self.world)
            self.world.release()

        self.live(act)

    @rule(who=_PEOPLE, folder=_SHARED)
    def lose_a_folder_while_an_answer_is_made(self, who: str, folder: int) -> None:
        async def act() -> None:
            await self.world.give(self.world.id_of(who), folder, Permission.VIEW)
            await self.world.hold()
            await self.world.happen(folder, None, 1, noticed=True)
            await self.world.give(self.world.id_of(who), folder, Permission(0))
            self.world.release()

        self.live(act)

    @rule(by=st.sampled_from([_LONG, _LONG, HOUR]))
    def pass_time(self, by: timedelta) -> None:
        self.world.pass_time(by)

    @rule()
    def break_an_answer(self) -> None:
        self.world.breaks = 1

    @rule()
    def settle(self) -> None:
        self.live(self.world.settle)

    def teardown(self) -> None:
        try:
            self.live(self._calm)
        finally:
            super().teardown()

    async def _calm(self) -> None:
        """Everybody takes what there is; then all go."""
        for follower in self.world.followers:
            follower.goes_on.set()
        await self.world.settle()
        await self.world.check_nothing_is_kept()


if __name__ == "__main__":
    main(Life, what="lives")

"""The life of connections, as chance leads it: what people do, what providers do, and processes that die, in any order.

After each step the provider's truth is compared with ours; at the end every trouble is over, and within one cycle everything is well or
says what must be done. Laws that hold all the time:

    no grant has two exchanges at once
    no older token takes the place of a newer one, and none is lost that was journalled
    each change of a status has exactly one event, and the events lead to what is there
    what the provider takes is never shown as broken
    nothing is issued that has ended
    secrets open where their connection is, and names are unique

The short form is in the suite. The long one: `python -m tests.connections.life --examples 1000 --steps 50 --database sqlite`.
"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Awaitable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

import models
from api.connections.app_upkeep import NewSecret
from api.connections.requests import OwnApp, ReconnectRequest
from api.connections.secrets import Secrets
from api.errors import Conflict, NameTaken, PolicyViolation, ProviderFailure
from api.opening import open_patchbay
from api.sandbox.provider import Answer
from api.sandbox.records import Grant, GrantKind, Mode, Token
from api.sandbox.sandbox import ClientSwitch, Switch
from models import AuthenticationType, ConnectionEventType, ConnectionStatus, StatusReasonCode
from tests.clock import HeldClock
from tests.connections.stages import Stage, Stages
from tests.connections.test_refreshing import secrets_of
from tests.connections.trouble import kill
from tests.installation import Installation, installed
from tests.lives import Led, main

DUE = timedelta(seconds=55)
LEASE = timedelta(seconds=60)
_MOST = 4
_NAMES = ("Sales", "Support", "Staging")
_DEAD = {StatusReasonCode.REAUTHENTICATION_REQUIRED, StatusReasonCode.EXPIRES_FREQUENTLY}
_WAITS = [timedelta(seconds=seconds) for seconds in (5, 30, 55, 65, 600, 1800)]
_CHOICES = st.integers(0, _MOST - 1)
_FOLDERS = st.integers(0, 1)
_ACTS = st.sampled_from(["reconnect", "move", "delete", "disable", "rename", "default"])
_STAGES = [Stage.BEFORE_THE_INTENT, Stage.BEFORE_THE_REQUEST, Stage.BEFORE_THE_JOURNAL, Stage.BEFORE_THE_SAVE]


class Exchanges:
    """The token endpoint: who asks at the same time, and whose next answer is lost after the provider did what it was asked to."""

    def __init__(self, here: Installation) -> None:
        self.lost: set[str] = set()
        # Grants that may be dead: what was revoked, and what nobody could have kept.
        self.excused: set[str] = set()
        self.most_at_once = 0
        self._here = here
        self._real = here.sandbox.issue
        self._at_once: Counter[str] = Counter()
        self._lock = threading.Lock()
        setattr(here.sandbox, "issue", self)  # noqa: B010

    def __call__(self, incoming: Any) -> Answer:
        """The sandbox calls this in a thread."""
        token = find_token(self._here, dict(incoming.parameters).get("refresh_token", ""))
        if token is None:
            return self._real(incoming)
        grant_id = token.grant.id
        with self._counted(grant_id):
            answer = self._real(incoming)
        if grant_id in self.lost:
            self.lost.discard(grant_id)
            self.excused.add(grant_id)
            return Answer(503, {"error": "temporarily_unavailable"})
        return answer

    @contextmanager
    def _counted(self, grant_id: str) -> Iterator[None]:
        with self._lock:
            self._at_once[grant_id] += 1
            self.most_at_once = max(self.most_at_once, self._at_once[grant_id])
        try:
            yield
        finally:
            with self._lock:
                self._at_once[grant_id] -= 1


def find_token(here: Installation, text: str) -> Token | None:
    with here.sandbox._store.work() as records:
        return records.find_token(text)


@dataclass
class World:
    """An installation that may die and come back, beside a provider that does not."""

    here: Installation
    exchanges: Exchanges
    folders: list[UUID]
    stack: AsyncExitStack
    stages: Stages
    # The credentials that each connection had, in their order.
    fingerprints: dict[UUID, list[str]] = field(default_factory=dict)
    # Grants that a reconnect left behind: some providers end every grant of an account with one, so they are not ended.
    replaced: set[str] = field(default_factory=set)
    reborn: AsyncExitStack | None = None

    @classmethod
    async def begin(cls, stack: AsyncExitStack, database_url: str, folder: Path) -> "World":
        here = await stack.enter_async_context(installed(database_url, folder, HeldClock()))
        exchanges = Exchanges(here)
        folders = [(await here.patchbay.folders.create(here.ada, name=name, parent_id=None)).id for name in ("North", "South")]
        return cls(here, exchanges, folders, stack, Stages(here.patchbay.refresher))

    async def connections(self) -> list[models.Connection]:
        return await models.Connection.all().order_by("created_at", "id")

    async def pick(self, choice: int) -> models.Connection:
        found = await self.connections()
        return found[choice % len(found)]

    async def grant_of(self, connection: models.Connection) -> Grant:
        token = await self.token_of(connection)
        return token.grant

    async def token_of(self, connection: models.Connection) -> Token:
        """The refresh token that is held, as the provider knows it."""
        secrets: Secrets = await secrets_of(self.here, connection)
        assert secrets.refresh_token is not None
        token = find_token(self.here, secrets.refresh_token.reveal())
        assert token is not None, "the provider knows every token that it gave"
        return token

    # What people do

    async def connect(self, folder: int, name: str) -> None:
        own = OwnApp(self.here.sandbox.client_id, self.here.sandbox.client_secret)
        await self.here.connect_by_consent(
            authentication_type=AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP, own_app=own, folder_id=self.folders[folder], name=name
        )

    async def reconnect(self, connection: models.Connection) -> None:
        self.replaced.add((await self.grant_of(connection)).id)
        authorization = await self.here.patchbay.connecting.reconnect(self.here.ada, ReconnectRequest(connection.id))
        assert isinstance(authorization, models.Authorization)
        authorization = await self.here.come_back(authorization)
        assert authorization.connection_id == connection.id, authorization.reason

    async def act(self, name: str, connection: models.Connection, folder: int, new_name: str) -> None:
        """Something that a person does to a connection, which may be refused for a reason that is known."""
        connections, ada = self.here.patchbay.connections, self.here.ada
        match name:
            case "rename":
                await refusable(connections.rename(ada, connection.id, new_name))
            case "move":
                await refusable(self.here.patchbay.moving.move(ada, connection.id, self.folders[folder]))
            case "delete":
                await connections.delete(ada, connection.id)
            case "disable":
                await connections.disable(ada, connection.id)
            case "default":
                await connections.set_default(ada, connection.id)
            case "reconnect":
                await self.reconnect(connection)

    async def ask(self, name: str, connection: models.Connection) -> None:
        """Something for which the provider is asked while a person waits."""
        if await models.Connection.exists(id=connection.id, lease_holder__not_isnull=True):
            # Of a process that died: nobody waits so long.
            self.here.clock.move(LEASE)
        connections, ada = self.here.patchbay.connections, self.here.ada
        match name:
            case "verify":
                await refusable(connections.verify(ada, connection.id))
            case "enable":
                await refusable(connections.enable(ada, connection.id))
            case "issue":
                await refusable(self.issue(connection))
            case "report":
                present = (await models.Credential.get(connection_id=connection.id)).generation
                await refusable(self.here.patchbay.issuing.report_rejected(ada, connection.id, present))

    async def issue(self, connection: models.Connection) -> None:
        issued = await self.here.patchbay.issuing.issue(self.here.ada, connection.id, timedelta(0))
        assert issued.expires_at is not None
        assert issued.expires_at > self.here.clock.now, "what had ended was issued"
        assert issued.access_token == (await secrets_of(self.here, await models.Connection.get(id=connection.id))).access_token

    async def rotate_app_secrets(self) -> None:
        self.here.sandbox.throw_for_client(ClientSwitch.NEW_SECRET)
        for app in await models.OAuthApp.exclude(folder_id=None):
            await self.here.patchbay.app_upkeep.rotate(self.here.ada, NewSecret(app.id, self.here.sandbox.client_secret))
        self.here.sandbox.throw_for_client(ClientSwitch.RETIRE_SECRETS)

    # What processes do

    async def begin_refresh(self, connection: models.Connection, stage: Stage) -> None:
        """A refresh of what is due, in which this connection stops at a stage, if it comes so far."""
        self.stages.stop(connection, stage)
        self.here.clock.move(DUE)
        await self.here.patchbay.refresh_loop.tick()
        waits = [asyncio.ensure_future(self.stages.reached()), asyncio.ensure_future(self.here.patchbay.refresher.settled())]
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in pending:
            wait.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def go_on(self) -> None:
        self.stages.release()
        await self.here.patchbay.refresher.settled()

    async def die(self) -> None:
        """The process dies with all that it is at, and another is started on the same database."""
        await kill(self.here)
        self.stages.release()
        # What was asked for and not yet journalled went down with the process. What was journalled did not.
        for row in await models.TokenJournal.filter(answer=None):
            connection = await models.Connection.get_or_none(id=row.connection_id)
            if connection is not None:
                self.exchanges.excused.add((await self.grant_of(connection)).id)
        if self.reborn is not None:
            await self.reborn.aclose()
        self.reborn = AsyncExitStack()
        self.stack.push_async_callback(self.reborn.aclose)
        patchbay = await self.reborn.enter_async_context(
            open_patchbay(self.here.patchbay.settings, clock=self.here.clock, chance=random.Random(1))
        )
        self.here = replace(self.here, patchbay=patchbay)
        self.stages = Stages(patchbay.refresher)

    # What must be true

    async def check(self) -> None:
        assert self.exchanges.most_at_once <= 1, "a grant had two exchanges at once"
        rows = await self.connections()
        names = [(row.folder_id, row.name) for row in rows]
        assert len(set(names)) == len(names)
        for row in rows:
            await self.check_token(row)
            await self.check_shown(row)
        await self.check_events({row.id: row for row in rows})

    async def check_token(self, row: models.Connection) -> None:
        credential = await models.Credential.get(connection_id=row.id)
        assert (await self.grant_of(row)).id not in self.replaced, "a token of a replaced grant came back"
        seen = self.fingerprints.setdefault(row.id, [])
        if not seen or seen[-1] != credential.fingerprint:
            assert credential.fingerprint not in seen, "an older token took the place of a newer one"
            seen.append(credential.fingerprint)

    async def check_shown(self, row: models.Connection) -> None:
        """What works is not shown as broken."""
        token = await self.token_of(row)
        if row.status is ConnectionStatus.DISABLED or token.spent or token.grant.mode is Mode.REVOKED:
            return
        assert row.reason is None or row.reason.code not in _DEAD, "a grant that lives was called dead"
        if row.expires_at is not None and row.expires_at > self.here.clock.now:
            assert row.status is ConnectionStatus.CONNECTED, f"it works, and is shown as {row.status} {row.reason}"

    async def check_events(self, rows: dict[UUID, models.Connection]) -> None:
        told: dict[UUID, models.ConnectionEvent] = {}
        for event in await models.ConnectionEvent.all().order_by("id"):
            before = told.get(event.connection_id)
            assert (before is None) is (event.type is ConnectionEventType.CREATED)
            assert before is None or before.type is not ConnectionEventType.DELETED
            if before is not None:
                check_step(before, event)
            told[event.connection_id] = event
        alive = {id: last for id, last in told.items() if last.type is not ConnectionEventType.DELETED}
        assert alive.keys() == rows.keys()
        for id, last in alive.items():
            row = rows[id]
            said = (last.status, last.reason, last.connection_name, last.folder_id)
            assert said == (row.status, row.reason, row.name, row.folder_id), "the events do not lead to what is there"

    async def check_calm(self) -> None:
        """Once every trouble is over: all is well, or says what must be done, within one cycle; and no grant is forgotten."""
        for grant in self.here.sandbox.overview().grants:
            self.here.sandbox.throw(Switch.NORMAL, id=grant.id)
        self.exchanges.lost.clear()
        for wait in (LEASE, timedelta(hours=1), DUE):
            await self.here.tick(after=wait)
        await self.check()
        rows = await self.connections()
        for row in rows:
            await self.check_truth(row)
        held = {(await self.grant_of(row)).id for row in rows}
        consents = [grant for grant in self.here.sandbox.overview().grants if grant.kind is GrantKind.CONSENT]
        living = {grant.id for grant in consents if grant.mode is not Mode.REVOKED}
        assert living <= held | self.replaced, "a grant lives at the provider, and nobody holds it"
        assert await models.TokenJournal.filter(answered_at__not_isnull=True).count() == 0, "an answer was left in the journal"
        assert await models.Connection.filter(lease_until__gt=self.here.clock.now).count() == 0, "somebody still works on it"

    async def check_truth(self, row: models.Connection) -> None:
        token = await self.token_of(row)
        lives = not token.spent and token.grant.mode is Mode.NORMAL
        if row.status is ConnectionStatus.DISABLED:
            assert row.due_at is None
        elif lives:
            assert (row.status, row.reason) == (ConnectionStatus.CONNECTED, None), "it works, and something else is shown"
            assert row.due_at is not None
        else:
            assert token.grant.id in self.exchanges.excused, "a grant was lost that need not be"
            assert row.reason is not None, "a grant that is lost was not told of"
            assert (row.status, row.reason.code in _DEAD) == (ConnectionStatus.ACTION_REQUIRED, True)


def check_step(before: models.ConnectionEvent, event: models.ConnectionEvent) -> None:
    """One event after another: it says what the status was, and something did change."""
    if event.type is ConnectionEventType.STATUS_CHANGED:
        assert event.previous_status == before.status, "an event is missing"
        assert (event.status, event.reason) != (before.status, before.reason), "an event tells of no change"
    elif event.type is not ConnectionEventType.RECONNECTED:
        assert (event.status, event.reason) == (before.status, before.reason), "a status changed without its event"
    if event.type is ConnectionEventType.RENAMED:
        assert event.connection_name != before.connection_name
    elif event.type is not ConnectionEventType.MOVED:
        assert event.connection_name == before.connection_name


async def refusable(act: Awaitable[object]) -> None:
    try:
        await act
    except (NameTaken, ProviderFailure, PolicyViolation, Conflict):
        pass


class Life(Led[World]):
    alive = 0

    async def begin(self, stack: AsyncExitStack, url: str, folder: Path) -> World:
        return await World.begin(stack, url, folder)

    @precondition(lambda self: self.alive < _MOST)
    @rule(folder=_FOLDERS, name=st.sampled_from(_NAMES))
    def connect(self, folder: int, name: str) -> None:
        async def act() -> int:
            await refusable(self.world.connect(folder, name))
            return len(await self.world.connections())

        self.alive = self.live(act)

    @precondition(lambda self: self.alive > 0)
    @rule(wait=st.sampled_from(_WAITS))
    def tick(self, wait: timedelta) -> None:
        self.live(lambda: self.world.here.tick(after=wait))

    @precondition(lambda self: self.alive > 0)
    @rule(choice=_CHOICES, name=_ACTS, folder=_FOLDERS, new_name=st.sampled_from(_NAMES))
    def act(self, choice: int, name: str, folder: int, new_name: str) -> None:
        async def act() -> int:
            await self.world.act(name, await self.world.pick(choice), folder, new_name)
            return len(await self.world.connections())

        self.alive = self.live(act)

    @precondition(lambda self: self.alive > 0)
    @rule(choice=_CHOICES, name=_ACTS, folder=_FOLDERS, new_name=st.sampled_from(_NAMES), stage=st.sampled_from(_STAGES))
    def act_while_it_is_refreshed(self, choice: int, name: str, folder: int, new_name: str, stage: Stage) -> None:
        async def act() -> int:
            connection = await self.world.pick(choice)
            await self.world.begin_refresh(connection, stage)
            await self.world.act(name, connection, folder, new_name)
            await self.world.go_on()
            return len(await self.world.connections())

        self.alive = self.live(act)

    @precondition(lambda self: self.alive > 0)
    @rule(choice=_CHOICES, name=st.sampled_from(["verify", "enable", "issue", "report"]))
    def ask(self, choice: int, name: str) -> None:
        async def act() -> None:
            await self.world.ask(name, await self.world.pick(choice))

        self.live(act)

    @rule()
    def rotate_app_secrets(self) -> None:
        self.live(self.world.rotate_app_secrets)

    @precondition(lambda self: self.alive > 0)
    @rule(choice=_CHOICES, stage=st.sampled_from(_STAGES))
    def die(self, choice: int, stage: Stage) -> None:
        async def act() -> None:
            await self.world.begin_refresh(await self.world.pick(choice), stage)
            await self.world.die()

        self.live(act)

    @precondition(lambda self: self.alive > 0)
    @rule(choice=_CHOICES, switch=st.sampled_from([*Switch, Switch.NORMAL]))
    def throw(self, choice: int, switch: Switch) -> None:
        async def act() -> None:
            grant = await self.world.grant_of(await self.world.pick(choice))
            self.world.here.sandbox.throw(switch, id=grant.id)
            if switch is Switch.REVOKE:
                self.world.exchanges.excused.add(grant.id)

        self.live(act)

    @precondition(lambda self: self.alive > 0)
    @rule(choice=_CHOICES)
    def lose_the_next_answer(self, choice: int) -> None:
        async def act() -> None:
            grant = await self.world.grant_of(await self.world.pick(choice))
            self.world.exchanges.lost.add(grant.id)

        self.live(act)

    @invariant()
    def laws(self) -> None:
        self.live(self.world.check)

    def teardown(self) -> None:
        try:
            self.live(self.world.check_calm)
        finally:
            super().teardown()


if __name__ == "__main__":
    main(Life, what="lives")

"""Everything that may be done to a connection while it is being refreshed, at each stage of that: what is true afterwards, whole.

A row of `RACES` is something that is done. Four connections are refreshed with success and stopped at one stage each, a fifth is refused
and stopped before that is written down; then it is done to all five, and they go on.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

import models
from api.connections.app_upkeep import NewSecret
from api.connections.reasons import invalid_client
from api.connections.requests import OwnApp, ReconnectRequest
from api.errors import Conflict
from api.organization.policy_wishes import PolicyWish
from api.sandbox.records import Grant, Mode
from api.sandbox.sandbox import ClientSwitch, Switch
from models import AuthenticationType, ConnectionEventType, ConnectionStatus, PolicyEnforcement, StatusReasonCode
from tests.connections.stages import Stage, Stages
from tests.connections.test_refreshing import secrets_of, spoil
from tests.connections.trouble import NEVER_SEALED, Endpoint, Hold, another_server, refuses, tick
from tests.connections.watching import state_of, told
from tests.installation import Installation

pytestmark = pytest.mark.anyio

BYO = AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP
DUE = timedelta(seconds=55)
LEASE = timedelta(seconds=60)
# Races of two servers: so many connections, so often.
AT_ONCE, ROUNDS = 6, 2
SUCCESSES = (Stage.BEFORE_THE_INTENT, Stage.BEFORE_THE_REQUEST, Stage.BEFORE_THE_JOURNAL, Stage.BEFORE_THE_SAVE)
SUSPENDED = PolicyWish("sandbox", allowed=False, enforcement=PolicyEnforcement.SUSPEND)

CONNECTED, DISABLED, DEAD = ConnectionStatus.CONNECTED, ConnectionStatus.DISABLED, ConnectionStatus.ACTION_REQUIRED
CHANGED = ConnectionEventType.STATUS_CHANGED
Told = tuple[tuple[ConnectionEventType, ConnectionStatus], ...]


@dataclass(frozen=True)
class After:
    """What is true of a connection after a race. It is sealed for where it is, or this could not be said."""

    state: tuple[ConnectionStatus, StatusReasonCode | None]
    told: Told
    name: str = "Sandbox"
    is_default: bool = True
    has_moved: bool = False
    is_due: bool = True
    # What the provider says of the token that is held, and of the grant that was held before the race.
    token_is_taken: bool = True
    holds_another_grant: bool = False
    grant: tuple[Mode, int] = (Mode.NORMAL, 1)


@dataclass(frozen=True)
class Gone:
    """The connection was deleted, and nothing of it is left."""

    told: Told
    grant: Mode


WELL = After((CONNECTED, None), ())
# The provider refused: no exchange, and no good token.
REFUSED = After(
    (DEAD, StatusReasonCode.REAUTHENTICATION_REQUIRED), ((CHANGED, DEAD),), is_due=False, token_is_taken=False, grant=(Mode.REVOKED, 0)
)
Act = Callable[[Installation, Stages, Sequence[models.Connection]], Awaitable[object]]


@dataclass(frozen=True)
class Ends:
    """What is true after a refresh that succeeds, at whichever stage it was met; and after one that is refused."""

    after: After | Gone
    refused: After | Gone


@dataclass(frozen=True)
class Race:
    act: Act
    ends: Ends
    prepare: Act | None = None


def each(act: Callable[[Installation, models.Connection], Awaitable[object]]) -> Act:
    async def act_on_all(here: Installation, _: Stages, connections: Sequence[models.Connection]) -> None:
        for connection in connections:
            await act(here, connection)

    return act_on_all


def waiting(act: Callable[[Installation, models.Connection], Awaitable[object]]) -> Act:
    """What waits for the refresh to be over."""

    async def begin(here: Installation, stages: Stages, connections: Sequence[models.Connection]) -> list[asyncio.Future[object]]:
        begun: list[asyncio.Future[object]] = []
        for connection in connections:
            stages.waiting.clear()
            begun.append(asyncio.ensure_future(act(here, connection)))
            await stages.waiting.wait()
        return begun

    return begin


async def rename(here: Installation, connection: models.Connection) -> None:
    await here.patchbay.connections.rename(here.ada, connection.id, "Production")


async def delete(here: Installation, connection: models.Connection) -> None:
    await here.patchbay.connections.delete(here.ada, connection.id)


async def move(here: Installation, connection: models.Connection) -> None:
    folder = await here.patchbay.folders.create(here.ada, name=f"Behind {connection.id}", parent_id=None)
    await here.patchbay.moving.move(here.ada, connection.id, folder.id)


async def disable(here: Installation, connection: models.Connection) -> None:
    await here.patchbay.connections.disable(here.ada, connection.id)


async def enable(here: Installation, connection: models.Connection) -> None:
    await here.patchbay.connections.disable(here.ada, connection.id)
    await here.patchbay.connections.enable(here.ada, connection.id)


async def reconnect(here: Installation, connection: models.Connection) -> None:
    authorization = await here.patchbay.connecting.reconnect(here.ada, ReconnectRequest(connection.id))
    assert isinstance(authorization, models.Authorization)
    authorization = await here.come_back(authorization)
    assert authorization.connection_id == connection.id, authorization.reason


async def rotate_secrets(here: Installation, _: Stages, connections: Sequence[models.Connection]) -> None:
    here.sandbox.throw_for_client(ClientSwitch.NEW_SECRET)
    for connection in connections:
        assert connection.oauth_app_id is not None
        await here.patchbay.app_upkeep.rotate(here.ada, NewSecret(connection.oauth_app_id, here.sandbox.client_secret))
    here.sandbox.throw_for_client(ClientSwitch.RETIRE_SECRETS)


async def suspend(here: Installation, _: Stages, __: Sequence[models.Connection]) -> None:
    await here.patchbay.policies.set(here.ada, SUSPENDED)


async def suspend_and_resume(here: Installation, stages: Stages, connections: Sequence[models.Connection]) -> None:
    await suspend(here, stages, connections)
    await here.patchbay.policies.set(here.ada, replace(SUSPENDED, allowed=True))


async def set_default(here: Installation, connection: models.Connection) -> None:
    await here.patchbay.connections.set_default(here.ada, connection.id)


async def put_another_in_front(here: Installation, connection: models.Connection) -> None:
    sibling = await here.connect_with_token(folder_id=connection.folder_id, name="Sibling")
    await here.patchbay.connections.set_default(here.ada, sibling.id)


async def verify(here: Installation, connection: models.Connection) -> None:
    await here.patchbay.connections.verify(here.ada, connection.id)


async def delete_app(here: Installation, connection: models.Connection) -> None:
    assert connection.oauth_app_id is not None
    with pytest.raises(Conflict):
        await here.patchbay.app_upkeep.delete(here.ada, connection.oauth_app_id)


async def give_away(here: Installation, connection: models.Connection) -> None:
    owner = await here.add_person("Bob", administrator=True)
    await here.patchbay.moving.transfer(here.ada, connection.id, owner.user_id)


async def deactivate_owner(here: Installation, connection: models.Connection) -> None:
    owner_id = (await models.Connection.get(id=connection.id)).owner_id
    await here.patchbay.people.deactivate(here.ada, owner_id)


def shown(*types: ConnectionEventType, status: ConnectionStatus = CONNECTED) -> Told:
    return tuple((type, status) for type in types)


def both(told: Told, **changes: Any) -> Ends:
    """Both take effect, one after the other."""
    return Ends(replace(WELL, told=told, **changes), replace(REFUSED, told=(*told, *REFUSED.told), **changes))


def off(reason: StatusReasonCode) -> Ends:
    """It stays off, with whatever token there is."""
    off = After((DISABLED, reason), shown(CHANGED, status=DISABLED), is_due=False)
    return Ends(off, replace(off, token_is_taken=False, grant=REFUSED.grant))


OFF_TO_DEAD = shown(CHANGED, status=DISABLED) + REFUSED.told
ON_AGAIN = shown(CHANGED, status=DISABLED) + shown(CHANGED)
MOVED = shown(ConnectionEventType.DEFAULT_CHANGED, ConnectionEventType.MOVED, ConnectionEventType.DEFAULT_CHANGED)
GONE = Gone(shown(ConnectionEventType.DELETED), Mode.REVOKED)
REPLACED = replace(WELL, told=shown(ConnectionEventType.RECONNECTED), holds_another_grant=True)

RACES = {
    "rename": Race(each(rename), both(shown(ConnectionEventType.RENAMED), name="Production")),
    "delete": Race(each(delete), Ends(GONE, GONE)),
    "move": Race(each(move), both(MOVED, has_moved=True)),
    "disable": Race(each(disable), off(StatusReasonCode.DISABLED_BY_USER)),
    "enable": Race(waiting(enable), Ends(replace(WELL, told=ON_AGAIN), replace(REFUSED, told=OFF_TO_DEAD))),
    "reconnect": Race(each(reconnect), Ends(REPLACED, replace(REPLACED, grant=REFUSED.grant))),
    "secret rotation": Race(rotate_secrets, both(())),
    "suspension": Race(suspend, off(StatusReasonCode.DISALLOWED_BY_POLICY)),
    "suspension and its end": Race(suspend_and_resume, both(ON_AGAIN)),
    "default": Race(each(set_default), both(shown(ConnectionEventType.DEFAULT_CHANGED)), prepare=each(put_another_in_front)),
    "verification": Race(waiting(verify), both(())),
    "deletion of the app": Race(each(delete_app), both(())),
    "deactivation of the owner": Race(each(deactivate_owner), both(()), prepare=each(give_away)),
}


@pytest.mark.parametrize("race", RACES.values(), ids=list(RACES))
async def test_a_refresh_and_something_else_at_once_leave_what_is_true(here: Installation, race: Race) -> None:
    stages = Stages(here.patchbay.refresher)
    connections = [await connect(here, place) for place in range(len(SUCCESSES) + 1)]
    *succeeding, refused = connections
    held = {connection.id: await grant_of(here, connection) for connection in connections}
    if race.prepare is not None:
        await race.prepare(here, stages, connections)
    before = {connection.id: len(await events(connection)) for connection in connections}

    here.sandbox.throw(Switch.REVOKE, id=held[refused.id])
    for connection, stage in zip(connections, (*SUCCESSES, Stage.BEFORE_THE_VERDICT), strict=True):
        stages.stop(connection, stage)
    here.clock.move(DUE)
    await here.patchbay.refresh_loop.tick()
    await stages.reached()
    begun = await race.act(here, stages, connections)
    stages.release()
    await here.patchbay.refresher.settled()
    if isinstance(begun, list):
        await asyncio.gather(*begun, return_exceptions=True)

    seen = [await seen_of(here, connection, held[connection.id], before[connection.id]) for connection in connections]
    assert dict(zip(SUCCESSES, seen, strict=False)) == dict.fromkeys(SUCCESSES, race.ends.after)
    assert seen[-1] == race.ends.refused
    assert await models.TokenJournal.all().count() == 0
    assert await models.Connection.filter(lease_holder__not_isnull=True).count() == 0
    await goes_on(here, succeeding)


# Two servers, and a refusal that is none


@asynccontextmanager
async def taken_for_dead(here: Installation, connection: models.Connection, endpoint: Endpoint) -> AsyncIterator[tuple[Stages, Hold]]:
    """One server's answer is on its way, its lease is over, and another server is being refused the token that it spent."""
    stages = Stages(here.patchbay.refresher)
    stages.stop(connection, Stage.BEFORE_THE_JOURNAL)
    here.clock.move(DUE)
    await here.patchbay.refresh_loop.tick()
    await stages.reached()
    here.clock.move(LEASE)
    async with another_server(here) as other:
        # Not by the sandbox itself, which would end the grant for it.
        endpoint.says = refuses("invalid_grant")
        with endpoint.holding() as refusal:
            second = asyncio.ensure_future(tick(other))
            await refusal.reached()
            yield stages, refusal
        await second
        endpoint.says = None
    await here.patchbay.refresher.settled()


async def test_a_refusal_says_nothing_of_a_token_that_was_saved_meanwhile(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await connect(here, 1)

    async with taken_for_dead(here, connection, token_endpoint) as (stages, _):
        stages.release()
        await here.patchbay.refresher.settled()

    assert await state_of(connection) == (CONNECTED, None)
    assert await told(connection) == []
    await goes_on(here, [connection])


async def test_a_refusal_says_nothing_of_a_token_that_was_journalled_meanwhile(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await connect(here, 1)

    async with taken_for_dead(here, connection, token_endpoint) as (stages, refusal):
        stages.release()
        stages.stop(connection, Stage.BEFORE_THE_SAVE)
        await stages.reached()
        refusal.release()
        while (await models.Connection.get(id=connection.id)).last_refreshed_at is None:
            await asyncio.sleep(0)
        stages.release()

    assert await state_of(connection) == (CONNECTED, None)
    assert await told(connection) == []
    assert await models.TokenJournal.all().count() == 0
    await goes_on(here, [connection])


async def test_servers_that_look_after_the_same_connections_at_once_flag_none(here: Installation, token_endpoint: Endpoint) -> None:
    connections = [await here.connect_by_consent() for _ in range(AT_ONCE)]
    token_endpoint.asked = 0

    async with another_server(here) as other:
        for _ in range(ROUNDS):
            here.clock.move(DUE)
            asked = [server.connections.verify(here.ada, each.id) for server in (here.patchbay, other) for each in connections[::2]]
            await asyncio.gather(tick(here.patchbay), tick(other), *asked, tick(here.patchbay), tick(other))

    assert token_endpoint.asked == AT_ONCE * ROUNDS
    assert [(grant.mode, grant.refreshes) for grant in here.sandbox.overview().grants] == [(Mode.NORMAL, ROUNDS)] * AT_ONCE
    assert [await told(connection) for connection in connections] == [[]] * AT_ONCE
    assert await models.TokenJournal.all().count() == 0


# What stops an attempt on our own side


@asynccontextmanager
async def stopped(here: Installation, connection: models.Connection, stage: Stage) -> AsyncIterator[None]:
    """A refresh of the connection is stopped there for as long as this lasts, and goes on to its end then."""
    stages = Stages(here.patchbay.refresher)
    stages.stop(connection, stage)
    here.clock.move(DUE)
    await here.patchbay.refresh_loop.tick()
    await stages.reached()
    try:
        yield
    finally:
        stages.release()
    await here.patchbay.refresher.settled()


async def test_a_secret_that_did_not_open_says_nothing_of_the_one_that_replaced_it(here: Installation) -> None:
    connection = await connect(here, 1)
    await spoil(connection)

    async with stopped(here, connection, Stage.BEFORE_BLOCKED):
        await reconnect(here, connection)

    assert await state_of(connection) == (CONNECTED, None)
    assert await told(connection) == [(ConnectionEventType.RECONNECTED, CONNECTED)]


async def test_an_app_that_is_mended_at_this_moment_blocks_nobody_for_long(here: Installation) -> None:
    connection = await connect(here, 1)
    here.sandbox.throw_for_client(ClientSwitch.NEW_SECRET)
    here.sandbox.throw_for_client(ClientSwitch.RETIRE_SECRETS)

    async with stopped(here, connection, Stage.BEFORE_BLOCKED):
        assert connection.oauth_app_id is not None
        await here.patchbay.app_upkeep.rotate(here.ada, NewSecret(connection.oauth_app_id, here.sandbox.client_secret))
    await here.tick(after=timedelta(seconds=1))

    assert await state_of(connection) == (CONNECTED, None)


async def test_an_incident_that_is_over_is_told_to_nobody(here: Installation) -> None:
    connection = await connect(here, 1)
    assert connection.oauth_app_id is not None

    await here.patchbay.incidents.block(connection.oauth_app_id, invalid_client("Sandbox"))

    assert await state_of(connection) == (CONNECTED, None)
    assert await told(connection) == []


async def test_an_app_that_gets_a_secret_that_opens_is_tried_at_once(here: Installation) -> None:
    connection = await connect(here, 1)
    assert connection.oauth_app_id is not None
    await models.OAuthApp.filter(id=connection.oauth_app_id).update(client_secret=NEVER_SEALED)
    await here.tick(after=DUE)
    for _ in range(9):
        await here.tick(after=timedelta(minutes=30))
    assert await state_of(connection) == (ConnectionStatus.ACTION_REQUIRED, StatusReasonCode.SECRET_UNREADABLE)

    await here.patchbay.app_upkeep.rotate(here.ada, NewSecret(connection.oauth_app_id, here.sandbox.client_secret))
    await here.tick(after=timedelta(seconds=1))

    assert await state_of(connection) == (CONNECTED, None)


async def connect(here: Installation, place: int) -> models.Connection:
    """With an app of its own, so that its grant at the provider is ended with it; in a folder of its own."""
    folder = await here.patchbay.folders.create(here.ada, name=f"Folder {place}", parent_id=None)
    own = OwnApp(here.sandbox.client_id, here.sandbox.client_secret)
    return await here.connect_by_consent(authentication_type=BYO, own_app=own, folder_id=folder.id)


async def events(connection: models.Connection) -> Told:
    found = await models.ConnectionEvent.filter(connection_id=connection.id).order_by("id")
    return tuple((event.type, event.status) for event in found)


async def grant_of(here: Installation, connection: models.Connection) -> str | None:
    """The grant whose access token is held; None where the provider does not take it."""
    token = (await secrets_of(here, connection)).access_token
    assert token is not None
    answer = here.sandbox.me({"authorization": f"Bearer {token.reveal()}"})
    return answer.body["grant"] if answer.status == 200 and isinstance(answer.body, dict) else None


def grant(here: Installation, id: str | None) -> Grant:
    return next(grant for grant in here.sandbox.overview().grants if grant.id == id)


async def seen_of(here: Installation, connection: models.Connection, held: str | None, before: int) -> After | Gone:
    row = await models.Connection.get_or_none(id=connection.id)
    happened = (await events(connection))[before:]
    was = grant(here, held)
    if row is None:
        return Gone(happened, was.mode)
    now_held = await grant_of(here, row)
    return After(
        state=await state_of(row),
        told=happened,
        name=row.name,
        is_default=row.is_default,
        has_moved=row.folder_id != connection.folder_id,
        is_due=row.due_at is not None,
        token_is_taken=now_held is not None,
        holds_another_grant=now_held not in (None, held),
        grant=(was.mode, was.refreshes),
    )


async def goes_on(here: Installation, connections: Sequence[models.Connection]) -> None:
    """Those that are left go on: the next refresh spends the token that the race left."""
    ids = [connection.id for connection in connections]
    await here.tick(after=DUE)
    left = await models.Connection.filter(id__in=ids).exclude(status=DISABLED)
    assert [(row.status, row.last_refreshed_at) for row in left] == [(CONNECTED, here.clock.now)] * len(left)

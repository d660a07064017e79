"""What people do to a connection that is there: name it, prefer it, switch it off and on, delete it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

import models
from api.access import Actor
from api.connections.requests import OwnApp
from api.connections.service import Connections, Deleted
from api.errors import InvalidInput, NameTaken, NotFound, PermissionDenied
from api.sandbox.provider import Answer
from api.sandbox.records import Mode
from api.sandbox.sandbox import Switch
from models import (
    AuthenticationType,
    ConnectionEventType,
    ConnectionStatus,
    Fixer,
    OAuthAppOrigin,
    Permission,
    StatusReason,
    StatusReasonCode,
)
from tests.connections.trouble import NEVER_SEALED, Endpoint
from tests.connections.watching import found, state_of, told
from tests.installation import Installation

pytestmark = pytest.mark.anyio

OVER = timedelta(seconds=55)
BYO = AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP
SWITCHED_OFF = StatusReason(
    StatusReasonCode.DISABLED_BY_USER, "This connection was switched off.", "Enable it to use it again.", Fixer.CONNECTION_OWNER
)


async def defaults() -> list[str]:
    return [connection.name for connection in await models.Connection.filter(is_default=True)]


# Names


async def test_a_name_is_kept_tidy_and_told(here: Installation) -> None:
    connection = await here.connect_with_token(name="Main")
    here.clock.move(timedelta(hours=1))

    renamed = await here.patchbay.connections.rename(here.ada, connection.id, "  Cafe\u0301 🦊 ")

    row = await found(connection)
    assert (renamed.name, row.name, row.updated_at) == ("Café 🦊", "Café 🦊", here.clock.now)
    event = await models.ConnectionEvent.get(type=ConnectionEventType.RENAMED)
    assert (event.connection_name, event.actor_id) == ("Café 🦊", here.ada.user_id)


async def test_a_name_that_another_has_is_taken_whatever_its_case(here: Installation) -> None:
    await here.connect_with_token(name="Straße")
    connection = await here.connect_with_token(name="Main")

    for name in ("Straße", "STRASSE", " strasse ", "ｓｔｒａｓｓｅ"):
        with pytest.raises(NameTaken) as refusal:
            await here.patchbay.connections.rename(here.ada, connection.id, name)
        assert name.strip() in refusal.value.message

    row = await found(connection)
    assert (row.name, row.name_key) == ("Main", "main")
    assert await told(connection) == []


async def test_a_connection_may_change_the_case_of_its_own_name(here: Installation) -> None:
    connection = await here.connect_with_token(name="main")

    for name in ("MAIN", "MAIN"):
        assert (await here.patchbay.connections.rename(here.ada, connection.id, name)).name == "MAIN"

    assert await told(connection) == [(ConnectionEventType.RENAMED, ConnectionStatus.CONNECTED)]


async def test_a_name_that_is_none_is_refused(here: Installation) -> None:
    connection = await here.connect_with_token(name="Main")

    for name in ("", "  ", "a\nb", "a\u202eb", "\u200b", "\ud800", "x" * 121):
        with pytest.raises(InvalidInput) as refusal:
            await here.patchbay.connections.rename(here.ada, connection.id, name)
        assert list(refusal.value.fields) == ["name"]

    assert (await found(connection)).name == "Main"
    assert (await here.patchbay.connections.rename(here.ada, connection.id, "x" * 120)).name == "x" * 120


async def test_of_two_that_take_one_name_at_once_one_has_it(here: Installation) -> None:
    connections = [await here.connect_with_token() for _ in range(3)]
    rename = here.patchbay.connections.rename

    ends = await asyncio.gather(*(rename(here.ada, connection.id, "Main") for connection in connections), return_exceptions=True)

    assert sum(isinstance(end, NameTaken) for end in ends) == 2
    assert await models.Connection.filter(name="Main").count() == 1
    assert await models.ConnectionEvent.filter(type=ConnectionEventType.RENAMED).count() == 1


# The default


async def test_the_default_moves_and_both_tell(here: Installation) -> None:
    first, second = await here.connect_with_token(name="First"), await here.connect_with_token(name="Second")
    assert await defaults() == ["First"]

    for _ in range(2):
        assert (await here.patchbay.connections.set_default(here.ada, second.id)).is_default

    assert await defaults() == ["Second"]
    for connection in (first, second):
        assert await told(connection) == [(ConnectionEventType.DEFAULT_CHANGED, ConnectionStatus.CONNECTED)]


async def test_each_folder_has_a_default_of_its_own(here: Installation) -> None:
    folder = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)
    await here.connect_with_token(name="Here")
    for name in ("There", "Elsewhere"):
        await here.connect_with_token(name=name, folder_id=folder.id)

    await here.patchbay.connections.set_default(here.ada, (await models.Connection.get(name="Elsewhere")).id)

    assert sorted(await defaults()) == ["Elsewhere", "Here"]


async def test_of_those_made_the_default_at_once_one_is(here: Installation) -> None:
    connections = [await here.connect_with_token() for _ in range(5)]
    set_default = here.patchbay.connections.set_default

    await asyncio.gather(*(set_default(here.ada, connection.id) for connection in connections * 2))

    assert len(await defaults()) == 1
    # Each change took it from one and gave it to another.
    assert await models.ConnectionEvent.filter(type=ConnectionEventType.DEFAULT_CHANGED).count() % 2 == 0


async def test_a_default_that_is_broken_or_switched_off_stays_the_default(here: Installation) -> None:
    await here.connect_with_token(name="First")
    await here.connect_with_token(name="Second")
    await here.throw(Switch.REVOKE)

    await here.tick(after=timedelta(days=1))
    await here.patchbay.connections.disable(here.ada, (await models.Connection.get(name="First")).id)

    assert await defaults() == ["First"]


async def test_deleting_the_default_promotes_nobody_and_says_so(here: Installation) -> None:
    first, second = await here.connect_with_token(name="First"), await here.connect_with_token(name="Second")

    deleted = await here.patchbay.connections.delete(here.ada, first.id)

    assert deleted == Deleted(first.id, revoked_at_provider=False, was_default=True)
    assert await defaults() == []
    assert await told(second) == []
    assert not (await here.connect_with_token(name="Third")).is_default


# Off and on


async def test_of_a_connection_that_is_off_nothing_is_asked(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    token_endpoint.asked = 0

    for _ in range(2):
        await here.patchbay.connections.disable(here.ada, connection.id)
    for _ in range(3):
        await here.tick(after=timedelta(hours=1))

    row = await found(connection)
    assert token_endpoint.asked == 0
    assert (row.status, row.reason, row.due_at) == (ConnectionStatus.DISABLED, SWITCHED_OFF, None)
    assert await told(connection) == [(ConnectionEventType.STATUS_CHANGED, ConnectionStatus.DISABLED)]


async def test_a_connection_that_is_switched_on_is_asked_about_at_once(here: Installation, token_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    await here.patchbay.connections.disable(here.ada, connection.id)
    here.clock.move(timedelta(hours=1))
    token_endpoint.asked = 0

    for _ in range(2):
        enabled = await here.patchbay.connections.enable(here.ada, connection.id)

    assert token_endpoint.asked == 1
    assert (enabled.status, enabled.reason, enabled.last_refreshed_at) == (ConnectionStatus.CONNECTED, None, here.clock.now)
    assert enabled.due_at is not None and enabled.due_at > here.clock.now
    assert [status for _, status in await told(connection)] == ["DISABLED", "CONNECTED"]


async def test_a_connection_that_is_switched_on_and_dead_says_so(here: Installation) -> None:
    connection = await here.connect_by_consent()
    await here.patchbay.connections.disable(here.ada, connection.id)
    await here.throw(Switch.REVOKE)

    enabled = await here.patchbay.connections.enable(here.ada, connection.id)

    assert (enabled.status, enabled.due_at) == (ConnectionStatus.ACTION_REQUIRED, None)
    assert await state_of(connection) == (ConnectionStatus.ACTION_REQUIRED, StatusReasonCode.REAUTHENTICATION_REQUIRED)
    assert [status for _, status in await told(connection)] == ["DISABLED", "ACTION_REQUIRED"]


async def test_a_connection_that_is_switched_on_in_its_providers_trouble_is_on(here: Installation) -> None:
    connection = await here.connect_by_consent()
    await here.patchbay.connections.disable(here.ada, connection.id)
    await here.throw(Switch.ANSWER_503)

    enabled = await here.patchbay.connections.enable(here.ada, connection.id)
    await here.throw(Switch.NORMAL)
    await here.tick(after=timedelta(seconds=10))

    assert enabled.status is ConnectionStatus.DEGRADED
    assert await state_of(connection) == (ConnectionStatus.CONNECTED, None)


async def test_a_connection_that_is_switched_on_and_cannot_be_opened_says_so(here: Installation) -> None:
    connection = await here.connect_by_consent()
    await here.patchbay.connections.disable(here.ada, connection.id)
    await models.Credential.filter(connection_id=connection.id).update(secrets=NEVER_SEALED)

    enabled = await here.patchbay.connections.enable(here.ada, connection.id)

    assert enabled.status is ConnectionStatus.ACTION_REQUIRED
    assert await state_of(connection) == (ConnectionStatus.ACTION_REQUIRED, StatusReasonCode.SECRET_UNREADABLE)
    assert [status for _, status in await told(connection)] == ["DISABLED", "ACTION_REQUIRED"]


async def test_verifying_what_is_off_does_not_switch_it_on(here: Installation) -> None:
    connection = await here.connect_by_consent()
    await here.patchbay.connections.disable(here.ada, connection.id)
    here.clock.move(OVER)

    verified = (await here.patchbay.connections.verify(here.ada, connection.id)).connection

    assert (verified.status, verified.due_at, verified.last_verified_at) == (ConnectionStatus.DISABLED, None, here.clock.now)
    assert [status for _, status in await told(connection)] == ["DISABLED"]


# The end


async def test_deleting_revokes_at_the_provider_and_leaves_nothing_but_the_history(here: Installation) -> None:
    connection = await here.connect_by_consent()

    deleted = await here.patchbay.connections.delete(here.ada, connection.id)

    assert deleted == Deleted(connection.id, revoked_at_provider=True, was_default=True)
    assert [grant.mode for grant in here.sandbox.overview().grants] == [Mode.REVOKED]
    assert [await row.all().count() for row in (models.Connection, models.Credential)] == [0, 0]
    assert await told(connection) == [(ConnectionEventType.DELETED, ConnectionStatus.CONNECTED)]
    await here.tick(after=timedelta(hours=1))


async def test_a_grant_that_another_connection_may_share_is_not_revoked(here: Installation, revocation_endpoint: Endpoint) -> None:
    first, second = await here.connect_by_consent(), await here.connect_by_consent()
    await here.come_back(await here.begin(), account="sam")

    kept = await here.patchbay.connections.delete(here.ada, first.id)
    revoked = await here.patchbay.connections.delete(here.ada, second.id)

    assert (kept.revoked_at_provider, revoked.revoked_at_provider) == (False, True)
    assert revocation_endpoint.asked == 1
    assert [connection.account for connection in await models.Connection.all()] == ["sam"]


async def test_a_provider_that_does_not_revoke_keeps_nothing_here(here: Installation, revocation_endpoint: Endpoint) -> None:
    connection = await here.connect_by_consent()
    revocation_endpoint.says = Answer(503)

    deleted = await here.patchbay.connections.delete(here.ada, connection.id)

    assert deleted == Deleted(connection.id, revoked_at_provider=False, was_default=True)
    assert await models.Connection.all().count() == 0


async def test_what_cannot_be_opened_or_has_no_connector_can_be_deleted(here: Installation) -> None:
    unreadable, gone = await here.connect_by_consent(), await here.connect_by_consent()
    await models.Credential.filter(connection_id=unreadable.id).update(secrets=NEVER_SEALED)
    await models.Connection.filter(id=gone.id).update(connector_key="gone")

    deleted = [await here.patchbay.connections.delete(here.ada, connection.id) for connection in (unreadable, gone)]

    assert [one.revoked_at_provider for one in deleted] == [False, False]
    assert await models.Connection.all().count() == 0


async def test_an_app_of_ones_own_goes_with_the_last_connection_that_uses_it(here: Installation) -> None:
    own = OwnApp(here.sandbox.client_id, here.sandbox.client_secret)
    first = await here.connect_by_consent(authentication_type=BYO, own_app=own)
    second = await here.connect_by_consent(authentication_type=BYO, oauth_app_id=first.oauth_app_id)
    counts = []

    for connection in (first, second):
        await here.patchbay.connections.delete(here.ada, connection.id)
        counts.append(await models.OAuthApp.filter(origin=OAuthAppOrigin.CONNECTION).count())

    assert counts == [1, 0]


async def test_what_is_done_twice_at_once_is_told_once(here: Installation) -> None:
    connection = await here.connect_with_token()
    connections = here.patchbay.connections

    await asyncio.gather(*(connections.disable(here.ada, connection.id) for _ in range(4)))
    ends = await asyncio.gather(*(connections.delete(here.ada, connection.id) for _ in range(4)), return_exceptions=True)

    assert sorted(type(end).__name__ for end in ends) == ["Deleted", "NotFound", "NotFound", "NotFound"]
    assert await told(connection) == [
        (ConnectionEventType.STATUS_CHANGED, ConnectionStatus.DISABLED),
        (ConnectionEventType.DELETED, ConnectionStatus.DISABLED),
    ]


# Permissions

Act = Callable[[Connections, Actor, Any], Awaitable[object]]
ACTS: dict[str, tuple[Permission, Act]] = {
    "rename": (Permission.EDIT, lambda connections, actor, connection_id: connections.rename(actor, connection_id, "Mine")),
    "set default": (Permission.EDIT, lambda connections, actor, connection_id: connections.set_default(actor, connection_id)),
    "disable": (Permission.EDIT, lambda connections, actor, connection_id: connections.disable(actor, connection_id)),
    "enable": (Permission.EDIT, lambda connections, actor, connection_id: connections.enable(actor, connection_id)),
    "delete": (Permission.DELETE, lambda connections, actor, connection_id: connections.delete(actor, connection_id)),
}


async def test_who_lacks_the_permission_changes_nothing(
    here: Installation, revocation_endpoint: Endpoint, account_endpoint: Endpoint
) -> None:
    folder = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)
    bob = await here.add_person("Bob")
    await here.connect_by_consent(folder_id=folder.id)
    second = await here.connect_by_consent(folder_id=folder.id)
    await here.patchbay.connections.disable(here.ada, second.id)
    before = await everything()
    account_endpoint.asked = 0

    for permission, act in ACTS.values():
        await here.patchbay.folders.set_access(here.ada, folder.id, bob.user_id, Permission(0))
        with pytest.raises(NotFound):
            await act(here.patchbay.connections, bob, second.id)
        await here.patchbay.folders.set_access(here.ada, folder.id, bob.user_id, Permission.every() & ~permission)
        with pytest.raises(PermissionDenied) as refusal:
            await act(here.patchbay.connections, bob, second.id)
        assert (refusal.value.permission, refusal.value.folder_id) == (permission, folder.id)

    assert await everything() == before
    assert (revocation_endpoint.asked, account_endpoint.asked) == (0, 0)


async def test_who_has_just_the_permission_may_do_it(here: Installation) -> None:
    folder = await here.patchbay.folders.create(here.ada, name="Sales", parent_id=None)
    bob = await here.add_person("Bob")
    await here.connect_with_token(folder_id=folder.id)
    second = await here.connect_with_token(folder_id=folder.id)

    for permission, act in ACTS.values():
        await here.patchbay.folders.set_access(here.ada, folder.id, bob.user_id, Permission.VIEW | permission)
        await act(here.patchbay.connections, bob, second.id)

    events = await models.ConnectionEvent.filter(connection_id=second.id, actor_id=bob.user_id).order_by("id")
    assert [event.type for event in events] == ["RENAMED", "DEFAULT_CHANGED", "STATUS_CHANGED", "STATUS_CHANGED", "DELETED"]


async def everything() -> str:
    """Every row that a connection is made of."""
    tables = (models.Connection, models.Credential, models.ConnectionEvent, models.OAuthApp)
    return repr([sorted(repr(sorted(row.items())) for row in await table.all().values()) for table in tables])

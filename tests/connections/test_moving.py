"""Connections that go elsewhere: into another folder, into other hands; and a refresh that is under way meanwhile."""

import asyncio
from contextlib import aclosing
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

import models
from api.access import Actor, Limits
from api.connections.requests import OwnApp, ReconnectRequest
from api.connections.secrets import Secrets, credential_place
from api.errors import Conflict, NameTaken, NotFound, PermissionDenied
from api.events.order import EventPosition
from api.events.selection import EventSelection
from api.sandbox.records import Mode
from api.sandbox.sandbox import Switch
from api.vault.vault import Unreadable
from models import AuthenticationType, ConnectionEventType, ConnectionStatus, FolderKind, OAuthAppOrigin, Permission
from tests.connections.trouble import NEVER_SEALED, Endpoint, dying_before_the_save
from tests.connections.watching import found, told
from tests.installation import Installation

pytestmark = pytest.mark.anyio

DUE = timedelta(seconds=55)
LEASE = timedelta(seconds=60)
BYO = AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP
CONNECTED = ConnectionStatus.CONNECTED
MOVED, DEFAULT_CHANGED, OWNER_CHANGED = (
    ConnectionEventType.MOVED,
    ConnectionEventType.DEFAULT_CHANGED,
    ConnectionEventType.OWNER_CHANGED,
)


async def folder(here: Installation, name: str) -> models.Folder:
    return await here.patchbay.folders.create(here.ada, name=name, parent_id=None)


async def allow(here: Installation, place: models.Folder, actor: Actor, permissions: Permission) -> None:
    await here.patchbay.folders.set_access(here.ada, place.id, actor.user_id, permissions)


async def workspace_of(actor: Actor) -> models.Folder:
    return await models.Folder.get(owner_id=actor.user_id, kind=FolderKind.PERSONAL)


async def connect_as(here: Installation, actor: Actor, **changes: object) -> models.Connection:
    """A connection of this person's, in their workspace unless another folder is named."""
    given = {"folder_id": (await workspace_of(actor)).id} | changes
    connection = await here.patchbay.connecting.connect(actor, here.token_request(**given))
    assert isinstance(connection, models.Connection)
    return connection


async def opened(here: Installation, connection: models.Connection, folder_id: UUID) -> Secrets:
    """The secrets of a connection, as they open in a folder. Raises Unreadable."""
    credential = await models.Credential.get(connection_id=connection.id)
    return Secrets.open(here.patchbay.vault, credential.secrets, credential_place(credential.id, folder_id))


async def everything() -> str:
    """Every row that a connection is made of."""
    tables = (models.Connection, models.Credential, models.ConnectionEvent, models.OAuthApp)
    return repr([sorted(repr(sorted(row.items())) for row in await table.all().values()) for table in tables])


async def happened(connection: models.Connection) -> list[tuple[ConnectionEventType, UUID]]:
    """What happened to a connection since it was made, and where."""
    events = await models.ConnectionEvent.filter(connection_id=connection.id).order_by("id")
    return [(event.type, event.folder_id) for event in events][1:]


# Another folder


async def test_a_connection_that_moves_keeps_its_id_its_name_and_its_life(here: Installation) -> None:
    sales = await folder(here, "Sales")
    connection = await here.connect_by_consent(name="Main")
    before = await opened(here, connection, here.workspace)
    here.clock.move(timedelta(seconds=5))

    moved = await here.patchbay.moving.move(here.ada, connection.id, sales.id)

    assert (moved.id, moved.name, moved.folder_id, moved.owner_id) == (connection.id, "Main", sales.id, here.ada.user_id)
    assert (moved.status, moved.updated_at) == (CONNECTED, here.clock.now)
    assert await opened(here, connection, sales.id) == before
    with pytest.raises(Unreadable):
        await opened(here, connection, here.workspace)
    await here.tick(after=DUE)
    assert (await found(connection)).last_refreshed_at == here.clock.now
    assert (await opened(here, connection, sales.id)).refresh_token != before.refresh_token


async def test_it_takes_delete_where_it_is_and_create_where_it_goes(here: Installation) -> None:
    old, new, ben = await folder(here, "Old"), await folder(here, "New"), await here.add_person("Ben")
    connection = await here.connect_with_token(folder_id=old.id)
    before = await everything()
    every = Permission.every()

    for there, goes, missing, where in [
        (Permission(0), every, None, None),
        (every, Permission(0), None, None),
        (every & ~Permission.DELETE, every, Permission.DELETE, old.id),
        (every, every & ~Permission.CREATE, Permission.CREATE, new.id),
    ]:
        await allow(here, old, ben, there)
        await allow(here, new, ben, goes)
        with pytest.raises(NotFound if missing is None else PermissionDenied) as refusal:
            await here.patchbay.moving.move(ben, connection.id, new.id)
        if isinstance(refusal.value, PermissionDenied):
            assert (refusal.value.permission, refusal.value.folder_id) == (missing, where)
    for id in (here.workspace, uuid4()):
        with pytest.raises(NotFound):
            await here.patchbay.moving.move(ben, connection.id, id)
    assert await everything() == before

    await allow(here, old, ben, Permission.DELETE)
    await allow(here, new, ben, Permission.CREATE)
    assert (await here.patchbay.moving.move(ben, connection.id, new.id)).folder_id == new.id


async def test_a_name_that_is_taken_there_stays_taken(here: Installation) -> None:
    sales = await folder(here, "Sales")
    await here.connect_with_token(folder_id=sales.id, name="STRASSE")
    connection = await here.connect_with_token(name="Straße")
    before = await everything()

    with pytest.raises(NameTaken):
        await here.patchbay.moving.move(here.ada, connection.id, sales.id)

    assert await everything() == before


async def test_where_it_is_already_it_is_left_alone(here: Installation) -> None:
    connection = await here.connect_with_token()
    before = await everything()

    assert (await here.patchbay.moving.move(here.ada, connection.id, here.workspace)).folder_id == here.workspace

    assert await everything() == before


async def test_the_default_that_goes_is_replaced_by_nobody_and_says_so(here: Installation) -> None:
    sales = await folder(here, "Sales")
    await here.connect_with_token(folder_id=sales.id, name="There")
    first, second = await here.connect_with_token(name="First"), await here.connect_with_token(name="Second")

    moved = await here.patchbay.moving.move(here.ada, first.id, sales.id)

    assert not moved.is_default
    assert [row.name for row in await models.Connection.filter(is_default=True)] == ["There"]
    assert await happened(first) == [(DEFAULT_CHANGED, here.workspace), (MOVED, sales.id)]
    assert await told(second) == []


async def test_the_first_of_its_connector_is_the_default_there_and_says_so(here: Installation) -> None:
    sales = await folder(here, "Sales")
    await here.connect_with_token(name="First")
    second = await here.connect_with_token(name="Second")

    moved = await here.patchbay.moving.move(here.ada, second.id, sales.id)

    assert moved.is_default
    assert await happened(second) == [(MOVED, sales.id), (DEFAULT_CHANGED, sales.id)]
    assert sorted([row.name for row in await models.Connection.filter(is_default=True)]) == ["First", "Second"]


async def test_where_there_is_no_default_any_more_it_does_not_become_it(here: Installation) -> None:
    sales = await folder(here, "Sales")
    gone, _ = [await here.connect_with_token(folder_id=sales.id, name=name) for name in ("Gone", "There")]
    await here.patchbay.connections.delete(here.ada, gone.id)
    connection = await here.connect_with_token(name="Comes")

    assert not (await here.patchbay.moving.move(here.ada, connection.id, sales.id)).is_default

    assert await models.Connection.filter(is_default=True).count() == 0


async def test_watchers_of_either_folder_see_it_go(here: Installation) -> None:
    old, new = await folder(here, "Old"), await folder(here, "New")
    watchers = {name: await here.add_person(name) for name in ("Old", "New", "Neither")}
    await allow(here, old, watchers["Old"], Permission.VIEW)
    await allow(here, new, watchers["New"], Permission.VIEW)
    connection = await here.connect_with_token(folder_id=old.id)
    await here.connect_with_token(folder_id=new.id, name="Other")

    await here.patchbay.moving.move(here.ada, connection.id, new.id)

    assert await seen(here, watchers["Old"]) == [(DEFAULT_CHANGED, old.id), (MOVED, new.id)]
    assert await seen(here, watchers["New"]) == [(MOVED, new.id)]
    assert await seen(here, watchers["Neither"]) == []
    assert await seen(here, here.ada, EventSelection(folder_id=old.id)) == [(DEFAULT_CHANGED, old.id), (MOVED, new.id)]
    assert (await models.ConnectionEvent.get(type=MOVED)).previous_folder_id == old.id


async def seen(here: Installation, actor: Actor, selection: EventSelection | None = None) -> list[tuple[ConnectionEventType, UUID]]:
    """What a watcher is shown of changes; a last event in their own workspace tells that nothing else comes."""
    end = await connect_as(here, actor, name=str(uuid4()))
    shown: list[tuple[ConnectionEventType, UUID]] = []
    stream = here.patchbay.feed.watch(actor, EventSelection(), after=EventPosition(0, 0))
    async with asyncio.timeout(10), aclosing(stream):
        async for placed in stream:
            event = placed.event
            if event.connection_id == end.id:
                break
            if event.type is not ConnectionEventType.CREATED and (selection is None or selection.includes(event)):
                shown.append((event.type, event.folder_id))
    return shown


async def test_what_is_brought_into_a_workspace_belongs_to_whose_that_is(here: Installation) -> None:
    sales, ben = await folder(here, "Sales"), await here.add_person("Ben")
    await allow(here, sales, ben, Permission.DELETE)
    connection = await here.connect_with_token(folder_id=sales.id)
    workspace = await workspace_of(ben)

    moved = await here.patchbay.moving.move(ben, connection.id, workspace.id)

    assert (moved.folder_id, moved.owner_id) == (workspace.id, ben.user_id)
    assert [type for type, place in await happened(connection) if place == workspace.id] == [MOVED, DEFAULT_CHANGED, OWNER_CHANGED]


async def test_what_cannot_be_opened_stays_where_it_is(here: Installation) -> None:
    sales, connection = await folder(here, "Sales"), await here.connect_with_token()
    await models.Credential.filter(connection_id=connection.id).update(secrets=NEVER_SEALED)
    before = await everything()

    with pytest.raises(Conflict):
        await here.patchbay.moving.move(here.ada, connection.id, sales.id)

    assert await everything() == before


# Its own app


async def test_an_app_of_ones_own_goes_with_the_only_connection_that_uses_it(here: Installation) -> None:
    sales = await folder(here, "Sales")
    own = OwnApp(here.sandbox.client_id, here.sandbox.client_secret)
    connection = await here.connect_by_consent(authentication_type=BYO, own_app=own)

    await here.patchbay.moving.move(here.ada, connection.id, sales.id)

    app = await models.OAuthApp.get(origin=OAuthAppOrigin.CONNECTION)
    assert (app.id, app.folder_id) == (connection.oauth_app_id, sales.id)
    assert here.patchbay.oauth_apps.secret_of(app) == here.sandbox.client_secret
    await here.tick(after=DUE)
    assert (await found(connection)).last_refreshed_at == here.clock.now


async def test_an_app_that_others_use_stays_and_goes_on_being_used(here: Installation) -> None:
    sales = await folder(here, "Sales")
    own = OwnApp(here.sandbox.client_id, here.sandbox.client_secret)
    first = await here.connect_by_consent(authentication_type=BYO, own_app=own)
    second = await here.connect_by_consent(authentication_type=BYO, oauth_app_id=first.oauth_app_id)

    await here.patchbay.moving.move(here.ada, first.id, sales.id)

    app = await models.OAuthApp.get(origin=OAuthAppOrigin.CONNECTION)
    assert app.folder_id == here.workspace
    assert here.patchbay.oauth_apps.secret_of(app) == here.sandbox.client_secret
    await here.tick(after=DUE)
    assert [(await found(each)).last_refreshed_at for each in (first, second)] == [here.clock.now] * 2


# Beside a refresh


async def test_a_refresh_under_way_loses_nothing_and_seals_for_the_new_folder(here: Installation, token_endpoint: Endpoint) -> None:
    sales, connection = await folder(here, "Sales"), await here.connect_by_consent()
    here.clock.move(DUE)
    with token_endpoint.holding() as hold:
        await here.patchbay.refresh_loop.tick()
        await hold.reached()
        # The provider has already given new tokens, and taken the old ones.
        await here.patchbay.moving.move(here.ada, connection.id, sales.id)
    await here.patchbay.refresher.settled()

    row = await found(connection)
    assert (row.folder_id, row.status, row.last_refreshed_at) == (sales.id, CONNECTED, here.clock.now)
    renewed = await opened(here, connection, sales.id)
    with pytest.raises(Unreadable):
        await opened(here, connection, here.workspace)
    await here.tick(after=DUE)
    assert (await opened(here, connection, sales.id)).refresh_token != renewed.refresh_token
    assert [(grant.mode, grant.refreshes) for grant in here.sandbox.overview().grants] == [(Mode.NORMAL, 2)]
    assert await models.TokenJournal.all().count() == 0


async def test_what_a_dead_process_left_in_the_journal_is_saved_after_the_move(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    sales, connection = await folder(here, "Sales"), await here.connect_by_consent()
    here.clock.move(DUE)
    async with dying_before_the_save(here, monkeypatch):
        await here.patchbay.refresh_loop.tick()
    assert (await models.TokenJournal.get()).folder_id == here.workspace

    await here.patchbay.moving.move(here.ada, connection.id, sales.id)
    await here.tick(after=LEASE)

    assert await models.TokenJournal.all().count() == 0
    assert (await found(connection)).status is CONNECTED
    await here.tick(after=DUE)
    assert (await found(connection)).last_refreshed_at == here.clock.now
    assert (await opened(here, connection, sales.id)).refresh_token is not None


async def test_moving_to_and_fro_while_it_is_refreshed_never_breaks_it(here: Installation) -> None:
    places = [(await folder(here, name)).id for name in ("One", "Two", "Three")]
    connections = [await here.connect_by_consent(folder_id=places[0]) for _ in range(3)]

    for turn in range(4):
        here.clock.move(DUE)
        moves = [here.patchbay.moving.move(here.ada, each.id, places[(turn + 1) % 3]) for each in connections]
        verifies = [here.patchbay.connections.verify(here.ada, each.id) for each in connections]
        await asyncio.gather(here.patchbay.refresh_loop.tick(), *moves, *verifies)
        await here.patchbay.refresher.settled()

    for connection in connections:
        row = await found(connection)
        assert (row.status, row.reason, row.folder_id) == (CONNECTED, None, places[4 % 3])
        await opened(here, connection, row.folder_id)
    assert {grant.mode for grant in here.sandbox.overview().grants} == {Mode.NORMAL}
    types = await models.ConnectionEvent.filter(type=ConnectionEventType.STATUS_CHANGED).count()
    assert (types, await models.TokenJournal.all().count()) == (0, 0)


async def test_a_consent_under_way_is_kept_where_the_connection_is_by_then(here: Installation) -> None:
    sales, connection = await folder(here, "Sales"), await here.connect_by_consent()
    authorization = await here.patchbay.connecting.reconnect(here.ada, ReconnectRequest(connection.id))
    assert isinstance(authorization, models.Authorization)

    await here.patchbay.moving.move(here.ada, connection.id, sales.id)
    ended = await here.come_back(authorization)

    assert ended.connection_id == connection.id, ended.reason
    assert (await opened(here, connection, sales.id)).refresh_token is not None


# At once


async def test_of_those_that_come_first_at_once_one_is_the_default(here: Installation) -> None:
    sales = await folder(here, "Sales")
    connections = [await here.connect_with_token() for _ in range(4)]

    await asyncio.gather(*(here.patchbay.moving.move(here.ada, each.id, sales.id) for each in connections))

    assert await models.Connection.filter(folder_id=sales.id).count() == 4
    assert await models.Connection.filter(folder_id=sales.id, is_default=True).count() == 1


async def test_the_default_is_one_whoever_moves_and_chooses_at_once(here: Installation) -> None:
    places = [(await folder(here, name)).id for name in ("One", "Two")]
    # Names of their own: where two have one name, a move between the renames is rightly refused.
    connections = [await here.connect_with_token(folder_id=places[number % 2], name=f"Before {number}") for number in range(4)]
    moving, service = here.patchbay.moving, here.patchbay.connections

    await asyncio.gather(
        *(moving.move(here.ada, each.id, places[1]) for each in connections[:2]),
        *(service.set_default(here.ada, each.id) for each in connections),
        *(moving.move(here.ada, each.id, places[0]) for each in connections[2:]),
        *(service.rename(here.ada, each.id, f"Name {number}") for number, each in enumerate(connections)),
    )

    for place in places:
        assert await models.Connection.filter(folder_id=place, is_default=True).count() <= 1
    assert sorted([row.name for row in await models.Connection.all()]) == [f"Name {number}" for number in range(4)]
    for connection in connections:
        await opened(here, connection, (await found(connection)).folder_id)


# Other hands


async def test_another_owner_leaves_all_else_as_it_is(here: Installation) -> None:
    sales, ben = await folder(here, "Sales"), await here.add_person("Ben")
    await allow(here, sales, ben, Permission.VIEW)
    connection = await here.connect_by_consent(folder_id=sales.id, name="Main")

    transferred = await here.patchbay.moving.transfer(here.ada, connection.id, ben.user_id)

    assert (transferred.id, transferred.name, transferred.folder_id) == (connection.id, "Main", sales.id)
    assert (transferred.owner_id, transferred.is_default, transferred.account) == (ben.user_id, True, "alex")
    assert await happened(connection) == [(OWNER_CHANGED, sales.id)]
    await here.tick(after=DUE)
    assert (await found(connection)).last_refreshed_at == here.clock.now


async def test_it_takes_manage_or_that_it_is_ones_own(here: Installation) -> None:
    sales = await folder(here, "Sales")
    ben, cleo = await here.add_person("Ben"), await here.add_person("Cleo")
    await allow(here, sales, cleo, Permission.VIEW)
    adas = await here.connect_with_token(folder_id=sales.id)
    before = await everything()
    transfer = here.patchbay.moving.transfer

    with pytest.raises(NotFound):
        await transfer(ben, adas.id, cleo.user_id)
    await allow(here, sales, ben, Permission.every() & ~Permission.MANAGE)
    with pytest.raises(PermissionDenied) as denial:
        await transfer(ben, adas.id, cleo.user_id)
    assert (denial.value.permission, denial.value.folder_id) == (Permission.MANAGE, sales.id)
    assert await everything() == before

    bens = await connect_as(here, ben, folder_id=sales.id)
    assert (await transfer(ben, bens.id, cleo.user_id)).owner_id == cleo.user_id
    with pytest.raises(PermissionDenied):
        await transfer(ben, bens.id, ben.user_id)
    await allow(here, sales, ben, Permission.MANAGE)
    assert (await transfer(ben, adas.id, ben.user_id)).owner_id == ben.user_id


async def test_a_limited_token_hands_nothing_over_as_its_owner(here: Installation) -> None:
    sales, ben = await folder(here, "Sales"), await here.add_person("Ben")
    await allow(here, sales, ben, Permission.every())
    bens = await connect_as(here, ben, folder_id=sales.id)
    limited = Actor(ben.user_id, ben.name, limits=Limits(permissions=Permission.VIEW | Permission.USE))
    before = await everything()

    with pytest.raises(PermissionDenied):
        await here.patchbay.moving.transfer(limited, bens.id, here.ada.user_id)

    assert await everything() == before


async def test_the_new_owner_can_sign_in_and_sees_the_folder(here: Installation) -> None:
    sales = await folder(here, "Sales")
    ben, cleo, dan = [await here.add_person(name) for name in ("Ben", "Cleo", "Dan")]
    await allow(here, sales, ben, Permission.MANAGE)
    await allow(here, sales, dan, Permission.VIEW)
    await here.patchbay.people.deactivate(here.ada, dan.user_id)
    connection = await here.connect_with_token(folder_id=sales.id)
    before = await everything()
    transfer = here.patchbay.moving.transfer

    for actor, user_id, refusal in [
        (here.ada, cleo.user_id, Conflict),
        (here.ada, dan.user_id, Conflict),
        (here.ada, uuid4(), NotFound),
        # To who does not know who there is, one who does not see the folder is nobody.
        (ben, cleo.user_id, NotFound),
        (ben, uuid4(), NotFound),
    ]:
        with pytest.raises(refusal):
            await transfer(actor, connection.id, user_id)

    assert await everything() == before


async def test_what_is_in_a_workspace_is_handed_over_by_administrators_alone(here: Installation) -> None:
    ben, cleo = await here.add_person("Ben"), await here.add_person("Cleo")
    connection = await connect_as(here, ben, name="Main")
    before = await everything()

    with pytest.raises(PermissionDenied) as denial:
        await here.patchbay.moving.transfer(ben, connection.id, cleo.user_id)
    assert denial.value.permission is None
    with pytest.raises(NotFound):
        await here.patchbay.moving.transfer(cleo, connection.id, cleo.user_id)
    with pytest.raises(NotFound):
        await here.patchbay.moving.move(here.ada, connection.id, here.workspace)
    assert await everything() == before


async def test_it_goes_into_the_workspace_of_the_new_owner_and_the_administrator_sees_next_to_nothing(here: Installation) -> None:
    ben, cleo = await here.add_person("Ben"), await here.add_person("Cleo")
    mine = await connect_as(here, cleo, name="Main")
    connection = await connect_as(here, ben, name="MAIN")
    await here.patchbay.people.deactivate(here.ada, ben.user_id)
    theirs = await workspace_of(cleo)

    shown = await here.patchbay.moving.transfer(here.ada, connection.id, cleo.user_id)

    row = await found(connection)
    assert (row.id, row.folder_id, row.owner_id, row.name) == (connection.id, theirs.id, cleo.user_id, "MAIN 2")
    assert (row.account, row.is_default, (await found(mine)).is_default) == ("alex", False, True)
    assert (shown.name, shown.status, shown.account, shown.scopes, shown.last_verified_at) == ("MAIN 2", CONNECTED, None, [], None)
    assert (await opened(here, connection, theirs.id)).fields["token"] == here.personal_token()
    assert (await here.patchbay.connections.verify(cleo, connection.id)).connection.status is CONNECTED
    assert [type for type, _ in await happened(connection)][:3] == [DEFAULT_CHANGED, MOVED, OWNER_CHANGED]
    with pytest.raises(NotFound):
        await here.patchbay.connections.verify(here.ada, connection.id)


async def test_an_administrator_deletes_what_is_in_a_workspace_and_does_nothing_else_to_it(here: Installation) -> None:
    ben = await here.add_person("Ben")
    connection = await connect_as(here, ben)
    service = here.patchbay.connections
    before = await everything()

    for act in (
        service.rename(here.ada, connection.id, "Mine"),
        service.set_default(here.ada, connection.id),
        service.verify(here.ada, connection.id),
        service.disable(here.ada, connection.id),
        service.enable(here.ada, connection.id),
    ):
        with pytest.raises(NotFound):
            await act
    assert await here.patchbay.reading.find(here.ada, connection.id) is None
    cleo = await here.add_person("Cleo")
    with pytest.raises(NotFound):
        await service.delete(cleo, connection.id)
    assert await everything() == before

    await service.delete(here.ada, connection.id)

    assert await models.Connection.all().count() == 0
    entry = await models.AuditEntry.filter(action="connection.delete").order_by("-id").first()
    assert entry is not None
    assert (entry.actor_id, entry.outcome, entry.subject_id) == (here.ada.user_id, "DONE", str(connection.id))
    assert entry.folder_id == connection.folder_id


# The audit log


async def test_all_that_is_done_to_a_connection_is_told_once(here: Installation) -> None:
    sales, ben = await folder(here, "Sales"), await here.add_person("Ben")
    await allow(here, sales, ben, Permission.USE)
    connection = await here.connect_by_consent(name="Main")
    service, moving = here.patchbay.connections, here.patchbay.moving
    await service.rename(here.ada, connection.id, "Other")
    await service.set_default(here.ada, connection.id)
    await service.verify(here.ada, connection.id)
    await service.disable(here.ada, connection.id)
    await service.enable(here.ada, connection.id)
    await moving.move(here.ada, connection.id, sales.id)
    await moving.transfer(here.ada, connection.id, ben.user_id)
    with pytest.raises(PermissionDenied):
        await service.rename(ben, connection.id, "Mine")
    await here.come_back(await _reconnected(here, connection))
    await service.delete(here.ada, connection.id)

    entries = await models.AuditEntry.filter(subject_id=str(connection.id)).order_by("id")

    assert [(entry.action, entry.outcome.value, entry.actor_name) for entry in entries] == [
        ("authorization.complete", "DONE", "Ada"),
        ("connection.rename", "DONE", "Ada"),
        ("connection.set_default", "DONE", "Ada"),
        ("connection.verify", "DONE", "Ada"),
        ("connection.disable", "DONE", "Ada"),
        ("connection.enable", "DONE", "Ada"),
        ("connection.move", "DONE", "Ada"),
        ("connection.transfer", "DONE", "Ada"),
        ("connection.rename", "REFUSED", "Ben"),
        ("authorization.complete", "DONE", "Ada"),
        ("connection.delete", "DONE", "Ada"),
    ]
    assert [entry.folder_id for entry in entries[:6]] == [here.workspace] * 6
    begun = await models.AuditEntry.filter(action="authorization.begin").order_by("id")
    assert [(entry.outcome.value, entry.detail) for entry in begun] == [("DONE", None), ("DONE", f"to reconnect {connection.id}")]


async def _reconnected(here: Installation, connection: models.Connection) -> models.Authorization:
    authorization = await here.patchbay.connecting.reconnect(here.ada, ReconnectRequest(connection.id))
    assert isinstance(authorization, models.Authorization)
    return authorization


async def test_what_comes_to_nothing_is_told_too_and_never_a_secret(here: Installation) -> None:
    await here.throw(Switch.ANSWER_503)
    with pytest.raises(Exception, match="Sandbox"):
        await here.connect_with_token()
    await here.throw(Switch.NORMAL)
    denied = await here.come_back(await here.begin(), decision="deny")
    cancelled = await here.begin()
    await here.patchbay.connecting.cancel(here.ada, cancelled.id)

    entries = await models.AuditEntry.filter(action__not="user.create", actor_id=here.ada.user_id).order_by("id")

    assert [(entry.action, entry.outcome.value, entry.subject_id) for entry in entries] == [
        ("connection.connect", "FAILED", None),
        ("authorization.begin", "DONE", str(denied.id)),
        ("authorization.complete", "FAILED", str(denied.id)),
        ("authorization.begin", "DONE", str(cancelled.id)),
        ("authorization.cancel", "DONE", str(cancelled.id)),
    ]
    assert here.personal_token().reveal() not in str([entry.__dict__ for entry in entries])

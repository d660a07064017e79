"""Who may do what."""

from uuid import UUID, uuid4

import pytest

import models
from api.errors import NotFound, PermissionDenied
from models import AuthenticationType, ConnectionStatus, Permission
from tests.graphql.asking import counted_statements
from tests.organization.conftest import Organization

pytestmark = pytest.mark.anyio


async def folder(organization: Organization, name: str, parent: models.Folder | None = None) -> models.Folder:
    return await organization.folders.create(organization.ada, name=name, parent_id=parent.id if parent else None)


async def test_a_grant_holds_for_every_folder_below(organization: Organization) -> None:
    sales = await folder(organization, "Sales")
    emea = await folder(organization, "EMEA", sales)
    france = await folder(organization, "France", emea)
    await organization.folders.set_access(organization.ada, emea.id, organization.ben.user_id, Permission.USE)

    allowed = await organization.access.permissions(organization.ben, [sales.id, emea.id, france.id])

    assert allowed == {emea.id: Permission.VIEW | Permission.USE, france.id: Permission.VIEW | Permission.USE}


async def test_grants_on_the_way_down_add_up(organization: Organization) -> None:
    sales = await folder(organization, "Sales")
    emea = await folder(organization, "EMEA", sales)
    await organization.folders.set_access(organization.ada, sales.id, organization.ben.user_id, Permission.VIEW)
    await organization.folders.set_access(organization.ada, emea.id, organization.ben.user_id, Permission.EDIT)

    visible = await organization.access.visible_folders(organization.ben)

    assert visible[sales.id] == Permission.VIEW
    assert visible[emea.id] == Permission.VIEW | Permission.EDIT
    assert visible == await organization.access.permissions(organization.ben, list(visible))


async def test_what_is_hidden_is_told_apart_from_nothing_by_nobody(organization: Organization) -> None:
    sales = await folder(organization, "Sales")

    refusals = []
    for id in (sales.id, uuid4(), await organization.workspace(organization.ada)):
        with pytest.raises(NotFound) as refusal:
            await organization.access.folder(organization.ben, id)
        refusals.append((refusal.value.message, refusal.value.remedy))

    assert len(set(refusals)) == 1


async def test_a_denial_names_the_permission_and_the_folder(organization: Organization) -> None:
    sales = await folder(organization, "Sales")
    await organization.folders.set_access(organization.ada, sales.id, organization.ben.user_id, Permission.VIEW)

    with pytest.raises(PermissionDenied) as denial:
        await organization.access.folder(organization.ben, sales.id, Permission.CREATE)

    assert (denial.value.permission, denial.value.folder_id) == (Permission.CREATE, sales.id)
    assert "CREATE" in denial.value.message
    assert "Sales" in denial.value.message


async def test_a_personal_workspace_is_closed_to_administrators_too(organization: Organization) -> None:
    workspace = await organization.workspace(organization.ben)

    with pytest.raises(NotFound):
        await organization.access.folder(organization.ada, workspace)

    assert workspace not in await organization.access.visible_folders(organization.ada)
    assert Permission.DELETE in (await organization.access.permissions(organization.ben, [workspace]))[workspace]


async def test_an_administrator_may_do_everything_in_shared_folders(organization: Organization) -> None:
    sales = await folder(organization, "Sales")
    await models.FolderGrant.all().delete()

    assert (await organization.access.visible_folders(organization.ada))[sales.id] == Permission.every()
    assert await organization.access.permissions(organization.ada, [sales.id]) == {sales.id: Permission.every()}


# As of now


async def test_what_is_hidden_asks_the_database_what_what_never_was_asks(organization: Organization) -> None:
    """So that the one takes as long as the other."""
    sales = await folder(organization, "Sales")
    inner = await folder(organization, "Inner", sales)
    hidden = [sales.id, inner.id, await organization.workspace(organization.ada)]

    async def asked_for(folder_id: UUID) -> list[str]:
        with counted_statements() as statements, pytest.raises(NotFound):
            await organization.access.folder(organization.ben, folder_id, Permission.EDIT)
        return list(statements)

    unknown = await asked_for(uuid4())
    assert len(unknown) == 3
    assert [await asked_for(folder_id) for folder_id in hidden] == [unknown] * 3


async def test_connections_that_are_hidden_and_that_never_were_are_alike_too(organization: Organization) -> None:
    sales, now = await folder(organization, "Sales"), organization.clock.now
    connections = []
    for place in (sales.id, await organization.workspace(organization.ada)):
        connection = models.Connection(
            folder_id=place,
            connector_key="github",
            owner_id=organization.ada.user_id,
            authentication_type=AuthenticationType.API_KEY,
            status=ConnectionStatus.CONNECTED,
            status_changed_at=now,
            created_at=now,
            updated_at=now,
        )
        connection.rename("GitHub")
        await connection.save(force_create=True)
        connections.append(connection)
    access, ben = organization.access, organization.ben

    async def asked_for(connection_id: UUID) -> list[str]:
        with counted_statements() as statements:
            for act in (access.connection(ben, connection_id), access.held(ben, connection_id, Permission.EDIT)):
                with pytest.raises(NotFound):
                    await act
        return list(statements)

    unknown = await asked_for(uuid4())
    assert [await asked_for(connection.id) for connection in connections] == [unknown] * 2


async def test_who_is_no_administrator_any_more_does_not_act_as_one(organization: Organization) -> None:
    sales = await folder(organization, "Sales")
    await models.FolderGrant.all().delete()
    await models.User.filter(id=organization.ada.user_id).update(administrator=False)

    with pytest.raises(NotFound):
        await organization.access.folder(organization.ada, sales.id)
    with pytest.raises(PermissionDenied):
        await organization.people.create_user(organization.ada, name="Cleo")
    with pytest.raises(PermissionDenied):
        await organization.groups.create(organization.ada, name="Sellers")

    assert [await models.User.filter(name="Cleo").count(), await models.Group.all().count()] == [0, 0]


async def test_a_token_that_was_revoked_meanwhile_allows_nothing(organization: Organization) -> None:
    new = await organization.people.create_token(organization.ben, name="CI")
    actor = await organization.people.actor_of_token(new.token)
    assert actor is not None
    workspace = await organization.workspace(organization.ben)
    assert (await organization.access.folder(actor, workspace)).id == workspace

    await organization.people.revoke_token(organization.ben, new.row.id)

    with pytest.raises(NotFound):
        await organization.access.folder(actor, workspace)
    assert (await organization.access.folder(organization.ben, workspace)).id == workspace

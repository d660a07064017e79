"""Who may do what."""

from uuid import uuid4

import pytest

import models
from api.errors import NotFound, PermissionDenied
from models import Permission
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

"""Folders."""

import pytest

import models
from api.errors import Conflict, InvalidInput, NameTaken, NotFound, PermissionDenied
from api.organization.folders import Grant, paths_of
from models import Permission
from tests.organization.conftest import Organization

pytestmark = pytest.mark.anyio


async def test_only_administrators_make_folders_at_the_top(organization: Organization) -> None:
    with pytest.raises(PermissionDenied):
        await organization.folders.create(organization.ben, name="Mine", parent_id=None)

    assert await models.Folder.filter(name="Mine").count() == 0


async def test_whoever_manages_a_folder_makes_others_in_it(organization: Organization) -> None:
    sales = await organization.folders.create(organization.ada, name="Sales", parent_id=None)
    await organization.folders.set_access(organization.ada, sales.id, organization.ben.user_id, Permission.MANAGE)

    emea = await organization.folders.create(organization.ben, name="EMEA", parent_id=sales.id)

    assert emea.parent_id == sales.id
    assert (await organization.access.permissions(organization.ben, [emea.id]))[emea.id] == Permission.every()


async def test_names_differ_by_more_than_case_among_neighbours(organization: Organization) -> None:
    sales = await organization.folders.create(organization.ada, name="Sales", parent_id=None)
    await organization.folders.create(organization.ada, name="Straße", parent_id=sales.id)

    with pytest.raises(NameTaken):
        await organization.folders.create(organization.ada, name="STRASSE", parent_id=sales.id)
    with pytest.raises(NameTaken):
        await organization.folders.create(organization.ada, name="sales", parent_id=None)

    assert (await organization.folders.create(organization.ada, name="Sales", parent_id=sales.id)).parent_id == sales.id
    assert await models.Folder.filter(name_key="sales").count() == 2


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\u202e", "\x00", "\ud800", "x" * 121])
async def test_a_name_can_be_seen_and_is_not_too_long(organization: Organization, name: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await organization.folders.create(organization.ada, name=name, parent_id=None)

    assert list(refusal.value.fields) == ["name"]


async def test_a_workspace_holds_no_folders_and_is_not_shared(organization: Organization) -> None:
    workspace = await organization.workspace(organization.ben)

    with pytest.raises(InvalidInput):
        await organization.folders.create(organization.ben, name="Below", parent_id=workspace)
    with pytest.raises(InvalidInput):
        await organization.folders.set_access(organization.ben, workspace, organization.ada.user_id, Permission.VIEW)
    with pytest.raises(InvalidInput):
        await organization.folders.delete(organization.ben, workspace)

    assert await models.FolderGrant.all().count() == 0
    assert (await organization.folders.rename(organization.ben, workspace, "My things")).name == "My things"


async def test_a_folder_is_deleted_only_when_empty(organization: Organization) -> None:
    sales = await organization.folders.create(organization.ada, name="Sales", parent_id=None)
    emea = await organization.folders.create(organization.ada, name="EMEA", parent_id=sales.id)

    with pytest.raises(Conflict):
        await organization.folders.delete(organization.ada, sales.id)
    assert await models.Folder.exists(id=sales.id)

    assert await organization.folders.delete(organization.ada, emea.id) == emea.id
    assert await organization.folders.delete(organization.ada, sales.id) == sales.id


async def test_access_is_shown_with_where_it_comes_from(organization: Organization) -> None:
    sales = await organization.folders.create(organization.ada, name="Sales", parent_id=None)
    emea = await organization.folders.create(organization.ada, name="EMEA", parent_id=sales.id)
    await organization.folders.set_access(organization.ada, sales.id, organization.ben.user_id, Permission.USE)

    grants = (await organization.folders.grants([emea.id]))[emea.id]

    assert grants[0] == Grant(organization.ada.user_id, Permission.every(), None)
    assert Grant(organization.ben.user_id, Permission.VIEW | Permission.USE, sales.id) in grants


async def test_access_can_be_taken_away_again(organization: Organization) -> None:
    sales = await organization.folders.create(organization.ada, name="Sales", parent_id=None)
    await organization.folders.set_access(organization.ada, sales.id, organization.ben.user_id, Permission.USE)

    await organization.folders.set_access(organization.ada, sales.id, organization.ben.user_id, Permission(0))

    with pytest.raises(NotFound):
        await organization.access.folder(organization.ben, sales.id)


async def test_pages_show_the_workspace_first_and_then_go_by_path(organization: Organization) -> None:
    for name in ("beta", "Alpha"):
        top = await organization.folders.create(organization.ada, name=name, parent_id=None)
        await organization.folders.create(organization.ada, name="inner", parent_id=top.id)

    first, more, total = await organization.folders.page(organization.ada, first=3, after=None)
    rest, no_more, _ = await organization.folders.page(organization.ada, first=3, after=first[-1].id)

    paths = paths_of(first + rest)
    assert [paths[folder.id] for folder in first + rest] == ["Ada’s workspace", "Alpha", "Alpha/inner", "beta", "beta/inner"]
    assert (more, no_more, total) == (True, False, 5)


async def test_a_path_tells_nothing_of_folders_above_that_are_hidden(organization: Organization) -> None:
    secret = await organization.folders.create(organization.ada, name="Secret plans", parent_id=None)
    inner = await organization.folders.create(organization.ada, name="Inner", parent_id=secret.id)
    await organization.folders.set_access(organization.ada, inner.id, organization.ben.user_id, Permission.VIEW)

    visible = await organization.folders.visible(organization.ben)

    assert list(paths_of(visible).values()) == ["Ben’s workspace", "Inner"]

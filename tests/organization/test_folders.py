"""Folders."""

import pytest

import models
from api.access import Actor
from api.errors import Conflict, InvalidInput, NameTaken, NotFound, PermissionDenied
from api.organization.folders import Grant, LastManager, paths_of
from models import AuthenticationType, ConnectionStatus, OAuthAppOrigin, Permission
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


# Who may give what


async def person(organization: Organization, name: str) -> Actor:
    return Actor((await organization.people.add_user(name=name)).id, name)


async def granted(folder: models.Folder, actor: Actor) -> Permission:
    grant = await models.FolderGrant.get_or_none(folder_id=folder.id, user_id=actor.user_id)
    return Permission(0 if grant is None else grant.permissions)


async def test_nobody_gives_more_than_they_have(organization: Organization) -> None:
    sales, cleo = await organization.folders.create(organization.ada, name="Sales", parent_id=None), await person(organization, "Cleo")
    await organization.folders.set_access(organization.ada, sales.id, organization.ben.user_id, Permission.MANAGE | Permission.USE)

    for subject in (cleo, organization.ben):
        with pytest.raises(PermissionDenied) as denial:
            await organization.folders.set_access(organization.ben, sales.id, subject.user_id, Permission.USE | Permission.DELETE)
        assert (denial.value.permission, denial.value.folder_id) == (Permission.DELETE, sales.id)

    assert await granted(sales, cleo) == Permission(0)
    assert await granted(sales, organization.ben) == Permission.VIEW | Permission.USE | Permission.MANAGE
    await organization.folders.set_access(organization.ben, sales.id, cleo.user_id, Permission.USE | Permission.MANAGE)
    assert await granted(sales, cleo) == Permission.VIEW | Permission.USE | Permission.MANAGE


async def test_who_manages_may_take_away_what_they_do_not_have_and_leave_it(organization: Organization) -> None:
    sales, cleo = await organization.folders.create(organization.ada, name="Sales", parent_id=None), await person(organization, "Cleo")
    await organization.folders.set_access(organization.ada, sales.id, organization.ben.user_id, Permission.MANAGE)
    await organization.folders.set_access(organization.ada, sales.id, cleo.user_id, Permission.EDIT | Permission.DELETE)

    await organization.folders.set_access(organization.ben, sales.id, cleo.user_id, Permission.EDIT)

    assert await granted(sales, cleo) == Permission.VIEW | Permission.EDIT


async def test_the_last_who_manages_stays_until_an_administrator_says_otherwise(organization: Organization) -> None:
    sales = await organization.folders.create(organization.ada, name="Sales", parent_id=None)
    await organization.folders.set_access(organization.ada, sales.id, organization.ben.user_id, Permission.MANAGE)
    await organization.folders.set_access(organization.ben, sales.id, organization.ada.user_id, Permission(0))

    for permissions in (Permission.VIEW, Permission(0)):
        with pytest.raises(LastManager):
            await organization.folders.set_access(organization.ben, sales.id, organization.ben.user_id, permissions)
    assert await granted(sales, organization.ben) == Permission.VIEW | Permission.MANAGE

    await organization.folders.set_access(organization.ada, sales.id, organization.ben.user_id, Permission(0))
    assert await granted(sales, organization.ben) == Permission(0)


async def test_who_manages_from_above_counts_and_who_left_does_not(organization: Organization) -> None:
    folders, cleo = organization.folders, await person(organization, "Cleo")
    sales = await folders.create(organization.ada, name="Sales", parent_id=None)
    emea = await folders.create(organization.ada, name="EMEA", parent_id=sales.id)
    await models.FolderGrant.all().delete()
    await folders.set_access(organization.ada, emea.id, organization.ben.user_id, Permission.MANAGE)
    await folders.set_access(organization.ada, sales.id, cleo.user_id, Permission.MANAGE)

    await organization.people.deactivate(organization.ada, cleo.user_id)
    with pytest.raises(LastManager):
        await folders.set_access(organization.ben, emea.id, organization.ben.user_id, Permission.VIEW)
    assert await granted(emea, organization.ben) == Permission.VIEW | Permission.MANAGE

    await organization.people.reactivate(organization.ada, cleo.user_id)
    await folders.set_access(organization.ben, emea.id, organization.ben.user_id, Permission.VIEW)
    assert await granted(emea, organization.ben) == Permission.VIEW


async def test_a_folder_whose_app_is_used_elsewhere_is_not_deleted(organization: Organization) -> None:
    sales = await organization.folders.create(organization.ada, name="Sales", parent_id=None)
    workspace, now = await organization.workspace(organization.ben), organization.clock.now
    app = await models.OAuthApp.create(
        connector_key="github", name="Own", client_id="x", origin=OAuthAppOrigin.CONNECTION, folder_id=sales.id, created_at=now
    )
    connection = models.Connection(
        folder_id=workspace,
        connector_key="github",
        owner_id=organization.ben.user_id,
        authentication_type=AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP,
        oauth_app_id=app.id,
        status=ConnectionStatus.CONNECTED,
        status_changed_at=now,
        created_at=now,
        updated_at=now,
    )
    connection.rename("GitHub")
    await connection.save(force_create=True)

    with pytest.raises(Conflict):
        await organization.folders.delete(organization.ada, sales.id)

    assert await models.Folder.exists(id=sales.id)
    assert await models.OAuthApp.exists(id=app.id)


async def test_what_is_done_to_folders_is_told_to_the_audit_log(organization: Organization) -> None:
    folders, ben = organization.folders, organization.ben
    sales = await folders.create(organization.ada, name="Sales", parent_id=None)
    await folders.rename(organization.ada, sales.id, "Sellers")
    await folders.set_access(organization.ada, sales.id, ben.user_id, Permission.USE)
    with pytest.raises(PermissionDenied):
        await folders.rename(ben, sales.id, "Mine")
    with pytest.raises(InvalidInput):
        await folders.rename(organization.ada, sales.id, " ")
    await folders.delete(organization.ada, sales.id)

    entries = await models.AuditEntry.filter(action__startswith="folder.").order_by("id")

    assert [(entry.action, entry.outcome.value, entry.actor_name, entry.subject_name, entry.detail) for entry in entries] == [
        ("folder.create", "DONE", "Ada", "Sales", None),
        ("folder.rename", "DONE", "Ada", "Sellers", None),
        ("folder.set_access", "DONE", "Ada", "Sellers", f"user {ben.user_id}: VIEW USE"),
        ("folder.rename", "REFUSED", "Ben", None, "This needs MANAGE in the folder “Sellers”."),
        ("folder.rename", "FAILED", "Ada", None, "The input is not valid: name: must not be empty."),
        ("folder.delete", "DONE", "Ada", "Sellers", None),
    ]
    assert {entry.subject_id for entry in entries} == {str(sales.id)}

"""Groups, what is given to them, and who sees whom."""

import asyncio
from uuid import uuid4

import pytest

import models
from api.access import Actor
from api.errors import Conflict, InvalidInput, NameTaken, NotFound, PermissionDenied
from api.organization.directory import NamePosition, UserSelection
from api.organization.folders import GroupGrant, LastManager
from models import Permission, fold
from tests.organization.conftest import Organization

pytestmark = pytest.mark.anyio

ALL = UserSelection()


async def person(organization: Organization, name: str) -> Actor:
    user = await organization.people.add_user(name=name)
    return Actor(user.id, user.name)


async def group_of(organization: Organization, name: str, *members: Actor) -> models.Group:
    group = await organization.groups.create(organization.ada, name=name)
    return await organization.groups.set_members(organization.ada, group.id, [member.user_id for member in members])


async def external_group(organization: Organization, *members: Actor) -> models.Group:
    """As a sign-in at the identity provider makes it."""
    now = organization.clock.now
    group = await models.Group.create(name="Sales", name_key=fold("Sales"), external_name="okta-sales", created_at=now)
    for member in members:
        await models.GroupMember.create(group_id=group.id, user_id=member.user_id)
    return group


async def members(group: models.Group) -> set[object]:
    return {member.user_id for member in await models.GroupMember.filter(group_id=group.id)}


async def seen_by(organization: Organization, viewer: Actor) -> list[str]:
    found = await organization.directory.users(viewer, ALL, first=100, after=None)
    return [user.name for user in found.rows]


# Who is in which


async def test_only_administrators_keep_groups(organization: Organization) -> None:
    group = await group_of(organization, "Sales", organization.ben)

    acts = [
        organization.groups.create(organization.ben, name="Mine"),
        organization.groups.rename(organization.ben, group.id, "Mine"),
        organization.groups.set_members(organization.ben, group.id, []),
        organization.groups.delete(organization.ben, group.id),
        organization.groups.delete(organization.ben, uuid4()),
    ]

    for act in acts:
        with pytest.raises(PermissionDenied):
            await act
    assert [row.name for row in await models.Group.all()] == ["Sales"]
    assert await members(group) == {organization.ben.user_id}


async def test_names_of_groups_differ_by_more_than_case(organization: Organization) -> None:
    await group_of(organization, "Straße")
    other = await group_of(organization, "Other")

    with pytest.raises(NameTaken):
        await organization.groups.create(organization.ada, name="STRASSE")
    with pytest.raises(NameTaken):
        await organization.groups.rename(organization.ada, other.id, "strasse")
    with pytest.raises(InvalidInput):
        await organization.groups.create(organization.ada, name=" ")

    assert sorted([row.name for row in await models.Group.all()]) == ["Other", "Straße"]


async def test_members_are_those_who_are_named_and_nobody_else(organization: Organization) -> None:
    cleo = await person(organization, "Cleo")
    group = await group_of(organization, "Sales", organization.ben)

    await organization.groups.set_members(organization.ada, group.id, [cleo.user_id, cleo.user_id])

    assert await members(group) == {cleo.user_id}


async def test_a_member_who_is_nobody_changes_nothing(organization: Organization) -> None:
    group = await group_of(organization, "Sales", organization.ben)

    with pytest.raises(NotFound):
        await organization.groups.set_members(organization.ada, group.id, [organization.ada.user_id, uuid4()])

    assert await members(group) == {organization.ben.user_id}


async def test_groups_of_the_identity_provider_are_not_edited_here(organization: Organization) -> None:
    group = await external_group(organization, organization.ben)

    for act in (
        organization.groups.rename(organization.ada, group.id, "Mine"),
        organization.groups.set_members(organization.ada, group.id, []),
        organization.groups.delete(organization.ada, group.id),
    ):
        with pytest.raises(Conflict):
            await act

    assert [row.name for row in await models.Group.all()] == ["Sales"]
    assert await members(group) == {organization.ben.user_id}


async def test_a_group_that_a_policy_is_for_is_not_deleted_with_it(organization: Organization) -> None:
    group, now = await group_of(organization, "Sales"), organization.clock.now
    await models.ConnectorPolicy.create(connector_key="github", group_id=group.id, allowed=False, created_at=now, updated_at=now)

    with pytest.raises(Conflict):
        await organization.groups.delete(organization.ada, group.id)

    assert await models.ConnectorPolicy.all().count() == await models.Group.all().count() == 1


async def test_two_who_say_at_once_who_is_in_a_group_do_so_one_after_the_other(organization: Organization) -> None:
    cleo, dan = await person(organization, "Cleo"), await person(organization, "Dan")
    group = await group_of(organization, "Sales")
    wishes = [[cleo.user_id], [dan.user_id], [cleo.user_id, organization.ben.user_id]]

    await asyncio.gather(
        *(organization.groups.set_members(organization.ada, group.id, wish) for wish in wishes * 3), return_exceptions=True
    )

    assert await members(group) in [set(wish) for wish in wishes]


# What is given to them


async def test_what_is_given_to_a_group_holds_for_its_members_and_below(organization: Organization) -> None:
    folders, access, ben = organization.folders, organization.access, organization.ben
    sales = await folders.create(organization.ada, name="Sales", parent_id=None)
    emea = await folders.create(organization.ada, name="EMEA", parent_id=sales.id)
    group = await group_of(organization, "Sellers", ben)

    await folders.set_group_access(organization.ada, sales.id, group.id, Permission.USE)

    both = Permission.VIEW | Permission.USE
    assert await access.permissions(ben, [sales.id, emea.id]) == {sales.id: both, emea.id: both}
    assert (await folders.group_grants([emea.id]))[emea.id] == [GroupGrant(group.id, both, sales.id)]
    assert (await folders.group_grants([sales.id]))[sales.id] == [GroupGrant(group.id, both, None)]


async def test_it_ends_with_the_membership_with_the_grant_and_with_the_group(organization: Organization) -> None:
    folders, groups, ben = organization.folders, organization.groups, organization.ben
    folder = await folders.create(organization.ada, name="Sales", parent_id=None)
    group = await group_of(organization, "Sellers", ben)

    async def gives() -> None:
        await groups.set_members(organization.ada, group.id, [ben.user_id])
        await folders.set_group_access(organization.ada, folder.id, group.id, Permission.VIEW)
        assert (await organization.access.folder(ben, folder.id)).id == folder.id

    async def hides() -> None:
        with pytest.raises(NotFound):
            await organization.access.folder(ben, folder.id)

    await gives()
    await groups.set_members(organization.ada, group.id, [])
    await hides()
    await gives()
    await folders.set_group_access(organization.ada, folder.id, group.id, Permission(0))
    await hides()
    await gives()
    await groups.delete(organization.ada, group.id)
    await hides()
    assert await models.FolderGroupGrant.all().count() == 0


async def test_a_group_that_is_none_is_given_nothing(organization: Organization) -> None:
    folder = await organization.folders.create(organization.ada, name="Sales", parent_id=None)

    with pytest.raises(NotFound):
        await organization.folders.set_group_access(organization.ada, folder.id, uuid4(), Permission.VIEW)

    assert await models.FolderGroupGrant.all().count() == 0


async def test_nobody_gives_to_a_group_what_they_do_not_have(organization: Organization) -> None:
    folder = await organization.folders.create(organization.ada, name="Sales", parent_id=None)
    await organization.folders.set_access(organization.ada, folder.id, organization.ben.user_id, Permission.MANAGE | Permission.USE)
    group = await group_of(organization, "Sellers", organization.ben)

    with pytest.raises(PermissionDenied) as denial:
        await organization.folders.set_group_access(organization.ben, folder.id, group.id, Permission.USE | Permission.DELETE)
    assert (denial.value.permission, denial.value.folder_id) == (Permission.DELETE, folder.id)
    assert await models.FolderGroupGrant.all().count() == 0

    await organization.folders.set_group_access(organization.ben, folder.id, group.id, Permission.USE)
    assert (await models.FolderGroupGrant.get()).permissions == Permission.VIEW | Permission.USE


async def test_a_group_with_members_manages_and_an_empty_one_does_not(organization: Organization) -> None:
    folders, ben = organization.folders, organization.ben
    folder = await folders.create(organization.ada, name="Sales", parent_id=None)
    await folders.set_access(organization.ada, folder.id, organization.ada.user_id, Permission(0))
    await folders.set_access(organization.ada, folder.id, ben.user_id, Permission.MANAGE)
    group = await group_of(organization, "Managers")
    await folders.set_group_access(organization.ada, folder.id, group.id, Permission.MANAGE)

    with pytest.raises(LastManager):
        await folders.set_access(ben, folder.id, ben.user_id, Permission.VIEW)
    assert (await models.FolderGrant.get(user_id=ben.user_id)).permissions == Permission.VIEW | Permission.MANAGE

    await organization.groups.set_members(organization.ada, group.id, [organization.ada.user_id])
    await folders.set_access(ben, folder.id, ben.user_id, Permission.VIEW)
    assert (await models.FolderGrant.get(user_id=ben.user_id)).permissions == Permission.VIEW


# Who sees whom


async def test_an_administrator_sees_everybody_by_name(organization: Organization) -> None:
    await person(organization, "abe")

    assert await seen_by(organization, organization.ada) == ["abe", "Ada", "Ben"]


async def test_everybody_else_sees_who_is_on_an_access_list_that_they_see(organization: Organization) -> None:
    cleo, dan = await person(organization, "Cleo"), await person(organization, "Dan")
    upper = await organization.folders.create(organization.ada, name="Upper", parent_id=None)
    folder = await organization.folders.create(organization.ada, name="Sales", parent_id=upper.id)
    hidden = await organization.folders.create(organization.ada, name="Hidden", parent_id=None)
    await models.FolderGrant.filter(user_id=organization.ada.user_id).delete()
    await organization.folders.set_access(organization.ada, hidden.id, (await person(organization, "Eve")).user_id, Permission.USE)
    assert await seen_by(organization, organization.ben) == ["Ben"]

    await organization.folders.set_access(organization.ada, folder.id, organization.ben.user_id, Permission.VIEW)
    await organization.folders.set_access(organization.ada, upper.id, cleo.user_id, Permission.VIEW)
    group = await group_of(organization, "Sellers", dan)
    assert await seen_by(organization, organization.ben) == ["Ben", "Cleo"]
    await organization.folders.set_group_access(organization.ada, folder.id, group.id, Permission.VIEW)

    assert await seen_by(organization, organization.ben) == ["Ben", "Cleo", "Dan"]
    assert list(await organization.directory.find_users(organization.ben, [organization.ada.user_id, cleo.user_id])) == [cleo.user_id]
    assert list(await organization.directory.find_groups(organization.ben, [group.id, uuid4()])) == [group.id]


async def test_who_is_in_a_group_sees_it_and_its_members(organization: Organization) -> None:
    cleo = await person(organization, "Cleo")
    group, other = await group_of(organization, "Sellers", organization.ben, cleo), await group_of(organization, "Others", cleo)

    groups, more = await organization.directory.groups(organization.ben, first=10, after=None)

    assert ([found.id for found in groups], more) == ([group.id], False)
    assert await seen_by(organization, organization.ben) == ["Ben", "Cleo"]
    assert await organization.directory.groups_of(organization.ben, [cleo.user_id]) == {cleo.user_id: [group]}
    assert await organization.directory.groups_of(organization.ada, [cleo.user_id]) == {cleo.user_id: [other, group]}


async def test_users_are_searched_by_name_by_address_and_by_what_they_may(organization: Organization) -> None:
    directory, ada = organization.directory, organization.ada
    group = await group_of(organization, "Sellers", organization.ben)
    await organization.people.deactivate(ada, organization.ben.user_id)

    async def found(viewer: Actor, selection: UserSelection) -> list[str]:
        names = [user.name for user in (await directory.users(viewer, selection, first=10, after=None)).rows]
        assert await directory.count_users(viewer, selection) == len(names)
        return names

    assert await found(ada, UserSelection(search="BEN@")) == ["Ben"]
    assert await found(ada, UserSelection(search="aD")) == ["Ada"]
    assert await found(ada, UserSelection(search="%")) == []
    assert await found(ada, UserSelection(active=True)) == ["Ada"]
    assert await found(ada, UserSelection(active=False, group_id=group.id)) == ["Ben"]
    assert await found(ada, UserSelection(group_id=uuid4())) == []
    assert await found(ada, UserSelection(nobody=True)) == []


async def test_an_address_that_one_may_not_read_is_not_found_by_searching(organization: Organization) -> None:
    cleo = await person(organization, "Cleo")
    await group_of(organization, "Sellers", organization.ben, cleo)

    assert [user.name for user in (await organization.directory.users(cleo, UserSelection(search="Ben"), first=9, after=None)).rows] == [
        "Ben"
    ]
    assert (await organization.directory.users(cleo, UserSelection(search="ben@"), first=9, after=None)).rows == []


async def test_pages_of_users_go_through_all_of_them_once(organization: Organization) -> None:
    for name in ("Émile", "emil", "Zoe", "emil", "ada"):
        await person(organization, name)
    names: list[str] = []
    ids = set()
    after: NamePosition | None = None
    more = True

    while more:
        page = await organization.directory.users(organization.ada, ALL, first=2, after=after)
        names += [user.name for user in page.rows]
        ids |= {user.id for user in page.rows}
        after, more = page.end, page.has_next

    assert len(names) == len(ids) == 7
    # Where a letter with an accent stands is the database's to say.
    assert [name for name in names if name.isascii()] in (
        ["ada", "Ada", "Ben", "emil", "emil", "Zoe"],
        ["Ada", "ada", "Ben", "emil", "emil", "Zoe"],
    )


async def test_the_members_of_many_groups_are_told_apart(organization: Organization) -> None:
    cleo = await person(organization, "Cleo")
    first, second, empty = (
        await group_of(organization, "First", organization.ben, cleo),
        await group_of(organization, "Second", cleo),
        await group_of(organization, "Empty"),
    )
    ids = [first.id, second.id, empty.id]

    pages = await organization.directory.first_members(ids, first=1)
    rest = await organization.directory.users(organization.ada, UserSelection(group_id=first.id), first=5, after=pages[first.id].end)

    assert [[user.name for user in pages[id].rows] for id in ids] == [["Ben"], ["Cleo"], []]
    assert [pages[id].has_next for id in ids] == [True, False, False]
    assert [user.name for user in rest.rows] == ["Cleo"]
    assert await organization.directory.count_members(ids) == {first.id: 2, second.id: 1, empty.id: 0}

"""API tokens: whose they are, what they are limited to, and what they can never do."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

import models
from api.access import Actor, Limits
from api.errors import InvalidInput, NotFound, PermissionDenied
from api.organization.directory import UserSelection
from api.organization.people import TokenIsLimited
from api.organization.tokens import new_token, parse_token
from api.secret import Secret
from models import ApiTokenKind, Permission
from tests.organization.conftest import Organization

pytestmark = pytest.mark.anyio

USE = Permission.VIEW | Permission.USE


async def limited(
    organization: Organization, owner: Actor, *, permissions: Permission | None = None, folder_ids: tuple[UUID, ...] | None = None
) -> Actor:
    """Who comes with a token of this owner's."""
    new = await organization.people.create_token(owner, name="CI", permissions=permissions, folder_ids=folder_ids)
    actor = await organization.people.actor_of_token(new.token)
    assert actor is not None
    return actor


async def shared(organization: Organization, name: str, parent: models.Folder | None = None) -> models.Folder:
    """A folder in which Ben may do everything."""
    folder = await organization.folders.create(organization.ada, name=name, parent_id=parent.id if parent else None)
    await organization.folders.set_access(organization.ada, folder.id, organization.ben.user_id, Permission.every())
    return folder


async def tokens() -> list[tuple[str, bool]]:
    return [(row.name, row.revoked_at is None) for row in await models.ApiToken.all().order_by("created_at", "name")]


# The text


@pytest.mark.parametrize("kind", ApiTokenKind)
def test_the_text_of_a_token_tells_its_kind(kind: ApiTokenKind) -> None:
    parts = new_token(kind)

    assert parts.text().reveal().startswith(f"pb_{kind.value.lower()}_{parts.public_id}_")
    assert parse_token(parts.text()) == parts


def test_a_token_of_no_known_kind_is_none() -> None:
    text = new_token(ApiTokenKind.SERVICE).text().reveal()

    for wrong in (text.replace("service", "user"), text.replace("service", "admin"), text.replace("pb_", "PB_"), text[3:], "pb_service_"):
        assert parse_token(Secret(wrong)) is None


# Limits


async def test_a_token_is_limited_to_permissions(organization: Organization) -> None:
    folder = await shared(organization, "Sales")

    actor = await limited(organization, organization.ben, permissions=Permission.USE)

    assert actor.limits == Limits(permissions=USE)
    assert await organization.access.permissions(actor, [folder.id]) == {folder.id: USE}
    with pytest.raises(PermissionDenied) as denial:
        await organization.access.folder(actor, folder.id, Permission.EDIT)
    assert denial.value.permission == Permission.EDIT


async def test_a_token_is_limited_to_folders_and_those_below(organization: Organization) -> None:
    sales, other = await shared(organization, "Sales"), await shared(organization, "Other")
    emea = await shared(organization, "EMEA", sales)

    actor = await limited(organization, organization.ben, folder_ids=(sales.id,))

    every = Permission.every()
    workspace = await organization.workspace(organization.ben)
    assert await organization.access.visible_folders(actor) == {sales.id: every, emea.id: every}
    assert await organization.access.permissions(actor, [sales.id, emea.id, other.id, workspace]) == {sales.id: every, emea.id: every}
    with pytest.raises(NotFound):
        await organization.access.folder(actor, other.id)


async def test_a_token_never_exceeds_its_owner(organization: Organization) -> None:
    folder = await organization.folders.create(organization.ada, name="Sales", parent_id=None)
    await organization.folders.set_access(organization.ada, folder.id, organization.ben.user_id, Permission.USE)
    actor = await limited(organization, organization.ben, permissions=Permission.every(), folder_ids=(folder.id,))

    assert await organization.access.permissions(actor, [folder.id]) == {folder.id: USE}

    await organization.folders.set_access(organization.ada, folder.id, organization.ben.user_id, Permission(0))
    assert await organization.access.visible_folders(actor) == {}


async def test_an_administrators_limited_token_administers_nothing(organization: Organization) -> None:
    folder = await organization.folders.create(organization.ada, name="Sales", parent_id=None)
    actor = await limited(organization, organization.ada, permissions=Permission.every(), folder_ids=(folder.id,))
    people, groups, folders = organization.people, organization.groups, organization.folders
    before = [await table.all().count() for table in (models.User, models.Group, models.Folder, models.ApiToken)]

    acts: list[Callable[[], Awaitable[object]]] = [
        lambda: people.create_user(actor, name="Cleo"),
        lambda: people.deactivate(actor, organization.ben.user_id),
        lambda: people.reactivate(actor, organization.ben.user_id),
        lambda: people.create_token(actor, name="x", user_id=organization.ben.user_id),
        lambda: groups.create(actor, name="x"),
        lambda: folders.create(actor, name="x", parent_id=None),
    ]

    for act in acts:
        with pytest.raises(PermissionDenied):
            await act()
    assert [await table.all().count() for table in (models.User, models.Group, models.Folder, models.ApiToken)] == before
    assert (await models.User.get(id=organization.ben.user_id)).deactivated_at is None
    assert [user.name for user in (await organization.directory.users(actor, UserSelection(), first=9, after=None)).rows] == ["Ada"]


async def test_a_limited_token_makes_no_tokens(organization: Organization) -> None:
    actor = await limited(organization, organization.ben, permissions=Permission.every())

    with pytest.raises(TokenIsLimited) as refusal:
        await organization.people.create_token(actor, name="Another", permissions=Permission.VIEW)

    assert "limited" in refusal.value.message
    assert await tokens() == [("CI", True)]


async def test_a_limited_token_knows_and_ends_only_itself(organization: Organization) -> None:
    other = await organization.people.create_token(organization.ben, name="Other")
    actor = await limited(organization, organization.ben, permissions=Permission.USE)
    assert actor.token_id is not None

    with pytest.raises(NotFound):
        await organization.people.revoke_token(actor, other.row.id)
    page, _ = await organization.people.tokens_page(actor, user_id=None, first=9, after=None)
    await organization.people.revoke_token(actor, actor.token_id)

    assert [token.name for token in page] == ["CI"]
    assert await tokens() == [("CI", False), ("Other", True)]


@pytest.mark.parametrize("kind", ["limited", "service"])
async def test_a_token_that_is_less_than_its_owner_opens_no_session(organization: Organization, kind: str) -> None:
    new = await organization.people.create_token(
        organization.ben,
        name="CI",
        kind=ApiTokenKind.SERVICE if kind == "service" else ApiTokenKind.USER,
        permissions=Permission.every() if kind == "limited" else None,
    )

    assert await organization.people.sign_in_with_token(new.token) is None

    assert await models.Session.all().count() == 0
    assert await organization.people.actor_of_token(new.token) is not None


async def test_limits_that_are_none_are_mistakes(organization: Organization) -> None:
    folder = await shared(organization, "Sales")
    many = tuple(folder.id for _ in range(101))
    wrong = {"permissions": {"permissions": Permission(0)}, "folderIds": {"folder_ids": ()}}

    for field, given in [*wrong.items(), ("folderIds", {"folder_ids": many})]:
        with pytest.raises(InvalidInput) as refusal:
            await organization.people.create_token(organization.ben, name="CI", **given)  # type: ignore[arg-type]
        assert list(refusal.value.fields) == [field]

    assert await tokens() == []


async def test_a_folder_that_one_does_not_see_is_told_from_none_by_nobody(organization: Organization) -> None:
    hidden = await organization.folders.create(organization.ada, name="Hidden", parent_id=None)
    adas = await organization.workspace(organization.ada)
    refusals = set()

    for id in (hidden.id, adas, uuid4()):
        with pytest.raises(NotFound) as refusal:
            await organization.people.create_token(organization.ben, name="CI", folder_ids=(id,))
        refusals.add(refusal.value.message)

    assert len(refusals) == 1
    assert await tokens() == []


# Lists


async def test_tokens_are_listed_the_newest_first_and_not_once_they_are_revoked(organization: Organization) -> None:
    people = organization.people
    made = []
    for name in ("a", "b", "c", "d"):
        made.append(await people.create_token(organization.ben, name=name))
        organization.clock.move(timedelta(minutes=1))
    await people.revoke_token(organization.ben, made[2].row.id)
    await people.create_token(organization.ada, name="Ada’s")

    first, more = await people.tokens_page(organization.ben, user_id=None, first=2, after=None)
    rest, no_more = await people.tokens_page(organization.ben, user_id=None, first=2, after=(first[-1].created_at, first[-1].id))

    assert [token.name for token in first + rest] == ["d", "b", "a"]
    assert (more, no_more) == (True, False)
    assert await people.count_tokens(organization.ben, user_id=None) == 3


async def test_nobody_but_an_administrator_lists_anothers_tokens(organization: Organization) -> None:
    people = organization.people
    await people.create_token(organization.ada, name="Ada’s")
    await people.create_token(organization.ben, name="Ben’s")

    async def names(viewer: Actor, user_id: UUID | None) -> list[str]:
        page, _ = await people.tokens_page(viewer, user_id=user_id, first=9, after=None)
        assert await people.count_tokens(viewer, user_id=user_id) == len(page)
        return sorted(token.name for token in page)

    assert await names(organization.ada, None) == ["Ada’s", "Ben’s"]
    assert await names(organization.ada, organization.ben.user_id) == ["Ben’s"]
    assert await names(organization.ben, organization.ada.user_id) == []
    assert await names(organization.ben, uuid4()) == []


async def test_who_makes_and_ends_a_token_is_told_to_the_audit_log(organization: Organization) -> None:
    new = await organization.people.create_token(organization.ada, name="CI", user_id=organization.ben.user_id)
    actor = await organization.people.actor_of_token(new.token)
    assert actor is not None
    await organization.people.revoke_token(actor, new.row.id)
    with pytest.raises(NotFound):
        await organization.people.revoke_token(organization.ben, new.row.id)

    entries = await models.AuditEntry.filter(action__startswith="token.").order_by("id")

    ids = str(new.row.id)
    assert [(entry.action, entry.outcome.value, entry.actor_name, entry.subject_id, entry.token_id) for entry in entries] == [
        ("token.create", "DONE", "Ada", ids, None),
        ("token.revoke", "DONE", "Ben", ids, new.row.id),
        ("token.revoke", "REFUSED", "Ben", ids, None),
    ]
    assert entries[0].detail == f"for user {organization.ben.user_id}"
    parts = parse_token(new.token)
    assert parts is not None
    assert parts.secret.reveal() not in str([entry.__dict__ for entry in entries])


async def test_a_token_that_an_administrator_makes_for_somebody_never_reaches_their_workspace(organization: Organization) -> None:
    people, access = organization.people, organization.access
    made = await people.create_token(organization.ada, name="CI", user_id=organization.ben.user_id)
    own = await people.create_token(organization.ben, name="CI")
    workspace = await models.Folder.get(owner_id=organization.ben.user_id)

    by_another, by_himself = [await people.actor_of_token(each.token) for each in (made, own)]

    assert by_another is not None
    assert by_himself is not None
    assert workspace.id in await access.visible_folders(by_himself)
    assert workspace.id not in await access.visible_folders(by_another)
    with pytest.raises(NotFound):
        await access.folder(by_another, workspace.id)
    assert await people.sign_in_with_token(made.token) is None
    assert await models.Session.all().count() == 0

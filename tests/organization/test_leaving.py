"""A user who leaves: nothing that they are signed in with works any more, and nobody else is hindered."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

import models
from api.access import Actor
from api.errors import Conflict, NotFound, PatchbayError, PermissionDenied
from models import AuthorizationStatus, Permission
from models.database import transaction
from tests.organization.conftest import Organization

pytestmark = pytest.mark.anyio


async def is_active(actor: Actor) -> bool:
    return (await models.User.get(id=actor.user_id)).deactivated_at is None


async def administrator(organization: Organization, name: str) -> Actor:
    user = await organization.people.add_user(name=name, administrator=True)
    return Actor(user.id, user.name, administrator=True)


async def test_all_that_they_are_signed_in_with_ends_at_once(organization: Organization) -> None:
    people = organization.people
    token = await people.create_token(organization.ben, name="CI")
    session = await people.sign_in_with_token(token.token)
    assert session is not None
    link = await people.new_sign_in_link(organization.ben.user_id)

    user = await people.deactivate(organization.ada, organization.ben.user_id)

    assert user.deactivated_at == organization.clock.now
    assert await people.actor_of_token(token.token) is None
    assert await people.actor_of_session(session) is None
    assert await people.sign_in_with_link(link) is None
    assert await people.sign_in_with_token(token.token) is None
    assert [await table.all().count() for table in (models.Session, models.SignInLink)] == [0, 0]
    assert (await models.ApiToken.get(id=token.row.id)).revoked_at == organization.clock.now


async def test_nothing_new_signs_them_in(organization: Organization) -> None:
    people = organization.people
    await people.deactivate(organization.ada, organization.ben.user_id)

    with pytest.raises(NotFound):
        await people.create_token(organization.ada, name="x", user_id=organization.ben.user_id)
    with pytest.raises(NotFound):
        await people.add_token(organization.ben.user_id, name="x")
    link = await people.new_sign_in_link(organization.ben.user_id)
    assert await people.sign_in_with_link(link) is None

    assert await models.Session.all().count() == await models.ApiToken.all().count() == 0


async def test_what_they_still_ask_is_refused_and_changes_nothing(organization: Organization) -> None:
    folder = await organization.folders.create(organization.ada, name="Sales", parent_id=None)
    await organization.folders.set_access(organization.ada, folder.id, organization.ben.user_id, Permission.every())
    await organization.people.deactivate(organization.ada, organization.ben.user_id)

    for act in (
        organization.access.folder(organization.ben, folder.id),
        organization.folders.rename(organization.ben, folder.id, "Mine"),
        organization.folders.create(organization.ben, name="Below", parent_id=folder.id),
        organization.people.create_token(organization.ben, name="x"),
    ):
        with pytest.raises(NotFound):
            await act

    assert [row.name for row in await models.Folder.filter(kind="SHARED")] == ["Sales"]
    assert await models.ApiToken.all().count() == 0


async def test_consents_that_they_began_are_over(organization: Organization) -> None:
    now = organization.clock.now
    for actor in (organization.ben, organization.ada):
        await models.Authorization.create(
            user_id=actor.user_id,
            folder_id=await organization.workspace(actor),
            connector_key="github",
            authentication_type="OAUTH2_AUTHORIZATION_CODE",
            state_hash=f"of {actor.name}",
            created_at=now,
            expires_at=now + timedelta(minutes=10),
        )

    await organization.people.deactivate(organization.ada, organization.ben.user_id)

    consents = await models.Authorization.all().order_by("state_hash")
    assert sorted((each.status, each.state_hash) for each in consents if each.user_id == organization.ben.user_id) == [
        (AuthorizationStatus.CANCELLED, None)
    ]
    assert [each.status for each in consents if each.user_id == organization.ada.user_id] == [AuthorizationStatus.PENDING]


async def test_who_comes_back_signs_in_anew(organization: Organization) -> None:
    people = organization.people
    token = await people.create_token(organization.ben, name="CI")
    await people.deactivate(organization.ada, organization.ben.user_id)

    for _ in range(2):
        assert (await people.reactivate(organization.ada, organization.ben.user_id)).deactivated_at is None

    assert await people.actor_of_token(token.token) is None
    assert await people.sign_in_with_link(await people.new_sign_in_link(organization.ben.user_id)) is not None


async def test_only_administrators_deactivate_and_nobody_themselves(organization: Organization) -> None:
    people = organization.people

    with pytest.raises(PermissionDenied):
        await people.deactivate(organization.ben, organization.ada.user_id)
    with pytest.raises(PermissionDenied):
        await people.deactivate(organization.ben, uuid4())
    with pytest.raises(Conflict):
        await people.deactivate(organization.ada, organization.ada.user_id)
    with pytest.raises(NotFound):
        await people.deactivate(organization.ada, uuid4())
    with pytest.raises(PermissionDenied):
        await people.reactivate(organization.ben, organization.ada.user_id)

    assert await is_active(organization.ada)
    assert await is_active(organization.ben)


async def test_it_is_told_to_the_audit_log_as_is_every_refusal(organization: Organization) -> None:
    with pytest.raises(PermissionDenied):
        await organization.people.deactivate(organization.ben, organization.ada.user_id)
    await organization.people.deactivate(organization.ada, organization.ben.user_id)
    with pytest.raises(Conflict):
        await organization.people.deactivate(organization.ada, organization.ada.user_id)
    await organization.people.reactivate(organization.ada, organization.ben.user_id)

    entries = await models.AuditEntry.filter(subject_id__not_isnull=True, actor_id__not_isnull=True).order_by("id")

    ada, ben = str(organization.ada.user_id), str(organization.ben.user_id)
    assert [(entry.action, entry.outcome.value, entry.actor_name, entry.subject_id) for entry in entries] == [
        ("user.deactivate", "REFUSED", "Ben", ada),
        ("user.deactivate", "DONE", "Ada", ben),
        ("user.deactivate", "FAILED", "Ada", ada),
        ("user.reactivate", "DONE", "Ada", ben),
    ]


# At once


async def test_of_two_administrators_who_deactivate_each_other_one_is_left(organization: Organization) -> None:
    eve, people = await administrator(organization, "Eve"), organization.people

    ends = await asyncio.gather(
        people.deactivate(organization.ada, eve.user_id), people.deactivate(eve, organization.ada.user_id), return_exceptions=True
    )

    assert sorted(type(end).__name__ for end in ends) == ["PermissionDenied", "User"]
    assert [await is_active(organization.ada), await is_active(eve)].count(True) == 1


async def test_what_a_user_does_at_that_moment_is_done_before_or_not_at_all(organization: Organization) -> None:
    ben, people = organization.ben, organization.people
    folder = await organization.folders.create(organization.ada, name="Sales", parent_id=None)
    await organization.folders.set_access(organization.ada, folder.id, ben.user_id, Permission.every())

    async def act(number: int) -> None:
        await organization.folders.rename(ben, folder.id, f"Ben’s {number}")

    async def leave() -> str:
        await people.deactivate(organization.ada, ben.user_id)
        return (await models.Folder.get(id=folder.id)).name

    acts = [asyncio.ensure_future(act(number)) for number in range(4)]
    leaving = asyncio.ensure_future(leave())
    acts += [asyncio.ensure_future(act(number)) for number in range(4, 8)]
    ends = await asyncio.gather(*acts, return_exceptions=True)
    name_then = await leaving

    assert {type(end) for end in ends} <= {type(None), NotFound}
    # Nothing of theirs came after the deactivation was done.
    assert (await models.Folder.get(id=folder.id)).name == name_then


async def test_a_right_that_is_taken_away_waits_for_the_act_that_it_allowed(organization: Organization) -> None:
    """And the act that comes after it is refused: on both databases nobody acts upon a right that is already gone."""
    ben, folders = organization.ben, organization.folders
    folder = await folders.create(organization.ada, name="Sales", parent_id=None)
    await folders.set_access(organization.ada, folder.id, ben.user_id, Permission.every())

    allowed = asyncio.Event()

    async def revoke() -> None:
        await allowed.wait()
        await folders.set_access(organization.ada, folder.id, ben.user_id, Permission(0))

    # Begun out here, so that it has a transaction of its own.
    revoking = asyncio.ensure_future(revoke())
    async with transaction():
        await organization.access.folder(ben, folder.id, Permission.MANAGE)
        allowed.set()
        done, _ = await asyncio.wait([revoking], timeout=0.2)
        assert done == set()
        await models.Folder.filter(id=folder.id).update(name="Ben’s")

    await asyncio.wait_for(revoking, 5)
    with pytest.raises(NotFound):
        await folders.rename(ben, folder.id, "Mine")
    assert (await models.Folder.get(id=folder.id)).name == "Ben’s"


async def test_no_session_and_no_token_is_made_beside_a_deactivation(organization: Organization) -> None:
    people, ben = organization.people, organization.ben
    for _ in range(4):
        token = await people.create_token(organization.ada, name="CI", user_id=ben.user_id)
        link = await people.new_sign_in_link(ben.user_id)

        await asyncio.gather(
            people.sign_in_with_token(token.token),
            people.create_token(ben, name="Another"),
            people.deactivate(organization.ada, ben.user_id),
            people.sign_in_with_link(link),
            return_exceptions=True,
        )

        assert await models.Session.filter(user_id=ben.user_id).count() == 0
        assert await models.ApiToken.filter(user_id=ben.user_id, revoked_at=None).count() == 0
        await people.reactivate(organization.ada, ben.user_id)


async def test_two_managers_who_give_their_own_up_at_once_leave_one(organization: Organization) -> None:
    folder = await organization.folders.create(organization.ada, name="Sales", parent_id=None)
    cleo = Actor((await organization.people.add_user(name="Cleo")).id, "Cleo")
    managers = [organization.ben, cleo]
    for manager in managers:
        await organization.folders.set_access(organization.ada, folder.id, manager.user_id, Permission.MANAGE)
    await models.FolderGrant.filter(user_id=organization.ada.user_id).delete()

    ends = await asyncio.gather(
        *(organization.folders.set_access(manager, folder.id, manager.user_id, Permission.VIEW) for manager in managers),
        return_exceptions=True,
    )

    assert sorted(isinstance(end, PatchbayError) for end in ends) == [False, True]
    granted = {grant.user_id: Permission(grant.permissions) for grant in await models.FolderGrant.filter(folder_id=folder.id)}
    assert sorted(Permission.MANAGE in permissions for permissions in granted.values()) == [False, True]

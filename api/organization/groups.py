"""Groups: people who are given access together. Those of the identity provider are kept by it; here they can only be given access."""

from collections.abc import Collection
from uuid import UUID

from tortoise.exceptions import IntegrityError

import models
from api.access import Access, Actor
from api.audit import Audit
from api.clock import Clock
from api.errors import Conflict, InvalidInput, NameTaken, NotFound
from api.names import checked_name
from api.organization.suspensions import Suspensions
from models import fold
from models.database import transaction

_MOST_MEMBERS = 5_000


class KeptElsewhere(Conflict):
    def __init__(self, name: str) -> None:
        super().__init__(f"The group “{name}” is kept by the identity provider.", "Change it there; it is read at each sign-in.")


class Groups:
    """Administrators only: everything here raises PermissionDenied, and then NotFound."""

    def __init__(self, *, access: Access, suspensions: Suspensions, audit: Audit, clock: Clock) -> None:
        self._access = access
        self._suspensions = suspensions
        self._audit = audit
        self._clock = clock

    async def create(self, actor: Actor, *, name: str) -> models.Group:
        """Raises InvalidInput, NameTaken."""
        async with self._audit.act(actor, "group.create") as act, transaction():
            await self._access.require_administrator(actor)
            name = checked_name(name)
            try:
                async with transaction():
                    group = await models.Group.create(name=name, name_key=fold(name), created_at=self._clock())
            except IntegrityError:
                raise _taken(name) from None
            await act.done(subject_id=group.id, subject_name=group.name)
        return group

    async def rename(self, actor: Actor, group_id: UUID, name: str) -> models.Group:
        """Raises InvalidInput, NameTaken, Conflict."""
        async with self._audit.act(actor, "group.rename", group_id) as act, transaction():
            group = await self._kept_here(actor, group_id)
            group.name = checked_name(name)
            group.name_key = fold(group.name)
            try:
                async with transaction():
                    await group.save(update_fields=["name", "name_key"])
            except IntegrityError:
                raise _taken(group.name) from None
            await act.done(subject_name=group.name)
        return group

    async def delete(self, actor: Actor, group_id: UUID) -> UUID:
        """What its members were given with it is gone with it. Raises Conflict, also while a policy is for it."""
        async with self._audit.act(actor, "group.delete", group_id) as act, transaction():
            await self._suspensions.keep_others_out()
            group, _ = await self._held(actor, group_id)
            # It would go with the group, and what it forbids would be allowed without anyone having said so.
            if await models.ConnectorPolicy.exists(group_id=group.id):
                raise Conflict("A policy is for this group.", "Delete the policy first.")
            await group.delete()
            await act.done(subject_name=group.name)
        return group.id

    async def set_members(self, actor: Actor, group_id: UUID, user_ids: Collection[UUID]) -> models.Group:
        """These users are in it, and nobody else. Raises InvalidInput, Conflict."""
        wanted = set(user_ids)
        async with self._audit.act(actor, "group.set_members", group_id) as act, transaction():
            await self._suspensions.keep_others_out()
            group, members = await self._held(actor, group_id, and_users=wanted)
            if len(wanted) > _MOST_MEMBERS:
                raise InvalidInput({"userIds": f"must not be more than {_MOST_MEMBERS} users"})
            if await models.User.filter(id__in=list(wanted)).count() < len(wanted):
                raise NotFound("user")
            await models.GroupMember.filter(group_id=group.id, user_id__in=list(members - wanted)).delete()
            await models.GroupMember.bulk_create(
                [models.GroupMember(group_id=group.id, user_id=user_id) for user_id in sorted(wanted - members)]
            )
            # Policies for the group are for those who came now, and no more for those who went.
            await self._suspensions.reconsider(actor_id=actor.user_id, user_ids=wanted ^ members)
            await act.done(subject_name=group.name, detail=_told(added=wanted - members, removed=members - wanted))
        return group

    async def _held(self, actor: Actor, group_id: UUID, *, and_users: Collection[UUID] = ()) -> tuple[models.Group, set[UUID]]:
        """The group and who is in it, all of them held until the transaction ends. Raises Conflict."""
        members = await _members_of(group_id)
        await self._access.hold({actor.user_id, *list(and_users)[:_MOST_MEMBERS], *members})
        group = await self._kept_here(actor, group_id)
        if not await _members_of(group_id) <= members:
            raise Conflict("Somebody else is changing this group right now.", "Look at it again, and try again.")
        return group, members

    async def _kept_here(self, actor: Actor, group_id: UUID) -> models.Group:
        """The group, held until the transaction ends. Raises Conflict where the identity provider keeps it."""
        await self._access.require_administrator(actor)
        group = await models.Group.select_for_update(no_key=True).get_or_none(id=group_id)
        if group is None:
            raise NotFound("group")
        if group.external_name is not None:
            raise KeptElsewhere(group.name)
        return group


async def _members_of(group_id: UUID) -> set[UUID]:
    return {member.user_id for member in await models.GroupMember.filter(group_id=group_id)}


def _taken(name: str) -> NameTaken:
    return NameTaken(name, "this organization’s groups")


def _told(*, added: set[UUID], removed: set[UUID]) -> str | None:
    """Who came and who went, as far as an entry of the audit log has room."""
    told = [f"+{user_id}" for user_id in sorted(added)] + [f"-{user_id}" for user_id in sorted(removed)]
    return " ".join(told) or None

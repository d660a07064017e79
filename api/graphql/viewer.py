"""Whoever looks, as far as an answer depends on them. What was asked about them is kept: others with the same facts get the same answer."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

import models
from api.access import Access, Actor
from api.events.seeing import Standing
from models import Permission
from models.holding import find_connections

Fact = TypeVar("Fact")


@dataclass(slots=True)
class Facts:
    """All that an answer depends on of its viewer."""

    # Whether it depends on more than what stands here: then it is nobody else's.
    personal: bool = False
    administers: bool | None = None
    # Whether they are these users.
    users: dict[UUID, bool] = field(default_factory=dict)
    # Whether they see these folders.
    seen: dict[UUID, bool] = field(default_factory=dict)
    # What they may do in these; None in one that they do not see.
    permissions: dict[UUID, Permission | None] = field(default_factory=dict)

    @property
    def folder_ids(self) -> set[UUID]:
        return {*self.seen, *self.permissions}

    def hold_for(self, viewer: Standing) -> bool:
        """Whether they are the facts of this one, too, of whom all folders were asked about that the facts are about."""
        actor, allowed = viewer.actor, viewer.allowed
        return (
            not self.personal
            and self.administers in (None, actor.may_administer)
            and all((actor.user_id == user_id) is is_user for user_id, is_user in self.users.items())
            and all((folder_id in allowed) is sees for folder_id, sees in self.seen.items())
            and all(allowed.get(folder_id) == permission for folder_id, permission in self.permissions.items())
        )


class Viewer:
    __slots__ = ("_access", "_actor", "facts")

    def __init__(self, access: Access, actor: Actor) -> None:
        self._access = access
        self._actor = actor
        self.facts = Facts()

    async def look_again(self) -> bool:
        """Be what is left of them since they came. False where they may not ask any more."""
        known = await self._access.as_known(self._actor)
        self.be(known or self._actor)
        return known is not None

    def be(self, actor: Actor) -> None:
        """Be what is left of them since they came: an administrator may be one no more."""
        self._actor = actor

    @property
    def actor(self) -> Actor:
        """For what no other method here answers: then the answer is for this viewer alone."""
        self.facts.personal = True
        return self._actor

    @property
    def may_administer(self) -> bool:
        self.facts.administers = self._actor.may_administer
        return self._actor.may_administer

    def is_user(self, user_id: UUID) -> bool:
        return self.facts.users.setdefault(user_id, self._actor.user_id == user_id)

    async def connections(self, ids: Collection[UUID]) -> dict[UUID, models.Connection]:
        """Those of these connections whose folders they see."""
        found = await find_connections(ids)
        folders = {connection.folder_id: connection.folder for connection in found}
        seen = await self._access.permissions_in(self._actor, folders) if folders else {}
        self._note_seen(folders, seen)
        return {connection.id: connection for connection in found if connection.folder_id in seen}

    async def folders(self, ids: Collection[UUID]) -> dict[UUID, models.Folder]:
        """As `Access.folders`."""
        found = await self._access.folders(self._actor, ids)
        self._note_seen(ids, found)
        return found

    async def sees(self, folder_ids: Collection[UUID]) -> Collection[UUID]:
        """Those of these folders that they see."""
        found = await self._access.permissions(self._actor, folder_ids)
        self._note_seen(folder_ids, found)
        return found

    async def permissions(self, folder_ids: Collection[UUID]) -> dict[UUID, Permission]:
        """As `Access.permissions`."""
        found = await self._access.permissions(self._actor, folder_ids)
        for id in folder_ids:
            self._note(self.facts.permissions, id, found.get(id))
        return found

    def _note_seen(self, ids: Collection[UUID], found: Collection[UUID]) -> None:
        for id in ids:
            self._note(self.facts.seen, id, id in found)

    def _note(self, facts: dict[UUID, Fact], id: UUID, fact: Fact) -> None:
        # What changed between two questions is an answer that nobody else may get.
        if facts.setdefault(id, fact) != fact:
            self.facts.personal = True

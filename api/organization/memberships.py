"""In which groups of the identity provider somebody is. Groups that were made here have nothing to do with it, whatever their names."""

from collections.abc import Sequence

import models
from api.audit import Audit
from api.clock import Clock
from api.names import tidy
from models import fold

_LONGEST_NAME = 120
_SUFFIX = " (identity provider{})"


class Memberships:
    def __init__(self, audit: Audit, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock

    async def put(self, user: models.User, names: Sequence[str], *, source: str | None) -> bool:
        """The user is in just these of the provider's groups; those that are new here are made. Whether anything changed.

        Call it in a transaction that keeps others from changing memberships.
        """
        memberships = models.GroupMember.filter(user_id=user.id, group__external_name__isnull=False)
        former = {str(membership.group.external_name): membership for membership in await memberships.select_related("group")}
        joined, left = sorted(set(names) - former.keys()), sorted(former.keys() - set(names))
        if not joined and not left:
            return False
        groups = await self._groups(joined, source)
        await models.GroupMember.filter(id__in=[former[name].id for name in left]).delete()
        await models.GroupMember.bulk_create([models.GroupMember(group_id=group.id, user_id=user.id) for group in groups])
        detail = " ".join([f"+“{name}”" for name in joined] + [f"-“{name}”" for name in left])
        async with self._audit.act(None, "user.set_groups", user.id, subject_name=user.name, source=source) as act:
            await act.done(detail=detail)
        return True

    async def _groups(self, names: Sequence[str], source: str | None) -> list[models.Group]:
        found = {group.external_name: group for group in await models.Group.filter(external_name__in=list(names))}
        return [found.get(name) or await self._make(name, source) for name in names]

    async def _make(self, external_name: str, source: str | None) -> models.Group:
        name = await _free_name(external_name)
        group = await models.Group.create(name=name, name_key=fold(name), external_name=external_name, created_at=self._clock())
        async with self._audit.act(None, "group.create", group.id, subject_name=group.name, source=source) as act:
            await act.done(detail="of the identity provider")
        return group


async def _free_name(external_name: str) -> str:
    """The provider's name, told apart from that of a group which is there: that one's access was meant for others."""
    name = tidy(external_name)[:_LONGEST_NAME].strip()
    number = 1
    while await models.Group.exists(name_key=fold(name)):
        suffix = _SUFFIX.format("" if number == 1 else f" {number}")
        name = tidy(external_name)[: _LONGEST_NAME - len(suffix)].strip() + suffix
        number += 1
    return name

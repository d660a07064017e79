"""What many actors may do in a few folders, asked all at once: the same as `Access` answers to each of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import models
from api.access import STILL_GOOD, Actor, Limits, about, known_by
from models import Permission
from models.database import records

_IN_A_WORKSPACE = Permission.every() & ~Permission.MANAGE
_NO_LIMITS = Limits()

# All of it as of one moment: who may still ask, the administrators among them, whose each folder is or that it is shared, itself with all
# above it, and what somebody was given in one of those, by name or with a group.
_STANDINGS = """
WITH RECURSIVE good(kind, id) AS ({good}),
above(origin, id, parent_id) AS (
  SELECT id, id, parent_id FROM folder WHERE id = ANY($5)
  UNION ALL
  SELECT above.origin, folder.id, folder.parent_id FROM folder JOIN above ON folder.id = above.parent_id
)
SELECT kind, id, '', 0 FROM good
UNION ALL
SELECT 'administrator', CAST(id AS TEXT), '', 0 FROM user_account WHERE id = ANY($1) AND administrator
UNION ALL
SELECT 'owner', CAST(owner_id AS TEXT), CAST(id AS TEXT), 0 FROM folder WHERE id = ANY($5) AND kind = 'PERSONAL'
UNION ALL
SELECT 'shared', '', CAST(id AS TEXT), 0 FROM folder WHERE id = ANY($5) AND kind = 'SHARED'
UNION ALL
SELECT 'above', CAST(id AS TEXT), CAST(origin AS TEXT), 0 FROM above
UNION ALL
SELECT 'given', CAST(given.user_id AS TEXT), CAST(above.origin AS TEXT), given.permissions
FROM above JOIN folder_grant AS given ON given.folder_id = above.id WHERE given.user_id = ANY($1)
UNION ALL
SELECT 'given', CAST(group_member.user_id AS TEXT), CAST(above.origin AS TEXT), given.permissions
FROM above JOIN folder_group_grant AS given ON given.folder_id = above.id JOIN group_member ON group_member.group_id = given.group_id
WHERE group_member.user_id = ANY($1)
"""

Allowed = Mapping[UUID, Permission]
# What is so, of whom, in which folder; and which permissions that is.
_Facts = Mapping[tuple[str, str, str], int]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left of an actor since they were recognised, and what they may do in the folders that were asked about and they see."""

    actor: Actor
    allowed: Allowed


async def standing_of_each(actors: Collection[Actor], folder_ids: Collection[UUID], now: datetime) -> dict[Actor, Standing]:
    """What each is and may do in each of these folders by now; who may not ask any more is not in the answer."""
    facts: dict[tuple[str, str, str], int] = {}
    for kind, id, folder, permissions in await records(_STANDINGS.format(good=STILL_GOOD), [*about(actors, now), tuple(folder_ids)]):
        facts[kind, id, folder] = facts.get((kind, id, folder), 0) | permissions
    known = known_by({(kind, id) for kind, id, _ in facts}, actors, now)
    folders = {id: str(id) for id in folder_ids}
    return {actor: _standing(actor, folders, facts) for actor in known}


async def who_see(
    event: models.ConnectionEvent, actors: Collection[Actor], now: datetime, beside: Collection[UUID] = ()
) -> dict[Actor, Standing]:
    """Those who see an event by now, with what they may do in its folders, and beside."""
    if not actors:
        return {}
    # Who sees only the folder that a connection left learns that it went, and not where to.
    places = {place for place in (event.folder_id, event.previous_folder_id) if place is not None}
    standings = await standing_of_each(actors, {*places, *beside}, now)
    return {actor: standing for actor, standing in standings.items() if places & standing.allowed.keys()}


def _standing(actor: Actor, folders: Mapping[UUID, str], facts: _Facts) -> Standing:
    user = str(actor.user_id)
    still = replace(actor, administrator=("administrator", user, "") in facts) if actor.administrator else actor
    allowed = {id: _allowed(still, user, folder, facts) for id, folder in folders.items()}
    return Standing(still, {id: permissions for id, permissions in allowed.items() if permissions & Permission.VIEW})


def _allowed(actor: Actor, user: str, folder: str, facts: _Facts) -> Permission:
    """What they may do in a folder, whether they see it or not."""
    limits = actor.limits or _NO_LIMITS
    if limits.folder_ids is not None and not any(("above", str(id), folder) in facts for id in limits.folder_ids):
        return Permission(0)
    if ("owner", user, folder) in facts:
        permissions = Permission(0) if limits.without_workspace else _IN_A_WORKSPACE
    elif ("shared", "", folder) in facts:
        permissions = Permission.every() if actor.administrator else Permission(facts.get(("given", user, folder), 0))
    else:
        permissions = Permission(0)
    return permissions & limits.permissions

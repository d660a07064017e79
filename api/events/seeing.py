"""What many actors may do in a few folders, asked all at once: the same as `Access` answers to each of them."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import models
from api.access import Access, Actor, Limits
from models import FolderKind, Permission
from models.database import rows

# As many as both databases take in one statement, and more.
_USERS_AT_ONCE = 2_000
_IN_A_WORKSPACE = Permission.every() & ~Permission.MANAGE

# Each folder with itself and all above it.
_PLACES = """
WITH RECURSIVE above(origin, id, parent_id) AS (
  SELECT id, id, parent_id FROM folder WHERE id IN ({folders})
  UNION ALL
  SELECT above.origin, folder.id, folder.parent_id FROM folder JOIN above ON folder.id = above.parent_id
)
SELECT above.origin, above.id, place.kind, place.owner_id FROM above JOIN folder AS place ON place.id = above.origin
"""
_GIVEN = """
WITH RECURSIVE above(origin, id, parent_id) AS (
  SELECT id, id, parent_id FROM folder WHERE id IN ({folders})
  UNION ALL
  SELECT above.origin, folder.id, folder.parent_id FROM folder JOIN above ON folder.id = above.parent_id
)
SELECT above.origin, given.user_id, given.permissions FROM above JOIN folder_grant AS given ON given.folder_id = above.id
WHERE given.user_id IN ({users})
UNION ALL
SELECT above.origin, group_member.user_id, given.permissions
FROM above JOIN folder_group_grant AS given ON given.folder_id = above.id JOIN group_member ON group_member.group_id = given.group_id
WHERE group_member.user_id IN ({users})
"""

Allowed = Mapping[UUID, Permission]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left of an actor since they were recognised, and what they may do in the folders that were asked about and they see."""

    actor: Actor
    allowed: Allowed


@dataclass(frozen=True, slots=True)
class _Place:
    kind: FolderKind
    owner_id: UUID | None
    # Itself and the folders above it.
    line: frozenset[UUID]


async def standing_of_each(access: Access, actors: Collection[Actor], folder_ids: Collection[UUID], now: datetime) -> dict[Actor, Standing]:
    """What each is and may do in each of these folders by now; who may not ask any more is not in the answer."""
    known = await access.known_among(actors, now)
    places = await _places(folder_ids)
    user_ids = list({actor.user_id for actor in known})
    administrators = await _administrators({actor.user_id for actor in known if actor.administrator})
    given: dict[UUID, dict[UUID, Permission]] = defaultdict(dict)
    for start in range(0, len(user_ids), _USERS_AT_ONCE):
        await _add_given(given, user_ids[start : start + _USERS_AT_ONCE], places)
    return {actor: _standing(actor, places, given[actor.user_id], administrators) for actor in known}


async def _places(folder_ids: Collection[UUID]) -> dict[UUID, _Place]:
    """Those of these folders that there are."""
    lines: dict[UUID, set[UUID]] = defaultdict(set)
    kinds: dict[UUID, tuple[FolderKind, UUID | None]] = {}
    statement = _PLACES.format(folders=_marks(folder_ids, start=1))
    for row in await rows(statement, [*folder_ids], origin=UUID, id=UUID, kind=FolderKind, owner_id=UUID):
        lines[row["origin"]].add(row["id"])
        kinds[row["origin"]] = (row["kind"], row["owner_id"])
    return {id: _Place(kind, owner_id, frozenset(lines[id])) for id, (kind, owner_id) in kinds.items()}


async def _administrators(user_ids: Collection[UUID]) -> set[UUID]:
    """Those of these users who still are administrators."""
    if not user_ids:
        return set()
    return {user.id for user in await models.User.filter(id__in=list(user_ids), administrator=True).only("id")}


async def _add_given(given: dict[UUID, dict[UUID, Permission]], user_ids: Collection[UUID], places: Collection[UUID]) -> None:
    if not places:
        return
    folders, users = _marks(places, start=1), _marks(user_ids, start=1 + len(places))
    found = await rows(_GIVEN.format(folders=folders, users=users), [*places, *user_ids], origin=UUID, user_id=UUID)
    for row in found:
        mine = given[row["user_id"]]
        mine[row["origin"]] = mine.get(row["origin"], Permission(0)) | Permission(row["permissions"])


def _standing(actor: Actor, places: Mapping[UUID, _Place], given: Allowed, administrators: Collection[UUID]) -> Standing:
    still = replace(actor, administrator=actor.user_id in administrators) if actor.administrator else actor
    return Standing(still, _allowed(still, places, given))


def _allowed(actor: Actor, places: Mapping[UUID, _Place], given: Allowed) -> Allowed:
    limits = actor.limits or Limits()
    found: dict[UUID, Permission] = {}
    for id, place in places.items():
        if limits.folder_ids is not None and not limits.folder_ids & place.line:
            continue
        if place.kind is FolderKind.PERSONAL:
            mine = place.owner_id == actor.user_id and not limits.without_workspace
            permissions = _IN_A_WORKSPACE if mine else Permission(0)
        else:
            permissions = Permission.every() if actor.administrator else given.get(id, Permission(0))
        if permissions & limits.permissions & Permission.VIEW:
            found[id] = permissions & limits.permissions
    return found


def _marks(values: Collection[object], *, start: int) -> str:
    """The places for these values in a statement."""
    return ", ".join(f"${number}" for number in range(start, start + len(values))) or "NULL"

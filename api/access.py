"""Who may do what. One vocabulary of permissions; a denial never tells that something exists which the actor may not see.

A grant in a folder holds for every folder below it. A personal workspace is its owner's alone, from administrators too, who may only
end what is in it or hand it over; in every shared folder an administrator may do everything.

What is allowed is asked in the transaction that does it, and stays so until that ends: on PostgreSQL the row of whoever acts is held, and
who takes a right away waits for it. In which order rows are held, so that none waits for another for good, is told in `models.locks`.
"""

from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from uuid import UUID

from tortoise.context import require_context

import models
from api.errors import NotFound, PermissionDenied
from models import FolderKind, OrganizationPermission, Permission
from models.appending import Condition
from models.database import in_own_transaction, records, rows
from models.holding import find_folders, hold_connection

_EVERY = Permission.every()
_IN_A_WORKSPACE = _EVERY & ~Permission.MANAGE
_NOTHING = OrganizationPermission(0)
# The id of no folder: what is not there is asked about like what is hidden, so that the two take equally long.
_NOWHERE = UUID(int=0)

# In a transaction the row is held on PostgreSQL, so that who takes a right away waits for the acts that it allowed, and then ends
# those that come after. On SQLite a transaction is alone anyway.
_STANDING = "SELECT administrator, organization_permissions FROM user_account WHERE id = $1 AND deactivated_at IS NULL{shown}{held}"
_WITH_TOKEN = " AND EXISTS (SELECT 1 FROM api_token WHERE id = $2 AND user_id = $1 AND revoked_at IS NULL)"
_WITH_SESSION = " AND EXISTS (SELECT 1 FROM browser_session WHERE token_hash = $2 AND user_id = $1)"
# Of many at once: those of these users, API tokens and sessions that are good at $4 (`about`).
STILL_GOOD = """
SELECT 'user', CAST(id AS TEXT) FROM user_account WHERE id = ANY($1) AND deactivated_at IS NULL
UNION ALL
SELECT 'token', CAST(id AS TEXT) FROM api_token WHERE id = ANY($2) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $4)
UNION ALL
SELECT 'session', token_hash FROM browser_session WHERE token_hash = ANY($3) AND expires_at > $4
"""

# What a user was given, by name or with a group.
GRANTED = """
granted(folder_id, permissions) AS (
  SELECT folder_id, permissions FROM folder_grant WHERE user_id = $1
  UNION ALL
  SELECT given.folder_id, given.permissions
  FROM folder_group_grant AS given JOIN group_member ON group_member.group_id = given.group_id WHERE group_member.user_id = $1
)
"""
_GRANTS_DOWNWARD = """
WITH RECURSIVE {granted}, reach(folder_id, permissions) AS (
  SELECT folder_id, permissions FROM granted
  UNION ALL
  SELECT folder.id, reach.permissions FROM folder JOIN reach ON folder.parent_id = reach.folder_id
)
SELECT folder_id, permissions, 0 AS is_mine FROM reach
UNION ALL
SELECT id, 0, 1 FROM folder WHERE owner_id = $1 AND kind = 'PERSONAL'
"""
# To an administrator; what is theirs is their workspace.
_ALL_VISIBLE = """
SELECT id AS folder_id, 0 AS permissions, 0 AS is_mine FROM folder WHERE kind = 'SHARED'
UNION ALL
SELECT id, 0, 1 FROM folder WHERE owner_id = $1 AND kind = 'PERSONAL'
"""
_GRANTS_UPWARD = """
WITH RECURSIVE {granted}, above(origin, id, parent_id) AS (
  SELECT id, id, parent_id FROM folder WHERE id IN ({marks})
  UNION ALL
  SELECT above.origin, folder.id, folder.parent_id FROM folder JOIN above ON folder.id = above.parent_id
)
SELECT above.origin AS folder_id, granted.permissions FROM above JOIN granted ON granted.folder_id = above.id
"""
_BELOW = """
WITH RECURSIVE reach(id) AS (
  SELECT id FROM folder WHERE id IN ({marks})
  UNION ALL
  SELECT folder.id FROM folder JOIN reach ON folder.parent_id = reach.id
)
SELECT id FROM reach
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an API token may do at the most, whatever its owner may."""

    permissions: Permission = _EVERY
    # With the folders below them; None: all.
    folder_ids: frozenset[UUID] | None = None
    # Somebody else made it for its owner, whose workspace is theirs alone.
    without_workspace: bool = False
    # What it may do that has to do with no folder.
    organization: OrganizationPermission = _NOTHING


_NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever asks, once they are known."""

    user_id: UUID
    name: str
    administrator: bool = False
    limits: Limits | None = None
    # Where the request came from, and with which API token: for the audit log.
    source: str | None = None
    token_id: UUID | None = None
    # The hash of the session that their browser is signed in with.
    session_hash: str | None = field(default=None, repr=False)
    # Until when they are known by what they showed; None: as long as that is alive here.
    until: datetime | None = None
    # What they were given that has to do with no folder, where that was asked (`Access.as_known`).
    organization: OrganizationPermission = _NOTHING

    @property
    def may_administer(self) -> bool:
        """Whether they may do what is an administrator's alone. A token that is limited to folders is not for that."""
        return self.administrator and self.limits is None


class Access:
    """Answers what an actor may do, from the grants as they are now. Keeps nothing."""

    async def folder(self, actor: Actor, folder_id: UUID, permission: Permission = Permission.VIEW) -> models.Folder:
        """The folder. Raises NotFound where the actor cannot see it, then PermissionDenied."""
        folder = await models.Folder.get_or_none(id=folder_id)
        if not await self._allows(actor, folder, permission) or folder is None:
            raise NotFound("folder")
        return folder

    async def connection(self, actor: Actor, connection_id: UUID, permission: Permission = Permission.VIEW) -> models.Connection:
        """The connection with its folder. Raises NotFound where the actor cannot see its folder, then PermissionDenied."""
        connection = await models.Connection.get_or_none(id=connection_id).select_related("folder")
        return await self.allowed(actor, connection, permission)

    async def allowed(self, actor: Actor, connection: models.Connection | None, permission: Permission) -> models.Connection:
        """As `connection`, of one that was just read together with its folder; None is one that is not there."""
        folder = None if connection is None else connection.folder
        if not await self._allows(actor, folder, permission) or connection is None:
            raise NotFound("connection")
        return connection

    async def held(self, actor: Actor, connection_id: UUID, permission: Permission) -> models.Connection:
        """The connection as it is now, with its folder; neither it nor what is allowed here changes until the transaction ends.

        Raises NotFound, PermissionDenied.
        """
        # People before connections, as everywhere: who holds one and waits for the other must not meet who does it the other way round.
        known = await self.as_known(actor)
        # And held before it is asked what is allowed, because it could be moved in between.
        connection = await hold_connection(connection_id)
        if not await self._allows_known(known, None if connection is None else connection.folder, permission) or connection is None:
            raise NotFound("connection")
        return connection

    def condition(self, actor: Actor, folder: models.Folder, permission: Permission) -> Condition | None:
        """That this is allowed, as of when it is asked, and whoever acts is held; None where it takes a grant, or the folders above."""
        limits = actor.limits or _NO_LIMITS
        allowed = _by_kind(actor, folder) & limits.permissions
        if limits.folder_ids is not None or permission | Permission.VIEW not in allowed:
            return None
        condition, shown = _shown(actor)
        condition += " AND administrator" if folder.kind is FolderKind.SHARED else ""
        return Condition(_standing(condition, held=_is_shared()), (actor.user_id, *shown))

    async def find_administered(self, actor: Actor, connection_id: UUID) -> models.Connection | None:
        """A connection in somebody's workspace, held, for an administrator, who may end it or hand it over, but not see it."""
        if not actor.may_administer or not await self._is_administrator(actor):
            return None
        connection = await models.Connection.select_for_update().get_or_none(id=connection_id)
        folder = None if connection is None else await models.Folder.get(id=connection.folder_id)
        if connection is None or folder is None or folder.kind is not FolderKind.PERSONAL:
            return None
        connection.folder = folder
        return connection

    async def require_administrator(self, actor: Actor) -> None:
        """Raises PermissionDenied where the actor is not an administrator, as of now."""
        require_administrator(actor)
        if not await self._is_administrator(actor):
            raise PermissionDenied(None)

    async def may(self, actor: Actor, permission: OrganizationPermission) -> bool:
        """Whether the actor may do this, which has to do with no folder, as of now."""
        known = await self.as_known(actor)
        if known is None:
            return False
        allowed = OrganizationPermission.every() if known.administrator else known.organization
        return permission in (allowed if known.limits is None else allowed & known.limits.organization)

    async def require(self, actor: Actor, permission: OrganizationPermission) -> None:
        """As `may`. Raises PermissionDenied."""
        if not await self.may(actor, permission):
            raise PermissionDenied(
                None,
                told=(
                    f"This needs {permission.name}.",
                    f"Ask an administrator for it: setOrganizationPermissions gives {permission.name}.",
                ),
            )

    async def hold(self, user_ids: Collection[UUID]) -> None:
        """Wait for the acts of these users that are under way, and let no other begin until the transaction ends.

        Before any other row of the transaction: who holds one user and waits for another waits for good.
        """
        held = models.User.filter(id__in=list(set(user_ids))).order_by("id").select_for_update(no_key=True)
        await held.only("id")

    async def as_known(self, actor: Actor) -> Actor | None:
        """The actor with what is left of their standing since they were recognised; None where they may not ask any more."""
        condition, shown = _shown(actor)
        found = await rows(_standing(condition, held=_holds()), [actor.user_id, *shown], administrator=bool)
        if not found:
            return None
        organization = OrganizationPermission(found[0]["organization_permissions"])
        return replace(actor, administrator=actor.administrator and found[0]["administrator"], organization=organization)

    async def is_known(self, actor: Actor) -> bool:
        """Whether the actor may still ask: they are active, their API token was not revoked, their session not signed out of."""
        return await self.as_known(actor) is not None

    async def known_among(self, actors: Collection[Actor], now: datetime) -> set[Actor]:
        """Those who may still ask: they are active, and the API token or the session that they came with is alive."""
        found = await records(STILL_GOOD, about(actors, now))
        return known_by({(kind, shown) for kind, shown in found}, actors, now)

    async def permissions(self, actor: Actor, folder_ids: Collection[UUID]) -> dict[UUID, Permission]:
        """What the actor may do in each of these folders; a folder that they cannot see is not in the answer."""
        if not folder_ids:
            return {}
        found = await find_folders(folder_ids)
        return await self.permissions_in(actor, {folder_id: found.get(folder_id) for folder_id in folder_ids})

    async def permissions_in(self, actor: Actor, folders: Mapping[UUID, models.Folder | None]) -> dict[UUID, Permission]:
        """As `permissions`, for folders that are read already; None is one that is not there."""
        allowed = {folder_id: _by_kind(actor, folder) for folder_id, folder in folders.items() if folder is not None}
        # Also of what is not there, or in a workspace: what is hidden takes as long as what never was.
        undecided = [] if actor.administrator else [folder_id for folder_id in folders if not allowed.get(folder_id)]
        if undecided:
            shared = {folder_id for folder_id, folder in folders.items() if folder is not None and folder.kind is FolderKind.SHARED}
            marks = ", ".join(f"${number}" for number in range(2, len(undecided) + 2))
            statement = _GRANTS_UPWARD.format(granted=GRANTED, marks=marks)
            for row in await rows(statement, [actor.user_id, *undecided], folder_id=UUID):
                if row["folder_id"] in shared:
                    allowed[row["folder_id"]] |= Permission(row["permissions"])
        return await _limited(actor, allowed)

    async def folders(self, actor: Actor, folder_ids: Collection[UUID]) -> dict[UUID, models.Folder]:
        """Those of these folders that the actor can see."""
        found = await find_folders(folder_ids)
        visible = await self.permissions_in(actor, {folder_id: found.get(folder_id) for folder_id in folder_ids})
        return {folder_id: folder for folder_id, folder in found.items() if folder_id in visible}

    async def visible_folders(self, actor: Actor) -> dict[UUID, Permission]:
        """Every folder that the actor can see, with what they may do there."""
        allowed: dict[UUID, Permission] = {}
        statement, shared = (_ALL_VISIBLE, _EVERY) if actor.administrator else (_GRANTS_DOWNWARD.format(granted=GRANTED), Permission(0))
        for row in await rows(statement, [actor.user_id], folder_id=UUID):
            if row["is_mine"]:
                given = _IN_A_WORKSPACE if _has_workspace(actor) else Permission(0)
            else:
                given = shared | Permission(row["permissions"])
            allowed[row["folder_id"]] = allowed.get(row["folder_id"], Permission(0)) | given
        return await _limited(actor, allowed)

    async def _allows(self, actor: Actor, folder: models.Folder | None, permission: Permission) -> bool:
        """False where the folder is hidden. Raises PermissionDenied where it is seen and the permission is missing."""
        return await self._allows_known(await self.as_known(actor), folder, permission)

    async def _allows_known(self, known: Actor | None, folder: models.Folder | None, permission: Permission) -> bool:
        folder_id = _NOWHERE if folder is None else folder.id
        permissions = None if known is None else (await self.permissions_in(known, {folder_id: folder})).get(folder_id)
        if permissions is None or folder is None:
            return False
        if permission not in permissions:
            raise PermissionDenied(permission, folder_id=folder.id, folder_name=folder.name)
        return True

    async def _is_administrator(self, actor: Actor) -> bool:
        known = await self.as_known(actor)
        return known is not None and known.administrator


def require_administrator(actor: Actor) -> None:
    if not actor.may_administer:
        raise PermissionDenied(None)


@cache
def _standing(condition: str, *, held: bool) -> str:
    # allowed: made-statement: the condition is one of the constants above
    return _STANDING.format(shown=condition, held=" FOR SHARE" if held else "")


def _shown(actor: Actor) -> tuple[str, list[UUID | str]]:
    """The condition that what the actor came with is still good, and what it is asked with."""
    if actor.token_id is not None:
        return _WITH_TOKEN, [actor.token_id]
    return ("", []) if actor.session_hash is None else (_WITH_SESSION, [actor.session_hash])


def about(actors: Collection[Actor], now: datetime) -> list[object]:
    """The parameters of `STILL_GOOD`."""
    users = {actor.user_id for actor in actors}
    tokens = {actor.token_id for actor in actors if actor.token_id is not None}
    sessions = {actor.session_hash for actor in actors if actor.session_hash is not None}
    return [tuple(users), tuple(tokens), tuple(sessions), now]


def known_by(good: Set[tuple[str, str]], actors: Collection[Actor], now: datetime) -> set[Actor]:
    """Those who may still ask, by what `STILL_GOOD` selected."""
    return {actor for actor in actors if _needed(actor) <= good and (actor.until is None or actor.until > now)}


def _needed(actor: Actor) -> set[tuple[str, str]]:
    """Of `STILL_GOOD`: themselves, and what they came with."""
    shown = {"user": actor.user_id, "token": actor.token_id, "session": actor.session_hash}
    return {(kind, str(value)) for kind, value in shown.items() if value is not None}


def _holds() -> bool:
    return in_own_transaction() and _is_shared()


def _is_shared() -> bool:
    return require_context().db().capabilities.dialect == "postgres"


async def _limited(actor: Actor, allowed: dict[UUID, Permission]) -> dict[UUID, Permission]:
    """What is left of this where a token may do less than its owner, and only what can be seen."""
    limits = actor.limits or Limits()
    within = allowed.keys() if limits.folder_ids is None else await _with_those_below(limits.folder_ids)
    left = {folder_id: permissions & limits.permissions for folder_id, permissions in allowed.items() if folder_id in within}
    return {folder_id: permissions for folder_id, permissions in left.items() if permissions & Permission.VIEW}


async def _with_those_below(folder_ids: Collection[UUID]) -> Collection[UUID]:
    if not folder_ids:
        return ()
    marks = ", ".join(f"${number}" for number in range(1, len(folder_ids) + 1))
    return {row["id"] for row in await rows(_BELOW.format(marks=marks), [*folder_ids], id=UUID)}


def _has_workspace(actor: Actor) -> bool:
    return actor.limits is None or not actor.limits.without_workspace


def _by_kind(actor: Actor, folder: models.Folder) -> Permission:
    """What follows without any grant."""
    if folder.kind is FolderKind.PERSONAL:
        return _IN_A_WORKSPACE if folder.owner_id == actor.user_id and _has_workspace(actor) else Permission(0)
    return Permission.every() if actor.administrator else Permission(0)

"""Users, their API tokens, and how a browser signs in."""

import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tortoise.exceptions import IntegrityError
from tortoise.expressions import Q
from tortoise.queryset import QuerySet

import models
from api.access import Access, Actor, Limits
from api.audit import Act, Audit
from api.clock import Clock
from api.errors import Conflict, InvalidInput, NotFound, PermissionDenied, SignInRefused
from api.events.log import EventLog
from api.names import checked_name, name_problem
from api.organization.accounts import create_account, email_problem, open_session
from api.organization.tokens import TokenText, hash_of, new_cookie, new_token, parse_token
from api.secret import Secret
from models import ApiTokenKind, AuthorizationStatus, OrganizationPermission, Permission
from models.database import database_trouble, read_json, read_uuid, records_alike, transaction

logger = logging.getLogger(__name__)

_LINK = timedelta(hours=1)
# A token that is in use all the time is not written to with every call.
_LAST_USE_EVERY = timedelta(minutes=1)
_MOST_FOLDERS = 100
_BAD_LINK = "The sign-in link is unknown, was used already, or is too old."
_BAD_TOKEN = "This is no API token that works."
_LESSER_TOKEN = "An API token that is limited, or for a machine, signs nobody in: a session has no limits."
# A token that is good, and whose owner is: asked for with every call of a program. As `Access.known_among` has it.
_ALIVE = """
SELECT token.id AS token_id, token.secret_hash, token.permissions, token.organization_permissions, token.folder_ids, token.made_by_id,
  token.last_used_at IS NULL OR token.last_used_at < $3 AS is_unused, owner.id AS user_id, owner.name, owner.administrator
FROM api_token AS token JOIN user_account AS owner ON owner.id = token.user_id
WHERE token.public_id = $1 AND token.revoked_at IS NULL AND (token.expires_at IS NULL OR token.expires_at > $2)
  AND owner.deactivated_at IS NULL
"""
_NOBODY = TokenText("0" * 12, Secret("0" * 43)).hash()


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made. Its text is here and nowhere else, ever again."""

    row: models.ApiToken
    token: Secret


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What an API token is to be like. `permissions` and `folder_ids`: what it may do at the most; None: all that its owner may."""

    name: str
    kind: ApiTokenKind = ApiTokenKind.USER
    expires_at: datetime | None = None
    permissions: Permission | None = None
    folder_ids: tuple[UUID, ...] | None = None
    # Where it is limited: what it may all the same that has to do with no folder.
    organization: OrganizationPermission | None = None


class TokenIsLimited(PermissionDenied):
    """A token that may not do all that its owner may makes no token that could."""

    def __init__(self) -> None:
        told = "An API token that is limited makes no others.", "Sign in in the browser, or use a token without limits."
        super().__init__(None, told=told)


class People:
    def __init__(self, *, access: Access, log: EventLog, audit: Audit, clock: Clock) -> None:
        self._access = access
        self._log = log
        self._audit = audit
        self._clock = clock

    async def create_user(self, actor: Actor, *, name: str, email: str | None = None, administrator: bool = False) -> models.User:
        """With a personal workspace. Administrators only. Raises PermissionDenied, InvalidInput, Conflict."""
        async with self._audit.act(actor, "user.create") as act, transaction():
            await self._access.require_administrator(actor)
            user = await self._add_user(name=name, email=email, administrator=administrator)
            await act.done(subject_id=user.id, subject_name=user.name, detail="administrator" if administrator else None)
        return user

    async def add_user(self, *, name: str, email: str | None = None, administrator: bool = False) -> models.User:
        """As `create_user`, for the operator at the command line."""
        async with self._audit.act(None, "user.create") as act, transaction():
            user = await self._add_user(name=name, email=email, administrator=administrator)
            await act.done(subject_id=user.id, subject_name=user.name, detail="administrator" if administrator else None)
        return user

    async def deactivate(self, actor: Actor, user_id: UUID) -> models.User:
        """End all that a user is signed in with, at once; what they do at this moment ends first. Their connections go on working.

        Administrators only, and not oneself, so that one is left. Raises PermissionDenied, NotFound, Conflict.
        """
        # The log's transaction, although nothing happens to a connection: it wakes whoever streams, and those of the user end.
        async with self._audit.act(actor, "user.deactivate", user_id) as act, self._log.change(actor.user_id):
            await self._access.hold([actor.user_id, user_id])
            user = await self._administered(actor, user_id)
            if user_id == actor.user_id:
                raise Conflict("You cannot deactivate yourself.", "Ask another administrator.")
            now = self._clock()
            if user.deactivated_at is None:
                user.deactivated_at = now
                await user.save(update_fields=["deactivated_at"])
            await models.Session.filter(user_id=user_id).delete()
            await models.SignInLink.filter(user_id=user_id).delete()
            await models.ApiToken.filter(user_id=user_id, revoked_at=None).update(revoked_at=now)
            theirs = Q(user_id=user_id) | Q(asked_by_id=user_id)
            pending = models.Authorization.filter(theirs, status=AuthorizationStatus.PENDING)
            await pending.update(status=AuthorizationStatus.CANCELLED, state_hash=None, secrets=None)
            await act.done(subject_name=user.name)
        return user

    async def reactivate(self, actor: Actor, user_id: UUID) -> models.User:
        """Let a user sign in again. What they were signed in with stays ended. Raises PermissionDenied, NotFound."""
        async with self._audit.act(actor, "user.reactivate", user_id) as act, transaction():
            await self._access.hold([actor.user_id, user_id])
            user = await self._administered(actor, user_id)
            user.deactivated_at = None
            await user.save(update_fields=["deactivated_at"])
            await act.done(subject_name=user.name)
        return user

    async def create_token(
        self,
        actor: Actor,
        *,
        name: str,
        user_id: UUID | None = None,
        kind: ApiTokenKind = ApiTokenKind.USER,
        expires_at: datetime | None = None,
        permissions: Permission | None = None,
        folder_ids: tuple[UUID, ...] | None = None,
        organization: OrganizationPermission | None = None,
    ) -> NewToken:
        """For oneself; for others by an administrator, and then without their workspace.

        A folder that it is limited to must be one that the actor sees.

        Raises NotFound, PermissionDenied, InvalidInput.
        """
        owner_id = user_id or actor.user_id
        request = TokenRequest(name, kind, expires_at, permissions, folder_ids, organization)
        async with self._audit.act(actor, "token.create") as act, transaction():
            await self._access.hold([actor.user_id, owner_id])
            if owner_id != actor.user_id:
                await self._access.require_administrator(actor)
            elif actor.limits is not None:
                raise TokenIsLimited
            elif not await self._access.is_known(actor):
                raise NotFound("user")
            few = _few(folder_ids or ())
            if len(await self._access.permissions(actor, few)) < len(few):
                raise NotFound("folder")
            new = await self._add_token(owner_id, request, made_by_id=None if owner_id == actor.user_id else actor.user_id)
            await act.done(subject_id=new.row.id, subject_name=new.row.name, detail=f"for user {owner_id}")
        return new

    async def add_token(self, user_id: UUID, *, name: str, expires_at: datetime | None = None) -> NewToken:
        """As `create_token`, for the operator at the command line. Raises NotFound, InvalidInput."""
        async with self._audit.act(None, "token.create") as act, transaction():
            await self._access.hold([user_id])
            new = await self._add_token(user_id, TokenRequest(name, expires_at=expires_at))
            await act.done(subject_id=new.row.id, subject_name=new.row.name, detail=f"for user {user_id}")
        return new

    async def revoke_token(self, actor: Actor, token_id: UUID) -> UUID:
        """One's own, or anyone's by an administrator; what streams with it ends. A limited token ends no other. Raises NotFound."""
        async with self._audit.act(actor, "token.revoke", token_id) as act, self._log.change(actor.user_id):
            token = await self._revocable(actor).get_or_none(id=token_id)
            if not await self._access.is_known(actor) or token is None:
                raise NotFound("API token")
            # Of two who do this at once, one does it.
            if not await models.ApiToken.filter(id=token_id, revoked_at=None).update(revoked_at=self._clock()):
                raise NotFound("API token")
            await act.done(subject_name=token.name, detail=f"of user {token.user_id}")
        return token_id

    async def tokens_page(
        self, actor: Actor, *, user_id: UUID | None, first: int, after: tuple[datetime, UUID] | None
    ) -> tuple[list[models.ApiToken], bool]:
        """API tokens that are not revoked, the newest first, and whether there are more.

        One's own; for an administrator all, or those of one user.
        """
        found = self._listed(actor, user_id)
        if after is not None:
            made, id = after
            found = found.filter(Q(created_at__lt=made) | Q(created_at=made, id__lt=id))
        page = await found.order_by("-created_at", "-id").limit(first + 1)
        return page[:first], len(page) > first

    async def count_tokens(self, actor: Actor, *, user_id: UUID | None) -> int:
        return await self._listed(actor, user_id).count()

    async def actor_of_token(self, token: Secret, *, source: str | None = None) -> Actor | None:
        """Whose token it is, where it is one and alive, and what it is limited to. `source`: the address that it came from."""
        row = await self._find_alive(token)
        if row is None:
            return None
        limits = _limits(row["permissions"], read_json(row["folder_ids"]), row["organization_permissions"], row["made_by_id"])
        token_id = read_uuid(row["token_id"])
        return Actor(read_uuid(row["user_id"]), row["name"], bool(row["administrator"]), limits, source, token_id)

    async def actor_of_session(self, cookie: Secret, *, source: str | None = None) -> Actor | None:
        """Who is signed in with this cookie, if anyone."""
        sessions = models.Session.alive(self._clock()).filter(token_hash=hash_of(cookie), user__deactivated_at=None)
        session = await sessions.select_related("user").first()
        return None if session is None else replace(_actor(session.user, source=source), session_hash=session.token_hash)

    async def new_sign_in_link(self, user_id: UUID) -> Secret:
        """The secret of a link that signs this user in, once, within an hour."""
        now = self._clock()
        await models.SignInLink.filter(expires_at__lte=now).delete()
        await models.Session.filter(expires_at__lte=now).delete()
        link = new_cookie()
        await models.SignInLink.create(token_hash=hash_of(link), user_id=user_id, expires_at=now + _LINK)
        return link

    async def sign_in_with_link(self, link: Secret, *, source: str | None = None) -> Secret | None:
        """The cookie of a new session; None where the link is unknown, used or too old, or its user may not sign in any more."""
        try:
            async with self._audit.act(None, "session.sign_in", source=source) as act, transaction():
                found = await models.SignInLink.filter(token_hash=hash_of(link), expires_at__gt=self._clock()).first()
                if found is None:
                    raise SignInRefused(_BAD_LINK)
                await self._access.hold([found.user_id])
                # Of two who come with the same link at once, one deletes it.
                if not await models.SignInLink.filter(token_hash=found.token_hash).delete():
                    raise SignInRefused(_BAD_LINK)
                return await self._new_session(found.user_id, act, detail="with a sign-in link")
        except SignInRefused:
            return None

    async def sign_in_with_token(self, token: Secret, *, source: str | None = None) -> Secret | None:
        """The cookie of a new session; None where the token is not alive, or may not do all that its owner may, or is a machine's."""
        try:
            async with self._audit.act(None, "session.sign_in", source=source) as act:
                found = await self._find_alive(token)
                row = None if found is None else await models.ApiToken.get(id=found["token_id"]).select_related("user")
                if row is None:
                    raise SignInRefused(_BAD_TOKEN)
                # A session has no limits, and outlives its token.
                if row.kind is ApiTokenKind.SERVICE or _actor(row.user, row).limits is not None:
                    act.actor = _actor(row.user, row, source=source)
                    raise SignInRefused(_LESSER_TOKEN)
                async with transaction():
                    await self._access.hold([row.user_id])
                    return await self._new_session(row.user_id, act, token=row, detail="with an API token")
        except SignInRefused:
            return None

    async def sign_out(self, cookie: Secret, *, source: str | None = None) -> None:
        """End a session, and with it what streams in it. A cookie of none is no mistake."""
        session = await models.Session.filter(token_hash=hash_of(cookie)).select_related("user").first()
        if session is None:
            return
        actor = _actor(session.user, source=source)
        signing_out = self._audit.act(actor, "session.sign_out", actor.user_id, subject_name=actor.name)
        # The log's transaction wakes whoever streams, as in `deactivate`.
        async with signing_out as act, self._log.change(actor.user_id):
            await models.Session.filter(token_hash=session.token_hash).delete()
            await act.done()

    async def _administered(self, actor: Actor, user_id: UUID) -> models.User:
        await self._access.require_administrator(actor)
        user = await models.User.get_or_none(id=user_id)
        if user is None:
            raise NotFound("user")
        return user

    async def _add_user(self, *, name: str, email: str | None, administrator: bool) -> models.User:
        mistakes = {"name": name_problem(name), "email": email_problem(email)}
        if any(mistakes.values()):
            raise InvalidInput({field: problem for field, problem in mistakes.items() if problem})
        try:
            async with transaction():
                return await create_account(name=checked_name(name), email=email, now=self._clock(), administrator=administrator)
        except IntegrityError:
            raise Conflict("There is a user with this email address already.", "Use another address, or that user.") from None

    async def _add_token(self, user_id: UUID, request: TokenRequest, *, made_by_id: UUID | None = None) -> NewToken:
        now = self._clock()
        mistakes = _token_mistakes(request, now)
        if mistakes:
            raise InvalidInput(mistakes)
        if not await models.User.exists(id=user_id, deactivated_at=None):
            raise NotFound("user")
        token = new_token(request.kind)
        row = await models.ApiToken.create(
            user_id=user_id,
            name=checked_name(request.name),
            kind=request.kind,
            public_id=token.public_id,
            secret_hash=token.hash(),
            permissions=None if request.permissions is None else int(request.permissions | Permission.VIEW),
            organization_permissions=0 if request.organization is None else request.organization.value,
            folder_ids=None if request.folder_ids is None else [str(folder_id) for folder_id in _few(request.folder_ids)],
            made_by_id=made_by_id,
            created_at=now,
            expires_at=request.expires_at,
        )
        return NewToken(row, token.text())

    async def _find_alive(self, token: Secret) -> Any | None:
        """What there is to know of the token and its user, where it is one and both are good; that it was used is noted."""
        parts = parse_token(token)
        if parts is None:
            return None
        now = self._clock()
        found = await records_alike(_ALIVE, [parts.public_id, now, now - _LAST_USE_EVERY])
        row = found[0] if found else None
        # An unknown id is compared too, so that it takes as long as a known one.
        if not hmac.compare_digest(_NOBODY if row is None else bytes(row["secret_hash"]), parts.hash()) or row is None:
            return None
        if row["is_unused"]:
            await self._note_use(read_uuid(row["token_id"]), now)
        return row

    async def _note_use(self, token_id: UUID, now: datetime) -> None:
        try:
            await models.ApiToken.filter(id=token_id).update(last_used_at=now)
        # A disk that is full, a database that may only be read: whoever asks is let in all the same, to read what is there.
        except database_trouble():
            logger.warning("use of an API token not noted", extra={"token": str(token_id)})

    def _revocable(self, actor: Actor) -> QuerySet[models.ApiToken]:
        """The tokens that the actor may know of and end."""
        tokens = models.ApiToken.filter(revoked_at=None)
        if actor.may_administer:
            return tokens
        mine = tokens.filter(user_id=actor.user_id)
        return mine if actor.limits is None else mine.filter(id=actor.token_id)

    def _listed(self, actor: Actor, user_id: UUID | None) -> QuerySet[models.ApiToken]:
        tokens = self._revocable(actor)
        return tokens if user_id is None else tokens.filter(user_id=user_id)

    async def _new_session(self, user_id: UUID, act: Act, *, token: models.ApiToken | None = None, detail: str) -> Secret:
        """For a user who is held. Raises SignInRefused."""
        user = await models.User.get(id=user_id)
        act.actor = _actor(user, token, source=act.source)
        if user.deactivated_at is not None:
            raise SignInRefused("The user was deactivated.")
        cookie = await open_session(user, self._clock())
        await act.done(subject_id=user.id, subject_name=user.name, detail=detail)
        return cookie


def _actor(user: models.User, token: models.ApiToken | None = None, *, source: str | None = None) -> Actor:
    if token is None:
        return Actor(user.id, user.name, user.administrator, source=source)
    limits = _limits(token.permissions, token.folder_ids, token.organization_permissions, token.made_by_id)
    return Actor(user.id, user.name, user.administrator, limits=limits, source=source, token_id=token.id)


def _limits(permissions: int | None, folder_ids: Sequence[str] | None, organization: int, made_by: object | None) -> Limits | None:
    if permissions is None and folder_ids is None and made_by is None:
        return None
    return Limits(
        permissions=Permission.every() if permissions is None else Permission(permissions),
        folder_ids=None if folder_ids is None else frozenset(UUID(folder_id) for folder_id in folder_ids),
        without_workspace=made_by is not None,
        organization=OrganizationPermission(organization),
    )


def _few(folder_ids: tuple[UUID, ...]) -> tuple[UUID, ...]:
    """Each once, and no more than a token may name: the rest is a mistake that is told of."""
    return tuple(dict.fromkeys(folder_ids))[:_MOST_FOLDERS]


def _token_mistakes(request: TokenRequest, now: datetime) -> dict[str, str]:
    mistakes: dict[str, str] = {}
    if problem := name_problem(request.name):
        mistakes["name"] = problem
    if request.expires_at is not None and request.expires_at <= now:
        mistakes["expiresAt"] = "must be in the future"
    if request.permissions == Permission(0):
        mistakes["permissions"] = "must name at least one; leave it out for all that the owner may do"
    if request.folder_ids is not None and not 1 <= len(request.folder_ids) <= _MOST_FOLDERS:
        mistakes["folderIds"] = f"must name 1 to {_MOST_FOLDERS} folders; leave it out for all that the owner can see"
    return mistakes

"""Users, their API tokens, and how a browser signs in."""

import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from tortoise.exceptions import IntegrityError

import models
from api.access import Actor, require_administrator
from api.clock import Clock
from api.errors import Conflict, InvalidInput, NotFound
from api.names import checked_name, name_problem
from api.organization.tokens import TokenText, hash_of, new_cookie, new_token, parse_token
from api.secret import Secret
from models import FolderKind, fold
from models.database import transaction

_SESSION = timedelta(days=14)
_LINK = timedelta(hours=1)
# A token that is in use all the time is not written to with every call.
_LAST_USE_EVERY = timedelta(minutes=1)
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")
_NOBODY = TokenText("0" * 12, Secret("0" * 43)).hash()


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made. Its text is here and nowhere else, ever again."""

    row: models.ApiToken
    token: Secret


class People:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def create_user(self, actor: Actor, *, name: str, email: str | None = None, administrator: bool = False) -> models.User:
        """With a personal workspace. Administrators only. Raises PermissionDenied, InvalidInput, Conflict."""
        require_administrator(actor)
        return await self.add_user(name=name, email=email, administrator=administrator)

    async def add_user(self, *, name: str, email: str | None = None, administrator: bool = False) -> models.User:
        """As `create_user`, for the operator at the command line."""
        mistakes = {"name": name_problem(name), "email": _email_problem(email)}
        if any(mistakes.values()):
            raise InvalidInput({field: problem for field, problem in mistakes.items() if problem})
        now = self._clock()
        try:
            async with transaction():
                user = await models.User.create(
                    name=checked_name(name),
                    email=email,
                    email_key=None if email is None else fold(email),
                    administrator=administrator,
                    created_at=now,
                )
                workspace = f"{user.name}’s workspace"[:120]
                await models.Folder.create(name=workspace, name_key=fold(workspace), kind=FolderKind.PERSONAL, owner=user, created_at=now)
        except IntegrityError:
            raise Conflict("There is a user with this email address already.", "Use another address, or that user.") from None
        return user

    async def create_token(self, actor: Actor, *, name: str, user_id: UUID | None = None, expires_at: datetime | None = None) -> NewToken:
        """For oneself; for others by an administrator. Raises NotFound, PermissionDenied, InvalidInput."""
        if user_id is not None and user_id != actor.user_id:
            require_administrator(actor)
        return await self.add_token(user_id or actor.user_id, name=name, expires_at=expires_at)

    async def add_token(self, user_id: UUID, *, name: str, expires_at: datetime | None = None) -> NewToken:
        """As `create_token`, for the operator at the command line."""
        now = self._clock()
        if expires_at is not None and expires_at <= now:
            raise InvalidInput({"expiresAt": "must be in the future"})
        if not await models.User.exists(id=user_id):
            raise NotFound("user")
        token = new_token()
        row = await models.ApiToken.create(
            user_id=user_id,
            name=checked_name(name),
            public_id=token.public_id,
            secret_hash=token.hash(),
            created_at=now,
            expires_at=expires_at,
        )
        return NewToken(row, token.text())

    async def revoke_token(self, actor: Actor, token_id: UUID) -> UUID:
        """One's own, or anyone's by an administrator. Raises NotFound."""
        tokens = models.ApiToken.filter(id=token_id, revoked_at=None)
        if not actor.administrator:
            tokens = tokens.filter(user_id=actor.user_id)
        if not await tokens.update(revoked_at=self._clock()):
            raise NotFound("API token")
        return token_id

    async def actor_of_token(self, token: Secret) -> Actor | None:
        """Whose token it is, where it is one and alive."""
        parts = parse_token(token)
        if parts is None:
            return None
        now = self._clock()
        row = await models.ApiToken.alive(now).filter(public_id=parts.public_id).select_related("user").first()
        # An unknown id is compared too, so that it takes as long as a known one.
        if not hmac.compare_digest(_NOBODY if row is None else bytes(row.secret_hash), parts.hash()) or row is None:
            return None
        if row.last_used_at is None or row.last_used_at < now - _LAST_USE_EVERY:
            await models.ApiToken.filter(id=row.id).update(last_used_at=now)
        return _actor(row.user)

    async def actor_of_session(self, cookie: Secret) -> Actor | None:
        """Who is signed in with this cookie, if anyone."""
        session = await models.Session.filter(token_hash=hash_of(cookie), expires_at__gt=self._clock()).select_related("user").first()
        return None if session is None else _actor(session.user)

    async def new_sign_in_link(self, user_id: UUID) -> Secret:
        """The secret of a link that signs this user in, once, within an hour."""
        now = self._clock()
        await models.SignInLink.filter(expires_at__lte=now).delete()
        await models.Session.filter(expires_at__lte=now).delete()
        link = new_cookie()
        await models.SignInLink.create(token_hash=hash_of(link), user_id=user_id, expires_at=now + _LINK)
        return link

    async def sign_in_with_link(self, link: Secret) -> Secret | None:
        """The cookie of a new session; None where the link is unknown, used or too old."""
        async with transaction():
            found = await models.SignInLink.filter(token_hash=hash_of(link), expires_at__gt=self._clock()).first()
            # Of two who come with the same link at once, one deletes it.
            if found is None or not await models.SignInLink.filter(token_hash=found.token_hash).delete():
                return None
            return await self._new_session(found.user_id)

    async def sign_in_with_token(self, token: Secret) -> Secret | None:
        """The cookie of a new session; None where the token is not alive."""
        actor = await self.actor_of_token(token)
        return None if actor is None else await self._new_session(actor.user_id)

    async def sign_out(self, cookie: Secret) -> None:
        await models.Session.filter(token_hash=hash_of(cookie)).delete()

    async def _new_session(self, user_id: UUID) -> Secret:
        now = self._clock()
        cookie = new_cookie()
        await models.Session.create(token_hash=hash_of(cookie), user_id=user_id, created_at=now, expires_at=now + _SESSION)
        return cookie


def _actor(user: models.User) -> Actor:
    return Actor(user.id, user.name, user.administrator)


def _email_problem(email: str | None) -> str | None:
    if email is None or (_EMAIL.fullmatch(email) and name_problem(email, longest=254) is None):
        return None
    return "must be an email address"

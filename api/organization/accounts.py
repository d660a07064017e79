"""What it takes to be somebody here: a user with a personal workspace, and a browser that is signed in as them."""

import re
from datetime import datetime, timedelta

import models
from api.names import name_problem
from api.organization.tokens import hash_of, new_cookie
from api.secret import Secret
from models import FolderKind, fold

_SESSION = timedelta(days=14)
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")
_LONGEST_EMAIL = 254


def email_problem(email: str | None) -> str | None:
    if email is None:
        return None
    # A folded one may be longer: it is kept beside it.
    fits = name_problem(email, longest=_LONGEST_EMAIL) is None and len(fold(email)) <= _LONGEST_EMAIL
    return None if fits and _EMAIL.fullmatch(email) else "must be an email address"


async def create_account(
    *, name: str, email: str | None, now: datetime, administrator: bool = False, subject: str | None = None
) -> models.User:
    """A user with a personal workspace, of values that are checked already. Call it in a transaction.

    Raises IntegrityError where the address or the subject is another user's.
    """
    user = await models.User.create(
        name=name,
        email=email,
        email_key=None if email is None else fold(email),
        administrator=administrator,
        subject=subject,
        created_at=now,
    )
    workspace = f"{user.name}’s workspace"[:120]
    await models.Folder.create(name=workspace, name_key=fold(workspace), kind=FolderKind.PERSONAL, owner=user, created_at=now)
    return user


async def open_session(user: models.User, now: datetime) -> Secret:
    """The cookie of a new session.

    For a user who is held, and active: else they could be deactivated while this makes a session that nobody would end.
    """
    cookie = new_cookie()
    await models.Session.filter(expires_at__lte=now).delete()
    await models.Session.create(token_hash=hash_of(cookie), user_id=user.id, created_at=now, expires_at=now + _SESSION)
    return cookie

"""What an identity provider says of somebody, in our words. Its texts come from outside: they are cut, cleaned, or left out."""

import unicodedata
from dataclasses import dataclass
from typing import Any

from api.errors import SignInRefused
from api.names import name_problem, tidy
from api.oauth.openid import Statement
from api.organization.accounts import email_problem

_LONGEST_NAME = 120
_LONGEST_GROUP = 255
_MOST_GROUPS = 1000


@dataclass(frozen=True, slots=True)
class Description:
    """What is said of somebody; None: nothing is."""

    name: str | None
    # Never one that the provider says is not theirs.
    email: str | None
    # The provider says that it is theirs.
    is_email_verified: bool
    groups: tuple[str, ...] | None


class TooManyGroups(SignInRefused):
    def __init__(self) -> None:
        super().__init__(
            "You are in more groups than the identity provider tells, or than Patchbay takes.",
            "Ask your administrator to let the identity provider name only the groups that matter here.",
        )


def describe(statement: Statement, groups_claim: str) -> Description:
    """Raises TooManyGroups: groups that are only told in part would take access away that somebody has."""
    # Some write booleans as texts; whatever else stands there says nothing.
    verified = statement.claim("email_verified")
    is_verified, is_denied = (verified is said or verified == text for said, text in ((True, "true"), (False, "false")))
    email = statement.claim("email")
    if not isinstance(email, str) or email_problem(email) is not None or is_denied:
        email = None
    return Description(_name(statement), email, email is not None and is_verified, _groups(statement, groups_claim))


def _name(statement: Statement) -> str | None:
    given = [statement.claim(part) for part in ("given_name", "family_name")]
    whole = " ".join(part for part in given if isinstance(part, str))
    for found in (statement.claim("name"), whole, statement.claim("preferred_username"), statement.claim("nickname")):
        if isinstance(found, str) and (name := presentable(found)):
            return name
    return None


def presentable(text: str) -> str | None:
    """As much of a text as may be a name here."""
    seen = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in text)
    name = tidy(" ".join(seen.split()))[:_LONGEST_NAME].strip()
    return name or None


def _groups(statement: Statement, claim: str) -> tuple[str, ...] | None:
    # So Microsoft says that there are too many to name (OpenID Connect Core section 5.6.2: claims that are to be had elsewhere).
    elsewhere = statement.claim("_claim_names")
    if isinstance(elsewhere, dict) and claim in elsewhere:
        raise TooManyGroups
    found: Any = statement.claim(claim)
    if found is None:
        return None
    named = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    groups = {group for group in named if isinstance(group, str) and name_problem(group, longest=_LONGEST_GROUP) is None}
    if len(groups) > _MOST_GROUPS:
        raise TooManyGroups
    return tuple(sorted(groups))

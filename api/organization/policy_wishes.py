"""A policy as an administrator wants it, and what may be wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import models
from api.catalog.catalog import Catalog
from api.catalog.connector import Connector
from api.errors import InvalidInput, NotFound
from api.names import name_problem, scopes_problem
from api.organization.apps import client_mistakes
from api.organization.own_connectors import require_alive
from api.secret import Secret
from models import AuthenticationType, PolicyEnforcement

_BRING_YOUR_OWN = AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP
_LONGEST_VALUE = 16_384


@dataclass(frozen=True, slots=True)
class PolicyApp:
    """An OAuth app that a policy gives. Without a secret it is a public client, or, where the policy has this client, as it is."""

    client_id: str
    client_secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class PolicyWish:
    """A policy as an administrator wants it."""

    connector_key: str
    # For this group, or for this user; neither: for everybody.
    group_id: UUID | None = None
    user_id: UUID | None = None
    is_exempt: bool = False
    allowed: bool = True
    allowed_types: tuple[AuthenticationType, ...] | None = None
    enforcement: PolicyEnforcement = PolicyEnforcement.BLOCK_NEW
    # None: the one that the policy has stays, unless it is taken away.
    app: PolicyApp | None = None
    takes_app_away: bool = False
    default_scopes: tuple[str, ...] | None = None
    default_fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def says_anything(self) -> bool:
        defaults = self.app is not None or self.default_scopes is not None or bool(self.default_fields)
        return defaults or not self.allowed or self.allowed_types is not None


async def connector_of(wish: PolicyWish, catalog: Catalog) -> Connector:
    """The connector of a wish that can be fulfilled. Raises NotFound, InvalidInput with every mistake."""
    connector = await catalog.look_up(wish.connector_key)
    await require_alive(connector)
    if wish.group_id is not None and not await models.Group.exists(id=wish.group_id):
        raise NotFound("group")
    if wish.user_id is not None and not await models.User.exists(id=wish.user_id):
        raise NotFound("user")
    mistakes = _mistakes(wish, connector)
    if mistakes:
        raise InvalidInput(mistakes)
    return connector


def _mistakes(wish: PolicyWish, connector: Connector) -> dict[str, str]:
    offered = {type for option in connector.options for type in option.types}
    mistakes: dict[str, str] = {}
    if wish.group_id is not None and wish.user_id is not None:
        mistakes["userId"] = "cannot be given beside groupId: a policy is for one of them, or for everybody"
    if wish.is_exempt and wish.says_anything:
        mistakes["isExempt"] = "a policy that exempts says nothing else"
    if wish.allowed_types is not None and not wish.allowed_types:
        mistakes["allowedAuthenticationTypes"] = "must name one at least: set allowed to false to allow none"
    elif strange := [type for type in wish.allowed_types or () if type not in offered]:
        mistakes["allowedAuthenticationTypes"] = f"{connector.name} does not offer " + ", ".join(strange)
    if wish.app is not None and _BRING_YOUR_OWN not in offered:
        mistakes["defaultOAuthApp"] = f"{connector.name} does not offer {_BRING_YOUR_OWN}"
    elif wish.app is not None:
        found = client_mistakes(wish.app.client_id, wish.app.client_secret, prefix="defaultOAuthApp.")
        mistakes |= {name: problem for name, problem in found.items() if problem is not None}
    if wish.default_scopes is not None and _BRING_YOUR_OWN not in offered:
        mistakes["defaultScopes"] = f"{connector.name} does not offer {_BRING_YOUR_OWN}"
    elif problem := scopes_problem(wish.default_scopes or ()):
        mistakes["defaultScopes"] = problem
    return mistakes | _field_mistakes(wish.default_fields, connector)


def _field_mistakes(defaults: Mapping[str, str], connector: Connector) -> dict[str, str]:
    """What is wrong with defaults: each must be one that a form asks for, of no secret, and good wherever it is asked for."""
    asked = [each for option in connector.options for each in connector.fields_for(option) if each.asked]
    mistakes: dict[str, str] = {}
    for name, value in defaults.items():
        meant = [each for each in asked if each.name == name]
        problems = [name_problem(value, longest=_LONGEST_VALUE), *(each.problem(value) for each in meant)]
        if not meant:
            mistakes[f"defaultFields.{name}"] = "is not a field of this connector"
        elif any(each.secret for each in meant):
            mistakes[f"defaultFields.{name}"] = "is secret: a secret is nobody's default"
        elif problem := next(filter(None, problems), None):
            mistakes[f"defaultFields.{name}"] = problem
    return mistakes

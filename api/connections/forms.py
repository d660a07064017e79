"""The form that an authentication type asks for, and the check of what came back: every mistake at once, by field."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import models
from api.catalog.connector import Connector, Field, Option, Scope
from api.connections.derivations import derived
from api.names import name_problem, scopes_problem
from api.policy import Ruling
from api.secret import Secret
from models import AuthenticationType

_LONGEST_VALUE = 16_384

_CLIENT_FIELDS = (
    Field("client_id", "Client id", help="Of the OAuth app that you registered with the vendor."),
    Field("client_secret", "Client secret", secret=True, help="Of the same app."),
)
_PUBLIC_CLIENT_FIELDS = (_CLIENT_FIELDS[0], Field("client_secret", "Client secret", secret=True, required=False))


@dataclass(frozen=True, slots=True)
class Filled:
    """A form filled in well: what is no secret, and what is."""

    site: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a policy puts into a form beforehand."""

    fields: Mapping[str, str] = field(default_factory=dict)
    # Of the app that stands in where somebody brings none of their own.
    client_id: str | None = None
    scopes: tuple[str, ...] | None = None

    @classmethod
    def of(cls, ruling: Ruling, app: models.OAuthApp | None) -> Self:
        """What a ruling gives; `app` is its default app, where it has one."""
        return cls(ruling.default_fields, None if app is None else app.client_id, ruling.default_scopes)

    def put_into(self, asked: Field) -> Field:
        # In another option a field of the same name may take other values, or be secret.
        value = self.fields.get(asked.name)
        return asked if value is None or asked.secret or asked.problem(value) else replace(asked, default=value)


def fields_of(connector: Connector, option: Option, type: AuthenticationType, defaults: Defaults = Defaults()) -> tuple[Field, ...]:
    """All that a form must ask for."""
    asked = tuple(defaults.put_into(field) for field in connector.fields_for(option) if field.asked)
    if type is not AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP:
        return asked
    if defaults.client_id is not None:
        client_id, client_secret = _CLIENT_FIELDS
        return (*asked, replace(client_id, required=False, default=defaults.client_id), replace(client_secret, required=False))
    return asked + (_PUBLIC_CLIENT_FIELDS if _takes_public_clients(option) else _CLIENT_FIELDS)


def scopes_of(option: Option, type: AuthenticationType, defaults: Defaults = Defaults()) -> tuple[Scope, ...]:
    """The scopes to choose from. A policy's defaults are for apps of one's own alone, and take the place of the connector's."""
    if type is not AuthenticationType.OAUTH2_BRING_YOUR_OWN_APP or defaults.scopes is None:
        return option.scopes
    known = tuple(replace(scope, default=scope.name in defaults.scopes) for scope in option.scopes)
    named = {scope.name for scope in known}
    return known + tuple(Scope(name, default=True) for name in defaults.scopes if name not in named)


def fill(fields: Sequence[Field], given: Mapping[str, Secret], more: Sequence[Field] = ()) -> tuple[Filled, dict[str, str]]:
    """The values to keep, and what is wrong with them: field path → problem. A default stands in for what is absent.

    `more` are fields that nobody is asked for: what follows from the others is kept with them.
    """
    known = {field.name: field for field in fields}
    mistakes = {f"fields.{name}": "is not a field of this connector" for name in given if name not in known}
    site: dict[str, str] = {}
    secrets: dict[str, Secret] = {}
    for name, asked in known.items():
        value = given[name].reveal() if name in given else asked.default or ""
        problem = _problem(asked, value)
        if problem is not None:
            mistakes[f"fields.{name}"] = problem
        elif value and asked.secret:
            secrets[name] = Secret(value)
        elif value:
            site[name] = value
    follows, problems = derived(more, site | {name: value.reveal() for name, value in secrets.items()})
    hidden = {field.name for field in more if field.secret}
    site |= {name: value for name, value in follows.items() if name not in hidden}
    secrets |= {name: Secret(value) for name, value in follows.items() if name in hidden}
    return Filled(site, secrets), mistakes | problems


def scope_mistakes(mandatory: Collection[str], asked: Collection[str] | None) -> dict[str, str]:
    """What is wrong with the scopes that were asked for."""
    if asked is None:
        return {}
    missing = [name for name in mandatory if name not in asked]
    if missing:
        return {"scopes": "must include " + ", ".join(missing)}
    problem = scopes_problem(asked)
    return {} if problem is None else {"scopes": problem}


def _problem(field: Field, value: str) -> str | None:
    if not value:
        return "is required" if field.required else None
    if len(value) > _LONGEST_VALUE:
        return f"must not be longer than {_LONGEST_VALUE} characters"
    if not field.secret:
        return name_problem(value, longest=_LONGEST_VALUE) or field.problem(value)
    # Keys may have several lines; other controls would end up in a header.
    is_printable = value.replace("\n", "").replace("\r", "").isprintable()
    return field.problem(value) if is_printable else "must be printable characters"


def _takes_public_clients(option: Option) -> bool:
    return option.grant is not None and option.grant.client_authentication == "none"

"""What a connector offers somebody here and now: its ways to authenticate, with the form of each, and why one is not to be had."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from tortoise.expressions import Q

import models
from api.catalog.catalog import Catalog
from api.catalog.connector import Connector, Field, Option, Scope
from api.connections.consent import Addresses
from api.connections.forms import Defaults, fields_of, scopes_of
from api.organization.apps import SecretForElsewhere, serves
from api.organization.installed import InstalledConnectors, not_installed
from api.organization.rulings import Rulings
from api.policy import Ruling
from models import AuthenticationType, OAuthAppOrigin


@dataclass(frozen=True, slots=True)
class Offer:
    type: AuthenticationType
    option: Option
    fields: tuple[Field, ...]
    scopes: tuple[Scope, ...]
    # None: it can be had.
    unavailable_reason: str | None
    # For consent: the callback URL to register with the vendor.
    redirect_uri: str | None
    # The policies that speak for whoever asks, in words, and whether they are against it; those that only warn do not refuse it.
    policy: str | None
    is_against_policy: bool

    @property
    def available(self) -> bool:
        return self.unavailable_reason is None


class Offers:
    def __init__(self, *, catalog: Catalog, installed: InstalledConnectors, rulings: Rulings, addresses: Addresses) -> None:
        self._catalog = catalog
        self._installed = installed
        self._rulings = rulings
        self._addresses = addresses

    async def of(self, user_id: UUID, connector_keys: Collection[str]) -> dict[str, list[Offer]]:
        """What these connectors offer this user, the best first; the same few queries for all of them."""
        installed = await self._installed.among(connector_keys)
        rulings = await self._rulings.of(user_id, connector_keys)
        defaults = [ruling.default_app_id for ruling in rulings.values()]
        stand_ins = [app_id for app_id in defaults if app_id is not None]
        operators = Q(origin=OAuthAppOrigin.OPERATOR, connector_key__in=list(connector_keys))
        apps: dict[UUID | None, models.OAuthApp] = {app.id: app for app in await models.OAuthApp.filter(operators | Q(id__in=stand_ins))}
        registered = {app.connector_key: app for app in apps.values() if app.origin is OAuthAppOrigin.OPERATOR}
        connectors = [connector for key in connector_keys if (connector := self._catalog.find(key)) is not None]
        return {
            connector.key: self._offers(
                connector,
                rulings[connector.key],
                apps.get(rulings[connector.key].default_app_id),
                is_installed=connector.key in installed,
                app=registered.get(connector.key),
            )
            for connector in connectors
        }

    def _offers(
        self, connector: Connector, ruling: Ruling, stand_in: models.OAuthApp | None, *, is_installed: bool, app: models.OAuthApp | None
    ) -> list[Offer]:
        defaults = Defaults.of(ruling, stand_in if stand_in is not None and serves(stand_in, connector) else None)
        redirect_uri = self._addresses.redirect_uri(connector.key)
        return [
            Offer(
                type=type,
                option=option,
                fields=fields_of(connector, option, type, defaults),
                scopes=scopes_of(option, type, defaults),
                unavailable_reason=(
                    (None if is_installed else f"{not_installed(connector)} An administrator can install it.")
                    or _refusal(ruling, type, connector)
                    or _missing_app(type, connector, app)
                ),
                redirect_uri=redirect_uri if type.needs_consent else None,
                policy=ruling.title,
                is_against_policy=bool(ruling.broken_by(type)),
            )
            for option in connector.options
            for type in option.types
        ]


def _refusal(ruling: Ruling, type: AuthenticationType, connector: Connector) -> str | None:
    policy = ruling.refusal_of(type)
    if policy is None:
        return None
    violation = policy.violation(connector.name, type)
    return f"{violation.message} {violation.remedy}"


def _missing_app(type: AuthenticationType, connector: Connector, app: models.OAuthApp | None) -> str | None:
    if type is not AuthenticationType.OAUTH2_AUTHORIZATION_CODE:
        return None
    if app is None:
        return f"No OAuth app is registered here for {connector.name}: an administrator can register one, or bring your own."
    if not serves(app, connector):
        error = SecretForElsewhere(connector)
        return f"{error.message} {error.remedy}"
    return None

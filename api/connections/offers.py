"""What a connector offers here and now: its ways to authenticate, with the form of each, and why one is not to be had."""

from collections.abc import Collection
from dataclasses import dataclass

import models
from api.catalog.catalog import Catalog
from api.catalog.connector import Field, Option
from api.connections.consent import Addresses
from api.connections.forms import fields_of
from models import AuthenticationType, OAuthAppOrigin


@dataclass(frozen=True, slots=True)
class Offer:
    type: AuthenticationType
    option: Option
    fields: tuple[Field, ...]
    # None: it can be had.
    unavailable_reason: str | None
    # For consent: the callback URL to register with the vendor.
    redirect_uri: str | None

    @property
    def available(self) -> bool:
        return self.unavailable_reason is None


class Offers:
    def __init__(self, catalog: Catalog, addresses: Addresses) -> None:
        self._catalog = catalog
        self._addresses = addresses

    async def of(self, connector_keys: Collection[str]) -> dict[str, list[Offer]]:
        """The offers of these connectors, the best first; one query for all of them."""
        apps = await models.OAuthApp.filter(origin=OAuthAppOrigin.OPERATOR, connector_key__in=list(connector_keys))
        registered = {app.connector_key for app in apps}
        return {key: self._offers(key, has_app=key in registered) for key in connector_keys}

    def _offers(self, connector_key: str, *, has_app: bool) -> list[Offer]:
        connector = self._catalog.get(connector_key)
        redirect_uri = self._addresses.redirect_uri(connector_key)
        return [
            Offer(
                type=type,
                option=option,
                fields=fields_of(connector, option, type),
                unavailable_reason=_missing_app(type, connector.name, has_app=has_app),
                redirect_uri=redirect_uri if type.needs_consent else None,
            )
            for option in connector.options
            for type in option.types
        ]


def _missing_app(type: AuthenticationType, connector: str, *, has_app: bool) -> str | None:
    if type is not AuthenticationType.OAUTH2_AUTHORIZATION_CODE or has_app:
        return None
    return f"No OAuth app is registered here for {connector}: an administrator can register one, or bring your own."
